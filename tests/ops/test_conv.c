/* Convolution against the reference: every algorithm, style and vector width. The cases take in single pixels, filters
 * as large as the image, edges on some sides only, strides that skip pixels, dilation, groups down to one channel,
 * channel counts that do not fill a vector, and batches shorter than planned. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/op_case.h"
#include "reference.h"
#include "suite.h"

enum { LARGEST = 1 << 16 };

struct conv { struct ink_shape in; struct ink_layer layer; int batch, n; };
#define CONV(h, w, c, f, kh, kw, ...) {{h, w, c}, {.op = "conv", .units = f, .filter_height = kh, .filter_width = kw, __VA_ARGS__}
static const struct conv cases[] = {
    CONV(1, 1, 1, 1, 1, 1, .no_bias = false), 1, 1},
    CONV(12, 12, 1, 32, 3, 3, .activation = INK_RELU), 3, 3},
    CONV(13, 13, 8, 16, 3, 3, .activation = INK_RELU), 4, 3},
    CONV(5, 5, 16, 48, 3, 3, .activation = INK_TANH), 5, 5},
    CONV(9, 30, 3, 10, 5, 5, .padding = INK_SAME, .activation = INK_LEAKY_RELU, .slope = 0.1f), 2, 2},
    CONV(28, 28, 1, 6, 5, 5, .padding = INK_SAME), 2, 1},
    CONV(11, 14, 6, 12, 3, 2, .padding = INK_SAME, .stride_height = 2, .stride_width = 3, .groups = 3), 2, 2},
    CONV(8, 33, 4, 4, 3, 3, .padding = INK_SAME, .groups = 4, .no_bias = true), 1, 1},
    CONV(10, 17, 5, 20, 3, 3, .dilation_height = 2, .dilation_width = 3, .padding = INK_EXPLICIT, .pad_left = 4, .pad_bottom = 1), 3, 2},
    CONV(7, 6, 17, 33, 7, 6, .activation = INK_SIGMOID), 2, 2},
    CONV(6, 40, 2, 18, 1, 9, .padding = INK_SAME, .stride_width = 2), 2, 2},
    CONV(4, 4, 33, 17, 1, 1, .stride_height = 2, .stride_width = 2), 3, 3},
    /* for the tiles of matrix multiply: the largest of backward_weights, and its sum in parts, of which a short batch leaves some out */
    CONV(6, 6, 32, 64, 3, 3, .no_bias = false), 16, 9},
    CONV(9, 8, 6, 10, 3, 3, .padding = INK_SAME, .groups = 2, .stride_height = 2, .dilation_width = 2), 7, 6},
    CONV(7, 9, 16, 24, 3, 3, .padding = INK_SAME, .activation = INK_RELU), 5, 4},
    /* pixels between those that the filter sees, of which one column has a phase of its own to itself */
    CONV(5, 10, 9, 8, 2, 2, .stride_height = 3, .stride_width = 4), 2, 2},
    CONV(3, 2, 4, 8, 1, 1, .stride_height = 2, .stride_width = 3), 2, 2},
};
static float x[LARGEST], y[LARGEST], dy[LARGEST], dx[LARGEST], start[LARGEST], mask[LARGEST], parameters[LARGEST], gradients[LARGEST];
static double want[LARGEST], masked[LARGEST];

static struct op_case op_case_of(const struct conv *conv)
{
    return (struct op_case){.in = conv->in, .layer = conv->layer, .batch = conv->batch, .n = conv->n};
}

/* The case as the reference has it; padding as numbers from the library's own shape inference. */
static struct reference_window window_of(const struct conv *conv, struct ink_shape *out)
{
    struct op_case c = op_case_of(conv);
    const struct ink_node *node = op_case_node(&c);
    const struct ink_layer *l = &node->layer;
    *out = node->out;
    struct reference_window window = {
        .batch = conv->n, .height = conv->in.height, .width = conv->in.width, .channels = conv->in.channels,
        .filter_height = l->filter_height, .filter_width = l->filter_width, .stride_height = l->stride_height, .stride_width = l->stride_width,
        .pad_top = l->pad_top, .pad_bottom = l->pad_bottom, .pad_left = l->pad_left, .pad_right = l->pad_right,
        .dilation_height = l->dilation_height, .dilation_width = l->dilation_width, .units = l->units, .groups = l->groups,
    };
    ck_assert_int_eq(reference_out_height(&window), out->height);
    ck_assert_int_eq(reference_out_width(&window), out->width);
    ck_assert_uint_lt(ink_shape_count(*out) * (size_t)conv->n, LARGEST);
    ck_assert_uint_lt(node->trained_count, LARGEST);
    return window;
}

