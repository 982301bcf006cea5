/* Winograd's transforms as text for kernels, from nothing but the sizes of tile and filter. */
#ifndef INK_OPS_WINOGRAD_H
#define INK_OPS_WINOGRAD_H

#include "ops/op.h"

enum { INK_WINOGRAD_LARGEST = 8 }; /* of M + R - 1: with more points rounding errors grow out of bounds */

/* The matrices of F(m, r), n = m + r - 1 points, rows first (Lavin and Gray 2016; the points after Barabasz et al. 2020):
 * result = output [(filter w) . (input x)], in one dimension. */
struct ink_winograd {
    int m, r, n;
    int one;                                                            /* the place of the point 1 */
    double input[INK_WINOGRAD_LARGEST * INK_WINOGRAD_LARGEST];          /* B': n x n */
    double filter[INK_WINOGRAD_LARGEST * INK_WINOGRAD_LARGEST];         /* G:  n x r */
    double output[INK_WINOGRAD_LARGEST * INK_WINOGRAD_LARGEST];         /* A': m x n */
};

/* How many times the rounding errors of direct sums those of a pass in two dimensions can be: transformed values have
 * independent relative errors, whose variances the matrices add up; the pass with the largest sum counts. Measured errors
 * stay at a half of it or less. */
double ink_winograd_error(const struct ink_winograd *winograd);

/* m and r at least 2, m + r - 1 at most INK_WINOGRAD_LARGEST. */
void ink_winograd_matrices(int m, int r, struct ink_winograd *winograd);

/* The macros INPUT, OUTPUT, FILTER, INPUT_BACK, OUTPUT_BACK and FILTER_BACK of cl/winograd.cl, in which a coefficient is
 * C(its number, its value); and COEFFICIENTS, how many there are, and LAY_OUT(to), which stores them. *text: free(). */
ink_status ink_winograd_text(const struct ink_winograd *winograd, char **text);

/* Additions and multiplications of one application of each matrix as ink_winograd_text() writes it, and how many coefficients all
 * of them have. */
struct ink_winograd_work { int input, filter, output, input_back, output_back, filter_back, coefficients; };
struct ink_winograd_work ink_winograd_work(const struct ink_winograd *winograd);

#endif
