/* Several devices: parts of a CPU, and of two platforms, train what one trains; shares follow speed; and devices that fail at any
 * moment are left out without a step being lost. Failures are made by standing in front of the OpenCL calls of this program. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "ops/op_case.h"
#include "rows.h"
#include "scratch.h"
#include "suite.h"
#include "train/trainer.h"

enum { SIDE = 6, PIXELS = SIDE * SIDE, CLASSES = 3, COUNT = 85, BATCH = 10, EPOCHS = 3 };

/* Calls on these queues fail from the call of this number on. */
static cl_command_queue broken[2];
static atomic_int calls_left[2];

static bool fails(cl_command_queue queue)
{
    for (int i = 0; i < 2; i++)
        if (broken[i] && queue == broken[i])
            return atomic_fetch_sub(&calls_left[i], 1) <= 0;
    return false;
}

typedef CL_API_ENTRY cl_int(CL_API_CALL *enqueue_function)(cl_command_queue, cl_kernel, cl_uint, const size_t *, const size_t *, const size_t *, cl_uint,
                                                          const cl_event *, cl_event *);
typedef CL_API_ENTRY cl_int(CL_API_CALL *finish_function)(cl_command_queue);

CL_API_ENTRY cl_int CL_API_CALL clEnqueueNDRangeKernel(cl_command_queue queue, cl_kernel kernel, cl_uint dimensions, const size_t *offset,
                                                       const size_t *global, const size_t *local, cl_uint count, const cl_event *waits, cl_event *event)
{
    enqueue_function real;
    *(void **)&real = dlsym(RTLD_NEXT, "clEnqueueNDRangeKernel");
    return fails(queue) ? CL_OUT_OF_RESOURCES : real(queue, kernel, dimensions, offset, global, local, count, waits, event);
}

CL_API_ENTRY cl_int CL_API_CALL clFinish(cl_command_queue queue)
{
    finish_function real;
    *(void **)&real = dlsym(RTLD_NEXT, "clFinish");
    cl_int code = real(queue); /* in any case: a device that has failed runs no more, and what it worked on is freed after this */
    return fails(queue) ? CL_INVALID_COMMAND_QUEUE : code;
}

static ink_dataset *make_data(void)
{
    ink_dataset *dataset = NULL;
    ck_ok(make_rows(6, SIDE, CLASSES, COUNT, 100, &dataset));
    return dataset;
}

static const char *const plain = "input 6x6x1\nconv 3 3x3 relu\ndropout 0.2\ndense 7 tanh\ndropout 0.3\ndense 3 softmax\n";
static const char *const normed = "input 6x6x1\nconv 4 3x3\nbatch_norm relu\ndense 3 softmax\n";

/* The rounding of sums over a batch, in each of 27 steps; the model is smooth but for ReLU, so steps add to it and hardly multiply it. */
static const double tolerance = 27 * 10 * 6e-8;

static struct ink_train_options usual(void)
{
    return (struct ink_train_options){.optimizer = INK_SGD, .learning_rate = 0.05, .momentum = 0.9, .clip_norm = 0.5, .ema = 0.9, .epochs = EPOCHS,
                                      .batch = BATCH, .seed = 5, .initialise = true};
}

/* Trains on devices, or on the test device where there are none. */
static ink_model *train(const char *text, const struct ink_train_options *options, struct ink_metrics *metrics)
{
    ink_dataset *data = make_data();
    ink_model *model = NULL;
    ck_ok(ink_model_parse(text, &model));
    ck_ok(ink_train(model, options->device_count ? NULL : test_device(), data, data, options, NULL, metrics));
    ink_dataset_destroy(&data);
    return model;
}

static void check_near(const ink_model *got, const ink_model *wanted, const char *what)
{
    for (size_t i = 0; i < wanted->trained_count; i++)
        ck_assert_msg(fabs((double)got->trained[i] - (double)wanted->trained[i]) <= tolerance, "%s: weight %zu is %.9g, not %.9g", what, i,
                      (double)got->trained[i], (double)wanted->trained[i]);
}

static void check_same(const ink_model *got, const ink_model *wanted, const char *what)
{
    ck_assert_msg(memcmp(got->trained, wanted->trained, wanted->trained_count * sizeof(float)) == 0, "%s: other weights", what);
    ck_assert_msg(memcmp(got->state, wanted->state, wanted->state_count * sizeof(float)) == 0, "%s: other statistics", what);
}

