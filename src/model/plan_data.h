/* What a plan is made of, between plan.c, which makes it and runs whole sections, and plan_parts.c, which runs parts of batches. */
#ifndef INK_MODEL_PLAN_DATA_H
#define INK_MODEL_PLAN_DATA_H

#include "model/bind.h"
#include "model/plan.h"

struct ink_plan {
    struct ink_device *device;
    struct ink_launches lists[INK_SECTIONS];
    struct ink_bound bound[INK_SECTIONS];
    struct ink_lowered lowered[INK_SECTIONS];
    bool has[INK_SECTIONS];       /* sections; the lists of others are empty */
    int batch;
    bool reproducible;
    int nodes;
    size_t *parameter_offsets, *state_offsets; /* of each node's blocks, bytes */
    size_t *trained_counts, *state_counts;     /* floats in them */
    size_t parameter_floats, state_floats;
    size_t arena_bytes;
    cl_mem arena, counters;
    cl_mem storage[INK_ACCUMULATED + 1]; /* the plan's own, by enum ink_storage up to INK_ACCUMULATED */
    cl_program program;
    int runs;                     /* lists in bound that have run */
    cl_int scalars[INK_SCALARS];
    int shift;                    /* from a place in INK_ORDER to that in INK_ROWS */
};

/* Sets the scalars that tell a part of a batch. */
void ink_plan_set_part(struct ink_plan *plan, const struct ink_part *part);

#endif
