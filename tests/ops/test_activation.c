/* Activation, add and softmax layers against the reference: every style and vector width, at sizes that do not fill a
 * vector, with short batches. */
#include <stdio.h>
#include <string.h>

#include "ops/op_case.h"
#include "reference.h"
#include "suite.h"

static const struct {
    struct ink_shape shape;
    int batch, n;
    ink_activation activation;
    float slope;
    bool accumulate;
    ink_activation mask;
} sizes[] = {
    {{1, 1, 1}, 1, 1, INK_RELU, 0, false, INK_NONE},
    {{3, 5, 17}, 3, 2, INK_LEAKY_RELU, 0.25f, true, INK_RELU},
    {{2, 1, 33}, 5, 5, INK_SIGMOID, 0, false, INK_TANH},
    {{7, 3, 3}, 2, 1, INK_TANH, 0, true, INK_NONE},
};
enum { CASES = sizeof sizes / sizeof *sizes, LARGEST = 1024 };
static float x[LARGEST], other[LARGEST], y[LARGEST], dy[LARGEST], dx[LARGEST], start[LARGEST], mask[LARGEST];
static double want[LARGEST];

static struct op_case case_of(int i, const char *op)
{
    test_fill(1, -5, 5, x, LARGEST);
    test_fill(2, -2, 2, other, LARGEST);
    test_fill(3, -1, 1, dy, LARGEST);
    test_fill(4, -1, 1, mask, LARGEST);
    test_fill(5, -1, 1, start, LARGEST);
    bool activated = strcmp(op, "softmax") != 0;
    return (struct op_case){
        .in = sizes[i].shape, .batch = sizes[i].batch, .n = sizes[i].n, .training = true,
        .layer = {.op = op, .activation = activated ? sizes[i].activation : INK_NONE, .slope = activated ? sizes[i].slope : 0},
    };
}

static size_t values(const struct op_case *c) { return (size_t)c->n * ink_shape_count(c->in); }

/* OpenCL lets exp be 3 units in the last place off, tanh 5 and a division 2.5 (section 7.4 of OpenCL 1.2). The most that
 * meet in a value are exp, a sum and a division: 7 units, or 14 u where u = 2^-24. reference_tolerance(17) is 14 u. */
static double tolerance(size_t terms) { return reference_tolerance(terms + 16); }

static void check_activation(const struct op_way *way, void *user)
{
    int i = *(int *)user;
    struct op_case c = case_of(i, "activation");
    c.x[0] = x;
    c.y = y;
    op_case_run(&c, INK_FORWARD, way);
    reference_activation_forward(sizes[i].activation, sizes[i].slope, values(&c), x, want);
    reference_compare(way->label, y, want, values(&c), tolerance(1));
}

static void check_add(const struct op_way *way, void *user)
{
    int i = *(int *)user;
    struct op_case c = case_of(i, "add");
    float sums[LARGEST];
    c.x[0] = x;
    c.x[1] = other;
    c.y = y;
    op_case_run(&c, INK_FORWARD, way);
    reference_add(values(&c), x, other, want);
    for (size_t k = 0; k < values(&c); k++)
        sums[k] = (float)want[k];
    reference_activation_forward(sizes[i].activation, sizes[i].slope, values(&c), sums, want);
    reference_compare(way->label, y, want, values(&c), tolerance(1));
}

static void check_softmax(const struct op_way *way, void *user)
{
    struct op_case c = case_of(*(int *)user, "softmax");
    c.x[0] = x;
    c.y = y;
    op_case_run(&c, INK_FORWARD, way);
    reference_softmax_forward(values(&c) / (size_t)c.in.channels, c.in.channels, x, want);
    reference_compare(way->label, y, want, values(&c), tolerance((size_t)c.in.channels));
}

/* Runs backward_data; want is the gradient, which this brings to the end of the pass. */
static void run_backward(struct op_case *c, int i, const struct op_way *way, size_t terms)
{
    float sums[LARGEST];
    c->accumulate = sizes[i].accumulate;
    c->mask = sizes[i].mask;
    c->mask_y = sizes[i].mask ? mask : NULL;
    c->dy = dy;
    c->dx = dx;
    memcpy(dx, start, sizeof dx);
    op_case_run(c, INK_BACKWARD_DATA, way);
    for (size_t k = 0; k < values(c); k++) {
        want[k] += c->accumulate ? (double)start[k] : 0;
        sums[k] = (float)want[k];
    }
    if (c->mask)
        reference_activation_backward(c->mask, 0, values(c), mask, sums, want);
    reference_compare(way->label, dx, want, values(c), reference_tolerance(terms));
}

