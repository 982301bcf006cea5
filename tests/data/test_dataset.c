/* Data sets: found, loaded, created; MNIST itself, and small folders that are wrong in one way each. */
#include <stdint.h>
#include <string.h>

#include "scratch.h"
#include "suite.h"

#define MNIST INK_TEST_DATA "/mnist"

/* Writes a split's two files to a new folder: count images of 2 x 2 whose first byte is 10 times their number, and the
 * labels given. */
static const char *write_folder(const char *name, const char *split, int images, const char *labels)
{
    const char *folder = scratch_path(name);
    char path[PATH_MAX];
    uint8_t bytes[16 + 4 * 20] = {0, 0, 8, 3, 0, 0, 0, (uint8_t)images, 0, 0, 0, 2, 0, 0, 0, 2};
    for (int i = 0; i < images; i++)
        bytes[16 + 4 * i] = (uint8_t)(10 * i);
    mkdir(folder, 0755);
    snprintf(path, sizeof path, "%.4000s/%s-images-idx3-ubyte", folder, split);
    scratch_write(path, bytes, 16 + 4 * (size_t)images);
    uint8_t answers[8 + 20] = {0, 0, 8, 1, 0, 0, 0, (uint8_t)strlen(labels)};
    for (size_t i = 0; i < strlen(labels); i++)
        answers[8 + i] = (uint8_t)(labels[i] - '0');
    snprintf(path, sizeof path, "%.4000s/%s-labels-idx1-ubyte", folder, split);
    scratch_write(path, answers, 8 + strlen(labels));
    return folder;
}

/* Sums of every image's bytes, each times its place in the image, and of the labels, each times its place, as computed
 * apart with NumPy. */
START_TEST(mnist_is_loaded)
{
    static const struct {
        ink_split split;
        size_t count;
        uint64_t image_sum, label_sum;
    } cases[] = {{INK_TRAIN, 60000, 637784654393, 8023005948}, {INK_TEST, 10000, 107790167391, 221901817}};
    for (int i = 0; i < 2; i++) {
        ink_dataset *dataset;
        ck_ok(ink_dataset_load(MNIST, cases[i].split, 0, &dataset));
        struct ink_shape shape = ink_dataset_shape(dataset);
        ck_assert(shape.height == 28 && shape.width == 28 && shape.channels == 1);
        ck_assert_uint_eq(ink_dataset_count(dataset), cases[i].count);
        ck_assert_int_eq(ink_dataset_classes(dataset), 10);
        uint64_t image_sum = 0, label_sum = 0;
        for (size_t n = 0; n < cases[i].count; n++) {
            for (size_t k = 0; k < 28 * 28; k++)
                image_sum += ink_dataset_image(dataset, n)[k] * (k + 1);
            label_sum += (uint64_t)ink_dataset_label(dataset, n) * (n + 1);
        }
        ck_assert_uint_eq(image_sum, cases[i].image_sum);
        ck_assert_uint_eq(label_sum, cases[i].label_sum);
        ink_dataset_destroy(&dataset);
        ck_assert_ptr_null(dataset);
        ink_dataset_destroy(&dataset);
    }
}
END_TEST

START_TEST(limit_takes_the_first_and_keeps_the_classes)
{
    const char *folder = write_folder("limited", "train", 5, "01062");
    ink_dataset *dataset;
    static const size_t limits[] = {1, 3, 5, 6, 0}, counts[] = {1, 3, 5, 5, 5};
    for (int i = 0; i < 5; i++) {
        ck_ok(ink_dataset_load(folder, INK_TRAIN, limits[i], &dataset));
        ck_assert_uint_eq(ink_dataset_count(dataset), counts[i]);
        ck_assert_int_eq(ink_dataset_classes(dataset), 7);
        for (size_t n = 0; n < counts[i]; n++) {
            ck_assert_int_eq(ink_dataset_image(dataset, n)[0], (int)(10 * n));
            ck_assert_int_eq(ink_dataset_label(dataset, n), "01062"[n] - '0');
        }
        ink_dataset_destroy(&dataset);
    }
    ck_ok(ink_dataset_load(write_folder("same", "t10k", 3, "000"), INK_TEST, 0, &dataset));
    ck_assert_int_eq(ink_dataset_classes(dataset), 2);
    ink_dataset_destroy(&dataset);
}
END_TEST

