/* Comparison of a device's float32 result with a double-precision reference, and the tolerance that float32
 * arithmetic earns; see reference.h. */
#include "reference.h"

#include <check.h>
#include <math.h>

double reference_error(const float *got, const double *want, size_t count, size_t *worst)
{
    double squares = 0, error = 0;
    size_t where = 0;
    for (size_t i = 0; i < count; i++)
        squares += want[i] * want[i];
    double rms = count ? sqrt(squares / (double)count) : 0;
    for (size_t i = 0; i < count; i++) {
        double difference = fabs((double)got[i] - want[i]);
        double scale = fmax(fabs(want[i]), rms);
        double here = difference == 0 ? 0 : difference / scale;
        if (!isfinite(got[i]) || !isfinite(want[i]) || isnan(here))
            here = INFINITY;
        if (here > error) {
            error = here;
            where = i;
        }
    }
    if (worst)
        *worst = where;
    return error;
}

void reference_compare(const char *name, const float *got, const double *want, size_t count, double tolerance)
{
    size_t worst;
    double error = reference_error(got, want, count, &worst);
    ck_assert_msg(count > 0, "%s: nothing to compare", name);
    ck_assert_msg(error <= tolerance, "%s: at %zu of %zu: got %.9g, want %.9g: error %.3g is above %.3g", name, worst,
                  count, (double)got[worst], want[worst], error, tolerance);
}

/* Let u = 2^-24, half the spacing of float32 numbers at 1, and let each operation be off by a factor 1 + d with d
 * spread evenly over [-u, u], so of variance u^2 / 3 (the probabilistic model; Higham, "Accuracy and Stability of
 * Numerical Algorithms", 2nd ed., sections 2.8 and 4.5). Recursive summation of k products of standard deviation s
 * multiplies the i-th partial sum S_i by such a factor, and its error is the sum of d_i S_i (section 4.2).
 *
 *  - Products of mean 0: S_i has variance i s^2, so the error has variance (u^2 / 3) s^2 (1 + 2 + .. + k), about
 *    u^2 s^2 k^2 / 6, and the sum itself k s^2: a relative error of u sqrt(k / 6).
 *  - Products of one sign and mean m: S_i = i m, the error has variance (u^2 / 3) m^2 k^3 / 3, and the sum is k m:
 *    a relative error of u sqrt(k) / 3, which is less.
 *
 * The rounding of the products adds u / sqrt(3) at most, as do each of the few operations that follow (bias,
 * activation, scale): room is left for seven, together u sqrt(8 / 3). Errors are relative to rms(want), the typical
 * size of the sum. Sums in blocks, in vectors or by trees have smaller errors, so this holds for any order.
 *
 * That is one standard deviation. A test looks at the worst of up to 10^7 values: a normal variable passes 6
 * standard deviations once in 5 * 10^8. The worst case, k u times the sum of absolute values, is not of use: at
 * k = 1000 it would let a lost product pass unseen.
 *
 * It is valid where want is no small difference of large sums. Where it is (mean-free gradients of batch norm), or
 * where an algorithm is known to lose more (Winograd), a test multiplies it by a factor that it explains. */
double reference_tolerance(size_t terms) { return 6 * 0x1p-24 * sqrt(((double)terms + 16) / 6); }
