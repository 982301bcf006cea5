/* Convolution passes, for its table in conv.c; each emitter serves one algorithm and pass. */
#ifndef INK_OPS_CONV_H
#define INK_OPS_CONV_H

#include "ops/op.h"

void ink_conv_direct_forward(struct ink_launches *list, const struct ink_call *call);
void ink_conv_direct_backward_data(struct ink_launches *list, const struct ink_call *call);
void ink_conv_direct_backward_weights(struct ink_launches *list, const struct ink_call *call);

/* Floating-point operations of a pass on one sample. */
double ink_conv_flops(const struct ink_node *node);

#endif
