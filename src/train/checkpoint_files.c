/* The files of checkpoints in their folder: names, the oldest removed, the one before another; see checkpoint.h. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device/folder.h"
#include "train/checkpoint.h"

static const char head[] = "checkpoint-", tail[] = ".safetensors";
enum { DIGITS = 10, HEAD = sizeof head - 1, NAME = HEAD + DIGITS + sizeof tail - 1, ASIDE = 7 };

ink_status ink_checkpoint_folder(const char *folder)
{
    INK_TRY(ink_folder_make(folder, 0777));
    if (access(folder, W_OK | X_OK) != 0)
        return ink_fail(INK_ERROR_FILE, "%s: cannot be written to: %s; choose another place for checkpoints", folder, strerror(errno));
    return INK_OK;
}

ink_status ink_checkpoint_path(const char *folder, uint64_t step, char path[INK_CHECKPOINT_PATH])
{
    int length = snprintf(path, INK_CHECKPOINT_PATH, "%s/%s%0*" PRIu64 "%s", folder, head, DIGITS, step, tail);
    return length < INK_CHECKPOINT_PATH ? INK_OK : ink_fail(INK_ERROR_FILE, "%s: the folder's name is too long", folder);
}

/* The step in a checkpoint's name, which more bytes may follow; false: it is none. */
static bool step_of(const char *name, size_t more, uint64_t *step)
{
    if (strlen(name) != NAME + more || strncmp(name, head, HEAD) != 0 || strncmp(name + HEAD + DIGITS, tail, sizeof tail - 1) != 0
        || strspn(name + HEAD, "0123456789") != DIGITS)
        return false;
    *step = strtoull(name + HEAD, NULL, 10);
    return true;
}

/* The largest step below a limit that the folder has a checkpoint of. */
static bool newest_below(const char *folder, uint64_t limit, uint64_t *newest)
{
    DIR *entries = opendir(folder);
    bool found = false;
    for (struct dirent *entry; entries && (entry = readdir(entries)) != NULL;) {
        uint64_t step;
        if (step_of(entry->d_name, 0, &step) && step < limit && (!found || step > *newest)) {
            *newest = step;
            found = true;
        }
    }
    if (entries)
        closedir(entries);
    return found;
}

/* Files that a writer was about to rename when it was ended. */
static void remove_asides(const char *folder)
{
    DIR *entries = opendir(folder);
    for (struct dirent *entry; entries && (entry = readdir(entries)) != NULL;) {
        uint64_t step;
        char path[INK_CHECKPOINT_PATH];
        if (step_of(entry->d_name, ASIDE, &step) && entry->d_name[NAME] == '.'
            && snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) < (int)sizeof path)
            unlink(path);
    }
    if (entries)
        closedir(entries);
}

void ink_checkpoint_prune(const char *folder, uint64_t step, int keep)
{
    char path[INK_CHECKPOINT_PATH];
    remove_asides(folder);
    for (uint64_t limit = step + 1, found; newest_below(folder, limit, &found); limit = found)
        if (--keep < 0 && !ink_checkpoint_path(folder, found, path))
            unlink(path);
}

bool ink_checkpoint_before(const char *path, bool (*whole)(const char *path), char before[INK_CHECKPOINT_PATH])
{
    char folder[INK_CHECKPOINT_PATH];
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    uint64_t step = UINT64_MAX;
    if (snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".") >= (int)sizeof folder)
        return false;
    step_of(name, 0, &step);
    while (newest_below(folder, step, &step))
        if (!ink_checkpoint_path(folder, step, before) && whole(before))
            return true;
    return false;
}
