/* Direct convolution for CPUs: chooses the tiles of cl/conv_direct.cl by a small model of a core. */
#include "ops/conv.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_VARIANTS = 6, LINE_BYTES = 64 };

/* A pass that makes an image from an image, in one dimension: destination pixel p sees through tap t the source
 * pixel (a p + b + c t) / d, where that is exact and inside. */
struct dimension {
    int in, out, taps, a, b, c, d;
};

struct pass {
    struct dimension h, w;
    int source_channels, channels, groups; /* of whole images; the destination's channels */
    bool clip;                             /* a tap can reach outside, or between source pixels */
    bool merge;                            /* inside, the taps of a filter row see one run of source values */
    int pool_h, pool_w;                    /* of the destination (forward); else 1 */
};

struct image_tile {
    double cost;
    int height, width, q;
    bool middle_clip;
};

static int registers_of(const struct ink_call *call) { return call->vector_width == 16 ? 32 : 16; }

static bool reaches(const struct dimension *d, int pixel, int tap)
{
    int number = d->a * pixel + d->b + d->c * tap;
    return number >= 0 && number % d->d == 0 && number / d->d < d->in;
}

static bool clips(const struct dimension *d)
{
    for (int tap = 0; tap < d->taps; tap++)
        if (!reaches(d, 0, tap) || !reaches(d, d->out - 1, tap))
            return true;
    return d->d > 1;
}

/* Where the i-th tile of a size begins: tiles overlap at the end rather than stick out. */
static int tile_start(const struct dimension *d, int i, int size)
{
    return i * size < d->out - size ? i * size : d->out - size;
}

/* Pixels of a tile that a tap reaches. */
static int reached(const struct dimension *d, int start, int size, int tap)
{
    int count = 0;
    for (int p = start; p < start + size; p++)
        count += reaches(d, p, tap);
    return count;
}

/* Whether the kernel unrolls the taps of a filter row, as it does where each has few channels. */
static bool unrolls(const struct pass *pass)
{
    int k = pass->source_channels / pass->groups;
    return k == 1 || (pass->merge && !pass->clip && pass->w.taps * k <= 9);
}

/* Vectors of a tile's sums that a tap adds to: between source pixels there are those of the other taps, kept out of registers. */
static int live_sums(const struct pass *pass, int height, int width, int q)
{
    return height * ((width + pass->w.d - 1) / pass->w.d) * q;
}

/* Vectors of source values that compilers keep in registers, and sooner put sums away, as several unrolled taps see them. */
static int kept_sources(const struct pass *pass, int width)
{
    const struct dimension *w = &pass->w;
    int columns = ((width - 1) * w->a + (w->taps - 1) * abs(w->c)) / w->d + 1;
    return unrolls(pass) ? columns * (pass->source_channels / pass->groups) : 0;
}

/* Time of a pass over one sample with a tile, in half cycles of a core as in ink_pick_tile(); weights that do not fit
 * the first-level cache come at 32 bytes a cycle, and parts of cache lines are stored slowly. */
