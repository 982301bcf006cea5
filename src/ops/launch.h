/* A list of kernel launches as operations write it and the plan reads it: which kernel of which source, specialised
 * by which defines, over which range, with which arguments. Nothing here touches a device; the plan places the
 * values in memory, builds one program of all launches, and binds the arguments.
 *
 * The calls that add to a list cannot fail one by one: the first failure (memory, a limit) is kept in list->status
 * and later calls do nothing, so a caller checks once at its end.
 */
#ifndef INK_OPS_LAUNCH_H
#define INK_OPS_LAUNCH_H

#include <CL/cl.h>

#include "device/device.h"

/* A tensor of the plan, by its number in the list. */
typedef int ink_value;
enum { INK_NO_VALUE = -1 };

/* Where a value lives: in the arena (the plan's own, placed by its life), or in a buffer bound from outside. */
enum ink_storage {
    INK_ARENA,
    INK_PARAMETERS,    /* trained weights of all layers, flat, float */
    INK_GRADIENTS,     /* in the same layout */
    INK_STATE,         /* running statistics of all layers, flat, float */
    INK_MOMENT1,       /* optimizer state, in the layout of the parameters */
    INK_MOMENT2,
    INK_AVERAGE,       /* moving average of the weights, in the layout of the parameters */
    INK_ACCUMULATED,   /* gradients of the parts of a batch that are done, in the layout of the parameters */
    INK_IMAGES,        /* the data set: bytes */
    INK_LABELS,        /* the data set: bytes */
    INK_ORDER,         /* uint: sample numbers in the order of this epoch */
    INK_LOSSES,        /* float: loss of each sample at its place in the order */
    INK_PREDICTIONS,   /* int: predicted class, likewise */
    INK_PROBABILITIES, /* float: [place in the order][classes] */
    INK_ROWS,          /* uint: where images are in INK_IMAGES: the order itself, or for those that are sent batch by batch their places there */
    INK_COUNTERS,      /* int: what the work-groups of a relay count with; 0 between launches */
    INK_STORAGES
};

struct ink_value_info {
    char label[48];
    enum ink_storage storage;
    size_t sample_bytes;       /* bytes = sample_bytes * batch + fixed_bytes */
    size_t fixed_bytes;
    size_t offset;             /* INK_PARAMETERS, INK_GRADIENTS, INK_STATE: bytes from its start */
    bool pinned;               /* arena: keeps its place from the first launch to the last, for the host to write and read */
};

/* Scalars that the host sets before a step, where they changed. */
enum ink_scalar {
    INK_BATCH,          /* int: samples in this step, 1 .. the plan's batch */
    INK_START,          /* int: place in the order of the first sample of this step */
    INK_ROW,            /* int: place in INK_ROWS of the first sample of this step */
    INK_FIRST,          /* int: place of that sample in its batch, above 0 where a step takes a part of a batch */
    INK_WHOLE,          /* int: samples of that batch */
    INK_STEP,           /* uint: steps done so far; names the random numbers of a step */
    INK_SEED_LOW, INK_SEED_HIGH, /* uint */
    INK_LEARNING_RATE,  /* float */
    INK_CORRECTION1,    /* float: 1 / (1 - beta1^t) of Adam */
    INK_CORRECTION2,    /* float: 1 / (1 - beta2^t) */
    INK_AVERAGE_REST,   /* float: share of the new weights in their moving average */
    INK_BATCH_WEIGHT,   /* float: what the samples of the whole batch weigh together, where classes have weights */
    INK_EPOCH,          /* uint: counts from 1; names the distortions of an epoch */
    INK_SCALARS
};

enum ink_argument_kind { INK_ARG_READ, INK_ARG_WRITE, INK_ARG_UPDATE, INK_ARG_INT, INK_ARG_FLOAT, INK_ARG_SCALAR };

struct ink_argument {
    enum ink_argument_kind kind;
    ink_value value;           /* READ, WRITE, UPDATE (both) */
    union {
        cl_int i;
        cl_float f;
        enum ink_scalar scalar;
    } as;
};

