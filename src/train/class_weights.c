/* Reading and computing weights of classes; see class_weights.h. */
#include "train/class_weights.h"

#include <stdlib.h>
#include <string.h>

static const char balanced[] = "balanced";
enum { MOST_CLASSES = 256 };

/* Reads numbers with commas; gives how many, -1 where the text is something else. */
static int read_list(const char *text, double weights[MOST_CLASSES])
{
    int count = 0;
    for (;; text++) {
        char *end;
        if (count == MOST_CLASSES)
            return -1;
        weights[count] = strtod(text, &end);
        if (end == text || !(weights[count] >= 0) || weights[count] > 1e6)
            return -1;
        count++;
        text = end;
        if (!*text)
            return count;
        if (*text != ',')
            return -1;
    }
}

ink_status ink_class_weights_check(const char *text)
{
    double weights[MOST_CLASSES], sum = 0;
    int count = strcmp(text, balanced) == 0 ? 0 : read_list(text, weights);
    for (int c = 0; c < count; c++)
        sum += weights[c];
    if (count < 0 || strlen(text) >= INK_CLASS_WEIGHTS_BYTES || (count > 0 && sum == 0))
        return ink_fail(INK_ERROR_ARGUMENT, "class_weights is \"%.200s\"; it must be \"balanced\", or from 0 to 1e6 for each class, with commas and not all 0, "
                        "for example 1,2,0.5", text);
    return INK_OK;
}

ink_status ink_class_weights(const struct ink_sampler *sampler, int classes, int outputs, float **out)
{
    const char *text = sampler->options->class_weights;
    double weights[MOST_CLASSES];
    int present = 0;
    if (!text)
        return INK_OK;
    bool is_balanced = strcmp(text, balanced) == 0;
    int count = is_balanced ? classes : read_list(text, weights);
    if (count != classes)
        return ink_fail(INK_ERROR_ARGUMENT, "class_weights has %d weights, and the data %d classes; give one for each", count, classes);
    for (int c = 0; c < classes; c++)
        present += sampler->classes[c] > 0;
    float *all = malloc((size_t)(outputs > classes ? outputs : classes) * sizeof *all);
    if (!all)
        return ink_fail_memory((size_t)outputs * sizeof *all);
    for (int c = 0; c < outputs || c < classes; c++)
        if (c >= classes || (is_balanced && !sampler->classes[c]))
            all[c] = 1;
        else
            all[c] = (float)(is_balanced ? (double)sampler->kept_count / ((double)present * (double)sampler->classes[c]) : weights[c]);
    *out = all;
    return INK_OK;
}

double ink_batch_weight(const float *weights, const uint8_t *labels, const uint32_t *order, struct ink_batch batch)
{
    double sum = 0;
    for (size_t i = batch.start; i < batch.start + batch.count && weights; i++)
        sum += (double)weights[labels[order[i]]];
    return weights ? sum : (double)batch.count;
}