/* The test device's platform divided; false, having told why, where it cannot be. */
static bool open_parts(int parts, ink_device ***devices, size_t *count)
{
    char selector[64];
    snprintf(selector, sizeof selector, "%d/%d", test_device()->info.index, parts);
    ink_status status = ink_devices_open(selector, devices, count);
    if (!status)
        return true;
    ck_assert_msg(status == INK_ERROR_UNSUPPORTED || status == INK_ERROR_ARGUMENT, "%s", ink_last_error());
    fprintf(stderr, "skipped: %s\n", ink_last_error());
    return false;
}

static bool note_losses(const struct ink_progress *progress, void *user)
{
    double *losses = user;
    if (progress->epoch_end)
        losses[0] = progress->loss, losses[1] = progress->validation_loss;
    return true;
}

/* Weights of classes are of the whole batch, and the split is evaluated in parts too. */
START_TEST(weighted_classes_and_a_split_are_those_of_one_device)
{
    struct ink_train_options options = usual();
    double wanted[2], got[2];
    ink_device **devices;
    size_t count;
    if (!open_parts(2, &devices, &count))
        return;
    options.validation = 0.2, options.class_weights = "1,3,0.5", options.progress = note_losses, options.user = wanted;
    ink_model *whole = train(plain, &options, NULL);
    options.devices = devices, options.device_count = count, options.shares = (const double[]){3, 1}, options.user = got;
    ink_model *model = train(plain, &options, NULL);
    check_near(model, whole, "weighted");
    for (int i = 0; i < 2; i++)
        ck_assert_double_eq_tol(got[i], wanted[i], tolerance);
    ink_model_destroy(&model);
    ink_model_destroy(&whole);
    ink_devices_close(&devices, &count);
}
END_TEST

START_TEST(parts_of_a_device_train_what_it_does)
{
    static const double shares[][2] = {{1, 1}, {3, 1}, {1, 9}, {1, 100}}; /* in the last, one has no sample */
    struct ink_train_options options = usual();
    struct ink_metrics wanted, metrics;
    ink_device **devices;
    size_t count;
    if (!open_parts(2, &devices, &count))
        return;
    ck_assert_uint_eq(count, 2);
    ink_model *whole = train(plain, &options, &wanted);
    options.devices = devices, options.device_count = count;
    for (size_t s = 0; s <= sizeof shares / sizeof *shares; s++) {
        options.shares = s < sizeof shares / sizeof *shares ? shares[s] : NULL;
        options.micro_batch = s == 1 ? 3 : 0;
        ink_model *model = train(plain, &options, &metrics);
        check_near(model, whole, "on two parts");
        ck_assert_double_eq_tol(metrics.loss, wanted.loss, tolerance);
        ink_model_destroy(&model);
    }
    ink_model_destroy(&whole);
    ink_devices_close(&devices, &count);
    ck_assert_ptr_null(devices);
}
END_TEST

/* With statistics of batch norm too, which each part has of its own. */
START_TEST(the_same_shares_give_the_same_bits)
{
    struct ink_train_options options = usual();
    ink_device **devices;
    size_t count;
    if (!open_parts(2, &devices, &count))
        return;
    options.devices = devices, options.device_count = count, options.shares = (const double[]){2, 1};
    ink_model *first = train(normed, &options, NULL), *second = train(normed, &options, NULL);
    check_same(second, first, "the second time");
    for (size_t i = 0; i < first->state_count; i++)
        ck_assert(isfinite(first->state[i]));
    ink_model_destroy(&first);
    ink_model_destroy(&second);
    ink_devices_close(&devices, &count);
}
END_TEST

