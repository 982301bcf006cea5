/* Winograd convolution for CPUs: chooses the tiles of cl/winograd.cl by a small model of a core and its caches. */
#include <stdio.h>
#include <stdlib.h>

#include "ops/conv.h"
#include "ops/winograd.h"

/* Beside the largest tile, what a core does in a cycle, by which tiles are compared with each other and with direct sums. */
enum {
    STREAM_BYTES = 8, /* of transformed weights, from the last-level cache */
    NEAR_BYTES = 24,  /* of sums that stay in the second-level cache */
    SHARES_EACH = 2, SHARES_LEAST = 8, SHARES_MOST = 64, /* work-groups for a core, and in all, where the batch gives as many */
    LINE = 16,        /* floats of a pixel in the image in local memory, as in the kernels */
    BALANCED = 8,     /* work-groups in a multiple of this leave no core idle at the end */
    GROUP_VECTORS = 16, /* of weights that a work-item transforms, so that it is worth its group */
};
static const double transform_vectors = 1.3;    /* transforms: vector operations, with their loads and stores */
static const double product_vectors = 1.7;      /* register tiles: vector multiply-adds; 2 is the most */

/* A pass over images: a result of rows x columns from a source, tile by tile. For backward_weights the source is x and the
 * result dy. */
struct images {
    struct ink_shape source, result;
    int pad_height, pad_width;
    int cover_height, cover_width; /* of the result that filters reach */
    struct { int height, width; } pool; /* of the side that is pooled */
};

/* How a pass is cut. */
struct cut {
    bool transposed;               /* backward_data by the transposed algorithm */
    struct ink_winograd winograd;
    struct ink_winograd_work work; /* of its transforms */
    int tiles_height, tiles_width;
    int samples, band, tiles;      /* of a work-item: samples, or rows of tiles of one sample; tiles */
    int source_channels, result_channels; /* padded; the latter of a work-item */
    int blocks;                    /* of result channels, each with work-items of its own (backward_weights); else 1 */
    int chunks;                    /* of the batch, at most, whose sums are kept apart (backward_weights) */
    int v_at, m_at, image_pixels;
    struct ink_tile tile;
    size_t local_bytes;
    double cycles;                 /* of a batch on one core, predicted */
};

/* Whether the launch may become a stage of a chain, for which nothing is shared out. */
static bool is_alone(const struct ink_call *call)
{
    return !call->training && call->batch <= INK_CHAIN_SAMPLES && ink_conv_flops(call->node) * call->batch <= 4.0 * INK_CHAIN_WORK;
}

/* Work-groups at least for the device's cores, where the batch gives as many. */
static int shares_of(const struct ink_call *call)
{
    unsigned units = call->device->info.compute_units;
    return units <= SHARES_LEAST / SHARES_EACH ? SHARES_LEAST : units >= SHARES_MOST / SHARES_EACH ? SHARES_MOST : (int)units * SHARES_EACH;
}

static int round_up(int value, int step) { return (value + step - 1) / step * step; }

static struct images images_of(const struct ink_call *call, bool transposed)
{
    const struct ink_node *node = call->node;
    const struct ink_layer *l = &node->layer;
    struct ink_shape out = ink_conv_out(node);
    struct images images = {.source = node->in, .result = out, .pad_height = l->pad_top, .pad_width = l->pad_left,
                            .cover_height = out.height, .cover_width = out.width, .pool = {1, 1}};
    if (node->pool.height) {
        images.pool.height = node->pool.height;
        images.pool.width = node->pool.width;
    }
    if (call->pass == INK_BACKWARD_DATA) {
        images.source = out;
        images.result = node->in;
        images.pad_height = transposed ? l->pad_top : l->filter_height - 1 - l->pad_top;
        images.pad_width = transposed ? l->pad_left : l->filter_width - 1 - l->pad_left;
        int height = out.height + l->filter_height - 1 - l->pad_top, width = out.width + l->filter_width - 1 - l->pad_left;
        images.cover_height = height < node->in.height ? height : node->in.height;
        images.cover_width = width < node->in.width ? width : node->in.width;
    }
    return images;
}

/* Rows or columns of the image in local memory that edges, pooled values and overlapping tiles go through. */
static int image_side(const struct cut *cut, int tiles) { return tiles * cut->winograd.m + cut->winograd.r - 1; }

/* A tile can reach outside the source. */
static bool has_edges(const struct images *images, const struct cut *cut)
{
    return images->pad_height > 0 || images->pad_width > 0 ||
           image_side(cut, cut->tiles_height) - images->pad_height > images->source.height ||
           image_side(cut, cut->tiles_width) - images->pad_width > images->source.width;
}

