/* Training, evaluation and prediction through the public calls, on a made-up data set of bright bars: four classes, each a
 * bar at its own place on noise, which a small network learns in seconds. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model/model.h"
#include "scratch.h"
#include "suite.h"
#include "train/feed.h"
#include "util/file.h"
#include "util/rng.h"

enum { SIDE = 8, PIXELS = SIDE * SIDE, CLASSES = 4 };
static const struct ink_shape shape = {SIDE, SIDE, 1};

static ink_device *device;

static void open_device(void) { ck_ok(ink_device_open(NULL, &device)); }
static void close_device(void) { ink_device_destroy(&device); }

static ink_dataset *make_data(uint64_t seed, size_t count)
{
    uint8_t *images = malloc(count * PIXELS), *labels = malloc(count);
    ink_dataset *dataset = NULL;
    for (size_t i = 0; i < count; i++) {
        uint32_t words[4];
        ink_random_words(seed, 1, i, words);
        labels[i] = (uint8_t)(words[0] % CLASSES);
        for (uint32_t p = 0; p < PIXELS; p++) {
            uint32_t noise[4];
            ink_random_words(seed, 2, i * PIXELS + p, noise);
            bool bar = (labels[i] % 2 ? p / SIDE : p % SIDE) == (labels[i] < 2 ? 2u : 5u);
            images[i * PIXELS + p] = (uint8_t)(noise[0] % 128 + (bar ? 100 : 0));
        }
    }
    ck_ok(ink_dataset_create(images, labels, count, shape, CLASSES, &dataset));
    free(images);
    free(labels);
    return dataset;
}

static ink_model *make_model(void)
{
    ink_model *model = NULL;
    ck_ok(ink_model_parse("input 8x8x1\nconv 6 3x3 relu\nmax_pool 2x2\ndropout 0.1\ndense 4 softmax\n", &model));
    return model;
}

struct seen { int calls, ends, stop_at; size_t samples, steps; double first_loss, last_loss; bool wrong; };

static bool watch(const struct ink_progress *progress, void *user)
{
    struct seen *seen = user;
    seen->calls++;
    seen->wrong |= progress->seen > progress->samples || progress->step > progress->steps || progress->epoch < 1 || progress->epoch > progress->epochs;
    if (progress->epoch_end) {
        seen->ends++;
        seen->samples = progress->seen;
        seen->steps = progress->step;
        seen->wrong |= progress->epoch != seen->ends || progress->seen != progress->samples || progress->step != progress->steps;
        *(seen->ends == 1 ? &seen->first_loss : &seen->last_loss) = progress->loss;
    }
    return seen->ends == 0 || seen->ends != seen->stop_at;
}

START_TEST(training_learns)
{
    ink_dataset *train = make_data(1, 500), *test = make_data(2, 200);
    ink_model *model = make_model();
    struct seen seen = {0};
    struct ink_train_options options = {.epochs = 12, .batch = 32, .learning_rate = 0.01, .seed = 3, .initialise = true, .progress = watch, .user = &seen};
    struct ink_metrics metrics = {0}, again = {0};
    bool stopped = true;
    ck_ok(ink_train(model, device, train, test, &options, &stopped, &metrics));
    ck_assert(!stopped && !seen.wrong);
    ck_assert_int_eq(seen.ends, 12);
    ck_assert_uint_eq(seen.samples, 500); /* 15 batches of 32 and one of 20 */
    ck_assert_uint_eq(seen.steps, 16);
    /* a random start has a loss near ln 4 = 1.39 at first; bars twice as bright as the noise can be told apart fully */
    ck_assert_double_gt(seen.first_loss, 0.5);
    ck_assert_double_lt(seen.last_loss, 0.3);
    ck_assert_double_ge(metrics.accuracy, 0.95);
    ck_assert_uint_eq(metrics.count, 200);
    ck_assert_double_eq(metrics.accuracy, (double)metrics.correct / 200);

    /* evaluation after training is that of the last epoch, as the weights are the same */
    ck_ok(ink_evaluate(model, device, test, &(struct ink_evaluate_options){.batch = 32}, NULL, &again));
    ck_assert_uint_eq(again.correct, metrics.correct);
    ck_assert_double_eq_tol(again.loss, metrics.loss, 1e-6);
    ink_model_destroy(&model);
    ink_dataset_destroy(&train);
    ink_dataset_destroy(&test);
}
END_TEST

