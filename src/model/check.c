/* Direct sums in double precision; see check.h. A dense layer is a convolution of one pixel.
 *
 * Tolerance: a float32 sum of products in any sensible order is off by a few units of rounding (2^-24) of the sum of their
 * magnitudes, as the errors of partial sums are of either sign; 16 of them leave room for the order and for the functions of
 * activations, and are far below what one missing product makes. Fast algorithms mix the values of a tile, so the
 * largest such sum of all samples counts, times the factor that the algorithm states. */
#include "model/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "util/rng.h"

enum { MOST_SAMPLES = 256, LEAST_SAMPLES = 16 };
static const double products_at_most = 4e7; /* some tens of milliseconds */
static const double roundings = 16 * 0x1p-24;

struct geometry {
    int h, w, c, oh, ow, units;   /* out before pooling */
    int fh, fw, sh, sw, pt, pl, dh, dw, groups;
    int ph, pw;                   /* fused pooling; 1 without */
    bool pooling;                 /* the op is max pooling: no weights */
};

struct sum { double value, magnitude; };

bool ink_check_covers(const struct ink_call *call)
{
    const struct ink_layer *l = &call->node->layer;
    const char *op = call->node->op->name;
    if (strcmp(op, "max_pool") == 0) /* a winner drawn at random must lie inside */
        return call->pass == INK_BACKWARD_DATA && !l->pad_top && !l->pad_bottom && !l->pad_left && !l->pad_right;
    return strcmp(op, "conv") == 0 || strcmp(op, "dense") == 0;
}

static struct geometry geometry_of(const struct ink_node *node)
{
    const struct ink_layer *l = &node->layer;
    if (strcmp(node->op->name, "dense") == 0)
        return (struct geometry){.h = 1, .w = 1, .c = (int)ink_shape_count(node->in), .oh = 1, .ow = 1, .units = l->units, .fh = 1, .fw = 1,
                                 .sh = 1, .sw = 1, .dh = 1, .dw = 1, .groups = 1, .ph = 1, .pw = 1};
    bool pooling = strcmp(node->op->name, "max_pool") == 0;
    int ph = node->pool.height ? node->pool.height : 1, pw = node->pool.width ? node->pool.width : 1;
    return (struct geometry){node->in.height, node->in.width, node->in.channels, node->out.height * ph, node->out.width * pw, node->out.channels,
                             l->filter_height, l->filter_width, l->stride_height, l->stride_width, l->pad_top, l->pad_left,
                             pooling ? 1 : l->dilation_height, pooling ? 1 : l->dilation_width, pooling ? 1 : l->groups, ph, pw, pooling};
}

static size_t weights_of(const struct geometry *g) { return g->pooling ? 0 : (size_t)g->fh * (size_t)g->fw * (size_t)(g->c / g->groups) * (size_t)g->units; }

size_t ink_check_parameters(const struct ink_node *node)
{
    struct geometry g = geometry_of(node);
    return weights_of(&g) + (g.pooling || node->layer.no_bias ? 0 : (size_t)g.units);
}

static void add(struct sum *sum, double value)
{
    sum->value += value;
    sum->magnitude += fabs(value);
}

static double slope_of(ink_activation activation, double slope, double y)
{
    switch (activation) {
    case INK_RELU: return y > 0 ? 1 : 0;
    case INK_LEAKY_RELU: return y > 0 ? 1 : slope;
    case INK_SIGMOID: return y * (1 - y);
    case INK_TANH: return 1 - y * y;
    default: return 1;
    }
}

static double activated(ink_activation activation, double slope, double z)
{
    switch (activation) {
    case INK_RELU: return z > 0 ? z : 0;
    case INK_LEAKY_RELU: return z > 0 ? z : slope * z;
    case INK_SIGMOID: return 1 / (1 + exp(-z));
    case INK_TANH: return tanh(z);
    default: return z;
    }
}

static size_t x_at(const struct geometry *g, int n, int y, int x, int c)
{
    return (((size_t)n * (size_t)g->h + (size_t)y) * (size_t)g->w + (size_t)x) * (size_t)g->c + (size_t)c;
}

static size_t out_at(const struct geometry *g, int n, int y, int x, int u)
{
    return (((size_t)n * (size_t)(g->oh / g->ph) + (size_t)(y / g->ph)) * (size_t)(g->ow / g->pw) + (size_t)(x / g->pw)) * (size_t)g->units + (size_t)u;
}

