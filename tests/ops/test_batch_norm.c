/* Batch normalisation against the reference: every style and vector width, over one part of rows and several, with short
 * batches, in training and in inference. */
#include <math.h>
#include <string.h>

#include "ops/op_case.h"
#include "reference.h"
#include "suite.h"

static const struct {
    struct ink_shape shape;
    int batch, n;
    float low, high;           /* of x */
    ink_activation activation;
    bool accumulate;
    ink_activation mask;
    float momentum, epsilon;
    int pool_height, pool_width; /* of the pooling behind; 0: none */
    size_t max_work_group;     /* a GPU's; 0: as many as it allows */
} sizes[] = {
    {{1, 1, 1}, 1, 1, -1, 1, INK_NONE, false, INK_NONE, 0, 0, 0, 0, 0},
    {{5, 3, 17}, 4, 3, -1, 1, INK_RELU, true, INK_TANH, 0.75f, 1e-3f, 0, 0, 0},
    {{1, 1, 520}, 40, 37, -2, 3, INK_NONE, false, INK_RELU, 0, 0, 0, 0, 0},       /* parts of 8 rows */
    {{13, 15, 3}, 17, 16, 1000, 1001, INK_NONE, false, INK_NONE, 0, 0, 0, 0, 0},  /* parts of 1366 rows; a mean far from 0 */
    {{7, 9, 17}, 9, 8, -1, 1, INK_TANH, true, INK_RELU, 0, 0, 2, 2, 0},           /* a row and a column that no window covers */
    {{6, 10, 32}, 5, 5, -1, 2, INK_RELU, false, INK_NONE, 0, 0, 3, 5, 0},
    /* for groups of many: blocks of columns of which the last has fewer, parts of several rounds, more parts than a group has items, and
     * groups of fewer items than there are vectors, of a number that vectors do not divide, and of one item */
    {{3, 5, 140}, 12, 11, -1, 2, INK_NONE, false, INK_NONE, 0, 0, 0, 0, 0},
    {{4, 4, 32}, 8192, 41, 5, 6, INK_NONE, false, INK_NONE, 0, 0, 0, 0, 0},
    {{4, 4, 32}, 16384, 40, -1, 2, INK_RELU, false, INK_NONE, 0, 0, 2, 2, 0},
    {{23, 25, 1}, 240, 239, -1, 2, INK_NONE, false, INK_NONE, 0, 0, 0, 0, 0},
    {{5, 7, 68}, 6, 5, -1, 2, INK_NONE, false, INK_RELU, 0, 0, 0, 0, 8},
    {{6, 5, 10}, 33, 32, -1, 2, INK_RELU, false, INK_NONE, 0, 0, 2, 2, 8},
    {{3, 3, 10}, 3, 2, -1, 2, INK_NONE, false, INK_NONE, 0, 0, 0, 0, 1},
    {{1, 1, 10}, 1, 1, -1, 2, INK_NONE, false, INK_NONE, 0, 0, 0, 0, 0},
    /* of a batch whose results are stored past the caches, some samples */
    {{4, 5, 32}, 2048, 7, -1, 2, INK_RELU, false, INK_RELU, 0, 0, 0, 0, 0},
    {{4, 4, 32}, 8192, 3, -1, 2, INK_NONE, false, INK_TANH, 0, 0, 2, 2, 0},
};
enum { CASES = sizeof sizes / sizeof *sizes, LARGEST = 140000, CHANNELS = 520 };
static float x[LARGEST], y[LARGEST], dy[LARGEST], dx[LARGEST], start[LARGEST], mask[LARGEST], saved[2 * CHANNELS], state[2 * CHANNELS];
static float parameters[2 * CHANNELS], gradients[2 * CHANNELS];
static uint8_t places[LARGEST];
static double want[LARGEST], whole[LARGEST], mean[CHANNELS], variance[CHANNELS], running[2 * CHANNELS];

static struct op_case case_of(int i)
{
    size_t count = ink_shape_count(sizes[i].shape) * (size_t)sizes[i].n;
    test_fill(1, sizes[i].low, sizes[i].high, x, count);
    test_fill(2, -1, 2, parameters, 2 * CHANNELS);
    test_fill(3, -1, 1, dy, count);
    test_fill(4, -1, 1, mask, count);
    test_fill(5, -1, 1, start, count);
    test_fill(6, 0.5f, 2, state, 2 * CHANNELS);
    return (struct op_case){
        .in = sizes[i].shape, .pool = {sizes[i].pool_height, sizes[i].pool_width}, .batch = sizes[i].batch, .n = sizes[i].n,
        .max_work_group = sizes[i].max_work_group, .training = true, .x = {x}, .parameters = parameters, .state = state,
        .layer = {.op = "batch_norm", .activation = sizes[i].activation, .momentum = sizes[i].momentum, .epsilon = sizes[i].epsilon},
    };
}

