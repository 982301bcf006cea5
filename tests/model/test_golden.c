/* Whole models against PyTorch: with the weights of the golden files, the losses, logits and every gradient of a batch
 * of MNIST, and the losses of the first training steps. The files, and how they came to be: tests/golden/make_reference.py. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/safetensors.h"
#include "model/trial.h"
#include "reference.h"
#include "suite.h"

enum { BATCH = 32, MOST_STEPS = 20, CLASSES = 10 };

/* Rounding errors add up as variances along the way of a number, and so do the terms of the sums it goes through: the
 * sums of one forward and one backward pass, and at the end that of a weight's gradient over samples and pixels.
 * Batch norm's statistics are such sums too. */
enum {
    REFERENCE_CHAIN = 2 * (9 + 288 + 576 + 576 + 64) + CLASSES,
    MIXED_CHAIN = 2 * (25 + 36 + 9 + 72 + 36 + 12) + 4 * BATCH * (14 * 14 + 6 * 6) + CLASSES,
};

/* A mean loss is one number, not the worst of many. It is near log(10), and float32 keeps each sample's to about 1e-7
 * of that; the steps before it add what make_reference.py finds: 2e-6 for the reference model with Adam in runs with
 * 2.5 times the rounding errors of float32, hardly any for the mixed model. */
static const double first_loss = 1e-6, reference_losses = 1e-5, mixed_losses = 1e-6;

/* What rounding errors of a plan's training step may be beside those of direct sums. */
static double error_factor(const struct trial *trial)
{
    const struct ink_launches *list = ink_plan_launches(trial->plan, trial->options.micro_batch ? INK_SECTION_GRADIENTS : INK_SECTION_TRAIN);
    double factor = 1;
    for (int i = 0; i < list->count; i++)
        factor = fmax(factor, list->launches[i].error_factor);
    return factor;
}

static struct ink_safetensors *open_golden(const char *name)
{
    char path[1024];
    struct ink_safetensors *file = NULL;
    snprintf(path, sizeof path, "%s/%s", INK_TEST_GOLDEN, name);
    ck_ok(ink_safetensors_read(path, &file));
    return file;
}

/* The values of a tensor as doubles; free() them. */
static double *golden(const struct ink_safetensors *file, const char *name, size_t count)
{
    const struct ink_safetensors_tensor *tensor = ink_safetensors_find(file, name);
    ck_assert_msg(tensor != NULL, "%s: no tensor %s", file->path, name);
    ck_assert_msg(tensor->count == count, "%s: %s has %zu values, not %zu", file->path, name, tensor->count, count);
    float *values = malloc(count * sizeof *values);
    double *wide = malloc(count * sizeof *wide);
    ck_ok(ink_safetensors_floats(file, tensor, values));
    for (size_t i = 0; i < count; i++)
        wide[i] = (double)values[i];
    free(values);
    return wide;
}

/* Copies a file's weights into a model; shapes must agree. */
static void fill(struct ink_model *model, const struct ink_safetensors *file)
{
    for (size_t i = 0; i < ink_model_tensor_count(model); i++) {
        struct ink_tensor to;
        ck_ok(ink_model_tensor(model, i, &to));
        const struct ink_safetensors_tensor *from = ink_safetensors_find(file, to.name);
        if (!to.trained)
            continue;
        ck_assert_msg(from != NULL, "%s: no tensor %s", file->path, to.name);
        ck_assert_msg(from->rank == to.rank, "%s: %s has %d dimensions", file->path, to.name, from->rank);
        for (int d = 0; d < to.rank; d++)
            ck_assert_msg(from->dims[d] == (size_t)to.dims[d], "%s: dimension %d of %s differs", file->path, d, to.name);
        ck_ok(ink_safetensors_floats(file, from, to.data));
    }
}

/* The training data's first samples, all in file order. */
static ink_dataset *mnist(void)
{
    ink_dataset *dataset = NULL;
    ck_ok(ink_dataset_load(INK_TEST_DATA "/mnist", INK_TRAIN, BATCH * MOST_STEPS, &dataset));
    return dataset;
}

