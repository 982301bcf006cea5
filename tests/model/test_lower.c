/* The fusion rules of lowering: each where it applies, and where it must not. That they leave the numbers as they were is
 * the matter of test_golden and test_gradients. */
#include <string.h>

#include "model/plan.h"
#include "model/trial.h"
#include "ops/op_case.h"
#include "suite.h"

static ink_model *model;
static struct ink_plan *plan;

static void lower(const char *text)
{
    static const struct ink_train_options train = {.learning_rate = 0.1, .beta1 = 0.9, .beta2 = 0.9, .epsilon = 1e-7};
    const struct ink_plan_options options = {.batch = 2, .classes = 2, .training = true, .style = INK_STYLE_CPU, .train = &train};
    ck_ok(ink_model_parse(text, &model));
    ck_ok(ink_plan_create(test_device(), model, &options, &plan));
}

static void finish(void)
{
    ink_plan_destroy(&plan);
    ink_model_destroy(&model);
}

/* The first launch of the training step whose label begins so; NULL if there is none. */
static const struct ink_launch *find(const char *label)
{
    const struct ink_launches *list = ink_plan_launches(plan, INK_SECTION_TRAIN);
    for (int i = 0; i < list->count; i++)
        if (strncmp(list->launches[i].label, label, strlen(label)) == 0)
            return &list->launches[i];
    return NULL;
}

static const char *define(const char *label, const char *name)
{
    const struct ink_launch *launch = find(label);
    ck_assert_msg(launch != NULL, "no launch '%s'", label);
    for (int d = 0; d < launch->define_count; d++)
        if (strcmp(launch->defines[d].name, name) == 0)
            return launch->defines[d].text;
    ck_abort_msg("launch '%s' has no define %s", label, name);
    return NULL;
}

START_TEST(convolution_is_cropped_to_what_pooling_reads)
{
    lower("input 9x10x2\nconv 4 3x3\nmax_pool 2x3\ndense 2\n"); /* 7x8 of which 6x6 is read */
    ck_assert_str_eq(define("conv1 forward", "OH"), "6");
    ck_assert_str_eq(define("conv1 forward", "OW"), "6");
    ck_assert_str_eq(define("conv1 backward_weights", "OH"), "6");
    finish();
    lower("input 9x10x2\nconv 4 3x3\nactivation relu\naverage_pool 3x3 stride=2\ndense 2\n"); /* 7x8 of which 7x7 is read */
    ck_assert_str_eq(define("conv1 forward", "OH"), "7");
    ck_assert_str_eq(define("conv1 forward", "OW"), "7");
    finish();
}
END_TEST

START_TEST(convolution_with_another_reader_or_padded_pooling_is_whole)
{
    lower("input 9x9x2\nconv 4 3x3\nmax_pool 2x2\na: global_average_pool\nglobal_average_pool from=conv1\nadd with=a\ndense 2\n");
    ck_assert_str_eq(define("conv1 forward", "OH"), "7");
    finish();
    lower("input 9x9x2\nconv 4 3x3\nmax_pool 2x2 pad=same\ndense 2\n");
    ck_assert_str_eq(define("conv1 forward", "OH"), "7");
    finish();
}
END_TEST

START_TEST(lone_activation_becomes_the_end_of_the_layer_before)
{
    lower("input 4x4x1\nconv 4 3x3\nactivation leaky_relu slope=0.25\ndense 2\n");
    ck_assert_ptr_null(find("activation1"));
    ck_assert_str_eq(define("conv1 forward", "ACT"), "leaky_relu_");
    ck_assert_str_eq(define("dense1 backward_data", "MASK"), "leaky_relu_");
    finish();
}
END_TEST

START_TEST(activation_stays_where_its_input_is_read_by_another_or_activated)
{
    lower("input 4x4x1\nconv 4 3x3\nactivation relu\nadd with=conv1\ndense 2\n");
    ck_assert_ptr_nonnull(find("activation1"));
    ck_assert_str_eq(define("conv1 forward", "ACT"), "none_");
    finish();
    lower("input 4x4x1\nconv 4 3x3 tanh\nactivation relu\ndense 2\n");
    ck_assert_ptr_nonnull(find("activation1"));
    ck_assert_str_eq(define("conv1 forward", "ACT"), "tanh_");
    finish();
}
END_TEST

