/* Which samples training goes through, in which order, and how they fall into batches. There is no state: all of it follows from
 * the options, the labels, the seed and the number of the epoch, so a place in training is told by its epoch and its step in it. */
#ifndef INK_TRAIN_SAMPLER_H
#define INK_TRAIN_SAMPLER_H

#include "util/status.h"

/* Places start .. start + count - 1 in the order of an epoch. */
struct ink_batch {
    size_t start, count;
};

/* options: checked, with defaults filled in; count: samples that are trained on; epoch: from 1; step: in the epoch, from 0. */
int ink_epoch_batch(const struct ink_train_options *options, size_t count, int epoch);
size_t ink_epoch_steps(const struct ink_train_options *options, size_t count, int epoch);
struct ink_batch ink_epoch_step(const struct ink_train_options *options, size_t count, int epoch, size_t step);

/* Steps of all epochs before this one. */
uint64_t ink_steps_before(const struct ink_train_options *options, size_t count, int epoch);

/* The part of worker i of n. Parts lie side by side, are as even as can be, and make up the whole batch; where it has fewer samples
 * than there are workers, some are empty. */
struct ink_batch ink_batch_part(struct ink_batch batch, size_t i, size_t n);

/* Samples that options->validation keeps apart from count. */
size_t ink_validation_count(const struct ink_train_options *options, size_t count);

struct ink_sampler {
    const uint8_t *labels;       /* of the data set */
    const struct ink_train_options *options;
    uint32_t *kept, *apart;      /* sample numbers, ascending: those trained on, and those of the validation split */
    size_t kept_count, apart_count;
    size_t classes[256];         /* of those trained on, samples of each class */
};

/* Parts a data set as the options ask: the split is drawn from the seed, in a stream of its own, and each class keeps its share. The
 * data set and the options must outlive the sampler. INK_ERROR_ARGUMENT if either part would be empty. */
ink_status ink_sampler_create(const ink_dataset *dataset, const struct ink_train_options *options, struct ink_sampler *sampler);
void ink_sampler_destroy(struct ink_sampler *sampler);

/* The order of an epoch: sample numbers, kept_count of them. */
ink_status ink_sampler_order(const struct ink_sampler *sampler, int epoch, uint32_t *order);

#endif
