/* Matrix multiply for GPUs: chooses the tiles of cl/gemm.cl by shape and by the limits of the device, and gives its
 * kernels their constants. Nothing here depends on how many compute units there are, so the order of every sum is
 * the same on all devices with the same limits. */
#include "ops/gemm.h"

#include <math.h>
#include <stdlib.h>

enum {
    LARGEST_GROUP = 256,        /* work-items of a work-group: larger ones wait longer for each other */
    SMALLEST_GROUP = 64,        /* the widest wave, where the device allows as many */
    SMALLEST_LIMIT = 16,        /* at 16 work-items a tile and its local memory are still worth their barriers */
    SMALLEST_LOCAL = 16384,     /* bytes of local memory in which every tile that is needed fits */
    BUSY_ITEMS = 8192,          /* work-items that keep a large GPU busy; what splits sums */
    BUSY_GROUPS = 96,           /* and the work-groups that they are to come in */
    PARTIAL_BYTES = 64 << 20,   /* of partial gradients at most */
    MOST_VARIANTS = 6,
};

/* A pass as a matrix product: for each group of channels rows x columns results, sums of depth terms. */
struct product {
    double rows, columns, depth;
    int groups;
    double chunks;              /* into which the sums may be split at most */
    bool a_vectors, b_vectors;  /* 4 floats side by side in memory are ... */
    bool a_along_m, b_along_n;  /* ... along M, N; else along K */
};

struct tile {
    int group_m, group_n;       /* work-items */
    int item_m, item_n;         /* results of each */
    int depth, buffers, a_vector, b_vector;
    double cost;                /* predicted, of a multiply-add that is wanted; 0: there is no tile */
};

struct ink_gemm_shape ink_gemm_shape(const struct ink_node *node)
{
    const struct ink_layer *l = &node->layer;
    struct ink_gemm_shape s = {.in = node->in, .out = node->out, .filter_height = 1, .filter_width = 1, .stride_height = 1, .stride_width = 1,
                               .dilation_height = 1, .dilation_width = 1, .groups = 1, .bias = !l->no_bias};
    if (node->op->fields & INK_FIELD_FILTER) {
        s.filter_height = l->filter_height;
        s.filter_width = l->filter_width;
        s.stride_height = l->stride_height;
        s.stride_width = l->stride_width;
        s.dilation_height = l->dilation_height;
        s.dilation_width = l->dilation_width;
        s.pad_top = l->pad_top;
        s.pad_left = l->pad_left;
        s.groups = l->groups;
    } else {
        s.in = (struct ink_shape){1, 1, (int)ink_shape_count(node->in)};
    }
    s.group_in = s.in.channels / s.groups;
    s.group_out = s.out.channels / s.groups;
    s.taps = s.filter_height * s.filter_width;
    s.pixels = s.out.height * s.out.width;
    s.clip = s.pad_top || s.pad_left ||
             (s.out.height - 1) * s.stride_height + (s.filter_height - 1) * s.dilation_height >= s.in.height ||
             (s.out.width - 1) * s.stride_width + (s.filter_width - 1) * s.dilation_width >= s.in.width;
    return s;
}

static size_t local_bytes(const struct tile *t)
{
    return (size_t)(t->buffers * t->depth) * (size_t)(t->group_m * t->item_m + t->group_n * t->item_n + 8) * sizeof(float);
}

/* Registers: sums, a step's factors, what is loaded ahead with the places that it is from, and some for the rest. */
static double registers(const struct tile *t)
{
    double group = t->group_m * t->group_n;
    double a = ceil(t->group_m * t->item_m * t->depth / t->a_vector / group);
    double b = ceil(t->group_n * t->item_n * t->depth / t->b_vector / group);
    return t->item_m * t->item_n + t->item_m + t->item_n + a * (t->a_vector + 2) + b * (t->b_vector + 1) + 16;
}

