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
    PARTIAL_BYTES = 64 << 20,   /* of partial gradients at most */
    MOST_SLICES = 8,
    USUAL_DEPTH = 8,            /* a slice's least part of a step: with less its barriers cost more than is predicted */
    MOST_LOADS = 12,            /* of an item ahead of a step: each is code of its own, which takes long to compile */
    MOST_VARIANTS = 8,
    /* The GPU that costs are predicted for, in cycles: */
    UNITS = 128,                /* compute units; */
    UNIT_LANES = 128,           /* multiply-adds of one in a cycle, */
    UNIT_REGISTERS = 65536,     /* floats, */
    UNIT_ITEMS = 2048,          /* and what it has room for at most; */
    LATENCY = 800,              /* from a load that misses the first cache to its value; */
    BARRIER = 60,               /* and of a barrier, with the last stores and the first loads of local memory beside it; */
    LAUNCH = 6000,              /* of one launch more; */
    UNIT_BYTES = 12,            /* and what each unit moves of global memory in a cycle */
};

/* A pass as a matrix product: for each group of channels rows x columns results, sums of depth terms. */
struct product {
    double rows, columns, depth;
    int groups;
    int chunks;                 /* into which the sums may be split at most, of depth / chunks each */
    int a_vector, b_vector;     /* floats side by side in memory that may be loaded at once, 4, 2 or 1, ... */
    bool a_along_m, b_along_n;  /* ... along M, N; else along K */
    int a_more, b_more;         /* registers that a loaded vector of A, B takes beside its floats: where it is from, what it stands for, and
                                   what compilers keep for it between; such that Intel's spills none */
    int window;                 /* rows in a row that one item has to have in a patch */
};

