/* inkling tune: within its time, again, broken off and gone on with, and what it tells. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"
#include "tool/run.h"

static void tiny(void) { write_file("tiny.txt", "input 6x6x1\nconv 8 3x3 relu\nmax_pool 2x2\ndense 10\n"); }

START_TEST(a_model_is_tuned_once)
{
    run_begin();
    tiny();
    check_run("tune --model tiny.txt --batch 4", 0, "passes have a choice", "conv1");
    check_run("tune --model tiny.txt --batch 4", 0, "passes have a choice", NULL); /* nothing is left to try */
    check_run("tune --model tiny.txt --batch 4 --json", 0, "\"chosen\"", NULL);
    check_run("tune 0.001 --model tiny.txt --batch 4 --full --json", 0, "\"chosen\"", NULL);
    run_end();
}
END_TEST

static void kill_it(pid_t process) { kill(process, SIGKILL); }

START_TEST(a_killed_tuning_goes_on)
{
    run_begin();
    tiny();
    struct run run;
    run_tool_watched(&run, "tune --model tiny.txt --batch 4", RUN_PIPE, 0, "device", kill_it);
    run_free(&run);
    check_run("tune --model tiny.txt --batch 4", 0, "passes have a choice", "");
    run_end();
}
END_TEST

START_TEST(bad_words_are_told)
{
    run_begin();
    check_run("tune 0", 2, NULL, "above 0");
    check_run("tune nan", 2, NULL, "above 0");
    check_run("tune 1 a.safetensors b", 2, NULL, "what is \"b\" for");
    check_run("tune a.safetensors b", 2, NULL, "what is \"b\" for");
    check_run("tune missing.safetensors", 1, NULL, "missing.safetensors");
    run_end();
}
END_TEST

int main(void) RUN_SUITE("tool_tune", a_model_is_tuned_once, a_killed_tuning_goes_on, bad_words_are_told)
