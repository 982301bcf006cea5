/* Placing values, and binding arguments; see bind.h. */
#include "model/bind.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/relay.h"
#include "model/stages.h"
#include "tensor/arena.h"

ink_status ink_bound_place(struct ink_bound *bound)
{
    const struct ink_launches *list = bound->list;
    size_t values = (size_t)list->value_count;
    struct ink_span *spans = calloc(values + 1, sizeof *spans);
    bound->offsets = calloc(values + 1, sizeof *bound->offsets);
    bound->instances = calloc((size_t)list->count + 1, sizeof *bound->instances);
    bound->kernels = calloc((size_t)list->count + 1, sizeof(cl_kernel));
    bound->buffers = calloc(values + 1, sizeof(cl_mem));
    bound->owned = calloc(values + 1, sizeof(bool));
    bound->first_uses = calloc(values + 1, sizeof(int));
    if (!spans || !bound->offsets || !bound->instances || !bound->kernels || !bound->buffers || !bound->owned || !bound->first_uses) {
        free(spans);
        return ink_fail_memory(values * sizeof *spans);
    }
    for (size_t v = 0; v < values; v++) {
        spans[v].first = -1;
        bound->first_uses[v] = list->count;
    }
    for (int i = 0; i < list->count; i++)
        for (int a = 0; a < list->launches[i].argument_count; a++) {
            const struct ink_argument *argument = &list->launches[i].arguments[a];
            if (!ink_argument_is_value(argument))
                continue;
            if (i < bound->first_uses[argument->value])
                bound->first_uses[argument->value] = i;
            if (list->values[argument->value].storage != INK_ARENA)
                continue;
            struct ink_span *span = &spans[argument->value];
            span->bytes = ink_value_bytes(list, argument->value, bound->batch) + INK_SLACK;
            span->last = i;
            if (span->first < 0)
                span->first = i;
        }
    for (size_t v = 0; v < values; v++)
        if (list->values[v].pinned && list->values[v].storage == INK_ARENA)
            spans[v] = (struct ink_span){ink_value_bytes(list, (ink_value)v, bound->batch) + INK_SLACK, 0, list->count, 0};
    ink_status status = ink_arena_place(spans, values, bound->device->align, &bound->arena_bytes);
    for (size_t v = 0; v < values && !status; v++)
        bound->offsets[v] = list->values[v].storage == INK_ARENA ? spans[v].offset : list->values[v].offset;
    free(spans);
    return status;
}

/* Holds the work-group of a launch against what the device allows the kernel. */
static ink_status fit_group(struct ink_bound *bound, struct ink_launch *launch, cl_kernel kernel)
{
    size_t group = 1, limit = 0, required[3] = {0};
    for (int d = 0; d < 3; d++)
        group *= launch->range[d].local ? launch->range[d].local : 1;
    /* a size that the source requires was accepted by the build, whatever some drivers then say of it */
    clGetKernelWorkGroupInfo(kernel, bound->device->id, CL_KERNEL_COMPILE_WORK_GROUP_SIZE, sizeof required, required, NULL);
    if (required[0] * required[1] * required[2] == group)
        return INK_OK;
    if (clGetKernelWorkGroupInfo(kernel, bound->device->id, CL_KERNEL_WORK_GROUP_SIZE, sizeof limit, &limit, NULL) != CL_SUCCESS || !limit)
        return INK_OK;
    while (launch->items_per_item && launch->range[0].local > limit) {
        launch->range[0].local /= 2;
        launch->range[0].items_per_group = launch->items_per_item * launch->range[0].local;
        group = launch->range[0].local;
    }
    if (group <= limit)
        return INK_OK;
    bound->allowed_group = limit;
    return ink_fail(INK_ERROR_UNSUPPORTED, "%s: the kernel needs work-groups of %zu, and %s allows it %zu", launch->label, group,
                    bound->device->info.name, limit);
}

