/* The nodes of a model while it is lowered, between lower.c, which emits them, and fuse.c, which changes them first. */
#ifndef INK_MODEL_WORK_H
#define INK_MODEL_WORK_H

#include "model/lower.h"

/* A node while it is lowered. */
struct ink_work {
    struct ink_node node;          /* a copy, changed by the rules */
    bool live;                     /* the output depends on it */
    bool alias;                    /* its output is its input's */
    int consumers;                 /* live nodes that read its output; 0 for aliases */
    int norm;                      /* the batch norm that became part of its weights; -1: none */
    int sum;                       /* a batch norm: the add that normalises in its place; -1: none */
    bool needs_gradient;           /* it, or a node before it, has weights to train */
    ink_value y, grad, saved[INK_MAX_SAVED];
    ink_value parameters, gradients, state;
};

struct ink_works {
    const struct ink_model *model;
    const struct ink_lowering *how;
    struct ink_launches *list;
    struct ink_work *work;
    ink_value input;
};

/* The node whose output i's value really is; -1 the model's input. */
int ink_work_root(const struct ink_works *l, int i);

/* The value of node i's output; -1: of the model's input. */
ink_value ink_work_value(const struct ink_works *l, int i);

/* Counts the consumers of all nodes anew. */
void ink_work_count(struct ink_works *l);

/* A pass of node i, but for dx, operand and epilogue. */
struct ink_call ink_work_call(const struct ink_works *l, int i, enum ink_pass pass);

/* Applies all rules. */
void ink_fuse(struct ink_works *l);

#endif
