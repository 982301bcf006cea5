/* summary --plan and bench as programs see them: JSON with the fields that are promised, a plot that is a PNG, and errors that
 * leave nothing behind. */
#include <json-c/json.h>
#include <string.h>

#include "suite.h"
#include "tool/run.h"

static const char small[] = "input 6x6x1\nconv 4 3x3 relu\ndense 3\n";

static struct json_object *get(struct json_object *object, const char *name)
{
    struct json_object *found = NULL;
    ck_assert_msg(json_object_object_get_ex(object, name, &found), "the JSON lacks \"%s\"", name);
    return found;
}

static struct json_object *parse(const char *arguments)
{
    struct run run;
    run_tool(&run, arguments);
    ck_assert_msg(run.status == 0, "inkling %s: ended with %d: %s", arguments, run.status, run.err);
    struct json_object *root = json_tokener_parse(run.out);
    ck_assert_msg(root != NULL, "inkling %s: no JSON:\n%s", arguments, run.out);
    run_free(&run);
    return root;
}

static void check_positive(struct json_object *object, const char *name)
{
    struct json_object *spread = get(object, name);
    double low = json_object_get_double(get(spread, "low")), median = json_object_get_double(get(spread, "median"));
    ck_assert_msg(low > 0 && low <= median && median <= json_object_get_double(get(spread, "high")), "%s: %s", name,
                  json_object_to_json_string(spread));
}

static void check_step(struct json_object *step)
{
    struct json_object *launches = get(step, "launches");
    double flop = 0;
    check_positive(step, "step_seconds");
    check_positive(step, "kernel_seconds");
    ck_assert_int_eq(json_object_get_int(get(step, "batch")), 5);
    ck_assert_uint_ge(json_object_array_length(launches), 4);
    for (size_t i = 0; i < json_object_array_length(launches); i++) {
        struct json_object *launch = json_object_array_get_idx(launches, i);
        static const char *const fields[] = {"label", "layer", "algorithm", "seconds", "flop", "bytes", "groups", "constant"};
        for (size_t f = 0; f < sizeof fields / sizeof *fields; f++)
            get(launch, fields[f]);
        ck_assert(json_object_get_double(get(launch, "bytes")) > 0);
        flop += json_object_get_boolean(get(launch, "constant")) ? 0 : json_object_get_double(get(launch, "flop"));
    }
    /* printed with seven digits each */
    ck_assert_double_eq_tol(flop, json_object_get_double(get(step, "flop")), 1e-5 * flop);
}

START_TEST(test_plan)
{
    write_file("small.txt", small);
    struct json_object *train = parse("summary --plan --model small.txt --batch 5 --json");
    struct json_object *inference = parse("summary --plan --inference --model small.txt --batch 5 --json");
    check_step(train);
    check_step(inference);
    ck_assert_uint_gt(json_object_array_length(get(train, "launches")), json_object_array_length(get(inference, "launches")));
    json_object_put(train);
    json_object_put(inference);
    check_run("summary --plan --model small.txt --batch 4", 0, "conv1 backward_weights", NULL);
    check_run("summary --inference --model small.txt", 2, NULL, "give --plan too");
    check_run("summary --plan --algorithms conv=none --model small.txt", 1, "", "has no algorithm 'none'");
}
END_TEST

START_TEST(test_bench)
{
    write_file("small.txt", small);
    struct json_object *root = parse("bench --model small.txt --batch 5 --seconds 0.2 --json --plot roof.png");
    static const char *const speeds[] = {"flops", "cache_read", "cache_triad", "memory_read", "memory_triad"};
    for (size_t i = 0; i < sizeof speeds / sizeof *speeds; i++)
        check_positive(get(root, "device"), speeds[i]);
    check_step(get(root, "step"));
    ck_assert_uint_eq(json_object_array_length(get(root, "inference")), 11);
    for (size_t i = 0; i < 11; i++) {
        struct json_object *item = json_object_array_get_idx(get(root, "inference"), i);
        ck_assert_int_eq(json_object_get_int(get(item, "batch")), 1 << i);
        check_positive(item, "seconds");
    }
    check_positive(get(root, "first_step_seconds"), "cold");
    check_positive(get(root, "first_step_seconds"), "warm");
    json_object_put(root);
    struct ink_picture picture;
    ck_ok(ink_picture_read_png("roof.png", &picture));
    ck_assert(picture.width > 800 && picture.height > 600);
    free(picture.pixels);
}
END_TEST

START_TEST(test_refusals)
{
    check_run("bench --seconds 0", 2, NULL, "--seconds: 0 is out of range");
    check_run("bench a --model b", 2, NULL, "not both");
    check_run("bench --model none.txt --plot plot.png", 1, NULL, "none.txt: cannot be opened");
    check_run("bench --plot none/plot.png", 1, NULL, "none/plot.png: cannot be written");
    check_run("bench --device no-such-device --plot plot.png", 1, NULL, "no-such-device");
    ck_assert_int_eq(file_size("plot.png"), -1);
}
END_TEST

int main(void)
{
    run_begin();
    Suite *suite = suite_create("bench");
    TCase *tcase = tcase_create("bench");
    tcase_add_test(tcase, test_plan);
    tcase_add_test(tcase, test_bench);
    tcase_add_test(tcase, test_refusals);
    int status = run_case(suite, tcase);
    run_end();
    return status;
}
