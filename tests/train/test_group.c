/* Processes that train together: mpirun starts this program again as each of them, with what it is to do as its argument. They must do
 * what one process does, stop together, and fail together with one message. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "rows.h"
#include "scratch.h"
#include "suite.h"
#include "train/trainer.h"
#include "util/file.h"

enum { SIDE = 6, PIXELS = SIDE * SIDE, CLASSES = 3, COUNT = 85, BATCH = 10, EPOCHS = 3, SKIPPED = 77 };

/* The rounding of sums over a batch, in each of 27 steps; the model is smooth but for ReLU, so steps add to it and hardly multiply it. */
static const double tolerance = 27 * 10 * 6e-8;

static const char *program;
static atomic_int calls_left = 1 << 30; /* to the call that fails in this process, and all behind it */

CL_API_ENTRY cl_int CL_API_CALL clEnqueueNDRangeKernel(cl_command_queue queue, cl_kernel kernel, cl_uint dimensions, const size_t *offset,
                                                       const size_t *global, const size_t *local, cl_uint count, const cl_event *waits, cl_event *event)
{
    CL_API_ENTRY cl_int(CL_API_CALL * real)(cl_command_queue, cl_kernel, cl_uint, const size_t *, const size_t *, const size_t *, cl_uint,
                                            const cl_event *, cl_event *);
    *(void **)&real = dlsym(RTLD_NEXT, "clEnqueueNDRangeKernel");
    if (atomic_fetch_sub(&calls_left, 1) <= 0)
        return CL_OUT_OF_RESOURCES;
    return real(queue, kernel, dimensions, offset, global, local, count, waits, event);
}

/* For processes, which Check does not run: ends the program where a call does not succeed. */
static void must(ink_status status)
{
    if (!status)
        return;
    fprintf(stderr, "%s\n", ink_last_error());
    exit(1);
}

static ink_dataset *make_data(void)
{
    ink_dataset *dataset = NULL;
    must(make_rows(6, SIDE, CLASSES, COUNT, 100, &dataset));
    return dataset;
}

/* What a run ends in. */
struct end {
    double losses[EPOCHS], test_losses[EPOCHS], validation_losses[EPOCHS];
    int epochs, rank;
    float weights[4096];
};

static bool note_epoch(const struct ink_progress *progress, void *user)
{
    struct end *end = user;
    if (progress->epoch_end && progress->epoch <= EPOCHS) {
        end->losses[progress->epoch - 1] = progress->loss;
        end->test_losses[progress->epoch - 1] = progress->test_loss;
        end->validation_losses[progress->epoch - 1] = progress->validation_loss;
        end->epochs = progress->epoch;
    }
    return true;
}

/* The second process alone wants to stop, at the end of the first epoch. */
static bool stop_after_one(const struct ink_progress *progress, void *user)
{
    const struct end *end = user;
    note_epoch(progress, user);
    return !(progress->epoch_end && end->rank == 1);
}

/* The second process alone breaks down, before the first gradients of the second epoch. */
static bool break_after_one(const struct ink_progress *progress, void *user)
{
    const struct end *end = user;
    if (progress->epoch_end && end->rank == 1)
        atomic_store(&calls_left, 0);
    return note_epoch(progress, user);
}

static struct ink_train_options options_of(const char *what, struct end *end)
{
    struct ink_train_options options = {.optimizer = INK_SGD, .learning_rate = 0.05, .momentum = 0.9, .clip_norm = 0.5, .ema = 0.9, .epochs = EPOCHS,
                                        .batch = BATCH, .seed = 5, .initialise = true, .progress = note_epoch, .user = end};
    if (strcmp(what, "micro") == 0)
        options.micro_batch = 2;
    if (strcmp(what, "weighted") == 0)
        options.validation = 0.2, options.class_weights = "1,3,0.5";
    if (strcmp(what, "stop") == 0)
        options.progress = stop_after_one;
    if (strcmp(what, "diverge") == 0)
        options.learning_rate = 999, options.clip_norm = 0, options.momentum = 0.99;
    if (strcmp(what, "wrong") == 0)
        options.epochs = -1;
    if (strcmp(what, "other") == 0)
        options.seed = 5 + (uint64_t)end->rank;
    if (strcmp(what, "broken") == 0)
        options.progress = break_after_one;
    if (strcmp(what, "checkpoints") == 0)
        options.checkpoints = getenv("GROUP_FOLDER"), options.checkpoint_steps = 4, options.keep = 100;
    if (strcmp(what, "resume") == 0)
        options.resume = getenv("GROUP_CHECKPOINT");
    return options;
}

