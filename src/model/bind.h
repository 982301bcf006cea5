/* From a list of launches to kernels with arguments: their binding to memory, behind the build of their program (program.h).
 * Used by the plan, and by tests that run the launches of one op alone. */
#ifndef INK_MODEL_BIND_H
#define INK_MODEL_BIND_H

#include "ops/launch.h"
#include "util/crowd.h"

/* A list of launches on its way to the device, and there. Zero it, set the first four, then call in this order:
 * ink_bound_place, ink_program_text on all lists together, a build, ink_bound_kernels, ink_bound_storage. */
struct ink_bound {
    struct ink_device *device;
    struct ink_launches *list;
    int batch;
    bool reproducible;        /* arithmetic.cl; of all lists of a program */
    size_t *offsets;          /* of each value in its storage, bytes */
    size_t arena_bytes;
    int *instances;           /* of each launch in the program text */
    cl_kernel *kernels;       /* of each launch; NULL for calls */
    cl_mem *buffers;          /* of each value: a sub-buffer, or the storage itself */
    bool *owned;              /* buffers that this list made */
    int *first_uses;          /* of each value: the first launch that has it; the count of launches if none has */
    int *runs;                /* counts the lists of a plan that have run; NULL: this one is alone */
    int ran;                  /* the how-manieth of them this one was to run first; 0: it has not run */
    cl_int scalars[INK_SCALARS]; /* bits last set */
    bool set[INK_SCALARS];
    bool changed[INK_SCALARS]; /* at the beginning of a run in pieces */
    bool constants_done;      /* constant launches have run since weights last changed; whoever changes them sets it false */
    struct ink_crowd crowd;   /* while others want the cores, the legs of relays are enqueued one by one */
    size_t allowed_group;     /* work-items the device allows a kernel that asks for more; 0: all fit */
};

/* Places the arena's values by their lives. */
ink_status ink_bound_place(struct ink_bound *bound);

/* Makes the kernel objects. What the device allows a kernel is known only now: launches of independent items get smaller
 * work-groups if they must; any other that does not fit is INK_ERROR_UNSUPPORTED, with allowed_group set. */
ink_status ink_bound_kernels(struct ink_bound *bound, cl_program program);

/* Binds every value of a storage to a buffer: values with an offset get sub-buffers of it. */
ink_status ink_bound_storage(struct ink_bound *bound, enum ink_storage storage, cl_mem buffer, size_t buffer_bytes);

/* Enqueues launches first .. end - 1 for n samples: a run in pieces, which begins with launch 0 and goes on in order. */
ink_status ink_bound_run_some(struct ink_bound *bound, cl_command_queue queue, int first, int end, int n, const cl_int scalars[INK_SCALARS]);

/* Enqueues all launches for n samples. scalars: bits of each, float or int. done may be NULL. */
ink_status ink_bound_run(struct ink_bound *bound, cl_command_queue queue, int n, const cl_int scalars[INK_SCALARS], cl_event *done);

/* The same, waited for, on a queue with profiling: seconds that the device spent in each launch, [launches],
 * constant ones too. The launches are
 * in a chain as in ink_bound_run, so each finds the caches as it does there. */
ink_status ink_bound_time(struct ink_bound *bound, cl_command_queue queue, int n, const cl_int scalars[INK_SCALARS], double *seconds);

/* Sub-buffers are released in the reverse of the order in which launches first used them: NVIDIA's driver 580 crashes where some that
 * overlap are released in another. So lists that share an arena are freed in the reverse of the order in which they first ran. */
void ink_bound_free(struct ink_bound *bound);

#endif
