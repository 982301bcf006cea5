/* Matrix multiply for GPUs: chooses the tiles of cl/gemm.cl by shape and by the limits of the device, and gives its
 * kernels their constants. Nothing here depends on how many compute units there are, so the order of every sum is
 * the same on all devices with the same limits. */
#include "ops/gemm.h"

#include <string.h>

enum {
    GROUP = 256,                /* work-items of a work-group, where the device allows as many */
    DEPTH = 16,                 /* TILE_K */
    TARGET_GROUPS = 256,        /* work-groups that a large GPU wants to be busy; what splits sums */
    PARTIAL_BYTES = 64 << 20,   /* of partial gradients at most */
};

struct tile {
    int group_m, group_n;       /* work-items */
    int item_m, item_n;         /* results of each */
    int depth;
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
    return (size_t)t->depth * (size_t)(t->group_m * t->item_m + t->group_n * t->item_n + 8) * sizeof(float);
}

/* The tile for matrices of rows x columns, batches of them at once. A result to itself costs a work-item two loads from
 * local memory for each multiply-add, 4x4 together half a load each; but few results leave a device idle, so small
 * products are cut finer. Tall and wide matrices get tall and wide tiles. */
static struct tile pick_tile(const struct ink_call *call, double rows, double columns, double batches)
{
    const struct ink_device_info *info = &call->device->info;
    double results = rows * columns * batches;
    int each = results >= TARGET_GROUPS * GROUP * 4 ? 4 : results >= TARGET_GROUPS * GROUP / 4 ? 2 : 1, group = GROUP;
    while ((size_t)group > info->max_work_group)
        group /= 2;
    struct tile t = {1, group, each, each, DEPTH};
    while (t.group_m < t.group_n) {
        t.group_m *= 2;
        t.group_n /= 2;
    }
    while (t.group_n > 4 && t.group_n / 2 * t.item_n >= columns) {
        t.group_m *= 2;
        t.group_n /= 2;
    }
    while (t.item_n > 1 && t.group_n * t.item_n / 2 >= columns)
        t.item_n /= 2;
    while (t.group_m > 1 && t.group_m / 2 * t.item_m >= rows && t.group_n * t.item_n < columns) {
        t.group_m /= 2;
        t.group_n *= 2;
    }
    while (t.depth > group)
        t.depth /= 2;
    while (t.depth > 4 && local_bytes(&t) > info->local_bytes)
        t.depth /= 2;
    return t;
}

bool ink_gemm_applies(const struct ink_call *call)
{
    /* at 16 work-items a tile and its local memory are still worth their barriers, and fit 4 KiB */
    return call->device->info.max_work_group >= 16 && call->device->info.local_bytes >= 16384;
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
    struct tile t = pick_tile(call, (double)call->batch * s.pixels, s.group_out, s.groups);
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
    struct tile t = pick_tile(call, (double)call->batch * pixels, s.group_in, s.groups);
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
    struct tile t = pick_tile(call, rows, s.group_out, (double)s.groups * call->batch);
    int tile_m = t.group_m * t.item_m, tile_n = t.group_n * t.item_n;
    size_t count = call->node->trained_count, bytes = count * sizeof(float);
    double groups = (double)((rows + tile_m - 1) / tile_m) * ((s.group_out + tile_n - 1) / tile_n) * s.groups;
    /* a chunk has several steps' worth of pixels, or adding up costs more than summing */
    double chunks = TARGET_GROUPS / groups, most = (double)call->batch * s.pixels / (8.0 * t.depth), room = (double)PARTIAL_BYTES / (double)bytes;
    chunks = chunks < most ? chunks : most;
    chunks = chunks < room ? chunks : room;
    int samples = chunks < 1 ? call->batch : (int)(call->batch / chunks);
    samples = samples < 1 ? 1 : samples;
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
