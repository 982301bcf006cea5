/* Samples of time and the watch over them; see measure.h.
 *
 * The watch: one work-group spins for R rounds on one thread, then units * SPLIT work-groups of R / SPLIT rounds each on all.
 * Where each thread has a core the two take the same time, and twice as long where two share one. Drivers hand out
 * work-groups in portions that shrink as work ends, so SPLIT of them a unit leave no thread idle for long. */
#include "device/measure.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "device/source.h"
#include "util/clock.h"
#include "util/text.h"

enum { SPLIT = 32, MOST_ROWS = 2000 };
static const double spin_seconds = 4e-4;
static const double shared_ratio = 1.6; /* between 1, the clock of all cores lower than of one, and 2 */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The value at a share of sorted samples, between neighbours by proportion. */
static double quantile(const double *sorted, size_t count, double share)
{
    double place = share * (double)(count - 1), below = floor(place);
    size_t i = (size_t)below;
    return i + 1 < count ? sorted[i] + (place - below) * (sorted[i + 1] - sorted[i]) : sorted[i];
}

struct ink_spread ink_spread_of(double *samples, size_t count)
{
    qsort(samples, count, sizeof *samples, compare);
    return (struct ink_spread){quantile(samples, count, 0.5), quantile(samples, count, 0.25), quantile(samples, count, 0.75)};
}

ink_status ink_measure_seconds(double *seconds, double usual)
{
    if (!(*seconds >= 0 && *seconds <= 3600))
        return ink_fail(INK_ERROR_ARGUMENT, "seconds is %g; it must be from 0, for %g, to 3600", *seconds, usual);
    if (*seconds == 0)
        *seconds = usual;
    return INK_OK;
}

static ink_status spin(struct ink_meter *meter, size_t groups, int rounds, double *seconds)
{
    const cl_float a = 0.999f, b = 0.001f;
    const size_t local = 1;
    cl_int code = clSetKernelArg(meter->spin, 0, sizeof meter->out, &meter->out);
    code = code ? code : clSetKernelArg(meter->spin, 1, sizeof rounds, &rounds);
    code = code ? code : clSetKernelArg(meter->spin, 2, sizeof a, &a);
    code = code ? code : clSetKernelArg(meter->spin, 3, sizeof b, &b);
    INK_TRY(ink_cl_check(meter->device, code, "clSetKernelArg", "the watch over samples"));
    double began = ink_clock();
    code = clEnqueueNDRangeKernel(meter->device->queue, meter->spin, 1, NULL, &groups, &local, 0, NULL, NULL);
    INK_TRY(ink_cl_check(meter->device, code, "clEnqueueNDRangeKernel", "the watch over samples"));
    INK_TRY(ink_cl_check(meter->device, clFinish(meter->device->queue), "clFinish", "the watch over samples"));
    *seconds = ink_clock() - began;
    return INK_OK;
}

static ink_status prepare(struct ink_meter *meter)
{
    char *source, *whole;
    struct ink_text text = {0};
    cl_int code;
    double seconds = 0;
    INK_TRY(ink_source_load("measure.cl", &source));
    ink_text_add(&text, "#define INSTANCE 0\n#define KERNEL_spin\n#define WIDTH 1\n#define LOCAL 1\n");
    ink_text_bytes(&text, source, strlen(source));
    free(source);
    INK_TRY(ink_text_take(&text, &whole, NULL));
    ink_status status = ink_program_build(meter->device, whole, "", &meter->program);
    free(whole);
    INK_TRY(status);
    meter->spin = clCreateKernel(meter->program, "spin_0", &code);
    INK_TRY(ink_cl_check(meter->device, code, "clCreateKernel", "the watch over samples"));
    INK_TRY(ink_buffer_create(meter->device, meter->spin_groups * sizeof(float), "the watch over samples", &meter->out));
    INK_TRY(spin(meter, 1, 1, &seconds)); /* the driver finishes the kernel at its first run */
    for (meter->rounds = 1000;; meter->rounds *= 2) {
        INK_TRY(spin(meter, 1, meter->rounds * SPLIT, &seconds));
        if (seconds >= spin_seconds || meter->rounds > 10000000)
            return INK_OK;
    }
}

ink_status ink_meter_create(struct ink_device *device, struct ink_meter *out)
{
    struct ink_meter meter = {.device = device, .units = device->info.compute_units};
    meter.watches = device->info.type == INK_DEVICE_CPU && meter.units > 1;
    meter.spin_groups = meter.units * SPLIT;
    ink_status status = meter.watches ? prepare(&meter) : INK_OK;
    if (status)
        ink_meter_destroy(&meter);
    else
        *out = meter;
    return status;
}

void ink_meter_destroy(struct ink_meter *meter)
{
    if (meter->spin)
        clReleaseKernel(meter->spin);
    if (meter->program)
        clReleaseProgram(meter->program);
    if (meter->out)
        clReleaseMemObject(meter->out);
    *meter = (struct ink_meter){0};
}

ink_status ink_meter_shared(struct ink_meter *meter, bool *shared)
{
    double one = 0, all = 0;
    *shared = false;
    if (!meter->watches)
        return INK_OK;
    INK_TRY(spin(meter, 1, meter->rounds * SPLIT, &one));
    INK_TRY(spin(meter, meter->spin_groups, meter->rounds, &all));
    *shared = all > shared_ratio * one;
    return INK_OK;
}

/* Takes the rows; those taken at a doubtful moment are marked. *taken counts the rows, *good the unmarked ones. */
static ink_status take(struct ink_meter *meter, double seconds, size_t least, size_t columns, ink_sample_function sample, void *user,
                       double *rows, bool *marks, size_t *taken, size_t *good)
{
    bool before, after;
    double began = ink_clock(), spent = 0;
    INK_TRY(ink_meter_shared(meter, &before));
    while (*taken < MOST_ROWS && (spent < seconds || (*good < least && spent < 2 * seconds) || *taken < least)) {
        INK_TRY(sample(user, rows + *taken * columns));
        INK_TRY(ink_meter_shared(meter, &after));
        marks[*taken] = before || after;
        *good += !marks[(*taken)++];
        before = after;
        spent = ink_clock() - began;
    }
    return INK_OK;
}

ink_status ink_meter_samples(struct ink_meter *meter, double seconds, size_t least, size_t columns, ink_sample_function sample, void *user,
                             double **out, struct ink_samples *samples)
{
    size_t taken = 0, good = 0, kept = 0;
    double *rows = calloc(MOST_ROWS * columns, sizeof *rows);
    bool *marks = calloc(MOST_ROWS, sizeof *marks);
    ink_status status = rows && marks ? take(meter, seconds, least, columns, sample, user, rows, marks, &taken, &good)
                                      : ink_fail_memory(MOST_ROWS * columns * sizeof *rows);
    if (!status) {
        *samples = (struct ink_samples){.kept = taken, .shared = good < least};
        for (size_t i = 0; i < taken && !samples->shared; i++)
            if (!marks[i])
                memmove(rows + kept++ * columns, rows + i * columns, columns * sizeof *rows);
        if (!samples->shared) {
            samples->kept = kept;
            samples->discarded = taken - kept;
        }
        *out = rows;
        rows = NULL;
    }
    free(rows);
    free(marks);
    return status;
}

ink_status ink_rows_spread(const double *rows, size_t count, size_t columns, size_t column, struct ink_spread *spread)
{
    double *values = malloc(count * sizeof *values);
    if (!values)
        return ink_fail_memory(count * sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = rows[i * columns + column];
    *spread = ink_spread_of(values, count);
    free(values);
    return INK_OK;
}
