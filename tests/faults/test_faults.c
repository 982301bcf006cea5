/* Every OpenCL call that the library makes, let fail: the first of its kind, the second, and so on, in everything that uses a device.
 * Each run must end in an error that names the call and its code, or do what it was asked to all the same; leave no OpenCL object behind
 * and no file half written; release sub-buffers in an order that no driver crashes on; and leave the device good for a training with the
 * bits of before. Where a kind has more calls than a scenario tries, some are drawn from all; with $INKLING_TEST_FAULTS=all none is left
 * out. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "faults/scenario.h"
#include "faults/shim.h"
#include "model/choice.h"
#include "ops/op_case.h"
#include "suite.h"
#include "train/checkpoint.h"
#include "util/rng.h"

/* Of sums of a batch in another order, in at most 24 steps with numbers around 1. */
static const float tolerance = 1e-4f;

static void count_alive(int counts[SHIM_OBJECTS])
{
    for (int i = 0; i < SHIM_OBJECTS; i++)
        counts[i] = shim_alive((enum shim_object)i);
}

/* All that a run left in its folder are whole checkpoints. */
static void check_checkpoints(const char *what)
{
    int whole = 0;
    for (uint64_t step = 1; step < 100; step++) {
        struct ink_checkpoint checkpoint;
        char path[INK_CHECKPOINT_PATH];
        ck_ok(ink_checkpoint_path(scenario_checkpoints(), step, path));
        if (access(path, F_OK) != 0)
            continue;
        ink_status status = ink_checkpoint_open(path, &checkpoint);
        ck_assert_msg(!status, "%s: %s", what, ink_last_error());
        ink_checkpoint_close(&checkpoint);
        whole++;
    }
    ck_assert_msg(scenario_files(scenario_checkpoints()) == whole, "%s: more files than whole checkpoints", what);
}

/* The table of choices, if there is one, can be read, and nothing lies beside it. */
static void check_choices(const char *what)
{
    struct ink_choices choices;
    size_t before = strlen(told);
    ck_ok(ink_choices_open(test_device(), &choices));
    ck_assert_msg(strlen(told) == before, "%s: %s", what, told + before); /* of a damaged one */
    ck_assert_msg(scenario_files(scenario_cache()) <= 1, "%s: files beside the table of choices", what);
    ink_choices_free(&choices);
}

static bool is_near(const struct outcome *a, const struct outcome *b, float most)
{
    for (size_t i = 0; i < a->count && a->count == b->count; i++)
        if (!(fabsf(a->values[i] - b->values[i]) <= most))
            return false;
    return a->count == b->count;
}

/* What a status may be, a call of a kind having failed. */
static bool fits(enum shim_kind kind, ink_status status)
{
    cl_int code = shim_calls[kind].code;
    if (kind == SHIM_LOST)
        return status == INK_ERROR_DEVICE || status == INK_ERROR_BUILD || status == INK_ERROR_UNSUPPORTED;
    if (kind == SHIM_BUILD || kind == SHIM_PARTS)
        return status == (kind == SHIM_BUILD ? INK_ERROR_BUILD : INK_ERROR_UNSUPPORTED);
    bool memory = code == CL_MEM_OBJECT_ALLOCATION_FAILURE || code == CL_OUT_OF_RESOURCES || code == CL_OUT_OF_HOST_MEMORY;
    return status == (memory ? INK_ERROR_MEMORY : INK_ERROR_DEVICE);
}

/* An error that tells of the failure, or the result, which has other roundings only where it is said why. */
static void check_outcome(const struct scenario *s, enum shim_kind kind, const struct outcome *o, const struct outcome *good, const char *what)
{
    const char *code = ink_cl_error(shim_calls[kind].code);
    if (o->status) {
        ck_assert_msg(shim_failed(), "%s, which did not come to be: %s", what, o->message);
        ck_assert_msg(fits(kind, o->status), "%s: %s: %s", what, ink_status_text(o->status), o->message);
        ck_assert_msg(strstr(o->message, shim_calls[kind].name) && strstr(o->message, code), "%s is not told: %s", what, o->message);
        return;
    }
    bool is_told = strstr(told, code) || strstr(told, "does not fit into the device's memory");
    float most = s->likeness == NEAR || is_told ? tolerance : 0;
    ck_assert_msg(is_near(o, good, most), "%s: another result, and the log has \"%s\"", what, told);
}

