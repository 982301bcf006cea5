/* Recording launches; see launch.h. */
#include "ops/launch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ink_launch scratch; /* what is written to after a failure; never read */

static void fail(struct ink_launches *list, ink_status status)
{
    if (!list->status)
        list->status = status;
}

static void free_launch(struct ink_launch *launch)
{
    for (int s = 0; s < launch->stage_count; s++)
        free_launch(&launch->stages[s]);
    free(launch->stages);
    free(launch->call_data);
    free(launch->generated);
}

void ink_launches_free(struct ink_launches *list)
{
    for (int i = 0; i < list->count; i++)
        free_launch(&list->launches[i]);
    free(list->launches);
    free(list->values);
    *list = (struct ink_launches){0};
}

/* Room for one more of size bytes. */
static bool grow(struct ink_launches *list, void **array, int count, int *room, size_t size)
{
    if (list->status)
        return false;
    if (count < *room)
        return true;
    int more = *room ? 2 * *room : 32;
    void *larger = realloc(*array, (size_t)more * size);
    if (!larger) {
        fail(list, ink_fail_memory((size_t)more * size));
        return false;
    }
    *array = larger;
    *room = more;
    return true;
}

static ink_value add_value(struct ink_launches *list, const char *label, struct ink_value_info info)
{
    if (!grow(list, (void **)&list->values, list->value_count, &list->value_room, sizeof *list->values))
        return INK_NO_VALUE;
    snprintf(info.label, sizeof info.label, "%s", label);
    list->values[list->value_count] = info;
    return list->value_count++;
}

ink_value ink_value_create(struct ink_launches *list, const char *label, size_t sample_bytes, size_t fixed_bytes)
{
    return add_value(list, label, (struct ink_value_info){.storage = INK_ARENA, .sample_bytes = sample_bytes, .fixed_bytes = fixed_bytes});
}

ink_value ink_value_bind(struct ink_launches *list, const char *label, enum ink_storage storage, size_t offset, size_t bytes)
{
    return add_value(list, label, (struct ink_value_info){.storage = storage, .fixed_bytes = bytes, .offset = offset});
}

size_t ink_value_bytes(const struct ink_launches *list, ink_value value, int batch)
{
    return list->values[value].sample_bytes * (size_t)batch + list->values[value].fixed_bytes;
}

struct ink_launch *ink_launch_add(struct ink_launches *list, const char *source, const char *kernel, const char *label)
{
    if (!grow(list, (void **)&list->launches, list->count, &list->room, sizeof *list->launches))
        return &scratch;
    struct ink_launch *launch = &list->launches[list->count++];
    memset(launch, 0, sizeof *launch);
    launch->source = source;
    launch->kernel = kernel;
    snprintf(launch->label, sizeof launch->label, "%s%s%s", list->label ? list->label : "", list->label ? " " : "", label);
    return launch;
}

void ink_define_text(struct ink_launches *list, struct ink_launch *launch, const char *name, const char *text)
{
    if (list->status)
        return;
    if (launch->define_count == INK_MAX_DEFINES || strlen(name) >= sizeof launch->defines->name || strlen(text) >= INK_DEFINE_BYTES) {
        fail(list, ink_fail(INK_ERROR_UNSUPPORTED, "%s: define %s=%s is one too many or too long", launch->label, name, text));
        return;
    }
    strcpy(launch->defines[launch->define_count].name, name);
    strcpy(launch->defines[launch->define_count].text, text);
    launch->define_count++;
}

void ink_define_int(struct ink_launches *list, struct ink_launch *launch, const char *name, long value)
{
    char text[INK_DEFINE_BYTES];
    snprintf(text, sizeof text, value < 0 ? "(%ld)" : "%ld", value);
    ink_define_text(list, launch, name, text);
}

void ink_redefine_int(struct ink_launch *launch, const char *name, long value)
{
    for (int d = 0; d < launch->define_count; d++)
        if (strcmp(launch->defines[d].name, name) == 0)
            snprintf(launch->defines[d].text, sizeof launch->defines[d].text, value < 0 ? "(%ld)" : "%ld", value);
}

void ink_define_group(struct ink_launches *list, struct ink_launch *launch, size_t items)
{
    ink_define_int(list, launch, "GROUP", (long)items);
    launch->grouped = true;
}

void ink_define_float(struct ink_launches *list, struct ink_launch *launch, const char *name, float value)
{
    char text[INK_DEFINE_BYTES];
    snprintf(text, sizeof text, "(%af)", (double)value);
    ink_define_text(list, launch, name, text);
}

