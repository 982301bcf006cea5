/* Whole files in, whole files out: a reader with a bound, and a writer that puts a file in place only when every
 * byte of it is safely written. */
#ifndef INK_UTIL_FILE_H
#define INK_UTIL_FILE_H

#include "util/status.h"

/* Reads a whole file of at most limit bytes. *data is freed with free(); one zero byte follows the content, so that a
 * text can be used as a string. Errors name the path and the cause. */
ink_status ink_file_read(const char *path, size_t limit, unsigned char **data, size_t *size);

/* Writes size bytes to a new file beside path, syncs it, renames it to path and syncs the folder. On failure (no such folder, no
 * permission, full disk) nothing is left beside path and an older file at path is untouched. An older file's
 * permissions are kept, and where path is a symbolic link its target is replaced. A device or a pipe is written to. */
ink_status ink_file_replace(const char *path, const void *data, size_t size);

/* True if path can be opened for reading. */
bool ink_file_exists(const char *path);

#endif
