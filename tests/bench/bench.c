/* What compare.py times of Inkling: training steps, and predictions from call to call, through the public header alone.
 *
 *   bench train|infer --model FILE [--batch N,N...] [--steps N] [--seconds S] [--warm-up S] [--tune S] [--data DIR]
 *                     [--device SELECTOR]
 *
 * A JSON line a batch. Training takes what measurement has found the fastest, and first measures for --tune seconds, 0 unless told. Training goes in chunks of --steps steps over as many images; chunks are untimed until --warm-up
 * seconds have passed (one at least), and timed until --seconds have. A chunk's time is that of its steps: no start-up,
 * no test. Inference times every call by itself, bytes in, probabilities out. */
#include <getopt.h>
#include <inkling/inkling.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MODEL_TEXT_MOST = 1 << 20, BATCHES_MOST = 16, CHUNKS_MOST = 1000, CALLS_MOST = 1 << 20, CALLS_LEAST = 5 };

struct settings {
    const char *model_path, *data, *device;
    int batches[BATCHES_MOST], batch_count, steps;
    double seconds, warm_up, tune;
};

/* Times of one batch size, in seconds. */
struct samples {
    double *at;
    size_t count, most;
    double warm_seconds, timed_seconds;
};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void complain(const char *what) { fprintf(stderr, "bench: %s\n", what); }

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* True while more are wanted; warm-up comes first. */
static bool samples_take(struct samples *samples, const struct settings *settings, double seconds, size_t least)
{
    if (samples->warm_seconds == 0 || samples->warm_seconds < settings->warm_up) {
        samples->warm_seconds += seconds;
        return true;
    }
    samples->at[samples->count++] = seconds;
    samples->timed_seconds += seconds;
    return samples->count < samples->most && (samples->count < least || samples->timed_seconds < settings->seconds);
}

/* Prints a line; milliseconds are of one of the parts that each sample has. line is given away. */
static void print_line(struct json_object *line, const char *task, int batch, struct samples *samples, int parts, const ink_model *model,
                       ink_device *device)
{
    const struct ink_device_info *info = ink_device_get_info(device);
    qsort(samples->at, samples->count, sizeof *samples->at, compare_doubles);
    size_t middle = samples->count / 2;
    double median = samples->count % 2 ? samples->at[middle] : (samples->at[middle - 1] + samples->at[middle]) / 2;
    json_object_object_add(line, "program", json_object_new_string("inkling"));
    json_object_object_add(line, "version", json_object_new_string(ink_version()));
    json_object_object_add(line, "device", json_object_new_string(info->name));
    json_object_object_add(line, "platform", json_object_new_string(info->platform));
    json_object_object_add(line, "driver", json_object_new_string(info->driver));
    json_object_object_add(line, "task", json_object_new_string(task));
    json_object_object_add(line, "batch", json_object_new_int(batch));
    json_object_object_add(line, "parameters", json_object_new_int64((int64_t)ink_model_parameter_count(model)));
    json_object_object_add(line, "timed", json_object_new_int64((int64_t)samples->count * parts));
    json_object_object_add(line, "ms", json_object_new_double(1e3 * median / parts));
    json_object_object_add(line, "ms_least", json_object_new_double(1e3 * samples->at[0] / parts));
    puts(json_object_to_json_string_ext(line, JSON_C_TO_STRING_PLAIN));
    fflush(stdout);
    json_object_put(line);
}

struct training {
    const struct settings *settings;
    struct samples samples;
    double first_loss, last_loss;
};

static bool chunk_done(const struct ink_progress *progress, void *user)
{
    struct training *training = user;
    if (!progress->epoch_end)
        return true;
    if (progress->epoch == 1)
        training->first_loss = progress->loss;
    training->last_loss = progress->loss;
    return samples_take(&training->samples, training->settings, progress->seconds, 1);
}

static ink_status train(const struct settings *settings, ink_model *model, ink_device *device, int batch)
{
    static double chunks[CHUNKS_MOST];
    struct training training = {.settings = settings, .samples = {.at = chunks, .most = CHUNKS_MOST}};
    const struct ink_train_options options = {
        .epochs = 2 * CHUNKS_MOST, .batch = batch, .seed = 1, .initialise = true, .tune = INK_TUNE_KNOWN, .progress = chunk_done, .user = &training,
    };
    ink_dataset *images = NULL;
    struct ink_tuning tuning = {0};
    if (settings->tune > 0) {
        const struct ink_tune_options how = {.batch = batch, .seconds = settings->tune};
        ink_status tuned = ink_model_tune(model, device, &how, &tuning);
        bool lost = tuning.lost;
        ink_tuning_free(&tuning);
        if (tuned)
            return tuned;
        if (lost) {
            fprintf(stderr, "bench: a candidate did not return; start again, and it is passed over\n");
            exit(1);
        }
    }
    ink_status status = ink_dataset_load(settings->data, INK_TRAIN, (size_t)batch * (size_t)settings->steps, &images);
    if (!status && ink_dataset_count(images) < (size_t)batch * (size_t)settings->steps) {
        fprintf(stderr, "bench: %d steps of %d images are more than the %zu of the data set; lower --steps\n", settings->steps, batch,
                ink_dataset_count(images));
        exit(2);
    }
    if (!status)
        status = ink_train(model, device, images, NULL, &options, NULL, NULL);
    ink_dataset_destroy(&images);
    if (status)
        return status;
    struct json_object *line = json_object_new_object();
    json_object_object_add(line, "first_loss", json_object_new_double(training.first_loss));
    json_object_object_add(line, "last_loss", json_object_new_double(training.last_loss));
    print_line(line, "train", batch, &training.samples, settings->steps, model, device);
    return INK_OK;
}

