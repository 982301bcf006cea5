/* Writing of what cairo drew as a PNG file. */
#ifndef TOOL_SURFACE_H
#define TOOL_SURFACE_H

#include <cairo.h>
#include <stdbool.h>

/* Writes the page to path, aside and renamed, and destroys it. False after saying why not. */
bool surface_write_png(cairo_surface_t *page, const char *path);

/* True if there is a PNG at path. */
bool surface_is_png(const char *path);

#endif
