/* Whole files in and out; see file.h. */
#include "util/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
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
            if (limit < SIZE_MAX - 2 && room > limit + 2)
                room = limit + 2; /* one byte over the limit shows that there is more, and the zero byte */
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
            break; /* the end, or an error: told apart below */
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

/* Writes into what path names now: a device or a pipe cannot be replaced, and must not be. */
static ink_status write_through(const char *path, const void *data, size_t size)
{
    int descriptor = open(path, O_WRONLY);
    if (descriptor < 0)
        return ink_fail(INK_ERROR_FILE, "%s: cannot be written: %s", path, strerror(errno));
    ink_status status = write_all(descriptor, data, size);
    int cause = errno;
    if (close(descriptor) != 0 && !status) {
        status = INK_ERROR_FILE;
        cause = errno;
    }
    return status ? ink_fail(status, "%s: cannot be written: %s", path, strerror(cause)) : INK_OK;
}

/* Creates a new file beside path, and its name in aside. open() and not mkstemp(), so that the umask holds without
 * being read, which can only be done by changing it for the whole process. */
static int create_aside(const char *path, char *aside, size_t length)
{
    static const char digits[] = "0123456789abcdef";
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t name = (uint64_t)getpid() << 32 ^ (uint64_t)now.tv_nsec ^ (uint64_t)(uintptr_t)aside;
    for (int attempt = 0; attempt < 100; attempt++, name = name * 6364136223846793005u + 1442695040888963407u) {
        char random[7] = "";
        for (int i = 0; i < 6; i++)
            random[i] = digits[name >> (32 + 4 * i) & 15];
        snprintf(aside, length, "%s.%s", path, random);
        int descriptor = open(aside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (descriptor >= 0 || errno != EEXIST)
            return descriptor;
    }
    return -1;
}

/* Syncs the folder that a file was renamed in, so that its name is kept too. Systems that cannot do that keep it anyway, or do
 * not promise it; the file itself is whole in any case. */
static void sync_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    int descriptor = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (descriptor >= 0) {
        fsync(descriptor);
        close(descriptor);
    }
    free(folder);
}

ink_status ink_file_replace(const char *path, const void *data, size_t size)
{
    struct stat older;
    bool exists = stat(path, &older) == 0;
    if (exists && S_ISDIR(older.st_mode))
        return ink_fail(INK_ERROR_FILE, "%s: is a folder; give the name of a file in it", path);
    if (exists && !S_ISREG(older.st_mode))
        return write_through(path, data, size);
    if (exists && access(path, W_OK) != 0)
        return ink_fail(INK_ERROR_FILE, "%s: cannot be replaced: %s", path, strerror(errno));

    /* a symbolic link stays one: what it points at is replaced */
    ink_status status = INK_OK;
    char *target = exists ? realpath(path, NULL) : strdup(path);
    size_t length = target ? strlen(target) + sizeof ".123456" : 0;
    char *aside = target ? malloc(length) : NULL;
    int descriptor = -1;
    if (!aside) {
        status = ink_fail(INK_ERROR_FILE, "%s: cannot be written: %s", path, strerror(errno));
        goto fail;
    }
    descriptor = create_aside(target, aside, length);
    if (descriptor < 0) {
        status = ink_fail(INK_ERROR_FILE, "%s: cannot be written: %s; choose a folder that exists and that you may "
                          "write to", path, strerror(errno));
        goto fail;
    }
    status = write_all(descriptor, data, size);
    int cause = errno;
    if (!status && exists && fchmod(descriptor, older.st_mode & 0777) != 0) {
        status = INK_ERROR_FILE;
        cause = errno;
    }
    if (close(descriptor) != 0 && !status) {
        status = INK_ERROR_FILE;
        cause = errno;
    }
    if (!status && rename(aside, target) != 0) {
        status = INK_ERROR_FILE;
        cause = errno;
    }
    if (status) {
        unlink(aside);
        ink_fail(status, "%s: cannot be written: %s", path, strerror(cause));
    } else {
        sync_folder(target);
    }
fail:
    free(aside);
    free(target);
    return status;
}