static double tile_cost(const struct ink_call *call, const struct pass *pass, int height, int width, int q, bool middle_clip)
{
    int group = pass->channels / pass->groups, vectors = (group + call->vector_width - 1) / call->vector_width;
    int k = pass->source_channels / pass->groups;
    double weights = (double)pass->h.taps * pass->w.taps * k * group * sizeof(float);
    double vector_bytes = call->vector_width * sizeof(float), fetch = weights > 32768 ? q * vector_bytes / 16.0 : q;
    double cost = 0, store = group * sizeof(float) >= LINE_BYTES && q * vector_bytes < LINE_BYTES ? 12 : 4;
    /* the largest of each window and their places; what has no register is put away once a row of the window */
    int kept = pass->pool_h > height ? 2 * width / pass->pool_w * q : 0;
    int spilled = height * width * q + kept + q + 1 - registers_of(call);
    int sources = kept_sources(pass, width), crowded = sources ? live_sums(pass, height, width, q) + sources + q - registers_of(call) : 0;
    double spill = kept && spilled > 0 ? 10.0 * spilled : 0;
    double swap = pass->w.d > 1 && spilled > 0 ? 2.0 * spilled : crowded > 0 ? 3.0 * crowded : 0; /* a tap, as measured */
    for (int i = 0; i * height < pass->h.out; i++)
        for (int j = 0; j * width < pass->w.out; j++) {
            bool check = pass->clip && (middle_clip || j == 0 || (j + 1) * width >= pass->w.out);
            bool run = unrolls(pass) || (pass->merge && !check);
            for (int t = 0; t < pass->h.taps; t++) {
                int rows = reached(&pass->h, tile_start(&pass->h, i, height), height, t);
                for (int u = 0; u < pass->w.taps && rows; u++) {
                    int pixels = rows * reached(&pass->w, tile_start(&pass->w, j, width), width, u);
                    double fma = (double)pixels * q, loads = pixels + fetch, step = fma > loads ? fma : loads;
                    cost += k * (step > 8 ? step : 8) + (u && run ? 0 : 8) + swap;
                }
            }
            cost += store * height * width * q + spill; /* start and store */
        }
    return cost * (vectors / q) * pass->groups;
}

/* True if a tile between the first and the last of a row can touch an edge, or break the rhythm of the stride. */
static bool middle_clips(const struct dimension *d, int size)
{
    for (int start = size; start + size < d->out; start += size) {
        if (start % d->d)
            return true;
        for (int p = start; p < start + size; p++)
            for (int tap = 0; tap < d->taps; tap++) {
                int number = d->a * p + d->b + d->c * tap;
                if (number < 0 || (number % d->d == 0 && number / d->d >= d->in))
                    return true;
            }
    }
    return false;
}

/* Puts a tile of so many bytes, its cost first, among the best so far, cheapest first; those of equal cost stay in the order in which
 * they came. */
static void keep_best(void *best, int *count, const void *tile, size_t bytes)
{
    const double *cost = tile;
    char *tiles = best, *at = tiles + (size_t)*count * bytes;
    while (at > tiles && *cost < *(const double *)(const void *)(at - bytes))
        at -= bytes;
    if (at == tiles + MOST_VARIANTS * bytes)
        return;
    *count += *count < MOST_VARIANTS;
    memmove(at + bytes, at, (size_t)(tiles + (size_t)(*count - 1) * bytes - at));
    memcpy(at, tile, bytes);
}

/* The best tiles of a pass, cheapest first; how many there are, 0 if a window of the pooling has no room in a tile. */
static int pick_tiles(const struct ink_call *call, const struct pass *pass, struct image_tile best[MOST_VARIANTS])
{
    int registers = registers_of(call), count = 0, ahead = unrolls(pass) ? 2 : 1; /* compilers load the weights of the next tap early */
    int group = pass->channels / pass->groups, vectors = (group + call->vector_width - 1) / call->vector_width;
    bool pooled = pass->pool_h * pass->pool_w > 1;
    for (int q = 1; q <= 4; q++)
        for (int width = pass->pool_w; width <= pass->w.out && vectors % q == 0; width += pass->pool_w)
            for (int height = 1; height <= pass->h.out && live_sums(pass, height, width, q) + ahead * (q + 1) <= registers; height++) {
                /* several rows: those of a window, or else whole rows only; where edges matter the whole image */
                bool rows = pooled ? height == pass->pool_h && !pass->clip : width == pass->w.out && (!pass->clip || height == pass->h.out);
                if (height > 1 && !rows)
                    continue;
                bool middle = pass->clip && middle_clips(&pass->w, width);
                double cost = tile_cost(call, pass, height, width, q, middle) * (middle ? 4 : 1);
                keep_best(best, &count, &(struct image_tile){cost, height, width, q, middle}, sizeof *best);
            }
    return count;
}