static ink_status train(const char *what, ink_group *group, struct end *end, bool *stopped)
{
    const char *text = strcmp(what, "plain") == 0 || strcmp(what, "micro") == 0 || strcmp(what, "weighted") == 0
                           ? "input 6x6x1\nconv 3 3x3 relu\ndropout 0.2\ndense 7 tanh\ndropout 0.3\ndense 3 softmax\n"
                       : strcmp(what, "diverge") == 0 ? "input 6x6x1\nconv 4 3x3\ndense 8\ndense 3 softmax\n"
                                                      : "input 6x6x1\nconv 4 3x3\nbatch_norm relu\ndense 3 softmax\n";
    ink_dataset *data = make_data();
    ink_model *model = NULL;
    ink_device *device = NULL;
    end->rank = group ? ink_group_get_info(group).rank : 0;
    struct ink_train_options options = options_of(what, end);
    options.group = group;
    must(ink_model_parse(text, &model));
    must(ink_device_open(NULL, &device));
    ink_status status = ink_train(model, device, data, data, &options, stopped, NULL);
    memcpy(end->weights, model->trained, model->trained_count * sizeof(float));
    if (model->state_count)
        memcpy(end->weights + model->trained_count, model->state, model->state_count * sizeof(float));
    ink_model_destroy(&model);
    ink_dataset_destroy(&data);
    ink_device_destroy(&device);
    return status;
}

/* A process. Each leaves a file: its status, whether it was stopped, its message, and what its run ended in. */
struct report {
    ink_status status;
    bool stopped;
    char message[512];
    struct end end;
};

static int be_one(const char *what)
{
    struct report report = {.status = INK_OK};
    ink_group *group = NULL;
    char path[4096];
    must(ink_group_join(&group));
    if (strcmp(what, "early") == 0 && ink_group_get_info(group).rank == 1)
        report.status = ink_group_fail(group, INK_ERROR_FILE, "it has no file");
    else
        report.status = train(strcmp(what, "early") == 0 ? "plain" : what, group, &report.end, &report.stopped);
    snprintf(report.message, sizeof report.message, "%s", report.status ? ink_last_error() : "");
    snprintf(path, sizeof path, "%s/report.%d", getenv("GROUP_FOLDER"), ink_group_get_info(group).rank);
    must(ink_file_replace(path, &report, sizeof report));
    ink_group_leave(&group);
    return 0;
}

/* Has so many processes do something; their reports. MPI keeps memory for modules that it unloads, which a sanitizer cannot tell from
 * leaks. */
static void run(int processes, const char *what, struct report *reports)
{
    char command[4096], name[32];
    snprintf(command, sizeof command, "ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 GROUP_FOLDER='%s' '%s' -n %d '%s' %s </dev/null", scratch_folder, getenv("INKLING_MPIRUN"), processes, program, what);
    int status = system(command);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "%s: ended with %d", command, status);
    for (int p = 0; p < processes; p++) {
        unsigned char *bytes;
        size_t size;
        snprintf(name, sizeof name, "report.%d", p);
        ck_ok(ink_file_read(scratch_path(name), sizeof *reports, &bytes, &size));
        ck_assert_uint_eq(size, sizeof *reports);
        memcpy(&reports[p], bytes, size);
        free(bytes);
        remove(scratch_path(name));
    }
}

static void check_near(const struct end *got, const struct end *wanted, const char *what)
{
    for (int e = 0; e < EPOCHS; e++) {
        ck_assert_msg(fabs(got->losses[e] - wanted->losses[e]) <= tolerance, "%s: epoch %d: loss %.9g, not %.9g", what, e, got->losses[e], wanted->losses[e]);
        ck_assert_msg(fabs(got->test_losses[e] - wanted->test_losses[e]) <= tolerance, "%s: epoch %d: test loss %.9g, not %.9g", what, e,
                      got->test_losses[e], wanted->test_losses[e]);
        ck_assert_msg(fabs(got->validation_losses[e] - wanted->validation_losses[e]) <= tolerance, "%s: epoch %d: validation loss %.9g, not %.9g", what, e,
                      got->validation_losses[e], wanted->validation_losses[e]);
    }
    for (size_t i = 0; i < sizeof got->weights / sizeof *got->weights; i++)
        ck_assert_msg(fabs((double)got->weights[i] - (double)wanted->weights[i]) <= tolerance, "%s: weight %zu is %.9g, not %.9g", what, i,
                      (double)got->weights[i], (double)wanted->weights[i]);
}

