/* Winograd's matrices against the definition of a convolution, in double precision; the bound on rounding errors against
 * what float32 gives; and the choice of tiles. What the kernels make of them is the matter of test_conv. */
#include <math.h>
#include <string.h>

#include "ops/conv.h"
#include "ops/op_case.h"
#include "ops/winograd.h"
#include "suite.h"

enum { L = INK_WINOGRAD_LARGEST };

/* One-dimensional products with a matrix of rows x columns, or its transpose. */
static void apply(const double *matrix, int rows, int columns, const double *in, double *out)
{
    for (int i = 0; i < rows; i++) {
        out[i] = 0;
        for (int k = 0; k < columns; k++)
            out[i] += matrix[i * columns + k] * in[k];
    }
}

static void apply_transposed(const double *matrix, int rows, int columns, const double *in, double *out)
{
    for (int k = 0; k < columns; k++) {
        out[k] = 0;
        for (int i = 0; i < rows; i++)
            out[k] += matrix[i * columns + k] * in[i];
    }
}

static void fill(uint64_t seed, double *values, int count)
{
    float drawn[L];
    test_fill(seed, -1, 1, drawn, (size_t)count);
    for (int i = 0; i < count; i++)
        values[i] = (double)drawn[i];
}

/* Rounding errors of double precision, grown by the factor that matrices of up to 8 points have. */
static const double exact = 1e-12;

START_TEST(matrices_convolve)
{
    for (int r = 2; r < L; r++)
        for (int m = 2; m + r - 1 <= L; m++) {
            struct ink_winograd w;
            double filter[L], image[L], dy[L], u[L], v[L], z[L], got[L];
            ink_winograd_matrices(m, r, &w);
            ck_assert_int_eq(w.n, m + r - 1);
            fill(1, filter, r);
            fill(2, image, w.n);
            fill(3, dy, m);

            apply(w.filter, w.n, r, filter, u);
            apply(w.input, w.n, w.n, image, v);
            for (int j = 0; j < w.n; j++)
                z[j] = u[j] * v[j];
            apply(w.output, m, w.n, z, got);
            for (int i = 0; i < m; i++) {
                double want = 0;
                for (int k = 0; k < r; k++)
                    want += filter[k] * image[i + k];
                ck_assert_double_eq_tol(got[i], want, exact);
            }

            apply_transposed(w.output, m, w.n, dy, z); /* gradient of the filter */
            for (int j = 0; j < w.n; j++)
                v[j] *= z[j];
            apply_transposed(w.filter, w.n, r, v, got);
            for (int k = 0; k < r; k++) {
                double want = 0;
                for (int i = 0; i < m; i++)
                    want += dy[i] * image[i + k];
                ck_assert_double_eq_tol(got[k], want, exact);
            }

            for (int j = 0; j < w.n; j++) /* gradient of the image */
                z[j] *= u[j];
            apply_transposed(w.input, w.n, w.n, z, got);
            for (int p = 0; p < w.n; p++) {
                double want = 0;
                for (int k = 0; k < r; k++)
                    want += p - k >= 0 && p - k < m ? dy[p - k] * filter[k] : 0;
                ck_assert_double_eq_tol(got[p], want, exact);
            }
            for (int i = 0; i < m; i++) /* the bias's gradient is read at this point */
                ck_assert_double_eq(w.output[i * w.n + w.one], 1);
        }
}
END_TEST

/* y = A' [(G w G') . (B' x B)] A over channels, each operation rounded to float32, against double precision: the errors of
 * tiles stay below the bound times those that direct sums make, taken as root mean squares over many tiles. */
