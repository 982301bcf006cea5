/* Processes that train one model together, each with a device and a plan of its own, as the trainer sees them: sums over all of
 * them, and what they agree on. Built on MPI; without it there is no group, and nothing here is called.
 *
 * All processes make the same calls in the same order. In a step each computes the gradients of its part of the batch in buckets, the
 * last layers' first; while the device goes on with the layers before, the buckets that are complete are summed over all processes.
 * Behind them go the loss and what processes must know of each other: whether one failed, was asked to stop, or has a checkpoint
 * due. So they do the same until the end, and fail together. A failure outside of such a moment ends all of them at once. */
#ifndef INK_TRAIN_GROUP_H
#define INK_TRAIN_GROUP_H

#include <stddef.h>

#include "util/status.h"

/* Begin to sum over all processes, in place; what was begun is done when ink_group_poll() says so, or after ink_group_wait(). At most
 * INK_MOST_SUMS may be begun at a time. */
enum { INK_MOST_SUMS = 16 };
void ink_group_sum_begin(ink_group *group, float *values, size_t count);
void ink_group_sum_reals_begin(ink_group *group, double *values, size_t count);
bool ink_group_poll(ink_group *group);
void ink_group_wait(ink_group *group);

/* Rests for a moment, which leaves the processor to a driver. */
void ink_group_nap(void);

/* The largest number that a process gives; and a hash from all of them: true if it is the same one. */
size_t ink_group_most(ink_group *group, size_t number);
bool ink_group_same(ink_group *group, uint64_t hash);

/* Copies bytes of the first process to the others. */
void ink_group_spread(ink_group *group, void *bytes, size_t size);

/* All tell how they stand: INK_OK if all are well, else the status of the first that is not, with its message. */
ink_status ink_group_agree(ink_group *group, ink_status status);

/* Training begins, and is over, in all processes. A failure in between that was not agreed on is one of this process alone. */
void ink_group_begin(ink_group *group);
void ink_group_end(ink_group *group);

#endif
