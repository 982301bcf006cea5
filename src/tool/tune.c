/* inkling tune: measures which algorithms are the fastest for a model on a device.
 *
 * Drivers can end or hang the process that uses them, so the work is done in a child, and this process, which touches no
 * device, starts another one when that happens: what was being tried is on disk by then, and set aside. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common.h"
#include "text.h"

enum { EXIT_LOST = 75, MOST_CHILDREN = 64, SILENT_MILLISECONDS = 180000 };

static int progress_pipe = -1;
static bool shows;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void show_progress(const struct ink_tune_trial *trial, void *user)
{
    (void)user;
    if (progress_pipe >= 0 && write(progress_pipe, ".", 1) < 0)
        _exit(EXIT_FAILED); /* the parent is gone */
    if (shows) {
        fprintf(stderr, "%s %s%s: %s, variant %d\n", trial->layer, trial->pass, trial->training ? "" : " in inference", trial->algorithm, trial->variant);
        fflush(stderr);
    }
}

static bool same_pass(const struct ink_tune_trial *a, const struct ink_tune_trial *b)
{
    return a->training == b->training && strcmp(a->layer, b->layer) == 0 && strcmp(a->pass, b->pass) == 0;
}

/* Prints the trials of a pass, from first on. */
static size_t print_pass(const struct ink_tuning *tuning, size_t first, double *before, double *after)
{
    const struct ink_tune_trial *head = &tuning->trials[first];
    size_t end = first;
    double guess = 0, best = 0;
    for (; end < tuning->count && same_pass(head, &tuning->trials[end]); end++) {
        const struct ink_tune_trial *t = &tuning->trials[end];
        guess = t->guess ? t->seconds : guess;
        best = t->chosen ? t->seconds : best;
    }
    printf("%s %s%s", head->layer, head->pass, head->training ? "" : ", inference");
    if (best > 0 && guess > 0) {
        printf(": %.2f times as fast as the guess", guess / best);
        *before += guess;
        *after += best;
    }
    printf("%s\n", best > 0 ? "" : ": not finished");
    for (size_t i = first; i < end; i++) {
        const struct ink_tune_trial *t = &tuning->trials[i];
        printf("  %s%-12s %3d", t->chosen ? "* " : "  ", t->algorithm, t->variant);
        if (t->seconds > 0)
            printf("  %9.3f ms%s\n", 1e3 * t->seconds, t->guess ? "  guess" : "");
        else
            printf("  %s%s\n", *t->reason ? "set aside: " : "not timed", t->reason);
    }
    return end;
}

static void print_tuning(const struct ink_tuning *tuning)
{
    double before = 0, after = 0;
    printf("each pass with its candidates: algorithm, variant, time of a batch; * is chosen\n\n");
    for (size_t i = 0; i < tuning->count;)
        i = print_pass(tuning, i, &before, &after);
    printf("\n%s of %s passes have a choice", text_count(tuning->chosen).s, text_count(tuning->calls).s);
    if (after > 0)
        printf("; together %.2f ms instead of %.2f ms", 1e3 * after, 1e3 * before);
    printf("\n");
    if (tuning->chosen < tuning->calls)
        printf("there was no time for the rest; 'inkling tune' again goes on with it\n");
}

static int print_tuning_json(const struct ink_tuning *tuning, const char *name, const ink_device *device)
{
    struct json_object *root = json_object_new_object(), *list = json_object_new_array();
    for (size_t i = 0; i < tuning->count; i++) {
        const struct ink_tune_trial *t = &tuning->trials[i];
        struct json_object *item = json_object_new_object();
        json_object_object_add(item, "layer", json_object_new_string(t->layer));
        json_object_object_add(item, "pass", json_object_new_string(t->pass));
        json_object_object_add(item, "training", json_object_new_boolean(t->training));
        json_object_object_add(item, "algorithm", json_object_new_string(t->algorithm));
        json_object_object_add(item, "variant", json_object_new_int(t->variant));
        json_object_object_add(item, "seconds", t->seconds > 0 ? json_real(t->seconds) : NULL);
        json_object_object_add(item, "guess", json_object_new_boolean(t->guess));
        json_object_object_add(item, "chosen", json_object_new_boolean(t->chosen));
        json_object_object_add(item, "set_aside", *t->reason ? json_object_new_string(t->reason) : NULL);
        json_object_array_add(list, item);
    }
    json_object_object_add(root, "model", json_object_new_string(name));
    json_object_object_add(root, "device", json_object_new_string(ink_device_get_info(device)->name));
    json_object_object_add(root, "passes", json_count(tuning->calls));
    json_object_object_add(root, "chosen", json_count(tuning->chosen));
    json_object_object_add(root, "trials", list);
    return print_json(root);
}

