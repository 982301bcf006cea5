/* The training loop. The host only enqueues: it reads losses back when it has something to show, and keeps a few
 * steps in flight so that the device never waits and a stop takes effect soon. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/dataset.h"
#include "train/train.h"
#include "train/trainer.h"
#include "train/tune.h"
#include "util/clock.h"

enum { TIMED_STEPS = 4 };
static const double tuning_share = 0.05, least_tuning = 1; /* of the time training takes; seconds */
static const double window_seconds = 0.05; /* of work in flight */
static const double show_seconds = 0.2;    /* between calls of the callback */

/* Asks the callback whether to go on. */
static void show(struct ink_trainer *t)
{
    struct ink_metrics metrics = ink_sums_metrics(&t->sums);
    t->progress.step = t->finished;
    t->progress.seen = metrics.count;
    t->progress.loss = metrics.loss;
    t->progress.accuracy = metrics.accuracy;
    t->shown = ink_clock();
    if (!t->progress.epoch_end)
        t->progress.seconds = t->shown - t->began;
    if (t->options->progress && !t->options->progress(&t->progress, t->options->user))
        *(t->options->group ? &t->peers.stop_asked : &t->stopped) = true;
}

ink_status ink_training_read(ink_training *t)
{
    if (t->options->group)
        return ink_fail(INK_ERROR_ARGUMENT, "weights are not read within an epoch where several processes train together; read them at its end");
    INK_TRY(ink_trainer_settle(t, 0));
    return ink_plan_download(t->plan, t->model);
}

ink_status ink_training_checkpoint(ink_training *t)
{
    if (t->options->group)
        return ink_fail(INK_ERROR_ARGUMENT, "no single process asks for a checkpoint where several train together; say when in the options");
    if (!t->options->checkpoints)
        return ink_fail(INK_ERROR_ARGUMENT, "there is no folder for checkpoints; name one in the options (checkpoints)");
    t->asked = true;
    return INK_OK;
}

/* True if the step just enqueued is to be followed by a checkpoint. */
static bool is_due(const struct ink_trainer *t)
{
    const struct ink_train_options *o = t->options;
    bool minutes = o->group ? t->peers.due : o->checkpoint_minutes > 0 && ink_clock() - t->saved_at >= 60 * o->checkpoint_minutes;
    return o->checkpoints && ((o->checkpoint_steps && t->step % (uint64_t)o->checkpoint_steps == 0) || minutes);
}

/* Waits for all steps, looks whether what they left is well, and keeps it. */
static ink_status settle_well(struct ink_trainer *t)
{
    INK_TRY(ink_trainer_settle(t, 0));
    INK_TRY(ink_trainer_tally(t));
    INK_TRY(ink_trainer_check(t));
    return ink_trainer_keep(t);
}

/* Steps over the rest of the feed, or until stopped; all are done, and their losses read, on return. */
static ink_status run_steps(struct ink_trainer *t)
{
    size_t first = t->finished;
    while (t->enqueued < t->progress.steps && !t->stopped) {
        size_t done_before = t->finished;
        INK_TRY(ink_trainer_enqueue(t, t->enqueued));
        INK_TRY(ink_trainer_settle(t, t->window));
        if (t->options->group) /* whose processes look at the same moment */
            INK_TRY(ink_trainer_tally(t));
        if (t->finished > done_before && t->finished > first + 1) {
            double seconds = (ink_clock() - t->began) / (double)(t->finished - first);
            size_t window = seconds > 0 ? (size_t)(window_seconds / seconds) : INK_MOST_IN_FLIGHT;
            t->window = window < 2 ? 2 : window > INK_MOST_IN_FLIGHT - 1 ? INK_MOST_IN_FLIGHT - 1 : window;
        }
        if (is_due(t)) {
            INK_TRY(settle_well(t));
            INK_TRY(ink_trainer_save(t));
        }
        if (t->finished > first && ink_clock() - t->shown >= show_seconds) {
            INK_TRY(ink_trainer_tally(t));
            show(t);
            if (t->asked && !t->stopped) { /* else it is written at the stop */
                t->asked = false;
                INK_TRY(settle_well(t));
                INK_TRY(ink_trainer_save(t));
            }
        }
    }
    INK_TRY(ink_trainer_settle(t, 0));
    t->progress.seconds = ink_clock() - t->began;
    INK_TRY(ink_trainer_tally(t));
    return ink_trainer_check(t);
}

