/* The roofline of a step (Williams, Waterman and Patterson 2009): each kernel a point, its speed over its FLOP a byte, under
 * the two ceilings that the device's peak and bandwidth are. */
#ifndef TOOL_ROOFLINE_H
#define TOOL_ROOFLINE_H

#include <stdbool.h>

#include "inkling/inkling.h"

struct roofline {
    const char *title, *subtitle;
    const struct ink_device_speed *speed;
    const struct ink_profile *profile;
};

/* Draws it into a PNG at path, written aside and renamed. False after saying why not. */
bool roofline_write_png(const struct roofline *roofline, const char *path);

#endif
