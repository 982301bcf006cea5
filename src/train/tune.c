/* Tuning a whole model: all its calls, of training and of inference, dearest first; see tune.h and inkling.h. */
#include "train/tune.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/clock.h"

enum { USUAL_BATCH = 128, LARGEST_BATCH = 1 << 20 };

static const char *const passes[INK_PASSES] = {"forward", "backward_data", "backward_weights"};

/* The calls of a training step and of inference, one behind the other. */
static ink_status all_calls(const ink_model *model, ink_device *device, int batch, struct ink_tuned_call **out, int *count)
{
    struct ink_tuned_call *training = NULL, *inference = NULL;
    int first = 0, second = 0;
    INK_TRY(ink_tune_calls(device, model, batch, true, &training, &first));
    ink_status status = ink_tune_calls(device, model, batch, false, &inference, &second);
    struct ink_tuned_call *all = status ? NULL : malloc((size_t)(first + second + 1) * sizeof *all);
    if (!status && !all)
        status = ink_fail_memory((size_t)(first + second) * sizeof *all);
    for (int i = 0; i < first + second && !status; i++)
        all[i] = i < first ? training[i] : inference[i - first];
    for (int i = 0; i < first + second && !status; i++)
        all[i].call.node = &all[i].node;
    free(training);
    free(inference);
    if (status)
        return status;
    *out = all;
    *count = first + second;
    return INK_OK;
}

ink_status ink_tune_open(ink_device *device, struct ink_choices *choices)
{
    ink_status status = ink_choices_open(device, choices);
    if (status == INK_ERROR_FILE) {
        ink_log(INK_LOG_WARNING, "measured choices are not used: %s", ink_last_error());
        ink_choices_free(choices);
        return INK_OK;
    }
    return status;
}

bool ink_tune_lacks(const ink_model *model, ink_device *device, int batch, const struct ink_choices *choices)
{
    struct ink_tuned_call *calls = NULL;
    int count = 0;
    bool lacks = false;
    if (!*choices->path || all_calls(model, device, batch, &calls, &count))
        return false;
    for (int i = 0; i < count && !lacks; i++)
        lacks = !ink_choices_chosen(choices, calls[i].key);
    free(calls);
    return lacks;
}

struct asker {
    struct ink_tune_limits limits;
    bool (*go_on)(void *user);
    void *user;
};

/* Nothing more is begun once the answer is no. */
static void ask(const struct ink_tuned_call *call, const char *algorithm, int variant, void *user)
{
    struct asker *asker = user;
    (void)call, (void)algorithm, (void)variant;
    if (!asker->go_on(asker->user))
        asker->limits.until = 0;
}

ink_status ink_tune_for_training(const ink_model *model, ink_device *device, int batch, double seconds, struct ink_choices *choices,
                                 bool (*go_on)(void *user), void *user, bool *changed)
{
    struct asker asker = {{.until = seconds > 0 ? ink_clock() + seconds : INFINITY, .progress = ask, .user = &asker}, go_on, user};
    struct ink_tuned_call *calls = NULL;
    int count = 0;
    bool lost = false;
    INK_TRY(all_calls(model, device, batch, &calls, &count));
    ink_status status = INK_OK;
    for (int i = 0; i < count && !status && !lost && ink_clock() < asker.limits.until; i++) {
        bool known = ink_choices_chosen(choices, calls[i].key) != NULL;
        status = ink_tune_call(device, choices, &calls[i], &asker.limits, &lost);
        *changed |= !known && !status && ink_choices_chosen(choices, calls[i].key);
    }
    free(calls);
    if (lost)
        return ink_fail(INK_ERROR_DEVICE, "the device hangs in a kernel that was being measured, which is set aside now; start the program again");
    return status;
}

void ink_tune_tell(const ink_model *model, ink_device *device, int batch, const struct ink_choices *choices)
{
    struct ink_tuned_call *calls = NULL;
    int count = 0;
    if (all_calls(model, device, batch, &calls, &count))
        return;
    for (int i = 0; i < count; i++) {
        const struct ink_trial *chosen = ink_choices_chosen(choices, calls[i].key);
        if (chosen)
            ink_log(INK_LOG_INFO, "%s %s%s: %s, variant %d, by measurement", calls[i].node.layer.name, passes[calls[i].call.pass],
                    calls[i].training ? "" : " in inference", chosen->algorithm, chosen->variant);
    }
    free(calls);
}

