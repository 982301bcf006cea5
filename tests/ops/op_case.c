/* One pass of one op alone; see op_case.h. */
#include "ops/op_case.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/bind.h"
#include "suite.h"
#include "util/rng.h"

/* With $INKLING_TEST_LOG set, what the library logs is shown: warnings of kernel builds, above all. */
static void print_log(ink_log_level level, const char *text, void *user)
{
    (void)level;
    (void)user;
    fprintf(stderr, "%s\n", text);
}

struct ink_device *test_device(void)
{
    static struct ink_device *device;
    if (device)
        return device;
    const char *selector = getenv("INKLING_TEST_DEVICE");
    ink_status status = ink_device_open(selector && *selector ? selector : "cpu", &device);
    if (status == INK_ERROR_NO_DEVICE) {
        printf("SKIP: %s\n", ink_last_error());
        exit(77);
    }
    ck_assert_msg(status == INK_OK, "opening the test device: %s", ink_last_error());
    if (getenv("INKLING_TEST_LOG"))
        ink_set_log(print_log, NULL);
    return device;
}

void test_fill(uint64_t seed, float low, float high, float *values, size_t count)
{
    ink_random_uniform(seed, 7, low, high, values, count);
}

const struct ink_node *op_case_node(const struct op_case *op_case)
{
    static struct ink_model *model;
    ink_model_destroy(&model);
    ck_ok(ink_model_create(op_case->in, &model));
    struct ink_layer layer = op_case->layer;
    layer.other = op_case->x[1] ? "input" : layer.other;
    ck_ok(ink_model_add(model, &layer));
    return &model->nodes[0];
}

void op_case_each_way(const struct op_case *op_case, enum ink_pass pass, void (*check)(const struct op_way *way, void *user), void *user)
{
    static const char *const passes[] = {"forward", "backward_data", "backward_weights"};
    int ways = 0;
    const struct ink_op *op = op_case_node(op_case)->op;
    for (const struct ink_algorithm *a = op->passes[pass]; a && a->name; a++)
        for (enum ink_style style = INK_STYLE_CPU; style <= INK_STYLE_GPU; style++)
            for (int width = 4; width <= 16; width *= 2) {
                if (a->style != INK_STYLE_AUTO && a->style != style)
                    continue;
                const struct ink_node *node = op_case_node(op_case);
                struct ink_call call = {.node = node, .device = test_device(), .style = style, .vector_width = width,
                                        .batch = op_case->batch, .training = op_case->training, .pass = pass};
                if (a->applies && !a->applies(&call))
                    continue;
                char label[128];
                snprintf(label, sizeof label, "%s %s %s, %s style, vectors of %d", op->name, a->name, passes[pass],
                         style == INK_STYLE_CPU ? "CPU" : "GPU", width);
                check(&(struct op_way){style, width, a, label}, user);
                ways++;
            }
    ck_assert_msg(ways > 0, "%s has no algorithm for %s here", op->name, passes[pass]);
}

/* A pinned value, and what goes in and out of it. */
struct port {
    ink_value value;
    void *data;
    size_t bytes;
    bool out;
};

struct ports {
    struct ink_launches list;
    struct port all[12];
    int count;
};

/* A value for data, sized for the batch while data has n samples; INK_NO_VALUE if there is no data. */
static ink_value add_port(struct ports *ports, const char *label, const void *data, size_t sample_bytes, size_t fixed_bytes, int n, bool out)
{
    if (!data)
        return INK_NO_VALUE;
    ink_value value = ink_value_create(&ports->list, label, sample_bytes, fixed_bytes);
    ports->list.values[value].pinned = true;
    ports->all[ports->count++] = (struct port){value, (void *)data, sample_bytes * (size_t)n + fixed_bytes, out};
    return value;
}