/* z of the convolution at a place before pooling. */
static struct sum forward(const struct ink_check *k, const struct geometry *g, int n, int oy, int ox, int u)
{
    int inner = g->c / g->groups, first = u / (g->units / g->groups) * inner;
    struct sum sum = {0, 0};
    for (int r = 0; r < g->fh; r++)
        for (int s = 0; s < g->fw; s++) {
            int y = oy * g->sh - g->pt + r * g->dh, x = ox * g->sw - g->pl + s * g->dw;
            for (int c = 0; c < inner && y >= 0 && y < g->h && x >= 0 && x < g->w; c++)
                add(&sum, (double)k->x[x_at(g, n, y, x, first + c)] *
                              k->parameters[((size_t)(r * g->fw + s) * (size_t)inner + (size_t)c) * (size_t)g->units + (size_t)u]);
        }
    if (!k->call->node->layer.no_bias)
        add(&sum, k->parameters[weights_of(g) + (size_t)u]);
    return sum;
}

/* The gradient of z at a place before pooling. */
static double dz(const struct ink_check *k, const struct geometry *g, int n, int oy, int ox, int u)
{
    size_t at = out_at(g, n, oy, ox, u);
    bool won = g->ph * g->pw == 1 || k->winners[at] == oy % g->ph * g->pw + ox % g->pw;
    return won ? k->dy[at] : 0;
}

static struct sum backward_data(const struct ink_check *k, const struct geometry *g, int n, int y, int x, int c)
{
    int inner = g->c / g->groups, per = g->units / g->groups, first = g->pooling ? c : c / inner * per;
    struct sum sum = {0, 0};
    for (int r = 0; r < g->fh; r++)
        for (int s = 0; s < g->fw; s++) {
            int oy = y + g->pt - r * g->dh, ox = x + g->pl - s * g->dw;
            if (oy < 0 || ox < 0 || oy % g->sh || ox % g->sw || oy / g->sh >= g->oh || ox / g->sw >= g->ow)
                continue;
            oy /= g->sh;
            ox /= g->sw;
            if (g->pooling && k->winners[out_at(g, n, oy, ox, c)] == r * g->fw + s)
                add(&sum, k->dy[out_at(g, n, oy, ox, c)]);
            for (int u = first; u < first + per && !g->pooling; u++)
                add(&sum, dz(k, g, n, oy, ox, u) *
                              k->parameters[((size_t)(r * g->fw + s) * (size_t)inner + (size_t)(c % inner)) * (size_t)g->units + (size_t)u]);
        }
    const struct ink_epilogue *end = &k->call->epilogue;
    if (end->accumulate)
        add(&sum, k->dx_before[x_at(g, n, y, x, c)]);
    if (end->activation)
        sum.value *= slope_of(end->activation, end->slope, k->mask_y[x_at(g, n, y, x, c)]);
    return sum;
}

/* The gradient of a weight, or of the bias if tap is below 0. */
static struct sum backward_weights(const struct ink_check *k, const struct geometry *g, int tap, int c, int u)
{
    int inner = g->c / g->groups, channel = u / (g->units / g->groups) * inner + c, r = tap / g->fw, s = tap % g->fw;
    struct sum sum = {0, 0};
    for (int n = 0; n < k->n; n++)
        for (int oy = 0; oy < g->oh; oy++)
            for (int ox = 0; ox < g->ow; ox++) {
                int y = oy * g->sh - g->pt + r * g->dh, x = ox * g->sw - g->pl + s * g->dw;
                if (tap < 0)
                    add(&sum, dz(k, g, n, oy, ox, u));
                else if (y >= 0 && y < g->h && x >= 0 && x < g->w)
                    add(&sum, dz(k, g, n, oy, ox, u) * k->x[x_at(g, n, y, x, channel)]);
            }
    return sum;
}

/* A number below limit from a random word: a quarter of them 0, a quarter the last, where kernels go wrong first. */
static int pick(uint32_t word, int limit)
{
    uint32_t kind = word & 3;
    return kind == 0 ? 0 : kind == 1 ? limit - 1 : (int)((word >> 2) % (uint32_t)limit);
}

/* The largest of a window of z, activated; on equal activated values the bound is the same, so the first will do. */
static struct sum pooled(const struct ink_check *k, const struct geometry *g, int n, int py, int px, int u)
{
    struct sum best = {-INFINITY, 0};
    for (int r = 0; r < g->ph; r++)
        for (int s = 0; s < g->pw; s++) {
            struct sum z = forward(k, g, n, py * g->ph + r, px * g->pw + s, u);
            best.value = fmax(best.value, z.value);
            best.magnitude = fmax(best.magnitude, z.magnitude);
        }
    best.value = activated(k->call->node->layer.activation, k->call->node->layer.slope, best.value);
    return best;
}

void ink_check_pool(const struct ink_check *k, float *y)
{
    struct geometry g = geometry_of(k->call->node);
    for (int n = 0; n < k->n && g.pooling; n++)
        for (int oy = 0; oy < g.oh; oy++)
            for (int ox = 0; ox < g.ow; ox++)
                for (int u = 0; u < g.units; u++) {
                    size_t at = out_at(&g, n, oy, ox, u);
                    y[at] = k->x[x_at(&g, n, oy * g.sh + k->winners[at] / g.fw, ox * g.sw + k->winners[at] % g.fw, u)];
                }
}

