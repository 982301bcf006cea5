/* The loss: softmax and sparse categorical cross-entropy on logits, with the gradient of its mean over the batch. */
#include "ops/op.h"
#include "util/text.h"

static void add_weights(struct ink_launches *list, struct ink_launch *launch, const float *weights, int classes)
{
    struct ink_text text = {0};
    ink_text_add(&text, "#undef CLASS_WEIGHTS\n#define CLASS_WEIGHTS");
    for (int c = 0; c < classes; c++)
        ink_text_add(&text, "%s%af", c ? ", " : " ", (double)weights[c]);
    ink_text_add(&text, "\n");
    if (!list->status)
        list->status = ink_text_take(&text, &launch->generated, NULL);
}

void ink_emit_loss(struct ink_launches *list, const struct ink_call *call, const struct ink_loss_values *values, int classes, float smoothing,
                   const float *weights)
{
    bool gradient = values->dlogits != INK_NO_VALUE, probabilities = values->probabilities != INK_NO_VALUE;
    struct ink_launch *launch = ink_launch_add(list, "loss.cl", "loss", "softmax cross-entropy");
    ink_define_int(list, launch, "CLASSES", classes);
    ink_define_int(list, launch, "GRADIENT", gradient);
    ink_define_int(list, launch, "PROBABILITIES", probabilities);
    ink_define_float(list, launch, "SMOOTHING", smoothing);
    if (weights) {
        ink_define_int(list, launch, "WEIGHTED", 1);
        add_weights(list, launch, weights, classes);
    }
    ink_arg_value(list, launch, INK_ARG_READ, values->logits);
    ink_arg_value(list, launch, INK_ARG_READ, values->labels);
    ink_arg_value(list, launch, INK_ARG_READ, values->order);
    ink_arg_value(list, launch, INK_ARG_WRITE, values->losses);
    ink_arg_value(list, launch, INK_ARG_WRITE, values->predictions);
    if (gradient)
        ink_arg_value(list, launch, INK_ARG_WRITE, values->dlogits);
    if (probabilities)
        ink_arg_value(list, launch, INK_ARG_WRITE, values->probabilities);
    ink_arg_scalar(list, launch, INK_START);
    ink_arg_scalar(list, launch, INK_BATCH);
    if (gradient)
        ink_arg_scalar(list, launch, INK_WHOLE);
    if (weights)
        ink_arg_scalar(list, launch, INK_BATCH_WEIGHT);
    ink_range_items(list, launch, call->style, 1, 0, 8);
    launch->by_samples = true;
    launch->sample_flops = 5.0 * classes;
}
