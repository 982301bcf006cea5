/* Chains that take a batch in blocks of samples: which launches become one, and that one gives the bits that they give. */
#include <stdio.h>
#include <string.h>

#include "model/chain.h"
#include "model/plan_data.h"
#include "model/trial.h"
#include "suite.h"

enum { BATCH = 48, CORES = 2, SHORT = BATCH - 7, IMAGES = BATCH + SHORT + 1, SIDE = 12, CHANNELS = 4 };

static struct ink_launches list;
static size_t cache_bytes = 1 << 20;

static ink_value samples(size_t bytes) { return ink_value_create(&list, "samples", bytes, 0); }

static ink_value fixed(size_t bytes) { return ink_value_create(&list, "fixed", 0, bytes); }

/* Adds a launch that reads and writes what is not INK_NO_VALUE, in groups of so many samples; 0: it goes by none. */
static struct ink_launch *add(const char *label, size_t group, ink_value read, ink_value written)
{
    struct ink_launch *launch = ink_launch_add(&list, "none.cl", "none", label);
    if (read != INK_NO_VALUE)
        ink_arg_value(&list, launch, INK_ARG_READ, read);
    if (written != INK_NO_VALUE)
        ink_arg_value(&list, launch, INK_ARG_WRITE, written);
    if (group)
        ink_range_samples(launch, 1, 1, group, 1);
    else
        ink_range_fixed(launch, 1, 8, 1, 1);
    launch->by_samples = group != 0;
    return launch;
}

/* Makes chains of the list, and frees it; labels of launches, those of chains in brackets behind the samples of a block. */
static const char *chain_for(unsigned cores, bool wakes)
{
    static char text[1000];
    struct ink_device device = *test_device();
    size_t at = 0;
    *text = 0;
    device.info.local_bytes = cache_bytes;
    ck_assert_int_eq(list.status, INK_OK);
    ck_ok(ink_chain_blocks(&list, &device, cores, BATCH, wakes));
    for (int i = 0; i < list.count; i++) {
        const struct ink_launch *launch = &list.launches[i], *stages = launch->stages ? launch->stages : launch;
        ck_assert((launch->joint == INK_CHAIN) == (launch->stages != NULL));
        at += (size_t)snprintf(text + at, sizeof text - at, "%s", i ? " " : "");
        if (launch->stages) {
            at += (size_t)snprintf(text + at, sizeof text - at, "%d[", launch->block);
            ck_assert_uint_eq(ink_range_groups(&launch->range[0], BATCH - 1), (size_t)((BATCH - 1 + launch->block - 1) / launch->block));
        }
        for (int s = 0; s < (launch->stages ? launch->stage_count : 1); s++) {
            at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", s ? " " : "", stages[s].label);
            ck_assert_int_eq(stages[s].block, launch->block);
        }
        at += (size_t)snprintf(text + at, sizeof text - at, "%s", launch->stages ? "]" : "");
    }
    ink_launches_free(&list);
    return text;
}

static const char *chain(void) { return chain_for(CORES, false); }

START_TEST(what_meets_the_same_samples_becomes_one)
{
    ink_value x = samples(4), y = samples(4), z = samples(4), u = fixed(4), other = samples(4), another = samples(4);
    add("gather", 1, INK_NO_VALUE, x);
    add("transform", 0, INK_NO_VALUE, u);
    ink_arg_value(&list, add("forward", 2, x, y), INK_ARG_READ, u);
    add("elsewhere", 1, other, another);
    add("beside", 1, x, z);     /* reads what the chain reads */
    add("in its place", 1, y, x); /* and writes what it has read */
    ck_assert_str_eq(chain(), "transform 2[gather forward beside in its place] elsewhere");
}
END_TEST

