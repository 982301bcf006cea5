/* Dropout against a mask drawn on the host: the device must drop the same elements, whatever its style and vector width. */
#include <string.h>

#include "ops/op_case.h"
#include "reference.h"
#include "suite.h"
#include "util/rng.h"

static const struct {
    struct ink_shape shape;
    int batch, n;
    float rate;
    uint32_t step;
    uint64_t seed;
    bool accumulate;
    ink_activation mask;
    int first; /* sample of the batch */
} sizes[] = {
    {{1, 1, 1}, 1, 1, 0.5f, 0, 0, false, INK_NONE},
    {{5, 3, 17}, 4, 3, 0.25f, 7, UINT64_C(0x123456789abcdef0), true, INK_SIGMOID},
    {{3, 4, 33}, 3, 3, 0.9f, UINT32_C(0xfffffff0), UINT64_C(0xffffffff00000001), false, INK_RELU},
    {{5, 3, 17}, 4, 3, 0.25f, 7, 11, true, INK_SIGMOID, 1}, /* 255 values a sample: a part begins behind 3, 2, 1 and none of four */
    {{5, 3, 17}, 4, 2, 0.25f, 7, 11, false, INK_NONE, 2},
    {{1, 3, 85}, 4, 1, 0.5f, 7, 11, false, INK_NONE, 3},
    {{1, 1, 31}, 4, 1, 0.5f, 7, 11, false, INK_NONE, 5}, /* across more blocks than a whole sample has */
    {{1, 1, 3}, 9, 1, 0.5f, 1, 3, true, INK_RELU, 1000000000}, /* its values are beyond 32 bits */
    {{4, 4, 4}, 4, 4, 0.5f, 7, 11, false, INK_RELU, 4},
};
enum { CASES = sizeof sizes / sizeof *sizes, LARGEST = 2048, NUMBER = 3 /* of the node that op_case_run() gives */ };
static float x[LARGEST], y[LARGEST], dx[LARGEST], mask[LARGEST], start[LARGEST];
static uint8_t keep[LARGEST];
static double want[LARGEST];

static struct op_case case_of(int i)
{
    test_fill(1, 1, 2, x, LARGEST);
    test_fill(4, -1, 1, mask, LARGEST);
    test_fill(5, -1, 1, start, LARGEST);
    struct ink_shape shape = sizes[i].shape;
    uint64_t before = (uint64_t)sizes[i].first * (uint64_t)(shape.height * shape.width * shape.channels);
    for (uint32_t k = 0; k < LARGEST; k++) {
        uint32_t words[4];
        ink_random_words(sizes[i].seed, INK_STREAM(INK_STREAM_DROPOUT, NUMBER), (uint64_t)sizes[i].step << 32 | (uint32_t)((before + k) / 4), words);
        keep[k] = ink_uniform(words[(before + k) % 4]) >= sizes[i].rate;
    }
    return (struct op_case){.in = sizes[i].shape, .batch = sizes[i].batch, .n = sizes[i].n, .training = true, .step = sizes[i].step, .first = sizes[i].first,
                            .seed = sizes[i].seed, .layer = {.op = "dropout", .rate = sizes[i].rate}};
}

static size_t values(const struct op_case *c) { return (size_t)c->n * ink_shape_count(c->in); }

/* x is at least 1, so an element is 0 only where it was dropped. A product of two rounded factors is left. */
static void check_forward(const struct op_way *way, void *user)
{
    struct op_case c = case_of(*(int *)user);
    c.x[0] = x;
    c.y = y;
    op_case_run(&c, INK_FORWARD, way);
    for (size_t k = 0; k < values(&c); k++)
        ck_assert_msg((y[k] != 0) == keep[k], "%s: element %zu is %g, and the mask says %s", way->label, k, (double)y[k], keep[k] ? "keep" : "drop");
    reference_dropout(values(&c), (double)sizes[*(int *)user].rate, keep, x, want);
    reference_compare(way->label, y, want, values(&c), reference_tolerance(1));
}

static void check_backward_data(const struct op_way *way, void *user)
{
    int i = *(int *)user;
    struct op_case c = case_of(i);
    float sums[LARGEST];
    c.accumulate = sizes[i].accumulate;
    c.mask = sizes[i].mask;
    c.mask_y = sizes[i].mask ? mask : NULL;
    c.dy = x;
    c.dx = dx;
    memcpy(dx, start, sizeof dx);
    op_case_run(&c, INK_BACKWARD_DATA, way);
    reference_dropout(values(&c), (double)sizes[i].rate, keep, x, want);
    for (size_t k = 0; k < values(&c); k++) {
        want[k] += c.accumulate ? (double)start[k] : 0;
        sums[k] = (float)want[k];
    }
    if (c.mask)
        reference_activation_backward(c.mask, 0, values(&c), mask, sums, want);
    reference_compare(way->label, dx, want, values(&c), reference_tolerance(2));
}

START_TEST(the_device_drops_what_the_host_does)
{
    struct op_case c = case_of(_i);
    op_case_each_way(&c, INK_FORWARD, check_forward, &_i);
    op_case_each_way(&c, INK_BACKWARD_DATA, check_backward_data, &_i);
}
END_TEST

/* The share of kept elements of the mask: of 2048, five standard deviations are 5 * sqrt(0.25 * 0.75 / 2048) = 0.048. */
START_TEST(the_mask_has_the_rate)
{
    int kept = 0;
    case_of(1);
    for (int k = 0; k < LARGEST; k++)
        kept += keep[k];
    ck_assert_double_eq_tol(kept / (double)LARGEST, 0.75, 0.048);
}
END_TEST

START_TEST(rates_that_cannot_be_are_refused)
{
    ink_model *model = NULL;
    ck_ok(ink_model_create((struct ink_shape){4, 4, 2}, &model));
    ck_fails(ink_model_add(model, &(struct ink_layer){.op = "dropout", .rate = 1}), INK_ERROR_SHAPE, "rate is 1");
    ck_fails(ink_model_add(model, &(struct ink_layer){.op = "dropout", .rate = -0.5f}), INK_ERROR_SHAPE, "-0.5");
    ck_ok(ink_model_add(model, &(struct ink_layer){.op = "dropout", .rate = 0.5f}));
    ink_model_destroy(&model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("dropout");
    TCase *all = tcase_create("dropout");
    tcase_add_loop_test(all, the_device_drops_what_the_host_does, 0, CASES);
    tcase_add_test(all, the_mask_has_the_rate);
    tcase_add_test(all, rates_that_cannot_be_are_refused);
    return run_case(suite, all);
}
