/* Augmentation against a reference in double precision that draws the same numbers and does its own maths: the matrix is inverted in
 * general, splines are convolutions of boxes by their recursion, and neighbours are looked at one by one. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/program.h"
#include "ops/op_case.h"
#include "suite.h"
#include "util/rng.h"

enum { SAMPLES = 6, BATCH = 5, N = 3, START = 2, EPOCH = 7, LARGEST = 64 * 64 };
static const uint64_t seed = UINT64_C(0x123456789abcdef0);
static const uint32_t order[START + BATCH] = {4, 4, 5, 0, 3, 1, 2};

static const struct ink_shape shapes[] = {{28, 28, 1}, {1, 1, 1}, {7, 5, 3}, {9, 1, 2}, {1, 13, 1}, {33, 17, 1}, {21, 40, 4}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static const struct ink_augmentation kinds[] = {
    {.shift = 2.5},
    {.rotate = 40},
    {.scale = 0.4},
    {.shear = 0.5},
    {.elastic = 1.5},
    {.elastic = 1, .elastic_smoothness = 1},
    {.thickness = 0.9},
    {.contrast = 0.9},
    {.noise = 0.3},
    {.erase = 0.8},
    {.shift = 40}, /* all of it outside, sometimes */
    {.thickness = 0.5, .noise = 0.1},
    {.shift = 2, .rotate = 20, .scale = 0.2, .shear = 0.2, .elastic = 2, .elastic_smoothness = 5, .thickness = 0.6, .contrast = 0.5, .noise = 0.1,
     .erase = 0.3},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* Strokes on black, so that edges, and what is outside, tell. */
static const uint8_t *make_images(struct ink_shape shape)
{
    static uint8_t images[SAMPLES * LARGEST];
    for (uint32_t i = 0; i < SAMPLES * ink_shape_count(shape); i++) {
        uint32_t words[4];
        ink_random_words(3, 1, i, words);
        images[i] = words[0] % 3 ? (uint8_t)(words[1] >> 24) : 0;
    }
    return images;
}

/* ---- the reference */

static uint32_t number(uint32_t sample, uint64_t key, int epoch, enum ink_stream stream, uint32_t k)
{
    uint32_t words[4];
    ink_random_words(key, INK_STREAM(stream, epoch), (uint64_t)sample << 32 | k / 4, words);
    return words[k % 4];
}

/* The B-spline of a degree around 0 (de Boor 1972). */
static double spline(int degree, double x)
{
    double half = (degree + 1) / 2.0;
    if (fabs(x) >= half && degree > 0)
        return 0;
    if (degree == 0)
        return x >= -0.5 && x < 0.5;
    return ((half + x) * spline(degree - 1, x + 0.5) + (half - x) * spline(degree - 1, x - 0.5)) / degree;
}

/* How far a pixel goes: numbers from 64 on, the low half of a word across, the high half down. */
static void displace(const struct ink_augmentation *a, struct ink_shape shape, uint32_t sample, int row, int column, double *down, double *across)
{
    double distance = sqrt(3.0) * (a->elastic_smoothness > 0 ? a->elastic_smoothness : 4);
    int wide = (int)((shape.width - 1) / distance) + 4, high = (int)((shape.height - 1) / distance) + 4;
    double largest = a->elastic * sqrt(3) * 315 / 151;
    *down = *across = 0;
    for (int i = 0; a->elastic > 0 && i < high; i++)
        for (int j = 0; j < wide; j++) {
            double weight = spline(3, row / distance - (i - 1)) * spline(3, column / distance - (j - 1));
            if (weight == 0)
                continue;
            uint32_t word = number(sample, seed, EPOCH, INK_STREAM_AUGMENT, (uint32_t)(64 + i * wide + j));
            *across += weight * largest * ((double)(word & 0xffff) / 32768 - 1);
            *down += weight * largest * ((double)(word >> 16) / 32768 - 1);
        }
}

static double pixel(const double *image, struct ink_shape shape, int row, int column, int channel)
{
    bool inside = row >= 0 && row < shape.height && column >= 0 && column < shape.width;
    return inside ? image[(row * shape.width + column) * shape.channels + channel] : 0;
}

