/* A step, an evaluation and a measurement of speed, each divided among the devices of a team; see team.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/dataset.h"
#include "train/team.h"
#include "util/clock.h"

enum { ALONE = 1 << 19 }; /* sums of fewer floats are done before other threads are awake */
static const double measured_seconds = 0.02; /* of a part: long beside what its beginning and end take */

static bool has_gradients(const struct ink_member *member) { return !member->lost && member->part_count > 0; }

static ink_status unmap(struct ink_member *member)
{
    const float *gradients = member->gradients;
    member->gradients = NULL;
    return gradients ? ink_plan_unmap_gradients(member->plan, gradients) : INK_OK;
}

/* The gradients of the parts that are not done yet, on top of those that are. */
static ink_status compute(struct ink_team *team, struct ink_member *member)
{
    double began = ink_clock();
    struct ink_feed *feed = &member->feed;
    if (member->parts_done == member->part_count)
        return INK_OK;
    INK_TRY(unmap(member));
    for (; member->parts_done < member->part_count; member->parts_done++) {
        const struct ink_part *part = &member->parts[member->parts_done];
        size_t start = (size_t)part->start, n = (size_t)part->n;
        INK_TRY(ink_plan_run_part(member->plan, part, member->parts_done > 0));
        INK_TRY(ink_buffer_read_begin(feed->device, feed->losses, start * sizeof(float), team->host->host_losses + start, n * sizeof(float)));
        INK_TRY(ink_buffer_read_begin(feed->device, feed->predictions, start * sizeof(int32_t), team->host->host_predictions + start, n * sizeof(int32_t)));
    }
    INK_TRY(ink_plan_map_gradients(member->plan, &member->gradients));
    INK_TRY(ink_cl_check(feed->device, clFinish(feed->device->queue), "clFinish", "part of a training step"));
    member->seconds = ink_clock() - began;
    return team->state ? ink_plan_get(member->plan, INK_STATE, member->state) : INK_OK;
}

/* Sums the gradients of all members in a stretch of the buffer. */
static void add_up(struct ink_team *team, size_t first, size_t end)
{
    memset(team->sum + first, 0, (end - first) * sizeof(float));
    for (int i = 0; i < team->count; i++) {
        const float *gradients = has_gradients(&team->members[i]) ? team->members[i].gradients : NULL;
        for (size_t k = first; k < end && gradients; k++)
            team->sum[k] += gradients[k];
    }
}

/* The same in one of as many stretches as there are members left. */
static ink_status add_up_stretch(struct ink_team *team, struct ink_member *member)
{
    size_t left = 0, before = 0;
    for (int i = 0; i < team->count; i++) {
        left += !team->members[i].lost;
        before += !team->members[i].lost && &team->members[i] < member;
    }
    add_up(team, team->floats * before / left, team->floats * (before + 1) / left);
    return INK_OK;
}

/* Changes the weights by the sum; does not wait. */
static ink_status change(struct ink_team *team, struct ink_member *member)
{
    INK_TRY(unmap(member));
    INK_TRY(ink_plan_write_gradients(member->plan, team->sum));
    INK_TRY(ink_plan_run(member->plan, INK_SECTION_UPDATE, 0, 1, NULL));
    if (team->state)
        INK_TRY(ink_plan_put(member->plan, INK_STATE, team->state));
    return ink_cl_check(member->device, clFlush(member->device->queue), "clFlush", "change of weights");
}

/* Takes over the leader's weights where they may differ. */
static ink_status take_over(struct ink_team *team, struct ink_member *member)
{
    if (member->kind == ink_team_leader(team)->kind)
        return INK_OK;
    if (team->average)
        INK_TRY(ink_plan_put(member->plan, INK_AVERAGE, team->average));
    return ink_plan_put(member->plan, INK_PARAMETERS, team->weights);
}

/* Statistics over the whole batch: the mean of those of the parts. */
static void average_state(struct ink_team *team, int n)
{
    memset(team->state, 0, team->state_count * sizeof(float));
    for (int i = 0; i < team->count; i++) {
        const struct ink_member *member = &team->members[i];
        int samples = 0;
        for (int p = 0; p < member->part_count && has_gradients(member); p++)
            samples += member->parts[p].n;
        for (size_t k = 0; k < team->state_count && samples; k++)
            team->state[k] += member->state[k] * ((float)samples / (float)n);
    }
}

/* Adds a part to the members' that are left, cut by their shares. */
static ink_status divide(struct ink_team *team, const struct ink_part *part)
{
    for (int i = 0; i < team->count; i++) {
        struct ink_member *member = &team->members[i];
        size_t first = ink_shares_cut(&team->shares, i, (size_t)part->n), end = ink_shares_cut(&team->shares, i + 1, (size_t)part->n);
        if (end <= first)
            continue;
        if (member->part_count == INK_MOST_PARTS)
            return ink_fail(INK_ERROR_DEVICE, "too many devices failed in one step");
        if (!member->lost)
            member->parts[member->part_count++] = (struct ink_part){part->start + (int)first, (int)(end - first), part->first + (int)first, part->whole};
    }
    return INK_OK;
}

/* Gives what members that were lost in this step had to do, done or not, to the others. */
static ink_status divide_anew(struct ink_team *team)
{
    for (int i = 0; i < team->count; i++) {
        struct ink_member *member = &team->members[i];
        int count = member->lost ? member->part_count : 0;
        if (count)
            member->part_count = 0;
        for (int p = 0; p < count; p++)
            INK_TRY(divide(team, &member->parts[p]));
    }
    return INK_OK;
}