void op_case_run(const struct op_case *op_case, enum ink_pass pass, const struct op_way *way)
{
    struct ink_device *device = test_device();
    const struct ink_node *node = op_case_node(op_case);
    struct ports ports = {0};
    size_t in = ink_shape_count(node->in) * sizeof(float), out = ink_shape_count(node->out) * sizeof(float);
    size_t trained = node->trained_count * sizeof(float);
    bool forward = pass == INK_FORWARD, weights = pass == INK_BACKWARD_WEIGHTS, data = pass == INK_BACKWARD_DATA;
    struct ink_call call = {
        .node = node, .number = 3, .device = device, .style = way->style, .vector_width = way->vector_width, .batch = op_case->batch,
        .training = op_case->training, .pass = pass, .operand = op_case->operand,
        .x = {add_port(&ports, "x", op_case->x[0], in, 0, op_case->n, false), add_port(&ports, "x2", op_case->x[1], in, 0, op_case->n, false)},
        .y = add_port(&ports, "y", op_case->y, out, 0, op_case->n, forward),
        .dy = add_port(&ports, "dy", forward ? NULL : op_case->dy, out, 0, op_case->n, false),
        .dx = add_port(&ports, "dx", data ? op_case->dx : NULL, in, 0, op_case->n, data),
        .parameters = add_port(&ports, "parameters", op_case->parameters, 0, trained, op_case->n, false),
        .gradients = add_port(&ports, "gradients", forward ? NULL : op_case->gradients, 0, trained, op_case->n, weights),
        .state = add_port(&ports, "state", op_case->state, 0, node->state_count * sizeof(float), op_case->n, forward),
        .epilogue = {op_case->accumulate, op_case->mask, op_case->mask_slope, add_port(&ports, "mask y", op_case->mask_y, in, 0, op_case->n, false)},
    };
    for (int k = 0; k < INK_MAX_SAVED; k++)
        call.saved[k] = add_port(&ports, "saved", op_case->saved[k], node->saved[k].sample_bytes, node->saved[k].fixed_bytes, op_case->n, forward);
    ck_assert_msg(call.x[1] == INK_NO_VALUE || node->op->inputs == 2, "%s takes one input", node->op->name);
    way->algorithm->emit(&ports.list, &call);
    ck_assert_msg(ports.list.status == INK_OK, "%s: %s", way->label, ink_last_error());

    struct ink_bound bound = {.device = device, .list = &ports.list, .batch = op_case->batch};
    char *text;
    cl_program program;
    cl_mem arena;
    ck_ok(ink_bound_place(&bound));
    ck_ok(ink_program_text(&bound, 1, way->vector_width, &text));
    ink_status status = ink_program_build(device, text, "", &program);
    ck_assert_msg(status == INK_OK, "%s: %s", way->label, ink_last_error());
    free(text);
    ck_ok(ink_bound_kernels(&bound, program));
    ck_ok(ink_buffer_create(device, bound.arena_bytes, "test arena", &arena));
    cl_float nan = NAN;
    ck_ok(ink_cl_check(device, clEnqueueFillBuffer(device->queue, arena, &nan, sizeof nan, 0, bound.arena_bytes / 4 * 4, 0, NULL, NULL), "fill", "NaN"));
    ck_ok(ink_bound_storage(&bound, INK_ARENA, arena, bound.arena_bytes));
    for (int p = 0; p < ports.count; p++)
        if (!ports.all[p].out || (data && op_case->accumulate) || ports.all[p].value == call.state)
            ck_ok(ink_buffer_write(device, bound.buffers[ports.all[p].value], 0, ports.all[p].data, ports.all[p].bytes));
    cl_int scalars[INK_SCALARS] = {[INK_BATCH] = op_case->n, [INK_STEP] = (cl_int)op_case->step, [INK_SEED_LOW] = (cl_int)(uint32_t)op_case->seed,
                                   [INK_SEED_HIGH] = (cl_int)(uint32_t)(op_case->seed >> 32)};
    status = ink_bound_run(&bound, device->queue, op_case->n, scalars, NULL);
    ck_assert_msg(status == INK_OK, "%s: %s", way->label, ink_last_error());
    for (int p = 0; p < ports.count; p++)
        if (ports.all[p].out)
            ck_ok(ink_buffer_read(device, bound.buffers[ports.all[p].value], 0, ports.all[p].data, ports.all[p].bytes));
    ink_bound_free(&bound);
    ink_launches_free(&ports.list);
    clReleaseMemObject(arena);
    clReleaseProgram(program);
}
