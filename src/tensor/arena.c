/* Greedy placement by size (Pisarchyk and Lee 2020, "Efficient memory management for deep neural net inference"). */
#include "tensor/arena.h"

#include <stdlib.h>

static int larger_first(const void *a, const void *b)
{
    const struct ink_span *left = *(const struct ink_span *const *)a, *right = *(const struct ink_span *const *)b;
    if (left->bytes != right->bytes)
        return left->bytes < right->bytes ? 1 : -1;
    return left < right ? -1 : left > right;
}

static int lower_first(const void *a, const void *b)
{
    const struct ink_span *left = *(const struct ink_span *const *)a, *right = *(const struct ink_span *const *)b;
    return left->offset < right->offset ? -1 : left->offset > right->offset;
}

ink_status ink_arena_place(struct ink_span *spans, size_t count, size_t align, size_t *total)
{
    struct ink_span **order = calloc(2 * count + 1, sizeof *order);
    if (!order)
        return ink_fail_memory((2 * count + 1) * sizeof *order);
    struct ink_span **rivals = order + count;
    size_t used = 0, end = 0;
    for (size_t i = 0; i < count; i++)
        if (spans[i].bytes && spans[i].first >= 0)
            order[used++] = &spans[i];
    qsort(order, used, sizeof *order, larger_first);
    for (size_t i = 0; i < used; i++) {
        struct ink_span *span = order[i];
        size_t rival_count = 0;
        for (size_t j = 0; j < i; j++)
            if (order[j]->first <= span->last && span->first <= order[j]->last)
                rivals[rival_count++] = order[j];
        qsort(rivals, rival_count, sizeof *rivals, lower_first);
        size_t offset = 0;
        for (size_t j = 0; j < rival_count && rivals[j]->offset < offset + span->bytes; j++) {
            size_t behind = (rivals[j]->offset + rivals[j]->bytes + align - 1) / align * align;
            offset = behind > offset ? behind : offset;
        }
        span->offset = offset;
        end = offset + span->bytes > end ? offset + span->bytes : end;
    }
    free(order);
    *total = end;
    return INK_OK;
}
