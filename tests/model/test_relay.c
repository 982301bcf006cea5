/* Relays: which launches become one, and that their work-groups do all of every leg before any of the next, step after step. That training
 * with them gives the bits that it gives without is in test_bundle.c. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/bundle.h"
#include "model/plan_data.h"
#include "model/relay.h"
#include "model/trial.h"
#include "suite.h"
#include "util/clock.h"

enum { UNITS = 3, BATCH = 4 };

static struct ink_launches list;

static struct ink_launch *add(const char *label, ink_value read, ink_value written)
{
    struct ink_launch *launch = ink_launch_add(&list, "none.cl", "none", label);
    launch->fixed_flops = 2.0 * INK_BUNDLE_WORK;
    ink_arg_value(&list, launch, INK_ARG_READ, read);
    ink_arg_value(&list, launch, INK_ARG_WRITE, written);
    ink_range_fixed(launch, 0, 4, 1, 1);
    return launch;
}

static ink_value make_value(void) { return ink_value_create(&list, "value", 4, 0); }

/* Makes relays of the list, and frees it; labels of launches, those of relays in brackets with a bar between legs. */
static const char *relay(void)
{
    static char text[1000];
    size_t at = 0;
    *text = 0;
    ck_assert_int_eq(list.status, INK_OK);
    ck_ok(ink_bundle(&list, BATCH, false));
    ck_ok(ink_relay(&list, UNITS));
    for (int i = 0; i < list.count; i++) {
        const struct ink_launch *launch = &list.launches[i], *stages = launch->stages ? launch->stages : launch;
        bool relayed = launch->joint == INK_RELAY;
        size_t groups[3];
        ink_launch_groups(launch, BATCH, groups);
        if (relayed)
            ck_assert_uint_eq(groups[0] * groups[1] * groups[2], UNITS);
        at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", i ? " " : "", relayed ? "[" : "");
        for (int s = 0; s < (launch->stages ? launch->stage_count : 1); s++)
            at += (size_t)snprintf(text + at, sizeof text - at, "%s%s", !s ? "" : stages[s].leg > stages[s - 1].leg ? " | " : " ", stages[s].label);
        at += (size_t)snprintf(text + at, sizeof text - at, "%s", relayed ? "]" : "");
    }
    ink_launches_free(&list);
    return text;
}

START_TEST(what_follows_each_other_becomes_one)
{
    ink_value x = make_value(), y = make_value(), z = make_value();
    add("a", x, y);
    add("b", y, z);
    add("small1", z, x)->fixed_flops = 1;
    add("small2", z, y)->fixed_flops = 1;
    ck_assert_str_eq(relay(), "[a | b | small1 small2]");
}
END_TEST

static ink_status call(const struct ink_launch *launch, struct ink_device *device, cl_command_queue queue, const cl_mem *buffers, int n)
{
    (void)launch, (void)device, (void)queue, (void)buffers, (void)n;
    return INK_OK;
}

START_TEST(some_launches_stay_by_themselves)
{
    ink_value x = make_value(), y = make_value();
    add("a", x, y);
    add("b", y, x);
    add("call", x, y)->call = call;
    add("c", y, x);
    ink_range_fixed(add("many", x, y), 0, 64, 1, 64);
    add("d", y, x);
    add("e", x, y);
    ck_assert_str_eq(relay(), "[a | b] call c many [d | e]");
}
END_TEST

START_TEST(relays_are_divided)
{
    for (int many_arguments = 0; many_arguments < 2; many_arguments++) {
        int legs[3] = {0}, count;
        for (int i = 0; i < 2 * INK_RELAY_LEGS + 1; i++) {
            struct ink_launch *launch = add("a", make_value(), make_value());
            for (int a = 2; a < INK_MAX_ARGUMENTS / 4 && many_arguments; a++)
                ink_arg_value(&list, launch, INK_ARG_READ, make_value());
        }
        ck_ok(ink_relay(&list, UNITS));
        count = list.count;
        for (int i = 0; i < 3; i++) {
            legs[i] = list.launches[i].stages ? list.launches[i].stages[list.launches[i].stage_count - 1].leg + 1 : 1;
            ck_assert_int_le(list.launches[i].argument_count, INK_MAX_ARGUMENTS);
        }
        ink_launches_free(&list);
        /* the counters and the samples are arguments too, so that three fit */
        ck_assert_int_eq(count, many_arguments ? (2 * INK_RELAY_LEGS + 1 + 2) / 3 : 3);
        ck_assert_int_eq(legs[0], many_arguments ? 3 : INK_RELAY_LEGS);
        ck_assert_int_eq(legs[1], many_arguments ? 3 : INK_RELAY_LEGS);
    }
}
END_TEST

/* Kernels in CPU style on a device that is not itself of CPU style, as for reproducible bits on a GPU. */
START_TEST(devices_of_gpu_style_have_none)
{
    static const struct ink_train_options train = {.optimizer = INK_SGD, .learning_rate = 0.1};
    const struct ink_plan_options options = {.batch = BATCH, .classes = 3, .training = true, .style = INK_STYLE_CPU, .train = &train};
    struct ink_device device = *test_device();
    struct ink_plan *plan;
    ink_model *model;
    device.style = INK_STYLE_GPU;
    ck_ok(ink_model_parse("input 4x4x1\ndense 8 relu\ndense 3\n", &model));
    ck_ok(ink_plan_create(&device, model, &options, &plan));
    const struct ink_launches *launches = ink_plan_launches(plan, INK_SECTION_TRAIN);
    ck_assert_int_gt(launches->count, 1);
    for (int i = 0; i < launches->count; i++)
        ck_assert_int_ne(launches->launches[i].joint, INK_RELAY);
    ink_plan_destroy(&plan);
    ink_model_destroy(&model);
}
END_TEST

/* Those that go by samples, bundles not: what the one before wrote last is first. From one relay to the next too. */
START_TEST(legs_go_back_and_forth)
{
    static const struct { bool samples, backwards; } legs[] = {{true, false}, {false, false}, {true, true}, {true, false}, {false, false},
                                                               {false, false}, {false, false}, {false, false}, {false, false}, {false, false},
                                                               {true, true}, {true, false}};
    enum { LEGS = sizeof legs / sizeof *legs };
    for (int i = 0; i < LEGS; i++) {
        struct ink_launch *launch = add("a", make_value(), make_value());
        if (legs[i].samples)
            ink_range_samples(launch, 1, 1, 1, 1);
    }
    ck_ok(ink_relay(&list, UNITS));
    ck_assert_int_eq(list.count, 2);
    for (int i = 0; i < LEGS; i++)
        ck_assert_int_eq(list.launches[i / INK_RELAY_LEGS].stages[i % INK_RELAY_LEGS].backwards, legs[i].backwards);
    ink_launches_free(&list);
}
END_TEST

/* On the device: the losses of steps with relays are those of a plan without. So they are leg by leg, as where others want the cores, and with
 * more work-groups than run at a time. */
START_TEST(steps_follow_each_other)
{
    static const char *const text = "input 12x12x4\nconv 16 3x3 relu\nmax_pool 2x2\nconv 8 3x3\nbatch_norm tanh\ndense 20 relu\ndense 3\n";
    static const struct ink_train_options train = {.optimizer = INK_ADAM, .learning_rate = 0.01, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-7};
    enum { IMAGES = 7, STEPS = 25, WAYS = 4 };
    float losses[WAYS][STEPS];
    if (test_device()->style != INK_STYLE_CPU) {
        fprintf(stderr, "skipped: there are no relays on a device of GPU style\n");
        return;
    }
    ink_dataset *dataset = trial_dataset(IMAGES, (struct ink_shape){12, 12, 4});
    for (int way = 0; way < WAYS; way++) {
        struct trial trial;
        ink_model *model;
        ck_ok(ink_model_parse(text, &model));
        ck_ok(ink_model_initialise(model, 1));
        (way ? trial_open : trial_open_unbundled)(&trial, model, dataset, &train, IMAGES, INK_STYLE_CPU);
        const struct ink_launches *launches = ink_plan_launches(trial.plan, INK_SECTION_TRAIN);
        for (int i = 0; i < launches->count; i++)
            ck_assert_int_eq(launches->launches[i].joint == INK_RELAY, way > 0);
        if (way == 2)
            trial.plan->bound[INK_SECTION_TRAIN].crowd = (struct ink_crowd){.last = ink_clock(), .until = INFINITY, .crowded = true};
        for (int i = 0; i < launches->count && way == 3; i++)
            launches->launches[i].range[0].fixed_items *= 9;
        for (int step = 0; step < STEPS; step++) {
            trial_run(&trial, INK_SECTION_TRAIN, step % 3, IMAGES - step % 3);
            losses[way][step] = trial.feed.host_losses[step % 3];
        }
        trial_close(&trial);
        ink_model_destroy(&model);
    }
    for (int way = 1; way < WAYS; way++)
        ck_assert_mem_eq(losses[0], losses[way], sizeof losses[0]);
    ck_assert_msg(losses[0][STEPS - 1] < losses[0][0], "the loss went from %g to %g: nothing is tested", (double)losses[0][0],
                  (double)losses[0][STEPS - 1]);
    ink_dataset_destroy(&dataset);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("relay");
    TCase *tcase = tcase_create("relay");
    tcase_add_test(tcase, what_follows_each_other_becomes_one);
    tcase_add_test(tcase, some_launches_stay_by_themselves);
    tcase_add_test(tcase, relays_are_divided);
    tcase_add_test(tcase, devices_of_gpu_style_have_none);
    tcase_add_test(tcase, legs_go_back_and_forth);
    tcase_add_test(tcase, steps_follow_each_other);
    return run_case(suite, tcase);
}
