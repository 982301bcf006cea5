/* How long a process takes from its start to its first training step, with empty caches and with full ones. */
#ifndef TOOL_START_H
#define TOOL_START_H

#include "command.h"
#include "inkling/inkling.h"

struct start_times {
    struct ink_spread cold, warm; /* seconds */
    size_t cold_count, warm_count;
};

/* Starts this program again and again, as the settings say with --first-step, with caches in a temporary folder that is
 * removed afterwards. False after saying what failed. */
bool start_measure(const struct settings *settings, int colds, int warms, struct start_times *times);

/* What the started program does: makes one training step and prints a line. Gives the exit status. */
int start_first_step(const struct settings *settings, ink_model *model);

#endif
