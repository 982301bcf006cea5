/* Drawing of a roofline with cairo; see roofline.h. Points carry numbers that a list beside the plot explains: kernels lie
 * too close together for their names. A number stands at the first place around its point where it covers neither
 * another number nor a point. */
#include "roofline.h"

#include <cairo.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "surface.h"
#include "text.h"

/* Lengths in pixels. */
enum { LEFT = 84, TOP = 104, PLOT_WIDTH = 760, PLOT_HEIGHT = 560, LIST = 470, ROW = 20, BOTTOM = 76, MARGIN = 28, RINGS = 4, TURNS = 16 };

struct axis {
    double low, high; /* decades */
};

struct point {
    int number;                  /* of the launch, from 1 */
    const struct ink_launch_info *launch;
    double x, y;                 /* of the point */
    double label_x, label_y;     /* middle of its number */
};

static void set_grey(cairo_t *cairo, double grey) { cairo_set_source_rgb(cairo, grey, grey, grey); }

/* Text whose left end (0), middle (0.5) or right end (1) is at x. */
static void write_text(cairo_t *cairo, const char *text, double x, double y, double size, double anchor)
{
    cairo_text_extents_t extents;
    cairo_set_font_size(cairo, size);
    cairo_text_extents(cairo, text, &extents);
    cairo_move_to(cairo, x - anchor * extents.x_advance, y);
    cairo_show_text(cairo, text);
}

static double place_x(const struct axis *axis, double value)
{
    return LEFT + PLOT_WIDTH * (log10(value) - axis->low) / (axis->high - axis->low);
}

static double place_y(const struct axis *axis, double value)
{
    return TOP + PLOT_HEIGHT * (1 - (log10(value) - axis->low) / (axis->high - axis->low));
}

static void widen(struct axis *axis, double value)
{
    double decade = log10(value);
    axis->low = decade < axis->low ? decade : axis->low;
    axis->high = decade > axis->high ? decade : axis->high;
}

/* Lines and numbers at whole decades, and ticks between. */
static void draw_axes(cairo_t *cairo, const struct axis *x, const struct axis *y)
{
    char text[32];
    cairo_set_line_width(cairo, 1);
    for (int vertical = 0; vertical < 2; vertical++) {
        const struct axis *axis = vertical ? y : x;
        for (int decade = (int)floor(axis->low); decade <= (int)ceil(axis->high); decade++)
            for (int digit = 1; digit < 10; digit++) {
                double value = digit * pow(10, decade), where = log10(value);
                if (where < axis->low - 1e-9 || where > axis->high + 1e-9)
                    continue;
                double at = vertical ? place_y(axis, value) : place_x(axis, value);
                set_grey(cairo, digit == 1 ? 0.80 : 0.93);
                cairo_move_to(cairo, vertical ? LEFT : at, vertical ? at : TOP);
                cairo_line_to(cairo, vertical ? LEFT + PLOT_WIDTH : at, vertical ? at : TOP + PLOT_HEIGHT);
                cairo_stroke(cairo);
                if (digit != 1 && digit != 2 && digit != 5)
                    continue;
                if (digit != 1 && axis->high - axis->low > 3)
                    continue;
                set_grey(cairo, 0.3);
                snprintf(text, sizeof text, "%g", value);
                write_text(cairo, text, vertical ? LEFT - 8 : at, vertical ? at + 4 : TOP + PLOT_HEIGHT + 18, 13, vertical ? 1 : 0.5);
            }
    }
    set_grey(cairo, 0.2);
    cairo_rectangle(cairo, LEFT, TOP, PLOT_WIDTH, PLOT_HEIGHT);
    cairo_stroke(cairo);
    write_text(cairo, "FLOP a byte of tensors read and written", LEFT + PLOT_WIDTH / 2.0, TOP + PLOT_HEIGHT + 44, 15, 0.5);
    cairo_save(cairo);
    cairo_translate(cairo, 26, TOP + PLOT_HEIGHT / 2.0);
    cairo_rotate(cairo, -1.5707963);
    write_text(cairo, "GFLOP/s, counted as the direct algorithm", 0, 0, 15, 0.5);
    cairo_restore(cairo);
}

