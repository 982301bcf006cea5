/* Clipping of gradients and the moving average of weights, against a sequential reference in double precision: after each of
 * a few steps the reference does the same update from the weights before it and the gradients that the device computed. */
#include <math.h>
#include <string.h>

#include "model/trial.h"
#include "suite.h"
#include "train/train.h"

enum { STEPS = 4, BATCH = 8, PIXELS = 36 };

/* An update has about ten float operations, each off by 6e-8 of its result at most; the norm adds at most the roundings of
 * its longest chain, 14 additions of positive terms. Moments and averages carry theirs along. */
static const double tolerance = 2e-6;

static ink_dataset *make_data(void)
{
    uint8_t images[BATCH * PIXELS], labels[BATCH];
    float values[BATCH * PIXELS];
    ink_dataset *dataset = NULL;
    test_fill(5, 0, 256, values, BATCH * PIXELS);
    for (int i = 0; i < BATCH * PIXELS; i++)
        images[i] = (uint8_t)values[i];
    for (int i = 0; i < BATCH; i++)
        labels[i] = (uint8_t)(i % 3);
    ck_ok(ink_dataset_create(images, labels, BATCH, (struct ink_shape){6, 6, 1}, 3, &dataset));
    return dataset;
}

struct reference {
    size_t count;
    double *weights, *moment1, *moment2, *average;
};

static double norm_of(const float *values, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)values[i] * (double)values[i];
    return sqrt(sum);
}

/* One step of SGD with momentum or Adam as their definitions have it, on clipped gradients; then the average. */
static void update(struct reference *r, const struct ink_train_options *o, const float *gradients, int step, double kept)
{
    double norm = norm_of(gradients, r->count), scale = o->clip_norm > 0 && norm > o->clip_norm ? o->clip_norm / (norm + 1e-6) : 1;
    for (size_t i = 0; i < r->count; i++) {
        double g = (double)gradients[i] * scale + o->weight_decay * r->weights[i];
        if (o->optimizer == INK_SGD) {
            r->moment1[i] = o->momentum * r->moment1[i] + g;
            r->weights[i] -= o->learning_rate * r->moment1[i];
        } else {
            r->moment1[i] = o->beta1 * r->moment1[i] + (1 - o->beta1) * g;
            r->moment2[i] = o->beta2 * r->moment2[i] + (1 - o->beta2) * g * g;
            r->weights[i] -= o->learning_rate * (r->moment1[i] / (1 - pow(o->beta1, step))) / (sqrt(r->moment2[i] / (1 - pow(o->beta2, step))) + o->epsilon);
        }
        r->average[i] = kept * r->average[i] + (1 - kept) * r->weights[i];
    }
}

/* values and the reference's, within tolerance of the largest of them. */
static void compare(const char *what, const float *values, const double *wanted, size_t count)
{
    double largest = 0;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs(wanted[i]));
    for (size_t i = 0; i < count; i++)
        ck_assert_msg(fabs((double)values[i] - wanted[i]) <= tolerance * largest, "%s[%zu] is %g, not %g", what, i, (double)values[i], wanted[i]);
}

/* 3 * 37 weights: fewer vectors than pieces of the norm; and 16 * 10 + 3 * 257 and more: pieces of several vectors, the last of
 * them short. */
static const char *const models[] = {"input 6x6x1\ndense 3\n", "input 6x6x1\nconv 16 3x3 relu\ndense 96 relu\ndense 3\n"};

static const struct ink_train_options cases[] = {
    {.optimizer = INK_SGD, .learning_rate = 0.1, .momentum = 0.9, .clip_norm = 0.05},
    {.optimizer = INK_SGD, .learning_rate = 0.1, .weight_decay = 0.01, .clip_norm = 0.05, .ema = 0.9},
    {.optimizer = INK_ADAM, .learning_rate = 0.01, .epsilon = 1e-3, .clip_norm = 0.05, .ema = 0.5},
    {.optimizer = INK_ADAM, .learning_rate = 0.01, .epsilon = 1e-3, .ema = 0.9},
    {.optimizer = INK_ADAM, .learning_rate = 0.01, .epsilon = 1e-3, .clip_norm = 1e6}, /* never reached */
};
enum { CASES = sizeof cases / sizeof *cases, STYLES = 2, MODELS = 2 };

