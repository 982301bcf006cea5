/* Chains: which launches become one, and that one does what they do by themselves. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/trial.h"
#include "suite.h"

enum { IMAGES = 14, FEW = INK_CHAIN_SAMPLES, SIDE = 12, CHANNELS = 16 };

static ink_model *model;
static struct trial trial;

static const struct ink_launches *open_trial(const char *text, const ink_dataset *dataset, int batch, enum ink_style style, bool apart)
{
    static const struct ink_train_options train = {.optimizer = INK_SGD, .learning_rate = 0.1};
    ck_ok(ink_model_parse(text, &model));
    ck_ok(ink_model_initialise(model, 3));
    test_fill(2, 0.25f, 2, model->state, model->state_count);
    (apart ? trial_open_unbundled : trial_open)(&trial, model, dataset, &train, batch, style);
    return ink_plan_launches(trial.plan, INK_SECTION_EVALUATE);
}

static void close_trial(void)
{
    trial_close(&trial);
    ink_model_destroy(&model);
}

/* Labels of launches, those of chains in brackets, constant ones with a star. Winograd transforms are F, whatever the tile: that depends on the
 * vectors of the device. */
static const char *describe(const struct ink_launches *list)
{
    static char text[1000];
    *text = 0;
    for (int i = 0; i < list->count; i++) {
        const struct ink_launch *launch = &list->launches[i], *stages = launch->stages ? launch->stages : launch;
        int count = launch->stages ? launch->stage_count : 1;
        size_t at = strlen(text);
        snprintf(text + at, sizeof text - at, "%s%s%s", i ? ", " : "", launch->stages ? "[" : "", launch->constant ? "*" : "");
        for (int s = 0; s < count; s++)
            at = strlen(text), snprintf(text + at, sizeof text - at, "%s%s", s ? ", " : "", stages[s].label);
        at = strlen(text), snprintf(text + at, sizeof text - at, "%s", launch->stages ? "]" : "");
    }
    for (char *tile = text; (tile = strstr(tile, "F(")); tile++)
        memmove(tile + 1, strchr(tile, ')') + 1, strlen(strchr(tile, ')')));
    return text;
}

START_TEST(small_launches_of_an_evaluation_become_one)
{
    static const char *const text = "input 12x12x16\nconv 32 3x3 relu\nmax_pool 2x2\nconv 8 1x1\nbatch_norm tanh\ndense 3\n";
    ink_dataset *dataset = trial_dataset(IMAGES, (struct ink_shape){SIDE, SIDE, CHANNELS});
    ck_assert_str_eq(describe(open_trial(text, dataset, 1, INK_STYLE_CPU, false)),
                     "*conv1 transform of weights, *batch_norm1 folded into the weights before it, [gather batch, conv1 forward F, "
                     "conv2 forward direct, dense1 forward direct, softmax cross-entropy]");
    const struct ink_launches *training = ink_plan_launches(trial.plan, INK_SECTION_TRAIN);
    for (int i = 0; i < training->count; i++)
        ck_assert(training->launches[i].joint != INK_CHAIN || training->launches[i].block);
    close_trial();
    static const struct { int batch; enum ink_style style; } whole[] = {{FEW + 1, INK_STYLE_CPU}, {1, INK_STYLE_GPU}};
    for (int k = 0; k < 2; k++) {
        const struct ink_launches *list = open_trial(text, dataset, whole[k].batch, whole[k].style, false);
        for (int i = 0; i < list->count; i++) /* but for some samples at a time */
            ck_assert_msg(!list->launches[i].stages || list->launches[i].block, "%s", describe(list));
        close_trial();
    }
    ink_dataset_destroy(&dataset);
}
END_TEST

START_TEST(large_launches_stay_by_themselves)
{
    ink_dataset *dataset = trial_dataset(IMAGES, (struct ink_shape){SIDE, SIDE, CHANNELS});
    /* 2.8 million operations directly, and 0.3 MiB of weights: small by Winograd's algorithm */
    ck_assert_str_eq(describe(open_trial("input 12x12x16\nconv 96 3x3\nglobal_average_pool\ndense 3\n", dataset, 1, INK_STYLE_CPU, false)),
                     "*conv1 transform of weights, [gather batch, conv1 forward F, global_average_pool1 forward, dense1 forward direct, "
                     "softmax cross-entropy]");
    close_trial();
    ck_assert_str_eq(describe(open_trial("input 12x12x16\ndense 1000\ndense 3\n", dataset, 1, INK_STYLE_CPU, false)), /* 9 MiB of weights */
                     "gather batch, dense1 forward direct, [dense2 forward direct, softmax cross-entropy]");
    close_trial();
    ck_assert_str_eq(describe(open_trial("input 12x12x16\nconv 4 3x3\ndense 1000 relu\nconv 3 1x1\ndense 3\n", dataset, 2, INK_STYLE_CPU, false)),
                     "[gather batch, conv1 forward direct], dense1 forward direct, [conv2 forward direct, dense2 forward direct, softmax cross-entropy]");
    close_trial();
    ink_dataset_destroy(&dataset);
}
END_TEST