/* True for an argument that is a value, and not a number. */
static inline bool ink_argument_is_value(const struct ink_argument *argument) { return argument->kind <= INK_ARG_UPDATE; }

enum { INK_MAX_ARGUMENTS = 48, INK_MAX_DEFINES = 48, INK_DEFINE_BYTES = 40 };

/* What is chained (model/chain.h), of an evaluation: plans for at most so many samples, and of these launches of at most so many
 * operations of the direct algorithm. A core does some tens of them in a nanosecond; to wake the cores takes tens of microseconds. */
enum { INK_CHAIN_SAMPLES = 4, INK_CHAIN_WORK = 3000000 };

/* What is bundled (model/bundle.h): launches of at most so many operations. Those that read more of the arena than so many bytes do not
 * wait for others: what they read would leave the caches, or take the place of something else there. */
enum { INK_BUNDLE_WORK = 15000000, INK_BUNDLE_BYTES = 512 << 10 };

/* Work-groups in one dimension: ceil((sample_items * n + fixed_items) / items_per_group), n the samples of the step. */
struct ink_range {
    size_t sample_items, fixed_items, items_per_group;
    size_t local;              /* work-items in a group */
};

/* How one launch does several: a chain one after the other in a single work-item (model/chain.h), a bundle each in work-groups of its own
 * (model/bundle.h), a relay in legs, of stages that do not wait for each other, whose work-groups a few work-groups share out (model/relay.h). */
enum ink_joint { INK_ALONE, INK_CHAIN, INK_BUNDLE, INK_RELAY };

struct ink_launch;
/* A launch that is not a kernel of ours but a call into a library (CLBlast): buffers are those of the arguments in
 * order, NULL where an argument is no buffer; n is the samples of the step. */
typedef ink_status (*ink_host_call)(const struct ink_launch *launch, struct ink_device *device, cl_command_queue queue,
                                    const cl_mem *buffers, int n);

struct ink_launch {
    const char *source;        /* "conv_direct.cl"; static text */
    const char *kernel;        /* name given to KERNEL() there; static text */
    char label[80];            /* for people: "conv2 forward direct" */
    const char *algorithm;     /* the name of the algorithm that it belongs to; NULL: a pass that has but one */
    bool constant;             /* reads nothing but parameters: runs when those change, not every time */
    char *generated;           /* text in front of this launch's copy of the source, behind its defines; from malloc(),
                                  freed with the list; NULL: none. Macros that it makes it undefines first */
    struct {
        char name[24], text[INK_DEFINE_BYTES];
    } defines[INK_MAX_DEFINES];
    int define_count;
    struct ink_argument arguments[INK_MAX_ARGUMENTS];
    int argument_count;
    struct ink_range range[3]; /* zeroed dimensions have one group of one */
    bool by_samples;           /* see ink_launch_samples */
    bool grouped;              /* its kernel is one of groups of several work-items, even where a device allows but one: set by
                                  ink_define_group and ink_range_items */
    size_t items_per_item;     /* set by ink_range_items: items of a work-item; its groups may be made smaller. Else 0 */
    double sample_flops, fixed_flops; /* direct-algorithm floating-point operations: sample_flops * n + fixed_flops */
    double speedup;            /* operations of the direct algorithm for each that it does, about; 0 stands for 1 */
    size_t local_floats;       /* of local memory, for a SOLO_KERNEL (common.cl), or the most that a stage takes */
    enum ink_joint joint;      /* whether it is several in one, and how */
    struct ink_launch *stages; /* those; from malloc(), freed with the list; NULL: it is alone */
    int stage_count;
    int function;              /* of a launch whose work-groups are of one work-item: the number of its function in the program text */
    int leg;                   /* of a stage of a relay */
    bool backwards;            /* of such a stage: its leg takes the last work-group first */
    int block;                 /* of a chain, and of its stages: samples that a work-group takes; 0: all of the batch */
    double error_factor;       /* rounding errors beside those of direct sums, at most; 0 stands for 1 */
    ink_host_call call;        /* NULL for a kernel */
    void *call_data;           /* for call; from malloc(), freed with the list */
};