/* Also where a batch of 10 does not divide, and where the last one of 5 leaves little to each. */
START_TEST(losses_are_those_of_one_process)
{
    static const struct { int processes; const char *what; } runs[] = {{2, "plain"}, {4, "plain"}, {3, "micro"}, {2, "weighted"}};
    struct report reports[4];
    for (size_t r = 0; r < sizeof runs / sizeof *runs; r++) {
        struct end whole = {0};
        ck_ok(train(strcmp(runs[r].what, "micro") == 0 ? "plain" : runs[r].what, NULL, &whole, NULL));
        run(runs[r].processes, runs[r].what, reports);
        for (int p = 0; p < runs[r].processes; p++) {
            char what[64];
            snprintf(what, sizeof what, "process %d of %d, %s", p + 1, runs[r].processes, runs[r].what);
            ck_assert_msg(reports[p].status == INK_OK, "%s: %s", what, reports[p].message);
            check_near(&reports[p].end, &whole, what);
            ck_assert_mem_eq(reports[p].end.weights, reports[0].end.weights, sizeof whole.weights);
        }
    }
}
END_TEST

/* With statistics of batch norm; a second time, and from a checkpoint on, which the first process wrote. */
START_TEST(the_same_processes_give_the_same_bits)
{
    struct report first[2], again[2];
    char path[INK_CHECKPOINT_PATH];
    run(2, "normed", first);
    run(2, "checkpoints", again);
    ck_assert_mem_eq(again[0].end.weights, first[0].end.weights, sizeof first[0].end.weights);
    ck_assert_mem_eq(again[1].end.weights, first[0].end.weights, sizeof first[0].end.weights);
    ck_ok(ink_checkpoint_path(scratch_folder, 12, path));
    setenv("GROUP_CHECKPOINT", path, 1);
    run(2, "resume", again);
    for (int p = 0; p < 2; p++) {
        ck_assert_msg(again[p].status == INK_OK, "%s", again[p].message);
        ck_assert_mem_eq(again[p].end.weights, first[0].end.weights, sizeof first[0].end.weights);
    }
}
END_TEST

START_TEST(all_stop_where_one_is_asked_to)
{
    struct report reports[3];
    run(3, "stop", reports);
    for (int p = 0; p < 3; p++) {
        ck_assert_msg(reports[p].status == INK_OK, "%s", reports[p].message);
        ck_assert(reports[p].stopped);
        ck_assert_int_eq(reports[p].end.epochs, 1);
        ck_assert_mem_eq(reports[p].end.weights, reports[0].end.weights, sizeof reports[0].end.weights);
    }
}
END_TEST

START_TEST(all_fail_with_one_message)
{
    static const struct { const char *what; ink_status status; const char *text; } failures[] = {
        {"wrong", INK_ERROR_ARGUMENT, "epochs is -1"},
        {"other", INK_ERROR_ARGUMENT, "the processes do not have the same model, data or options"},
        {"early", INK_ERROR_FILE, "process 2 of 2: it has no file"},
        {"broken", INK_ERROR_MEMORY, "process 2 of 2: clEnqueueNDRangeKernel"},
        {"diverge", INK_ERROR_DIVERGED, "is not a finite number"},
    };
    struct report reports[2];
    for (size_t f = 0; f < sizeof failures / sizeof *failures; f++) {
        run(2, failures[f].what, reports);
        for (int p = 0; p < 2; p++) {
            ck_assert_msg(reports[p].status == failures[f].status, "%s: process %d: %s: %s", failures[f].what, p + 1, ink_status_text(reports[p].status),
                          reports[p].message);
            ck_assert_msg(strstr(reports[p].message, failures[f].text) != NULL, "\"%s\" lacks \"%s\"", reports[p].message, failures[f].text);
            ck_assert_str_eq(reports[p].message, reports[0].message);
        }
    }
}
END_TEST

static int all(void)
RUN_SUITE("group", losses_are_those_of_one_process, the_same_processes_give_the_same_bits, all_stop_where_one_is_asked_to, all_fail_with_one_message)

int main(int argc, char **argv)
{
    program = argv[0];
    if (argc > 1)
        return be_one(argv[1]);
    if (!getenv("INKLING_MPIRUN")) {
        printf("skipped: the build has no MPI, or there is no mpirun\n");
        return SKIPPED;
    }
    /* Open MPI starts nothing as root, and no more processes than there are cores, unless it is told to */
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    setenv("OMPI_MCA_rmaps_base_oversubscribe", "1", 1);
    return all();
}
