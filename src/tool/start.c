/* Times of starts; see start.h. The parent's clock runs from before the start of the child to the line that it prints when
 * its first step is done. The caches of Inkling and of OpenCL drivers are sent to a folder by the environment: new for
 * each cold start, and the last of these for the warm ones. */
#define _XOPEN_SOURCE 700 /* nftw() */
#include "start.h"

#include <errno.h>
#include <ftw.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common.h"
#include "text.h"

enum { MOST_STARTS = 16 };
extern char **environ;
static const char done_line[] = "first step done";
static const char *const cache_variables[] = {"XDG_CACHE_HOME", "INKLING_CACHE_DIR", "POCL_CACHE_DIR", "CUDA_CACHE_PATH"};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

int start_first_step(const struct settings *settings, ink_model *model)
{
    ink_device *device = NULL;
    ink_dataset *data = NULL;
    struct ink_shape shape = ink_model_input(model);
    int classes = ink_model_output(model).channels;
    size_t n = (size_t)settings->batch;
    struct ink_train_options how = {.epochs = 1, .batch = (int)settings->batch, .algorithms = settings->algorithms};
    uint8_t *images = calloc(n, (size_t)shape.height * (size_t)shape.width * (size_t)shape.channels), *labels = calloc(n, 1);
    int status = EXIT_FAILED;
    if (!images || !labels)
        complain("no memory for %s images", text_count(n).s);
    else if (ink_dataset_create(images, labels, n, shape, classes, &data))
        complain_library(NULL);
    else if (open_device(settings, &device)) {
        if (ink_train(model, device, data, NULL, &how, NULL, NULL))
            complain_library(NULL);
        else
            status = puts(done_line) < 0 || fflush(stdout) ? EXIT_FAILED : EXIT_OK;
    }
    ink_device_destroy(&device);
    ink_dataset_destroy(&data);
    free(images);
    free(labels);
    return status;
}

/* The environment with all caches in a folder; free() it and its first entries. NULL without memory. */
static char **make_environment(const char *folder)
{
    enum { ADDED = sizeof cache_variables / sizeof *cache_variables };
    size_t count = 0, kept = ADDED;
    while (environ[count])
        count++;
    char **list = calloc(count + ADDED + 1, sizeof *list);
    for (size_t i = 0; list && i < ADDED; i++) {
        size_t size = strlen(cache_variables[i]) + strlen(folder) + 2;
        list[i] = malloc(size);
        if (!list[i]) {
            while (i)
                free(list[--i]);
            free(list);
            return NULL;
        }
        snprintf(list[i], size, "%s=%s", cache_variables[i], folder);
    }
    for (size_t i = 0; list && i < count; i++) {
        bool replaced = false;
        for (size_t k = 0; k < ADDED; k++) {
            size_t length = strlen(cache_variables[k]);
            replaced |= strncmp(environ[i], cache_variables[k], length) == 0 && environ[i][length] == '=';
        }
        if (!replaced)
            list[kept++] = environ[i];
    }
    return list;
}

static void free_environment(char **list)
{
    for (size_t i = 0; list && i < sizeof cache_variables / sizeof *cache_variables; i++)
        free(list[i]);
    free(list);
}

/* Reads until the line; false at an end without it. */
static bool wait_for_line(int descriptor)
{
    char text[sizeof done_line] = "";
    size_t used = 0;
    while (used < sizeof text - 1) {
        ssize_t got = read(descriptor, text + used, sizeof text - 1 - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        used += (size_t)got;
    }
    return strcmp(text, done_line) == 0;
}

static bool start_once(char *const *arguments, const char *folder, double *seconds)
{
    int ends[2];
    pid_t child;
    char **environment = make_environment(folder);
    if (!environment || pipe(ends) != 0) {
        complain("another process cannot be started: %s", strerror(errno));
        free_environment(environment);
        return false;
    }
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    double began = now();
    int cause = posix_spawn(&child, "/proc/self/exe", &actions, NULL, arguments, environment);
    if (cause == ENOENT) /* a system without that name */
        cause = posix_spawnp(&child, "inkling", &actions, NULL, arguments, environment);
    posix_spawn_file_actions_destroy(&actions);
    free_environment(environment);
    close(ends[1]);
    bool done = !cause && wait_for_line(ends[0]);
    *seconds = now() - began;
    close(ends[0]);
    int status = 0;
    while (!cause && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (cause)
        complain("another process cannot be started: %s", strerror(cause));
    else if (!done)
        complain("a process started to time its first step ended without one");
    return done;
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void)info, (void)type, (void)place;
    return remove(path);
}

static void remove_folder(const char *path) { nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median, and for so few samples the least and the greatest. */
static struct ink_spread spread(double *samples, int count)
{
    qsort(samples, (size_t)count, sizeof *samples, compare);
    return (struct ink_spread){(samples[(count - 1) / 2] + samples[count / 2]) / 2, samples[0], samples[count - 1]};
}

bool start_measure(const struct settings *settings, int colds, int warms, struct start_times *times)
{
    char batch[24], folder[4096];
    const char *parent = getenv("TMPDIR");
    double cold[MOST_STARTS], warm[MOST_STARTS];
    const char *words[16] = {"inkling", "bench", "--first-step", "--batch", batch};
    int count = 5;
    bool done = true;
    snprintf(batch, sizeof batch, "%llu", (unsigned long long)settings->batch);
    const struct { const char *option, *value; } given[] = {
        {"--device", settings->device}, {"--algorithms", settings->algorithms}, {"--model", settings->model},
        {"--", settings->operand_count ? settings->operands[0] : NULL}};
    for (size_t i = 0; i < sizeof given / sizeof *given; i++)
        if (given[i].value) {
            words[count++] = given[i].option;
            words[count++] = given[i].value;
        }
    for (int i = 0; i < colds && done; i++) {
        snprintf(folder, sizeof folder, "%s/inkling-bench-XXXXXX", parent && *parent ? parent : "/tmp");
        if (!mkdtemp(folder)) {
            complain("%s: cannot be made: %s; name a folder that can be written to in $TMPDIR", folder, strerror(errno));
            return false;
        }
        done = start_once((char *const *)words, folder, &cold[i]);
        for (int k = 0; i == colds - 1 && k < warms && done; k++)
            done = start_once((char *const *)words, folder, &warm[k]);
        remove_folder(folder);
    }
    if (done)
        *times = (struct start_times){spread(cold, colds), spread(warm, warms), (size_t)colds, (size_t)warms};
    return done;
}