/* Given shares must be those of the checkpoint; measured ones are taken from it. */
START_TEST(going_on_gives_the_same_bits)
{
    struct ink_train_options options = usual();
    struct ink_checkpoint checkpoint;
    char path[INK_CHECKPOINT_PATH];
    ink_device **devices;
    size_t count;
    if (!open_parts(2, &devices, &count))
        return;
    options.devices = devices, options.device_count = count, options.shares = (const double[]){2, 1};
    ink_model *whole = train(normed, &options, NULL);
    options.checkpoints = scratch_path("fixed"), options.checkpoint_steps = 4, options.keep = 100;
    ink_model *kept = train(normed, &options, NULL);
    check_same(kept, whole, "with checkpoints");
    ink_model_destroy(&kept);
    options.checkpoints = NULL, options.checkpoint_steps = options.keep = 0, options.resume = path;
    for (uint64_t step = 4; step <= 24; step += 4) {
        ck_ok(ink_checkpoint_path(scratch_path("fixed"), step, path));
        ink_model *model = train(normed, &options, NULL);
        check_same(model, whole, path);
        ink_model_destroy(&model);
    }
    ink_dataset *data = make_data();
    options.shares = (const double[]){1, 1};
    ck_fails(ink_train(whole, NULL, data, data, &options, NULL, NULL), INK_ERROR_ARGUMENT, "whose shares are \"2,1\", not \"1,1\"; give the same");
    options.shares = NULL;
    ck_fails(ink_train(whole, NULL, data, data, &options, NULL, NULL), INK_ERROR_ARGUMENT, "whose shares are \"2,1\", not \"\"");

    options = usual(); /* of an epoch, which ends before shares are looked at again */
    options.devices = devices, options.device_count = count, options.epochs = 1;
    options.checkpoints = scratch_path("measured"), options.checkpoint_steps = 4, options.keep = 100;
    kept = train(normed, &options, NULL);
    ck_ok(ink_checkpoint_path(scratch_path("measured"), 4, path));
    ck_ok(ink_checkpoint_open(path, &checkpoint));
    ck_assert_int_eq(checkpoint.snapshot.weight_count, 2);
    ck_assert_double_eq_tol(checkpoint.snapshot.weights[0] + checkpoint.snapshot.weights[1], 1, 1e-15);
    ink_checkpoint_close(&checkpoint);
    options.checkpoints = NULL, options.checkpoint_steps = options.keep = 0, options.resume = path;
    ink_model *resumed = train(normed, &options, NULL);
    check_same(resumed, kept, "with measured shares");
    ink_model_destroy(&resumed);
    ink_model_destroy(&kept);
    ink_model_destroy(&whole);
    ink_dataset_destroy(&data);
    ink_devices_close(&devices, &count);
}
END_TEST

static char warnings[4096];

static void note_warning(ink_log_level level, const char *text, void *user)
{
    (void)user;
    if (level == INK_LOG_WARNING)
        strncat(warnings, text, sizeof warnings - strlen(warnings) - 1);
}

/* The first, then the second device fails after any number of calls: in a part, in the change of weights, in an evaluation. */
START_TEST(a_device_that_fails_is_left_out)
{
    struct ink_train_options options = usual();
    struct ink_metrics wanted, metrics;
    ink_device **devices;
    size_t count;
    int failed = 0, run_through = 0;
    if (!open_parts(2, &devices, &count))
        return;
    ink_model *whole = train(plain, &options, &wanted);
    options.devices = devices, options.device_count = count, options.shares = (const double[]){1, 1};
    ink_set_log(note_warning, NULL);
    broken[0] = devices[_i]->queue;
    for (int calls = 0; run_through < 1; calls += calls < 40 ? 3 : 97) {
        char what[64];
        atomic_store(&calls_left[0], calls);
        *warnings = 0;
        ink_model *model = train(plain, &options, &metrics);
        snprintf(what, sizeof what, "device %d failing after %d calls", _i, calls);
        check_near(model, whole, what);
        ck_assert_double_eq_tol(metrics.loss, wanted.loss, tolerance);
        bool told = strstr(warnings, _i ? "device 2 of 2, " : "device 1 of 2, ") && strstr(warnings, "failed and is left out; the others do its part");
        run_through += !told;
        failed += told;
        ink_model_destroy(&model);
    }
    ck_assert_int_gt(failed, 14); /* the whole run takes over a thousand */
    broken[0] = NULL;
    ink_model_destroy(&whole);
    ink_devices_close(&devices, &count);
}
END_TEST

START_TEST(without_any_device_training_ends)
{
    struct ink_train_options options = usual();
    ink_device **devices;
    size_t count;
    ink_dataset *data = make_data();
    ink_model *model = NULL;
    ck_ok(ink_model_parse(plain, &model));
    if (!open_parts(2, &devices, &count))
        return;
    options.devices = devices, options.device_count = count;
    for (int s = 0; s < 2; s++) {
        options.shares = s ? (const double[]){1, 1} : NULL;
        for (int calls = 10; calls < 300; calls += 140) {
            for (int i = 0; i < 2; i++) {
                broken[i] = devices[i]->queue;
                atomic_store(&calls_left[i], calls + 55 * i);
            }
            ink_status status = ink_train(model, NULL, data, data, &options, NULL, NULL);
            ck_assert_msg(status == INK_ERROR_MEMORY || status == INK_ERROR_DEVICE, "%s", ink_status_text(status)); /* of a kernel, or a wait */
            ck_assert_msg(strstr(ink_last_error(), "no device is left to train on: cl") != NULL, "%s", ink_last_error());
            broken[0] = broken[1] = NULL;
        }
    }
    ink_model_destroy(&model);
    ink_dataset_destroy(&data);
    ink_devices_close(&devices, &count);
}
END_TEST