ink_status ink_bound_kernels(struct ink_bound *bound, cl_program program)
{
    for (int i = 0; i < bound->list->count; i++) {
        struct ink_launch *launch = &bound->list->launches[i];
        char name[64];
        cl_int code;
        if (launch->call)
            continue;
        snprintf(name, sizeof name, "%s_%d", launch->kernel, bound->instances[i]);
        bound->kernels[i] = clCreateKernel(program, name, &code);
        INK_TRY(ink_cl_check(bound->device, code, "clCreateKernel", launch->label));
        INK_TRY(fit_group(bound, launch, bound->kernels[i]));
        for (int a = 0; a < launch->argument_count; a++) {
            const struct ink_argument *argument = &launch->arguments[a];
            code = CL_SUCCESS;
            if (argument->kind == INK_ARG_INT || argument->kind == INK_ARG_FLOAT)
                code = clSetKernelArg(bound->kernels[i], (cl_uint)a, sizeof argument->as.i, &argument->as);
            INK_TRY(ink_cl_check(bound->device, code, "clSetKernelArg", launch->label));
        }
        code = CL_SUCCESS;
        if (ink_stages_called(launch) && launch->local_floats)
            code = clSetKernelArg(bound->kernels[i], (cl_uint)launch->argument_count, launch->local_floats * sizeof(cl_float), NULL);
        INK_TRY(ink_cl_check(bound->device, code, "clSetKernelArg", launch->label));
    }
    return INK_OK;
}

/* Releases the sub-buffers of a storage, or of all, in the order that ink_bound_free tells of. */
static void release_buffers(struct ink_bound *bound, const enum ink_storage *storage)
{
    const struct ink_launches *list = bound->list;
    for (int i = list->count; i >= 0; i--)
        for (int v = 0; v < list->value_count; v++)
            if (bound->owned[v] && bound->first_uses[v] == i && (!storage || list->values[v].storage == *storage)) {
                clReleaseMemObject(bound->buffers[v]);
                bound->owned[v] = false;
            }
}

