/* Activations, loss, batch norm and the other layers, and the optimizers, in plain double-precision C; see
 * reference.h. Convolution, dense and pooling are in reference_window.c. */
#include "reference.h"

#include <math.h>

static double activate(ink_activation activation, double slope, double x)
{
    switch (activation) {
    case INK_RELU: return x > 0 ? x : 0;
    case INK_LEAKY_RELU: return x > 0 ? x : slope * x;
    case INK_SIGMOID: return 1 / (1 + exp(-x));
    case INK_TANH: return tanh(x);
    case INK_NONE: return x;
    default: return NAN;
    }
}

/* dy / dx, from y */
static double derivative(ink_activation activation, double slope, double y)
{
    switch (activation) {
    case INK_RELU: return y > 0 ? 1 : 0;
    case INK_LEAKY_RELU: return y > 0 ? 1 : slope;
    case INK_SIGMOID: return y * (1 - y);
    case INK_TANH: return 1 - y * y;
    case INK_NONE: return 1;
    default: return NAN;
    }
}

void reference_activation_forward(ink_activation activation, double slope, size_t count, const float *x, double *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = activate(activation, slope, (double)x[i]);
}

void reference_activation_backward(ink_activation activation, double slope, size_t count, const float *y,
                                   const float *dy, double *dx)
{
    for (size_t i = 0; i < count; i++)
        dx[i] = (double)dy[i] * derivative(activation, slope, (double)y[i]);
}

/* log(sum(exp(x))) of a row, after taking off its maximum so that exp() stays in range */
static double log_sum_exp(int classes, const float *x)
{
    double largest = (double)x[0], sum = 0;
    for (int c = 1; c < classes; c++)
        largest = fmax(largest, (double)x[c]);
    for (int c = 0; c < classes; c++)
        sum += exp((double)x[c] - largest);
    return largest + log(sum);
}

void reference_softmax_forward(size_t rows, int classes, const float *x, double *y)
{
    for (size_t row = 0; row < rows; row++, x += classes, y += classes) {
        double normaliser = log_sum_exp(classes, x);
        for (int c = 0; c < classes; c++)
            y[c] = exp((double)x[c] - normaliser);
    }
}

/* dx = y * (dy - sum(y * dy)) */
void reference_softmax_backward(size_t rows, int classes, const float *y, const float *dy, double *dx)
{
    for (size_t row = 0; row < rows; row++, y += classes, dy += classes, dx += classes) {
        double mean = 0;
        for (int c = 0; c < classes; c++)
            mean += (double)y[c] * (double)dy[c];
        for (int c = 0; c < classes; c++)
            dx[c] = (double)y[c] * ((double)dy[c] - mean);
    }
}

double reference_cross_entropy(int batch, int classes, const float *logits, const uint8_t *labels, double smoothing,
                               double *losses, double *gradient)
{
    double total = 0;
    for (int n = 0; n < batch; n++) {
        const float *row = logits + (size_t)n * (size_t)classes;
        double normaliser = log_sum_exp(classes, row), loss = 0;
        for (int c = 0; c < classes; c++) {
            double target = (c == labels[n] ? 1 - smoothing : 0) + smoothing / classes;
            double log_probability = (double)row[c] - normaliser;
            loss -= target * log_probability;
            if (gradient)
                gradient[(size_t)n * (size_t)classes + (size_t)c] = (exp(log_probability) - target) / batch;
        }
        if (losses)
            losses[n] = loss;
        total += loss;
    }
    return total / batch;
}

/* Mean and biased variance of channel k, in two passes. */
static void moments(size_t rows, size_t channels, size_t k, const float *x, double *mean, double *variance)
{
    double sum = 0, squares = 0;
    for (size_t row = 0; row < rows; row++)
        sum += (double)x[row * channels + k];
    *mean = sum / (double)rows;
    for (size_t row = 0; row < rows; row++)
        squares += pow((double)x[row * channels + k] - *mean, 2);
    *variance = squares / (double)rows;
}

void reference_batch_norm_forward(size_t rows, int channels, const float *x, const float *gamma, const float *beta,
                                  double epsilon, double *y, double *mean, double *variance)
{
    size_t width = (size_t)channels;
    for (size_t k = 0; k < width; k++) {
        double m, v;
        moments(rows, width, k, x, &m, &v);
        for (size_t i = k; i < rows * width; i += width)
            y[i] = ((double)x[i] - m) / sqrt(v + epsilon) * (double)gamma[k] + (double)beta[k];
        if (mean)
            mean[k] = m;
        if (variance)
            variance[k] = v;
    }
}

