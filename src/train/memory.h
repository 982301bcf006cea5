/* The memory plan of training: what it takes of the device, told before any of it is taken, and what of it is left in host memory. */
#ifndef INK_TRAIN_MEMORY_H
#define INK_TRAIN_MEMORY_H

#include "model/plan.h"
#include "train/sampler.h"

struct ink_memory_need {
    struct ink_device *device;
    const struct ink_model *model;
    struct ink_plan_options how;        /* of the plan; how.batch: samples that it works on at once */
    int batch;                          /* samples of a step, which images are sent for */
    const ink_dataset *train, *test;    /* test may be NULL */
    const struct ink_sampler *sampler;
};

/* What a plan that takes so much, and the data, are together, and which images are to be sent. Where it does not fit, largest_batch
 * is left to the function below. */
void ink_memory_fit(const struct ink_memory_need *need, const struct ink_plan_bytes *bytes, struct ink_memory_plan *plan);

/* The same with the plan measured first. */
ink_status ink_memory_measure(const struct ink_memory_need *need, struct ink_memory_plan *plan);

/* The largest how.batch up to the one given that fits; 0: none. Where steps are of as many samples, they shrink with it; steps of more stay
 * as they are. choose: as in how, but it must not mind being asked for batches that are never run. */
ink_status ink_memory_largest_batch(const struct ink_memory_need *need, ink_choose_function choose, void *user, int *batch);

/* INK_ERROR_MEMORY that tells a plan that does not fit, largest_batch set. */
ink_status ink_memory_fail(const struct ink_memory_need *need, const struct ink_memory_plan *plan);

#endif
