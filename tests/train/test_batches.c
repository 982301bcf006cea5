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

/* A layer of weights alone, W[4][3], over seven images of four pixels, one step of SGD at a rate of 1 over all: loss and gradient from
 * PyTorch 2.15 in float64,
 *
 *   x, y = torch.tensor(few_images).reshape(7, 4) / 255, torch.tensor(few_labels)
 *   w = torch.tensor([[(i * 3 + c * 5) % 7 * 0.25 - 0.75 for c in range(3)] for i in range(4)], requires_grad=True)
 *   loss = torch.nn.functional.cross_entropy(x @ w, y, weight=torch.tensor(weights), label_smoothing=smoothing)
 */
enum { FEW = 7, WEIGHTS = 12 };
static const uint8_t few_images[FEW * 4] = {255, 0, 51, 102, 0, 204, 153, 0, 51, 51, 255, 204, 102, 255, 0, 51, 204, 153, 102, 255, 153, 102, 204, 0, 0, 255, 255, 51};
static const uint8_t few_labels[FEW] = {0, 2, 2, 1, 2, 0, 2};
static const struct {
    const char *weights;
    double smoothing, loss, gradient[WEIGHTS];
} weightings[] = {
    {"1,2,0.5", 0, 1.335891608606512,
     {-0.162876844, 0.0141297407, 0.148747104, 0.0977568961, -0.213501311, 0.115744415, -0.0203829324, 0.108713057, -0.0883301247, 0.00659821894,
      0.00345908883, -0.0100573078}},
    {"1,2,0.5", 0.2, 1.4336499006927745,
     {-0.138189482, -0.0203069677, 0.15849645, 0.0831664606, -0.229777737, 0.146611277, -0.00379140168, 0.0338091915, -0.0300177898, 0.00348896521,
      -0.0331140708, 0.0296251056}},
    {"balanced", 0, 1.3358916086065118, /* weight=[7 / (3 * 2), 7 / (3 * 1), 7 / (3 * 4)] */
     {-0.162876844, 0.0141297407, 0.148747104, 0.0977568961, -0.213501311, 0.115744415, -0.0203829324, 0.108713057, -0.0883301247, 0.00659821894,
      0.00345908883, -0.0100573078}},
    {"0,3,1", 0.1, 1.2636004120950468,
     {0.0697952517, -0.131157829, 0.0613625777, 0.220232951, -0.303975651, 0.0837427007, 0.178832999, 0.0288675459, -0.207700545, 0.10403012,
      -0.0447048522, -0.0593252679}},
};

static ink_dataset *make_few(void)
{
    ink_dataset *data = NULL;
    ck_ok(ink_dataset_create(few_images, few_labels, FEW, (struct ink_shape){2, 2, 1}, CLASSES, &data));
    return data;
}

static ink_model *make_linear(void)
{
    ink_model *model = NULL;
    ck_ok(ink_model_parse("input 2x2x1\ndense 3 bias=no\n", &model));
    for (int i = 0; i < WEIGHTS; i++)
        model->trained[i] = (float)((i / 3 * 3 + i % 3 * 5) % 7) * 0.25f - 0.75f;
    return model;
}

START_TEST(class_weights_are_pytorchs)
{
    ink_dataset *data = make_few();
    for (size_t k = 0; k < sizeof weightings / sizeof *weightings; k++) {
        ink_model *model = make_linear(), *start = make_linear();
        struct seen seen = {0};
        struct ink_train_options options = {.epochs = 1, .batch = FEW, .optimizer = INK_SGD, .learning_rate = 1, .label_smoothing = weightings[k].smoothing,
                                            .class_weights = weightings[k].weights, .progress = watch, .user = &seen};
        ck_ok(ink_train(model, test_device(), data, NULL, &options, NULL, NULL));
        ck_assert_double_eq_tol(seen.all[0].loss, weightings[k].loss, 1e-6); /* floats near 1 */
        for (int i = 0; i < WEIGHTS; i++)
            ck_assert_double_eq_tol((double)start->trained[i] - (double)model->trained[i], weightings[k].gradient[i], 3e-7);
        ink_model_destroy(&model);
        ink_model_destroy(&start);
    }
    ink_dataset_destroy(&data);
}
END_TEST

