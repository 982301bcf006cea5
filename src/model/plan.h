/* The plan: a model made ready on a device for a batch size. Made once; every launch then has its kernel, its
 * arguments and its sizes bound, and a step does nothing but set the few scalars that changed and enqueue. */
#ifndef INK_MODEL_PLAN_H
#define INK_MODEL_PLAN_H

#include "model/lower.h"

/* Launches that run one after the other: a training step; the same in pieces, where the plan is for parts of batches; and the
 * evaluation of a batch. Their arena is shared. */
enum ink_section {
    INK_SECTION_TRAIN,
    INK_SECTION_GRADIENTS,  /* gather to backward, for a part of a batch */
    INK_SECTION_ACCUMULATE, /* adds gradients that were put aside to those of the last part */
    INK_SECTION_UPDATE,     /* clipping, optimizer and averages, from the gradients as they are */
    INK_SECTION_EVALUATE,
    INK_SECTIONS
};

/* Bytes on the device that a plan takes. */
struct ink_plan_bytes {
    uint64_t weights;           /* and gradients, optimizer state, averages, running statistics */
    uint64_t arena;             /* activations and their gradients, workspaces */
    uint64_t largest;           /* buffer */
};

struct ink_plan_options {
    int batch;                  /* samples of a section's run at most */
    int classes;                /* of the data */
    bool training;              /* a training step and evaluation; else evaluation alone */
    bool parts;                 /* training: a step in pieces, and not as one section */
    bool unbundled;             /* launches stay as operations give them, for tests and to tell of each */
    bool unrelayed;             /* training: no relays, so that each launch can be timed */
    bool probabilities;         /* evaluation writes INK_PROBABILITIES */
    const char *algorithms;     /* may be NULL */
    ink_choose_function choose; /* as in struct ink_lowering; may be NULL */
    void *choose_user;          /* must live while the plan is made */
    enum ink_style style;       /* AUTO: the device's */
    size_t align;               /* blocks of parameters begin at multiples of so many bytes at least, for plans on several devices to have
                                   them at the same places; 0: what the device asks for */
    int vector_width;           /* 0: the device's */
    bool reproducible;          /* the same bits on every device; style, algorithms and choose are then not looked at */
    const struct ink_train_options *train; /* for training; defaults filled in */
    /* Asked before memory is taken, with what the plan will take; a failure is that of making the plan. May be NULL. */
    ink_status (*admit)(const struct ink_plan_bytes *bytes, void *user);
    void *admit_user;
    const float *class_weights; /* for training: [classes of the model]; NULL: all alike. Must live while the plan is made */
};

struct ink_plan;

/* Tells what a plan will take, without touching the device. Lowering takes a good part of the time that making a plan does. */
ink_status ink_plan_measure(struct ink_device *device, const struct ink_model *model, const struct ink_plan_options *options, struct ink_plan_bytes *bytes);

/* Lowers, places, builds and binds; copies the model's weights to the device. The model may go afterwards. */
ink_status ink_plan_create(struct ink_device *device, const struct ink_model *model, const struct ink_plan_options *options, struct ink_plan **plan);
void ink_plan_destroy(struct ink_plan **plan);

/* Binds a buffer from outside (INK_IMAGES to INK_ROWS) to every launch of a section that names it. The
 * buffer must outlive its use. */
ink_status ink_plan_bind(struct ink_plan *plan, enum ink_section section, enum ink_storage storage, cl_mem buffer);

/* Sets a scalar for the next runs. */
void ink_plan_set_int(struct ink_plan *plan, enum ink_scalar scalar, cl_int value);
void ink_plan_set_float(struct ink_plan *plan, enum ink_scalar scalar, cl_float value);

/* Where the next runs find their images: INK_ROWS is read so many places behind the one in the order; 0 at first. */
void ink_plan_set_shift(struct ink_plan *plan, int shift);

/* Makes a training plan as new: the model's weights, and an optimizer that has not done a step. */
ink_status ink_plan_rewind(struct ink_plan *plan, const struct ink_model *model);

