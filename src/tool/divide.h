/* Several devices on the command line: which, and what share of the work each has. */
#ifndef TOOL_DIVIDE_H
#define TOOL_DIVIDE_H

#include "common.h"

enum { MOST_DEVICES = 64 };

/* The devices to train on, and their shares as numbers. */
struct division {
    ink_device **devices;
    size_t count;
    double shares[MOST_DEVICES];
    size_t share_count; /* 0: by speed */
};

/* Reads --shares; false after saying what is wrong with it, or that it or --devices does not go with other options. */
bool read_shares(const struct settings *settings, struct division *division);

/* Opens the device, or devices, that the options name; false after saying why not. */
bool open_division(const struct settings *settings, struct division *division);
void close_division(struct division *division);

/* Says what training works on. */
void print_division(const struct division *division);

#endif