static void thicken(const uint8_t *image, struct ink_shape shape, double strength, double *out)
{
    for (int y = 0; y < shape.height; y++)
        for (int x = 0; x < shape.width; x++)
            for (int c = 0; c < shape.channels; c++) {
                double v = image[(y * shape.width + x) * shape.channels + c], most = v;
                for (int i = y - 1; i <= y + 1; i++)
                    for (int j = x - 1; j <= x + 1; j++)
                        if (i >= 0 && i < shape.height && j >= 0 && j < shape.width) {
                            double other = image[(i * shape.width + j) * shape.channels + c];
                            most = strength < 0 ? fmin(most, other) : fmax(most, other);
                        }
                out[(y * shape.width + x) * shape.channels + c] = (v + fabs(strength) * (most - v)) / 255;
            }
}

static void reference(const struct ink_augmentation *a, struct ink_shape shape, const uint8_t *image, uint32_t sample, double *out)
{
    static double source[LARGEST];
    double u[11];
    for (uint32_t k = 0; k < 11; k++)
        u[k] = (number(sample, seed, EPOCH, INK_STREAM_AUGMENT, k) >> 8) / 16777216.0;
    thicken(image, shape, a->thickness * (2 * u[5] - 1), source);
    /* forward: slanted, scaled, turned, moved */
    double turn = a->rotate * (2 * u[2] - 1) * acos(-1) / 180, size = 1 + a->scale * (2 * u[3] - 1), slant = a->shear * (2 * u[4] - 1);
    double m[2][2] = {{size * cos(turn), size * (slant * cos(turn) - sin(turn))}, {size * sin(turn), size * (slant * sin(turn) + cos(turn))}};
    double det = m[0][0] * m[1][1] - m[0][1] * m[1][0];
    for (int y = 0; y < shape.height; y++)
        for (int x = 0; x < shape.width; x++) {
            double right = x - (shape.width - 1) / 2.0 - a->shift * (2 * u[0] - 1), below = y - (shape.height - 1) / 2.0 - a->shift * (2 * u[1] - 1);
            double at_x = (m[1][1] * right - m[0][1] * below) / det + (shape.width - 1) / 2.0;
            double at_y = (m[0][0] * below - m[1][0] * right) / det + (shape.height - 1) / 2.0, down, across;
            displace(a, shape, sample, y, x, &down, &across);
            at_x += across, at_y += down;
            int j = (int)floor(at_x), i = (int)floor(at_y);
            double fx = at_x - j, fy = at_y - i;
            for (int c = 0; c < shape.channels; c++)
                out[(y * shape.width + x) * shape.channels + c] =
                    (1 - fy) * ((1 - fx) * pixel(source, shape, i, j, c) + fx * pixel(source, shape, i, j + 1, c))
                    + fy * ((1 - fx) * pixel(source, shape, i + 1, j, c) + fx * pixel(source, shape, i + 1, j + 1, c));
        }
    double area = a->erase * u[7] * shape.height * shape.width, aspect = pow(3, 2 * u[8] - 1);
    int high = (int)fmin(rint(sqrt(area * aspect)), shape.height), wide = (int)fmin(rint(sqrt(area / aspect)), shape.width);
    int top = (int)(u[9] * (shape.height - high + 1)), left = (int)(u[10] * (shape.width - wide + 1));
    for (int i = 0; i < (int)ink_shape_count(shape); i++) {
        uint32_t word = number(sample, seed, EPOCH, INK_STREAM_NOISE, (uint32_t)i);
        double sum = (double)((word & 255) + (word >> 8 & 255) + (word >> 16 & 255) + (word >> 24));
        int row = i / shape.channels / shape.width, column = i / shape.channels % shape.width;
        if (a->contrast > 0)
            out[i] = fmin(fmax(0.5 + (1 + a->contrast * (2 * u[6] - 1)) * (out[i] - 0.5), 0), 1);
        if (a->noise > 0) /* a byte's variance is (256^2 - 1) / 12 */
            out[i] = fmin(fmax(out[i] + a->noise * (sum - 510) / sqrt(65535 / 3.0), 0), 1);
        if (row >= top && row < top + high && column >= left && column < left + wide)
            out[i] = 0;
    }
}

/* ---- the kernels */

struct run {
    const struct ink_augmentation *augmentation;
    struct ink_shape shape;
    enum ink_style style;
    int width, batch, n, start, epoch;
    uint64_t seed;
    const uint32_t *order;
};