START_TEST(errors_stay_below_the_bound)
{
    enum { TILES = 200, CHANNELS = 16 };
    static float filters[CHANNELS * L * L], images[CHANNELS * L * L];
    for (int m = 2; m <= 6; m++) {
        struct ink_winograd w;
        double squares = 0, direct_squares = 0;
        ink_winograd_matrices(m, 3, &w);
        for (int tile = 0; tile < TILES; tile++) {
            float sum[L][L] = {{0}};
            test_fill((uint64_t)(2 * tile), -1, 1, filters, CHANNELS * 9);
            test_fill((uint64_t)(2 * tile + 1), 0, 1, images, (size_t)(CHANNELS * w.n * w.n));
            for (int c = 0; c < CHANNELS; c++) {
                const float *g = filters + c * 9, *x = images + c * w.n * w.n;
                float half[L][L], u[L][L], v[L][L];
                for (int i = 0; i < w.n; i++)
                    for (int b = 0; b < 3; b++) {
                        half[i][b] = 0;
                        for (int a = 0; a < 3; a++)
                            half[i][b] += (float)w.filter[i * 3 + a] * g[a * 3 + b];
                    }
                for (int i = 0; i < w.n; i++)
                    for (int j = 0; j < w.n; j++) {
                        u[i][j] = 0;
                        for (int b = 0; b < 3; b++)
                            u[i][j] += half[i][b] * (float)w.filter[j * 3 + b];
                    }
                for (int i = 0; i < w.n; i++)
                    for (int b = 0; b < w.n; b++) {
                        half[i][b] = 0;
                        for (int a = 0; a < w.n; a++)
                            half[i][b] += (float)w.input[i * w.n + a] * x[a * w.n + b];
                    }
                for (int i = 0; i < w.n; i++)
                    for (int j = 0; j < w.n; j++) {
                        v[i][j] = 0;
                        for (int b = 0; b < w.n; b++)
                            v[i][j] += half[i][b] * (float)w.input[j * w.n + b];
                        sum[i][j] += u[i][j] * v[i][j];
                    }
            }
            for (int i = 0; i < m; i++)
                for (int j = 0; j < m; j++) {
                    float got = 0, direct = 0;
                    double want = 0;
                    for (int a = 0; a < w.n; a++) {
                        float row = 0;
                        for (int b = 0; b < w.n; b++)
                            row += sum[a][b] * (float)w.output[j * w.n + b];
                        got += (float)w.output[i * w.n + a] * row;
                    }
                    for (int c = 0; c < CHANNELS; c++)
                        for (int t = 0; t < 9; t++) {
                            float x = images[c * w.n * w.n + (i + t / 3) * w.n + j + t % 3];
                            direct += filters[c * 9 + t] * x;
                            want += (double)filters[c * 9 + t] * (double)x;
                        }
                    squares += pow((double)got - want, 2);
                    direct_squares += pow((double)direct - want, 2);
                }
        }
        double factor = sqrt(squares / direct_squares), bound = ink_winograd_error(&w);
        ck_assert_msg(factor <= bound, "F(%d, 3): errors are %.1f times those of direct sums, above the bound of %.1f", m, factor, bound);
        ck_assert_msg(bound <= 50, "F(%d, 3): the bound of %.1f is too large to train with", m, bound);
    }
}
END_TEST

static struct ink_call call_of(const struct op_case *c, enum ink_pass pass)
{
    return (struct ink_call){.node = op_case_node(c), .device = test_device(), .style = INK_STYLE_CPU, .vector_width = 8, .batch = c->batch, .pass = pass};
}

