/* Several devices as the trainer has them: making each ready as the first one is, and keeping them in step with what is kept. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/dataset.h"
#include "train/trainer.h"
#include "train/tune.h"

size_t ink_devices_align(const struct ink_train_options *options)
{
    size_t align = 0;
    for (size_t i = 0; i < options->device_count; i++)
        align = options->devices[i]->align > align ? options->devices[i]->align : align;
    return align;
}

static bool same_kind(const ink_device *a, const ink_device *b)
{
    return a->platform == b->platform && a->style == b->style && a->vector_width == b->vector_width && strcmp(a->info.name, b->info.name) == 0
           && strcmp(a->info.driver, b->info.driver) == 0;
}

/* Algorithms are those of the first member of its kind, so that bits are. */
static struct ink_recall *recall_of(struct ink_trainer *t, const struct ink_member *member)
{
    return member->kind == 0 ? &t->recall : &t->team->members[member->kind].recall;
}

static ink_status prepare_member(struct ink_trainer *t, ink_model *model, struct ink_member *member, struct ink_plan_options how)
{
    struct ink_team *team = t->team;
    while (!same_kind(team->members[member->kind].device, member->device))
        member->kind++;
    if (member == &team->members[member->kind] && t->options->tune) {
        INK_TRY(ink_tune_open(member->device, &member->choices));
        member->recall.choices = &member->choices;
    }
    if (member == &team->members[member->kind] && t->resumed.file) {
        char prefix[INK_RECALL_PREFIX];
        ink_recall_prefix(member->kind, prefix);
        INK_TRY(ink_recall_take(&t->recall, prefix, &member->recall));
    }
    struct ink_recall *recall = recall_of(t, member);
    how.choose_user = recall;
    how.admit = NULL; /* which looks at the first one's memory */
    INK_TRY(ink_plan_create(member->device, model, &how, &member->plan));
    INK_TRY(recall->status);
    ink_plan_set_int(member->plan, INK_SEED_LOW, (cl_int)(uint32_t)t->options->seed);
    ink_plan_set_int(member->plan, INK_SEED_HIGH, (cl_int)(uint32_t)(t->options->seed >> 32));
    INK_TRY(ink_feed_load(member->device, t->train, 0, &member->feed));
    INK_TRY(ink_feed_bind(&member->feed, member->plan, INK_SECTION_GRADIENTS));
    if (t->sampler.apart_count)
        INK_TRY(ink_feed_share(&member->feed, t->sampler.apart, t->sampler.apart_count, &member->validation_feed));
    return t->test ? ink_feed_load(member->device, t->test, 0, &member->test_feed) : INK_OK;
}

/* Room for sums. */
static ink_status make_room(struct ink_trainer *t)
{
    struct ink_team *team = t->team;
    size_t count = t->model->trained_count + 1;
    team->floats = ink_plan_gradient_floats(t->plan);
    team->state_count = t->model->state_count;
    team->sum = malloc((team->floats + 1) * sizeof(float));
    team->weights = malloc(count * sizeof(float));
    team->average = t->options->ema > 0 ? malloc(count * sizeof(float)) : NULL;
    team->state = team->state_count ? malloc(team->state_count * sizeof(float)) : NULL;
    bool enough = team->sum && team->weights && (team->average || t->options->ema <= 0) && (team->state || !team->state_count);
    for (int i = 0; i < team->count && team->state && enough; i++) {
        team->members[i].state = malloc(team->state_count * sizeof(float));
        enough = team->members[i].state != NULL;
    }
    return enough ? INK_OK : ink_fail_memory((team->floats + 3 * count + team->state_count * (size_t)(team->count + 1)) * sizeof(float));
}

ink_status ink_trainer_gather(struct ink_trainer *t, ink_model *model, const struct ink_plan_options *how)
{
    struct ink_team *team = t->team = calloc(1, sizeof *team);
    if (!team)
        return ink_fail_memory(sizeof *team);
    team->count = (int)t->options->device_count;
    for (int i = 0; i < team->count; i++)
        team->members[i] = (struct ink_member){.team = team, .device = t->options->devices[i]};
    team->members[0].plan = t->plan;
    team->members[0].feed = t->feed;
    team->members[0].test_feed = t->test_feed;
    team->members[0].validation_feed = t->validation_feed;
    team->host = &t->feed;
    team->batch = t->part;
    for (int i = 1; i < team->count; i++) {
        ink_status status = prepare_member(t, model, &team->members[i], *how);
        if (status)
            return ink_fail_in(status, "device %d of %d, %s", i + 1, team->count, team->members[i].device->info.name);
    }
    INK_TRY(make_room(t));
    return ink_team_start(team);
}

