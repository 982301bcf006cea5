/* Augmentation where it is used: the images that are shown are those that training reads, in batches of any size; test images and
 * labels stay as they are; and what cannot be is refused. That the images are right is the matter of test_augment. */
#include <math.h>
#include <string.h>

#include "data/dataset.h"
#include "model/trial.h"
#include "ops/op_case.h"
#include "rows.h"
#include "suite.h"
#include "train/feed.h"
#include "train/sampler.h"
#include "train/train.h"
#include "util/rng.h"

enum { SIDE = 9, PIXELS = SIDE * SIDE, CLASSES = 3, COUNT = 40, EPOCH = 3, SEED = 11 };
static const struct ink_augmentation augmentation = {.shift = 1, .rotate = 20, .scale = 0.2, .elastic = 0.5, .elastic_smoothness = 2, .thickness = 0.5,
                                                     .contrast = 0.3, .noise = 0.1, .erase = 0.2};

static ink_dataset *make_data(void)
{
    ink_dataset *dataset = NULL;
    ck_ok(make_rows(1, SIDE, CLASSES, COUNT, 100, &dataset));
    return dataset;
}

static ink_model *make_model(void)
{
    ink_model *model = NULL;
    ck_ok(ink_model_parse("input 9x9x1\nconv 4 3x3 relu\ndense 3\n", &model));
    ck_ok(ink_model_initialise(model, 1));
    return model;
}

/* The input of a step as training made it. The first layer's weights' gradient, which reads it, is the last but the optimizer, so it is
 * still there. */
static void step_input(int batch, size_t start, int n, float *x)
{
    ink_dataset *dataset = make_data();
    ink_model *model = make_model();
    struct ink_train_options given = {.batch = batch, .seed = SEED, .augmentation = augmentation}, options;
    struct ink_plan *plan = NULL;
    struct ink_feed feed = {0};
    struct ink_sampler sampler;
    ck_ok(ink_train_defaults(&given, &options));
    struct ink_plan_options how = {.batch = batch, .classes = CLASSES, .training = true, .train = &options};
    ck_ok(ink_plan_create(test_device(), model, &how, &plan));
    ck_ok(ink_feed_load(test_device(), dataset, 0, &feed));
    ck_ok(ink_sampler_create(dataset, &options, &sampler));
    ck_ok(ink_feed_order(&feed, &sampler, EPOCH));
    ck_ok(ink_feed_bind(&feed, plan, INK_SECTION_TRAIN));
    ink_plan_set_int(plan, INK_SEED_LOW, SEED);
    ink_plan_set_int(plan, INK_EPOCH, EPOCH);
    ck_ok(ink_plan_run(plan, INK_SECTION_TRAIN, (int)start, n, NULL));
    ck_ok(ink_plan_read(plan, INK_SECTION_TRAIN, ink_plan_lowered(plan, INK_SECTION_TRAIN)->input, x, (size_t)n * PIXELS * sizeof(float)));
    ink_plan_destroy(&plan);
    ink_feed_destroy(&feed);
    ink_sampler_destroy(&sampler);
    ink_model_destroy(&model);
    ink_dataset_destroy(&dataset);
}

START_TEST(what_is_shown_is_what_training_reads)
{
    static float shown[COUNT * PIXELS], read[COUNT * PIXELS];
    uint32_t order[COUNT];
    ink_dataset *dataset = make_data();
    ink_random_order(SEED, INK_STREAM(INK_STREAM_ORDER, EPOCH), order, COUNT);
    ck_ok(ink_dataset_augment(dataset, test_device(), &augmentation, SEED, EPOCH, order, COUNT, shown));
    step_input(16, 0, 16, read);
    ck_assert(memcmp(read, shown, 16 * PIXELS * sizeof(float)) == 0);
    step_input(16, 32, 8, read); /* the short batch at the end */
    ck_assert(memcmp(read, shown + 32 * PIXELS, 8 * PIXELS * sizeof(float)) == 0);
    step_input(COUNT, 0, COUNT, read);
    ck_assert(memcmp(read, shown, sizeof shown) == 0);
    ck_ok(ink_dataset_augment(dataset, test_device(), NULL, SEED, EPOCH, order, COUNT, read));
    for (int i = 0; i < COUNT * PIXELS; i++)
        ck_assert(read[i] == (float)dataset->images[order[i / PIXELS] * PIXELS + (uint32_t)(i % PIXELS)] / 255.0f);
    ink_dataset_destroy(&dataset);
}
END_TEST