/* Pixels of that image; 0 where tiles are read and written as they lie. */
static int image_pixels(const struct ink_call *call, const struct images *images, const struct cut *cut)
{
    bool ragged = call->pass == INK_BACKWARD_WEIGHTS && (images->result.height % cut->winograd.m || images->result.width % cut->winograd.m);
    bool pooled = images->pool.height * images->pool.width > 1;
    if (!ragged && !pooled && !cut->transposed && !has_edges(images, cut))
        return 0;
    return image_side(cut, cut->band) * image_side(cut, cut->tiles_width);
}

/* As LOCAL_MEMORY has it. */
static size_t local_floats(const struct ink_call *call, const struct cut *cut)
{
    int places = cut->winograd.n * cut->winograd.n;
    int v = round_up(places * cut->v_at, 16) + cut->work.coefficients * call->vector_width;
    return (size_t)(round_up(v, 16) + round_up(places * cut->m_at, 16) + cut->image_pixels * LINE);
}

/* Sizes of a cut whose samples and band are set. */
static void measure(const struct ink_call *call, const struct images *images, struct cut *cut)
{
    const struct ink_winograd *w = &cut->winograd;
    int width = call->vector_width, places = w->n * w->n;
    int vectors = ((images->result.channels + width - 1) / width + cut->blocks - 1) / cut->blocks;
    bool weights = call->pass == INK_BACKWARD_WEIGHTS;
    cut->tiles = cut->samples * cut->band * cut->tiles_width;
    ink_pick_tile(call, weights ? images->source.channels : cut->tiles, vectors, &cut->tile);
    cut->source_channels = round_up(images->source.channels, width);
    cut->result_channels = round_up(vectors * width, width * cut->tile.q);
    cut->v_at = cut->tiles * cut->source_channels + 16;
    cut->m_at = cut->tiles * cut->result_channels + 16;
    cut->image_pixels = image_pixels(call, images, cut);
    const struct ink_winograd_work *work = &cut->work;
    cut->local_bytes = local_floats(call, cut) * sizeof(float);

    int groups = (call->batch + cut->samples - 1) / cut->samples * ((cut->tiles_height + cut->band - 1) / cut->band);
    int all = call->batch * cut->tiles_height * cut->tiles_width, channels = cut->result_channels * cut->blocks;
    double in = cut->transposed ? (double)(w->m + w->n) * work->output_back : 2.0 * w->n * work->input;
    double out = cut->transposed ? 2.0 * w->n * work->input_back : (double)(w->n + w->m) * (weights ? work->output_back : work->output);
    double transforms = all * (in * cut->source_channels * cut->blocks + out * channels) / width / transform_vectors;
    double products = (double)all * places * images->source.channels * channels / width / product_vectors;
    /* transformed weights are read by each group */
    double floats = (double)places * images->source.channels, stream = groups * floats * channels * sizeof(float) / STREAM_BYTES;
    if (weights) { /* their gradients are read and written, and at the end added up over chunks */
        double sums = floats * cut->result_channels * sizeof(float);
        bool near = sums + (double)cut->local_bytes <= (double)call->device->info.local_bytes;
        stream = 2.0 * groups * floats * channels * sizeof(float) / (near ? NEAR_BYTES : STREAM_BYTES);
        transforms += 2.0 * cut->chunks * floats * channels * sizeof(float) / STREAM_BYTES;
    }
    cut->cycles = transforms + (products > stream ? products : stream);
    if (!is_alone(call))
        cut->cycles *= (double)round_up(groups, BALANCED) / groups;
}

/* The best samples and band for a tile that fit into bytes of local memory, with so many work-groups where the batch gives as many; false
 * if none does. */
static bool cut_batch(const struct ink_call *call, const struct images *images, size_t bytes, int shares, struct cut *cut)
{
    int most = (call->batch + shares - 1) / shares;
    struct cut best = {0};
    if (is_alone(call))
        most = call->batch;
    for (int samples = 1; samples <= most && samples <= 64; samples++) {
        struct cut next = *cut;
        next.samples = samples;
        next.band = cut->tiles_height;
        measure(call, images, &next);
        if (next.local_bytes <= bytes && (!best.samples || next.cycles < best.cycles))
            best = next;
    }
    bool pooled = call->pass == INK_FORWARD && images->pool.height > 1;
    for (int band = cut->tiles_height - 1; band >= 1 && !cut->transposed; band--) {
        int bands = (cut->tiles_height + band - 1) / band;
        struct cut next = *cut;
        if (pooled && band * cut->winograd.m % images->pool.height != 0)
            continue;
        if (best.samples && (is_alone(call) || call->batch * bands > 2 * shares)) /* enough to share out already */
            break;
        next.samples = 1;
        next.band = band;
        measure(call, images, &next);
        bool few = best.samples && call->batch * ((cut->tiles_height + best.band - 1) / best.band) < shares;
        if (next.local_bytes <= bytes && (!best.samples || few))
            best = next;
    }
    if (best.samples)
        *cut = best;
    return best.samples > 0;
}

