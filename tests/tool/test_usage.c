/* The tool's command lines: what is asked wrongly is named, with the mend, and nothing is done. None of these needs a
 * device. */
#include <stdio.h>
#include <string.h>

#include "suite.h"
#include "tool/run.h"

static const char *const command_names[] = {"cache", "devices", "evaluate", "predict", "show", "summary", "train"};
enum { COMMANDS = sizeof command_names / sizeof *command_names };

START_TEST(usage_errors_name_the_thing)
{
    static const struct {
        const char *arguments, *error;
    } cases[] = {
        {"", "usage: inkling COMMAND"},
        {"trian", "did you mean train?"},
        {"xyzzy", "there is no command \"xyzzy\""},
        {"--epochs 3", "the command comes first"},
        {"help xyzzy", "there is no command \"xyzzy\""},
        {"help train now", "\"now\" is one too many"},
        {"train --epoch 3", "train has no option --epoch; did you mean --epochs?"},
        {"train --ephocs=3", "did you mean --epochs?"},
        {"train --colour", "train has no option --colour\n"},
        {"train --json", "train has no option --json"},
        {"train -q", "train has no option -q"},
        {"train --epochs", "--epochs needs a value: --epochs N"},
        {"train -o", "--out needs a value: --out FILE"},
        {"train --out --force", "--out needs a value"},
        {"train --out=", "--out: needs a value that is not empty"},
        {"train --force=yes", "--force takes no value, but \"yes\" was given"},
        {"train --epochs 0", "--epochs: 0 is out of range; give a whole number from 1 to 1,000,000"},
        {"train --epochs five", "--epochs: \"five\" is not a whole number"},
        {"train --epochs 5x", "--epochs: \"5x\" is not a whole number"},
        {"train --epochs 1.5", "--epochs: \"1.5\" is not a whole number"},
        {"train --epochs -1", "--epochs: -1 is out of range"},
        {"train --epochs +1", "--epochs: \"+1\" is not a whole number"},
        {"train --epochs=99999999999999999999999", "is out of range"},
        {"train --seed 18446744073709551616", "--seed: 18446744073709551616 is out of range"},
        {"train --batch 65537", "--batch: 65537 is out of range; give a whole number from 1 to 65,536"},
        {"train --lr 0", "--lr: 0 is out of range"},
        {"train --lr -0.1", "--lr: -0.1 is out of range"},
        {"train --lr nan", "--lr: \"nan\" is not a number"},
        {"train --lr inf", "--lr: inf is out of range"},
        {"train --lr fast", "--lr: \"fast\" is not a number"},
        {"train --optimizer sgd --momentum 1", "--momentum: 1 is out of range"},
        {"train --optimizer rmsprop", "--optimizer: \"rmsprop\" is none of adam|adamw|sgd"},
        {"train --momentum 0.9", "--momentum is for --optimizer sgd; adam has its own"},
        {"train --optimizer adamw --nesterov", "--nesterov is for --optimizer sgd; adamw has its own"},
        {"train --optimizer sgd --nesterov", "--nesterov needs --momentum"},
        {"train --tune short --no-tune", "--tune asks to measure and --no-tune not to; leave out one of them"},
        {"train --schedule linear", "--schedule: \"linear\" is none of constant|step|cosine|one-cycle|plateau"},
        {"train --warmup -1", "--warmup: -1 is out of range; give a whole number from 0 to 1,000,000,000"},
        {"train --gamma 0.5", "--gamma is for --schedule step or plateau; choose it, or leave --gamma out"},
        {"train --schedule one-cycle --step-size 2", "--step-size is for --schedule step; choose it"},
        {"train --schedule cosine --pct-start 0.2", "--pct-start is for --schedule one-cycle"},
        {"train --schedule cosine --anneal linear", "--anneal is for --schedule one-cycle"},
        {"train --schedule cosine --min-lr 0.1", "--min-lr is 0.1, above the learning rate of 0.001; choose a lower one, or a higher --lr"},
        {"train --recipe slow", "--recipe: \"slow\" is neither one of default, fast, seed nor a file"},
        {"train --recipe .", ".: is a folder, not a file with a recipe"},
        {"train --recipe=", "--recipe: needs a value that is not empty"},
        {"train --recipe seed --resume x", "--recipe: a checkpoint goes on with the options it began with"},
        {"train --shift -1", "--shift: -1 is out of range; give a number from 0 to below 65536"},
        {"train --noise 1", "--noise: 1 is out of range"},
        {"train --recipe seed --elastic-smoothness 3", "--elastic-smoothness is for --elastic; give both, or leave it out"},
        {"show --augment", "--augment: nothing is to be distorted"},
        {"show --augment --shift 2 model", "--augment shows training images, without a model; leave out model"},
        {"show --augment --shift 2 --wrong", "--wrong is of a model"},
        {"show model --shift 2", "distortions are for --augment"},
        {"train --clip-norm 0", "--clip-norm: 0 is out of range"},
        {"train --ema 1", "--ema: 1 is out of range; give a number from 0 to below 1"},
        {"train --patience 0", "--patience: 0 is out of range; give a whole number from 1 to 1,000,000"},
        {"train --monitor f1", "--monitor: \"f1\" is none of loss|accuracy"},
        {"train --val 1", "--val: 1 is out of range; give a number from 0 to below 1"},
        {"train --sampling balanced", "--sampling: \"balanced\" is none of shuffled|stratified"},
        {"train --batch 128 --batch-to 64", "--batch-to is 64, below the batch of 128 that it is to grow from"},
        {"train --batch-every 2", "--batch-every needs --batch-to"},
        {"train --class-weights=", "--class-weights: needs a value"},
        {"train --checkpoint-every 5x", "--checkpoint-every: \"5x\" is neither steps, as 500, nor minutes, as 10m, nor epochs, as 1e"},
        {"train --checkpoint-every 0", "--checkpoint-every: \"0\" is neither"},
        {"train --checkpoint-every -5m", "is neither steps"},
        {"train --keep 0", "--keep: 0 is out of range"},
        {"train model", "what is \"model\" for?"},
        {"evaluate", "evaluate needs MODEL"},
        {"evaluate a b", "what is \"b\" for?"},
        {"predict", "predict needs MODEL"},
        {"predict model", "predict needs IMAGE"},
        {"show", "show needs MODEL"},
        {"show m --count 0", "--count: 0 is out of range"},
        {"cache delete", "cache cannot \"delete\"; give show, verify or clear"},
        {"cache show now", "what is \"now\" for?"},
        {"summary a --model b", "not both"},
        {"evaluate -- --json", "--json: cannot be opened"}, /* a name after "--", so status 1: see below */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_run(cases[i].arguments, strstr(cases[i].arguments, " -- ") ? 1 : 2, NULL, cases[i].error);
    ck_assert_int_eq(count_files(), 0);
}
END_TEST

START_TEST(help_is_printed_for_every_command)
{
    check_run("help", 0, "commands:", NULL);
    check_run("--help", 0, "commands:", NULL);
    for (int i = 0; i < COMMANDS; i++) {
        char by_help[64], by_option[64], usage[64];
        snprintf(by_help, sizeof by_help, "help %s", command_names[i]);
        snprintf(by_option, sizeof by_option, "%s --help", command_names[i]);
        snprintf(usage, sizeof usage, "usage: inkling %s", command_names[i]);
        check_run("help", 0, command_names[i], NULL);
        check_run(by_help, 0, usage, NULL);
        struct run one, two;
        run_tool(&one, by_help);
        run_tool(&two, by_option);
        ck_assert_str_eq(one.out, two.out);
        run_free(&one);
        run_free(&two);
    }
}
END_TEST

/* The ranges and defaults in the help are those of the parser. */
START_TEST(help_tells_ranges_and_defaults)
{
    check_run("help train", 0, "1 to 1,000,000 (default 5)", NULL);
    check_run("help train", 0, "adam|adamw|sgd", NULL);
    check_run("help train", 0, "(default inkling.safetensors)", NULL);
}
END_TEST

/* No line of help is wider than a page of 100 columns. */
START_TEST(help_is_wrapped)
{
    for (int i = 0; i < COMMANDS; i++) {
        char words[64];
        struct run run;
        snprintf(words, sizeof words, "help %s", command_names[i]);
        run_tool(&run, words);
        int lines = 0;
        for (char *line = strtok(run.out, "\n"); line; line = strtok(NULL, "\n"), lines++)
            ck_assert_msg(strlen(line) <= 110, "help %s has a line of %zu columns: %s", command_names[i], strlen(line), line);
        ck_assert_int_gt(lines, 4);
        run_free(&run);
    }
}
END_TEST

/* What is wrong in a recipe is told with file and line. */
START_TEST(recipes_are_read_line_by_line)
{
    static const struct {
        const char *text, *error;
    } cases[] = {
        {"epochs 3\nlr fast # too fast\n", "r.txt:2: --lr: \"fast\" is not a number"},
        {"epochs 0", "r.txt:1: --epochs: 0 is out of range; give a whole number from 1 to 1,000,000"},
        {"optimizer x", "r.txt:1: --optimizer: \"x\" is none of adam|adamw|sgd"},
        {"# epochs\n\n \t epochs # 3\n", "r.txt:3: \"epochs\" needs a value: epochs N"},
        {"epoch 3", "r.txt:1: train has no option \"epoch\"; did you mean epochs?"},
        {"colour red", "r.txt:1: train has no option \"colour\"; 'inkling help train'"},
        {"--epochs 3", "r.txt:1: \"--epochs\": options stand without their dashes here"},
        {"out x", "r.txt:1: \"out\" is no matter of a recipe"},
        {"nesterov yes", "r.txt:1: \"nesterov\" takes no value, but \"yes\" stands there"},
        {"epochs 3\nepochs 3", "r.txt:2: \"epochs\" is there twice"},
        {"nesterov", "--nesterov is for --optimizer sgd"},
        {"schedule step\npct-start 0.2", "--pct-start is for --schedule one-cycle"},
        {"epochs\t 3 \r\nlr 0.01", "no-such-device"},
        {"", "no-such-device"},
        {"lr 0.5\nschedule step\ngamma 0.5\nstep-size 1", "no-such-device"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_file("r.txt", cases[i].text);
        check_run("train --recipe r.txt --device no-such-device", strstr(cases[i].error, "no-such") ? 1 : 2, "", cases[i].error);
    }
    ck_assert_int_eq(remove("r.txt"), 0);
    check_run("train --recipe default --device no-such-device", 1, "", "no-such-device");
    check_run("train --recipe fast --device no-such-device", 1, "", "no-such-device");
    check_run("train --recipe seed --device no-such-device", 1, "", "no-such-device");
}
END_TEST

START_TEST(version_is_the_library_s)
{
    char line[64];
    snprintf(line, sizeof line, "inkling %s\n", ink_version());
    struct run run;
    run_tool(&run, "--version");
    ck_assert_int_eq(run.status, 0);
    ck_assert_str_eq(run.out, line);
    run_free(&run);
}
END_TEST

START_TEST(lost_output_is_a_failure)
{
    struct run run;
    run_tool_watched(&run, "help", RUN_FULL, 0, NULL, NULL);
    ck_assert_int_eq(run.status, 1);
    ck_assert_ptr_nonnull(strstr(run.err, "standard output could not be written"));
    run_free(&run);
    run_tool_watched(&run, "summary --json", RUN_CLOSED, 0, NULL, NULL);
    ck_assert_int_eq(run.status, 1);
    ck_assert_ptr_nonnull(strstr(run.err, "standard output could not be written"));
    run_free(&run);
}
END_TEST

/* Paths are looked at before any work. */
START_TEST(paths_that_cannot_be_used_are_named)
{
    write_file("letter.txt", "Dear reader\n");
    check_run("train --out nowhere/m.safetensors", 1, NULL, "nowhere/m.safetensors: cannot be written: No such file or directory");
    check_run("train --out temporary", 1, NULL, "temporary: is a folder");
    check_run("train --out new/", 1, NULL, "new/: is a folder");
    check_run("train --out /dev/null --force", 1, NULL, "/dev/null: is not a regular file");
    check_run("train --out letter.txt", 1, NULL, "letter.txt: exists and is not a model");
    check_run("train --model missing.txt", 1, NULL, "missing.txt: cannot be opened: No such file or directory");
    check_run("train --model temporary", 1, NULL, "temporary: is a folder");
    check_run("train --model letter.txt", 1, NULL, "letter.txt: ");
    check_run("train --data nowhere", 1, NULL, "nowhere");
    check_run("train --resume missing.safetensors", 1, NULL, "missing.safetensors: cannot be opened: No such file or directory");
    check_run("train --resume letter.txt", 1, NULL, "letter.txt: is no checkpoint");
    check_run("evaluate missing.safetensors", 1, NULL, "missing.safetensors: cannot be opened");
    check_run("evaluate letter.txt", 1, NULL, "letter.txt: ");
    check_run("summary letter.txt", 1, NULL, "letter.txt: ");
    check_run("show missing.safetensors -o letter.txt", 1, NULL, "letter.txt: exists and is not a PNG picture");
    check_run("predict missing.safetensors letter.txt", 1, NULL, "missing.safetensors: cannot be opened");
    ck_assert_int_eq(file_size("letter.txt"), (long)strlen("Dear reader\n"));
    ck_assert_int_eq(count_files(), 1);
    ck_assert_int_eq(remove("letter.txt"), 0);
}
END_TEST

START_TEST(summary_tells_layers)
{
    /* 3x3x1x32 + 32, 3x3x32x64 + 64, 3x3x64x64 + 64, 576x64 + 64, 64x10 + 10 */
    check_run("summary", 0, "93,322 parameters", NULL);
    check_run("summary --json", 0, "\"parameters\": 93322", NULL);
    write_file("small.txt", "input 28x28x1\nflatten\ndense 10\n");
    check_run("summary --model small.txt", 0, "7,850 parameters", NULL);
    ck_assert_int_eq(remove("small.txt"), 0);
}
END_TEST

static int usage(void)
RUN_SUITE("usage", usage_errors_name_the_thing, help_is_printed_for_every_command, help_tells_ranges_and_defaults,
          help_is_wrapped, recipes_are_read_line_by_line, version_is_the_library_s, lost_output_is_a_failure, paths_that_cannot_be_used_are_named,
          summary_tells_layers)

int main(void)
{
    run_begin();
    int failed = usage();
    run_end();
    return failed;
}