static void define_dimension(struct ink_launches *list, struct ink_launch *launch, const struct dimension *d, const char *suffix)
{
    const int values[] = {d->a, d->b, d->c, d->d};
    for (int i = 0; i < 4; i++) {
        const char name[] = {"ABCD"[i], '_', *suffix, 0};
        ink_define_int(list, launch, name, values[i]);
    }
    ink_define_int(list, launch, *suffix == 'H' ? "IH" : "IW", d->in);
    ink_define_int(list, launch, *suffix == 'H' ? "OH" : "OW", d->out);
    ink_define_int(list, launch, *suffix == 'H' ? "KH" : "KW", d->taps);
}

/* What both image passes share: the tile and the range. The caller adds arguments and the rest of the defines. */
static struct ink_launch *emit_image_pass(struct ink_launches *list, const struct ink_call *call, struct pass *pass, const char *kernel,
                                          const char *label)
{
    struct ink_launch *launch = ink_launch_add(list, "conv_direct.cl", kernel, label);
    struct image_tile tiles_of[MOST_VARIANTS];
    pick_tiles(call, pass, tiles_of);
    struct image_tile tile = tiles_of[call->variant];
    int group = pass->channels / pass->groups, block = tile.q * call->vector_width, blocks = (group + block - 1) / block;
    define_dimension(list, launch, &pass->h, "H");
    define_dimension(list, launch, &pass->w, "W");
    ink_define_int(list, launch, "SRC_C", pass->source_channels);
    ink_define_int(list, launch, "SRC_G", pass->source_channels / pass->groups);
    ink_define_int(list, launch, "DST_C", pass->channels);
    ink_define_int(list, launch, "DST_G", group);
    ink_define_int(list, launch, "TH", tile.height);
    ink_define_int(list, launch, "TW", tile.width);
    ink_define_int(list, launch, "Q", tile.q);
    ink_define_int(list, launch, "CLIP", pass->clip);
    ink_define_int(list, launch, "MIDDLE_CLIP", tile.middle_clip);
    ink_define_int(list, launch, "MERGE", pass->merge);

    /* A work-item takes all rows, unless too few are left to share out; a band is a multiple of the tile's (or window's) height. */
    int items = blocks * pass->groups * call->batch, bands = items >= 64 ? 1 : (64 + items - 1) / items;
    int step = pass->pool_h > 1 ? pass->pool_h : tile.height, tiles = (pass->h.out + step - 1) / step;
    int band = bands >= tiles ? step : (tiles + bands - 1) / bands * step;
    ink_define_int(list, launch, "BAND", band);
    ink_range_fixed(launch, 0, (size_t)(blocks * pass->groups), 1, 1);
    ink_range_fixed(launch, 1, (size_t)pass->h.out, (size_t)band, 1);
    ink_range_samples(launch, 2, 1, 1, 1);
    launch->by_samples = true;
    launch->sample_flops = ink_conv_flops(call->node);
    return launch;
}

static struct pass forward_pass(const struct ink_node *node)
{
    const struct ink_layer *l = &node->layer;
    struct ink_shape out = ink_conv_out(node);
    struct pass pass = {
        .h = {node->in.height, out.height, l->filter_height, l->stride_height, -l->pad_top, l->dilation_height, 1},
        .w = {node->in.width, out.width, l->filter_width, l->stride_width, -l->pad_left, l->dilation_width, 1},
        .source_channels = node->in.channels, .channels = l->units, .groups = l->groups, .pool_h = 1, .pool_w = 1,
        .merge = l->groups == 1 && l->dilation_width == 1,
    };
    if (node->pool.height) {
        pass.pool_h = node->pool.height;
        pass.pool_w = node->pool.width;
    }
    pass.clip = clips(&pass.h) || clips(&pass.w);
    return pass;
}