static struct ink_model *reference_model(const ink_dataset *dataset, const struct ink_safetensors *file)
{
    struct ink_model *model = NULL;
    ck_ok(ink_model_create_reference(ink_dataset_shape(dataset), CLASSES, &model));
    fill(model, file);
    return model;
}

/* As class Mixed of make_reference.py describes it. */
static struct ink_model *mixed_model(const ink_dataset *dataset, const struct ink_safetensors *file)
{
    const struct ink_layer layers[] = {
        {.op = "conv", .name = "stem", .units = 8, .filter_height = 5, .filter_width = 5, .stride_height = 2, .stride_width = 2,
         .padding = INK_SAME, .activation = INK_LEAKY_RELU, .slope = 0.1f},
        {.op = "batch_norm", .name = "norm1", .momentum = 0.9f, .epsilon = 1e-5f},
        {.op = "conv", .name = "grouped", .units = 8, .filter_height = 3, .filter_width = 3, .padding = INK_SAME, .groups = 2,
         .activation = INK_TANH},
        {.op = "add", .name = "sum", .other = "norm1", .activation = INK_RELU},
        {.op = "average_pool", .name = "pool", .filter_height = 3, .filter_width = 3, .stride_height = 2, .stride_width = 2,
         .padding = INK_SAME},
        {.op = "conv", .name = "dilated", .units = 12, .filter_height = 3, .filter_width = 3, .dilation_height = 2,
         .dilation_width = 2, .padding = INK_EXPLICIT, .pad_top = 2, .pad_bottom = 1, .pad_left = 1, .pad_right = 2,
         .no_bias = true, .activation = INK_SIGMOID},
        {.op = "batch_norm", .name = "norm2", .momentum = 0.9f, .epsilon = 1e-5f, .activation = INK_TANH},
        {.op = "global_average_pool", .name = "global"},
        {.op = "dense", .name = "output", .units = CLASSES},
    };
    struct ink_model *model = NULL;
    ck_ok(ink_model_create(ink_dataset_shape(dataset), &model));
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        ck_ok(ink_model_add(model, &layers[i]));
    fill(model, file);
    return model;
}

static void compare_logits(struct trial *trial, const struct ink_safetensors *file, const char *name, size_t chain)
{
    float logits[BATCH * CLASSES];
    double *want = golden(file, name, BATCH * CLASSES);
    trial_run(trial, INK_SECTION_EVALUATE, 0, BATCH);
    ck_ok(ink_plan_read(trial->plan, INK_SECTION_EVALUATE, ink_plan_lowered(trial->plan, INK_SECTION_EVALUATE)->logits, logits,
                        sizeof logits));
    reference_compare(name, logits, want, BATCH * CLASSES, error_factor(trial) * reference_tolerance(chain));
    free(want);
}

/* The losses of batch 0 in training mode, and every gradient. prefix: of the gradients' names in their file. */
static void compare_first_step(struct trial *trial, const struct ink_safetensors *file, const struct ink_safetensors *gradients,
                               const char *prefix, size_t chain)
{
    double *want = golden(file, "sample_losses", BATCH), *mean = golden(file, "loss", 1);
    double loss = trial_run(trial, INK_SECTION_TRAIN, 0, BATCH);
    reference_compare("sample_losses", trial->feed.host_losses, want, BATCH, error_factor(trial) * reference_tolerance(chain));
    ck_assert_msg(fabs(loss - *mean) <= first_loss * *mean, "loss: got %.9g, want %.9g", loss, *mean);
    free(want);
    free(mean);

    float *got = malloc(trial->model->trained_count * sizeof *got), *at = got;
    ck_ok(ink_plan_gradients(trial->plan, got));
    for (int n = 0; n < trial->model->count; n++) {
        const struct ink_node *node = &trial->model->nodes[n];
        size_t terms = BATCH * (size_t)node->out.height * (size_t)node->out.width; /* a product for each pixel of each sample */
        for (int k = 0; k < node->parameter_count; k++) {
            char name[128];
            const struct ink_parameter *parameter = &node->parameters[k];
            if (!parameter->trained)
                continue;
            snprintf(name, sizeof name, "%s%s.%s", prefix, node->layer.name, parameter->suffix);
            want = golden(gradients, name, parameter->count);
            reference_compare(name, at, want, parameter->count, error_factor(trial) * reference_tolerance(terms + chain));
            free(want);
            at += parameter->count;
        }
    }
    free(got);
}

