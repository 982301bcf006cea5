/* Parsing of a command line by a command's option table, and the help text from the same table, so that what help says
 * of names, ranges and defaults is what the parser does; see options.h. */
#include "options.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

enum { HELP_COLUMN = 28, HELP_WIDTH = 96, WORD_LONGEST = 40 };

static const char *place = ""; /* where values come from, in front of messages about them; "": the command line */

int word_distance(const char *a, const char *b)
{
    /* Levenshtein 1966, one row at a time: row[j] is the distance of a's first i letters to b's first j. */
    int row[WORD_LONGEST + 1];
    size_t length = strlen(b);
    if (strlen(a) > WORD_LONGEST || length > WORD_LONGEST)
        return INT_MAX;
    for (size_t j = 0; j <= length; j++)
        row[j] = (int)j;
    for (size_t i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = (int)i;
        for (size_t j = 1; j <= length; j++) {
            int change = diagonal + (a[i - 1] != b[j - 1]);
            int add = row[j - 1] + 1, drop = row[j] + 1;
            diagonal = row[j];
            row[j] = change < add ? change : add;
            if (drop < row[j])
                row[j] = drop;
        }
    }
    return row[length];
}

bool word_is_near(const char *word, const char *known)
{
    size_t length = strlen(word);
    if (length >= 2 && strncmp(word, known, length) == 0)
        return true;
    return word_distance(word, known) <= (strlen(known) > 3 ? 2 : 1);
}

void options_usage(const struct command *command, FILE *out)
{
    fprintf(out, "usage: inkling %s%s%s [OPTION]...\n", command->name, *command->operands ? " " : "", command->operands);
}

static bool complain_hint(const struct command *command)
{
    complain("'inkling help %s' tells its options", command->name);
    return false;
}

/* The option with a name of length letters, or NULL after naming the nearest. */
static const struct option *find_option(const struct command *command, const char *name, size_t length)
{
    char word[WORD_LONGEST + 1];
    snprintf(word, sizeof word, "%.*s", (int)(length < WORD_LONGEST ? length : WORD_LONGEST), name);
    const struct option *nearest = NULL;
    for (const struct option *option = command->options; option->kind; option++) {
        if (strlen(option->name) == length && strncmp(option->name, name, length) == 0)
            return option;
        if (word_is_near(word, option->name)
            && (!nearest || word_distance(word, option->name) < word_distance(word, nearest->name)))
            nearest = option;
    }
    if (nearest)
        complain("%s has no option --%.*s; did you mean --%s?", command->name, (int)length, name, nearest->name);
    else
        complain("%s has no option --%.*s", command->name, (int)length, name);
    complain_hint(command);
    return NULL;
}

static bool set_whole(const struct option *option, const char *text, uint64_t *field)
{
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    bool is_whole = *text >= '0' && *text <= '9' && *end == 0; /* strtoull itself would take "-1" and " 1" */
    bool is_negative = *text == '-' && text[1] >= '0' && text[1] <= '9' && *end == 0;
    if (is_whole && errno == 0 && value >= option->least && value <= option->most) {
        *field = value;
        return true;
    }
    if (is_whole || is_negative)
        complain("%s--%s: %s is out of range; give a whole number from %s to %s", place, option->name, text,
                 text_count(option->least).s, text_count(option->most).s);
    else
        complain("%s--%s: \"%s\" is not a whole number; give one from %s to %s", place, option->name, text,
                 text_count(option->least).s, text_count(option->most).s);
    return false;
}

static bool set_real(const struct option *option, const char *text, double *field)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || isnan(value)) {
        complain("%s--%s: \"%s\" is not a number; give one from %g to below %g", place, option->name, text, option->low, option->high);
        return false;
    }
    if (!(value >= option->low && value < option->high)) {
        complain("%s--%s: %s is out of range; give a number from %g to below %g", place, option->name, text, option->low, option->high);
        return false;
    }
    *field = value;
    return true;
}

static bool set_choice(const struct option *option, const char *text, int *field)
{
    const char *word = option->value;
    for (int i = 0;; i++) {
        size_t length = strcspn(word, "|");
        if (strlen(text) == length && strncmp(text, word, length) == 0) {
            *field = i;
            return true;
        }
        if (!word[length])
            break;
        word += length + 1;
    }
    complain("%s--%s: \"%s\" is none of %s", place, option->name, text, option->value);
    return false;
}

static bool set_option(const struct option *option, const char *text, struct settings *settings)
{
    void *field = (char *)settings + option->field;
    switch (option->kind) {
    case OPTION_FLAG:
        *(bool *)field = true;
        return true;
    case OPTION_WHOLE:
        return set_whole(option, text, field);
    case OPTION_REAL:
        return set_real(option, text, field);
    case OPTION_CHOICE:
        return set_choice(option, text, field);
    case OPTION_TEXT:
        if (!*text) {
            complain("%s--%s: needs a value that is not empty", place, option->name);
            return false;
        }
        *(const char **)field = text;
        return true;
    case OPTION_END:
        break;
    }
    return false;
}