/* Training with augmentation ends elsewhere than without, at the same place each time; and the test of its last epoch is that of the
 * images, and of the labels, as they are. */
START_TEST(training_is_augmented_and_the_test_is_not)
{
    ink_dataset *dataset = make_data();
    ink_model *models[3];
    struct ink_metrics tested[3], evaluated;
    for (int i = 0; i < 3; i++) {
        struct ink_train_options options = {.epochs = 2, .batch = 16, .seed = SEED, .label_smoothing = 0.2};
        if (i)
            options.augmentation = augmentation;
        models[i] = make_model();
        ck_ok(ink_train(models[i], test_device(), dataset, dataset, &options, NULL, &tested[i]));
    }
    size_t bytes = models[0]->trained_count * sizeof(float);
    ck_assert(memcmp(models[0]->trained, models[1]->trained, bytes) != 0);
    ck_assert(memcmp(models[1]->trained, models[2]->trained, bytes) == 0);
    ck_ok(ink_evaluate(models[1], test_device(), dataset, &(struct ink_evaluate_options){.batch = 16}, NULL, &evaluated));
    ck_assert_uint_eq(tested[1].correct, evaluated.correct);
    ck_assert_double_eq_tol(tested[1].loss, evaluated.loss, 1e-5 * evaluated.loss); /* kernels of inference round differently */
    for (int i = 0; i < 3; i++)
        ink_model_destroy(&models[i]);
    ink_dataset_destroy(&dataset);
}
END_TEST

static bool note_loss(const struct ink_progress *progress, void *user)
{
    if (progress->epoch_end)
        ((double *)user)[progress->epoch] = progress->loss;
    return true;
}

/* With weights that hardly move, the loss of an epoch is that of its images, which is another one where they are distorted anew. */
START_TEST(every_epoch_is_distorted_anew)
{
    ink_dataset *dataset = make_data();
    for (int augmented = 0; augmented < 2; augmented++) {
        double losses[3];
        ink_model *model = make_model();
        struct ink_train_options options = {.epochs = 2, .batch = 16, .seed = SEED, .optimizer = INK_SGD, .learning_rate = 1e-9, .progress = note_loss,
                                            .user = losses};
        if (augmented)
            options.augmentation = augmentation;
        ck_ok(ink_train(model, test_device(), dataset, NULL, &options, NULL, NULL));
        ck_assert_msg((fabs(losses[2] - losses[1]) > 1e-4) == augmented, "augmented %d: losses %.9g and %.9g", augmented, losses[1], losses[2]);
        ink_model_destroy(&model);
    }
    ink_dataset_destroy(&dataset);
}
END_TEST

START_TEST(what_cannot_be_is_refused)
{
    ink_dataset *dataset = make_data();
    ink_model *model = make_model();
    float image[PIXELS];
    const uint32_t samples[] = {3, COUNT};
    ck_fails(ink_train(model, test_device(), dataset, NULL, &(struct ink_train_options){.augmentation = {.noise = 2}}, NULL, NULL), INK_ERROR_ARGUMENT,
             "augmentation.noise is 2; it must be at least 0 and below 1");
    ck_fails(ink_dataset_augment(dataset, test_device(), &(struct ink_augmentation){.erase = -1}, 0, 1, samples, 1, image), INK_ERROR_ARGUMENT,
             "augmentation.erase is -1");
    ck_fails(ink_dataset_augment(dataset, test_device(), &augmentation, 0, 1, samples, 2, image), INK_ERROR_ARGUMENT,
             "samples[1] is 40; the data set's are 0 to 39");
    ck_fails(ink_dataset_augment(dataset, test_device(), &augmentation, 0, 0, samples, 1, image), INK_ERROR_ARGUMENT, "epoch is 0");
    ink_model_destroy(&model);
    ink_dataset_destroy(&dataset);
}
END_TEST

int main(void)
RUN_SUITE("augmented", what_is_shown_is_what_training_reads, training_is_augmented_and_the_test_is_not, every_epoch_is_distorted_anew, what_cannot_be_is_refused)
