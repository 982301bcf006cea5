/* Choosing by measurement; see tune.h.
 *
 * The candidates of a call are built and checked one after the other, then timed in turns, so that a machine that slows down
 * slows them alike. Before a candidate is tried it is noted as being tried: one that ends the process, as drivers do that
 * fail an assertion, is found so by the next, is given one more try, as it may have been the user who ended it, and is then
 * set aside. */
#include "model/tune.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "device/measure.h"
#include "model/trial.h"
#include "util/clock.h"

enum { MOST_CANDIDATES = 48, ROUNDS = 7, MOST_CHAIN = 64, MOST_ATTEMPTS = 2 };
static const double run_seconds = 30;     /* drivers finish a kernel at its first run, which can take seconds */
static const double chain_seconds = 0.01; /* of runs that are timed together */
static const double hopeless = 4;         /* so many times the fastest first time: not timed again */
static const double clearly = 0.95;       /* of the guess's time, in the median of rounds */

struct collector {
    const struct ink_lowering *how;
    struct ink_tuned_call **calls;
    int count, room;
    ink_status status;
};

static int variants_of(const struct ink_algorithm *a, const struct ink_call *call)
{
    bool applies = (!call->node->pool.height || a->pools) && (!a->applies || a->applies(call));
    return !applies ? 0 : a->variants ? a->variants(call) : 1;
}

/* An ink_choose_function that notes the calls it is asked about and knows nothing. A call without its output is but a question. */
static bool collect(const struct ink_call *call, void *user, struct ink_choice *choice)
{
    struct collector *c = user;
    (void)choice;
    ink_value output = call->pass == INK_FORWARD ? call->y : call->pass == INK_BACKWARD_DATA ? call->dx : call->dy;
    int candidates = 0;
    for (const struct ink_algorithm *a = call->node->op->passes[call->pass]; a && a->name; a++)
        candidates += variants_of(a, call);
    if (c->status || output == INK_NO_VALUE || candidates < 2 || !ink_check_covers(call))
        return false;
    if (c->count == c->room) {
        int room = c->room ? 2 * c->room : 16;
        struct ink_tuned_call *more = realloc(*c->calls, (size_t)room * sizeof *more);
        if (!more) {
            c->status = ink_fail_memory((size_t)room * sizeof *more);
            return false;
        }
        *c->calls = more;
        c->room = room;
    }
    struct ink_lowering guessing = *c->how;
    guessing.choose = NULL;
    struct ink_tuned_call *noted = &(*c->calls)[c->count];
    *noted = (struct ink_tuned_call){.call = *call, .node = *call->node, .guess = ink_lower_choice(&guessing, call), .training = call->training};
    c->status = ink_choice_key(call, noted->key);
    c->count += !c->status;
    return false;
}

static double work_of(const struct ink_tuned_call *call) { return call->node.op->flops ? call->node.op->flops(&call->node) : 0; }

static int dearer(const void *a, const void *b)
{
    double left = work_of(a), right = work_of(b);
    return left < right ? 1 : left > right ? -1 : 0;
}

ink_status ink_tune_calls(struct ink_device *device, const struct ink_model *model, int batch, bool training, struct ink_tuned_call **out, int *count)
{
    struct ink_train_options train = {.learning_rate = 0.001, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-7}; /* their values reach no call */
    struct ink_tuned_call *calls = NULL;
    struct ink_launches list = {0};
    struct ink_lowered lowered;
    size_t *offsets = calloc((size_t)model->count + 1, sizeof *offsets); /* nothing is placed */
    if (!offsets)
        return ink_fail_memory((size_t)model->count * sizeof *offsets);
    struct ink_lowering how = {.device = device, .style = device->style, .vector_width = device->vector_width, .batch = batch,
                               .classes = ink_model_output(model).channels, .training = training, .options = &train,
                               .parameter_offsets = offsets, .state_offsets = offsets, .parameter_floats = 16};
    struct collector collector = {.how = &how, .calls = &calls};
    how.choose = collect;
    how.choose_user = &collector;
    ink_status status = ink_lower(model, &how, &list, &lowered);
    ink_launches_free(&list);
    free(offsets);
    if (!status)
        status = collector.status;
    if (status) {
        free(calls);
        return status;
    }
    if (calls)
        qsort(calls, (size_t)collector.count, sizeof *calls, dearer);
    for (int i = 0; i < collector.count; i++)
        calls[i].call.node = &calls[i].node;
    *out = calls;
    *count = collector.count;
    return INK_OK;
}