static struct pass backward_data_pass(const struct ink_node *node)
{
    const struct ink_layer *l = &node->layer;
    struct ink_shape out = ink_conv_out(node);
    struct pass pass = {
        .h = {out.height, node->in.height, l->filter_height, 1, l->pad_top, -l->dilation_height, l->stride_height},
        .w = {out.width, node->in.width, l->filter_width, 1, l->pad_left, -l->dilation_width, l->stride_width},
        .source_channels = l->units, .channels = node->in.channels, .groups = l->groups, .pool_h = 1, .pool_w = 1,
    };
    pass.clip = clips(&pass.h) || clips(&pass.w);
    return pass;
}

/* Bytes of local memory that backward_data lays the gradient before the pooling out in. */
static size_t whole_bytes(const struct ink_node *node)
{
    struct ink_shape out = ink_conv_out(node);
    return (size_t)out.height * (size_t)out.width * (size_t)(out.channels / node->layer.groups) * sizeof(float);
}

bool ink_conv_direct_applies(const struct ink_call *call)
{
    struct image_tile tiles[MOST_VARIANTS];
    struct pass pass = forward_pass(call->node);
    if (!call->node->pool.height)
        return true;
    if (call->style != INK_STYLE_CPU)
        return false; /* a tile of a pooled image spills a GPU's registers */
    /* beyond the second-level cache an unpooled gradient is as well off in global memory */
    size_t bytes = whole_bytes(call->node);
    return call->pass == INK_FORWARD ? pick_tiles(call, &pass, tiles) > 0
                                     : call->pass == INK_BACKWARD_WEIGHTS || (bytes <= 256 << 10 && bytes <= call->device->info.local_bytes);
}

static void define_pool(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call)
{
    ink_define_int(list, launch, "POOL_H", call->node->pool.height ? call->node->pool.height : 1);
    ink_define_int(list, launch, "POOL_W", call->node->pool.height ? call->node->pool.width : 1);
}

void ink_conv_direct_forward(struct ink_launches *list, const struct ink_call *call)
{
    const struct ink_node *node = call->node;
    const struct ink_layer *l = &node->layer;
    struct pass pass = forward_pass(node);
    bool keep = node->pool.height && call->saved[0] != INK_NO_VALUE;
    int k = node->in.channels / l->groups;
    struct ink_launch *launch = emit_image_pass(list, call, &pass, "forward", "forward direct");
    ink_define_int(list, launch, "SRC_G_TAP", (long)k * l->units);
    ink_define_int(list, launch, "W_STEP", l->units);
    ink_define_int(list, launch, "W_GROUP", l->units / l->groups);
    ink_define_int(list, launch, "BIAS", !l->no_bias);
    ink_define_activation(list, launch, call);
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    ink_arg_value(list, launch, INK_ARG_READ, call->parameters);
    ink_arg_value(list, launch, INK_ARG_WRITE, call->y);
    define_pool(list, launch, call);
    ink_define_int(list, launch, "KEEP", keep);
    if (keep)
        ink_arg_value(list, launch, INK_ARG_WRITE, call->saved[0]);
}

void ink_conv_direct_backward_data(struct ink_launches *list, const struct ink_call *call)
{
    const struct ink_node *node = call->node;
    const struct ink_layer *l = &node->layer;
    struct pass pass = backward_data_pass(node);
    int taps = l->filter_height * l->filter_width, k = node->in.channels / l->groups;
    ink_value turned = ink_value_create(list, "transposed weights", 0, (size_t)taps * (size_t)k * (size_t)l->units * sizeof(float));
    ink_emit_transpose(list, call, call->parameters, turned, taps, k, l->units);
    struct ink_launch *launch = emit_image_pass(list, call, &pass, "backward_data", "backward_data direct");
    ink_define_int(list, launch, "SRC_G_TAP", (long)k * l->units);
    ink_define_int(list, launch, "W_STEP", k);
    ink_define_int(list, launch, "W_GROUP", (long)(l->units / l->groups) * k);
    ink_arg_value(list, launch, INK_ARG_READ, call->dy);
    ink_arg_value(list, launch, INK_ARG_READ, turned);
    define_pool(list, launch, call);
    if (node->pool.height) {
        ink_arg_value(list, launch, INK_ARG_READ, call->saved[0]);
        launch->local_floats = whole_bytes(node) / sizeof(float);
    }
    ink_arg_dx(list, launch, call);
}

