/* Checkpoints: going on from any of them gives the bits of an uninterrupted run, and one that is damaged, or of another run, is
 * refused by name. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/model.h"
#include "ops/op_case.h"
#include "rows.h"
#include "scratch.h"
#include "suite.h"
#include "train/checkpoint.h"
#include "train/sampler.h"
#include "train/train.h"
#include "util/file.h"

enum { SIDE = 6, PIXELS = SIDE * SIDE, CLASSES = 3, COUNT = 85, BATCH = 10, EPOCH_STEPS = 9, EPOCHS = 3, EVERY = 3 };

static ink_dataset *make_data(uint64_t seed, size_t count)
{
    ink_dataset *dataset = NULL;
    ck_ok(make_rows(seed, SIDE, CLASSES, count, 100, &dataset));
    return dataset;
}

/* With running statistics, and with random numbers that are named by the step. */
static ink_model *make_model(void)
{
    ink_model *model = NULL;
    ck_ok(ink_model_parse("input 6x6x1\nconv 4 3x3\nbatch_norm relu\ndropout 0.2\ndense 3 softmax\n", &model));
    return model;
}

static const struct ink_train_options ways[] = {
    {.optimizer = INK_ADAM, .learning_rate = 0.02, .schedule = INK_SCHEDULE_ONE_CYCLE, .warmup = 4, .clip_norm = 0.5, .ema = 0.9,
     .augmentation = {.shift = 0.5, .rotate = 5, .elastic = 0.2, .elastic_smoothness = 2, .noise = 0.05, .erase = 0.1}},
    {.optimizer = INK_SGD, .learning_rate = 0.05, .momentum = 0.9, .schedule = INK_SCHEDULE_PLATEAU, .plateau_epochs = 1,
     .monitor = INK_MONITOR_ACCURACY, .patience = 5},
    {.optimizer = INK_SGD, .learning_rate = 0.05, .schedule = INK_SCHEDULE_PLATEAU, .plateau_epochs = 1, .monitor = INK_MONITOR_ACCURACY,
     .validation = 0.2, .sampling = INK_SAMPLING_STRATIFIED, .batch_to = 35, .class_weights = "balanced"},
    {.optimizer = INK_ADAMW, .learning_rate = 0.02, .clip_norm = 0.5, .micro_batch = 4},
};
enum { WAYS = sizeof ways / sizeof *ways };

static struct ink_train_options options_of(int way)
{
    struct ink_train_options options = ways[way];
    options.epochs = EPOCHS, options.batch = BATCH, options.seed = 5, options.initialise = true;
    return options;
}

/* What a run ends in: all that is saved, and the result on the test set. */
struct end {
    ink_model *model;
    struct ink_metrics metrics;
};

static struct end run(const struct ink_train_options *options)
{
    ink_dataset *train = make_data(1, COUNT), *test = make_data(2, 30);
    struct end end = {make_model(), {0}};
    ck_ok(ink_train(end.model, test_device(), train, test, options, NULL, &end.metrics));
    ink_dataset_destroy(&train);
    ink_dataset_destroy(&test);
    return end;
}

static void check_equal(struct end *end, const struct end *wanted, const char *what)
{
    ck_assert_msg(memcmp(end->model->trained, wanted->model->trained, wanted->model->trained_count * sizeof(float)) == 0, "%s: other weights", what);
    ck_assert_msg(memcmp(end->model->state, wanted->model->state, wanted->model->state_count * sizeof(float)) == 0, "%s: other statistics", what);
    ck_assert_uint_eq(end->metrics.correct, wanted->metrics.correct);
    ink_model_destroy(&end->model);
}

/* Checkpoints after every third step, the last of an epoch among them, and at the beginning of each epoch; all are kept, and none changes
 * the run. */