/* A candidate while its call is tuned. */
struct runner {
    struct ink_candidate candidate;
    struct ink_trial trial;
    double times[ROUNDS];
    bool right, timed;           /* built and checked; in the contest */
    int chain;
};

struct tuning {
    struct ink_device *device;
    struct ink_choices *choices;
    const struct ink_tuned_call *call;
    const struct ink_tune_limits *limits;
    struct ink_trial_data data;
    struct runner runners[MOST_CANDIDATES];
    int count;
    bool lost;
};

static ink_status note(struct tuning *t, struct runner *r, enum ink_verdict verdict, const char *reason)
{
    r->trial.verdict = verdict;
    r->trial.when = (long long)time(NULL);
    snprintf(r->trial.reason, sizeof r->trial.reason, "%s", reason);
    if (verdict >= INK_WRONG)
        ink_log(INK_LOG_INFO, "%s: %s, variant %d, is set aside: %s", t->call->key, r->trial.algorithm, r->trial.variant, reason);
    return ink_choices_note(t->choices, &r->trial);
}

/* True for an algorithm made for devices of another style, which takes many times as long as one of the device's own. */
static bool is_foreign(const struct tuning *t, const struct ink_algorithm *a) { return a->style != INK_STYLE_AUTO && a->style != t->device->style; }

/* Lists the candidates that are not set aside; foreign ones only where there are no others. */
static ink_status list_candidates(struct tuning *t)
{
    const struct ink_call *call = &t->call->call;
    bool own = false;
    for (const struct ink_algorithm *a = call->node->op->passes[call->pass]; a && a->name; a++)
        own |= !is_foreign(t, a) && !a->on_request && variants_of(a, call) > 0;
    for (const struct ink_algorithm *a = call->node->op->passes[call->pass]; a && a->name; a++)
        for (int v = 0, variants = own && is_foreign(t, a) ? 0 : variants_of(a, call); v < variants && t->count < MOST_CANDIDATES; v++) {
            struct runner *r = &t->runners[t->count];
            const struct ink_trial *known = ink_choices_find(t->choices, t->call->key, a->name, v);
            *r = (struct runner){.candidate = {.algorithm = a, .variant = v}, .trial = {.variant = v}};
            snprintf(r->trial.key, sizeof r->trial.key, "%s", t->call->key);
            snprintf(r->trial.algorithm, sizeof r->trial.algorithm, "%s", a->name);
            if (known) {
                r->trial.attempts = known->verdict == INK_TRYING ? known->attempts : 0;
                if (known->verdict >= INK_WRONG)
                    continue;
                if (r->trial.attempts >= MOST_ATTEMPTS) {
                    INK_TRY(note(t, r, INK_FAILED, "it ended the process that tried it"));
                    continue;
                }
            }
            t->count++;
        }
    return INK_OK;
}

static double limit_of(const struct tuning *t) { return t->limits->run_seconds > 0 ? t->limits->run_seconds : run_seconds; }

/* Builds, runs and checks a candidate; what is its own fault is noted, not returned. */
static ink_status try_candidate(struct tuning *t, struct runner *r)
{
    double seconds, limit = limit_of(t);
    bool hung = false;
    enum ink_verdict fault = INK_FAILED;
    if (t->limits->progress)
        t->limits->progress(t->call, r->trial.algorithm, r->trial.variant, t->limits->user);
    r->trial.attempts++;
    INK_TRY(note(t, r, INK_TRYING, ""));
    ink_status status = ink_candidate_create(t->device, &t->data, &r->candidate);
    if (!status)
        status = ink_candidate_run(&r->candidate, 1, limit, &hung, &seconds);
    if (!status) {
        fault = INK_WRONG;
        status = ink_candidate_check(&r->candidate, &t->data);
    }
    if (!status)
        status = ink_candidate_run(&r->candidate, 1, limit, &hung, &seconds);
    r->trial.attempts = 0;
    if (hung) {
        char reason[80];
        t->lost = true;
        snprintf(reason, sizeof reason, "it did not return within %g s", limit);
        return note(t, r, INK_HUNG, reason);
    }
    if (status) {
        ink_candidate_free(&r->candidate);
        return note(t, r, fault, ink_last_error());
    }
    r->right = true;
    r->trial.seconds = seconds;
    r->chain = seconds * MOST_CHAIN < chain_seconds ? MOST_CHAIN : seconds > chain_seconds ? 1 : (int)(chain_seconds / seconds);
    return note(t, r, INK_RIGHT, "");
}

