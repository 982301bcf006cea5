/* Command lines against a command's table: parsing, help text, and the nearest word to a misspelt one. */
#ifndef TOOL_OPTIONS_H
#define TOOL_OPTIONS_H

#include <stdio.h>

#include "command.h"

/* Reads the arguments after the command's name into *settings, defaults first. Options are --name VALUE, --name=VALUE,
 * -o VALUE or -oVALUE, anywhere among the operands; "--" ends them. False after saying what is wrong, and how it is
 * meant, on standard error. argv is reordered: the operands come first. */
bool options_parse(const struct command *command, int argc, char **argv, struct settings *settings);

/* Sets an option that is not on the command line. where goes in front of messages: "FILE:3: ". The value stays in use; a flag's is not
 * looked at. False after saying what is wrong with it. */
bool option_set(const struct option *option, const char *value, const char *where, struct settings *settings);

/* True if an option of this name was on the command line, and not its default taken. */
bool option_given(const struct command *command, const struct settings *settings, const char *name);

void options_help(const struct command *command, FILE *out);

/* "; use FILE" or the like: how the command is called. */
void options_usage(const struct command *command, FILE *out);

/* How many letters must change, come or go to make one word of the other. */
int word_distance(const char *a, const char *b);

/* True if a word is near enough to a known one to be meant. */
bool word_is_near(const char *word, const char *known);

#endif
