/* The cache folder by the XDG base directory specification; see folder.h. */
#include "util/folder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Makes every folder that path, which it leaves as it was, names before its last slash. */
static ink_status make_folders(char *path)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        int failed = mkdir(path, 0700) != 0 && errno != EEXIST ? errno : 0;
        if (failed)
            ink_fail(INK_ERROR_FILE, "%s: the cache folder cannot be made: %s; set INKLING_CACHE to a folder that can be written to", path,
                     strerror(failed));
        *slash = '/';
        if (failed)
            return INK_ERROR_FILE;
    }
    return INK_OK;
}

ink_status ink_cache_path(const char *name, bool make, char *path, size_t size)
{
    const char *own = getenv("INKLING_CACHE"), *shared = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int length;
    if (own && *own)
        length = snprintf(path, size, "%s/%s", own, name);
    else if (shared && *shared == '/') /* the specification has relative paths ignored */
        length = snprintf(path, size, "%s/inkling/%s", shared, name);
    else if (home && *home)
        length = snprintf(path, size, "%s/.cache/inkling/%s", home, name);
    else
        return ink_fail(INK_ERROR_FILE, "there is no cache folder: neither INKLING_CACHE, XDG_CACHE_HOME nor HOME is set; set INKLING_CACHE");
    if (length < 0 || (size_t)length >= size)
        return ink_fail(INK_ERROR_FILE, "the cache folder's name is too long; set INKLING_CACHE to a shorter one");
    return make ? make_folders(path) : INK_OK;
}
