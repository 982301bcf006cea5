/* The memory plan against what is really created on the device, and images that are sent batch by batch against those that lie there. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <dlfcn.h>
#include <string.h>

#include "model/model.h"
#include "ops/op_case.h"
#include "rows.h"
#include "scratch.h"
#include "suite.h"
#include "train/checkpoint.h"

enum { SIDE = 8, PIXELS = SIDE * SIDE, CLASSES = 3, COUNT = 700, TESTS = 150, MOST_EPOCHS = 4 };

static uint64_t created; /* bytes of buffers that are not host memory */

/* Stands in front of the one of OpenCL. */
cl_mem clCreateBuffer(cl_context context, cl_mem_flags flags, size_t size, void *host, cl_int *code)
{
    cl_mem (*real)(cl_context, cl_mem_flags, size_t, void *, cl_int *);
    *(void **)&real = dlsym(RTLD_NEXT, "clCreateBuffer");
    if (!(flags & CL_MEM_ALLOC_HOST_PTR))
        created += size;
    return real(context, flags, size, host, code);
}

static ink_dataset *make_data(uint64_t seed, size_t count)
{
    ink_dataset *dataset = NULL;
    ck_ok(make_rows(seed, SIDE, CLASSES, count, 60, &dataset));
    return dataset;
}

static ink_model *make_model(void)
{
    ink_model *model = NULL;
    ck_ok(ink_model_parse("input 8x8x1\nconv 4 3x3\nbatch_norm relu\ndropout 0.2\ndense 3 softmax\n", &model));
    return model;
}

/* What a run leaves and tells. */
struct end {
    ink_model *model;
    struct ink_metrics metrics;
    struct ink_memory_plan plan;
    int epochs;
    double told[MOST_EPOCHS][6];
};

static bool watch(const struct ink_progress *p, void *user)
{
    struct end *end = user;
    if (p->epoch_end) {
        const double told[] = {p->loss, p->accuracy, p->validation_loss, p->validation_accuracy, p->test_loss, p->test_accuracy};
        memcpy(end->told[end->epochs++], told, sizeof told);
    }
    return true;
}

static struct end run(struct ink_train_options options)
{
    ink_dataset *train = make_data(1, COUNT), *test = make_data(2, TESTS);
    struct end end = {.model = make_model()};
    options.progress = watch;
    options.user = &end;
    options.seed = 3;
    options.initialise = true;
    ck_ok(ink_train_plan_memory(end.model, test_device(), train, test, &options, &end.plan));
    created = 0;
    ck_ok(ink_train(end.model, test_device(), train, test, &options, NULL, &end.metrics));
    ck_assert_uint_eq(created, end.plan.weights + end.plan.activations + end.plan.data);
    ck_assert(end.plan.fits);
    ink_dataset_destroy(&train);
    ink_dataset_destroy(&test);
    return end;
}

static const struct ink_train_options ways[] = {
    {.epochs = 3, .batch = 32, .optimizer = INK_ADAM},
    {.epochs = 4, .batch = 8, .batch_to = 50, .validation = 0.2, .optimizer = INK_SGD, .sampling = INK_SAMPLING_STRATIFIED, .ema = 0.9,
     .augmentation = {.shift = 1, .rotate = 10, .noise = 0.1}},
    {.epochs = 2, .batch = 50, .micro_batch = 20, .optimizer = INK_SGD, .class_weights = "1,2,0.5"},
    {.epochs = 2, .batch = 700, .optimizer = INK_SGD, .momentum = 0.9, .clip_norm = 1},
};
enum { WAYS = sizeof ways / sizeof *ways };

/* Each time a byte less than was taken last, until all images are sent and no less will do. A batch of all samples leaves nothing to gain. */
START_TEST(images_that_are_sent_give_the_same_bits)
{
    struct ink_train_options options = ways[_i];
    struct end whole = run(options);
    uint64_t images = COUNT * PIXELS;
    int sent_test = 0, sent_train = 0, sent_both = 0;
    ck_assert(!whole.plan.streams_train && !whole.plan.streams_test);
    ck_assert_uint_gt(whole.plan.data, images);
    options.device_memory = whole.plan.weights + whole.plan.activations + whole.plan.data;
    while (options.batch != COUNT) {
        struct ink_memory_plan plan;
        ink_dataset *train = make_data(1, COUNT), *test = make_data(2, TESTS);
        options.device_memory--;
        ck_ok(ink_train_plan_memory(whole.model, test_device(), train, test, &options, &plan));
        ink_dataset_destroy(&train);
        ink_dataset_destroy(&test);
        if (!plan.fits)
            break;
        struct end end = run(options);
        ck_assert(plan.streams_train || plan.streams_test);
        ck_assert_uint_eq(plan.available, options.device_memory);
        sent_test += plan.streams_test && !plan.streams_train;
        sent_train += plan.streams_train && !plan.streams_test;
        sent_both += plan.streams_train && plan.streams_test;
        ck_assert_mem_eq(end.model->trained, whole.model->trained, whole.model->trained_count * sizeof(float));
        ck_assert_mem_eq(end.model->state, whole.model->state, whole.model->state_count * sizeof(float));
        ck_assert_mem_eq(&end.metrics, &whole.metrics, sizeof end.metrics);
        ck_assert_int_eq(end.epochs, whole.epochs);
        ck_assert_mem_eq(end.told, whole.told, sizeof end.told);
        ink_model_destroy(&end.model);
        options.device_memory = plan.weights + plan.activations + plan.data;
    }
    ck_assert(_i == WAYS - 1 || (sent_train == 1 && sent_both == 1));
    ck_assert_int_eq(sent_test, _i == 0); /* a ring of batches of 50 takes more than the test images */
    ink_model_destroy(&whole.model);
}
END_TEST