/* A tile of backward_weights: rows x taps of the filter, of so many channels each, by q vectors of filters, and how many columns of
 * dy it takes at a time. */
struct weight_tile {
    double cost;
    int rows, taps, channels, q, columns;
};

/* So few channels that the bias is summed up beside the weights; by the shapes alone, as the order of its sum depends on it. */
static bool bias_inside(const struct ink_node *node)
{
    int k = node->in.channels / node->layer.groups;
    return !node->layer.no_bias && k < 8 && node->layer.filter_width * k <= 13;
}

/* Rows of dy that a tile takes in before the next: as many as stay in the first-level cache with what they see of x, unless so few
 * pixels that taking up and putting down the sums would tell. */
static int band_rows(const struct ink_call *call, const struct weight_tile *tile, int blocks)
{
    enum { CACHE_BYTES = 24 << 10, LEAST_PIXELS = 48 };
    const struct ink_layer *l = &call->node->layer;
    struct ink_shape in = call->node->in, out = ink_conv_out(call->node);
    int bytes = (in.width * in.channels / l->groups * l->stride_height + out.width * blocks * tile->q * call->vector_width) * (int)sizeof(float);
    int least = (LEAST_PIXELS + out.width - 1) / out.width, cached = CACHE_BYTES / bytes;
    return cached > least ? cached : least;
}

/* Loads of x that count columns of dy need of each row of the filter and channel. */
static int columns_seen(const struct ink_layer *l, int taps, int count)
{
    int seen = 0;
    for (int j = 0; j <= (count - 1) * l->stride_width + (taps - 1) * l->dilation_width; j++) {
        bool sees = false;
        for (int n = 0; n < count; n++)
            for (int u = 0; u < taps; u++)
                sees |= n * l->stride_width + u * l->dilation_width == j;
        seen += sees;
    }
    return seen;
}

/* Time that a tile of backward_weights takes for count columns of dy, in half cycles as in tile_cost(). */
static double columns_cost(const struct ink_call *call, const struct weight_tile *tile, int count)
{
    const struct ink_layer *l = &call->node->layer;
    int sums = tile->rows * tile->taps * tile->channels * tile->q, pool = call->node->pool.height ? call->node->pool.width : 1;
    int windows = tile->columns % pool ? count : (count + pool - 1) / pool, finds = call->node->pool.height ? 3 * windows + count : count;
    /* eight sums hide the latency of one, if nothing ever comes late; nor do loads come as fast as they could */
    double fma = sums * count * (sums < 12 ? 1 + 0.05 * (12 - sums) : 1);
    double loads = 1.25 * (tile->rows * tile->channels * columns_seen(l, tile->taps, count) + tile->q * finds), step = fma > loads ? fma : loads;
    /* compilers want some registers to spare */
    int spilled = sums + (tile->columns + bias_inside(call->node)) * tile->q + (tile->columns > 1 ? 3 : 1) - registers_of(call);
    return (step > 8 * count ? step : 8 * count) + (spilled > 0 ? 4 * spilled : 0) + 2;
}

