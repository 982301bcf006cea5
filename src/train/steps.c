/* The steps of training; see trainer.h. */
#include "train/trainer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/dataset.h"
#include "util/clock.h"

ink_status ink_trainer_settle(struct ink_trainer *t, size_t most)
{
    ink_status status = INK_OK;
    while (t->enqueued - t->finished > most) {
        cl_event *event = &t->in_flight[t->finished % INK_MOST_IN_FLIGHT];
        cl_int code = clWaitForEvents(1, event);
        clReleaseEvent(*event);
        t->finished++;
        if (!status)
            status = ink_cl_check(t->feed.device, code, "clWaitForEvents", "training step");
    }
    return status;
}

/* Of multiplications alone, so that it is the same whatever the C library. */
static double power(double base, uint64_t exponent)
{
    double result = 1;
    for (; exponent; exponent >>= 1, base *= base)
        if (exponent & 1)
            result *= base;
    return result;
}

/* weight: what the samples of the batch weigh together, where classes have weights. */
static void set_scalars_of(const struct ink_trainer *t, struct ink_plan *plan, double weight)
{
    const struct ink_train_options *o = t->options;
    ink_plan_set_int(plan, INK_EPOCH, t->progress.epoch);
    ink_plan_set_int(plan, INK_STEP, (cl_int)(uint32_t)t->step);
    ink_plan_set_float(plan, INK_LEARNING_RATE, (float)t->progress.learning_rate);
    ink_plan_set_float(plan, INK_CORRECTION1, (float)(1 / (1 - power(o->beta1, t->step))));
    ink_plan_set_float(plan, INK_CORRECTION2, (float)(1 / (1 - power(o->beta2, t->step))));
    ink_plan_set_float(plan, INK_AVERAGE_REST, (float)(1 - fmin(o->ema, (1 + (double)t->step) / (10 + (double)t->step))));
    ink_plan_set_float(plan, INK_BATCH_WEIGHT, weight > 0 ? (float)weight : 1); /* 0: and so are all gradients */
}

/* For the step that is begun. */
static void set_scalars(const struct ink_trainer *t, struct ink_batch batch)
{
    double weight = t->class_weights ? ink_batch_weight(t->class_weights, t->train->labels, t->feed.host_order, batch) : 0;
    if (!t->team)
        set_scalars_of(t, t->plan, weight);
    for (int i = 0; t->team && i < t->team->count; i++)
        set_scalars_of(t, t->team->members[i].plan, weight);
}

/* A step in parts, on one device. */
static ink_status run_parts(struct ink_trainer *t, int start, int n, cl_event *done)
{
    INK_TRY(ink_feed_begin(&t->feed, t->plan, start, n));
    INK_TRY(ink_plan_run_part(t->plan, &(struct ink_part){start, n, 0, n}, false));
    INK_TRY(ink_plan_run(t->plan, INK_SECTION_UPDATE, start, n, done));
    ink_status status = ink_feed_end(&t->feed, *done);
    if (status)
        clReleaseEvent(*done);
    return status;
}

ink_status ink_trainer_enqueue(struct ink_trainer *t, size_t place)
{
    const struct ink_train_options *o = t->options;
    struct ink_batch batch = ink_epoch_step(o, t->feed.count, t->progress.epoch, place);
    int start = (int)batch.start, n = (int)batch.count;
    t->progress.learning_rate = ink_schedule_rate(o, &t->monitored, t->step, t->steps, t->progress.epoch);
    t->step++;
    set_scalars(t, batch);
    if (t->team)
        return ink_trainer_team_step(t, start, n);
    if (o->group)
        return ink_trainer_group_step(t, start, n);
    cl_event *done = &t->in_flight[t->enqueued % INK_MOST_IN_FLIGHT];
    INK_TRY(t->parts ? run_parts(t, start, n, done) : ink_feed_run(&t->feed, t->plan, INK_SECTION_TRAIN, start, n, done));
    if (t->enqueued++ == 0)
        clFlush(t->feed.device->queue);
    return INK_OK;
}

static ink_status take_snapshot(struct ink_trainer *t, struct ink_plan *plan) { return ink_snapshot_take(&t->good, plan); }

static ink_status read_weights(struct ink_trainer *t, struct ink_plan *plan) { return ink_plan_get(plan, INK_PARAMETERS, t->values); }

ink_status ink_trainer_keep(struct ink_trainer *t)
{
    t->good.step = t->step;
    t->good.epoch = t->progress.epoch;
    t->good.position = t->finished;
    t->good.sums = t->sums;
    t->good.monitored = t->monitored;
    t->good.weight_count = t->team ? t->team->count : 0;
    for (int i = 0; i < t->good.weight_count; i++)
        t->good.weights[i] = t->team->shares.weights[i];
    return ink_trainer_ask(t, take_snapshot);
}