static ink_status evaluate(struct ink_trainer *t, struct ink_feed *feed, const ink_dataset *dataset, struct ink_metrics *metrics)
{
    if (t->options->group)
        return ink_trainer_group_evaluate(t, feed, dataset, metrics);
    if (t->team) {
        INK_TRY(ink_team_evaluate(t->team, feed == &t->validation_feed, feed, dataset, metrics));
        t->plan = ink_team_leader(t->team)->plan;
        return INK_OK;
    }
    return ink_feed_evaluate(feed, t->plan, dataset, t->part, metrics);
}

/* Evaluates at the end of an epoch, and takes in what the options say to monitor. */
static ink_status end_epoch(struct ink_trainer *t, struct ink_metrics *test)
{
    struct ink_metrics metrics = ink_sums_metrics(&t->sums);
    if (t->test) {
        INK_TRY(evaluate(t, &t->test_feed, t->test, test));
        t->progress.test_loss = test->loss;
        t->progress.test_accuracy = test->accuracy;
        metrics = *test;
    }
    if (t->progress.has_validation) {
        INK_TRY(evaluate(t, &t->validation_feed, t->train, &metrics));
        t->progress.validation_loss = metrics.loss;
        t->progress.validation_accuracy = metrics.accuracy;
    }
    double value = t->options->monitor == INK_MONITOR_LOSS ? metrics.loss : metrics.accuracy;
    t->progress.early = ink_monitored_note(&t->monitored, t->options, t->progress.epoch, value);
    t->progress.best_epoch = t->monitored.best_epoch;
    return INK_OK;
}

/* An epoch of which no step is done. */
static void begin_epoch(struct ink_trainer *t, int epoch)
{
    t->enqueued = t->finished = 0;
    t->sums = (struct ink_sums){0};
    t->progress = (struct ink_progress){.epoch = epoch, .epochs = t->options->epochs, .samples = t->sampler.kept_count,
                                        .steps = ink_epoch_steps(t->options, t->sampler.kept_count, epoch), .has_test = t->test != NULL,
                                        .has_validation = t->sampler.apart_count > 0, .memory = &t->memory, .training = t, .best_epoch = t->monitored.best_epoch};
}

static ink_status download(struct ink_trainer *t, struct ink_plan *plan) { return ink_plan_download(plan, t->model); }

static ink_status run_epoch(struct ink_trainer *t, int epoch, struct ink_metrics *metrics)
{
    bool resumed = t->resumed.file && epoch == t->good.epoch && t->step == t->good.step;
    INK_TRY(ink_trainer_order(t, epoch));
    begin_epoch(t, epoch);
    t->window = 1;
    if (resumed)
        INK_TRY(ink_trainer_go_back(t));
    if (!resumed)
        INK_TRY(ink_trainer_keep(t));
    bool due = t->asked || (t->options->checkpoint_epochs && (epoch - 1) % t->options->checkpoint_epochs == 0);
    if (!resumed && epoch > 1 && t->options->checkpoints && due)
        INK_TRY(ink_trainer_save(t));
    t->asked = false;
    t->began = t->shown = ink_clock();
    INK_TRY(run_steps(t));
    if (t->stopped && t->options->checkpoints) {
        INK_TRY(ink_trainer_keep(t));
        INK_TRY(ink_trainer_save(t));
    }
    if (t->stopped)
        return ink_trainer_ask(t, download);
    INK_TRY(end_epoch(t, metrics));
    INK_TRY(ink_trainer_ask(t, download));
    t->progress.epoch_end = true;
    show(t);
    if (t->options->group)
        ink_trainer_agree_to_stop(t);
    if (t->stopped && t->options->checkpoints && epoch < t->options->epochs) {
        begin_epoch(t, epoch + 1);
        INK_TRY(ink_trainer_keep(t));
        return ink_trainer_save(t);
    }
    return INK_OK;
}

/* Seconds that training is expected to take: some steps are timed, and undone. */
static ink_status expect(struct ink_trainer *t, const ink_model *model, double *seconds)
{
    double began = 0;
    INK_TRY(ink_trainer_order(t, 1));
    begin_epoch(t, 1);
    for (int i = 0; i < 1 + TIMED_STEPS; i++) {
        if (i == 1) { /* the driver finishes kernels at their first run */
            INK_TRY(ink_trainer_settle(t, 0));
            began = ink_clock();
        }
        INK_TRY(ink_trainer_enqueue(t, 0));
    }
    INK_TRY(ink_trainer_settle(t, 0));
    *seconds = (ink_clock() - began) / TIMED_STEPS * (double)t->progress.steps * t->options->epochs;
    return ink_trainer_rewind(t, model);
}

