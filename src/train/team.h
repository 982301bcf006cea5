/* Several devices that train one model together, each with a plan and a copy of the data of its own.
 *
 * A step: every device computes the gradients of its part of the batch; the host adds them, device after device in the order of the
 * list, so when they come in makes no difference; every device gets the sum and changes its weights by it. So all hold the same
 * weights, those of the same kind of device bit by bit. Devices of another kind than the leader, the first one left, round
 * differently, and take over its weights after each step. Running statistics of batch norm are averaged over the parts.
 *
 * A device that fails is left out from then on. What it should have done in the step is divided among the others, so no step is lost;
 * the next in the list leads if it was the leader, which it can, as it holds the same state.
 *
 * The host has a thread for each device, as drivers may block. */
#ifndef INK_TRAIN_TEAM_H
#define INK_TRAIN_TEAM_H

#include <pthread.h>

#include "train/recall.h"
#include "train/shares.h"
#include "train/snapshot.h"

enum { INK_MOST_PARTS = 256 }; /* of a member in a step, where others fail */

struct ink_team;
struct ink_member;

/* What a device is to do, in its thread. */
typedef ink_status (*ink_team_job)(struct ink_team *team, struct ink_member *member);

struct ink_member {
    struct ink_team *team;
    ink_device *device;
    struct ink_plan *plan;
    struct ink_feed feed, test_feed, validation_feed;
    struct ink_recall recall;        /* of a device of another kind than the first; that one's is the trainer's */
    struct ink_choices choices;
    int kind;                        /* the first member whose device is of the same kind: it gives the same bits */
    bool lost;
    struct ink_part parts[INK_MOST_PARTS]; /* of the step that runs */
    int part_count, parts_done;
    const float *gradients;          /* mapped; NULL */
    float *state;                    /* running statistics */
    double seconds;                  /* that its last parts took */
    size_t first, end;               /* of an evaluation: places */
    ink_status status;               /* of its last job */
    char message[512];
    pthread_t thread;
    bool has_thread;
};

struct ink_team {
    struct ink_member members[INK_MOST_DEVICES];
    int count, leader;
    struct ink_shares shares;
    size_t floats;                   /* of gradients, with gaps */
    float *sum;                      /* of the gradients of all members */
    float *weights, *average;        /* room for a value a weight; the latter where weights are averaged */
    float *state;                    /* running statistics, averaged; NULL: there are none */
    size_t state_count;
    const struct ink_feed *host;     /* where losses and predictions of the samples trained on go in host memory */
    const struct ink_feed *test_host; /* of those that are evaluated, and whether they are the validation split */
    bool validates;
    int batch;                       /* samples that a member works on at once */
    /* of the threads */
    pthread_mutex_t lock;
    pthread_cond_t begin, end;
    ink_team_job job;
    unsigned round;
    int busy;
    bool over, has_lock;
};

/* Starts the threads of a team whose members are made ready, and ends them. */
ink_status ink_team_start(struct ink_team *team);
void ink_team_stop(struct ink_team *team);

/* Has every member that is not lost do a job, and waits. */
void ink_team_each(struct ink_team *team, ink_team_job job);

/* Leaves out members whose last job failed, and tells it in the log. *lost: there was one. The failure of the last one if none is left. */
ink_status ink_team_leave_out(struct ink_team *team, bool *lost);

/* A step over n samples from a place on; losses and predictions are in host memory then. The plans' scalars are set before. */
ink_status ink_team_step(struct ink_team *team, int start, int n);

/* Divides the test set, or the validation split of the training set, and gives its metrics. host: where losses and predictions go. */
ink_status ink_team_evaluate(struct ink_team *team, bool validation, const struct ink_feed *host, const ink_dataset *dataset, struct ink_metrics *metrics);

/* Runs parts of growing size until their time can be measured, and divides by that. Weights stay, statistics do not. */
ink_status ink_team_measure(struct ink_team *team);

struct ink_member *ink_team_leader(struct ink_team *team);

#endif
