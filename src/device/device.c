/* Opening a device, its buffers and its programs; see device.h. */
#include "device/device.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/cache.h"
#include "device/list.h"
#include "device/source.h"
#include "util/clock.h"

/* No query tells registers. Intel's GPUs have 128 of 32 bytes a hardware thread, at the narrowest 8 work-items; those of
 * other makers 255 and more a work-item, of which half lets a second group run beside. */
static int registers_of(const struct ink_device *device)
{
    enum { INTEL = 0x8086 };
    cl_uint vendor = 0;
    clGetDeviceInfo(device->id, CL_DEVICE_VENDOR_ID, sizeof vendor, &vendor, NULL);
    return device->info.type == INK_DEVICE_GPU && vendor == INTEL ? 114 : 176;
}

ink_status ink_listed_open(const struct ink_listed *listed, ink_device **out)
{
    struct ink_device *device = calloc(1, sizeof *device);
    ink_status status;
    if (!device)
        return ink_fail_memory(sizeof *device);
    device->info = listed->info;
    device->platform = listed->platform;
    device->id = listed->id;
    device->part = listed->part;

    cl_uint width = 0, align_bits = 0;
    clGetDeviceInfo(device->id, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, sizeof width, &width, NULL);
    /* A CPU whose vectors are said to be of one float is driven as a GPU is, work-items side by side in its vectors: by Mesa's
     * llvmpipe, which besides ends the loops of a work-item after 65,535 rounds, so that work-items must not be long. */
    device->style = device->info.type == INK_DEVICE_CPU && width > 1 ? INK_STYLE_CPU : INK_STYLE_GPU;
    clGetDeviceInfo(device->id, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof align_bits, &align_bits, NULL);
    device->vector_width = device->style == INK_STYLE_GPU ? 4 : width >= 16 ? 16 : width >= 8 ? 8 : 4;
    device->align = align_bits / 8 > 64 ? align_bits / 8 : 64;
    device->registers = registers_of(device);

    cl_int code;
    cl_context_properties properties[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)device->platform, 0};
    device->context = clCreateContext(properties, 1, &device->id, NULL, NULL, &code);
    if ((status = ink_cl_check(device, code, "clCreateContext", "opening the device")))
        goto fail;
    device->queue = clCreateCommandQueue(device->context, device->id, 0, &code);
    if ((status = ink_cl_check(device, code, "clCreateCommandQueue", "opening the device")))
        goto fail;
    if (device->part)
        clRetainDevice(device->id);
    *out = device;
    return INK_OK;
fail:
    device->part = false;
    ink_device_destroy(&device);
    return status;
}

ink_status ink_device_open(const char *selector, ink_device **device)
{
    struct ink_listed *listed;
    size_t count, chosen;
    INK_TRY(ink_devices_enumerate(&listed, &count));
    ink_status status = ink_devices_select(listed, count, selector, &chosen);
    if (!status)
        status = ink_listed_open(&listed[chosen], device);
    free(listed);
    return status;
}

/* Until a driver's threads have let go of a queue, which they may do some time after clFinish(): PoCL's look at its device then, which
 * nothing but us keeps alive where it is a part of another. A second is far more than they take; a driver may hold a queue for good. */
static void await_release(cl_command_queue queue)
{
    const double end = ink_clock() + 1;
    cl_uint references;
    while (!clGetCommandQueueInfo(queue, CL_QUEUE_REFERENCE_COUNT, sizeof references, &references, NULL) && references > 1 && ink_clock() < end)
        nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
}

void ink_queue_release(const ink_device *device, cl_command_queue queue)
{
    if (!queue)
        return;
    if (device->part)
        await_release(queue);
    clReleaseCommandQueue(queue);
}

void ink_device_destroy(ink_device **device)
{
    if (!device || !*device)
        return;
    ink_queue_release(*device, (*device)->queue);
    if ((*device)->context)
        clReleaseContext((*device)->context);
    if ((*device)->part)
        clReleaseDevice((*device)->id);
    free(*device);
    *device = NULL;
}

const struct ink_device_info *ink_device_get_info(const ink_device *device) { return &device->info; }

ink_status ink_buffer_create(struct ink_device *device, size_t bytes, const char *what, cl_mem *buffer)
{
    cl_int code;
    if (bytes + INK_SLACK > device->info.max_alloc_bytes)
        return ink_fail(INK_ERROR_MEMORY, "%s needs a buffer of %zu bytes, and %s allows at most %llu; a smaller batch needs less", what, bytes,
                        device->info.name, (unsigned long long)device->info.max_alloc_bytes);
    cl_mem memory = clCreateBuffer(device->context, CL_MEM_READ_WRITE, bytes + INK_SLACK, NULL, &code);
    ink_status status = ink_cl_check(device, code, "clCreateBuffer", what);
    if (!status)
        *buffer = memory;
    return status;
}

