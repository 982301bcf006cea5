/* Drawing of the picture of predictions with cairo; see grid.h. Right is green with a tick, wrong is red with a cross:
 * the marks are strokes, so the picture is read without colour too, and needs no glyph that a font may lack. Green and
 * red are of different lightness for the same reason. */
#include "grid.h"

#include <cairo.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "surface.h"
#include "text.h"

/* Lengths in pixels. */
enum {
    IMAGE_WIDTH = 112, /* about: the next whole multiple of the image's own size, so that its pixels stay square */
    BORDER = 5,
    LABEL = 34,        /* height of the text below an image */
    GAP = 16,
    MARGIN = 28,
    HEAD = 84,         /* height of title and subtitle */
    NARROWEST = 620,   /* of a page: the title must fit */
};

struct colour_rgb {
    double red, green, blue;
};

static const struct colour_rgb right_colour = {0.06, 0.50, 0.22}, wrong_colour = {0.84, 0.12, 0.16};
static const struct colour_rgb text_colour = {0.10, 0.11, 0.13}, quiet_colour = {0.40, 0.42, 0.46}, frame_colour = {0.62, 0.64, 0.68};

static void set_colour(cairo_t *cairo, struct colour_rgb c) { cairo_set_source_rgb(cairo, c.red, c.green, c.blue); }

static double text_width(cairo_t *cairo, const char *text)
{
    cairo_text_extents_t extents;
    cairo_text_extents(cairo, text, &extents);
    return extents.x_advance;
}

/* Text at a size, or smaller so that it fits a width. Returns the width it took. */
static double draw_text(cairo_t *cairo, const char *text, double x, double y, double size, double most, bool bold)
{
    cairo_select_font_face(cairo, "sans-serif", CAIRO_FONT_SLANT_NORMAL, bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cairo, size);
    double width = text_width(cairo, text);
    if (width > most) {
        cairo_set_font_size(cairo, 0.98 * size * most / width); /* hinting may widen it a little */
        width = most;
    }
    cairo_move_to(cairo, x, y);
    cairo_show_text(cairo, text);
    return width;
}

/* A tick or a cross in a square of side `size` whose bottom left corner is x, y. */
static void draw_mark(cairo_t *cairo, bool is_right, double x, double y, double size)
{
    cairo_set_line_width(cairo, size / 5);
    cairo_set_line_cap(cairo, CAIRO_LINE_CAP_ROUND);
    cairo_set_line_join(cairo, CAIRO_LINE_JOIN_ROUND);
    if (is_right) {
        cairo_move_to(cairo, x + 0.08 * size, y - 0.42 * size);
        cairo_line_to(cairo, x + 0.38 * size, y - 0.10 * size);
        cairo_line_to(cairo, x + 0.95 * size, y - 0.88 * size);
    } else {
        cairo_move_to(cairo, x + 0.12 * size, y - 0.12 * size);
        cairo_line_to(cairo, x + 0.88 * size, y - 0.88 * size);
        cairo_move_to(cairo, x + 0.12 * size, y - 0.88 * size);
        cairo_line_to(cairo, x + 0.88 * size, y - 0.12 * size);
    }
    cairo_stroke(cairo);
}

/* The image as a cairo surface; channels other than 3 are shown by the first as grey. NULL without memory. */
static cairo_surface_t *make_surface(const uint8_t *image, struct ink_shape shape)
{
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, shape.width, shape.height);
    if (cairo_surface_status(surface)) {
        cairo_surface_destroy(surface);
        return NULL;
    }
    unsigned char *rows = cairo_image_surface_get_data(surface);
    int stride = cairo_image_surface_get_stride(surface);
    for (int y = 0; y < shape.height; y++)
        for (int x = 0; x < shape.width; x++) {
            const uint8_t *value = image + (y * shape.width + x) * shape.channels;
            bool is_rgb = shape.channels == 3;
            uint32_t pixel = (uint32_t)value[0] << 16 | (uint32_t)value[is_rgb ? 1 : 0] << 8 | value[is_rgb ? 2 : 0];
            memcpy(rows + (ptrdiff_t)y * stride + (ptrdiff_t)x * 4, &pixel, sizeof pixel);
        }
    cairo_surface_mark_dirty(surface);
    return surface;
}

