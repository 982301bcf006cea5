/* Distortions of training images on the command line, and the picture of what they do. */
#ifndef TOOL_AUGMENT_H
#define TOOL_AUGMENT_H

#include "command.h"

/* False after saying which of the options does nothing. */
bool check_augmentation(const struct ink_augmentation *augmentation);

/* True if any distortion is asked for. */
bool is_augmented(const struct ink_augmentation *augmentation);

/* The same of 'inkling show', where they go with --augment, and MODEL without it. */
bool check_show_augmented(const struct settings *settings);

/* Draws training images in rows: as they are, then as training sees them in its first epochs. Gives the exit status. */
int show_augmented(const struct settings *settings);

#endif