/* Sums over the batch end a chain: what they are made of may be a stage, not what reads them. */
START_TEST(what_reads_all_samples_waits)
{
    ink_value x = samples(4), y = samples(4), sums = fixed(64), mean = fixed(4);
    add("forward", 1, INK_NO_VALUE, x);
    add("moments", 2, x, sums);
    add("statistics", 0, sums, mean);
    ink_arg_value(&list, add("normalise", 1, x, y), INK_ARG_READ, mean);
    add("next", 1, y, x);
    ck_assert_str_eq(chain(), "2[forward moments] statistics 1[normalise next]");
    /* nor may both write what is not of samples, even if not the same of it */
    sums = fixed(64);
    x = samples(4);
    add("one", 1, x, sums);
    add("two", 1, x, sums);
    ck_assert_str_eq(chain(), "one two");
}
END_TEST

START_TEST(launches_are_left_behind_but_not_what_has_to_come_first)
{
    for (int writes = 0; writes < 2; writes++) {
        ink_value x = samples(4), y = samples(4), z = samples(4), gradients = fixed(4);
        add("backward1", 1, INK_NO_VALUE, x);
        struct ink_launch *weights = add("weights", 0, x, gradients);
        if (writes)
            ink_arg_value(&list, weights, INK_ARG_UPDATE, y);
        add("backward2", 1, x, y);
        add("backward3", 1, y, z);
        ck_assert_str_eq(chain(), writes ? "backward1 weights 1[backward2 backward3]" : "1[backward1 backward2 backward3] weights");
    }
}
END_TEST

START_TEST(blocks_are_whole_work_groups_of_all)
{
    ink_value x = samples(4), y = samples(4), z = samples(4);
    add("two", 2, INK_NO_VALUE, x);
    add("three", 3, x, y);
    struct ink_launch *parts = add("two to a sample", 1, y, z);
    ink_range_samples(parts, 1, 6, 3, 1);
    ck_assert_str_eq(chain_for(1, false), "6[two three two to a sample]");
    for (int way = 0; way < 2; way++) { /* groups that begin within a sample; one more than the samples have */
        x = samples(4), y = samples(4);
        add("one", 1, INK_NO_VALUE, x);
        struct ink_launch *launch = add("none", 1, x, y);
        launch->range[1] = way ? (struct ink_range){1, 1, 1, 1} : (struct ink_range){3, 0, 2, 1};
        ck_assert_str_eq(chain(), "one none");
    }
}
END_TEST

