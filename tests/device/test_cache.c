/* The program cache: programs come back out of it, damaged files are built anew without anyone noticing, the bound holds,
 * and processes may do all of that at once. Each test works in a cache folder of its own. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "device/cache_files.h"
#include "device/device.h"
#include "device/folder.h"
#include "scratch.h"
#include "suite.h"
#include "util/file.h"

static const char source[] = "__kernel void fill(__global int *x) { int i = (int)get_global_id(0); x[i] = FACTOR * i + 1; }\n";

static char folder[PATH_MAX]; /* of the programs */

/* A cache folder of this test's own; INKLING_CACHE=always, since the device may be PoCL's. */
static void begin(void)
{
    char cache[PATH_MAX - 16];
    snprintf(cache, sizeof cache, "%s/cache-%ld", scratch_folder, (long)getpid());
    snprintf(folder, sizeof folder, "%s/programs", cache);
    setenv("INKLING_CACHE_DIR", cache, 1);
    setenv("INKLING_CACHE", "always", 1);
    unsetenv("INKLING_CACHE_LIMIT");
}

static ink_device *open_device(void)
{
    ink_device *device = NULL;
    if (ink_device_open(NULL, &device) == INK_ERROR_NO_DEVICE)
        printf("skipped: there is no OpenCL device\n");
    return device;
}

/* Builds the program of a factor and runs it; NULL, or what went wrong. For processes in which Check cannot be told. */
static const char *try_program(ink_device *device, int factor)
{
    enum { COUNT = 64 };
    char options[32];
    cl_program program = NULL;
    cl_mem buffer = NULL;
    cl_int code, values[COUNT];
    size_t count = COUNT;
    snprintf(options, sizeof options, "-DFACTOR=%d", factor);
    if (ink_program_build(device, source, options, &program) || ink_buffer_create(device, sizeof values, "a test", &buffer))
        return ink_last_error();
    cl_kernel kernel = clCreateKernel(program, "fill", &code);
    if (code != CL_SUCCESS || clSetKernelArg(kernel, 0, sizeof buffer, &buffer) != CL_SUCCESS
        || clEnqueueNDRangeKernel(device->queue, kernel, 1, NULL, &count, NULL, 0, NULL, NULL) != CL_SUCCESS
        || ink_buffer_read(device, buffer, 0, values, sizeof values))
        return "the kernel cannot be run";
    clReleaseKernel(kernel);
    clReleaseMemObject(buffer);
    clReleaseProgram(program);
    for (int i = 0; i < COUNT; i++)
        if (values[i] != factor * i + 1)
            return "the kernel's results are wrong";
    return NULL;
}

/* Builds and runs the program, and checks what the cache has counted since the start, in this order. */
static void check_program(ink_device *device, int factor, unsigned hits, unsigned misses, unsigned rebuilt, unsigned stored)
{
    const char *wrong = try_program(device, factor);
    ck_assert_msg(!wrong, "%s", wrong);
    struct ink_cache_info info;
    ck_ok(ink_cache_get_info(&info));
    ck_assert_msg(info.hits == hits && info.misses == misses && info.rebuilt == rebuilt && info.stored == stored,
                  "%u hits, %u misses, %u rebuilt, %u stored; not %u, %u, %u, %u", (unsigned)info.hits, (unsigned)info.misses,
                  (unsigned)info.rebuilt, (unsigned)info.stored, hits, misses, rebuilt, stored);
}