static size_t rows_of(const struct op_case *c) { return (size_t)c->n * (size_t)c->in.height * (size_t)c->in.width; }

static size_t values(const struct op_case *c) { return (size_t)c->n * ink_shape_count(c->in); }

static size_t outputs(const struct op_case *c) { return (size_t)c->n * ink_shape_count(op_case_node(c)->out); }

/* The place in an image of window o's pixel k, o counting the pooled values. */
static size_t pixel_of(const struct op_case *c, size_t o, int k)
{
    size_t channels = (size_t)c->in.channels, width = (size_t)c->in.width, height = (size_t)c->in.height, ph = (size_t)c->pool.height, pw = (size_t)c->pool.width;
    size_t pixel = o / channels, ow = pixel % (width / pw), row = pixel / (width / pw), oh = row % (height / ph), sample = row / (height / ph);
    size_t h = oh * ph + (size_t)k / pw, w = ow * pw + (size_t)k % pw;
    return ((sample * height + h) * width + w) * channels + o % channels;
}

/* From all values the largest of each window, and places, where in it that is. Without pooling nothing changes. */
static void pool(const struct op_case *c, double *all)
{
    memcpy(whole, all, sizeof whole);
    for (size_t o = 0; c->pool.height && o < outputs(c); o++) {
        places[o] = 0;
        for (int k = 1; k < c->pool.height * c->pool.width; k++)
            if (whole[pixel_of(c, o, k)] > whole[pixel_of(c, o, places[o])])
                places[o] = (uint8_t)k;
        all[o] = whole[pixel_of(c, o, places[o])];
    }
}

static float epsilon_of(int i) { return sizes[i].epsilon != 0 ? sizes[i].epsilon : 1e-5f; }

static float momentum_of(int i) { return sizes[i].momentum != 0 ? sizes[i].momentum : 0.9f; }

/* Deviations from the mean are differences of values that may lie close together: an error of the mean, relative to it,
 * counts |mean| / deviation times in xhat. x is uniform, so the deviation is its range / sqrt(12). */
static double tolerance(const struct op_case *c, int i)
{
    double range = (double)sizes[i].high - (double)sizes[i].low, middle = fabs((double)sizes[i].high + (double)sizes[i].low) / 2;
    return reference_tolerance(rows_of(c)) * (1 + middle / range * sqrt(12));
}

/* want = f(want), pooled. */
static void activate(const struct op_case *c)
{
    static float sums[LARGEST];
    pool(c, want);
    for (size_t k = 0; k < outputs(c); k++)
        sums[k] = (float)want[k];
    if (c->layer.activation)
        reference_activation_forward(c->layer.activation, 0, outputs(c), sums, want);
}

static void check_training(const struct op_way *way, void *user)
{
    int i = *(int *)user, channels = sizes[i].shape.channels;
    struct op_case c = case_of(i);
    double inverse[CHANNELS], epsilon = (double)epsilon_of(i);
    for (int k = 0; k < 2 * channels; k++)
        running[k] = (double)state[k];
    static uint8_t winners[LARGEST];
    c.y = y;
    c.saved[0] = saved;
    c.saved[1] = c.pool.height ? winners : NULL;
    op_case_run(&c, INK_FORWARD, way);
    reference_batch_norm_forward(rows_of(&c), channels, x, parameters, parameters + channels, epsilon, want, mean, variance);
    activate(&c);
    reference_compare(way->label, y, want, outputs(&c), tolerance(&c, i));
    for (size_t o = 0; c.pool.height && o < outputs(&c); o++)
        ck_assert_msg(winners[o] == places[o], "%s: window %zu is won by %d, not by %d", way->label, o, places[o], winners[o]);
    for (int k = 0; k < channels; k++)
        inverse[k] = 1 / sqrt(variance[k] + epsilon);
    reference_compare("mean", saved, mean, (size_t)channels, reference_tolerance(rows_of(&c)));
    reference_compare("inverse deviation", saved + channels, inverse, (size_t)channels, tolerance(&c, i));
    reference_batch_norm_running(rows_of(&c), channels, (double)momentum_of(i), mean, variance, running, running + channels);
    reference_compare("running mean", state, running, (size_t)channels, reference_tolerance(rows_of(&c)));
    reference_compare("running variance", state + channels, running + channels, (size_t)channels, tolerance(&c, i));
}

static void check_inference(const struct op_way *way, void *user)
{
    int i = *(int *)user, channels = sizes[i].shape.channels;
    struct op_case c = case_of(i);
    float before[2 * CHANNELS];
    memcpy(before, state, sizeof before);
    c.training = false;
    c.y = y;
    op_case_run(&c, INK_FORWARD, way);
    reference_batch_norm_inference(rows_of(&c), channels, x, parameters, parameters + channels, before, before + channels, (double)epsilon_of(i), want);
    activate(&c);
    reference_compare(way->label, y, want, outputs(&c), reference_tolerance(4));
    ck_assert_msg(memcmp(before, state, 2 * (size_t)channels * sizeof *state) == 0, "%s: the running statistics moved", way->label);
}