static void train_to_file(uint64_t seed, ink_optimizer optimizer, const char *path, unsigned char **bytes, size_t *size)
{
    ink_dataset *train = make_data(1, 100);
    ink_model *model = make_model();
    struct ink_train_options options = {.epochs = 2, .batch = 32, .optimizer = optimizer, .seed = seed, .initialise = true};
    ck_ok(ink_train(model, device, train, NULL, &options, NULL, NULL));
    ck_ok(ink_model_save(model, path, false));
    ck_ok(ink_file_read(path, 1 << 20, bytes, size));
    ink_model_destroy(&model);
    ink_dataset_destroy(&train);
}

START_TEST(seeds_name_models)
{
    unsigned char *bytes[3];
    size_t sizes[3];
    train_to_file(7, (ink_optimizer)_i, scratch_path("a.safetensors"), &bytes[0], &sizes[0]);
    train_to_file(7, (ink_optimizer)_i, scratch_path("b.safetensors"), &bytes[1], &sizes[1]);
    train_to_file(8, (ink_optimizer)_i, scratch_path("c.safetensors"), &bytes[2], &sizes[2]);
    ck_assert_uint_eq(sizes[0], sizes[1]);
    ck_assert_mem_eq(bytes[0], bytes[1], sizes[0]);
    ck_assert_uint_eq(sizes[0], sizes[2]);
    ck_assert(memcmp(bytes[0], bytes[2], sizes[0]) != 0);
    for (int i = 0; i < 3; i++)
        free(bytes[i]);
}
END_TEST

/* The gradients of two samples as a short batch of a plan for 8, after a full one has filled its buffers, and as the whole
 * batch of a plan for 2: the same means of the same two samples. Sums are of other shapes, so float rounding is allowed:
 * 1e-5 of the largest gradient, a hundred times the 6e-8 of a single operation. */
START_TEST(short_batch_is_a_batch)
{
    ink_dataset *train = make_data(1, 8);
    ink_model *model = NULL;
    ck_ok(ink_model_parse("input 8x8x1\nconv 6 3x3 relu\nmax_pool 2x2\nbatch_norm\ndense 4\n", &model));
    ck_ok(ink_model_initialise(model, 3));
    struct ink_train_options options = {.optimizer = INK_SGD};
    float *gradients[2];
    for (int k = 0; k < 2; k++) {
        struct ink_plan_options how = {.batch = k ? 2 : 8, .classes = CLASSES, .training = true, .train = &options};
        struct ink_plan *plan = NULL;
        struct ink_feed feed = {0};
        gradients[k] = calloc(model->trained_count, sizeof(float));
        ck_ok(ink_plan_create(device, model, &how, &plan));
        ck_ok(ink_feed_load(device, train, 0, &feed));
        ck_ok(ink_feed_bind(&feed, plan, INK_SECTION_TRAIN));
        if (k == 0) /* with a learning rate of 0 the weights stay */
            ck_ok(ink_plan_run(plan, INK_SECTION_TRAIN, 0, 8, NULL));
        ck_ok(ink_plan_run(plan, INK_SECTION_TRAIN, 6, 2, NULL));
        ck_ok(ink_plan_gradients(plan, gradients[k]));
        ink_feed_destroy(&feed);
        ink_plan_destroy(&plan);
    }
    double largest = 0, apart = 0;
    for (size_t i = 0; i < model->trained_count; i++) {
        largest = fmax(largest, fabs((double)gradients[1][i]));
        apart = fmax(apart, fabs((double)gradients[0][i] - (double)gradients[1][i]));
    }
    ck_assert_double_gt(largest, 1e-3);
    ck_assert_double_le(apart, 1e-5 * largest);
    free(gradients[0]);
    free(gradients[1]);
    ink_model_destroy(&model);
    ink_dataset_destroy(&train);
}
END_TEST

START_TEST(callback_stops_at_an_epoch)
{
    ink_dataset *train = make_data(1, 100);
    ink_model *stopped_model = make_model(), *whole = make_model();
    struct seen seen = {.stop_at = 2};
    struct ink_train_options options = {.epochs = 5, .batch = 32, .seed = 7, .initialise = true, .progress = watch, .user = &seen};
    bool stopped = false;
    ck_ok(ink_train(stopped_model, device, train, NULL, &options, &stopped, NULL));
    ck_assert(stopped);
    ck_assert_int_eq(seen.ends, 2);
    options.epochs = 2;
    options.progress = NULL;
    ck_ok(ink_train(whole, device, train, NULL, &options, &stopped, NULL));
    ck_assert(!stopped);
    ck_assert_mem_eq(stopped_model->trained, whole->trained, whole->trained_count * sizeof(float));
    ink_model_destroy(&stopped_model);
    ink_model_destroy(&whole);
    ink_dataset_destroy(&train);
}
END_TEST

