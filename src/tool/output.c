/* Written aside and renamed; see output.h. */
#include "output.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "text.h"

/* Creates a file beside path; its name must be freed. -1 with errno. */
static int create_aside(const char *path, char **aside)
{
    size_t size = strlen(path) + sizeof ".XXXXXX";
    char *name = malloc(size);
    if (!name)
        return -1;
    snprintf(name, size, "%s.XXXXXX", path);
    int descriptor = mkstemp(name);
    if (descriptor < 0) {
        int cause = errno;
        free(name);
        errno = cause;
        return -1;
    }
    *aside = name;
    return descriptor;
}

static void complain_unwritable(const char *path, int cause)
{
    complain("%s: cannot be written: %s; choose a folder that exists and that you may write to", path,
             strerror(cause));
}

bool output_is_possible(const char *path, bool force, const char *kind, bool (*ours)(const char *path))
{
    struct stat info;
    size_t length = strlen(path);
    if (length == 0 || path[length - 1] == '/' || (stat(path, &info) == 0 && S_ISDIR(info.st_mode))) {
        complain("%s: is a folder; give the name of a file in it", path);
        return false;
    }
    if (stat(path, &info) == 0) {
        if (!S_ISREG(info.st_mode)) {
            complain("%s: is not a regular file and is not replaced; choose another name", path);
            return false;
        }
        if (!force && !ours(path)) {
            complain("%s: exists and is not %s; choose another name, or replace it with --force", path, kind);
            return false;
        }
    }
    char *aside;
    int descriptor = create_aside(path, &aside);
    if (descriptor < 0) {
        complain_unwritable(path, errno);
        return false;
    }
    close(descriptor);
    unlink(aside);
    free(aside);
    return true;
}

bool output_open(const char *path, struct output *output)
{
    output->path = path;
    output->descriptor = create_aside(path, &output->aside);
    if (output->descriptor >= 0)
        return true;
    complain_unwritable(path, errno);
    return false;
}

int output_write(struct output *output, const void *data, size_t size)
{
    const char *bytes = data;
    while (size) {
        ssize_t written = write(output->descriptor, bytes, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written ? errno : EIO;
        bytes += written;
        size -= (size_t)written;
    }
    return 0;
}

bool output_close(struct output *output)
{
    mode_t mask = umask(0);
    umask(mask);
    int cause = 0;
    if (fchmod(output->descriptor, 0666 & ~mask) != 0 || (fsync(output->descriptor) != 0 && errno != EINVAL))
        cause = errno;
    if (close(output->descriptor) != 0 && !cause)
        cause = errno;
    output->descriptor = -1;
    if (!cause && rename(output->aside, output->path) != 0)
        cause = errno;
    if (cause) {
        complain_unwritable(output->path, cause);
        output_abandon(output);
        return false;
    }
    free(output->aside);
    output->aside = NULL;
    return true;
}

void output_abandon(struct output *output)
{
    if (output->descriptor >= 0)
        close(output->descriptor);
    output->descriptor = -1;
    if (output->aside)
        unlink(output->aside);
    free(output->aside);
    output->aside = NULL;
}
