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

/* The list while chains are made of it. */
struct making {
    const struct ink_launches *list;
    enum ink_conflict *conflicts; /* [launch][an earlier one] */
    struct ink_launch *made;      /* what has become of the launches so far */
    int *place;                   /* [launch]: where it is there; -1: not yet */
    int count;                    /* of those made, behind which the next goes */
    int batch;
    size_t least_blocks, cached_bytes;
    struct ink_launch whole;      /* the next one so far, a chain: its arguments, its block, how many stages it gets */
};

static enum ink_conflict conflict(const struct making *m, int later, int earlier)
{
    return m->conflicts[(size_t)later * (size_t)m->list->count + (size_t)earlier];
}

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

/* Adds launch i to the chain that is next, if it can go there. */
static bool take(struct making *m, int i)
{
    const struct ink_launch *launch = &m->list->launches[i];
    size_t samples = ink_launch_samples(launch);
    if (!samples || !ink_stages_can(launch) || launch->constant || launch->stages)
        return false;
    for (int j = 0; j < i; j++) {
        enum ink_conflict found = conflict(m, i, j);
        if (m->place[j] == m->count ? found == INK_CONFLICT : m->place[j] < 0 && found != INK_NO_CONFLICT)
            return false;
    }
    size_t block = m->whole.block ? common_multiple((size_t)m->whole.block, samples) : samples;
    struct ink_launch whole = m->whole;
    if (((size_t)m->batch + block - 1) / block < m->least_blocks || !ink_stages_take(&whole, launch))
        return false;
    if (whole.stage_count && (!meets(m, launch) || met_bytes(m, &whole, block) > m->cached_bytes))
        return false;
    m->whole = whole;
    m->whole.block = (int)block;
    m->whole.stage_count++;
    m->place[i] = m->count;
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

/* Makes one launch of those that the chain has taken. */
static ink_status put_chain(struct making *m)
{
    struct ink_launch *chain = &m->made[m->count];
    int stages = 0;
    *chain = m->whole;
    chain->stages = malloc((size_t)chain->stage_count * sizeof *chain->stages);
    if (!chain->stages)
        return ink_fail_memory((size_t)chain->stage_count * sizeof *chain->stages);
    for (int i = 0; i < m->list->count; i++)
        if (m->place[i] == m->count) {
            chain->stages[stages] = m->list->launches[i];
            chain->stages[stages++].block = chain->block;
        }
    keep_cached(chain);
    ink_range_samples(chain, 0, 1, (size_t)chain->block, 1);
    ink_chain_name(chain);
    ink_stages_sum(chain);
    m->count++;
    return INK_OK;
}

static void put_alone(struct making *m, int i)
{
    m->place[i] = m->count;
    m->made[m->count++] = m->list->launches[i];
}

/* Launches that wait for no other and go by no samples, as those that make weights ready, so that what needs them can follow what is before. */
static void put_free(struct making *m)
{
    for (int i = 0; i < m->list->count; i++) {
        bool waits = ink_launch_samples(&m->list->launches[i]) != 0;
        for (int j = 0; j < i && !waits; j++)
            waits = conflict(m, i, j) != INK_NO_CONFLICT;
        if (!waits)
            put_alone(m, i);
    }
}

/* The rest, each with all that can go along. */
static ink_status put_rest(struct making *m, bool wakes)
{
    for (int first = 0; first < m->list->count; first++) {
        if (m->place[first] >= 0)
            continue;
        m->whole = (struct ink_launch){.source = "", .kernel = "chain", .joint = INK_CHAIN};
        bool begins = take(m, first);
        for (int i = first + 1; i < m->list->count && begins && !wakes; i++)
            if (m->place[i] < 0)
                take(m, i);
        wakes &= !begins;
        if (m->whole.stage_count > 1)
            INK_TRY(put_chain(m));
        else
            put_alone(m, first);
    }
    return INK_OK;
}

ink_status ink_chain_blocks(struct ink_launches *list, const struct ink_device *device, unsigned cores, int batch, bool wakes)
{
    size_t count = (size_t)list->count, wanted = (size_t)BLOCKS_WANTED * cores, least = (size_t)BLOCKS_LEAST * cores;
    struct making m = {.list = list, .batch = batch, .cached_bytes = (size_t)device->info.local_bytes / 4 * CACHED_QUARTERS};
    m.least_blocks = wanted > (size_t)batch ? (size_t)batch : wanted;
    if (list->count < 2 || m.least_blocks < least)
        return list->status;
    m.conflicts = calloc(count * count, sizeof *m.conflicts);
    m.place = malloc(count * sizeof *m.place);
    m.made = malloc(count * sizeof *m.made);
    ink_status status = m.conflicts && m.place && m.made ? INK_OK : ink_fail_memory(count * count);
    if (!status) {
        for (size_t i = 0; i < count; i++) {
            m.place[i] = -1;
            for (size_t j = 0; j < i; j++)
                m.conflicts[i * count + j] = ink_conflict(list, &list->launches[i], &list->launches[j]);
        }
        put_free(&m);
        status = put_rest(&m, wakes);
    }
    if (!status) {
        memcpy(list->launches, m.made, (size_t)m.count * sizeof *m.made);
        list->count = m.count;
    } else {
        for (int i = 0; i < m.count; i++)
            if (m.made[i].block) /* made here; what the stages own is the list's still */
                free(m.made[i].stages);
    }
    free(m.conflicts);
    free(m.place);
    free(m.made);
    return status;
}
