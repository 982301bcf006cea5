/* Measuring a model on a device: a step launch by launch beside the step as a whole, and the latency of prediction.
 *
 * A sample is a few steps in a row, timed together by the host's clock, and one whose launches are timed each by the
 * device's clock (events of a queue with profiling), of a second plan if launches that are one in the first are to be told apart: relays
 * (model/relay.h) always are. The two alternate, so a machine that slows down slows both. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/measure.h"
#include "train/feed.h"
#include "train/train.h"
#include "util/clock.h"

enum { USUAL_BATCH = 128, LARGEST_BATCH = 1 << 20, LEAST_SAMPLES = 5, MOST_CHAIN = 64 };
static const double usual_seconds = 2, chain_seconds = 0.01;

struct session {
    struct ink_plan *plan, *single; /* the latter is timed launch by launch; NULL: the former is */
    enum ink_section section;
    struct ink_feed feed;
    struct ink_meter meter;
    cl_command_queue queue;   /* with profiling */
    int batch, chain;         /* steps that are timed together */
    cl_int steps;
    size_t launches;
    ink_predictor *predictor; /* latency */
    uint8_t *images;
    float *probabilities;
};

static void close_session(struct session *s)
{
    ink_plan_destroy(&s->plan);
    ink_plan_destroy(&s->single);
    ink_predictor_destroy(&s->predictor);
    ink_queue_release(s->feed.device, s->queue);
    ink_feed_destroy(&s->feed);
    ink_meter_destroy(&s->meter);
    free(s->images);
    free(s->probabilities);
}

/* Random images, [batch][values]; *images: free(). */
static ink_status draw_images(size_t count, uint8_t **images)
{
    *images = malloc(count);
    if (!*images)
        return ink_fail_memory(count);
    uint32_t state = 1; /* what the pixels are hardly matters; Numerical Recipes' congruential generator */
    for (size_t i = 0; i < count; i++) {
        state = state * 1664525u + 1013904223u;
        (*images)[i] = (uint8_t)(state >> 24);
    }
    return INK_OK;
}

static ink_status check(const struct ink_profile_options *given, struct ink_profile_options *options)
{
    *options = given ? *given : (struct ink_profile_options){0};
    if (options->batch < 0 || options->batch > LARGEST_BATCH)
        return ink_fail(INK_ERROR_ARGUMENT, "batch is %d; it must be 1 to %d, or 0 for %d", options->batch, LARGEST_BATCH, USUAL_BATCH);
    if (!options->batch)
        options->batch = USUAL_BATCH;
    return ink_measure_seconds(&options->seconds, usual_seconds);
}

/* The plan whose launches are timed. */
static struct ink_plan *timed(const struct session *s) { return s->single ? s->single : s->plan; }

static ink_status chain(struct session *s, int steps, double *seconds)
{
    cl_command_queue queue = s->feed.device->queue;
    double began = ink_clock();
    for (int i = 0; i < steps; i++) {
        ink_plan_set_int(s->plan, INK_STEP, ++s->steps);
        INK_TRY(ink_plan_run(s->plan, s->section, 0, s->batch, NULL));
    }
    INK_TRY(ink_cl_check(s->feed.device, clFinish(queue), "clFinish", "timing a step"));
    *seconds = (ink_clock() - began) / steps;
    return INK_OK;
}

/* A row: seconds of a step, and of each launch. */
static ink_status sample_step(void *user, double *row)
{
    struct session *s = user;
    INK_TRY(chain(s, s->chain, row));
    return ink_plan_time(timed(s), s->section, 0, s->batch, s->queue, row + 1);
}

/* Whether launches of a list are several in one, which others are to tell of. */
static bool has_joined(const struct ink_launches *list, bool apart)
{
    for (int i = 0; i < list->count; i++)
        if (list->launches[i].joint == INK_RELAY || (apart && list->launches[i].stages))
            return true;
    return false;
}

/* A rate of 0 keeps weights in their range however long it goes on, and costs the same. */
static ink_status make_ready(struct session *s, struct ink_plan *plan)
{
    ink_plan_set_float(plan, INK_LEARNING_RATE, 0.0f);
    ink_plan_set_float(plan, INK_CORRECTION1, 1.0f);
    ink_plan_set_float(plan, INK_CORRECTION2, 1.0f);
    return ink_feed_bind(&s->feed, plan, s->section);
}

