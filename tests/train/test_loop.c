/* The manners of the training loop: numbers that are not finite stop it and are named, patience ends it, schedules reach the
 * device, and the weights of a run with averaging are the averages. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "model/trial.h"
#include "rows.h"
#include "scratch.h"
#include "suite.h"
#include "train/checkpoint.h"
#include "train/sampler.h"
#include "train/train.h"

enum { SIDE = 6, PIXELS = SIDE * SIDE, CLASSES = 3, COUNT = 90, BATCH = 10 };

/* Noise, brighter in a third of the rows that tells the class. */
static ink_dataset *make_data(void)
{
    ink_dataset *dataset = NULL;
    ck_ok(make_rows(4, SIDE, CLASSES, COUNT, 100, &dataset));
    return dataset;
}

/* Without activations in between, numbers that are too large grow on; a ReLU may end them. */
static const char *const linear = "input 6x6x1\nconv 4 3x3\ndense 8\ndense 3 softmax\n";

static ink_model *parse_model(const char *text)
{
    ink_model *model = NULL;
    ck_ok(ink_model_parse(text, &model));
    ck_ok(ink_model_initialise(model, 3));
    return model;
}

static ink_model *make_model(void) { return parse_model("input 6x6x1\nconv 4 3x3 relu\ndense 8 relu\ndense 3 softmax\n"); }

/* Steps by hand, as ink_train() does them, to the first number that is not finite; what it is called in the message. */
static void find_divergence(const ink_dataset *data, const struct ink_train_options *options, char *what, size_t size)
{
    ink_model *model = parse_model(linear);
    struct ink_sampler sampler;
    struct trial trial;
    float *values = malloc(model->trained_count * sizeof(float));
    trial_open(&trial, model, data, options, BATCH, INK_STYLE_AUTO);
    ck_ok(ink_sampler_create(data, options, &sampler));
    *what = 0;
    for (int epoch = 1; epoch <= options->epochs && !*what; epoch++) {
        ck_ok(ink_feed_order(&trial.feed, &sampler, epoch));
        for (int step = 1; step <= COUNT / BATCH && !*what; step++) {
            double loss = trial_run(&trial, INK_SECTION_TRAIN, (step - 1) * BATCH, BATCH);
            if (!isfinite(loss))
                snprintf(what, size, "step %d of epoch %d: the loss is not a finite number", step, epoch);
            for (int changed = 0; changed < 2 && !*what; changed++) {
                struct ink_tensor tensor;
                ck_ok(ink_plan_get(trial.plan, changed ? INK_PARAMETERS : INK_GRADIENTS, values));
                for (size_t i = ink_model_tensor_count(model); i-- > 0 && !*what;) {
                    ck_ok(ink_model_tensor(model, i, &tensor));
                    for (size_t k = 0; k < tensor.count && !*what; k++)
                        if (!isfinite(values[tensor.data - model->trained + (ptrdiff_t)k]))
                            snprintf(what, size, "step %d of epoch %d: the %s of %s is not a finite number, at a learning rate of %g", step, epoch,
                                     changed ? "new value" : "gradient", tensor.name, options->learning_rate);
                }
            }
        }
    }
    trial_close(&trial);
    ink_sampler_destroy(&sampler);
    free(values);
    ink_model_destroy(&model);
}

/* With rates that are far too high the first bad number is a loss; ink_train() finds it only later, as it
 * looks at losses a few times a second, and goes back. The model keeps the weights of the last epoch that was well. */
START_TEST(divergence_is_named)
{
    static const struct { ink_optimizer optimizer; double rate; } ways[] = {{INK_SGD, 1000}, {INK_SGD, 60}, {INK_SGD, 300}};
    ink_dataset *data = make_data();
    struct ink_train_options options = {.epochs = 30, .batch = BATCH, .optimizer = ways[_i].optimizer, .learning_rate = ways[_i].rate, .seed = 9};
    options.momentum = 0.99;
    char what[200];
    find_divergence(data, &options, what, sizeof what);
    ck_assert_msg(*what, "does not diverge at a rate of %g", ways[_i].rate);
    ink_model *model = parse_model(linear);
    ck_fails(ink_train(model, test_device(), data, NULL, &options, NULL, NULL), INK_ERROR_DIVERGED, what);
    ck_assert_msg(strstr(ink_last_error(), "clip_norm") != NULL, "%s", ink_last_error());
    for (size_t i = 0; i < model->trained_count; i++)
        ck_assert(isfinite(model->trained[i]));
    options.clip_norm = 0.1; /* the mend that the message tells */
    options.learning_rate = 0.01;
    ck_ok(ink_train(model, test_device(), data, NULL, &options, NULL, NULL));
    ink_model_destroy(&model);
    ink_dataset_destroy(&data);
}
END_TEST

