/* The yardstick itself: that the comparison sees what it must, that the tolerance fits float32 sums closely, and that
 * the backward functions of the reference are the derivatives of its forward ones. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "reference.h"
#include "suite.h"
#include "util/rng.h"

START_TEST(error_is_relative_to_the_value_or_the_scale)
{
    size_t worst = 99;
    ck_assert(reference_error((float[]){1, 2, 3}, (double[]){1, 2, 3}, 3, &worst) == 0);
    /* rms(want) = 5: half of it in the small value, a fifth of the large one */
    double want[] = {0, 0, 0, 10};
    ck_assert(reference_error((float[]){0, 2.5f, 0, 12}, want, 4, &worst) == 0.5);
    ck_assert_uint_eq(worst, 1);
    ck_assert(fabs(reference_error((float[]){0, 0.5f, 0, 12}, want, 4, &worst) - 0.2) < 1e-15);
    ck_assert_uint_eq(worst, 3);
    ck_assert(reference_error((float[]){0, 0}, (double[]){0, 0}, 2, NULL) == 0);
}
END_TEST

START_TEST(error_is_infinite_where_it_cannot_be_told)
{
    size_t worst;
    ck_assert(isinf(reference_error((float[]){1, NAN, 1}, (double[]){1, 1, 1}, 3, &worst)));
    ck_assert_uint_eq(worst, 1);
    ck_assert(isinf(reference_error((float[]){1, 1}, (double[]){1, NAN}, 2, NULL)));
    ck_assert(isinf(reference_error((float[]){INFINITY}, (double[]){INFINITY}, 1, NULL)));
    ck_assert(isinf(reference_error((float[]){1, INFINITY}, (double[]){1, 1}, 2, NULL)));
    ck_assert(isinf(reference_error((float[]){1e-30f, 0}, (double[]){0, 0}, 2, NULL)));
}
END_TEST

/* These three are run apart and must fail: the comparison ends the test. */
START_TEST(compare_fails_on_nan) { reference_compare("nan", (float[]){NAN}, (double[]){1}, 1, 1e30); }
END_TEST

START_TEST(compare_fails_above_tolerance) { reference_compare("far", (float[]){1, 1.01f}, (double[]){1, 1}, 2, 1e-3); }
END_TEST

START_TEST(compare_fails_on_nothing) { reference_compare("empty", NULL, NULL, 0, 1); }
END_TEST

START_TEST(compare_passes_within_tolerance) { reference_compare("near", (float[]){1, 1.01f}, (double[]){1, 1}, 2, 1e-1); }
END_TEST

/* 2000 sums of products in float, term by term, for products of mean 0 and of one sign. The worst must lie within
 * the tolerance, and with products of mean 0 not below a twentieth of it: a loose tolerance hides errors. */
START_TEST(tolerance_fits_recursive_sums)
{
    enum { SUMS = 2000 };
    static const size_t lengths[] = {1, 9, 100, 1000, 5000};
    size_t terms = lengths[_i / 2];
    bool positive = _i % 2;
    float *numbers = malloc(2 * terms * sizeof *numbers), got[SUMS];
    double want[SUMS];
    for (size_t s = 0; s < SUMS; s++) {
        ink_random_uniform(5, s, positive ? 0.0f : -1.0f, 1, numbers, 2 * terms);
        float sum = 0;
        want[s] = 0;
        for (size_t i = 0; i < terms; i++) {
            volatile float product = numbers[2 * i] * numbers[2 * i + 1]; /* rounded, not fused */
            sum += product;
            want[s] += (double)numbers[2 * i] * (double)numbers[2 * i + 1];
        }
        got[s] = sum;
    }
    double error = reference_error(got, want, SUMS, NULL), tolerance = reference_tolerance(terms);
    ck_assert_msg(error <= tolerance, "%zu terms: error %.3g, tolerance %.3g", terms, error, tolerance);
    ck_assert_msg(positive || error * 20 > tolerance, "%zu terms: tolerance %.3g is loose for %.3g", terms, tolerance, error);
    free(numbers);
}
END_TEST