static ink_status open_step(struct session *s, ink_model *model, ink_device *device, const struct ink_profile_options *options)
{
    struct ink_train_options train;
    int classes = ink_model_output(model).channels;
    cl_int code;
    double seconds = 0;
    INK_TRY(ink_train_defaults(&(struct ink_train_options){.batch = options->batch}, &train));
    struct ink_plan_options how = {.batch = options->batch, .classes = classes, .training = !options->inference,
                                   .probabilities = options->inference, .algorithms = options->algorithms, .train = &train};
    s->section = options->inference ? INK_SECTION_EVALUATE : INK_SECTION_TRAIN;
    s->batch = options->batch;
    INK_TRY(ink_plan_create(device, model, &how, &s->plan));
    how.unrelayed = true;
    how.unbundled = options->apart;
    if (has_joined(ink_plan_launches(s->plan, s->section), options->apart))
        INK_TRY(ink_plan_create(device, model, &how, &s->single));
    INK_TRY(ink_feed_create(device, (size_t)s->batch, ink_shape_count(model->input), classes, &s->feed));
    INK_TRY(draw_images((size_t)s->batch * s->feed.sample_bytes, &s->images));
    INK_TRY(ink_buffer_write(s->feed.device, s->feed.images, 0, s->images, (size_t)s->batch * s->feed.sample_bytes));
    INK_TRY(ink_feed_order(&s->feed, NULL, 0));
    INK_TRY(make_ready(s, s->plan));
    if (s->single)
        INK_TRY(make_ready(s, s->single));
    s->queue = clCreateCommandQueue(device->context, device->id, CL_QUEUE_PROFILING_ENABLE, &code);
    INK_TRY(ink_cl_check(device, code, "clCreateCommandQueue", "a queue with profiling"));
    INK_TRY(ink_meter_create(device, &s->meter));
    s->launches = (size_t)ink_plan_launches(timed(s), s->section)->count;
    INK_TRY(chain(s, 2, &seconds)); /* the driver finishes kernels at their first run */
    if (s->single)
        INK_TRY(ink_plan_run(s->single, s->section, 0, s->batch, NULL));
    INK_TRY(chain(s, 2, &seconds));
    double steps = seconds > 0 ? chain_seconds / seconds : MOST_CHAIN;
    s->chain = steps < 1 ? 1 : steps > MOST_CHAIN ? MOST_CHAIN : (int)steps;
    return INK_OK;
}

/* Bytes of a value for the batch; those of the data set are bound without their size, of which a step touches its samples. */
static double value_bytes(const struct session *s, const struct ink_launches *list, ink_value value)
{
    double n = s->batch;
    switch (list->values[value].storage) {
    case INK_IMAGES: return n * (double)s->feed.sample_bytes;
    case INK_LABELS: return n;
    case INK_ORDER: case INK_ROWS: case INK_LOSSES: case INK_PREDICTIONS: return n * sizeof(float);
    case INK_PROBABILITIES: return n * s->feed.classes * sizeof(float);
    default: return (double)ink_value_bytes(list, value, s->batch);
    }
}

/* A value that stands twice among the arguments, once in the place of one that is not used, counts once. */
static double launch_bytes(const struct session *s, const struct ink_launches *list, const struct ink_launch *launch)
{
    double bytes = 0;
    for (int a = 0; a < launch->argument_count; a++) {
        const struct ink_argument *argument = &launch->arguments[a];
        bool counted = !ink_argument_is_value(argument);
        for (int b = 0; b < a && !counted; b++)
            counted = ink_argument_is_value(&launch->arguments[b]) && launch->arguments[b].value == argument->value;
        if (!counted)
            bytes += value_bytes(s, list, argument->value) * (argument->kind == INK_ARG_UPDATE ? 2 : 1);
    }
    return bytes;
}

/* The node that a launch is for, or all of its stages; -1: none. */
static int find_node(const ink_model *model, const struct ink_launch *launch)
{
    size_t longest = 0;
    int found = launch->stage_count ? find_node(model, &launch->stages[0]) : -1;
    for (int s = 1; s < launch->stage_count; s++)
        if (find_node(model, &launch->stages[s]) != found)
            return -1;
    for (int node = 0; node < model->count && launch->algorithm && !launch->stage_count; node++) {
        const char *name = model->nodes[node].layer.name;
        size_t length = strlen(name);
        if (length > longest && strncmp(launch->label, name, length) == 0 && launch->label[length] == ' ') {
            longest = length;
            found = node;
        }
    }
    return found;
}

