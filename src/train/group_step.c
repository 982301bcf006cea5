/* A process of a group as the trainer has it: its part of each step, with sums on their way while the device computes, and of each
 * evaluation; see group.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/dataset.h"
#include "train/trainer.h"
#include "util/clock.h"
#include "util/hash.h"

enum { BUCKET_BYTES = 64 << 10 }; /* below that, sums take as long as a message takes to arrive */

/* What processes tell each other in a step. */
enum { TOLD_LOSS, TOLD_MORE, TOLD_CORRECT, TOLD_FAILED, TOLD_STOP, TOLD_DUE, TOLD };

_Static_assert(INK_MOST_BUCKETS + 2 <= INK_MOST_SUMS, "buckets, statistics and what is told are summed at a time");

/* The part of n samples that this process does. */
static struct ink_batch own_part(const ink_group *group, size_t n)
{
    struct ink_group_info info = ink_group_get_info(group);
    return ink_batch_part((struct ink_batch){0, n}, (size_t)info.rank, (size_t)info.size);
}

static uint64_t number_of(struct ink_hash hash)
{
    uint64_t number;
    memcpy(&number, hash.bytes, sizeof number);
    return number;
}

ink_status ink_trainer_meet(struct ink_trainer *t, const ink_device *device)
{
    const struct ink_train_options *o = t->options;
    ink_group *group = o->group;
    struct ink_hash parts[2] = {ink_hash_bytes(t->model->trained, t->model->trained_count * sizeof(float)),
                                ink_hash_bytes(t->train->labels, t->train->count)};
    uint64_t run[] = {number_of(parts[0]), number_of(parts[1]), t->train->count, t->test ? t->test->count : 0, (uint64_t)o->epochs, (uint64_t)o->batch,
                      o->seed, t->resumed.snapshot.step};
    uint64_t kind[2] = {number_of(ink_hash_bytes(device->info.name, strlen(device->info.name))),
                        number_of(ink_hash_bytes(device->info.driver, strlen(device->info.driver)))};
    t->peers.align = ink_group_most(group, device->align);
    t->peers.differ = !ink_group_same(group, number_of(ink_hash_bytes(kind, sizeof kind)) + (uint64_t)device->vector_width + (uint64_t)device->style);
    if (!ink_group_same(group, number_of(ink_hash_bytes(run, sizeof run))))
        return ink_fail(INK_ERROR_ARGUMENT, "the processes do not have the same model, data or options; start them all in the same way");
    return INK_OK;
}

ink_status ink_trainer_join(struct ink_trainer *t)
{
    struct ink_peers *p = &t->peers;
    size_t floats = ink_plan_gradient_floats(t->plan), count = t->model->trained_count, state = t->model->state_count;
    p->bucket_count = ink_plan_buckets(t->plan, BUCKET_BYTES, p->buckets);
    p->gradients = calloc(floats + 1, sizeof(float));
    p->state = calloc(state + 1, sizeof(float));
    p->weights = p->differ ? calloc(count + 1, sizeof(float)) : NULL;
    if (!p->gradients || !p->state || (p->differ && !p->weights))
        return ink_fail_memory((floats + state + count) * sizeof(float));
    return INK_OK;
}

void ink_trainer_part(struct ink_trainer *t)
{
    free(t->peers.gradients);
    free(t->peers.state);
    free(t->peers.weights);
    t->peers = (struct ink_peers){0};
}

/* Waits for an event with sums going on meanwhile. */
static ink_status wait_for(struct ink_trainer *t, cl_event event)
{
    cl_int state = CL_QUEUED;
    for (;;) {
        INK_TRY(ink_cl_check(t->feed.device, clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, NULL), "clGetEventInfo",
                             "gradients"));
        if (state <= CL_COMPLETE)
            return state < 0 ? ink_cl_check(t->feed.device, state, "clEnqueueReadBuffer", "gradients") : INK_OK;
        ink_group_poll(t->options->group);
        ink_group_nap();
    }
}

/* The gradients of a part, each bucket's sum begun when it is there: also after a failure, as the others count on it. */
static ink_status compute(struct ink_trainer *t, const struct ink_part *part)
{
    struct ink_peers *p = &t->peers;
    cl_event events[INK_MOST_BUCKETS] = {NULL};
    ink_status status = INK_OK;
    if (part->n)
        status = ink_plan_run_buckets(t->plan, part, p->buckets, p->bucket_count, p->gradients, events);
    for (int b = 0; b < p->bucket_count; b++) {
        if (part->n && !status)
            status = wait_for(t, events[b]);
        if (!part->n || status)
            memset(p->gradients + p->buckets[b].first, 0, p->buckets[b].count * sizeof(float));
        ink_group_sum_begin(t->options->group, p->gradients + p->buckets[b].first, p->buckets[b].count);
    }
    for (int b = 0; b < p->bucket_count; b++)
        if (events[b])
            clReleaseEvent(events[b]);
    return status;
}