struct stop { int calls; size_t step; bool epoch_end; };

static bool stop_at_once(const struct ink_progress *progress, void *user)
{
    struct stop *stop = user;
    stop->calls++;
    stop->step = progress->step;
    stop->epoch_end = progress->epoch_end;
    return false;
}

/* The callback comes a few times a second, so an epoch of 20,000 steps is stopped in its midst. The weights then are those
 * of the last step done: they have moved, and the model is better than its start. */
START_TEST(callback_stops_within_an_epoch)
{
    ink_dataset *train = make_data(1, 20000), *test = make_data(2, 200);
    ink_model *model = make_model();
    struct stop stop = {0};
    struct ink_train_options options = {.epochs = 3, .batch = 1, .seed = 7, .progress = stop_at_once, .user = &stop};
    struct ink_metrics before, after;
    bool stopped = false;
    ck_ok(ink_model_initialise(model, 7));
    ck_ok(ink_evaluate(model, device, test, NULL, NULL, &before));
    ck_ok(ink_train(model, device, train, test, &options, &stopped, NULL));
    ck_assert(stopped);
    ck_assert_int_eq(stop.calls, 1);
    ck_assert(!stop.epoch_end && stop.step > 0 && stop.step < 20000);
    ck_ok(ink_evaluate(model, device, test, NULL, NULL, &after));
    ck_assert_double_lt(after.loss, before.loss);
    ink_model_destroy(&model);
    ink_dataset_destroy(&train);
    ink_dataset_destroy(&test);
}
END_TEST

static const struct { struct ink_train_options options; const char *what; } wrong[] = {
    {{.epochs = -1}, "epochs is -1; it must be at least 1"},
    {{.batch = -5}, "batch is -5; it must be at least 1"},
    {{.batch = 1 << 21}, "batch is 2.09715e+06; it must be at least 1 and at most 1.04858e+06"},
    {{.optimizer = (ink_optimizer)9}, "optimizer is 9"},
    {{.learning_rate = -0.1}, "learning_rate is -0.1; it must be at least 0"},
    {{.learning_rate = NAN}, "learning_rate is nan"},
    {{.learning_rate = 1e9}, "learning_rate is 1e+09; it must be at least 0 and at most 1000"},
    {{.optimizer = INK_SGD, .momentum = 1}, "momentum is 1; it must be at least 0 and below 1"},
    {{.optimizer = INK_SGD, .nesterov = true}, "nesterov needs a momentum"},
    {{.beta1 = 1}, "beta1 is 1; it must be at least 0 and below 1"},
    {{.beta2 = -0.5}, "beta2 is -0.5"},
    {{.epsilon = 2}, "epsilon is 2; it must be at least 0 and at most 1"},
    {{.weight_decay = -1}, "weight_decay is -1"},
    {{.label_smoothing = 1}, "label_smoothing is 1; it must be at least 0 and below 1"},
    {{.algorithms = "conv"}, "write op=name"},
    {{.algorithms = "convolve=direct"}, "no op is called 'convolve'"},
    {{.algorithms = "conv=fast"}, "conv has no algorithm 'fast'; it has winograd, direct"},
};

START_TEST(wrong_options_are_told)
{
    ink_dataset *train = make_data(1, 4);
    ink_model *model = make_model();
    ck_fails(ink_train(model, device, train, NULL, &wrong[_i].options, NULL, NULL), INK_ERROR_ARGUMENT, wrong[_i].what);
    for (size_t i = 0; i < model->trained_count; i++)
        ck_assert_float_eq(model->trained[i], 0);
    ink_model_destroy(&model);
    ink_dataset_destroy(&train);
}
END_TEST

