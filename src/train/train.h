/* What training shares with other users of a training plan. */
#ifndef INK_TRAIN_TRAIN_H
#define INK_TRAIN_TRAIN_H

#include "util/status.h"

/* The options given (may be NULL) with defaults filled in; INK_ERROR_ARGUMENT names one that is out of its range, or that goes
 * with nothing else that is asked for. */
ink_status ink_train_defaults(const struct ink_train_options *given, struct ink_train_options *options);

/* INK_ERROR_ARGUMENT unless the warm-up ends before a run of so many steps does. */
ink_status ink_train_check_warmup(const struct ink_train_options *options, uint64_t steps);

#endif
