/* Augmented images for people to look at: the launches that a training plan begins its steps with, in a plan of their own. */
#include <stdlib.h>

#include "data/dataset.h"
#include "model/program.h"
#include "ops/op.h"

enum { LARGEST_BATCH = 128 };

/* What is on the device. */
struct preview {
    struct ink_device *device;
    struct ink_launches list;
    struct ink_bound bound;
    ink_value x;
    cl_program program;
    cl_mem arena, images, order;
};

static void discard(struct preview *p)
{
    ink_bound_free(&p->bound);
    ink_launches_free(&p->list);
    if (p->program)
        clReleaseProgram(p->program);
    p->program = NULL;
}

static ink_status prepare(struct preview *p, const struct ink_augmentation *augmentation, struct ink_shape shape, int batch, enum ink_style style)
{
    struct ink_call call = {.device = p->device, .style = style, .vector_width = p->device->vector_width, .batch = batch};
    ink_value images = ink_value_bind(&p->list, "images", INK_IMAGES, 0, 0), order = ink_value_bind(&p->list, "order", INK_ORDER, 0, 0);
    char *text;
    p->x = ink_value_create(&p->list, "batch", ink_shape_count(shape) * sizeof(float), 0);
    if (p->x != INK_NO_VALUE)
        p->list.values[p->x].pinned = true;
    if (ink_augmentation_is_on(augmentation))
        ink_emit_augment(&p->list, &call, augmentation, images, order, order, p->x, shape);
    else
        ink_emit_gather(&p->list, &call, images, order, p->x, ink_shape_count(shape));
    INK_TRY(p->list.status);
    p->bound = (struct ink_bound){.device = p->device, .list = &p->list, .batch = batch};
    INK_TRY(ink_bound_place(&p->bound));
    INK_TRY(ink_program_text(&p->bound, 1, call.vector_width, &text));
    ink_status status = ink_program_build(p->device, text, "", &p->program);
    free(text);
    return status ? status : ink_bound_kernels(&p->bound, p->program);
}

static ink_status bind(struct preview *p, const ink_dataset *dataset, const uint32_t *samples, size_t count)
{
    size_t bytes = dataset->count * ink_shape_count(dataset->shape);
    INK_TRY(ink_buffer_create(p->device, p->bound.arena_bytes, "a batch", &p->arena));
    INK_TRY(ink_buffer_create(p->device, bytes, "the data set's images", &p->images));
    INK_TRY(ink_buffer_create(p->device, count * sizeof *samples, "the samples' numbers", &p->order));
    INK_TRY(ink_buffer_write(p->device, p->images, 0, dataset->images, bytes));
    INK_TRY(ink_buffer_write(p->device, p->order, 0, samples, count * sizeof *samples));
    INK_TRY(ink_bound_storage(&p->bound, INK_ARENA, p->arena, p->bound.arena_bytes));
    INK_TRY(ink_bound_storage(&p->bound, INK_IMAGES, p->images, bytes));
    return ink_bound_storage(&p->bound, INK_ORDER, p->order, count * sizeof *samples);
}

static ink_status run(struct preview *p, uint64_t seed, int epoch, size_t count, size_t sample_floats, float *images)
{
    cl_int scalars[INK_SCALARS] = {[INK_SEED_LOW] = (cl_int)(uint32_t)seed, [INK_SEED_HIGH] = (cl_int)(uint32_t)(seed >> 32), [INK_EPOCH] = epoch};
    for (size_t start = 0, n; start < count; start += n) {
        n = count - start < (size_t)p->bound.batch ? count - start : (size_t)p->bound.batch;
        scalars[INK_START] = scalars[INK_ROW] = (cl_int)start;
        scalars[INK_BATCH] = (cl_int)n;
        INK_TRY(ink_bound_run(&p->bound, p->device->queue, (int)n, scalars, NULL));
        INK_TRY(ink_buffer_read(p->device, p->bound.buffers[p->x], 0, images + start * sample_floats, n * sample_floats * sizeof(float)));
    }
    return INK_OK;
}

ink_status ink_dataset_augment(const ink_dataset *dataset, ink_device *device, const struct ink_augmentation *augmentation, uint64_t seed, int epoch,
                               const uint32_t *samples, size_t count, float *images)
{
    static const struct ink_augmentation none;
    struct preview p = {.device = device};
    int batch = count < LARGEST_BATCH ? (int)count : LARGEST_BATCH;
    augmentation = augmentation ? augmentation : &none;
    INK_TRY(ink_augmentation_check(augmentation));
    if (epoch < 1)
        return ink_fail(INK_ERROR_ARGUMENT, "epoch is %d; they count from 1", epoch);
    for (size_t i = 0; i < count; i++)
        if (samples[i] >= dataset->count)
            return ink_fail(INK_ERROR_ARGUMENT, "samples[%zu] is %u; the data set's are 0 to %zu", i, (unsigned)samples[i], dataset->count - 1);
    if (!count)
        return INK_OK;
    ink_status status = prepare(&p, augmentation, dataset->shape, batch, device->style);
    if (device->style == INK_STYLE_GPU && (status == INK_ERROR_UNSUPPORTED || status == INK_ERROR_BUILD)) { /* as a plan does */
        discard(&p);
        status = prepare(&p, augmentation, dataset->shape, batch, INK_STYLE_CPU);
    }
    if (!status)
        status = bind(&p, dataset, samples, count);
    if (!status)
        status = run(&p, seed, epoch, count, ink_shape_count(dataset->shape), images);
    clFinish(device->queue);
    discard(&p);
    cl_mem buffers[] = {p.arena, p.images, p.order};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++)
        if (buffers[i])
            clReleaseMemObject(buffers[i]);
    return status;
}
