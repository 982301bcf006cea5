/* A model on the test device, run step by step; see trial.h. */
#include "model/trial.h"

#include <math.h>
#include <stdlib.h>

#include "suite.h"

const char *const trial_models[TRIAL_MODELS] = {
    "input 12x12x4\nconv 32 3x3 relu\nmax_pool 2x2\nconv 33 3x3 relu\nconv 9 3x3 pad=same sigmoid\ndense 17 tanh\ndense 3\n",
    "input 12x12x4\nconv 16 5x5 pad=same groups=2 relu\nmax_pool 3x3 stride=2 pad=same\nbatch_norm leaky_relu slope=0.1\naverage_pool 2x2\nconv 20 2x2 "
    "dilation=2\nglobal_average_pool\ndropout 0.3\ndense 3\n",
    "input 12x12x4\na: conv 16 3x3 stride=2 pad=same\nan: batch_norm\nb: conv 16 1x1 stride=2 from=input\nbatch_norm\nadd with=an relu\nconv 16 3x3 "
    "pad=same\nbatch_norm relu\nmax_pool 2x2\ndense 3\n",
    "input 12x12x4\nconv 5 3x3\nconv 8 2x2 stride=2 relu\nmax_pool 2x2\ndense 3\n",
    "input 12x12x4\na: conv 7 3x3 pad=same\nactivation tanh\nadd with=a\nsoftmax\nmax_pool 3x3 stride=2\nconv 5 3x3\ndense 3\n",
};

ink_dataset *trial_dataset(int count, struct ink_shape shape)
{
    size_t bytes = (size_t)(count * shape.height * shape.width * shape.channels);
    uint8_t *images = malloc(bytes), *labels = malloc((size_t)count);
    ink_dataset *dataset = NULL;
    ck_assert_ptr_nonnull(images);
    ck_assert_ptr_nonnull(labels);
    for (size_t i = 0; i < bytes; i++)
        images[i] = (uint8_t)(i * 2654435761u >> 7);
    for (int i = 0; i < count; i++)
        labels[i] = (uint8_t)(i % 3);
    ck_ok(ink_dataset_create(images, labels, (size_t)count, shape, 3, &dataset));
    free(images);
    free(labels);
    return dataset;
}

/* Whether a launch has work-groups of several: a plan in GPU style that does not build is made in CPU style. */
static bool has_groups(const struct ink_launches *list)
{
    for (int i = 0; i < list->count; i++)
        if (list->launches[i].range[0].local > 1)
            return true;
    return false;
}

void trial_open_on(struct ink_device *device, struct trial *trial, struct ink_model *model, const ink_dataset *dataset,
                   const struct ink_train_options *options, int batch, enum ink_style style, bool unbundled)
{
    *trial = (struct trial){.model = model, .options = *options};
    struct ink_plan_options plan = {
        .batch = options->micro_batch ? options->micro_batch : batch, .parts = options->micro_batch > 0, .classes = ink_dataset_classes(dataset), .training = true, .algorithms = options->algorithms,
        .style = style, .train = &trial->options, .unbundled = unbundled,
    };
    ck_ok(ink_plan_create(device, model, &plan, &trial->plan));
    ck_assert_msg(style != INK_STYLE_GPU || has_groups(ink_plan_launches(trial->plan, INK_SECTION_EVALUATE)), "the plan is not in GPU style");
    ck_ok(ink_feed_load(device, dataset, 0, &trial->feed));
    for (int section = 0; section < INK_SECTIONS; section++)
        ck_ok(ink_feed_bind(&trial->feed, trial->plan, (enum ink_section)section));
}

void trial_open(struct trial *trial, struct ink_model *model, const ink_dataset *dataset,
                const struct ink_train_options *options, int batch, enum ink_style style)
{
    trial_open_on(test_device(), trial, model, dataset, options, batch, style, false);
}

void trial_open_unbundled(struct trial *trial, struct ink_model *model, const ink_dataset *dataset,
                          const struct ink_train_options *options, int batch, enum ink_style style)
{
    trial_open_on(test_device(), trial, model, dataset, options, batch, style, true);
}

void trial_close(struct trial *trial)
{
    ink_plan_destroy(&trial->plan);
    ink_feed_destroy(&trial->feed);
}

double trial_run(struct trial *trial, enum ink_section section, int start, int n)
{
    const struct ink_train_options *options = &trial->options;
    if (section == INK_SECTION_TRAIN) {
        trial->steps++;
        ink_plan_set_int(trial->plan, INK_STEP, trial->steps);
        ink_plan_set_float(trial->plan, INK_LEARNING_RATE, options->learning_rate);
        ink_plan_set_float(trial->plan, INK_CORRECTION1, (float)(1 / (1 - pow((double)options->beta1, trial->steps))));
        ink_plan_set_float(trial->plan, INK_CORRECTION2, (float)(1 / (1 - pow((double)options->beta2, trial->steps))));
    }
    if (section == INK_SECTION_TRAIN && options->micro_batch) {
        ck_ok(ink_plan_run_part(trial->plan, &(struct ink_part){start, n, 0, n}, false));
        section = INK_SECTION_UPDATE;
    }
    ck_ok(ink_plan_run(trial->plan, section, start, n, NULL));
    ck_ok(ink_feed_read(&trial->feed, (size_t)start, (size_t)(start + n)));
    double sum = 0;
    for (int i = start; i < start + n; i++)
        sum += (double)trial->feed.host_losses[i];
    return sum / n;
}