/* Lets a call fail, and looks at all that is left behind. */
static void provoke(const struct scenario *s, enum shim_kind kind, unsigned nth, cl_command_queue queue, const struct outcome *good)
{
    static struct outcome well;
    struct outcome o;
    int before[SHIM_OBJECTS], after[SHIM_OBJECTS];
    char what[160];
    snprintf(what, sizeof what, "%s, call %u of %s%s failing", s->name, nth, kind == SHIM_LOST ? "all and the rest" : shim_calls[kind].name,
             queue ? " on one device" : "");
    count_alive(before);
    shim_fail(kind, nth, queue);
    scenario_run(s, &o);
    bool failed = shim_failed();
    check_outcome(s, kind, &o, good, what);
    /* once steps have begun, which are the first to launch where shares are given, the other device does them */
    ck_assert_msg(!queue || !s->shares || !o.status || !shim_count(SHIM_LAUNCH), "%s ends training on the other one: %s", what, o.message);
    if (getenv("INKLING_TEST_LOG"))
        fprintf(stderr, "%s: %s: %s\n", what, failed ? ink_status_text(o.status) : "did not come to be", o.message);
    shim_fail(SHIM_LOST, 0, NULL);
    count_alive(after);
    for (int i = 0; i < SHIM_OBJECTS; i++)
        ck_assert_msg(after[i] == before[i], "%s: %d %s are left (%s)", what, after[i] - before[i], shim_objects[i], o.message);
    ck_assert_msg(!shim_misordered(), "%s: %u sub-buffers are released before others that lie over them and were used later", what, shim_misordered());
    if (s->checkpoints)
        check_checkpoints(what);
    if (s->fresh)
        check_choices(what);
    if (!well.count)
        scenario_run(&plain_training, &well);
    ck_assert_msg(!well.status, "%s", well.message);
    scenario_run(&plain_training, &o);
    ck_assert_msg(!o.status && is_near(&o, &well, 0), "%s: training after it: %s", what, o.status ? o.message : "other bits");
}

/* The ith call to let fail, counted from 0: all, or the first third of most and then one of each of as many stretches as are left. */
static unsigned choose(unsigned total, unsigned most, unsigned i, uint32_t seed)
{
    uint32_t words[4];
    unsigned all = most / 3;
    if (total <= most || i < all)
        return i + 1;
    unsigned first = all + (total - all) * (i - all) / (most - all), end = all + (total - all) * (i - all + 1) / (most - all);
    ink_random_words(7, seed, i, words);
    return first + 1 + words[0] % (end - first);
}

START_TEST(every_failure_is_told_or_mended)
{
    const struct scenario *s = &scenarios[_i];
    const char *all = getenv("INKLING_TEST_FAULTS");
    unsigned totals[SHIM_KINDS], most = all && strcmp(all, "all") == 0 ? UINT32_MAX : s->most, tried = 0;
    struct outcome good, again;
    scenario_begin(s);
    if (s->on_parts && !parts)
        return;
    scenario_run(s, &good);
    ck_assert_msg(!good.status, "%s: %s", s->name, good.message);
    shim_fail(SHIM_LOST, 0, NULL);
    scenario_run(s, &again);
    ck_assert_msg(!again.status && is_near(&again, &good, s->likeness == NEAR ? tolerance : 0), "%s: not twice the same", s->name);
    for (int k = 0; k < SHIM_KINDS; k++)
        totals[k] = shim_count((enum shim_kind)k);
    for (int k = 0; k < SHIM_KINDS; k++)
        for (unsigned i = 0; i < totals[k] && i < most; i++, tried++)
            provoke(s, (enum shim_kind)k, choose(totals[k], most, i, (uint32_t)(_i * SHIM_KINDS + k)), NULL, &good);
    provoke(s, SHIM_LOST, 2 * totals[SHIM_LOST] + 1000, NULL, &good); /* none is left to fail */
    ck_assert_uint_gt(tried, 0);
    for (size_t p = 0; p < part_count && s->on_parts; p++) {
        shim_fail(SHIM_LOST, 0, parts[p]->queue);
        scenario_run(s, &again);
        unsigned total = shim_count(SHIM_LOST);
        for (unsigned i = 0; i < total && i < 2 * most; i++, tried++)
            provoke(s, SHIM_LOST, choose(total, 2 * most, i, (uint32_t)p), parts[p]->queue, &good);
    }
    if (getenv("INKLING_TEST_LOG"))
        fprintf(stderr, "%s: %u failures\n", s->name, tried);
    scenario_end();
    for (int i = 0; i < SHIM_OBJECTS; i++)
        ck_assert_msg(shim_alive((enum shim_object)i) == 0, "%s: %d %s are left at the end", s->name, shim_alive((enum shim_object)i),
                      shim_objects[i]);
}
END_TEST

/* Looked for in a process of its own, as drivers' threads do not outlive a fork. */
static bool has_device(void)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        ink_device *device = NULL;
        const char *selector = getenv("INKLING_TEST_DEVICE");
        status = ink_device_open(selector && *selector ? selector : "cpu", &device) == INK_ERROR_NO_DEVICE;
        if (status)
            printf("SKIP: %s\n", ink_last_error());
        fflush(stdout);
        _exit(status ? 77 : 0);
    }
    return child < 0 || waitpid(child, &status, 0) < 0 || !WIFEXITED(status) || WEXITSTATUS(status) != 77;
}

int main(void)
{
    if (!has_device())
        return 77;
    Suite *suite = suite_create("faults"); /* a case each, to be chosen by CK_RUN_CASE */
    for (int i = 0; i < scenario_count; i++) {
        TCase *of_one = tcase_create(scenarios[i].name);
        tcase_set_timeout(of_one, 300);
        tcase_add_loop_test(of_one, every_failure_is_told_or_mended, i, i + 1);
        suite_add_tcase(suite, of_one);
    }
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
