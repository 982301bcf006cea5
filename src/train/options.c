/* The options of training: defaults, and what is out of its range or goes with nothing else that is asked for; see train.h. */
#include "train/class_weights.h"
#include "train/train.h"

#include <stddef.h>

#include "ops/op.h"
#include "train/shares.h"

static void fill_in(struct ink_train_options *o)
{
    if (!o->epochs)
        o->epochs = 5;
    if (!o->batch)
        o->batch = 128;
    if (o->learning_rate == 0)
        o->learning_rate = o->optimizer == INK_SGD ? 0.01 : 0.001;
    if (o->beta1 == 0)
        o->beta1 = 0.9;
    if (o->beta2 == 0)
        o->beta2 = 0.999;
    if (o->epsilon == 0)
        o->epsilon = 1e-7;
    if (!o->batch_to)
        o->batch_to = o->batch;
    if (!o->batch_every)
        o->batch_every = 1;
    if (!o->keep)
        o->keep = 3;
    if (!o->checkpoint_steps && o->checkpoint_minutes == 0 && !o->checkpoint_epochs)
        o->checkpoint_epochs = 1;
}

static void fill_in_schedule(struct ink_train_options *o)
{
    if (!o->step_size)
        o->step_size = (o->epochs + 2) / 3;
    if (!o->plateau_epochs)
        o->plateau_epochs = 2;
    if (o->gamma == 0)
        o->gamma = 0.1;
    if (o->pct_start == 0)
        o->pct_start = 0.3;
    if (o->div_factor == 0)
        o->div_factor = 25;
    if (o->final_div_factor == 0)
        o->final_div_factor = 1e4;
}

static ink_status check_ranges(const struct ink_train_options *o)
{
    const struct { const char *name; double value, low, high; bool open; } ranges[] = {
        {"epochs", o->epochs, 1, 1000000, false},
        {"batch", o->batch, 1, 1 << 20, false},
        {"micro_batch", o->micro_batch, 0, o->batch, false},
        {"optimizer", o->optimizer, INK_ADAM, INK_SGD, false},
        {"tune", o->tune, INK_TUNE_NONE, INK_TUNE_FULL, false},
        {"learning_rate", o->learning_rate, 0, 1e3, false},
        {"momentum", o->momentum, 0, 1, true},
        {"beta1", o->beta1, 0, 1, true},
        {"beta2", o->beta2, 0, 1, true},
        {"epsilon", o->epsilon, 0, 1, false},
        {"weight_decay", o->weight_decay, 0, 1e3, false},
        {"label_smoothing", o->label_smoothing, 0, 1, true},
        {"schedule", o->schedule, INK_SCHEDULE_CONSTANT, INK_SCHEDULE_PLATEAU, false},
        {"warmup", o->warmup, 0, 1000000000, false},
        {"step_size", o->step_size, 1, 1000000, false},
        {"plateau_epochs", o->plateau_epochs, 1, 1000000, false},
        {"gamma", o->gamma, 0, 1, true},
        {"min_learning_rate", o->min_learning_rate, 0, o->learning_rate, false},
        {"pct_start", o->pct_start, 0, 1, true},
        {"div_factor", o->div_factor, 1, 1e12, false},
        {"final_div_factor", o->final_div_factor, 1, 1e12, false},
        {"anneal", o->anneal, INK_ANNEAL_COSINE, INK_ANNEAL_LINEAR, false},
        {"clip_norm", o->clip_norm, 0, 1e30, false},
        {"ema", o->ema, 0, 1, true},
        {"monitor", o->monitor, INK_MONITOR_LOSS, INK_MONITOR_ACCURACY, false},
        {"patience", o->patience, 0, 1000000, false},
        {"checkpoint_steps", o->checkpoint_steps, 0, 1000000000, false},
        {"checkpoint_epochs", o->checkpoint_epochs, 0, 1000000, false},
        {"checkpoint_minutes", o->checkpoint_minutes, 0, 1e6, false},
        {"keep", o->keep, 1, 1000000, false},
        {"validation", o->validation, 0, 1, true},
        {"sampling", o->sampling, INK_SAMPLING_SHUFFLED, INK_SAMPLING_STRATIFIED, false},
        {"batch_to", o->batch_to, o->batch, 1 << 20, false},
        {"batch_every", o->batch_every, 1, 1000000, false},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (!(ranges[i].value >= ranges[i].low && (ranges[i].open ? ranges[i].value < ranges[i].high : ranges[i].value <= ranges[i].high)))
            return ink_fail(INK_ERROR_ARGUMENT, "%s is %g; it must be at least %g and %s %g", ranges[i].name, ranges[i].value, ranges[i].low,
                            ranges[i].open ? "below" : "at most", ranges[i].high);
    return INK_OK;
}

/* An option of another schedule than the one asked for would do nothing, which is hardly meant. given: without defaults. */
static ink_status check_schedule(const struct ink_train_options *given)
{
    enum { STEP = 1 << INK_SCHEDULE_STEP, COSINE = 1 << INK_SCHEDULE_COSINE, CYCLE = 1 << INK_SCHEDULE_ONE_CYCLE, PLATEAU = 1 << INK_SCHEDULE_PLATEAU };
    const struct { const char *name; bool set; int of; const char *schedules; } uses[] = {
        {"step_size", given->step_size, STEP, "step"},
        {"plateau_epochs", given->plateau_epochs, PLATEAU, "plateau"},
        {"gamma", given->gamma != 0, STEP | PLATEAU, "step and plateau"},
        {"min_learning_rate", given->min_learning_rate != 0, COSINE | PLATEAU, "cosine and plateau"},
        {"pct_start", given->pct_start != 0, CYCLE, "one-cycle"},
        {"div_factor", given->div_factor != 0, CYCLE, "one-cycle"},
        {"final_div_factor", given->final_div_factor != 0, CYCLE, "one-cycle"},
        {"anneal", given->anneal, CYCLE, "one-cycle"},
    };
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++)
        if (uses[i].set && !(uses[i].of & 1 << given->schedule))
            return ink_fail(INK_ERROR_ARGUMENT, "%s is of the schedules %s; choose one of them, or leave it out", uses[i].name, uses[i].schedules);
    return INK_OK;
}