/* The same, with the best number of blocks of result channels: more of them transform the source again and again, but keep
 * the sums that a work-item adds to in its cache. */
static bool cut_blocks(const struct ink_call *call, const struct images *images, size_t bytes, struct cut *cut)
{
    int lines = (images->result.channels + LINE - 1) / LINE, most = call->pass == INK_BACKWARD_WEIGHTS ? lines : 1;
    struct cut best = {0};
    for (int blocks = 1; blocks <= most; blocks++) {
        struct cut next = *cut;
        if (lines % blocks)
            continue;
        next.blocks = blocks;
        next.chunks = blocks < BALANCED / 2 ? BALANCED / blocks : 2;
        int shares = call->pass == INK_BACKWARD_WEIGHTS ? next.chunks : SHARES_LEAST;
        if (cut_batch(call, images, bytes, shares, &next) && (!best.blocks || next.cycles < best.cycles))
            best = next;
    }
    if (best.blocks)
        *cut = best;
    return best.blocks > 0;
}

/* The cut of a variant; false if there is none. Variants are the tiles that fit, the fastest by prediction first. How a sum is cut shapes
 * its bits, so that takes nothing of the device but its local memory; how many samples a work-group takes does not where it sums over none,
 * so the cores decide. */
static bool pick_cut(const struct ink_call *call, int variant, struct cut *out)
{
    struct cut cuts[2 * INK_WINOGRAD_LARGEST];
    int r = call->node->layer.filter_height, count = 0;
    size_t bytes = (size_t)call->device->info.local_bytes * 7 / 8;
    for (int transposed = 0; transposed <= (call->pass == INK_BACKWARD_DATA); transposed++) {
        struct images images = images_of(call, transposed);
        int height = transposed ? images.source.height : images.cover_height, width = transposed ? images.source.width : images.cover_width;
        for (int m = 2; m + r - 1 <= INK_WINOGRAD_LARGEST; m++) {
            struct cut cut = {.transposed = transposed, .tiles_height = (height + m - 1) / m, .tiles_width = (width + m - 1) / m};
            ink_winograd_matrices(m, r, &cut.winograd);
            cut.work = ink_winograd_work(&cut.winograd);
            if (!cut_blocks(call, &images, bytes, &cut))
                continue;
            int at = count++;
            for (; at > 0 && cuts[at - 1].cycles > cut.cycles; at--)
                cuts[at] = cuts[at - 1];
            cuts[at] = cut;
        }
    }
    if (variant >= count)
        return false;
    *out = cuts[variant];
    if (call->pass != INK_BACKWARD_WEIGHTS) {
        struct images images = images_of(call, out->transposed);
        cut_batch(call, &images, bytes, shares_of(call), out);
        out->cycles = cuts[variant].cycles;
    }
    return true;
}

/* Of the direct algorithm, as of a cut. */
static double direct_cycles(const struct ink_call *call)
{
    return ink_conv_flops(call->node) / 2 * call->batch / call->vector_width / product_vectors;
}

bool ink_winograd_applies(const struct ink_call *call)
{
    const struct ink_layer *l = &call->node->layer;
    struct cut cut;
    bool square = l->filter_height == l->filter_width && l->filter_height >= 2 && l->filter_height + 1 <= INK_WINOGRAD_LARGEST;
    bool plain = l->stride_height == 1 && l->stride_width == 1 && l->dilation_height == 1 && l->dilation_width == 1 && l->groups == 1;
    if (!square || !plain || call->style != INK_STYLE_CPU || !pick_cut(call, 0, &cut))
        return false;
    return cut.cycles < direct_cycles(call);
}

int ink_winograd_variants(const struct ink_call *call)
{
    struct cut cut;
    int count = 0;
    while (pick_cut(call, count, &cut))
        count++;
    return count;
}

