/* What comes before the first step of training, and after the last; see trainer.h. */
#include <stdio.h>
#include <stdlib.h>

#include "data/dataset.h"
#include "train/train.h"
#include "train/trainer.h"
#include "train/tune.h"
#include "util/clock.h"

/* What the plan, and all else, takes of the device. */
static struct ink_memory_need need_of(struct ink_trainer *t, ink_device *device)
{
    struct ink_plan_options how = {.batch = t->part, .classes = t->train->classes, .training = true, .parts = t->parts,
                                   .algorithms = t->options->algorithms, .train = t->options, .reproducible = t->options->reproducible,
                                   .choose = ink_recall_choose, .choose_user = &t->recall, .class_weights = t->class_weights,
                                   .align = t->options->group ? t->peers.align : ink_devices_align(t->options)};
    if (t->test && t->test->classes > how.classes)
        how.classes = t->test->classes;
    return (struct ink_memory_need){.device = device, .model = t->model, .how = how, .batch = t->batch, .train = t->train, .test = t->test,
                                    .sampler = &t->sampler};
}

static ink_status largest_batch(const struct ink_trainer *t, const struct ink_memory_need *need, int *batch)
{
    return ink_memory_largest_batch(need, t->recall.choices ? ink_choices_choose : NULL, t->recall.choices, batch);
}

/* Puts data sets on the device, or makes ready to send what does not fit. */
static ink_status load(struct ink_trainer *t, ink_device *device)
{
    const struct ink_memory_plan *memory = &t->memory;
    bool sends = memory->streams_train || memory->streams_test;
    if (sends && (t->options->device_count > 1 || t->options->group))
        return ink_fail(INK_ERROR_MEMORY, "the images do not fit beside the rest, and only a single device is sent them batch by batch; train on one, or take "
                        "fewer images, or more memory (device_memory, --device-memory)");
    if (sends)
        INK_TRY(ink_upload_create(device, (size_t)t->batch, ink_shape_count(t->train->shape), &t->upload));
    INK_TRY(memory->streams_train ? ink_feed_send(&t->upload, t->train, &t->feed) : ink_feed_load(device, t->train, 0, &t->feed));
    if (t->sampler.apart_count)
        INK_TRY(ink_feed_share(&t->feed, t->sampler.apart, t->sampler.apart_count, &t->validation_feed));
    if (!t->test)
        return INK_OK;
    return memory->streams_test ? ink_feed_send(&t->upload, t->test, &t->test_feed) : ink_feed_load(device, t->test, 0, &t->test_feed);
}

/* Takes in what the plan will take, and looks whether there is so much. */
static ink_status admit(const struct ink_plan_bytes *bytes, void *user)
{
    struct ink_trainer *t = user;
    ink_memory_fit(&t->need, bytes, &t->memory);
    if (t->memory.fits)
        return INK_OK;
    INK_TRY(largest_batch(t, &t->need, &t->memory.largest_batch));
    return ink_memory_fail(&t->need, &t->memory);
}

static ink_status make_plan(struct ink_trainer *t, ink_device *device)
{
    t->need = need_of(t, device);
    t->need.how.admit = admit;
    t->need.how.admit_user = t;
    if (!t->resumed.file)
        ink_recall_clear(&t->recall);
    INK_TRY(ink_plan_create(device, t->model, &t->need.how, &t->plan));
    INK_TRY(t->recall.status);
    ink_plan_set_int(t->plan, INK_SEED_LOW, (cl_int)(uint32_t)t->options->seed);
    ink_plan_set_int(t->plan, INK_SEED_HIGH, (cl_int)(uint32_t)(t->options->seed >> 32));
    INK_TRY(load(t, device));
    return ink_feed_bind(&t->feed, t->plan, t->parts ? INK_SECTION_GRADIENTS : INK_SECTION_TRAIN);
}

/* Works on fewer samples at once, where memory was too little: as many as are known to fit, or half. False: that is not for it to choose. */
static bool shrink(struct ink_trainer *t)
{
    int part = t->memory.fits ? t->part / 2 : t->memory.largest_batch;
    if (t->options->micro_batch || t->options->device_count > 1 || t->options->group || part < 1 || part >= t->part)
        return false;
    ink_log(INK_LOG_WARNING, "a batch of %d does not fit into the device's memory; %d samples are worked on at once and their gradients summed, as with "
            "micro_batch (--micro-batch)", t->batch, part);
    t->part = part;
    t->parts = true;
    return true;
}

ink_status ink_trainer_prepare(struct ink_trainer *t, ink_device *device)
{
    ink_status status = make_plan(t, device);
    while (status == INK_ERROR_MEMORY && shrink(t)) {
        ink_trainer_close_plan(t);
        status = make_plan(t, device);
    }
    if (!status && t->options->device_count > 1)
        status = ink_trainer_gather(t, t->model, &t->need.how);
    return status;
}

