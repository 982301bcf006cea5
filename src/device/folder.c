/* The cache folder; see folder.h. */
#include "device/folder.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

bool ink_cache_folder(const char *below, char *path, size_t size)
{
    const char *own = getenv("INKLING_CACHE_DIR"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    const char *slash = below ? "/" : "";
    int length = -1;
    below = below ? below : "";
    if (own && *own)
        length = snprintf(path, size, "%s%s%s", own, slash, below);
    else if (xdg && *xdg == '/')
        length = snprintf(path, size, "%s/inkling%s%s", xdg, slash, below);
    else if (home && *home)
        length = snprintf(path, size, "%s/.cache/inkling%s%s", home, slash, below);
    if (length >= 0 && (size_t)length < size)
        return true;
    *path = 0;
    return false;
}

ink_status ink_folder_make(const char *path, unsigned mode)
{
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (length >= sizeof part)
        return ink_fail(INK_ERROR_FILE, "%s: the folder's name is too long", path);
    memcpy(part, path, length + 1);
    for (size_t i = 1; i <= length; i++) {
        if (part[i] != '/' && part[i] != 0)
            continue;
        char kept = part[i];
        part[i] = 0;
        /* a folder above may exist where it cannot be made, with another error than EEXIST: only the last one counts */
        if (mkdir(part, (mode_t)mode) != 0 && errno != EEXIST && i == length)
            return ink_fail(INK_ERROR_FILE, "%s: the folder cannot be made: %s", path, strerror(errno));
        part[i] = kept;
    }
    struct stat info;
    if (stat(path, &info) != 0 || !S_ISDIR(info.st_mode))
        return ink_fail(INK_ERROR_FILE, "%s: is not a folder", path);
    return INK_OK;
}