/* A launch of cl/winograd.cl with its transforms and the defines that every kernel there needs. */
static struct ink_launch *emit(struct ink_launches *list, const struct ink_call *call, const struct images *images, const struct cut *cut,
                               const char *kernel, const char *label)
{
    char name[80];
    snprintf(name, sizeof name, "%s F(%dx%d, %dx%d)", label, cut->winograd.m, cut->winograd.m, cut->winograd.r, cut->winograd.r);
    struct ink_launch *launch = ink_launch_add(list, "winograd.cl", kernel, name);
    int bias_at = cut->winograd.r * cut->winograd.r * call->node->in.channels * call->node->layer.units;
    const struct { const char *name; int value; } defines[] = {
        {"M", cut->winograd.m}, {"R", cut->winograd.r}, {"N", cut->winograd.n}, {"ONE", cut->winograd.one},
        {"IH", images->source.height}, {"IW", images->source.width}, {"SRC_C", images->source.channels}, {"SRC_CP", cut->source_channels},
        {"PAD_H", images->pad_height}, {"PAD_W", images->pad_width}, {"OH", images->result.height}, {"OW", images->result.width},
        {"DST_C", images->result.channels}, {"DST_CP", cut->result_channels}, {"DST_BLOCKS", cut->blocks}, {"COVER_H", images->cover_height},
        {"COVER_W", images->cover_width}, {"TILES_H", cut->tiles_height}, {"TILES_W", cut->tiles_width}, {"SAMPLES", cut->samples},
        {"BAND", cut->band}, {"T", cut->tiles}, {"ROWS", cut->tile.rows}, {"Q", cut->tile.q}, {"V_AT", cut->v_at}, {"M_AT", cut->m_at},
        {"POOL_H", images->pool.height}, {"POOL_W", images->pool.width}, {"IMAGE_PIXELS", cut->image_pixels}, {"IMAGE_W", image_side(cut, cut->tiles_width)},
        {"EDGES", has_edges(images, cut)},
        {"BIAS", !call->node->layer.no_bias}, {"BIAS_AT", bias_at},
    };
    for (size_t i = 0; i < sizeof defines / sizeof *defines; i++)
        ink_define_int(list, launch, defines[i].name, defines[i].value);
    if (!list->status)
        list->status = ink_winograd_text(&cut->winograd, &launch->generated);
    launch->error_factor = ink_winograd_error(&cut->winograd);
    launch->local_floats = local_floats(call, cut);
    return launch;
}

/* Rows of weights, of so many vectors each, that a work-item transforms. */
static int weights_run(int vectors) { return vectors < GROUP_VECTORS ? GROUP_VECTORS / vectors : 1; }

/* The launch that transforms the layer's weights for the products; gives the transformed ones. */
static ink_value emit_weights(struct ink_launches *list, const struct ink_call *call, const struct images *images, const struct cut *cut)
{
    bool back = call->pass == INK_BACKWARD_DATA;
    size_t places = (size_t)(cut->winograd.n * cut->winograd.n);
    ink_value u = ink_value_create(list, "transformed weights", 0,
                                   places * ((size_t)images->source.channels * (size_t)cut->result_channels + LINE) * sizeof(float));
    struct ink_launch *launch = ink_launch_add(list, "winograd.cl", "weights", "transform of weights");
    const struct { const char *name; int value; } defines[] = {
        {"M", cut->winograd.m}, {"R", cut->winograd.r}, {"N", cut->winograd.n}, {"SRC_C", images->source.channels},
        {"DST_C", images->result.channels}, {"DST_CP", cut->result_channels}, {"Q", cut->tile.q}, {"BACK", back},
        {"TURNED", back && !cut->transposed}, {"RUN", weights_run(cut->tile.q)},
    };
    for (size_t i = 0; i < sizeof defines / sizeof *defines; i++)
        ink_define_int(list, launch, defines[i].name, defines[i].value);
    if (!list->status)
        list->status = ink_winograd_text(&cut->winograd, &launch->generated);
    ink_arg_value(list, launch, INK_ARG_READ, call->parameters);
    ink_arg_value(list, launch, INK_ARG_WRITE, u);
    ink_range_fixed(launch, 1, (size_t)images->source.channels, (size_t)weights_run(cut->tile.q), 1);
    ink_range_fixed(launch, 0, (size_t)(cut->result_channels / call->vector_width), (size_t)cut->tile.q, 1);
    return u;
}

static void range_groups(struct ink_launch *launch, const struct cut *cut)
{
    ink_range_fixed(launch, 0, (size_t)cut->tiles_height, (size_t)cut->band, 1);
    ink_range_samples(launch, 1, 1, (size_t)cut->samples, 1);
    launch->by_samples = true;
}