static double dot(const float *a, const double *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

/* Convolution is linear in x and in w, so <dy, conv(x, w)> = <dx, x> = <dw, w>; average pooling is linear in x. */
START_TEST(backward_is_the_adjoint_of_forward)
{
    struct reference_window c = {.batch = 2, .height = 9, .width = 7, .channels = 6, .filter_height = 3, .filter_width = 2,
                                 .stride_height = 2, .pad_top = 1, .pad_bottom = 2, .pad_left = 0, .pad_right = 1,
                                 .dilation_width = 2, .units = 9, .groups = 3};
    enum { X = 2 * 9 * 7 * 6, W = 3 * 2 * 2 * 9, Y = 2 * 5 * 6 * 9 };
    ck_assert_int_eq(reference_out_height(&c), 5);
    ck_assert_int_eq(reference_out_width(&c), 6);
    static float x[X], w[W], dy[Y];
    static double y[Y], dx[X], dw[W];
    ink_random_normal(1, 1, 1, x, X);
    ink_random_normal(1, 2, 1, w, W);
    ink_random_normal(1, 3, 1, dy, Y);
    reference_conv_forward(&c, x, w, NULL, y);
    reference_conv_backward_data(&c, w, dy, dx);
    reference_conv_backward_weights(&c, x, dy, dw);
    double want = dot(dy, y, Y);
    ck_assert_double_eq_tol(dot(x, dx, X), want, 1e-11 * fabs(want));
    ck_assert_double_eq_tol(dot(w, dw, W), want, 1e-11 * fabs(want));
    enum { PY = 2 * 5 * 7 * 6 };
    c.filter_width = 3;
    c.pad_left = c.pad_right = 1;
    reference_average_pool_forward(&c, x, y);
    reference_average_pool_backward(&c, dy, dx);
    want = dot(dy, y, PY);
    ck_assert_double_eq_tol(dot(x, dx, X), want, 1e-11 * fabs(want));
}
END_TEST

/* Four channels and four units in two groups: units 0 and 1 see channels 0 and 1, units 2 and 3 the others. */
START_TEST(groups_are_neighbouring_channels)
{
    struct reference_window c = {.batch = 1, .height = 1, .width = 1, .channels = 4, .filter_height = 1,
                                 .filter_width = 1, .units = 4, .groups = 2};
    float x[] = {1, 10, 100, 1000}, w[] = {1, 2, 3, 4, 5, 6, 7, 8}, bias[] = {0.5f, 0, 0, 0};
    double y[4];
    reference_conv_forward(&c, x, w, bias, y);
    ck_assert(y[0] == 51.5 && y[1] == 62 && y[2] == 7300 && y[3] == 8400);
}
END_TEST

static int failures(TCase *cases, enum print_output mode)
{
    Suite *suite = suite_create("reference");
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, mode);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed;
}

int main(void)
{
    TCase *failing = tcase_create("failing");
    tcase_add_test(failing, compare_fails_on_nan);
    tcase_add_test(failing, compare_fails_above_tolerance);
    tcase_add_test(failing, compare_fails_on_nothing);
    int failed = failures(failing, CK_SILENT);
    if (failed != 3)
        printf("of 3 comparisons that must fail, %d did\n", failed);

    TCase *cases = tcase_create("reference");
    tcase_add_test(cases, error_is_relative_to_the_value_or_the_scale);
    tcase_add_test(cases, error_is_infinite_where_it_cannot_be_told);
    tcase_add_test(cases, compare_passes_within_tolerance);
    tcase_add_loop_test(cases, tolerance_fits_recursive_sums, 0, 10);
    tcase_add_test(cases, backward_is_the_adjoint_of_forward);
    tcase_add_test(cases, groups_are_neighbouring_channels);
    return failures(cases, CK_NORMAL) || failed != 3 ? EXIT_FAILURE : EXIT_SUCCESS;
}
