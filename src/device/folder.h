/* Where Inkling keeps on disk what it can make again: compiled programs, measured choices. */
#ifndef INK_DEVICE_FOLDER_H
#define INK_DEVICE_FOLDER_H

#include "util/status.h"

/* The cache folder, which need not exist: $INKLING_CACHE_DIR, else $XDG_CACHE_HOME/inkling, else $HOME/.cache/inkling.
 * An empty variable is as if it were not set, and so is an XDG_CACHE_HOME that does not start with '/', as its
 * specification wants. below (may be NULL) is the name of a folder or file in it. False, and path is "", where there is
 * none or its name does not fit in size bytes. */
bool ink_cache_folder(const char *below, char *path, size_t size);

/* Makes a folder, and the folders above it that are missing, with the permissions that mode and the process allow: 0700 for what
 * only its owner may enter. One that exists is left as it is. */
ink_status ink_folder_make(const char *path, unsigned mode);

#endif
