/* The tool at work on the real digits: a small training run, then everything that uses the model it saved. */
#include <json-c/json.h>
#include <png.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <glob.h>
#include <unistd.h>

#include "suite.h"
#include "tool/run.h"

static bool has_device;

/* One training run for all tests: 512 images, 3 epochs, which is seconds on a CPU. */
static const char *const train_words = "train --recipe seed --limit 512 --epochs 3 --batch 32 --out m.safetensors";
static struct run trained;

/* Standard error may hold a compiler's word on kernels where a driver prints it, so a run on a device leaves it open. */
static bool skips(void)
{
    if (!has_device)
        fprintf(stderr, "skipped: there is no OpenCL device\n");
    return !has_device;
}

static struct json_object *run_json(const char *arguments, int status)
{
    struct run run;
    run_tool(&run, arguments);
    ck_assert_msg(run.status == status, "inkling %s: ended with %d:\n%s%s", arguments, run.status, run.out, run.err);
    struct json_object *object = json_tokener_parse(run.out);
    ck_assert_msg(object != NULL, "inkling %s: is not JSON:\n%s", arguments, run.out);
    run_free(&run);
    return object;
}

static struct json_object *field(struct json_object *object, const char *name)
{
    struct json_object *value;
    ck_assert_msg(json_object_object_get_ex(object, name, &value), "%s is missing", name);
    return value;
}

/* What the command line says goes before a recipe, and puts aside what goes with another optimizer or schedule. */
START_TEST(options_go_before_a_recipe)
{
    static const struct {
        const char *options, *train;
    } cases[] = {
        {"", "recipe  r.txt\nmodel   small.txt: 2 layers, 170 parameters\n"
             "train   1 epoch of batches of 16, sgd, learning rate 0.25 step, seed 1\naugment shift 1, noise 0.1\n"},
        {"--batch 32 --lr 0.5 --shift 0", "train   1 epoch of batches of 32, sgd, learning rate 0.5 step, seed 1\naugment noise 0.1\n"},
        {"--optimizer adam", "train   1 epoch of batches of 16, adam, learning rate 0.001 step, seed 1\n"},
        {"--schedule cosine --min-lr 0.001", "train   1 epoch of batches of 16, sgd, learning rate 0.01 cosine, seed 1\n"},
    };
    if (skips())
        return;
    write_file("small.txt", "input 28x28x1\nmax_pool 7x7\ndense 10\n");
    write_file("r.txt", "epochs 1\nbatch 16\noptimizer sgd\nmomentum 0.5\nnesterov\nlr 0.25\nschedule step\ngamma 0.5\nshift 1\nnoise 0.1\n");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char words[256];
        snprintf(words, sizeof words, "train --recipe r.txt --model small.txt --no-tune --limit 64 --out r.safetensors %s", cases[i].options);
        check_run(words, 0, cases[i].train, "");
    }
}
END_TEST

/* A page of training images needs no model. */
START_TEST(distorted_images_are_drawn)
{
    if (skips())
        return;
    check_run("show --augment --shift 2 --noise 0.1 --count 15 --limit 64 --out a.png", 0, "drew 20 images in a.png", "");
    ck_assert_int_gt(file_size("a.png"), 1000);
}
END_TEST

START_TEST(devices_are_listed)
{
    if (!has_device) {
        check_run("devices", 1, "", "pocl-opencl-icd");
        return;
    }
    check_run("devices", 0, "picked: ", NULL);
    struct json_object *root = run_json("devices --json", 0), *list = field(root, "devices");
    int picked = 0;
    for (size_t i = 0; i < json_object_array_length(list); i++)
        picked += json_object_get_boolean(field(json_object_array_get_idx(list, i), "picked"));
    ck_assert_int_eq(picked, 1);
    json_object_put(root);
    check_run("train --limit 64 --out x.safetensors --device no-such-device", 1, "", "no-such-device");
    ck_assert_int_lt(file_size("x.safetensors"), 0);
}
END_TEST

