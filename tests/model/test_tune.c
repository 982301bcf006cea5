/* Measured choice: among planted candidates the right one wins and the others are set aside with their reasons; the table on
 * disk survives what befalls files; and lowering takes what was chosen. Times differ tenfold and more where they decide. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "model/trial.h"
#include "model/plan.h"
#include "model/tune.h"
#include "ops/op_case.h"
#include "scratch.h"
#include "suite.h"
#include "util/clock.h"
#include "util/file.h"

static cl_event never; /* what the hanging candidate waits for */

/* Emits what the op's own direct algorithm does. */
static void emit_direct(struct ink_launches *list, const struct ink_call *call)
{
    ink_op_find("dense")->passes[INK_FORWARD][call->style == INK_STYLE_GPU].emit(list, call);
}

static ink_status sleep_long(const struct ink_launch *launch, struct ink_device *device, cl_command_queue queue, const cl_mem *buffers, int n)
{
    const struct timespec nap = {0, 100000000};
    (void)launch, (void)device, (void)queue, (void)buffers, (void)n;
    nanosleep(&nap, NULL);
    return INK_OK;
}

static ink_status spoil(const struct ink_launch *launch, struct ink_device *device, cl_command_queue queue, const cl_mem *buffers, int n)
{
    const cl_float value = 0.5f;
    (void)launch, (void)n;
    return ink_cl_check(device, clEnqueueFillBuffer(queue, buffers[0], &value, sizeof value, 0, sizeof value, 0, NULL, NULL), "fill", "spoil");
}

static ink_status wait_forever(const struct ink_launch *launch, struct ink_device *device, cl_command_queue queue, const cl_mem *buffers, int n)
{
    cl_int code;
    (void)launch, (void)buffers, (void)n;
    never = clCreateUserEvent(device->context, &code);
    return ink_cl_check(device, code ? code : clEnqueueMarkerWithWaitList(queue, 1, &never, NULL), "marker", "hang");
}

/* Crashes are played by a signal that ends the process. */
static ink_status die(const struct ink_launch *launch, struct ink_device *device, cl_command_queue queue, const cl_mem *buffers, int n)
{
    (void)launch, (void)device, (void)queue, (void)buffers, (void)n;
    _exit(3);
}

static void emit_with(struct ink_launches *list, const struct ink_call *call, ink_host_call host)
{
    emit_direct(list, call);
    struct ink_launch *launch = ink_launch_add(list, "dense.cl", "planted", "planted");
    launch->call = host;
    ink_arg_value(list, launch, INK_ARG_WRITE, call->y);
}

static void emit_slow(struct ink_launches *list, const struct ink_call *call) { emit_with(list, call, sleep_long); }
static void emit_wrong(struct ink_launches *list, const struct ink_call *call) { emit_with(list, call, spoil); }
static void emit_hanging(struct ink_launches *list, const struct ink_call *call) { emit_with(list, call, wait_forever); }
static void emit_deadly(struct ink_launches *list, const struct ink_call *call) { emit_with(list, call, die); }

static void emit_broken(struct ink_launches *list, const struct ink_call *call)
{
    emit_direct(list, call);
    list->launches[0].generated = strdup("no such word;\n");
}

/* Variant 1 is the fast one. */
static void emit_varied(struct ink_launches *list, const struct ink_call *call) { (call->variant == 1 ? emit_direct : emit_slow)(list, call); }
static int three(const struct ink_call *call) { (void)call; return 3; }

/* Variant 1 is a hundredth faster than variant 0, variant 2 by half. */
static ink_status nap(const struct ink_launch *launch, struct ink_device *device, cl_command_queue queue, const cl_mem *buffers, int n)
{
    const struct timespec time = {0, *(const long *)launch->call_data};
    (void)device, (void)queue, (void)buffers, (void)n;
    nanosleep(&time, NULL);
    return INK_OK;
}