static size_t weights_of(const struct reference_window *w)
{
    return (size_t)w->filter_height * (size_t)w->filter_width * (size_t)(w->channels / w->groups) * (size_t)w->units;
}

static void check_forward(const struct op_way *way, void *user)
{
    const struct conv *conv = user;
    struct ink_shape out;
    struct reference_window window = window_of(conv, &out);
    struct op_case c = op_case_of(conv);
    size_t outputs = ink_shape_count(out) * (size_t)conv->n;
    c.x[0] = x;
    c.parameters = parameters;
    c.y = y;
    double factor = op_case_run(&c, INK_FORWARD, way);
    reference_conv_forward(&window, x, parameters, conv->layer.no_bias ? NULL : parameters + weights_of(&window), want);
    static float sums[LARGEST];
    for (size_t k = 0; k < outputs; k++)
        sums[k] = (float)want[k];
    if (conv->layer.activation != INK_NONE)
        reference_activation_forward(conv->layer.activation, (double)conv->layer.slope, outputs, sums, want);
    /* OpenCL allows tanh 5 ulp, and sigmoid's exp and division 3 and 2.5 */
    double function = conv->layer.activation == INK_TANH || conv->layer.activation == INK_SIGMOID ? 5.5 * 0x1p-23 : 0;
    reference_compare(way->label, y, want, outputs, factor * reference_tolerance(weights_of(&window) / (size_t)window.units + 1) + function);
}

static void check_backward_data(const struct op_way *way, void *user)
{
    const struct conv *conv = user;
    struct ink_shape out;
    struct reference_window window = window_of(conv, &out);
    struct op_case c = op_case_of(conv);
    size_t values = ink_shape_count(conv->in) * (size_t)conv->n, terms = weights_of(&window) / (size_t)window.channels * (size_t)window.groups + 1;
    c.dy = dy;
    c.parameters = parameters;
    c.dx = dx;
    reference_conv_backward_data(&window, parameters, dy, want);
    double factor = op_case_run(&c, INK_BACKWARD_DATA, way);
    reference_compare(way->label, dx, want, values, factor * reference_tolerance(terms));

    c.accumulate = true;
    c.mask = INK_LEAKY_RELU;
    c.mask_slope = 0.25f;
    c.mask_y = mask;
    memcpy(dx, start, sizeof dx);
    op_case_run(&c, INK_BACKWARD_DATA, way);
    for (size_t k = 0; k < values; k++)
        masked[k] = (want[k] + start[k]) * (mask[k] > 0 ? 1.0 : 0.25);
    reference_compare(way->label, dx, masked, values, factor * reference_tolerance(terms + 1));
}

static void check_backward_weights(const struct op_way *way, void *user)
{
    const struct conv *conv = user;
    struct ink_shape out;
    struct reference_window window = window_of(conv, &out);
    struct op_case c = op_case_of(conv);
    size_t weights = weights_of(&window), rows = (size_t)conv->n * (size_t)out.height * (size_t)out.width;
    c.x[0] = x;
    c.dy = dy;
    c.gradients = gradients;
    double factor = op_case_run(&c, INK_BACKWARD_WEIGHTS, way);
    reference_conv_backward_weights(&window, x, dy, want);
    if (!conv->layer.no_bias)
        reference_bias_backward(rows, window.units, dy, want + weights);
    reference_compare(way->label, gradients, want, weights + (conv->layer.no_bias ? 0 : (size_t)window.units), factor * reference_tolerance(rows));
}

/* Convolution, then pooling, in double precision: want is y, the places of the winners are where. The values before the
 * pooling are small whole numbers, exact in every algorithm that sums directly, so that ties come and are the same. */
static struct { int height, width; } pooling;
static unsigned char where[LARGEST], place[LARGEST];
static double whole[LARGEST];

static struct op_case pooled_case_of(const struct conv *conv)
{
    struct op_case c = op_case_of(conv);
    c.pool.height = pooling.height;
    c.pool.width = pooling.width;
    c.training = true;
    return c;
}

