/* Stands in front of OpenCL; see shim.h. A wait that fails has waited all the same, as a device that is gone writes no memory either. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include "faults/shim.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

const struct shim_call shim_calls[SHIM_KINDS] = {
    [SHIM_CONTEXT] = {"clCreateContext", CL_OUT_OF_HOST_MEMORY},
    [SHIM_QUEUE] = {"clCreateCommandQueue", CL_OUT_OF_RESOURCES},
    [SHIM_PARTS] = {"clCreateSubDevices", CL_DEVICE_PARTITION_FAILED},
    [SHIM_BUFFER] = {"clCreateBuffer", CL_MEM_OBJECT_ALLOCATION_FAILURE},
    [SHIM_SUB_BUFFER] = {"clCreateSubBuffer", CL_MISALIGNED_SUB_BUFFER_OFFSET},
    [SHIM_SOURCE] = {"clCreateProgramWithSource", CL_OUT_OF_HOST_MEMORY},
    [SHIM_BINARY] = {"clCreateProgramWithBinary", CL_INVALID_BINARY},
    [SHIM_BUILD] = {"clBuildProgram", CL_BUILD_PROGRAM_FAILURE},
    [SHIM_KERNEL] = {"clCreateKernel", CL_INVALID_KERNEL_NAME},
    [SHIM_ARGUMENT] = {"clSetKernelArg", CL_INVALID_ARG_VALUE},
    [SHIM_LAUNCH] = {"clEnqueueNDRangeKernel", CL_OUT_OF_RESOURCES},
    [SHIM_READ] = {"clEnqueueReadBuffer", CL_OUT_OF_RESOURCES},
    [SHIM_WRITE] = {"clEnqueueWriteBuffer", CL_OUT_OF_HOST_MEMORY},
    [SHIM_COPY] = {"clEnqueueCopyBuffer", CL_MEM_COPY_OVERLAP},
    [SHIM_FILL] = {"clEnqueueFillBuffer", CL_MEM_OBJECT_ALLOCATION_FAILURE},
    [SHIM_MAP] = {"clEnqueueMapBuffer", CL_MAP_FAILURE},
    [SHIM_UNMAP] = {"clEnqueueUnmapMemObject", CL_INVALID_VALUE},
    [SHIM_MARKER] = {"clEnqueueMarkerWithWaitList", CL_INVALID_COMMAND_QUEUE},
    [SHIM_BARRIER] = {"clEnqueueBarrierWithWaitList", CL_INVALID_EVENT_WAIT_LIST},
    [SHIM_FLUSH] = {"clFlush", CL_INVALID_COMMAND_QUEUE},
    [SHIM_WAIT] = {"clWaitForEvents", CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST},
    [SHIM_FINISH] = {"clFinish", CL_INVALID_COMMAND_QUEUE},
    [SHIM_STATE] = {"clGetEventInfo", CL_INVALID_EVENT},
    [SHIM_TIMES] = {"clGetEventProfilingInfo", CL_PROFILING_INFO_NOT_AVAILABLE},
    [SHIM_LOST] = {"cl", CL_DEVICE_NOT_AVAILABLE},
};

const char *const shim_objects[SHIM_OBJECTS] = {"sub-devices", "contexts", "queues", "buffers", "programs", "kernels", "events"};

static enum shim_kind chosen_kind;
static unsigned chosen;
static cl_command_queue chosen_queue;
static atomic_uint counts[SHIM_KINDS];
static atomic_bool failed;
static atomic_int alive[SHIM_OBJECTS];

void shim_fail(enum shim_kind kind, unsigned nth, cl_command_queue queue)
{
    chosen_kind = kind;
    chosen = nth;
    chosen_queue = queue;
    for (int k = 0; k < SHIM_KINDS; k++)
        atomic_store(&counts[k], 0);
    atomic_store(&failed, false);
}

unsigned shim_count(enum shim_kind kind) { return atomic_load(&counts[kind]); }

bool shim_failed(void) { return atomic_load(&failed); }

int shim_alive(enum shim_object object) { return atomic_load(&alive[object]); }

/* The program's own code, which the library is linked into. */
extern const char __executable_start, etext;

static bool is_ours(const void *caller) { return (uintptr_t)caller >= (uintptr_t)&__executable_start && (uintptr_t)caller < (uintptr_t)&etext; }

