/* Running one candidate; see trial.h. */
#include "model/trial.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/program.h"
#include "util/clock.h"
#include "util/rng.h"

/* Random floats in [-1, 1); NULL without memory. */
static float *draw(uint64_t stream, size_t count)
{
    float *values = malloc((count + 1) * sizeof *values);
    if (values)
        ink_random_uniform(1, stream, -1.0f, 1.0f, values, count);
    return values;
}

ink_status ink_trial_data_create(const struct ink_call *call, struct ink_trial_data *data)
{
    const struct ink_node *node = call->node;
    size_t n = (size_t)call->batch;
    uint32_t places = node->pool.height ? (uint32_t)(node->pool.height * node->pool.width) : (uint32_t)(node->layer.filter_height * node->layer.filter_width);
    *data = (struct ink_trial_data){.call = call, .in = n * ink_shape_count(node->in), .out = n * ink_shape_count(node->out),
                                    .weights = ink_check_parameters(node)};
    data->x = draw(0, data->in);
    data->y = draw(1, data->out);
    data->dy = draw(2, data->out);
    data->dx = draw(3, data->in);
    data->parameters = draw(4, data->weights);
    data->winners = malloc(data->out + 1);
    if (!data->x || !data->y || !data->dy || !data->dx || !data->parameters || !data->winners)
        return ink_fail_memory((2 * data->in + 2 * data->out) * sizeof(float));
    for (size_t i = 0; i < data->out; i += 4) {
        uint32_t words[4];
        ink_random_words(1, 5, i, words);
        for (size_t k = 0; k < 4 && i + k < data->out; k++)
            data->winners[i + k] = (uint8_t)(places ? words[k] % places : 0);
    }
    /* x stands in for the output of the layer before, whose sign is all that most activations' slopes need */
    data->check = (struct ink_check){.call = call, .n = call->batch, .x = data->x, .dy = data->dy, .parameters = data->parameters,
                                     .mask_y = data->x, .dx_before = data->dx, .winners = data->winners};
    ink_check_pool(&data->check, data->y);
    return ink_check_prepare(&data->check);
}

void ink_trial_data_free(struct ink_trial_data *data)
{
    ink_check_free(&data->check);
    free(data->x);
    free(data->y);
    free(data->dy);
    free(data->dx);
    free(data->parameters);
    free(data->winners);
    *data = (struct ink_trial_data){0};
}

/* A value that keeps its place. */
static ink_value pin(struct ink_launches *list, const char *label, size_t sample_bytes, size_t fixed_bytes)
{
    ink_value value = ink_value_create(list, label, sample_bytes, fixed_bytes);
    if (value != INK_NO_VALUE)
        list->values[value].pinned = true;
    return value;
}

/* The call with values of its own. The layer before is x, so that the end of backward_data reads x. */
static struct ink_call place_values(const struct ink_trial_data *data, struct ink_candidate *c)
{
    struct ink_call call = *data->call;
    const struct ink_node *node = call.node;
    size_t in = ink_shape_count(node->in) * sizeof(float), out = ink_shape_count(node->out) * sizeof(float), trained = data->weights * sizeof(float);
    bool forward = call.pass == INK_FORWARD;
    call.variant = c->variant;
    call.x[0] = pin(&c->list, "x", in, 0);
    call.x[1] = INK_NO_VALUE;
    call.y = pin(&c->list, "y", out, 0);
    call.dy = forward ? INK_NO_VALUE : pin(&c->list, "dy", out, 0);
    call.dx = call.pass == INK_BACKWARD_DATA ? pin(&c->list, "dx", in, 0) : INK_NO_VALUE;
    call.parameters = trained ? ink_value_bind(&c->list, "parameters", INK_PARAMETERS, 0, trained) : INK_NO_VALUE;
    call.gradients = trained && !forward ? pin(&c->list, "gradients", 0, trained) : INK_NO_VALUE;
    call.state = INK_NO_VALUE;
    call.epilogue.y = call.epilogue.activation ? call.x[0] : INK_NO_VALUE;
    for (int k = 0; k < INK_MAX_SAVED; k++) {
        bool used = (node->saved[k].sample_bytes || node->saved[k].fixed_bytes) && call.training;
        call.saved[k] = used ? pin(&c->list, "saved", node->saved[k].sample_bytes, node->saved[k].fixed_bytes) : INK_NO_VALUE;
    }
    c->output = forward ? call.y : call.pass == INK_BACKWARD_DATA ? call.dx : call.gradients;
    c->winners = call.saved[0];
    return call;
}

static ink_status write_value(struct ink_candidate *c, ink_value value, const void *bytes, size_t size)
{
    cl_mem buffer = value == INK_NO_VALUE ? NULL : c->bound.buffers[value];
    return buffer && size ? ink_buffer_write(c->bound.device, buffer, 0, bytes, size) : INK_OK; /* without a buffer no launch reads it */
}

static ink_status fill(struct ink_candidate *c, const struct ink_trial_data *data, const struct ink_call *call)
{
    const cl_float nan = NAN; /* so that what a candidate leaves out shows */
    struct ink_device *device = c->bound.device;
    INK_TRY(ink_cl_check(device, clEnqueueFillBuffer(device->queue, c->arena, &nan, sizeof nan, 0, c->bound.arena_bytes / sizeof nan * sizeof nan, 0, NULL, NULL),
                         "clEnqueueFillBuffer", "tuning"));
    INK_TRY(write_value(c, call->x[0], data->x, data->in * sizeof(float)));
    INK_TRY(write_value(c, call->parameters, data->parameters, data->weights * sizeof(float)));
    if (call->pass == INK_FORWARD)
        return INK_OK;
    INK_TRY(write_value(c, call->y, data->y, data->out * sizeof(float)));
    INK_TRY(write_value(c, call->dy, data->dy, data->out * sizeof(float)));
    INK_TRY(write_value(c, c->winners, data->winners, data->out));
    return call->epilogue.accumulate ? write_value(c, call->dx, data->dx, data->in * sizeof(float)) : INK_OK;
}

