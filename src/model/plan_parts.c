/* Parts of batches: their gradients, summed on the device, and handed to the host and taken back for sums over several devices; see
 * plan.h. */
#include "model/plan_data.h"

/* Puts the gradients aside, to be added to those of the next part. */
static ink_status put_aside(struct ink_plan *plan)
{
    cl_mem from = plan->storage[INK_GRADIENTS], to = plan->storage[INK_ACCUMULATED];
    if (!plan->parameter_floats)
        return INK_OK;
    return ink_cl_check(plan->device, clEnqueueCopyBuffer(plan->device->queue, from, to, 0, 0, plan->parameter_floats * sizeof(float), 0, NULL, NULL),
                        "clEnqueueCopyBuffer", "accumulating gradients");
}

ink_status ink_plan_run_part(struct ink_plan *plan, const struct ink_part *part, bool add)
{
    plan->bound[INK_SECTION_EVALUATE].constants_done = false; /* batch norm's statistics */
    for (int done = 0, n; done < part->n; done += n) {
        n = part->n - done < plan->batch ? part->n - done : plan->batch;
        if (add || done)
            INK_TRY(put_aside(plan));
        ink_plan_set_part(plan, &(struct ink_part){part->start + done, n, part->first + done, part->whole});
        INK_TRY(ink_bound_run(&plan->bound[INK_SECTION_GRADIENTS], plan->device->queue, n, plan->scalars, NULL));
        if (add || done)
            INK_TRY(ink_bound_run(&plan->bound[INK_SECTION_ACCUMULATE], plan->device->queue, n, plan->scalars, NULL));
    }
    return INK_OK;
}

size_t ink_plan_gradient_floats(const struct ink_plan *plan) { return plan->parameter_floats; }

ink_status ink_plan_map_gradients(struct ink_plan *plan, const float **gradients)
{
    cl_int code = CL_SUCCESS;
    if (plan->parameter_floats)
        *gradients = clEnqueueMapBuffer(plan->device->queue, plan->storage[INK_GRADIENTS], CL_FALSE, CL_MAP_READ, 0,
                                        plan->parameter_floats * sizeof(float), 0, NULL, NULL, &code);
    return ink_cl_check(plan->device, code, "clEnqueueMapBuffer", "gradients");
}

ink_status ink_plan_unmap_gradients(struct ink_plan *plan, const float *gradients)
{
    if (!plan->parameter_floats)
        return INK_OK;
    return ink_cl_check(plan->device, clEnqueueUnmapMemObject(plan->device->queue, plan->storage[INK_GRADIENTS], (void *)gradients, 0, NULL, NULL),
                        "clEnqueueUnmapMemObject", "gradients");
}

ink_status ink_plan_write_gradients(struct ink_plan *plan, const float *gradients)
{
    return ink_buffer_write_begin(plan->device, plan->storage[INK_GRADIENTS], 0, gradients, plan->parameter_floats * sizeof(float));
}

/* Launches behind which the gradients of bytes first .. end - 1 are complete. */
static int complete_at(const struct ink_launches *list, size_t first, size_t end)
{
    int launches = 0;
    for (int i = 0; i < list->count; i++)
        for (int a = 0; a < list->launches[i].argument_count; a++) {
            const struct ink_argument *argument = &list->launches[i].arguments[a];
            if (argument->kind != INK_ARG_WRITE && argument->kind != INK_ARG_UPDATE)
                continue;
            const struct ink_value_info *value = &list->values[argument->value];
            if (value->storage == INK_GRADIENTS && value->offset < end && value->offset + value->fixed_bytes > first)
                launches = i + 1;
        }
    return launches;
}

int ink_plan_buckets(const struct ink_plan *plan, size_t least_bytes, struct ink_bucket buckets[INK_MOST_BUCKETS])
{
    const struct ink_launches *list = &plan->lists[INK_SECTION_GRADIENTS];
    size_t end = plan->parameter_floats * sizeof(float), even = end / INK_MOST_BUCKETS;
    size_t least = even > least_bytes ? even : least_bytes;
    int count = 0;
    for (int i = plan->nodes - 1; i >= 0 && end; i--) {
        size_t first = plan->parameter_offsets[i];
        bool last = i == 0 || first == 0;
        if (!last && (end - first < least || count == INK_MOST_BUCKETS - 1))
            continue;
        first = last ? 0 : first;
        int launches = complete_at(list, first, end), before = count ? buckets[count - 1].launches : 0;
        buckets[count++] = (struct ink_bucket){first / sizeof(float), (end - first) / sizeof(float), launches > before ? launches : before};
        end = first;
    }
    return count;
}

static ink_status read_bucket(struct ink_plan *plan, const struct ink_bucket *bucket, float *gradients, cl_event *event)
{
    cl_command_queue queue = plan->device->queue;
    INK_TRY(ink_cl_check(plan->device, clEnqueueReadBuffer(queue, plan->storage[INK_GRADIENTS], CL_FALSE, bucket->first * sizeof(float),
                                                           bucket->count * sizeof(float), gradients + bucket->first, 0, NULL, event),
                         "clEnqueueReadBuffer", "gradients"));
    return ink_cl_check(plan->device, clFlush(queue), "clFlush", "gradients");
}

ink_status ink_plan_run_buckets(struct ink_plan *plan, const struct ink_part *part, const struct ink_bucket *buckets, int count, float *gradients,
                                cl_event *events)
{
    struct ink_bound *bound = &plan->bound[INK_SECTION_GRADIENTS];
    bool whole = part->n > plan->batch;
    int done = 0;
    if (whole)
        INK_TRY(ink_plan_run_part(plan, part, false));
    ink_plan_set_part(plan, part);
    plan->bound[INK_SECTION_EVALUATE].constants_done = false;
    for (int b = 0; b < count; b++) {
        if (!whole)
            INK_TRY(ink_bound_run_some(bound, plan->device->queue, done, buckets[b].launches, part->n, plan->scalars));
        done = buckets[b].launches;
        INK_TRY(read_bucket(plan, &buckets[b], gradients, &events[b]));
    }
    return whole ? INK_OK : ink_bound_run_some(bound, plan->device->queue, done, plan->lists[INK_SECTION_GRADIENTS].count, part->n, plan->scalars);
}
