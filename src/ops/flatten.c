/* Flatten: the same values as 1 x 1 x (height * width * channels), in NHWC order. Nothing is computed. */
#include "ops/op.h"

static ink_status infer(struct ink_node *node)
{
    node->out = (struct ink_shape){1, 1, (int)ink_shape_count(node->in)};
    return INK_OK;
}

const struct ink_op ink_op_flatten = {.name = "flatten", .inputs = 1, .alias = true, .infer = infer};
