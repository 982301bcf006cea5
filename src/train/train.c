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
        }
    }
    INK_TRY(ink_trainer_settle(t, 0));
    t->progress.seconds = ink_clock() - t->began;
    INK_TRY(ink_trainer_tally(t));
    return ink_trainer_check(t);
}

/* Takes in what the options say to monitor, at the end of an epoch. */
static void monitor(struct ink_trainer *t, const struct ink_metrics *test)
{
    struct ink_metrics metrics = t->test ? *test : ink_sums_metrics(&t->sums);
    double value = t->options->monitor == INK_MONITOR_LOSS ? metrics.loss : metrics.accuracy;
    t->progress.early = ink_monitored_note(&t->monitored, t->options, t->progress.epoch, value);
    t->progress.best_epoch = t->monitored.best_epoch;
}

/* An epoch of which no step is done. */
static void begin_epoch(struct ink_trainer *t, int epoch)
{
    t->enqueued = t->finished = 0;
    t->sums = (struct ink_sums){0};
    t->progress = (struct ink_progress){.epoch = epoch, .epochs = t->options->epochs, .samples = t->feed.count,
                                        .steps = (t->feed.count + (size_t)t->options->batch - 1) / (size_t)t->options->batch,
                                        .has_test = t->test != NULL, .best_epoch = t->monitored.best_epoch};
}

static ink_status evaluate(struct ink_trainer *t, struct ink_metrics *metrics)
{
    if (t->options->group)
        return ink_trainer_group_evaluate(t, metrics);
    if (!t->team)
        return ink_feed_evaluate(&t->test_feed, t->plan, t->test, t->part, metrics);
    INK_TRY(ink_team_evaluate(t->team, metrics));
    t->plan = ink_team_leader(t->team)->plan;
    return INK_OK;
}

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
    if (!resumed && epoch > 1 && t->options->checkpoints && t->options->checkpoint_epochs && (epoch - 1) % t->options->checkpoint_epochs == 0)
        INK_TRY(ink_trainer_save(t));
    t->began = t->shown = ink_clock();
    ink_status status = run_steps(t);
    if (status) {
        ink_trainer_settle(t, 0);
        return status;
    }
    if (t->stopped && t->options->checkpoints) {
        INK_TRY(ink_trainer_keep(t));
        INK_TRY(ink_trainer_save(t));
    }
    if (t->stopped)
        return ink_plan_download(t->plan, t->model);
    if (t->test) {
        INK_TRY(evaluate(t, metrics));
        t->progress.test_loss = metrics->loss;
        t->progress.test_accuracy = metrics->accuracy;
    }
    INK_TRY(ink_plan_download(t->plan, t->model));
    monitor(t, metrics);
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

static ink_status prepare(struct ink_trainer *t, ink_model *model, ink_device *device)
{
    struct ink_plan_options how = {.batch = t->part, .classes = t->train->classes, .training = true, .parts = t->parts,
                                   .algorithms = t->options->algorithms, .train = t->options,
                                   .choose = ink_recall_choose, .choose_user = &t->recall, .align = t->options->group ? t->peers.align : ink_devices_align(t->options)};
    if (t->test && t->test->classes > how.classes)
        how.classes = t->test->classes;
    if (!t->resumed.file)
        ink_recall_clear(&t->recall);
    INK_TRY(ink_plan_create(device, model, &how, &t->plan));
    INK_TRY(t->recall.status);
    ink_plan_set_int(t->plan, INK_SEED_LOW, (cl_int)(uint32_t)t->options->seed);
    ink_plan_set_int(t->plan, INK_SEED_HIGH, (cl_int)(uint32_t)(t->options->seed >> 32));
    INK_TRY(ink_feed_load(device, t->train, 0, &t->feed));
    INK_TRY(ink_feed_bind(&t->feed, t->plan, t->parts ? INK_SECTION_GRADIENTS : INK_SECTION_TRAIN));
    if (t->test) {
        INK_TRY(ink_feed_load(device, t->test, 0, &t->test_feed));
        INK_TRY(ink_feed_bind(&t->test_feed, t->plan, INK_SECTION_EVALUATE));
    }
    return t->options->device_count > 1 ? ink_trainer_gather(t, model, &how) : INK_OK;
}

static void close_plan(struct ink_trainer *t)
{
    ink_trainer_dismiss(t);
    ink_plan_destroy(&t->plan);
    ink_feed_destroy(&t->feed);
    ink_feed_destroy(&t->test_feed);
}

/* Room for what is kept, filled from the checkpoint if there is one. */
static ink_status make_room(struct ink_trainer *t)
{
    size_t count = t->model->trained_count + 1;
    t->values = malloc(count * sizeof *t->values);
    if (!t->values)
        return ink_fail_memory(count * sizeof *t->values);
    INK_TRY(ink_snapshot_create(t->model, t->options, &t->good));
    t->saved_at = ink_clock();
    if (t->team)
        INK_TRY(ink_trainer_share(t));
    if (!t->resumed.file)
        return INK_OK;
    if (t->recall.fresh)
        ink_log(INK_LOG_WARNING, "%s: does not tell all algorithms that are used here: results may differ from those of an uninterrupted run",
                t->options->resume);
    INK_TRY(ink_checkpoint_restore(&t->resumed, &t->good));
    return ink_trainer_go_back(t);
}

