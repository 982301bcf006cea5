/* Weights of classes, as options->class_weights asks for them: what they are, and what batches weigh. */
#ifndef INK_TRAIN_CLASS_WEIGHTS_H
#define INK_TRAIN_CLASS_WEIGHTS_H

#include "train/sampler.h"

enum { INK_CLASS_WEIGHTS_BYTES = 4096 }; /* of the text, with its end */

/* INK_ERROR_ARGUMENT unless text is "balanced" or numbers with commas, none negative and not all 0. */
ink_status ink_class_weights_check(const char *text);

/* The weight of each output of the model, those beyond the data's classes 1; *weights: free(); NULL where none are asked for.
 * INK_ERROR_ARGUMENT if there are other than classes of them. */
ink_status ink_class_weights(const struct ink_sampler *sampler, int classes, int outputs, float **weights);

/* What samples of an order weigh together; weights NULL: their count. */
double ink_batch_weight(const float *weights, const uint8_t *labels, const uint32_t *order, struct ink_batch batch);

#endif
