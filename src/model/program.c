/* Writing program texts; see program.h.
 *
 *     common.cl, relay.cl
 *     #define INSTANCE 0                  a copy of a source: the defines of a launch in front of it; a kernel, or (SOLO_KERNEL) a function
 *     ...
 *     static void forward_0(int id0, int id1, int id2, __local float *stage_memory, in_t x, ...) { ... }
 *     __kernel void forward_1(__global void *a0, ...) { forward_0(get_global_id(0), ...); }         of a launch that is alone
 *     __kernel void relay_2(__global void *a0, ...) { ... forward_0(id0, ...); ... }                of one with stages
 *
 * Launches with the same source and defines share what there is of it.
 */
#include "model/program.h"

#include <stdlib.h>
#include <string.h>

#include "device/source.h"
#include "model/bundle.h"
#include "model/chain.h"
#include "model/relay.h"
#include "model/stages.h"
#include "util/text.h"

/* What the text has: whose copy or kernel it is, and its number. */
struct part {
    const struct ink_launch *launch;
    int number;
};

struct parts {
    struct part *parts;
    int count, room;
};

struct program {
    struct ink_text text;
    struct parts functions, kernels;
    int numbers;
};

/* The number of the part that serves this launch too, -1 if there is none. */
static int find(const struct parts *parts, const struct ink_launch *launch)
{
    for (int i = 0; i < parts->count; i++)
        if (ink_launch_shares_code(parts->parts[i].launch, launch))
            return parts->parts[i].number;
    return -1;
}

/* A number for a new part. */
static int add(struct program *program, struct parts *parts, const struct ink_launch *launch)
{
    if (parts->count == parts->room) {
        int room = 2 * parts->room + 16;
        struct part *grown = realloc(parts->parts, (size_t)room * sizeof *grown);
        if (!grown) {
            program->text.status = ink_fail_memory((size_t)room * sizeof *grown);
            return 0;
        }
        parts->parts = grown;
        parts->room = room;
    }
    parts->parts[parts->count++] = (struct part){launch, program->numbers};
    return program->numbers++;
}

static void write_source(struct ink_text *text, const char *name)
{
    char *source;
    if (text->status)
        return;
    text->status = ink_source_load(name, &source);
    if (text->status)
        return;
    ink_text_bytes(text, source, strlen(source));
    free(source);
}

/* A launch's copy of its source. */
static void write_copy(struct ink_text *text, const struct ink_launch *launch, int instance)
{
    ink_text_add(text, "#undef INSTANCE\n#define INSTANCE %d\n#define KERNEL_%s\n", instance, launch->kernel);
    for (int d = 0; d < launch->define_count; d++)
        ink_text_add(text, "#undef %s\n#define %s %s\n", launch->defines[d].name, launch->defines[d].name, launch->defines[d].text);
    if (launch->generated)
        ink_text_bytes(text, launch->generated, strlen(launch->generated));
    write_source(text, launch->source);
    ink_text_add(text, "#undef KERNEL_%s\n", launch->kernel);
    for (int d = 0; d < launch->define_count; d++)
        ink_text_add(text, "#undef %s\n", launch->defines[d].name);
}

/* The number of the function that a launch's code is, written if there is none yet. */
static int function_of(struct program *program, const struct ink_launch *launch)
{
    int found = find(&program->functions, launch);
    if (found >= 0)
        return found;
    int number = add(program, &program->functions, launch);
    ink_text_add(&program->text, "#define STAGE_FLOATS %zu\n#define get_global_id(d) id##d\n", launch->local_floats);
    write_copy(&program->text, launch, number);
    ink_text_add(&program->text, "#undef get_global_id\n#undef STAGE_FLOATS\n");
    return number;
}

/* The same of the kernel of a launch. */
static int kernel_of(struct program *program, struct ink_launch *launch)
{
    bool called = ink_stages_called(launch);
    for (int s = 0; s < ink_stages_count(launch) && called; s++)
        ink_stages_of(launch)[s].function = function_of(program, &ink_stages_of(launch)[s]);
    int found = find(&program->kernels, launch);
    if (found >= 0)
        return found;
    int number = add(program, &program->kernels, launch);
    if (!called) {
        write_copy(&program->text, launch, number);
        return number;
    }
    switch (launch->joint) {
    case INK_ALONE: ink_stages_write_alone(&program->text, launch, number); break;
    case INK_CHAIN: ink_chain_write(&program->text, launch, number); break;
    case INK_BUNDLE: ink_bundle_write(&program->text, launch, number); break;
    case INK_RELAY: ink_relay_write(&program->text, launch, number); break;
    }
    return number;
}

ink_status ink_program_text(struct ink_bound *bound, int count, int vector_width, char **out)
{
    struct program program = {0};
    ink_text_add(&program.text, "#define VW %d\n#define LOOSE %d\n#define SHARES %d\n", vector_width, bound->device->style == INK_STYLE_CPU,
                 INK_RELAY_SHARES);
    if (bound->reproducible)
        ink_text_add(&program.text, "#define REPRODUCIBLE 1\n");
    write_source(&program.text, "common.cl");
    write_source(&program.text, "relay.cl");
    for (int b = 0; b < count; b++)
        for (int i = 0; i < bound[b].list->count; i++)
            if (!bound[b].list->launches[i].call)
                bound[b].instances[i] = kernel_of(&program, &bound[b].list->launches[i]);
    free(program.functions.parts);
    free(program.kernels.parts);
    return ink_text_take(&program.text, out, NULL);
}
