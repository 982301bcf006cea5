/* The fusion rules of lowering: each where it applies, and where it must not. That they leave the numbers of training as
 * they were is the matter of test_golden and test_gradients; those of inference are held against the unfused model here. */
#include <string.h>

#include "model/trial.h"
#include "suite.h"

static ink_model *model;
static struct ink_plan *plan;
static enum ink_section section = INK_SECTION_TRAIN;

static void lower_augmented(const char *text, struct ink_augmentation augmentation)
{
    const struct ink_train_options train = {.learning_rate = 0.1, .beta1 = 0.9, .beta2 = 0.9, .epsilon = 1e-7, .augmentation = augmentation};
    const struct ink_plan_options options = {.batch = INK_CHAIN_SAMPLES + 1, .classes = 2, .training = true, .unbundled = true, .style = INK_STYLE_CPU,
                                             .train = &train};
    ck_ok(ink_model_parse(text, &model));
    ck_ok(ink_plan_create(test_device(), model, &options, &plan));
}

static void lower(const char *text) { lower_augmented(text, (struct ink_augmentation){0}); }

static void finish(void)
{
    ink_plan_destroy(&plan);
    ink_model_destroy(&model);
}

/* The first launch of the section whose label begins so; NULL if there is none. */
static const struct ink_launch *find(const char *label)
{
    const struct ink_launches *list = ink_plan_launches(plan, section);
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

/* Training images are distorted, and what is evaluated is not; where nothing is distorted, steps begin as those of evaluation. */
START_TEST(only_training_is_augmented)
{
    static const struct ink_augmentation kinds[] = {{0}, {.shift = 1}, {.noise = 0.1}, {.rotate = 5, .thickness = 0.5, .erase = 0.1}};
    static const char *const wanted[][5] = {{"gather batch"}, {"draw distortions", "warp batch"}, {"gather batch", "contrast, noise, erasing"},
                                            {"draw distortions", "thicken strokes", "warp batch", "contrast, noise, erasing"}};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        lower_augmented("input 4x4x1\ndense 2\n", kinds[k]);
        const struct ink_launches *list = ink_plan_launches(plan, INK_SECTION_TRAIN);
        int i = 0;
        for (; wanted[k][i]; i++)
            ck_assert_str_eq(list->launches[i].label, wanted[k][i]);
        ck_assert_str_eq(list->launches[i].label, "dense1 forward direct");
        ck_assert_str_eq(ink_plan_launches(plan, INK_SECTION_EVALUATE)->launches[0].label, "gather batch");
        finish();
    }
}
END_TEST

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

START_TEST(batch_norm_goes_into_the_weights_before_it_in_inference)
{
    section = INK_SECTION_EVALUATE;
    lower("input 7x7x1\nconv 4 3x3 bias=no\nbatch_norm relu\nmax_pool 2x2\ndense 3\nbatch_norm\ndense 2\n");
    ck_assert_ptr_null(find("batch_norm1 forward"));
    ck_assert_ptr_null(find("batch_norm2 forward"));
    ck_assert_ptr_nonnull(find("batch_norm1 folded"));
    ck_assert(find("batch_norm1 folded")->constant);
    ck_assert_str_eq(define("conv1 forward", "ACT"), "relu_");
    finish();
    lower("input 7x7x1\nconv 4 3x3 relu\nbatch_norm\nconv 4 3x3\nbatch_norm\nadd with=conv2\ndense 2\n");
    ck_assert_ptr_nonnull(find("batch_norm1 forward")); /* behind an activation */
    ck_assert_str_eq(define("add1 forward", "SUM"), "1"); /* what batch_norm2 normalises has another reader */
    finish();
    section = INK_SECTION_TRAIN;
    lower("input 7x7x1\nconv 4 3x3 bias=no\nbatch_norm relu\nmax_pool 2x2\ndense 2\n");
    ck_assert_ptr_nonnull(find("batch_norm1 forward"));
    finish();
}
END_TEST

enum { IMAGES = 8 };

