/* One step of an optimizer over the flat buffer of all parameters, and sums of gradients in it. */
#include "ops/op.h"

enum { NORM_PARTS = 64, ITEMS = 256 };

/* The sums of squares of NORM_PARTS pieces of the gradients. The pieces follow from count alone, and are added in order by
 * whoever needs the norm. */
static ink_value emit_squares(struct ink_launches *list, const struct ink_call *call, ink_value gradients, size_t count)
{
    ink_value parts = ink_value_create(list, "norm of the gradients", 0, NORM_PARTS * sizeof(float));
    struct ink_launch *launch = ink_launch_add(list, "optimizer.cl", "squares", "gradient norm");
    long local = call->style == INK_STYLE_CPU ? 1 : 64;
    ink_define_int(list, launch, "PARTS", NORM_PARTS);
    ink_define_int(list, launch, "LOCAL", local);
    ink_arg_value(list, launch, INK_ARG_READ, gradients);
    ink_arg_value(list, launch, INK_ARG_WRITE, parts);
    ink_arg_int(list, launch, (int)(count / 16)); /* floats of the kernel's vectors */
    ink_range_fixed(launch, 0, NORM_PARTS, 1, (size_t)local);
    launch->fixed_flops = 2.0 * (double)count;
    return parts;
}

void ink_emit_optimizer(struct ink_launches *list, const struct ink_call *call, const struct ink_train_options *options,
                        ink_value parameters, ink_value gradients, ink_value moment1, ink_value moment2, ink_value average, size_t count)
{
    bool sgd = options->optimizer == INK_SGD, clips = options->clip_norm > 0;
    ink_value parts = clips ? emit_squares(list, call, gradients, count) : INK_NO_VALUE;
    struct ink_launch *launch = ink_launch_add(list, "optimizer.cl", sgd ? "sgd" : "adam", sgd ? "SGD" : "Adam");
    ink_define_float(list, launch, "WEIGHT_DECAY", (float)options->weight_decay);
    ink_define_int(list, launch, "DECOUPLED", options->optimizer == INK_ADAMW);
    ink_define_int(list, launch, "CLIP", clips);
    ink_define_int(list, launch, "AVERAGE", average != INK_NO_VALUE);
    if (clips) {
        ink_define_int(list, launch, "PARTS", NORM_PARTS);
        ink_define_float(list, launch, "MAX_NORM", (float)options->clip_norm);
    }
    ink_arg_value(list, launch, INK_ARG_UPDATE, parameters);
    ink_arg_value(list, launch, INK_ARG_READ, gradients);
    ink_arg_value(list, launch, INK_ARG_UPDATE, moment1);
    if (sgd) {
        ink_define_float(list, launch, "MOMENTUM", (float)options->momentum);
        ink_define_int(list, launch, "NESTEROV", options->nesterov);
    } else {
        ink_define_float(list, launch, "BETA1", (float)options->beta1);
        ink_define_float(list, launch, "BETA2", (float)options->beta2);
        ink_define_float(list, launch, "REST1", (float)(1.0 - options->beta1));
        ink_define_float(list, launch, "REST2", (float)(1.0 - options->beta2));
        ink_define_float(list, launch, "EPSILON", (float)options->epsilon);
        ink_arg_value(list, launch, INK_ARG_UPDATE, moment2);
    }
    ink_arg_int(list, launch, (int)(count / (size_t)call->vector_width));
    ink_arg_scalar(list, launch, INK_LEARNING_RATE);
    if (!sgd) {
        ink_arg_scalar(list, launch, INK_CORRECTION1);
        ink_arg_scalar(list, launch, INK_CORRECTION2);
    }
    if (clips)
        ink_arg_value(list, launch, INK_ARG_READ, parts);
    if (average != INK_NO_VALUE) {
        ink_arg_value(list, launch, INK_ARG_UPDATE, average);
        ink_arg_scalar(list, launch, INK_AVERAGE_REST);
    }
    ink_range_items(list, launch, call->style, 0, count / (size_t)call->vector_width, ITEMS);
    launch->fixed_flops = (sgd ? 4.0 : 12.0) * (double)count;
}

void ink_emit_accumulate(struct ink_launches *list, const struct ink_call *call, ink_value gradients, ink_value accumulated, size_t count)
{
    struct ink_launch *launch = ink_launch_add(list, "optimizer.cl", "accumulate", "accumulated gradients");
    ink_arg_value(list, launch, INK_ARG_UPDATE, gradients);
    ink_arg_value(list, launch, INK_ARG_READ, accumulated);
    ink_arg_int(list, launch, (int)(count / (size_t)call->vector_width));
    ink_range_items(list, launch, call->style, 0, count / (size_t)call->vector_width, ITEMS);
    launch->fixed_flops = (double)count;
}