/* Loss and statistics of the part. */
static ink_status look_at(struct ink_trainer *t, const struct ink_part *part, struct ink_sums *sums)
{
    struct ink_peers *p = &t->peers;
    size_t first = (size_t)part->start, end = first + (size_t)part->n;
    memset(p->state, 0, t->model->state_count * sizeof(float));
    if (!part->n)
        return INK_OK;
    INK_TRY(ink_feed_read(&t->feed, first, end));
    ink_sums_add(sums, &t->feed, t->train, t->class_weights, first, end);
    if (t->model->state_count)
        INK_TRY(ink_plan_get(t->plan, INK_STATE, p->state));
    for (size_t k = 0; k < t->model->state_count; k++)
        p->state[k] *= (float)part->n / (float)part->whole;
    return INK_OK;
}

/* Changes the weights by the sums; those of the first process are taken over where devices differ. */
static ink_status change(struct ink_trainer *t)
{
    struct ink_peers *p = &t->peers;
    size_t count = t->model->trained_count;
    INK_TRY(ink_plan_write_gradients(t->plan, p->gradients));
    INK_TRY(ink_plan_run(t->plan, INK_SECTION_UPDATE, 0, 1, NULL));
    if (t->model->state_count)
        INK_TRY(ink_plan_put(t->plan, INK_STATE, p->state));
    for (int s = INK_PARAMETERS; s <= INK_AVERAGE && p->differ; s += INK_AVERAGE - INK_PARAMETERS) {
        if (s == INK_AVERAGE && t->options->ema <= 0)
            continue;
        INK_TRY(ink_plan_get(t->plan, (enum ink_storage)s, p->weights));
        ink_group_spread(t->options->group, p->weights, count * sizeof(float));
        INK_TRY(ink_plan_put(t->plan, (enum ink_storage)s, p->weights));
    }
    return ink_cl_check(t->feed.device, clFlush(t->feed.device->queue), "clFlush", "change of weights");
}

ink_status ink_trainer_group_step(struct ink_trainer *t, int start, int n)
{
    ink_group *group = t->options->group;
    struct ink_group_info info = ink_group_get_info(group);
    struct ink_batch own = own_part(group, (size_t)n);
    struct ink_part part = {start + (int)own.start, (int)own.count, (int)own.start, n};
    struct ink_sums sums = {0};
    double minutes = t->options->checkpoints ? t->options->checkpoint_minutes : 0;
    ink_status status = compute(t, &part);
    if (!status)
        status = look_at(t, &part, &sums);
    if (t->model->state_count)
        ink_group_sum_begin(group, t->peers.state, t->model->state_count);
    double told[TOLD] = {
        [TOLD_LOSS] = sums.loss, [TOLD_MORE] = sums.more, [TOLD_CORRECT] = (double)sums.correct, [TOLD_FAILED] = status != INK_OK, [TOLD_STOP] = t->peers.stop_asked,
        [TOLD_DUE] = info.rank == 0 && minutes > 0 && ink_clock() - t->saved_at >= 60 * minutes,
    };
    ink_group_sum_reals_begin(group, told, TOLD);
    ink_group_wait(group);
    if (told[TOLD_FAILED] > 0)
        return ink_group_agree(group, status);
    INK_TRY(change(t));
    t->sums.loss += told[TOLD_LOSS];
    t->sums.more += told[TOLD_MORE];
    t->sums.correct += (size_t)told[TOLD_CORRECT];
    t->sums.count += (size_t)n;
    t->stopped = told[TOLD_STOP] > 0;
    t->peers.due = told[TOLD_DUE] > 0;
    t->finished = ++t->enqueued;
    if (!isfinite(told[TOLD_LOSS]))
        t->peers.diverged = t->enqueued;
    return INK_OK;
}

void ink_trainer_agree_to_stop(struct ink_trainer *t)
{
    double asked = t->peers.stop_asked;
    ink_group_sum_reals_begin(t->options->group, &asked, 1);
    ink_group_wait(t->options->group);
    t->stopped = asked > 0;
}

static ink_status evaluate(struct ink_trainer *t, struct ink_feed *feed, const ink_dataset *dataset, struct ink_batch own, struct ink_sums *sums)
{
    INK_TRY(ink_feed_run_evaluation(feed, t->plan, own.start, own.start + own.count, t->part));
    ink_sums_add(sums, feed, dataset, NULL, own.start, own.start + own.count);
    return INK_OK;
}

ink_status ink_trainer_group_evaluate(struct ink_trainer *t, struct ink_feed *feed, const ink_dataset *dataset, struct ink_metrics *metrics)
{
    ink_group *group = t->options->group;
    struct ink_sums sums = {0};
    INK_TRY(ink_group_agree(group, evaluate(t, feed, dataset, own_part(group, feed->count), &sums)));
    double told[2] = {sums.loss, (double)sums.correct};
    ink_group_sum_reals_begin(group, told, 2);
    ink_group_wait(group);
    sums = (struct ink_sums){.loss = told[0], .correct = (size_t)told[1], .count = feed->count};
    *metrics = ink_sums_metrics(&sums);
    return INK_OK;
}