/* Counts a call; its code if it is to fail. */
static cl_int meet(const void *caller, enum shim_kind kind, cl_command_queue queue)
{
    if (!is_ours(caller) || (chosen_queue && queue != chosen_queue))
        return CL_SUCCESS;
    unsigned count = atomic_fetch_add(&counts[kind], 1) + 1, all = atomic_fetch_add(&counts[SHIM_LOST], 1) + 1;
    bool fails = chosen && (chosen_kind == SHIM_LOST ? all >= chosen : chosen_kind == kind && count == chosen);
    if (!fails)
        return CL_SUCCESS;
    atomic_store(&failed, true);
    return shim_calls[chosen_kind].code;
}

static void hold(const void *caller, enum shim_object object, bool made, int more)
{
    if (made && is_ours(caller))
        atomic_fetch_add(&alive[object], more);
}

/* The library's sub-buffers that are alive, and where kernels have them as arguments; the order in which kernels first used them. */
enum { MOST_PARTS = 4096, MOST_USES = 16384 };
static struct part {
    cl_mem buffer, whole;
    size_t first, end;
    unsigned used; /* 0: never */
} buffer_parts[MOST_PARTS];
static struct use {
    cl_kernel kernel;
    cl_uint number;
    cl_mem buffer;
} uses[MOST_USES];
static int part_number, use_number;
static unsigned used_parts, misordered;
static pthread_mutex_t order = PTHREAD_MUTEX_INITIALIZER;

unsigned shim_misordered(void) { return misordered; }

static struct part *find_part(cl_mem buffer)
{
    for (int p = 0; p < part_number; p++)
        if (buffer_parts[p].buffer == buffer)
            return &buffer_parts[p];
    return NULL;
}

static void note_part(cl_mem buffer, cl_mem whole, const cl_buffer_region *region)
{
    pthread_mutex_lock(&order);
    if (part_number < MOST_PARTS)
        buffer_parts[part_number++] = (struct part){buffer, whole, region->origin, region->origin + region->size, 0};
    pthread_mutex_unlock(&order);
}

static void note_argument(cl_kernel kernel, cl_uint number, size_t bytes, const void *value)
{
    cl_mem buffer = NULL;
    int u = 0;
    if (bytes != sizeof buffer || !value)
        return;
    memcpy(&buffer, value, sizeof buffer);
    pthread_mutex_lock(&order);
    while (u < use_number && (uses[u].kernel != kernel || uses[u].number != number))
        u++;
    if (u < MOST_USES) {
        uses[u] = (struct use){kernel, number, buffer};
        use_number += u == use_number;
    }
    pthread_mutex_unlock(&order);
}

static void note_launch(cl_kernel kernel)
{
    pthread_mutex_lock(&order);
    for (int u = 0; u < use_number; u++) {
        struct part *part = uses[u].kernel == kernel ? find_part(uses[u].buffer) : NULL;
        if (part && !part->used)
            part->used = ++used_parts;
    }
    pthread_mutex_unlock(&order);
}

static void forget_kernel(cl_kernel kernel)
{
    pthread_mutex_lock(&order);
    for (int u = use_number - 1; u >= 0; u--)
        if (uses[u].kernel == kernel)
            uses[u] = uses[--use_number];
    pthread_mutex_unlock(&order);
}

static void release_part(cl_mem buffer)
{
    pthread_mutex_lock(&order);
    struct part *part = find_part(buffer);
    for (int p = 0; part && p < part_number; p++) {
        const struct part *other = &buffer_parts[p];
        bool overlaps = other->whole == part->whole && other->first < part->end && part->first < other->end;
        bool same = other->first == part->first && other->end == part->end;
        misordered += part->used && other->used > part->used && overlaps && !same;
    }
    if (part)
        *part = buffer_parts[--part_number];
    pthread_mutex_unlock(&order);
}

/* Programs made from the same source are the same one, as to compile it takes longer than all else. The library compiles in one thread,
 * with the same options always. */
enum { MOST_KEPT = 256 };
static struct kept {
    cl_context context;
    char *text;
    cl_program program;
    bool is_built;
} kept[MOST_KEPT];
static int kept_count;

#define CALLER __builtin_return_address(0)

