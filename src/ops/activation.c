/* Layers that work value by value or pixel by pixel: activation, add, and softmax over the channels of each pixel. The
 * lowering folds most activation layers into the layer before; what is left of them runs here. */
#include "ops/op.h"

/* Vectors and pixels that a CPU's work-group takes: some tens of microseconds. */
enum { GROUP_VALUES = 32768 };

static ink_status infer_same(struct ink_node *node)
{
    node->out = node->in;
    return INK_OK;
}

static ink_status infer_activation(struct ink_node *node)
{
    if (node->layer.activation == INK_NONE)
        return ink_fail_layer(node, "it needs an activation: relu, leaky_relu, sigmoid, tanh or softmax");
    return infer_same(node);
}

/* The range over vectors of all values of the batch; count values a sample, which need not fill its vectors. */
static void end_values(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call, size_t count)
{
    size_t width = (size_t)call->vector_width;
    ink_arg_int(list, launch, (int)count);
    ink_arg_scalar(list, launch, INK_BATCH);
    ink_range_items(list, launch, call->style, (count + width - 1) / width, 0, ink_range_whole((count + width - 1) / width, GROUP_VALUES / width));
    launch->by_samples = count % width == 0;
}

static void activation_forward(struct ink_launches *list, const struct ink_call *call)
{
    struct ink_launch *launch = ink_launch_add(list, "activation.cl", "activation", "forward");
    ink_define_activation(list, launch, call);
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    ink_arg_value(list, launch, INK_ARG_WRITE, call->y);
    end_values(list, launch, call, ink_shape_count(call->node->out));
}

static void add_forward(struct ink_launches *list, const struct ink_call *call)
{
    if (call->norms[0] || call->norms[1]) {
        ink_emit_norm_sum(list, call);
        return;
    }
    size_t count = ink_shape_count(call->node->out);
    struct ink_launch *launch = ink_launch_add(list, "activation.cl", "add", "forward");
    ink_define_activation(list, launch, call);
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    ink_arg_value(list, launch, INK_ARG_READ, call->x[1]);
    ink_arg_value(list, launch, INK_ARG_WRITE, call->y);
    end_values(list, launch, call, count);
    launch->sample_flops = (double)count;
}

static double add_flops(const struct ink_node *node) { return (double)ink_shape_count(node->out); }

/* dy is the gradient before the activation already, and that of a sum is that of each operand. */
static void pass_backward_data(struct ink_launches *list, const struct ink_call *call)
{
    ink_emit_pass_gradient(list, call, ink_shape_count(call->node->in));
}

/* Softmax's arguments behind the buffers, and its range over pixels. */
static void end_pixels(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call)
{
    struct ink_shape shape = call->node->out;
    int pixels = shape.height * shape.width, items = GROUP_VALUES / 16 / shape.channels;
    ink_arg_int(list, launch, pixels);
    ink_arg_int(list, launch, shape.channels);
    ink_arg_scalar(list, launch, INK_BATCH);
    ink_range_items(list, launch, call->style, (size_t)pixels, 0, ink_range_whole((size_t)pixels, items > 1 ? (size_t)items : 1));
    launch->by_samples = true;
}

static void softmax_forward(struct ink_launches *list, const struct ink_call *call)
{
    struct ink_launch *launch = ink_launch_add(list, "activation.cl", "softmax", "forward");
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    ink_arg_value(list, launch, INK_ARG_WRITE, call->y);
    end_pixels(list, launch, call);
}

static void softmax_backward_data(struct ink_launches *list, const struct ink_call *call)
{
    struct ink_launch *launch = ink_launch_add(list, "activation.cl", "softmax_backward_data", "backward_data");
    ink_arg_value(list, launch, INK_ARG_READ, call->dy);
    ink_arg_value(list, launch, INK_ARG_READ, call->y);
    ink_arg_dx(list, launch, call);
    end_pixels(list, launch, call);
}

const struct ink_op ink_op_activation = {
    .name = "activation",
    .fields = INK_FIELD_ACTIVATION,
    .inputs = 1,
    .in_place = true,
    .passes_gradient = true,
    .infer = infer_activation,
    .passes = {
        [INK_FORWARD] = (const struct ink_algorithm[]){{"direct", INK_STYLE_AUTO, NULL, activation_forward}, {0}},
        [INK_BACKWARD_DATA] = (const struct ink_algorithm[]){{"direct", INK_STYLE_AUTO, NULL, pass_backward_data}, {0}},
    },
};

const struct ink_op ink_op_add = {
    .name = "add",
    .fields = INK_FIELD_ACTIVATION,
    .inputs = 2,
    .in_place = true,
    .passes_gradient = true,
    .infer = infer_same,
    .flops = add_flops,
    .passes = {
        [INK_FORWARD] = (const struct ink_algorithm[]){{"direct", INK_STYLE_AUTO, NULL, add_forward}, {0}},
        [INK_BACKWARD_DATA] = (const struct ink_algorithm[]){{"direct", INK_STYLE_AUTO, NULL, pass_backward_data}, {0}},
    },
};

const struct ink_op ink_op_softmax = {
    .name = "softmax",
    .inputs = 1,
    .infer = infer_same,
    .passes = {
        [INK_FORWARD] = (const struct ink_algorithm[]){{"direct", INK_STYLE_AUTO, NULL, softmax_forward}, {0}},
        [INK_BACKWARD_DATA] = (const struct ink_algorithm[]){{"direct", INK_STYLE_AUTO, NULL, softmax_backward_data}, {0}},
    },
};