static void add_argument(struct ink_launches *list, struct ink_launch *launch, struct ink_argument argument)
{
    if (list->status)
        return;
    if (launch->argument_count == INK_MAX_ARGUMENTS)
        fail(list, ink_fail(INK_ERROR_UNSUPPORTED, "%s: more than %d arguments", launch->label, INK_MAX_ARGUMENTS));
    else
        launch->arguments[launch->argument_count++] = argument;
}

void ink_arg_value(struct ink_launches *list, struct ink_launch *launch, enum ink_argument_kind kind, ink_value value)
{
    add_argument(list, launch, (struct ink_argument){.kind = kind, .value = value});
}

void ink_arg_int(struct ink_launches *list, struct ink_launch *launch, int value)
{
    add_argument(list, launch, (struct ink_argument){.kind = INK_ARG_INT, .value = INK_NO_VALUE, .as.i = value});
}

void ink_arg_float(struct ink_launches *list, struct ink_launch *launch, float value)
{
    add_argument(list, launch, (struct ink_argument){.kind = INK_ARG_FLOAT, .value = INK_NO_VALUE, .as.f = value});
}

void ink_arg_scalar(struct ink_launches *list, struct ink_launch *launch, enum ink_scalar scalar)
{
    add_argument(list, launch, (struct ink_argument){.kind = INK_ARG_SCALAR, .value = INK_NO_VALUE, .as.scalar = scalar});
}

void ink_range_samples(struct ink_launch *launch, int dimension, size_t sample_items, size_t items_per_group, size_t local)
{
    launch->range[dimension] = (struct ink_range){sample_items, 0, items_per_group, local};
}

void ink_range_fixed(struct ink_launch *launch, int dimension, size_t items, size_t items_per_group, size_t local)
{
    launch->range[dimension] = (struct ink_range){0, items, items_per_group, local};
}

void ink_range_items(struct ink_launches *list, struct ink_launch *launch, enum ink_style style, size_t sample_items, size_t fixed_items,
                     size_t items)
{
    size_t local = style == INK_STYLE_CPU ? 1 : 64;
    if (style != INK_STYLE_CPU)
        items = 1;
    ink_define_int(list, launch, "ITEMS", (long)items);
    ink_define_int(list, launch, "LOCAL", (long)local);
    launch->range[0] = (struct ink_range){sample_items, fixed_items, items * local, local};
    launch->items_per_item = items;
    launch->grouped = local > 1;
}

size_t ink_range_whole(size_t sample_items, size_t items)
{
    if (items >= sample_items) {
        size_t samples = 1;
        while (2 * samples * sample_items <= items)
            samples *= 2;
        return samples * sample_items;
    }
    for (size_t part = items; 2 * part > items; part--)
        if (sample_items % part == 0)
            return part;
    return items;
}

size_t ink_launch_samples(const struct ink_launch *launch)
{
    for (int d = 0; d < 3 && launch->by_samples; d++) {
        const struct ink_range *range = &launch->range[d];
        if (!range->sample_items)
            continue;
        if (range->fixed_items || (range->items_per_group % range->sample_items && range->sample_items % range->items_per_group))
            return 0;
        return range->items_per_group > range->sample_items ? range->items_per_group / range->sample_items : 1;
    }
    return 0;
}

bool ink_launch_shares_code(const struct ink_launch *a, const struct ink_launch *b)
{
    if (a->call || b->call || a->stages || b->stages || strcmp(a->source, b->source) != 0 || strcmp(a->kernel, b->kernel) != 0 ||
        a->define_count != b->define_count)
        return false;
    for (int d = 0; d < a->define_count; d++)
        if (strcmp(a->defines[d].name, b->defines[d].name) != 0 || strcmp(a->defines[d].text, b->defines[d].text) != 0)
            return false;
    return !a->generated || !b->generated ? a->generated == b->generated : strcmp(a->generated, b->generated) == 0;
}

size_t ink_range_groups(const struct ink_range *range, int n)
{
    size_t items = range->sample_items * (size_t)n + range->fixed_items;
    return range->items_per_group ? (items + range->items_per_group - 1) / range->items_per_group : 1;
}

void ink_launch_groups(const struct ink_launch *launch, int n, size_t groups[3])
{
    for (int d = 0; d < 3; d++)
        groups[d] = ink_range_groups(&launch->range[d], n);
    if (launch->joint != INK_BUNDLE)
        return;
    groups[0] = 0;
    for (int s = 0; s < launch->stage_count; s++) {
        size_t stage[3];
        ink_launch_groups(&launch->stages[s], n, stage);
        groups[0] += stage[0] * stage[1] * stage[2];
    }
}
