/* Batch normalisation (Ioffe and Szegedy 2015) over batch, rows and columns. Training takes the moments of the batch and
 * moves the running ones, which inference uses. Sums are split into parts of rows by the number of channels alone, so
 * that the same seed gives the same bits whatever the device's size. */
#include "ops/op.h"

enum { PART_FLOATS = 8192, PART_ROWS_LEAST = 16, GROUP_FLOATS = 65536 };

static ink_status infer(struct ink_node *node)
{
    struct ink_layer *layer = &node->layer;
    int channels = node->in.channels;
    if (layer->momentum == 0.0f)
        layer->momentum = 0.9f;
    if (layer->epsilon == 0.0f)
        layer->epsilon = 1e-5f;
    if (!(layer->momentum > 0.0f && layer->momentum < 1.0f))
        return ink_fail_layer(node, "its momentum is %g; above 0 and below 1 is possible", (double)layer->momentum);
    if (!(layer->epsilon > 0.0f && layer->epsilon <= 1.0f))
        return ink_fail_layer(node, "its epsilon is %g; above 0 and at most 1 is possible", (double)layer->epsilon);
    node->out = node->in;
    ink_node_parameter(node, "gamma", 1, &channels, true, INK_FILL_ONE, 0, 0);
    ink_node_parameter(node, "beta", 1, &channels, true, INK_FILL_ZERO, 0, 0);
    ink_node_parameter(node, "mean", 1, &channels, false, INK_FILL_ZERO, 0, 0);
    ink_node_parameter(node, "variance", 1, &channels, false, INK_FILL_ONE, 0, 0);
    node->saved[0].fixed_bytes = 2 * (size_t)channels * sizeof(float);
    return INK_OK;
}

static double flops(const struct ink_node *node) { return 2.0 * (double)ink_shape_count(node->in); }

static size_t pixels_of(const struct ink_node *node) { return (size_t)node->in.height * (size_t)node->in.width; }

static size_t part_rows_of(const struct ink_node *node)
{
    int rows = PART_FLOATS / node->in.channels;
    return rows > PART_ROWS_LEAST ? (size_t)rows : PART_ROWS_LEAST;
}

static size_t blocks_of(const struct ink_call *call)
{
    return ((size_t)call->node->in.channels + (size_t)call->vector_width - 1) / (size_t)call->vector_width;
}

/* Sums of the parts of a full batch: [parts][2][channels]. */
static ink_value create_sums(struct ink_launches *list, const struct ink_call *call)
{
    size_t rows = part_rows_of(call->node), parts = ((size_t)call->batch * pixels_of(call->node) + rows - 1) / rows;
    return ink_value_create(list, "sums of parts", 0, parts * 2 * (size_t)call->node->in.channels * sizeof(float));
}

/* The arguments behind the buffers: pixels, channels, part_rows, n. */
static void arg_sizes(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call, size_t part_rows)
{
    ink_arg_int(list, launch, (int)pixels_of(call->node));
    ink_arg_int(list, launch, call->node->in.channels);
    ink_arg_int(list, launch, (int)part_rows);
    ink_arg_scalar(list, launch, INK_BATCH);
}

/* The end of a pass over all x. Items are the vectors of parts; there may be one part more than rows / part_rows tells. */
static void end_parts(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call, size_t part_rows)
{
    size_t items = GROUP_FLOATS / (part_rows * (size_t)call->vector_width), blocks = blocks_of(call);
    arg_sizes(list, launch, call, part_rows);
    ink_range_items(list, launch, call->style, pixels_of(call->node) * blocks, part_rows * blocks, items ? items : 1);
    launch->range[0].items_per_group *= part_rows;
}

/* Nothing is summed, so a GPU's items are single vectors. */
static void end_rows(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call)
{
    end_parts(list, launch, call, call->style == INK_STYLE_CPU ? part_rows_of(call->node) : 1);
}

/* The end of a pass over the sums of parts. Items are vectors of channels. */
static void end_channels(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call)
{
    arg_sizes(list, launch, call, part_rows_of(call->node));
    ink_range_items(list, launch, call->style, 0, blocks_of(call), 1);
}

