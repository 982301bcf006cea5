/* A data set on the device, and what an epoch over it leaves there: the order of samples, and the loss and prediction
 * of each at its place in the order. Images that do not fit are sent batch by batch instead. */
#ifndef INK_TRAIN_FEED_H
#define INK_TRAIN_FEED_H

#include "model/plan.h"
#include "train/upload.h"

struct ink_feed {
    struct ink_device *device;
    size_t count, sample_bytes;
    int classes;                 /* columns of probabilities; 0: none */
    cl_mem images, labels, order, losses, predictions, probabilities;
    struct ink_upload *upload;   /* what sends images, there being no buffer of them; NULL: they are on the device */
    const uint8_t *host_images;  /* for upload */
    uint32_t *host_order;        /* what order holds */
    float *host_losses;
    int32_t *host_predictions;
};

/* Buffers for count samples of sample_bytes, their labels all 0. classes: columns of probabilities kept for each, 0 for none. */
ink_status ink_feed_create(struct ink_device *device, size_t count, size_t sample_bytes, int classes, struct ink_feed *feed);
void ink_feed_destroy(struct ink_feed *feed);

struct ink_sampler;

/* A feed of a whole data set, in file order. */
ink_status ink_feed_load(struct ink_device *device, const ink_dataset *dataset, int classes, struct ink_feed *feed);

/* The same, but for its images, which are sent from the data set by an upload; both must outlive the feed. */
ink_status ink_feed_send(struct ink_upload *upload, const ink_dataset *dataset, struct ink_feed *feed);

/* A feed over the same images and labels, with places for count samples of these numbers. */
ink_status ink_feed_share(const struct ink_feed *feed, const uint32_t *order, size_t count, struct ink_feed *shared);

/* Sets the order to that of a sampler's epoch, and count to its samples; NULL: to 0, 1, 2, ... Waits for what runs. */
ink_status ink_feed_order(struct ink_feed *feed, const struct ink_sampler *sampler, int epoch);

/* Binds the feed's buffers to a section of a plan. */
ink_status ink_feed_bind(struct ink_feed *feed, struct ink_plan *plan, enum ink_section section);

/* Before launches of a plan for n samples from start on: sends their images where they are not on the device; and after them, with an
 * event of the last. */
ink_status ink_feed_begin(struct ink_feed *feed, struct ink_plan *plan, int start, int n);
ink_status ink_feed_end(struct ink_feed *feed, cl_event used);

/* Runs a section, bound to the feed, for n samples from start on, as ink_plan_run() does, between the two. */
ink_status ink_feed_run(struct ink_feed *feed, struct ink_plan *plan, enum ink_section section, int start, int n, cl_event *done);

/* Reads losses and predictions of places first .. end - 1 (waiting for them) into host_losses and host_predictions. */
ink_status ink_feed_read(struct ink_feed *feed, size_t first, size_t end);

/* INK_ERROR_SHAPE unless the data is in the model's input shape. */
ink_status ink_feed_check(const struct ink_model *model, struct ink_shape shape);

/* Loss and correct predictions over samples. */
struct ink_sums {
    double loss;
    double more;                 /* what the samples weigh together beyond one each, where classes have weights */
    size_t correct, count;
};

/* Adds places first .. end - 1 of a feed that have been read. weights: of classes; NULL: all alike. */
void ink_sums_add(struct ink_sums *sums, const struct ink_feed *feed, const ink_dataset *dataset, const float *weights, size_t first, size_t end);

/* Means, and the 95 % interval of the accuracy. */
struct ink_metrics ink_sums_metrics(const struct ink_sums *sums);

/* Binds the evaluation section to the feed, as it may be bound to another one, runs it over places first .. end - 1 and reads what it
 * leaves of them. */
ink_status ink_feed_run_evaluation(struct ink_feed *feed, struct ink_plan *plan, size_t first, size_t end, int batch);

/* The same over all samples; gives their metrics. */
ink_status ink_feed_evaluate(struct ink_feed *feed, struct ink_plan *plan, const ink_dataset *dataset, int batch, struct ink_metrics *metrics);

#endif
