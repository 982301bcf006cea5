/* The list of operations, and what they share: windows, activations, the ends of passes, transposes and reductions. */
#include <stdio.h>
#include <string.h>

#include "ops/op.h"

extern const struct ink_op ink_op_activation, ink_op_add, ink_op_average_pool, ink_op_batch_norm, ink_op_conv, ink_op_dense, ink_op_dropout,
    ink_op_flatten, ink_op_global_average_pool, ink_op_max_pool, ink_op_softmax;

const struct ink_op *const ink_ops[] = {
    &ink_op_activation,
    &ink_op_add,
    &ink_op_average_pool,
    &ink_op_batch_norm,
    &ink_op_conv,
    &ink_op_dense,
    &ink_op_dropout,
    &ink_op_flatten,
    &ink_op_global_average_pool,
    &ink_op_max_pool,
    &ink_op_softmax,
    NULL,
};

const struct ink_op *ink_op_find(const char *name)
{
    for (const struct ink_op *const *op = ink_ops; *op; op++)
        if (strcmp((*op)->name, name) == 0)
            return *op;
    return NULL;
}

void ink_node_parameter(struct ink_node *node, const char *suffix, int rank, const int *dims, bool trained, enum ink_fill fill,
                        double fan_in, double fan_out)
{
    struct ink_parameter *parameter = &node->parameters[node->parameter_count++];
    *parameter = (struct ink_parameter){.suffix = suffix, .rank = rank, .count = 1, .trained = trained, .fill = fill,
                                        .fan_in = fan_in, .fan_out = fan_out};
    for (int i = 0; i < rank; i++) {
        parameter->dims[i] = dims[i];
        parameter->count *= (size_t)dims[i];
    }
    *(trained ? &node->trained_count : &node->state_count) += parameter->count;
}

/* One dimension of a window: fills in the defaults and the padding as numbers, and gives the output's size. */
static ink_status infer_dimension(const struct ink_node *node, const char *what, int size, int filter, int *stride, int *dilation,
                                  bool window, int *pad_low, int *pad_high, int *out)
{
    if (filter < 1 || filter > 1024)
        return ink_fail_layer(node, "its filter %s is %d; 1 to 1024 is possible", what, filter);
    if (*stride == 0)
        *stride = window ? filter : 1;
    if (*dilation == 0)
        *dilation = 1;
    if (*stride < 1 || *stride > 1024 || *dilation < 1 || *dilation > 1024)
        return ink_fail_layer(node, "its stride or dilation %s is not in 1 to 1024", what);
    int extent = (filter - 1) * *dilation + 1;
    switch (node->layer.padding) {
    case INK_VALID:
        *pad_low = *pad_high = 0;
        break;
    case INK_SAME: {
        int need = ((size + *stride - 1) / *stride - 1) * *stride + extent - size;
        *pad_low = need > 0 ? need / 2 : 0;
        *pad_high = need > 0 ? need - need / 2 : 0;
        break;
    }
    case INK_EXPLICIT:
        if (*pad_low < 0 || *pad_high < 0 || *pad_low >= extent || *pad_high >= extent)
            return ink_fail_layer(node, "its padding %s (%d and %d) must be at least 0 and below the filter's extent of %d", what, *pad_low,
                                  *pad_high, extent);
        break;
    default:
        return ink_fail_layer(node, "its padding %d is not one of valid, same, explicit", (int)node->layer.padding);
    }
    int room = size + *pad_low + *pad_high - extent;
    if (room < 0)
        return ink_fail_layer(node, "its filter covers %d pixels in %s, and its input with padding has only %d; use a smaller filter or 'same' padding",
                              extent, what, size + *pad_low + *pad_high);
    *out = room / *stride + 1;
    return INK_OK;
}

ink_status ink_infer_window(struct ink_node *node, bool window, int *height, int *width)
{
    struct ink_layer *layer = &node->layer;
    if (layer->padding != INK_EXPLICIT && (layer->pad_top || layer->pad_bottom || layer->pad_left || layer->pad_right))
        return ink_fail_layer(node, "pad_top, pad_bottom, pad_left and pad_right go with explicit padding only");
    INK_TRY(infer_dimension(node, "height", node->in.height, layer->filter_height, &layer->stride_height, &layer->dilation_height, window,
                            &layer->pad_top, &layer->pad_bottom, height));
    return infer_dimension(node, "width", node->in.width, layer->filter_width, &layer->stride_width, &layer->dilation_width, window,
                           &layer->pad_left, &layer->pad_right, width);
}

const char *ink_activation_name(ink_activation activation)
{
    static const char *const names[] = {"none", "relu", "leaky_relu", "sigmoid", "tanh", "softmax"};
    return names[activation];
}

/* The token has a trailing underscore in kernels, as OpenCL C may have the bare names as macros. */
static void define_activation(struct ink_launches *list, struct ink_launch *launch, const char *name, ink_activation activation)
{
    char token[32];
    snprintf(token, sizeof token, "%s_", ink_activation_name(activation));
    ink_define_text(list, launch, name, token);
}