START_TEST(going_on_gives_the_same_bits)
{
    struct ink_train_options options = options_of(_i);
    struct end whole = run(&options), end;
    struct ink_checkpoint last;
    bool reduced = false;
    int written = 0;
    char folder[] = "kept0";
    folder[4] += (char)_i;
    options.checkpoints = scratch_path(folder);
    options.checkpoint_steps = EVERY, options.checkpoint_epochs = 1, options.keep = 100;
    end = run(&options);
    check_equal(&end, &whole, "with checkpoints");
    struct ink_train_options filled;
    ck_ok(ink_train_defaults(&options, &filled));
    size_t trained = COUNT - ink_validation_count(&filled, COUNT);
    int epoch = 1;
    uint64_t steps = ink_steps_before(&filled, trained, EPOCHS + 1);
    for (uint64_t step = 1; step <= steps; step++) {
        char path[INK_CHECKPOINT_PATH];
        struct ink_train_options again = options_of(_i);
        bool ends = step == ink_steps_before(&filled, trained, epoch + 1);
        epoch += ends;
        if (step % EVERY != 0 && (!ends || step == steps))
            continue;
        written++;
        ck_ok(ink_checkpoint_path(scratch_path(folder), step, path));
        again.resume = path;
        end = run(&again);
        check_equal(&end, &whole, path);
        ck_ok(ink_checkpoint_open(path, &last));
        reduced |= last.snapshot.monitored.scale < 1;
        ink_checkpoint_close(&last);
    }
    ck_assert_int_eq(scratch_count(options.checkpoints), written);
    ck_assert_int_eq(reduced, options.schedule == INK_SCHEDULE_PLATEAU); /* so that this too had to be kept */
    ink_model_destroy(&whole.model);
}
END_TEST

START_TEST(the_newest_are_kept)
{
    struct ink_train_options options = options_of(0);
    char path[INK_CHECKPOINT_PATH];
    options.checkpoints = scratch_path("few");
    options.checkpoint_steps = 4, options.keep = 2;
    ck_ok(ink_checkpoint_folder(options.checkpoints));
    ck_ok(ink_checkpoint_path(options.checkpoints, 8, path));
    strcat(path, ".0a1b2c"); /* of a writer that was killed */
    scratch_write(path, "x", 1);
    scratch_write(scratch_path("few/notes.txt"), "x", 1); /* not ours */
    struct end end = run(&options);
    ck_assert_int_eq(scratch_count(options.checkpoints), 3);
    for (uint64_t step = 20; step <= 24; step += 4) {
        ck_ok(ink_checkpoint_path(options.checkpoints, step, path));
        ck_assert(ink_file_exists(path));
    }
    ck_assert(ink_file_exists(scratch_path("few/notes.txt")));
    ink_model_destroy(&end.model);
}
END_TEST

static bool stop_after_two(const struct ink_progress *progress, void *user)
{
    (void)user;
    return !progress->epoch_end || progress->epoch < 2;
}

/* A stop leaves a checkpoint at which it stopped, here after two of three epochs. */
START_TEST(a_stop_can_be_resumed)
{
    struct ink_train_options options = options_of(0);
    struct end whole = run(&options), end;
    struct ink_checkpoint_info info;
    char path[INK_CHECKPOINT_PATH];
    options.checkpoints = scratch_path("stopped");
    options.checkpoint_steps = 1000;
    options.progress = stop_after_two;
    end = run(&options);
    ink_model_destroy(&end.model);
    ck_ok(ink_checkpoint_path(options.checkpoints, 2 * EPOCH_STEPS, path));
    ck_ok(ink_checkpoint_load(path, &end.model, &info));
    ck_assert_uint_eq(info.train_count, COUNT);
    ck_assert_uint_eq(info.test_count, 30);
    ck_assert_int_eq(info.options.schedule, INK_SCHEDULE_ONE_CYCLE);
    ck_assert_double_eq(info.options.learning_rate, 0.02);
    ink_model_destroy(&end.model);
    options = options_of(0);
    options.resume = path;
    end = run(&options);
    check_equal(&end, &whole, path);
    ink_model_destroy(&whole.model);
}
END_TEST

/* A run that diverges tells where it was still well. */
START_TEST(divergence_names_the_last_good_one)
{
    ink_dataset *train = make_data(1, COUNT);
    ink_model *model = NULL, *good = NULL;
    struct ink_checkpoint_info info;
    struct ink_train_options options = {.optimizer = INK_SGD, .learning_rate = 1000, .momentum = 0.99, .batch = BATCH, .initialise = true};
    options.checkpoints = scratch_path("diverged");
    options.checkpoint_steps = 2;
    ck_ok(ink_model_parse("input 6x6x1\nconv 4 3x3\ndense 8\ndense 3 softmax\n", &model));
    ck_fails(ink_train(model, test_device(), train, NULL, &options, NULL, NULL), INK_ERROR_DIVERGED, "; the last good checkpoint is ");
    ck_ok(ink_checkpoint_load(strstr(ink_last_error(), "checkpoint is ") + strlen("checkpoint is "), &good, &info));
    for (size_t i = 0; i < good->trained_count; i++)
        ck_assert(isfinite(good->trained[i]));
    ck_assert_uint_gt(info.step, 0);
    ink_model_destroy(&model);
    ink_model_destroy(&good);
    ink_dataset_destroy(&train);
}
END_TEST

