/* The training loop. The host only enqueues: it reads losses back when it has something to show, and keeps a few
 * steps in flight so that the device never waits and a stop takes effect soon. */
#include <math.h>
#include <stdlib.h>

#include "data/dataset.h"
#include "train/feed.h"
#include "train/train.h"
#include "train/tune.h"
#include "util/clock.h"

enum { MOST_IN_FLIGHT = 64, TIMED_STEPS = 4 };
static const double tuning_share = 0.05, least_tuning = 1; /* of the time training takes; seconds */
static const double window_seconds = 0.05; /* of work in flight */
static const double show_seconds = 0.2;    /* between calls of the callback */

struct trainer {
    const struct ink_train_options *options;
    const ink_dataset *train, *test;
    struct ink_plan *plan;
    struct ink_choices *choices;        /* NULL: guesses are taken */
    struct ink_feed feed, test_feed;
    struct ink_sums sums;
    uint64_t step;                      /* steps done since training began */
    cl_event in_flight[MOST_IN_FLIGHT]; /* of steps i, i + 1, ... at i % MOST_IN_FLIGHT */
    size_t enqueued, finished, window;  /* steps of this epoch */
    double began, shown;
    bool stopped;
    struct ink_progress progress;
};

ink_status ink_train_defaults(const struct ink_train_options *given, struct ink_train_options *options)
{
    *options = given ? *given : (struct ink_train_options){0};
    bool sgd = options->optimizer == INK_SGD;
    if (!options->epochs)
        options->epochs = 5;
    if (!options->batch)
        options->batch = 128;
    if (options->learning_rate == 0)
        options->learning_rate = sgd ? 0.01 : 0.001;
    if (options->beta1 == 0)
        options->beta1 = 0.9;
    if (options->beta2 == 0)
        options->beta2 = 0.999;
    if (options->epsilon == 0)
        options->epsilon = 1e-7;
    const struct { const char *name; double value, low, high; bool open; } ranges[] = {
        {"epochs", options->epochs, 1, 1000000, false},
        {"batch", options->batch, 1, 1 << 20, false},
        {"optimizer", options->optimizer, INK_ADAM, INK_SGD, false},
        {"tune", options->tune, INK_TUNE_NONE, INK_TUNE_FULL, false},
        {"learning_rate", options->learning_rate, 0, 1e3, false},
        {"momentum", options->momentum, 0, 1, true},
        {"beta1", options->beta1, 0, 1, true},
        {"beta2", options->beta2, 0, 1, true},
        {"epsilon", options->epsilon, 0, 1, false},
        {"weight_decay", options->weight_decay, 0, 1e3, false},
        {"label_smoothing", options->label_smoothing, 0, 1, true},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (!(ranges[i].value >= ranges[i].low && (ranges[i].open ? ranges[i].value < ranges[i].high : ranges[i].value <= ranges[i].high)))
            return ink_fail(INK_ERROR_ARGUMENT, "%s is %g; it must be at least %g and %s %g", ranges[i].name, ranges[i].value, ranges[i].low,
                            ranges[i].open ? "below" : "at most", ranges[i].high);
    if (options->nesterov && options->momentum == 0)
        return ink_fail(INK_ERROR_ARGUMENT, "nesterov needs a momentum above 0");
    return INK_OK;
}

/* Waits until at most so many steps are in flight; gives the first failure. */
static ink_status settle(struct trainer *t, size_t most)
{
    ink_status status = INK_OK;
    while (t->enqueued - t->finished > most) {
        cl_event *event = &t->in_flight[t->finished % MOST_IN_FLIGHT];
        cl_int code = clWaitForEvents(1, event);
        clReleaseEvent(*event);
        t->finished++;
        if (!status)
            status = ink_cl_check(t->feed.device, code, "clWaitForEvents", "training step");
    }
    return status;
}

static ink_status enqueue_step(struct trainer *t, size_t start, int n)
{
    const struct ink_train_options *o = t->options;
    t->step++;
    ink_plan_set_int(t->plan, INK_STEP, (cl_int)(uint32_t)t->step);
    ink_plan_set_float(t->plan, INK_LEARNING_RATE, (float)o->learning_rate);
    ink_plan_set_float(t->plan, INK_CORRECTION1, (float)(1 / (1 - pow(o->beta1, (double)t->step))));
    ink_plan_set_float(t->plan, INK_CORRECTION2, (float)(1 / (1 - pow(o->beta2, (double)t->step))));
    INK_TRY(ink_plan_run(t->plan, INK_SECTION_TRAIN, (int)start, n, &t->in_flight[t->enqueued % MOST_IN_FLIGHT]));
    if (t->enqueued++ == 0)
        clFlush(t->feed.device->queue);
    return INK_OK;
}

/* Reads the losses of the steps that are done, and asks the callback whether to go on. */
static ink_status show(struct trainer *t)
{
    size_t end = t->finished * (size_t)t->options->batch;
    if (end > t->feed.count)
        end = t->feed.count;
    INK_TRY(ink_feed_read(&t->feed, t->sums.count, end));
    ink_sums_add(&t->sums, &t->feed, t->train, t->sums.count, end);
    struct ink_metrics metrics = ink_sums_metrics(&t->sums);
    t->progress.step = t->finished;
    t->progress.seen = end;
    t->progress.loss = metrics.loss;
    t->progress.accuracy = metrics.accuracy;
    t->shown = ink_clock();
    if (!t->progress.epoch_end)
        t->progress.seconds = t->shown - t->began;
    if (t->options->progress && !t->options->progress(&t->progress, t->options->user))
        t->stopped = true;
    return INK_OK;
}

/* Steps over the whole feed, or until stopped; all are done on return. */
static ink_status run_steps(struct trainer *t)
{
    size_t batch = (size_t)t->options->batch;
    for (size_t start = 0; start < t->feed.count && !t->stopped; start += batch) {
        size_t left = t->feed.count - start;
        size_t done_before = t->finished;
        INK_TRY(enqueue_step(t, start, left < batch ? (int)left : (int)batch));
        INK_TRY(settle(t, t->window));
        if (t->finished > done_before && t->finished > 1) {
            double seconds = (ink_clock() - t->began) / (double)t->finished;
            size_t window = seconds > 0 ? (size_t)(window_seconds / seconds) : MOST_IN_FLIGHT;
            t->window = window < 2 ? 2 : window > MOST_IN_FLIGHT - 1 ? MOST_IN_FLIGHT - 1 : window;
        }
        if (t->finished && ink_clock() - t->shown >= show_seconds)
            INK_TRY(show(t));
    }
    return settle(t, 0);
}

static ink_status run_epoch(struct trainer *t, ink_model *model, int epoch, struct ink_metrics *metrics)
{
    INK_TRY(ink_feed_order(&t->feed, true, t->options->seed, epoch));
    t->enqueued = t->finished = 0;
    t->window = 1;
    t->sums = (struct ink_sums){0};
    t->began = t->shown = ink_clock();
    t->progress = (struct ink_progress){.epoch = epoch, .epochs = t->options->epochs, .samples = t->feed.count,
                                        .steps = (t->feed.count + (size_t)t->options->batch - 1) / (size_t)t->options->batch,
                                        .has_test = t->test != NULL};
    ink_status status = run_steps(t);
    if (status) {
        settle(t, 0);
        return status;
    }
    if (t->stopped)
        return INK_OK;
    t->progress.seconds = ink_clock() - t->began;
    if (t->test) {
        INK_TRY(ink_feed_evaluate(&t->test_feed, t->plan, t->test, t->options->batch, metrics));
        t->progress.test_loss = metrics->loss;
        t->progress.test_accuracy = metrics->accuracy;
    }
    INK_TRY(ink_plan_download(t->plan, model));
    t->progress.epoch_end = true;
    return show(t);
}

static ink_status prepare(struct trainer *t, ink_model *model, ink_device *device)
{
    struct ink_plan_options how = {.batch = t->options->batch, .classes = t->train->classes, .training = true,
                                   .algorithms = t->options->algorithms, .train = t->options,
                                   .choose = t->choices ? ink_choices_choose : NULL, .choose_user = t->choices};
    if (t->test && t->test->classes > how.classes)
        how.classes = t->test->classes;
    INK_TRY(ink_plan_create(device, model, &how, &t->plan));
    ink_plan_set_int(t->plan, INK_SEED_LOW, (cl_int)(uint32_t)t->options->seed);
    ink_plan_set_int(t->plan, INK_SEED_HIGH, (cl_int)(uint32_t)(t->options->seed >> 32));
    INK_TRY(ink_feed_load(device, t->train, 0, &t->feed));
    INK_TRY(ink_feed_bind(&t->feed, t->plan, INK_SECTION_TRAIN));
    if (!t->test)
        return INK_OK;
    INK_TRY(ink_feed_load(device, t->test, 0, &t->test_feed));
    return ink_feed_bind(&t->test_feed, t->plan, INK_SECTION_EVALUATE);
}

static void close_plan(struct trainer *t)
{
    ink_plan_destroy(&t->plan);
    ink_feed_destroy(&t->feed);
    ink_feed_destroy(&t->test_feed);
}

/* Seconds that training is expected to take: some steps are timed, and undone. */
static ink_status expect(struct trainer *t, const ink_model *model, double *seconds)
{
    size_t batch = (size_t)t->options->batch, steps = (t->feed.count + batch - 1) / batch;
    double began = 0;
    INK_TRY(ink_feed_order(&t->feed, true, t->options->seed, 1));
    for (int i = 0; i < 1 + TIMED_STEPS; i++) {
        if (i == 1) { /* the driver finishes kernels at their first run */
            INK_TRY(settle(t, 0));
            began = ink_clock();
        }
        INK_TRY(enqueue_step(t, 0, (int)batch));
    }
    INK_TRY(settle(t, 0));
    *seconds = (ink_clock() - began) / TIMED_STEPS * (double)steps * t->options->epochs;
    t->step = 0;
    return ink_plan_rewind(t->plan, model);
}

/* Asks the callback while tuning, where no step is done yet. */
static bool go_on(void *user)
{
    struct trainer *t = user;
    t->progress = (struct ink_progress){.epoch = 1, .epochs = t->options->epochs, .samples = t->feed.count, .has_test = t->test != NULL,
                                        .steps = (t->feed.count + (size_t)t->options->batch - 1) / (size_t)t->options->batch};
    if (t->options->progress && !t->options->progress(&t->progress, t->options->user))
        t->stopped = true;
    return !t->stopped;
}

/* Measures what is not known yet, within its share of the time that training takes, and makes the plan anew if that changed
 * anything. */
static ink_status tune(struct trainer *t, ink_model *model, ink_device *device)
{
    double seconds = 0;
    bool changed = false;
    if (t->options->tune < INK_TUNE_SHORT || !ink_tune_lacks(model, device, t->options->batch, t->choices))
        return INK_OK;
    if (t->options->tune == INK_TUNE_SHORT) {
        INK_TRY(expect(t, model, &seconds));
        seconds *= tuning_share;
        ink_log(INK_LOG_INFO, "%.2g s may go into tuning%s", seconds, seconds < least_tuning ? ", which is too little" : "");
        if (seconds < least_tuning)
            return INK_OK;
    }
    ink_status status = ink_tune_for_training(model, device, t->options->batch, seconds, t->choices, go_on, t, &changed);
    if (status == INK_ERROR_FILE) /* what cannot be kept is not chosen */
        ink_log(INK_LOG_WARNING, "tuning ended early: %s", ink_last_error());
    else if (status)
        return status;
    if (!changed)
        return INK_OK;
    close_plan(t);
    return prepare(t, model, device);
}

ink_status ink_train(ink_model *model, ink_device *device, const ink_dataset *train, const ink_dataset *test,
                     const struct ink_train_options *given, bool *stopped, struct ink_metrics *metrics)
{
    struct ink_train_options options;
    struct ink_metrics last = {0};
    INK_TRY(ink_train_defaults(given, &options));
    INK_TRY(ink_feed_check(model, train->shape));
    if (test)
        INK_TRY(ink_feed_check(model, test->shape));
    if ((size_t)options.batch > train->count)
        options.batch = (int)train->count;
    if (options.initialise)
        INK_TRY(ink_model_initialise(model, options.seed));
    struct ink_choices choices = {0};
    struct trainer t = {.options = &options, .train = train, .test = test};
    ink_status status = options.tune ? ink_tune_open(device, &choices) : INK_OK;
    t.choices = options.tune ? &choices : NULL;
    if (!status)
        status = prepare(&t, model, device);
    if (!status)
        status = tune(&t, model, device);
    if (!status && t.choices)
        ink_tune_tell(model, device, options.batch, &choices);
    for (int epoch = 1; epoch <= options.epochs && !status && !t.stopped; epoch++)
        status = run_epoch(&t, model, epoch, &last);
    if (!status && t.stopped)
        status = ink_plan_download(t.plan, model);
    close_plan(&t);
    ink_choices_free(&choices);
    if (!status && stopped)
        *stopped = t.stopped;
    if (!status && metrics)
        *metrics = last;
    return status;
}
