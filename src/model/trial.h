/* One candidate for a call, alone on the device: built, run on random data, held against the reference, timed. */
#ifndef INK_MODEL_TRIAL_H
#define INK_MODEL_TRIAL_H

#include "model/bind.h"
#include "model/check.h"
#include "model/lower.h"

/* Random data for a call, and what it should give; made once for all candidates. */
struct ink_trial_data {
    const struct ink_call *call;
    struct ink_check check;
    float *x, *y, *dy, *parameters, *dx;
    uint8_t *winners;
    size_t in, out, weights;     /* floats */
};

struct ink_candidate {
    const struct ink_algorithm *algorithm;
    int variant;
    struct ink_launches list;
    struct ink_bound bound;
    cl_program program;
    cl_mem arena, parameters;
    ink_value output, winners;   /* INK_NO_VALUE where there are none */
};

ink_status ink_trial_data_create(const struct ink_call *call, struct ink_trial_data *data);
void ink_trial_data_free(struct ink_trial_data *data);

/* Emits, builds and binds a candidate, and gives it its input. Free it with ink_candidate_free(), on failure too. */
ink_status ink_candidate_create(struct ink_device *device, const struct ink_trial_data *data, struct ink_candidate *candidate);
void ink_candidate_free(struct ink_candidate *candidate);

/* Runs a candidate times times in a chain; gives the seconds of one. *hung: it was not done within limit seconds; then nothing
 * that was made on the device may be waited for or freed any more. */
ink_status ink_candidate_run(struct ink_candidate *candidate, int times, double limit, bool *hung, double *seconds);

/* Holds what the first run gave against the reference. */
ink_status ink_candidate_check(struct ink_candidate *candidate, const struct ink_trial_data *data);

#endif
