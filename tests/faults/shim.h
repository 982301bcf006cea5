/* OpenCL as the tests of faults have it: calls that the library makes go through the shim, which counts them, lets one fail when it is
 * told to, and keeps count of the objects that are alive. Linking shim.c into a program is all it takes; calls of other libraries pass
 * untouched. */
#ifndef INK_TESTS_SHIM_H
#define INK_TESTS_SHIM_H

#include <stdbool.h>

#include "device/device.h"

enum shim_kind {
    SHIM_CONTEXT, SHIM_QUEUE, SHIM_PARTS, SHIM_BUFFER, SHIM_SUB_BUFFER, SHIM_SOURCE, SHIM_BINARY, SHIM_BUILD, SHIM_KERNEL, SHIM_ARGUMENT,
    SHIM_LAUNCH, SHIM_READ, SHIM_WRITE, SHIM_COPY, SHIM_FILL, SHIM_MAP, SHIM_UNMAP, SHIM_MARKER, SHIM_BARRIER, SHIM_FLUSH, SHIM_WAIT,
    SHIM_FINISH, SHIM_STATE, SHIM_TIMES,
    SHIM_LOST, /* any of these, and from then on all: a device that is gone */
    SHIM_KINDS
};

/* The call of a kind, and the code that it fails with. */
struct shim_call {
    const char *name;
    cl_int code;
};
extern const struct shim_call shim_calls[SHIM_KINDS];

/* Sets all counts to 0 and lets the nth call of a kind from here on fail; 0: none. queue: only calls on this one are counted; NULL: all. */
void shim_fail(enum shim_kind kind, unsigned nth, cl_command_queue queue);

/* Calls of a kind since then, and whether one was let fail. */
unsigned shim_count(enum shim_kind kind);
bool shim_failed(void);

enum shim_object { SHIM_DEVICES, SHIM_CONTEXTS, SHIM_QUEUES, SHIM_BUFFERS, SHIM_PROGRAMS, SHIM_KERNELS, SHIM_EVENTS, SHIM_OBJECTS };
extern const char *const shim_objects[SHIM_OBJECTS];

/* References held to objects of a sort. */
int shim_alive(enum shim_object object);

/* Sub-buffers released while another one was alive that overlaps it without being the same part of the buffer, and that a kernel first
 * used later: on which NVIDIA's driver 580 crashes. */
unsigned shim_misordered(void);

#endif