/* The lines of a run off a terminal: one an epoch, the final accuracy, the file; no bar, no colour. */
START_TEST(training_prints_its_lines)
{
    if (skips())
        return;
    ck_assert_msg(trained.status == 0, "%s%s", trained.out, trained.err);
    ck_assert_ptr_null(strchr(trained.out, '\r'));
    ck_assert_ptr_null(strchr(trained.out, '\033'));
    double loss[3], accuracy, test_loss, test_accuracy, seconds, rate;
    const char *line = trained.out;
    for (int epoch = 1; epoch <= 3; epoch++) {
        char head[32];
        snprintf(head, sizeof head, "epoch %d/3  ", epoch);
        line = strstr(line, head);
        ck_assert_msg(line != NULL, "no line starts with \"%s\":\n%s", head, trained.out);
        int found = sscanf(line + strlen(head), "loss %lf accuracy %lf %% test loss %lf test accuracy %lf %% %lf s %lf",
                           &loss[epoch - 1], &accuracy, &test_loss, &test_accuracy, &seconds, &rate);
        ck_assert_msg(found == 6, "%d values in %.120s", found, line);
        ck_assert_ptr_nonnull(strstr(line, " images/s\n"));
    }
    ck_assert_double_lt(loss[2], loss[0]);
    double low, high;
    line = strstr(line, "\ntest accuracy ");
    ck_assert_ptr_nonnull(line);
    ck_assert_int_eq(sscanf(line, "\ntest accuracy %lf %% (95 %% interval %lf to %lf %%)", &accuracy, &low, &high), 3);
    ck_assert_double_eq(accuracy, test_accuracy); /* both are printed with the same two digits */
    ck_assert(low < accuracy && accuracy < high);
    /* 512 digits teach a network far more than guessing, which is right once in ten. */
    ck_assert_double_gt(accuracy, 40);
    ck_assert_ptr_nonnull(strstr(line, "\nsaved m.safetensors\n"));
    ck_assert_ptr_nonnull(strstr(trained.out, "512 training and 512 test images of 28x28x1"));
}
END_TEST

/* What training says of a split, of batches that grow and of memory, and what it refuses of them: weights of 1.4 MiB do not fit into one. */
START_TEST(batches_are_told)
{
    if (skips())
        return;
    struct run run;
    write_file("linear.txt", "input 28x28x1\ndense 10 softmax\n");
    run_tool(&run, "train --model linear.txt --limit 128 --epochs 2 --val 0.25 --batch 8 --batch-to 16 --device-memory 1000 --no-tune --out l.safetensors");
    ck_assert_msg(run.status == 0, "%s%s", run.out, run.err);
    ck_assert_ptr_nonnull(strstr(run.out, "train   2 epochs of batches of 8 to 16, "));
    const char *memory = strstr(run.out, "\nmemory  "), *epoch = strstr(run.out, "\nepoch 1/2  loss ");
    ck_assert_msg(memory && epoch && memory < epoch, "%s", run.out);
    ck_assert_ptr_nonnull(strstr(memory, " of 1000 MiB: weights "));
    ck_assert_ptr_nonnull(strstr(memory, ", a batch of 16 "));
    ck_assert_ptr_nonnull(strstr(epoch, "  validation loss "));
    ck_assert_ptr_null(strstr(trained.out, "\nmemory  "));
    run_free(&run);
    check_run("train --limit 100 --no-tune --device-memory 1", 1, "", "MiB to be used at most (device_memory, --device-memory)");
    check_run("train --limit 100 --no-tune --val 0.001", 1, "", "validation is 0.001, which of 100 samples leaves none to validate on");
    check_run("train --limit 100 --no-tune --class-weights 1,2", 1, "", "class_weights has 2 weights, and the data 10 classes");
}
END_TEST

START_TEST(evaluation_agrees_with_training)
{
    if (skips())
        return;
    double accuracy;
    const char *line = strstr(trained.out, "\ntest accuracy ");
    ck_assert(line && sscanf(line, "\ntest accuracy %lf", &accuracy) == 1);
    struct json_object *root = run_json("evaluate m.safetensors --limit 512 --json", 0);
    ck_assert_int_eq(json_object_get_int(field(root, "images")), 512);
    /* Two digits after the point of per cents. */
    ck_assert_double_eq_tol(100 * json_object_get_double(field(root, "accuracy")), accuracy, 0.0051);
    struct json_object *rows = field(root, "confusion");
    int all = 0, right = 0;
    for (size_t i = 0; i < 10; i++)
        for (size_t j = 0; j < 10; j++) {
            int n = json_object_get_int(json_object_array_get_idx(json_object_array_get_idx(rows, i), j));
            all += n;
            right += i == j ? n : 0;
        }
    ck_assert_int_eq(all, 512);
    ck_assert_int_eq(right, json_object_get_int(field(root, "correct")));
    json_object_put(root);
    check_run("evaluate m.safetensors --limit 512", 0, "confusion matrix", "");
    check_run("summary m.safetensors", 0, "93,322 parameters", NULL);
}
END_TEST

/* A picture of a thick vertical stroke, dark on light, at a size of its own. */
static void draw_one(const char *path)
{
    enum { WIDTH = 61, HEIGHT = 90 };
    static unsigned char pixels[WIDTH * HEIGHT];
    memset(pixels, 250, sizeof pixels);
    for (int y = 15; y < 75; y++)
        memset(pixels + y * WIDTH + 27, 10, 7);
    png_image image = {.version = PNG_IMAGE_VERSION, .width = WIDTH, .height = HEIGHT, .format = PNG_FORMAT_GRAY};
    ck_assert(png_image_write_to_file(&image, path, 0, pixels, 0, NULL));
}

