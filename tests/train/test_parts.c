/* Steps in parts: the same launches as in one piece, the same weights but for rounding, whatever the parts. */
#include <math.h>
#include <string.h>

#include "model/trial.h"
#include "reference.h"
#include "rows.h"
#include "suite.h"

enum { SIDE = 6, PIXELS = SIDE * SIDE, CLASSES = 3, COUNT = 85, BATCH = 10, EPOCHS = 3 };

static ink_dataset *make_data(void)
{
    ink_dataset *dataset = NULL;
    ck_ok(make_rows(6, SIDE, CLASSES, COUNT, 100, &dataset));
    return dataset;
}

/* Dropout draws by a sample's place in its batch, here of 48 values, then of 7. */
static ink_model *make_model(void)
{
    ink_model *model = NULL;
    ck_ok(ink_model_parse("input 6x6x1\nconv 3 3x3 relu\ndropout 0.2\ndense 7 tanh\ndropout 0.3\ndense 3 softmax\n", &model));
    return model;
}

/* The rounding of sums over a batch, in each of 27 steps; the model is smooth but for ReLU, so steps add to it and hardly multiply it. */
static const double tolerance = 27 * 10 * 6e-8;

START_TEST(weights_are_those_of_whole_batches)
{
    static const int micro_batches[] = {1, 3, 4, 5, 9};
    static const struct ink_train_options ways[] = {
        {.optimizer = INK_SGD, .learning_rate = 0.05, .momentum = 0.9, .clip_norm = 0.5},
        {.optimizer = INK_ADAMW, .learning_rate = 0.003, .epsilon = 1e-3, .weight_decay = 0.01, .ema = 0.9, .label_smoothing = 0.1},
    };
    struct ink_train_options options = ways[_i];
    ink_dataset *data = make_data();
    ink_model *whole = make_model(), *parts = make_model();
    struct ink_metrics wanted, metrics;
    options.epochs = EPOCHS, options.batch = BATCH, options.seed = 5, options.initialise = true;
    ck_ok(ink_train(whole, test_device(), data, data, &options, NULL, &wanted));
    for (size_t m = 0; m < sizeof micro_batches / sizeof *micro_batches; m++) {
        options.micro_batch = micro_batches[m];
        ck_ok(ink_train(parts, test_device(), data, data, &options, NULL, &metrics));
        ck_assert_double_eq_tol(metrics.loss, wanted.loss, tolerance);
        for (size_t i = 0; i < whole->trained_count; i++)
            ck_assert_msg(fabs((double)parts->trained[i] - (double)whole->trained[i]) <= tolerance, "parts of %d: weight %zu is %.9g, not %.9g",
                          options.micro_batch, i, (double)parts->trained[i], (double)whole->trained[i]);
    }
    ink_model_destroy(&whole);
    ink_model_destroy(&parts);
    ink_dataset_destroy(&data);
}
END_TEST

/* Parts run one by one add up to the gradients of the batch, and what was there before is replaced unless it is added to. */
START_TEST(gradients_add_up)
{
    static const struct ink_train_options sgd = {.optimizer = INK_SGD}, in_parts = {.optimizer = INK_SGD, .micro_batch = 4};
    ink_dataset *data = make_data();
    ink_model *model = make_model();
    struct trial whole, parts;
    ck_ok(ink_model_initialise(model, 3));
    trial_open(&whole, model, data, &sgd, BATCH, INK_STYLE_AUTO);
    trial_open(&parts, model, data, &in_parts, BATCH, INK_STYLE_AUTO);
    float *want = calloc(model->trained_count, sizeof *want), *got = calloc(model->trained_count, sizeof *got);
    ink_plan_set_int(parts.plan, INK_STEP, 1);
    trial_run(&whole, INK_SECTION_TRAIN, 20, BATCH);
    ck_ok(ink_plan_gradients(whole.plan, want));
    double *wide = calloc(model->trained_count, sizeof *wide);
    for (size_t i = 0; i < model->trained_count; i++)
        wide[i] = (double)want[i];
    for (int cut = 1; cut < BATCH; cut += 2) {
        ck_ok(ink_plan_run_part(parts.plan, &(struct ink_part){20, cut, 0, BATCH}, false));
        ck_ok(ink_plan_run_part(parts.plan, &(struct ink_part){20 + cut, BATCH - cut, cut, BATCH}, true));
        ck_ok(ink_plan_gradients(parts.plan, got));
        reference_compare("gradients", got, wide, model->trained_count, reference_tolerance(BATCH * 16 + 48 + 9));
    }
    free(want);
    free(wide);
    free(got);
    trial_close(&whole);
    trial_close(&parts);
    ink_model_destroy(&model);
    ink_dataset_destroy(&data);
}
END_TEST

