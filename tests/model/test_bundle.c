/* Bundles: which launches become one and in which order all run then, and that training with them gives the bits that it gives without. */
#include <stdio.h>
#include <string.h>

#include "model/bundle.h"
#include "model/trial.h"
#include "suite.h"

enum { BATCH = 4, IMAGES = 22, SIDE = 12, CHANNELS = 4 };

static struct ink_launches list;

static ink_value make_value(void) { return ink_value_create(&list, "value", 4, 0); }

static ink_value bind_value(enum ink_storage storage, size_t offset, size_t bytes) { return ink_value_bind(&list, "block", storage, offset, bytes); }

/* Adds a launch of so many operations that reads and writes a value each, where they are not INK_NO_VALUE. */
static struct ink_launch *add(const char *label, double flops, ink_value read, ink_value written)
{
    struct ink_launch *launch = ink_launch_add(&list, "none.cl", "none", label);
    launch->fixed_flops = flops;
    if (read != INK_NO_VALUE)
        ink_arg_value(&list, launch, INK_ARG_READ, read);
    if (written != INK_NO_VALUE)
        ink_arg_value(&list, launch, INK_ARG_WRITE, written);
    ink_range_fixed(launch, 0, 4, 1, 1);
    return launch;
}

static void small(const char *label, ink_value read, ink_value written) { add(label, 1000, read, written); }

static void large(const char *label, ink_value read, ink_value written) { add(label, 2.0 * INK_BUNDLE_WORK, read, written); }

