/* Making chains that take a batch in blocks of samples; see chain.h.
 *
 *     batch norm | convolution | moments | (statistics)         a chain is begun by a launch and takes what follows it, also over others
 *         0          0             0                            that are left behind, while
 *         1          1             1                              it meets the samples of the chain, so that they are in the caches,
 *         2          2             2                              nothing that is left behind has to come before it, and
 *         ...        ...           ...                            what it shares with the chain is, sample by sample, its own work-group's
 */
#include <stdlib.h>
#include <string.h>

#include "model/chain.h"
#include "model/conflict.h"
#include "model/stages.h"

enum {
    BLOCKS_WANTED = 8,     /* for each core, so that all end at about the same time */
    BLOCKS_LEAST = 2,
    CACHED_QUARTERS = 3,   /* of a core's cache that a block and the weights that it meets may take */
};

/* A chain while it is made. */
struct making {
    const struct ink_launches *list;
    enum ink_conflict *conflicts; /* [launch][an earlier one] */
    int *chain;                   /* [launch]: the first of its chain; -1: none yet */
    int batch;
    size_t least_blocks, cached_bytes;
    struct ink_launch whole;      /* what the chain has so far: its arguments, its block */
};

static size_t common_multiple(size_t a, size_t b)
{
    size_t x = a, y = b;
    while (y) {
        size_t rest = x % y;
        x = y;
        y = rest;
    }
    return a / x * b;
}

/* Bytes that a block meets: its samples, and beside them the weights of all stages but those with the most, which no block can help to
 * read again. */
static size_t met_bytes(const struct making *m, const struct ink_launch *whole, size_t block)
{
    size_t samples = 0, weights = 0, most = 0;
    for (int a = 0; a < whole->argument_count; a++) {
        if (!ink_argument_is_value(&whole->arguments[a]))
            continue;
        const struct ink_value_info *value = &m->list->values[whole->arguments[a].value];
        samples += value->sample_bytes;
        if (whole->arguments[a].kind != INK_ARG_READ)
            continue;
        weights += value->fixed_bytes;
        most = value->fixed_bytes > most ? value->fixed_bytes : most;
    }
    return block * samples + weights - most;
}

/* Whether a launch meets samples that the chain has met. */
static bool meets(const struct making *m, const struct ink_launch *launch)
{
    for (int a = 0; a < launch->argument_count; a++)
        for (int b = 0; b < m->whole.argument_count; b++) {
            const struct ink_argument *x = &launch->arguments[a], *y = &m->whole.arguments[b];
            if (ink_argument_is_value(x) && ink_argument_is_value(y) && x->value == y->value && ink_value_by_samples(m->list, x->value))
                return true;
        }
    return false;
}

/* Adds launch i to the chain that began with first, if it can go there. */
static bool take(struct making *m, int first, int i)
{
    const struct ink_launch *launch = &m->list->launches[i];
    size_t samples = ink_launch_samples(launch);
    if (!samples || !ink_stages_can(launch) || launch->constant || launch->stages)
        return false;
    for (int j = 0; j < i; j++) {
        enum ink_conflict conflict = m->conflicts[(size_t)i * (size_t)m->list->count + (size_t)j];
        if (m->chain[j] == first ? conflict == INK_CONFLICT : m->chain[j] < 0 && conflict != INK_NO_CONFLICT)
            return false;
    }
    size_t block = m->whole.block ? common_multiple((size_t)m->whole.block, samples) : samples;
    struct ink_launch whole = m->whole;
    if (((size_t)m->batch + block - 1) / block < m->least_blocks || !ink_stages_take(&whole, launch))
        return false;
    if (i != first && (!meets(m, launch) || met_bytes(m, &whole, block) > m->cached_bytes))
        return false;
    m->whole = whole;
    m->whole.block = (int)block;
    m->chain[i] = first;
    return true;
}

/* What is stored past the caches is not where a later stage reads it. */
static void keep_cached(struct ink_launch *chain)
{
    for (int s = 0; s < chain->stage_count; s++)
        for (int t = s + 1; t < chain->stage_count; t++)
            for (int a = 0; a < chain->stages[t].argument_count; a++)
                for (int b = 0; b < chain->stages[s].argument_count; b++) {
                    const struct ink_argument *read = &chain->stages[t].arguments[a], *written = &chain->stages[s].arguments[b];
                    if (ink_argument_is_value(read) && written->kind == INK_ARG_WRITE && written->value == read->value)
                        ink_redefine_int(&chain->stages[s], "STREAM", 0);
                }
}

