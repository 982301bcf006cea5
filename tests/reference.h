/* The operations of Inkling once more in plain C, in double precision, straight from their definitions: what the
 * tests hold the device's numbers against. Written to be read, not to be fast. Arrays are NHWC, convolution weights
 * HWIO, dense weights [inputs][units]. Inputs are float, as the device sees them, and are widened; outputs are
 * double and are overwritten, unless a comment says that they are updated. Pointers marked "or NULL" may be left out.
 *
 * The end of the file has the comparison of a device's result with a reference, and the tolerance that float32
 * arithmetic earns. */
#ifndef INK_TESTS_REFERENCE_H
#define INK_TESTS_REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inkling/inkling.h"

/* ------------------------------------------------------- convolution, pooling */

/* A window that slides over x: [batch][height][width][channels] and gives y: [batch][out height][out width][units]
 * for a convolution, [..][channels] for pooling. Strides, dilations and groups of 0 mean 1. */
struct reference_window {
    int batch, height, width, channels;
    int filter_height, filter_width;
    int stride_height, stride_width;
    int pad_top, pad_bottom, pad_left, pad_right;
    int dilation_height, dilation_width; /* pooling: not used */
    int units, groups;                   /* pooling: not used */
};

/* floor((size + padding - dilated filter) / stride) + 1 */
int reference_out_height(const struct reference_window *window);
int reference_out_width(const struct reference_window *window);

/* Sets pad_* so that the output size is ceil(size / stride), the odd pixel at the bottom and right. */
void reference_pad_same(struct reference_window *window);

/* w: [filter height][filter width][channels / groups][units], bias: [units] or NULL. Unit u is in group
 * u / (units / groups) and sees that group's channels only. */
void reference_conv_forward(const struct reference_window *window, const float *x, const float *w, const float *bias,
                            double *y);
void reference_conv_backward_data(const struct reference_window *window, const float *w, const float *dy, double *dx);
void reference_conv_backward_weights(const struct reference_window *window, const float *x, const float *dy, double *dw);

/* The bias gradient of convolution (rows: batch * out height * out width) and dense (rows: batch): the sum over
 * dy: [rows][units]. */
void reference_bias_backward(size_t rows, int units, const float *dy, double *dbias);

/* Ties go to the first in row-major order of the window; padding never wins. backward finds the winners in x. */
void reference_max_pool_forward(const struct reference_window *window, const float *x, double *y);
void reference_max_pool_backward(const struct reference_window *window, const float *x, const float *dy, double *dx);

/* The mean over the pixels of the window that lie inside the input. */
void reference_average_pool_forward(const struct reference_window *window, const float *x, double *y);
void reference_average_pool_backward(const struct reference_window *window, const float *dy, double *dx);

/* x: [batch][pixels][channels], y: [batch][channels] */
void reference_global_average_pool_forward(int batch, int pixels, int channels, const float *x, double *y);
void reference_global_average_pool_backward(int batch, int pixels, int channels, const float *dy, double *dx);

/* ------------------------------------------------------------- other layers */

/* x: [batch][inputs], w: [inputs][units], bias: [units] or NULL, y: [batch][units] */
void reference_dense_forward(int batch, int inputs, int units, const float *x, const float *w, const float *bias,
                             double *y);
void reference_dense_backward_data(int batch, int inputs, int units, const float *w, const float *dy, double *dx);
void reference_dense_backward_weights(int batch, int inputs, int units, const float *x, const float *dy, double *dw);

/* All but INK_SOFTMAX. backward works from the output: the sign of y is that of x as long as slope >= 0. */
void reference_activation_forward(ink_activation activation, double slope, size_t count, const float *x, double *y);
void reference_activation_backward(ink_activation activation, double slope, size_t count, const float *y,
                                   const float *dy, double *dx);