void ink_trainer_close_plan(struct ink_trainer *t)
{
    for (; t->finished < t->enqueued; t->finished++) { /* after a failure, which is told already */
        cl_event event = t->in_flight[t->finished % INK_MOST_IN_FLIGHT];
        clWaitForEvents(1, &event);
        clReleaseEvent(event);
    }
    ink_trainer_dismiss(t);
    ink_plan_destroy(&t->plan);
    ink_feed_destroy(&t->feed);
    ink_feed_destroy(&t->validation_feed);
    ink_feed_destroy(&t->test_feed);
    ink_upload_destroy(&t->upload);
}

/* Room for what is kept, filled from the checkpoint if there is one. */
ink_status ink_trainer_make_room(struct ink_trainer *t)
{
    size_t count = t->model->trained_count + 1;
    t->values = malloc(count * sizeof *t->values);
    if (!t->values)
        return ink_fail_memory(count * sizeof *t->values);
    INK_TRY(ink_snapshot_create(t->model, t->options, &t->good));
    t->saved_at = ink_clock();
    if (t->team)
        INK_TRY(ink_trainer_share(t));
    if (!t->resumed.file)
        return INK_OK;
    if (t->recall.fresh)
        ink_log(INK_LOG_WARNING, "%s: does not tell all algorithms that are used here: results may differ from those of an uninterrupted run",
                t->options->resume);
    INK_TRY(ink_checkpoint_restore(&t->resumed, &t->good));
    return ink_trainer_go_back(t);
}

ink_status ink_trainer_open_checkpoints(struct ink_trainer *t, const struct ink_train_options *given, ink_device *device)
{
    if (!t->options->checkpoints && !t->options->resume)
        return INK_OK;
    t->run = (struct ink_run){.options = given ? *given : (struct ink_train_options){0}, .model = ink_model_text(t->model)};
    ink_run_describe(&t->run, device, t->train, t->test);
    if (t->options->checkpoints)
        INK_TRY(ink_checkpoint_folder(t->options->checkpoints));
    if (!t->options->resume)
        return INK_OK;
    INK_TRY(ink_checkpoint_open(t->options->resume, &t->resumed));
    INK_TRY(ink_checkpoint_check(&t->resumed, &t->run));
    snprintf(t->saved, sizeof t->saved, "%s", t->options->resume);
    return ink_recall_read(&t->recall, t->resumed.run.choices);
}

ink_status ink_trainer_begin(struct ink_trainer *t, const struct ink_train_options *given, struct ink_train_options *options, ink_device **device)
{
    INK_TRY(ink_train_defaults(given, options));
    *device = options->device_count ? options->devices[0] : *device;
    if (!*device)
        return ink_fail(INK_ERROR_ARGUMENT, "there is no device to train on: device is NULL, and the options name none");
    INK_TRY(ink_feed_check(t->model, t->train->shape));
    if (t->test)
        INK_TRY(ink_feed_check(t->model, t->test->shape));
    INK_TRY(ink_sampler_create(t->train, options, &t->sampler));
    t->batch = ink_epoch_batch(options, t->sampler.kept_count, options->epochs);
    t->steps = ink_steps_before(options, t->sampler.kept_count, options->epochs + 1);
    int processes = options->group ? ink_group_get_info(options->group).size : 1;
    t->part = (t->batch + processes - 1) / processes;
    if (options->micro_batch && options->micro_batch < t->part)
        t->part = options->micro_batch;
    t->parts = t->part < t->batch || options->device_count > 1 || options->group;
    INK_TRY(ink_train_check_warmup(options, t->steps));
    return ink_class_weights(&t->sampler, t->train->classes, ink_model_output(t->model).channels, &t->class_weights);
}

void ink_trainer_end(struct ink_trainer *t)
{
    ink_trainer_close_plan(t);
    ink_trainer_part(t);
    ink_sampler_destroy(&t->sampler);
    ink_snapshot_destroy(&t->good);
    free(t->values);
    free(t->class_weights);
    ink_recall_clear(&t->recall);
    ink_checkpoint_close(&t->resumed);
}

ink_status ink_train_plan_memory(const ink_model *model, ink_device *device, const ink_dataset *train, const ink_dataset *test,
                                 const struct ink_train_options *given, struct ink_memory_plan *out)
{
    struct ink_train_options options;
    struct ink_choices choices = {0};
    struct ink_trainer t = {.options = &options, .train = train, .test = test, .model = (ink_model *)model};
    struct ink_memory_plan memory;
    ink_status status = ink_trainer_begin(&t, given, &options, &device);
    struct ink_memory_need need = need_of(&t, device);
    if (!status && options.tune)
        status = ink_tune_open(device, &choices);
    t.recall.choices = options.tune ? &choices : NULL;
    if (!status)
        status = ink_memory_measure(&need, &memory);
    if (!status)
        status = t.recall.status;
    if (!status && !memory.fits)
        status = largest_batch(&t, &need, &memory.largest_batch);
    ink_trainer_end(&t);
    ink_choices_free(&choices);
    if (!status)
        *out = memory;
    return status;
}