static ink_status check_devices(const struct ink_train_options *o)
{
    if (o->device_count > INK_MOST_DEVICES || (o->device_count && !o->devices))
        return ink_fail(INK_ERROR_ARGUMENT, "device_count is %zu, and devices %s; at most %d can be trained on", o->device_count,
                        o->devices ? "is given" : "is NULL", INK_MOST_DEVICES);
    if (o->group && o->device_count > 1)
        return ink_fail(INK_ERROR_ARGUMENT, "device_count is %zu; each of a group of processes trains on one device", o->device_count);
    for (size_t i = 0; i < o->device_count && o->shares; i++)
        if (!(o->shares[i] > 0 && o->shares[i] < 1e9))
            return ink_fail(INK_ERROR_ARGUMENT, "the share of device %zu is %g; it must be above 0 and below 1e9", i + 1, o->shares[i]);
    return INK_OK;
}

ink_status ink_train_defaults(const struct ink_train_options *given, struct ink_train_options *options)
{
    static const struct ink_train_options none;
    given = given ? given : &none;
    *options = *given;
    fill_in(options);
    fill_in_schedule(options);
    INK_TRY(check_ranges(options));
    INK_TRY(ink_augmentation_check(&options->augmentation));
    if (options->nesterov && options->momentum == 0)
        return ink_fail(INK_ERROR_ARGUMENT, "nesterov needs a momentum above 0");
    if (options->reproducible && options->algorithms)
        return ink_fail(INK_ERROR_ARGUMENT, "reproducible training chooses its algorithms itself; leave out either");
    if (options->reproducible)
        options->tune = INK_TUNE_NONE;
    if (given->batch_every && !given->batch_to)
        return ink_fail(INK_ERROR_ARGUMENT, "batch_every is %d and batch_to is not set; set it to what the batch is to grow to", given->batch_every);
    if (given->class_weights)
        INK_TRY(ink_class_weights_check(given->class_weights));
    if (options->reproducible && (options->device_count > 1 || options->group))
        return ink_fail(INK_ERROR_ARGUMENT, "reproducible training is on one device, as shares of a batch would change its sums; leave out the others");
    INK_TRY(check_schedule(given));
    return check_devices(options);
}

ink_status ink_train_check_warmup(const struct ink_train_options *options, uint64_t steps)
{
    if (options->warmup && (uint64_t)options->warmup >= steps)
        return ink_fail(INK_ERROR_ARGUMENT, "warmup is %d, and the run has %llu steps; warm up in fewer steps, or train more epochs",
                        options->warmup, (unsigned long long)steps);
    return INK_OK;
}
