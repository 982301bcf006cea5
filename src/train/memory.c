/* Measuring what training takes; see memory.h. */
#include "train/memory.h"

#include <stdio.h>

#include "data/dataset.h"
#include "train/upload.h"

/* Bytes of buffers, and those of the largest, as they are created with their slack. */
struct sum {
    uint64_t bytes, largest;
};

static void add(struct sum *sum, uint64_t bytes)
{
    bytes += bytes ? INK_SLACK : 0;
    sum->bytes += bytes;
    sum->largest = bytes > sum->largest ? bytes : sum->largest;
}

/* What a feed has for each of its places: order, loss and prediction. */
static void add_places(struct sum *sum, size_t places)
{
    for (int i = 0; i < 3; i++)
        add(sum, (uint64_t)places * sizeof(cl_uint));
}

/* The feeds of a data set, its validation split among them. */
static void add_dataset(struct sum *sum, const ink_dataset *dataset, size_t apart, bool streams)
{
    add_places(sum, dataset->count);
    add_places(sum, apart);
    add(sum, dataset->count); /* labels */
    if (!streams)
        add(sum, (uint64_t)dataset->count * ink_shape_count(dataset->shape));
}

static struct sum data_bytes(const struct ink_memory_need *need, bool streams_train, bool streams_test)
{
    struct sum sum = {0};
    add_dataset(&sum, need->train, need->sampler->apart_count, streams_train);
    if (need->test)
        add_dataset(&sum, need->test, 0, streams_test);
    if (streams_train || streams_test) {
        uint64_t largest;
        sum.bytes += ink_upload_bytes((size_t)need->batch, ink_shape_count(need->train->shape), &largest);
        sum.largest = largest > sum.largest ? largest : sum.largest;
    }
    return sum;
}

void ink_memory_fit(const struct ink_memory_need *need, const struct ink_plan_bytes *bytes, struct ink_memory_plan *out)
{
    const struct ink_device_info *info = &need->device->info;
    uint64_t limit = need->how.train->device_memory;
    struct ink_memory_plan plan = {.available = limit && limit < info->memory_bytes ? limit : info->memory_bytes, .weights = bytes->weights,
                                   .activations = bytes->arena, .batch = need->how.batch};
    for (int way = 0; way < 4 && !plan.fits; way++) { /* the test set first: it is gone through less often */
        if (way & 1 && !need->test)
            continue;
        plan.streams_test = way & 1;
        plan.streams_train = way & 2;
        struct sum data = data_bytes(need, plan.streams_train, plan.streams_test);
        plan.data = data.bytes;
        plan.fits = plan.weights + plan.activations + plan.data <= plan.available && bytes->largest <= info->max_alloc_bytes
                    && data.largest <= info->max_alloc_bytes;
    }
    plan.largest_batch = plan.fits ? plan.batch : 0;
    *out = plan;
}

ink_status ink_memory_measure(const struct ink_memory_need *need, struct ink_memory_plan *plan)
{
    struct ink_plan_bytes bytes;
    INK_TRY(ink_plan_measure(need->device, need->model, &need->how, &bytes));
    ink_memory_fit(need, &bytes, plan);
    return INK_OK;
}

ink_status ink_memory_largest_batch(const struct ink_memory_need *need, ink_choose_function choose, void *user, int *batch)
{
    struct ink_memory_need try = *need;
    int fits = 0, fails = need->how.batch + 1;
    try.how.choose = choose;
    try.how.choose_user = user;
    while (fails - fits > 1) {
        struct ink_memory_plan plan;
        try.how.batch = fits + (fails - fits) / 2;
        try.batch = need->batch == need->how.batch ? try.how.batch : need->batch;
        ink_status status = ink_memory_measure(&try, &plan);
        if (status && status != INK_ERROR_UNSUPPORTED) /* that is a batch too large for kernels to count */
            return status;
        if (!status && plan.fits)
            fits = try.how.batch;
        else
            fails = try.how.batch;
    }
    *batch = fits;
    return INK_OK;
}

ink_status ink_memory_fail(const struct ink_memory_need *need, const struct ink_memory_plan *p)
{
    static const double mebi = 1 << 20;
    const struct ink_device_info *info = &need->device->info;
    char mend[160] = "not even a batch of 1 fits: take a smaller model, or another device", most[80] = "";
    if (info->max_alloc_bytes < p->available)
        snprintf(most, sizeof most, ", at most %.1f MiB in one buffer", (double)info->max_alloc_bytes / mebi);
    if (p->largest_batch)
        snprintf(mend, sizeof mend, "a batch of at most %d fits", p->largest_batch);
    return ink_fail(INK_ERROR_MEMORY, "training needs %.1f MiB of %s even with the images in host memory (weights %.1f MiB, a batch of %d %.1f MiB, "
                    "data %.1f MiB), and it has %.1f MiB%s%s; %s", (double)(p->weights + p->activations + p->data) / mebi, info->name,
                    (double)p->weights / mebi, p->batch, (double)p->activations / mebi, (double)p->data / mebi, (double)p->available / mebi,
                    p->available < info->memory_bytes ? " to be used at most (device_memory, --device-memory)" : "", most, mend);
}
