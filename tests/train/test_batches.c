/* Training with a validation split, and with batches of other kinds than the plain ones, against the same done by hand. */
#include <math.h>
#include <string.h>

#include "data/dataset.h"
#include "model/trial.h"
#include "suite.h"
#include "train/sampler.h"
#include "train/train.h"
#include "util/rng.h"

enum { SIDE = 6, PIXELS = SIDE * SIDE, CLASSES = 3, COUNT = 90, BATCH = 10, MOST_EPOCHS = 30 };

/* Noise, brighter by brighter in a third of the rows that tells the class; classes of 15, 30 and 45 samples. */
static ink_dataset *make_data(uint32_t brighter)
{
    static uint8_t images[COUNT * PIXELS], labels[COUNT];
    ink_dataset *dataset = NULL;
    for (uint32_t i = 0; i < COUNT * PIXELS; i++) {
        uint32_t words[4], sample = i / PIXELS;
        ink_random_words(4, 1, i, words);
        labels[sample] = (uint8_t)(sample % 6 == 0 ? 0 : sample % 6 < 3 ? 1 : 2);
        images[i] = (uint8_t)(words[0] % 100 + (i % PIXELS / 12 == labels[sample] ? brighter : 0));
    }
    ck_ok(ink_dataset_create(images, labels, COUNT, (struct ink_shape){SIDE, SIDE, 1}, CLASSES, &dataset));
    return dataset;
}

static ink_dataset *pick(const ink_dataset *data, const uint32_t *numbers, size_t count)
{
    static uint8_t images[COUNT * PIXELS], labels[COUNT];
    ink_dataset *picked = NULL;
    for (size_t i = 0; i < count; i++) {
        memcpy(images + i * PIXELS, ink_dataset_image(data, numbers[i]), PIXELS);
        labels[i] = (uint8_t)ink_dataset_label(data, numbers[i]);
    }
    ck_ok(ink_dataset_create(images, labels, count, (struct ink_shape){SIDE, SIDE, 1}, CLASSES, &picked));
    return picked;
}

static ink_model *make_model(void)
{
    ink_model *model = NULL;
    ck_ok(ink_model_parse("input 6x6x1\nconv 4 3x3 relu\nbatch_norm\ndense 8 relu\ndense 3 softmax\n", &model));
    ck_ok(ink_model_initialise(model, 3));
    return model;
}

struct seen {
    int epochs, best;
    struct ink_progress all[MOST_EPOCHS];
};

static bool watch(const struct ink_progress *progress, void *user)
{
    struct seen *seen = user;
    if (progress->epoch_end) {
        seen->best = progress->best_epoch;
        seen->all[seen->epochs++] = *progress;
    }
    return true;
}

/* The split takes no part in training: the weights are those of training on the rest alone. What is told of it is what an evaluation
 * of these samples gives. */
START_TEST(the_split_is_kept_apart)
{
    ink_dataset *data = make_data(60);
    ink_model *model = make_model(), *alone = make_model();
    struct seen seen = {0}, seen_alone = {0};
    struct ink_train_options options, given = {.epochs = 3, .batch = BATCH, .seed = 5, .validation = 0.2, .progress = watch, .user = &seen};
    struct ink_sampler sampler;
    struct ink_metrics metrics;
    ck_ok(ink_train_defaults(&given, &options));
    ck_ok(ink_sampler_create(data, &options, &sampler));
    ink_dataset *kept = pick(data, sampler.kept, sampler.kept_count), *apart = pick(data, sampler.apart, sampler.apart_count);
    ck_ok(ink_train(model, test_device(), data, kept, &given, NULL, NULL));
    given.validation = 0;
    given.user = &seen_alone;
    ck_ok(ink_train(alone, test_device(), kept, kept, &given, NULL, NULL));
    ck_assert_mem_eq(model->trained, alone->trained, model->trained_count * sizeof(float));
    ck_assert_mem_eq(model->state, alone->state, model->state_count * sizeof(float));
    ck_ok(ink_evaluate(model, test_device(), apart, NULL, NULL, &metrics));
    const struct ink_progress *last = &seen.all[2], *last_alone = &seen_alone.all[2];
    ck_assert(last->has_validation && !last_alone->has_validation);
    ck_assert_uint_eq(last->samples, sampler.kept_count);
    ck_assert_double_eq_tol(last->validation_loss, metrics.loss, 1e-6); /* other batches: a float's rounding */
    ck_assert_double_eq(last->validation_accuracy, metrics.accuracy);
    ck_assert_double_eq(last->loss, last_alone->loss);
    ck_assert_double_eq(last->test_loss, last_alone->test_loss);
    ck_assert_double_gt(fabs(last->validation_loss - last->test_loss), 1e-4);
    ink_sampler_destroy(&sampler);
    ink_dataset_destroy(&data);
    ink_dataset_destroy(&kept);
    ink_dataset_destroy(&apart);
    ink_model_destroy(&model);
    ink_model_destroy(&alone);
}
END_TEST