START_TEST(channels_come_last)
{
    const char *folder = write_folder("colour", "train", 1, "1");
    static const uint8_t bytes[] = {0, 0, 8, 4, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6};
    scratch_write(scratch_path("colour/train-images-idx3-ubyte"), bytes, sizeof bytes);
    ink_dataset *dataset;
    ck_ok(ink_dataset_load(folder, INK_TRAIN, 0, &dataset));
    struct ink_shape shape = ink_dataset_shape(dataset);
    ck_assert(shape.height == 1 && shape.width == 2 && shape.channels == 3);
    ck_assert(memcmp(ink_dataset_image(dataset, 0), bytes + 20, 6) == 0);
    ink_dataset_destroy(&dataset);
}
END_TEST

START_TEST(wrong_folders_are_refused)
{
    ink_dataset *dataset = NULL;
    ck_fails(ink_dataset_load(write_folder("fewer", "train", 3, "01"), INK_TRAIN, 0, &dataset), INK_ERROR_FORMAT,
             "holds 3 images, but");
    ck_assert(strstr(ink_last_error(), "holds 2 labels") != NULL);
    ck_assert(strstr(ink_last_error(), scratch_path("fewer/train-labels")) != NULL);
    ck_fails(ink_dataset_load(write_folder("more", "train", 2, "0123"), INK_TRAIN, 1, &dataset), INK_ERROR_FORMAT,
             "4 labels");
    ck_fails(ink_dataset_load(scratch_path("more"), INK_TEST, 0, &dataset), INK_ERROR_FILE, "t10k-images-idx3-ubyte");
    unlink(scratch_path("more/train-labels-idx1-ubyte"));
    ck_fails(ink_dataset_load(scratch_path("more"), INK_TRAIN, 0, &dataset), INK_ERROR_FILE, "train-labels-idx1-ubyte");
    scratch_write(scratch_path("more/train-labels-idx1-ubyte.gz"), "\0\0\10\3\0\0\0\1\0\0\0\1\0\0\0\1", 17);
    ck_fails(ink_dataset_load(scratch_path("more"), INK_TRAIN, 0, &dataset), INK_ERROR_FORMAT,
             "found 3 dimensions, expected 1");
    ck_fails(ink_dataset_load(NULL, INK_TRAIN, 0, &dataset), INK_ERROR_ARGUMENT, "folder is NULL");
    ck_fails(ink_dataset_load(MNIST, (ink_split)2, 0, &dataset), INK_ERROR_ARGUMENT, "split is 2");
    ck_assert_ptr_null(dataset);
}
END_TEST

static char logged[PATH_MAX];

static void keep_log(ink_log_level level, const char *text, void *user)
{
    (void)level;
    (void)user;
    snprintf(logged, sizeof logged, "%s", text);
}