static void emit_statistics(struct ink_launches *list, const struct ink_call *call)
{
    ink_value sums = create_sums(list, call);
    struct ink_launch *launch = ink_launch_add(list, "batch_norm.cl", "part_moments", "forward moments");
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    ink_arg_value(list, launch, INK_ARG_WRITE, sums);
    end_parts(list, launch, call, part_rows_of(call->node));

    launch = ink_launch_add(list, "batch_norm.cl", "statistics", "forward statistics");
    ink_arg_value(list, launch, INK_ARG_READ, sums);
    ink_arg_value(list, launch, INK_ARG_WRITE, call->saved[0]);
    ink_arg_value(list, launch, INK_ARG_UPDATE, call->state);
    ink_arg_float(list, launch, call->node->layer.momentum);
    ink_arg_float(list, launch, call->node->layer.epsilon);
    end_channels(list, launch, call);
}

static void forward(struct ink_launches *list, const struct ink_call *call)
{
    if (call->training)
        emit_statistics(list, call);
    struct ink_launch *launch = ink_launch_add(list, "batch_norm.cl", "normalise", "forward");
    ink_define_activation(list, launch, call);
    ink_define_int(list, launch, "RUNNING", !call->training);
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    ink_arg_value(list, launch, INK_ARG_READ, call->parameters);
    ink_arg_value(list, launch, INK_ARG_READ, call->training ? call->saved[0] : call->state);
    ink_arg_value(list, launch, INK_ARG_WRITE, call->y);
    ink_arg_float(list, launch, call->node->layer.epsilon);
    end_rows(list, launch, call);
    launch->sample_flops = flops(call->node);
}

static void backward_weights(struct ink_launches *list, const struct ink_call *call)
{
    ink_value sums = create_sums(list, call);
    struct ink_launch *launch = ink_launch_add(list, "batch_norm.cl", "part_gradients", "backward_weights parts");
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    ink_arg_value(list, launch, INK_ARG_READ, call->dy);
    ink_arg_value(list, launch, INK_ARG_READ, call->saved[0]);
    ink_arg_value(list, launch, INK_ARG_WRITE, sums);
    end_parts(list, launch, call, part_rows_of(call->node));

    launch = ink_launch_add(list, "batch_norm.cl", "gradients", "backward_weights");
    ink_arg_value(list, launch, INK_ARG_READ, sums);
    ink_arg_value(list, launch, INK_ARG_WRITE, call->gradients);
    end_channels(list, launch, call);
}

/* Uses the gradients of gamma and beta, which backward_weights left. */
static void backward_data(struct ink_launches *list, const struct ink_call *call)
{
    struct ink_launch *launch = ink_launch_add(list, "batch_norm.cl", "backward_data", "backward_data");
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    ink_arg_value(list, launch, INK_ARG_READ, call->dy);
    ink_arg_value(list, launch, INK_ARG_READ, call->parameters);
    ink_arg_value(list, launch, INK_ARG_READ, call->gradients);
    ink_arg_value(list, launch, INK_ARG_READ, call->saved[0]);
    ink_arg_dx(list, launch, call);
    end_rows(list, launch, call);
}

const struct ink_op ink_op_batch_norm = {
    .name = "batch_norm",
    .fields = INK_FIELD_MOMENTUM | INK_FIELD_EPSILON | INK_FIELD_ACTIVATION,
    .inputs = 1,
    .infer = infer,
    .flops = flops,
    .passes = {
        [INK_FORWARD] = (const struct ink_algorithm[]){{"direct", INK_STYLE_AUTO, NULL, forward}, {0}},
        [INK_BACKWARD_DATA] = (const struct ink_algorithm[]){{"direct", INK_STYLE_AUTO, NULL, backward_data}, {0}},
        [INK_BACKWARD_WEIGHTS] = (const struct ink_algorithm[]){{"direct", INK_STYLE_AUTO, NULL, backward_weights}, {0}},
    },
};
