/* The threads of a team and what becomes of its members; see team.h. */
#include "train/team.h"

#include <stdio.h>
#include <string.h>

static void do_job(struct ink_team *team, struct ink_member *member, ink_team_job job)
{
    member->status = INK_OK;
    if (member->lost)
        return;
    member->status = job(team, member);
    if (member->status)
        snprintf(member->message, sizeof member->message, "%s", ink_last_error());
}

static void *run_thread(void *of)
{
    struct ink_member *member = of;
    struct ink_team *team = member->team;
    unsigned round = 0;
    pthread_mutex_lock(&team->lock);
    for (;;) {
        while (team->round == round && !team->over)
            pthread_cond_wait(&team->begin, &team->lock);
        if (team->over)
            break;
        round = team->round;
        ink_team_job job = team->job;
        pthread_mutex_unlock(&team->lock);
        do_job(team, member, job);
        pthread_mutex_lock(&team->lock);
        if (--team->busy == 0)
            pthread_cond_signal(&team->end);
    }
    pthread_mutex_unlock(&team->lock);
    return NULL;
}

/* The first member is served by the caller's thread. */
ink_status ink_team_start(struct ink_team *team)
{
    pthread_mutex_init(&team->lock, NULL);
    pthread_cond_init(&team->begin, NULL);
    pthread_cond_init(&team->end, NULL);
    team->has_lock = true;
    for (int i = 1; i < team->count; i++) {
        struct ink_member *member = &team->members[i];
        member->team = team;
        int code = pthread_create(&member->thread, NULL, run_thread, member);
        if (code)
            return ink_fail(INK_ERROR_MEMORY, "no thread could be started for %s: %s", ink_device_get_info(member->device)->name, strerror(code));
        member->has_thread = true;
    }
    return INK_OK;
}

void ink_team_stop(struct ink_team *team)
{
    if (!team->has_lock)
        return;
    pthread_mutex_lock(&team->lock);
    team->over = true;
    pthread_cond_broadcast(&team->begin);
    pthread_mutex_unlock(&team->lock);
    for (int i = 1; i < team->count; i++)
        if (team->members[i].has_thread)
            pthread_join(team->members[i].thread, NULL);
    pthread_cond_destroy(&team->begin);
    pthread_cond_destroy(&team->end);
    pthread_mutex_destroy(&team->lock);
    team->has_lock = false;
}

void ink_team_each(struct ink_team *team, ink_team_job job)
{
    pthread_mutex_lock(&team->lock);
    team->job = job;
    team->round++;
    team->busy = team->count - 1;
    pthread_cond_broadcast(&team->begin);
    pthread_mutex_unlock(&team->lock);
    do_job(team, &team->members[0], job);
    pthread_mutex_lock(&team->lock);
    while (team->busy)
        pthread_cond_wait(&team->end, &team->lock);
    pthread_mutex_unlock(&team->lock);
}

struct ink_member *ink_team_leader(struct ink_team *team) { return &team->members[team->leader]; }

ink_status ink_team_leave_out(struct ink_team *team, bool *lost)
{
    const struct ink_member *last = NULL;
    int left = 0;
    *lost = false;
    for (int i = 0; i < team->count; i++) {
        struct ink_member *member = &team->members[i];
        if (!member->lost && member->status) {
            const struct ink_device_info *info = ink_device_get_info(member->device);
            member->lost = *lost = true;
            last = member;
            ink_shares_drop(&team->shares, i);
            ink_log(INK_LOG_WARNING, "device %d of %d, %s, failed and is left out; the others do its part: %s", i + 1, team->count, info->name,
                    member->message);
        }
        left += !member->lost;
    }
    if (last && !left)
        return ink_fail(last->status, "no device is left to train on: %s", last->message);
    while (team->members[team->leader].lost)
        team->leader++;
    return INK_OK;
}