/* The work, in the child. */
static int work(const struct settings *settings, ink_model *model, const char *name, double seconds, bool full)
{
    struct ink_tune_options how = {.batch = (int)settings->batch, .seconds = seconds, .full = full, .progress = show_progress};
    struct ink_tuning tuning;
    ink_device *device = NULL;
    if (!open_device(settings, &device))
        return EXIT_FAILED;
    if (ink_model_tune(model, device, &how, &tuning))
        return complain_library(name);
    if (tuning.lost)
        return EXIT_LOST;
    int status = EXIT_OK;
    if (settings->json) {
        status = print_tuning_json(&tuning, name, device);
    } else {
        print_device(device);
        printf("model   %s, batches of %s\n\n", name, text_count(settings->batch).s);
        print_tuning(&tuning);
    }
    ink_tuning_free(&tuning);
    return status;
}

/* Waits for the child, and ends one from which nothing is heard for long. Gives its wait status. */
static int wait_for(pid_t child, int heard)
{
    char bytes[64];
    int status = 0, ready;
    struct pollfd wait = {heard, POLLIN, 0};
    while ((ready = poll(&wait, 1, SILENT_MILLISECONDS)) != 0)
        if (ready > 0 && read(heard, bytes, sizeof bytes) <= 0)
            break;
    if (ready == 0)
        kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return status;
}

static int supervise(const struct settings *settings, ink_model *model, const char *name, double seconds)
{
    double until = now() + seconds;
    bool limited = seconds > 0;
    for (int i = 0; i < MOST_CHILDREN; i++) {
        int ends[2];
        double left = limited ? until - now() : 0;
        if (limited && left < 0.001)
            left = 0.001; /* nothing more is tried; what is known is told */
        fflush(NULL);
        pid_t child = pipe(ends) ? -1 : fork();
        if (child < 0) {
            complain("a process to tune in could not be started");
            return EXIT_FAILED;
        }
        if (child == 0) {
            close(ends[0]);
            progress_pipe = ends[1];
            int status = work(settings, model, name, left, settings->full && i == 0);
            if (fflush(stdout) != 0 && status == EXIT_OK)
                status = EXIT_FAILED;
            _exit(status); /* a device that hangs must not be waited for */
        }
        close(ends[1]);
        int status = wait_for(child, ends[0]);
        close(ends[0]);
        if (WIFEXITED(status) && WEXITSTATUS(status) != EXIT_LOST)
            return WEXITSTATUS(status);
        if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGINT || WTERMSIG(status) == SIGTERM))
            return 128 + WTERMSIG(status);
        complain("a candidate %s; going on with the others", WIFSIGNALED(status) ? "ended its process" : "did not return");
    }
    complain("too many candidates end their process; is the driver sound?");
    return EXIT_FAILED;
}

/* The operands are SECONDS and MODEL, both optional: what reads as a number is the first. */
static int run(const struct settings *settings)
{
    struct settings rest = *settings;
    char *end = NULL;
    double seconds = settings->operand_count ? strtod(settings->operands[0], &end) : 0;
    if (end && end != settings->operands[0] && !*end) {
        if (!(seconds > 0 && seconds <= 1e6)) {
            complain("SECONDS is %s; it must be above 0 and at most 1,000,000", settings->operands[0]);
            return EXIT_USAGE;
        }
        rest.operands++;
        rest.operand_count--;
    } else {
        seconds = 0;
    }
    if (rest.operand_count > 1) {
        complain("tune: what is \"%s\" for? It takes %s", rest.operands[1], "[SECONDS] [MODEL]");
        return EXIT_USAGE;
    }
    ink_model *model = NULL;
    const char *name;
    int status = open_model(&rest, &model, &name);
    if (status)
        return status;
    shows = !settings->json;
    signal(SIGPIPE, SIG_IGN);
    status = supervise(&rest, model, name, seconds);
    ink_model_destroy(&model);
    return status;
}

static const struct option options[] = {
    OPTION_OF_TEXT_FORM,
    OPTION_OF_BATCH,
    OPTION_OF_DEVICE,
    {OPTION_FLAG, FIELD(full), "full", 0, NULL, 0, 0, 0, 0, NULL, "forget what was measured for this model before"},
    OPTION_OF_JSON,
    OPTION_OF_HELP,
};

const struct command tune_command = {
    .name = "tune", .operands = "[SECONDS] [MODEL]", .most = 2, .options = options, .run = run,
    .summary = "measure which algorithms are the fastest for a model, and keep that",
    .more = "Without SECONDS it goes on until all is measured; without MODEL it tunes the reference model.\n"
            "Each candidate is checked before it may win.\nResults are kept in the cache folder as they are found.\n",
};
