/* The files of the program cache as files: listing, removing the longest unused, verifying, clearing. */
#ifndef INK_DEVICE_CACHE_FILES_H
#define INK_DEVICE_CACHE_FILES_H

#include <time.h>

#include "device/program_file.h"

#define INK_CACHE_FOLDER "programs" /* below the cache folder */

struct ink_cache_file {
    char name[INK_PROGRAM_NAME + 7];
    bool aside; /* not a program but one being written, or what is left of that: ".123456" behind the name */
    uint64_t bytes;
    struct timespec used; /* last */
};

/* The programs of a folder, and what lies aside; other files are passed over. *files is freed with free(). None, where the
 * folder does not exist. */
ink_status ink_cache_list(const char *folder, struct ink_cache_file **files, size_t *count);

/* Removes programs, the longest unused first, until the rest take at most limit bytes, but not the one called keep; and
 * what has lain aside for an hour. What fails is passed over. */
void ink_cache_trim(const char *folder, const char *keep, uint64_t limit);

#endif
