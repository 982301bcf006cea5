/* A data set on the device, and what an epoch over it leaves there: the order of samples, and the loss and prediction
 * of each at its place in the order. */
#ifndef INK_TRAIN_FEED_H
#define INK_TRAIN_FEED_H

#include "model/plan.h"

struct ink_feed {
    struct ink_device *device;
    size_t count, sample_bytes;
    int classes;                 /* columns of probabilities; 0: none */
    cl_mem images, labels, order, losses, predictions, probabilities;
    uint32_t *host_order;        /* what order holds */
    float *host_losses;
    int32_t *host_predictions;
};

/* Buffers for count samples of sample_bytes, their labels all 0. classes: columns of probabilities kept for each, 0 for none. */
ink_status ink_feed_create(struct ink_device *device, size_t count, size_t sample_bytes, int classes, struct ink_feed *feed);
void ink_feed_destroy(struct ink_feed *feed);

/* A feed of a whole data set, in file order. */
ink_status ink_feed_load(struct ink_device *device, const ink_dataset *dataset, int classes, struct ink_feed *feed);

/* Sets the order to 0, 1, 2, ... or to a permutation drawn from seed and epoch: in host_order alone; and on the device too. The latter
 * waits for what runs. */
void ink_feed_draw(struct ink_feed *feed, bool shuffle, uint64_t seed, int epoch);
ink_status ink_feed_order(struct ink_feed *feed, bool shuffle, uint64_t seed, int epoch);

/* Binds the feed's buffers to a section of a plan. */
ink_status ink_feed_bind(struct ink_feed *feed, struct ink_plan *plan, enum ink_section section);

/* Reads losses and predictions of places first .. end - 1 (waiting for them) into host_losses and host_predictions. */
ink_status ink_feed_read(struct ink_feed *feed, size_t first, size_t end);

/* INK_ERROR_SHAPE unless the data is in the model's input shape. */
ink_status ink_feed_check(const struct ink_model *model, struct ink_shape shape);

/* Loss and correct predictions over samples. */
struct ink_sums {
    double loss;
    size_t correct, count;
};

/* Adds places first .. end - 1 of a feed that have been read. */
void ink_sums_add(struct ink_sums *sums, const struct ink_feed *feed, const ink_dataset *dataset, size_t first, size_t end);

/* Means, and the 95 % interval of the accuracy. */
struct ink_metrics ink_sums_metrics(const struct ink_sums *sums);

/* Runs the evaluation section, bound to the feed, over all samples and gives their metrics. */
ink_status ink_feed_evaluate(struct ink_feed *feed, struct ink_plan *plan, const ink_dataset *dataset, int batch, struct ink_metrics *metrics);

#endif