/* What a wanted multiply-add costs, in issue slots of a work-item. Each k takes loads from local memory by vectors of up to
 * 4, and shares in bringing the tiles: a vector of A takes about 14 slots for its place, and for each float a zero and a store,
 * one of B 8 and a store. Steps end in barriers, where large groups wait longer. Or local memory, which gives a float in the time of 4 multiply-adds (RDNA, Ampere), takes longer.
 * Tiles that hang over the edges, steps beyond the end and devices that are not full are paid by what is wanted. */
static double cost_of(const struct product *p, const struct tile *t)
{
    double tile_m = t->group_m * t->item_m, tile_n = t->group_n * t->item_n, group = t->group_m * t->group_n, sums = t->item_m * t->item_n;
    double bring = tile_m * (14.0 / t->a_vector + 2) + tile_n * (8.0 / t->b_vector + 1);
    double wait = (t->buffers == 2 ? 6 : 12) * (1 + group / 128);
    double issued = sums + ceil(t->item_m / 4.0) + ceil(t->item_n / 4.0) + bring / group + wait / t->depth;
    double moved = 4 * (t->item_m + t->item_n + (tile_m + tile_n) / group);
    double tiles = ceil(p->rows / tile_m) * ceil(p->columns / tile_n) * p->groups;
    double wanted = p->rows * p->columns * p->groups / (tiles * tile_m * tile_n) * p->depth / (ceil(p->depth / t->depth) * t->depth);
    double busy = fmin(fmin(tiles * group * p->chunks / BUSY_ITEMS, tiles * p->chunks / BUSY_GROUPS), 1);
    return fmax(issued, moved) / (sums * wanted * busy);
}

/* Puts the tile in best if it fits the device and costs less. */
static void try_tile(const struct ink_device *device, const struct product *p, struct tile t, struct tile *best)
{
    t.a_vector = p->a_vectors && (p->a_along_m ? t.group_m * t.item_m : t.depth) % 4 == 0 ? 4 : 1;
    t.b_vector = p->b_vectors && (p->b_along_n ? t.group_n * t.item_n : t.depth) % 4 == 0 ? 4 : 1;
    t.buffers = 2;
    if (2 * local_bytes(&t) > device->info.local_bytes) /* it should have room for two work-groups */
        t.buffers = 1;
    t.cost = cost_of(p, &t);
    bool fits = local_bytes(&t) <= device->info.local_bytes && registers(&t) <= device->registers;
    if (fits && (best->cost == 0 || t.cost < best->cost))
        *best = t;
}

/* The best tile with these results of an item and this size of a work-group. */
static struct tile best_tile(const struct ink_device *device, const struct product *p, int item_m, int item_n, int group)
{
    struct tile best = {0};
    for (int group_n = 1; group_n <= group; group_n *= 2) {
        struct tile t = {.group_m = group / group_n, .group_n = group_n, .item_m = item_m, .item_n = item_n};
        for (t.depth = 4; t.depth <= 16; t.depth *= 2)
            try_tile(device, p, t, &best);
        if (p->depth < 16) {
            t.depth = (int)p->depth;
            try_tile(device, p, t, &best);
        }
    }
    return best;
}

static int cheaper(const void *a, const void *b)
{
    const struct tile *x = a, *y = b;
    return (x->cost > y->cost) - (x->cost < y->cost);
}

/* The tiles worth a try, at most MOST_VARIANTS, the cheapest first: the best of each number of results an item and size
 * of a work-group. Returns how many. */
static int list_tiles(const struct ink_device *device, const struct product *p, struct tile tiles[MOST_VARIANTS])
{
    static const struct { int m, n; } items[] = {{8, 8}, {8, 4}, {4, 8}, {4, 4}, {4, 2}, {2, 2}, {1, 1}};
    enum { ITEMS = sizeof items / sizeof *items, GROUPS = 3 };
    struct tile all[ITEMS * GROUPS];
    int count = 0, largest = LARGEST_GROUP;
    while ((size_t)largest > device->info.max_work_group)
        largest /= 2;
    for (int i = 0; i < ITEMS; i++)
        for (int group = largest; group == largest || group >= SMALLEST_GROUP; group /= 2) {
            all[count] = best_tile(device, p, items[i].m, items[i].n, group);
            count += all[count].cost > 0;
        }
    qsort(all, (size_t)count, sizeof *all, cheaper);
    count = count < MOST_VARIANTS ? count : MOST_VARIANTS;
    for (int i = 0; i < count; i++)
        tiles[i] = all[i];
    return count;
}

