/* Making bundles, and their kernels; see bundle.h and stages.h.
 *
 *     __kernel void bundle_8(int a0, __global void *a1, __global void *a2, __global void *a3, ...)
 *     {
 *         int id = get_global_id(0);                              work-group of the launch; one is here, the next there
 *         if (id < 1 * 4 * 9) {                                   work-groups of a stage, and the call of its function
 *             transpose_5(id / (1) % 4, id / (1 * 4) % 9, 0, stage_memory, a1, a2, 32, 36);
 *         } else if ((id -= 1 * 4 * 9) < 1 * ((1 * a0 + 0) / 1)) {  a0: the samples
 *             gather_7(0, id / (1) % ((1 * a0 + 0) / 1), 0, stage_memory, a5, a6, a7, 784, a8);
 *         }
 *     }
 *
 * A driver hands out work-groups in order, at first many at a time and fewer towards the end, so stages with little work in a work-group
 * come first.
 */
#include "model/bundle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/conflict.h"
#include "model/stages.h"

struct schedule {
    const struct ink_launches *list;
    bool *depends;             /* [launch][an earlier one]: it has to wait for that */
    bool *small, *at_once;     /* [launch]: may be bundled; does not wait */
    bool *needed;              /* [launch]: has to be done before the next large one */
    int *waits;                /* [launch]: for so many that are not done */
    int *turn;                 /* [launch], from 1 on; 0: none yet. Small launches of one turn become one */
    int turns;
};

static bool writes_gradients(const struct ink_launches *list, const struct ink_launch *launch)
{
    for (int a = 0; a < launch->argument_count; a++)
        if (ink_argument_is_value(&launch->arguments[a]) && launch->arguments[a].kind != INK_ARG_READ &&
            list->values[launch->arguments[a].value].storage == INK_GRADIENTS)
            return true;
    return false;
}

/* Bytes of the arena that stay in use while a launch waits: what it reads. */
static size_t kept_bytes(const struct ink_launches *list, const struct ink_launch *launch, int batch)
{
    size_t bytes = 0;
    for (int a = 0; a < launch->argument_count; a++) {
        const struct ink_argument *argument = &launch->arguments[a];
        if (ink_argument_is_value(argument) && argument->kind != INK_ARG_WRITE && list->values[argument->value].storage == INK_ARENA)
            bytes += ink_value_bytes(list, argument->value, batch);
    }
    return bytes;
}

/* Marks what has to be done before the large launch: what it waits for, however indirectly, and of those before it what does not wait.
 * Behind the last one, all that is left. */
static void mark_needed(struct schedule *s, int large)
{
    int count = s->list->count;
    for (int i = 0; i < count; i++)
        s->needed[i] = large == count || i == large || (s->at_once[i] && i < large);
    for (int i = count - 1; i >= 0; i--)
        for (int j = 0; j < i && s->needed[i] && !s->turn[i]; j++)
            s->needed[j] |= s->depends[i * count + j];
}

/* Gives all small launches that can go, the needed ones first, the next turn, as far as their arguments are not too many. */
static bool give_turn_to_small(struct schedule *s)
{
    struct ink_launch bundle = {0};
    int members = 0, count = s->list->count;
    for (int needed = 1; needed >= 0; needed--)
        for (int i = 0; i < count && (needed || members); i++) {
            if (!s->small[i] || s->turn[i] || s->waits[i] || s->needed[i] != needed)
                continue;
            bool fits = ink_stages_take(&bundle, &s->list->launches[i]);
            if (fits || !members)
                s->turn[i] = s->turns;
            if (!fits && !members)
                return true;
            members += fits;
        }
    return members > 0;
}

/* Gives all launches turns: the next large one as soon as nothing that it needs is left; else small ones. */
static void give_turns(struct schedule *s)
{
    int large = -1, count = s->list->count;
    for (int left = count; left > 0;) {
        while (large < 0 || (large < count && (s->small[large] || s->turn[large]))) {
            large++;
            if (large == count || !s->small[large])
                mark_needed(s, large);
        }
        s->turns++;
        if (!give_turn_to_small(s))
            s->turn[large] = s->turns;
        for (int j = 0; j < count; j++)
            if (s->turn[j] == s->turns) {
                left--;
                for (int i = j + 1; i < count; i++)
                    s->waits[i] -= s->depends[i * count + j];
            }
    }
}

/* After the first of the list; its algorithm is that of all, if it is the same. */
static void name(struct ink_launch *bundle)
{
    snprintf(bundle->label, sizeof bundle->label, "%.48s and %d more", bundle->stages[0].label, bundle->stage_count - 1);
    bundle->algorithm = bundle->stages[0].algorithm;
    for (int m = 1; m < bundle->stage_count; m++)
        if (bundle->stages[m].algorithm != bundle->algorithm)
            bundle->algorithm = NULL;
}

static double group_work(const struct ink_launches *list, const struct ink_launch *launch, int batch)
{
    size_t groups[3];
    ink_launch_groups(launch, batch, groups);
    return ink_stages_work(list, launch, batch) / (double)(groups[0] * groups[1] * groups[2]);
}

/* Puts stages with less work in a work-group first. */
static void sort(const struct ink_launches *list, struct ink_launch *bundle, int batch)
{
    struct ink_launch *stages = bundle->stages;
    for (int m = 1; m < bundle->stage_count; m++) {
        struct ink_launch stage = stages[m];
        int to = m;
        for (; to > 0 && group_work(list, &stages[to - 1], batch) > group_work(list, &stage, batch); to--)
            stages[to] = stages[to - 1];
        stages[to] = stage;
    }
}