static void compare_losses(struct trial *trial, const struct ink_safetensors *file, const char *name, int steps, double tolerance)
{
    double *want = golden(file, name, (size_t)steps);
    for (int i = 0; i < steps; i++) {
        double got = trial_run(trial, INK_SECTION_TRAIN, i * BATCH, BATCH);
        ck_assert_msg(fabs(got - want[i]) <= tolerance * want[i], "%s: step %d: got %.9g, want %.9g", name, i, got, want[i]);
    }
    free(want);
}

static const struct ink_train_options adam = {.optimizer = INK_ADAM, .learning_rate = 1e-3f, .beta1 = 0.9f, .beta2 = 0.999f,
                                              .epsilon = 1e-7f};
static const struct ink_train_options adamw = {.optimizer = INK_ADAMW, .learning_rate = 3e-3f, .beta1 = 0.9f, .beta2 = 0.999f,
                                               .epsilon = 1e-7f, .weight_decay = 0.05f, .label_smoothing = 0.1f};
static const struct ink_train_options sgd = {.optimizer = INK_SGD, .learning_rate = 0.05f, .momentum = 0.9f, .nesterov = true,
                                             .weight_decay = 5e-4f, .label_smoothing = 0.1f};

static const enum ink_style styles[] = {INK_STYLE_CPU, INK_STYLE_GPU};

START_TEST(reference_model_learns_as_pytorch_does)
{
    ink_dataset *dataset = mnist();
    struct ink_safetensors *file = open_golden("reference.safetensors"), *gradients = open_golden("reference_gradients.safetensors");
    struct ink_model *model = reference_model(dataset, file);
    struct trial trial;
    trial_open(&trial, model, dataset, &adam, BATCH, styles[_i]);
    compare_logits(&trial, file, "logits", REFERENCE_CHAIN / 2);
    compare_first_step(&trial, file, gradients, "", REFERENCE_CHAIN);
    trial_close(&trial);

    trial_open(&trial, model, dataset, &adam, BATCH, styles[_i]);
    compare_losses(&trial, file, "losses", 20, reference_losses);
    trial_close(&trial);
    ink_model_destroy(&model);
    ink_safetensors_destroy(&file);
    ink_safetensors_destroy(&gradients);
    ink_dataset_destroy(&dataset);
}
END_TEST

/* The same batches in parts, the last of which is short. */
START_TEST(reference_model_learns_in_parts)
{
    ink_dataset *dataset = mnist();
    struct ink_safetensors *file = open_golden("reference.safetensors"), *gradients = open_golden("reference_gradients.safetensors");
    struct ink_model *model = reference_model(dataset, file);
    struct ink_train_options options = adam;
    struct trial trial;
    options.micro_batch = 12;
    trial_open(&trial, model, dataset, &options, BATCH, styles[_i]);
    compare_first_step(&trial, file, gradients, "", REFERENCE_CHAIN);
    trial_close(&trial);

    trial_open(&trial, model, dataset, &options, BATCH, styles[_i]);
    compare_losses(&trial, file, "losses", MOST_STEPS, reference_losses);
    trial_close(&trial);
    ink_model_destroy(&model);
    ink_safetensors_destroy(&file);
    ink_safetensors_destroy(&gradients);
    ink_dataset_destroy(&dataset);
}
END_TEST

/* The plan's batch may be larger than what runs: the numbers stay, also those of the gradients. */
START_TEST(short_batch_gives_the_same)
{
    ink_dataset *dataset = mnist();
    struct ink_safetensors *file = open_golden("reference.safetensors"), *gradients = open_golden("reference_gradients.safetensors");
    struct ink_model *model = reference_model(dataset, file);
    struct trial trial;
    trial_open(&trial, model, dataset, &adam, 50, styles[_i]);
    trial_run(&trial, INK_SECTION_EVALUATE, BATCH, 50);
    compare_logits(&trial, file, "logits", REFERENCE_CHAIN / 2);
    compare_first_step(&trial, file, gradients, "", REFERENCE_CHAIN);
    trial_close(&trial);
    ink_model_destroy(&model);
    ink_safetensors_destroy(&file);
    ink_safetensors_destroy(&gradients);
    ink_dataset_destroy(&dataset);
}
END_TEST

