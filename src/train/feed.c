/* A data set on the device, and the metrics of a pass over it; see feed.h. */
#include "train/feed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/dataset.h"
#include "train/sampler.h"

/* What each of feed->count places has. */
static ink_status create_places(struct ink_feed *feed)
{
    size_t count = feed->count;
    const struct { cl_mem *buffer; size_t bytes; const char *what; } buffers[] = {
        {&feed->order, count * sizeof(cl_uint), "the order of samples"},
        {&feed->losses, count * sizeof(cl_float), "the losses"},
        {&feed->predictions, count * sizeof(cl_int), "the predictions"},
        {&feed->probabilities, count * (size_t)feed->classes * sizeof(cl_float), "the probabilities"},
    };
    feed->host_order = malloc(count * sizeof *feed->host_order);
    feed->host_losses = malloc(count * sizeof *feed->host_losses);
    feed->host_predictions = malloc(count * sizeof *feed->host_predictions);
    if (!feed->host_order || !feed->host_losses || !feed->host_predictions)
        return ink_fail_memory(3 * count * sizeof(float));
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        if (buffers[i].bytes)
            INK_TRY(ink_buffer_create(feed->device, buffers[i].bytes, buffers[i].what, buffers[i].buffer));
    return INK_OK;
}

/* All that a feed without images has. */
static ink_status create_rest(struct ink_feed *feed)
{
    struct ink_device *device = feed->device;
    const cl_uchar zero = 0;
    INK_TRY(create_places(feed));
    if (!feed->count)
        return INK_OK;
    INK_TRY(ink_buffer_create(device, feed->count, "the data set's labels", &feed->labels));
    return ink_cl_check(device, clEnqueueFillBuffer(device->queue, feed->labels, &zero, 1, 0, feed->count, 0, NULL, NULL), "clEnqueueFillBuffer", "labels");
}

ink_status ink_feed_create(struct ink_device *device, size_t count, size_t sample_bytes, int classes, struct ink_feed *out)
{
    struct ink_feed feed = {.device = device, .count = count, .sample_bytes = sample_bytes, .classes = classes};
    ink_status status = create_rest(&feed);
    if (!status && count)
        status = ink_buffer_create(device, count * sample_bytes, "the data set's images", &feed.images);
    if (status)
        ink_feed_destroy(&feed);
    else
        *out = feed;
    return status;
}

void ink_feed_destroy(struct ink_feed *feed)
{
    cl_mem buffers[] = {feed->images, feed->labels, feed->order, feed->losses, feed->predictions, feed->probabilities};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        if (buffers[i])
            clReleaseMemObject(buffers[i]);
    free(feed->host_order);
    free(feed->host_losses);
    free(feed->host_predictions);
    *feed = (struct ink_feed){0};
}

ink_status ink_feed_load(struct ink_device *device, const ink_dataset *dataset, int classes, struct ink_feed *out)
{
    struct ink_feed feed = {0};
    INK_TRY(ink_feed_create(device, dataset->count, ink_shape_count(dataset->shape), classes, &feed));
    ink_status status = ink_buffer_write(device, feed.images, 0, dataset->images, dataset->count * feed.sample_bytes);
    if (!status)
        status = ink_buffer_write(device, feed.labels, 0, dataset->labels, dataset->count);
    if (!status)
        status = ink_feed_order(&feed, NULL, 0);
    if (status)
        ink_feed_destroy(&feed);
    else
        *out = feed;
    return status;
}

ink_status ink_feed_send(struct ink_upload *upload, const ink_dataset *dataset, struct ink_feed *out)
{
    struct ink_feed feed = {.device = upload->device, .count = dataset->count, .sample_bytes = upload->sample_bytes, .upload = upload,
                            .host_images = dataset->images};
    ink_status status = create_rest(&feed);
    if (!status)
        status = ink_buffer_write(feed.device, feed.labels, 0, dataset->labels, dataset->count);
    if (!status)
        status = ink_feed_order(&feed, NULL, 0);
    if (status)
        ink_feed_destroy(&feed);
    else
        *out = feed;
    return status;
}

ink_status ink_feed_share(const struct ink_feed *feed, const uint32_t *order, size_t count, struct ink_feed *out)
{
    struct ink_feed shared = {.device = feed->device, .count = count, .sample_bytes = feed->sample_bytes,
                              .images = feed->images, .labels = feed->labels, .upload = feed->upload, .host_images = feed->host_images};
    if (shared.images)
        clRetainMemObject(shared.images);
    clRetainMemObject(shared.labels);
    ink_status status = create_places(&shared);
    if (!status) {
        memcpy(shared.host_order, order, count * sizeof *order);
        status = ink_buffer_write(shared.device, shared.order, 0, order, count * sizeof *order);
    }
    if (status)
        ink_feed_destroy(&shared);
    else
        *out = shared;
    return status;
}

ink_status ink_feed_order(struct ink_feed *feed, const struct ink_sampler *sampler, int epoch)
{
    if (sampler) {
        feed->count = sampler->kept_count;
        INK_TRY(ink_sampler_order(sampler, epoch, feed->host_order));
    } else {
        for (size_t i = 0; i < feed->count; i++)
            feed->host_order[i] = (uint32_t)i;
    }
    return ink_buffer_write(feed->device, feed->order, 0, feed->host_order, feed->count * sizeof *feed->host_order);
}

