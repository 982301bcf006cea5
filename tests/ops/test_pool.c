/* Pooling against the reference: every algorithm, style and vector width, over windows that overlap, touch, lie apart or
 * hang over the border, at channel counts that do not fill a vector, with ties. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "ops/op_case.h"
#include "reference.h"
#include "suite.h"

static const struct {
    int height, width, channels, filter_height, filter_width, stride_height, stride_width;
    ink_padding padding;
    int top, bottom, left, right, batch, n;
    bool accumulate;
    ink_activation mask;
} sizes[] = {
    {6, 4, 32, 2, 2, 0, 0, INK_VALID, 0, 0, 0, 0, 3, 3, false, INK_RELU},
    {1, 1, 1, 1, 1, 0, 0, INK_VALID, 0, 0, 0, 0, 1, 1, false, INK_NONE},
    {7, 5, 17, 2, 2, 0, 0, INK_VALID, 0, 0, 0, 0, 5, 2, true, INK_SIGMOID},
    {11, 8, 3, 2, 1, 4, 3, INK_VALID, 0, 0, 0, 0, 2, 2, false, INK_TANH},
    {9, 7, 33, 3, 3, 2, 2, INK_SAME, 0, 0, 0, 0, 2, 1, true, INK_LEAKY_RELU},
    {5, 8, 16, 3, 4, 1, 2, INK_EXPLICIT, 2, 0, 1, 3, 2, 2, false, INK_NONE},
    {20, 19, 2, 17, 16, 2, 3, INK_VALID, 0, 0, 0, 0, 2, 2, true, INK_NONE},
};
enum { CASES = sizeof sizes / sizeof *sizes, LARGEST = 8192 };
static float x[LARGEST], y[LARGEST], dy[LARGEST], dx[LARGEST], start[LARGEST];
static uint16_t saved[LARGEST];
static double want[LARGEST];

static struct op_case pool_case(int i, const char *op)
{
    /* few different values, so that most windows have ties; at least 0 after ReLU, which its y never is below */
    test_fill(1, -4, 4, x, LARGEST);
    for (int k = 0; k < LARGEST; k++)
        x[k] = floorf(sizes[i].mask == INK_RELU || sizes[i].mask == INK_SIGMOID ? fmaxf(x[k], 0) : x[k]) / 4.5f;
    test_fill(3, -1, 1, dy, LARGEST);
    test_fill(5, -1, 1, start, LARGEST);
    return (struct op_case){
        .in = {sizes[i].height, sizes[i].width, sizes[i].channels}, .batch = sizes[i].batch, .n = sizes[i].n, .training = true,
        .layer = {.op = op, .filter_height = sizes[i].filter_height, .filter_width = sizes[i].filter_width,
                  .stride_height = sizes[i].stride_height, .stride_width = sizes[i].stride_width, .padding = sizes[i].padding,
                  .pad_top = sizes[i].top, .pad_bottom = sizes[i].bottom, .pad_left = sizes[i].left, .pad_right = sizes[i].right},
    };
}

static struct reference_window window_of(const struct op_case *c)
{
    const struct ink_layer *l = &op_case_node(c)->layer;
    struct reference_window window = {
        .batch = c->n, .height = c->in.height, .width = c->in.width, .channels = c->in.channels,
        .filter_height = l->filter_height, .filter_width = l->filter_width, .stride_height = l->stride_height, .stride_width = l->stride_width,
        .pad_top = c->layer.pad_top, .pad_bottom = c->layer.pad_bottom, .pad_left = c->layer.pad_left, .pad_right = c->layer.pad_right,
    };
    if (l->padding == INK_SAME)
        reference_pad_same(&window);
    return window;
}

static size_t inputs(const struct op_case *c) { return (size_t)c->n * ink_shape_count(c->in); }

static size_t outputs(const struct op_case *c) { return (size_t)c->n * ink_shape_count(op_case_node(c)->out); }

/* want = the end of a backward_data pass: added to what is there, then through the activation before, whose output is x. */
static void end_gradient(const struct op_case *c)
{
    float sums[LARGEST];
    for (size_t k = 0; k < inputs(c); k++)
        sums[k] = (float)(want[k] + (c->accumulate ? start[k] : 0));
    if (c->mask != INK_NONE)
        reference_activation_backward(c->mask, c->mask_slope, inputs(c), x, sums, want);
    else
        for (size_t k = 0; k < inputs(c); k++)
            want[k] = sums[k];
}

