/* Data sets: where the files are, loading them, and data sets made of arrays in memory. */
#include "data/dataset.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/idx.h"
#include "util/file.h"

enum { FIELD_LIMIT = 65536, CLASS_LIMIT = 256 };

/* Two files a split: images, labels. */
static const char *const file_names[2][2] = {
    [INK_TRAIN] = {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"},
    [INK_TEST] = {"t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"},
};

/* Writes to path where a file of a folder is, plain before compressed; false if it is not there or path too small. */
static bool find_file(const char *folder, const char *name, char *path, size_t size)
{
    for (int zipped = 0; zipped < 2; zipped++) {
        int length = snprintf(path, size, "%s/%s%s", folder, name, zipped ? ".gz" : "");
        if (length >= 0 && (size_t)length < size && ink_file_exists(path))
            return true;
    }
    return false;
}

/* The name of the first of the four files that a folder lacks, or NULL. */
static const char *missing_file(const char *folder)
{
    char path[PATH_MAX];
    for (int split = 0; split < 2; split++)
        for (int part = 0; part < 2; part++)
            if (!find_file(folder, file_names[split][part], path, sizeof path))
                return file_names[split][part];
    return NULL;
}

ink_status ink_dataset_find(const char *folder, char *path, size_t size)
{
    if (!path || size == 0)
        return ink_fail(INK_ERROR_ARGUMENT, "ink_dataset_find: path is NULL or of no size; give room for the folder's "
                        "name");
    const char *named = getenv("INKLING_DATA");
    const char *given[] = {folder};
    const char *usual[] = {named && *named ? named : NULL, INK_INSTALLED_DATA "/mnist", INK_SOURCE_DATA "/mnist"};
    const char *const *folders = folder ? given : usual;
    size_t count = folder ? 1 : sizeof usual / sizeof *usual;

    char tried[8192] = "";
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (!folders[i])
            continue;
        const char *missing = missing_file(folders[i]);
        if (!missing) {
            if (strlen(folders[i]) >= size)
                return ink_fail(INK_ERROR_ARGUMENT, "ink_dataset_find: the folder %s does not fit into %zu bytes; give "
                                "more room", folders[i], size);
            memcpy(path, folders[i], strlen(folders[i]) + 1);
            return INK_OK;
        }
        if (!folder && i == 0)
            ink_log(INK_LOG_WARNING, "INKLING_DATA: %s has no %s, plain or with .gz; looking elsewhere", folders[i],
                    missing);
        int length = snprintf(tried + used, sizeof tried - used, "%s%s (no %s)", used ? ", " : "", folders[i], missing);
        used += length > 0 && (size_t)length < sizeof tried - used ? (size_t)length : 0;
        tried[used] = 0;
    }
    return ink_fail(INK_ERROR_FILE, "the MNIST files are not in %s; put the four files "
                    "{train,t10k}-{images-idx3,labels-idx1}-ubyte, plain or with .gz, there%s", tried,
                    folder ? ", or give another folder" : ", or set INKLING_DATA to their folder");
}

/* One more than the largest label, and at least 2. */
static int count_classes(const uint8_t *labels, size_t count)
{
    int classes = 2;
    for (size_t i = 0; i < count; i++)
        if (labels[i] >= classes)
            classes = labels[i] + 1;
    return classes;
}