struct ink_launches {
    struct ink_launch *launches;
    int count, room;
    struct ink_value_info *values;
    int value_count, value_room;
    ink_status status;
    const char *label;         /* in front of the label of each launch that is added; may be NULL */
};

void ink_launches_free(struct ink_launches *list);

/* A new value in the arena. */
ink_value ink_value_create(struct ink_launches *list, const char *label, size_t sample_bytes, size_t fixed_bytes);
/* A value in storage bound from outside. */
ink_value ink_value_bind(struct ink_launches *list, const char *label, enum ink_storage storage, size_t offset, size_t bytes);

/* Adds a launch. The pointer is good until the next one is added; never NULL (after a failure it is a scratch one). */
struct ink_launch *ink_launch_add(struct ink_launches *list, const char *source, const char *kernel, const char *label);

/* #define name value, in front of this launch's copy of the source. Launches with equal source and defines share a copy. */
void ink_define_int(struct ink_launches *list, struct ink_launch *launch, const char *name, long value);
void ink_redefine_int(struct ink_launch *launch, const char *name, long value); /* where it has that define */
/* GROUP of a GROUP_KERNEL (common.cl): so many work-items to a group. */
void ink_define_group(struct ink_launches *list, struct ink_launch *launch, size_t items);
void ink_define_float(struct ink_launches *list, struct ink_launch *launch, const char *name, float value);
void ink_define_text(struct ink_launches *list, struct ink_launch *launch, const char *name, const char *text);

/* Arguments, in the kernel's order. */
void ink_arg_value(struct ink_launches *list, struct ink_launch *launch, enum ink_argument_kind kind, ink_value value);
void ink_arg_int(struct ink_launches *list, struct ink_launch *launch, int value);
void ink_arg_float(struct ink_launches *list, struct ink_launch *launch, float value);
void ink_arg_scalar(struct ink_launches *list, struct ink_launch *launch, enum ink_scalar scalar);

/* Work-groups in a dimension: items (a sample's, or fixed), so many to a group of local work-items. */
void ink_range_samples(struct ink_launch *launch, int dimension, size_t sample_items, size_t items_per_group, size_t local);
void ink_range_fixed(struct ink_launch *launch, int dimension, size_t items, size_t items_per_group, size_t local);

/* For kernels that walk over independent vectors or elements with FOR_ITEMS(i, total) of common.cl: the defines
 * ITEMS and LOCAL and dimension 0. A CPU's work-group of one takes items in a row (a group costs about a microsecond,
 * so give it tens of them), a GPU's of 64 one each. sample_items * n + fixed_items is the total the kernel must compute. */
void ink_range_items(struct ink_launches *list, struct ink_launch *launch, enum ink_style style, size_t sample_items, size_t fixed_items,
                     size_t items);

/* So many items to a group that its items are those of whole samples, or of a part of one that all groups of a sample have alike; about as many
 * as asked for, which is given where that cannot be. */
size_t ink_range_whole(size_t sample_items, size_t items);

/* Samples whose values a work-group uses and writes, none but theirs, and wholly but for other groups that take the same ones; 0 where it goes
 * by no samples. What a launch's by_samples tells, if its groups end where samples do; what is no value of samples it may read, and write a part
 * that no other group touches. The last vector of a sample may be loaded with lanes of the next one, which are not used. */
size_t ink_launch_samples(const struct ink_launch *launch);

/* Whether two launches are served by one copy of their source: the same kernel and the same defines. */
bool ink_launch_shares_code(const struct ink_launch *a, const struct ink_launch *b);

/* Work-groups of a range in its dimension for n samples, and of a launch in each. */
size_t ink_range_groups(const struct ink_range *range, int n);
void ink_launch_groups(const struct ink_launch *launch, int n, size_t groups[3]);

/* Bytes of a value for a batch. */
size_t ink_value_bytes(const struct ink_launches *list, ink_value value, int batch);

#endif