/* Enqueues a section for n samples from start of the order on; does not wait. done (may be NULL): an event of the
 * last launch, to be released by the caller. */
ink_status ink_plan_run(struct ink_plan *plan, enum ink_section section, int start, int n, cl_event *done);

/* A part of a batch. */
struct ink_part {
    int start, n; /* place in the order of its first sample; samples */
    int first;    /* place of that sample in the batch */
    int whole;    /* samples of the batch, over which gradients are means */
};

/* Enqueues gather to backward for a part, in pieces of at most the plan's batch; does not wait. INK_GRADIENTS then holds what the
 * part adds to the gradients of its batch, on top of what it held before if add. Statistics of batch norm are those of each piece,
 * and the running ones take in each. */
ink_status ink_plan_run_part(struct ink_plan *plan, const struct ink_part *part, bool add);

/* Runs a section on a queue with profiling, waits, and gives the seconds of each of its launches; see ink_bound_time(). */
ink_status ink_plan_time(struct ink_plan *plan, enum ink_section section, int start, int n, cl_command_queue queue, double *seconds);

/* Copies weights and running statistics between the plan and a model of the same layers. Where weights are averaged, upload
 * begins the average anew, and what is downloaded is the average. */
ink_status ink_plan_upload(struct ink_plan *plan, const struct ink_model *model);
ink_status ink_plan_download(struct ink_plan *plan, struct ink_model *model);

/* Copies what training changes, INK_PARAMETERS to INK_AVERAGE, out of the plan or into it: in the layout of model->state for
 * INK_STATE, of model->trained for all others. INK_AVERAGE is there only where weights are averaged. */
ink_status ink_plan_get(struct ink_plan *plan, enum ink_storage storage, float *packed);
ink_status ink_plan_put(struct ink_plan *plan, enum ink_storage storage, const float *packed);

/* Gradients as they lie on the device, in blocks with gaps, alike in plans of one model and alignment: begins to make them readable at
 * *gradients, which they are once all is finished, and ends it; and begins to replace them. Sums of them over plans are gradients. */
size_t ink_plan_gradient_floats(const struct ink_plan *plan);
ink_status ink_plan_map_gradients(struct ink_plan *plan, const float **gradients);
ink_status ink_plan_unmap_gradients(struct ink_plan *plan, const float *gradients);
ink_status ink_plan_write_gradients(struct ink_plan *plan, const float *gradients);

/* A stretch of the gradients, and the launches of INK_SECTION_GRADIENTS behind which it is complete. */
struct ink_bucket {
    size_t first, count; /* floats */
    int launches;
};

/* Divides the gradients into at most so many buckets (INK_MOST_BUCKETS) of at least so many bytes, but for the last, in the order in which
 * they are complete: the last layers' come first. Gives how many there are. */
enum { INK_MOST_BUCKETS = 8 };
int ink_plan_buckets(const struct ink_plan *plan, size_t least_bytes, struct ink_bucket buckets[INK_MOST_BUCKETS]);

/* ink_plan_run_part() without add, which begins to copy each bucket to its place in gradients as soon as it is complete; each has an
 * event, which the caller releases, after a failure too those that are not NULL. A part of several pieces has all of them at its end. */
ink_status ink_plan_run_buckets(struct ink_plan *plan, const struct ink_part *part, const struct ink_bucket *buckets, int count, float *gradients,
                                cl_event *events);

/* For tests and tools. */
const struct ink_launches *ink_plan_launches(const struct ink_plan *plan, enum ink_section section);
const struct ink_lowered *ink_plan_lowered(const struct ink_plan *plan, enum ink_section section);
/* Reads a value as it is now; other values may have taken its place if it is not alive at the section's end. */
ink_status ink_plan_read(struct ink_plan *plan, enum ink_section section, ink_value value, void *data, size_t bytes);
/* Gradients of the last training step, in the layout of model->trained. */
ink_status ink_plan_gradients(struct ink_plan *plan, float *trained);

#endif
