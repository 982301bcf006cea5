/* Whole files in and out: what is written comes back, and a write that fails leaves things as they were. */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>

#include "scratch.h"
#include "suite.h"
#include "util/file.h"

/* Fails unless path holds exactly these bytes. */
static void check_content(const char *path, const void *bytes, size_t size)
{
    unsigned char *data = NULL;
    size_t got = 0;
    ck_ok(ink_file_read(path, SIZE_MAX, &data, &got));
    ck_assert_uint_eq(got, size);
    ck_assert(memcmp(data, bytes, size) == 0);
    ck_assert_int_eq(data[size], 0);
    free(data);
}

START_TEST(written_files_read_back)
{
    static const size_t sizes[] = {0, 1, 65534, 65535, 65536, 131071, 131072, 1000003};
    ck_assert_int_eq(mkdir(scratch_path("round"), 0755), 0);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *bytes = malloc(sizes[i] + 1);
        for (size_t k = 0; k < sizes[i]; k++)
            bytes[k] = (unsigned char)(k * 2654435761u >> 24);
        const char *path = scratch_path("round/file");
        ck_ok(ink_file_replace(path, bytes, sizes[i]));
        check_content(path, bytes, sizes[i]);
        free(bytes);
    }
    ck_assert_int_eq(scratch_count(scratch_path("round")), 1);
}
END_TEST

START_TEST(limit_is_the_last_size_accepted)
{
    char *text = malloc(200000);
    memset(text, 'x', 200000);
    const char *path = scratch_path("limit");
    static const size_t sizes[] = {0, 1, 9, 65535, 65536, 200000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *data = NULL;
        size_t size = 77;
        scratch_write(path, text, sizes[i]);
        ck_ok(ink_file_read(path, sizes[i], &data, &size));
        ck_assert_uint_eq(size, sizes[i]);
        free(data);
        if (sizes[i] == 0)
            continue;
        data = NULL;
        size = 77;
        ck_fails(ink_file_read(path, sizes[i] - 1, &data, &size), INK_ERROR_FORMAT, "is larger than");
        ck_assert_ptr_null(data);
        ck_assert_uint_eq(size, 77);
    }
    free(text);
}
END_TEST

START_TEST(unreadable_paths_are_named)
{
    unsigned char *data = NULL;
    size_t size = 77;
    ck_fails(ink_file_read(scratch_path("none"), 100, &data, &size), INK_ERROR_FILE, strerror(ENOENT));
    ck_assert(strstr(ink_last_error(), scratch_path("none")) != NULL);
    ck_fails(ink_file_read(scratch_folder, 100, &data, &size), INK_ERROR_FILE, "is a folder");
    ck_assert_ptr_null(data);
    ck_assert_uint_eq(size, 77);
    ck_assert(!ink_file_exists(scratch_path("none")));
    scratch_write(scratch_path("some"), "", 0);
    ck_assert(ink_file_exists(scratch_path("some")));
}
END_TEST

START_TEST(folder_that_cannot_be_written)
{
    ck_fails(ink_file_replace(scratch_path("none/model"), "x", 1), INK_ERROR_FILE, "choose a folder");
    ck_fails(ink_file_replace(scratch_folder, "x", 1), INK_ERROR_FILE, "is a folder");
    ck_assert_int_eq(mkdir(scratch_path("shut"), 0555), 0);
    if (geteuid() == 0) /* root may write anywhere, so be somebody else */
        ck_assert(chmod(scratch_folder, 0755) == 0 && seteuid(65534) == 0);
    ck_fails(ink_file_replace(scratch_path("shut/model"), "x", 1), INK_ERROR_FILE, strerror(EACCES));
    ck_assert(strstr(ink_last_error(), scratch_path("shut/model")) != NULL);
    ck_assert_int_eq(scratch_count(scratch_path("shut")), 0);
}
END_TEST

/* A write that stops half way, as on a full disk: files of this process may grow to 100000 bytes. */
START_TEST(half_written_file_is_taken_back)
{
    static unsigned char bytes[300000];
    const char *path = scratch_path("disk/model");
    ck_assert_int_eq(mkdir(scratch_path("disk"), 0755), 0);
    ck_ok(ink_file_replace(path, "older", 5));
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {100000, 100000};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    ck_fails(ink_file_replace(path, bytes, sizeof bytes), INK_ERROR_FILE, strerror(EFBIG));
    ck_assert(strstr(ink_last_error(), path) != NULL);
    check_content(path, "older", 5);
    ck_fails(ink_file_replace(scratch_path("disk/new"), bytes, sizeof bytes), INK_ERROR_FILE, strerror(EFBIG));
    ck_assert_int_eq(scratch_count(scratch_path("disk")), 1);
}
END_TEST

START_TEST(devices_are_written_to_not_replaced)
{
    struct stat before, after;
    if (stat("/dev/full", &before) != 0 || !S_ISCHR(before.st_mode)) {
        printf("skipped: there is no /dev/full\n");
        return;
    }
    ck_fails(ink_file_replace("/dev/full", "x", 1), INK_ERROR_FILE, strerror(ENOSPC));
    ck_ok(ink_file_replace("/dev/null", "x", 1));
    ck_assert_int_eq(stat("/dev/full", &after), 0);
    ck_assert(S_ISCHR(after.st_mode) && before.st_ino == after.st_ino);
}
END_TEST

START_TEST(permissions_and_links_stay)
{
    struct stat info;
    const char *path = scratch_path("real"), *link = scratch_path("link");
    umask(027);
    ck_ok(ink_file_replace(path, "a", 1));
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_int_eq(info.st_mode & 0777, 0640);
    ck_assert_int_eq(chmod(path, 0600), 0);
    ck_assert_int_eq(symlink("real", link), 0);
    ck_ok(ink_file_replace(link, "bc", 2));
    ck_assert(lstat(link, &info) == 0 && S_ISLNK(info.st_mode));
    check_content(path, "bc", 2);
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_int_eq(info.st_mode & 0777, 0600);
}
END_TEST

int main(void)
RUN_SUITE("file", written_files_read_back, limit_is_the_last_size_accepted, unreadable_paths_are_named,
          folder_that_cannot_be_written, half_written_file_is_taken_back, devices_are_written_to_not_replaced,
          permissions_and_links_stay)
