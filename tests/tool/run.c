/* Runs of the tool; see run.h. */
#define _XOPEN_SOURCE 700 /* pseudo-terminals, nftw() */
#include "tool/run.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "suite.h"
#include "util/file.h"

enum { WORDS_MOST = 64 };

static char folder[64];

/* Check's assertions work within a test only; a run may be before the first. */
static void need(bool is_so)
{
    if (!is_so) {
        perror("running the tool");
        exit(EXIT_FAILURE);
    }
}

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void)info, (void)type, (void)place;
    return remove(path);
}

void run_begin(void)
{
    if (!getenv("INKLING_TOOL")) {
        fprintf(stderr, "INKLING_TOOL must name the tool to test\n");
        exit(EXIT_FAILURE);
    }
    strcpy(folder, "/tmp/inkling-test-XXXXXX");
    if (!mkdtemp(folder) || chdir(folder) != 0 || mkdir("temporary", 0755) != 0) {
        perror(folder);
        exit(EXIT_FAILURE);
    }
    char temporary[96];
    snprintf(temporary, sizeof temporary, "%s/temporary", folder);
    setenv("TMPDIR", temporary, 1);
    setenv("INKLING_CACHE_DIR", temporary, 1);
    /* Where the tool is built to look for leaks it would find those of OpenCL drivers and of fontconfig, which cannot be
     * told apart from its own once they are unloaded. */
    setenv("ASAN_OPTIONS", "detect_leaks=0", 0);
    setenv("TERM", "xterm", 1);
    unsetenv("NO_COLOR");
}

void run_end(void)
{
    if (chdir("/") == 0)
        nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void become_tool(const char *arguments, int out, int err)
{
    static char words[4096];
    char *list[WORDS_MOST] = {getenv("INKLING_TOOL")};
    int count = 1;
    snprintf(words, sizeof words, "%s", arguments);
    for (char *word = strtok(words, " "); word && count < WORDS_MOST - 1; word = strtok(NULL, " "))
        list[count++] = word;
    int nothing = open("/dev/null", O_RDONLY);
    dup2(nothing, 0);
    dup2(err, 2);
    if (out >= 0)
        dup2(out, 1);
    else
        close(1);
    for (int i = 3; i < 64; i++)
        close(i);
    execv(list[0], list);
    _exit(127);
}

/* Appends what a descriptor has; false at its end. */
static bool gather(int descriptor, char **text, size_t *size)
{
    char bytes[4096];
    ssize_t got = read(descriptor, bytes, sizeof bytes);
    if (got <= 0)
        return got < 0 && errno == EINTR;
    char *longer = realloc(*text, *size + (size_t)got + 1);
    need(longer != NULL);
    memcpy(longer + *size, bytes, (size_t)got);
    *text = longer;
    *size += (size_t)got;
    longer[*size] = 0;
    return true;
}

/* Opens both ends of a run's standard output; ends[0] is -1 where nothing is to be read. */
static void open_output(enum run_output output, int columns, int *ends)
{
    ends[0] = ends[1] = -1;
    if (output == RUN_PIPE || output == RUN_BROKEN) {
        need(pipe(ends) == 0);
        if (output == RUN_BROKEN) {
            close(ends[0]);
            ends[0] = -1;
        }
    } else if (output == RUN_FULL) {
        ends[1] = open("/dev/full", O_WRONLY);
        need(ends[1] >= 0);
    } else if (output == RUN_TERMINAL) {
        ends[0] = posix_openpt(O_RDWR | O_NOCTTY);
        need(ends[0] >= 0 && grantpt(ends[0]) == 0 && unlockpt(ends[0]) == 0);
        ends[1] = open(ptsname(ends[0]), O_RDWR | O_NOCTTY);
        struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
        need(ends[1] >= 0 && ioctl(ends[1], TIOCSWINSZ, &size) == 0);
    }
}

void run_tool_watched(struct run *run, const char *arguments, enum run_output output, int columns, const char *text,
                      void (*on_line)(pid_t process))
{
    int out[2], err[2];
    open_output(output, columns, out);
    need(pipe(err) == 0);
    pid_t process = fork();
    need(process >= 0);
    if (process == 0)
        become_tool(arguments, out[1], err[1]);
    if (out[1] >= 0)
        close(out[1]);
    close(err[1]);
    *run = (struct run){0, calloc(1, 1), calloc(1, 1)};
    size_t out_size = 0, err_size = 0;
    struct pollfd ends[2] = {{.fd = out[0], .events = POLLIN}, {.fd = err[0], .events = POLLIN}};
    while (ends[0].fd >= 0 || ends[1].fd >= 0) {
        if (poll(ends, 2, -1) < 0)
            continue;
        if (ends[0].fd >= 0 && ends[0].revents && !gather(out[0], &run->out, &out_size))
            ends[0].fd = -1;
        if (ends[1].fd >= 0 && ends[1].revents && !gather(err[0], &run->err, &err_size))
            ends[1].fd = -1;
        if (on_line && strstr(run->out, text)) {
            on_line(process);
            on_line = NULL;
        }
    }
    if (out[0] >= 0)
        close(out[0]);
    close(err[0]);
    int status;
    while (waitpid(process, &status, 0) < 0 && errno == EINTR)
        ;
    run->status = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

void run_tool(struct run *run, const char *arguments) { run_tool_watched(run, arguments, RUN_PIPE, 0, NULL, NULL); }

void run_free(struct run *run)
{
    free(run->out);
    free(run->err);
    *run = (struct run){0};
}

static void check_stream(const char *arguments, const char *stream, const char *has, const char *wanted)
{
    if (wanted)
        ck_assert_msg(strstr(has, wanted) != NULL, "inkling %s: standard %s lacks \"%s\":\n%s", arguments, stream, wanted, has);
    else
        ck_assert_msg(!*has, "inkling %s: standard %s is not empty:\n%s", arguments, stream, has);
}

void check_run(const char *arguments, int status, const char *out, const char *err)
{
    struct run run;
    run_tool(&run, arguments);
    ck_assert_msg(run.status == status, "inkling %s: ended with %d, not %d:\n%s%s", arguments, run.status, status, run.out,
                  run.err);
    check_stream(arguments, "output", run.out, out);
    check_stream(arguments, "error", run.err, err);
    run_free(&run);
}

int count_files(void)
{
    DIR *list = opendir(folder);
    ck_assert_ptr_nonnull(list);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(list));)
        count += entry->d_name[0] != '.' && strcmp(entry->d_name, "temporary") != 0;
    closedir(list);
    return count;
}

long file_size(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 ? (long)info.st_size : -1;
}

void write_file(const char *path, const char *content)
{
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert(fputs(content, file) >= 0 && fclose(file) == 0);
}

void check_same_files(const char *a, const char *b)
{
    unsigned char *left, *right;
    size_t left_size, right_size;
    ck_ok(ink_file_read(a, 1 << 24, &left, &left_size));
    ck_ok(ink_file_read(b, 1 << 24, &right, &right_size));
    ck_assert_msg(left_size == right_size && memcmp(left, right, left_size) == 0, "%s and %s differ", a, b);
    free(left);
    free(right);
}

bool run_has_device;

int run_suite(int (*suite)(void))
{
    struct run run;
    run_begin();
    run_tool(&run, "devices");
    run_has_device = run.status == 0;
    run_free(&run);
    int failed = suite();
    run_end();
    if (!run_has_device)
        fprintf(stderr, "skipped: there is no OpenCL device\n");
    return run_has_device || failed ? failed : 77;
}