/* Over the classes of each row, after taking off the row's maximum; backward works from the output. */
void reference_softmax_forward(size_t rows, int classes, const float *x, double *y);
void reference_softmax_backward(size_t rows, int classes, const float *y, const float *dy, double *dx);

/* Softmax cross-entropy of logits: [batch][classes] against (1 - smoothing) * onehot(label) + smoothing / classes.
 * Returns the mean over the batch. losses: [batch] or NULL; gradient, of the mean: [batch][classes] or NULL. */
double reference_cross_entropy(int batch, int classes, const float *logits, const uint8_t *labels, double smoothing,
                               double *losses, double *gradient);

/* Over x: [rows][channels], rows being batch * height * width. The variance that normalises is the biased one, the
 * mean square deviation. mean, variance: [channels] or NULL. */
void reference_batch_norm_forward(size_t rows, int channels, const float *x, const float *gamma, const float *beta,
                                  double epsilon, double *y, double *mean, double *variance);
/* Through mean and variance too. dx, dgamma, dbeta: each or NULL. */
void reference_batch_norm_backward(size_t rows, int channels, const float *x, const float *gamma, const float *dy,
                                   double epsilon, double *dx, double *dgamma, double *dbeta);
/* With given statistics. */
void reference_batch_norm_inference(size_t rows, int channels, const float *x, const float *gamma, const float *beta,
                                    const float *mean, const float *variance, double epsilon, double *y);
/* Updates running statistics with the mean and biased variance of a batch: momentum is the share of the old that
 * is kept. The running variance takes the unbiased estimate, variance * rows / (rows - 1), as PyTorch does; of a
 * single row, which has none, the biased one. */
void reference_batch_norm_running(size_t rows, int channels, double momentum, const double *mean,
                                  const double *variance, double *running_mean, double *running_variance);

/* mask: 1 keeps, 0 drops. Backward is the same function of dy. */
void reference_dropout(size_t count, double rate, const uint8_t *mask, const float *x, double *y);

void reference_add(size_t count, const float *a, const float *b, double *y);

/* --------------------------------------------------------------- optimizers */

/* One step over flat arrays. The parameters and the state are updated in double, so that a run of steps has no
 * float rounding; the state starts as zeros. */

/* v = momentum * v + g; parameter -= lr * v, or lr * (g + momentum * v) with nesterov; g includes
 * weight_decay * parameter. As torch.optim.SGD without dampening. velocity: [count], not touched without momentum
 * and then or NULL. */
void reference_sgd(size_t count, double lr, double momentum, bool nesterov, double weight_decay, const float *gradient,
                   double *parameters, double *velocity);

/* Algorithm 1 of Kingma and Ba 2015: epsilon is added to the square root of the corrected second moment, as PyTorch
 * does (Keras adds it before the correction). step counts from 1; g includes weight_decay * parameter. */
void reference_adam(size_t count, int step, double lr, double beta1, double beta2, double epsilon, double weight_decay,
                    const float *gradient, double *parameters, double *first, double *second);

/* The same, but parameter *= 1 - lr * weight_decay before the step instead (Loshchilov and Hutter 2019), for all
 * parameters, biases too. */
void reference_adamw(size_t count, int step, double lr, double beta1, double beta2, double epsilon,
                     double weight_decay, const float *gradient, double *parameters, double *first, double *second);

/* --------------------------------------------------------------- comparison */

/* The largest |got - want| / max(|want|, rms(want)) and, in *worst (or NULL), where. Small values are so held to the
 * scale of the whole array, on which their rounding errors lie. INFINITY where either is not finite, or where
 * want is all zero and got is not. */
double reference_error(const float *got, const double *want, size_t count, size_t *worst);

/* Fails the running test with name, the worst index and both its values if the error is above tolerance. */
void reference_compare(const char *name, const float *got, const double *want, size_t count, double tolerance);

/* The tolerance for an array in which each value is a float32 sum of terms products, summed in any order; see
 * reference_compare.c for its derivation. */
double reference_tolerance(size_t terms);

#endif
