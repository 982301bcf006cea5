/* Tuning as training and evaluation use it. */
#ifndef INK_TRAIN_TUNE_H
#define INK_TRAIN_TUNE_H

#include "model/tune.h"

/* Opens the table of a device. One that cannot be kept or read is told as a warning and taken as empty: a run goes on
 * without it. */
ink_status ink_tune_open(ink_device *device, struct ink_choices *choices);

/* True if a pass of the model that could be measured has no choice yet. */
bool ink_tune_lacks(const ink_model *model, ink_device *device, int batch, const struct ink_choices *choices);

/* Measures for seconds (0: until done) or until go_on, asked before each candidate, says no. *changed: choices were made. INK_ERROR_DEVICE if the device hangs. */
ink_status ink_tune_for_training(const ink_model *model, ink_device *device, int batch, double seconds, struct ink_choices *choices,
                                 bool (*go_on)(void *user), void *user, bool *changed);

/* Tells in the log which choices the model uses. */
void ink_tune_tell(const ink_model *model, ink_device *device, int batch, const struct ink_choices *choices);

#endif
