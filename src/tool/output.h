/* Files that the tool writes: whether a path can be written is found out before the work, not after it. */
#ifndef TOOL_OUTPUT_H
#define TOOL_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

/* True if path can be made or replaced: its folder is there and takes a new file, and what is at path now, if
 * anything, is a file for which `ours` is true, or force is given. kind is what it should be ("a model").
 * False after saying why. */
bool output_is_possible(const char *path, bool force, const char *kind, bool (*ours)(const char *path));

/* A file being written beside path. */
struct output {
    const char *path;
    char *aside;
    int descriptor;
};

/* Opens, writes (0, or an errno), and puts the file at path; abandon leaves nothing. False after saying why. */
bool output_open(const char *path, struct output *output);
int output_write(struct output *output, const void *data, size_t size);
bool output_close(struct output *output);
void output_abandon(struct output *output);

#endif