/* Takes the option at argv[*i] with its value, which may be in the same argument or in the next. */
static bool take_option(const struct command *command, int argc, char **argv, int *i, struct settings *settings)
{
    const char *argument = argv[*i], *value = NULL;
    const struct option *option = NULL;
    if (argument[1] == '-') {
        size_t length = strcspn(argument + 2, "=");
        option = find_option(command, argument + 2, length);
        if (!option)
            return false;
        if (argument[2 + length])
            value = argument + 2 + length + 1;
    } else {
        for (option = command->options; option->kind && option->letter != argument[1]; option++)
            ;
        if (!option->kind) {
            complain("%s has no option -%c", command->name, argument[1]);
            return complain_hint(command);
        }
        if (argument[2])
            value = argument + 2;
    }
    if (option->kind == OPTION_FLAG) {
        if (value) {
            complain("--%s takes no value, but \"%s\" was given", option->name, value);
            return complain_hint(command);
        }
    } else if (!value) {
        /* "--out --force" forgot a name; a value that does start with dashes can be given with '='. */
        if (*i + 1 >= argc || strncmp(argv[*i + 1], "--", 2) == 0) {
            complain("--%s needs a value: --%s %s", option->name, option->name, option->value);
            return complain_hint(command);
        }
        value = argv[++*i];
    }
    size_t number = (size_t)(option - command->options);
    settings->given[number / 64] |= (uint64_t)1 << number % 64;
    return set_option(option, value, settings) || complain_hint(command);
}

bool option_set(const struct option *option, const char *value, const char *where, struct settings *settings)
{
    place = where;
    bool done = set_option(option, value, settings);
    place = "";
    return done;
}

bool option_given(const struct command *command, const struct settings *settings, const char *name)
{
    for (size_t i = 0; command->options[i].kind; i++)
        if (strcmp(command->options[i].name, name) == 0)
            return settings->given[i / 64] >> i % 64 & 1;
    return false;
}

bool options_parse(const struct command *command, int argc, char **argv, struct settings *settings)
{
    *settings = (struct settings){0};
    for (const struct option *option = command->options; option->kind; option++)
        if (option->initial && !set_option(option, option->initial, settings))
            return false;
    int operands = 0;
    bool ended = false;
    for (int i = 0; i < argc; i++) {
        if (!ended && strcmp(argv[i], "--") == 0) {
            ended = true;
        } else if (!ended && argv[i][0] == '-' && argv[i][1]) {
            if (!take_option(command, argc, argv, &i, settings))
                return false;
        } else {
            argv[operands++] = argv[i];
        }
    }
    settings->operands = argv;
    settings->operand_count = operands;
    if (settings->help || (operands >= command->least && operands <= command->most))
        return true;
    if (operands < command->least) {
        const char *missing = command->operands;
        for (int i = 0; i < operands; i++)
            missing += strcspn(missing, " ") + 1;
        complain("%s needs %.*s", command->name, (int)strcspn(missing, " ."), missing);
    } else {
        complain("%s: what is \"%s\" for? It takes %s", command->name, argv[command->most],
                 command->most ? command->operands : "options only");
    }
    options_usage(command, stderr);
    return complain_hint(command);
}

/* Prints words from a column on, broken at HELP_WIDTH; `at` is the column the cursor is in. */
static void print_wrapped(FILE *out, const char *words, int at)
{
    while (*words) {
        int length = (int)strcspn(words, " ");
        if (at + 1 + length > HELP_WIDTH) {
            fprintf(out, "\n%*s", HELP_COLUMN, "");
            at = HELP_COLUMN;
        } else if (at > HELP_COLUMN) {
            fputc(' ', out);
            at++;
        }
        fprintf(out, "%.*s", length, words);
        at += length;
        words += length;
        words += strspn(words, " ");
    }
    fputc('\n', out);
}

void options_help(const struct command *command, FILE *out)
{
    options_usage(command, out);
    fprintf(out, "\n%s\n", command->summary);
    if (command->more)
        fprintf(out, "\n%s", command->more);
    fprintf(out, "\noptions:\n");
    for (const struct option *option = command->options; option->kind; option++) {
        char head[96], tail[400];
        char letter[5] = "";
        if (option->letter)
            snprintf(letter, sizeof letter, "-%c, ", option->letter);
        int used = snprintf(head, sizeof head, "  %s--%s%s%s", letter, option->name, option->value ? " " : "",
                            option->value ? option->value : "");
        fputs(head, out);
        if (used + 1 < HELP_COLUMN)
            fprintf(out, "%*s", HELP_COLUMN - used, "");
        else
            fprintf(out, "\n%*s", HELP_COLUMN, "");
        int length = snprintf(tail, sizeof tail, "%s", option->help);
        if (option->kind == OPTION_WHOLE && option->most != UINT64_MAX)
            length += snprintf(tail + length, sizeof tail - (size_t)length, ", %s to %s", text_count(option->least).s,
                               text_count(option->most).s);
        if (option->kind == OPTION_REAL)
            length += snprintf(tail + length, sizeof tail - (size_t)length, ", %g to below %g", option->low, option->high);
        if (option->initial)
            snprintf(tail + length, sizeof tail - (size_t)length, " (default %s)", option->initial);
        print_wrapped(out, tail, HELP_COLUMN);
    }
}