ink_status ink_candidate_create(struct ink_device *device, const struct ink_trial_data *data, struct ink_candidate *c)
{
    struct ink_call call = place_values(data, c);
    char *text;
    c->list.label = call.node->layer.name;
    if (!c->list.status)
        c->algorithm->emit(&c->list, &call);
    INK_TRY(c->list.status);
    if (!call.training) /* inference transforms weights once */
        INK_TRY(ink_lower_mark_constants(&c->list));
    c->bound = (struct ink_bound){.device = device, .list = &c->list, .batch = call.batch};
    INK_TRY(ink_bound_place(&c->bound));
    INK_TRY(ink_program_text(&c->bound, 1, call.vector_width, &text));
    ink_status status = ink_program_build(device, text, "", &c->program);
    free(text);
    INK_TRY(status);
    INK_TRY(ink_bound_kernels(&c->bound, c->program));
    INK_TRY(ink_buffer_create(device, c->bound.arena_bytes, "tuning", &c->arena));
    INK_TRY(ink_buffer_create(device, (data->weights + 1) * sizeof(float), "weights for tuning", &c->parameters));
    INK_TRY(ink_bound_storage(&c->bound, INK_ARENA, c->arena, c->bound.arena_bytes));
    INK_TRY(ink_bound_storage(&c->bound, INK_PARAMETERS, c->parameters, data->weights * sizeof(float)));
    return fill(c, data, &call);
}

void ink_candidate_free(struct ink_candidate *c)
{
    ink_bound_free(&c->bound);
    ink_launches_free(&c->list);
    if (c->program)
        clReleaseProgram(c->program);
    if (c->arena)
        clReleaseMemObject(c->arena);
    if (c->parameters)
        clReleaseMemObject(c->parameters);
    *c = (struct ink_candidate){0};
}

/* Waits for an event, at most until a time. */
static ink_status wait_until(struct ink_device *device, cl_event event, double until, bool *hung)
{
    const struct timespec nap = {0, 200000};
    for (;;) {
        cl_int state;
        INK_TRY(ink_cl_check(device, clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, NULL), "clGetEventInfo", "tuning"));
        if (state < 0)
            return ink_cl_check(device, state, "a kernel", "tuning");
        if (state == CL_COMPLETE)
            return INK_OK;
        if (ink_clock() > until) {
            *hung = true;
            return ink_fail(INK_ERROR_DEVICE, "not done in time");
        }
        nanosleep(&nap, NULL);
    }
}

ink_status ink_candidate_run(struct ink_candidate *c, int times, double limit, bool *hung, double *seconds)
{
    struct ink_device *device = c->bound.device;
    cl_int scalars[INK_SCALARS] = {[INK_BATCH] = c->bound.batch};
    cl_event last = NULL;
    ink_status status = INK_OK;
    *hung = false;
    double began = ink_clock();
    for (int i = 0; i < times && !status; i++)
        status = ink_bound_run(&c->bound, device->queue, c->bound.batch, scalars, NULL);
    if (!status)
        status = ink_cl_check(device, clEnqueueMarkerWithWaitList(device->queue, 0, NULL, &last), "clEnqueueMarkerWithWaitList", "tuning");
    if (!status)
        status = ink_cl_check(device, clFlush(device->queue), "clFlush", "tuning");
    if (!status && times == 1) /* the first run, which may hang; later ones are known to end, and waiting for them wakes at once */
        status = wait_until(device, last, began + limit, hung);
    else if (!status)
        status = ink_cl_check(device, clWaitForEvents(1, &last), "clWaitForEvents", "tuning");
    *seconds = (ink_clock() - began) / times;
    if (last)
        clReleaseEvent(last);
    return status;
}

ink_status ink_candidate_check(struct ink_candidate *c, const struct ink_trial_data *data)
{
    size_t count = data->call->pass == INK_FORWARD ? data->out : data->call->pass == INK_BACKWARD_DATA ? data->in : data->weights;
    bool winners = data->call->pass == INK_FORWARD && data->call->node->pool.height && c->winners != INK_NO_VALUE;
    float *output = malloc(count * sizeof *output);
    uint8_t *places = winners ? malloc(data->out) : NULL;
    double factor = 1;
    ink_status status = output && (places || !winners) ? INK_OK : ink_fail_memory(count * sizeof *output);
    for (int i = 0; i < c->list.count; i++)
        factor = fmax(factor, c->list.launches[i].error_factor);
    if (!status && !c->bound.buffers[c->output])
        status = ink_fail(INK_ERROR_DEVICE, "it writes nothing");
    if (!status)
        status = ink_buffer_read(c->bound.device, c->bound.buffers[c->output], 0, output, count * sizeof *output);
    if (!status && winners)
        status = ink_buffer_read(c->bound.device, c->bound.buffers[c->winners], 0, places, data->out);
    if (!status)
        status = ink_check_output(&data->check, output, places, factor);
    free(output);
    free(places);
    return status;
}