START_TEST(a_bad_start_is_a_bad_loss)
{
    ink_dataset *data = make_data();
    ink_model *model = make_model();
    model->trained[model->trained_count - 1] = NAN;
    struct ink_train_options options = {.epochs = 1, .batch = BATCH};
    ck_fails(ink_train(model, test_device(), data, NULL, &options, NULL, NULL), INK_ERROR_DIVERGED, "step 1 of epoch 1: the loss is not a finite number");
    ink_model_destroy(&model);
    ink_dataset_destroy(&data);
}
END_TEST

/* On black images all activations are 0 and so is every logit, whatever the weights: a good loss. Its gradient grows by 1e20 in each of the
 * two dense layers, and is too large for a float behind them, in the convolution. */
START_TEST(a_bad_gradient_is_named)
{
    static const uint8_t images[COUNT * PIXELS];
    uint8_t labels[COUNT];
    ink_dataset *data = NULL;
    ink_model *model = parse_model(linear);
    for (int i = 0; i < COUNT; i++)
        labels[i] = (uint8_t)(i % CLASSES);
    ck_ok(ink_dataset_create(images, labels, COUNT, (struct ink_shape){SIDE, SIDE, 1}, CLASSES, &data));
    for (size_t i = 0; i < ink_model_tensor_count(model); i++) {
        struct ink_tensor tensor;
        ck_ok(ink_model_tensor(model, i, &tensor));
        for (size_t k = 0; k < tensor.count && tensor.rank == 2; k++) /* signs by class, as the gradients of the logits add up to 0 */
            tensor.data[k] = strcmp(tensor.name, "dense2.weights") != 0 || k % CLASSES == 0 ? 1e20f : -1e20f;
    }
    struct ink_train_options options = {.epochs = 1, .batch = BATCH, .optimizer = INK_SGD};
    ck_fails(ink_train(model, test_device(), data, NULL, &options, NULL, NULL), INK_ERROR_DIVERGED,
             "step 1 of epoch 1: the gradient of conv1.bias is not a finite number, at a learning rate of 0.01");
    ink_model_destroy(&model);
    ink_dataset_destroy(&data);
}
END_TEST

/* The last step of a run has no loss behind it: what it leaves is looked at. */
START_TEST(a_bad_end_is_seen)
{
    ink_dataset *data = make_data();
    ink_model *model = make_model();
    struct ink_train_options options = {.epochs = 1, .batch = COUNT, .optimizer = INK_SGD, .learning_rate = 1000, .weight_decay = 1000};
    for (size_t i = 0; i < model->trained_count; i++)
        model->trained[i] *= 1e-3f;
    model->trained[0] = 1e35f; /* times 1e6 overflows; and no loss is out of range: the rest behind it is zero */
    for (size_t i = 40; i < model->trained_count; i++)
        model->trained[i] = 0;
    float first = model->trained[0];
    ck_fails(ink_train(model, test_device(), data, NULL, &options, NULL, NULL), INK_ERROR_DIVERGED, "step 1 of epoch 1: the new value of conv1.weights");
    ck_assert_float_eq(model->trained[0], first);
    ink_model_destroy(&model);
    ink_dataset_destroy(&data);
}
END_TEST

struct seen { int epochs, early, best; double rates[64]; };

static bool watch(const struct ink_progress *progress, void *user)
{
    struct seen *seen = user;
    if (progress->epoch_end) {
        seen->rates[seen->epochs++] = progress->learning_rate;
        seen->early = progress->early ? progress->epoch : 0;
        seen->best = progress->best_epoch;
    }
    return true;
}

/* A rate of next to nothing makes no epoch better than the first by a ten thousandth. */
START_TEST(patience_ends_training)
{
    ink_dataset *data = make_data();
    struct seen seen = {0};
    struct ink_train_options options = {.epochs = 20, .batch = BATCH, .optimizer = INK_SGD, .learning_rate = 1e-9, .seed = 2, .patience = 3,
                                        .schedule = INK_SCHEDULE_PLATEAU, .plateau_epochs = 2, .gamma = 0.5, .progress = watch, .user = &seen};
    for (int test = 0; test < 2; test++) {
        ink_model *model = make_model();
        bool stopped = true;
        seen = (struct seen){0};
        options.monitor = test ? INK_MONITOR_ACCURACY : INK_MONITOR_LOSS;
        ck_ok(ink_train(model, test_device(), data, test ? data : NULL, &options, &stopped, NULL));
        ck_assert(!stopped); /* the callback did not ask for it */
        ck_assert_int_eq(seen.epochs, 4);
        ck_assert_int_eq(seen.early, 4);
        ck_assert_int_eq(seen.best, 1);
        ck_assert_double_eq(seen.rates[2], 1e-9); /* reduced after the third epoch */
        ck_assert_double_eq(seen.rates[3], 0.5e-9);
        ink_model_destroy(&model);
    }
    ink_dataset_destroy(&data);
}
END_TEST

