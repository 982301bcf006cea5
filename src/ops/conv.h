/* Convolution passes, for its table in conv.c; each emitter serves one algorithm and pass. */
#ifndef INK_OPS_CONV_H
#define INK_OPS_CONV_H

#include "ops/op.h"

bool ink_conv_direct_applies(const struct ink_call *call);
int ink_conv_direct_variants(const struct ink_call *call);
void ink_conv_direct_forward(struct ink_launches *list, const struct ink_call *call);
void ink_conv_direct_backward_data(struct ink_launches *list, const struct ink_call *call);
void ink_conv_direct_backward_weights(struct ink_launches *list, const struct ink_call *call);

bool ink_winograd_applies(const struct ink_call *call);
int ink_winograd_variants(const struct ink_call *call);
void ink_winograd_forward(struct ink_launches *list, const struct ink_call *call);
void ink_winograd_backward_data(struct ink_launches *list, const struct ink_call *call);
void ink_winograd_backward_weights(struct ink_launches *list, const struct ink_call *call);

/* The output before a fused pooling: the rows and columns that its windows read. */
static inline struct ink_shape ink_conv_out(const struct ink_node *node)
{
    int height = node->pool.height ? node->pool.height : 1, width = node->pool.width ? node->pool.width : 1;
    return (struct ink_shape){node->out.height * height, node->out.width * width, node->out.channels};
}

/* Floating-point operations of a pass on one sample. */
double ink_conv_flops(const struct ink_node *node);

#endif
