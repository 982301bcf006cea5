/* Judging whether cores are shared; see crowd.h. */
#define _POSIX_C_SOURCE 200809L
#include "util/crowd.h"

#include <time.h>

#include "util/clock.h"

static const double window = 0.05, pause = 0.5, patience = 2; /* seconds */
/* Cores' worth of time that threads may lack, altogether or of each core: what the system itself takes now and then is less. */
static const double lack = 0.4, lack_each = 0.03;

bool ink_crowd_judge(struct ink_crowd *crowd, unsigned threads, double now, double processor)
{
    double most = lack_each * threads > lack ? lack_each * threads : lack, seconds = now - crowd->began;
    bool anew = now - crowd->last > pause || (crowd->crowded && now >= crowd->until);
    crowd->last = now;
    if (anew) {
        crowd->crowded = false;
    } else if (crowd->crowded || seconds < window) {
        return crowd->crowded;
    } else {
        crowd->crowded = threads * seconds - (processor - crowd->processor) > most * seconds;
        crowd->until = now + patience;
    }
    crowd->began = now;
    crowd->processor = processor;
    return crowd->crowded;
}

bool ink_crowd_look(struct ink_crowd *crowd, unsigned threads)
{
    struct timespec processor = {0};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &processor);
    return ink_crowd_judge(crowd, threads, ink_clock(), (double)processor.tv_sec + 1e-9 * (double)processor.tv_nsec);
}