/* The same for one sample. */
static double weights_cost(const struct ink_call *call, const struct weight_tile *tile)
{
    const struct ink_layer *l = &call->node->layer;
    struct ink_shape out = ink_conv_out(call->node);
    int k = call->node->in.channels / l->groups, group = l->units / l->groups, vectors = (group + call->vector_width - 1) / call->vector_width;
    int rest = out.width % tile->columns;
    double row = 16 + out.width / tile->columns * columns_cost(call, tile, tile->columns) + (rest ? columns_cost(call, tile, rest) : 0);
    /* rows that see part of the filter's take a path with a check for each */
    double rows = out.height + (tile->rows > 1 && (l->pad_top || l->pad_left) ? tile->rows - 1 : 0);
    double blocks = (double)out.height / band_rows(call, tile, 1), change = 2 * tile->rows * tile->taps * tile->channels * tile->q + 16;
    double tiles = ((l->filter_height + tile->rows - 1) / tile->rows) * ((l->filter_width + tile->taps - 1) / tile->taps) *
                   (double)((k + tile->channels - 1) / tile->channels) * (vectors / tile->q);
    return tiles * (row * rows + blocks * change);
}

/* The best tiles of backward_weights, cheapest first; how many there are. */
static int pick_weight_tiles(const struct ink_call *call, struct weight_tile best[MOST_VARIANTS])
{
    enum { MOST_COLUMNS = 8 };
    const struct ink_node *node = call->node;
    const struct ink_layer *l = &node->layer;
    int registers = registers_of(call), k = node->in.channels / l->groups, group = l->units / l->groups, width = ink_conv_out(node).width;
    int vectors = (group + call->vector_width - 1) / call->vector_width, count = 0, pool = node->pool.height ? node->pool.width : 1;
    bool bias = bias_inside(node);
    struct weight_tile tile;
    for (tile.q = 1; tile.q <= 4; tile.q++)
        for (tile.columns = 1; tile.columns <= MOST_COLUMNS && tile.columns <= width && vectors % tile.q == 0; tile.columns++) {
            int room = (registers - 1) / tile.q - tile.columns - bias;
            if (tile.columns > 1 && tile.columns % pool)
                continue;
            for (tile.rows = 1; tile.rows <= l->filter_height; tile.rows++)
                for (tile.taps = tile.rows > 1 ? l->filter_width : 1; tile.taps <= l->filter_width; tile.taps++)
                    for (tile.channels = bias ? k : 1; tile.channels <= k && tile.rows * tile.taps * tile.channels <= room; tile.channels++) {
                        tile.cost = weights_cost(call, &tile);
                        keep_best(best, &count, &tile, sizeof tile);
                    }
        }
    return count;
}

int ink_conv_direct_variants(const struct ink_call *call)
{
    struct image_tile tiles[MOST_VARIANTS];
    struct weight_tile weight_tiles[MOST_VARIANTS];
    if (call->pass == INK_BACKWARD_WEIGHTS)
        return pick_weight_tiles(call, weight_tiles);
    struct pass pass = call->pass == INK_FORWARD ? forward_pass(call->node) : backward_data_pass(call->node);
    return pick_tiles(call, &pass, tiles);
}

/* How many of count each of at most so many work-items takes, one at least. */
static int share_out(int count, int items) { return items < 2 ? count : items < count ? (count + items - 1) / items : 1; }