/* Two checkpoints, the bytes of the later one, and its path. */
static unsigned char *make_checkpoints(char *earlier, char *later, size_t *size)
{
    struct ink_train_options options = options_of(0);
    unsigned char *bytes;
    options.checkpoints = scratch_path("damaged");
    options.checkpoint_steps = 12;
    struct end end = run(&options);
    ink_model_destroy(&end.model);
    ck_ok(ink_checkpoint_path(options.checkpoints, 12, earlier));
    ck_ok(ink_checkpoint_path(options.checkpoints, 24, later));
    ck_ok(ink_file_read(later, 1 << 20, &bytes, size));
    return bytes;
}

static void check_refused(const char *path, const char *offered)
{
    ink_model *model = NULL;
    struct ink_checkpoint_info info;
    ck_fails(ink_checkpoint_load(path, &model, &info), INK_ERROR_FORMAT, path);
    ck_assert_ptr_null(model);
    ck_assert_msg(strstr(ink_last_error(), offered) != NULL, "\"%s\" lacks \"%s\"", ink_last_error(), offered);
}

START_TEST(damage_is_refused_and_another_offered)
{
    char earlier[INK_CHECKPOINT_PATH], later[INK_CHECKPOINT_PATH], offer[INK_CHECKPOINT_PATH + 64];
    size_t size, header = 0;
    unsigned char *bytes = make_checkpoints(earlier, later, &size), *longer = calloc(size + 1, 1);
    snprintf(offer, sizeof offer, "; %s is whole: resume from that one", earlier);
    for (int i = 0; i < 8; i++)
        header |= (size_t)bytes[i] << (8 * i);
    const size_t lengths[] = {0, 5, 8, 20, 60, 200, 8 + header / 2, 8 + header, 8 + header + 7, (8 + header + size) / 2, size - 4, size - 1};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        scratch_write(later, bytes, lengths[i]);
        check_refused(later, offer);
    }
    memcpy(longer, bytes, size);
    scratch_write(later, longer, size + 1);
    check_refused(later, offer);
    for (size_t i = 0; i < size; i += i < 64 ? 1 : 61) { /* every bit is turned somewhere */
        bytes[i] ^= (unsigned char)(1u << (i % 8));
        scratch_write(later, bytes, size);
        check_refused(later, offer);
        bytes[i] ^= (unsigned char)(1u << (i % 8));
    }
    scratch_write(earlier, bytes, size / 2);
    scratch_write(later, bytes, size / 2);
    check_refused(later, "its folder has no other checkpoint that is whole");
    scratch_write(later, bytes, size);
    ink_model *model = NULL;
    struct ink_checkpoint_info info;
    ck_ok(ink_checkpoint_load(later, &model, &info)); /* the bytes were good */
    ink_model_destroy(&model);
    free(bytes);
    free(longer);
}
END_TEST

