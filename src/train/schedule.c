/* Schedules after torch.optim.lr_scheduler, in closed form: the rate of a step follows from its number alone, so a run that
 * is resumed needs no history. See schedule.h. */
#include "train/schedule.h"

#include <math.h>

static const double pi = 3.14159265358979323846;
static const double better_by = 1e-4; /* of the best; as in ReduceLROnPlateau */

static double anneal(ink_anneal shape, double from, double to, double share)
{
    return shape == INK_ANNEAL_LINEAR ? from + (to - from) * share : to + (from - to) / 2 * (1 + cos(pi * share));
}

/* OneCycleLR: its two phases end with the steps pct_start * steps - 1 and steps - 1, the first of which need not be whole. */
static double one_cycle(const struct ink_train_options *o, double step, double steps)
{
    double first = o->learning_rate / o->div_factor, last = first / o->final_div_factor, top = o->pct_start * steps - 1;
    if (step <= top)
        return anneal(o->anneal, first, o->learning_rate, top > 0 ? step / top : 1);
    return anneal(o->anneal, o->learning_rate, last, (step - top) / (steps - 1 - top));
}

double ink_schedule_rate(const struct ink_train_options *o, const struct ink_monitored *monitored, uint64_t step, uint64_t steps,
                         int epoch)
{
    uint64_t warmup = (uint64_t)o->warmup, behind = step > warmup ? step - warmup : 0;
    double rate = o->learning_rate;
    switch (o->schedule) {
    case INK_SCHEDULE_CONSTANT:
        break;
    case INK_SCHEDULE_STEP:
        rate *= pow(o->gamma, (epoch - 1) / o->step_size);
        break;
    case INK_SCHEDULE_COSINE:
        rate = anneal(INK_ANNEAL_COSINE, rate, o->min_learning_rate, (double)behind / (double)(steps - warmup));
        break;
    case INK_SCHEDULE_ONE_CYCLE:
        rate = one_cycle(o, (double)behind, (double)(steps - warmup));
        break;
    case INK_SCHEDULE_PLATEAU:
        rate = fmax(rate * monitored->scale, o->min_learning_rate);
        break;
    }
    return step < warmup ? rate * (double)(step + 1) / (double)(warmup + 1) : rate;
}

bool ink_monitored_note(struct ink_monitored *m, const struct ink_train_options *o, int epoch, double value)
{
    bool better = o->monitor == INK_MONITOR_LOSS ? value < m->best * (1 - better_by) : value > m->best * (1 + better_by);
    m->stale++;
    m->plateau++;
    if (better || !m->best_epoch) {
        m->best = value;
        m->best_epoch = epoch;
        m->stale = m->plateau = 0;
    }
    if (o->schedule == INK_SCHEDULE_PLATEAU && m->plateau >= o->plateau_epochs) {
        m->scale *= o->gamma;
        m->plateau = 0;
    }
    return o->patience && m->stale >= o->patience;
}