ink_status ink_bound_storage(struct ink_bound *bound, enum ink_storage storage, cl_mem buffer, size_t buffer_bytes)
{
    const struct ink_launches *list = bound->list;
    release_buffers(bound, &storage);
    for (int v = 0; v < list->value_count; v++) {
        size_t bytes = ink_value_bytes(list, v, bound->batch), offset = bound->offsets[v];
        if (list->values[v].storage != storage)
            continue;
        bound->buffers[v] = buffer;
        if (storage > INK_STATE || (offset == 0 && bytes >= buffer_bytes))
            continue;
        /* the slack lets a vector load run past the end of the value */
        bytes += INK_SLACK;
        if (offset + bytes > buffer_bytes + INK_SLACK)
            bytes = buffer_bytes + INK_SLACK - offset;
        cl_buffer_region region = {offset, bytes};
        cl_int code;
        bound->buffers[v] = clCreateSubBuffer(buffer, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
        INK_TRY(ink_cl_check(bound->device, code, "clCreateSubBuffer", list->values[v].label));
        bound->owned[v] = true;
    }
    for (int i = 0; i < list->count; i++)
        for (int a = 0; a < list->launches[i].argument_count && !list->launches[i].call; a++) {
            const struct ink_argument *argument = &list->launches[i].arguments[a];
            if (ink_argument_is_value(argument) && list->values[argument->value].storage == storage)
                INK_TRY(ink_cl_check(bound->device, clSetKernelArg(bound->kernels[i], (cl_uint)a, sizeof(cl_mem), &bound->buffers[argument->value]),
                                     "clSetKernelArg", list->launches[i].label));
        }
    return INK_OK;
}

static ink_status run_call(struct ink_bound *bound, const struct ink_launch *launch, cl_command_queue queue, int n)
{
    cl_mem buffers[INK_MAX_ARGUMENTS];
    for (int a = 0; a < launch->argument_count; a++)
        buffers[a] = ink_argument_is_value(&launch->arguments[a]) ? bound->buffers[launch->arguments[a].value] : NULL;
    return launch->call(launch, bound->device, queue, buffers, n);
}

/* As a run begins: tells which scalars differ from those last set, and keeps them. */
static void begin_run(struct ink_bound *bound, const cl_int scalars[INK_SCALARS], bool changed[INK_SCALARS])
{
    if (!bound->ran && bound->runs)
        bound->ran = ++*bound->runs;
    for (int s = 0; s < INK_SCALARS; s++) {
        changed[s] = !bound->set[s] || bound->scalars[s] != scalars[s];
        bound->scalars[s] = scalars[s];
        bound->set[s] = true;
    }
}

/* After a failure, some kernels may not have taken them. */
static void forget_scalars(struct ink_bound *bound) { memset(bound->set, 0, sizeof bound->set); }

static ink_status enqueue_kernel(struct ink_bound *bound, cl_command_queue queue, int i, int n, cl_event *event)
{
    const struct ink_launch *launch = &bound->list->launches[i];
    size_t local[3], global[3];
    ink_launch_groups(launch, n, global);
    for (int d = 0; d < 3; d++) {
        local[d] = launch->range[d].local ? launch->range[d].local : 1;
        global[d] *= local[d];
    }
    cl_int code = clEnqueueNDRangeKernel(queue, bound->kernels[i], 3, NULL, global, local, 0, NULL, event);
    return ink_cl_check(bound->device, code, "clEnqueueNDRangeKernel", launch->label);
}

/* All legs at once, or one by one where its work-groups would wait awake for what others' threads keep from a core. */
static ink_status enqueue_relay(struct ink_bound *bound, cl_command_queue queue, int i, int n, cl_event *event)
{
    const struct ink_launch *relay = &bound->list->launches[i];
    cl_kernel kernel = bound->kernels[i];
    cl_int legs = relay->stages[relay->stage_count - 1].leg + 1;
    cl_int some = ink_crowd_look(&bound->crowd, (unsigned)ink_range_groups(&relay->range[0], n)) ? 1 : legs;
    for (cl_int first = 0, end; first < legs; first = end) {
        end = first + some;
        INK_TRY(ink_cl_check(bound->device, clSetKernelArg(kernel, INK_RELAY_FIRST, sizeof first, &first), "clSetKernelArg", relay->label));
        INK_TRY(ink_cl_check(bound->device, clSetKernelArg(kernel, INK_RELAY_END, sizeof end, &end), "clSetKernelArg", relay->label));
        INK_TRY(enqueue_kernel(bound, queue, i, n, end == legs ? event : NULL));
    }
    return INK_OK;
}

static ink_status set_and_enqueue(struct ink_bound *bound, cl_command_queue queue, int i, int n, const bool changed[INK_SCALARS], cl_event *event)
{
    const struct ink_launch *launch = &bound->list->launches[i];
    if (launch->call)
        return run_call(bound, launch, queue, n);
    for (int a = 0; a < launch->argument_count; a++) {
        const struct ink_argument *argument = &launch->arguments[a];
        if (argument->kind == INK_ARG_SCALAR && changed[argument->as.scalar])
            INK_TRY(ink_cl_check(bound->device, clSetKernelArg(bound->kernels[i], (cl_uint)a, sizeof(cl_int), &bound->scalars[argument->as.scalar]),
                                 "clSetKernelArg", launch->label));
    }
    return launch->joint == INK_RELAY ? enqueue_relay(bound, queue, i, n, event) : enqueue_kernel(bound, queue, i, n, event);
}

static ink_status enqueue(struct ink_bound *bound, cl_command_queue queue, int i, int n, const bool changed[INK_SCALARS], cl_event *event)
{
    ink_status status = set_and_enqueue(bound, queue, i, n, changed, event);
    if (status)
        forget_scalars(bound);
    return status;
}

ink_status ink_bound_run(struct ink_bound *bound, cl_command_queue queue, int n, const cl_int scalars[INK_SCALARS], cl_event *done)
{
    bool changed[INK_SCALARS];
    begin_run(bound, scalars, changed);
    for (int i = 0; i < bound->list->count; i++)
        if (!bound->constants_done || !bound->list->launches[i].constant)
            INK_TRY(enqueue(bound, queue, i, n, changed, i == bound->list->count - 1 ? done : NULL));
    bound->constants_done = true;
    return INK_OK;
}

ink_status ink_bound_run_some(struct ink_bound *bound, cl_command_queue queue, int first, int end, int n, const cl_int scalars[INK_SCALARS])
{
    if (first == 0)
        begin_run(bound, scalars, bound->changed);
    for (int i = first; i < end; i++)
        INK_TRY(enqueue(bound, queue, i, n, bound->changed, NULL));
    return INK_OK;
}

/* Seconds from one mark of an event to a mark of another. */
static ink_status seconds_between(struct ink_bound *bound, cl_event from, cl_profiling_info from_mark, cl_event to, const char *label,
                                  double *seconds)
{
    cl_ulong begin = 0, end = 0;
    INK_TRY(ink_cl_check(bound->device, clGetEventProfilingInfo(from, from_mark, sizeof begin, &begin, NULL), "clGetEventProfilingInfo", label));
    INK_TRY(ink_cl_check(bound->device, clGetEventProfilingInfo(to, CL_PROFILING_COMMAND_END, sizeof end, &end, NULL), "clGetEventProfilingInfo",
                         label));
    *seconds = end > begin ? 1e-9 * (double)(end - begin) : 0;
    return INK_OK;
}

static ink_status mark(struct ink_bound *bound, cl_command_queue queue, const struct ink_launch *launch, cl_event *event)
{
    return ink_cl_check(bound->device, clEnqueueMarkerWithWaitList(queue, 0, NULL, event), "clEnqueueMarkerWithWaitList", launch->label);
}

/* A call into a library enqueues what it likes, so it lies between two markers; a kernel has its own event. */
ink_status ink_bound_time(struct ink_bound *bound, cl_command_queue queue, int n, const cl_int scalars[INK_SCALARS], double *seconds)
{
    int count = bound->list->count;
    bool changed[INK_SCALARS];
    cl_event *events = calloc(2 * (size_t)count + 1, sizeof(cl_event));
    if (!events)
        return ink_fail_memory(2 * (size_t)count * sizeof(cl_event));
    ink_status status = INK_OK;
    begin_run(bound, scalars, changed);
    for (int i = 0; i < count && !status; i++) {
        const struct ink_launch *launch = &bound->list->launches[i];
        if (launch->call)
            status = mark(bound, queue, launch, &events[2 * i]);
        if (!status)
            status = enqueue(bound, queue, i, n, changed, &events[2 * i + 1]);
        if (launch->call && !status)
            status = mark(bound, queue, launch, &events[2 * i + 1]);
    }
    if (status)
        forget_scalars(bound);
    cl_int code = clFinish(queue);
    if (!status)
        status = ink_cl_check(bound->device, code, "clFinish", "timing launches");
    for (int i = 0; i < count && !status; i++) {
        bool call = bound->list->launches[i].call != NULL;
        status = seconds_between(bound, events[2 * i + !call], call ? CL_PROFILING_COMMAND_END : CL_PROFILING_COMMAND_START, events[2 * i + 1],
                                 bound->list->launches[i].label, &seconds[i]);
    }
    for (int e = 0; e < 2 * count; e++)
        if (events[e])
            clReleaseEvent(events[e]);
    free(events);
    return status;
}

void ink_bound_free(struct ink_bound *bound)
{
    if (bound->list && bound->buffers && bound->owned && bound->first_uses)
        release_buffers(bound, NULL);
    for (int i = 0; bound->list && bound->kernels && i < bound->list->count; i++)
        if (bound->kernels[i])
            clReleaseKernel(bound->kernels[i]);
    free(bound->offsets);
    free(bound->instances);
    free(bound->kernels);
    free(bound->buffers);
    free(bound->owned);
    free(bound->first_uses);
    *bound = (struct ink_bound){0};
}