/* Makes ready for checkpoints and reads the one to go on from, before any work. */
static ink_status open_checkpoints(struct ink_trainer *t, const struct ink_train_options *given, ink_device *device)
{
    if (!t->options->checkpoints && !t->options->resume)
        return INK_OK;
    t->run = (struct ink_run){.options = given ? *given : (struct ink_train_options){0}, .model = ink_model_text(t->model)};
    ink_run_describe(&t->run, device, t->train, t->test);
    if (t->options->checkpoints)
        INK_TRY(ink_checkpoint_folder(t->options->checkpoints));
    if (!t->options->resume)
        return INK_OK;
    INK_TRY(ink_checkpoint_open(t->options->resume, &t->resumed));
    INK_TRY(ink_checkpoint_check(&t->resumed, &t->run));
    snprintf(t->saved, sizeof t->saved, "%s", t->options->resume);
    return ink_recall_read(&t->recall, t->resumed.run.choices);
}

/* Seconds that training is expected to take: some steps are timed, and undone. */
static ink_status expect(struct ink_trainer *t, const ink_model *model, double *seconds)
{
    size_t batch = (size_t)t->options->batch, steps = (t->feed.count + batch - 1) / batch;
    double began = 0;
    INK_TRY(ink_trainer_order(t, 1));
    for (int i = 0; i < 1 + TIMED_STEPS; i++) {
        if (i == 1) { /* the driver finishes kernels at their first run */
            INK_TRY(ink_trainer_settle(t, 0));
            began = ink_clock();
        }
        INK_TRY(ink_trainer_enqueue(t, 0));
    }
    INK_TRY(ink_trainer_settle(t, 0));
    *seconds = (ink_clock() - began) / TIMED_STEPS * (double)steps * t->options->epochs;
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
    close_plan(t);
    return prepare(t, model, device);
}

/* Has the processes of a group go on together, or fail together. */
static ink_status agree(const struct ink_trainer *t, ink_status status)
{
    return t->options->group ? ink_group_agree(t->options->group, status) : status;
}

/* Looks at what was asked for, and counts steps; *device: the first one. */
static ink_status check(struct ink_trainer *t, const struct ink_train_options *given, struct ink_train_options *options, ink_device **device)
{
    INK_TRY(ink_train_defaults(given, options));
    *device = options->device_count ? options->devices[0] : *device;
    if (!*device)
        return ink_fail(INK_ERROR_ARGUMENT, "there is no device to train on: device is NULL, and the options name none");
    INK_TRY(ink_feed_check(t->model, t->train->shape));
    if (t->test)
        INK_TRY(ink_feed_check(t->model, t->test->shape));
    if ((size_t)options->batch > t->train->count)
        options->batch = (int)t->train->count;
    int processes = options->group ? ink_group_get_info(options->group).size : 1;
    t->part = (options->batch + processes - 1) / processes;
    if (options->micro_batch && options->micro_batch < t->part)
        t->part = options->micro_batch;
    t->parts = t->part < options->batch || options->device_count > 1 || options->group;
    t->steps = (uint64_t)options->epochs * ((t->train->count + (size_t)options->batch - 1) / (size_t)options->batch);
    return ink_train_check_warmup(options, t->steps);
}

/* All that comes before the first step. */
static ink_status make_ready(struct ink_trainer *t, const struct ink_train_options *given, struct ink_train_options *options, ink_device *device,
                             struct ink_choices *choices)
{
    ink_status status = check(t, given, options, &device);
    if (!status)
        status = open_checkpoints(t, given, device);
    if (!status && options->initialise)
        status = ink_model_initialise(t->model, options->seed);
    if (!status && options->tune)
        status = ink_tune_open(device, choices);
    t->recall.choices = options->tune ? choices : NULL;
    INK_TRY(agree(t, status));
    if (options->group)
        status = ink_trainer_meet(t, device);
    if (!status)
        status = prepare(t, t->model, device);
    if (!status)
        status = tune(t, t->model, device);
    if (!status && options->tune && !t->resumed.file)
        ink_tune_tell(t->model, device, t->part, choices);
    if (!status)
        status = make_room(t);
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
    close_plan(&t);
    ink_trainer_part(&t);
    ink_snapshot_destroy(&t.good);
    free(t.values);
    ink_recall_clear(&t.recall);
    ink_checkpoint_close(&t.resumed);
    ink_choices_free(&choices);
    if (!status && stopped)
        *stopped = t.stopped;
    if (!status && metrics)
        *metrics = last;
    return status;
}
