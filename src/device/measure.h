/* Samples of time on a device: their statistics, and the watch for threads of a CPU driver that share a core. */
#ifndef INK_DEVICE_MEASURE_H
#define INK_DEVICE_MEASURE_H

#include "device/device.h"

/* Median and quartiles of count samples, at least one; sorts them. */
struct ink_spread ink_spread_of(double *samples, size_t count);

/* INK_ERROR_ARGUMENT unless 0 <= *seconds <= 3600; 0 becomes usual. */
ink_status ink_measure_seconds(double *seconds, double usual);

/* Kernels of measure.cl, built for a device. */
struct ink_meter {
    struct ink_device *device;
    cl_program program;
    cl_kernel spin;
    cl_mem out;
    size_t units, spin_groups; /* work-groups that all units spin with */
    int rounds;                /* spin: of one work-group of all */
    bool watches;              /* false: GPUs, and CPUs of one unit, where nothing can share */
};

/* Builds the watch alone. */
ink_status ink_meter_create(struct ink_device *device, struct ink_meter *meter);
void ink_meter_destroy(struct ink_meter *meter);

/* *shared: the device's threads do not have a core each at this moment, by a millisecond of spinning. Waits for the queue. */
ink_status ink_meter_shared(struct ink_meter *meter, bool *shared);

/* Takes samples for some seconds, and `least` of them at any rate: sample() waits for the queue, does one, and writes
 * columns numbers to row. Rows taken while threads shared a core are discarded, unless less than `least` would be left.
 * *rows: the kept rows [samples->kept][columns], freed with free(). */
typedef ink_status (*ink_sample_function)(void *user, double *row);
ink_status ink_meter_samples(struct ink_meter *meter, double seconds, size_t least, size_t columns, ink_sample_function sample, void *user,
                             double **rows, struct ink_samples *samples);

/* The spread of a column of such rows. */
ink_status ink_rows_spread(const double *rows, size_t count, size_t columns, size_t column, struct ink_spread *spread);

#endif