START_TEST(folders_are_searched_in_order)
{
    char path[PATH_MAX] = "kept";
    const char *folder = write_folder("whole", "train", 1, "1");
    ck_fails(ink_dataset_find(folder, path, sizeof path), INK_ERROR_FILE, "no t10k-images-idx3-ubyte");
    ck_assert(strstr(ink_last_error(), folder) != NULL);
    ck_fails(ink_dataset_find(scratch_path("none"), path, sizeof path), INK_ERROR_FILE, "no train-images-idx3-ubyte");
    ck_assert_str_eq(path, "kept");

    write_folder("whole", "t10k", 1, "1");
    ck_ok(ink_dataset_find(folder, path, sizeof path));
    ck_assert_str_eq(path, folder);
    ck_ok(ink_dataset_find(MNIST, path, sizeof path));
    ck_assert_str_eq(path, MNIST);
    setenv("INKLING_DATA", folder, 1);
    ck_ok(ink_dataset_find(NULL, path, sizeof path));
    ck_assert_str_eq(path, folder);
    ck_fails(ink_dataset_find(NULL, path, strlen(folder)), INK_ERROR_ARGUMENT, "does not fit");
    ck_fails(ink_dataset_find(NULL, NULL, 0), INK_ERROR_ARGUMENT, "path is NULL");

    /* a wrong INKLING_DATA is told of, and the folders after it are tried */
    ink_set_log(keep_log, NULL);
    setenv("INKLING_DATA", scratch_path("none"), 1);
    ck_ok(ink_dataset_find(NULL, path, sizeof path));
    ck_assert(strstr(logged, scratch_path("none")) != NULL);
    ck_assert(strstr(path, "mnist") != NULL);
    logged[0] = 0;
    unsetenv("INKLING_DATA");
    ck_ok(ink_dataset_find(NULL, path, sizeof path));
    ck_assert_str_eq(logged, "");
}
END_TEST

START_TEST(created_data_sets_are_copies)
{
    uint8_t images[2 * 2 * 3 * 2], labels[] = {4, 1};
    for (size_t i = 0; i < sizeof images; i++)
        images[i] = (uint8_t)i;
    ink_dataset *dataset;
    ck_ok(ink_dataset_create(images, labels, 2, (struct ink_shape){2, 3, 2}, 5, &dataset));
    memset(images, 0, sizeof images);
    memset(labels, 0, sizeof labels);
    ck_assert_uint_eq(ink_dataset_count(dataset), 2);
    ck_assert_int_eq(ink_dataset_classes(dataset), 5);
    ck_assert_int_eq(ink_dataset_image(dataset, 1)[0], 12);
    ck_assert_int_eq(ink_dataset_label(dataset, 0), 4);
    ink_dataset_destroy(&dataset);

    dataset = NULL;
    labels[1] = 5;
    struct ink_shape shape = {2, 3, 2};
    ck_fails(ink_dataset_create(images, labels, 2, shape, 5, &dataset), INK_ERROR_ARGUMENT, "label 1 is 5");
    ck_fails(ink_dataset_create(NULL, labels, 2, shape, 6, &dataset), INK_ERROR_ARGUMENT, "images is NULL");
    ck_fails(ink_dataset_create(images, NULL, 2, shape, 6, &dataset), INK_ERROR_ARGUMENT, "labels is NULL");
    ck_fails(ink_dataset_create(images, labels, 2, shape, 6, NULL), INK_ERROR_ARGUMENT, "dataset is NULL");
    ck_fails(ink_dataset_create(images, labels, 0, shape, 6, &dataset), INK_ERROR_ARGUMENT, "count is 0");
    ck_fails(ink_dataset_create(images, labels, 2, shape, 1, &dataset), INK_ERROR_ARGUMENT, "classes is 1");
    ck_fails(ink_dataset_create(images, labels, 2, shape, 257, &dataset), INK_ERROR_ARGUMENT, "classes is 257");
    shape.width = 0;
    ck_fails(ink_dataset_create(images, labels, 2, shape, 6, &dataset), INK_ERROR_ARGUMENT, "shape.width is 0");
    shape = (struct ink_shape){-1, 3, 2};
    ck_fails(ink_dataset_create(images, labels, 2, shape, 6, &dataset), INK_ERROR_ARGUMENT, "shape.height is -1");
    shape = (struct ink_shape){65536, 65536, 65536};
    ck_fails(ink_dataset_create(images, labels, (size_t)1 << 30, shape, 6, &dataset), INK_ERROR_ARGUMENT,
             "fit in memory");
    ck_assert_ptr_null(dataset);
}
END_TEST

int main(void)
RUN_SUITE("dataset", mnist_is_loaded, limit_takes_the_first_and_keeps_the_classes, channels_come_last,
          wrong_folders_are_refused, folders_are_searched_in_order, created_data_sets_are_copies)