/* Logits and gradients again by each algorithm of convolution and dense, where it applies. */
START_TEST(every_algorithm_agrees)
{
    const char *ops[] = {"conv", "dense"};
    ink_dataset *dataset = mnist();
    struct ink_safetensors *file = open_golden("reference.safetensors"), *gradients = open_golden("reference_gradients.safetensors");
    struct ink_model *model = reference_model(dataset, file);
    char done[1024] = ",";
    for (int o = 0; o < 2; o++)
        for (int pass = 0; pass < INK_PASSES; pass++)
            for (const struct ink_algorithm *a = ink_op_find(ops[o])->passes[pass]; a && a->name; a++) {
                char choice[64], mark[80];
                snprintf(choice, sizeof choice, "%s=%s", ops[o], a->name);
                snprintf(mark, sizeof mark, ",%s,", choice);
                if (strstr(done, mark))
                    continue;
                strncat(done, mark + 1, sizeof done - strlen(done) - 1);
                struct ink_train_options options = adam;
                options.algorithms = choice;
                struct trial trial;
                trial_open(&trial, model, dataset, &options, BATCH, a->style);
                compare_logits(&trial, file, "logits", REFERENCE_CHAIN / 2);
                compare_first_step(&trial, file, gradients, "", REFERENCE_CHAIN);
                trial_close(&trial);
            }
    ink_model_destroy(&model);
    ink_safetensors_destroy(&file);
    ink_safetensors_destroy(&gradients);
    ink_dataset_destroy(&dataset);
}
END_TEST

START_TEST(mixed_model_learns_as_pytorch_does)
{
    ink_dataset *dataset = mnist();
    struct ink_safetensors *file = open_golden("mixed.safetensors");
    struct ink_model *model = mixed_model(dataset, file);
    struct trial trial;
    trial_open(&trial, model, dataset, &sgd, BATCH, styles[_i]);
    compare_first_step(&trial, file, file, "gradient.", MIXED_CHAIN);
    trial_close(&trial);

    trial_open(&trial, model, dataset, &adamw, BATCH, styles[_i]);
    compare_losses(&trial, file, "losses.adamw", 10, mixed_losses);
    trial_close(&trial);

    trial_open(&trial, model, dataset, &sgd, BATCH, styles[_i]);
    compare_losses(&trial, file, "losses.sgd", 10, mixed_losses);
    compare_logits(&trial, file, "sgd.logits", MIXED_CHAIN);
    ck_ok(ink_plan_download(trial.plan, model));
    for (size_t i = 0; i < ink_model_tensor_count(model); i++) {
        struct ink_tensor tensor;
        char name[128];
        ck_ok(ink_model_tensor(model, i, &tensor));
        if (tensor.trained)
            continue;
        snprintf(name, sizeof name, "sgd.%s", tensor.name);
        double *want = golden(file, name, tensor.count);
        reference_compare(name, tensor.data, want, tensor.count, reference_tolerance(MIXED_CHAIN));
        free(want);
    }
    trial_close(&trial);
    ink_model_destroy(&model);
    ink_safetensors_destroy(&file);
    ink_dataset_destroy(&dataset);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("golden");
    TCase *cases = tcase_create("golden");
    tcase_add_loop_test(cases, reference_model_learns_as_pytorch_does, 0, 2);
    tcase_add_loop_test(cases, reference_model_learns_in_parts, 0, 2);
    tcase_add_loop_test(cases, short_batch_gives_the_same, 0, 2);
    tcase_add_test(cases, every_algorithm_agrees);
    tcase_add_loop_test(cases, mixed_model_learns_as_pytorch_does, 0, 2);
    return run_case(suite, cases);
}