ink_status ink_buffer_write(struct ink_device *device, cl_mem buffer, size_t offset, const void *data, size_t bytes)
{
    if (!bytes)
        return INK_OK;
    return ink_cl_check(device, clEnqueueWriteBuffer(device->queue, buffer, CL_TRUE, offset, bytes, data, 0, NULL, NULL),
                        "clEnqueueWriteBuffer", "copying to the device");
}

ink_status ink_buffer_write_begin(struct ink_device *device, cl_mem buffer, size_t offset, const void *data, size_t bytes)
{
    if (!bytes)
        return INK_OK;
    return ink_cl_check(device, clEnqueueWriteBuffer(device->queue, buffer, CL_FALSE, offset, bytes, data, 0, NULL, NULL),
                        "clEnqueueWriteBuffer", "copying to the device");
}

ink_status ink_buffer_read(struct ink_device *device, cl_mem buffer, size_t offset, void *data, size_t bytes)
{
    if (!bytes)
        return INK_OK;
    return ink_cl_check(device, clEnqueueReadBuffer(device->queue, buffer, CL_TRUE, offset, bytes, data, 0, NULL, NULL),
                        "clEnqueueReadBuffer", "copying from the device");
}

ink_status ink_buffer_read_begin(struct ink_device *device, cl_mem buffer, size_t offset, void *data, size_t bytes)
{
    if (!bytes)
        return INK_OK;
    return ink_cl_check(device, clEnqueueReadBuffer(device->queue, buffer, CL_FALSE, offset, bytes, data, 0, NULL, NULL),
                        "clEnqueueReadBuffer", "copying from the device");
}

ink_status ink_buffer_read_awake(struct ink_device *device, cl_mem buffer, size_t offset, void *data, size_t bytes)
{
    const double end = ink_clock() + 0.0005;
    cl_event read;
    cl_int state = CL_QUEUED;
    if (!bytes)
        return INK_OK;
    INK_TRY(ink_cl_check(device, clEnqueueReadBuffer(device->queue, buffer, CL_FALSE, offset, bytes, data, 0, NULL, &read), "clEnqueueReadBuffer",
                         "copying from the device"));
    clFlush(device->queue);
    while (!clGetEventInfo(read, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, NULL) && state > CL_COMPLETE && ink_clock() < end)
        sched_yield();
    cl_int code = clWaitForEvents(1, &read);
    clReleaseEvent(read);
    return ink_cl_check(device, code, "clWaitForEvents", "copying from the device");
}

ink_status ink_buffer_zero(struct ink_device *device, cl_mem buffer, size_t bytes)
{
    const cl_float zero = 0.0f;
    if (!bytes)
        return INK_OK;
    return ink_cl_check(device, clEnqueueFillBuffer(device->queue, buffer, &zero, sizeof zero, 0, bytes, 0, NULL, NULL),
                        "clEnqueueFillBuffer", "clearing a buffer");
}

/* Compiles a program from its source. */
static ink_status compile(struct ink_device *device, const char *text, const char *options, cl_program *program)
{
    cl_int code;
    cl_program built = clCreateProgramWithSource(device->context, 1, &text, NULL, &code);
    INK_TRY(ink_cl_check(device, code, "clCreateProgramWithSource", "kernels"));
    code = clBuildProgram(built, 1, &device->id, options, NULL, NULL);
    size_t size = 0;
    clGetProgramBuildInfo(built, device->id, CL_PROGRAM_BUILD_LOG, 0, NULL, &size);
    char *log = calloc(size + 1, 1);
    if (log && size)
        clGetProgramBuildInfo(built, device->id, CL_PROGRAM_BUILD_LOG, size, log, NULL);
    char *mapped;
    if (log && !ink_source_map_log(text, log, &mapped)) {
        free(log);
        log = mapped;
    }
    if (code == CL_SUCCESS) {
        if (log && log[0])
            ink_log(INK_LOG_DEBUG, "build log of %s: %s", device->info.name, log);
        free(log);
        *program = built;
        return INK_OK;
    }
    ink_fail(INK_ERROR_BUILD, "clBuildProgram failed with %s (%d) on %s (%s), options \"%s\"; its log:\n%.12000s", ink_cl_error(code), (int)code,
             device->info.name, device->info.driver, options, log ? log : "");
    free(log);
    clReleaseProgram(built);
    return INK_ERROR_BUILD;
}

ink_status ink_program_build(struct ink_device *device, const char *text, const char *options, cl_program *program)
{
    struct ink_cache_slot slot = {0};
    if (!ink_cache_open(device, text, options, &slot))
        return compile(device, text, options, program);
    ink_status status = INK_OK;
    cl_program built = ink_cache_load(device, options, &slot);
    if (!built) {
        status = compile(device, text, options, &built);
        if (!status)
            ink_cache_store(device, built, &slot);
    }
    ink_cache_close(&slot);
    if (!status)
        *program = built;
    return status;
}
