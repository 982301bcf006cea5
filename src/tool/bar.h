/* The progress bar of training: one line on a terminal, drawn over again, gone before anything else is printed. Off a
 * terminal nothing is drawn. There is one terminal, so there is one bar. */
#ifndef TOOL_BAR_H
#define TOOL_BAR_H

#include "inkling/inkling.h"

/* Draws where training stands, in at most the width that the window has now. */
void bar_draw(const struct ink_progress *progress);

/* Takes the bar off the screen if it is there. */
void bar_clear(void);

#endif