static const char *path_of(const char *name)
{
    static char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* The name of the only program in the folder. */
static void only_name(char name[INK_PROGRAM_NAME])
{
    struct ink_cache_file *files = NULL;
    size_t count = 0;
    ck_ok(ink_cache_list(folder, &files, &count));
    ck_assert_uint_eq(count, 1);
    snprintf(name, INK_PROGRAM_NAME, "%.*s", INK_PROGRAM_NAME - 1, files->name);
    free(files);
}

/* Puts a program of no device into the folder, used so many seconds ago; its name goes to name (may be NULL). */
static void put_program(const char *text, size_t payload_size, int seconds_ago, char name[INK_PROGRAM_NAME])
{
    struct ink_program_parts parts = {8, "", "", "", "", "", "", text};
    struct ink_program_key key = {0};
    unsigned char *payload = calloc(payload_size, 1), *file = NULL;
    char own[INK_PROGRAM_NAME];
    size_t size;
    ck_ok(ink_program_key_make(&parts, &key));
    ck_ok(ink_program_encode(&key, payload, payload_size, &file, &size));
    ink_program_name(&key.hash, own);
    ck_ok(ink_folder_make(folder, 0700));
    scratch_write(path_of(own), file, size);
    struct timespec times[2] = {{.tv_sec = time(NULL) - seconds_ago}, {.tv_sec = time(NULL) - seconds_ago}};
    ck_assert_int_eq(utimensat(AT_FDCWD, path_of(own), times, 0), 0);
    if (name)
        memcpy(name, own, sizeof own);
    free(file);
    free(payload);
    ink_program_key_free(&key);
}

START_TEST(programs_come_back)
{
    begin();
    ink_device *device = open_device();
    if (!device)
        return;
    check_program(device, 3, 0, 1, 0, 1);
    check_program(device, 3, 1, 1, 0, 1);
    check_program(device, 4, 1, 2, 0, 2); /* other options, another program */
    check_program(device, 3, 2, 2, 0, 2);
    cl_program program = NULL;
    ck_ok(ink_program_build(device, "__kernel void none(void) { }\n", "-DFACTOR=3", &program)); /* another source */
    clReleaseProgram(program);
    check_program(device, 4, 3, 3, 0, 3);
    struct ink_cache_info info;
    struct stat stat_info;
    ck_ok(ink_cache_get_info(&info));
    ck_assert_int_eq(info.mode, INK_CACHE_ALWAYS);
    ck_assert_str_eq(info.path, folder);
    ck_assert_uint_eq(info.files, 3);
    ck_assert_uint_eq(info.limit, 256 << 20);
    ck_assert_uint_gt(info.bytes, 3 * INK_PROGRAM_HEADER);
    ck_assert_int_eq(scratch_count(folder), 3);
    ck_assert(stat(folder, &stat_info) == 0 && (stat_info.st_mode & 0777) == 0700);
    ink_device_destroy(&device);
}
END_TEST

/* Damages the file of a program, which is then built anew and kept again, and comes out of the cache the next time. */
START_TEST(damaged_files_are_built_anew)
{
    begin();
    ink_device *device = open_device();
    if (!device)
        return;
    char name[INK_PROGRAM_NAME];
    unsigned char *file = NULL;
    size_t size;
    unsigned rebuilt = 0;
    check_program(device, 5, 0, 1, 0, 1);
    only_name(name);
    ck_ok(ink_file_read(path_of(name), 1 << 30, &file, &size));
    for (size_t cut = 0; cut < size; cut += cut < INK_PROGRAM_HEADER + 4 ? 1 : size / 8) {
        scratch_write(path_of(name), file, cut);
        rebuilt++;
        check_program(device, 5, 0, 1, rebuilt, rebuilt + 1);
    }
    for (size_t at = 0; at < size; at += at < INK_PROGRAM_HEADER ? 5 : size / 8) {
        file[at] ^= 0x10;
        scratch_write(path_of(name), file, size);
        file[at] ^= 0x10;
        rebuilt++;
        check_program(device, 5, 0, 1, rebuilt, rebuilt + 1);
    }
    file[size] = 0; /* ink_file_read() leaves room for one byte more */
    scratch_write(path_of(name), file, size + 1);
    rebuilt++;
    check_program(device, 5, 0, 1, rebuilt, rebuilt + 1);
    scratch_write(path_of(name), "#!/bin/sh\n", 10);
    rebuilt++;
    check_program(device, 5, 0, 1, rebuilt, rebuilt + 1);
    ck_assert(unlink(path_of(name)) == 0 && mkfifo(path_of(name), 0600) == 0); /* must not be waited for */
    rebuilt++;
    check_program(device, 5, 0, 1, rebuilt, rebuilt + 1);
    check_program(device, 5, 1, 1, rebuilt, rebuilt + 1);
    free(file);
    ink_device_destroy(&device);
}
END_TEST

/* The file of one program under the name of another, as a hash that two share would give it. */
START_TEST(files_of_other_programs_are_built_anew)
{
    begin();
    ink_device *device = open_device();
    if (!device)
        return;
    char name[INK_PROGRAM_NAME], other[INK_PROGRAM_NAME];
    check_program(device, 6, 0, 1, 0, 1);
    only_name(name);
    put_program("of another driver", 100, 0, other);
    char from[PATH_MAX + 64];
    snprintf(from, sizeof from, "%s", path_of(other));
    ck_assert_int_eq(rename(from, path_of(name)), 0);
    check_program(device, 6, 0, 1, 1, 2);
    check_program(device, 6, 1, 1, 1, 2);
    ink_device_destroy(&device);
}
END_TEST

/* A sound file whose binary is none: only the driver can tell. rusticl of Mesa 22.3 ends the process where it should refuse. */
START_TEST(binaries_that_the_driver_refuses_are_built_anew)
{
    begin();
    ink_device *device = open_device();
    if (!device)
        return;
    if (strcmp(device->info.platform, "rusticl") == 0) {
        printf("skipped: rusticl does not refuse a binary, it aborts\n");
        ink_device_destroy(&device);
        return;
    }
    char name[INK_PROGRAM_NAME];
    unsigned char *file = NULL, *changed = NULL;
    size_t size;
    struct ink_program_view view;
    check_program(device, 7, 0, 1, 0, 1);
    only_name(name);
    ck_ok(ink_file_read(path_of(name), 1 << 30, &file, &size));
    ck_ok(ink_program_decode(NULL, file, size, &view));
    struct ink_program_key key = {.bytes = (char *)file + INK_PROGRAM_HEADER, .hash = view.hash};
    key.size = (size_t)(view.payload - file) - INK_PROGRAM_HEADER;
    static const char *const binaries[] = {"no binary of any driver", "\177ELF", " "};
    for (unsigned i = 0; i < sizeof binaries / sizeof *binaries; i++) {
        ck_ok(ink_program_encode(&key, binaries[i], strlen(binaries[i]), &changed, &size));
        scratch_write(path_of(name), changed, size);
        free(changed);
        check_program(device, 7, 0, 1, i + 1, i + 2);
    }
    free(file);
    ink_device_destroy(&device);
}
END_TEST

START_TEST(variables_turn_it_off_and_on)
{
    begin();
    ink_device *device = open_device();
    if (!device)
        return;
    setenv("INKLING_CACHE", "off", 1);
    check_program(device, 2, 0, 0, 0, 0);
    setenv("INKLING_CACHE", "always", 1);
    setenv("INKLING_CACHE_LIMIT", "0", 1);
    check_program(device, 2, 0, 0, 0, 0);
    unsetenv("INKLING_CACHE_LIMIT");
    ck_assert_int_eq(access(folder, F_OK), -1);
    /* PoCL keeps compiled kernels itself */
    unsigned kept = strcmp(device->info.platform, "Portable Computing Language") != 0;
    setenv("INKLING_CACHE", "", 1);
    check_program(device, 2, 0, kept, 0, kept);
    setenv("INKLING_CACHE", "always", 1);
    check_program(device, 2, kept, 1, 0, 1);
    /* without a folder */
    unsetenv("INKLING_CACHE_DIR");
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", "", 1);
    check_program(device, 2, kept, 1, 0, 1);
    struct ink_cache_info info;
    ck_ok(ink_cache_get_info(&info));
    ck_assert_str_eq(info.path, "");
    ink_device_destroy(&device);
}
END_TEST

/* Does work in a process of its own, before this one has a device; what it prints tells what failed. */
static pid_t start_process(const char *(*work)(ink_device *device, int number), int number)
{
    pid_t process = fork();
    ck_assert_int_ge(process, 0);
    if (process)
        return process;
    ink_device *device = open_device();
    const char *wrong = device ? work(device, number) : NULL;
    if (wrong)
        fprintf(stderr, "process %d: %s\n", number, wrong);
    ink_device_destroy(&device);
    _exit(wrong ? 1 : 0);
}

/* A folder that cannot be written in, though what is in it is used, and folders that cannot be made. */
START_TEST(folders_that_cannot_be_written_fail_nothing)
{
    enum { NOBODY = 65534 };
    begin();
    int status;
    ck_assert_int_gt(waitpid(start_process(try_program, 8), &status, 0), 0);
    ck_assert_int_eq(status, 0);
    if (geteuid() == 0) { /* who may write anywhere, and PoCL's kernels are root's */
        const char *pocl = scratch_path("pocl");
        ck_assert(mkdir(pocl, 0777) == 0 && chmod(pocl, 0777) == 0);
        setenv("POCL_CACHE_DIR", pocl, 1);
        ck_assert(chmod(scratch_folder, 0755) == 0 && chmod(getenv("INKLING_CACHE_DIR"), 0755) == 0 && chmod(folder, 0755) == 0);
        ck_assert_int_eq(seteuid(NOBODY), 0);
    } else {
        ck_assert_int_eq(chmod(folder, 0500), 0);
    }
    ink_device *device = open_device();
    if (!device)
        return;
    check_program(device, 8, 1, 0, 0, 0);
    check_program(device, 9, 1, 1, 0, 0);
    char usual[PATH_MAX];
    snprintf(usual, sizeof usual, "%s", getenv("INKLING_CACHE_DIR"));
    static const char *const impossible[] = {"/dev/null", "/dev/null/folder", "/proc/none"};
    for (int i = 0; i < 3; i++) {
        setenv("INKLING_CACHE_DIR", impossible[i], 1);
        const char *wrong = try_program(device, 9);
        ck_assert_msg(!wrong, "%s: %s", impossible[i], wrong);
    }
    setenv("INKLING_CACHE_DIR", usual, 1);
    check_program(device, 8, 2, 4, 0, 0);
    ink_device_destroy(&device);
    if (getuid() == 0)
        ck_assert_int_eq(seteuid(0), 0);
    ck_assert_int_eq(chmod(folder, 0700), 0);
    ck_assert_int_eq(scratch_count(folder), 1);
}
END_TEST

START_TEST(the_longest_unused_go_first)
{
    begin();
    ink_device *device = open_device();
    if (!device)
        return;
    enum { KIB = 1024 };
    setenv("INKLING_CACHE_LIMIT", "1", 1);
    char mine[INK_PROGRAM_NAME], oldest[INK_PROGRAM_NAME], older[INK_PROGRAM_NAME], newer[INK_PROGRAM_NAME], aside[64];
    check_program(device, 10, 0, 1, 0, 1);
    only_name(mine);
    struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    ck_assert_int_eq(utimensat(AT_FDCWD, path_of(mine), long_ago, 0), 0);
    check_program(device, 10, 1, 1, 0, 1); /* used now, which counts */
    put_program("oldest", 400 * KIB, 5000, oldest);
    put_program("older", 400 * KIB, 4000, older);
    put_program("newer", 400 * KIB, 3000, newer);
    snprintf(aside, sizeof aside, "%s.0a1b2c", newer);
    scratch_write(path_of(aside), "left", 4);
    scratch_write(path_of("notes.txt"), "kept", 4);
    check_program(device, 11, 1, 2, 0, 2);
    ck_assert_int_eq(access(path_of(oldest), F_OK), -1);
    ck_assert_int_eq(access(path_of(older), F_OK), 0);
    ck_assert_int_eq(access(path_of(newer), F_OK), 0);
    ck_assert_int_eq(access(path_of(mine), F_OK), 0);
    ck_assert_int_eq(access(path_of(aside), F_OK), 0); /* it may still be written */
    struct ink_cache_info info;
    ck_ok(ink_cache_get_info(&info));
    ck_assert_uint_eq(info.files, 4);
    ck_assert_uint_le(info.bytes, 1024 * KIB);
    ck_assert_uint_eq(info.limit, 1024 * KIB);
    ck_assert_int_eq(utimensat(AT_FDCWD, path_of(aside), long_ago, 0), 0);
    check_program(device, 12, 1, 3, 0, 3);
    ck_assert_int_eq(access(path_of(aside), F_OK), -1);
    ck_assert_int_eq(access(path_of("notes.txt"), F_OK), 0);
    ink_device_destroy(&device);
}
END_TEST

enum { PROCESSES = 4, ROUNDS = 8, PROGRAMS = 3 };

static const char *build_over_and_over(ink_device *device, int number)
{
    struct ink_cache_info info;
    const char *wrong = NULL;
    for (int i = 0; i < ROUNDS * PROGRAMS && !wrong; i++)
        wrong = try_program(device, 20 + (i + number) % PROGRAMS);
    if (!wrong && (ink_cache_get_info(&info) || info.hits + info.misses + info.rebuilt != ROUNDS * PROGRAMS))
        wrong = "what was counted is not what was done";
    return wrong;
}

/* Processes build and use three programs over and over while this one damages and clears what they keep. */
START_TEST(several_processes_at_once)
{
    begin();
    for (int number = 0; number < PROCESSES; number++)
        start_process(build_over_and_over, number);
    unsigned random = 1;
    for (int left = PROCESSES; left;) {
        int status;
        pid_t ended = waitpid(-1, &status, WNOHANG);
        ck_assert_int_ge(ended, 0);
        if (ended) {
            ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a process ended with %#x", status);
            left--;
        }
        struct ink_cache_file *files = NULL;
        size_t count = 0;
        random = random * 1664525 + 1013904223;
        ck_ok(ink_cache_list(folder, &files, &count));
        if (count && random >> 28 == 0)
            ck_ok(ink_cache_clear(NULL));
        else if (count && random >> 28 < 4 && truncate(path_of(files[random % count].name), (off_t)(random >> 8 & 0xffff)) != 0)
            ck_assert_int_eq(access(path_of(files[random % count].name), F_OK), -1);
        free(files);
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    }
    struct ink_cache_check check;
    ck_ok(ink_cache_verify(&check));
    ck_ok(ink_cache_verify(&check));
    ck_assert_uint_eq(check.bad, 0);
    ck_assert_int_eq(scratch_count(folder), (int)check.good); /* nothing lies aside */
}
END_TEST

START_TEST(verifying_and_clearing)
{
    begin();
    char good[INK_PROGRAM_NAME], wrong[INK_PROGRAM_NAME], moved[INK_PROGRAM_NAME], aside[64], from[PATH_MAX + 64];
    struct ink_cache_check check = {7, 7};
    struct ink_cache_info info;
    size_t removed = 7;
    ck_ok(ink_cache_verify(&check)); /* before there is a folder */
    ck_assert(check.good == 0 && check.bad == 0);
    ck_ok(ink_cache_clear(&removed));
    ck_assert_uint_eq(removed, 0);
    put_program("good", 50, 0, good);
    put_program("wrong", 50, 0, wrong);
    put_program("moved", 50, 0, moved);
    ck_assert_int_eq(truncate(path_of(wrong), 100), 0);
    snprintf(from, sizeof from, "%s", path_of(moved));
    moved[0] = moved[0] == 'a' ? 'b' : 'a';
    ck_assert_int_eq(rename(from, path_of(moved)), 0);
    snprintf(aside, sizeof aside, "%s.0a1b2c", good);
    scratch_write(path_of(aside), "half", 4);
    scratch_write(path_of("notes.txt"), "kept", 4);
    ck_ok(ink_cache_get_info(&info));
    ck_assert_uint_eq(info.files, 3);
    ck_ok(ink_cache_verify(&check));
    ck_assert_uint_eq(check.good, 1);
    ck_assert_uint_eq(check.bad, 2);
    ck_assert_int_eq(scratch_count(folder), 3);
    ck_ok(ink_cache_clear(&removed));
    ck_assert_uint_eq(removed, 2);
    ck_assert_int_eq(scratch_count(folder), 1);
    ck_assert_int_eq(access(path_of("notes.txt"), F_OK), 0);
    setenv("INKLING_CACHE_DIR", "/dev/null", 1);
    ck_fails(ink_cache_get_info(&info), INK_ERROR_FILE, "/dev/null/programs: the program cache cannot be read");
    ck_fails(ink_cache_verify(&check), INK_ERROR_FILE, "/dev/null/programs");
    ck_fails(ink_cache_clear(NULL), INK_ERROR_FILE, "/dev/null/programs");
}
END_TEST

static void count_warnings(ink_log_level level, const char *text, void *user)
{
    if (level == INK_LOG_WARNING && strstr(text, "INKLING_CACHE"))
        (*(int *)user)++;
}

START_TEST(variables_that_are_not_understood_warn_once)
{
    begin();
    int warnings = 0;
    struct ink_cache_info info;
    ink_set_log(count_warnings, &warnings);
    static const char *const limits[] = {"lots", "-1", "1.5", " 5", "99999999999999999999", "17592186044416"}; /* the last: 2^64 bytes */
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        setenv("INKLING_CACHE_LIMIT", limits[i], 1);
        ck_ok(ink_cache_get_info(&info));
        ck_assert_msg(info.limit == 256 << 20, "%s", limits[i]);
    }
    ck_assert_int_eq(warnings, 1);
    setenv("INKLING_CACHE_LIMIT", "17592186044415", 1);
    ck_ok(ink_cache_get_info(&info));
    ck_assert_uint_eq(info.limit, UINT64_MAX >> 20 << 20);
    setenv("INKLING_CACHE", "yes", 1);
    ck_ok(ink_cache_get_info(&info));
    ck_ok(ink_cache_get_info(&info));
    ck_assert_int_eq(info.mode, INK_CACHE_AUTO);
    ck_assert_int_eq(warnings, 2);
    ink_set_log(NULL, NULL);
}
END_TEST

