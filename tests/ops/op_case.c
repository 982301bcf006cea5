/* One pass of one op alone; see op_case.h. */
#include "ops/op_case.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/program.h"
#include "suite.h"
#include "util/rng.h"

/* Kernels build without warnings, as a driver may show them to the user; on devices chosen by $INKLING_TEST_DEVICE they
 * are only told, since compilers differ in what they warn of. With $INKLING_TEST_LOG all that the library logs is shown. */
static void watch_log(ink_log_level level, const char *text, void *user)
{
    (void)level;
    (void)user;
    bool warned = strstr(text, "build log") && strstr(text, "warning:");
    if (warned || getenv("INKLING_TEST_LOG"))
        fprintf(stderr, "%s\n", text);
    ck_assert_msg(!warned || getenv("INKLING_TEST_DEVICE"), "kernels build with warnings: %.600s", text);
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
    ink_set_log(watch_log, NULL);
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
    struct ink_node *node = &model->nodes[0];
    if (op_case->pool.height) {
        node->pool.height = op_case->pool.height;
        node->pool.width = op_case->pool.width;
        node->out.height /= node->pool.height;
        node->out.width /= node->pool.width;
        node->saved[node->saved[0].fixed_bytes || node->saved[0].sample_bytes].sample_bytes = ink_shape_count(node->out);
    }
    return node;
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

/* The device as ops are told of it. */
static const struct ink_device *device_of(const struct op_case *op_case)
{
    static struct ink_device limited;
    limited = *test_device();
    if (op_case->max_work_group)
        limited.info.max_work_group = op_case->max_work_group;
    return &limited;
}

/* Emits a pass of a case into the ports' list. whole: every value a pass may use, with data or without. */
static void emit(struct ports *ports, const struct op_case *op_case, enum ink_pass pass, const struct op_way *way, bool whole, struct ink_call *call)
{
    const struct ink_node *node = op_case_node(op_case);
    size_t in = ink_shape_count(node->in) * sizeof(float), out = ink_shape_count(node->out) * sizeof(float);
    size_t trained = node->trained_count * sizeof(float);
    bool forward = pass == INK_FORWARD, weights = pass == INK_BACKWARD_WEIGHTS, data = pass == INK_BACKWARD_DATA;
    static const char any;
    struct op_case c = *op_case;
    if (whole) {
        c.x[0] = (const void *)&any;
        c.x[1] = node->op->inputs == 2 ? (const void *)&any : NULL;
        c.y = c.dx = c.gradients = c.state = (void *)&any;
        c.dy = c.parameters = c.mask_y = (const void *)&any;
        for (int k = 0; k < INK_MAX_SAVED; k++)
            c.saved[k] = (void *)&any;
    }
    *call = (struct ink_call){
        .node = node, .number = 3, .device = device_of(op_case), .style = way->style, .vector_width = way->vector_width, .batch = c.batch,
        .training = c.training, .pass = pass, .operand = c.operand,
        .x = {add_port(ports, "x", c.x[0], in, 0, c.n, false), add_port(ports, "x2", c.x[1], in, 0, c.n, false)},
        .y = add_port(ports, "y", c.y, out, 0, c.n, forward),
        .dy = add_port(ports, "dy", forward ? NULL : c.dy, out, 0, c.n, false),
        .dx = add_port(ports, "dx", data ? c.dx : NULL, in, 0, c.n, data),
        .parameters = add_port(ports, "parameters", c.parameters, 0, trained, c.n, false),
        .gradients = add_port(ports, "gradients", forward ? NULL : c.gradients, 0, trained, c.n, weights),
        .state = add_port(ports, "state", c.state, 0, node->state_count * sizeof(float), c.n, forward),
        .epilogue = {c.accumulate, c.mask, c.mask_slope, add_port(ports, "mask y", c.mask_y, in, 0, c.n, false)},
        .variant = way->variant,
    };
    for (int k = 0; k < INK_MAX_SAVED; k++)
        call->saved[k] = add_port(ports, "saved", c.saved[k], node->saved[k].sample_bytes, node->saved[k].fixed_bytes, c.n, forward);
    ck_assert_msg(call->x[1] == INK_NO_VALUE || node->op->inputs == 2, "%s takes one input", node->op->name);
    way->algorithm->emit(&ports->list, call);
    ck_assert_msg(ports->list.status == INK_OK, "%s: %s", way->label, ink_last_error());
}

struct ink_launches op_case_launches(const struct op_case *op_case, enum ink_pass pass, const char *algorithm, int vector_width)
{
    const struct ink_algorithm *a = op_case_node(op_case)->op->passes[pass];
    while (a->name && strcmp(a->name, algorithm) != 0)
        a++;
    ck_assert_msg(a->name, "there is no algorithm %s", algorithm);
    struct ports ports = {0};
    struct ink_call call;
    emit(&ports, op_case, pass, &(struct op_way){INK_STYLE_CPU, vector_width, pass, a, 0, algorithm}, true, &call);
    ck_assert_msg(!a->applies || a->applies(&call), "%s does not apply to pass %d of %d samples", algorithm, pass, op_case->batch);
    return ports.list;
}

int op_case_define(const struct ink_launch *launch, const char *name)
{
    for (int d = 0; d < launch->define_count; d++)
        if (strcmp(launch->defines[d].name, name) == 0)
            return atoi(launch->defines[d].text);
    ck_abort_msg("%s: %s is not defined", launch->label, name);
}

/* Programs that hold the kernels of many runs, one a vector width, as a build costs much the same whatever its size.
 * The first pass over the ways of a case adds to the lists; then each list becomes a program; a run whose kernels are
 * all there, which its own text together with the list's tells, takes them from there. */
static struct {
    bool prepared;           /* by op_case_prepare(): not for one case only */
    struct built {
        struct ports ports;
        struct ink_bound bound;
        char *text;
        cl_program program;
    } built[3];              /* for vectors of 4, 8, 16 */
} pool;

static struct built *pool_of(int vector_width) { return &pool.built[vector_width / 8]; }

/* A pass of a case. */
struct pass_of {
    const struct op_case *op_case;
    enum ink_pass pass;
};

static void pool_add(const struct op_way *way, void *user)
{
    const struct pass_of *what = user;
    struct ports *ports = &pool_of(way->vector_width)->ports;
    struct op_case c = *what->op_case;
    struct ink_call call;
    emit(ports, &c, what->pass, way, true, &call);
    ports->count = 0;
    if (what->pass != INK_BACKWARD_DATA)
        return;
    /* the end that tests of backward_data try beside the plain one */
    c.accumulate = true;
    c.mask = INK_RELU;
    emit(ports, &c, what->pass, way, true, &call);
    ports->count = 0;
}

static void pool_free(void)
{
    for (int i = 0; i < 3; i++) {
        struct built *built = &pool.built[i];
        ink_bound_free(&built->bound);
        ink_launches_free(&built->ports.list);
        free(built->text);
        if (built->program)
            clReleaseProgram(built->program);
        *built = (struct built){0};
    }
}

static void pool_build(void)
{
    for (int i = 0; i < 3; i++) {
        struct built *built = &pool.built[i];
        if (!built->ports.list.count)
            continue;
        built->bound = (struct ink_bound){.device = test_device(), .list = &built->ports.list, .batch = 1};
        ck_ok(ink_bound_place(&built->bound));
        ck_ok(ink_program_text(&built->bound, 1, i ? 8 * i : 4, &built->text));
        ck_ok(ink_program_build(test_device(), built->text, "", &built->program));
    }
}

/* The program that holds a list's kernels, to be released; sets the list's instances. */
static cl_program program_of(struct ink_bound *bound, const struct op_way *way)
{
    struct built *built = pool_of(way->vector_width);
    cl_program program;
    char *text;
    if (built->program) {
        struct ink_bound both[2] = {built->bound, *bound};
        ck_ok(ink_program_text(both, 2, way->vector_width, &text));
        bool same = strcmp(text, built->text) == 0;
        free(text);
        if (same) {
            clRetainProgram(built->program);
            return built->program;
        }
    }
    ck_ok(ink_program_text(bound, 1, way->vector_width, &text));
    ink_status status = ink_program_build(bound->device, text, "", &program);
    ck_assert_msg(status == INK_OK, "%s: %s", way->label, ink_last_error());
    free(text);
    return program;
}

/* Calls visit for every way; fails the test if there is none. */
static void each_way(const struct op_case *op_case, enum ink_pass pass, void (*visit)(const struct op_way *way, void *user), void *user)
{
    static const char *const passes[] = {"forward", "backward_data", "backward_weights"};
    const char *only = getenv("INKLING_TEST_ALGORITHM");
    int ways = 0;
    const struct ink_op *op = op_case_node(op_case)->op;
    for (const struct ink_algorithm *a = op->passes[pass]; a && a->name; a++)
        for (enum ink_style style = INK_STYLE_CPU; style <= INK_STYLE_GPU; style++)
            for (int width = 4; width <= 16; width *= 2) {
                if (a->style != INK_STYLE_AUTO && a->style != style)
                    continue;
                if (a->style == INK_STYLE_GPU && width != 4)
                    continue;
                if (a->on_request && (style != INK_STYLE_GPU || width != 4))
                    continue;
                const struct ink_node *node = op_case_node(op_case);
                struct ink_call call = {.node = node, .device = device_of(op_case), .style = style, .vector_width = width,
                                        .batch = op_case->batch, .training = op_case->training, .pass = pass};
                if ((a->applies && !a->applies(&call)) || (node->pool.height && !a->pools))
                    continue;
                ways++;
                if (only && *only && strcmp(only, a->name) != 0)
                    continue;
                int variants = op_case->every_variant && a->variants ? a->variants(&call) : 1;
                for (int variant = 0; variant < variants; variant++) {
                    char label[128];
                    snprintf(label, sizeof label, "%s %s %s, %s style, vectors of %d, variant %d", op->name, a->name, passes[pass],
                             style == INK_STYLE_CPU ? "CPU" : "GPU", width, variant);
                    visit(&(struct op_way){style, width, pass, a, variant, label}, user);
                }
            }
    ck_assert_msg(ways > 0, "%s has no algorithm for %s here", op->name, passes[pass]);
}

void op_case_prepare(const struct op_case *cases, int count)
{
    pool_free();
    pool.prepared = true;
    for (int i = 0; i < count; i++)
        for (enum ink_pass pass = INK_FORWARD; pass < INK_PASSES; pass++)
            if (op_case_node(&cases[i])->op->passes[pass])
                each_way(&cases[i], pass, pool_add, &(struct pass_of){&cases[i], pass});
    pool_build();
}

void op_case_each_way(const struct op_case *op_case, enum ink_pass pass, void (*check)(const struct op_way *way, void *user), void *user)
{
    if (!pool.prepared) {
        pool_free();
        each_way(op_case, pass, pool_add, &(struct pass_of){op_case, pass});
        pool_build();
    }
    each_way(op_case, pass, check, user);
}

double op_case_run(const struct op_case *op_case, enum ink_pass pass, const struct op_way *way)
{
    struct ink_device *device = test_device();
    struct ports ports = {0};
    struct ink_call call;
    bool data = pass == INK_BACKWARD_DATA;
    emit(&ports, op_case, pass, way, false, &call);

    struct ink_bound bound = {.device = device, .list = &ports.list, .batch = op_case->batch};
    cl_mem arena;
    ck_ok(ink_bound_place(&bound));
    cl_program program = program_of(&bound, way);
    ck_ok(ink_bound_kernels(&bound, program));
    ck_ok(ink_buffer_create(device, bound.arena_bytes, "test arena", &arena));
    cl_float nan = NAN;
    ck_ok(ink_cl_check(device, clEnqueueFillBuffer(device->queue, arena, &nan, sizeof nan, 0, bound.arena_bytes / 4 * 4, 0, NULL, NULL), "fill", "NaN"));
    ck_ok(ink_bound_storage(&bound, INK_ARENA, arena, bound.arena_bytes));
    for (int p = 0; p < ports.count; p++)
        if (!ports.all[p].out || (data && op_case->accumulate) || ports.all[p].value == call.state)
            ck_ok(ink_buffer_write(device, bound.buffers[ports.all[p].value], 0, ports.all[p].data, ports.all[p].bytes));
    cl_int scalars[INK_SCALARS] = {[INK_BATCH] = op_case->n, [INK_FIRST] = op_case->first, [INK_WHOLE] = op_case->first + op_case->n,
                                   [INK_STEP] = (cl_int)op_case->step, [INK_SEED_LOW] = (cl_int)(uint32_t)op_case->seed,
                                   [INK_SEED_HIGH] = (cl_int)(uint32_t)(op_case->seed >> 32)};
    ink_status status = ink_bound_run(&bound, device->queue, op_case->n, scalars, NULL);
    ck_assert_msg(status == INK_OK, "%s: %s", way->label, ink_last_error());
    for (int p = 0; p < ports.count; p++)
        if (ports.all[p].out)
            ck_ok(ink_buffer_read(device, bound.buffers[ports.all[p].value], 0, ports.all[p].data, ports.all[p].bytes));
    double factor = 1;
    for (int i = 0; i < ports.list.count; i++)
        factor = fmax(factor, ports.list.launches[i].error_factor);
    ink_bound_free(&bound);
    ink_launches_free(&ports.list);
    clReleaseMemObject(arena);
    clReleaseProgram(program);
    return factor;
}
