/* What a pass of a convolution, dense layer or max pooling should give, in double precision by direct sums: of samples of its
 * output, as every value would take too long. Candidates of tuning are held against it. */
#ifndef INK_MODEL_CHECK_H
#define INK_MODEL_CHECK_H

#include <stdint.h>

#include "ops/op.h"

/* A pass and what it reads: [n][in], [n][out], the weights with the bias behind them. Those it does not read are not used. */
struct ink_check {
    const struct ink_call *call;
    int n;
    const float *x, *dy, *parameters, *mask_y, *dx_before;
    const uint8_t *winners;      /* of pooling: [n][out] */
    /* made by ink_check_prepare: the samples */
    size_t *places;              /* in the output */
    double *want;
    int count;
    double magnitude;            /* the largest sum of |products| of a sample */
};

/* True if there is a reference for a call. */
bool ink_check_covers(const struct ink_call *call);

/* Floats of the parameters of a call's node. */
size_t ink_check_parameters(const struct ink_node *node);

/* y of a max pooling with these winners; of another op y stays as it is. */
void ink_check_pool(const struct ink_check *check, float *y);

/* Picks samples, at borders more than by chance, and works out what they should be. */
ink_status ink_check_prepare(struct ink_check *check);
void ink_check_free(struct ink_check *check);

/* Holds the output of the pass (y, dx or the gradients; winners of a pooled forward in training, else NULL) against it. A wrong
 * one is INK_ERROR_DEVICE. factor: rounding errors beside those of direct sums. */
ink_status ink_check_output(const struct ink_check *check, const float *output, const uint8_t *winners, double factor);

#endif
