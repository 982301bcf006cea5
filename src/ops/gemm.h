/* Convolution and dense layers as matrix products: what the tables of both ops share. The emitters serve either op. */
#ifndef INK_OPS_GEMM_H
#define INK_OPS_GEMM_H

#include "ops/op.h"

/* A layer as a convolution: a dense layer is 1x1 filters over 1x1 images of all its inputs. */
struct ink_gemm_shape {
    struct ink_shape in, out;
    int filter_height, filter_width, stride_height, stride_width, dilation_height, dilation_width, pad_top, pad_left;
    int groups, group_in, group_out; /* channels and filters of a group */
    int taps, pixels;                /* of the filter; of the output */
    bool bias;
    bool clip;                       /* a tap can reach outside the input */
};

struct ink_gemm_shape ink_gemm_shape(const struct ink_node *node);

/* "gemm": tiles in local memory, for GPUs; cl/gemm.cl. */
bool ink_gemm_applies(const struct ink_call *call);
int ink_gemm_variants(const struct ink_call *call);
void ink_gemm_forward(struct ink_launches *list, const struct ink_call *call);
void ink_gemm_backward_data(struct ink_launches *list, const struct ink_call *call);
void ink_gemm_backward_weights(struct ink_launches *list, const struct ink_call *call);

#endif