ink_status ink_dataset_load(const char *folder, ink_split split, size_t limit, ink_dataset **dataset)
{
    if (!folder || !dataset)
        return ink_fail(INK_ERROR_ARGUMENT, "ink_dataset_load: %s is NULL; ink_dataset_find() gives a folder",
                        folder ? "dataset" : "folder");
    if (split != INK_TRAIN && split != INK_TEST)
        return ink_fail(INK_ERROR_ARGUMENT, "ink_dataset_load: split is %d; give INK_TRAIN or INK_TEST", (int)split);
    char paths[2][PATH_MAX];
    for (int part = 0; part < 2; part++)
        if (!find_file(folder, file_names[split][part], paths[part], sizeof paths[part]))
            return ink_fail(INK_ERROR_FILE, "%s: has no readable file %s, plain or with .gz; put it there or give "
                            "another folder", folder, file_names[split][part]);

    struct ink_idx images = {0}, labels = {0};
    ink_dataset *made = NULL;
    /* labels first: the shorter file, and all of it, as a limit is not to change the number of classes */
    ink_status status = ink_idx_read(paths[1], 1, 1, 0, &labels);
    if (status || (status = ink_idx_read(paths[0], 3, 4, limit, &images)))
        goto fail;
    if (images.dims[0] != labels.dims[0]) {
        status = ink_fail(INK_ERROR_FORMAT, "%s: holds %u images, but %s holds %u labels; the two must belong together",
                          paths[0], (unsigned)images.dims[0], paths[1], (unsigned)labels.dims[0]);
        goto fail;
    }
    made = malloc(sizeof *made);
    if (!made) {
        status = ink_fail_memory(sizeof *made);
        goto fail;
    }
    *made = (ink_dataset){
        .count = images.kept,
        .shape = {(int)images.dims[1], (int)images.dims[2], images.rank == 4 ? (int)images.dims[3] : 1},
        .classes = count_classes(labels.values, labels.kept),
        .images = images.values,
        .labels = labels.values,
    };
    *dataset = made;
    return INK_OK;
fail:
    free(images.values);
    free(labels.values);
    return status;
}

ink_status ink_dataset_create(const uint8_t *images, const uint8_t *labels, size_t count, struct ink_shape shape,
                              int classes, ink_dataset **dataset)
{
    if (!images || !labels || !dataset)
        return ink_fail(INK_ERROR_ARGUMENT, "ink_dataset_create: %s is NULL",
                        !images ? "images" : !labels ? "labels" : "dataset");
    const int fields[] = {shape.height, shape.width, shape.channels};
    static const char *const field_names[] = {"height", "width", "channels"};
    for (int i = 0; i < 3; i++)
        if (fields[i] < 1 || fields[i] > FIELD_LIMIT)
            return ink_fail(INK_ERROR_ARGUMENT, "ink_dataset_create: shape.%s is %d; give 1 to %d", field_names[i],
                            fields[i], FIELD_LIMIT);
    if (classes < 2 || classes > CLASS_LIMIT)
        return ink_fail(INK_ERROR_ARGUMENT, "ink_dataset_create: classes is %d; give 2 to %d", classes, CLASS_LIMIT);
    uint64_t item = (uint64_t)shape.height * (uint64_t)shape.width * (uint64_t)shape.channels;
    if (count < 1 || count > INT32_MAX || item > SIZE_MAX / 2 || count > SIZE_MAX / 2 / item)
        return ink_fail(INK_ERROR_ARGUMENT, "ink_dataset_create: count is %zu; give 1 to %d images that fit in memory",
                        count, INT32_MAX);
    for (size_t i = 0; i < count; i++)
        if (labels[i] >= classes)
            return ink_fail(INK_ERROR_ARGUMENT, "ink_dataset_create: label %zu is %d; each must be below the %d "
                            "classes", i, labels[i], classes);

    ink_dataset *made = malloc(sizeof *made);
    if (!made)
        return ink_fail_memory(sizeof *made);
    size_t bytes = (size_t)item * count;
    *made = (ink_dataset){count, shape, classes, malloc(bytes), malloc(count)};
    if (!made->images || !made->labels) {
        ink_dataset_destroy(&made);
        return ink_fail_memory(bytes + count);
    }
    memcpy(made->images, images, bytes);
    memcpy(made->labels, labels, count);
    *dataset = made;
    return INK_OK;
}

void ink_dataset_destroy(ink_dataset **dataset)
{
    if (!dataset || !*dataset)
        return;
    free((*dataset)->images);
    free((*dataset)->labels);
    free(*dataset);
    *dataset = NULL;
}

size_t ink_dataset_count(const ink_dataset *dataset) { return dataset->count; }

int ink_dataset_classes(const ink_dataset *dataset) { return dataset->classes; }

struct ink_shape ink_dataset_shape(const ink_dataset *dataset) { return dataset->shape; }

const uint8_t *ink_dataset_image(const ink_dataset *dataset, size_t i)
{
    const struct ink_shape *shape = &dataset->shape;
    return dataset->images + i * ((size_t)shape->height * (size_t)shape->width * (size_t)shape->channels);
}

int ink_dataset_label(const ink_dataset *dataset, size_t i) { return dataset->labels[i]; }