/* The losses of a model in inference; its statistics, gamma and beta are random. */
static void evaluate(const char *text, const ink_dataset *dataset, enum ink_style style, float losses[IMAGES])
{
    static const struct ink_train_options train = {.learning_rate = 0.1, .beta1 = 0.9, .beta2 = 0.9, .epsilon = 1e-7};
    struct trial trial;
    ck_ok(ink_model_parse(text, &model));
    test_fill(1, -0.5f, 0.5f, model->trained, model->trained_count);
    test_fill(2, 0.25f, 2, model->state, model->state_count);
    trial_open(&trial, model, dataset, &train, IMAGES, style);
    trial_run(&trial, INK_SECTION_EVALUATE, 0, IMAGES);
    memcpy(losses, trial.feed.host_losses, IMAGES * sizeof *losses);
    trial_close(&trial);
    ink_model_destroy(&model);
}

/* A leaky ReLU of slope 1 changes nothing and keeps a batch norm from the layer before. Folded, a weight is rounded once
 * more, which moves sums of 18 products by some 1e-6 of their size; losses here are 1 to 10. */
START_TEST(folded_batch_norm_gives_the_same_losses)
{
    static const char *const folded = "input 6x6x2\nconv 17 3x3 bias=no\nbatch_norm relu\nconv 4 3x3\nbatch_norm tanh\nmax_pool 2x2\n"
                                      "dense 5 bias=no\nbatch_norm\ndense 3\n";
    static const char *const apart = "input 6x6x2\nconv 17 3x3 bias=no\nactivation leaky_relu slope=1\nbatch_norm relu\nconv 4 3x3\n"
                                     "activation leaky_relu slope=1\nbatch_norm tanh\nmax_pool 2x2\n"
                                     "dense 5 bias=no\nactivation leaky_relu slope=1\nbatch_norm\ndense 3\n";
    uint8_t images[IMAGES * 72], labels[IMAGES] = {0, 1, 2, 0, 1, 2, 0, 1};
    ink_dataset *dataset = NULL;
    for (size_t i = 0; i < sizeof images; i++)
        images[i] = (uint8_t)(i * 151 % 256);
    ck_ok(ink_dataset_create(images, labels, IMAGES, (struct ink_shape){6, 6, 2}, 3, &dataset));
    for (enum ink_style style = INK_STYLE_CPU; style <= INK_STYLE_GPU; style++) {
        float a[IMAGES], b[IMAGES];
        evaluate(folded, dataset, style, a);
        evaluate(apart, dataset, style, b);
        for (int i = 0; i < IMAGES; i++)
            ck_assert_msg(a[i] > b[i] - 1e-4f && a[i] < b[i] + 1e-4f, "image %d: loss %.6g folded, %.6g apart", i, (double)a[i], (double)b[i]);
        ck_assert_msg(a[0] != a[1] && a[1] != a[2], "all losses are alike: nothing is tested");
    }
    ink_dataset_destroy(&dataset);
}
END_TEST

static ink_value argument(const char *label, int i)
{
    const struct ink_launch *launch = find(label);
    ck_assert_msg(launch != NULL, "no launch '%s'", label);
    return launch->arguments[i].value;
}

START_TEST(gradient_is_handed_on_and_changed_in_place)
{
    /* c takes the gradient of the sum as it is and leaves it so, as it is a's too, to which b adds later; what dropout makes of
     * its gradient takes its place */
    lower("input 6x6x1\nconv 4 3x3\na: batch_norm\nb: conv 4 3x3 pad=same\nc: batch_norm\nadd with=a\nd: dropout 0.5\nbatch_norm tanh\ndense 2\n");
    ck_assert_int_eq(argument("d backward_data", 0), argument("d backward_data", 1));
    ck_assert_int_eq(argument("c backward_data", 1), argument("d backward_data", 1));
    ck_assert_int_ne(argument("c backward_data", 1), argument("c backward_data", 5));
    ck_assert_ptr_null(find("add1 backward_data"));
    ck_assert_int_eq(argument("a backward_data", 1), argument("c backward_data", 1));
    ck_assert_int_eq(argument("a backward_data", 5), argument("a backward_data", 1)); /* nobody reads it any more */
    finish();
    /* b would add to the gradient of a before c has read it */
    lower("input 6x6x1\na: conv 4 3x3\nc: batch_norm\nb: conv 4 3x3 pad=same from=a\nd: batch_norm\nadd from=c with=a\nadd with=d\ndense 2\n");
    ck_assert_ptr_nonnull(find("add1 backward_data"));
    finish();
    /* both operands are one: nothing is handed on, as twice the gradient is what it gets */
    lower("input 6x6x1\na: conv 4 3x3\nadd with=a\ndense 2\n");
    ck_assert_ptr_nonnull(find("add1 backward_data"));
    finish();
    lower("input 6x6x1\na: conv 4 3x3\nb: conv 4 3x3 from=input\nadd with=a\ndense 2\n");
    ck_assert_ptr_null(find("add1 backward_data")); /* neither is changed, so both may read it */
    finish();
    /* an activation before takes a launch */
    lower("input 6x6x1\na: conv 4 3x3 relu\nb: conv 4 3x3 from=input\nadd with=a\ndense 2\n");
    ck_assert_ptr_nonnull(find("add1 backward_data"));
    finish();
}
END_TEST