/* Has all parts done, by whoever is left. */
static ink_status compute_all(struct ink_team *team)
{
    for (bool lost = true, first = true; lost; first = false) {
        ink_team_each(team, compute);
        for (int i = 0; i < team->count && first; i++)
            if (has_gradients(&team->members[i]) && !team->members[i].status)
                ink_shares_note(&team->shares, i, (size_t)team->members[i].parts[0].n, team->members[i].seconds);
        INK_TRY(ink_team_leave_out(team, &lost));
        INK_TRY(divide_anew(team));
    }
    return INK_OK;
}

/* Leaders that fail here have been followed by the next one in any case: its weights are changed too. */
static ink_status follow(struct ink_team *team)
{
    bool lost = true, differ = false;
    for (int i = 0; i < team->count; i++)
        differ |= !team->members[i].lost && team->members[i].kind != ink_team_leader(team)->kind;
    if (!differ)
        return INK_OK;
    while (lost) {
        struct ink_member *leader = ink_team_leader(team);
        for (int i = 0; i < team->count; i++)
            team->members[i].status = INK_OK;
        leader->status = ink_plan_get(leader->plan, INK_PARAMETERS, team->weights);
        if (team->average && !leader->status)
            leader->status = ink_plan_get(leader->plan, INK_AVERAGE, team->average);
        if (leader->status)
            snprintf(leader->message, sizeof leader->message, "%s", ink_last_error());
        INK_TRY(ink_team_leave_out(team, &lost));
    }
    ink_team_each(team, take_over);
    return ink_team_leave_out(team, &lost);
}

ink_status ink_team_step(struct ink_team *team, int start, int n)
{
    bool lost;
    for (int i = 0; i < team->count; i++)
        team->members[i].part_count = team->members[i].parts_done = 0;
    INK_TRY(divide(team, &(struct ink_part){start, n, 0, n}));
    INK_TRY(compute_all(team));
    if (team->floats * (size_t)team->count < ALONE)
        add_up(team, 0, team->floats);
    else
        ink_team_each(team, add_up_stretch);
    if (team->state)
        average_state(team, n);
    ink_team_each(team, change);
    INK_TRY(ink_team_leave_out(team, &lost));
    INK_TRY(follow(team));
    if (ink_shares_review(&team->shares))
        for (int i = 0; i < team->count; i++)
            ink_log(INK_LOG_INFO, "device %d of %d now does %.1f %% of a batch", i + 1, team->count, 100 * team->shares.weights[i]);
    return INK_OK;
}

static ink_status evaluate(struct ink_team *team, struct ink_member *member)
{
    struct ink_feed *feed = team->validates ? &member->validation_feed : &member->test_feed;
    INK_TRY(ink_feed_run_evaluation(feed, member->plan, member->first, member->end, team->batch));
    if (feed->host_losses == team->test_host->host_losses)
        return INK_OK;
    size_t bytes = (member->end - member->first) * sizeof(float);
    memcpy(team->test_host->host_losses + member->first, feed->host_losses + member->first, bytes);
    memcpy(team->test_host->host_predictions + member->first, feed->host_predictions + member->first, bytes);
    return INK_OK;
}

ink_status ink_team_evaluate(struct ink_team *team, bool validation, const struct ink_feed *host, const ink_dataset *dataset, struct ink_metrics *metrics)
{
    struct ink_sums sums = {0};
    size_t count = host->count;
    team->validates = validation;
    team->test_host = host;
    for (bool lost = true; lost;) { /* again where a device failed: a pass over a test set is short */
        for (int i = 0; i < team->count; i++) {
            team->members[i].first = ink_shares_cut(&team->shares, i, count);
            team->members[i].end = ink_shares_cut(&team->shares, i + 1, count);
        }
        ink_team_each(team, evaluate);
        INK_TRY(ink_team_leave_out(team, &lost));
    }
    ink_sums_add(&sums, host, dataset, NULL, 0, count);
    *metrics = ink_sums_metrics(&sums);
    return INK_OK;
}

/* Runs a part of the size in parts[0] twice, as a driver finishes kernels at their first run, and larger ones until the time is long. */
static ink_status measure(struct ink_team *team, struct ink_member *member)
{
    for (int n = 1;; n = 4 * n < team->batch ? 4 * n : team->batch) {
        for (int run = 0; run < 2; run++) {
            double began = ink_clock();
            INK_TRY(ink_plan_run_part(member->plan, &(struct ink_part){0, n, 0, n}, false));
            INK_TRY(ink_cl_check(member->device, clFinish(member->device->queue), "clFinish", "measuring speed"));
            member->seconds = (ink_clock() - began) / n;
        }
        if (member->seconds * n > measured_seconds || n == team->batch)
            return INK_OK;
    }
}

ink_status ink_team_measure(struct ink_team *team)
{
    double speeds[INK_MOST_DEVICES] = {0};
    bool lost;
    ink_team_each(team, measure);
    INK_TRY(ink_team_leave_out(team, &lost));
    for (int i = 0; i < team->count; i++)
        if (!team->members[i].lost)
            speeds[i] = 1 / team->members[i].seconds;
    ink_shares_set(&team->shares, speeds, team->count);
    return INK_OK;
}
