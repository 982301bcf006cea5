/* inkling train: trains a model on a data set, shows how it goes, and saves it. What can be known to go wrong later (a
 * path that cannot be written) is looked at first, and a run that is stopped or cannot save still keeps its weights. */
#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bar.h"
#include "batches.h"
#include "common.h"
#include "divide.h"
#include "options.h"
#include "output.h"
#include "processes.h"
#include "recipe.h"
#include "resume.h"
#include "text.h"
#include "training.h"

static volatile sig_atomic_t stop_signal;

/* The first signal asks training to stop after its step; the next one, having its default meaning again, ends the
 * program at once. */
static const int stopping_signals[] = {SIGINT, SIGTERM, SIGHUP};
enum { STOPPING_SIGNALS = sizeof stopping_signals / sizeof *stopping_signals };

static void on_signal(int number)
{
    stop_signal = number;
    struct sigaction standard = {.sa_handler = SIG_DFL};
    for (int i = 0; i < STOPPING_SIGNALS; i++)
        sigaction(stopping_signals[i], &standard, NULL);
}

static void watch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART}, old;
    for (int i = 0; i < STOPPING_SIGNALS; i++)
        if (sigaction(stopping_signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN) /* nohup stays nohup */
            sigaction(stopping_signals[i], &action, NULL);
}

/* Where training stood when it was last heard of. */
struct watch {
    struct ink_progress last;
    bool told; /* that it stops */
    bool begun, limited; /* it was heard of; there is --device-memory */
};

static bool on_progress(const struct ink_progress *progress, void *user)
{
    struct watch *watch = user;
    if (!watch->begun) {
        bar_clear();
        print_memory(progress->memory, watch->limited);
        watch->begun = true;
    }
    if (!progress->epoch_end) {
        bar_draw(progress);
    } else {
        bar_clear();
        printf("epoch %d/%d  loss %.4f  accuracy %.2f %%", progress->epoch, progress->epochs, progress->loss,
               100 * progress->accuracy);
        if (progress->has_validation)
            printf("  validation loss %.4f  validation accuracy %.2f %%", progress->validation_loss, 100 * progress->validation_accuracy);
        if (progress->has_test)
            printf("  test loss %.4f  test accuracy %.2f %%", progress->test_loss, 100 * progress->test_accuracy);
        double rate = progress->seconds > 0 ? (double)progress->seen / progress->seconds : 0;
        printf("  %s  %s images/s\n", text_seconds(progress->seconds).s, text_count((uint64_t)rate).s);
        fflush(stdout);
    }
    watch->last = *progress;
    if (stop_signal && !watch->told) {
        watch->told = true;
        complain("stopping after this step; Ctrl-C again ends at once, without saving");
    }
    return !stop_signal;
}

static bool is_model(const char *path)
{
    ink_model *model = NULL;
    bool loads = ink_model_load(path, &model) == INK_OK;
    ink_model_destroy(&model);
    return loads;
}

/* Saves the model, in the system's temporary folder if its own place fails. */
static int save(ink_model *model, const struct settings *settings)
{
    if (!ink_model_save(model, settings->out, settings->force)) {
        printf("saved %s\n", settings->out);
        return EXIT_OK;
    }
    complain_library(settings->out);
    const char *temporary = getenv("TMPDIR");
    char folder[1024], path[2048], name[1024];
    snprintf(folder, sizeof folder, "%s/inkling-XXXXXX", temporary && *temporary ? temporary : "/tmp");
    if (!mkdtemp(folder)) {
        complain("%s: cannot be made: %s; the model is lost", folder, strerror(errno));
        return EXIT_FAILED;
    }
    snprintf(name, sizeof name, "%s", settings->out);
    snprintf(path, sizeof path, "%s/%s", folder, basename(name));
    if (ink_model_save(model, path, false)) {
        complain_library(path);
        complain("the model is lost");
        rmdir(folder);
    } else {
        complain("the model is saved as %s instead", path);
    }
    return EXIT_FAILED;
}

/* True in the process that saves. */
static bool is_first(const ink_group *group) { return !group || ink_group_get_info(group).rank == 0; }

