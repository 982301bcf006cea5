/* One step of an optimizer over the flat buffer of all parameters. */
#include "ops/op.h"

void ink_emit_optimizer(struct ink_launches *list, const struct ink_call *call, const struct ink_train_options *options,
                        ink_value parameters, ink_value gradients, ink_value moment1, ink_value moment2, size_t count)
{
    bool sgd = options->optimizer == INK_SGD;
    struct ink_launch *launch = ink_launch_add(list, "optimizer.cl", sgd ? "sgd" : "adam", sgd ? "SGD" : "Adam");
    ink_define_float(list, launch, "WEIGHT_DECAY", (float)options->weight_decay);
    ink_define_int(list, launch, "DECOUPLED", options->optimizer == INK_ADAMW);
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
    ink_range_items(list, launch, call->style, 0, count / (size_t)call->vector_width, 256);
    launch->fixed_flops = (sgd ? 4.0 : 12.0) * (double)count;
}
