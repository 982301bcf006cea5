/* Which launches have to keep their order; see conflict.h. */
#include "model/conflict.h"

bool ink_value_by_samples(const struct ink_launches *list, ink_value value)
{
    const struct ink_value_info *info = &list->values[value];
    return info->storage == INK_ARENA && info->sample_bytes && !info->fixed_bytes;
}

/* Whether two arguments name memory in common. Storage bound without a size is taken whole. */
static bool overlap(const struct ink_launches *list, ink_value a, ink_value b)
{
    const struct ink_value_info *x = &list->values[a], *y = &list->values[b];
    if (a == b || x->storage != y->storage || x->storage == INK_ARENA)
        return a == b;
    if (!x->fixed_bytes || !y->fixed_bytes)
        return true;
    return x->offset < y->offset + y->fixed_bytes && y->offset < x->offset + x->fixed_bytes;
}

enum ink_conflict ink_conflict(const struct ink_launches *list, const struct ink_launch *a, const struct ink_launch *b)
{
    enum ink_conflict found = INK_NO_CONFLICT;
    bool by_samples = ink_launch_samples(a) && ink_launch_samples(b);
    for (int i = 0; i < a->argument_count; i++)
        for (int j = 0; j < b->argument_count; j++) {
            const struct ink_argument *x = &a->arguments[i], *y = &b->arguments[j];
            bool written = x->kind != INK_ARG_READ || y->kind != INK_ARG_READ;
            if (!ink_argument_is_value(x) || !ink_argument_is_value(y) || !written || !overlap(list, x->value, y->value))
                continue;
            if (!by_samples || !ink_value_by_samples(list, x->value))
                return INK_CONFLICT;
            found = INK_CONFLICT_BY_SAMPLES;
        }
    return found;
}