/* A checkpoint of a run with all images on the device, gone on from with images that are sent. */
START_TEST(memory_is_nothing_a_result_depends_on)
{
    struct ink_train_options options = ways[1];
    char path[INK_CHECKPOINT_PATH];
    options.checkpoints = scratch_path("kept");
    options.checkpoint_steps = 75;
    struct end whole = run(options);
    ck_ok(ink_checkpoint_path(options.checkpoints, 75, path));
    options.resume = path;
    options.checkpoints = NULL;
    options.checkpoint_steps = 0;
    options.device_memory = whole.plan.weights + whole.plan.activations + whole.plan.data - COUNT * PIXELS / 2;
    struct end end = run(options);
    ck_assert(end.plan.streams_train);
    ck_assert_mem_eq(end.model->trained, whole.model->trained, whole.model->trained_count * sizeof(float));
    ck_assert_mem_eq(&end.metrics, &whole.metrics, sizeof end.metrics);
    ink_model_destroy(&whole.model);
    ink_model_destroy(&end.model);
}
END_TEST

/* A batch that does not fit is worked on in parts that do, with the same result but for rounding: sums of 600 terms in another order, in a
 * few steps whose weights are below 1. */
START_TEST(too_little_memory_divides_a_batch)
{
    ink_dataset *train = make_data(1, COUNT);
    ink_model *whole = make_model(), *divided = make_model();
    struct ink_train_options options = {.epochs = 1, .batch = 600};
    struct ink_memory_plan plan;
    ck_ok(ink_train(whole, test_device(), train, NULL, &options, NULL, NULL));
    ck_ok(ink_train_plan_memory(divided, test_device(), train, NULL, &options, &plan));
    options.device_memory = plan.weights + plan.data + plan.activations / 3;
    ck_ok(ink_train(divided, test_device(), train, NULL, &options, NULL, NULL));
    for (size_t i = 0; i < whole->trained_count; i++)
        ck_assert_msg(fabsf(whole->trained[i] - divided->trained[i]) < 1e-4f, "weight %zu is %g, and %g in parts", i, (double)whole->trained[i],
                      (double)divided->trained[i]);
    ck_assert(memcmp(whole->trained, divided->trained, whole->trained_count * sizeof(float)) != 0); /* it was divided */
    ink_model_destroy(&whole);
    ink_model_destroy(&divided);
    ink_dataset_destroy(&train);
}
END_TEST

/* With too little for what is asked to be worked on at once the message tells what fits, and it does, and the next larger one does not. */
START_TEST(too_little_memory_is_told)
{
    ink_dataset *train = make_data(1, COUNT);
    ink_model *model = make_model();
    struct ink_train_options options = {.epochs = 1, .batch = 600};
    struct ink_memory_plan plan;
    char fits[64];
    ck_ok(ink_train_plan_memory(model, test_device(), train, NULL, &options, &plan));
    ck_assert(plan.fits);
    ck_assert_int_eq(plan.largest_batch, 600);
    options.device_memory = plan.weights + plan.data + plan.activations / 3;
    ck_ok(ink_train_plan_memory(model, test_device(), train, NULL, &options, &plan));
    ck_assert(!plan.fits);
    ck_assert_int_eq(plan.batch, 600);
    ck_assert_int_gt(plan.largest_batch, 100);
    ck_assert_int_lt(plan.largest_batch, 600);
    created = 0;
    options.micro_batch = 600;
    ck_fails(ink_train(model, test_device(), train, NULL, &options, NULL, NULL), INK_ERROR_MEMORY,
             "to be used at most (device_memory, --device-memory); a batch of at most");
    ck_assert_uint_eq(created, 0);
    snprintf(fits, sizeof fits, "a batch of at most %d fits", plan.largest_batch);
    ck_assert_msg(strstr(ink_last_error(), fits) != NULL, "\"%s\" lacks \"%s\"", ink_last_error(), fits);
    options.batch = plan.largest_batch;
    options.micro_batch = 0;
    ck_ok(ink_train(model, test_device(), train, NULL, &options, NULL, NULL));
    options.batch = COUNT; /* to send it takes more than there is; to send the one that fits does not */
    options.device_memory = plan.weights + 60000;
    ck_ok(ink_train_plan_memory(model, test_device(), train, NULL, &options, &plan));
    ck_assert_uint_gt(plan.data, options.device_memory);
    options.batch = plan.largest_batch;
    ck_assert_int_gt(options.batch, 0);
    ck_ok(ink_train(model, test_device(), train, NULL, &options, NULL, NULL));
    options.device_memory = 1000;
    ck_fails(ink_train(model, test_device(), train, NULL, &options, NULL, NULL), INK_ERROR_MEMORY, "not even a batch of 1 fits: take a smaller model");
    ink_model_destroy(&model);
    ink_dataset_destroy(&train);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("memory");
    TCase *all = tcase_create("memory");
    tcase_add_loop_test(all, images_that_are_sent_give_the_same_bits, 0, WAYS);
    tcase_add_test(all, memory_is_nothing_a_result_depends_on);
    tcase_add_test(all, too_little_memory_divides_a_batch);
    tcase_add_test(all, too_little_memory_is_told);
    return run_case(suite, all);
}