static ink_status infer(const struct settings *settings, ink_model *model, ink_device *device, int batch)
{
    static double calls[CALLS_MOST];
    struct samples samples = {.at = calls, .most = CALLS_MOST};
    ink_predictor *predictor = NULL;
    ink_dataset *images = NULL;
    float *probabilities = calloc((size_t)batch * (size_t)ink_model_output(model).channels, sizeof *probabilities);
    ink_status status = probabilities ? ink_dataset_load(settings->data, INK_TEST, (size_t)batch, &images) : INK_ERROR_MEMORY;
    if (!status && ink_dataset_count(images) < (size_t)batch) {
        fprintf(stderr, "bench: a batch of %d is more than the %zu test images\n", batch, ink_dataset_count(images));
        exit(2);
    }
    if (!status)
        status = ink_predictor_create(model, device, batch, &predictor);
    for (bool more = true; more && !status;) {
        double start = now();
        status = ink_predictor_run(predictor, ink_dataset_image(images, 0), (size_t)batch, probabilities);
        more = samples_take(&samples, settings, now() - start, CALLS_LEAST);
    }
    if (!status)
        print_line(json_object_new_object(), "infer", batch, &samples, 1, model, device);
    ink_predictor_destroy(&predictor);
    ink_dataset_destroy(&images);
    free(probabilities);
    return status;
}

/* Reads a whole number of at least 1 that ends at stop. */
static bool read_count(const char *text, char stop, int *value, const char **end)
{
    char *after;
    long number = strtol(text, &after, 10);
    if (after == text || (*after && *after != stop) || number < 1 || number > 1 << 20)
        return false;
    *value = (int)number;
    *end = after;
    return true;
}

static bool read_batches(const char *text, struct settings *settings)
{
    for (settings->batch_count = 0; settings->batch_count < BATCHES_MOST; text++) {
        if (!read_count(text, ',', &settings->batches[settings->batch_count], &text))
            return false;
        settings->batch_count++;
        if (!*text)
            return true;
    }
    return false;
}

static bool read_options(int argc, char **argv, struct settings *settings)
{
    static const struct option options[] = {
        {"model", required_argument, NULL, 'm'}, {"batch", required_argument, NULL, 'b'}, {"steps", required_argument, NULL, 's'},
        {"seconds", required_argument, NULL, 't'}, {"warm-up", required_argument, NULL, 'w'}, {"tune", required_argument, NULL, 'T'},
        {"data", required_argument, NULL, 'd'}, {"device", required_argument, NULL, 'D'}, {0},
    };
    const char *end;
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        bool good = true;
        switch (option) {
        case 'm': settings->model_path = optarg; break;
        case 'd': settings->data = optarg; break;
        case 'D': settings->device = optarg; break;
        case 'b': good = read_batches(optarg, settings); break;
        case 's': good = read_count(optarg, 0, &settings->steps, &end); break;
        case 't': good = (settings->seconds = atof(optarg)) > 0; break;
        case 'T': good = (settings->tune = atof(optarg)) > 0; break;
        case 'w': good = (settings->warm_up = atof(optarg)) > 0; break;
        default: return false;
        }
        if (!good) {
            fprintf(stderr, "bench: '%s' is not possible\n", optarg);
            return false;
        }
    }
    return settings->model_path && optind == argc - 1 && (strcmp(argv[optind], "train") == 0 || strcmp(argv[optind], "infer") == 0);
}

static ink_status load_model(const char *path, ink_model **model)
{
    static char text[MODEL_TEXT_MOST];
    FILE *file = fopen(path, "rb");
    size_t size = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (!file || ferror(file)) {
        perror(path);
        exit(1);
    }
    fclose(file);
    text[size] = 0;
    return ink_model_parse(text, model);
}

int main(int argc, char **argv)
{
    struct settings settings = {.batches = {128}, .batch_count = 1, .steps = 100, .seconds = 3, .warm_up = 1};
    char folder[4096];
    ink_device *device = NULL;
    ink_model *model = NULL;
    if (!read_options(argc, argv, &settings)) {
        complain("usage: bench train|infer --model FILE [--batch N,N...] [--steps N] [--seconds S] [--warm-up S] [--tune S] [--data DIR] "
                 "[--device SELECTOR]");
        return 2;
    }
    bool training = strcmp(argv[optind], "train") == 0;
    ink_status status = ink_dataset_find(settings.data, folder, sizeof folder);
    settings.data = folder;
    if (!status)
        status = load_model(settings.model_path, &model);
    if (!status)
        status = ink_model_initialise(model, 1);
    if (!status)
        status = ink_device_open(settings.device, &device);
    for (int i = 0; i < settings.batch_count && !status; i++)
        status = (training ? train : infer)(&settings, model, device, settings.batches[i]);
    if (status)
        complain(status == INK_ERROR_MEMORY ? ink_status_text(status) : ink_last_error());
    ink_model_destroy(&model);
    ink_device_destroy(&device);
    return status ? 1 : 0;
}
