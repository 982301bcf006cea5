/* The program cache: compiled programs on disk, so that a driver that does not keep them itself compiles each only once.
 *
 * Where: the folder "programs" of the cache folder (see folder.h), a file a program. The key, the file's name and its
 * layout are in program_file.h. Without a cache folder, or with INKLING_CACHE=off, nothing is read or written.
 *
 * Which: programs of every driver but those that keep compiled kernels themselves, as PoCL does: it compiles a kernel at
 * its first launch, for the work-group size of that launch, and keeps it in $POCL_CACHE_DIR. Asked for a program's binary
 * it compiles every kernel once more, for any work-group size: many times as long as loading that binary later saves.
 * INKLING_CACHE=always keeps those programs too.
 *
 * Looking up: a file that is cut short, altered, of another version or key, or that the driver refuses is removed, and
 * the program built from source and stored anew; the caller sees no difference. A file that is used gets the time of
 * day as its modification time. Nothing reaches a driver that its checksum does not vouch for, as some end the process
 * over a damaged binary.
 *
 * Bound: $INKLING_CACHE_LIMIT in MiB, else 256. Whoever stores a program then removes files, the longest unused first,
 * until the rest fit; a program larger than the bound is not stored.
 *
 * Races: nothing is locked. A file is written aside, synced and renamed, so a reader sees a whole file or none; of two
 * processes that store one program the later wins, and both have the same. One that removes a bad file may hit the good
 * one that another has just put there: that is one build more. A file that goes while the folder is looked through is
 * passed over. What a process that was killed left aside is removed when it is an hour old.
 *
 * Failures: none is the caller's. A folder that cannot be made or written, a full disk: the program is used as built.
 *
 * A binary is code: whoever may write to the folder decides what runs. Inkling makes it for its owner alone. */
#ifndef INK_DEVICE_CACHE_H
#define INK_DEVICE_CACHE_H

#include "device/device.h"
#include "device/program_file.h"

/* A program that is looked for; zero it to begin. */
struct ink_cache_slot {
    struct ink_program_key key;
    char path[4096]; /* of its file */
};

/* Names the file of a program. False where the program is not for the cache: then there is nothing to close. */
bool ink_cache_open(const struct ink_device *device, const char *source, const char *options, struct ink_cache_slot *slot);
void ink_cache_close(struct ink_cache_slot *slot);

/* The built program out of the cache, or NULL where it is not there or could not be used. */
cl_program ink_cache_load(const struct ink_device *device, const char *options, const struct ink_cache_slot *slot);

/* Keeps a built program. */
void ink_cache_store(const struct ink_device *device, cl_program program, const struct ink_cache_slot *slot);

#endif