/* The rate of every step goes to the device: one step an epoch, SGD without momentum, so a step moves the weights by rate times
 * gradient. Against the same steps by hand, with the rates of one-cycle and a warm-up by their formulas. */
START_TEST(rates_reach_the_device)
{
    enum { EPOCHS = 6 };
    ink_dataset *data = make_data();
    ink_model *model = make_model(), *by_hand = make_model();
    struct ink_train_options options = {.epochs = EPOCHS, .batch = COUNT, .optimizer = INK_SGD, .learning_rate = 0.5, .seed = 2,
                                        .schedule = INK_SCHEDULE_ONE_CYCLE, .anneal = INK_ANNEAL_LINEAR, .pct_start = 0.75, .div_factor = 5,
                                        .final_div_factor = 10, .warmup = 2};
    static const double rates[EPOCHS] = {0.1 / 3, 0.1 * 2 / 3, 0.1, 0.3, 0.5, 0.01}; /* the cycle's own: 4 steps, the top at the third */
    struct ink_sampler sampler;
    struct trial trial;
    ck_ok(ink_train(model, test_device(), data, NULL, &options, NULL, NULL));
    ck_ok(ink_sampler_create(data, &options, &sampler));
    trial_open(&trial, by_hand, data, &options, COUNT, INK_STYLE_AUTO);
    for (int i = 0; i < EPOCHS; i++) {
        trial.options.learning_rate = rates[i];
        ck_ok(ink_feed_order(&trial.feed, &sampler, i + 1));
        trial_run(&trial, INK_SECTION_TRAIN, 0, COUNT);
    }
    ck_ok(ink_plan_download(trial.plan, by_hand));
    for (size_t i = 0; i < model->trained_count; i++) /* the same numbers, but for the last digit of a rate */
        ck_assert_float_eq_tol(model->trained[i], by_hand->trained[i], 1e-5f);
    trial_close(&trial);
    ink_sampler_destroy(&sampler);
    ink_model_destroy(&model);
    ink_model_destroy(&by_hand);
    ink_dataset_destroy(&data);
}
END_TEST

/* With averaging the model gets the average, by hand: a = d a + (1 - d) w with d = min(ema, (1 + steps) / (10 + steps)), one step
 * an epoch, whose weights a run without averaging of so many epochs gives. A float's rounding for each of six steps. */
START_TEST(the_average_is_what_is_left)
{
    enum { EPOCHS = 6 };
    ink_dataset *data = make_data();
    ink_model *model = make_model(), *averaged = make_model();
    struct ink_train_options options = {.batch = COUNT, .optimizer = INK_SGD, .learning_rate = 0.5, .seed = 2};
    double *average = malloc(model->trained_count * sizeof *average);
    for (size_t i = 0; i < model->trained_count; i++)
        average[i] = (double)model->trained[i];
    for (int epochs = 1; epochs <= EPOCHS; epochs++) {
        double kept = fmin(0.3, (1.0 + epochs) / (10 + epochs));
        ink_model_destroy(&model);
        model = make_model();
        options.epochs = epochs;
        ck_ok(ink_train(model, test_device(), data, NULL, &options, NULL, NULL));
        for (size_t i = 0; i < model->trained_count; i++)
            average[i] = kept * average[i] + (1 - kept) * (double)model->trained[i];
    }
    options.ema = 0.3;
    struct ink_metrics metrics, again;
    ck_ok(ink_train(averaged, test_device(), data, data, &options, NULL, &metrics));
    for (size_t i = 0; i < model->trained_count; i++)
        ck_assert_double_eq_tol((double)averaged->trained[i], average[i], 1e-6);
    ck_ok(ink_evaluate(averaged, test_device(), data, NULL, NULL, &again));
    ck_assert_double_eq_tol(again.loss, metrics.loss, 1e-6);
    free(average);
    ink_model_destroy(&model);
    ink_model_destroy(&averaged);
    ink_dataset_destroy(&data);
}
END_TEST

