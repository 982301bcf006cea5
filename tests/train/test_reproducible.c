/* Reproducible training: the same bits with vectors of every length, and those written down here on every device. How many threads
 * there are, and how a driver makes loops of work-items, is the matter of tests/tool/test_reproducible.c. */
#include <math.h>
#include <string.h>

#include "data/dataset.h"
#include "model/trial.h"
#include "suite.h"
#include "train/train.h"
#include "util/hash.h"

enum { BATCH = 24, COUNT = 64 };

/* The reference model with fewer channels. */
static const char reference_text[] = "input 28x28x1\nconv 8 3x3 relu\nmax_pool 2x2\nconv 16 3x3 relu\nmax_pool 2x2\nconv 16 3x3 relu\ndense 32 relu\ndense 10 softmax\n";

/* Every op, and every kernel in which something is divided or a function taken. */
static const char mixed_text[] =
    "input 28x28x1\nconv 6 5x5 stride=2 pad=same tanh\nmax_pool 3x3 stride=2\nbatch_norm leaky_relu\ndropout 0.2\n"
    "conv 12 3x3 pad=same groups=3 sigmoid\naverage_pool 2x2 stride=1\nbranch: batch_norm\nconv 12 3x3 pad=same\n"
    "batch_norm\nadd relu with=branch\nconv 18 1x1\nsoftmax\nconv 18 2x2 dilation=2\nmax_pool 2x2\nglobal_average_pool\ndense 21 relu\ndense 10 softmax\n";

static const struct {
    const char *name, *text;
    struct ink_train_options options;
    int steps;
    float scale;      /* of the first weights: small ones make gradients so small that they are settled */
    const char *hash; /* of the weights after the steps, as any device must have it */
} runs[] = {
    {"reference, Adam", reference_text, {.optimizer = INK_ADAM, .learning_rate = 0.001, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-7}, 5, 1, "f22213d28e26edb082b0423774b173e5"},
    {"reference, small weights", reference_text, {.optimizer = INK_ADAM, .learning_rate = 1e-5, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-7}, 5, 1e-3f, "94ea55ff3644a0459f3ba890c56192ce"},
    {"mixed, SGD", mixed_text, {.optimizer = INK_SGD, .learning_rate = 0.05, .momentum = 0.9, .nesterov = true, .weight_decay = 1e-4,
                                .clip_norm = 0.05, .label_smoothing = 0.1,
                                .augmentation = {.shift = 2, .rotate = 10, .scale = 0.1, .shear = 0.1, .elastic = 0.5, .thickness = 0.2,
                                                 .contrast = 0.2, .noise = 0.05, .erase = 0.2}}, 5, 1, "4cfd4de25debdbcc6a09ee4d69bb973d"},
    {"mixed, AdamW", mixed_text, {.optimizer = INK_ADAMW, .learning_rate = 0.01, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-7,
                                  .weight_decay = 0.01, .ema = 0.9}, 5, 1, "4cf12bc02da34b9676c9d7f7c49e64bf"},
};
enum { RUNS = sizeof runs / sizeof *runs };

static ink_dataset *make_data(void)
{
    static uint8_t images[COUNT * 784], labels[COUNT];
    ink_dataset *dataset = NULL;
    for (int s = 0; s < COUNT; s++) {
        float drawn[784];
        test_fill(100 + (uint64_t)s, -200, 255, drawn, 784);
        labels[s] = (uint8_t)(s % 10);
        for (int i = 0; i < 784; i++) /* a bright row tells the class */
            images[s * 784 + i] = (uint8_t)(i / 28 == 2 * (s % 10) ? 255 : drawn[i] > 0 ? drawn[i] : 0);
    }
    ck_ok(ink_dataset_create(images, labels, COUNT, (struct ink_shape){28, 28, 1}, 10, &dataset));
    return dataset;
}

