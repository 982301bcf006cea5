/* The tool as one of several processes that mpirun started: the first one speaks and saves, and all end alike. */
#ifndef TOOL_PROCESSES_H
#define TOOL_PROCESSES_H

#include "divide.h"

/* To be called before anything is printed: keeps all processes but the first silent. */
void speak_as_one(void);

/* Joins the others where there are any; *group stays NULL where there are none. False after saying why it cannot be done. */
bool join_others(ink_group **group);

/* Ends together with the others, this process having come to an exit status; returns that of all. */
int leave_others(ink_group **group, int status);

/* The exit status of a process: one that was silent and alone leaves it to the first, which had the same words and found the same. */
int status_of_all(int status);

/* Opens the device of this process: of --devices, else of the machine's devices of the best type, the one with its number among the processes
 * of the machine; a single CPU is divided. False after saying why not. */
bool open_own_device(const struct settings *settings, const ink_group *group, struct division *division);

#endif