/* The test device, and one of another platform; false, having told why, where there is none. */
static bool open_platforms(ink_device ***devices, size_t *opened)
{
    struct ink_device_info *infos;
    size_t count;
    char selectors[32];
    int other = -1;
    setenv("RUSTICL_ENABLE", "llvmpipe", 0); /* a second platform, where Mesa brings one */
    ck_ok(ink_device_list(&infos, &count));
    for (size_t i = 0; i < count; i++)
        if (infos[i].usable && strcmp(infos[i].platform, test_device()->info.platform) != 0)
            other = (int)i;
    free(infos);
    if (other < 0) {
        fprintf(stderr, "skipped: there is but one OpenCL platform\n");
        return false;
    }
    snprintf(selectors, sizeof selectors, "%d,%d", test_device()->info.index, other);
    ck_ok(ink_devices_open(selectors, devices, opened));
    return true;
}

/* A convolution of a sample is over a hundred thousand rounds of the innermost loop, more than Mesa's llvmpipe grants a work-item.
 * Sums of 1,152 products of values below 1 are rounded by less than 1e-4. */
START_TEST(two_platforms_predict_the_same)
{
    enum { MANY = 5, VALUES = 34 * 34 * 128 };
    static uint8_t images[MANY * VALUES];
    float probabilities[2][MANY * 3];
    ink_device **devices;
    ink_model *model = NULL;
    size_t opened;
    if (!open_platforms(&devices, &opened))
        return;
    for (size_t i = 0; i < sizeof images; i++)
        images[i] = (uint8_t)(i * 2654435761u >> 7);
    ck_ok(ink_model_parse("input 34x34x128\nconv 8 3x3\nglobal_average_pool\ndense 3\n", &model));
    ck_ok(ink_model_initialise(model, 1));
    for (int d = 0; d < 2; d++)
        ck_ok(ink_predict(model, devices[d], images, MANY, probabilities[d]));
    for (int i = 0; i < MANY * 3; i++)
        ck_assert_float_eq_tol(probabilities[1][i], probabilities[0][i], 1e-4f);
    ink_model_destroy(&model);
    ink_devices_close(&devices, &opened);
}
END_TEST

/* Two runtimes round differently; the second takes over what the first has. */
START_TEST(two_platforms_train_together)
{
    struct ink_train_options options = usual();
    ink_device **devices;
    size_t opened;
    if (!open_platforms(&devices, &opened))
        return;
    ink_model *whole = train(plain, &options, NULL);
    options.devices = devices, options.device_count = opened, options.shares = (const double[]){2, 1};
    for (int first = 0; first < 2; first++) {
        ink_model *model = train(plain, &options, NULL), *again = train(plain, &options, NULL);
        check_near(model, whole, "on two platforms");
        check_same(again, model, "the second time");
        ink_model_destroy(&model);
        ink_model_destroy(&again);
        ink_device *swapped = devices[0];
        devices[0] = devices[1];
        devices[1] = swapped;
    }
    broken[0] = devices[0]->queue; /* the leader; the other one, of another kind, goes on */
    atomic_store(&calls_left[0], 200);
    ink_model *model = train(plain, &options, NULL);
    check_near(model, whole, "without the leader");
    broken[0] = NULL;
    ink_model_destroy(&model);
    ink_model_destroy(&whole);
    ink_devices_close(&devices, &opened);
}
END_TEST

START_TEST(shares_cut_the_whole_batch)
{
    struct ink_shares shares = {0};
    double back[INK_MOST_DEVICES];
    char text[INK_SHARES_BYTES];
    int count;
    ink_shares_set(&shares, (const double[]){1, 0, 3, 1.5, 0.1}, 5);
    for (size_t n = 0; n < 300; n++) {
        ck_assert_uint_eq(ink_shares_cut(&shares, 0, n), 0);
        ck_assert_uint_eq(ink_shares_cut(&shares, 5, n), n);
        ck_assert_uint_eq(ink_shares_cut(&shares, 1, n), ink_shares_cut(&shares, 2, n));
        for (int i = 0; i < 5; i++) {
            size_t first = ink_shares_cut(&shares, i, n), end = ink_shares_cut(&shares, i + 1, n);
            ck_assert_uint_le(first, end);
            ck_assert_double_le(fabs((double)(end - first) - shares.weights[i] * (double)n), 1);
        }
    }
    ink_shares_text(shares.weights, 5, text);
    ck_assert(ink_shares_read(text, back, &count));
    ck_assert_int_eq(count, 5);
    ck_assert_mem_eq(back, shares.weights, 5 * sizeof *back);
    ck_assert(!ink_shares_read("1,x", back, &count) && !ink_shares_read("1;2", back, &count) && !ink_shares_read("-1", back, &count));
    ck_assert(ink_shares_read("", back, &count) && count == 0);
    ink_shares_drop(&shares, 2);
    ck_assert_double_eq(shares.weights[2], 0);
    ck_assert_double_eq_tol(shares.weights[0], 1 / 2.6, 1e-15);
}
END_TEST

