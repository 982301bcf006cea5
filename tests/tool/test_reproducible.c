/* The same bytes whatever the number of a CPU driver's threads, always; and with --reproducible however the driver runs work-items. The
 * variables are PoCL's; what they leave unchanged on another device has to give the same bytes there all the more. */
#include <stdio.h>
#include <stdlib.h>

#include "suite.h"
#include "tool/run.h"

#define TRAIN "train --model m.txt --limit 192 --batch 32 --epochs 2 --no-tune --force"

static const char model[] = "input 28x28x1\nconv 16 5x5 relu\nmax_pool 2x2\nconv 16 3x3 pad=same\nbatch_norm relu\ndropout 0.2\ndense 10 softmax\n";

/* Trains into a file and compares it with that of the first run, if there was one. */
static void train(const char *words, bool first)
{
    char line[256];
    snprintf(line, sizeof line, "%s --out %s.safetensors", words, first ? "first" : "other");
    check_run(line, 0, "saved", "");
    if (!first)
        check_same_files("first.safetensors", "other.safetensors");
}

START_TEST(threads_make_no_difference)
{
    if (!run_has_device)
        return;
    write_file("m.txt", model);
    train(TRAIN, true);
    setenv("POCL_MAX_PTHREAD_COUNT", "1", 1);
    train(TRAIN, false);
    setenv("POCL_MAX_PTHREAD_COUNT", "3", 1);
    train(TRAIN, false);
    unsetenv("POCL_MAX_PTHREAD_COUNT");
}
END_TEST

START_TEST(the_driver_makes_no_difference_where_asked)
{
    static const char *const methods[] = {"loops", "loopvec"};
    char cache[64];
    if (!run_has_device)
        return;
    write_file("m.txt", model);
    train(TRAIN " --reproducible", true);
    setenv("POCL_MAX_PTHREAD_COUNT", "1", 1);
    train(TRAIN " --reproducible", false);
    unsetenv("POCL_MAX_PTHREAD_COUNT");
    for (int m = 0; m < 2; m++) {
        snprintf(cache, sizeof cache, "temporary/%s", methods[m]);
        setenv("POCL_CACHE_DIR", cache, 1);
        setenv("POCL_WORK_GROUP_METHOD", methods[m], 1);
        train(TRAIN " --reproducible", false);
    }
}
END_TEST

static int reproducible(void)
RUN_SUITE("reproducible", threads_make_no_difference, the_driver_makes_no_difference_where_asked)

int main(void) { return run_suite(reproducible); }
