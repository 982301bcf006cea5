/* Making chains, and their kernels; see chain.h and stages.h.
 *
 *     __kernel void chain_8(int a0, __global void *a1, __global void *a2, __global void *a3, __global void *a4)
 *     {
 *         for (int id1 = 0; id1 < ((1 * a0 + 0) / 1); id1++)                 work-items of the launch, a0 being the samples
 *             gather_5(0, id1, 0, stage_memory, a1, ..., a2, 784, ...);     a stage: the call of its function
 *         for (int id0 = 0; id0 < 2; id0++)
 *             forward_6(id0, 0, 0, stage_memory, a2, a3, a4);                reads what the one before wrote
 *     }
 *
 * In blocks of samples, id is the number of the block:
 *
 *         for (int id1 = id * 4; id1 < min(id * 4 + 4, ((1 * a0 + 0) / 1)); id1++)
 *             ...
 */
#include "model/chain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/stages.h"

static bool is_small(const struct ink_launches *list, const struct ink_launch *launch, int batch)
{
    return ink_stages_can(launch) && !launch->constant && ink_stages_work(list, launch, batch) <= INK_CHAIN_WORK;
}

/* Begins a chain with the launches from first on; how many it takes. */
static int measure_run(const struct ink_launches *list, int first, int batch, struct ink_launch *chain)
{
    int end = first;
    *chain = (struct ink_launch){.source = "", .kernel = "chain", .joint = INK_CHAIN};
    while (end < list->count && is_small(list, &list->launches[end], batch) && ink_stages_take(chain, &list->launches[end]))
        end++;
    return end - first;
}

void ink_chain_name(struct ink_launch *chain)
{
    const struct ink_launch *stages = chain->stages;
    snprintf(chain->label, sizeof chain->label, "%d in one: %.24s to %.24s", chain->stage_count, stages[0].label, stages[chain->stage_count - 1].label);
}

/* Makes the launches from first on, which have become stages, one. */
static void put(struct ink_launches *list, int first, struct ink_launch *chain)
{
    ink_chain_name(chain);
    ink_stages_sum(chain);
    list->launches[first] = *chain;
    list->count -= chain->stage_count - 1;
    memmove(&list->launches[first + 1], &list->launches[first + chain->stage_count], (size_t)(list->count - first - 1) * sizeof *list->launches);
}

static ink_status put_constants_first(struct ink_launches *list)
{
    struct ink_launch *sorted = malloc((size_t)list->count * sizeof *sorted);
    int count = 0;
    if (!sorted)
        return ink_fail_memory((size_t)list->count * sizeof *sorted);
    for (int constant = 1; constant >= 0; constant--)
        for (int i = 0; i < list->count; i++)
            if (list->launches[i].constant == constant)
                sorted[count++] = list->launches[i];
    memcpy(list->launches, sorted, (size_t)count * sizeof *sorted);
    free(sorted);
    return INK_OK;
}

ink_status ink_chain(struct ink_launches *list, int batch)
{
    if (batch > INK_CHAIN_SAMPLES || !list->count)
        return INK_OK;
    INK_TRY(put_constants_first(list));
    for (int first = 0; first < list->count; first++) {
        struct ink_launch chain;
        chain.stage_count = measure_run(list, first, batch, &chain);
        if (chain.stage_count < 2)
            continue;
        size_t bytes = (size_t)chain.stage_count * sizeof *chain.stages;
        chain.stages = malloc(bytes);
        if (!chain.stages)
            return ink_fail_memory(bytes);
        memcpy(chain.stages, &list->launches[first], bytes);
        put(list, first, &chain);
    }
    return INK_OK;
}

/* A stage's function, called for each work-item in turn, the last dimension outermost; of those that go by samples for those of the block. */
static void write_stage(struct ink_text *text, const struct ink_launch *whole, int s)
{
    const struct ink_launch *stage = &whole->stages[s];
    const char *ids[3] = {"0", "0", "0"};
    static const char *const names[3] = {"id0", "id1", "id2"};
    ink_text_add(text, "   ");
    for (int d = 2; d >= 0; d--) {
        const struct ink_range *range = &stage->range[d];
        if (!ink_stages_many(range))
            continue;
        struct ink_stage_groups groups = ink_stages_groups(whole, range);
        size_t each = (size_t)stage->block * range->sample_items / range->items_per_group;
        ids[d] = names[d];
        if (each)
            ink_text_add(text, " NO_UNROLL for (int id%d = id * %zu; id%d < min(id * %zu + %zu, %s); id%d++)", d, each, d, each, each, groups.text, d);
        else
            ink_text_add(text, " NO_UNROLL for (int id%d = 0; id%d < %s; id%d++)", d, d, groups.text, d);
    }
    ink_text_add(text, " ");
    ink_stages_write_call(text, whole, s, ids);
}

void ink_chain_write_count(struct ink_text *text, const struct ink_launch *whole, int s)
{
    struct ink_range blocks = {1, 0, (size_t)whole->stages[s].block, 1};
    ink_text_add(text, "%s", ink_stages_groups(whole, &blocks).text);
}

void ink_chain_write_group(struct ink_text *text, const struct ink_launch *whole, int s, int end)
{
    for (; s < end; s++)
        write_stage(text, whole, s);
}

void ink_chain_write(struct ink_text *text, const struct ink_launch *chain, int instance)
{
    ink_stages_write_head(text, chain, instance);
    if (chain->block)
        ink_text_add(text, "    int id = get_global_id(0);\n");
    ink_chain_write_group(text, chain, 0, chain->stage_count);
    ink_text_add(text, "}\n");
}
