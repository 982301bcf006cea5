/* Training that survives anything: the tool is killed at many moments, goes on each time from the newest checkpoint, and ends in
 * the file that an uninterrupted run writes, byte for byte. */
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "suite.h"
#include "tool/run.h"
#include "util/clock.h"
#include "util/file.h"
#include "util/rng.h"

enum { KILLS = 50, SEED = 11 };

/* 360 steps of about a millisecond, of which each kill loses a few; statistics, dropout, a schedule, clipping, averaging, a split, a batch
 * that grows and augmentation, so that all kinds of state count. */
#define TRAIN "train --model m.txt --limit 256 --epochs 20 --no-tune --schedule one-cycle --clip-norm 1 --ema 0.99 --warmup 9 --val 0.25 " \
              "--sampling stratified --batch 8 --batch-to 16 --batch-every 10 --class-weights balanced --shift 1.5 --elastic 0.5 --noise 0.1"
static const char *const whole_words = TRAIN " --out whole.safetensors";
static const char *const fresh_words = TRAIN " --out killed.safetensors --checkpoint-every 5 --keep 2";

static double began, delay; /* of the training that runs: when it began, and after how many seconds it is killed */

static void note_time(pid_t process)
{
    (void)process;
    began = ink_clock();
}

static void kill_after_delay(pid_t process)
{
    struct timespec pause = {(time_t)delay, (long)((delay - (double)(time_t)delay) * 1e9)};
    nanosleep(&pause, NULL);
    kill(process, SIGKILL);
}

/* The words that go on from the newest checkpoint, or begin where there is none. */
static void next_words(char *words, size_t size)
{
    glob_t found;
    snprintf(words, size, "%s", fresh_words);
    if (glob("killed.checkpoints/checkpoint-*.safetensors", 0, NULL, &found) == 0)
        snprintf(words, size, "train --resume %s --checkpoint-every 5 --keep 2 --no-tune --out killed.safetensors", found.gl_pathv[found.gl_pathc - 1]);
    globfree(&found);
}

static void remove_checkpoints(void)
{
    glob_t found;
    if (glob("killed.checkpoints/*", 0, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc; i++)
            remove(found.gl_pathv[i]);
    globfree(&found);
}

START_TEST(kills_leave_no_trace)
{
    struct run run;
    char words[512];
    int kills = 0, resumed = 0, finished = 0;
    if (!run_has_device)
        return;
    write_file("m.txt", "input 28x28x1\nconv 4 5x5 stride=3\nbatch_norm relu\ndropout 0.2\ndense 10 softmax\n");
    check_run(whole_words, 0, "saved whole.safetensors", ""); /* drivers compile kernels at their first run */
    run_tool_watched(&run, whole_words, RUN_PIPE, 0, "\ntrain ", note_time);
    ck_assert_msg(run.status == 0, "%s", run.err);
    double seconds = ink_clock() - began;
    run_free(&run);
    while (kills < KILLS || !finished) {
        uint32_t random[4];
        ink_random_words(SEED, 0, (uint64_t)(kills + finished), random);
        bool kill_it = kills < KILLS;
        delay = seconds * 1.1 * (double)ink_uniform(random[0]);
        next_words(words, sizeof words);
        resumed += strstr(words, "--resume") != NULL;
        run_tool_watched(&run, words, RUN_PIPE, 0, "\ntrain ", kill_it ? kill_after_delay : NULL);
        if (run.status == 1000 + SIGKILL) {
            kills++;
            run_free(&run);
            continue;
        }
        ck_assert_msg(run.status == 0, "after %d kills, inkling %s: ended with %d:\n%s%s", kills, words, run.status, run.out, run.err);
        run_free(&run);
        finished++;
        check_same_files("whole.safetensors", "killed.safetensors");
        ck_assert_int_eq(remove("killed.safetensors"), 0);
        if (kills < KILLS)
            remove_checkpoints();
    }
    printf("%d kills, %d runs that went on from a checkpoint, %d that ended\n", kills, resumed, finished);
    ck_assert_int_gt(resumed, KILLS / 2);
}
END_TEST

/* What the command line adds must fit the checkpoint, and a damaged one is refused with the one before it. */
START_TEST(what_does_not_fit_is_told)
{
    glob_t found;
    char words[512], wanted[256];
    if (!run_has_device)
        return;
    write_file("m.txt", "input 28x28x1\nflatten\ndense 10 softmax\n");
    check_run("train --recipe seed --model m.txt --limit 64 --batch 16 --epochs 3 --no-tune --out told.safetensors --checkpoint-every 4", 0, "saved told", "");
    ck_assert_int_eq(glob("told.checkpoints/checkpoint-*.safetensors", 0, NULL, &found), 0);
    ck_assert_uint_eq(found.gl_pathc, 3);
    const char *last = found.gl_pathv[2];
    snprintf(words, sizeof words, "train --no-tune --out again.safetensors --resume %s", last);
    check_run(words, 0, "resume  told.checkpoints/checkpoint-0000000012.safetensors: epoch 3, after step 4", "");
    unsigned char *bytes;
    size_t size;
    check_same_files("told.safetensors", "again.safetensors");
    snprintf(words, sizeof words, "train --no-tune --out again.safetensors --lr 0.5 --resume %s", last);
    check_run(words, 1, "", "is of a run whose learning_rate is 0.001, not 0.5; give the same");
    snprintf(words, sizeof words, "train --no-tune --out again.safetensors --limit 32 --resume %s", last);
    check_run(words, 1, "", "is of other training data (64 images, not these 32)");
    ck_ok(ink_file_read(last, 1 << 20, &bytes, &size));
    bytes[size / 2] ^= 1;
    ck_ok(ink_file_replace(last, bytes, size));
    free(bytes);
    snprintf(words, sizeof words, "train --no-tune --out again.safetensors --resume %s", last);
    snprintf(wanted, sizeof wanted, "%s is whole: resume from that one", found.gl_pathv[1]);
    check_run(words, 1, NULL, wanted);
    globfree(&found);
}
END_TEST

static int resume(void)
RUN_SUITE("resume", kills_leave_no_trace, what_does_not_fit_is_told)

int main(void) { return run_suite(resume); }
