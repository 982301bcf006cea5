/* Which launches have to keep their order. */
#ifndef INK_MODEL_CONFLICT_H
#define INK_MODEL_CONFLICT_H

#include "ops/launch.h"

/* Whether one launch has to wait for another, and for what: an argument that one of them writes names memory that one of the other names.
 * By samples, where both go by samples (ink_launch_samples) and all that is so shared is a value of the samples: the work-groups
 * for some samples wait for those for the same ones alone. */
enum ink_conflict { INK_NO_CONFLICT, INK_CONFLICT_BY_SAMPLES, INK_CONFLICT };

enum ink_conflict ink_conflict(const struct ink_launches *list, const struct ink_launch *a, const struct ink_launch *b);

/* True for a value that consists of values of the samples. */
bool ink_value_by_samples(const struct ink_launches *list, ink_value value);

#endif