/* On noise the loss of what is trained on, here also the test set, goes down, and that of the split goes up. */
START_TEST(the_split_is_what_is_monitored)
{
    ink_dataset *data = make_data(0);
    for (int split = 0; split < 2; split++) {
        ink_model *model = make_model();
        struct seen seen = {0};
        struct ink_train_options options = {.epochs = MOST_EPOCHS, .batch = BATCH, .seed = 5, .learning_rate = 0.003, .patience = 4, .progress = watch,
                                            .user = &seen, .validation = split ? 0.3 : 0};
        int best = 1;
        ck_ok(ink_train(model, test_device(), data, data, &options, NULL, NULL));
        for (int i = 2; i <= seen.epochs && split; i++)
            if (seen.all[i - 1].validation_loss < seen.all[best - 1].validation_loss * (1 - 1e-4))
                best = i;
        ck_assert_int_eq(seen.epochs, split ? best + 4 : MOST_EPOCHS);
        ck_assert_int_lt(seen.epochs, split ? MOST_EPOCHS : MOST_EPOCHS + 1);
        if (split)
            ck_assert_int_eq(seen.best, best);
        ink_model_destroy(&model);
    }
    ink_dataset_destroy(&data);
}
END_TEST

/* Steps by hand in plans made for the batch of each epoch alone: batches of 10, 20, 40 and 45. A plan for the largest sums in other
 * orders, for tens of steps: 1e-5. */
START_TEST(batches_grow)
{
    ink_dataset *data = make_data(60);
    ink_model *model = make_model(), *by_hand = make_model();
    struct seen seen = {0};
    struct ink_train_options options, given = {.epochs = 4, .batch = BATCH, .batch_to = 45, .optimizer = INK_SGD, .learning_rate = 0.05, .seed = 5,
                                               .schedule = INK_SCHEDULE_STEP, .step_size = 2, .gamma = 0.25, .progress = watch, .user = &seen};
    static const size_t steps[] = {9, 5, 3, 2};
    struct ink_sampler sampler;
    ck_ok(ink_train_defaults(&given, &options));
    ck_ok(ink_train(model, test_device(), data, NULL, &given, NULL, NULL));
    ck_ok(ink_sampler_create(data, &options, &sampler));
    for (int epoch = 1; epoch <= 4; epoch++) {
        int batch = ink_epoch_batch(&options, COUNT, epoch);
        struct trial trial;
        trial_open(&trial, by_hand, data, &options, batch, INK_STYLE_AUTO);
        trial.options.learning_rate = epoch > 2 ? 0.0125 : 0.05;
        ck_ok(ink_feed_order(&trial.feed, &sampler, epoch));
        for (int start = 0; start < COUNT; start += batch)
            trial_run(&trial, INK_SECTION_TRAIN, start, batch < COUNT - start ? batch : COUNT - start);
        ck_ok(ink_plan_download(trial.plan, by_hand));
        ck_assert_uint_eq(seen.all[epoch - 1].steps, steps[epoch - 1]);
        ck_assert_double_eq(seen.all[epoch - 1].learning_rate, trial.options.learning_rate);
        trial_close(&trial);
    }
    for (size_t i = 0; i < model->trained_count; i++)
        ck_assert_float_eq_tol(model->trained[i], by_hand->trained[i], 1e-5f);
    ink_sampler_destroy(&sampler);
    ink_dataset_destroy(&data);
    ink_model_destroy(&model);
    ink_model_destroy(&by_hand);
}
END_TEST

int main(void) RUN_SUITE("batches", the_split_is_kept_apart, the_split_is_what_is_monitored, batches_grow)