/* The function of the real OpenCL. */
#define FORWARD(name)                                                                                            \
    __typeof__(name) *real;                                                                                      \
    *(void **)&real = dlsym(RTLD_NEXT, #name)

/* Where objects are made: the failure that was asked for. */
#define FAIL_MAKING(kind, code)                                                                                  \
    do {                                                                                                         \
        cl_int code_ = meet(CALLER, kind, NULL);                                                                 \
        if (code_) {                                                                                             \
            if (code)                                                                                            \
                *(code) = code_;                                                                                 \
            return NULL;                                                                                         \
        }                                                                                                        \
    } while (0)

#define FAIL(kind, queue)                                                                                        \
    do {                                                                                                         \
        cl_int code_ = meet(CALLER, kind, queue);                                                                \
        if (code_)                                                                                               \
            return code_;                                                                                        \
    } while (0)

/* Ends a call that enqueues, whose event is the caller's. */
#define GIVE_EVENT(call)                                                                                         \
    do {                                                                                                         \
        cl_int code_ = (call);                                                                                   \
        hold(CALLER, SHIM_EVENTS, code_ == CL_SUCCESS && event, 1);                                              \
        return code_;                                                                                            \
    } while (0)

cl_context clCreateContext(const cl_context_properties *properties, cl_uint count, const cl_device_id *devices,
                           void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *), void *user, cl_int *code)
{
    FORWARD(clCreateContext);
    FAIL_MAKING(SHIM_CONTEXT, code);
    cl_context made = real(properties, count, devices, notify, user, code);
    hold(CALLER, SHIM_CONTEXTS, made != NULL, 1);
    return made;
}

cl_command_queue clCreateCommandQueue(cl_context context, cl_device_id device, cl_command_queue_properties properties, cl_int *code)
{
    FORWARD(clCreateCommandQueue);
    FAIL_MAKING(SHIM_QUEUE, code);
    cl_command_queue made = real(context, device, properties, code);
    hold(CALLER, SHIM_QUEUES, made != NULL, 1);
    return made;
}

cl_int clCreateSubDevices(cl_device_id whole, const cl_device_partition_property *how, cl_uint room, cl_device_id *parts, cl_uint *count)
{
    FORWARD(clCreateSubDevices);
    FAIL(SHIM_PARTS, NULL);
    cl_int code = real(whole, how, room, parts, count);
    hold(CALLER, SHIM_DEVICES, code == CL_SUCCESS && parts, (int)room);
    return code;
}

cl_mem clCreateBuffer(cl_context context, cl_mem_flags flags, size_t bytes, void *host, cl_int *code)
{
    FORWARD(clCreateBuffer);
    FAIL_MAKING(SHIM_BUFFER, code);
    cl_mem made = real(context, flags, bytes, host, code);
    hold(CALLER, SHIM_BUFFERS, made != NULL, 1);
    return made;
}

cl_mem clCreateSubBuffer(cl_mem buffer, cl_mem_flags flags, cl_buffer_create_type type, const void *what, cl_int *code)
{
    FORWARD(clCreateSubBuffer);
    FAIL_MAKING(SHIM_SUB_BUFFER, code);
    cl_mem made = real(buffer, flags, type, what, code);
    if (made && is_ours(CALLER))
        note_part(made, buffer, what);
    hold(CALLER, SHIM_BUFFERS, made != NULL, 1);
    return made;
}

cl_program clCreateProgramWithSource(cl_context context, cl_uint count, const char **texts, const size_t *lengths, cl_int *code)
{
    FORWARD(clCreateProgramWithSource);
    __typeof__(clRetainProgram) *retain;
    *(void **)&retain = dlsym(RTLD_NEXT, "clRetainProgram");
    FAIL_MAKING(SHIM_SOURCE, code);
    cl_program made = NULL;
    for (int i = 0; i < kept_count && is_ours(CALLER) && !made; i++)
        if (kept[i].context == context && strcmp(kept[i].text, texts[0]) == 0)
            made = kept[i].program;
    if (made)
        *code = retain(made);
    else if ((made = real(context, count, texts, lengths, code)) && is_ours(CALLER) && kept_count < MOST_KEPT && retain(made) == CL_SUCCESS)
        kept[kept_count++] = (struct kept){.context = context, .text = strdup(texts[0]), .program = made};
    hold(CALLER, SHIM_PROGRAMS, made != NULL, 1);
    return made;
}