START_TEST(last_softmax_is_left_to_the_loss_and_others_are_kept)
{
    lower("input 2x2x1\ndense 3 softmax\ndense 2 softmax\n");
    ck_assert_ptr_nonnull(find("softmax1"));
    ck_assert_ptr_null(find("softmax2"));
    ck_assert_ptr_nonnull(find("softmax cross-entropy"));
    finish();
}
END_TEST

START_TEST(layers_that_the_output_does_not_need_are_left_out)
{
    lower("input 4x4x1\nflatten\ndead: dense 5\ndense 3 relu from=flatten1\ndense 2\n");
    ck_assert_ptr_null(find("dead"));
    ck_assert_ptr_nonnull(find("dense2 backward_weights"));
    finish();
}
END_TEST

/* Evaluation transforms weights once, and again when they change. */
START_TEST(launches_that_read_weights_alone_run_when_these_change)
{
    static uint8_t images[8 * 12 * 12 * 16], labels[8] = {0, 1};
    ink_dataset *dataset = NULL;
    for (size_t i = 0; i < sizeof images; i++)
        images[i] = (uint8_t)(i * 2654435761u >> 7);
    ck_ok(ink_dataset_create(images, labels, 8, (struct ink_shape){12, 12, 16}, 2, &dataset));
    ck_ok(ink_model_parse("input 12x12x16\nconv 32 3x3 relu\nglobal_average_pool\ndense 2\n", &model));
    ck_ok(ink_model_initialise(model, 1));
    struct trial trial;
    trial_open(&trial, model, dataset, &(struct ink_train_options){.optimizer = INK_SGD, .learning_rate = 0.5}, 8, INK_STYLE_CPU);
    const struct ink_launches *list = ink_plan_launches(trial.plan, INK_SECTION_EVALUATE);
    int constant = 0;
    for (int i = 0; i < list->count; i++)
        constant += list->launches[i].constant;
    ck_assert_int_eq(constant, 1);
    ck_assert_msg(list->launches[1].constant && strstr(list->launches[1].label, "transform of weights"), "'%s' is second", list->launches[1].label);

    double first = trial_run(&trial, INK_SECTION_EVALUATE, 0, 8), again = trial_run(&trial, INK_SECTION_EVALUATE, 0, 8);
    ck_assert_double_eq(first, again);
    trial_run(&trial, INK_SECTION_TRAIN, 0, 8);
    double trained = trial_run(&trial, INK_SECTION_EVALUATE, 0, 8);
    ck_assert_double_ne(first, trained);
    ck_ok(ink_plan_download(trial.plan, model));
    struct trial fresh;
    trial_open(&fresh, model, dataset, &trial.options, 8, INK_STYLE_CPU);
    ck_assert_double_eq(trial_run(&fresh, INK_SECTION_EVALUATE, 0, 8), trained);
    ck_ok(ink_model_initialise(model, 1));
    ck_ok(ink_plan_upload(fresh.plan, model));
    ck_assert_double_eq(trial_run(&fresh, INK_SECTION_EVALUATE, 0, 8), first);
    trial_close(&fresh);
    trial_close(&trial);
    ink_model_destroy(&model);
    ink_dataset_destroy(&dataset);
}
END_TEST

START_TEST(batch_that_kernels_cannot_count_is_refused)
{
    const struct ink_plan_options options = {.batch = 3000000, .classes = 2};
    ck_ok(ink_model_parse("input 28x28x1\ndense 2\n", &model));
    ck_fails(ink_plan_create(test_device(), model, &options, &plan), INK_ERROR_UNSUPPORTED, "use a batch of at most 2739137");
    finish();
}
END_TEST

int main(void)
RUN_SUITE("lower", convolution_is_cropped_to_what_pooling_reads, convolution_with_another_reader_or_padded_pooling_is_whole,
          lone_activation_becomes_the_end_of_the_layer_before, activation_stays_where_its_input_is_read_by_another_or_activated,
          last_softmax_is_left_to_the_loss_and_others_are_kept, layers_that_the_output_does_not_need_are_left_out,
          launches_that_read_weights_alone_run_when_these_change, batch_that_kernels_cannot_count_is_refused)
