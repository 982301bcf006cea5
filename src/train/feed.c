/* A data set on the device, and the metrics of a pass over it; see feed.h. */
#include "train/feed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/dataset.h"
#include "util/rng.h"

ink_status ink_feed_create(struct ink_device *device, size_t count, size_t sample_bytes, int classes, struct ink_feed *out)
{
    struct ink_feed feed = {.device = device, .count = count, .sample_bytes = sample_bytes, .classes = classes};
    const struct { cl_mem *buffer; size_t bytes; const char *what; } buffers[] = {
        {&feed.images, count * sample_bytes, "the data set's images"},
        {&feed.labels, count, "the data set's labels"},
        {&feed.order, count * sizeof(cl_uint), "the order of samples"},
        {&feed.losses, count * sizeof(cl_float), "the losses"},
        {&feed.predictions, count * sizeof(cl_int), "the predictions"},
        {&feed.probabilities, count * (size_t)classes * sizeof(cl_float), "the probabilities"},
    };
    ink_status status = INK_OK;
    feed.host_order = malloc(count * sizeof *feed.host_order);
    feed.host_losses = malloc(count * sizeof *feed.host_losses);
    feed.host_predictions = malloc(count * sizeof *feed.host_predictions);
    if (!feed.host_order || !feed.host_losses || !feed.host_predictions)
        status = ink_fail_memory(3 * count * sizeof(float));
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers && !status; i++)
        if (buffers[i].bytes)
            status = ink_buffer_create(device, buffers[i].bytes, buffers[i].what, buffers[i].buffer);
    const cl_uchar zero = 0;
    if (!status && count)
        status = ink_cl_check(device, clEnqueueFillBuffer(device->queue, feed.labels, &zero, 1, 0, count, 0, NULL, NULL), "clEnqueueFillBuffer",
                              "labels");
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
        status = ink_feed_order(&feed, false, 0, 0);
    if (status)
        ink_feed_destroy(&feed);
    else
        *out = feed;
    return status;
}

void ink_feed_draw(struct ink_feed *feed, bool shuffle, uint64_t seed, int epoch)
{
    if (shuffle)
        ink_random_order(seed, INK_STREAM(INK_STREAM_ORDER, epoch), feed->host_order, feed->count);
    else
        for (size_t i = 0; i < feed->count; i++)
            feed->host_order[i] = (uint32_t)i;
}

ink_status ink_feed_order(struct ink_feed *feed, bool shuffle, uint64_t seed, int epoch)
{
    ink_feed_draw(feed, shuffle, seed, epoch);
    return ink_buffer_write(feed->device, feed->order, 0, feed->host_order, feed->count * sizeof *feed->host_order);
}

ink_status ink_feed_bind(struct ink_feed *feed, struct ink_plan *plan, enum ink_section section)
{
    const cl_mem buffers[] = {feed->images, feed->labels, feed->order, feed->losses, feed->predictions, feed->probabilities};
    for (int i = 0; i < 6; i++)
        if (buffers[i])
            INK_TRY(ink_plan_bind(plan, section, (enum ink_storage)(INK_IMAGES + i), buffers[i]));
    return INK_OK;
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

void ink_sums_add(struct ink_sums *sums, const struct ink_feed *feed, const ink_dataset *dataset, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++) {
        sums->loss += (double)feed->host_losses[i];
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
    metrics.loss = sums->loss / n;
    metrics.accuracy = p;
    metrics.accuracy_low = fmax(centre - half, 0);
    metrics.accuracy_high = fmin(centre + half, 1);
    return metrics;
}

ink_status ink_feed_evaluate(struct ink_feed *feed, struct ink_plan *plan, const ink_dataset *dataset, int batch, struct ink_metrics *metrics)
{
    struct ink_sums sums = {0};
    for (size_t start = 0; start < feed->count; start += (size_t)batch) {
        size_t left = feed->count - start;
        INK_TRY(ink_plan_run(plan, INK_SECTION_EVALUATE, (int)start, left < (size_t)batch ? (int)left : batch, NULL));
    }
    INK_TRY(ink_feed_read(feed, 0, feed->count));
    ink_sums_add(&sums, feed, dataset, 0, feed->count);
    *metrics = ink_sums_metrics(&sums);
    return INK_OK;
}