cl_program clCreateProgramWithBinary(cl_context context, cl_uint count, const cl_device_id *devices, const size_t *sizes,
                                     const unsigned char **binaries, cl_int *taken, cl_int *code)
{
    FORWARD(clCreateProgramWithBinary);
    FAIL_MAKING(SHIM_BINARY, code);
    cl_program made = real(context, count, devices, sizes, binaries, taken, code);
    hold(CALLER, SHIM_PROGRAMS, made != NULL, 1);
    return made;
}

cl_int clBuildProgram(cl_program program, cl_uint count, const cl_device_id *devices, const char *options,
                      void(CL_CALLBACK *notify)(cl_program, void *), void *user)
{
    FORWARD(clBuildProgram);
    FAIL(SHIM_BUILD, NULL);
    struct kept *of = NULL;
    for (int i = 0; i < kept_count && !of; i++)
        of = kept[i].program == program ? &kept[i] : NULL;
    if (of && of->is_built)
        return CL_SUCCESS;
    cl_int code = real(program, count, devices, options, notify, user);
    if (of)
        of->is_built = code == CL_SUCCESS;
    return code;
}

cl_kernel clCreateKernel(cl_program program, const char *name, cl_int *code)
{
    FORWARD(clCreateKernel);
    FAIL_MAKING(SHIM_KERNEL, code);
    cl_kernel made = real(program, name, code);
    hold(CALLER, SHIM_KERNELS, made != NULL, 1);
    return made;
}

cl_int clSetKernelArg(cl_kernel kernel, cl_uint number, size_t bytes, const void *value)
{
    FORWARD(clSetKernelArg);
    FAIL(SHIM_ARGUMENT, NULL);
    if (is_ours(CALLER))
        note_argument(kernel, number, bytes, value);
    return real(kernel, number, bytes, value);
}

cl_int clEnqueueNDRangeKernel(cl_command_queue queue, cl_kernel kernel, cl_uint dimensions, const size_t *offset, const size_t *global,
                              const size_t *local, cl_uint count, const cl_event *waits, cl_event *event)
{
    FORWARD(clEnqueueNDRangeKernel);
    FAIL(SHIM_LAUNCH, queue);
    note_launch(kernel);
    GIVE_EVENT(real(queue, kernel, dimensions, offset, global, local, count, waits, event));
}

cl_int clEnqueueReadBuffer(cl_command_queue queue, cl_mem buffer, cl_bool waits_for_it, size_t offset, size_t bytes, void *to, cl_uint count,
                           const cl_event *waits, cl_event *event)
{
    FORWARD(clEnqueueReadBuffer);
    FAIL(SHIM_READ, queue);
    GIVE_EVENT(real(queue, buffer, waits_for_it, offset, bytes, to, count, waits, event));
}

cl_int clEnqueueWriteBuffer(cl_command_queue queue, cl_mem buffer, cl_bool waits_for_it, size_t offset, size_t bytes, const void *from, cl_uint count,
                            const cl_event *waits, cl_event *event)
{
    FORWARD(clEnqueueWriteBuffer);
    FAIL(SHIM_WRITE, queue);
    GIVE_EVENT(real(queue, buffer, waits_for_it, offset, bytes, from, count, waits, event));
}

cl_int clEnqueueCopyBuffer(cl_command_queue queue, cl_mem from, cl_mem to, size_t from_offset, size_t to_offset, size_t bytes, cl_uint count,
                           const cl_event *waits, cl_event *event)
{
    FORWARD(clEnqueueCopyBuffer);
    FAIL(SHIM_COPY, queue);
    GIVE_EVENT(real(queue, from, to, from_offset, to_offset, bytes, count, waits, event));
}

cl_int clEnqueueFillBuffer(cl_command_queue queue, cl_mem buffer, const void *pattern, size_t pattern_bytes, size_t offset, size_t bytes,
                           cl_uint count, const cl_event *waits, cl_event *event)
{
    FORWARD(clEnqueueFillBuffer);
    FAIL(SHIM_FILL, queue);
    GIVE_EVENT(real(queue, buffer, pattern, pattern_bytes, offset, bytes, count, waits, event));
}