/* One step by hand, in double precision, without smoothing; gives the sum of weighted losses and what they are divided by. */
static double step_by_hand(double w[WEIGHTS], const double weights[CLASSES], const uint32_t *samples, size_t count, double rate, double *weight)
{
    double gradient[WEIGHTS] = {0}, loss = 0, sum = 0;
    for (size_t s = 0; s < count; s++) {
        const uint8_t *x = few_images + 4 * samples[s];
        double p[CLASSES] = {0}, total = 0, of = weights[few_labels[samples[s]]];
        for (int c = 0; c < CLASSES; c++) {
            for (int i = 0; i < 4; i++)
                p[c] += x[i] / 255.0 * w[3 * i + c];
            total += p[c] = exp(p[c]);
        }
        for (int c = 0; c < CLASSES; c++)
            for (int i = 0; i < 4; i++)
                gradient[3 * i + c] += of * (p[c] / total - (c == few_labels[samples[s]])) * x[i] / 255.0;
        loss -= of * log(p[few_labels[samples[s]]] / total);
        sum += of;
    }
    for (int i = 0; i < WEIGHTS && sum > 0; i++)
        w[i] -= rate * gradient[i] / sum;
    *weight += sum;
    return loss;
}

/* Batches of two and a last one of one, each divided by its own weight; of which one is 0 where class 2 weighs nothing. */
START_TEST(every_batch_has_its_own_weight)
{
    static const struct { const char *text; double weights[CLASSES]; } ways[] = {{"0.25,2,0.7", {0.25, 2, 0.7}}, {"1,1,0", {1, 1, 0}}};
    ink_dataset *data = make_few();
    for (int k = 0; k < 2; k++) {
        ink_model *model = make_linear();
        struct seen seen = {0};
        struct ink_train_options options = {.epochs = 5, .batch = 2, .optimizer = INK_SGD, .learning_rate = 0.5, .seed = 4, .class_weights = ways[k].text,
                                            .progress = watch, .user = &seen};
        struct ink_sampler sampler;
        double w[WEIGHTS];
        for (int i = 0; i < WEIGHTS; i++)
            w[i] = (double)model->trained[i];
        ck_ok(ink_train(model, test_device(), data, NULL, &options, NULL, NULL));
        ck_ok(ink_sampler_create(data, &options, &sampler));
        for (int epoch = 1; epoch <= 5; epoch++) {
            uint32_t order[FEW];
            double loss = 0, weight = 0;
            ck_ok(ink_sampler_order(&sampler, epoch, order));
            for (size_t start = 0; start < FEW; start += 2)
                loss += step_by_hand(w, ways[k].weights, order + start, FEW - start < 2 ? 1 : 2, 0.5, &weight);
            ck_assert_double_eq_tol(seen.all[epoch - 1].loss, loss / weight, 1e-6);
        }
        for (int i = 0; i < WEIGHTS; i++) /* roundings of 20 steps */
            ck_assert_double_eq_tol((double)model->trained[i], w[i], 3e-6);
        ink_sampler_destroy(&sampler);
        ink_model_destroy(&model);
    }
    ink_dataset_destroy(&data);
}
END_TEST

START_TEST(wrong_class_weights_are_told)
{
    static const char *const wrong[] = {"", "balance", "1,2,", "1,,2", "1 2 3", "-1,1,1", "nan,1,1", "1,inf,1", "0,0,0", "1;2;3"};
    ink_dataset *data = make_few();
    ink_model *model = make_linear();
    struct ink_train_options options = {.epochs = 1};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        options.class_weights = wrong[i];
        ck_fails(ink_train(model, test_device(), data, NULL, &options, NULL, NULL), INK_ERROR_ARGUMENT, "it must be \"balanced\", or from 0 to 1e6");
        ck_assert_ptr_nonnull(strstr(ink_last_error(), wrong[i]));
    }
    options.class_weights = "1,2";
    ck_fails(ink_train(model, test_device(), data, NULL, &options, NULL, NULL), INK_ERROR_ARGUMENT, "class_weights has 2 weights, and the data 3 classes");
    ink_model_destroy(&model);
    ink_dataset_destroy(&data);
}
END_TEST

int main(void) RUN_SUITE("batches", the_split_is_kept_apart, the_split_is_what_is_monitored, batches_grow, class_weights_are_pytorchs,
                         every_batch_has_its_own_weight, wrong_class_weights_are_told)
