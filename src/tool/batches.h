/* Batches on the command line of inkling train: the validation split, what batches are made of, and the memory that they take. */
#ifndef TOOL_BATCHES_H
#define TOOL_BATCHES_H

#include "common.h"

/* False after saying what does not fit together. */
bool check_batches(const struct settings *settings);

void set_batches(const struct settings *settings, struct ink_train_options *options);

/* A line on what training takes of the device's memory, where that is limited or too little for the images. */
void print_memory(const struct ink_memory_plan *plan, bool limited);

#endif