START_TEST(batch_norm_that_a_sum_alone_reads_becomes_part_of_it)
{
    lower("input 6x6x1\na: conv 4 3x3\nb: batch_norm\nadd with=a relu\ndense 2\n");
    const struct ink_launches *list = ink_plan_launches(plan, section);
    for (int i = 0; i < list->count; i++)
        ck_assert_str_ne(list->launches[i].label, "b forward");
    ck_assert_ptr_nonnull(find("b forward statistics"));
    ck_assert_str_eq(define("add1 forward", "SUM"), "1");
    ck_assert_str_eq(define("add1 forward", "ACT"), "relu_");
    ck_assert_int_eq(argument("add1 forward", 0), argument("b forward moments", 0));
    ck_assert_int_eq(argument("add1 forward", 3), argument("b forward moments", 0)); /* a itself is the other operand */
    finish();
    lower("input 6x6x1\na: conv 4 3x3\nb: batch_norm\nconv 4 3x3 from=input\nbatch_norm\nadd with=b\ndense 2\n");
    ck_assert_str_eq(define("add1 forward", "SUM"), "2");
    finish();
}
END_TEST

START_TEST(batch_norm_stays_where_a_sum_is_not_all_that_reads_it)
{
    lower("input 6x6x1\na: conv 4 3x3\nb: batch_norm relu\nadd with=a\ndense 2\n");
    ck_assert_str_eq(find("add1 forward")->kernel, "add");
    finish();
    lower("input 6x6x1\na: conv 4 3x3\nb: batch_norm\nactivation tanh\nadd with=b\ndense 2\n");
    ck_assert_str_eq(find("add1 forward")->kernel, "add");
    finish();
    lower("input 6x6x1\na: conv 4 3x3\nb: batch_norm\nadd with=b\ndense 2\n");
    ck_assert_str_eq(find("add1 forward")->kernel, "add");
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
    for (int i = 0; i < list->count; i++) {
        const struct ink_launch *launch = &list->launches[i];
        constant += launch->constant;
        ck_assert_msg(launch->constant == (strstr(launch->label, "transform of weights") != NULL), "%s", launch->label);
    }
    ck_assert_int_eq(constant, 1);

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
RUN_SUITE("lower", only_training_is_augmented, convolution_is_cropped_to_what_pooling_reads, convolution_with_another_reader_or_padded_pooling_is_whole,
          pooling_becomes_the_end_of_batch_norm_before_it, pooling_stays_where_windows_overlap_or_batch_norm_has_another_reader,
          lone_activation_becomes_the_end_of_the_layer_before, activation_stays_where_its_input_is_read_by_another_or_activated,
          gradient_is_handed_on_and_changed_in_place, batch_norm_that_a_sum_alone_reads_becomes_part_of_it,
          batch_norm_stays_where_a_sum_is_not_all_that_reads_it, batch_norm_goes_into_the_weights_before_it_in_inference, folded_batch_norm_gives_the_same_losses,
          last_softmax_is_left_to_the_loss_and_others_are_kept, layers_that_the_output_does_not_need_are_left_out,
          launches_that_read_weights_alone_run_when_these_change, batch_that_kernels_cannot_count_is_refused)
