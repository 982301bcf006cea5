/* The sampler: what is kept apart, the order of an epoch, how it falls into batches, and these into the parts of workers. */
#include <math.h>
#include <string.h>

#include "suite.h"
#include "train/sampler.h"
#include "train/train.h"
#include "util/rng.h"

enum { COUNT = 744, CLASSES = 5 };
static const size_t class_counts[CLASSES] = {1, 3, 40, 200, 500};

/* Classes of very different sizes, mixed; an image is a byte. */
static ink_dataset *make_data(void)
{
    static uint8_t images[COUNT], labels[COUNT];
    uint32_t order[COUNT];
    size_t at = 0;
    ink_dataset *dataset = NULL;
    ink_random_order(1, 1, order, COUNT);
    for (int c = 0; c < CLASSES; c++)
        for (size_t i = 0; i < class_counts[c]; i++)
            labels[order[at++]] = (uint8_t)c;
    ck_ok(ink_dataset_create(images, labels, COUNT, (struct ink_shape){1, 1, 1}, CLASSES, &dataset));
    return dataset;
}

static struct ink_train_options fill_in(struct ink_train_options given)
{
    struct ink_train_options options;
    ck_ok(ink_train_defaults(&given, &options));
    return options;
}

/* Both parts make up the data, and each class keeps its share to within a sample. */
START_TEST(the_split_is_stratified)
{
    static const double shares[] = {0.001, 0.1, 0.25, 0.5, 0.9};
    ink_dataset *data = make_data();
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++)
        for (uint64_t seed = 0; seed < 5; seed++) {
            struct ink_train_options options = fill_in((struct ink_train_options){.validation = shares[i], .seed = seed});
            struct ink_sampler sampler;
            size_t apart[CLASSES] = {0};
            bool seen[COUNT] = {0};
            ck_ok(ink_sampler_create(data, &options, &sampler));
            ck_assert_uint_eq(sampler.apart_count, ink_validation_count(&options, COUNT));
            ck_assert_double_eq_tol((double)sampler.apart_count, shares[i] * COUNT, 0.5);
            ck_assert_uint_eq(sampler.kept_count + sampler.apart_count, COUNT);
            for (size_t k = 0; k < COUNT; k++) {
                bool kept = k < sampler.kept_count;
                uint32_t number = kept ? sampler.kept[k] : sampler.apart[k - sampler.kept_count];
                ck_assert(!seen[number]);
                seen[number] = true;
                apart[ink_dataset_label(data, number)] += !kept;
            }
            for (int c = 0; c < CLASSES; c++) {
                ck_assert_double_lt(fabs((double)apart[c] - (double)class_counts[c] * (double)sampler.apart_count / COUNT), 1);
                ck_assert_uint_eq(sampler.classes[c], class_counts[c] - apart[c]);
            }
            ink_sampler_destroy(&sampler);
        }
    ink_dataset_destroy(&data);
}
END_TEST

START_TEST(the_split_depends_on_the_seed_alone)
{
    ink_dataset *data = make_data();
    const struct ink_train_options given[] = {
        {.seed = 7}, {.seed = 7, .epochs = 50, .batch = 3, .batch_to = 90, .sampling = INK_SAMPLING_STRATIFIED, .learning_rate = 0.5}, {.seed = 8},
    };
    uint32_t first[COUNT];
    for (int i = 0; i < 3; i++) {
        struct ink_train_options options = given[i];
        struct ink_sampler sampler;
        options.validation = 0.2;
        options = fill_in(options);
        ck_ok(ink_sampler_create(data, &options, &sampler));
        size_t bytes = sampler.apart_count * sizeof *first;
        if (i == 0)
            memcpy(first, sampler.apart, bytes);
        ck_assert_int_eq(memcmp(first, sampler.apart, bytes) == 0, given[i].seed == 7);
        ink_sampler_destroy(&sampler);
    }
    ink_dataset_destroy(&data);
}
END_TEST

START_TEST(a_split_that_leaves_nothing_is_refused)
{
    ink_dataset *data = make_data();
    struct ink_sampler sampler = {0};
    struct ink_train_options options = fill_in((struct ink_train_options){.validation = 0.0005});
    ck_fails(ink_sampler_create(data, &options, &sampler), INK_ERROR_ARGUMENT, "validation is 0.0005, which of 744 samples leaves none to validate on");
    options.validation = 0.9995;
    ck_fails(ink_sampler_create(data, &options, &sampler), INK_ERROR_ARGUMENT, "leaves none to train on");
    options.validation = 1;
    ck_fails(ink_train_defaults(&options, &options), INK_ERROR_ARGUMENT, "validation is 1");
    ck_assert_ptr_null(sampler.kept);
    ink_dataset_destroy(&data);
}
END_TEST