static void emit_napping(struct ink_launches *list, const struct ink_call *call)
{
    static const long naps[] = {40000000, 39600000, 20000000};
    emit_with(list, call, nap);
    long *own = malloc(sizeof *own);
    ck_assert(own);
    *own = naps[call->variant];
    list->launches[list->count - 1].call_data = own;
}

static int two(const struct ink_call *call) { (void)call; return 2; }

static bool wide_only(const struct ink_call *call) { return call->node->out.channels > 1000; }

static const struct ink_algorithm planted[] = {
    {"slow", INK_STYLE_AUTO, NULL, emit_slow}, {"wrong", INK_STYLE_AUTO, NULL, emit_wrong}, {"broken", INK_STYLE_AUTO, NULL, emit_broken},
    {"varied", INK_STYLE_AUTO, NULL, emit_varied, .variants = three}, {"wide", INK_STYLE_AUTO, wide_only, emit_deadly}, {0}};

static ink_model *model;
static struct ink_op op;

/* A call of a dense layer whose forward pass has these algorithms. */
static struct ink_tuned_call *call_of(const struct ink_algorithm *algorithms)
{
    static struct ink_tuned_call call;
    struct ink_device *device = test_device();
    ck_ok(ink_model_create((struct ink_shape){1, 1, 24}, &model));
    ck_ok(ink_model_add(model, &(struct ink_layer){.op = "dense", .units = 16, .activation = INK_RELU}));
    op = *ink_op_find("dense");
    op.passes[INK_FORWARD] = algorithms;
    call = (struct ink_tuned_call){.node = model->nodes[0], .training = true};
    call.node.op = &op;
    call.call = (struct ink_call){.node = &call.node, .device = device, .style = device->style, .vector_width = device->vector_width, .batch = 8,
                                  .training = true, .pass = INK_FORWARD, .x = {INK_NO_VALUE, INK_NO_VALUE}, .epilogue = {.y = INK_NO_VALUE}};
    ck_ok(ink_choice_key(&call.call, call.key));
    return &call;
}

static void begin(struct ink_choices *choices)
{
    setenv("INKLING_CACHE_DIR", scratch_path("cache"), 1);
    scratch_remove(scratch_path("cache"));
    ck_ok(ink_choices_open(test_device(), choices));
    ck_assert_int_eq(choices->count, 0);
}

static void reopen(struct ink_choices *choices)
{
    ink_choices_free(choices);
    ck_ok(ink_choices_open(test_device(), choices));
}

static void expect(const struct ink_choices *choices, const char *key, const char *algorithm, int variant, enum ink_verdict verdict, const char *reason)
{
    const struct ink_trial *trial = ink_choices_find(choices, key, algorithm, variant);
    ck_assert_msg(trial != NULL, "no trial of %s %d", algorithm, variant);
    ck_assert_msg(trial->verdict == verdict && strstr(trial->reason, reason), "%s %d: verdict %d, \"%s\"", algorithm, variant, trial->verdict, trial->reason);
}

static int tried;
static void count_tried(const struct ink_tuned_call *call, const char *algorithm, int variant, void *user)
{
    (void)call, (void)algorithm, (void)variant, (void)user;
    tried++;
}