/* Changes one thing of the run; the message names it. */
START_TEST(another_run_is_refused)
{
    char earlier[INK_CHECKPOINT_PATH], later[INK_CHECKPOINT_PATH];
    size_t size;
    free(make_checkpoints(earlier, later, &size));
    struct ink_train_options same = options_of(0), options[15];
    same.resume = later;
    for (int i = 0; i < 15; i++)
        options[i] = same;
    options[0].epochs = 4, options[1].learning_rate = 0.03, options[2].ema = 0, options[3].seed = 6, options[4].schedule = INK_SCHEDULE_COSINE;
    options[5].optimizer = INK_ADAMW, options[6].clip_norm = 1, options[7].algorithms = "conv=direct";
    options[8].validation = 0.1, options[9].sampling = INK_SAMPLING_STRATIFIED, options[10].batch_to = 40, options[11].batch_to = 10, options[11].batch_every = 2;
    options[12].class_weights = "1,2,0.5", options[13].augmentation.shift = 1, options[14].micro_batch = 3;
    static const char *const named[] = {"epochs is 3, not 4", "learning_rate is 0.02, not 0.03", "ema is 0.9, not 0", "seed is 5, not 6",
                                        "schedule is 3, not 2", "optimizer is 0, not 1", "clip_norm is 0.5, not 1", "algorithms are \"\", not \"conv=direct\"",
                                        "validation is 0, not 0.1", "sampling is 0, not 1", "batch_to is 10, not 40", "batch_every is 1, not 2",
                                        "class_weights are \"\", not \"1,2,0.5\"", "augmentation.shift is 0.5, not 1", "micro_batch is 0, not 3"};
    ink_dataset *train = make_data(1, COUNT), *test = make_data(2, 30), *other = make_data(3, COUNT), *shorter = make_data(1, COUNT - 1);
    ink_model *model = make_model(), *another = NULL;
    ck_ok(ink_model_parse("input 6x6x1\nconv 4 3x3\nbatch_norm relu\ndropout 0.3\ndense 3 softmax\n", &another));
    for (int i = 0; i < 15; i++)
        ck_fails(ink_train(model, test_device(), train, test, &options[i], NULL, NULL), INK_ERROR_ARGUMENT, named[i]);
    ck_fails(ink_train(another, test_device(), train, test, &same, NULL, NULL), INK_ERROR_ARGUMENT, "is of another model");
    ck_fails(ink_train(model, test_device(), other, test, &same, NULL, NULL), INK_ERROR_ARGUMENT, "is of other training data (85 images, not these 85)");
    ck_fails(ink_train(model, test_device(), shorter, test, &same, NULL, NULL), INK_ERROR_ARGUMENT, "is of other training data (85 images, not these 84)");
    ck_fails(ink_train(model, test_device(), train, train, &same, NULL, NULL), INK_ERROR_ARGUMENT, "is of other test data (30 images, not these 85)");
    ck_fails(ink_train(model, test_device(), train, NULL, &same, NULL, NULL), INK_ERROR_ARGUMENT, "is of other test data (30 images, not these 0)");
    ck_fails(ink_train(model, test_device(), train, test, &(struct ink_train_options){.resume = "nowhere"}, NULL, NULL), INK_ERROR_FILE, "nowhere");
    ck_fails(ink_train(model, test_device(), train, test, &(struct ink_train_options){.checkpoints = "/dev/null/below"}, NULL, NULL), INK_ERROR_FILE,
             "/dev/null/below: the folder cannot be made");
    ink_model_destroy(&model);
    ink_model_destroy(&another);
    ink_dataset_destroy(&train);
    ink_dataset_destroy(&test);
    ink_dataset_destroy(&other);
    ink_dataset_destroy(&shorter);
}
END_TEST

/* A checkpoint of a version that lacked an option, by whose name no text is found, is one with that option off. */
START_TEST(what_a_version_lacked_is_off)
{
    char earlier[INK_CHECKPOINT_PATH], later[INK_CHECKPOINT_PATH], digits[INK_HASH_DIGITS + 1];
    size_t size;
    unsigned char *bytes = make_checkpoints(earlier, later, &size);
    char *header = (char *)bytes + 8, *name = NULL;
    for (size_t i = 8; i + 15 < size && !name; i++)
        if (memcmp(bytes + i, "option.sampling", 15) == 0)
            name = (char *)bytes + i;
    ck_assert_ptr_nonnull(name);
    memcpy(name, "optiom", 6);
    char *checksum = strstr(header, "checksum\":\"") + strlen("checksum\":\"");
    memset(checksum, '0', INK_HASH_DIGITS);
    struct ink_hash hash = ink_hash_bytes(bytes, size);
    ink_hash_text(&hash, digits);
    memcpy(checksum, digits, INK_HASH_DIGITS);
    scratch_write(later, bytes, size);
    struct ink_train_options options = options_of(0);
    struct end whole = run(&options), end;
    options.resume = later;
    end = run(&options);
    check_equal(&end, &whole, later);
    ink_model_destroy(&whole.model);
    free(bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("checkpoint");
    TCase *all = tcase_create("checkpoint");
    tcase_add_loop_test(all, going_on_gives_the_same_bits, 0, WAYS);
    tcase_add_test(all, the_newest_are_kept);
    tcase_add_test(all, a_stop_can_be_resumed);
    tcase_add_test(all, divergence_names_the_last_good_one);
    tcase_add_test(all, damage_is_refused_and_another_offered);
    tcase_add_test(all, another_run_is_refused);
    tcase_add_test(all, what_a_version_lacked_is_off);
    return run_case(suite, all);
}
