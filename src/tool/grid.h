/* A picture of images on a page, each with what the model took it for, or with a caption. */
#ifndef TOOL_GRID_H
#define TOOL_GRID_H

#include <stdbool.h>
#include <stdint.h>

#include "inkling/inkling.h"

struct grid_item {
    const uint8_t *image; /* [height][width][channels] */
    int label, predicted;
    double probability;   /* of the predicted class, 0 to 1 */
    const char *caption;  /* what stands below instead of a prediction; NULL: none does */
};

struct grid {
    const char *title, *subtitle;
    struct ink_shape shape; /* of every image */
    const struct grid_item *items;
    int count;              /* 0: the page says so */
    int columns;            /* 0: as fits */
};

/* Draws the grid into a PNG at path, written aside and renamed. False after saying why not. */
bool grid_write_png(const struct grid *grid, const char *path);

#endif