/* With h = (x - mean) / deviation: dbeta = sum(dy), dgamma = sum(dy * h), and, since mean and deviation depend on
 * every x of the channel, dx = gamma / deviation * (dy - dbeta / rows - h * dgamma / rows). */
void reference_batch_norm_backward(size_t rows, int channels, const float *x, const float *gamma, const float *dy,
                                   double epsilon, double *dx, double *dgamma, double *dbeta)
{
    size_t width = (size_t)channels;
    for (size_t k = 0; k < width; k++) {
        double m, v, sum = 0, dot = 0;
        moments(rows, width, k, x, &m, &v);
        double deviation = sqrt(v + epsilon);
        for (size_t i = k; i < rows * width; i += width) {
            sum += (double)dy[i];
            dot += (double)dy[i] * ((double)x[i] - m) / deviation;
        }
        for (size_t i = k; dx && i < rows * width; i += width) {
            double h = ((double)x[i] - m) / deviation;
            dx[i] = (double)gamma[k] / deviation * ((double)dy[i] - sum / (double)rows - h * dot / (double)rows);
        }
        if (dgamma)
            dgamma[k] = dot;
        if (dbeta)
            dbeta[k] = sum;
    }
}

void reference_batch_norm_inference(size_t rows, int channels, const float *x, const float *gamma, const float *beta,
                                    const float *mean, const float *variance, double epsilon, double *y)
{
    for (size_t i = 0; i < rows * (size_t)channels; i++) {
        size_t k = i % (size_t)channels;
        double h = ((double)x[i] - (double)mean[k]) / sqrt((double)variance[k] + epsilon);
        y[i] = h * (double)gamma[k] + (double)beta[k];
    }
}

void reference_batch_norm_running(size_t rows, int channels, double momentum, const double *mean,
                                  const double *variance, double *running_mean, double *running_variance)
{
    double unbias = rows > 1 ? (double)rows / (double)(rows - 1) : 1;
    for (int k = 0; k < channels; k++) {
        running_mean[k] = momentum * running_mean[k] + (1 - momentum) * mean[k];
        running_variance[k] = momentum * running_variance[k] + (1 - momentum) * variance[k] * unbias;
    }
}

void reference_dropout(size_t count, double rate, const uint8_t *mask, const float *x, double *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = mask[i] ? (double)x[i] / (1 - rate) : 0;
}

void reference_add(size_t count, const float *a, const float *b, double *y)
{
    for (size_t i = 0; i < count; i++)
        y[i] = (double)a[i] + (double)b[i];
}

/* --------------------------------------------------------------- optimizers */

void reference_sgd(size_t count, double lr, double momentum, bool nesterov, double weight_decay, const float *gradient,
                   double *parameters, double *velocity)
{
    for (size_t i = 0; i < count; i++) {
        double g = (double)gradient[i] + weight_decay * parameters[i], step = g;
        if (momentum != 0) {
            velocity[i] = momentum * velocity[i] + g;
            step = nesterov ? g + momentum * velocity[i] : velocity[i];
        }
        parameters[i] -= lr * step;
    }
}

void reference_adam(size_t count, int step, double lr, double beta1, double beta2, double epsilon, double weight_decay,
                    const float *gradient, double *parameters, double *first, double *second)
{
    for (size_t i = 0; i < count; i++) {
        double g = (double)gradient[i] + weight_decay * parameters[i];
        first[i] = beta1 * first[i] + (1 - beta1) * g;
        second[i] = beta2 * second[i] + (1 - beta2) * g * g;
        double m = first[i] / (1 - pow(beta1, step)), v = second[i] / (1 - pow(beta2, step));
        parameters[i] -= lr * m / (sqrt(v) + epsilon);
    }
}

void reference_adamw(size_t count, int step, double lr, double beta1, double beta2, double epsilon,
                     double weight_decay, const float *gradient, double *parameters, double *first, double *second)
{
    for (size_t i = 0; i < count; i++)
        parameters[i] *= 1 - lr * weight_decay;
    reference_adam(count, step, lr, beta1, beta2, epsilon, 0, gradient, parameters, first, second);
}
