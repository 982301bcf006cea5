/* What is asked of nodes while they are lowered; see work.h. */
#include "model/work.h"

int ink_work_root(const struct ink_works *l, int i)
{
    while (i >= 0 && l->work[i].alias)
        i = l->work[i].node.inputs[0];
    return i;
}

ink_value ink_work_value(const struct ink_works *l, int i)
{
    i = ink_work_root(l, i);
    return i < 0 ? l->input : l->work[i].y;
}

void ink_work_count(struct ink_works *l)
{
    for (int i = 0; i < l->model->count; i++)
        l->work[i].consumers = 0;
    for (int i = 0; i < l->model->count; i++)
        for (int k = 0; k < l->work[i].node.op->inputs && !l->work[i].alias && l->work[i].live; k++) {
            int r = ink_work_root(l, l->work[i].node.inputs[k]);
            if (r >= 0)
                l->work[r].consumers++;
        }
}

struct ink_call ink_work_call(const struct ink_works *l, int i, enum ink_pass pass)
{
    const struct ink_work *w = &l->work[i];
    struct ink_call call = {
        .node = &w->node, .number = i, .device = l->how->device, .style = l->how->style, .vector_width = l->how->vector_width, .reproducible = l->how->reproducible,
        .batch = l->how->batch, .training = l->how->training, .pass = pass, .x = {INK_NO_VALUE, INK_NO_VALUE}, .y = w->y,
        .dy = INK_NO_VALUE, .dx = INK_NO_VALUE, .parameters = w->parameters, .gradients = w->gradients, .state = w->state,
        .saved = {w->saved[0], w->saved[1]}, .epilogue = {.y = INK_NO_VALUE},
    };
    for (int k = 0; k < w->node.op->inputs; k++)
        call.x[k] = ink_work_value(l, w->node.inputs[k]);
    if (pass != INK_FORWARD)
        call.dy = w->grad;
    return call;
}
