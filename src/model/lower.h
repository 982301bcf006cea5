/* Lowering: from a model's layers to the list of launches of a training step or of an evaluation. */
#ifndef INK_MODEL_LOWER_H
#define INK_MODEL_LOWER_H

#include "model/model.h"

/* What measurement chose for a call. */
struct ink_choice {
    const struct ink_algorithm *algorithm;
    int variant;
};

/* Gives what was chosen for a call; false: nothing is known, and the guess for the device is taken. */
typedef bool (*ink_choose_function)(const struct ink_call *call, void *user, struct ink_choice *choice);

struct ink_lowering {
    const struct ink_device *device;
    enum ink_style style;               /* CPU or GPU */
    int vector_width, batch, classes;
    bool reproducible;                  /* style is CPU, and only algorithms are taken that sum directly */
    bool training;                      /* a whole step; else forward and the loss */
    bool apart;                         /* training: without the update */
    bool unbundled;                     /* launches stay as operations give them */
    bool unrelayed;                     /* training: no relays */
    bool probabilities;                 /* evaluation writes INK_PROBABILITIES */
    const char *algorithms;             /* as in struct ink_train_options; may be NULL */
    ink_choose_function choose;         /* asked where the user names no algorithm; may be NULL */
    void *choose_user;
    const struct ink_train_options *options; /* training: defaults filled in */
    const float *class_weights;         /* training: [classes of the model]; NULL: all alike */
    const size_t *parameter_offsets, *state_offsets; /* bytes of each node's blocks in INK_PARAMETERS and INK_STATE */
    size_t parameter_floats;            /* length of INK_PARAMETERS, a multiple of 16 */
};

/* What lowering gives beside the launches, for tests and tools. */
struct ink_lowered {
    ink_value input, logits, dlogits;   /* the batch; its logits; their gradient (training) */
};

/* Appends the launches to list (empty before). The rules by which layers fuse are in fuse.c, each a function. */
ink_status ink_lower(const struct ink_model *model, const struct ink_lowering *how, struct ink_launches *list, struct ink_lowered *lowered);

/* Appends what is behind the backward pass of a training step: the optimizer over all parameters. And what adds the gradients of
 * parts of a batch, INK_ACCUMULATED, to those in INK_GRADIENTS. Neither has a launch where nothing is trained. */
ink_status ink_lower_update(const struct ink_lowering *how, struct ink_launches *list);
ink_status ink_lower_accumulate(const struct ink_lowering *how, struct ink_launches *list);

/* True if an algorithm can do the call, with the pooling fused into it if there is one. */
bool ink_algorithm_applies(const struct ink_algorithm *algorithm, const struct ink_call *call);

/* The algorithm for a pass: the one asked for, else the measured one, else the first for this style that applies, else the
 * first that applies; no algorithm if there is none. */
struct ink_choice ink_lower_choice(const struct ink_lowering *how, const struct ink_call *call);

/* Marks the launches that read nothing but parameters, running statistics and what such launches made: transformed or
 * transposed weights. Evaluation runs them when weights change, so what they write keeps its place. */
ink_status ink_lower_mark_constants(struct ink_launches *list);

/* INK_ERROR_ARGUMENT if text names an op or algorithm that does not exist. */
ink_status ink_check_algorithms(const char *text);

#endif