/* Fills where and want from whole; gives the values of y. */
static size_t pool_reference(const struct conv *conv, struct ink_shape out)
{
    int ph = out.height / pooling.height, pw = out.width / pooling.width;
    size_t at = 0;
    for (int s = 0; s < conv->n; s++)
        for (int h = 0; h < ph; h++)
            for (int w = 0; w < pw; w++)
                for (int c = 0; c < out.channels; c++, at++) {
                    double best = -INFINITY;
                    where[at] = 0;
                    for (int p = 0; p < pooling.height * pooling.width; p++) {
                        int row = h * pooling.height + p / pooling.width, column = w * pooling.width + p % pooling.width;
                        double v = whole[((s * out.height + row) * out.width + column) * out.channels + c];
                        if (!isnan(best) && !(v <= best)) {
                            best = v;
                            where[at] = (unsigned char)p;
                        }
                    }
                    want[at] = best < 0 ? 0 : best;
                }
    return at;
}

static void check_pooled(const struct op_way *way, void *user)
{
    const struct conv *conv = user;
    struct ink_shape out;
    if (strcmp(way->algorithm->name, "winograd") == 0)
        return; /* rounds, and so has other winners where values tie */
    struct op_case c = op_case_of(conv);
    struct reference_window window = window_of(conv, &out);
    reference_conv_forward(&window, x, parameters, parameters + weights_of(&window), whole);
    size_t values = pool_reference(conv, out), all = ink_shape_count(out) * (size_t)conv->n;
    c = pooled_case_of(conv);
    if (way->pass == INK_FORWARD) {
        c.x[0] = x;
        c.parameters = parameters;
        c.y = y;
        c.saved[0] = place;
        op_case_run(&c, INK_FORWARD, way);
        for (size_t k = 0; k < values; k++) {
            ck_assert_msg(isnan(want[k]) ? isnan(y[k]) : (double)y[k] == want[k], "%s: value %zu is %g, not %g", way->label, k, (double)y[k], want[k]);
            ck_assert_msg(place[k] == where[k], "%s: the winner of %zu is %d, not %d", way->label, k, place[k], where[k]);
        }
        c.saved[0] = NULL; /* inference */
        memset(y, 0xff, sizeof y);
        op_case_run(&c, INK_FORWARD, way);
        for (size_t k = 0; k < values; k++)
            ck_assert_msg(isnan(want[k]) ? isnan(y[k]) : (double)y[k] == want[k], "%s, inference: value %zu is %g, not %g", way->label, k, (double)y[k], want[k]);
        return;
    }
    static float spread[LARGEST];
    memset(spread, 0, sizeof spread);
    size_t at = 0;
    for (int s = 0; s < conv->n; s++)
        for (int h = 0; h < out.height / pooling.height; h++)
            for (int w = 0; w < out.width / pooling.width; w++)
                for (int f = 0; f < out.channels; f++, at++) {
                    int row = h * pooling.height + where[at] / pooling.width, column = w * pooling.width + where[at] % pooling.width;
                    spread[((s * out.height + row) * out.width + column) * out.channels + f] = dy[at];
                }
    c.dy = dy;
    c.saved[0] = where;
    if (way->pass == INK_BACKWARD_DATA) {
        c.parameters = parameters;
        c.dx = dx;
        op_case_run(&c, INK_BACKWARD_DATA, way);
        reference_conv_backward_data(&window, parameters, spread, want);
        reference_compare(way->label, dx, want, ink_shape_count(conv->in) * (size_t)conv->n,
                          reference_tolerance(weights_of(&window) / (size_t)window.channels * (size_t)window.groups + 1));
    } else {
        c.x[0] = start; /* finite */
        c.gradients = gradients;
        op_case_run(&c, INK_BACKWARD_WEIGHTS, way);
        reference_conv_backward_weights(&window, start, spread, want);
        reference_bias_backward(all / (size_t)window.units, window.units, spread, want + weights_of(&window));
        reference_compare(way->label, gradients, want, weights_of(&window) + (size_t)window.units, reference_tolerance(all / (size_t)window.units));
    }
}

static void fill(void)
{
    test_fill(1, -1, 1, x, LARGEST);
    test_fill(2, -1, 1, parameters, LARGEST);
    test_fill(3, -1, 1, dy, LARGEST);
    test_fill(4, -1, 1, mask, LARGEST);
    test_fill(5, -1, 1, start, LARGEST);
}

static void check_case(const struct conv *which)
{
    struct conv conv = *which;
    struct op_case c = op_case_of(&conv);
    fill();
    op_case_prepare(&c, 1);
    op_case_each_way(&c, INK_FORWARD, check_forward, &conv);
    op_case_each_way(&c, INK_BACKWARD_DATA, check_backward_data, &conv);
    op_case_each_way(&c, INK_BACKWARD_WEIGHTS, check_backward_weights, &conv);
}