/* The gradient's end of case i. */
static void set_end(struct op_case *c, int i)
{
    c->accumulate = sizes[i].accumulate;
    c->mask = sizes[i].mask;
    c->mask_slope = sizes[i].mask == INK_LEAKY_RELU ? 0.3f : 0;
    c->mask_y = sizes[i].mask ? x : NULL;
    memcpy(dx, start, sizeof dx);
}

/* The largest value is one of the inputs, so there is nothing to round. */
static void check_max_forward(const struct op_way *way, void *user)
{
    struct op_case c = pool_case(*(int *)user, "max_pool");
    struct reference_window window = window_of(&c);
    c.x[0] = x;
    c.y = y;
    c.saved[0] = saved;
    op_case_run(&c, INK_FORWARD, way);
    reference_max_pool_forward(&window, x, want);
    reference_compare(way->label, y, want, outputs(&c), 0);
}

/* Of the winners that forward left in saved. Sums of at most all windows over a pixel. */
static void check_max_backward(const struct op_way *way, void *user)
{
    struct op_case c = pool_case(*(int *)user, "max_pool");
    struct reference_window window = window_of(&c);
    reference_max_pool_backward(&window, x, dy, want);
    set_end(&c, *(int *)user);
    end_gradient(&c);
    c.y = y;
    c.dy = dy;
    c.dx = dx;
    c.saved[0] = saved;
    op_case_run(&c, INK_BACKWARD_DATA, way);
    reference_compare(way->label, dx, want, inputs(&c), reference_tolerance((size_t)(window.filter_height * window.filter_width) + 1));
}

START_TEST(max_pool_agrees_with_the_reference)
{
    struct op_case c = pool_case(_i, "max_pool");
    op_case_each_way(&c, INK_FORWARD, check_max_forward, &_i);
    op_case_each_way(&c, INK_BACKWARD_DATA, check_max_backward, &_i);
}
END_TEST

/* What matters in a window: NaN is handed on, and the first of equal values wins even if it is -infinity at a border. */
static void check_special(const struct op_way *way, void *user)
{
    struct op_case c = pool_case(5, "max_pool");
    struct reference_window window = window_of(&c);
    (void)user;
    for (size_t k = 0; k < inputs(&c); k++)
        x[k] = k % 7 == 0 ? NAN : -INFINITY;
    c.x[0] = x;
    c.y = y;
    c.saved[0] = saved;
    op_case_run(&c, INK_FORWARD, way);
    size_t o = 0;
    for (int s = 0; s < c.n; s++)
        for (int oh = 0; oh < reference_out_height(&window); oh++)
            for (int ow = 0; ow < reference_out_width(&window); ow++)
                for (int k = 0; k < window.channels; k++, o++) {
                    int first = -1, first_nan = -1;
                    for (int place = 0; place < window.filter_height * window.filter_width; place++) {
                        int h = oh * window.stride_height - window.pad_top + place / window.filter_width;
                        int w = ow * window.stride_width - window.pad_left + place % window.filter_width;
                        if (h < 0 || h >= window.height || w < 0 || w >= window.width)
                            continue;
                        if (first < 0)
                            first = place;
                        if (first_nan < 0 && isnan(x[((s * window.height + h) * window.width + w) * window.channels + k]))
                            first_nan = place;
                    }
                    ck_assert_msg(isnan(y[o]) == (first_nan >= 0), "%s: output %zu is %g", way->label, o, (double)y[o]);
                    int place = ((const uint8_t *)saved)[o], right = first_nan >= 0 ? first_nan : first;
                    ck_assert_msg(place == right, "%s: the winner of output %zu is %d, not %d", way->label, o, place, right);
                }
}

START_TEST(max_pool_hands_on_nan_and_never_lets_padding_win)
{
    struct op_case c = pool_case(5, "max_pool");
    op_case_each_way(&c, INK_FORWARD, check_special, NULL);
}
END_TEST

static void check_inference(const struct op_way *way, void *user)
{
    struct op_case c = pool_case(2, "max_pool");
    struct reference_window window = window_of(&c);
    (void)user;
    c.x[0] = x;
    c.y = y;
    c.training = false;
    op_case_run(&c, INK_FORWARD, way);
    reference_max_pool_forward(&window, x, want);
    reference_compare(way->label, y, want, outputs(&c), 0);
}

START_TEST(max_pool_keeps_nothing_in_inference)
{
    struct op_case c = pool_case(2, "max_pool");
    op_case_each_way(&c, INK_FORWARD, check_inference, NULL);
}
END_TEST