START_TEST(wrong_batches_of_evaluation_are_told)
{
    ink_dataset *test = make_data(1, 4);
    ink_model *model = make_model();
    ink_predictor *predictor = NULL;
    struct ink_metrics metrics;
    ck_fails(ink_evaluate(model, device, test, &(struct ink_evaluate_options){.batch = -1}, NULL, &metrics), INK_ERROR_ARGUMENT, "batch is -1");
    ck_fails(ink_evaluate(model, device, test, &(struct ink_evaluate_options){.batch = INT32_MAX}, NULL, &metrics), INK_ERROR_ARGUMENT, "1 to 1048576");
    ck_ok(ink_evaluate(model, device, test, &(struct ink_evaluate_options){.batch = 1 << 20}, NULL, &metrics));
    ck_fails(ink_predictor_create(model, device, -1, &predictor), INK_ERROR_ARGUMENT, "batch is -1");
    ck_fails(ink_predictor_create(model, device, INT32_MAX, &predictor), INK_ERROR_ARGUMENT, "1 to 1048576");
    ck_assert_ptr_null(predictor);
    ink_model_destroy(&model);
    ink_dataset_destroy(&test);
}
END_TEST

START_TEST(data_that_does_not_fit_is_told)
{
    ink_dataset *data = make_data(1, 4);
    static const struct { const char *text, *data, *model; } models[] = {
        {"input 9x8x1\ndense 4\n", "8x8x1", "9x8x1"},
        {"input 8x8x3\ndense 4\n", "8x8x1", "8x8x3"},
        {"input 8x8x1\ndense 3\n", "4 classes", "1x1x3"},
        {"input 8x8x1\nconv 4 3x3\n", "4 classes", "6x6x4"},
        {"input 8x8x1\n", "no layers", ""},
    };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        ink_model *model = NULL;
        struct ink_metrics metrics;
        ck_ok(ink_model_parse(models[i].text, &model));
        ck_fails(ink_train(model, device, data, NULL, NULL, NULL, NULL), INK_ERROR_SHAPE, models[i].data);
        ck_assert_msg(strstr(ink_last_error(), models[i].model) != NULL, "%s", ink_last_error());
        ck_fails(ink_evaluate(model, device, data, NULL, NULL, &metrics), INK_ERROR_SHAPE, models[i].data);
        ck_assert_msg(strstr(ink_last_error(), models[i].model) != NULL, "%s", ink_last_error());
        ink_model_destroy(&model);
    }
    ink_dataset_destroy(&data);
}
END_TEST

/* 50 images through evaluation in batches of 16, a predictor of 7 and one of 64: the same numbers. Kernels of another
 * batch size may sum in another order, so probabilities, which are at most 1, may differ by some float roundings. */
START_TEST(predictions_agree_with_evaluation)
{
    ink_dataset *data = make_data(4, 50);
    ink_model *model = make_model();
    float evaluated[50 * CLASSES], predicted[50 * CLASSES];
    struct ink_metrics metrics;
    ck_ok(ink_model_initialise(model, 11));
    ck_ok(ink_evaluate(model, device, data, &(struct ink_evaluate_options){.batch = 16}, evaluated, &metrics));
    for (int k = 0; k < 3; k++) {
        static const int batches[] = {7, 64};
        ink_predictor *predictor = NULL;
        memset(predicted, 0, sizeof predicted);
        if (k == 2) {
            ck_ok(ink_predict(model, device, ink_dataset_image(data, 0), 50, predicted));
        } else {
            ck_ok(ink_predictor_create(model, device, batches[k], &predictor));
            /* the weights were copied: what happens to the model is not seen */
            float kept = model->trained[0];
            model->trained[0] = 99;
            ck_ok(ink_predictor_run(predictor, ink_dataset_image(data, 0), 0, predicted));
            ck_ok(ink_predictor_run(predictor, ink_dataset_image(data, 0), 50, predicted));
            ck_ok(ink_predictor_run(predictor, ink_dataset_image(data, 0), 3, predicted)); /* and once more, less */
            model->trained[0] = kept;
            ink_predictor_destroy(&predictor);
            ck_assert_ptr_null(predictor);
        }
        for (int i = 0; i < 50 * CLASSES; i++)
            ck_assert_float_eq_tol(predicted[i], evaluated[i], 1e-6f);
    }
    size_t correct = 0;
    double loss = 0;
    for (size_t i = 0; i < 50; i++) {
        const float *p = evaluated + i * CLASSES;
        int best = 0;
        double sum = 0;
        for (int c = 0; c < CLASSES; c++) {
            best = p[c] > p[best] ? c : best;
            sum += (double)p[c];
        }
        ck_assert_double_eq_tol(sum, 1, 1e-6);
        correct += best == ink_dataset_label(data, i);
        loss -= log((double)p[ink_dataset_label(data, i)]) / 50;
    }
    ck_assert_uint_eq(metrics.correct, correct);
    ck_assert_double_eq_tol(metrics.loss, loss, 1e-6);
    ink_model_destroy(&model);
    ink_dataset_destroy(&data);
}
END_TEST

