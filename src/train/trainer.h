/* A training as it runs, and its steps: enqueueing them, waiting for them, looking at what they leave, and going back to where
 * all was well. What goes over epochs is in train.c. */
#ifndef INK_TRAIN_TRAINER_H
#define INK_TRAIN_TRAINER_H

#include "train/checkpoint.h"
#include "train/recall.h"

enum { INK_MOST_IN_FLIGHT = 64 }; /* steps */

struct ink_trainer {
    const struct ink_train_options *options;
    const ink_dataset *train, *test;
    struct ink_plan *plan;
    int part;                           /* the plan's batch: samples that are worked on at once */
    bool parts;                         /* it is less than the batch, so a step takes several */
    struct ink_recall recall;           /* the algorithms taken; its choices are NULL where guesses are */
    struct ink_run run;                 /* for checkpoints; where they are neither written nor read it is empty */
    struct ink_checkpoint resumed;      /* file is NULL: training begins anew */
    char saved[INK_CHECKPOINT_PATH];    /* the last checkpoint; "" */
    double saved_at;
    struct ink_feed feed, test_feed;
    struct ink_sums sums;
    uint64_t step, steps;               /* steps done since training began, of so many */
    struct ink_monitored monitored;
    ink_model *model;
    struct ink_snapshot good;           /* of the last time that all was known to be finite */
    float *values;                      /* room for a value a weight */
    cl_event in_flight[INK_MOST_IN_FLIGHT]; /* of steps i, i + 1, ... at i % INK_MOST_IN_FLIGHT */
    size_t enqueued, finished, window;  /* steps of this epoch */
    double began, shown;
    bool stopped;
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

/* Writes what was kept as a checkpoint. Training goes on where that fails: what is on disk is still good. */
ink_status ink_trainer_save(struct ink_trainer *t);

#endif
