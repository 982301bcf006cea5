/* An opened OpenCL device: its context, its in-order queue, and what kernels are shaped by. */
#ifndef INK_DEVICE_DEVICE_H
#define INK_DEVICE_DEVICE_H

#include <CL/cl.h>

#include "util/status.h"

/* Which shape of kernels suits a device. */
enum ink_style {
    INK_STYLE_AUTO,
    INK_STYLE_CPU, /* work-groups of one, long vectors, register tiles, caches */
    INK_STYLE_GPU, /* work-groups of many, local memory, coalesced loads */
};

struct ink_device {
    struct ink_device_info info;
    cl_platform_id platform;
    cl_device_id id;
    cl_context context;
    cl_command_queue queue;   /* in order */
    enum ink_style style;     /* never AUTO */
    int vector_width;         /* floats in a vector: 4, 8 or 16 */
    size_t align;             /* bytes a sub-buffer's origin must be a multiple of; at least 64 */
    bool part;                /* a sub-device, some of the compute units of another */
    int registers;            /* GPU style: floats that a work-item may count on to hold in registers */
};

/* The name of an OpenCL error code, for example "CL_OUT_OF_RESOURCES". */
const char *ink_cl_error(cl_int code);

/* INK_OK for CL_SUCCESS; else a failure that tells the call, what it was for, the device and the code. */
ink_status ink_cl_check(const struct ink_device *device, cl_int code, const char *call, const char *what);

/* Releases a queue of the device, or does nothing with NULL; what was enqueued has been waited for. */
void ink_queue_release(const struct ink_device *device, cl_command_queue queue);

/* A buffer of bytes; a failure says how many were asked for. The library adds INK_SLACK, so that a vector load may start at any float. */
ink_status ink_buffer_create(struct ink_device *device, size_t bytes, const char *what, cl_mem *buffer);

/* Bytes beyond the end of every buffer that a kernel may read (not write): the longest vector. */
enum { INK_SLACK = 64 };

/* Blocking transfers. */
ink_status ink_buffer_write(struct ink_device *device, cl_mem buffer, size_t offset, const void *data, size_t bytes);
ink_status ink_buffer_read(struct ink_device *device, cl_mem buffer, size_t offset, void *data, size_t bytes);

/* A blocking read of what will be there in a moment: asks for half a millisecond whether it is, as to sleep and to be woken takes longer. */
ink_status ink_buffer_read_awake(struct ink_device *device, cl_mem buffer, size_t offset, void *data, size_t bytes);

/* Begins to copy to the device; the data must stay as it is until a blocking transfer or clFinish() that comes later. */
ink_status ink_buffer_write_begin(struct ink_device *device, cl_mem buffer, size_t offset, const void *data, size_t bytes);

/* Begins to copy from the device; the data is there after a blocking transfer or clFinish() that comes later. */
ink_status ink_buffer_read_begin(struct ink_device *device, cl_mem buffer, size_t offset, void *data, size_t bytes);
ink_status ink_buffer_zero(struct ink_device *device, cl_mem buffer, size_t bytes);

/* Builds a program, or takes it from the program cache; a failure carries device, options and log. */
ink_status ink_program_build(struct ink_device *device, const char *text, const char *options, cl_program *program);

#endif
