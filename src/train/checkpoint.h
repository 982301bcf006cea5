/* Checkpoints: a snapshot of training on disk, with what tells whether it belongs to a run.
 *
 * A checkpoint is a safetensors file, the tensors being the arrays of the snapshot, flat, and the metadata texts: first
 * "inkling.checksum", the hash of the whole file with zeros in its place; then the model's text, the counters of the snapshot, the
 * options as they were given, hashes of the data, the algorithms taken, and device and version. Numbers are texts, those with a
 * fraction in hexadecimal, so that every bit is kept. It is written aside, synced and renamed, so one that is there is whole
 * unless the disk harms it. */
#ifndef INK_TRAIN_CHECKPOINT_H
#define INK_TRAIN_CHECKPOINT_H

#include "model/safetensors.h"
#include "train/snapshot.h"
#include "util/hash.h"

/* What a run is, beside where it stands. */
struct ink_run {
    struct ink_train_options options; /* as given: defaults are not filled in */
    const char *model;                /* text form */
    const char *choices;              /* as ink_recall_write() gives them */
    char maker[300];                  /* device, driver, and version of the library */
    size_t train_count, test_count;
    char shares[INK_SHARES_BYTES];    /* of the devices, as given; "" where they are measured */
    char train[INK_HASH_DIGITS + 1], test[INK_HASH_DIGITS + 1]; /* of images and labels; "" without a test set */
};

struct ink_checkpoint {
    struct ink_safetensors *file; /* holds the strings of run */
    struct ink_run run;
    struct ink_snapshot snapshot; /* counters; no arrays */
};

/* Fills in what is told of data and device. */
void ink_run_describe(struct ink_run *run, const ink_device *device, const ink_dataset *train, const ink_dataset *test);

ink_status ink_checkpoint_write(const char *path, const struct ink_run *run, const struct ink_snapshot *snapshot);

/* Reads a checkpoint and holds it against its checksum. A failure tells why, and names the whole one before it in its folder.
 * Close it after success. */
ink_status ink_checkpoint_open(const char *path, struct ink_checkpoint *checkpoint);
void ink_checkpoint_close(struct ink_checkpoint *checkpoint);

/* INK_ERROR_ARGUMENT, naming the field, if a run is not the checkpoint's. Another device or version is told in the log. */
ink_status ink_checkpoint_check(const struct ink_checkpoint *checkpoint, const struct ink_run *run);

/* Copies counters and arrays to a snapshot with room for them. */
ink_status ink_checkpoint_restore(const struct ink_checkpoint *checkpoint, struct ink_snapshot *snapshot);

/* Files of checkpoints in a folder: checkpoint-<step, ten digits>.safetensors. */
enum { INK_CHECKPOINT_PATH = 4200 };
ink_status ink_checkpoint_folder(const char *folder);
ink_status ink_checkpoint_path(const char *folder, uint64_t step, char path[INK_CHECKPOINT_PATH]);

/* Removes all but the newest keep up to a step, and what interrupted writers left. */
void ink_checkpoint_prune(const char *folder, uint64_t step, int keep);

/* The newest checkpoint before path (in its name's order) in its folder for which whole() holds; false: there is none. */
bool ink_checkpoint_before(const char *path, bool (*whole)(const char *path), char before[INK_CHECKPOINT_PATH]);

#endif
