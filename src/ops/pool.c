/* Pooling: max_pool, average_pool and global_average_pool. Max pooling keeps, while training, the place of each winner in
 * its window, one byte (or two) a value, so that its backward pass needs neither x nor a search. */
#include <stdio.h>
#include <string.h>

#include "ops/op.h"

enum { BYTE_PLACES = 255, MOST_PLACES = 65535 };

static int places(const struct ink_node *node) { return node->layer.filter_height * node->layer.filter_width; }

static size_t index_bytes(const struct ink_node *node) { return places(node) <= BYTE_PLACES ? sizeof(cl_uchar) : sizeof(cl_ushort); }

static ink_status infer_average(struct ink_node *node)
{
    INK_TRY(ink_infer_window(node, true, &node->out.height, &node->out.width));
    node->out.channels = node->in.channels;
    return INK_OK;
}

static ink_status infer_max(struct ink_node *node)
{
    INK_TRY(infer_average(node));
    if (places(node) > MOST_PLACES)
        return ink_fail_layer(node, "its window of %dx%d has %d pixels, and max pooling tells %d apart; use a smaller one",
                              node->layer.filter_height, node->layer.filter_width, places(node), MOST_PLACES);
    node->saved[0].sample_bytes = ink_shape_count(node->out) * index_bytes(node);
    return INK_OK;
}

static ink_status infer_global(struct ink_node *node)
{
    node->out = (struct ink_shape){1, 1, node->in.channels};
    return INK_OK;
}

static void describe(const struct ink_node *node, char *text, size_t size)
{
    const struct ink_layer *l = &node->layer;
    int used = snprintf(text, size, "%dx%d", l->filter_height, l->filter_width);
    if ((l->stride_height != l->filter_height || l->stride_width != l->filter_width) && used >= 0 && (size_t)used < size)
        snprintf(text + used, size - (size_t)used, " stride %dx%d", l->stride_height, l->stride_width);
}

/* Each window lies inside the input, and none shares a pixel with another. */
static bool windows_apart(const struct ink_call *call)
{
    const struct ink_layer *l = &call->node->layer;
    return l->stride_height >= l->filter_height && l->stride_width >= l->filter_width && !l->pad_top && !l->pad_bottom && !l->pad_left &&
           !l->pad_right;
}

/* The range of a kernel over rows rows of columns pixels of a sample, reading row_floats floats for each row. A CPU's
 * work-group takes whole rows: a power of two of them, so that layers of like size share a kernel, of about 256 KiB (tens
 * of microseconds), while at least 16 work-groups come of it. */
static void range_rows(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call, int rows, int columns, size_t row_floats)
{
    bool cpu = call->style == INK_STYLE_CPU;
    size_t vectors = ((size_t)call->node->in.channels + (size_t)call->vector_width - 1) / (size_t)call->vector_width;
    size_t items = 1, all = (size_t)rows * (size_t)call->batch;
    while (2 * items * row_floats * sizeof(float) <= 256 << 10 && 2 * items * 16 <= all)
        items *= 2;
    ink_define_int(list, launch, "ROWS", cpu);
    ink_range_items(list, launch, call->style, (size_t)rows * (cpu ? 1 : (size_t)columns * vectors), 0, ink_range_whole((size_t)rows, items));
    launch->by_samples = true;
}

static void define_window(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call)
{
    const struct ink_layer *l = &call->node->layer;
    ink_define_int(list, launch, "FH", l->filter_height);
    ink_define_int(list, launch, "FW", l->filter_width);
    ink_define_int(list, launch, "SH", l->stride_height);
    ink_define_int(list, launch, "SW", l->stride_width);
    ink_define_int(list, launch, "PT", l->pad_top);
    ink_define_int(list, launch, "PL", l->pad_left);
    ink_define_int(list, launch, "PADDED", l->pad_top || l->pad_bottom || l->pad_left || l->pad_right);
}

static void arg_sizes(struct ink_launches *list, struct ink_launch *launch, const struct ink_node *node)
{
    ink_arg_int(list, launch, node->in.height);
    ink_arg_int(list, launch, node->in.width);
    ink_arg_int(list, launch, node->in.channels);
    ink_arg_int(list, launch, node->out.height);
    ink_arg_int(list, launch, node->out.width);
    ink_arg_scalar(list, launch, INK_BATCH);
}

/* A pass whose items are the rows of the output, each reading (or writing) stride_height rows of the input. */
static void range_outputs(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call)
{
    const struct ink_node *node = call->node;
    range_rows(list, launch, call, node->out.height, node->out.width,
               (size_t)node->layer.stride_height * (size_t)node->in.width * (size_t)node->in.channels);
}

/* A pass whose items are the rows of the input. */
static void range_inputs(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call)
{
    const struct ink_node *node = call->node;
    range_rows(list, launch, call, node->in.height, node->in.width, (size_t)node->in.width * (size_t)node->in.channels);
}

static void define_index(struct ink_launches *list, struct ink_launch *launch, const struct ink_node *node)
{
    ink_define_text(list, launch, "INDEX", index_bytes(node) == sizeof(cl_uchar) ? "uchar" : "ushort");
}

static void max_forward(struct ink_launches *list, const struct ink_call *call)
{
    struct ink_launch *launch = ink_launch_add(list, "pool.cl", "max_forward", "forward");
    define_window(list, launch, call);
    define_index(list, launch, call->node);
    ink_define_int(list, launch, "KEEP", call->saved[0] != INK_NO_VALUE);
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    ink_arg_value(list, launch, INK_ARG_WRITE, call->y);
    if (call->saved[0] != INK_NO_VALUE)
        ink_arg_value(list, launch, INK_ARG_WRITE, call->saved[0]);
    arg_sizes(list, launch, call->node);
    range_outputs(list, launch, call);
}