ink_status ink_trainer_go_back(struct ink_trainer *t)
{
    t->step = t->good.step;
    t->enqueued = t->finished = t->good.position;
    t->sums = t->good.sums;
    t->monitored = t->good.monitored;
    return ink_trainer_put(t);
}

/* Tells what was not finite first, the loss of a step of this epoch (counted from 1) being so, or a weight in front of it. Steps
 * are the same each time, so they are gone through again up to it. */
static ink_status diverge(struct ink_trainer *t, size_t step)
{
    struct ink_tensor tensor;
    const char *what = NULL;
    INK_TRY(ink_trainer_settle(t, 0));
    INK_TRY(ink_trainer_go_back(t));
    size_t first = t->enqueued;
    while (t->enqueued + 1 < step) {
        INK_TRY(ink_trainer_enqueue(t, t->enqueued));
        INK_TRY(ink_trainer_settle(t, 0));
    }
    if (t->enqueued > first) {
        INK_TRY(ink_plan_gradients(t->plan, t->values));
        what = ink_model_find_not_finite(t->model, t->values, &tensor) ? "the gradient of " : NULL;
        if (!what) {
            INK_TRY(ink_plan_get(t->plan, INK_PARAMETERS, t->values));
            what = ink_model_find_not_finite(t->model, t->values, &tensor) ? "the new value of " : NULL;
        }
    }
    step -= what != NULL;
    double rate = ink_schedule_rate(t->options, &t->monitored, t->step - (what != NULL), t->steps, t->progress.epoch);
    return ink_fail(INK_ERROR_DIVERGED, "step %zu of epoch %d: %s%s is not a finite number, at a learning rate of %g; take a lower one, "
                    "a warm-up (warmup, --warmup), or clip gradients (clip_norm, --clip-norm)%s%s", step, t->progress.epoch,
                    what ? what : "the loss", what ? tensor.name : "", rate, *t->saved ? "; the last good checkpoint is " : "", t->saved);
}

ink_status ink_trainer_check(struct ink_trainer *t)
{
    struct ink_tensor tensor;
    INK_TRY(ink_trainer_ask(t, read_weights));
    return ink_model_find_not_finite(t->model, t->values, &tensor) ? diverge(t, t->finished + 1) : INK_OK;
}

ink_status ink_trainer_tally(struct ink_trainer *t)
{
    size_t batch = (size_t)ink_epoch_batch(t->options, t->feed.count, t->progress.epoch), end = t->finished * batch;
    if (t->options->group) /* the steps have summed the losses of all processes */
        return t->peers.diverged ? diverge(t, t->peers.diverged) : INK_OK;
    if (end > t->feed.count)
        end = t->feed.count;
    if (!t->team) /* else they have been read */
        INK_TRY(ink_feed_read(&t->feed, t->sums.count, end));
    for (size_t i = t->sums.count; i < end; i++)
        if (!isfinite(t->feed.host_losses[i]))
            return diverge(t, i / batch + 1);
    ink_sums_add(&t->sums, &t->feed, t->train, t->class_weights, t->sums.count, end);
    return INK_OK;
}

/* The algorithms of all devices. *text: free(). */
static ink_status write_choices(const struct ink_trainer *t, char **text)
{
    struct ink_text lines = {0};
    ink_recall_write(&t->recall, "", &lines);
    for (int i = 1; t->team && i < t->team->count; i++) {
        char prefix[INK_RECALL_PREFIX];
        ink_recall_prefix(i, prefix);
        ink_recall_write(&t->team->members[i].recall, prefix, &lines);
    }
    return ink_text_take(&lines, text, NULL);
}

/* Writes what ink_trainer_keep() kept. Training goes on where that fails: what is on disk is still good. */
ink_status ink_trainer_save(struct ink_trainer *t)
{
    const char *folder = t->options->checkpoints;
    if (t->options->group && ink_group_get_info(t->options->group).rank)
        return INK_OK;
    char path[INK_CHECKPOINT_PATH], *choices;
    INK_TRY(ink_checkpoint_path(folder, t->step, path));
    INK_TRY(write_choices(t, &choices));
    t->run.choices = choices;
    ink_status status = ink_checkpoint_write(path, &t->run, &t->good);
    free(choices);
    t->run.choices = NULL;
    t->saved_at = ink_clock();
    if (status) {
        ink_log(INK_LOG_WARNING, "no checkpoint is written: %s", ink_last_error());
        return INK_OK;
    }
    memcpy(t->saved, path, sizeof path);
    ink_checkpoint_prune(folder, t->step, t->options->keep);
    return INK_OK;
}