/* One image with its frame and the text below it; x, y is the frame's top left corner. */
static bool draw_item(cairo_t *cairo, const struct grid_item *item, struct ink_shape shape, double scale, double x, double y)
{
    double width = shape.width * scale + 2 * BORDER, height = shape.height * scale + 2 * BORDER;
    bool is_right = item->predicted == item->label;
    cairo_surface_t *surface = make_surface(item->image, shape);
    if (!surface)
        return false;
    set_colour(cairo, item->caption ? frame_colour : is_right ? right_colour : wrong_colour);
    cairo_rectangle(cairo, x, y, width, height);
    cairo_fill(cairo);
    cairo_save(cairo);
    cairo_translate(cairo, x + BORDER, y + BORDER);
    cairo_scale(cairo, scale, scale);
    cairo_set_source_surface(cairo, surface, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(cairo), scale >= 1 ? CAIRO_FILTER_NEAREST : CAIRO_FILTER_GOOD);
    cairo_rectangle(cairo, 0, 0, shape.width, shape.height);
    cairo_fill(cairo);
    cairo_restore(cairo);
    cairo_surface_destroy(surface);

    double base = y + height + 25, mark = 14;
    char text[48], share[16];
    if (item->caption) {
        set_colour(cairo, quiet_colour);
        draw_text(cairo, item->caption, x + 1, base - 5, 15, width - 2, false);
        return true;
    }
    set_colour(cairo, is_right ? right_colour : wrong_colour);
    draw_mark(cairo, is_right, x + 1, base, mark);
    if (is_right)
        snprintf(text, sizeof text, "%d", item->predicted);
    else
        snprintf(text, sizeof text, "%d, is %d", item->predicted, item->label);
    double used = 1 + mark + 7;
    used += draw_text(cairo, text, x + used, base, 20, width - used - 40, true);
    snprintf(share, sizeof share, "%.0f %%", floor(100 * item->probability)); /* 99.9 is not 100 */
    set_colour(cairo, quiet_colour);
    cairo_set_font_size(cairo, 13);
    cairo_select_font_face(cairo, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    double share_width = text_width(cairo, share);
    draw_text(cairo, share, x + width - share_width, base, 13, width - used, false);
    return true;
}

static int count_columns(int count)
{
    /* A page about half as wide again as it is high, at least five images wide, without a ragged last row if a few
     * columns more or less avoid it. */
    int columns = (int)ceil(sqrt(1.8 * count));
    columns = columns < 5 ? 5 : columns;
    if (count <= columns)
        return count ? count : columns;
    for (int step = 1; step <= 2; step++) {
        if (count % columns == 0)
            return columns;
        if (count % (columns - step) == 0)
            return columns - step;
        if (count % (columns + step) == 0)
            return columns + step;
    }
    return columns;
}

static cairo_surface_t *draw_page(const struct grid *grid)
{
    int side = grid->shape.width > grid->shape.height ? grid->shape.width : grid->shape.height;
    double scale = side <= IMAGE_WIDTH ? IMAGE_WIDTH / side : (double)IMAGE_WIDTH / side; /* whole numbers when growing */
    double cell_width = ceil(grid->shape.width * scale) + 2 * BORDER, cell_height = ceil(grid->shape.height * scale) + 2 * BORDER + LABEL;
    int columns = grid->columns ? grid->columns : count_columns(grid->count), rows = (grid->count + columns - 1) / columns;
    double width = 2 * MARGIN + columns * cell_width + (columns - 1) * GAP;
    if (width < NARROWEST)
        width = NARROWEST;
    double height = MARGIN + HEAD + rows * (cell_height + GAP) + (rows ? 0 : GAP) + MARGIN - GAP;
    cairo_surface_t *page = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)width, (int)height);
    cairo_t *cairo = cairo_create(page);
    cairo_set_source_rgb(cairo, 1, 1, 1);
    cairo_paint(cairo);
    set_colour(cairo, text_colour);
    draw_text(cairo, grid->title, MARGIN, MARGIN + 24, 26, width - 2 * MARGIN, true);
    set_colour(cairo, quiet_colour);
    draw_text(cairo, grid->subtitle, MARGIN, MARGIN + 52, 17, width - 2 * MARGIN, false);
    bool done = true;
    for (int i = 0; done && i < grid->count; i++)
        done = draw_item(cairo, &grid->items[i], grid->shape, scale, MARGIN + i % columns * (cell_width + GAP),
                         MARGIN + HEAD + i / columns * (cell_height + GAP));
    if (cairo_status(cairo))
        done = false;
    if (done && text_width(cairo, "0") <= 0)
        complain("warning: the picture has no text, since no font was found; install one, for example fonts-dejavu-core");
    cairo_destroy(cairo);
    if (!done || cairo_surface_status(page)) {
        cairo_surface_destroy(page);
        complain("no memory for a picture of %.0f x %.0f pixels; choose fewer images with --count", width, height);
        return NULL;
    }
    return page;
}

bool grid_write_png(const struct grid *grid, const char *path)
{
    cairo_surface_t *page = draw_page(grid);
    return page && surface_write_png(page, path);
}
