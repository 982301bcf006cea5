/* Whether others want the cores that this process keeps awake. */
#ifndef INK_UTIL_CROWD_H
#define INK_UTIL_CROWD_H

#include <stdbool.h>

/* {0} at first. */
struct ink_crowd {
    double began, processor; /* of the window that is looked at: seconds of the clock, and of all threads of the process */
    double last, until;      /* the last call; when to try again */
    bool crowded;
};

/* To be called again and again while so many threads have work without end, or wait awake. now: seconds of a clock, processor: those that all
 * threads of the process have run. True while they got so much less than their cores that others must have run there: for two seconds, and
 * then it is tried again. A pause starts it anew. As the time of all threads of the process counts, a program whose own threads are busy
 * beside these hides what these lack. */
bool ink_crowd_judge(struct ink_crowd *crowd, unsigned threads, double now, double processor);

/* The same by the clocks of the machine. */
bool ink_crowd_look(struct ink_crowd *crowd, unsigned threads);

#endif
