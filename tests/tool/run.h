/* Runs the built tool, whose path Meson gives in $INKLING_TOOL, as a user would: words, exit status, what it printed.
 * Every run is in one folder of this suite's own, gone afterwards. */
#ifndef INK_TESTS_TOOL_RUN_H
#define INK_TESTS_TOOL_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct run {
    int status;      /* exit status; 1000 + the signal that ended it */
    char *out, *err; /* all that it printed; freed with run_free() */
};

/* Where the standard output of a run goes; RUN_BROKEN is a pipe that nobody reads. */
enum run_output { RUN_PIPE, RUN_BROKEN, RUN_FULL, RUN_CLOSED, RUN_TERMINAL };

/* Makes the folder and goes into it; leaves and removes it. TMPDIR becomes the folder "temporary" in it. */
void run_begin(void);
void run_end(void);

/* Runs the tool with arguments divided at spaces; "" gives none. */
void run_tool(struct run *run, const char *arguments);

/* The same with another standard output; RUN_TERMINAL is a terminal of so many columns, and run->out all it is sent.
 * on_line (may be NULL) is called once, when the output first contains `text`. */
void run_tool_watched(struct run *run, const char *arguments, enum run_output output, int columns, const char *text,
                      void (*on_line)(pid_t process));
void run_free(struct run *run);

/* Runs the tool and fails unless it ends with a status, and its standard output and error contain these texts; NULL
 * wants nothing printed, "" takes anything. */
void check_run(const char *arguments, int status, const char *out, const char *err);

/* Fails unless two files have the same bytes. */
void check_same_files(const char *a, const char *b);

/* Runs a suite in the folder, and returns its exit status: 77 where it has not failed and there is no device, as tests that need one
 * return at once then. */
extern bool run_has_device;
int run_suite(int (*suite)(void));

/* How many files lie in the suite's folder, and a file's size, -1 without it. */
int count_files(void);
long file_size(const char *path);
void write_file(const char *path, const char *content);

#endif
