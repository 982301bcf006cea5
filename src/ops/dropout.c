/* Dropout (Srivastava et al. 2014): while training, each value is dropped with probability rate, and what stays is scaled
 * by 1 / (1 - rate). In inference it is no launch at all. */
#include <stdio.h>

#include "ops/op.h"
#include "util/rng.h"

static ink_status infer(struct ink_node *node)
{
    if (!(node->layer.rate >= 0.0f && node->layer.rate < 1.0f))
        return ink_fail_layer(node, "its rate is %g; at least 0 and below 1 is possible", (double)node->layer.rate);
    node->out = node->in;
    return INK_OK;
}

static void describe(const struct ink_node *node, char *text, size_t size)
{
    snprintf(text, size, "%g", (double)node->layer.rate);
}

/* The arguments behind the buffers, and the range over blocks of 4 vectors of the batch; one more where a part of a batch begins inside one. */
static void end_pass(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call)
{
    size_t count = ink_shape_count(call->node->in), block = 4 * (size_t)call->vector_width;
    uint64_t stream = INK_STREAM(INK_STREAM_DROPOUT, call->number);
    ink_arg_int(list, launch, (int)count);
    ink_arg_float(list, launch, call->node->layer.rate);
    ink_arg_float(list, launch, (float)(1.0 / (1.0 - (double)call->node->layer.rate)));
    ink_arg_int(list, launch, (int)(uint32_t)stream);
    ink_arg_int(list, launch, (int)(uint32_t)(stream >> 32));
    ink_arg_scalar(list, launch, INK_SEED_LOW);
    ink_arg_scalar(list, launch, INK_SEED_HIGH);
    ink_arg_scalar(list, launch, INK_STEP);
    ink_arg_scalar(list, launch, INK_FIRST);
    ink_arg_scalar(list, launch, INK_BATCH);
    ink_range_items(list, launch, call->style, (count + block - 1) / block, 1, 16384 / block);
}

static void forward(struct ink_launches *list, const struct ink_call *call)
{
    struct ink_launch *launch = ink_launch_add(list, "dropout.cl", "forward", "forward");
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    ink_arg_value(list, launch, INK_ARG_WRITE, call->y);
    end_pass(list, launch, call);
}

static void backward_data(struct ink_launches *list, const struct ink_call *call)
{
    struct ink_launch *launch = ink_launch_add(list, "dropout.cl", "backward_data", "backward_data");
    ink_arg_value(list, launch, INK_ARG_READ, call->dy);
    ink_arg_dx(list, launch, call);
    end_pass(list, launch, call);
}

const struct ink_op ink_op_dropout = {
    .name = "dropout",
    .fields = INK_FIELD_RATE,
    .inputs = 1,
    .in_place = true,
    .alias_inference = true,
    .infer = infer,
    .describe = describe,
    .passes = {
        [INK_FORWARD] = (const struct ink_algorithm[]){{"direct", INK_STYLE_AUTO, NULL, forward}, {0}},
        [INK_BACKWARD_DATA] = (const struct ink_algorithm[]){{"direct", INK_STYLE_AUTO, NULL, backward_data}, {0}},
    },
};