static bool by_four(int a, int b) { return a % 4 == 0 && b % 4 == 0; }

static struct product product_of(const struct ink_call *call)
{
    struct ink_gemm_shape s = ink_gemm_shape(call->node);
    bool in_vectors = by_four(s.in.channels, s.group_in), out_vectors = by_four(s.out.channels, s.group_out);
    if (call->pass == INK_FORWARD)
        return (struct product){.rows = (double)call->batch * s.pixels, .columns = s.group_out, .depth = (double)s.taps * s.group_in,
                                .groups = s.groups, .chunks = 1, .a_vectors = in_vectors, .b_vectors = out_vectors, .b_along_n = true};
    if (call->pass == INK_BACKWARD_DATA)
        return (struct product){.rows = (double)call->batch * s.in.height * s.in.width, .columns = s.group_in, .depth = (double)s.taps * s.group_out,
                                .groups = s.groups, .chunks = 1, .a_vectors = out_vectors, .b_vectors = out_vectors};
    double rows = s.taps * s.group_in + s.bias, depth = (double)call->batch * s.pixels;
    double room = (double)PARTIAL_BYTES / ((double)call->node->trained_count * sizeof(float));
    /* a chunk has some samples, and several steps' worth of pixels, or adding up costs more than summing */
    double chunks = fmin(fmin(call->batch, depth / 128), room);
    return (struct product){.rows = rows, .columns = s.group_out, .depth = depth, .groups = s.groups, .chunks = fmax(floor(chunks), 1),
                            .a_vectors = in_vectors, .b_vectors = out_vectors, .a_along_m = true, .b_along_n = true};
}

static struct tile tile_of(const struct ink_call *call)
{
    struct product p = product_of(call);
    struct tile tiles[MOST_VARIANTS];
    int count = list_tiles(call->device, &p, tiles);
    return tiles[call->variant < count ? call->variant : 0]; /* a device that allows less than it said has fewer */
}

int ink_gemm_variants(const struct ink_call *call)
{
    struct product p = product_of(call);
    struct tile tiles[MOST_VARIANTS];
    return list_tiles(call->device, &p, tiles);
}

bool ink_gemm_applies(const struct ink_call *call)
{
    return call->device->info.max_work_group >= SMALLEST_LIMIT && call->device->info.local_bytes >= SMALLEST_LOCAL &&
           ink_gemm_variants(call) > 0;
}

/* A launch with the defines of a tile and of the layer; the caller adds arguments. forward: the source is the layer's
 * input, not its output. */
static struct ink_launch *emit(struct ink_launches *list, const struct ink_call *call, const struct ink_gemm_shape *s, const struct tile *t,
                               const char *kernel, const char *label, bool forward)
{
    struct ink_launch *launch = ink_launch_add(list, "gemm.cl", kernel, label);
    const struct ink_shape *from = forward ? &s->in : &s->out, *to = forward ? &s->out : &s->in;
    const struct { const char *name; int value; } defines[] = {
        {"WG_M", t->group_m}, {"WG_N", t->group_n}, {"ITEM_M", t->item_m}, {"ITEM_N", t->item_n}, {"TILE_K", t->depth},
        {"BUFFERS", t->buffers}, {"A_VECTOR", t->a_vector}, {"B_VECTOR", t->b_vector},
        {"IH", from->height}, {"IW", from->width}, {"OH", to->height}, {"OW", to->width},
        {"KH", s->filter_height}, {"KW", s->filter_width},
        {"SRC_C", from->channels}, {"SRC_G", from->channels / s->groups}, {"DST_C", to->channels}, {"DST_G", to->channels / s->groups},
        {"A_H", forward ? s->stride_height : 1}, {"B_H", forward ? -s->pad_top : s->pad_top},
        {"C_H", forward ? s->dilation_height : -s->dilation_height}, {"D_H", forward ? 1 : s->stride_height},
        {"A_W", forward ? s->stride_width : 1}, {"B_W", forward ? -s->pad_left : s->pad_left},
        {"C_W", forward ? s->dilation_width : -s->dilation_width}, {"D_W", forward ? 1 : s->stride_width},
        {"CLIP", forward ? s->clip : s->clip || s->in.height * s->in.width > 1}, {"BIAS", s->bias},
    };
    for (size_t i = 0; i < sizeof defines / sizeof *defines; i++)
        ink_define_int(list, launch, defines[i].name, defines[i].value);
    int tile_n = t->group_n * t->item_n, columns = to->channels / s->groups;
    ink_range_fixed(launch, 0, (size_t)s->groups * (size_t)((columns + tile_n - 1) / tile_n), 1, (size_t)(t->group_m * t->group_n));
    launch->sample_flops = call->node->op->flops(call->node);
    return launch;
}

