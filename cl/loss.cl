/* Softmax and sparse categorical cross-entropy. Of a sample with logits z and label l, over CLASSES classes:
 *   log_sum = log(sum exp(z[c] - max)),  p[c] = exp(z[c] - max - log_sum)
 *   target[c] = (1 - SMOOTHING) * (c == l) + SMOOTHING / CLASSES
 *   loss = sum target[c] * (log_sum - (z[c] - max))
 *   dlogits[c] = (p[c] - target[c]) / whole    (the gradient of the mean loss over a batch of which the n samples are all or a part)
 * With weights of classes (WEIGHTED, CLASS_WEIGHTS), as PyTorch has it, target[c] is multiplied by that of c, and
 *   dlogits[c] = (p[c] * sum target - target[c]) / weight    (of the sum of losses over what the labels of the batch weigh together)
 * The prediction is the first class with the largest logit. An item is a sample.
 */
#ifdef KERNEL_loss
#define TARGET(c) ((1.0f - SMOOTHING) * ((c) == label ? 1.0f : 0.0f) + DIV(SMOOTHING, (float)CLASSES))
#ifdef WEIGHTED
__constant float NAME(class_weights)[CLASSES] = {CLASS_WEIGHTS};
#define WEIGHTED_TARGET(c) (TARGET(c) * NAME(class_weights)[c])
#endif

#if GRADIENT
#define GRADIENT_ARGUMENT out_t dlogits,
#define WHOLE_ARGUMENT , int whole
#else
#define GRADIENT_ARGUMENT
#define WHOLE_ARGUMENT
#endif
#if PROBABILITIES
#define PROBABILITIES_ARGUMENT out_t probabilities,
#else
#define PROBABILITIES_ARGUMENT
#endif
#ifdef WEIGHTED
#define WEIGHT_ARGUMENT , float weight
#else
#define WEIGHT_ARGUMENT
#endif
ITEMS_KERNEL(loss)(in_t logits, __global const uchar *labels, __global const uint *order, out_t losses, __global int *predictions,
                   GRADIENT_ARGUMENT PROBABILITIES_ARGUMENT int start, int n WHOLE_ARGUMENT WEIGHT_ARGUMENT)
{
    FOR_ITEMS(s, n) {
        __global const float *z = logits + s * CLASSES;
        int label = labels[order[start + s]], best = 0;
        float top = z[0], sum = 0.0f;
        for (int c = 1; c < CLASSES; c++)
            if (z[c] > top) {
                top = z[c];
                best = c;
            }
        for (int c = 0; c < CLASSES; c++)
            sum += EXP(z[c] - top);
        float log_sum = LOG(sum);
#ifdef WEIGHTED
        float loss = 0.0f, targets = 0.0f;
        for (int c = 0; c < CLASSES; c++) {
            loss += WEIGHTED_TARGET(c) * (log_sum - (z[c] - top));
            targets += WEIGHTED_TARGET(c);
        }
        losses[start + s] = loss;
#else
        if (SMOOTHING == 0.0f)
            losses[start + s] = log_sum - (z[label] - top);
        else {
            float loss = 0.0f;
            for (int c = 0; c < CLASSES; c++)
                loss += TARGET(c) * (log_sum - (z[c] - top));
            losses[start + s] = loss;
        }
#endif
        predictions[start + s] = best;
#if GRADIENT || PROBABILITIES
        for (int c = 0; c < CLASSES; c++) {
            float p = DIV(EXP(z[c] - top), sum);
#if GRADIENT && defined(WEIGHTED)
            dlogits[s * CLASSES + c] = SETTLE(DIV(p * targets - WEIGHTED_TARGET(c), weight));
#elif GRADIENT
            dlogits[s * CLASSES + c] = SETTLE(DIV(p - TARGET(c), (float)whole));
#endif
#if PROBABILITIES
            probabilities[(long)(start + s) * CLASSES + c] = p;
#endif
        }
#endif
    }
}
#undef GRADIENT_ARGUMENT
#undef WHOLE_ARGUMENT
#undef PROBABILITIES_ARGUMENT
#undef WEIGHT_ARGUMENT
#endif
#undef TARGET
#undef WEIGHTED_TARGET