static ink_status describe(const struct session *s, const ink_model *model, const struct ink_launches *list, int i, struct ink_launch_info *info)
{
    const struct ink_launch *launch = &list->launches[i];
    int node = find_node(model, launch);
    snprintf(info->label, sizeof info->label, "%s", launch->label);
    snprintf(info->algorithm, sizeof info->algorithm, "%s", launch->algorithm ? launch->algorithm : "");
    snprintf(info->layer, sizeof info->layer, "%s", node >= 0 ? model->nodes[node].layer.name : "");
    info->flops = launch->sample_flops * s->batch + launch->fixed_flops;
    info->bytes = launch_bytes(s, list, launch);
    size_t groups[3];
    ink_launch_groups(launch, s->batch, groups);
    info->groups = groups[0] * groups[1] * groups[2];
    info->constant = launch->constant;
    if (!launch->stages)
        return INK_OK;
    info->stages = malloc((size_t)launch->stage_count * sizeof *info->stages);
    if (!info->stages)
        return ink_fail_memory((size_t)launch->stage_count * sizeof *info->stages);
    for (; info->stage_count < (size_t)launch->stage_count; info->stage_count++)
        snprintf(info->stages[info->stage_count], sizeof *info->stages, "%s", launch->stages[info->stage_count].label);
    return INK_OK;
}

static ink_status tell(const struct session *s, const ink_model *model, double *rows, struct ink_profile *profile)
{
    const struct ink_launches *list = ink_plan_launches(timed(s), s->section);
    size_t columns = s->launches + 1, kept = profile->samples.kept;
    profile->batch = s->batch;
    profile->count = s->launches;
    profile->enqueued = (size_t)ink_plan_launches(s->plan, s->section)->count;
    profile->launches = calloc(s->launches + 1, sizeof *profile->launches);
    if (!profile->launches)
        return ink_fail_memory(s->launches * sizeof *profile->launches);
    INK_TRY(ink_rows_spread(rows, kept, columns, 0, &profile->step));
    for (size_t i = 0; i < s->launches; i++) {
        INK_TRY(ink_rows_spread(rows, kept, columns, i + 1, &profile->launches[i].seconds));
        INK_TRY(describe(s, model, list, (int)i, &profile->launches[i]));
    }
    /* column 0 has served: it becomes the sum of a row's launches */
    for (size_t r = 0; r < kept; r++) {
        rows[r * columns] = 0;
        for (size_t i = 0; i < s->launches; i++)
            rows[r * columns] += profile->launches[i].constant ? 0 : rows[r * columns + i + 1];
    }
    return ink_rows_spread(rows, kept, columns, 0, &profile->kernels);
}

ink_status ink_model_profile(ink_model *model, ink_device *device, const struct ink_profile_options *given, struct ink_profile *out)
{
    struct ink_profile_options options;
    struct session s = {0};
    struct ink_profile profile = {0};
    double *rows = NULL;
    INK_TRY(check(given, &options));
    ink_status status = open_step(&s, model, device, &options);
    if (!status)
        status = ink_meter_samples(&s.meter, options.seconds, LEAST_SAMPLES, s.launches + 1, sample_step, &s, &rows, &profile.samples);
    if (!status)
        status = tell(&s, model, rows, &profile);
    free(rows);
    close_session(&s);
    if (status)
        ink_profile_free(&profile);
    else
        *out = profile;
    return status;
}

void ink_profile_free(struct ink_profile *profile)
{
    for (size_t i = 0; profile->launches && i < profile->count; i++)
        free(profile->launches[i].stages);
    free(profile->launches);
    *profile = (struct ink_profile){0};
}

static ink_status sample_latency(void *user, double *row)
{
    struct session *s = user;
    double began = ink_clock();
    INK_TRY(ink_predictor_run(s->predictor, s->images, (size_t)s->batch, s->probabilities));
    *row = ink_clock() - began;
    return INK_OK;
}

static ink_status open_latency(struct session *s, ink_model *model, ink_device *device, const struct ink_profile_options *options)
{
    size_t n = (size_t)options->batch, columns = (size_t)ink_model_output(model).channels;
    double seconds;
    s->batch = options->batch;
    INK_TRY(draw_images(n * ink_shape_count(model->input), &s->images));
    s->probabilities = malloc(n * columns * sizeof *s->probabilities);
    if (!s->probabilities)
        return ink_fail_memory(n * columns * sizeof *s->probabilities);
    INK_TRY(ink_predictor_create(model, device, options->batch, &s->predictor));
    INK_TRY(ink_meter_create(device, &s->meter));
    INK_TRY(sample_latency(s, &seconds));
    return sample_latency(s, &seconds);
}

ink_status ink_model_latency(ink_model *model, ink_device *device, const struct ink_profile_options *given, struct ink_spread *latency,
                             struct ink_samples *samples)
{
    struct ink_profile_options options;
    struct session s = {0};
    struct ink_samples taken = {0};
    double *rows = NULL;
    INK_TRY(check(given, &options));
    ink_status status = open_latency(&s, model, device, &options);
    if (!status)
        status = ink_meter_samples(&s.meter, options.seconds, LEAST_SAMPLES, 1, sample_latency, &s, &rows, &taken);
    if (!status)
        *latency = ink_spread_of(rows, taken.kept);
    if (!status && samples)
        *samples = taken;
    free(rows);
    close_session(&s);
    return status;
}
