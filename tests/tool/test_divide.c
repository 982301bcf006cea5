/* Steps divided on the command line: in parts, among devices, and among processes that mpirun starts, of which one speaks. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "suite.h"
#include "tool/run.h"
#include "util/file.h"

#define TRAIN "train --model m.txt --limit 256 --batch 16 --epochs 2 --no-tune "

static bool divides;

START_TEST(wrong_words_are_refused)
{
    check_run("train --micro-batch 20 --batch 16", 2, NULL, "--micro-batch is 20, above the batch of 16");
    check_run("train --micro-batch 0", 2, NULL, "--micro-batch");
    check_run("train --shares 1,2", 2, NULL, "--shares is for --devices");
    check_run("train --device cpu --devices all", 2, NULL, "--device names one device and --devices several");
    check_run("train --devices all --shares 1,x", 2, NULL, "--shares: \"1,x\" is no list of numbers above 0");
    check_run("train --devices all --shares 1,0", 2, NULL, "--shares: \"1,0\" is no list of numbers above 0");
    check_run("train --devices all --shares 1,", 2, NULL, "--shares: \"1,\" is no list of numbers above 0");
    if (!run_has_device)
        return;
    check_run("train --limit 16 --devices 0,,0", 1, "", "--devices: an item of the list of devices is empty");
    check_run("train --limit 16 --devices 0 --shares 1,2", 1, "", "--shares has 2 numbers, and --devices gives 1 device; give");
}
END_TEST

START_TEST(parts_of_batches)
{
    if (!run_has_device)
        return;
    check_run(TRAIN "--micro-batch 5 --checkpoint-every 20 --out parts.safetensors", 0, "saved parts.safetensors", "");
    check_run("train --no-tune --resume parts.checkpoints/checkpoint-0000000020.safetensors --out on.safetensors", 0, "saved on.safetensors", "");
    check_same_files("parts.safetensors", "on.safetensors");
    check_run("train --no-tune --micro-batch 4 --resume parts.checkpoints/checkpoint-0000000020.safetensors --out on.safetensors", 1, "",
              "is of a run whose micro_batch is 5, not 4");
}
END_TEST

START_TEST(two_parts_of_a_device)
{
    if (!divides)
        return;
    check_run(TRAIN "--devices cpu/2 --shares 2,1 --checkpoint-every 20 --out two.safetensors", 0, "part 2 of 2", "");
    check_run("train --no-tune --devices cpu/2 --resume two.checkpoints/checkpoint-0000000020.safetensors --out on.safetensors", 0, "saved on", "");
    check_same_files("two.safetensors", "on.safetensors");
    check_run("train --no-tune --devices cpu/2 --shares 1,1 --resume two.checkpoints/checkpoint-0000000020.safetensors --out on.safetensors", 1, "",
              "whose shares are \"2,1\", not \"1,1\"");
    check_run(TRAIN "--devices cpu/2 --out measured.safetensors", 0, "saved measured.safetensors", "");
}
END_TEST

/* What two processes print together. MPI keeps memory for modules that it unloads, which a sanitizer cannot tell from leaks. */
static char *run_two(const char *words, int *status)
{
    char command[4096];
    unsigned char *text;
    size_t size;
    snprintf(command, sizeof command, "ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 '%s' -n 2 '%s' %s >both.txt 2>&1 </dev/null", getenv("INKLING_MPIRUN"), getenv("INKLING_TOOL"), words);
    int code = system(command);
    *status = WIFEXITED(code) ? WEXITSTATUS(code) : -1;
    ck_ok(ink_file_read("both.txt", 1 << 20, &text, &size));
    char *copy = calloc(size + 1, 1);
    memcpy(copy, text, size);
    free(text);
    return copy;
}

static int count(const char *text, const char *part)
{
    int found = 0;
    for (; (text = strstr(text, part)) != NULL; text += strlen(part))
        found++;
    return found;
}

START_TEST(one_process_speaks)
{
    static const struct { const char *words, *once; } failures[] = {
        {"train --bogus", "inkling: train has no option --bogus"},
        {TRAIN "--data nowhere", "inkling: "},
        {TRAIN "--device nonsense", "no OpenCL device fits 'nonsense'"},
        {TRAIN "--out nowhere/x.safetensors", "inkling: nowhere/x.safetensors: cannot be written"},
        {TRAIN "--warmup 1000", "inkling: m.txt: warmup is 1000"},
    };
    int status;
    if (!run_has_device || !getenv("INKLING_MPIRUN"))
        return;
    char *text = run_two(TRAIN "--out both.safetensors", &status);
    ck_assert_msg(status == 0, "%s", text);
    ck_assert_msg(count(text, "processes  2") == 1 && count(text, "test accuracy") == 3 && count(text, "saved both.safetensors") == 1, "%s", text);
    free(text);
    for (size_t f = 0; f < sizeof failures / sizeof *failures; f++) {
        text = run_two(failures[f].words, &status);
        ck_assert_msg(status != 0, "%s: %s", failures[f].words, text);
        ck_assert_msg(count(text, failures[f].once) == 1, "%s: not once: %s", failures[f].words, text);
        free(text);
    }
}
END_TEST

static int divide(void)
RUN_SUITE("divide", wrong_words_are_refused, parts_of_batches, two_parts_of_a_device, one_process_speaks)

int main(void)
{
    static const char model[] = "input 28x28x1\nconv 4 5x5 stride=3 relu\ndense 10 softmax\n";
    struct run run;
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    setenv("OMPI_MCA_rmaps_base_oversubscribe", "1", 1);
    run_begin();
    if (ink_file_replace("m.txt", model, sizeof model - 1))
        return EXIT_FAILURE;
    run_tool(&run, "devices");
    run_has_device = run.status == 0;
    run_free(&run);
    run_tool(&run, "train --model m.txt --limit 16 --epochs 1 --no-tune --devices cpu/2 --out divided.safetensors");
    divides = run.status == 0;
    if (!divides)
        fprintf(stderr, "skipped: two parts of a CPU: %s", run.err);
    run_free(&run);
    int failed = divide();
    run_end();
    if (!getenv("INKLING_MPIRUN"))
        fprintf(stderr, "skipped: processes: the build has no MPI, or there is no mpirun\n");
    return failed;
}