/* A roof: bytes a second up to the peak, then, where it is the highest roof, the peak. */
static void draw_roof(cairo_t *cairo, const struct axis *x, const struct axis *y, double bandwidth, double peak, const char *name, bool dashed)
{
    char text[96];
    double corner = peak / bandwidth, begin = pow(10, x->low);
    double rise = bandwidth * begin < pow(10, y->low) * 1e9 ? pow(10, y->low) * 1e9 / bandwidth : begin;
    cairo_save(cairo);
    cairo_rectangle(cairo, LEFT, TOP, PLOT_WIDTH, PLOT_HEIGHT);
    cairo_clip(cairo);
    cairo_set_line_width(cairo, 2.5);
    cairo_set_source_rgb(cairo, 0.12, 0.32, 0.62);
    if (dashed)
        cairo_set_dash(cairo, (const double[]){7, 5}, 2, 0);
    cairo_move_to(cairo, place_x(x, rise), place_y(y, 1e-9 * rise * bandwidth));
    cairo_line_to(cairo, place_x(x, corner), place_y(y, 1e-9 * peak));
    if (!dashed)
        cairo_line_to(cairo, LEFT + PLOT_WIDTH, place_y(y, 1e-9 * peak));
    cairo_stroke(cairo);
    cairo_restore(cairo);
    /* the name along the slope */
    double x0 = place_x(x, rise), y0 = place_y(y, 1e-9 * rise * bandwidth), x1 = place_x(x, corner), y1 = place_y(y, 1e-9 * peak);
    snprintf(text, sizeof text, "%s %.0f GB/s", name, 1e-9 * bandwidth);
    cairo_save(cairo);
    cairo_set_source_rgb(cairo, 0.12, 0.32, 0.62);
    cairo_translate(cairo, x0 + 0.08 * (x1 - x0), y0 + 0.08 * (y1 - y0));
    cairo_rotate(cairo, atan2(y1 - y0, x1 - x0));
    write_text(cairo, text, 0, dashed ? -7 : 17, 13, 0);
    cairo_restore(cairo);
}

static bool is_free(const struct point *points, int count, int self, double x, double y)
{
    if (x < LEFT + 12 || x > LEFT + PLOT_WIDTH - 12 || y < TOP + 10 || y > TOP + PLOT_HEIGHT - 10)
        return false;
    for (int i = 0; i < count; i++) {
        if (i != self && fabs(points[i].x - x) < 15 && fabs(points[i].y - y) < 13)
            return false;
        if (i < self && fabs(points[i].label_x - x) < 20 && fabs(points[i].label_y - y) < 14)
            return false;
    }
    return true;
}

static void place_labels(struct point *points, int count)
{
    for (int i = 0; i < count; i++) {
        bool found = false;
        points[i].label_x = points[i].x + 15;
        points[i].label_y = points[i].y;
        for (int ring = 1; ring <= RINGS && !found; ring++)
            for (int turn = 0; turn < TURNS && !found; turn++) {
                double angle = 6.2831853 * turn / TURNS, x = points[i].x + 17 * ring * cos(angle), y = points[i].y - 15 * ring * sin(angle);
                found = is_free(points, count, i, x, y);
                if (found) {
                    points[i].label_x = x;
                    points[i].label_y = y;
                }
            }
    }
}

static void draw_points(cairo_t *cairo, const struct point *points, int count)
{
    char text[16];
    for (int i = 0; i < count; i++) {
        set_grey(cairo, 0.6);
        cairo_set_line_width(cairo, 1);
        cairo_move_to(cairo, points[i].x, points[i].y);
        cairo_line_to(cairo, points[i].label_x, points[i].label_y);
        cairo_stroke(cairo);
    }
    for (int i = 0; i < count; i++) {
        cairo_set_source_rgb(cairo, 0.82, 0.25, 0.10);
        cairo_arc(cairo, points[i].x, points[i].y, 4.5, 0, 6.2831853);
        cairo_fill(cairo);
        snprintf(text, sizeof text, "%d", points[i].number);
        cairo_set_source_rgb(cairo, 1, 1, 1);
        cairo_rectangle(cairo, points[i].label_x - 9, points[i].label_y - 6.5, 18, 13);
        cairo_fill(cairo);
        set_grey(cairo, 0.1);
        write_text(cairo, text, points[i].label_x, points[i].label_y + 5, 13, 0.5);
    }
}

