/* What a device can do at most: fp32 operations and bytes a second; see measure.h and cl/measure.cl. */
#include "device/measure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/source.h"
#include "util/clock.h"
#include "util/text.h"

enum { MOST_VARIANTS = 8, SIZES = 5, LEAST_SAMPLES = 3, CPU_GROUPS = 32, GPU_GROUPS = 64, GPU_LOCAL = 256, UNIT = 1024 };
static const double usual_seconds = 3, sample_seconds = 4e-3;

/* A kernel of the program and how it is run. */
struct trial {
    struct ink_device *device;
    cl_kernel kernel;
    size_t groups, local;
    cl_uint rounds_argument;
    int rounds;
    double work;              /* FLOP or bytes of a round */
};

struct bench {
    struct ink_device *device;
    struct ink_meter meter;
    cl_program program;
    cl_kernel kernels[MOST_VARIANTS + 2];
    int widths[MOST_VARIANTS], chains[MOST_VARIANTS], variants;
    size_t local, groups;
    cl_mem buffers[3], out;
};

static void add_copy(struct ink_text *text, const char *source, int instance, const char *kernel, int width, int chains, size_t local, bool grid)
{
    ink_text_add(text, "#define INSTANCE %d\n#define KERNEL_%s\n#define WIDTH %d\n#define CHAINS %d\n#define LOCAL %zu\n#define GRID %d\n", instance,
                 kernel, width, chains, local, grid);
    ink_text_bytes(text, source, strlen(source));
    ink_text_add(text, "#undef INSTANCE\n#undef KERNEL_%s\n#undef WIDTH\n#undef CHAINS\n#undef LOCAL\n#undef GRID\n", kernel);
}

static ink_status build(struct bench *b)
{
    static const int cpu_chains[] = {8, 12, 16, 24}, gpu_widths[] = {1, 2, 4}, gpu_chains[] = {4, 8};
    bool cpu = b->device->style == INK_STYLE_CPU;
    char *source, *whole, name[16];
    struct ink_text text = {0};
    cl_int code;
    for (size_t i = 0; cpu && i < sizeof cpu_chains / sizeof *cpu_chains; i++, b->variants++)
        b->widths[i] = b->device->vector_width, b->chains[i] = cpu_chains[i];
    for (int i = 0; !cpu && i < 6; i++, b->variants++)
        b->widths[i] = gpu_widths[i / 2], b->chains[i] = gpu_chains[i % 2];
    INK_TRY(ink_source_load("measure.cl", &source));
    for (int i = 0; i < b->variants; i++)
        add_copy(&text, source, i, "peak", b->widths[i], b->chains[i], b->local, !cpu);
    add_copy(&text, source, b->variants, "read", b->device->vector_width, 1, b->local, !cpu);
    add_copy(&text, source, b->variants + 1, "triad", b->device->vector_width, 1, b->local, !cpu);
    free(source);
    INK_TRY(ink_text_take(&text, &whole, NULL));
    ink_status status = ink_program_build(b->device, whole, "", &b->program);
    free(whole);
    INK_TRY(status);
    for (int i = 0; i < b->variants + 2; i++) {
        snprintf(name, sizeof name, "%s_%d", i < b->variants ? "peak" : i == b->variants ? "read" : "triad", i);
        b->kernels[i] = clCreateKernel(b->program, name, &code);
        INK_TRY(ink_cl_check(b->device, code, "clCreateKernel", name));
    }
    return ink_buffer_create(b->device, b->groups * b->local * sizeof(float), "measuring", &b->out);
}

static ink_status set(const struct trial *t, cl_uint argument, size_t bytes, const void *value)
{
    return ink_cl_check(t->device, clSetKernelArg(t->kernel, argument, bytes, value), "clSetKernelArg", "measuring");
}

static ink_status run(const struct trial *t, double *seconds)
{
    size_t global = t->groups * t->local;
    INK_TRY(set(t, t->rounds_argument, sizeof t->rounds, &t->rounds));
    double began = ink_clock();
    cl_int code = clEnqueueNDRangeKernel(t->device->queue, t->kernel, 1, NULL, &global, &t->local, 0, NULL, NULL);
    INK_TRY(ink_cl_check(t->device, code, "clEnqueueNDRangeKernel", "measuring"));
    INK_TRY(ink_cl_check(t->device, clFinish(t->device->queue), "clFinish", "measuring"));
    *seconds = ink_clock() - began;
    return INK_OK;
}

/* A row: work a second. */
static ink_status sample_trial(void *user, double *row)
{
    const struct trial *t = user;
    double seconds = 0;
    INK_TRY(run(t, &seconds));
    *row = seconds > 0 ? t->rounds * t->work / seconds : 0;
    return INK_OK;
}

/* Finds rounds that take long enough beside the cost of a launch, and samples for some seconds. */
static ink_status try(struct bench *b, struct trial *t, double seconds, struct ink_spread *speed, struct ink_samples *sum)
{
    double took = 0, *rows = NULL;
    struct ink_samples samples;
    t->rounds = 1;
    INK_TRY(run(t, &took)); /* the driver finishes a kernel at its first run */
    INK_TRY(run(t, &took));
    for (; took < sample_seconds && t->rounds < 1 << 28; t->rounds *= 2)
        INK_TRY(run(t, &took));
    INK_TRY(ink_meter_samples(&b->meter, seconds, LEAST_SAMPLES, 1, sample_trial, t, &rows, &samples));
    *speed = ink_spread_of(rows, samples.kept);
    free(rows);
    sum->kept += samples.kept;
    sum->discarded += samples.discarded;
    sum->shared |= samples.shared;
    return INK_OK;
}

