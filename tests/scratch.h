/* A folder of its own for a test program's files: made before main(), removed with its files when the program ends.
 * Check runs each test in a forked child, so only the process that made the folder removes it. */
#ifndef INK_TESTS_SCRATCH_H
#define INK_TESTS_SCRATCH_H

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch_folder[PATH_MAX / 2];
static pid_t scratch_owner;

/* The path of a file in the folder. Good until the eighth call after this one. */
static inline const char *scratch_path(const char *name)
{
    static char paths[8][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 8];
    snprintf(path, PATH_MAX, "%s/%s", scratch_folder, name);
    return path;
}

static inline void scratch_write(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(bytes, 1, size, file) != size || fclose(file) != 0) {
        perror(path);
        exit(EXIT_FAILURE);
    }
}

/* How many files a folder holds, folders in it included. */
static inline int scratch_count(const char *folder)
{
    DIR *entries = opendir(folder);
    int count = 0;
    for (struct dirent *entry; entries && (entry = readdir(entries)) != NULL;)
        count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
    if (entries)
        closedir(entries);
    return count;
}

static inline void scratch_remove(const char *folder)
{
    DIR *entries = opendir(folder);
    for (struct dirent *entry; entries && (entry = readdir(entries)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        size_t length = strlen(folder) + strlen(entry->d_name) + 2;
        char *path = malloc(length);
        if (!path)
            break;
        snprintf(path, length, "%s/%s", folder, entry->d_name);
        struct stat info;
        if (lstat(path, &info) == 0 && S_ISDIR(info.st_mode))
            scratch_remove(path);
        else
            unlink(path);
        free(path);
    }
    if (entries)
        closedir(entries);
    rmdir(folder);
}

__attribute__((constructor)) static void scratch_begin(void)
{
    const char *parent = getenv("TMPDIR");
    snprintf(scratch_folder, sizeof scratch_folder, "%s/inkling-test-XXXXXX", parent && *parent ? parent : "/tmp");
    if (!mkdtemp(scratch_folder)) {
        perror(scratch_folder);
        exit(EXIT_FAILURE);
    }
    scratch_owner = getpid();
}

__attribute__((destructor)) static void scratch_end(void)
{
    if (getpid() == scratch_owner)
        scratch_remove(scratch_folder);
}

#endif
