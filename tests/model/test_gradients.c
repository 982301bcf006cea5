/* The gradients of whole models against finite differences of their own loss: does each gradient find its way through
 * residual links, batch norm, strides, groups, pooling and activations, whatever is fused. What single operations
 * compute is held against tests/reference.h elsewhere, value by value.
 *
 * For each tensor of weights w with gradient g, and directions d of length 1, half along g and half random:
 *     F(h) = (loss(w + h d) - loss(w - h d)) / (2 h)  is to be  g . d
 * The losses, means of float32 numbers of 1 to 3, are off by some 5e-8, so F(h) by 5e-8 of what the loss changes over h.
 *
 * Smooth models (tanh, sigmoid, averages): h is such that the loss changes by about 0.01, so rounding takes 1e-5 of F.
 * F(h) is off by h^2 times a third derivative, (4 F(h / 2) - F(h)) / 3 by h^4 times a fifth (Richardson). Seen: up to
 * 1.4e-4 of |g|; allowed: 5e-4.
 *
 * Models with ReLU or maximum: of some thousand of them a few fall the other way within h, each with a jump in its
 * share of the slope, and the larger h, the more. So the loss is changed by 1.5e-4 only, where rounding takes about
 * 1e-3 of F and is all there is. Seen: up to 2e-3 of |g|; allowed: 1e-2. A lost tap, pixel, link or factor is more. */
#include <math.h>
#include <stdio.h>

#include "model/trial.h"
#include "suite.h"
#include "util/rng.h"

enum { BATCH = 12, RUN = 9, CLASSES = 5, MOST_LAYERS = 12, DIRECTIONS = 2 };

struct example {
    const char *name;
    struct ink_shape input;
    bool smooth;
    float label_smoothing;
    struct ink_layer layers[MOST_LAYERS]; /* ended by an op of NULL; a dense layer of CLASSES units is added */
};

#define FILTER(h, w) .filter_height = (h), .filter_width = (w)
#define STRIDE(h, w) .stride_height = (h), .stride_width = (w)