static double median_of(const double times[ROUNDS])
{
    double sorted[ROUNDS];
    memcpy(sorted, times, sizeof sorted);
    return ink_spread_of(sorted, ROUNDS).median;
}

/* Of those timed, the fastest. The guess is given up only for one that is clearly faster, in nearly every round: of many that are about as fast
 * the luckiest would win, and what is a little faster alone need not be so within a step, whose caches it shares. */
static struct runner *winner(struct tuning *t)
{
    const struct ink_choice *guessed = &t->call->guess;
    struct runner *guess = NULL, *best = NULL;
    for (int i = 0; i < t->count; i++) {
        struct runner *r = &t->runners[i];
        if (r->timed && r->candidate.algorithm == guessed->algorithm && r->candidate.variant == guessed->variant)
            guess = r;
    }
    double least = guess ? clearly : INFINITY;
    for (int i = 0; i < t->count; i++) {
        struct runner *r = &t->runners[i];
        double shares[ROUNDS];
        int faster = 0;
        for (int round = 0; round < ROUNDS; round++) {
            shares[round] = guess ? r->times[round] / guess->times[round] : r->times[round];
            faster += shares[round] < 1;
        }
        if (r->timed && (!guess || faster >= ROUNDS - 1) && median_of(shares) < least) {
            best = r;
            least = median_of(shares);
        }
    }
    return best ? best : guess;
}

/* Times the right ones in turns and chooses. */
static ink_status contest(struct tuning *t)
{
    struct runner *best = NULL;
    for (int i = 0; i < t->count; i++)
        if (t->runners[i].right && (!best || t->runners[i].trial.seconds < best->trial.seconds))
            best = &t->runners[i];
    if (!best)
        return INK_OK;
    for (int i = 0; i < t->count; i++)
        t->runners[i].timed = t->runners[i].right && t->runners[i].trial.seconds <= hopeless * best->trial.seconds;
    for (int round = -1; round < ROUNDS; round++) /* the first is for warming up */
        for (int i = 0; i < t->count; i++) {
            struct runner *r = &t->runners[i];
            double seconds = 0;
            bool hung = false;
            if (!r->timed)
                continue;
            ink_status status = ink_candidate_run(&r->candidate, r->chain, limit_of(t), &hung, &seconds);
            if (hung) {
                t->lost = true;
                return note(t, r, INK_HUNG, "it did not return when it was timed");
            }
            INK_TRY(status);
            if (round >= 0)
                r->times[round] = seconds;
        }
    for (int i = 0; i < t->count; i++) {
        struct runner *r = &t->runners[i];
        if (!r->timed)
            continue;
        r->trial.seconds = median_of(r->times);
        INK_TRY(note(t, r, INK_RIGHT, ""));
    }
    return note(t, winner(t), INK_CHOSEN, "");
}

ink_status ink_tune_call(struct ink_device *device, struct ink_choices *choices, const struct ink_tuned_call *call,
                         const struct ink_tune_limits *limits, bool *lost)
{
    *lost = false;
    if (ink_choices_chosen(choices, call->key))
        return INK_OK;
    struct tuning *t = calloc(1, sizeof *t);
    if (!t)
        return ink_fail_memory(sizeof *t);
    t->device = device;
    t->choices = choices;
    t->call = call;
    t->limits = limits;
    ink_status status = list_candidates(t);
    if (!status && ink_clock() < limits->until)
        status = ink_trial_data_create(&call->call, &t->data);
    bool whole = !status;
    for (int i = 0; i < t->count && !status && !t->lost && whole; i++) {
        whole = ink_clock() < limits->until;
        if (whole)
            status = try_candidate(t, &t->runners[i]);
    }
    if (!status && !t->lost && whole)
        status = contest(t);
    *lost = t->lost;
    for (int i = 0; i < t->count; i++)
        ink_candidate_free(&t->runners[i].candidate);
    ink_trial_data_free(&t->data);
    free(t);
    return status;
}