/* Number, name, milliseconds and share of the peak of each launch with arithmetic. */
static void draw_list(cairo_t *cairo, const struct point *points, int count, double peak)
{
    char text[96];
    double x = LEFT + PLOT_WIDTH + MARGIN, y = TOP + 4;
    set_grey(cairo, 0.4);
    write_text(cairo, "ms", x + LIST - 105, y, 13, 1);
    write_text(cairo, "% of peak", x + LIST - MARGIN, y, 13, 1);
    for (int i = 0; i < count; i++) {
        const struct ink_launch_info *launch = points[i].launch;
        y += ROW;
        set_grey(cairo, 0.1);
        snprintf(text, sizeof text, "%d", points[i].number);
        write_text(cairo, text, x + 18, y, 13, 1);
        write_text(cairo, launch->label, x + 28, y, 13, 0);
        snprintf(text, sizeof text, "%.3f", 1e3 * launch->seconds.median);
        write_text(cairo, text, x + LIST - 105, y, 13, 1);
        snprintf(text, sizeof text, "%.1f", 100 * launch->flops / launch->seconds.median / peak);
        write_text(cairo, text, x + LIST - MARGIN, y, 13, 1);
    }
}

static void draw_page(cairo_t *cairo, const struct roofline *roofline, struct point *points)
{
    const struct ink_device_speed *speed = roofline->speed;
    const struct ink_profile *profile = roofline->profile;
    double peak = speed->flops.median, memory = speed->memory_read.median, cache = speed->cache_read.median;
    struct axis x = {log10(peak / cache) - 1, log10(peak / memory) + 1}, y = {log10(peak) - 10.5, log10(peak) - 9};
    int count = 0;
    char text[128];
    for (size_t i = 0; i < profile->count; i++) {
        const struct ink_launch_info *launch = &profile->launches[i];
        if (!(launch->flops > 0 && launch->bytes > 0 && launch->seconds.median > 0))
            continue;
        points[count++] = (struct point){.number = (int)i + 1, .launch = launch};
        widen(&x, launch->flops / launch->bytes);
        widen(&y, 1e-9 * launch->flops / launch->seconds.median);
    }
    x.low -= 0.1, x.high += 0.1, y.low -= 0.1, y.high += 0.15;
    for (int i = 0; i < count; i++) {
        points[i].x = place_x(&x, points[i].launch->flops / points[i].launch->bytes);
        points[i].y = place_y(&y, 1e-9 * points[i].launch->flops / points[i].launch->seconds.median);
    }
    place_labels(points, count);
    cairo_set_source_rgb(cairo, 1, 1, 1);
    cairo_paint(cairo);
    cairo_select_font_face(cairo, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_BOLD);
    set_grey(cairo, 0.1);
    write_text(cairo, roofline->title, MARGIN, MARGIN + 20, 22, 0);
    cairo_select_font_face(cairo, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    set_grey(cairo, 0.4);
    write_text(cairo, roofline->subtitle, MARGIN, MARGIN + 46, 15, 0);
    draw_axes(cairo, &x, &y);
    draw_roof(cairo, &x, &y, memory, peak, "memory", false);
    draw_roof(cairo, &x, &y, cache, peak, "cache", true);
    snprintf(text, sizeof text, "peak %.0f GFLOP/s", 1e-9 * peak);
    write_text(cairo, text, place_x(&x, peak / memory) - 8, place_y(&y, 1e-9 * peak) + 5, 13, 1); /* points may lie above the roof */
    draw_points(cairo, points, count);
    draw_list(cairo, points, count, peak);
    set_grey(cairo, 0.4);
    snprintf(text, sizeof text, "%zu launches without arithmetic (copies, transforms, pooling) have no point", profile->count - (size_t)count);
    if ((size_t)count < profile->count)
        write_text(cairo, text, LEFT + PLOT_WIDTH, TOP + PLOT_HEIGHT + 44 + 22, 13, 1);
}

bool roofline_write_png(const struct roofline *roofline, const char *path)
{
    int rows = (int)roofline->profile->count + 2, listed = TOP + ROW * rows, plotted = TOP + PLOT_HEIGHT + BOTTOM;
    cairo_surface_t *page = cairo_image_surface_create(CAIRO_FORMAT_RGB24, LEFT + PLOT_WIDTH + MARGIN + LIST, listed > plotted ? listed : plotted);
    struct point *points = calloc(roofline->profile->count + 1, sizeof *points);
    cairo_t *cairo = cairo_create(page);
    if (points)
        draw_page(cairo, roofline, points);
    bool done = points && !cairo_status(cairo) && !cairo_surface_status(page);
    free(points);
    cairo_destroy(cairo);
    if (!done) {
        cairo_surface_destroy(page);
        complain("no memory for the plot");
        return false;
    }
    return surface_write_png(page, path);
}
