/* Evaluation of a model over a data set, and prediction of single images. */
#include <stdlib.h>

#include "data/dataset.h"
#include "train/feed.h"
#include "train/tune.h"

enum { USUAL_BATCH = 128, LARGEST_BATCH = 1 << 20 };

static ink_status check_batch(int batch)
{
    if (batch < 0 || batch > LARGEST_BATCH)
        return ink_fail(INK_ERROR_ARGUMENT, "batch is %d; it must be 1 to %d, or 0 for %d", batch, LARGEST_BATCH, USUAL_BATCH);
    return INK_OK;
}

ink_status ink_evaluate(ink_model *model, ink_device *device, const ink_dataset *dataset, const struct ink_evaluate_options *options,
                        float *probabilities, struct ink_metrics *metrics)
{
    struct ink_plan *plan = NULL;
    struct ink_feed feed = {0};
    struct ink_choices choices = {0};
    struct ink_metrics result;
    struct ink_plan_options how = {.batch = options && options->batch ? options->batch : USUAL_BATCH, .classes = dataset->classes,
                                   .probabilities = probabilities != NULL, .algorithms = options ? options->algorithms : NULL};
    int columns = probabilities ? ink_model_output(model).channels : 0;
    INK_TRY(check_batch(how.batch));
    INK_TRY(ink_feed_check(model, dataset->shape));
    if ((size_t)how.batch > dataset->count)
        how.batch = (int)dataset->count;
    bool tuned = options && options->tune;
    ink_status status = tuned ? ink_tune_open(device, &choices) : INK_OK;
    how.choose = tuned ? ink_choices_choose : NULL;
    how.choose_user = &choices;
    if (!status)
        status = ink_plan_create(device, model, &how, &plan);
    if (!status)
        status = ink_feed_load(device, dataset, columns, &feed);
    if (!status)
        status = ink_feed_evaluate(&feed, plan, dataset, how.batch, &result);
    if (!status)
        status = ink_buffer_read(device, feed.probabilities, 0, probabilities, dataset->count * (size_t)columns * sizeof *probabilities);
    ink_plan_destroy(&plan);
    ink_feed_destroy(&feed);
    ink_choices_free(&choices);
    if (!status && metrics)
        *metrics = result;
    return status;
}

struct ink_predictor {
    struct ink_plan *plan;
    struct ink_feed feed; /* room for one batch */
    int batch, classes;
    bool quick;           /* a batch takes but a moment: one chain */
};

static bool is_quick(const struct ink_launches *list)
{
    int chains = 0, rest = 0;
    for (int i = 0; i < list->count; i++) {
        bool chain = list->launches[i].joint == INK_CHAIN && !list->launches[i].block;
        chains += chain;
        rest += !chain && !list->launches[i].constant;
    }
    return chains == 1 && rest == 0;
}

ink_status ink_predictor_create(ink_model *model, ink_device *device, int batch, ink_predictor **out)
{
    struct ink_shape output = ink_model_output(model);
    INK_TRY(check_batch(batch));
    struct ink_predictor *predictor = calloc(1, sizeof *predictor);
    if (!predictor)
        return ink_fail_memory(sizeof *predictor);
    predictor->batch = batch ? batch : USUAL_BATCH;
    predictor->classes = output.channels;
    struct ink_plan_options how = {.batch = predictor->batch, .classes = predictor->classes, .probabilities = true};
    ink_status status = ink_plan_create(device, model, &how, &predictor->plan);
    if (!status)
        status = ink_feed_create(device, (size_t)predictor->batch, ink_shape_count(model->input), predictor->classes, &predictor->feed);
    if (!status)
        status = ink_feed_order(&predictor->feed, NULL, 0);
    if (!status)
        status = ink_feed_bind(&predictor->feed, predictor->plan, INK_SECTION_EVALUATE);
    if (status) {
        ink_predictor_destroy(&predictor);
        return status;
    }
    predictor->quick = is_quick(ink_plan_launches(predictor->plan, INK_SECTION_EVALUATE));
    *out = predictor;
    return status;
}

void ink_predictor_destroy(ink_predictor **predictor)
{
    if (!predictor || !*predictor)
        return;
    ink_plan_destroy(&(*predictor)->plan);
    ink_feed_destroy(&(*predictor)->feed);
    free(*predictor);
    *predictor = NULL;
}

/* One batch: three commands in a row, and a single wait at their end. */
static ink_status predict_batch(ink_predictor *predictor, const uint8_t *images, size_t n, float *probabilities)
{
    struct ink_feed *feed = &predictor->feed;
    INK_TRY(ink_buffer_write_begin(feed->device, feed->images, 0, images, n * feed->sample_bytes));
    INK_TRY(ink_plan_run(predictor->plan, INK_SECTION_EVALUATE, 0, (int)n, NULL));
    size_t bytes = n * (size_t)predictor->classes * sizeof *probabilities;
    return predictor->quick ? ink_buffer_read_awake(feed->device, feed->probabilities, 0, probabilities, bytes)
                            : ink_buffer_read(feed->device, feed->probabilities, 0, probabilities, bytes);
}

ink_status ink_predictor_run(ink_predictor *predictor, const uint8_t *images, size_t count, float *probabilities)
{
    size_t sample_bytes = predictor->feed.sample_bytes, classes = (size_t)predictor->classes;
    for (size_t done = 0, n; done < count; done += n) {
        n = count - done < (size_t)predictor->batch ? count - done : (size_t)predictor->batch;
        ink_status status = predict_batch(predictor, images + done * sample_bytes, n, probabilities + done * classes);
        if (status) {
            clFinish(predictor->feed.device->queue); /* the images are the caller's again */
            return status;
        }
    }
    return INK_OK;
}

ink_status ink_predict(ink_model *model, ink_device *device, const uint8_t *images, size_t count, float *probabilities)
{
    ink_predictor *predictor = NULL;
    INK_TRY(ink_predictor_create(model, device, count && count < USUAL_BATCH ? (int)count : 0, &predictor));
    ink_status status = ink_predictor_run(predictor, images, count, probabilities);
    ink_predictor_destroy(&predictor);
    return status;
}