START_TEST(the_folder_is_where_the_variables_say)
{
    char path[64];
    setenv("HOME", "/home/someone", 1);
    setenv("XDG_CACHE_HOME", "/xdg", 1);
    setenv("INKLING_CACHE_DIR", "own", 1);
    ck_assert(ink_cache_folder("x", path, sizeof path));
    ck_assert_str_eq(path, "own/x");
    setenv("INKLING_CACHE_DIR", "", 1);
    ck_assert(ink_cache_folder("x", path, sizeof path));
    ck_assert_str_eq(path, "/xdg/inkling/x");
    setenv("XDG_CACHE_HOME", "relative", 1);
    ck_assert(ink_cache_folder(NULL, path, sizeof path));
    ck_assert_str_eq(path, "/home/someone/.cache/inkling");
    ck_assert(!ink_cache_folder(NULL, path, strlen("/home/someone/.cache/inkling")));
    ck_assert_str_eq(path, "");
    unsetenv("HOME");
    ck_assert(!ink_cache_folder(NULL, path, sizeof path));
    struct stat info;
    ck_ok(ink_folder_make(scratch_path("a/b//c"), 0700));
    ck_assert(stat(scratch_path("a"), &info) == 0 && (info.st_mode & 0777) == 0700);
    ck_ok(ink_folder_make(scratch_path("a/b/c/"), 0700)); /* it exists */
    scratch_write(scratch_path("a/file"), "", 0);
    ck_fails(ink_folder_make(scratch_path("a/file"), 0700), INK_ERROR_FILE, "is not a folder");
    ck_fails(ink_folder_make(scratch_path("a/file/b"), 0700), INK_ERROR_FILE, "cannot be made: Not a directory");
}
END_TEST

int main(void)
RUN_SUITE("cache", programs_come_back, damaged_files_are_built_anew, files_of_other_programs_are_built_anew,
          binaries_that_the_driver_refuses_are_built_anew, variables_turn_it_off_and_on, folders_that_cannot_be_written_fail_nothing,
          the_longest_unused_go_first, several_processes_at_once, verifying_and_clearing, variables_that_are_not_understood_warn_once,
          the_folder_is_where_the_variables_say)