static const struct example examples[] = {
    {"strided, padded and dilated convolutions", {13, 11, 3}, true, 0, {
        {.op = "conv", .units = 7, FILTER(3, 2), STRIDE(2, 1), .padding = INK_EXPLICIT, .pad_top = 1, .pad_bottom = 2, .pad_right = 1, .activation = INK_TANH},
        {.op = "conv", .units = 9, FILTER(3, 3), .dilation_height = 2, .dilation_width = 1, .padding = INK_SAME, .activation = INK_SIGMOID},
        {.op = "conv", .units = 6, FILTER(2, 3), STRIDE(3, 2), .padding = INK_SAME, .no_bias = true, .activation = INK_TANH},
    }},
    {"grouped convolutions and average pooling", {9, 10, 4}, true, 0.1f, {
        {.op = "conv", .units = 12, FILTER(3, 3), .groups = 2, .activation = INK_TANH},
        {.op = "average_pool", FILTER(3, 2), STRIDE(2, 2), .padding = INK_SAME},
        {.op = "conv", .units = 12, FILTER(3, 3), .groups = 12, .padding = INK_SAME, .activation = INK_TANH},
        {.op = "conv", .units = 6, FILTER(1, 1), .groups = 3, .activation = INK_SIGMOID},
        {.op = "flatten"},
        {.op = "dense", .units = 17, .activation = INK_TANH},
    }},
    {"max pooling, ReLU and leaky ReLU", {12, 12, 2}, false, 0, {
        {.op = "conv", .units = 10, FILTER(3, 3), .activation = INK_RELU},
        {.op = "max_pool", FILTER(3, 3), STRIDE(2, 2), .padding = INK_SAME},
        {.op = "conv", .units = 8, FILTER(3, 3), .activation = INK_LEAKY_RELU, .slope = 0.2f},
        {.op = "global_average_pool"},
        {.op = "dense", .units = 16, .activation = INK_RELU},
    }},
    {"residual links", {8, 7, 3}, true, 0.1f, {
        {.op = "conv", .name = "a", .units = 8, FILTER(3, 3), .padding = INK_SAME, .activation = INK_TANH},
        {.op = "conv", .name = "b", .units = 8, FILTER(3, 3), .padding = INK_SAME},
        {.op = "add", .name = "ab", .other = "a", .activation = INK_SIGMOID},
        {.op = "conv", .name = "c", .units = 8, FILTER(3, 3), .padding = INK_SAME, .activation = INK_TANH},
        {.op = "add", .name = "cab", .other = "ab"},
        {.op = "add", .name = "caba", .other = "a", .activation = INK_TANH},
        {.op = "add", .name = "twice", .input = "caba", .other = "caba"},
        {.op = "average_pool", FILTER(2, 2)},
    }},
    {"batch norm", {9, 8, 2}, true, 0, {
        {.op = "conv", .units = 6, FILTER(3, 3), .no_bias = true},
        {.op = "batch_norm", .activation = INK_TANH},
        {.op = "conv", .units = 9, FILTER(3, 3), STRIDE(2, 2), .activation = INK_SIGMOID},
        {.op = "batch_norm", .epsilon = 1e-3f},
        {.op = "flatten"},
        {.op = "dense", .units = 8, .activation = INK_TANH}, /* without, batch norm would take off what beta adds */
        {.op = "batch_norm", .activation = INK_TANH},
    }},
    /* no ReLU before the first batch norm: a bias there has a small gradient of large parts, in which one jump shows */
    {"a residual block with batch norm", {8, 8, 4}, false, 0, {
        {.op = "conv", .name = "stem", .units = 8, FILTER(3, 3), .padding = INK_SAME, .activation = INK_TANH},
        {.op = "conv", .units = 8, FILTER(3, 3), STRIDE(2, 2), .padding = INK_SAME, .no_bias = true},
        {.op = "batch_norm", .activation = INK_RELU},
        {.op = "conv", .units = 8, FILTER(3, 3), .padding = INK_SAME, .no_bias = true},
        {.op = "batch_norm", .name = "main"},
        {.op = "conv", .name = "short", .input = "stem", .units = 8, FILTER(1, 1), STRIDE(2, 2)},
        {.op = "add", .other = "main", .activation = INK_RELU},
        {.op = "global_average_pool"},
    }},
    {"blocks whose sums normalise one operand and both", {8, 7, 3}, true, 0, {
        {.op = "conv", .units = 9, FILTER(3, 3), .padding = INK_SAME, .no_bias = true},
        {.op = "batch_norm", .name = "stem", .activation = INK_TANH},
        {.op = "conv", .units = 9, FILTER(3, 3), .padding = INK_SAME, .no_bias = true},
        {.op = "batch_norm"},
        {.op = "add", .name = "same", .other = "stem", .activation = INK_TANH},
        {.op = "conv", .units = 8, FILTER(3, 3), STRIDE(2, 2), .padding = INK_SAME, .no_bias = true},
        {.op = "batch_norm", .name = "main"},
        {.op = "conv", .input = "same", .units = 8, FILTER(1, 1), STRIDE(2, 2), .no_bias = true},
        {.op = "batch_norm", .epsilon = 1e-2f},
        {.op = "add", .other = "main", .activation = INK_SIGMOID},
    }},
    {"max pooling behind batch norm", {11, 9, 2}, false, 0, {
        {.op = "conv", .units = 6, FILTER(3, 3), .no_bias = true},
        {.op = "batch_norm", .activation = INK_RELU},
        {.op = "max_pool", FILTER(2, 2)}, /* of 9x7: a row and a column stay over */
        {.op = "conv", .units = 8, FILTER(2, 2), .activation = INK_TANH},
        {.op = "batch_norm", .activation = INK_TANH},
        {.op = "max_pool", FILTER(3, 1)},
        {.op = "dense", .units = 8, .activation = INK_TANH},
    }},
    {"activations on their own", {6, 6, 3}, true, 0, {
        {.op = "conv", .name = "a", .units = 8, FILTER(3, 3)},
        {.op = "activation", .name = "folded", .activation = INK_TANH},
        {.op = "conv", .name = "b", .units = 8, FILTER(3, 3), .padding = INK_SAME},
        {.op = "activation", .name = "shared", .activation = INK_SIGMOID}, /* b is read by the sum as well */
        {.op = "add", .name = "sum", .other = "b"},
        {.op = "activation", .name = "softmax", .activation = INK_SOFTMAX},
        {.op = "activation", .name = "again", .activation = INK_TANH},
    }},
};
enum { EXAMPLES = sizeof examples / sizeof *examples };

static struct ink_model *build(const struct example *example)
{
    struct ink_model *model = NULL;
    ck_ok(ink_model_create(example->input, &model));
    for (const struct ink_layer *layer = example->layers; layer->op; layer++)
        ck_ok(ink_model_add(model, layer));
    ck_ok(ink_model_add(model, &(struct ink_layer){.op = "dense", .units = CLASSES}));
    ck_ok(ink_model_initialise(model, 3));
    /* biases, gamma and beta off their starting values, at which a gradient may vanish */
    float *noise = malloc(model->trained_count * sizeof *noise);
    ink_random_uniform(4, 0, -0.1f, 0.1f, noise, model->trained_count);
    for (size_t i = 0; i < model->trained_count; i++)
        model->trained[i] += noise[i];
    free(noise);
    return model;
}

static ink_dataset *random_images(struct ink_shape shape)
{
    size_t count = BATCH * ink_shape_count(shape);
    uint8_t *images = malloc(count), labels[BATCH];
    for (size_t i = 0; i < count; i++) {
        uint32_t words[4];
        ink_random_words(5, 0, i, words);
        images[i] = (uint8_t)words[0];
    }
    for (int i = 0; i < BATCH; i++)
        labels[i] = (uint8_t)(i * 7 % CLASSES);
    ink_dataset *dataset = NULL;
    ck_ok(ink_dataset_create(images, labels, BATCH, shape, CLASSES, &dataset));
    free(images);
    return dataset;
}

