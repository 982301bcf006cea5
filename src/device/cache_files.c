/* The files of the program cache; see cache_files.h. */
#include "device/cache_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device/folder.h"
#include "util/file.h"

enum { ASIDE_SECONDS = 3600, FILE_MOST = 1 << 30 };

/* A program's name, or one with the ending that ink_file_replace() gives while it writes. */
static bool is_ours(const char *name, bool *aside)
{
    char head[INK_PROGRAM_NAME];
    size_t length = strlen(name), plain = INK_PROGRAM_NAME - 1;
    if (length != plain && (length != plain + 7 || name[plain] != '.' || strspn(name + plain + 1, "0123456789abcdef") != 6))
        return false;
    snprintf(head, sizeof head, "%.*s", (int)plain, name);
    *aside = length != plain;
    return ink_program_name_fits(head);
}

ink_status ink_cache_list(const char *folder, struct ink_cache_file **files, size_t *count)
{
    struct ink_cache_file *list = NULL;
    size_t used = 0, room = 0;
    DIR *entries = opendir(folder);
    if (!entries && errno != ENOENT)
        return ink_fail(INK_ERROR_FILE, "%s: the program cache cannot be read: %s", folder, strerror(errno));
    for (struct dirent *entry; entries && (entry = readdir(entries)) != NULL;) {
        struct stat info;
        bool aside;
        if (!is_ours(entry->d_name, &aside) || fstatat(dirfd(entries), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 || S_ISDIR(info.st_mode))
            continue;
        if (used == room) {
            room = room ? 2 * room : 64;
            struct ink_cache_file *longer = realloc(list, room * sizeof *list);
            if (!longer) {
                free(list);
                closedir(entries);
                return ink_fail_memory(room * sizeof *list);
            }
            list = longer;
        }
        list[used] = (struct ink_cache_file){.aside = aside, .bytes = (uint64_t)info.st_size, .used = info.st_mtim};
        snprintf(list[used++].name, sizeof list->name, "%s", entry->d_name);
    }
    if (entries)
        closedir(entries);
    *files = list;
    *count = used;
    return INK_OK;
}

/* The longest unused first; those of one time by name, so that every process takes the same. */
static int compare_use(const void *left, const void *right)
{
    const struct ink_cache_file *a = left, *b = right;
    if (a->used.tv_sec != b->used.tv_sec)
        return a->used.tv_sec < b->used.tv_sec ? -1 : 1;
    if (a->used.tv_nsec != b->used.tv_nsec)
        return a->used.tv_nsec < b->used.tv_nsec ? -1 : 1;
    return strcmp(a->name, b->name);
}

enum removal { REMOVED, GONE, STAYS }; /* GONE: another process was quicker */

static enum removal remove_file(const char *folder, const char *name)
{
    char path[4096 + sizeof ((struct ink_cache_file *)0)->name];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return unlink(path) == 0 ? REMOVED : errno == ENOENT ? GONE : STAYS;
}

void ink_cache_trim(const char *folder, const char *keep, uint64_t limit)
{
    struct ink_cache_file *files;
    size_t count;
    uint64_t bytes = 0;
    if (ink_cache_list(folder, &files, &count))
        return;
    if (count)
        qsort(files, count, sizeof *files, compare_use);
    time_t now = time(NULL);
    for (size_t i = 0; i < count; i++) {
        bool left = files[i].aside && now - files[i].used.tv_sec > ASIDE_SECONDS;
        if (!left || remove_file(folder, files[i].name) == STAYS)
            bytes += files[i].bytes;
    }
    for (size_t i = 0; i < count && bytes > limit; i++)
        if (!files[i].aside && strcmp(files[i].name, keep) != 0 && remove_file(folder, files[i].name) != STAYS)
            bytes -= files[i].bytes;
    free(files);
}

/* INK_OK for a program that is what its name says. */
static ink_status verify(const char *folder, const char *name)
{
    char path[4096 + sizeof ((struct ink_cache_file *)0)->name], real_name[INK_PROGRAM_NAME];
    struct stat info;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (lstat(path, &info) != 0 || !S_ISREG(info.st_mode))
        return ink_fail(INK_ERROR_FILE, "%s: is not a regular file", path);
    unsigned char *file;
    size_t size;
    struct ink_program_view view;
    INK_TRY(ink_file_read(path, FILE_MOST, &file, &size));
    ink_status status = ink_program_decode(NULL, file, size, &view);
    free(file);
    if (status)
        return status;
    ink_program_name(&view.hash, real_name);
    return strcmp(name, real_name) == 0 ? INK_OK : ink_fail(INK_ERROR_FORMAT, "%s: holds another program than its name says", path);
}

ink_status ink_cache_verify(struct ink_cache_check *check)
{
    char folder[4096];
    struct ink_cache_file *files = NULL;
    struct ink_cache_check found = {0};
    size_t count = 0;
    ink_status status = INK_OK;
    if (ink_cache_folder(INK_CACHE_FOLDER, folder, sizeof folder))
        INK_TRY(ink_cache_list(folder, &files, &count));
    for (size_t i = 0; i < count; i++) {
        if (files[i].aside)
            continue;
        ink_status wrong = verify(folder, files[i].name);
        enum removal removal = wrong && wrong != INK_ERROR_MEMORY ? remove_file(folder, files[i].name) : GONE;
        found.good += !wrong;
        found.bad += removal == REMOVED;
        if (wrong == INK_ERROR_MEMORY) {
            status = wrong;
        } else if (removal == STAYS) {
            status = ink_fail(INK_ERROR_FILE, "%s/%s: is damaged and cannot be removed: %s", folder, files[i].name, strerror(errno));
        }
    }
    free(files);
    if (!status)
        *check = found;
    return status;
}

ink_status ink_cache_clear(size_t *removed)
{
    char folder[4096];
    struct ink_cache_file *files = NULL;
    size_t count = 0, gone = 0;
    ink_status status = INK_OK;
    if (ink_cache_folder(INK_CACHE_FOLDER, folder, sizeof folder))
        INK_TRY(ink_cache_list(folder, &files, &count));
    for (size_t i = 0; i < count; i++) {
        enum removal removal = remove_file(folder, files[i].name);
        gone += removal == REMOVED;
        if (removal == STAYS)
            status = ink_fail(INK_ERROR_FILE, "%s/%s: cannot be removed: %s", folder, files[i].name, strerror(errno));
    }
    free(files);
    if (!status && removed)
        *removed = gone;
    return status;
}
