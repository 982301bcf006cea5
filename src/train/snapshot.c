/* Snapshots of training; see snapshot.h. */
#include "train/snapshot.h"

#include <math.h>
#include <stdlib.h>

ink_status ink_snapshot_create(const struct ink_model *model, const struct ink_train_options *options, struct ink_snapshot *out)
{
    struct ink_snapshot snapshot = {.epoch = 1, .monitored = {.scale = 1}};
    ink_status status = INK_OK;
    for (int s = INK_PARAMETERS; s <= INK_AVERAGE && !status; s++) {
        if (s == INK_GRADIENTS || (s == INK_MOMENT2 && options->optimizer == INK_SGD) || (s == INK_AVERAGE && options->ema <= 0))
            continue;
        snapshot.counts[s] = s == INK_STATE ? model->state_count : model->trained_count;
        snapshot.arrays[s] = calloc(snapshot.counts[s] + 1, sizeof(float));
        if (!snapshot.arrays[s])
            status = ink_fail_memory(snapshot.counts[s] * sizeof(float));
    }
    if (status)
        ink_snapshot_destroy(&snapshot);
    else
        *out = snapshot;
    return status;
}

void ink_snapshot_destroy(struct ink_snapshot *snapshot)
{
    for (int s = INK_PARAMETERS; s <= INK_AVERAGE; s++)
        free(snapshot->arrays[s]);
    *snapshot = (struct ink_snapshot){0};
}

ink_status ink_snapshot_take(struct ink_snapshot *snapshot, struct ink_plan *plan)
{
    for (int s = INK_PARAMETERS; s <= INK_AVERAGE; s++)
        if (snapshot->arrays[s])
            INK_TRY(ink_plan_get(plan, (enum ink_storage)s, snapshot->arrays[s]));
    return INK_OK;
}

ink_status ink_snapshot_put(const struct ink_snapshot *snapshot, struct ink_plan *plan)
{
    for (int s = INK_PARAMETERS; s <= INK_AVERAGE; s++)
        if (snapshot->arrays[s])
            INK_TRY(ink_plan_put(plan, (enum ink_storage)s, snapshot->arrays[s]));
    return INK_OK;
}

bool ink_model_find_not_finite(ink_model *model, const float *values, struct ink_tensor *tensor)
{
    for (size_t i = ink_model_tensor_count(model); i-- > 0;) {
        if (ink_model_tensor(model, i, tensor) || !tensor->trained)
            continue;
        const float *first = values + (tensor->data - model->trained);
        for (size_t k = 0; k < tensor->count; k++)
            if (!isfinite(first[k]))
                return true;
    }
    return false;
}