void ink_winograd_forward(struct ink_launches *list, const struct ink_call *call)
{
    struct images images = images_of(call, false);
    struct cut cut;
    if (!pick_cut(call, call->variant, &cut))
        return;
    ink_value u = emit_weights(list, call, &images, &cut);
    struct ink_launch *launch = emit(list, call, &images, &cut, "forward", "forward");
    bool keep = call->node->pool.height && call->saved[0] != INK_NO_VALUE;
    ink_define_int(list, launch, "KEEP", keep);
    ink_define_activation(list, launch, call);
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    ink_arg_value(list, launch, INK_ARG_READ, u);
    ink_arg_value(list, launch, INK_ARG_READ, call->parameters);
    ink_arg_value(list, launch, INK_ARG_WRITE, call->y);
    if (keep)
        ink_arg_value(list, launch, INK_ARG_WRITE, call->saved[0]);
    ink_arg_scalar(list, launch, INK_BATCH);
    range_groups(launch, &cut);
    launch->sample_flops = ink_conv_flops(call->node);
    launch->speedup = direct_cycles(call) / cut.cycles;
}

void ink_winograd_backward_data(struct ink_launches *list, const struct ink_call *call)
{
    struct cut cut;
    if (!pick_cut(call, call->variant, &cut))
        return;
    struct images images = images_of(call, cut.transposed);
    ink_value u = emit_weights(list, call, &images, &cut);
    struct ink_launch *launch = cut.transposed ? emit(list, call, &images, &cut, "transposed_data", "backward_data transposed")
                                               : emit(list, call, &images, &cut, "backward_data", "backward_data");
    ink_arg_value(list, launch, INK_ARG_READ, call->dy);
    ink_arg_value(list, launch, INK_ARG_READ, u);
    if (call->node->pool.height)
        ink_arg_value(list, launch, INK_ARG_READ, call->saved[0]);
    ink_arg_dx(list, launch, call);
    ink_arg_scalar(list, launch, INK_BATCH);
    range_groups(launch, &cut);
    launch->sample_flops = ink_conv_flops(call->node);
}

void ink_winograd_backward_weights(struct ink_launches *list, const struct ink_call *call)
{
    struct images images = images_of(call, false);
    struct cut cut;
    if (!pick_cut(call, call->variant, &cut))
        return;
    /* chunks enough for many cores, from a partition of the batch that depends on nothing but the shapes */
    int bands = (cut.tiles_height + cut.band - 1) / cut.band, steps = (call->batch + cut.samples - 1) / cut.samples * bands;
    int chunk = (steps + cut.chunks - 1) / cut.chunks, chunks = (steps + chunk - 1) / chunk;
    size_t places = (size_t)(cut.winograd.n * cut.winograd.n);
    size_t floats = (places * ((size_t)images.source.channels * (size_t)cut.result_channels + LINE) + (size_t)cut.result_channels) * (size_t)cut.blocks;
    ink_value partial = ink_value_create(list, "partial gradients", 0, (size_t)chunks * floats * sizeof(float));
    struct ink_launch *launch = emit(list, call, &images, &cut, "backward_weights", "backward_weights");
    ink_define_int(list, launch, "CHUNK", chunk);
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    ink_arg_value(list, launch, INK_ARG_READ, call->dy);
    if (call->node->pool.height)
        ink_arg_value(list, launch, INK_ARG_READ, call->saved[0]);
    ink_arg_value(list, launch, INK_ARG_WRITE, partial);
    ink_arg_scalar(list, launch, INK_BATCH);
    ink_range_fixed(launch, 0, (size_t)cut.blocks, 1, 1);
    ink_range_samples(launch, 1, (size_t)bands, (size_t)(chunk * cut.samples), 1);
    launch->sample_flops = ink_conv_flops(call->node);

    launch = emit(list, call, &images, &cut, "gradients", "gradients of weights");
    ink_define_int(list, launch, "CHUNK", chunk);
    ink_arg_value(list, launch, INK_ARG_READ, partial);
    ink_arg_value(list, launch, INK_ARG_WRITE, call->gradients);
    ink_arg_scalar(list, launch, INK_BATCH);
    int run = weights_run(LINE / call->vector_width);
    ink_define_int(list, launch, "RUN", run);
    ink_range_fixed(launch, 1, (size_t)images.source.channels, (size_t)run, 1);
    ink_range_fixed(launch, 0, (size_t)images.result.channels, LINE, 1);
}
