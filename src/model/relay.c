/* Making relays, and their kernels; see relay.h, stages.h and cl/relay.cl.
 *
 *     __kernel void relay_8(__global void *a0, int a1, int a2, int a3, __global void *a4, ...)      the counters, and which legs to do
 *     {
 *         LEG(a0, 0, 0, 1 * ((1 * a3 + 0) / 1))                                     its work-groups, not backwards
 *             int id = at;                                                          as in a bundle or a chain
 *             ...
 *         LEG_END(a0, 0)
 *         ...
 *         RELAY_END(a0, 3)
 *     }
 */
#include "model/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/bundle.h"
#include "model/chain.h"
#include "model/stages.h"

static bool can(const struct ink_launch *launch)
{
    return launch->joint == INK_BUNDLE || (launch->joint == INK_CHAIN && launch->block) || (launch->joint == INK_ALONE && ink_stages_can(launch));
}

/* Adds what a leg brings to the arguments; false, and nothing added, where that is too much. */
static bool take(struct ink_launch *relay, struct ink_launch *leg)
{
    int before = relay->argument_count;
    for (int s = 0; s < ink_stages_count(leg); s++)
        if (!ink_stages_take(relay, &ink_stages_of(leg)[s])) {
            relay->argument_count = before;
            return false;
        }
    return true;
}

/* Begins a relay with the launches from first on; how many it takes, and how many stages they have. */
static int measure(const struct ink_launches *list, int first, struct ink_launch *relay, int *stages)
{
    int end = first;
    *stages = 0;
    while (end < list->count && end - first < INK_RELAY_LEGS && can(&list->launches[end]) && take(relay, &list->launches[end])) {
        *stages += ink_stages_count(&list->launches[end]);
        end++;
    }
    return end - first;
}

/* Whether a leg goes through the samples of the batch. */
static bool goes_through_samples(const struct ink_launch *leg)
{
    bool goes = false;
    for (int d = 0; d < 3; d++)
        goes |= leg->joint != INK_BUNDLE && leg->range[d].sample_items;
    return goes;
}

/* Makes the launches from first on the legs of a relay. *backwards: which way the next leg that goes through the samples does. */
static ink_status put(struct ink_launches *list, int first, int legs, int stages, struct ink_launch *relay, bool *backwards)
{
    relay->stages = malloc((size_t)stages * sizeof *relay->stages);
    if (!relay->stages)
        return ink_fail_memory((size_t)stages * sizeof *relay->stages);
    snprintf(relay->label, sizeof relay->label, "%d in turn: %.24s to %.24s", legs, list->launches[first].label,
             list->launches[first + legs - 1].label);
    for (int l = 0; l < legs; l++) {
        struct ink_launch *leg = &list->launches[first + l];
        int at = relay->stage_count;
        bool goes = goes_through_samples(leg);
        relay->stage_count += ink_stages_count(leg);
        memcpy(&relay->stages[at], ink_stages_of(leg), (size_t)ink_stages_count(leg) * sizeof *leg);
        free(leg->stages);
        for (int s = at; s < relay->stage_count; s++) {
            relay->stages[s].leg = l;
            relay->stages[s].backwards = goes && *backwards;
        }
        *backwards ^= goes;
    }
    ink_stages_sum(relay);
    list->launches[first] = *relay;
    list->count -= legs - 1;
    memmove(&list->launches[first + 1], &list->launches[first + legs], (size_t)(list->count - first - 1) * sizeof *list->launches);
    return INK_OK;
}

ink_status ink_relay(struct ink_launches *list, unsigned groups)
{
    ink_value counters = ink_value_bind(list, "counters", INK_COUNTERS, 0, INK_RELAY_BYTES);
    bool backwards = false;
    for (int first = 0; first < list->count && !list->status; first++) {
        struct ink_launch relay = {.source = "", .kernel = "relay", .joint = INK_RELAY};
        int stages;
        ink_arg_value(list, &relay, INK_ARG_UPDATE, counters);
        ink_arg_int(list, &relay, 0);
        ink_arg_int(list, &relay, INK_RELAY_LEGS);
        ink_range_fixed(&relay, 0, groups, 1, 1);
        int legs = measure(list, first, &relay, &stages);
        if (legs > 1)
            INK_TRY(put(list, first, legs, stages, &relay, &backwards));
    }
    return list->status;
}

void ink_relay_write(struct ink_text *text, const struct ink_launch *relay, int instance)
{
    int legs = 0;
    ink_stages_write_head(text, relay, instance);
    for (int s = 0, end; s < relay->stage_count; s = end, legs++) {
        for (end = s + 1; end < relay->stage_count && relay->stages[end].leg == relay->stages[s].leg; end++)
            ;
        bool chain = relay->stages[s].block != 0;
        ink_text_add(text, "    LEG(a0, %d, %d, ", legs, relay->stages[s].backwards);
        if (chain)
            ink_chain_write_count(text, relay, s);
        else
            ink_bundle_write_count(text, relay, s, end);
        ink_text_add(text, ")\n    int id = at;\n");
        if (chain)
            ink_chain_write_group(text, relay, s, end);
        else
            ink_bundle_write_group(text, relay, s, end);
        ink_text_add(text, "    LEG_END(a0, %d)\n", legs);
    }
    ink_text_add(text, "    RELAY_END(a0, %d)\n}\n", legs);
}
