/* The scenarios; see scenario.h. */
#include "faults/scenario.h"

#include <stdio.h>
#include <string.h>

#include "data/dataset.h"
#include "faults/shim.h"
#include "model/model.h"
#include "ops/op_case.h"
#include "rows.h"
#include "scratch.h"
#include "suite.h"
#include "train/checkpoint.h"

enum { SIDE = 8, PIXELS = SIDE * SIDE, CLASSES = 3, COUNT = 60, TESTS = 12 };

/* In front of the system's: files need not outlast the machine here, and tuning would wait for the disk most of the time. */
int fsync(int descriptor)
{
    (void)descriptor;
    return 0;
}

const char *scenario_checkpoints(void) { return scratch_path("checkpoints"); }

const char *scenario_cache(void) { return scratch_path("cache"); }

int scenario_files(const char *folder) { return scratch_count(folder); }

char told[8192];

static void note(ink_log_level level, const char *text, void *user)
{
    (void)user;
    size_t used = strlen(told);
    if (getenv("INKLING_TEST_LOG"))
        fprintf(stderr, "%s\n", text);
    if (level > INK_LOG_DEBUG)
        snprintf(told + used, sizeof told - used, "%s\n", text);
}

static ink_dataset *train_data, *test_data;
ink_device **parts;
size_t part_count;
static char resumed[INK_CHECKPOINT_PATH];

static const char *const network = "input 8x8x1\nconv 3 3x3 relu\ndropout 0.2\ndense 3 softmax\n";
static const char *const small_network = "input 8x8x1\ndense 3 softmax\n"; /* few passes to tune */

static ink_dataset *make_data(uint64_t seed, size_t count)
{
    ink_dataset *dataset = NULL;
    ck_ok(make_rows(seed, SIDE, CLASSES, count, 100, &dataset));
    return dataset;
}

static ink_model *make_model(const struct scenario *s)
{
    ink_model *model = NULL;
    ck_ok(ink_model_parse(s->network ? s->network : network, &model));
    ck_ok(ink_model_initialise(model, 3));
    return model;
}

static void give(struct outcome *o, const float *values, size_t count)
{
    ck_assert_uint_le(o->count + count, MOST_VALUES);
    memcpy(o->values + o->count, values, count * sizeof *values);
    o->count += count;
}

/* A byte less than training takes with all images on the device. */
static uint64_t too_little(ink_model *model, const struct ink_train_options *options)
{
    struct ink_memory_plan plan;
    ck_ok(ink_train_plan_memory(model, test_device(), train_data, test_data, options, &plan));
    return plan.weights + plan.activations + plan.data - 1;
}

static const double two_to_one[] = {2, 1};

static ink_status train(const struct scenario *s, struct outcome *o)
{
    struct ink_train_options options = s->options;
    struct ink_metrics metrics;
    ink_model *model = make_model(s);
    options.seed = 5;
    options.learning_rate = 0.02;
    options.checkpoints = s->checkpoints ? scenario_checkpoints() : NULL;
    options.resume = s->resumes ? resumed : NULL;
    if (s->on_parts)
        options.devices = parts, options.device_count = part_count, options.shares = s->shares ? two_to_one : NULL;
    if (s->streams)
        options.device_memory = too_little(model, &s->options);
    ink_status status = ink_train(model, s->on_parts ? NULL : test_device(), train_data, test_data, &options, NULL, &metrics);
    if (!status) {
        give(o, model->trained, model->trained_count);
        give(o, (const float[]){(float)metrics.loss, (float)metrics.accuracy}, 2);
    }
    ink_model_destroy(&model);
    return status;
}

static ink_status evaluate(const struct scenario *s, struct outcome *o)
{
    float probabilities[TESTS * CLASSES];
    struct ink_metrics metrics;
    ink_model *model = make_model(s);
    ink_status status = ink_evaluate(model, test_device(), test_data, &(struct ink_evaluate_options){.batch = 5}, probabilities, &metrics);
    if (!status) {
        give(o, probabilities, TESTS * CLASSES);
        give(o, (const float[]){(float)metrics.loss, (float)metrics.accuracy}, 2);
    }
    ink_model_destroy(&model);
    return status;
}