/* What forward would have kept, and the gradients of gamma and beta. */
static void set_backward(struct op_case *c, int i, double *dgamma, double *dbeta)
{
    int channels = c->in.channels;
    double epsilon = (double)epsilon_of(i);
    reference_batch_norm_forward(rows_of(c), channels, x, parameters, parameters + channels, epsilon, want, mean, variance);
    static float spread[LARGEST];
    if (c->pool.height) {
        pool(c, want);
        memset(spread, 0, sizeof spread);
        for (size_t o = 0; o < outputs(c); o++)
            spread[pixel_of(c, o, places[o])] = dy[o];
        c->saved[1] = places;
    }
    reference_batch_norm_backward(rows_of(c), channels, x, parameters, c->pool.height ? spread : dy, epsilon, want, dgamma, dbeta);
    for (int k = 0; k < channels; k++) {
        saved[k] = (float)mean[k];
        saved[channels + k] = (float)(1 / sqrt(variance[k] + epsilon));
    }
    c->state = NULL;
    c->saved[0] = saved;
    c->dy = dy;
    c->gradients = gradients;
}

static void check_backward_weights(const struct op_way *way, void *user)
{
    int i = *(int *)user, channels = sizes[i].shape.channels;
    struct op_case c = case_of(i);
    static double gamma_beta[2 * CHANNELS];
    set_backward(&c, i, gamma_beta, gamma_beta + channels);
    op_case_run(&c, INK_BACKWARD_WEIGHTS, way);
    reference_compare(way->label, gradients, gamma_beta, 2 * (size_t)channels, tolerance(&c, i));
}

static void check_backward_data(const struct op_way *way, void *user)
{
    int i = *(int *)user, channels = sizes[i].shape.channels;
    struct op_case c = case_of(i);
    static double gamma_beta[2 * CHANNELS];
    static float sums[LARGEST];
    set_backward(&c, i, gamma_beta, gamma_beta + channels);
    for (int k = 0; k < 2 * channels; k++)
        gradients[k] = (float)gamma_beta[k];
    c.accumulate = sizes[i].accumulate;
    c.mask = sizes[i].mask;
    c.mask_y = sizes[i].mask ? mask : NULL;
    c.dx = dx;
    memcpy(dx, start, sizeof dx);
    op_case_run(&c, INK_BACKWARD_DATA, way);
    for (size_t k = 0; k < values(&c); k++) {
        want[k] += c.accumulate ? (double)start[k] : 0;
        sums[k] = (float)want[k];
    }
    if (c.mask)
        reference_activation_backward(c.mask, 0, values(&c), mask, sums, want);
    reference_compare(way->label, dx, want, values(&c), tolerance(&c, i));
}

START_TEST(every_pass_agrees_with_the_reference)
{
    struct op_case c = case_of(_i);
    op_case_each_way(&c, INK_FORWARD, check_training, &_i);
    op_case_each_way(&c, INK_BACKWARD_WEIGHTS, check_backward_weights, &_i);
    op_case_each_way(&c, INK_BACKWARD_DATA, check_backward_data, &_i);
    c.training = false;
    op_case_each_way(&c, INK_FORWARD, check_inference, &_i);
}
END_TEST

START_TEST(layers_that_cannot_be_are_refused)
{
    ink_model *model = NULL;
    ck_ok(ink_model_create((struct ink_shape){4, 4, 2}, &model));
    ck_fails(ink_model_add(model, &(struct ink_layer){.op = "batch_norm", .momentum = 1}), INK_ERROR_SHAPE, "momentum is 1");
    ck_fails(ink_model_add(model, &(struct ink_layer){.op = "batch_norm", .epsilon = -1}), INK_ERROR_SHAPE, "epsilon is -1");
    ck_fails(ink_model_add(model, &(struct ink_layer){.op = "batch_norm", .units = 2}), INK_ERROR_SHAPE, "units");
    ck_ok(ink_model_add(model, &(struct ink_layer){.op = "batch_norm"}));
    const struct ink_node *node = &model->nodes[0];
    ck_assert_uint_eq(node->trained_count, 4);
    ck_assert_uint_eq(node->state_count, 4);
    for (int k = 0; k < 4; k++) {
        ck_assert(model->trained[k] == (k < 2 ? 1.0f : 0.0f));
        ck_assert(model->state[k] == (k < 2 ? 0.0f : 1.0f));
    }
    ink_model_destroy(&model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("batch_norm");
    TCase *all = tcase_create("batch_norm");
    tcase_add_loop_test(all, every_pass_agrees_with_the_reference, 0, CASES);
    tcase_add_test(all, layers_that_cannot_be_are_refused);
    return run_case(suite, all);
}