/* Bundles the list, and frees it; labels of launches, those of bundles in brackets. */
static const char *bundle(bool gradients_at_once)
{
    static char text[1000];
    size_t at = 0;
    *text = 0;
    ck_assert_int_eq(list.status, INK_OK);
    ck_ok(ink_bundle(&list, BATCH, gradients_at_once));
    for (int i = 0; i < list.count; i++) {
        const struct ink_launch *launch = &list.launches[i], *stages = launch->stages ? launch->stages : launch;
        int count = launch->stages ? launch->stage_count : 1;
        ck_assert((launch->joint == INK_BUNDLE) == (launch->stages != NULL));
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", i ? " " : "", launch->stages ? "[" : "");
        for (int s = 0; s < count; s++)
            at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", s ? " " : "", stages[s].label);
        at += (size_t)snprintf(text + at, sizeof text - at, "%s", launch->stages ? "]" : "");
    }
    ink_launches_free(&list);
    return text;
}

START_TEST(what_depends_on_weights_alone_goes_first)
{
    ink_value weights = bind_value(INK_PARAMETERS, 0, 64), x = make_value(), u1 = make_value(), u2 = make_value(), y = make_value(), z = make_value();
    small("gather", INK_NO_VALUE, x);
    large("forward1", x, y);
    small("transform1", weights, u1);
    ink_arg_value(&list, add("forward2", 2.0 * INK_BUNDLE_WORK, y, z), INK_ARG_READ, u1);
    small("transform2", weights, u2);
    ink_arg_value(&list, add("backward", 2.0 * INK_BUNDLE_WORK, z, y), INK_ARG_READ, u2);
    ck_assert_str_eq(bundle(false), "[gather transform1 transform2] forward1 forward2 backward");
}
END_TEST

/* Reductions of partial sums wait for the optimizer, but not where gradients are handed on. */
static void add_reductions(void)
{
    ink_value x = make_value(), partial[3], all = bind_value(INK_GRADIENTS, 0, 192), weights = bind_value(INK_PARAMETERS, 0, 192);
    static const char *const names[3][2] = {{"large1", "reduce1"}, {"large2", "reduce2"}, {"large3", "reduce3"}};
    for (int i = 0; i < 3; i++) {
        partial[i] = make_value();
        large(names[i][0], x, partial[i]);
        small(names[i][1], partial[i], bind_value(INK_GRADIENTS, (size_t)i * 64, 64));
    }
    small("update", all, weights);
}

START_TEST(what_the_optimizer_alone_reads_goes_last)
{
    add_reductions();
    ck_assert_str_eq(bundle(false), "large1 large2 large3 [reduce1 reduce2 reduce3] update");
    add_reductions();
    ck_assert_str_eq(bundle(true), "large1 reduce1 large2 reduce2 large3 reduce3 update");
}
END_TEST

/* What keeps much of the arena in use goes at once, though none needs it yet. */
START_TEST(launches_that_read_much_do_not_wait)
{
    for (size_t more = 0; more <= 4; more += 4) {
        ink_value x = make_value(), partial = ink_value_create(&list, "partial", 0, INK_BUNDLE_BYTES + more), weights = make_value();
        ink_value first = bind_value(INK_GRADIENTS, 0, 64), second = bind_value(INK_GRADIENTS, 64, 64);
        large("large1", x, partial);
        small("reduce1", partial, first);
        large("large2", x, weights);
        small("reduce2", weights, second);
        ck_assert_str_eq(bundle(false), more ? "large1 reduce1 large2 reduce2" : "large1 large2 [reduce2 reduce1]");
    }
}
END_TEST

START_TEST(launches_wait_for_what_they_share_memory_with)
{
    ink_value a = make_value(), b = make_value(), c = make_value();
    /* written and then read; read and then written; written twice */
    small("1", a, b);
    small("2", b, c);
    ck_assert_str_eq(bundle(false), "1 2");
    a = make_value(), b = make_value();
    small("1", a, b);
    small("2", INK_NO_VALUE, a);
    ck_assert_str_eq(bundle(false), "1 2");
    a = make_value();
    small("1", INK_NO_VALUE, a);
    small("2", INK_NO_VALUE, a);
    ck_assert_str_eq(bundle(false), "1 2");
    a = make_value(), b = make_value(), c = make_value();
    small("1", a, b);
    small("2", a, c);
    ck_assert_str_eq(bundle(false), "[1 2]");
    /* through a third */
    a = make_value(), b = make_value(), c = make_value();
    small("1", INK_NO_VALUE, a);
    large("2", a, b);
    small("3", b, c);
    ck_assert_str_eq(bundle(false), "1 2 3");
}
END_TEST

START_TEST(blocks_are_told_apart_by_their_bytes)
{
    static const struct { size_t offset, bytes; bool apart; } second[] = {{64, 64, true}, {60, 64, false}, {0, 128, false}, {0, 0, false}, {16, 16, false}};
    for (size_t i = 0; i < sizeof second / sizeof *second; i++) {
        small("1", INK_NO_VALUE, bind_value(INK_GRADIENTS, 0, 64));
        small("2", INK_NO_VALUE, bind_value(INK_GRADIENTS, second[i].offset, second[i].bytes));
        ck_assert_str_eq(bundle(false), second[i].apart ? "[1 2]" : "1 2");
    }
    small("1", INK_NO_VALUE, bind_value(INK_GRADIENTS, 0, 64));
    small("2", INK_NO_VALUE, bind_value(INK_STATE, 0, 64));
    ck_assert_str_eq(bundle(false), "[1 2]");
}
END_TEST

START_TEST(some_launches_stay_by_themselves)
{
    small("1", INK_NO_VALUE, make_value());
    ink_range_fixed(add("work-groups of more", 1000, INK_NO_VALUE, make_value()), 0, 8, 4, 4);
    add("call", 1000, INK_NO_VALUE, make_value())->call = (ink_host_call)1;
    large("large", INK_NO_VALUE, make_value());
    small("2", INK_NO_VALUE, make_value());
    ck_assert_str_eq(bundle(false), "work-groups of more call large [1 2]");
    ck_assert_str_eq(bundle(false), "");
}
END_TEST

/* More values than a kernel is given: 48 with the number of samples, two to a launch. */
START_TEST(bundle_of_too_many_values_is_divided)
{
    static char labels[30][4];
    for (int i = 0; i < 30; i++) {
        snprintf(labels[i], sizeof labels[i], "%d", i);
        small(labels[i], make_value(), make_value());
    }
    ck_assert_str_eq(bundle(false), "[0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22] [23 24 25 26 27 28 29]");
}
END_TEST

/* A stage's work-groups, those of all stages, and arguments: each value once, written where any stage writes it. */
START_TEST(bundle_has_the_work_of_its_stages)
{
    ink_value a = make_value(), b = make_value(), c = make_value();
    struct ink_launch *first = add("many groups of little work", 4000, a, b);
    ink_range_fixed(first, 0, 10, 1, 1);
    ink_range_samples(first, 1, 3, 2, 1);
    first->error_factor = 2;
    first->local_floats = 8;
    add("few groups", 5000, a, c)->sample_flops = 7;
    add("a third", 40, INK_NO_VALUE, make_value());
    ck_ok(ink_bundle(&list, BATCH, false));
    ck_assert_int_eq(list.count, 1);
    const struct ink_launch *whole = list.launches;
    ck_assert_str_eq(whole->label, "many groups of little work and 2 more");
    ck_assert_str_eq(whole->stages[0].label, "a third"); /* 40 operations and 4 values in 4 groups */
    ck_assert_str_eq(whole->stages[1].label, "many groups of little work");
    size_t groups[3];
    ink_launch_groups(whole, 3, groups);
    ck_assert_uint_eq(groups[0], 4 + 10 * 5 + 4); /* 9 items, 2 to a group */
    ck_assert_uint_eq(groups[1] * groups[2], 1);
    ck_assert_int_eq(whole->argument_count, 1 + 4);
    ck_assert_double_eq(whole->fixed_flops, 9040);
    ck_assert_double_eq(whole->sample_flops, 7);
    ck_assert_double_eq(whole->error_factor, 2);
    ck_assert_uint_eq(whole->local_floats, 8);
    ink_launches_free(&list);
}
END_TEST

static const struct ink_train_options trainings[] = {
    {.optimizer = INK_ADAM, .learning_rate = 0.01f, .beta1 = 0.9f, .beta2 = 0.99f, .epsilon = 1e-7f, .seed = 3},
    {.optimizer = INK_SGD, .learning_rate = 0.1f, .momentum = 0.5f, .clip_norm = 0.5, .ema = 0.9, .seed = 3, .micro_batch = 5,
     .augmentation = {.shift = 1, .noise = 0.1, .contrast = 0.2}},
};

/* The model after three steps, the last of a short batch, and its losses; the number of launches that are not bundled. */
static int train(const char *text, const struct ink_train_options *options, bool unbundled, ink_model **model, float losses[IMAGES])
{
    static const int batch = 9;
    struct trial trial;
    ink_dataset *dataset = trial_dataset(IMAGES, (struct ink_shape){SIDE, SIDE, CHANNELS});
    ck_ok(ink_model_parse(text, model));
    ck_ok(ink_model_initialise(*model, 3));
    (unbundled ? trial_open_unbundled : trial_open)(&trial, *model, dataset, options, batch, INK_STYLE_CPU);
    const struct ink_launches *launches = ink_plan_launches(trial.plan, options->micro_batch ? INK_SECTION_GRADIENTS : INK_SECTION_TRAIN);
    int count = launches->count;
    for (int start = 0; start < IMAGES; start += batch)
        trial_run(&trial, INK_SECTION_TRAIN, start, start + batch < IMAGES ? batch : IMAGES - start);
    memcpy(losses, trial.feed.host_losses, IMAGES * sizeof *losses);
    ck_ok(ink_plan_download(trial.plan, *model));
    trial_close(&trial);
    ink_dataset_destroy(&dataset);
    return count;
}

START_TEST(training_gives_the_same_bits)
{
    const char *text = trial_models[_i / 2];
    const struct ink_train_options *options = &trainings[_i % 2];
    ink_model *apart, *together;
    float wanted[IMAGES], got[IMAGES];
    int launches = train(text, options, true, &apart, wanted);
    ck_assert_int_le(train(text, options, false, &together, got), launches - 3);
    ck_assert_mem_eq(got, wanted, sizeof got);
    ck_assert_mem_eq(together->trained, apart->trained, apart->trained_count * sizeof(float));
    if (apart->state_count)
        ck_assert_mem_eq(together->state, apart->state, apart->state_count * sizeof(float));
    ck_assert_msg(wanted[0] != wanted[3], "losses are alike: nothing is tested");
    ink_model_destroy(&apart);
    ink_model_destroy(&together);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bundle");
    TCase *tcase = tcase_create("bundle");
    tcase_add_test(tcase, what_depends_on_weights_alone_goes_first);
    tcase_add_test(tcase, what_the_optimizer_alone_reads_goes_last);
    tcase_add_test(tcase, launches_that_read_much_do_not_wait);
    tcase_add_test(tcase, launches_wait_for_what_they_share_memory_with);
    tcase_add_test(tcase, blocks_are_told_apart_by_their_bytes);
    tcase_add_test(tcase, some_launches_stay_by_themselves);
    tcase_add_test(tcase, bundle_of_too_many_values_is_divided);
    tcase_add_test(tcase, bundle_has_the_work_of_its_stages);
    tcase_add_loop_test(tcase, training_gives_the_same_bits, 0, 2 * TRIAL_MODELS);
    return run_case(suite, tcase);
}