void ink_gemm_forward(struct ink_launches *list, const struct ink_call *call)
{
    struct ink_gemm_shape s = ink_gemm_shape(call->node);
    struct tile t = tile_of(call);
    struct ink_launch *launch = emit(list, call, &s, &t, "forward", "forward gemm", true);
    ink_define_activation(list, launch, call);
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    ink_arg_value(list, launch, INK_ARG_READ, call->parameters);
    ink_arg_value(list, launch, INK_ARG_WRITE, call->y);
    ink_arg_scalar(list, launch, INK_BATCH);
    ink_range_samples(launch, 1, (size_t)s.pixels, (size_t)(t.group_m * t.item_m), 1);
}

void ink_gemm_backward_data(struct ink_launches *list, const struct ink_call *call)
{
    struct ink_gemm_shape s = ink_gemm_shape(call->node);
    int pixels = s.in.height * s.in.width;
    struct tile t = tile_of(call);
    struct ink_launch *launch = emit(list, call, &s, &t, "backward_data", "backward_data gemm", false);
    ink_arg_value(list, launch, INK_ARG_READ, call->dy);
    ink_arg_value(list, launch, INK_ARG_READ, call->parameters);
    ink_arg_dx(list, launch, call);
    ink_arg_scalar(list, launch, INK_BATCH);
    ink_range_samples(launch, 1, (size_t)pixels, (size_t)(t.group_m * t.item_m), 1);
}

/* Few weights and many samples: the sum is split into chunks of samples, each summed by work-groups of its own into a
 * partial gradient, and these are then added. */
void ink_gemm_backward_weights(struct ink_launches *list, const struct ink_call *call)
{
    struct ink_gemm_shape s = ink_gemm_shape(call->node);
    int rows = s.taps * s.group_in + s.bias;
    struct tile t = tile_of(call);
    int tile_m = t.group_m * t.item_m, tile_n = t.group_n * t.item_n;
    size_t count = call->node->trained_count, bytes = count * sizeof(float);
    double items = ceil((double)rows / tile_m) * ceil((double)s.group_out / tile_n) * s.groups * t.group_m * t.group_n;
    double chunks = fmax(fmin(ceil(BUSY_ITEMS / items), product_of(call).chunks), 1);
    int samples = (int)ceil(call->batch / chunks);
    int parts = (call->batch + samples - 1) / samples;
    ink_value sums = parts > 1 ? ink_value_create(list, "partial gradients", 0, (size_t)parts * bytes) : call->gradients;

    struct ink_launch *launch = emit(list, call, &s, &t, "backward_weights", "backward_weights gemm", true);
    ink_define_int(list, launch, "SAMPLES", samples);
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    ink_arg_value(list, launch, INK_ARG_READ, call->dy);
    ink_arg_value(list, launch, INK_ARG_WRITE, sums);
    ink_arg_scalar(list, launch, INK_BATCH);
    ink_range_fixed(launch, 1, (size_t)rows, (size_t)tile_m, 1);
    ink_range_samples(launch, 2, 1, (size_t)samples, 1);
    if (parts > 1)
        ink_emit_reduce(list, call, sums, call->gradients, count, samples);
}