/* Small inferences are waited for in another way: what they give is there when the call ends, and not a moment later. */
START_TEST(single_images_are_predicted_at_once)
{
    ink_dataset *data = make_data(4, 50);
    ink_model *model = make_model();
    ink_predictor *predictor = NULL;
    float wanted[50 * CLASSES], row[CLASSES], predicted[50 * CLASSES];
    ck_ok(ink_model_initialise(model, 11));
    ck_ok(ink_predict(model, device, ink_dataset_image(data, 0), 50, wanted));
    ck_ok(ink_predictor_create(model, device, 1, &predictor));
    for (size_t i = 0; i < 50; i++) {
        memset(row, 0, sizeof row);
        ck_ok(ink_predictor_run(predictor, ink_dataset_image(data, i), 1, row));
        memcpy(predicted + i * CLASSES, row, sizeof row);
    }
    for (int i = 0; i < 50 * CLASSES; i++)
        ck_assert_float_eq_tol(predicted[i], wanted[i], 1e-6f); /* as above */
    ink_predictor_destroy(&predictor);
    ink_model_destroy(&model);
    ink_dataset_destroy(&data);
}
END_TEST

/* Wilson's interval by hand: 8 of 10 right, z = 1.959964: centre (0.8 + 0.192073) / 1.384146 = 0.716740, half width
 * 1.959964 / 1.384146 * sqrt(0.016 + 0.00960366) = 0.226577. At the ends it stays within 0 and 1 and has width. */
START_TEST(interval_is_wilsons)
{
    struct ink_metrics metrics = ink_sums_metrics(&(struct ink_sums){.count = 10, .correct = 8, .loss = 5});
    ck_assert_double_eq_tol(metrics.accuracy, 0.8, 1e-15);
    ck_assert_double_eq_tol(metrics.loss, 0.5, 1e-15);
    ck_assert_double_eq_tol(metrics.accuracy_low, 0.716740 - 0.226577, 2e-6);
    ck_assert_double_eq_tol(metrics.accuracy_high, 0.716740 + 0.226577, 2e-6);
    metrics = ink_sums_metrics(&(struct ink_sums){.count = 20, .correct = 20});
    ck_assert_double_eq_tol(metrics.accuracy_high, 1, 1e-12);
    ck_assert_double_eq_tol(metrics.accuracy_low, 20 / (20 + 3.841459), 1e-6); /* n / (n + z^2) */
    metrics = ink_sums_metrics(&(struct ink_sums){.count = 20});
    ck_assert_double_eq_tol(metrics.accuracy_low, 0, 1e-12);
    ck_assert_double_eq_tol(metrics.accuracy_high, 3.841459 / (20 + 3.841459), 1e-6);
    metrics = ink_sums_metrics(&(struct ink_sums){0});
    ck_assert_uint_eq(metrics.count, 0);
    ck_assert_double_eq(metrics.accuracy, 0);
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof *(array))

int main(void)
{
    /* asked in a process of its own: an OpenCL driver that was used before a fork need not work after it */
    pid_t child = fork();
    if (child == 0)
        _exit(ink_device_open(NULL, &device) == INK_ERROR_NO_DEVICE);
    int status = 0;
    if (child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 1) {
        printf("no OpenCL device: training is not tested\n");
        return 77;
    }
    Suite *suite = suite_create("train");
    TCase *all = tcase_create("train");
    tcase_set_timeout(all, 240);
    tcase_add_checked_fixture(all, open_device, close_device);
    tcase_add_test(all, training_learns);
    tcase_add_loop_test(all, seeds_name_models, INK_ADAM, INK_SGD + 1);
    tcase_add_test(all, short_batch_is_a_batch);
    tcase_add_test(all, callback_stops_at_an_epoch);
    tcase_add_test(all, callback_stops_within_an_epoch);
    tcase_add_loop_test(all, wrong_options_are_told, 0, COUNT(wrong));
    tcase_add_test(all, wrong_batches_of_evaluation_are_told);
    tcase_add_test(all, data_that_does_not_fit_is_told);
    tcase_add_test(all, predictions_agree_with_evaluation);
    tcase_add_test(all, single_images_are_predicted_at_once);
    tcase_add_test(all, interval_is_wilsons);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