static void run_case_on(const struct ink_train_options *given, enum ink_style style, const char *text)
{
    ink_dataset *dataset = make_data();
    ink_model *model = NULL;
    struct ink_train_options options;
    struct trial trial;
    ck_ok(ink_model_parse(text, &model));
    ck_ok(ink_model_initialise(model, 3));
    ck_ok(ink_train_defaults(given, &options));
    trial_open(&trial, model, dataset, &options, BATCH, style);
    size_t count = model->trained_count;
    struct reference r = {count, calloc(4 * count, sizeof(double)), NULL, NULL, NULL};
    r.moment1 = r.weights + count, r.moment2 = r.moment1 + count, r.average = r.moment2 + count;
    float *gradients = malloc(count * sizeof(float)), *values = malloc(count * sizeof(float));
    for (size_t i = 0; i < count; i++)
        r.weights[i] = r.average[i] = (double)model->trained[i];
    bool clipped = false;
    for (int step = 1; step <= STEPS; step++) {
        double kept = fmin(options.ema, (1.0 + step) / (10 + step));
        ink_plan_set_float(trial.plan, INK_AVERAGE_REST, (float)(1 - kept));
        trial_run(&trial, INK_SECTION_TRAIN, 0, BATCH);
        ck_ok(ink_plan_gradients(trial.plan, gradients));
        clipped |= options.clip_norm > 0 && norm_of(gradients, count) > options.clip_norm;
        update(&r, &options, gradients, step, kept);
        ck_ok(ink_plan_get(trial.plan, INK_PARAMETERS, values));
        compare("weights", values, r.weights, count);
        if (options.ema > 0) {
            ck_ok(ink_plan_get(trial.plan, INK_AVERAGE, values));
            compare("average", values, r.average, count);
            ck_ok(ink_plan_download(trial.plan, model)); /* what is saved */
            ck_assert_mem_eq(model->trained, values, count * sizeof(float));
        }
    }
    ck_assert_int_eq(clipped, options.clip_norm > 0 && options.clip_norm < 1);
    trial_close(&trial);
    free(r.weights);
    free(gradients);
    free(values);
    ink_model_destroy(&model);
    ink_dataset_destroy(&dataset);
}

START_TEST(updates_are_the_references)
{
    run_case_on(&cases[_i % CASES], _i / CASES % STYLES ? INK_STYLE_GPU : INK_STYLE_CPU, models[_i / CASES / STYLES]);
}
END_TEST

static const char *last_label(const struct trial *trial)
{
    const struct ink_launches *list = ink_plan_launches(trial->plan, INK_SECTION_TRAIN);
    return list->launches[list->count - 1].label;
}

/* Clipping costs one launch, averaging none, and neither is in a step without. */
START_TEST(only_what_is_asked_for_is_launched)
{
    static const struct { struct ink_train_options options; int more; } asked[] = {{{0}, 0}, {{.ema = 0.9}, 0}, {{.clip_norm = 1}, 1}};
    ink_dataset *dataset = make_data();
    ink_model *model = NULL;
    int plain = 0;
    ck_ok(ink_model_parse(models[1], &model));
    for (int i = 0; i < 3; i++) {
        struct trial trial;
        trial_open_unbundled(&trial, model, dataset, &asked[i].options, BATCH, INK_STYLE_CPU);
        int count = ink_plan_launches(trial.plan, INK_SECTION_TRAIN)->count;
        plain = i ? plain : count;
        ck_assert_int_eq(count, plain + asked[i].more);
        ck_assert_str_eq(last_label(&trial), "Adam");
        trial_close(&trial);
    }
    ink_model_destroy(&model);
    ink_dataset_destroy(&dataset);
}
END_TEST

/* What is evaluated is the average: with new weights far away and a share of 0 for them, the loss stays as it was. */
START_TEST(the_average_is_evaluated)
{
    ink_dataset *dataset = make_data();
    ink_model *model = NULL;
    struct trial trial;
    struct ink_train_options options = {.optimizer = INK_SGD, .learning_rate = 5, .ema = 0.9};
    ck_ok(ink_model_parse(models[0], &model));
    ck_ok(ink_model_initialise(model, 3));
    trial_open(&trial, model, dataset, &options, BATCH, INK_STYLE_CPU);
    double before = trial_run(&trial, INK_SECTION_EVALUATE, 0, BATCH);
    ink_plan_set_float(trial.plan, INK_AVERAGE_REST, 0);
    trial_run(&trial, INK_SECTION_TRAIN, 0, BATCH);
    ck_assert_double_eq(trial_run(&trial, INK_SECTION_EVALUATE, 0, BATCH), before);
    ink_plan_set_float(trial.plan, INK_AVERAGE_REST, 1);
    trial_run(&trial, INK_SECTION_TRAIN, 0, BATCH);
    ck_assert(fabs(trial_run(&trial, INK_SECTION_EVALUATE, 0, BATCH) - before) > 0.01);
    trial_close(&trial);
    ink_model_destroy(&model);
    ink_dataset_destroy(&dataset);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("optimizer");
    TCase *all = tcase_create("optimizer");
    tcase_add_loop_test(all, updates_are_the_references, 0, CASES * STYLES * MODELS);
    tcase_add_test(all, only_what_is_asked_for_is_launched);
    tcase_add_test(all, the_average_is_evaluated);
    return run_case(suite, all);
}
