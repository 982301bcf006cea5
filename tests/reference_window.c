/* Convolution, dense and pooling in plain double-precision C; see reference.h. */
#include "reference.h"

#include <string.h>

static int or_one(int value) { return value ? value : 1; }

static void clear(double *values, size_t count) { memset(values, 0, count * sizeof *values); }

static int out_size(int size, int pad_before, int pad_after, int filter, int dilation, int stride)
{
    return (size + pad_before + pad_after - ((filter - 1) * dilation + 1)) / stride + 1;
}

int reference_out_height(const struct reference_window *c)
{
    return out_size(c->height, c->pad_top, c->pad_bottom, c->filter_height, or_one(c->dilation_height),
                    or_one(c->stride_height));
}

int reference_out_width(const struct reference_window *c)
{
    return out_size(c->width, c->pad_left, c->pad_right, c->filter_width, or_one(c->dilation_width),
                    or_one(c->stride_width));
}

static void pad_same(int size, int filter, int dilation, int stride, int *before, int *after)
{
    int out = (size + stride - 1) / stride;
    int total = (out - 1) * stride + (filter - 1) * dilation + 1 - size;
    if (total < 0)
        total = 0;
    *before = total / 2;
    *after = total - total / 2;
}

void reference_pad_same(struct reference_window *c)
{
    pad_same(c->height, c->filter_height, or_one(c->dilation_height), or_one(c->stride_height), &c->pad_top,
             &c->pad_bottom);
    pad_same(c->width, c->filter_width, or_one(c->dilation_width), or_one(c->stride_width), &c->pad_left,
             &c->pad_right);
}

/* One pair of an output pixel and a filter tap whose input pixel lies inside the input. */
struct pair {
    size_t out; /* pixel number in y: (n * out height + oy) * out width + ox */
    size_t in;  /* pixel number in x: (n * height + iy) * width + ix */
    size_t tap; /* fy * filter width + fx */
};

/* Steps to the next pair, output pixel by output pixel, taps in row-major order; *at starts at 0. False at the end. */
static bool next_pair(const struct reference_window *c, size_t *at, struct pair *pair)
{
    size_t out_height = (size_t)reference_out_height(c), out_width = (size_t)reference_out_width(c);
    size_t taps = (size_t)c->filter_height * (size_t)c->filter_width;
    size_t end = (size_t)c->batch * out_height * out_width * taps;
    while (*at < end) {
        size_t now = (*at)++;
        pair->tap = now % taps;
        pair->out = now / taps;
        int fy = (int)pair->tap / c->filter_width, fx = (int)pair->tap % c->filter_width;
        int ox = (int)(pair->out % out_width), oy = (int)(pair->out / out_width % out_height);
        size_t n = pair->out / out_width / out_height;
        int iy = oy * or_one(c->stride_height) - c->pad_top + fy * or_one(c->dilation_height);
        int ix = ox * or_one(c->stride_width) - c->pad_left + fx * or_one(c->dilation_width);
        if (iy < 0 || iy >= c->height || ix < 0 || ix >= c->width)
            continue;
        pair->in = (n * (size_t)c->height + (size_t)iy) * (size_t)c->width + (size_t)ix;
        return true;
    }
    return false;
}

static size_t in_pixels(const struct reference_window *c)
{
    return (size_t)c->batch * (size_t)c->height * (size_t)c->width;
}

static size_t out_pixels(const struct reference_window *c)
{
    return (size_t)c->batch * (size_t)reference_out_height(c) * (size_t)reference_out_width(c);
}

/* Where unit u and channel i of its group meet: in x, y and w for this pair. */
struct place {
    size_t x, y, w;
};

static struct place place_of(const struct reference_window *c, const struct pair *pair, size_t u, size_t i)
{
    size_t groups = (size_t)or_one(c->groups), channels = (size_t)c->channels, units = (size_t)c->units;
    size_t share = channels / groups, group = u / (units / groups);
    return (struct place){
        .x = pair->in * channels + group * share + i,
        .y = pair->out * units + u,
        .w = (pair->tap * share + i) * units + u,
    };
}

void reference_conv_forward(const struct reference_window *c, const float *x, const float *w, const float *bias, double *y)
{
    size_t units = (size_t)c->units, share = (size_t)(c->channels / or_one(c->groups)), at = 0;
    for (size_t i = 0; i < out_pixels(c) * units; i++)
        y[i] = bias ? (double)bias[i % units] : 0;
    for (struct pair pair; next_pair(c, &at, &pair);)
        for (size_t u = 0; u < units; u++)
            for (size_t i = 0; i < share; i++) {
                struct place p = place_of(c, &pair, u, i);
                y[p.y] += (double)x[p.x] * (double)w[p.w];
            }
}

void reference_conv_backward_data(const struct reference_window *c, const float *w, const float *dy, double *dx)
{
    size_t units = (size_t)c->units, share = (size_t)(c->channels / or_one(c->groups)), at = 0;
    clear(dx, in_pixels(c) * (size_t)c->channels);
    for (struct pair pair; next_pair(c, &at, &pair);)
        for (size_t u = 0; u < units; u++)
            for (size_t i = 0; i < share; i++) {
                struct place p = place_of(c, &pair, u, i);
                dx[p.x] += (double)dy[p.y] * (double)w[p.w];
            }
}