static ink_status measure_flops(struct bench *b, double seconds, struct ink_device_speed *speed)
{
    const cl_float x = 0.999f, y = 0.001f;
    for (int i = 0; i < b->variants; i++) {
        struct ink_spread flops;
        struct trial t = {.device = b->device, .kernel = b->kernels[i], .groups = b->groups, .local = b->local, .rounds_argument = 1,
                          .work = 2.0 * b->widths[i] * b->chains[i] * (double)(b->groups * b->local)};
        INK_TRY(set(&t, 0, sizeof b->out, &b->out));
        INK_TRY(set(&t, 2, sizeof x, &x));
        INK_TRY(set(&t, 3, sizeof y, &y));
        INK_TRY(try(b, &t, seconds / b->variants, &flops, &speed->samples));
        if (flops.median > speed->flops.median) {
            speed->flops = flops;
            speed->vector = b->widths[i];
            speed->accumulators = b->chains[i];
        }
    }
    return INK_OK;
}

/* Reading and the triad over data of so many bytes, three arrays for the triad. */
static ink_status measure_size(struct bench *b, size_t bytes, double seconds, bool triad, size_t *used, struct ink_spread *speed,
                               struct ink_samples *samples)
{
    const cl_float scale = 0.5f;
    int arrays = triad ? 3 : 1;
    size_t vector = (size_t)b->device->vector_width * sizeof(float), items = b->groups * b->local;
    cl_int count = (cl_int)(bytes / (size_t)arrays / (items * vector) / 4 * 4);
    if (count < 4)
        count = 4;
    *used = (size_t)arrays * (size_t)count * items * vector;
    cl_uint next = 0;
    struct trial t = {.device = b->device, .kernel = b->kernels[b->variants + triad], .groups = b->groups, .local = b->local, .work = (double)*used};
    for (int i = 0; i < arrays; i++)
        INK_TRY(set(&t, next++, sizeof(cl_mem), &b->buffers[i]));
    INK_TRY(triad ? set(&t, next++, sizeof scale, &scale) : set(&t, next++, sizeof(cl_mem), &b->out));
    INK_TRY(set(&t, next++, sizeof count, &count));
    t.rounds_argument = next;
    return try(b, &t, seconds, speed, samples);
}

static ink_status measure_bytes(struct bench *b, double seconds, struct ink_device_speed *speed)
{
    /* from what the caches of every device hold to what hardly any does, as far as the device has room */
    static const size_t sizes[SIZES] = {UNIT * UNIT, 4 * UNIT * UNIT, 16 * UNIT * UNIT, 64 * UNIT * UNIT, 256 * UNIT * UNIT};
    size_t most = (size_t)(b->device->info.max_alloc_bytes < b->device->info.memory_bytes / 8 ? b->device->info.max_alloc_bytes
                                                                                            : b->device->info.memory_bytes / 8);
    size_t largest = most < sizes[SIZES - 1] ? most : sizes[SIZES - 1], used, floor = UNIT + b->groups * b->local * 4 * 16 * sizeof(float);
    for (int i = 0; i < 3; i++) {
        size_t bytes = ((i == 0 ? largest : largest / 3) + floor) / UNIT * UNIT; /* the least that every item takes is one block of four vectors */
        INK_TRY(ink_buffer_create(b->device, bytes, "measuring", &b->buffers[i]));
        INK_TRY(ink_buffer_zero(b->device, b->buffers[i], bytes));
    }
    for (int triad = 0; triad < 2; triad++) {
        struct ink_spread *cache = triad ? &speed->cache_triad : &speed->cache_read, *memory = triad ? &speed->memory_triad : &speed->memory_read;
        for (int i = 0; i < SIZES && (i == 0 || sizes[i - 1] < largest); i++) {
            struct ink_spread found;
            INK_TRY(measure_size(b, sizes[i] < largest ? sizes[i] : largest, seconds / (2 * SIZES), triad, &used, &found, &speed->samples));
            if (found.median > cache->median) {
                *cache = found;
                speed->cache_bytes = triad ? speed->cache_bytes : used;
            }
            *memory = found; /* the last is the largest */
            speed->memory_bytes = triad ? speed->memory_bytes : used;
        }
    }
    return INK_OK;
}

ink_status ink_device_measure(ink_device *device, double seconds, struct ink_device_speed *out)
{
    struct ink_device_speed speed = {0};
    struct bench b = {.device = device, .local = 1, .groups = (size_t)device->info.compute_units * CPU_GROUPS};
    INK_TRY(ink_measure_seconds(&seconds, usual_seconds));
    if (device->style == INK_STYLE_GPU) {
        b.groups = (size_t)device->info.compute_units * GPU_GROUPS;
        b.local = device->info.max_work_group < GPU_LOCAL ? device->info.max_work_group : GPU_LOCAL;
    }
    ink_status status = ink_meter_create(device, &b.meter);
    if (!status)
        status = build(&b);
    if (!status)
        status = measure_flops(&b, seconds / 2, &speed);
    if (!status)
        status = measure_bytes(&b, seconds / 2, &speed);
    ink_meter_destroy(&b.meter);
    for (int i = 0; i < MOST_VARIANTS + 2; i++)
        if (b.kernels[i])
            clReleaseKernel(b.kernels[i]);
    if (b.program)
        clReleaseProgram(b.program);
    cl_mem buffers[] = {b.buffers[0], b.buffers[1], b.buffers[2], b.out};
    for (int i = 0; i < 4; i++)
        if (buffers[i])
            clReleaseMemObject(buffers[i]);
    if (!status)
        *out = speed;
    return status;
}
