/* The tool's entry: finds the subcommand, parses its command line, runs it, and makes sure that what was printed has
 * arrived. */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "inkling/inkling.h"
#include "options.h"
#include "processes.h"
#include "text.h"

static const struct command *const commands[] = {
    &devices_command,
    &train_command,
    &evaluate_command,
    &predict_command,
    &show_command,
    &summary_command,
    &bench_command,
    &cache_command,
    &tune_command,
    NULL,
};

static void print_log(ink_log_level level, const char *text, void *user)
{
    (void)user;
    if (level == INK_LOG_WARNING)
        complain("warning: %s", text);
}

static void print_help(FILE *out)
{
    fprintf(out, "inkling trains and uses small convolutional networks on any OpenCL device\n\n"
                 "usage: inkling COMMAND [OPTION]...\n\ncommands:\n");
    for (const struct command *const *command = commands; *command; command++)
        fprintf(out, "  %-10s %s\n", (*command)->name, (*command)->summary);
    fprintf(out, "  %-10s %s\n\n", "help", "tell about a command and its options: inkling help train");
    fprintf(out, "'inkling train' needs no options: it trains the reference network on the MNIST digits that come with\n"
                 "Inkling and saves inkling.safetensors in the current folder. 'inkling --version' prints the version.\n");
}

/* The command of a name, or NULL after naming the nearest. */
static const struct command *find_command(const char *name)
{
    const char *nearest = NULL;
    for (const struct command *const *command = commands; *command; command++) {
        if (strcmp((*command)->name, name) == 0)
            return *command;
        if (word_is_near(name, (*command)->name)
            && (!nearest || word_distance(name, (*command)->name) < word_distance(name, nearest)))
            nearest = (*command)->name;
    }
    if (nearest)
        complain("there is no command \"%s\"; did you mean %s?", name, nearest);
    else
        complain("there is no command \"%s\"; 'inkling help' lists them", name);
    return NULL;
}

static int run(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        printf("inkling %s\n", ink_version());
        return EXIT_OK;
    }
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        if (argc < 3) {
            print_help(stdout);
            return EXIT_OK;
        }
        if (argc > 3) {
            complain("help tells about one command; \"%s\" is one too many", argv[3]);
            return EXIT_USAGE;
        }
        const struct command *command = find_command(argv[2]);
        if (!command)
            return EXIT_USAGE;
        options_help(command, stdout);
        return EXIT_OK;
    }
    if (name[0] == '-') {
        complain("the command comes first: inkling COMMAND [OPTION]...; 'inkling help' lists the commands");
        return EXIT_USAGE;
    }
    const struct command *command = find_command(name);
    struct settings settings;
    if (!command || !options_parse(command, argc - 2, argv + 2, &settings))
        return EXIT_USAGE;
    if (settings.help) {
        options_help(command, stdout);
        return EXIT_OK;
    }
    return command->run(&settings);
}

/* A standard stream that was closed before the start would have its number given to the next file opened, and the text
 * meant for the stream written into that file. /dev/null opened the wrong way round holds the number, and still makes
 * every use of the stream an error that is seen. */
static void hold_standard_streams(void)
{
    for (int stream = 0; stream <= 2; stream++)
        if (fcntl(stream, F_GETFD) < 0 && errno == EBADF && open("/dev/null", stream ? O_RDONLY : O_WRONLY) < 0)
            _exit(EXIT_FAILED);
}

int main(int argc, char **argv)
{
    hold_standard_streams();
    speak_as_one();
    setlocale(LC_CTYPE, "");
    ink_set_log(print_log, NULL);
    int status = run(argc, argv);
    errno = 0;
    bool lost = ferror(stdout) != 0;
    if (fclose(stdout) != 0 || lost) {
        fprintf(stderr, "inkling: standard output could not be written%s%s\n", errno ? ": " : "", errno ? strerror(errno) : "");
        if (status == EXIT_OK)
            status = EXIT_FAILED;
    }
    return status_of_all(status);
}