void *clEnqueueMapBuffer(cl_command_queue queue, cl_mem buffer, cl_bool waits_for_it, cl_map_flags flags, size_t offset, size_t bytes, cl_uint count,
                         const cl_event *waits, cl_event *event, cl_int *code)
{
    FORWARD(clEnqueueMapBuffer);
    cl_int failure = meet(CALLER, SHIM_MAP, queue);
    if (failure) {
        *code = failure;
        return NULL;
    }
    void *mapped = real(queue, buffer, waits_for_it, flags, offset, bytes, count, waits, event, code);
    hold(CALLER, SHIM_EVENTS, mapped && event, 1);
    return mapped;
}

cl_int clEnqueueUnmapMemObject(cl_command_queue queue, cl_mem buffer, void *mapped, cl_uint count, const cl_event *waits, cl_event *event)
{
    FORWARD(clEnqueueUnmapMemObject);
    FAIL(SHIM_UNMAP, queue);
    GIVE_EVENT(real(queue, buffer, mapped, count, waits, event));
}

cl_int clEnqueueMarkerWithWaitList(cl_command_queue queue, cl_uint count, const cl_event *waits, cl_event *event)
{
    FORWARD(clEnqueueMarkerWithWaitList);
    FAIL(SHIM_MARKER, queue);
    GIVE_EVENT(real(queue, count, waits, event));
}

cl_int clEnqueueBarrierWithWaitList(cl_command_queue queue, cl_uint count, const cl_event *waits, cl_event *event)
{
    FORWARD(clEnqueueBarrierWithWaitList);
    FAIL(SHIM_BARRIER, queue);
    GIVE_EVENT(real(queue, count, waits, event));
}

cl_int clFlush(cl_command_queue queue)
{
    FORWARD(clFlush);
    FAIL(SHIM_FLUSH, queue);
    return real(queue);
}

cl_int clWaitForEvents(cl_uint count, const cl_event *events)
{
    FORWARD(clWaitForEvents);
    cl_int failure = meet(CALLER, SHIM_WAIT, NULL), code = real(count, events);
    return failure ? failure : code;
}

cl_int clFinish(cl_command_queue queue)
{
    FORWARD(clFinish);
    cl_int failure = meet(CALLER, SHIM_FINISH, queue), code = real(queue);
    return failure ? failure : code;
}

cl_int clGetEventInfo(cl_event event, cl_event_info what, size_t bytes, void *value, size_t *used)
{
    FORWARD(clGetEventInfo);
    FAIL(SHIM_STATE, NULL);
    return real(event, what, bytes, value, used);
}

cl_int clGetEventProfilingInfo(cl_event event, cl_profiling_info what, size_t bytes, void *value, size_t *used)
{
    FORWARD(clGetEventProfilingInfo);
    FAIL(SHIM_TIMES, NULL);
    return real(event, what, bytes, value, used);
}

/* What is given back, and held once more. */
#define COUNTED(name, type, object, more)                                                                        \
    cl_int name(type held)                                                                                       \
    {                                                                                                            \
        FORWARD(name);                                                                                           \
        hold(CALLER, object, true, more);                                                                        \
        return real(held);                                                                                       \
    }

COUNTED(clRetainDevice, cl_device_id, SHIM_DEVICES, 1)
COUNTED(clReleaseDevice, cl_device_id, SHIM_DEVICES, -1)
COUNTED(clReleaseContext, cl_context, SHIM_CONTEXTS, -1)
COUNTED(clReleaseCommandQueue, cl_command_queue, SHIM_QUEUES, -1)
COUNTED(clRetainMemObject, cl_mem, SHIM_BUFFERS, 1)
COUNTED(clReleaseProgram, cl_program, SHIM_PROGRAMS, -1)
COUNTED(clRetainEvent, cl_event, SHIM_EVENTS, 1)
COUNTED(clReleaseEvent, cl_event, SHIM_EVENTS, -1)

cl_int clReleaseMemObject(cl_mem buffer)
{
    FORWARD(clReleaseMemObject);
    hold(CALLER, SHIM_BUFFERS, true, -1);
    release_part(buffer);
    return real(buffer);
}

cl_int clReleaseKernel(cl_kernel kernel)
{
    FORWARD(clReleaseKernel);
    hold(CALLER, SHIM_KERNELS, true, -1);
    forget_kernel(kernel);
    return real(kernel);
}
