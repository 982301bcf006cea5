/* Recipes: options of training as text, a line each of an option's name, without its dashes, and its value; '#' starts a comment.
 * Those of data/recipes are built in, and have a name. */
#ifndef TOOL_RECIPE_H
#define TOOL_RECIPE_H

#include "command.h"

/* A recipe of the build; the table ends with a NULL name. Written by cl/embed.py. */
struct recipe_text {
    const char *name, *text;
};
extern const struct recipe_text embedded_recipes[];

/* Takes the options of settings->recipe where they are not on the command line. Some that are there put aside those of the recipe that
 * go with it: its learning rate with another --optimizer or --schedule, for one. *text: what the settings then point into; free() it when
 * they are done with. False after saying what is wrong, and on which line. */
bool recipe_take(struct settings *settings, char **text);

#endif