START_TEST(every_pass_agrees_with_the_reference) { check_case(&cases[_i]); }
END_TEST

/* Sizes are multiples of the window. One input channel, groups with vectors half full, edges with a stride, 1x1 filters. */
static const struct { struct conv conv; int height, width; } pooled[] = {
    {CONV(14, 14, 1, 32, 3, 3, .activation = INK_RELU), 3, 2}, 2, 2},
    {CONV(8, 8, 16, 24, 3, 3, .activation = INK_RELU), 2, 2}, 3, 2},
    {CONV(12, 18, 6, 20, 5, 3, .padding = INK_SAME, .stride_height = 2, .groups = 2, .activation = INK_RELU), 2, 2}, 2, 3},
    {CONV(6, 6, 17, 9, 1, 1, .activation = INK_RELU), 2, 2}, 3, 3},
};

START_TEST(fused_pooling_agrees)
{
    struct conv conv = pooled[_i].conv;
    pooling.height = pooled[_i].height;
    pooling.width = pooled[_i].width;
    fill();
    for (size_t k = 0; k < LARGEST; k++) {
        x[k] = roundf(2 * x[k]);
        parameters[k] = roundf(2 * parameters[k]);
    }
    x[40] = NAN;
    struct op_case c = pooled_case_of(&conv);
    op_case_prepare(&c, 1);
    for (enum ink_pass pass = INK_FORWARD; pass < INK_PASSES; pass++)
        op_case_each_way(&c, pass, check_pooled, &conv);
}
END_TEST

/* The least that devices offer: work-groups of 64 and 16 KiB of local memory; then less still. */
START_TEST(small_work_groups_agree_too)
{
    test_device()->info.max_work_group = _i ? 16 : 64;
    test_device()->info.local_bytes = 16384;
    check_case(&cases[6]);
    check_case(&cases[12]);
}
END_TEST

static void only_gemm(const struct op_way *way, void *user)
{
    if (strcmp(way->algorithm->name, "gemm") == 0)
        (way->pass == INK_FORWARD ? check_forward : way->pass == INK_BACKWARD_DATA ? check_backward_data : check_backward_weights)(way, user);
}

/* Every tile: where vectors of 4 and whole steps are possible, and where neither is. */
START_TEST(every_tile_agrees)
{
    struct conv conv = cases[_i ? 14 : 13];
    struct op_case c = op_case_of(&conv);
    c.every_variant = true;
    test_device()->info.local_bytes = 32768;
    fill();
    for (enum ink_pass pass = INK_FORWARD; pass < INK_PASSES; pass++)
        op_case_each_way(&c, pass, only_gemm, &conv);
}
END_TEST

static void only_vectors_of_8(const struct op_way *way, void *user)
{
    if (way->style == INK_STYLE_CPU && way->vector_width == 8)
        (way->pass == INK_FORWARD ? check_forward : way->pass == INK_BACKWARD_DATA ? check_backward_data : check_backward_weights)(way, user);
}

/* Whichever tile a measurement chooses: padded and ragged images, whole samples and bands of them. */
static const struct conv tiled[] = {
    CONV(14, 15, 12, 20, 3, 3, .padding = INK_SAME, .activation = INK_RELU), 5, 4},
    CONV(12, 11, 16, 24, 5, 5, .padding = INK_EXPLICIT, .pad_top = 1, .pad_right = 2), 2, 2},
    CONV(6, 29, 16, 20, 3, 3, .padding = INK_SAME, .stride_height = 2, .stride_width = 2), 3, 2},
};

START_TEST(every_tile_for_cpus_agrees)
{
    struct conv conv = tiled[_i];
    struct op_case c = op_case_of(&conv);
    c.every_variant = true;
    if (_i == 1)
        test_device()->info.local_bytes = 131072;
    fill();
    for (enum ink_pass pass = INK_FORWARD; pass < INK_PASSES; pass++)
        op_case_each_way(&c, pass, only_vectors_of_8, &conv);
}
END_TEST

static void only_im2col(const struct op_way *way, void *user)
{
    if (strcmp(way->algorithm->name, "im2col") == 0)
        (way->pass == INK_FORWARD ? check_forward : way->pass == INK_BACKWARD_DATA ? check_backward_data : check_backward_weights)(way, user);
}