void reference_conv_backward_weights(const struct reference_window *c, const float *x, const float *dy, double *dw)
{
    size_t units = (size_t)c->units, share = (size_t)(c->channels / or_one(c->groups)), at = 0;
    clear(dw, (size_t)c->filter_height * (size_t)c->filter_width * share * units);
    for (struct pair pair; next_pair(c, &at, &pair);)
        for (size_t u = 0; u < units; u++)
            for (size_t i = 0; i < share; i++) {
                struct place p = place_of(c, &pair, u, i);
                dw[p.w] += (double)x[p.x] * (double)dy[p.y];
            }
}

void reference_bias_backward(size_t rows, int units, const float *dy, double *dbias)
{
    clear(dbias, (size_t)units);
    for (size_t i = 0; i < rows * (size_t)units; i++)
        dbias[i % (size_t)units] += (double)dy[i];
}

/* Pooling has no dilation. */
static struct reference_window pooling(const struct reference_window *window)
{
    struct reference_window pool = *window;
    pool.dilation_height = pool.dilation_width = 1;
    return pool;
}

/* A pixel of y for channel k, and the pixel of x that wins it: the first of the largest. Calls of next_pair() with
 * the same out follow each other, so the end of a window is where out changes. */
static void max_pool(const struct reference_window *window, const float *x, const float *dy, double *y, double *dx)
{
    struct reference_window c = pooling(window);
    size_t channels = (size_t)c.channels;
    for (size_t k = 0; k < channels; k++) {
        size_t at = 0, winner = 0, out = SIZE_MAX;
        for (struct pair pair; next_pair(&c, &at, &pair);) {
            if (pair.out != out) {
                if (out != SIZE_MAX && dx)
                    dx[winner] += (double)dy[out * channels + k];
                out = pair.out;
                winner = pair.in * channels + k;
            } else if (x[pair.in * channels + k] > x[winner]) {
                winner = pair.in * channels + k;
            }
            if (y)
                y[out * channels + k] = (double)x[winner];
        }
        if (out != SIZE_MAX && dx)
            dx[winner] += (double)dy[out * channels + k];
    }
}

void reference_max_pool_forward(const struct reference_window *c, const float *x, double *y)
{
    max_pool(c, x, NULL, y, NULL);
}

void reference_max_pool_backward(const struct reference_window *c, const float *x, const float *dy, double *dx)
{
    clear(dx, in_pixels(c) * (size_t)c->channels);
    max_pool(c, x, dy, NULL, dx);
}

/* Pixels of the window of output pixel out that lie inside the input. */
static double inside(const struct reference_window *c, size_t out)
{
    size_t at = out * (size_t)c->filter_height * (size_t)c->filter_width;
    double count = 0;
    for (struct pair pair; next_pair(c, &at, &pair) && pair.out == out;)
        count++;
    return count;
}

void reference_average_pool_forward(const struct reference_window *window, const float *x, double *y)
{
    struct reference_window c = pooling(window);
    size_t channels = (size_t)c.channels, at = 0;
    clear(y, out_pixels(&c) * channels);
    for (struct pair pair; next_pair(&c, &at, &pair);)
        for (size_t k = 0; k < channels; k++)
            y[pair.out * channels + k] += (double)x[pair.in * channels + k] / inside(&c, pair.out);
}

void reference_average_pool_backward(const struct reference_window *window, const float *dy, double *dx)
{
    struct reference_window c = pooling(window);
    size_t channels = (size_t)c.channels, at = 0;
    clear(dx, in_pixels(&c) * channels);
    for (struct pair pair; next_pair(&c, &at, &pair);)
        for (size_t k = 0; k < channels; k++)
            dx[pair.in * channels + k] += (double)dy[pair.out * channels + k] / inside(&c, pair.out);
}

void reference_global_average_pool_forward(int batch, int pixels, int channels, const float *x, double *y)
{
    size_t p = (size_t)pixels, c = (size_t)channels;
    clear(y, (size_t)batch * c);
    for (size_t i = 0; i < (size_t)batch * p * c; i++)
        y[i / (p * c) * c + i % c] += (double)x[i] / pixels;
}

void reference_global_average_pool_backward(int batch, int pixels, int channels, const float *dy, double *dx)
{
    size_t p = (size_t)pixels, c = (size_t)channels;
    for (size_t i = 0; i < (size_t)batch * p * c; i++)
        dx[i] = (double)dy[i / (p * c) * c + i % c] / pixels;
}


/* A dense layer is a 1x1 convolution of 1x1 pixels. */
static struct reference_window dense(int batch, int inputs, int units)
{
    return (struct reference_window){.batch = batch, .height = 1, .width = 1, .channels = inputs, .filter_height = 1,
                                     .filter_width = 1, .units = units};
}

void reference_dense_forward(int batch, int inputs, int units, const float *x, const float *w, const float *bias,
                             double *y)
{
    struct reference_window c = dense(batch, inputs, units);
    reference_conv_forward(&c, x, w, bias, y);
}

void reference_dense_backward_data(int batch, int inputs, int units, const float *w, const float *dy, double *dx)
{
    struct reference_window c = dense(batch, inputs, units);
    reference_conv_backward_data(&c, w, dy, dx);
}

void reference_dense_backward_weights(int batch, int inputs, int units, const float *x, const float *dy, double *dw)
{
    struct reference_window c = dense(batch, inputs, units);
    reference_conv_backward_weights(&c, x, dy, dw);
}