static void run(const struct run *r, float *out)
{
    struct ink_device *device = test_device();
    struct ink_launches list = {0};
    struct ink_call call = {.device = device, .style = r->style, .vector_width = r->width, .batch = r->batch};
    size_t count = ink_shape_count(r->shape), orders = (size_t)(r->start + r->n);
    ink_value images = ink_value_bind(&list, "images", INK_IMAGES, 0, 0), order_value = ink_value_bind(&list, "order", INK_ORDER, 0, 0);
    ink_value x = ink_value_create(&list, "x", count * sizeof(float), 0);
    list.values[x].pinned = true;
    ink_emit_augment(&list, &call, r->augmentation, images, order_value, order_value, x, r->shape);
    ck_ok(list.status);
    struct ink_bound bound = {.device = device, .list = &list, .batch = r->batch};
    cl_program program;
    cl_mem arena, image_buffer, order_buffer;
    char *text;
    ck_ok(ink_bound_place(&bound));
    ck_ok(ink_program_text(&bound, 1, r->width, &text));
    ck_ok(ink_program_build(device, text, "", &program));
    free(text);
    ck_ok(ink_bound_kernels(&bound, program));
    ck_ok(ink_buffer_create(device, bound.arena_bytes, "arena", &arena));
    ck_ok(ink_buffer_create(device, SAMPLES * count, "images", &image_buffer));
    ck_ok(ink_buffer_create(device, orders * sizeof *order, "order", &order_buffer));
    cl_float nan = NAN;
    ck_ok(ink_cl_check(device, clEnqueueFillBuffer(device->queue, arena, &nan, sizeof nan, 0, bound.arena_bytes / 4 * 4, 0, NULL, NULL), "fill", "NaN"));
    ck_ok(ink_buffer_write(device, image_buffer, 0, make_images(r->shape), SAMPLES * count));
    ck_ok(ink_buffer_write(device, order_buffer, 0, r->order, orders * sizeof *order));
    ck_ok(ink_bound_storage(&bound, INK_ARENA, arena, bound.arena_bytes));
    ck_ok(ink_bound_storage(&bound, INK_IMAGES, image_buffer, SAMPLES * count));
    ck_ok(ink_bound_storage(&bound, INK_ORDER, order_buffer, orders * sizeof *order));
    cl_int scalars[INK_SCALARS] = {[INK_BATCH] = r->n, [INK_START] = r->start, [INK_ROW] = r->start, [INK_EPOCH] = r->epoch, [INK_SEED_LOW] = (cl_int)(uint32_t)r->seed,
                                   [INK_SEED_HIGH] = (cl_int)(uint32_t)(r->seed >> 32)};
    ck_ok(ink_bound_run(&bound, device->queue, r->n, scalars, NULL));
    ck_ok(ink_buffer_read(device, bound.buffers[x], 0, out, (size_t)r->n * count * sizeof(float)));
    ink_bound_free(&bound);
    ink_launches_free(&list);
    clReleaseProgram(program);
    clReleaseMemObject(arena);
    clReleaseMemObject(image_buffer);
    clReleaseMemObject(order_buffer);
}

static struct run usual(int kind, int shape)
{
    return (struct run){&kinds[kind], shapes[shape], INK_STYLE_CPU, 8, BATCH, N, START, EPOCH, seed, order};
}

/* Positions are below 128 in size and rounded some ten times, 7.6e-6 each at most; a value differs by at most 1 from the next one on
 * each axis, which makes 1.5e-4; contrast at most doubles that. */
static const double tolerance = 3e-4;

static void check_way(int kind, int shape, enum ink_style style, int width)
{
    static float got[N * LARGEST];
    static double want[LARGEST];
    struct run r = usual(kind, shape);
    size_t count = ink_shape_count(r.shape);
    r.style = style, r.width = width;
    run(&r, got);
    for (int s = 0; s < N; s++) {
        uint32_t sample = order[START + s];
        reference(r.augmentation, r.shape, make_images(r.shape) + sample * count, sample, want);
        for (size_t i = 0; i < count; i++)
            ck_assert_msg(fabs((double)got[(size_t)s * count + i] - want[i]) < tolerance, "kind %d, shape %d, style %d, vectors of %d, sample %d, value %zu: %g, not %g",
                          kind, shape, (int)style, width, s, i, (double)got[(size_t)s * count + i], want[i]);
    }
}