static void max_scatter(struct ink_launches *list, const struct ink_call *call)
{
    struct ink_launch *launch = ink_launch_add(list, "pool.cl", "max_scatter", "backward_data scatter");
    struct ink_call end = *call;
    bool pooled = call->epilogue.activation != INK_NONE && !call->epilogue.accumulate;
    if (pooled)
        end.epilogue.y = call->y; /* not read as mask_y, but so the full one is not kept alive for this */
    define_window(list, launch, call);
    define_index(list, launch, call->node);
    ink_arg_value(list, launch, INK_ARG_READ, call->dy);
    ink_arg_value(list, launch, INK_ARG_READ, pooled ? call->y : call->dy);
    ink_arg_value(list, launch, INK_ARG_READ, call->saved[0]);
    ink_arg_dx(list, launch, &end);
    arg_sizes(list, launch, call->node);
    range_outputs(list, launch, call);
}

static void max_gather(struct ink_launches *list, const struct ink_call *call)
{
    struct ink_launch *launch = ink_launch_add(list, "pool.cl", "max_gather", "backward_data gather");
    define_window(list, launch, call);
    define_index(list, launch, call->node);
    ink_arg_value(list, launch, INK_ARG_READ, call->dy);
    ink_arg_value(list, launch, INK_ARG_READ, call->saved[0]);
    ink_arg_dx(list, launch, call);
    arg_sizes(list, launch, call->node);
    range_inputs(list, launch, call);
}

static void average_forward(struct ink_launches *list, const struct ink_call *call)
{
    struct ink_launch *launch = ink_launch_add(list, "pool.cl", "average_forward", "forward");
    define_window(list, launch, call);
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    ink_arg_value(list, launch, INK_ARG_WRITE, call->y);
    arg_sizes(list, launch, call->node);
    range_outputs(list, launch, call);
}

static void average_gather(struct ink_launches *list, const struct ink_call *call)
{
    struct ink_launch *launch = ink_launch_add(list, "pool.cl", "average_gather", "backward_data gather");
    define_window(list, launch, call);
    ink_arg_value(list, launch, INK_ARG_READ, call->dy);
    ink_arg_dx(list, launch, call);
    arg_sizes(list, launch, call->node);
    range_inputs(list, launch, call);
}

/* Global pooling's arguments behind the buffers, and its range: a row is a sample. */
static void end_global(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call, int columns)
{
    const struct ink_node *node = call->node;
    ink_arg_int(list, launch, node->in.height * node->in.width);
    ink_arg_int(list, launch, node->in.channels);
    ink_arg_scalar(list, launch, INK_BATCH);
    range_rows(list, launch, call, 1, columns, ink_shape_count(node->in));
}

static void global_forward(struct ink_launches *list, const struct ink_call *call)
{
    struct ink_launch *launch = ink_launch_add(list, "pool.cl", "global_forward", "forward");
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    ink_arg_value(list, launch, INK_ARG_WRITE, call->y);
    end_global(list, launch, call, 1);
}

static void global_backward_data(struct ink_launches *list, const struct ink_call *call)
{
    struct ink_launch *launch = ink_launch_add(list, "pool.cl", "global_backward_data", "backward_data");
    ink_arg_value(list, launch, INK_ARG_READ, call->dy);
    ink_arg_dx(list, launch, call);
    end_global(list, launch, call, call->node->in.height * call->node->in.width);
}

enum { WINDOW_FIELDS = INK_FIELD_FILTER | INK_FIELD_STRIDE | INK_FIELD_PADDING };

const struct ink_op ink_op_max_pool = {
    .name = "max_pool",
    .fields = WINDOW_FIELDS,
    .inputs = 1,
    .crops = true,
    .infer = infer_max,
    .describe = describe,
    .passes = {
        [INK_FORWARD] = (const struct ink_algorithm[]){{"direct", INK_STYLE_AUTO, NULL, max_forward}, {0}},
        [INK_BACKWARD_DATA] = (const struct ink_algorithm[]){{"scatter", INK_STYLE_AUTO, windows_apart, max_scatter},
                                                             {"gather", INK_STYLE_AUTO, NULL, max_gather}, {0}},
    },
};

const struct ink_op ink_op_average_pool = {
    .name = "average_pool",
    .fields = WINDOW_FIELDS,
    .inputs = 1,
    .crops = true,
    .infer = infer_average,
    .describe = describe,
    .passes = {
        [INK_FORWARD] = (const struct ink_algorithm[]){{"direct", INK_STYLE_AUTO, NULL, average_forward}, {0}},
        [INK_BACKWARD_DATA] = (const struct ink_algorithm[]){{"gather", INK_STYLE_AUTO, NULL, average_gather}, {0}},
    },
};

const struct ink_op ink_op_global_average_pool = {
    .name = "global_average_pool",
    .inputs = 1,
    .infer = infer_global,
    .passes = {
        [INK_FORWARD] = (const struct ink_algorithm[]){{"direct", INK_STYLE_AUTO, NULL, global_forward}, {0}},
        [INK_BACKWARD_DATA] = (const struct ink_algorithm[]){{"direct", INK_STYLE_AUTO, NULL, global_backward_data}, {0}},
    },
};
