/* Distorted training images; see augment.h. */
#include "augment.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common.h"
#include "grid.h"
#include "options.h"
#include "output.h"
#include "surface.h"
#include "text.h"

enum { COLUMNS = 10, DRAWS = COLUMNS - 1 };

bool is_augmented(const struct ink_augmentation *a)
{
    return a->shift > 0 || a->rotate > 0 || a->scale > 0 || a->shear > 0 || a->elastic > 0 || a->thickness > 0 || a->contrast > 0 || a->noise > 0
           || a->erase > 0;
}

bool check_augmentation(const struct ink_augmentation *augmentation)
{
    if (augmentation->elastic_smoothness <= 0 || augmentation->elastic > 0)
        return true;
    complain("--elastic-smoothness is for --elastic; give both, or leave it out");
    return false;
}

bool check_show_augmented(const struct settings *settings)
{
    if (!check_augmentation(&settings->augmentation))
        return false;
    if (settings->augment && settings->operand_count) {
        complain("--augment shows training images, without a model; leave out %s, or --augment", settings->operands[0]);
        return false;
    }
    if (settings->augment && settings->wrong) {
        complain("--wrong is of a model, which --augment does without; leave out one of them");
        return false;
    }
    if (settings->augment && !is_augmented(&settings->augmentation)) {
        complain("--augment: nothing is to be distorted; say how, for example --shift 2 --rotate 10");
        return false;
    }
    if (!settings->augment && is_augmented(&settings->augmentation)) {
        complain("distortions are for --augment, as test images stay as they are; give it, or leave them out");
        return false;
    }
    if (settings->augment || settings->operand_count)
        return true;
    complain("show needs MODEL, or --augment");
    options_usage(&show_command, stderr);
    return false;
}

/* The samples with the lowest hashes, in file order. */
static void choose(uint64_t seed, size_t count, uint32_t *samples, size_t rows)
{
    uint64_t after = 0;
    for (size_t r = 0; r < rows; r++) {
        size_t best = 0;
        uint64_t least = UINT64_MAX;
        for (size_t i = 0; i < count; i++) {
            uint64_t value = hash_of(seed, i);
            if (value <= least && (r == 0 || value > after)) {
                least = value;
                best = i;
            }
        }
        after = least;
        samples[r] = (uint32_t)best;
    }
}

/* Row by row: the sample as it is, then its draws. */
static bool fill(const struct settings *settings, const ink_dataset *data, ink_device *device, const uint32_t *samples, size_t rows, float *values,
                 uint8_t *bytes, char (*captions)[32], struct grid_item *items)
{
    struct ink_shape shape = ink_dataset_shape(data);
    size_t count = (size_t)shape.height * (size_t)shape.width * (size_t)shape.channels;
    for (size_t r = 0; r < rows; r++) {
        snprintf(captions[0], sizeof captions[0], "as it is");
        items[r * COLUMNS] = (struct grid_item){.image = ink_dataset_image(data, samples[r]), .caption = captions[0]};
    }
    for (int epoch = 1; epoch <= DRAWS; epoch++) {
        if (ink_dataset_augment(data, device, &settings->augmentation, settings->seed, epoch, samples, rows, values)) {
            complain_library(NULL);
            return false;
        }
        snprintf(captions[epoch], sizeof captions[0], "epoch %d", epoch);
        for (size_t r = 0; r < rows; r++) {
            uint8_t *image = bytes + (r * DRAWS + (size_t)epoch - 1) * count;
            for (size_t i = 0; i < count; i++)
                image[i] = (uint8_t)lrintf(255 * values[r * count + i]);
            items[r * COLUMNS + (size_t)epoch] = (struct grid_item){.image = image, .caption = captions[epoch]};
        }
    }
    return true;
}

static bool draw(const struct settings *settings, const ink_dataset *data, ink_device *device)
{
    struct ink_shape shape = ink_dataset_shape(data);
    size_t count = (size_t)shape.height * (size_t)shape.width * (size_t)shape.channels;
    size_t rows = ((size_t)settings->count + COLUMNS - 1) / COLUMNS;
    rows = rows < ink_dataset_count(data) ? rows : ink_dataset_count(data);
    uint32_t *samples = calloc(rows, sizeof *samples);
    float *values = calloc(rows * count, sizeof *values);
    uint8_t *bytes = calloc(rows * DRAWS, count);
    struct grid_item *items = calloc(rows * COLUMNS, sizeof *items);
    char captions[COLUMNS][32], subtitle[256];
    bool done = false;
    if (!samples || !values || !bytes || !items) {
        complain("no memory for %s images", text_count(rows * COLUMNS).s);
    } else {
        choose(settings->seed, ink_dataset_count(data), samples, rows);
        done = fill(settings, data, device, samples, rows, values, bytes, captions, items);
    }
    snprintf(subtitle, sizeof subtitle, "%s images, drawn at random (seed %llu), and what each of the first %d epochs sees of them", text_count(rows).s,
             (unsigned long long)settings->seed, DRAWS);
    struct grid grid = {"Training images as they are distorted", subtitle, shape, items, (int)(rows * COLUMNS), COLUMNS};
    if (done)
        done = grid_write_png(&grid, settings->out);
    if (done)
        printf("drew %s images in %s\n", text_count(rows * COLUMNS).s, settings->out);
    free(samples);
    free(values);
    free(bytes);
    free(items);
    return done;
}

int show_augmented(const struct settings *settings)
{
    char path[DATA_PATH_SIZE];
    ink_dataset *data = NULL;
    ink_device *device = NULL;
    bool done = output_is_possible(settings->out, settings->force, "a PNG picture", surface_is_png) && find_data(settings, path)
                && load_data(path, INK_TRAIN, settings, &data) && open_device(settings, &device);
    if (done) {
        print_data(path, data, NULL);
        print_device(device);
        fflush(stdout);
        done = draw(settings, data, device);
    }
    ink_device_destroy(&device);
    ink_dataset_destroy(&data);
    return done ? EXIT_OK : EXIT_FAILED;
}
