/* Dense layers against the reference: every algorithm, style and vector width, at sizes that do not fill a vector. */
#include <stdio.h>
#include <string.h>

#include "ops/op_case.h"
#include "reference.h"
#include "suite.h"

static const struct { int inputs, units, batch, n; ink_activation activation; bool no_bias; } sizes[] = {
    {1, 1, 1, 1, INK_NONE, false},     {7, 10, 5, 3, INK_RELU, false},     {64, 10, 33, 32, INK_NONE, false},
    {100, 64, 12, 12, INK_RELU, true}, {37, 67, 9, 1, INK_LEAKY_RELU, false}, {13, 130, 4, 4, INK_TANH, false},
    {50, 48, 16, 7, INK_SIGMOID, false},
    /* as many results as the largest tiles of matrix multiply want, forward and backward_weights, then backward_data */
    {3, 515, 520, 519, INK_RELU, false}, {515, 3, 520, 520, INK_NONE, false},
};
enum { LARGEST = 1 << 19 };
static float x[LARGEST], y[LARGEST], dy[LARGEST], dx[LARGEST], start[LARGEST], mask[LARGEST], parameters[LARGEST], gradients[LARGEST];
static double want[LARGEST], masked[LARGEST];

static struct op_case dense_case(int i)
{
    test_fill(1, -1, 1, x, LARGEST);
    test_fill(2, -1, 1, parameters, LARGEST);
    test_fill(3, -1, 1, dy, LARGEST);
    test_fill(4, -1, 1, mask, LARGEST);
    test_fill(5, -1, 1, start, LARGEST);
    return (struct op_case){
        .in = {1, 1, sizes[i].inputs}, .batch = sizes[i].batch, .n = sizes[i].n,
        .layer = {.op = "dense", .units = sizes[i].units, .activation = sizes[i].activation, .slope = sizes[i].activation == INK_LEAKY_RELU ? 0.2f : 0,
                  .no_bias = sizes[i].no_bias},
    };
}

static void check_forward(const struct op_way *way, void *user)
{
    int i = *(int *)user, outputs = sizes[i].n * sizes[i].units;
    struct op_case c = dense_case(i);
    c.x[0] = x;
    c.parameters = parameters;
    c.y = y;
    op_case_run(&c, INK_FORWARD, way);
    reference_dense_forward(sizes[i].n, sizes[i].inputs, sizes[i].units, x, parameters,
                            sizes[i].no_bias ? NULL : parameters + sizes[i].inputs * sizes[i].units, want);
    static float sums[LARGEST];
    for (int k = 0; k < outputs; k++)
        sums[k] = (float)want[k];
    if (sizes[i].activation != INK_NONE)
        reference_activation_forward(sizes[i].activation, 0.2f, (size_t)outputs, sums, want);
    reference_compare(way->label, y, want, (size_t)outputs, reference_tolerance((size_t)sizes[i].inputs + 1));
}

static void check_backward_data(const struct op_way *way, void *user)
{
    int i = *(int *)user, values = sizes[i].n * sizes[i].inputs;
    struct op_case c = dense_case(i);
    c.dy = dy;
    c.parameters = parameters;
    c.dx = dx;
    reference_dense_backward_data(sizes[i].n, sizes[i].inputs, sizes[i].units, parameters, dy, want);
    op_case_run(&c, INK_BACKWARD_DATA, way);
    reference_compare(way->label, dx, want, (size_t)values, reference_tolerance((size_t)sizes[i].units));

    c.accumulate = true;
    c.mask = INK_RELU;
    c.mask_y = mask;
    memcpy(dx, start, sizeof dx);
    op_case_run(&c, INK_BACKWARD_DATA, way);
    for (int k = 0; k < values; k++)
        masked[k] = mask[k] > 0 ? want[k] + start[k] : 0;
    reference_compare(way->label, dx, masked, (size_t)values, reference_tolerance((size_t)sizes[i].units + 1));
}

static void check_backward_weights(const struct op_way *way, void *user)
{
    int i = *(int *)user, weights = sizes[i].inputs * sizes[i].units;
    struct op_case c = dense_case(i);
    c.x[0] = x;
    c.dy = dy;
    c.gradients = gradients;
    op_case_run(&c, INK_BACKWARD_WEIGHTS, way);
    reference_dense_backward_weights(sizes[i].n, sizes[i].inputs, sizes[i].units, x, dy, want);
    if (!sizes[i].no_bias)
        reference_bias_backward((size_t)sizes[i].n, sizes[i].units, dy, want + weights);
    reference_compare(way->label, gradients, want, (size_t)(weights + (sizes[i].no_bias ? 0 : sizes[i].units)),
                      reference_tolerance((size_t)sizes[i].n));
}

START_TEST(every_pass_agrees_with_the_reference)
{
    enum { CASES = sizeof sizes / sizeof *sizes };
    struct op_case cases[CASES];
    for (int i = 0; i < CASES; i++)
        cases[i] = dense_case(i);
    op_case_prepare(cases, CASES);
    for (int i = 0; i < CASES; i++) {
        ck_assert_int_lt(sizes[i].batch * (sizes[i].inputs + sizes[i].units), LARGEST);
        struct op_case c = dense_case(i);
        op_case_each_way(&c, INK_FORWARD, check_forward, &i);
        op_case_each_way(&c, INK_BACKWARD_DATA, check_backward_data, &i);
        op_case_each_way(&c, INK_BACKWARD_WEIGHTS, check_backward_weights, &i);
    }
}
END_TEST

int main(void)
RUN_SUITE("dense", every_pass_agrees_with_the_reference)
