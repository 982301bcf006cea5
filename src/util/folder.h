/* Where Inkling keeps what it has worked out and could work out again. */
#ifndef INK_UTIL_FOLDER_H
#define INK_UTIL_FOLDER_H

#include "util/status.h"

/* The path of a file in the cache folder: $INKLING_CACHE, else $XDG_CACHE_HOME/inkling, else ~/.cache/inkling. Writes it to
 * path, of size bytes; with make, makes the folder and those above it, readable by their owner alone. */
ink_status ink_cache_path(const char *name, bool make, char *path, size_t size);

#endif