/* Trains and leaves the losses of the steps; the model has the weights afterwards. */
static void train(int run, bool reproducible, int width, struct ink_model **model, double *losses)
{
    ink_dataset *dataset = make_data();
    struct trial trial = {.options = runs[run].options};
    struct ink_plan_options how = {.batch = BATCH, .classes = 10, .training = true, .vector_width = width, .reproducible = reproducible,
                                   .train = &trial.options};
    ck_ok(ink_model_parse(runs[run].text, model));
    ck_ok(ink_model_initialise(*model, 7));
    for (size_t i = 0; i < (*model)->trained_count; i++)
        (*model)->trained[i] *= runs[run].scale;
    ck_ok(ink_plan_create(test_device(), *model, &how, &trial.plan));
    ck_ok(ink_feed_load(test_device(), dataset, 0, &trial.feed));
    for (int section = 0; section < INK_SECTIONS; section++)
        ck_ok(ink_feed_bind(&trial.feed, trial.plan, (enum ink_section)section));
    ink_plan_set_int(trial.plan, INK_SEED_LOW, 5);
    ink_plan_set_int(trial.plan, INK_SEED_HIGH, 0);
    ink_plan_set_int(trial.plan, INK_EPOCH, 1);
    ink_plan_set_float(trial.plan, INK_AVERAGE_REST, 0.25f);
    for (int s = 0; s < runs[run].steps; s++) /* the last batch of the set is short */
        losses[s] = trial_run(&trial, INK_SECTION_TRAIN, s % 3 * BATCH, s % 3 == 2 ? COUNT - 2 * BATCH : BATCH);
    losses[runs[run].steps] = trial_run(&trial, INK_SECTION_EVALUATE, 0, BATCH);
    ck_ok(ink_plan_download(trial.plan, *model));
    trial_close(&trial);
    ink_dataset_destroy(&dataset);
}

START_TEST(the_bits_are_those_of_every_device)
{
    char first[INK_HASH_DIGITS + 1] = "", text[INK_HASH_DIGITS + 1];
    for (int width = 4; width <= 16; width *= 2) {
        struct ink_model *model = NULL;
        double losses[16];
        train(_i, true, width, &model, losses);
        struct ink_hash hash = ink_hash_bytes(model->trained, model->trained_count * sizeof(float));
        ink_hash_text(&hash, text);
        ck_assert_msg(width == 4 || strcmp(text, first) == 0, "%s: vectors of 4 give %s, of %d %s", runs[_i].name, first, width, text);
        memcpy(first, text, sizeof first);
        ink_model_destroy(&model);
    }
    ck_assert_msg(strcmp(text, runs[_i].hash) == 0, "%s: %s, not %s", runs[_i].name, text, runs[_i].hash);
}
END_TEST

/* Within what a few steps make of rounding errors, as in test_golden. */
START_TEST(losses_are_those_of_other_training)
{
    double reproducible[16], plain[16];
    struct ink_model *model = NULL;
    train(_i, true, 0, &model, reproducible);
    ink_model_destroy(&model);
    train(_i, false, 0, &model, plain);
    ink_model_destroy(&model);
    for (int s = 0; s <= runs[_i].steps; s++)
        ck_assert_msg(fabs(reproducible[s] - plain[s]) < 1e-4, "%s: loss %d is %.7g, and %.7g otherwise", runs[_i].name, s, reproducible[s], plain[s]);
}
END_TEST

/* Weights from outside are settled on their way to the device. */
START_TEST(weights_are_settled)
{
    struct ink_train_options options = runs[0].options;
    struct ink_plan_options how = {.batch = BATCH, .classes = 10, .training = true, .reproducible = true, .train = &options};
    struct ink_model *model = NULL;
    struct ink_plan *plan = NULL;
    ck_ok(ink_model_parse("input 28x28x1\ndense 10 softmax\n", &model));
    model->trained[0] = 0x1.fffffep-41f, model->trained[1] = -0x1p-40f, model->trained[2] = 0x1p-140f;
    ck_ok(ink_plan_create(test_device(), model, &how, &plan));
    ck_ok(ink_plan_download(plan, model));
    ck_assert(model->trained[0] == 0 && model->trained[1] == -0x1p-40f && model->trained[2] == 0);
    ink_plan_destroy(&plan);
    ink_model_destroy(&model);
}
END_TEST

START_TEST(algorithms_of_one_device_are_refused)
{
    struct ink_train_options options;
    ck_fails(ink_train_defaults(&(struct ink_train_options){.reproducible = true, .algorithms = "conv=direct"}, &options), INK_ERROR_ARGUMENT,
             "reproducible training chooses its algorithms itself");
    ck_ok(ink_train_defaults(&(struct ink_train_options){.reproducible = true, .tune = INK_TUNE_FULL}, &options));
    ck_assert_int_eq(options.tune, INK_TUNE_NONE);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reproducible");
    TCase *cases = tcase_create("reproducible");
    tcase_add_loop_test(cases, the_bits_are_those_of_every_device, 0, RUNS);
    tcase_add_loop_test(cases, losses_are_those_of_other_training, 0, RUNS);
    tcase_add_test(cases, weights_are_settled);
    tcase_add_test(cases, algorithms_of_one_device_are_refused);
    return run_case(suite, cases);
}