/* The loss in training mode with count weights from w on moved by step * direction. */
static double loss_at(struct trial *trial, float *w, const double *direction, size_t count, double step)
{
    float *kept = malloc(count * sizeof *kept);
    for (size_t i = 0; i < count; i++) {
        kept[i] = w[i];
        w[i] = (float)((double)w[i] + step * direction[i]);
    }
    ck_ok(ink_plan_upload(trial->plan, trial->model));
    double loss = trial_run(trial, INK_SECTION_TRAIN, 0, RUN);
    for (size_t i = 0; i < count; i++)
        w[i] = kept[i];
    free(kept);
    return loss;
}

static double norm(const double *values, size_t count)
{
    double squares = 0;
    for (size_t i = 0; i < count; i++)
        squares += values[i] * values[i];
    return sqrt(squares);
}

/* direction: of length 1, the sum of unit vectors along g and along a random one. */
static void draw_direction(uint64_t stream, const float *g, size_t count, double *direction)
{
    float *random = malloc(count * sizeof *random);
    double *along = malloc(count * sizeof *along);
    ink_random_normal(6, stream, 1, random, count);
    for (size_t i = 0; i < count; i++) {
        along[i] = (double)g[i];
        direction[i] = (double)random[i];
    }
    double g_length = norm(along, count), length = norm(direction, count);
    for (size_t i = 0; i < count; i++)
        direction[i] = direction[i] / length + (g_length > 0 ? along[i] / g_length : 0);
    length = norm(direction, count);
    for (size_t i = 0; i < count; i++)
        direction[i] /= length;
    free(random);
    free(along);
}

static void check_tensor(struct trial *trial, const struct example *example, struct ink_tensor tensor, const float *g, uint64_t stream)
{
    double *direction = malloc(tensor.count * sizeof *direction), squares = 0, slope = 0;
    draw_direction(stream, g, tensor.count, direction);
    for (size_t i = 0; i < tensor.count; i++) {
        squares += (double)g[i] * (double)g[i];
        slope += (double)g[i] * direction[i];
    }
    ck_assert_msg(squares > 1e-8, "%s: the gradient of %s vanishes: nothing is tested", example->name, tensor.name);
    double change = example->smooth ? 1e-2 : 1.5e-4, tolerance = example->smooth ? 5e-4 : 1e-2;
    double h = fmin(change / fabs(slope), 5 * change), f[2];
    for (int k = 0; k < 2; k++, h /= 2)
        f[k] = (loss_at(trial, tensor.data, direction, tensor.count, h) - loss_at(trial, tensor.data, direction, tensor.count, -h)) / (2 * h);
    double found = example->smooth ? (4 * f[1] - f[0]) / 3 : f[0], error = fabs(found - slope) / sqrt(squares);
    ck_assert_msg(error <= tolerance, "%s: %s: the loss changes by %.6g, the gradient says %.6g: off by %.2g of its length, above %.2g",
                  example->name, tensor.name, found, slope, error, tolerance);
    free(direction);
}

static void check(const struct example *example, enum ink_style style)
{
    struct ink_model *model = build(example);
    ink_dataset *dataset = random_images(example->input);
    /* SGD with a rate of 0 leaves the weights alone */
    struct ink_train_options options = {.optimizer = INK_SGD, .label_smoothing = example->label_smoothing};
    struct trial trial;
    trial_open(&trial, model, dataset, &options, BATCH, style);
    trial_run(&trial, INK_SECTION_TRAIN, 0, RUN);
    float *gradients = malloc(model->trained_count * sizeof *gradients);
    ck_ok(ink_plan_gradients(trial.plan, gradients));
    for (size_t i = 0; i < ink_model_tensor_count(model); i++) {
        struct ink_tensor tensor;
        ck_ok(ink_model_tensor(model, i, &tensor));
        for (uint64_t d = 0; d < DIRECTIONS && tensor.trained; d++)
            check_tensor(&trial, example, tensor, gradients + (tensor.data - model->trained), i * DIRECTIONS + d);
    }
    free(gradients);
    trial_close(&trial);
    ink_model_destroy(&model);
    ink_dataset_destroy(&dataset);
}

START_TEST(gradients_are_slopes_of_the_loss_in_cpu_style) { check(&examples[_i], INK_STYLE_CPU); }
END_TEST

START_TEST(gradients_are_slopes_of_the_loss_in_gpu_style) { check(&examples[_i], INK_STYLE_GPU); }
END_TEST

int main(void)
{
    Suite *suite = suite_create("gradients");
    TCase *cases = tcase_create("gradients");
    tcase_add_loop_test(cases, gradients_are_slopes_of_the_loss_in_cpu_style, 0, EXAMPLES);
    tcase_add_loop_test(cases, gradients_are_slopes_of_the_loss_in_gpu_style, 0, EXAMPLES);
    return run_case(suite, cases);
}