START_TEST(it_applies_where_it_can_and_pays)
{
    const struct { struct ink_shape in; struct ink_layer layer; bool applies; } cases[] = {
        {{14, 14, 32}, {.op = "conv", .units = 64, .filter_height = 3, .filter_width = 3}, true},
        {{14, 14, 32}, {.op = "conv", .units = 64, .filter_height = 5, .filter_width = 5, .padding = INK_SAME}, true},
        {{14, 14, 32}, {.op = "conv", .units = 64, .filter_height = 1, .filter_width = 1}, false},
        {{14, 14, 32}, {.op = "conv", .units = 64, .filter_height = 3, .filter_width = 5}, false},
        {{14, 14, 32}, {.op = "conv", .units = 64, .filter_height = 3, .filter_width = 3, .stride_height = 2, .stride_width = 2}, false},
        {{14, 14, 32}, {.op = "conv", .units = 64, .filter_height = 3, .filter_width = 3, .dilation_height = 2, .dilation_width = 2}, false},
        {{14, 14, 32}, {.op = "conv", .units = 64, .filter_height = 3, .filter_width = 3, .groups = 2}, false},
        {{28, 28, 1}, {.op = "conv", .units = 32, .filter_height = 3, .filter_width = 3}, false}, /* the transforms cost more than they save */
    };
    test_device()->info.local_bytes = 512 << 10; /* a CPU's: with the little that a GPU has it seldom pays */
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (enum ink_pass pass = INK_FORWARD; pass < INK_PASSES; pass++) {
            struct op_case c = {.in = cases[i].in, .layer = cases[i].layer, .batch = 32};
            struct ink_call call = call_of(&c, pass);
            ck_assert_msg(ink_winograd_applies(&call) == cases[i].applies, "case %zu, pass %d", i, pass);
        }
}
END_TEST

static struct ink_launches pass_on_cores(const struct op_case *c, enum ink_pass pass, unsigned cores)
{
    test_device()->info.compute_units = cores;
    return op_case_launches(c, pass, "winograd", 8);
}

/* How a sum is cut shapes its bits, so it may depend on the model alone. */
START_TEST(sums_do_not_depend_on_the_number_of_cores)
{
    struct op_case c = {.in = {14, 14, 32}, .layer = {.op = "conv", .units = 64, .filter_height = 3, .filter_width = 3}, .batch = 32};
    test_device()->info.local_bytes = 1 << 20;
    for (enum ink_pass pass = INK_FORWARD; pass < INK_PASSES; pass++) {
        struct ink_launches lists[2] = {pass_on_cores(&c, pass, 1), pass_on_cores(&c, pass, 64)};
        ck_assert_int_eq(lists[0].count, lists[1].count);
        for (int l = 0; l < lists[0].count; l++) {
            const struct ink_launch *a = &lists[0].launches[l], *b = &lists[1].launches[l];
            ck_assert_str_eq(a->label, b->label);
            ck_assert_int_eq(a->define_count, b->define_count);
            for (int d = 0; d < a->define_count && pass == INK_BACKWARD_WEIGHTS; d++)
                ck_assert_str_eq(a->defines[d].text, b->defines[d].text);
        }
        ink_launches_free(&lists[0]);
        ink_launches_free(&lists[1]);
    }
}
END_TEST

/* A group of many samples reads the weights less often; one of few leaves work for every core. */
START_TEST(few_cores_take_more_samples_at_a_time)
{
    enum { BATCH = 32 };
    const unsigned cores[] = {1, 8, 16, 64};
    struct op_case c = {.in = {7, 7, 128}, .layer = {.op = "conv", .units = 128, .filter_height = 3, .filter_width = 3, .padding = INK_SAME}, .batch = BATCH};
    test_device()->info.local_bytes = 1 << 20;
    for (enum ink_pass pass = INK_FORWARD; pass <= INK_BACKWARD_DATA; pass++) {
        int samples[4];
        for (int i = 0; i < 4; i++) {
            struct ink_launches list = pass_on_cores(&c, pass, cores[i]);
            ck_assert_int_eq(list.count, 2);
            samples[i] = op_case_define(&list.launches[1], "SAMPLES");
            int groups = (BATCH + samples[i] - 1) / samples[i], wanted = 2 * (int)cores[i] < BATCH ? 2 * (int)cores[i] : BATCH;
            ck_assert_msg(groups >= wanted, "%u cores, pass %d: %d work-groups", cores[i], pass, groups);
            ink_launches_free(&list);
        }
        ck_assert_int_gt(samples[0], samples[3]);
    }
}
END_TEST

int main(void)
RUN_SUITE("winograd", matrices_convolve, errors_stay_below_the_bound, it_applies_where_it_can_and_pays, sums_do_not_depend_on_the_number_of_cores,
          few_cores_take_more_samples_at_a_time)