START_TEST(prediction_goes_past_bad_pictures)
{
    if (skips())
        return;
    draw_one("one.png");
    write_file("bad.png", "not a picture");
    check_run("predict m.safetensors one.png", 0, "one.png: 1  ", "");
    check_run("predict m.safetensors bad.png one.png none.png", 1, "one.png: 1  ", "bad.png: ");
    check_run("predict m.safetensors bad.png one.png none.png", 1, "", "none.png: ");
    struct json_object *root = run_json("predict --json m.safetensors bad.png one.png", 1), *list = field(root, "images");
    ck_assert_ptr_nonnull(field(json_object_array_get_idx(list, 0), "error"));
    struct json_object *one = json_object_array_get_idx(list, 1), *values = field(one, "probabilities");
    double sum = 0;
    for (size_t i = 0; i < json_object_array_length(values); i++)
        sum += json_object_get_double(json_object_array_get_idx(values, i));
    ck_assert_int_eq((int)json_object_array_length(values), 10);
    ck_assert_int_eq(json_object_get_int(field(one, "class")), 1);
    ck_assert_double_eq_tol(sum, 1, 1e-5); /* ten floats, printed with seven digits */
    json_object_put(root);
}
END_TEST

static void read_png_size(const char *path, unsigned *width, unsigned *height)
{
    png_image image = {.version = PNG_IMAGE_VERSION};
    ck_assert_msg(png_image_begin_read_from_file(&image, path), "%s: %s", path, image.message);
    *width = image.width;
    *height = image.height;
    png_image_free(&image);
}

START_TEST(show_draws_a_page)
{
    if (skips())
        return;
    unsigned width, height, wider, higher;
    check_run("show m.safetensors --limit 512 --count 6 -o page.png", 0, "drew 6 images in page.png", "");
    read_png_size("page.png", &width, &height);
    check_run("show m.safetensors --limit 512 --count 60 --out=page.png", 0, "drew 60 images in page.png", "");
    read_png_size("page.png", &wider, &higher);
    ck_assert(wider > width && higher > height); /* the older PNG was replaced */
    check_run("show m.safetensors --limit 512 --wrong -opage.png", 0, "in page.png", "");
    write_file("kept.txt", "mine");
    check_run("show m.safetensors --limit 64 -o kept.txt", 1, NULL, "kept.txt: exists and is not a PNG picture");
    ck_assert_int_eq(file_size("kept.txt"), 4);
    check_run("show m.safetensors --limit 64 -o kept.txt --force", 0, "in kept.txt", "");
    ck_assert_int_gt(file_size("kept.txt"), 4);
}
END_TEST

START_TEST(a_model_for_other_images_is_refused)
{
    if (skips())
        return;
    write_file("wide.txt", "input 30x30x1\nflatten\ndense 10\n");
    check_run("train --limit 64 --epochs 1 --model wide.txt --out w.safetensors", 1, "", "30x30x1");
    ck_assert_int_lt(file_size("w.safetensors"), 0);
    write_file("few.txt", "input 28x28x1\nflatten\ndense 3\n");
    check_run("train --limit 64 --epochs 1 --model few.txt --out w.safetensors", 1, "", "classes");
    ck_assert_int_lt(file_size("w.safetensors"), 0);
}
END_TEST

static void interrupt(pid_t process) { kill(process, SIGINT); }
static void terminate(pid_t process) { kill(process, SIGTERM); }

START_TEST(a_signal_stops_and_saves)
{
    if (skips())
        return;
    static const struct {
        void (*send)(pid_t process);
        int status;
    } cases[] = {{interrupt, 130}, {terminate, 143}};
    for (int i = 0; i < 2; i++) {
        struct run run;
        remove("s.safetensors");
        run_tool_watched(&run, "train --limit 256 --epochs 100000 --no-tune --out s.safetensors", RUN_PIPE, 0, "epoch 1/", cases[i].send);
        ck_assert_msg(run.status == cases[i].status, "ended with %d:\n%.500s%s", run.status, run.out, run.err);
        ck_assert_ptr_nonnull(strstr(run.out, "\nstopped in epoch "));
        ck_assert_ptr_nonnull(strstr(run.out, "\nsaved s.safetensors\n"));
        ck_assert_ptr_nonnull(strstr(run.err, "stopping after this step"));
        run_free(&run);
        check_run("evaluate s.safetensors --limit 64", 0, "test accuracy", "");
    }
}
END_TEST