void ink_conv_direct_backward_weights(struct ink_launches *list, const struct ink_call *call)
{
    const struct ink_node *node = call->node;
    const struct ink_layer *l = &node->layer;
    struct ink_shape out = ink_conv_out(node);
    int k = node->in.channels / l->groups, group = l->units / l->groups, vectors = (group + call->vector_width - 1) / call->vector_width;
    struct weight_tile tiles[MOST_VARIANTS];
    pick_weight_tiles(call, tiles);
    struct weight_tile tile = tiles[call->variant];
    int runs = (l->filter_height + tile.rows - 1) / tile.rows * ((l->filter_width + tile.taps - 1) / tile.taps);
    bool clip = l->pad_top || l->pad_left ||
                (out.height - 1) * l->stride_height + (l->filter_height - 1) * l->dilation_height - l->pad_top >= node->in.height ||
                (out.width - 1) * l->stride_width + (l->filter_width - 1) * l->dilation_width - l->pad_left >= node->in.width;

    /* Enough work-items for many cores, from a partition of the batch that depends on nothing but the shapes, and where that is
     * asked for not on the vectors either. */
    enum { REPRODUCIBLE_CHUNKS = 16, WANTED = 48, PARTS = 4 };
    int blocks = (vectors + tile.q - 1) / tile.q, chunks = REPRODUCIBLE_CHUNKS;
    if (!call->reproducible) {
        /* the partial sums no larger than a part of what is summed up */
        size_t most = (ink_shape_count(node->in) + ink_shape_count(out)) * (size_t)call->batch / (PARTS * node->trained_count) + 1;
        chunks = (WANTED + l->groups - 1) / l->groups;
        chunks = (size_t)chunks < most ? chunks : (int)most;
    }
    int samples = call->batch / chunks > 1 ? (call->batch + chunks - 1) / chunks : 1;
    chunks = (call->batch + samples - 1) / samples;
    int items = chunks * l->groups, blocks_each = share_out(blocks, WANTED / items);
    items *= (blocks + blocks_each - 1) / blocks_each;
    int runs_each = share_out(runs, WANTED / 2 / items);
    /* sums are taken up again a vector at a time, which must be the work-item's own as a whole */
    bool whole = (runs_each == 1 && tile.channels == k && blocks_each == 1) || group % call->vector_width || call->reproducible;
    int band = whole ? samples * out.height : band_rows(call, &tile, blocks_each);
    size_t count = node->trained_count;
    ink_value partial = call->gradients;
    if (chunks > 1)
        partial = ink_value_create(list, "partial gradients", 0, (size_t)chunks * count * sizeof(float));
    struct ink_launch *launch = ink_launch_add(list, "conv_direct.cl", "backward_weights", "backward_weights direct");
    const struct { const char *name; int value; } defines[] = {
        {"IH", node->in.height}, {"IW", node->in.width}, {"OH", out.height}, {"OW", out.width}, {"KH", l->filter_height},
        {"KW", l->filter_width}, {"STRIDE_H", l->stride_height}, {"STRIDE_W", l->stride_width}, {"DILATION_H", l->dilation_height},
        {"DILATION_W", l->dilation_width}, {"PAD_H", l->pad_top}, {"PAD_W", l->pad_left}, {"SRC_C", node->in.channels}, {"SRC_G", k},
        {"DST_C", l->units}, {"DST_G", group}, {"ROWS", tile.rows}, {"TAPS", tile.taps}, {"CHANNELS", tile.channels},
        {"Q", tile.q}, {"N", tile.columns}, {"CLIP", clip}, {"BIAS", !l->no_bias}, {"BIAS_INSIDE", bias_inside(node)},
        {"SAMPLES", samples}, {"BAND", band}, {"BLOCKS_EACH", blocks_each}, {"RUNS_EACH", runs_each},
    };
    for (size_t i = 0; i < sizeof defines / sizeof *defines; i++)
        ink_define_int(list, launch, defines[i].name, defines[i].value);
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    define_pool(list, launch, call);
    ink_arg_value(list, launch, INK_ARG_READ, call->dy);
    if (node->pool.height)
        ink_arg_value(list, launch, INK_ARG_READ, call->saved[0]);
    ink_arg_value(list, launch, INK_ARG_WRITE, partial);
    ink_arg_scalar(list, launch, INK_BATCH);
    ink_range_fixed(launch, 0, (size_t)((blocks + blocks_each - 1) / blocks_each * l->groups), 1, 1);
    ink_range_fixed(launch, 1, (size_t)runs, (size_t)runs_each, 1);
    ink_range_samples(launch, 2, 1, (size_t)samples, 1);
    launch->sample_flops = ink_conv_flops(node);
    if (chunks > 1)
        ink_emit_reduce(list, call, partial, call->gradients, count, samples);
}
