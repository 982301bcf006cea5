/* Reading of recipes; see recipe.h. */
#include "recipe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common.h"
#include "options.h"
#include "text.h"

enum { RECIPE_MOST = 1 << 16, WHERE_SIZE = 4200 };
static const char blanks[] = " \t\r";

/* Of one run, not of a way to train. */
static const char *const foreign[] = {"recipe", "resume", "help", "out", "force", "data", "device", "checkpoint-every", "checkpoints", "keep"};

/* An option of the command line, and those of the recipe that do not go with another value of it. */
static const struct {
    const char *given, *aside[12];
} rivals[] = {
    {"optimizer", {"lr", "momentum", "nesterov", "weight-decay"}},
    {"schedule", {"lr", "step-size", "plateau-epochs", "gamma", "min-lr", "pct-start", "div-factor", "final-div-factor", "anneal"}},
    {"momentum", {"nesterov"}},
    {"elastic", {"elastic-smoothness"}},
    {"tune", {"no-tune"}},
    {"no-tune", {"tune"}},
};

static bool is_put_aside(const struct settings *settings, const char *name)
{
    if (option_given(&train_command, settings, name))
        return true;
    for (size_t i = 0; i < sizeof rivals / sizeof *rivals; i++)
        for (int k = 0; rivals[i].aside[k] && option_given(&train_command, settings, rivals[i].given); k++)
            if (strcmp(rivals[i].aside[k], name) == 0)
                return true;
    return false;
}

/* The option of a line; NULL after saying why there is none. */
static const struct option *find(const char *name, const char *where)
{
    const struct option *nearest = NULL;
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (strcmp(foreign[i], name) == 0) {
            complain("%s\"%s\" is no matter of a recipe; give it on the command line", where, name);
            return NULL;
        }
    for (const struct option *option = train_command.options; option->kind; option++) {
        if (strcmp(option->name, name) == 0)
            return option;
        if (word_is_near(name, option->name) && (!nearest || word_distance(name, option->name) < word_distance(name, nearest->name)))
            nearest = option;
    }
    if (strncmp(name, "--", 2) == 0)
        complain("%s\"%s\": options stand without their dashes here", where, name);
    else if (nearest)
        complain("%strain has no option \"%s\"; did you mean %s?", where, name, nearest->name);
    else
        complain("%strain has no option \"%s\"; 'inkling help train' tells those it has", where, name);
    return NULL;
}

/* Takes a line, ended by 0. seen: bit i: the i-th option was there before. */
static bool take_line(char *line, const char *where, uint64_t seen[2], struct settings *settings)
{
    line[strcspn(line, "#")] = 0;
    line += strspn(line, blanks);
    for (size_t length = strlen(line); length && strchr(blanks, line[length - 1]);)
        line[--length] = 0;
    if (!*line)
        return true;
    char *value = line + strcspn(line, blanks);
    if (*value)
        *value++ = 0;
    value += strspn(value, blanks);
    const struct option *option = find(line, where);
    if (!option)
        return false;
    size_t number = (size_t)(option - train_command.options);
    if (seen[number / 64] >> number % 64 & 1) {
        complain("%s\"%s\" is there twice; leave out one of them", where, line);
        return false;
    }
    seen[number / 64] |= (uint64_t)1 << number % 64;
    if (*value && option->kind == OPTION_FLAG) {
        complain("%s\"%s\" takes no value, but \"%s\" stands there", where, line, value);
        return false;
    }
    if (!*value && option->kind != OPTION_FLAG) {
        complain("%s\"%s\" needs a value: %s %s", where, line, line, option->value);
        return false;
    }
    if (!is_put_aside(settings, line))
        return option_set(option, value, where, settings);
    struct settings scratch = *settings; /* what is put aside is looked at too */
    return option_set(option, value, where, &scratch);
}

static char *copy(const char *text)
{
    char *copied = malloc(strlen(text) + 1);
    if (copied)
        strcpy(copied, text);
    else
        complain("no memory for a recipe");
    return copied;
}

/* The text of the recipe of this name, else of the file; free() it. NULL after saying why there is none. */
static char *load(const char *name)
{
    char names[256] = "";
    struct stat info;
    for (const struct recipe_text *recipe = embedded_recipes; recipe->name; recipe++) {
        if (strcmp(recipe->name, name) == 0)
            return copy(recipe->text);
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", *names ? ", " : "", recipe->name);
    }
    if (stat(name, &info) == 0)
        return read_text(name, RECIPE_MOST, "a recipe (a line an option of training, as \"epochs 5\")");
    complain("--recipe: \"%s\" is neither one of %s nor a file", name, names);
    return NULL;
}

bool recipe_take(struct settings *settings, char **out)
{
    char *text = load(settings->recipe), *line = text, where[WHERE_SIZE];
    uint64_t seen[2] = {0};
    if (!text)
        return false;
    for (int number = 1; line; number++) {
        char *end = strchr(line, '\n');
        if (end)
            *end = 0;
        snprintf(where, sizeof where, "%s:%d: ", settings->recipe, number);
        if (!take_line(line, where, seen, settings)) {
            free(text);
            return false;
        }
        line = end ? end + 1 : NULL;
    }
    *out = text;
    return true;
}
