/* Making chains, and their kernels; see chain.h. A chain's arguments are the values and scalars of its stages, each once; other numbers
 * are written into the text:
 *
 *     SOLO_KERNEL(chain)(int a0, __global void *a1, __global void *a2, __global void *a3, __global void *a4)
 *     {
 *         __local float stage_memory[...];                                   the most that a stage takes
 *         for (int id1 = 0; id1 < (1 * a0 + 0) / 1; id1++)                   work-items of the launch, a0 being the samples
 *             gather_5(0, id1, 0, stage_memory, a1, ..., a2, 784, ...);     a stage: the kernel, made a function
 *         for (int id0 = 0; id0 < (0 * a0 + 2) / 1; id0++)
 *             forward_6(id0, 0, 0, stage_memory, a2, a3, a4);                reads what the one before wrote
 *     }
 */
#include "model/chain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double byte_work = 2; /* operations done while a byte comes from the outer caches */

static double work_of(const struct ink_launches *list, const struct ink_launch *launch, int batch)
{
    double bytes = 0;
    for (int a = 0; a < launch->argument_count; a++)
        if (launch->arguments[a].kind <= INK_ARG_UPDATE)
            bytes += (double)ink_value_bytes(list, launch->arguments[a].value, batch);
    double flops = launch->sample_flops * batch + launch->fixed_flops;
    return flops / (launch->speedup > 0 ? launch->speedup : 1) + byte_work * bytes;
}

static bool is_small(const struct ink_launches *list, const struct ink_launch *launch, int batch)
{
    for (int d = 0; d < 3; d++)
        if (launch->range[d].local > 1)
            return false;
    return !launch->call && !launch->constant && work_of(list, launch, batch) <= INK_CHAIN_WORK;
}

/* The chain's argument that stands for a stage's, -1 if there is none. */
static int find(const struct ink_launch *chain, const struct ink_argument *argument)
{
    bool scalar = argument->kind == INK_ARG_SCALAR;
    for (int a = 0; a < chain->argument_count; a++) {
        const struct ink_argument *other = &chain->arguments[a];
        if (scalar ? other->kind == INK_ARG_SCALAR && other->as.scalar == argument->as.scalar
                   : other->kind <= INK_ARG_UPDATE && other->value == argument->value)
            return a;
    }
    return -1;
}

/* Adds what a stage brings to the arguments; false, and nothing added, where that is too much. */
static bool take_arguments(struct ink_launch *chain, const struct ink_launch *stage)
{
    const struct ink_argument batch = {.kind = INK_ARG_SCALAR, .value = INK_NO_VALUE, .as.scalar = INK_BATCH};
    int before = chain->argument_count;
    for (int a = -1; a < stage->argument_count; a++) { /* ranges may go by the batch */
        const struct ink_argument *argument = a < 0 ? &batch : &stage->arguments[a];
        if (argument->kind == INK_ARG_INT || argument->kind == INK_ARG_FLOAT)
            continue;
        int at = find(chain, argument);
        if (at >= 0 && argument->kind != INK_ARG_READ && chain->arguments[at].kind == INK_ARG_READ)
            chain->arguments[at].kind = INK_ARG_UPDATE;
        if (at >= 0)
            continue;
        if (chain->argument_count == INK_MAX_ARGUMENTS) {
            chain->argument_count = before;
            return false;
        }
        chain->arguments[chain->argument_count++] = *argument;
    }
    return true;
}

/* Begins a chain with the launches from first on; how many it takes. */
static int measure_run(const struct ink_launches *list, int first, int batch, struct ink_launch *chain)
{
    int end = first;
    *chain = (struct ink_launch){.source = "", .kernel = "chain"};
    while (end < list->count && is_small(list, &list->launches[end], batch) && take_arguments(chain, &list->launches[end]))
        end++;
    return end - first;
}

/* Makes the launches from first on, which have become stages, one. */
static void put(struct ink_launches *list, int first, struct ink_launch *chain)
{
    const struct ink_launch *stages = chain->stages;
    snprintf(chain->label, sizeof chain->label, "%d in one: %.24s to %.24s", chain->stage_count, stages[0].label, stages[chain->stage_count - 1].label);
    for (int s = 0; s < chain->stage_count; s++) {
        chain->sample_flops += stages[s].sample_flops;
        chain->fixed_flops += stages[s].fixed_flops;
        if (stages[s].local_floats > chain->local_floats)
            chain->local_floats = stages[s].local_floats;
    }
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

/* The scalars of an evaluation are all int, or uint, of the same bits. */
static void write_arguments(struct ink_text *text, const struct ink_launch *chain)
{
    for (int a = 0; a < chain->argument_count; a++) {
        const struct ink_argument *argument = &chain->arguments[a];
        ink_text_add(text, "%s%s a%d", a ? ", " : "", argument->kind == INK_ARG_SCALAR ? "int" : "__global void *", a);
    }
}

/* A stage's function, called for each work-item in turn, the last dimension outermost. */
static void write_stage(struct ink_text *text, const struct ink_launch *chain, const struct ink_launch *stage, int instance)
{
    const struct ink_argument batch = {.kind = INK_ARG_SCALAR, .as.scalar = INK_BATCH};
    bool many[3];
    ink_text_add(text, "   ");
    for (int d = 2; d >= 0; d--) {
        const struct ink_range *range = &stage->range[d];
        many[d] = range->items_per_group && (range->sample_items || ink_range_groups(range, 0) > 1);
        if (many[d])
            ink_text_add(text, " for (int id%d = 0; id%d < (%zu * a%d + %zu) / %zu; id%d++)", d, d, range->sample_items, find(chain, &batch),
                         range->fixed_items + range->items_per_group - 1, range->items_per_group, d);
    }
    ink_text_add(text, " %s_%d(%s, %s, %s, stage_memory", stage->kernel, instance, many[0] ? "id0" : "0", many[1] ? "id1" : "0", many[2] ? "id2" : "0");
    for (int a = 0; a < stage->argument_count; a++) {
        const struct ink_argument *argument = &stage->arguments[a];
        if (argument->kind == INK_ARG_INT)
            ink_text_add(text, ", %d", argument->as.i);
        else if (argument->kind == INK_ARG_FLOAT)
            ink_text_add(text, ", %af", (double)argument->as.f);
        else
            ink_text_add(text, ", a%d", find(chain, argument));
    }
    ink_text_add(text, ");\n");
}

void ink_chain_write(struct ink_text *text, const struct ink_launch *chain, int first, int instance)
{
    ink_text_add(text, "#undef INSTANCE\n#define INSTANCE %d\nSOLO_KERNEL(chain)(", instance);
    write_arguments(text, chain);
    ink_text_add(text, ")\n{\n    __local float stage_memory[%zu] __attribute__((aligned(64)));\n", chain->local_floats ? chain->local_floats : 1);
    for (int s = 0; s < chain->stage_count; s++)
        write_stage(text, chain, &chain->stages[s], first + s);
    ink_text_add(text, "}\n");
}
