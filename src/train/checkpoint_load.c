/* A checkpoint for the user of the library: its model and what it is of. */
#include <stdio.h>
#include <string.h>

#include "train/checkpoint.h"

static ink_status load(const struct ink_checkpoint *checkpoint, ink_model **out)
{
    ink_model *model = NULL;
    INK_TRY(ink_model_parse(checkpoint->run.model, &model));
    struct ink_snapshot snapshot = {0};
    ink_status status = ink_snapshot_create(model, &checkpoint->run.options, &snapshot);
    if (!status)
        status = ink_checkpoint_restore(checkpoint, &snapshot);
    if (!status && model->trained_count)
        memcpy(model->trained, snapshot.arrays[INK_PARAMETERS], model->trained_count * sizeof(float));
    if (!status && model->state_count)
        memcpy(model->state, snapshot.arrays[INK_STATE], model->state_count * sizeof(float));
    ink_snapshot_destroy(&snapshot);
    if (status)
        ink_model_destroy(&model);
    else
        *out = model;
    return status;
}

ink_status ink_checkpoint_load(const char *path, ink_model **model, struct ink_checkpoint_info *info)
{
    struct ink_checkpoint checkpoint;
    INK_TRY(ink_checkpoint_open(path, &checkpoint));
    const struct ink_run *run = &checkpoint.run;
    ink_status status = load(&checkpoint, model);
    if (!status) {
        *info = (struct ink_checkpoint_info){.options = run->options, .epoch = checkpoint.snapshot.epoch, .step = checkpoint.snapshot.position,
                                             .train_count = run->train_count, .test_count = run->test_count};
        snprintf(info->algorithms, sizeof info->algorithms, "%s", run->options.algorithms ? run->options.algorithms : "");
        snprintf(info->shares, sizeof info->shares, "%s", run->shares);
        snprintf(info->class_weights, sizeof info->class_weights, "%s", run->options.class_weights ? run->options.class_weights : "");
        info->options.algorithms = info->options.class_weights = NULL;
    }
    ink_checkpoint_close(&checkpoint);
    return status;
}
