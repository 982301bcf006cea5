/* The progress bar; see bar.h. The width is asked for at each drawing, and a window made narrower than the last line,
 * which the terminal then shows on several rows, has all of those rows cleared. */
#include "bar.h"

#include <stdio.h>
#include <string.h>

#include "text.h"

enum { BAR_LONGEST = 40, BAR_SHORTEST = 8, LINE_LONGEST = 400 };

static int drawn; /* columns of the line on the screen; 0: none */

void bar_clear(void)
{
    if (!drawn)
        return;
    int rows = (drawn - 1) / terminal_width();
    if (rows)
        printf("\033[%dA", rows);
    printf("\r\033[J");
    drawn = 0;
    fflush(stdout);
}

/* The parts after the bar, fewer with each step of `spare`, the least wanted first. */
static void describe(const struct ink_progress *progress, int spare, char *text, size_t size)
{
    double rate = progress->seconds > 0 ? (double)progress->seen / progress->seconds : 0;
    double left = (double)(progress->samples - progress->seen)
        + (double)progress->samples * (double)(progress->epochs - progress->epoch);
    int used = snprintf(text, size, " %3.0f %%", progress->samples ? 100.0 * (double)progress->seen / (double)progress->samples : 0);
    if (spare < 3)
        used += snprintf(text + used, size - (size_t)used, "  loss %.4f", progress->loss);
    if (spare < 2)
        used += snprintf(text + used, size - (size_t)used, "  accuracy %.2f %%", 100 * progress->accuracy);
    if (spare < 1)
        used += snprintf(text + used, size - (size_t)used, "  %s images/s", text_count((uint64_t)rate).s);
    if (spare < 4 && rate > 0)
        snprintf(text + used, size - (size_t)used, "  %s left", text_clock(left / rate).s);
}

/* Appends `cells` columns of bar, of which `full` are done. */
static void append_cells(char *line, int cells, int full)
{
    bool utf8 = terminal_utf8();
    strcat(line, colour(COLOUR_GREEN));
    for (int i = 0; i < cells; i++) {
        if (i == full)
            strcat(line, colour(COLOUR_OFF)), strcat(line, colour(COLOUR_DIM));
        strcat(line, i < full ? (utf8 ? "\u2501" : "#") : (utf8 ? "\u2500" : "-"));
    }
    strcat(line, colour(COLOUR_OFF));
}

void bar_draw(const struct ink_progress *progress)
{
    if (!terminal_out())
        return;
    int width = terminal_width() - 1; /* the last column stays free: some terminals wrap when it is written */
    char head[64], tail[160], line[LINE_LONGEST];
    int used = snprintf(head, sizeof head, "epoch %d/%d ", progress->epoch, progress->epochs), cells = 0;
    for (int spare = 0; spare <= 4; spare++) {
        describe(progress, spare, tail, sizeof tail);
        cells = width - used - (int)strlen(tail);
        if (cells >= BAR_SHORTEST)
            break;
    }
    bar_clear();
    if (cells < 1) {
        drawn = snprintf(line, sizeof line, "%.*s", width, head);
    } else {
        cells = cells < BAR_LONGEST ? cells : BAR_LONGEST;
        strcpy(line, head);
        append_cells(line, cells, progress->samples ? (int)((double)progress->seen * cells / (double)progress->samples) : 0);
        strcat(line, tail);
        drawn = used + cells + (int)strlen(tail);
    }
    fputs(line, stdout);
    fflush(stdout);
}