static ink_status predict(const struct scenario *s, struct outcome *o)
{
    float probabilities[TESTS * CLASSES];
    ink_model *model = make_model(s);
    ink_status status = ink_predict(model, test_device(), test_data->images, TESTS, probabilities);
    if (!status)
        give(o, probabilities, TESTS * CLASSES);
    ink_model_destroy(&model);
    return status;
}

/* A predictor of which a call failed gives what it should in the next one. */
static ink_status predict_again(const struct scenario *s, struct outcome *o)
{
    float first[TESTS * CLASSES], second[TESTS * CLASSES], single[CLASSES];
    ink_predictor *predictor = NULL;
    ink_model *model = make_model(s);
    ink_status status = ink_predictor_create(model, test_device(), 5, &predictor);
    if (!status) {
        ink_status failure = ink_predictor_run(predictor, test_data->images, TESTS, first);
        char message[sizeof o->message];
        snprintf(message, sizeof message, "%s", ink_last_error());
        status = ink_predictor_run(predictor, test_data->images, 1, single); /* of another size than the last */
        if (!status)
            status = ink_predictor_run(predictor, test_data->images, TESTS, second);
        if (failure && !(status && strstr(message, ink_cl_error(shim_calls[SHIM_LOST].code)))) {
            ck_assert_msg(!status, "predicting after \"%s\": %s", message, ink_last_error());
            memcpy(first, second, sizeof first);
            snprintf(told, sizeof told, "%s", message);
        }
    }
    if (!status) {
        ck_assert_mem_eq(first, second, sizeof first);
        ck_assert_mem_eq(first, single, sizeof single);
        give(o, first, TESTS * CLASSES);
    }
    ink_predictor_destroy(&predictor);
    ink_model_destroy(&model);
    return status;
}

static ink_status profile(const struct scenario *s, struct outcome *o)
{
    struct ink_profile_options options = {.batch = 4, .seconds = 1e-4};
    struct ink_profile profile;
    ink_model *model = make_model(s);
    (void)o;
    ink_status status = ink_model_profile(model, test_device(), &options, &profile);
    if (!status)
        ink_profile_free(&profile);
    ink_model_destroy(&model);
    return status;
}

static ink_status latency(const struct scenario *s, struct outcome *o)
{
    struct ink_profile_options options = {.batch = 4, .seconds = 1e-4};
    struct ink_spread spread;
    ink_model *model = make_model(s);
    (void)o;
    ink_status status = ink_model_latency(model, test_device(), &options, &spread, NULL);
    ink_model_destroy(&model);
    return status;
}

static ink_status tune(const struct scenario *s, struct outcome *o)
{
    struct ink_tuning tuning;
    ink_model *model = make_model(s);
    (void)o;
    ink_status status = ink_model_tune(model, test_device(), &(struct ink_tune_options){.batch = 2}, &tuning);
    if (!status) {
        ck_assert(!tuning.lost);
        ink_tuning_free(&tuning);
    }
    ink_model_destroy(&model);
    return status;
}

static ink_status augment(const struct scenario *s, struct outcome *o)
{
    const uint32_t samples[] = {3, 1, 7};
    const struct ink_augmentation augmentation = {.shift = 2, .noise = 0.1};
    float images[3 * PIXELS];
    (void)s;
    ink_status status = ink_dataset_augment(train_data, test_device(), &augmentation, 1, 1, samples, 3, images);
    if (!status)
        give(o, images, 3 * PIXELS);
    return status;
}

static ink_status open_devices(const struct scenario *s, struct outcome *o)
{
    ink_device *device = NULL, **several = NULL;
    char selector[32];
    size_t count = 0;
    (void)s, (void)o;
    snprintf(selector, sizeof selector, "%d", test_device()->info.index);
    ink_status status = ink_device_open(selector, &device);
    if (!status && parts) {
        snprintf(selector, sizeof selector, "%d/2,%d", test_device()->info.index, test_device()->info.index);
        status = ink_devices_open(selector, &several, &count);
    }
    ck_assert(!status || !several);
    ink_devices_close(&several, &count);
    ink_device_destroy(&device);
    return status;
}