/* Eight blocks for a core where the batch has as many, never less than two. */
START_TEST(cores_have_several_blocks_each)
{
    static const struct { unsigned cores; size_t group; const char *wanted; } cases[] = {
        {2, 3, "3[a b]"}, {2, 4, "a b"}, {6, 1, "1[a b]"}, {7, 1, "1[a b]"}, {24, 1, "1[a b]"}, {24, 2, "a b"}, {25, 1, "a b"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ink_value x = samples(4), y = samples(4);
        add("a", 1, INK_NO_VALUE, x);
        add("b", cases[i].group, x, y);
        ck_assert_str_eq(chain_for(cases[i].cores, false), cases[i].wanted);
    }
}
END_TEST

/* Three quarters of the cache, for the samples of a block and all weights but the most: each group reads those again in any case. */
START_TEST(what_a_block_meets_fits_the_cache)
{
    for (size_t more = 0; more <= 1; more++) {
        cache_bytes = 4000;
        ink_value x = samples(500), y = samples(500 + more), much = fixed(100000), little = fixed(1000);
        ink_arg_value(&list, add("a", 2, INK_NO_VALUE, x), INK_ARG_READ, much);
        ink_arg_value(&list, add("b", 1, x, y), INK_ARG_READ, little);
        ck_assert_str_eq(chain(), more ? "a b" : "2[a b]");
    }
    cache_bytes = 1 << 20;
}
END_TEST

START_TEST(what_is_read_in_the_chain_is_not_stored_past_the_caches)
{
    static const char *const names[] = {"read", "last"};
    ink_value x = samples(4), y = samples(4);
    for (int i = 0; i < 2; i++)
        ink_define_int(&list, add(names[i], 1, i ? x : INK_NO_VALUE, i ? y : x), "STREAM", 1);
    struct ink_device device = *test_device();
    device.info.local_bytes = cache_bytes;
    ck_ok(ink_chain_blocks(&list, &device, CORES, BATCH, false));
    ck_assert_int_eq(list.count, 1);
    ck_assert_str_eq(list.launches[0].stages[0].defines[0].text, "0");
    ck_assert_str_eq(list.launches[0].stages[1].defines[0].text, "1");
    ink_launches_free(&list);
}
END_TEST

START_TEST(some_launches_stay_by_themselves)
{
    ink_value x = samples(4), y = samples(4);
    add("wakes", 1, INK_NO_VALUE, x);
    add("a", 1, x, y);
    add("b", 1, y, x);
    ck_assert_str_eq(chain_for(CORES, true), "wakes 1[a b]");
    x = samples(4), y = samples(4);
    add("a", 1, INK_NO_VALUE, x);
    add("constant", 1, x, y)->constant = true;
    add("many items", 1, x, y)->range[1].local = 64;
    ck_assert_str_eq(chain(), "a constant many items");
}
END_TEST

/* More values than a kernel is given: a chain ends there and another begins. */
START_TEST(chain_of_too_many_values_is_divided)
{
    ink_value x = samples(4);
    for (int i = 0; i < 2; i++) {
        struct ink_launch *launch = add("many", 1, x, samples(4));
        for (int a = 2; a < INK_MAX_ARGUMENTS - 2; a++)
            ink_arg_value(&list, launch, INK_ARG_READ, samples(4));
    }
    add("few", 1, x, samples(4));
    ck_assert_str_eq(chain(), "1[many few] many");
}
END_TEST

/* The losses of three steps, the last two of short batches, then of an evaluation, and the model afterwards; the most samples in a block of a
 * chain of each. */
struct outcome { float trained[IMAGES], evaluated[IMAGES]; ink_model *model; int block[2]; };

static void run(const char *text, bool apart, struct outcome *outcome)
{
    static const struct ink_train_options train = {.optimizer = INK_ADAM, .learning_rate = 0.01f, .beta1 = 0.9f, .beta2 = 0.99f, .epsilon = 1e-7f, .seed = 3};
    static const enum ink_section sections[] = {INK_SECTION_TRAIN, INK_SECTION_EVALUATE};
    struct ink_device device = *test_device();
    device.style = INK_STYLE_CPU; /* so that there are chains on any device, */
    device.info.compute_units = 1; /* however many cores it has, and no work-group of a relay waits */
    struct trial trial;
    ink_dataset *dataset = trial_dataset(IMAGES, (struct ink_shape){SIDE, SIDE, CHANNELS});
    *outcome = (struct outcome){.model = NULL};
    ck_ok(ink_model_parse(text, &outcome->model));
    ck_ok(ink_model_initialise(outcome->model, 3));
    trial_open_on(&device, &trial, outcome->model, dataset, &train, BATCH, INK_STYLE_CPU, apart);
    for (int s = 0; s < 2; s++) {
        const struct ink_launches *launches = ink_plan_launches(trial.plan, sections[s]);
        for (int i = 0; i < launches->count; i++)
            for (int k = 0; k < launches->launches[i].stage_count || k == 0; k++) {
                const struct ink_launch *launch = launches->launches[i].stages ? &launches->launches[i].stages[k] : &launches->launches[i];
                outcome->block[s] = launch->block > outcome->block[s] ? launch->block : outcome->block[s];
            }
    }
    static const int counts[] = {BATCH, SHORT, 1};
    for (int i = 0, start = 0; i < 3; start += counts[i++])
        trial_run(&trial, INK_SECTION_TRAIN, start, counts[i]);
    memcpy(outcome->trained, trial.feed.host_losses, sizeof outcome->trained);
    for (int i = 0, start = 0; i < 3; start += counts[i++])
        trial_run(&trial, INK_SECTION_EVALUATE, start, counts[i]);
    memcpy(outcome->evaluated, trial.feed.host_losses, sizeof outcome->evaluated);
    ck_ok(ink_plan_download(trial.plan, outcome->model));
    trial_close(&trial);
    ink_dataset_destroy(&dataset);
}

START_TEST(chains_give_the_same_bits)
{
    static struct outcome apart, together;
    if (strcmp(test_device()->info.platform, "rusticl") == 0) {
        fprintf(stderr, "skipped: Mesa takes minutes to compile a chain for a CPU\n");
        return;
    }
    run(trial_models[_i], true, &apart);
    run(trial_models[_i], false, &together);
    for (int s = 0; s < 2; s++) {
        ck_assert_int_eq(apart.block[s], 0);
        ck_assert_int_ge(together.block[s], 1);
    }
    ck_assert_mem_eq(together.trained, apart.trained, sizeof apart.trained);
    ck_assert_mem_eq(together.evaluated, apart.evaluated, sizeof apart.evaluated);
    ck_assert_mem_eq(together.model->trained, apart.model->trained, apart.model->trained_count * sizeof(float));
    if (apart.model->state_count)
        ck_assert_mem_eq(together.model->state, apart.model->state, apart.model->state_count * sizeof(float));
    ck_assert_msg(apart.trained[0] != apart.trained[3], "losses are alike: nothing is tested");
    ink_model_destroy(&apart.model);
    ink_model_destroy(&together.model);
}
END_TEST

START_TEST(groups_are_of_whole_samples)
{
    static const size_t cases[][3] = {{1, 5, 4}, {49, 49, 49}, {49, 195, 98}, {49, 196, 196}, {12, 7, 6}, {12, 6, 6}, {13, 7, 7}, {100, 70, 50}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        ck_assert_uint_eq(ink_range_whole(cases[i][0], cases[i][1]), cases[i][2]);
}
END_TEST

/* Small images that one work-group could take several of: not so many that less than 16 groups are left. */
START_TEST(sums_of_batch_norm_leave_work_for_many_cores)
{
    static const struct { int batch; size_t groups; } cases[] = {{128, 32}, {32, 16}, {16, 16}, {8, 8}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        static const struct ink_train_options train = {.optimizer = INK_SGD};
        struct ink_plan_options how = {.batch = cases[i].batch, .classes = 3, .training = true, .style = INK_STYLE_CPU, .unbundled = true, .train = &train};
        struct ink_plan *plan;
        ink_model *model;
        int found = 0;
        ck_ok(ink_model_parse("input 7x7x64\nbatch_norm\ndense 3\n", &model));
        ck_ok(ink_plan_create(test_device(), model, &how, &plan));
        const struct ink_launches *launches = ink_plan_launches(plan, INK_SECTION_TRAIN);
        for (int l = 0; l < launches->count; l++)
            if (strcmp(launches->launches[l].label, "batch_norm1 forward moments") == 0) {
                found++;
                ck_assert_uint_eq(ink_range_groups(&launches->launches[l].range[0], cases[i].batch), cases[i].groups);
                ck_assert_uint_eq(ink_launch_samples(&launches->launches[l]), (size_t)cases[i].batch / cases[i].groups);
            }
        ck_assert_int_eq(found, 1);
        ink_plan_destroy(&plan);
        ink_model_destroy(&model);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("chain_blocks");
    TCase *tcase = tcase_create("chain_blocks");
    tcase_add_test(tcase, what_meets_the_same_samples_becomes_one);
    tcase_add_test(tcase, what_reads_all_samples_waits);
    tcase_add_test(tcase, launches_are_left_behind_but_not_what_has_to_come_first);
    tcase_add_test(tcase, blocks_are_whole_work_groups_of_all);
    tcase_add_test(tcase, cores_have_several_blocks_each);
    tcase_add_test(tcase, what_a_block_meets_fits_the_cache);
    tcase_add_test(tcase, what_is_read_in_the_chain_is_not_stored_past_the_caches);
    tcase_add_test(tcase, some_launches_stay_by_themselves);
    tcase_add_test(tcase, chain_of_too_many_values_is_divided);
    tcase_add_test(tcase, groups_are_of_whole_samples);
    tcase_add_test(tcase, sums_of_batch_norm_leave_work_for_many_cores);
    tcase_add_loop_test(tcase, chains_give_the_same_bits, 0, TRIAL_MODELS);
    return run_case(suite, tcase);
}