void ink_define_activation(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call)
{
    define_activation(list, launch, "ACT", call->node->layer.activation);
    ink_define_float(list, launch, "ACT_SLOPE", call->node->layer.slope);
}

void ink_arg_dx(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call)
{
    const struct ink_epilogue *end = &call->epilogue;
    define_activation(list, launch, "MASK", end->activation);
    ink_define_float(list, launch, "MASK_SLOPE", end->slope);
    ink_define_int(list, launch, "ACCUMULATE", end->accumulate);
    ink_arg_value(list, launch, end->accumulate ? INK_ARG_UPDATE : INK_ARG_WRITE, call->dx);
    ink_arg_value(list, launch, end->activation ? INK_ARG_READ : INK_ARG_WRITE, end->activation ? end->y : call->dx);
}

void ink_emit_transpose(struct ink_launches *list, const struct ink_call *call, ink_value in, ink_value out, int matrices, int rows, int columns)
{
    struct ink_launch *launch = ink_launch_add(list, "tensor.cl", "transpose", "transpose");
    int blocks = (rows + call->vector_width - 1) / call->vector_width;
    ink_arg_value(list, launch, INK_ARG_READ, in);
    ink_arg_value(list, launch, INK_ARG_WRITE, out);
    ink_arg_int(list, launch, rows);
    ink_arg_int(list, launch, columns);
    ink_range_fixed(launch, 0, (size_t)blocks, 1, 1);
    ink_range_fixed(launch, 1, (size_t)matrices, 1, 1);
}

void ink_emit_reduce(struct ink_launches *list, const struct ink_call *call, ink_value in, ink_value out, size_t count, int samples)
{
    enum {
        GROUP = 128,
        ROWS = 32,             /* items for a vector of values at most, so that neighbours still read whole lines */
        PARTS_EACH = 4,        /* parts of an item, which it has in flight together */
        BUSY_ITEMS = 1 << 17,  /* work-items that keep a large GPU busy, so that no more are needed */
    };
    bool groups = call->style != INK_STYLE_CPU;
    struct ink_launch *launch = ink_launch_add(list, "tensor.cl", groups ? "reduce_group" : "reduce", "reduce");
    size_t vectors = (count + (size_t)call->vector_width - 1) / (size_t)call->vector_width;
    ink_arg_value(list, launch, INK_ARG_READ, in);
    ink_arg_value(list, launch, INK_ARG_WRITE, out);
    ink_arg_int(list, launch, (int)count);
    ink_arg_int(list, launch, samples);
    ink_arg_scalar(list, launch, INK_BATCH);
    launch->fixed_flops = (double)count;
    if (!groups) {
        ink_range_items(list, launch, call->style, 0, vectors, 64);
        return;
    }
    size_t group = ink_call_sum_group(call, GROUP), parts = (size_t)((call->batch + samples - 1) / samples), rows = 1;
    while (rows < ROWS && rows < group && rows * PARTS_EACH < parts && vectors * rows < BUSY_ITEMS)
        rows *= 2;
    ink_define_group(list, launch, group);
    ink_define_int(list, launch, "ROWS", (long)rows);
    ink_define_int(list, launch, "PARTIAL", count % (size_t)call->vector_width != 0);
    ink_range_fixed(launch, 0, vectors, group / rows, group);
}

void ink_emit_pass_gradient(struct ink_launches *list, const struct ink_call *call, size_t count)
{
    struct ink_launch *launch = ink_launch_add(list, "tensor.cl", "pass_gradient", "backward_data");
    ink_arg_value(list, launch, INK_ARG_READ, call->dy);
    ink_arg_dx(list, launch, call);
    ink_arg_int(list, launch, (int)count);
    ink_arg_scalar(list, launch, INK_BATCH);
    ink_range_items(list, launch, call->style, count, 0, ink_range_whole(count, 4096));
    launch->by_samples = true;
}

/* Cycles per step of the inner loop, in half cycles of a core that does two multiply-adds and two loads a cycle with a
 * latency of four: rows * q multiply-adds, rows + q loads, and never less than eight half cycles in flight. */
static double tile_efficiency(int rows, int q)
{
    int work = rows * q, loads = rows + q, cycles = work > loads ? work : loads;
    return (double)work / (cycles > 8 ? cycles : 8);
}

void ink_pick_tile(const struct ink_call *call, int rows, int vectors, struct ink_tile *tile)
{
    int registers = call->vector_width == 16 ? 32 : 16;
    double best = 0;
    for (int q = 1; q <= 4; q++)
        for (int r = 1; r <= rows && r <= 16 && r * q + q + 1 <= registers && vectors % q == 0; r++) {
            int steps = (rows + r - 1) / r;
            double score = tile_efficiency(r, q) * rows / (steps * r) + 1e-4 * r * q;
            if (score > best) {
                best = score;
                *tile = (struct ink_tile){r, q};
            }
        }
}