/* dy is the gradient before the layer's own activation already, so it is handed on, to either operand of an add. */
static void check_passed(struct op_case c, int i, const struct op_way *way)
{
    for (size_t k = 0; k < values(&c); k++)
        want[k] = (double)dy[k];
    run_backward(&c, i, way, 1);
}

static void check_activation_backward(const struct op_way *way, void *user)
{
    check_passed(case_of(*(int *)user, "activation"), *(int *)user, way);
}

static void check_add_backward(const struct op_way *way, void *user)
{
    struct op_case c = case_of(*(int *)user, "add");
    c.x[1] = other;
    c.operand = *(int *)user % 2;
    check_passed(c, *(int *)user, way);
}

static void check_softmax_backward(const struct op_way *way, void *user)
{
    int i = *(int *)user;
    struct op_case c = case_of(i, "softmax");
    reference_softmax_forward(values(&c) / (size_t)c.in.channels, c.in.channels, x, want);
    for (size_t k = 0; k < values(&c); k++)
        y[k] = (float)want[k];
    reference_softmax_backward(values(&c) / (size_t)c.in.channels, c.in.channels, y, dy, want);
    c.y = y;
    run_backward(&c, i, way, (size_t)c.in.channels + 1);
}

START_TEST(activation_agrees_with_the_reference)
{
    struct op_case c = case_of(_i, "activation");
    op_case_each_way(&c, INK_FORWARD, check_activation, &_i);
    if (_i == 1)
        op_case_each_way(&c, INK_BACKWARD_DATA, check_activation_backward, &_i);
}
END_TEST

START_TEST(add_agrees_with_the_reference)
{
    struct op_case c = case_of(_i, "add");
    c.x[1] = other;
    op_case_each_way(&c, INK_FORWARD, check_add, &_i);
    op_case_each_way(&c, INK_BACKWARD_DATA, check_add_backward, &_i);
}
END_TEST

START_TEST(softmax_agrees_with_the_reference)
{
    struct op_case c = case_of(_i, "softmax");
    op_case_each_way(&c, INK_FORWARD, check_softmax, &_i);
    op_case_each_way(&c, INK_BACKWARD_DATA, check_softmax_backward, &_i);
}
END_TEST

static void check_large(const struct op_way *way, void *user)
{
    struct op_case c = case_of(1, "softmax");
    (void)user;
    for (int k = 0; k < LARGEST; k++)
        x[k] = 1e4f * (float)(k % c.in.channels);
    c.x[0] = x;
    c.y = y;
    op_case_run(&c, INK_FORWARD, way);
    for (size_t k = 0; k < values(&c); k++)
        ck_assert_msg(y[k] == (k % (size_t)c.in.channels == (size_t)c.in.channels - 1 ? 1.0f : 0.0f), "%s: value %zu is %g", way->label, k, (double)y[k]);
}

START_TEST(softmax_of_large_logits_does_not_overflow)
{
    struct op_case c = case_of(1, "softmax");
    op_case_each_way(&c, INK_FORWARD, check_large, NULL);
}
END_TEST

START_TEST(layers_that_cannot_be_are_refused)
{
    ink_model *model = NULL;
    ck_ok(ink_model_create((struct ink_shape){4, 4, 2}, &model));
    ck_fails(ink_model_add(model, &(struct ink_layer){.op = "activation"}), INK_ERROR_SHAPE, "needs an activation");
    ck_fails(ink_model_add(model, &(struct ink_layer){.op = "add"}), INK_ERROR_SHAPE, "second input");
    ck_fails(ink_model_add(model, &(struct ink_layer){.op = "softmax", .units = 3}), INK_ERROR_SHAPE, "units");
    ck_ok(ink_model_add(model, &(struct ink_layer){.op = "max_pool", .filter_height = 2, .filter_width = 2}));
    ck_fails(ink_model_add(model, &(struct ink_layer){.op = "add", .other = "input"}), INK_ERROR_SHAPE, "inputs differ");
    ink_model_destroy(&model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("activation");
    TCase *all = tcase_create("activation");
    tcase_add_loop_test(all, activation_agrees_with_the_reference, 0, CASES);
    tcase_add_loop_test(all, add_agrees_with_the_reference, 0, 3);
    tcase_add_loop_test(all, softmax_agrees_with_the_reference, 0, 3);
    tcase_add_test(all, softmax_of_large_logits_does_not_overflow);
    tcase_add_test(all, layers_that_cannot_be_are_refused);
    return run_case(suite, all);
}
