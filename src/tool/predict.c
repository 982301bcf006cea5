/* inkling predict: which digit is on a picture. Pictures that cannot be read are reported and the others still done. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "text.h"

enum { RUNNERS_UP = 2, BAR_CELLS = 40 };

/* The pictures that could be read, made into images of the model's shape. */
struct pictures {
    int count;
    const char **paths;   /* of all */
    char **errors;        /* of each, NULL for the readable ones */
    size_t *place;        /* of the readable ones: index of the image */
    uint8_t *images;      /* [readable][height][width][channels] */
    size_t readable;
    float *probabilities; /* [readable][classes] */
};

static void free_pictures(struct pictures *pictures)
{
    for (int i = 0; pictures->errors && i < pictures->count; i++)
        free(pictures->errors[i]);
    free(pictures->errors);
    free(pictures->place);
    free(pictures->images);
    free(pictures->probabilities);
}

static bool read_pictures(const struct settings *settings, struct ink_shape shape, int classes, struct pictures *pictures)
{
    size_t count = (size_t)settings->operand_count - 1, size = (size_t)shape.height * (size_t)shape.width * (size_t)shape.channels;
    *pictures = (struct pictures){.count = (int)count, .paths = (const char **)settings->operands + 1};
    pictures->errors = calloc(count, sizeof *pictures->errors);
    pictures->place = calloc(count, sizeof *pictures->place);
    pictures->images = calloc(count, size);
    pictures->probabilities = calloc(count, (size_t)classes * sizeof(float));
    if (!pictures->errors || !pictures->place || !pictures->images || !pictures->probabilities) {
        complain("no memory for %s pictures", text_count(count).s);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        struct ink_picture picture = {0};
        ink_status status = ink_picture_read_png(pictures->paths[i], &picture);
        if (!status)
            status = ink_picture_to_image(&picture, shape, pictures->images + pictures->readable * size);
        free(picture.pixels);
        if (status) {
            complain_library(pictures->paths[i]);
            pictures->errors[i] = strdup(ink_last_error());
            if (!pictures->errors[i])
                return false;
        } else {
            pictures->place[i] = pictures->readable++;
        }
    }
    return true;
}

/* The classes from likely to unlikely: the first `count` of them. */
static void rank_classes(const float *probabilities, int classes, int count, int *ranked)
{
    for (int i = 0; i < count; i++) {
        int best = -1;
        for (int j = 0; j < classes; j++) {
            bool is_taken = false;
            for (int k = 0; k < i; k++)
                is_taken |= ranked[k] == j;
            if (!is_taken && (best < 0 || probabilities[j] > probabilities[best]))
                best = j;
        }
        ranked[i] = best;
    }
}

static void print_prediction(const char *path, const float *probabilities, int classes)
{
    int ranked[1 + RUNNERS_UP];
    int shown = classes < 1 + RUNNERS_UP ? classes : 1 + RUNNERS_UP;
    rank_classes(probabilities, classes, shown, ranked);
    printf("%s: %s%d%s  %.2f %%", path, colour(COLOUR_BOLD), ranked[0], colour(COLOUR_OFF), 100 * (double)probabilities[ranked[0]]);
    for (int i = 1; i < shown; i++)
        printf("%s %d %.2f %%", i == 1 ? "  then" : ",", ranked[i], 100 * (double)probabilities[ranked[i]]);
    printf("\n");
    if (!terminal_out())
        return;
    for (int i = 0; i < shown; i++) {
        int cells = (int)(BAR_CELLS * (double)probabilities[ranked[i]] + 0.5);
        if (cells == 0)
            break;
        printf("  %d %s", ranked[i], colour(i ? COLOUR_DIM : COLOUR_GREEN));
        for (int j = 0; j < cells; j++)
            fputs(terminal_utf8() ? "\u2588" : "#", stdout);
        printf("%s\n", colour(COLOUR_OFF));
    }
}

static int print_predictions_json(const char *model, const struct pictures *pictures, int classes)
{
    struct json_object *root = json_object_new_object(), *list = json_object_new_array();
    for (int i = 0; i < pictures->count; i++) {
        struct json_object *item = json_object_new_object();
        json_object_object_add(item, "file", json_object_new_string(pictures->paths[i]));
        if (pictures->errors[i]) {
            json_object_object_add(item, "error", json_object_new_string(pictures->errors[i]));
        } else {
            const float *probabilities = pictures->probabilities + pictures->place[i] * (size_t)classes;
            struct json_object *values = json_object_new_array();
            int class = best_class(probabilities, classes);
            for (int j = 0; j < classes; j++)
                json_object_array_add(values, json_real((double)probabilities[j]));
            json_object_object_add(item, "class", json_object_new_int(class));
            json_object_object_add(item, "probability", json_real((double)probabilities[class]));
            json_object_object_add(item, "probabilities", values);
        }
        json_object_array_add(list, item);
    }
    json_object_object_add(root, "model", json_object_new_string(model));
    json_object_object_add(root, "images", list);
    return print_json(root);
}

static int run(const struct settings *settings)
{
    const char *name = settings->operands[0];
    ink_model *model = NULL;
    ink_device *device = NULL;
    ink_predictor *predictor = NULL;
    struct pictures pictures = {0};
    int status = EXIT_FAILED;
    if (!load_model(name, &model))
        goto done;
    struct ink_shape output = ink_model_output(model);
    int classes = output.channels;
    if (output.height != 1 || output.width != 1) {
        complain("%s: gives %s values an image, not one a class; it is not a classifier", name, text_shape(output).s);
        goto done;
    }
    if (!read_pictures(settings, ink_model_input(model), classes, &pictures))
        goto done;
    if (pictures.readable) {
        if (!open_device(settings, &device))
            goto done;
        if (ink_predictor_create(model, device, 0, &predictor)
            || ink_predictor_run(predictor, pictures.images, pictures.readable, pictures.probabilities)) {
            complain_library(name);
            goto done;
        }
    }
    status = pictures.readable == (size_t)pictures.count ? EXIT_OK : EXIT_FAILED;
    if (settings->json) {
        if (print_predictions_json(name, &pictures, classes))
            status = EXIT_FAILED;
        goto done;
    }
    for (int i = 0; i < pictures.count; i++)
        if (!pictures.errors[i])
            print_prediction(pictures.paths[i], pictures.probabilities + pictures.place[i] * (size_t)classes, classes);
done:
    free_pictures(&pictures);
    ink_predictor_destroy(&predictor);
    ink_device_destroy(&device);
    ink_model_destroy(&model);
    return status;
}

static const struct option options[] = {OPTION_OF_DEVICE, OPTION_OF_JSON, OPTION_OF_HELP};

const struct command predict_command = {
    .name = "predict", .operands = "MODEL IMAGE...", .least = 2, .most = INT_MAX, .options = options, .run = run,
    .summary = "tell the digits on PNG pictures",
    .more = "A picture may have any size and be dark on light or light on dark; the digit is found, scaled and centred\n"
            "as the training images are.\n",
};
