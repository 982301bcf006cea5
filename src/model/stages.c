/* Making launches stages of one, and the calls in its kernel; see stages.h. Its arguments are the values and scalars of its stages, each
 * once, a0 the samples of the step where no stage names that before; other numbers are written into the text. Its local memory comes as an
 * argument too: PoCL takes that for what a kernel declares, and fails where compilers have put such an address into a function. It points
 * to vectors for their alignment. */
#include "model/stages.h"

#include <stdio.h>

static const double byte_work = 2; /* operations done while a byte comes from the outer caches */

static const struct ink_argument samples = {.kind = INK_ARG_SCALAR, .value = INK_NO_VALUE, .as.scalar = INK_BATCH};

bool ink_stages_can(const struct ink_launch *launch)
{
    for (int d = 0; d < 3; d++)
        if (launch->range[d].local > 1)
            return false;
    return !launch->call && !launch->grouped;
}

double ink_stages_work(const struct ink_launches *list, const struct ink_launch *launch, int batch)
{
    double bytes = 0;
    for (int a = 0; a < launch->argument_count; a++)
        if (ink_argument_is_value(&launch->arguments[a]))
            bytes += (double)ink_value_bytes(list, launch->arguments[a].value, batch);
    double flops = launch->sample_flops * batch + launch->fixed_flops;
    return flops / (launch->speedup > 0 ? launch->speedup : 1) + byte_work * bytes;
}

/* The argument of whole that stands for a stage's, -1 if there is none. */
static int find(const struct ink_launch *whole, const struct ink_argument *argument)
{
    bool scalar = argument->kind == INK_ARG_SCALAR;
    for (int a = 0; a < whole->argument_count; a++) {
        const struct ink_argument *other = &whole->arguments[a];
        if (scalar ? other->kind == INK_ARG_SCALAR && other->as.scalar == argument->as.scalar
                   : ink_argument_is_value(other) && other->value == argument->value)
            return a;
    }
    return -1;
}

bool ink_stages_take(struct ink_launch *whole, const struct ink_launch *stage)
{
    int before = whole->argument_count;
    for (int a = -1; a < stage->argument_count; a++) { /* ranges may go by the batch */
        const struct ink_argument *argument = a < 0 ? &samples : &stage->arguments[a];
        if (argument->kind == INK_ARG_INT || argument->kind == INK_ARG_FLOAT)
            continue;
        int at = find(whole, argument);
        if (at >= 0 && argument->kind != INK_ARG_READ && whole->arguments[at].kind == INK_ARG_READ)
            whole->arguments[at].kind = INK_ARG_UPDATE;
        if (at >= 0)
            continue;
        if (whole->argument_count == INK_MAX_ARGUMENTS) {
            whole->argument_count = before;
            return false;
        }
        whole->arguments[whole->argument_count++] = *argument;
    }
    return true;
}

void ink_stages_sum(struct ink_launch *whole)
{
    for (int s = 0; s < whole->stage_count; s++) {
        const struct ink_launch *stage = &whole->stages[s];
        whole->sample_flops += stage->sample_flops;
        whole->fixed_flops += stage->fixed_flops;
        if (stage->local_floats > whole->local_floats)
            whole->local_floats = stage->local_floats;
        if (stage->error_factor > whole->error_factor)
            whole->error_factor = stage->error_factor;
    }
}

/* A uint goes as an int of the same bits. */
static bool is_float(enum ink_scalar scalar)
{
    return scalar == INK_LEARNING_RATE || scalar == INK_CORRECTION1 || scalar == INK_CORRECTION2 || scalar == INK_AVERAGE_REST ||
           scalar == INK_BATCH_WEIGHT;
}

static const char *type_of(const struct ink_argument *argument)
{
    switch (argument->kind) {
    case INK_ARG_INT: return "int";
    case INK_ARG_FLOAT: return "float";
    case INK_ARG_SCALAR: return is_float(argument->as.scalar) ? "float" : "int";
    default: return "__global void *";
    }
}

void ink_stages_write_head(struct ink_text *text, const struct ink_launch *whole, int instance)
{
    ink_text_add(text, "__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void %s_%d(", whole->kernel, instance);
    for (int a = 0; a < whole->argument_count; a++)
        ink_text_add(text, "%s%s a%d", a ? ", " : "", type_of(&whole->arguments[a]), a);
    if (whole->local_floats)
        ink_text_add(text, ", __local float16 *memory)\n{\n    __local float *stage_memory = (__local float *)memory;\n");
    else
        ink_text_add(text, ")\n{\n    __local float *stage_memory = 0;\n");
}

bool ink_stages_many(const struct ink_range *range) { return range->items_per_group && (range->sample_items || ink_range_groups(range, 0) > 1); }

struct ink_stage_groups ink_stages_groups(const struct ink_launch *whole, const struct ink_range *range)
{
    struct ink_stage_groups groups;
    if (range->items_per_group && range->sample_items)
        snprintf(groups.text, sizeof groups.text, "((%zu * a%d + %zu) / %zu)", range->sample_items, find(whole, &samples),
                 range->fixed_items + range->items_per_group - 1, range->items_per_group);
    else
        snprintf(groups.text, sizeof groups.text, "%zu", ink_range_groups(range, 0));
    return groups;
}

static void write_value(struct ink_text *text, const struct ink_launch *whole, const struct ink_argument *argument)
{
    if (argument->kind == INK_ARG_INT)
        ink_text_add(text, "%d", argument->as.i);
    else if (argument->kind == INK_ARG_FLOAT)
        ink_text_add(text, "%af", (double)argument->as.f);
    else
        ink_text_add(text, "a%d", find(whole, argument));
}

void ink_stages_write_call(struct ink_text *text, const struct ink_launch *whole, int stage, const char *const ids[3])
{
    const struct ink_launch *launch = &whole->stages[stage];
    ink_text_add(text, "%s_%d(%s, %s, %s, stage_memory", launch->kernel, launch->function, ids[0], ids[1], ids[2]);
    for (int a = 0; a < launch->argument_count; a++) {
        ink_text_add(text, ", ");
        write_value(text, whole, &launch->arguments[a]);
    }
    ink_text_add(text, ");\n");
}

void ink_stages_write_alone(struct ink_text *text, const struct ink_launch *launch, int instance)
{
    ink_stages_write_head(text, launch, instance);
    ink_text_add(text, "    %s_%d(get_global_id(0), get_global_id(1), get_global_id(2), stage_memory", launch->kernel, launch->function);
    for (int a = 0; a < launch->argument_count; a++)
        ink_text_add(text, ", a%d", a);
    ink_text_add(text, ");\n}\n");
}
