/* The options of inkling train: their table, what does not go together, and what they are to the library. */
#ifndef TOOL_TRAINING_H
#define TOOL_TRAINING_H

#include "common.h"

extern const struct option training_options[];

/* False after saying which options do not go together. */
bool check_training(const struct settings *settings);

/* Without callback, devices and checkpoints. */
struct ink_train_options training_of(const struct settings *settings);

/* Says what is trained and how. */
void print_training(const struct settings *settings, const ink_model *model);

#endif