static void remove_target(pid_t process)
{
    (void)process;
    ck_assert_int_eq(rmdir("target"), 0);
}

/* The folder goes away while training runs: the model is in the temporary folder, and the run failed. */
START_TEST(a_model_that_cannot_be_saved_is_kept)
{
    if (skips())
        return;
    struct run run;
    ck_assert_int_eq(mkdir("target", 0755), 0);
    run_tool_watched(&run, "train --limit 256 --epochs 4 --out target/kept.safetensors", RUN_PIPE, 0, "epoch 1/", remove_target);
    ck_assert_msg(run.status == 1, "ended with %d:\n%s%s", run.status, run.out, run.err);
    ck_assert_ptr_nonnull(strstr(run.err, "target/kept.safetensors: cannot be written"));
    ck_assert_ptr_nonnull(strstr(run.err, "the model is saved as "));
    glob_t found;
    ck_assert_int_eq(glob("temporary/inkling-*/kept.safetensors", 0, NULL, &found), 0);
    ck_assert_int_eq((int)found.gl_pathc, 1);
    globfree(&found);
    run_free(&run);
}
END_TEST

/* A reader that goes away costs the lines, not the model. */
START_TEST(a_lost_reader_does_not_stop_training)
{
    if (skips())
        return;
    static const enum run_output outputs[] = {RUN_BROKEN, RUN_FULL, RUN_CLOSED};
    for (int i = 0; i < 3; i++) {
        struct run run;
        remove("p.safetensors");
        run_tool_watched(&run, "train --limit 64 --epochs 2 --out p.safetensors", outputs[i], 0, NULL, NULL);
        ck_assert_msg(run.status == 1, "ended with %d:\n%s", run.status, run.err);
        ck_assert_ptr_nonnull(strstr(run.err, "standard output could not be written"));
        run_free(&run);
        check_run("evaluate p.safetensors --limit 64", 0, "test accuracy", "");
    }
}
END_TEST

/* Letters and cells of a line: bytes less escape sequences and less the later bytes of UTF-8 characters. */
static int columns_of(const char *line, size_t length)
{
    int columns = 0;
    for (size_t i = 0; i < length; i++) {
        if (line[i] == '\033') {
            while (i + 1 < length && !((line[i] >= 'A' && line[i] <= 'Z') || line[i] == 'm'))
                i++;
            continue;
        }
        columns += ((unsigned char)line[i] & 0xC0) != 0x80;
    }
    return columns;
}

START_TEST(the_bar_fits_its_window)
{
    if (skips())
        return;
    static const int widths[] = {200, 60, 24, 9};
    for (int i = 0; i < 4; i++) {
        struct run run;
        /* Stopped when the first bar has been drawn over. */
        run_tool_watched(&run, "train --recipe seed --batch 8 --epochs 1000 --out b.safetensors", RUN_TERMINAL, widths[i], "\r\033[J", interrupt);
        ck_assert_int_eq(run.status, 130);
        int bars = 0;
        /* A bar ends in the carriage return that starts the next; the lines around end in return and newline. */
        for (const char *at = strstr(run.out, "seed 1\r\n") + strlen("seed 1\r\n"); *at; ) {
            size_t length = strcspn(at, "\r");
            if (at[length] == '\r' && at[length + 1] != '\n') {
                int columns = columns_of(at, length);
                ck_assert_msg(columns < widths[i], "%d columns in a window of %d: %.*s", columns, widths[i], (int)length, at);
                bars++;
            }
            at += length + (at[length] != 0);
        }
        ck_assert_int_gt(bars, 0);
        ck_assert_ptr_nonnull(strstr(run.out, "\033[Jstopped in epoch "));
        run_free(&run);
    }
}
END_TEST

static int commands(void)
RUN_SUITE("commands", devices_are_listed, options_go_before_a_recipe, distorted_images_are_drawn, training_prints_its_lines, batches_are_told,
          evaluation_agrees_with_training,
          prediction_goes_past_bad_pictures, show_draws_a_page, a_model_for_other_images_is_refused,
          a_signal_stops_and_saves, a_model_that_cannot_be_saved_is_kept,
          a_lost_reader_does_not_stop_training, the_bar_fits_its_window)

int main(void)
{
    run_begin();
    struct ink_device_info *devices = NULL;
    size_t count = 0;
    if (ink_device_list(&devices, &count) == INK_OK)
        for (size_t i = 0; i < count; i++)
            has_device |= devices[i].usable;
    free(devices);
    if (has_device)
        run_tool(&trained, train_words);
    int failed = commands();
    run_free(&trained);
    run_end();
    return failed;
}