/* A device with so little memory that the patches of a batch do not fit at once; checks nothing in a build without CLBlast. */
START_TEST(patches_in_chunks_agree_too)
{
    struct conv conv = cases[12];
    struct op_case c = op_case_of(&conv);
    test_device()->info.max_alloc_bytes = 400000;
    fill();
    for (enum ink_pass pass = INK_FORWARD; pass < INK_PASSES; pass++)
        op_case_each_way(&c, pass, only_im2col, &conv);
}
END_TEST

static void only_winograd_of_8(const struct op_way *way, void *user)
{
    if (strcmp(way->algorithm->name, "winograd") == 0 && way->vector_width == 8)
        check_backward_weights(way, user);
}

/* The value of a define of the first launch of a pass. */
static int define_of(const struct op_case *c, enum ink_pass pass, const char *algorithm, int vector_width, const char *name)
{
    struct ink_launches list = op_case_launches(c, pass, algorithm, vector_width);
    int value = op_case_define(&list.launches[0], name);
    ink_launches_free(&list);
    return value;
}

/* Winograd's sums for so many channels that each work-item takes a block of them. */
START_TEST(gradients_in_blocks_of_channels_agree)
{
    struct conv conv = {.in = {6, 6, 32}, .layer = {.op = "conv", .units = 40, .filter_height = 3, .filter_width = 3, .padding = INK_SAME}, .batch = 8, .n = 7};
    struct op_case c = op_case_of(&conv);
    ck_assert_int_gt(define_of(&c, INK_BACKWARD_WEIGHTS, "winograd", 8, "DST_BLOCKS"), 1);
    fill();
    op_case_each_way(&c, INK_BACKWARD_WEIGHTS, only_winograd_of_8, &conv);
}
END_TEST

/* Filters of few channels whose rows do not all fit in a tile: the last run begins earlier and keeps what it shares to itself. */
START_TEST(gradients_of_whole_filter_rows_agree)
{
    struct conv conv = cases[5];
    struct op_case c = op_case_of(&conv);
    ck_assert_int_eq(define_of(&c, INK_BACKWARD_WEIGHTS, "direct", 8, "ROWS"), 2);
    fill();
    op_case_each_way(&c, INK_BACKWARD_WEIGHTS, only_vectors_of_8, &conv);
}
END_TEST

/* Where the taps of a row are unrolled, the source values that they see have room in registers beside the sums, but for a few. */
START_TEST(unrolled_taps_leave_room_for_what_they_see)
{
    const struct { int size, taps; ink_padding padding; } unrolled[] = {{28, 3, INK_SAME}, {28, 5, INK_SAME}, {28, 3, INK_VALID}};
    for (size_t i = 0; i < sizeof unrolled / sizeof *unrolled; i++)
        for (int width = 8; width <= 16; width += 8) {
            int size = unrolled[i].size, taps = unrolled[i].taps, registers = width == 16 ? 32 : 16;
            struct conv conv = {.in = {size, size, 1}, .layer = {.op = "conv", .units = 32, .filter_height = taps, .filter_width = taps,
                                                               .padding = unrolled[i].padding}, .batch = 4, .n = 4};
            struct op_case c = op_case_of(&conv);
            int q = define_of(&c, INK_FORWARD, "direct", width, "Q"), pixels = define_of(&c, INK_FORWARD, "direct", width, "TW");
            ck_assert_int_gt(pixels * q, 2); /* and the tile is worth its while */
            ck_assert_int_le(pixels * q + q + pixels + taps - 1, registers + 2);
        }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("conv");
    TCase *tcase = tcase_create("conv");
    tcase_add_loop_test(tcase, every_pass_agrees_with_the_reference, 0, sizeof cases / sizeof *cases);
    tcase_add_loop_test(tcase, fused_pooling_agrees, 0, sizeof pooled / sizeof *pooled);
    tcase_add_loop_test(tcase, small_work_groups_agree_too, 0, 2);
    tcase_add_loop_test(tcase, every_tile_agrees, 0, 2);
    tcase_add_test(tcase, patches_in_chunks_agree_too);
    tcase_add_loop_test(tcase, every_tile_for_cpus_agrees, 0, sizeof tiled / sizeof *tiled);
    tcase_add_test(tcase, gradients_in_blocks_of_channels_agree);
    tcase_add_test(tcase, gradients_of_whole_filter_rows_agree);
    tcase_add_test(tcase, unrolled_taps_leave_room_for_what_they_see);
    return run_case(suite, tcase);
}
