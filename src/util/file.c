/* Whole files in and out; see file.h. */
#include "util/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool ink_file_exists(const char *path) { return access(path, R_OK) == 0; }

ink_status ink_file_read(const char *path, size_t limit, unsigned char **data, size_t *size)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return ink_fail(INK_ERROR_FILE, "%s: cannot be opened: %s", path, strerror(errno));
    struct stat info;
    unsigned char *buffer = NULL;
    size_t used = 0, room = 0;
    ink_status status = INK_OK;
    if (fstat(fileno(file), &info) == 0 && S_ISDIR(info.st_mode)) {
        status = ink_fail(INK_ERROR_FILE, "%s: is a folder, not a file", path);
        goto fail;
    }
    for (;;) {
        if (used + 1 >= room) {
            room = room ? room * 2 : (size_t)1 << 16;
            unsigned char *larger = realloc(buffer, room);
            if (!larger) {
                status = ink_fail_memory(room);
                goto fail;
            }
            buffer = larger;
        }
        size_t got = fread(buffer + used, 1, room - used - 1, file);
        used += got;
        if (used > limit) {
            status = ink_fail(INK_ERROR_FORMAT, "%s: is larger than the %zu bytes such a file may have", path, limit);
            goto fail;
        }
        if (got == 0)
            break;
    }
    if (ferror(file)) {
        status = ink_fail(INK_ERROR_FILE, "%s: cannot be read: %s", path, strerror(errno));
        goto fail;
    }
    fclose(file);
    buffer[used] = 0;
    *data = buffer;
    *size = used;
    return INK_OK;
fail:
    fclose(file);
    free(buffer);
    return status;
}

static ink_status write_all(int descriptor, const unsigned char *bytes, size_t size)
{
    while (size) {
        ssize_t written = write(descriptor, bytes, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return INK_ERROR_FILE;
        bytes += written;
        size -= (size_t)written;
    }
    return fsync(descriptor) == 0 || errno == EINVAL ? INK_OK : INK_ERROR_FILE;
}

ink_status ink_file_replace(const char *path, const void *data, size_t size)
{
    size_t length = strlen(path) + sizeof ".XXXXXX";
    char *aside = malloc(length);
    if (!aside)
        return ink_fail_memory(length);
    snprintf(aside, length, "%s.XXXXXX", path);
    int descriptor = mkstemp(aside);
    if (descriptor < 0) {
        ink_status status = ink_fail(INK_ERROR_FILE, "%s: cannot be written: %s; choose a folder that exists and that you may write to",
                                     path, strerror(errno));
        free(aside);
        return status;
    }
    mode_t mask = umask(0);
    umask(mask);
    fchmod(descriptor, 0666 & ~mask);
    ink_status status = write_all(descriptor, data, size);
    int cause = errno;
    if (close(descriptor) != 0 && !status) {
        status = INK_ERROR_FILE;
        cause = errno;
    }
    if (!status && rename(aside, path) != 0) {
        status = INK_ERROR_FILE;
        cause = errno;
    }
    if (status) {
        unlink(aside);
        ink_fail(status, "%s: cannot be written: %s", path, strerror(cause));
    }
    free(aside);
    return status;
}
