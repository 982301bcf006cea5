/* Devices, data and models as the options name them; see common.h. */
#include "common.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "text.h"

enum { MODEL_TEXT_MOST = 1 << 20 };

bool open_device(const struct settings *settings, ink_device **device)
{
    if (!ink_device_open(settings->device, device))
        return true;
    complain_library(settings->device ? "--device" : NULL);
    return false;
}

bool find_data(const struct settings *settings, char *path)
{
    if (!ink_dataset_find(settings->data, path, DATA_PATH_SIZE))
        return true;
    complain_library(settings->data ? "--data" : NULL);
    return false;
}

bool load_data(const char *path, ink_split split, const struct settings *settings, ink_dataset **dataset)
{
    if (!ink_dataset_load(path, split, (size_t)settings->limit, dataset))
        return true;
    complain_library(path);
    return false;
}

bool load_model(const char *path, ink_model **model)
{
    if (!ink_model_load(path, model))
        return true;
    complain_library(path);
    return false;
}

char *read_text(const char *path, size_t most, const char *what)
{
    char *text = NULL;
    struct stat info;
    FILE *file = fopen(path, "rb");
    if (!file || fstat(fileno(file), &info) != 0) {
        complain("%s: cannot be opened: %s", path, strerror(errno));
        goto fail;
    }
    if (S_ISDIR(info.st_mode)) {
        complain("%s: is a folder, not a file with %s", path, what);
        goto fail;
    }
    text = malloc(most + 1);
    if (!text) {
        complain("%s: no memory to read it", path);
        goto fail;
    }
    size_t size = fread(text, 1, most + 1, file);
    if (ferror(file)) {
        complain("%s: cannot be read: %s", path, strerror(errno));
        goto fail;
    }
    if (size > most || memchr(text, 0, size)) {
        complain("%s: is not %s", path, what);
        goto fail;
    }
    text[size] = 0;
    fclose(file);
    return text;
fail:
    free(text);
    if (file)
        fclose(file);
    return NULL;
}

bool parse_model(const char *path, ink_model **model)
{
    char *text = read_text(path, MODEL_TEXT_MOST,
                           "the text form of a model (a line \"input 28x28x1\", then a line a layer); weights are not read here");
    bool failed = !text || ink_model_parse(text, model);
    if (text && failed)
        complain_library(path);
    free(text);
    return !failed;
}

int open_model(const struct settings *settings, ink_model **model, const char **name)
{
    *name = settings->operand_count ? settings->operands[0] : settings->model ? settings->model : "reference model";
    if (settings->operand_count && settings->model) {
        complain("give a MODEL or --model, not both");
        return EXIT_USAGE;
    }
    if (settings->operand_count)
        return load_model(*name, model) ? EXIT_OK : EXIT_FAILED;
    if (settings->model && !parse_model(*name, model))
        return EXIT_FAILED;
    if (!settings->model && ink_model_create_reference((struct ink_shape){28, 28, 1}, 10, model))
        return complain_library(NULL);
    return ink_model_initialise(*model, 1) ? complain_library(NULL) : EXIT_OK;
}

bool session_open(const struct settings *settings, struct session *session)
{
    *session = (struct session){0};
    const char *name = settings->operands[0];
    if (!load_model(name, &session->model) || !find_data(settings, session->path)
        || !load_data(session->path, INK_TEST, settings, &session->test))
        goto fail;
    struct ink_shape wants = ink_model_input(session->model), has = ink_dataset_shape(session->test);
    struct ink_shape output = ink_model_output(session->model);
    session->classes = output.channels;
    if (wants.height != has.height || wants.width != has.width || wants.channels != has.channels) {
        complain("%s: takes images of %s, but those of %s are %s; choose data that fits with --data", name,
                 text_shape(wants).s, session->path, text_shape(has).s);
        goto fail;
    }
    if (output.height != 1 || output.width != 1 || output.channels < ink_dataset_classes(session->test)) {
        complain("%s: gives %s values an image, but %s has %d classes; choose data that fits with --data", name,
                 text_shape(output).s, session->path, ink_dataset_classes(session->test));
        goto fail;
    }
    if (open_device(settings, &session->device))
        return true;
fail:
    session_close(session);
    return false;
}

bool session_evaluate(const struct settings *settings, struct session *session)
{
    size_t count = ink_dataset_count(session->test);
    session->probabilities = calloc(count, (size_t)session->classes * sizeof(float));
    if (!session->probabilities) {
        complain("no memory for the probabilities of %s images", text_count(count).s);
        return false;
    }
    struct ink_evaluate_options options = {.batch = (int)settings->batch, .algorithms = settings->algorithms, .tune = INK_TUNE_KNOWN};
    if (!ink_evaluate(session->model, session->device, session->test, &options, session->probabilities, &session->metrics))
        return true;
    complain_library(settings->operands[0]);
    return false;
}

void session_close(struct session *session)
{
    free(session->probabilities);
    session->probabilities = NULL;
    ink_device_destroy(&session->device);
    ink_dataset_destroy(&session->test);
    ink_model_destroy(&session->model);
}

uint64_t hash_of(uint64_t seed, uint64_t index)
{
    uint64_t z = seed * 0x9e3779b97f4a7c15u ^ (index + 1) * 0xd1342543de82ef95u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

int best_class(const float *probabilities, int classes)
{
    int best = 0;
    for (int i = 1; i < classes; i++)
        if (probabilities[i] > probabilities[best])
            best = i;
    return best;
}

void print_data(const char *path, const ink_dataset *train, const ink_dataset *test)
{
    printf("data    %s: ", path);
    if (train)
        printf("%s training%s", text_count(ink_dataset_count(train)).s, test ? " and " : "");
    if (test)
        printf("%s test", text_count(ink_dataset_count(test)).s);
    printf(" images of %s\n", text_shape(ink_dataset_shape(train ? train : test)).s);
}

void print_device(const ink_device *device)
{
    const struct ink_device_info *info = ink_device_get_info(device);
    printf("device  %s (%s)%s%s\n", info->name, info->platform, *info->why ? ": " : "", info->why);
}

int print_json(struct json_object *object)
{
    if (!object) {
        complain("no memory for the JSON text");
        return EXIT_FAILED;
    }
    puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED
                                                    | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(object);
    return EXIT_OK;
}

struct json_object *json_shape(struct ink_shape shape)
{
    struct json_object *array = json_object_new_array();
    json_object_array_add(array, json_object_new_int(shape.height));
    json_object_array_add(array, json_object_new_int(shape.width));
    json_object_array_add(array, json_object_new_int(shape.channels));
    return array;
}

struct json_object *json_real(double value)
{
    if (!isfinite(value))
        return NULL;
    char digits[40]; /* %.7g, a float's digits: json-c's own 17 are noise here */
    snprintf(digits, sizeof digits, "%.7g", value);
    return json_object_new_double_s(value, digits);
}

struct json_object *json_count(uint64_t value)
{
    return value <= INT64_MAX ? json_object_new_int64((int64_t)value) : json_object_new_uint64(value);
}
