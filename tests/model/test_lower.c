/* The fusion rules of lowering: each where it applies, and where it must not. That they leave the numbers as they were is
 * the matter of test_golden and test_gradients. */
#include <string.h>

#include "model/plan.h"
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

START_TEST(pooling_becomes_the_end_of_batch_norm_before_it)
{
    lower("input 7x7x1\nconv 4 3x3 bias=no\nbatch_norm relu\nmax_pool 2x2\ndense 2\n");
    ck_assert_ptr_null(find("max_pool1"));
    ck_assert_str_eq(find("batch_norm1 backward_data")->kernel, "backward_data_pooled");
    ck_assert_str_eq(define("dense1 backward_data", "MASK"), "relu_");
    ck_assert_str_eq(define("conv1 forward", "OH"), "5"); /* the moments are those of all rows */
    finish();
}
END_TEST

START_TEST(pooling_stays_where_windows_overlap_or_batch_norm_has_another_reader)
{
    lower("input 7x7x1\nconv 4 3x3 bias=no\nbatch_norm relu\nmax_pool 2x2 stride=1\ndense 2\n");
    ck_assert_ptr_nonnull(find("max_pool1"));
    finish();
    lower("input 7x7x1\nconv 4 3x3 bias=no\nbatch_norm relu\nmax_pool 2x2\na: global_average_pool\nglobal_average_pool from=batch_norm1\n"
          "add with=a\ndense 2\n");
    ck_assert_ptr_nonnull(find("max_pool1"));
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
          pooling_becomes_the_end_of_batch_norm_before_it, pooling_stays_where_windows_overlap_or_batch_norm_has_another_reader,
          lone_activation_becomes_the_end_of_the_layer_before, activation_stays_where_its_input_is_read_by_another_or_activated,
          last_softmax_is_left_to_the_loss_and_others_are_kept, layers_that_the_output_does_not_need_are_left_out,
          batch_that_kernels_cannot_count_is_refused)