ink_status ink_feed_bind(struct ink_feed *feed, struct ink_plan *plan, enum ink_section section)
{
    const cl_mem images = feed->upload ? feed->upload->ring : feed->images, rows = feed->upload ? feed->upload->rows : feed->order;
    const cl_mem buffers[] = {images, feed->labels, feed->order, feed->losses, feed->predictions, feed->probabilities, rows};
    for (int i = 0; i < 7; i++)
        if (buffers[i])
            INK_TRY(ink_plan_bind(plan, section, (enum ink_storage)(INK_IMAGES + i), buffers[i]));
    return INK_OK;
}

ink_status ink_feed_begin(struct ink_feed *feed, struct ink_plan *plan, int start, int n)
{
    size_t row = (size_t)start;
    if (feed->upload)
        INK_TRY(ink_upload_send(feed->upload, feed->host_images, feed->host_order + start, (size_t)n, &row));
    ink_plan_set_shift(plan, (int)row - start);
    return INK_OK;
}

ink_status ink_feed_end(struct ink_feed *feed, cl_event used) { return feed->upload ? ink_upload_used(feed->upload, used) : INK_OK; }

ink_status ink_feed_run(struct ink_feed *feed, struct ink_plan *plan, enum ink_section section, int start, int n, cl_event *done)
{
    cl_event used;
    INK_TRY(ink_feed_begin(feed, plan, start, n));
    if (!feed->upload)
        return ink_plan_run(plan, section, start, n, done);
    INK_TRY(ink_plan_run(plan, section, start, n, &used));
    ink_status status = ink_feed_end(feed, used);
    if (done && !status)
        *done = used;
    else
        clReleaseEvent(used);
    return status;
}

ink_status ink_feed_read(struct ink_feed *feed, size_t first, size_t end)
{
    if (end <= first)
        return INK_OK;
    INK_TRY(ink_buffer_read(feed->device, feed->losses, first * sizeof(float), feed->host_losses + first, (end - first) * sizeof(float)));
    return ink_buffer_read(feed->device, feed->predictions, first * sizeof(int32_t), feed->host_predictions + first, (end - first) * sizeof(int32_t));
}

ink_status ink_feed_check(const struct ink_model *model, struct ink_shape shape)
{
    if (!ink_shape_equal(model->input, shape))
        return ink_fail(INK_ERROR_SHAPE, "the model takes images of %dx%dx%d, and the data has %dx%dx%d; use data of the model's size, or a model made for it",
                        model->input.height, model->input.width, model->input.channels, shape.height, shape.width, shape.channels);
    return INK_OK;
}

void ink_sums_add(struct ink_sums *sums, const struct ink_feed *feed, const ink_dataset *dataset, const float *weights, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        sums->loss += (double)feed->host_losses[i];
        if (weights)
            sums->more += (double)weights[dataset->labels[feed->host_order[i]]] - 1;
        sums->correct += feed->host_predictions[i] == dataset->labels[feed->host_order[i]];
    }
    sums->count += end - first;
}

struct ink_metrics ink_sums_metrics(const struct ink_sums *sums)
{
    struct ink_metrics metrics = {.count = sums->count, .correct = sums->correct};
    if (!sums->count)
        return metrics;
    /* Wilson 1927, with z of the normal distribution's 97.5 % */
    const double z = 1.959963984540054, n = (double)sums->count, p = (double)sums->correct / n, z2 = z * z / n;
    double centre = (p + z2 / 2) / (1 + z2), half = z / (1 + z2) * sqrt(p * (1 - p) / n + z2 / (4 * n));
    double weight = n + sums->more; /* 0 where all classes so far weigh nothing, and their losses are 0 */
    metrics.loss = weight > 0 ? sums->loss / weight : 0;
    metrics.accuracy = p;
    metrics.accuracy_low = fmax(centre - half, 0);
    metrics.accuracy_high = fmin(centre + half, 1);
    return metrics;
}

ink_status ink_feed_run_evaluation(struct ink_feed *feed, struct ink_plan *plan, size_t first, size_t end, int batch)
{
    INK_TRY(ink_feed_bind(feed, plan, INK_SECTION_EVALUATE));
    for (size_t start = first; start < end; start += (size_t)batch) {
        size_t left = end - start;
        INK_TRY(ink_feed_run(feed, plan, INK_SECTION_EVALUATE, (int)start, left < (size_t)batch ? (int)left : batch, NULL));
    }
    return ink_feed_read(feed, first, end);
}

ink_status ink_feed_evaluate(struct ink_feed *feed, struct ink_plan *plan, const ink_dataset *dataset, int batch, struct ink_metrics *metrics)
{
    struct ink_sums sums = {0};
    INK_TRY(ink_feed_run_evaluation(feed, plan, 0, feed->count, batch));
    ink_sums_add(&sums, feed, dataset, NULL, 0, feed->count);
    *metrics = ink_sums_metrics(&sums);
    return INK_OK;
}