/* The guess stays where another is but a little faster, and goes where one is by far; without a guess among them the fastest wins. */
START_TEST(the_guess_is_given_up_for_what_is_clearly_faster)
{
    static const struct ink_algorithm close[] = {{"napping", INK_STYLE_AUTO, NULL, emit_napping, .variants = two}, {0}},
                                      far[] = {{"napping", INK_STYLE_AUTO, NULL, emit_napping, .variants = three}, {0}};
    const struct {
        const struct ink_algorithm *algorithms, *guess;
        int wins;
    } cases[] = {{close, close, 0}, {far, far, 2}, {far, NULL, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ink_tuned_call *call = call_of(cases[i].algorithms);
        struct ink_tune_limits limits = {.until = INFINITY};
        struct ink_choices choices;
        bool lost;
        call->guess = (struct ink_choice){cases[i].guess, 0};
        begin(&choices);
        ck_ok(ink_tune_call(test_device(), &choices, call, &limits, &lost));
        for (int v = 0; v < (cases[i].algorithms == far ? 3 : 2); v++)
            expect(&choices, call->key, "napping", v, v == cases[i].wins ? INK_CHOSEN : INK_RIGHT, "");
        ink_choices_free(&choices);
        ink_model_destroy(&model);
    }
}
END_TEST

START_TEST(the_fastest_right_candidate_wins)
{
    struct ink_tuned_call *call = call_of(planted);
    struct ink_tune_limits limits = {.until = INFINITY, .progress = count_tried};
    struct ink_choices choices;
    struct ink_choice choice;
    bool lost;
    begin(&choices);
    ck_ok(ink_tune_call(test_device(), &choices, call, &limits, &lost));
    ck_assert(!lost);
    ck_assert_int_eq(tried, 6);
    reopen(&choices);
    expect(&choices, call->key, "slow", 0, INK_RIGHT, "");
    expect(&choices, call->key, "wrong", 0, INK_WRONG, "should be");
    expect(&choices, call->key, "broken", 0, INK_FAILED, "");
    ck_assert(*ink_choices_find(&choices, call->key, "broken", 0)->reason);
    expect(&choices, call->key, "varied", 0, INK_RIGHT, "");
    expect(&choices, call->key, "varied", 1, INK_CHOSEN, "");
    ck_assert_ptr_null(ink_choices_find(&choices, call->key, "wide", 0));
    ck_assert(ink_choices_choose(&call->call, &choices, &choice));
    ck_assert_ptr_eq(choice.algorithm, &planted[3]);
    ck_assert_int_eq(choice.variant, 1);
    /* what is chosen stays */
    ck_ok(ink_tune_call(test_device(), &choices, call, &limits, &lost));
    ck_assert_int_eq(tried, 6);
    /* what was set aside is not tried again, the others are */
    struct ink_trial chosen = *ink_choices_chosen(&choices, call->key);
    chosen.verdict = INK_RIGHT;
    ck_ok(ink_choices_note(&choices, &chosen));
    ck_ok(ink_tune_call(test_device(), &choices, call, &limits, &lost));
    ck_assert_int_eq(tried, 10);
    expect(&choices, call->key, "varied", 1, INK_CHOSEN, "");
    /* another shape is another call, of which nothing is known */
    struct ink_call other = call->call;
    other.batch = 9;
    ck_assert(!ink_choices_choose(&other, &choices, &choice));
    ink_choices_forget(&choices, call->key);
    ck_assert_int_eq(choices.count, 0);
    ink_choices_free(&choices);
    ink_model_destroy(&model);
}
END_TEST

START_TEST(one_that_hangs_is_set_aside)
{
    static const struct ink_algorithm hanging[] = {{"hanging", INK_STYLE_AUTO, NULL, emit_hanging}, {"direct", INK_STYLE_AUTO, NULL, emit_direct}, {0}};
    struct ink_tuned_call *call = call_of(hanging);
    struct ink_tune_limits limits = {.until = INFINITY, .run_seconds = 0.5};
    struct ink_choices choices;
    bool lost;
    begin(&choices);
    ck_ok(ink_tune_call(test_device(), &choices, call, &limits, &lost));
    ck_assert(lost);
    ck_ok(ink_cl_check(test_device(), clSetUserEventStatus(never, CL_COMPLETE), "clSetUserEventStatus", "the hang ends"));
    clFinish(test_device()->queue);
    limits.run_seconds = 0;
    reopen(&choices);
    expect(&choices, call->key, "hanging", 0, INK_HUNG, "did not return");
    ck_ok(ink_tune_call(test_device(), &choices, call, &limits, &lost));
    ck_assert(!lost);
    expect(&choices, call->key, "direct", 0, INK_CHOSEN, "");
    ink_choices_free(&choices);
    ink_model_destroy(&model);
}
END_TEST

START_TEST(one_that_ends_its_process_twice_is_set_aside)
{
    static const struct ink_algorithm deadly[] = {{"deadly", INK_STYLE_AUTO, NULL, emit_deadly}, {"direct", INK_STYLE_AUTO, NULL, emit_direct}, {0}};
    struct ink_tuned_call *call = call_of(deadly);
    struct ink_choices choices;
    struct ink_tune_limits limits = {.until = INFINITY};
    struct ink_trial trial = {.algorithm = "deadly", .verdict = INK_TRYING, .attempts = 2};
    bool lost;
    begin(&choices);
    snprintf(trial.key, sizeof trial.key, "%s", call->key);
    ck_ok(ink_choices_note(&choices, &trial)); /* as two processes leave it */
    reopen(&choices);
    ck_ok(ink_tune_call(test_device(), &choices, call, &limits, &lost));
    expect(&choices, call->key, "deadly", 0, INK_FAILED, "ended the process");
    expect(&choices, call->key, "direct", 0, INK_CHOSEN, "");
    ink_choices_free(&choices);
    ink_model_destroy(&model);
}
END_TEST

/* Algorithms for devices of another style are tried only where there are no others. */
START_TEST(foreign_ones_are_passed_over)
{
    enum ink_style other = test_device()->style == INK_STYLE_CPU ? INK_STYLE_GPU : INK_STYLE_CPU;
    for (int alone = 0; alone < 2; alone++) {
        struct ink_algorithm algorithms[] = {{"foreign", other, NULL, emit_direct}, {"direct", INK_STYLE_AUTO, NULL, emit_direct}, {0}};
        if (alone)
            algorithms[1] = (struct ink_algorithm){0};
        struct ink_tuned_call *call = call_of(algorithms);
        struct ink_choices choices;
        bool lost;
        begin(&choices);
        ck_ok(ink_tune_call(test_device(), &choices, call, &(struct ink_tune_limits){.until = INFINITY}, &lost));
        ck_assert_int_eq(ink_choices_find(&choices, call->key, "foreign", 0) != NULL, alone);
        expect(&choices, call->key, alone ? "foreign" : "direct", 0, INK_CHOSEN, "");
        ink_choices_free(&choices);
        ink_model_destroy(&model);
    }
}
END_TEST

START_TEST(without_time_nothing_is_chosen)
{
    struct ink_tuned_call *call = call_of(planted);
    struct ink_choices choices;
    bool lost;
    begin(&choices);
    ck_ok(ink_tune_call(test_device(), &choices, call, &(struct ink_tune_limits){.until = ink_clock() - 1}, &lost));
    ck_assert_int_eq(choices.count, 0);
    ink_choices_free(&choices);
    ink_model_destroy(&model);
}
END_TEST

START_TEST(a_damaged_table_is_set_aside)
{
    struct ink_choices choices;
    struct ink_trial trial = {.key = "some key", .algorithm = "direct", .variant = 2, .verdict = INK_CHOSEN, .seconds = 0.25, .when = 1, .reason = "a\tb\n"};
    unsigned char *bytes;
    size_t size;
    char path[4096], aside[4200];
    begin(&choices);
    ck_ok(ink_choices_note(&choices, &trial));
    snprintf(path, sizeof path, "%s", choices.path);
    snprintf(aside, sizeof aside, "%s.damaged", path);
    reopen(&choices);
    ck_assert_int_eq(choices.count, 1);
    ck_assert_str_eq(ink_choices_chosen(&choices, "some key")->reason, "a b ");
    ck_assert_double_eq(ink_choices_chosen(&choices, "some key")->seconds, 0.25);
    ck_ok(ink_file_read(path, 1 << 20, &bytes, &size));
    for (size_t cut = 0; cut < 2 * size; cut++) { /* cut off at each byte, then each byte altered */
        if (cut >= size)
            bytes[cut - size] ^= 1;
        scratch_write(path, bytes, cut < size ? cut : size);
        if (cut >= size)
            bytes[cut - size] ^= 1;
        remove(aside);
        reopen(&choices);
        ck_assert_msg(choices.count == 0, "damage %zu is not seen", cut);
        ck_assert_msg(!ink_file_exists(path) && ink_file_exists(aside), "damage %zu: not set aside", cut);
    }
    ck_ok(ink_choices_note(&choices, &trial));
    reopen(&choices);
    ck_assert_int_eq(choices.count, 1);
    free(bytes);
    ink_choices_free(&choices);
}
END_TEST

START_TEST(calls_that_differ_have_keys_that_differ)
{
    static const char *const layers[] = {"conv 8 3x3", "conv 9 3x3", "conv 8 3x2", "conv 8 3x3 stride=2", "conv 8 3x3 pad=same",
                                         "conv 8 3x3 dilation=2", "conv 8 3x3 groups=2", "conv 8 3x3 bias=no", "conv 8 3x3 relu", "conv 8 3x3 tanh"};
    enum { COUNT = sizeof layers / sizeof *layers };
    char keys[COUNT + 5][INK_KEY_BYTES], text[128];
    int count = 0;
    struct ink_call call = {.style = INK_STYLE_CPU, .vector_width = 8, .batch = 4};
    for (; count < COUNT; count++) {
        snprintf(text, sizeof text, "input 12x12x4\n%s\n", layers[count]);
        ck_ok(ink_model_parse(text, &model));
        call.node = &model->nodes[0];
        ck_ok(ink_choice_key(&call, keys[count]));
        ink_model_destroy(&model);
    }
    ck_ok(ink_model_parse("input 12x12x4\nconv 8 3x3\n", &model));
    struct ink_node *node = &model->nodes[0];
    call.node = node;
    struct ink_call variations[5] = {call, call, call, call, call};
    variations[0].batch = 5;
    variations[1].training = true;
    variations[2].style = INK_STYLE_GPU;
    variations[3].pass = INK_BACKWARD_DATA;
    variations[4].vector_width = 4;
    for (int i = 0; i < 5; i++)
        ck_ok(ink_choice_key(&variations[i], keys[count++]));
    for (int i = 0; i < count; i++)
        for (int k = 0; k < i; k++)
            ck_assert_str_ne(keys[i], keys[k]);
    char plain[INK_KEY_BYTES], pooled[INK_KEY_BYTES], masked[INK_KEY_BYTES];
    ck_ok(ink_choice_key(&variations[3], plain));
    variations[3].epilogue.activation = INK_RELU;
    ck_ok(ink_choice_key(&variations[3], masked));
    ck_assert_str_ne(plain, masked);
    node->pool.height = node->pool.width = 2;
    ck_ok(ink_choice_key(&variations[3], pooled));
    ck_assert_str_ne(masked, pooled);
    ink_model_destroy(&model);
}
END_TEST

/* A whole model: every call of it gets a choice, every candidate is right, plans take what was chosen, and give the same bits. */
START_TEST(a_tuned_model_uses_its_choices)
{
    struct ink_tuning tuning;
    uint8_t images[32 * 10 * 10], labels[32];
    ink_dataset *data;
    ink_model *second;
    setenv("INKLING_CACHE_DIR", scratch_path("cache"), 1);
    scratch_remove(scratch_path("cache"));
    const char *text = "input 10x10x1\nconv 8 3x3 relu\nmax_pool 2x2\nconv 8 3x3 relu\ndense 10 softmax\n";
    ck_ok(ink_model_parse(text, &model));
    ck_ok(ink_model_tune(model, test_device(), &(struct ink_tune_options){.batch = 16}, &tuning));
    ck_assert_uint_gt(tuning.calls, 0);
    ck_assert_uint_eq(tuning.chosen, tuning.calls);
    for (size_t i = 0; i < tuning.count; i++)
        ck_assert_msg(!strstr(tuning.trials[i].reason, "should be"), "%s %s %s: %s", tuning.trials[i].layer, tuning.trials[i].pass,
                      tuning.trials[i].algorithm, tuning.trials[i].reason);
    ink_tuning_free(&tuning);

    /* the same again finds all on disk; then one choice is changed by hand and must show in the plan */
    struct ink_choices choices;
    struct ink_tuned_call *calls;
    int count;
    ck_ok(ink_choices_open(test_device(), &choices));
    ck_ok(ink_tune_calls(test_device(), model, 16, true, &calls, &count));
    const struct ink_algorithm *other = NULL;
    int at = 0;
    for (; at < count && !other; at++)
        for (const struct ink_algorithm *a = calls[at].node.op->passes[calls[at].call.pass]; a->name && !other; a++)
            if (a != calls[at].guess.algorithm && ink_choices_find(&choices, calls[at].key, a->name, 0) &&
                ink_choices_find(&choices, calls[at].key, a->name, 0)->verdict <= INK_CHOSEN)
                other = a;
    ck_assert_msg(other != NULL, "there is a call with two right algorithms");
    const struct ink_tuned_call *call = &calls[at - 1];
    struct ink_trial was = *ink_choices_chosen(&choices, call->key), now = *ink_choices_find(&choices, call->key, other->name, 0);
    was.verdict = INK_RIGHT;
    now.verdict = INK_CHOSEN;
    ck_ok(ink_choices_note(&choices, &was));
    ck_ok(ink_choices_note(&choices, &now));
    struct ink_train_options train = {.learning_rate = 0.1, .beta1 = 0.9, .beta2 = 0.9, .epsilon = 1e-7};
    struct ink_plan_options how = {.batch = 16, .classes = 10, .training = true, .unbundled = true, .train = &train, .choose = ink_choices_choose, .choose_user = &choices};
    struct ink_plan *plan;
    ck_ok(ink_plan_create(test_device(), model, &how, &plan));
    const struct ink_launches *list = ink_plan_launches(plan, INK_SECTION_TRAIN);
    bool used = false;
    for (int i = 0; i < list->count; i++)
        used |= list->launches[i].algorithm == other->name && strncmp(list->launches[i].label, call->node.layer.name, strlen(call->node.layer.name)) == 0;
    ck_assert_msg(used, "%s %s is not in the plan", call->node.layer.name, other->name);
    ink_plan_destroy(&plan);
    free(calls);
    ink_choices_free(&choices);

    /* the same seed and table: the same bits */
    for (size_t i = 0; i < sizeof images; i++)
        images[i] = (uint8_t)(i * 7 + i / 10 * 13);
    for (size_t i = 0; i < sizeof labels; i++)
        labels[i] = (uint8_t)(i % 10);
    ck_ok(ink_dataset_create(images, labels, 32, (struct ink_shape){10, 10, 1}, 10, &data));
    ck_ok(ink_model_parse(text, &second));
    struct ink_train_options options = {.epochs = 2, .batch = 16, .seed = 3, .initialise = true, .tune = INK_TUNE_SHORT};
    ck_ok(ink_train(model, test_device(), data, NULL, &options, NULL, NULL));
    ck_ok(ink_train(second, test_device(), data, NULL, &options, NULL, NULL));
    ck_assert_mem_eq(model->trained, second->trained, model->trained_count * sizeof(float));
    ink_dataset_destroy(&data);
    ink_model_destroy(&second);
    ink_model_destroy(&model);
}
END_TEST

int main(void) RUN_SUITE("tune", the_fastest_right_candidate_wins, the_guess_is_given_up_for_what_is_clearly_faster,
                         one_that_hangs_is_set_aside, one_that_ends_its_process_twice_is_set_aside, foreign_ones_are_passed_over,
                         without_time_nothing_is_chosen, a_damaged_table_is_set_aside, calls_that_differ_have_keys_that_differ,
                         a_tuned_model_uses_its_choices)