START_TEST(a_warmup_longer_than_the_run_is_told)
{
    ink_dataset *data = make_data();
    ink_model *model = make_model();
    struct ink_train_options options = {.epochs = 2, .batch = BATCH, .warmup = 18};
    ck_fails(ink_train(model, test_device(), data, NULL, &options, NULL, NULL), INK_ERROR_ARGUMENT, "warmup is 18, and the run has 18 steps");
    ink_model_destroy(&model);
    ink_dataset_destroy(&data);
}
END_TEST

/* What a callback does within an epoch. */
struct within {
    ink_model *model;
    float weights[4096];
    size_t step;               /* at which it acted; 0: not yet */
    ink_status refused;
};

static ink_dataset *make_many(void)
{
    enum { MANY = 12000 };
    static uint8_t images[MANY * PIXELS], labels[MANY];
    ink_dataset *few = make_data(), *many = NULL;
    for (size_t i = 0; i < MANY; i++) {
        memcpy(images + i * PIXELS, ink_dataset_image(few, i % COUNT), PIXELS);
        labels[i] = (uint8_t)ink_dataset_label(few, i % COUNT);
    }
    ck_ok(ink_dataset_create(images, labels, MANY, (struct ink_shape){SIDE, SIDE, 1}, CLASSES, &many));
    ink_dataset_destroy(&few);
    return many;
}

static bool read_and_stop(const struct ink_progress *progress, void *user)
{
    struct within *w = user;
    ck_ok(ink_training_read(progress->training));
    w->refused = ink_training_checkpoint(progress->training);
    memcpy(w->weights, w->model->trained, w->model->trained_count * sizeof(float));
    w->step = progress->epoch_end ? 0 : progress->step;
    return false;
}

static bool ask_once(const struct ink_progress *progress, void *user)
{
    struct within *w = user;
    if (!w->step && !progress->epoch_end) {
        ck_ok(ink_training_checkpoint(progress->training));
        w->step = progress->step;
    }
    return true;
}

/* One sample a step makes an epoch so long that the callback is called within it. Weights that are read are those that training has when it
 * stops there; a checkpoint that is asked for is of a place not far behind. */
START_TEST(a_callback_reads_and_asks_for_checkpoints)
{
    struct within w = {.model = make_model()};
    ink_dataset *data = make_many();
    struct ink_train_options options = {.epochs = 1, .batch = 1, .progress = read_and_stop, .user = &w};
    bool stopped = false;
    ck_ok(ink_train(w.model, test_device(), data, NULL, &options, &stopped, NULL));
    ck_assert(stopped);
    ck_assert_uint_gt(w.step, 0);
    ck_assert_mem_eq(w.weights, w.model->trained, w.model->trained_count * sizeof(float));
    ck_assert_int_eq(w.refused, INK_ERROR_ARGUMENT);

    w.step = 0;
    options.progress = ask_once;
    options.checkpoints = scratch_path("asked");
    options.checkpoint_epochs = 9;
    ck_ok(ink_train(w.model, test_device(), data, NULL, &options, NULL, NULL));
    ck_assert_uint_gt(w.step, 0);
    ck_assert_int_eq(scratch_count(scratch_path("asked")), 1);
    char path[INK_CHECKPOINT_PATH];
    struct ink_checkpoint_info info = {0};
    ink_model *kept = NULL;
    for (uint64_t step = w.step; !kept && step < 12000; step++) {
        ck_ok(ink_checkpoint_path(scratch_path("asked"), step, path));
        if (access(path, F_OK) == 0)
            ck_ok(ink_checkpoint_load(path, &kept, &info));
    }
    ck_assert_int_eq(info.epoch, 1);
    ck_assert_uint_ge(info.step, w.step);
    ck_assert_uint_lt(info.step, 12000);
    ink_model_destroy(&kept);
    ink_model_destroy(&w.model);
    ink_dataset_destroy(&data);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("loop");
    TCase *all = tcase_create("loop");
    tcase_add_loop_test(all, divergence_is_named, 0, 3);
    tcase_add_test(all, a_bad_start_is_a_bad_loss);
    tcase_add_test(all, a_bad_gradient_is_named);
    tcase_add_test(all, a_bad_end_is_seen);
    tcase_add_test(all, patience_ends_training);
    tcase_add_test(all, rates_reach_the_device);
    tcase_add_test(all, the_average_is_what_is_left);
    tcase_add_test(all, a_callback_reads_and_asks_for_checkpoints);
    tcase_add_test(all, a_warmup_longer_than_the_run_is_told);
    return run_case(suite, all);
}
