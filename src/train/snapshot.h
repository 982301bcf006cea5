/* Where training stands, in host memory: all that the steps to come depend on beside the options, the data and the seed. Put
 * back into a plan, it gives the same steps again, bit by bit. */
#ifndef INK_TRAIN_SNAPSHOT_H
#define INK_TRAIN_SNAPSHOT_H

#include "model/plan.h"
#include "train/feed.h"
#include "train/schedule.h"
#include "train/shares.h"

struct ink_snapshot {
    float *arrays[INK_AVERAGE + 1]; /* by enum ink_storage, as ink_plan_get() gives them; NULL: not kept */
    size_t counts[INK_AVERAGE + 1]; /* floats in each */
    uint64_t step;                  /* steps done since training began */
    int epoch;                      /* from 1 */
    size_t position;                /* steps done in this epoch */
    struct ink_sums sums;           /* over the samples of this epoch so far */
    struct ink_monitored monitored;
    double weights[INK_MOST_DEVICES]; /* shares of the devices, where there are several */
    int weight_count;               /* 0: there is one device */
};

/* Room for a model trained with options. */
ink_status ink_snapshot_create(const struct ink_model *model, const struct ink_train_options *options, struct ink_snapshot *snapshot);
void ink_snapshot_destroy(struct ink_snapshot *snapshot);

/* Copies the arrays out of a plan (waiting for it), or into it. */
ink_status ink_snapshot_take(struct ink_snapshot *snapshot, struct ink_plan *plan);
ink_status ink_snapshot_put(const struct ink_snapshot *snapshot, struct ink_plan *plan);

/* The last tensor of a model that has a value that is not finite, values being in the layout of model->trained; false: there is none.
 * Gradients are computed from the last layer to the first, so of theirs it is the one where such a value arose. */
bool ink_model_find_not_finite(ink_model *model, const float *values, struct ink_tensor *tensor);

#endif