/* Asks the callback while tuning, where no step is done yet. */
static bool go_on(void *user)
{
    struct ink_trainer *t = user;
    begin_epoch(t, 1);
    if (t->options->progress && !t->options->progress(&t->progress, t->options->user))
        t->stopped = true;
    return !t->stopped;
}

/* Measures what is not known yet, within its share of the time that training takes, and makes the plan anew if that changed
 * anything. */
static ink_status tune(struct ink_trainer *t, ink_model *model, ink_device *device)
{
    double seconds = 0;
    bool changed = false;
    if (t->resumed.file || t->options->group || t->options->tune < INK_TUNE_SHORT || !ink_tune_lacks(model, device, t->part, t->recall.choices))
        return INK_OK;
    if (t->options->tune == INK_TUNE_SHORT) {
        INK_TRY(expect(t, model, &seconds));
        seconds *= tuning_share;
        ink_log(INK_LOG_INFO, "%.2g s may go into tuning%s", seconds, seconds < least_tuning ? ", which is too little" : "");
        if (seconds < least_tuning)
            return INK_OK;
    }
    ink_status status = ink_tune_for_training(model, device, t->part, seconds, t->recall.choices, go_on, t, &changed);
    if (status == INK_ERROR_FILE) /* what cannot be kept is not chosen */
        ink_log(INK_LOG_WARNING, "tuning ended early: %s", ink_last_error());
    else if (status)
        return status;
    if (!changed)
        return INK_OK;
    ink_trainer_close_plan(t);
    return ink_trainer_prepare(t, device);
}

/* Has the processes of a group go on together, or fail together. */
static ink_status agree(const struct ink_trainer *t, ink_status status)
{
    return t->options->group ? ink_group_agree(t->options->group, status) : status;
}

/* All that comes before the first step. */
static ink_status make_ready(struct ink_trainer *t, const struct ink_train_options *given, struct ink_train_options *options, ink_device *device,
                             struct ink_choices *choices)
{
    ink_status status = ink_trainer_begin(t, given, options, &device);
    if (!status)
        status = ink_trainer_open_checkpoints(t, given, device);
    if (!status && options->initialise)
        status = ink_model_initialise(t->model, options->seed);
    if (!status && options->tune)
        status = ink_tune_open(device, choices);
    t->recall.choices = options->tune ? choices : NULL;
    INK_TRY(agree(t, status));
    if (options->group)
        status = ink_trainer_meet(t, device);
    if (!status)
        status = ink_trainer_prepare(t, device);
    if (!status)
        status = tune(t, t->model, device);
    if (!status && options->tune && !t->resumed.file)
        ink_tune_tell(t->model, device, t->part, choices);
    if (!status)
        status = ink_trainer_make_room(t);
    if (!status && options->group)
        status = ink_trainer_join(t);
    return agree(t, status);
}

/* A failure of one process in the midst of training is left to be told by ink_group_fail(). */
static ink_status end_together(struct ink_trainer *t, ink_status status)
{
    if (status == INK_ERROR_DIVERGED)
        status = agree(t, status);
    if (!status)
        ink_group_end(t->options->group);
    return status;
}

ink_status ink_train(ink_model *model, ink_device *device, const ink_dataset *train, const ink_dataset *test,
                     const struct ink_train_options *given, bool *stopped, struct ink_metrics *metrics)
{
    struct ink_train_options options = given ? *given : (struct ink_train_options){0};
    struct ink_metrics last = {0};
    struct ink_choices choices = {0};
    struct ink_trainer t = {.options = &options, .train = train, .test = test, .model = model, .monitored = {.scale = 1}};
    ink_status status = make_ready(&t, given, &options, device, &choices);
    if (!status && options.group)
        ink_group_begin(options.group);
    for (int epoch = t.good.epoch; epoch <= options.epochs && !status && !t.stopped && !t.progress.early; epoch++)
        status = run_epoch(&t, epoch, &last);
    if (options.group && t.good.epoch)
        status = end_together(&t, status);
    ink_trainer_end(&t);
    ink_choices_free(&choices);
    if (!status && stopped)
        *stopped = t.stopped;
    if (!status && metrics)
        *metrics = last;
    return status;
}