const struct scenario scenarios[] = {
    {.name = "training", .run = train, .most = 24, .options = {.epochs = 2, .batch = 20, .validation = 0.2, .ema = 0.9, .clip_norm = 0.5}},
    {.name = "checkpoints", .run = train, .most = 8, .checkpoints = true,
     .options = {.epochs = 2, .batch = 20, .checkpoint_steps = 2, .checkpoint_epochs = 1, .keep = 100, .class_weights = "balanced"}},
    {.name = "resuming", .run = train, .most = 8, .resumes = true, .options = {.epochs = 2, .batch = 20, .class_weights = "balanced"}},
    {.name = "micro-batches", .run = train, .most = 8,
     .options = {.epochs = 1, .batch = 20, .micro_batch = 8, .optimizer = INK_SGD, .momentum = 0.9}},
    {.name = "streaming", .run = train, .most = 10, .streams = true, .options = {.epochs = 1, .batch = 5}},
    {.name = "streaming of parts", .run = train, .most = 8, .streams = true,
     .options = {.epochs = 1, .batch = 6, .micro_batch = 3, .validation = 0.2}},
    {.name = "augmentation in training", .run = train, .most = 4, .options = {.epochs = 1, .batch = 20, .augmentation = {.shift = 1}}},
    {.name = "two devices", .run = train, .most = 10, .on_parts = true, .shares = true,
     .options = {.epochs = 2, .batch = 20, .validation = 0.2, .ema = 0.9}},
    {.name = "two devices with measured shares", .run = train, .most = 4, .likeness = NEAR, .on_parts = true,
     .options = {.epochs = 1, .batch = 20}},
    {.name = "two devices with checkpoints", .run = train, .most = 6, .on_parts = true, .shares = true, .checkpoints = true,
     .options = {.epochs = 2, .batch = 20, .checkpoint_steps = 2, .keep = 100}},
    {.name = "expecting how long training takes", .run = train, .most = 6, .fresh = true,
     .options = {.epochs = 1, .batch = 20, .tune = INK_TUNE_SHORT}},
    {.name = "tuning while training", .run = train, .likeness = NEAR, .most = 1, .fresh = true, .network = small_network,
     .options = {.epochs = 1, .batch = 20, .tune = INK_TUNE_FULL}},
    {.name = "tuning", .run = tune, .most = 1, .fresh = true, .network = small_network},
    {.name = "evaluation", .run = evaluate, .most = 100},
    {.name = "prediction", .run = predict, .most = 100},
    {.name = "a predictor", .run = predict_again, .most = 100},
    {.name = "a program that is kept", .run = predict, .most = 2, .kept_programs = true},
    {.name = "profile", .run = profile, .most = 6},
    {.name = "latency", .run = latency, .most = 3},
    {.name = "augmented images", .run = augment, .most = 100},
    {.name = "opening", .run = open_devices, .most = 100},
};
const int scenario_count = sizeof scenarios / sizeof *scenarios;

const struct scenario plain_training = {.name = "training", .run = train, .options = {.epochs = 1, .batch = 20}};

void scenario_begin(const struct scenario *s)
{
    char selector[32];
    test_device();
    ink_set_log(note, NULL);
    setenv("INKLING_CACHE_DIR", scenario_cache(), 1);
    setenv("INKLING_CACHE", s->kept_programs ? "always" : "off", 1);
    train_data = make_data(1, COUNT);
    test_data = make_data(2, TESTS);
    snprintf(selector, sizeof selector, "%d/2", test_device()->info.index);
    if ((s->on_parts || s->run == open_devices) && ink_devices_open(selector, &parts, &part_count))
        fprintf(stderr, "%s: skipped: %s\n", s->name, ink_last_error());
    if (!s->resumes)
        return;
    struct scenario first = *s;
    struct outcome o;
    first.resumes = false;
    first.checkpoints = true;
    first.options.checkpoint_steps = 4;
    first.options.keep = 1;
    scenario_run(&first, &o);
    ck_assert_msg(!o.status, "%s", o.message);
    ck_ok(ink_checkpoint_path(scenario_checkpoints(), 4, resumed));
}

void scenario_end(void)
{
    ink_device *device = test_device();
    ink_devices_close(&parts, &part_count);
    ink_dataset_destroy(&train_data);
    ink_dataset_destroy(&test_data);
    ink_device_destroy(&device);
}

void scenario_run(const struct scenario *s, struct outcome *o)
{
    *told = 0;
    o->count = 0;
    if (s->checkpoints)
        scratch_remove(scenario_checkpoints());
    if (s->fresh)
        scratch_remove(scenario_cache());
    o->status = s->run(s, o);
    snprintf(o->message, sizeof o->message, "%s", o->status ? ink_last_error() : "");
}