/* Devices that take so long for a sample; and shares that are given stay. */
START_TEST(shares_follow_speed)
{
    static const double seconds[] = {0.001, 0.002, 0.004};
    for (int fixed = 0; fixed < 2; fixed++) {
        struct ink_shares shares = {.fixed = fixed};
        int changes = 0;
        ink_shares_set(&shares, (const double[]){1, 1, 1}, 3);
        for (int step = 0; step < 100; step++) {
            for (int i = 0; i < 3; i++) {
                size_t samples = ink_shares_cut(&shares, i + 1, 700) - ink_shares_cut(&shares, i, 700);
                ink_shares_note(&shares, i, samples, seconds[i] * (double)samples * (step % 2 ? 1.01 : 0.99));
            }
            changes += ink_shares_review(&shares);
        }
        ck_assert_int_eq(changes, fixed ? 0 : 1); /* a few percent are no reason to change again */
        for (int i = 0; i < 3; i++)
            ck_assert_double_eq_tol(shares.weights[i], fixed ? 1.0 / 3 : (double)(4 >> i) / 7, 0.01);
    }
}
END_TEST

START_TEST(wrong_lists_are_refused)
{
    static const struct { const char *list; ink_status status; const char *text; } lists[] = {
        {"", INK_ERROR_ARGUMENT, "an item of the list of devices is empty"},
        {NULL, INK_ERROR_ARGUMENT, "an item of the list of devices is empty"},
        {"0,,0", INK_ERROR_ARGUMENT, "an item of the list of devices is empty"},
        {"0/0", INK_ERROR_ARGUMENT, "'0/0': behind the slash goes a number of parts"},
        {"all/x", INK_ERROR_ARGUMENT, "'all/x': behind the slash"},
        {"0/2x", INK_ERROR_ARGUMENT, "'0/2x': behind the slash"},
        {"0, nonsense", INK_ERROR_NO_DEVICE, "no OpenCL device fits 'nonsense'"},
        {"0/64", INK_ERROR_ARGUMENT, "cannot be divided into 64 parts"},
    };
    ink_device **devices = NULL;
    size_t count = 7;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        if (strcmp(lists[i].text, "cannot be divided into 64 parts") == 0 && test_device()->info.compute_units >= 64)
            continue;
        ck_fails(ink_devices_open(lists[i].list, &devices, &count), lists[i].status, lists[i].text);
        ck_assert_uint_eq(count, 7);
    }
    ink_dataset *data = make_data();
    ink_model *model = NULL;
    ink_device *device = test_device();
    ck_ok(ink_model_parse(plain, &model));
    struct ink_train_options options = {.device_count = 1};
    ck_fails(ink_train(model, NULL, data, NULL, &options, NULL, NULL), INK_ERROR_ARGUMENT, "device_count is 1, and devices is NULL");
    ck_fails(ink_train(model, NULL, data, NULL, NULL, NULL, NULL), INK_ERROR_ARGUMENT, "there is no device to train on");
    options.devices = &device, options.shares = (const double[]){0};
    ck_fails(ink_train(model, NULL, data, NULL, &options, NULL, NULL), INK_ERROR_ARGUMENT, "the share of device 1 is 0");
    ink_model_destroy(&model);
    ink_dataset_destroy(&data);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("team");
    TCase *all = tcase_create("team");
    tcase_add_test(all, shares_cut_the_whole_batch);
    tcase_add_test(all, shares_follow_speed);
    tcase_add_test(all, wrong_lists_are_refused);
    tcase_add_test(all, parts_of_a_device_train_what_it_does);
    tcase_add_test(all, weighted_classes_and_a_split_are_those_of_one_device);
    tcase_add_test(all, the_same_shares_give_the_same_bits);
    tcase_add_test(all, going_on_gives_the_same_bits);
    tcase_add_loop_test(all, a_device_that_fails_is_left_out, 0, 2);
    tcase_add_test(all, without_any_device_training_ends);
    tcase_add_test(all, two_platforms_predict_the_same);
    tcase_add_test(all, two_platforms_train_together);
    return run_case(suite, all);
}
