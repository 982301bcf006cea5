/* The device's measures are of a sound order: finite, and between bounds that any device keeps. */
#include <math.h>
#include <string.h>

#include "device/measure.h"
#include "suite.h"

START_TEST(test_speed)
{
    ink_device *device;
    struct ink_device_speed speed;
    ck_ok(ink_device_open(NULL, &device));
    ck_ok(ink_device_measure(device, 0.1, &speed));
    const struct ink_spread *const all[] = {&speed.flops, &speed.cache_read, &speed.cache_triad, &speed.memory_read, &speed.memory_triad};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ck_assert(isfinite(all[i]->high) && all[i]->low > 0 && all[i]->low <= all[i]->median && all[i]->median <= all[i]->high);
    ck_assert_int_ge(speed.vector, 1);
    ck_assert_int_ge(speed.accumulators, 4);
    ck_assert(speed.cache_read.median >= speed.memory_read.median);
    ck_assert_uint_ge(speed.memory_bytes, speed.cache_bytes);
    ck_assert_uint_gt(speed.samples.kept, 0);
    ink_device_destroy(&device);
}
END_TEST

START_TEST(test_seconds)
{
    ink_device *device;
    struct ink_device_speed speed = {.vector = 7};
    ck_ok(ink_device_open(NULL, &device));
    ck_fails(ink_device_measure(device, -1, &speed), INK_ERROR_ARGUMENT, "seconds is -1");
    ck_fails(ink_device_measure(device, INFINITY, &speed), INK_ERROR_ARGUMENT, "3600");
    ck_assert_int_eq(speed.vector, 7);
    ink_device_destroy(&device);
}
END_TEST

static ink_status count_up(void *user, double *row)
{
    int *calls = user;
    row[0] = ++*calls;
    row[1] = -row[0];
    return *calls == 40 ? ink_fail(INK_ERROR_DEVICE, "the fortieth") : INK_OK;
}

/* Rows stay whole, discarded ones are counted, and a failure ends it. */
START_TEST(test_samples)
{
    struct ink_meter meter;
    struct ink_samples samples;
    ink_device *device;
    double *rows = NULL;
    int calls = 0;
    ck_ok(ink_device_open(NULL, &device));
    ck_ok(ink_meter_create(device, &meter));
    ck_ok(ink_meter_samples(&meter, 1e-6, 5, 2, count_up, &calls, &rows, &samples));
    ck_assert_uint_eq(samples.kept + samples.discarded, (size_t)calls);
    ck_assert_uint_ge(samples.kept, 5);
    for (size_t i = 0; i < samples.kept; i++)
        ck_assert(rows[2 * i] >= 1 && rows[2 * i] + rows[2 * i + 1] == 0 && (i == 0 || rows[2 * i] > rows[2 * i - 2]));
    free(rows);
    rows = NULL;
    calls = 39;
    ck_fails(ink_meter_samples(&meter, 1e-6, 5, 2, count_up, &calls, &rows, &samples), INK_ERROR_DEVICE, "the fortieth");
    ck_assert_ptr_null(rows);
    ink_meter_destroy(&meter);
    ink_device_destroy(&device);
}
END_TEST

int main(void) RUN_SUITE("measure", test_speed, test_seconds, test_samples)