/* Makes the launches of a turn one. */
static ink_status make_turn(const struct schedule *s, int turn, int batch, struct ink_launch *out)
{
    const struct ink_launches *list = s->list;
    int members = 0;
    for (int i = 0; i < list->count; i++)
        if (s->turn[i] == turn && members++ == 0)
            *out = list->launches[i];
    if (members == 1)
        return INK_OK;
    *out = (struct ink_launch){.source = "", .kernel = "bundle", .joint = INK_BUNDLE, .stages = malloc((size_t)members * sizeof *out)};
    if (!out->stages)
        return ink_fail_memory((size_t)members * sizeof *out);
    for (int i = 0; i < list->count; i++)
        if (s->turn[i] == turn)
            out->stages[out->stage_count++] = list->launches[i];
    name(out);
    sort(list, out, batch);
    for (int m = 0; m < members; m++)
        ink_stages_take(out, &out->stages[m]);
    ink_stages_sum(out);
    return INK_OK;
}

static ink_status apply(const struct schedule *s, struct ink_launches *list, int batch)
{
    struct ink_launch *made = malloc((size_t)list->count * sizeof *made);
    ink_status status = made ? INK_OK : ink_fail_memory((size_t)list->count * sizeof *made);
    int count = 0;
    while (count < s->turns && !status) {
        status = make_turn(s, count + 1, batch, &made[count]);
        count += !status;
    }
    if (!status) {
        memcpy(list->launches, made, (size_t)count * sizeof *made);
        list->count = count;
    } else {
        for (int i = 0; i < count; i++)
            if (made[i].joint == INK_BUNDLE) /* what the stages own is the list's still */
                free(made[i].stages);
    }
    free(made);
    return status;
}

ink_status ink_bundle(struct ink_launches *list, int batch, bool gradients_at_once)
{
    if (list->count < 2)
        return list->status;
    size_t count = (size_t)list->count;
    struct schedule s = {.list = list, .depends = calloc(count * count + 1, sizeof(bool)), .small = calloc(3 * count + 1, sizeof(bool)),
                         .waits = calloc(2 * count + 1, sizeof(int))};
    ink_status status = s.depends && s.small && s.waits ? INK_OK : ink_fail_memory(count * count);
    if (!status) {
        s.at_once = s.small + count;
        s.needed = s.at_once + count;
        s.turn = s.waits + count;
        for (size_t i = 0; i < count; i++) {
            const struct ink_launch *launch = &list->launches[i];
            s.small[i] = ink_stages_can(launch) && !launch->stages && ink_stages_work(list, launch, batch) <= INK_BUNDLE_WORK;
            s.at_once[i] = (gradients_at_once && writes_gradients(list, launch)) || kept_bytes(list, launch, batch) > INK_BUNDLE_BYTES;
            for (size_t j = 0; j < i; j++)
                s.waits[i] += s.depends[i * count + j] = ink_conflict(list, launch, &list->launches[j]) != INK_NO_CONFLICT;
        }
        give_turns(&s);
        status = apply(&s, list, batch);
    }
    free(s.depends);
    free(s.small);
    free(s.waits);
    return status;
}

/* A stage's work-groups, and the place among them, in each dimension, of the one that is number id; expressions. */
struct division {
    char groups[320], ids[3][448];
};

static struct division divide(const struct ink_launch *bundle, const struct ink_launch *stage)
{
    struct division division = {"1", {"0", "0", "0"}};
    for (int d = 0; d < 3; d++) {
        if (!ink_stages_many(&stage->range[d]))
            continue;
        struct ink_stage_groups groups = ink_stages_groups(bundle, &stage->range[d]);
        size_t length = strlen(division.groups);
        snprintf(division.ids[d], sizeof division.ids[d], "id / (%s) %% %s", division.groups, groups.text);
        snprintf(division.groups + length, sizeof division.groups - length, " * %s", groups.text);
    }
    return division;
}

void ink_bundle_write_count(struct ink_text *text, const struct ink_launch *bundle, int s, int end)
{
    for (int m = s; m < end; m++)
        ink_text_add(text, "%s%s", m > s ? " + " : "", divide(bundle, &bundle->stages[m]).groups);
}

void ink_bundle_write_group(struct ink_text *text, const struct ink_launch *bundle, int s, int end)
{
    for (int m = s; m < end; m++) {
        if (m > s)
            ink_text_add(text, "    } else if ((id -= %s) < ", divide(bundle, &bundle->stages[m - 1]).groups);
        else
            ink_text_add(text, "    if (id < ");
        struct division division = divide(bundle, &bundle->stages[m]);
        ink_text_add(text, "%s) {\n        ", division.groups);
        ink_stages_write_call(text, bundle, m, (const char *const[]){division.ids[0], division.ids[1], division.ids[2]});
    }
    ink_text_add(text, "    }\n");
}

void ink_bundle_write(struct ink_text *text, const struct ink_launch *bundle, int instance)
{
    ink_stages_write_head(text, bundle, instance);
    ink_text_add(text, "    int id = get_global_id(0);\n");
    ink_bundle_write_group(text, bundle, 0, bundle->stage_count);
    ink_text_add(text, "}\n");
}
