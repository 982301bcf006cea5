/* Places values of known lifetimes in as little memory as it can, sharing a byte among values that are never
 * alive together. Pure arithmetic: no memory is touched. */
#ifndef INK_TENSOR_ARENA_H
#define INK_TENSOR_ARENA_H

#include <stddef.h>

#include "util/status.h"

/* A value that lives from step first to step last, both included; bytes 0 or first < 0: never used. offset is the result. */
struct ink_span {
    size_t bytes;
    int first, last;
    size_t offset;
};

/* Sets the offset of each span, a multiple of align, so that spans whose lives overlap do not overlap in memory;
 * *total is the end of the last. Largest first, each into the lowest gap that holds it; deterministic. */
ink_status ink_arena_place(struct ink_span *spans, size_t count, size_t align, size_t *total);

#endif