/* Every epoch goes through all that is kept, each in another order; without a split the order is the plain one of the generator. */
START_TEST(orders_are_permutations)
{
    ink_dataset *data = make_data();
    uint32_t orders[3][COUNT];
    for (int way = 0; way < 4; way++) {
        struct ink_train_options options = fill_in((struct ink_train_options){
            .seed = 3, .validation = way & 1 ? 0.3 : 0, .sampling = way & 2 ? INK_SAMPLING_STRATIFIED : INK_SAMPLING_SHUFFLED});
        struct ink_sampler sampler;
        ck_ok(ink_sampler_create(data, &options, &sampler));
        size_t bytes = sampler.kept_count * sizeof **orders;
        for (int epoch = 1; epoch <= 3; epoch++) {
            uint32_t *order = orders[epoch - 1], again[COUNT];
            bool kept[COUNT] = {0};
            ck_ok(ink_sampler_order(&sampler, epoch, order));
            ck_ok(ink_sampler_order(&sampler, epoch, again));
            ck_assert_mem_eq(order, again, bytes);
            for (size_t i = 0; i < sampler.kept_count; i++)
                kept[sampler.kept[i]] = true;
            for (size_t i = 0; i < sampler.kept_count; i++) {
                ck_assert(kept[order[i]]);
                kept[order[i]] = false;
            }
            if (way == 0) {
                ink_random_order(3, INK_STREAM(INK_STREAM_ORDER, epoch), again, COUNT);
                ck_assert_mem_eq(order, again, bytes);
            }
        }
        ck_assert_mem_ne(orders[0], orders[1], bytes);
        ck_assert_mem_ne(orders[1], orders[2], bytes);
        ink_sampler_destroy(&sampler);
    }
    ink_dataset_destroy(&data);
}
END_TEST

/* The largest distance of a class from its share: of all beginnings of the order, and of all batches. */
static void find_worst(const struct ink_sampler *sampler, const uint32_t *order, size_t batch, double *prefix, double *within)
{
    size_t taken[CLASSES] = {0};
    double before[CLASSES] = {0};
    *prefix = *within = 0;
    for (size_t p = 1; p <= sampler->kept_count; p++) {
        taken[sampler->labels[order[p - 1]]]++;
        for (int c = 0; c < CLASSES; c++) {
            double off = (double)taken[c] - (double)sampler->classes[c] * (double)p / (double)sampler->kept_count;
            *prefix = fmax(*prefix, fabs(off));
            if (p % batch == 0 || p == sampler->kept_count) {
                *within = fmax(*within, fabs(off - before[c]));
                before[c] = off;
            }
        }
    }
}

START_TEST(stratified_batches_have_the_proportions)
{
    ink_dataset *data = make_data();
    for (int stratified = 0; stratified < 2; stratified++) {
        struct ink_train_options options = fill_in((struct ink_train_options){
            .seed = 3, .validation = 0.1, .sampling = stratified ? INK_SAMPLING_STRATIFIED : INK_SAMPLING_SHUFFLED});
        struct ink_sampler sampler;
        uint32_t order[COUNT];
        double prefix, within;
        ck_ok(ink_sampler_create(data, &options, &sampler));
        ck_ok(ink_sampler_order(&sampler, 2, order));
        for (size_t batch = 16; batch <= 128; batch *= 2) {
            find_worst(&sampler, order, batch, &prefix, &within);
            ck_assert_msg((prefix < 1) == stratified && (within < 2) == stratified, "batches of %zu, sampling %d: off by %g, in a batch by %g", batch,
                          stratified, prefix, within);
        }
        ink_sampler_destroy(&sampler);
    }
    ink_dataset_destroy(&data);
}
END_TEST

START_TEST(batches_grow)
{
    struct ink_train_options options = fill_in((struct ink_train_options){.epochs = 9, .batch = 48, .batch_to = 300, .batch_every = 2});
    static const int sizes[9] = {48, 48, 96, 96, 192, 192, 300, 300, 300};
    uint64_t before = 0;
    for (int epoch = 1; epoch <= 9; epoch++) {
        size_t at = 0, steps = ink_epoch_steps(&options, COUNT, epoch);
        ck_assert_int_eq(ink_epoch_batch(&options, COUNT, epoch), sizes[epoch - 1]);
        ck_assert_int_eq(ink_epoch_batch(&options, 100, epoch), sizes[epoch - 1] < 100 ? sizes[epoch - 1] : 100);
        ck_assert_uint_eq(ink_steps_before(&options, COUNT, epoch), before);
        for (size_t step = 0; step < steps; step++) {
            struct ink_batch batch = ink_epoch_step(&options, COUNT, epoch, step);
            ck_assert_uint_eq(batch.start, at);
            ck_assert_uint_eq(batch.count, step + 1 < steps ? (size_t)sizes[epoch - 1] : COUNT - at);
            ck_assert_uint_gt(batch.count, 0);
            at += batch.count;
        }
        ck_assert_uint_eq(at, COUNT);
        before += steps;
    }
    ck_assert_uint_eq(ink_steps_before(&options, COUNT, 10), before);
    ck_fails(ink_train_defaults(&(struct ink_train_options){.batch = 64, .batch_to = 32}, &options), INK_ERROR_ARGUMENT, "batch_to is 32; it must be at least 64");
    ck_fails(ink_train_defaults(&(struct ink_train_options){.batch_every = 2}, &options), INK_ERROR_ARGUMENT, "batch_to is not set");
}
END_TEST

START_TEST(parts_make_up_the_batch)
{
    for (size_t count = 0; count < 40; count++)
        for (size_t n = 1; n < 12; n++) {
            struct ink_batch whole = {1000, count};
            size_t at = whole.start;
            for (size_t i = 0; i < n; i++) {
                struct ink_batch part = ink_batch_part(whole, i, n);
                ck_assert_uint_eq(part.start, at);
                ck_assert(part.count == count / n || part.count == (count + n - 1) / n);
                at += part.count;
            }
            ck_assert_uint_eq(at, whole.start + count);
        }
}
END_TEST

int main(void) RUN_SUITE("sampler", the_split_is_stratified, the_split_depends_on_the_seed_alone, a_split_that_leaves_nothing_is_refused,
                         orders_are_permutations, stratified_batches_have_the_proportions, batches_grow, parts_make_up_the_batch)