/* The losses of all images, a batch at a time, the last of them short; the number of chains. */
static int run(const char *text, const ink_dataset *dataset, int batch, bool apart, float losses[IMAGES])
{
    const struct ink_launches *list = open_trial(text, dataset, batch, INK_STYLE_CPU, apart);
    int chains = 0;
    for (int i = 0; i < list->count; i++)
        chains += list->launches[i].stages != NULL;
    for (int start = 0; start < IMAGES; start += batch)
        trial_run(&trial, INK_SECTION_EVALUATE, start, start + batch < IMAGES ? batch : IMAGES - start);
    memcpy(losses, trial.feed.host_losses, IMAGES * sizeof *losses);
    close_trial();
    return chains;
}

/* Held against whole batches that are not chained. Other tiles and algorithms are taken for them, so sums are rounded otherwise, those of Winograd by
 * up to 1e-5 of the rms of a layer; losses are about 1. */
static void check_all(const char *text)
{
    float wanted[IMAGES], got[IMAGES];
    ink_dataset *dataset = trial_dataset(IMAGES, (struct ink_shape){SIDE, SIDE, CHANNELS});
    ck_assert_int_eq(run(text, dataset, IMAGES, true, wanted), 0);
    ck_assert_msg(fabsf(wanted[0] - wanted[3]) > 1e-3f, "losses are alike: nothing is tested");
    for (int batch = 1; batch <= FEW; batch++) { /* the last of 3 and 4 are short */
        ck_assert_int_ge(run(text, dataset, batch, false, got), 1);
        for (int i = 0; i < IMAGES; i++)
            ck_assert_msg(fabsf(got[i] - wanted[i]) <= 1e-4f, "%s\nbatch %d, image %d: loss %.8g, not %.8g", text, batch, i, (double)got[i], (double)wanted[i]);
    }
    ink_dataset_destroy(&dataset);
}

static const char *const models[] = {
    "input 12x12x16\nconv 32 3x3 relu\nmax_pool 2x2\nconv 9 3x3 pad=same sigmoid\nflatten\ndense 17 tanh\ndense 3\n",
    "input 12x12x16\nconv 16 5x5 pad=same groups=2 relu\nmax_pool 3x3 stride=2 pad=same\nbatch_norm leaky_relu slope=0.1 epsilon=0.7\naverage_pool 2x2\nconv 20 2x2 "
    "dilation=2\nglobal_average_pool\ndropout 0.3\ndense 3\n",
    "input 12x12x16\na: conv 8 3x3 stride=2 pad=same\nb: conv 8 1x1 stride=2 from=input\nadd with=a relu\nbatch_norm\nmax_pool 2x2\nsoftmax\nconv 32 3x3 "
    "pad=same\ndense 3 softmax\n",
};

START_TEST(chains_give_what_launches_give)
{
    for (size_t m = 0; m < sizeof models / sizeof *models; m++)
        check_all(models[m]);
}
END_TEST

/* More values than a kernel is given: a chain ends there and another begins. */
START_TEST(chain_of_too_many_values_is_divided)
{
    char text[4000] = "input 12x12x16\n";
    float losses[IMAGES];
    ink_dataset *dataset = trial_dataset(IMAGES, (struct ink_shape){SIDE, SIDE, CHANNELS});
    for (int i = 0; i < 30; i++)
        strcat(text, "dense 7 tanh\n");
    strcat(text, "dense 3\n");
    ck_assert_int_eq(run(text, dataset, 2, false, losses), 2);
    check_all(text);
    ink_dataset_destroy(&dataset);
}
END_TEST

int main(void)
RUN_SUITE("chain", small_launches_of_an_evaluation_become_one, large_launches_stay_by_themselves, chains_give_what_launches_give,
          chain_of_too_many_values_is_divided)