/* All kinds together in every shape, style and vector; each alone in one shape and once in each style, since building takes long. */
START_TEST(the_device_does_what_the_reference_does)
{
    bool together = _i == KINDS - 1;
    for (int shape = 0; shape < SHAPES; shape++) {
        if (!together && shape != _i % SHAPES)
            continue;
        check_way(_i, shape, INK_STYLE_GPU, 4);
        for (int width = 4; width <= 16; width *= 2)
            if (together || width == 8)
                check_way(_i, shape, INK_STYLE_CPU, width);
    }
}
END_TEST

/* The same sample of the same epoch, in batches of other sizes and at other places, and by other seeds and in other epochs. */
START_TEST(numbers_belong_to_sample_epoch_and_seed)
{
    static float first[N * LARGEST], other[N * LARGEST];
    static const uint32_t alone[] = {0, 5};
    static const int some[] = {0, 6, 8, KINDS - 1};
    for (int style = INK_STYLE_CPU; style <= INK_STYLE_GPU; style++) {
        struct run r = usual(some[_i], 0);
        size_t count = ink_shape_count(r.shape), bytes = count * sizeof(float);
        r.style = (enum ink_style)style;
        run(&r, first);
        r.order = alone, r.batch = 2, r.n = 2, r.start = 0;
        run(&r, other);
        ck_assert(memcmp(first, other + count, bytes) == 0);
        ck_assert(memcmp(first + count, other, bytes) == 0);
        r.epoch = EPOCH + 1;
        run(&r, other);
        ck_assert(memcmp(first, other + count, bytes) != 0);
        r.epoch = EPOCH, r.seed = seed + 1;
        run(&r, other);
        ck_assert(memcmp(first, other + count, bytes) != 0);
    }
}
END_TEST

/* The mean of squares of displacements, over the pixels of many large fields: each has 64 control points or so to either side, and their
 * squares' deviation is 0.9 of their mean, so the mean over 30 fields of 32x32 points, 15,000 independent ones, has one of below 1 %. */
START_TEST(elastic_distortion_is_as_strong_as_asked)
{
    const struct ink_augmentation a = {.elastic = 1.5, .elastic_smoothness = 1};
    double sum = 0;
    int count = 0;
    for (uint32_t sample = 0; sample < 30; sample++)
        for (int row = 0; row < 55; row += 3)
            for (int column = 0; column < 55; column += 3, count++) {
                double down, across;
                displace(&a, (struct ink_shape){55, 55, 1}, sample, row, column, &down, &across);
                sum += down * down + across * across;
            }
    ck_assert_double_eq_tol(sqrt(sum / (2 * count)), 1.5, 0.05);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    ck_fails(ink_augmentation_check(&(struct ink_augmentation){.shift = -1}), INK_ERROR_ARGUMENT, "augmentation.shift is -1; it must be at least 0");
    ck_fails(ink_augmentation_check(&(struct ink_augmentation){.scale = 1}), INK_ERROR_ARGUMENT, "augmentation.scale is 1");
    ck_fails(ink_augmentation_check(&(struct ink_augmentation){.rotate = NAN}), INK_ERROR_ARGUMENT, "augmentation.rotate is nan");
    ck_fails(ink_augmentation_check(&(struct ink_augmentation){.elastic = 1, .elastic_smoothness = 0.5}), INK_ERROR_ARGUMENT,
             "augmentation.elastic_smoothness is 0.5; it must be at least 1");
    ck_fails(ink_augmentation_check(&(struct ink_augmentation){.shift = 1, .elastic_smoothness = 3}), INK_ERROR_ARGUMENT, "set elastic, or leave it out");
    ck_assert(!ink_augmentation_is_on(&(struct ink_augmentation){0}));
    for (int kind = 0; kind < KINDS; kind++) {
        ck_ok(ink_augmentation_check(&kinds[kind]));
        ck_assert(ink_augmentation_is_on(&kinds[kind]));
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("augment");
    TCase *all = tcase_create("augment");
    tcase_add_loop_test(all, the_device_does_what_the_reference_does, 0, KINDS);
    tcase_add_loop_test(all, numbers_belong_to_sample_epoch_and_seed, 0, 4);
    tcase_add_test(all, elastic_distortion_is_as_strong_as_asked);
    tcase_add_test(all, what_cannot_be_is_refused);
    return run_case(suite, all);
}
