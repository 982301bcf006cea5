/* Runs one pass of one op alone on a device, by one algorithm, and hands back what it wrote: the ground on which every
 * op is held against tests/reference.h. Each case is run for every algorithm of the pass that applies, in CPU and GPU
 * style, at vector widths of 4, 8 and 16 (those of GPU style, which is scalar, at 4 only; those that are taken on request
 * once), and with a short batch. */
#ifndef INK_TESTS_OP_CASE_H
#define INK_TESTS_OP_CASE_H

#include "model/model.h"

/* What a pass is run on. Arrays are of n samples; those a pass does not read may be NULL, those it does not write too. */
struct op_case {
    struct ink_shape in;
    struct ink_layer layer;
    struct { int height, width; } pool; /* the window of a max pooling fused behind the op; 0: none */
    int batch, n;              /* samples the plan is made for; samples run */
    bool every_variant;        /* of each algorithm, not its guess alone */
    size_t max_work_group;     /* work-items that the device is said to allow a group; 0: as many as it does */
    bool training;             /* forward as while training */
    int operand;               /* backward_data of an op with two inputs */
    uint32_t step;             /* INK_STEP */
    int first;                 /* INK_FIRST */
    uint64_t seed;             /* INK_SEED_LOW, INK_SEED_HIGH */
    /* backward_data: the end of the pass (struct ink_epilogue); mask_y: [n][in] */
    bool accumulate;
    ink_activation mask;
    float mask_slope;
    const float *mask_y;
    /* read */
    const float *x[2], *dy;    /* [n][in], [n][out] */
    const float *parameters;   /* the node's trained block */
    /* read and written */
    float *y;                  /* [n][out]; forward writes it, backward passes read it */
    float *dx;                 /* [n][in]; read too if accumulate */
    float *gradients;          /* the node's trained block; written by backward_weights, and read by a backward_data that uses it */
    float *state;              /* running statistics */
    void *saved[INK_MAX_SAVED]; /* forward in training writes it, backward passes read it */
};

/* One way to run a case. */
struct op_way {
    enum ink_style style;
    int vector_width;
    enum ink_pass pass;
    const struct ink_algorithm *algorithm;
    int variant;               /* of the algorithm */
    const char *label;         /* for messages: "conv direct forward, CPU style, vectors of 16" */
};

/* The device that tests run on: $INKLING_TEST_DEVICE or the CPU; opened once a process. Without any OpenCL device the
 * program ends with the exit code 77 (skipped), after saying so. */
struct ink_device *test_device(void);

/* The node of a case, to learn shapes and counts. Free with op_case_free_node(). */
const struct ink_node *op_case_node(const struct op_case *op_case);

/* Calls check(way, user) for every way a pass of the case can be run; fails the test if there is none. With
 * $INKLING_TEST_ALGORITHM set, only for those of that name. Run a way with op_case_run(). */
void op_case_each_way(const struct op_case *op_case, enum ink_pass pass, void (*check)(const struct op_way *way, void *user), void *user);

/* Optional, to save time: builds the kernels of all passes of these cases together, one program a vector width. Only their
 * shapes count, no data is needed. Without it op_case_each_way() builds those of its case and pass together. A run that
 * differs from what was prepared builds a program of its own. */
void op_case_prepare(const struct op_case *cases, int count);

/* Runs a pass one way. Fails the test if anything fails. Buffers start filled with NaN, so that what a kernel should have written shows.
 * Gives what rounding errors may be beside those of direct sums: the largest error_factor of its launches, at least 1. */
double op_case_run(const struct op_case *op_case, enum ink_pass pass, const struct op_way *way);

/* What a pass would be in CPU style by the algorithm of that name, which has to apply. Free with ink_launches_free(). */
struct ink_launches op_case_launches(const struct op_case *op_case, enum ink_pass pass, const char *algorithm, int vector_width);

/* The whole number that a launch defines; fails the test if it does not. */
int op_case_define(const struct ink_launch *launch, const char *name);

/* Seeded numbers in [low, high). */
void test_fill(uint64_t seed, float low, float high, float *values, size_t count);

#endif