void ink_trainer_dismiss(struct ink_trainer *t)
{
    struct ink_team *team = t->team;
    if (!team)
        return;
    ink_team_stop(team);
    t->plan = team->members[0].plan;
    for (int i = 0; i < team->count; i++) {
        struct ink_member *member = &team->members[i];
        clFinish(member->device->queue); /* sums may still be on their way to it, after a failure */
        if (member->gradients)
            ink_plan_unmap_gradients(member->plan, member->gradients);
        if (i) { /* those of the first are the trainer's */
            ink_plan_destroy(&member->plan);
            ink_feed_destroy(&member->feed);
            ink_feed_destroy(&member->test_feed);
            ink_feed_destroy(&member->validation_feed);
        }
        ink_recall_clear(&member->recall);
        ink_choices_free(&member->choices);
        free(member->state);
    }
    free(team->sum);
    free(team->weights);
    free(team->average);
    free(team->state);
    free(team);
    t->team = NULL;
}

/* Takes down how a member did, which is left out where it failed. */
static void note(struct ink_member *member, ink_status status)
{
    member->status = status;
    if (status)
        snprintf(member->message, sizeof member->message, "%s", ink_last_error());
}

/* Goes on with those that did not fail. *lost: there was one that did. */
static ink_status leave_out(struct ink_trainer *t, bool *lost)
{
    INK_TRY(ink_team_leave_out(t->team, lost));
    t->plan = ink_team_leader(t->team)->plan;
    return INK_OK;
}

ink_status ink_trainer_ask(struct ink_trainer *t, ink_status (*what)(struct ink_trainer *t, struct ink_plan *plan))
{
    if (!t->team)
        return what(t, t->plan);
    for (bool lost = true; lost;) {
        for (int i = 0; i < t->team->count; i++)
            t->team->members[i].status = INK_OK;
        struct ink_member *leader = ink_team_leader(t->team);
        note(leader, what(t, leader->plan));
        INK_TRY(leave_out(t, &lost));
    }
    return INK_OK;
}

/* Does something with the plan of each member that is left, or with the only plan. */
static ink_status for_each_plan(struct ink_trainer *t, ink_status (*what)(struct ink_trainer *t, struct ink_plan *plan, const void *with), const void *with)
{
    bool lost;
    if (!t->team)
        return what(t, t->plan, with);
    for (int i = 0; i < t->team->count; i++)
        if (!t->team->members[i].lost)
            note(&t->team->members[i], what(t, t->team->members[i].plan, with));
    return leave_out(t, &lost);
}

static ink_status put(struct ink_trainer *t, struct ink_plan *plan, const void *with)
{
    (void)with;
    return ink_snapshot_put(&t->good, plan);
}

static ink_status rewind_plan(struct ink_trainer *t, struct ink_plan *plan, const void *model)
{
    (void)t;
    return ink_plan_rewind(plan, model);
}

static void take_weights(struct ink_team *team, const double *weights)
{
    ink_shares_set(&team->shares, weights, team->count);
    for (int i = 0; i < team->count; i++)
        if (team->members[i].lost)
            ink_shares_drop(&team->shares, i);
}

ink_status ink_trainer_put(struct ink_trainer *t)
{
    if (t->team && !t->team->shares.fixed && t->good.weight_count == t->team->count)
        take_weights(t->team, t->good.weights);
    return for_each_plan(t, put, NULL);
}

ink_status ink_trainer_rewind(struct ink_trainer *t, const ink_model *model)
{
    t->step = 0;
    return for_each_plan(t, rewind_plan, model);
}

/* Without shares that are given or kept, each is as the device is fast. */
ink_status ink_trainer_share(struct ink_trainer *t)
{
    struct ink_team *team = t->team;
    double even[INK_MOST_DEVICES];
    for (int i = 0; i < team->count; i++)
        even[i] = 1;
    team->shares.fixed = t->options->shares != NULL;
    if (t->resumed.file && t->resumed.snapshot.weight_count != team->count)
        ink_log(INK_LOG_WARNING, "%s: is of a run on %d device%s, and goes on with %d: results may differ from those of an uninterrupted run", t->options->resume,
                t->resumed.snapshot.weight_count, t->resumed.snapshot.weight_count == 1 ? "" : "s", team->count);
    if (t->options->shares) {
        take_weights(team, t->options->shares);
        return INK_OK;
    }
    take_weights(team, even);
    if (t->resumed.file && t->resumed.snapshot.weight_count == team->count)
        return INK_OK; /* ink_trainer_put() sets them */
    INK_TRY(ink_team_measure(team));
    return ink_trainer_rewind(t, t->model);
}

ink_status ink_trainer_order(struct ink_trainer *t, int epoch)
{
    struct ink_feed *feed = &t->feed;
    if (!t->team)
        return ink_feed_order(feed, &t->sampler, epoch);
    bool lost;
    feed->count = t->sampler.kept_count;
    INK_TRY(ink_sampler_order(&t->sampler, epoch, feed->host_order));
    for (int i = 0; i < t->team->count; i++) {
        struct ink_member *member = &t->team->members[i];
        if (!member->lost)
            note(member, ink_buffer_write(member->device, member->feed.order, 0, feed->host_order, feed->count * sizeof *feed->host_order));
    }
    return leave_out(t, &lost);
}

ink_status ink_trainer_team_step(struct ink_trainer *t, int start, int n)
{
    INK_TRY(ink_team_step(t->team, start, n));
    t->plan = ink_team_leader(t->team)->plan;
    t->finished = ++t->enqueued;
    return INK_OK;
}
