/* Convolution (im2col) and dense layers by CLBlast's matrix multiply, for the tables of both ops; the emitters serve either.
 * Only in builds with CLBlast (INK_CLBLAST). */
#ifndef INK_OPS_CLBLAST_H
#define INK_OPS_CLBLAST_H

#include "ops/op.h"

#ifdef INK_CLBLAST
void ink_clblast_forward(struct ink_launches *list, const struct ink_call *call);
void ink_clblast_backward_data(struct ink_launches *list, const struct ink_call *call);
void ink_clblast_backward_weights(struct ink_launches *list, const struct ink_call *call);
#endif

#endif