static void fill(const struct ink_tuned_call *call, const char *algorithm, int variant, struct ink_tune_trial *trial)
{
    *trial = (struct ink_tune_trial){.training = call->training, .variant = variant};
    snprintf(trial->layer, sizeof trial->layer, "%s", call->node.layer.name);
    snprintf(trial->pass, sizeof trial->pass, "%s", passes[call->call.pass]);
    snprintf(trial->algorithm, sizeof trial->algorithm, "%s", algorithm);
    trial->guess = call->guess.algorithm && strcmp(call->guess.algorithm->name, algorithm) == 0 && call->guess.variant == variant;
}

static void tell(const struct ink_tuned_call *call, const char *algorithm, int variant, void *user)
{
    const struct ink_tune_options *options = user;
    struct ink_tune_trial trial;
    fill(call, algorithm, variant, &trial);
    options->progress(&trial, options->user);
}

static ink_status report(const struct ink_tuned_call *calls, int count, const struct ink_choices *choices, struct ink_tuning *tuning)
{
    size_t rows = 0;
    for (int i = 0; i < count; i++)
        for (int k = 0; k < choices->count; k++)
            rows += strcmp(choices->trials[k].key, calls[i].key) == 0;
    tuning->trials = calloc(rows + 1, sizeof *tuning->trials);
    if (!tuning->trials)
        return ink_fail_memory(rows * sizeof *tuning->trials);
    tuning->calls = (size_t)count;
    for (int i = 0; i < count; i++) {
        tuning->chosen += ink_choices_chosen(choices, calls[i].key) != NULL;
        for (int k = 0; k < choices->count; k++) {
            const struct ink_trial *from = &choices->trials[k];
            if (strcmp(from->key, calls[i].key) != 0)
                continue;
            struct ink_tune_trial *to = &tuning->trials[tuning->count++];
            fill(&calls[i], from->algorithm, from->variant, to);
            to->seconds = from->verdict == INK_RIGHT || from->verdict == INK_CHOSEN ? from->seconds : 0;
            to->chosen = from->verdict == INK_CHOSEN;
            snprintf(to->reason, sizeof to->reason, "%s", from->reason);
        }
    }
    return INK_OK;
}

ink_status ink_model_tune(ink_model *model, ink_device *device, const struct ink_tune_options *given, struct ink_tuning *out)
{
    struct ink_tune_options options = given ? *given : (struct ink_tune_options){0};
    if (options.batch < 0 || options.batch > LARGEST_BATCH)
        return ink_fail(INK_ERROR_ARGUMENT, "batch is %d; it must be 1 to %d, or 0 for %d", options.batch, LARGEST_BATCH, USUAL_BATCH);
    if (!(options.seconds >= 0))
        return ink_fail(INK_ERROR_ARGUMENT, "seconds is %g; it must be 0 or more", options.seconds);
    struct ink_tune_limits limits = {.until = options.seconds > 0 ? ink_clock() + options.seconds : INFINITY,
                                     .progress = options.progress ? tell : NULL, .user = &options};
    struct ink_tuning tuning = {0};
    struct ink_choices choices;
    struct ink_tuned_call *calls = NULL;
    int count = 0;
    ink_status status = ink_choices_open(device, &choices);
    if (!status)
        status = all_calls(model, device, options.batch ? options.batch : USUAL_BATCH, &calls, &count);
    for (int i = 0; i < count && options.full; i++)
        ink_choices_forget(&choices, calls[i].key);
    for (int i = 0; i < count && !status && !tuning.lost && ink_clock() < limits.until; i++)
        status = ink_tune_call(device, &choices, &calls[i], &limits, &tuning.lost);
    if (!status)
        status = report(calls, count, &choices, &tuning);
    free(calls);
    ink_choices_free(&choices);
    if (status)
        ink_tuning_free(&tuning);
    else
        *out = tuning;
    return status;
}

void ink_tuning_free(struct ink_tuning *tuning)
{
    free(tuning->trials);
    *tuning = (struct ink_tuning){0};
}