static void check_average_forward(const struct op_way *way, void *user)
{
    struct op_case c = pool_case(*(int *)user, "average_pool");
    struct reference_window window = window_of(&c);
    c.x[0] = x;
    c.y = y;
    op_case_run(&c, INK_FORWARD, way);
    reference_average_pool_forward(&window, x, want);
    reference_compare(way->label, y, want, outputs(&c), reference_tolerance((size_t)(window.filter_height * window.filter_width)));
}

static void check_average_backward(const struct op_way *way, void *user)
{
    struct op_case c = pool_case(*(int *)user, "average_pool");
    struct reference_window window = window_of(&c);
    reference_average_pool_backward(&window, dy, want);
    set_end(&c, *(int *)user);
    end_gradient(&c);
    c.dy = dy;
    c.dx = dx;
    op_case_run(&c, INK_BACKWARD_DATA, way);
    reference_compare(way->label, dx, want, inputs(&c), reference_tolerance((size_t)(window.filter_height * window.filter_width) + 1));
}

START_TEST(average_pool_agrees_with_the_reference)
{
    struct op_case c = pool_case(_i, "average_pool");
    op_case_each_way(&c, INK_FORWARD, check_average_forward, &_i);
    op_case_each_way(&c, INK_BACKWARD_DATA, check_average_backward, &_i);
}
END_TEST

static struct op_case global_case(int i)
{
    struct op_case c = pool_case(i, "global_average_pool");
    c.layer = (struct ink_layer){.op = "global_average_pool"};
    return c;
}

static void check_global_forward(const struct op_way *way, void *user)
{
    struct op_case c = global_case(*(int *)user);
    int pixels = c.in.height * c.in.width;
    c.x[0] = x;
    c.y = y;
    op_case_run(&c, INK_FORWARD, way);
    reference_global_average_pool_forward(c.n, pixels, c.in.channels, x, want);
    reference_compare(way->label, y, want, outputs(&c), reference_tolerance((size_t)pixels));
}

static void check_global_backward(const struct op_way *way, void *user)
{
    struct op_case c = global_case(*(int *)user);
    reference_global_average_pool_backward(c.n, c.in.height * c.in.width, c.in.channels, dy, want);
    set_end(&c, *(int *)user);
    end_gradient(&c);
    c.dy = dy;
    c.dx = dx;
    op_case_run(&c, INK_BACKWARD_DATA, way);
    reference_compare(way->label, dx, want, inputs(&c), reference_tolerance(2));
}

START_TEST(global_average_pool_agrees_with_the_reference)
{
    for (int i = 0; i < 5; i += 2) {
        struct op_case c = global_case(i);
        op_case_each_way(&c, INK_FORWARD, check_global_forward, &i);
        op_case_each_way(&c, INK_BACKWARD_DATA, check_global_backward, &i);
    }
}
END_TEST

START_TEST(windows_that_cannot_be_are_refused)
{
    ink_model *model = NULL;
    ck_ok(ink_model_create((struct ink_shape){300, 300, 1}, &model));
    ck_fails(ink_model_add(model, &(struct ink_layer){.op = "max_pool"}), INK_ERROR_SHAPE, "filter height is 0");
    ck_fails(ink_model_add(model, &(struct ink_layer){.op = "max_pool", .filter_height = 300, .filter_width = 300}), INK_ERROR_SHAPE, "90000");
    ck_fails(ink_model_add(model, &(struct ink_layer){.op = "average_pool", .filter_height = 301, .filter_width = 1}), INK_ERROR_SHAPE, "301");
    ck_fails(ink_model_add(model, &(struct ink_layer){.op = "global_average_pool", .filter_height = 2}), INK_ERROR_SHAPE, "a filter");
    ck_ok(ink_model_add(model, &(struct ink_layer){.op = "max_pool", .filter_height = 2, .filter_width = 3}));
    ck_assert_int_eq(model->nodes[0].layer.stride_height, 2);
    ck_assert_int_eq(model->nodes[0].layer.stride_width, 3);
    ck_assert(ink_shape_equal(model->nodes[0].out, (struct ink_shape){150, 100, 1}));
    ink_model_destroy(&model);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pool");
    TCase *all = tcase_create("pool");
    tcase_add_loop_test(all, max_pool_agrees_with_the_reference, 0, CASES);
    tcase_add_loop_test(all, average_pool_agrees_with_the_reference, 2, CASES - 1);
    tcase_add_test(all, max_pool_hands_on_nan_and_never_lets_padding_win);
    tcase_add_test(all, max_pool_keeps_nothing_in_inference);
    tcase_add_test(all, global_average_pool_agrees_with_the_reference);
    tcase_add_test(all, windows_that_cannot_be_are_refused);
    return run_case(suite, all);
}