/* The sections of a plan for parts are those of a whole step, cut before the update. */
START_TEST(launches_are_those_of_whole_steps)
{
    static const struct ink_train_options whole_step = {.clip_norm = 1, .ema = 0.9}, in_parts = {.clip_norm = 1, .ema = 0.9, .micro_batch = 4};
    ink_dataset *data = make_data();
    ink_model *model = make_model();
    struct trial whole, parts;
    trial_open_unbundled(&whole, model, data, &whole_step, BATCH, INK_STYLE_AUTO);
    trial_open_unbundled(&parts, model, data, &in_parts, BATCH, INK_STYLE_AUTO);
    const struct ink_launches *step = ink_plan_launches(whole.plan, INK_SECTION_TRAIN);
    const struct ink_launches *gradients = ink_plan_launches(parts.plan, INK_SECTION_GRADIENTS), *update = ink_plan_launches(parts.plan, INK_SECTION_UPDATE);
    ck_assert_int_eq(step->count, gradients->count + update->count);
    ck_assert_int_eq(update->count, 2); /* norm, Adam */
    for (int i = 0; i < step->count; i++) {
        const struct ink_launch *launch = i < gradients->count ? &gradients->launches[i] : &update->launches[i - gradients->count];
        ck_assert_str_eq(launch->label, step->launches[i].label);
    }
    ck_assert_int_eq(ink_plan_launches(parts.plan, INK_SECTION_ACCUMULATE)->count, 1);
    ck_assert_int_eq(ink_plan_launches(parts.plan, INK_SECTION_TRAIN)->count, 0);
    for (int section = INK_SECTION_GRADIENTS; section <= INK_SECTION_UPDATE; section++)
        ck_assert_int_eq(ink_plan_launches(whole.plan, (enum ink_section)section)->count, 0);
    trial_close(&whole);
    trial_close(&parts);
    ink_model_destroy(&model);
    ink_dataset_destroy(&data);
}
END_TEST

START_TEST(a_part_is_no_larger_than_the_batch)
{
    ink_dataset *data = make_data();
    ink_model *model = make_model();
    ck_fails(ink_train(model, test_device(), data, NULL, &(struct ink_train_options){.batch = BATCH, .micro_batch = BATCH + 1}, NULL, NULL),
             INK_ERROR_ARGUMENT, "micro_batch is 11; it must be at least 0 and at most 10");
    ck_fails(ink_train(model, test_device(), data, NULL, &(struct ink_train_options){.micro_batch = -1}, NULL, NULL), INK_ERROR_ARGUMENT, "micro_batch is -1");
    ink_model_destroy(&model);
    ink_dataset_destroy(&data);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("parts");
    TCase *all = tcase_create("parts");
    tcase_add_loop_test(all, weights_are_those_of_whole_batches, 0, 2);
    tcase_add_test(all, gradients_add_up);
    tcase_add_test(all, launches_are_those_of_whole_steps);
    tcase_add_test(all, a_part_is_no_larger_than_the_batch);
    return run_case(suite, all);
}
