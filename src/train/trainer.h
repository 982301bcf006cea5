/* A training as it runs, and its steps: enqueueing them, waiting for them, looking at what they leave, and going back to where
 * all was well. What goes over epochs is in train.c. */
#ifndef INK_TRAIN_TRAINER_H
#define INK_TRAIN_TRAINER_H

#include "train/checkpoint.h"
#include "train/class_weights.h"
#include "train/memory.h"
#include "train/group.h"
#include "train/recall.h"
#include "train/team.h"

enum { INK_MOST_IN_FLIGHT = 64 }; /* steps */

/* What a process of a group has of its own, and knows of the others. */
struct ink_peers {
    size_t align;                       /* at which all have blocks of parameters at the same places */
    bool differ;                        /* devices are of several kinds, and round differently */
    struct ink_bucket buckets[INK_MOST_BUCKETS];
    int bucket_count;
    float *gradients, *state, *weights; /* for sums; the latter where devices differ */
    bool stop_asked, due;               /* by this process, for its next step; a checkpoint, by the first one */
    size_t diverged;                    /* step of the epoch whose loss is no finite number; 0: none */
};

struct ink_trainer {
    const struct ink_train_options *options;
    const ink_dataset *train, *test;
    struct ink_sampler sampler;         /* over train */
    float *class_weights;               /* of the model's outputs; NULL: all alike */
    struct ink_plan *plan;
    int batch;                          /* samples of a step at most */
    int part;                           /* the plan's batch: samples that are worked on at once */
    bool parts;                         /* a step is done in pieces: several parts, or several devices */
    struct ink_team *team;              /* several devices; plan is then the leader's, and feeds are the first one's, of which only what is
                                           in host memory may be used. NULL: one device */
    struct ink_peers peers;             /* where options->group is not NULL */
    struct ink_recall recall;           /* the algorithms taken; its choices are NULL where guesses are */
    struct ink_run run;                 /* for checkpoints; where they are neither written nor read it is empty */
    struct ink_checkpoint resumed;      /* file is NULL: training begins anew */
    char saved[INK_CHECKPOINT_PATH];    /* the last checkpoint; "" */
    double saved_at;
    struct ink_memory_need need;
    struct ink_memory_plan memory;      /* streams tells which images upload sends */
    struct ink_upload upload;           /* what sends images that do not fit; empty where all do */
    struct ink_feed feed, validation_feed, test_feed; /* without a split or a test set, the latter are empty */
    struct ink_sums sums;
    uint64_t step, steps;               /* steps done since training began, of so many */
    struct ink_monitored monitored;
    ink_model *model;
    struct ink_snapshot good;           /* of the last time that all was known to be finite */
    float *values;                      /* room for a value a weight */
    cl_event in_flight[INK_MOST_IN_FLIGHT]; /* of steps i, i + 1, ... at i % INK_MOST_IN_FLIGHT */
    size_t enqueued, finished, window;  /* steps of this epoch */
    double began, shown;
    bool stopped, asked;                /* by the callback: to end, and for a checkpoint */
    struct ink_progress progress;
};

/* Waits until at most so many steps are in flight; gives the first failure. */
ink_status ink_trainer_settle(struct ink_trainer *t, size_t most);

/* Enqueues a step with the batch at a place of the epoch, counted in batches. */
ink_status ink_trainer_enqueue(struct ink_trainer *t, size_t place);

/* Keeps where training stands as good, no step being in flight; and goes back to it. */
ink_status ink_trainer_keep(struct ink_trainer *t);
ink_status ink_trainer_go_back(struct ink_trainer *t);

/* Reads the losses of the steps that are done; and, no step being in flight, looks at the weights that they have left. Where one is
 * not finite, INK_ERROR_DIVERGED tells what was the first that was not. */
ink_status ink_trainer_tally(struct ink_trainer *t);
ink_status ink_trainer_check(struct ink_trainer *t);

/* The order of an epoch. */
ink_status ink_trainer_order(struct ink_trainer *t, int epoch);

/* Reads something from the plan. Of several devices it is the leader's; where that fails it is left out, and the next one is asked. */
ink_status ink_trainer_ask(struct ink_trainer *t, ink_status (*what)(struct ink_trainer *t, struct ink_plan *plan));

/* Copies what was kept into every plan; and makes every plan as new, with the weights of a model. */
ink_status ink_trainer_put(struct ink_trainer *t);
ink_status ink_trainer_rewind(struct ink_trainer *t, const ink_model *model);

/* Makes the other devices ready as the first one is, whose plan was made with these options; divides batches among them; does a step
 * over n samples; and ends the team, which is allowed at any time. */
ink_status ink_trainer_gather(struct ink_trainer *t, ink_model *model, const struct ink_plan_options *how);
ink_status ink_trainer_share(struct ink_trainer *t);
ink_status ink_trainer_team_step(struct ink_trainer *t, int start, int n);
void ink_trainer_dismiss(struct ink_trainer *t);

/* One of a group of processes: finds out what the others are, and takes up and gives up what steps need; does its part of a step, or of
 * an evaluation; and hears whether one was asked to stop. */
ink_status ink_trainer_meet(struct ink_trainer *t, const ink_device *device);
ink_status ink_trainer_join(struct ink_trainer *t);
void ink_trainer_part(struct ink_trainer *t);
ink_status ink_trainer_group_step(struct ink_trainer *t, int start, int n);
ink_status ink_trainer_group_evaluate(struct ink_trainer *t, struct ink_feed *feed, const ink_dataset *dataset, struct ink_metrics *metrics);
void ink_trainer_agree_to_stop(struct ink_trainer *t);

/* The alignment at which blocks of parameters lie at the same places on all devices. */
size_t ink_devices_align(const struct ink_train_options *options);

/* Begins and ends a training: looks at what was asked for and counts steps, *device being the one of the call, and then the first one;
 * makes ready for checkpoints and reads the one to go on from, before any work; makes plan and feeds, and their end; and makes room for
 * what is kept. */
ink_status ink_trainer_begin(struct ink_trainer *t, const struct ink_train_options *given, struct ink_train_options *options, ink_device **device);
ink_status ink_trainer_open_checkpoints(struct ink_trainer *t, const struct ink_train_options *given, ink_device *device);
ink_status ink_trainer_prepare(struct ink_trainer *t, ink_device *device);
void ink_trainer_close_plan(struct ink_trainer *t);
ink_status ink_trainer_make_room(struct ink_trainer *t);
void ink_trainer_end(struct ink_trainer *t);

/* Writes what was kept as a checkpoint. Training goes on where that fails: what is on disk is still good. */
ink_status ink_trainer_save(struct ink_trainer *t);

#endif