static double products_of_sample(const struct ink_check *k, const struct geometry *g)
{
    if (k->call->pass == INK_BACKWARD_WEIGHTS)
        return (double)k->n * g->oh * g->ow;
    return (double)g->fh * g->fw * (k->call->pass == INK_FORWARD ? (double)g->c / g->groups * g->ph * g->pw : (double)g->units / g->groups);
}

ink_status ink_check_prepare(struct ink_check *k)
{
    struct geometry g = geometry_of(k->call->node);
    double most = products_at_most / products_of_sample(k, &g);
    int inner = g.c / g.groups;
    k->count = most < LEAST_SAMPLES ? LEAST_SAMPLES : most > MOST_SAMPLES ? MOST_SAMPLES : (int)most;
    k->places = calloc((size_t)k->count, sizeof *k->places);
    k->want = calloc((size_t)k->count, sizeof *k->want);
    if (!k->places || !k->want)
        return ink_fail_memory((size_t)k->count * sizeof *k->want);
    for (int i = 0; i < k->count; i++) {
        uint32_t a[4], b[4];
        struct sum sum;
        ink_random_words(1, 0, 2 * (uint64_t)i, a);
        ink_random_words(1, 0, 2 * (uint64_t)i + 1, b);
        int n = pick(a[0], k->n);
        if (k->call->pass == INK_FORWARD) {
            int py = pick(a[1], g.oh / g.ph), px = pick(a[2], g.ow / g.pw), u = pick(a[3], g.units);
            k->places[i] = out_at(&g, n, py * g.ph, px * g.pw, u);
            sum = pooled(k, &g, n, py, px, u);
        } else if (k->call->pass == INK_BACKWARD_DATA) {
            int y = pick(a[1], g.h), x = pick(a[2], g.w), c = pick(a[3], g.c);
            k->places[i] = x_at(&g, n, y, x, c);
            sum = backward_data(k, &g, n, y, x, c);
        } else {
            bool bias = !k->call->node->layer.no_bias && i % 8 == 0;
            int tap = bias ? -1 : pick(b[0], g.fh * g.fw), c = pick(a[1], inner), u = pick(a[3], g.units);
            k->places[i] = bias ? weights_of(&g) + (size_t)u : ((size_t)tap * (size_t)inner + (size_t)c) * (size_t)g.units + (size_t)u;
            sum = backward_weights(k, &g, tap, c, u);
        }
        k->want[i] = sum.value;
        k->magnitude = fmax(k->magnitude, sum.magnitude);
    }
    return INK_OK;
}

void ink_check_free(struct ink_check *k)
{
    free(k->places);
    free(k->want);
    k->places = NULL;
    k->want = NULL;
}

ink_status ink_check_output(const struct ink_check *k, const float *output, const uint8_t *winners, double factor)
{
    const struct ink_node *node = k->call->node;
    struct geometry g = geometry_of(node);
    size_t out = (size_t)k->n * ink_shape_count(node->out);
    size_t count = k->call->pass == INK_FORWARD ? out : k->call->pass == INK_BACKWARD_DATA ? (size_t)k->n * ink_shape_count(node->in) : ink_check_parameters(node);
    double tolerance = roundings * fmax(factor, 1) * fmax(k->magnitude, 1);
    for (size_t i = 0; i < count; i++)
        if (!isfinite(output[i]))
            return ink_fail(INK_ERROR_DEVICE, "value %zu is %g", i, output[i]);
    for (int i = 0; i < k->count; i++)
        if (!(fabs(output[k->places[i]] - k->want[i]) <= tolerance))
            return ink_fail(INK_ERROR_DEVICE, "value %zu is %.9g and should be %.9g, within %.2g", k->places[i], output[k->places[i]], k->want[i], tolerance);
    for (size_t i = 0; winners && i < out; i++)
        if (winners[i] >= g.ph * g.pw)
            return ink_fail(INK_ERROR_DEVICE, "winner %zu is %d, in a window of %d", i, winners[i], g.ph * g.pw);
    for (int i = 0; winners && i < k->count; i++) {
        size_t at = k->places[i], pixel = at / (size_t)g.units, wide = (size_t)(g.ow / g.pw), high = (size_t)(g.oh / g.ph);
        int px = (int)(pixel % wide), py = (int)(pixel / wide % high), n = (int)(pixel / wide / high);
        struct sum z = forward(k, &g, n, py * g.ph + winners[at] / g.pw, px * g.pw + winners[at] % g.pw, (int)(at % (size_t)g.units));
        double value = activated(node->layer.activation, node->layer.slope, z.value);
        if (!(fabs(value - k->want[i]) <= 2 * tolerance)) /* the winner and the one it passed over may each be off */
            return ink_fail(INK_ERROR_DEVICE, "winner %zu has %.9g, and the largest of its window is %.9g", at, value, k->want[i]);
    }
    return INK_OK;
}