struct tile {
    int group_m, group_n;       /* work-items of a slice */
    int slices;
    int item_m, item_n;         /* results of each item */
    int depth, buffers, a_vector, b_vector;
    int chunks;
    double cost;                /* predicted cycles of the pass; 0: there is no tile */
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
    if (node->pool.height) {
        s.out.height *= node->pool.height;
        s.out.width *= node->pool.width;
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

static int group_of(const struct tile *t) { return t->group_m * t->group_n * t->slices; }

/* As cl/gemm.cl declares it. */
static size_t local_bytes(const struct tile *t)
{
    size_t tiles = (size_t)(t->buffers * t->depth) * (size_t)(t->group_m * t->item_m + t->group_n * t->item_n + 8) + 3;
    size_t sums = (size_t)(t->slices / 2 * t->group_m * t->group_n) * (size_t)(t->item_m * t->item_n + 1);
    return (tiles > sums ? tiles : sums) * sizeof(float);
}

/* Vectors that an item loads in a step. */
static double loads(const struct tile *t, int across, int vector) { return ceil((double)across * t->depth / vector / group_of(t)); }

/* Registers: sums, a step's factors, what is loaded ahead, and some for the rest. */
static double registers(const struct product *p, const struct tile *t)
{
    double a = loads(t, t->group_m * t->item_m, t->a_vector), b = loads(t, t->group_n * t->item_n, t->b_vector);
    return t->item_m * t->item_n + t->item_m + t->item_n + a * (t->a_vector + p->a_more) + b * (t->b_vector + p->b_more) + 12;
}

/* Issue slots of an item in a step. Each k takes loads from local memory by vectors of up to 4; or local memory takes longer, which gives
 * a float in the time of 4 multiply-adds (RDNA, Ampere). A vector of A takes about 14 slots for its place, and for each float a zero and a
 * store, one of B 8 and a store. */
static double step_slots(const struct tile *t)
{
    double tile_m = t->group_m * t->item_m, tile_n = t->group_n * t->item_n;
    double issued = t->item_m * t->item_n + ceil(t->item_m / 4.0) + ceil(t->item_n / 4.0);
    double moved = 4 * (t->item_m + t->item_n + (tile_m + tile_n) * t->slices / group_of(t));
    double bring = loads(t, (int)tile_m, t->a_vector) * (14 + 2 * t->a_vector) + loads(t, (int)tile_n, t->b_vector) * (8 + t->b_vector);
    return t->depth / t->slices * fmax(issued, moved) + bring;
}

/* Cycles that a pass takes. Work-groups that share a compute unit hide each other's latency, as far as there are as many; what is left of
 * it is waited for in every step. Then the partial sums of chunks are added up. */
static double cost_of(const struct ink_device *device, const struct product *p, const struct tile *t)
{
    double tile_m = t->group_m * t->item_m, tile_n = t->group_n * t->item_n, group = group_of(t), slots = step_slots(t);
    double groups = ceil(p->rows / tile_m) * ceil(p->columns / tile_n) * p->groups * t->chunks, each = ceil(groups / UNITS);
    double room = fmin(floor(UNIT_REGISTERS / (registers(p, t) * group)), floor(UNIT_ITEMS / group));
    double resident = fmin(fmax(fmin(room, floor(2.0 * (double)device->info.local_bytes / (double)local_bytes(t))), 1), each);
    double wait = BARRIER * (3 - t->buffers) * (1 + group / 256);
    double step = fmax(resident * slots * group / UNIT_LANES + wait / resident, fmax(LATENCY, slots) + wait);
    double steps = ceil(p->depth / t->chunks / t->depth);
    double ends = 2 * LATENCY + log2(t->slices) * (2.0 * t->item_m * t->item_n + 2 * BARRIER);
    double sums = p->rows * p->columns * p->groups;
    double adding = t->chunks > 1 ? LAUNCH + t->chunks * sums * sizeof(float) / (UNITS * UNIT_BYTES) : 0;
    return each / resident * (steps * step + ends) + adding;
}

/* The widest vector that all items of a group load the same number of; else the widest. */
static int vector_of(const struct tile *t, int widest, int inner, int across)
{
    while (inner % widest)
        widest /= 2;
    for (int vector = widest; vector > 0; vector /= 2)
        if (across * t->depth % (vector * group_of(t)) == 0)
            return vector;
    return widest;
}

/* Puts the tile in best if it fits the device and costs less. */
static void try_tile(const struct ink_device *device, const struct product *p, struct tile t, struct tile *best)
{
    int tile_m = t.group_m * t.item_m, tile_n = t.group_n * t.item_n;
    if ((t.item_m < 4 ? t.item_m : 4) % p->window)
        return;
    t.a_vector = vector_of(&t, p->a_vector, p->a_along_m ? tile_m : t.depth, tile_m);
    t.b_vector = vector_of(&t, p->b_vector, p->b_along_n ? tile_n : t.depth, tile_n);
    t.buffers = 2;
    if (2 * local_bytes(&t) > device->info.local_bytes) /* it should have room for two work-groups */
        t.buffers = 1;
    if (local_bytes(&t) > device->info.local_bytes || registers(p, &t) > device->registers ||
        loads(&t, tile_m, t.a_vector) + loads(&t, tile_n, t.b_vector) > MOST_LOADS)
        return;
    for (int chunks = 1, last = 0; last < p->chunks; chunks *= 2) {
        t.chunks = last = chunks < p->chunks ? chunks : p->chunks;
        t.cost = cost_of(device, p, &t);
        if (best->cost == 0 || t.cost < best->cost)
            *best = t;
    }
}

/* The best tile with these results of an item and this size of a work-group, whose slices take so many steps of depth 1 or more at a time. */
static struct tile best_tile(const struct ink_device *device, const struct product *p, int item_m, int item_n, int group, int least_depth)
{
    struct tile best = {0};
    for (int slices = 1; slices <= MOST_SLICES && slices <= group; slices *= 2)
        for (int group_n = 1; group_n <= group / slices; group_n *= 2) {
            struct tile t = {.group_m = group / slices / group_n, .group_n = group_n, .slices = slices, .item_m = item_m, .item_n = item_n};
            for (int slice_depth = least_depth; slice_depth <= 16; slice_depth *= 2) {
                t.depth = slice_depth * slices;
                try_tile(device, p, t, &best);
            }
            if (p->depth < 16 && slices == 1) {
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
            all[count] = best_tile(device, p, items[i].m, items[i].n, group, USUAL_DEPTH);
            if (all[count].cost == 0)
                all[count] = best_tile(device, p, items[i].m, items[i].n, group, USUAL_DEPTH / 2);
            count += all[count].cost > 0;
        }
    qsort(all, (size_t)count, sizeof *all, cheaper);
    count = count < MOST_VARIANTS ? count : MOST_VARIANTS;
    for (int i = 0; i < count; i++)
        tiles[i] = all[i];
    return count;
}

/* Floats of a vector that both divide, up to 4. */
static int vector_in(int a, int b)
{
    int vector = 4;
    while (a % vector || b % vector)
        vector /= 2;
    return vector;
}

static int window_of(const struct ink_node *node) { return node->pool.height ? node->pool.height * node->pool.width : 1; }

static struct product product_of(const struct ink_call *call)
{
    struct ink_gemm_shape s = ink_gemm_shape(call->node);
    int in_vector = vector_in(s.in.channels, s.group_in), out_vector = vector_in(s.out.channels, s.group_out);
    if (call->pass == INK_FORWARD)
        return (struct product){.rows = (double)call->batch * s.pixels, .columns = s.group_out, .depth = (double)s.taps * s.group_in,
                                .groups = s.groups, .chunks = 1, .a_vector = in_vector, .b_vector = out_vector, .b_along_n = true,
                                .a_more = 9, .b_more = 4, .window = window_of(call->node)};
    if (call->pass == INK_BACKWARD_DATA)
        return (struct product){.rows = (double)call->batch * s.in.height * s.in.width, .columns = s.group_in, .depth = (double)s.taps * s.group_out,
                                .groups = s.groups, .chunks = 1, .a_vector = out_vector, .b_vector = out_vector,
                                .a_more = window_of(call->node) > 1 ? 10 + out_vector : s.stride_height * s.stride_width > 1 ? 10 : 9,
                                .b_more = 4, .window = 1};
    double rows = s.taps * s.group_in + s.bias, depth = (double)call->batch * s.pixels;
    double room = (double)PARTIAL_BYTES / ((double)call->node->trained_count * sizeof(float));
    /* a chunk has some samples, and several steps' worth of pixels */
    double chunks = fmin(fmin(call->batch, depth / 128), room);
    return (struct product){.rows = rows, .columns = s.group_out, .depth = depth, .groups = s.groups, .chunks = (int)fmax(chunks, 1),
                            .a_vector = in_vector, .b_vector = out_vector, .a_along_m = true, .b_along_n = true,
                            .a_more = 9, .b_more = window_of(call->node) > 1 ? 5 + out_vector : 4, .window = 1};
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
    int window = window_of(call->node);
    const struct ink_device_info *info = &call->device->info;
    return (window == 1 || window == 2 || window == 4) && info->max_work_group >= SMALLEST_LIMIT && info->local_bytes >= SMALLEST_LOCAL &&
           ink_gemm_variants(call) > 0;
}

/* Whether the places of winners are kept, and the argument that they are. */
static bool keeps(const struct ink_call *call) { return call->node->pool.height && call->saved[0] != INK_NO_VALUE; }

static void arg_places(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call, enum ink_argument_kind kind)
{
    if (keeps(call))
        ink_arg_value(list, launch, kind, call->saved[0]);
}

/* A launch with the defines of a tile and of the layer; the caller adds arguments. forward: the source is the layer's
 * input, not its output. */
static struct ink_launch *emit(struct ink_launches *list, const struct ink_call *call, const struct ink_gemm_shape *s, const struct tile *t,
                               const char *kernel, const char *label, bool forward)
{
    struct ink_launch *launch = ink_launch_add(list, "gemm.cl", kernel, label);
    const struct ink_shape *from = forward ? &s->in : &s->out, *to = forward ? &s->out : &s->in;
    const struct { const char *name; int value; } defines[] = {
        {"WG_M", t->group_m}, {"WG_N", t->group_n}, {"SLICES", t->slices}, {"ITEM_M", t->item_m}, {"ITEM_N", t->item_n}, {"TILE_K", t->depth},
        {"BUFFERS", t->buffers}, {"A_VECTOR", t->a_vector}, {"B_VECTOR", t->b_vector},
        {"IH", from->height}, {"IW", from->width}, {"OH", to->height}, {"OW", to->width},
        {"KH", s->filter_height}, {"KW", s->filter_width},
        {"SRC_C", from->channels}, {"SRC_G", from->channels / s->groups}, {"DST_C", to->channels}, {"DST_G", to->channels / s->groups},
        {"A_H", forward ? s->stride_height : 1}, {"B_H", forward ? -s->pad_top : s->pad_top},
        {"C_H", forward ? s->dilation_height : -s->dilation_height}, {"D_H", forward ? 1 : s->stride_height},
        {"A_W", forward ? s->stride_width : 1}, {"B_W", forward ? -s->pad_left : s->pad_left},
        {"C_W", forward ? s->dilation_width : -s->dilation_width}, {"D_W", forward ? 1 : s->stride_width},
        {"CLIP", forward ? s->clip : s->clip || s->in.height * s->in.width > 1}, {"BIAS", s->bias},
        {"POOL_H", call->node->pool.height ? call->node->pool.height : 1}, {"POOL_W", call->node->pool.height ? call->node->pool.width : 1},
        {"KEEP", keeps(call)},
    };
    for (size_t i = 0; i < sizeof defines / sizeof *defines; i++)
        ink_define_int(list, launch, defines[i].name, defines[i].value);
    int tile_n = t->group_n * t->item_n, columns = to->channels / s->groups;
    ink_range_fixed(launch, 0, (size_t)s->groups * (size_t)((columns + tile_n - 1) / tile_n), 1, (size_t)group_of(t));
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
    arg_places(list, launch, call, INK_ARG_WRITE);
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
    arg_places(list, launch, call, INK_ARG_READ);
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
    int tile_m = t.group_m * t.item_m;
    size_t count = call->node->trained_count, bytes = count * sizeof(float);
    int samples = (call->batch + t.chunks - 1) / t.chunks;
    int parts = (call->batch + samples - 1) / samples;
    ink_value sums = parts > 1 ? ink_value_create(list, "partial gradients", 0, (size_t)parts * bytes) : call->gradients;

    struct ink_launch *launch = emit(list, call, &s, &t, "backward_weights", "backward_weights gemm", true);
    ink_define_int(list, launch, "SAMPLES", samples);
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    ink_arg_value(list, launch, INK_ARG_READ, call->dy);
    ink_arg_value(list, launch, INK_ARG_WRITE, sums);
    arg_places(list, launch, call, INK_ARG_READ);
    ink_arg_scalar(list, launch, INK_BATCH);
    ink_range_fixed(launch, 1, (size_t)rows, (size_t)tile_m, 1);
    ink_range_samples(launch, 2, 1, (size_t)samples, 1);
    if (parts > 1)
        ink_emit_reduce(list, call, sums, call->gradients, count, samples);
}
