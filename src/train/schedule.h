/* The learning rate of each step, and what goes by a metric from epoch to epoch: the plateau schedule and early stopping.
 * All of it is computed on the host in double precision; the device gets the rate as a number. */
#ifndef INK_TRAIN_SCHEDULE_H
#define INK_TRAIN_SCHEDULE_H

#include "util/status.h"

/* What is monitored, so far. Zero it, but for scale, which is 1, before the first epoch. */
struct ink_monitored {
    double best, scale;     /* scale: what the plateau schedule has made of the rate */
    int best_epoch;         /* 0: no epoch is done */
    int stale, plateau;     /* epochs in a row without a better value; the same since the rate was last reduced */
};

/* The rate of step i, counted from 0, of a run of so many steps; it is of this epoch, counted from 1. options: checked, with defaults
 * filled in. */
double ink_schedule_rate(const struct ink_train_options *options, const struct ink_monitored *monitored, uint64_t step, uint64_t steps,
                         int epoch);

/* Takes in the value of an epoch; true if patience is at its end. */
bool ink_monitored_note(struct ink_monitored *monitored, const struct ink_train_options *options, int epoch, double value);

#endif