/* Trains what has been made ready and saves it; returns the exit status. */
static int train(const struct settings *settings, ink_model *model, const struct division *division, ink_group *group,
                 const ink_dataset *data, const ink_dataset *test)
{
    struct watch watch = {.limited = settings->device_memory > 0};
    struct ink_train_options options = training_of(settings);
    options.progress = on_progress;
    options.user = &watch;
    set_batches(settings, &options);
    char folder[DATA_PATH_SIZE];
    options.devices = division->devices;
    options.device_count = division->count;
    options.group = group;
    options.shares = division->share_count ? division->shares : NULL;
    if (!set_checkpoints(settings, folder, &options))
        return EXIT_USAGE;
    bool stopped = false;
    struct ink_metrics metrics = {0};
    watch_signals();
    ink_status failed = ink_train(model, NULL, data, test, &options, &stopped, &metrics);
    bar_clear();
    if (failed)
        return complain_library(settings->resume ? NULL : settings->model);
    if (stopped) {
        printf("stopped in epoch %d of %d after step %s of %s\n", watch.last.epoch, watch.last.epochs,
               text_count(watch.last.step).s, text_count(watch.last.steps).s);
    } else {
        if (watch.last.early)
            printf("ended after epoch %d, as --patience asks: the %s %s was best in epoch %d\n", watch.last.epoch,
                   watch.last.has_validation ? "validation" : "test",
                   settings->monitor == INK_MONITOR_LOSS ? "loss" : "accuracy", watch.last.best_epoch);
        char line[128];
        text_accuracy(&metrics, line, sizeof line);
        printf("%s%s%s\n", colour(COLOUR_BOLD), line, colour(COLOUR_OFF));
    }
    int status = is_first(group) ? save(model, settings) : EXIT_OK;
    return status == EXIT_OK && stopped ? 128 + stop_signal : status;
}

static int run_with(const struct settings *given, ink_group *group)
{
    struct settings merged = *given;
    const struct settings *settings = &merged;
    struct ink_checkpoint_info info;
    struct ink_train_options none = {0};
    char path[DATA_PATH_SIZE], *recipe = NULL;
    ink_dataset *data = NULL, *test = NULL;
    ink_model *model = NULL;
    struct division division = {0};
    int status = EXIT_FAILED;
    if (settings->resume && option_given(&train_command, settings, "recipe")) {
        complain("--recipe: a checkpoint goes on with the options it began with; leave it out, or --resume");
        return EXIT_USAGE;
    }
    if (settings->resume && !resume_settings(&merged, &model, &info))
        return EXIT_FAILED;
    if (!settings->resume && !recipe_take(&merged, &recipe))
        return EXIT_USAGE;
    status = EXIT_USAGE;
    if (!check_training(settings) || !read_shares(settings, &division) || !set_checkpoints(settings, path, &none))
        goto done;
    status = EXIT_FAILED;
    /* A reader of the lines that goes away (train | head) must not cost the model; main() reports the lost output. */
    signal(SIGPIPE, SIG_IGN);
    if (is_first(group) && !output_is_possible(settings->out, settings->force, "a model", is_model))
        goto done;
    if (settings->model && !parse_model(settings->model, &model))
        goto done;
    if (!find_data(settings, path) || !load_data(path, INK_TRAIN, settings, &data)
        || !load_data(path, INK_TEST, settings, &test))
        goto done;
    if (!model && ink_model_create_reference(ink_dataset_shape(data), ink_dataset_classes(data), &model)) {
        complain_library(NULL);
        goto done;
    }
    print_data(path, data, test);
    fflush(stdout);
    if (!(group ? open_own_device(settings, group, &division) : open_division(settings, &division)))
        goto done;
    print_division(&division);
    if (group)
        printf("processes  %d, each with a device of its own and its part of every batch\n", ink_group_get_info(group).size);
    print_training(settings, model);
    if (settings->resume)
        printf("resume  %s: epoch %d, after step %s\n", settings->resume, info.epoch, text_count(info.step).s);
    fflush(stdout);
    status = train(settings, model, &division, group, data, test);
done:
    close_division(&division);
    ink_model_destroy(&model);
    ink_dataset_destroy(&test);
    ink_dataset_destroy(&data);
    free(recipe);
    return status;
}

static int run(const struct settings *settings)
{
    ink_group *group = NULL;
    return join_others(&group) ? leave_others(&group, run_with(settings, group)) : EXIT_FAILED;
}

const struct command train_command = {
    .name = "train", .operands = "", .options = training_options, .run = run,
    .summary = "train a model and save it",
    .more = "Ctrl-C stops after the running step and saves what has been learnt so far, with checkpoints also one of them.\n",
};