/* Puts launches that wait for no other and go by no samples, as those that make weights ready, first. */
static ink_status put_free_first(struct ink_launches *list)
{
    struct ink_launch *sorted = malloc((size_t)list->count * sizeof *sorted);
    bool *free_of = calloc((size_t)list->count, sizeof *free_of);
    int count = 0;
    for (int i = 0; i < list->count && sorted && free_of; i++) {
        free_of[i] = !ink_launch_samples(&list->launches[i]);
        for (int j = 0; j < i && free_of[i]; j++)
            free_of[i] = ink_conflict(list, &list->launches[i], &list->launches[j]) == INK_NO_CONFLICT;
    }
    for (int first = 1; first >= 0 && sorted && free_of; first--)
        for (int i = 0; i < list->count; i++)
            if (free_of[i] == first)
                sorted[count++] = list->launches[i];
    memcpy(list->launches, sorted, (size_t)count * sizeof *sorted);
    free(sorted);
    free(free_of);
    return count == list->count ? INK_OK : ink_fail_memory((size_t)list->count * sizeof *sorted);
}

/* Makes the launches of the chain that began with first one. */
static ink_status make(const struct making *m, int first, struct ink_launch *out)
{
    int count = 0;
    for (int i = first; i < m->list->count; i++)
        count += m->chain[i] == first;
    *out = m->list->launches[first];
    if (count < 2)
        return INK_OK;
    struct ink_launch *stages = malloc((size_t)count * sizeof *stages);
    if (!stages)
        return ink_fail_memory((size_t)count * sizeof *stages);
    *out = (struct ink_launch){.source = "", .kernel = "chain", .joint = INK_CHAIN, .stages = stages};
    size_t block = 1;
    for (int i = first; i < m->list->count; i++)
        if (m->chain[i] == first) {
            block = common_multiple(block, ink_launch_samples(&m->list->launches[i]));
            ink_stages_take(out, &m->list->launches[i]);
            stages[out->stage_count++] = m->list->launches[i];
        }
    out->block = (int)block;
    for (int s = 0; s < count; s++)
        stages[s].block = out->block;
    keep_cached(out);
    ink_range_samples(out, 0, 1, block, 1);
    ink_chain_name(out);
    ink_stages_sum(out);
    return INK_OK;
}

static ink_status apply(const struct making *m, struct ink_launches *list)
{
    struct ink_launch *made = malloc((size_t)list->count * sizeof *made);
    ink_status status = made ? INK_OK : ink_fail_memory((size_t)list->count * sizeof *made);
    int count = 0;
    for (int i = 0; i < list->count && !status; i++)
        if (m->chain[i] == i)
            status = make(m, i, &made[count++]);
    if (!status) {
        memcpy(list->launches, made, (size_t)count * sizeof *made);
        list->count = count;
    } else if (made) {
        for (int i = 0; i < count; i++)
            if (made[i].joint == INK_CHAIN) /* what the stages own is the list's still */
                free(made[i].stages);
    }
    free(made);
    return status;
}

ink_status ink_chain_blocks(struct ink_launches *list, const struct ink_device *device, unsigned cores, int batch, bool wakes)
{
    size_t count = (size_t)list->count, wanted = (size_t)BLOCKS_WANTED * cores, least = (size_t)BLOCKS_LEAST * cores;
    struct making m = {.list = list, .batch = batch, .cached_bytes = (size_t)device->info.local_bytes / 4 * CACHED_QUARTERS};
    m.least_blocks = wanted > (size_t)batch ? (size_t)batch : wanted;
    if (list->count < 2 || m.least_blocks < least)
        return list->status;
    INK_TRY(put_free_first(list));
    m.conflicts = calloc(count * count, sizeof *m.conflicts);
    m.chain = malloc(count * sizeof *m.chain);
    ink_status status = m.conflicts && m.chain ? INK_OK : ink_fail_memory(count * count);
    if (!status) {
        for (size_t i = 0; i < count; i++) {
            m.chain[i] = -1;
            for (size_t j = 0; j < i; j++)
                m.conflicts[i * count + j] = ink_conflict(list, &list->launches[i], &list->launches[j]);
        }
        for (int first = 0; first < list->count; first++) {
            if (m.chain[first] >= 0)
                continue;
            m.whole = (struct ink_launch){0};
            bool begins = take(&m, first, first);
            for (int i = first + 1; i < list->count && begins && !wakes; i++)
                if (m.chain[i] < 0)
                    take(&m, first, i);
            wakes &= !begins;
            m.chain[first] = first;
        }
        status = apply(&m, list);
    }
    free(m.conflicts);
    free(m.chain);
    return status;
}
