/* Tuning: what the calls of a model are, and which algorithm and variant is the fastest right one for a call. */
#ifndef INK_MODEL_TUNE_H
#define INK_MODEL_TUNE_H

#include "model/choice.h"

/* A call of a model to be measured. */
struct ink_tuned_call {
    struct ink_call call;        /* its node is the one below; values are those of the lowering, no longer good */
    struct ink_node node;
    struct ink_choice guess;
    char key[INK_KEY_BYTES];
    bool training;               /* of a training step */
};

/* The calls of a model for which there is more than one candidate and a reference, of a training step if training, else of
 * inference; dearest first. Names belong to the model. *calls: free(). */
ink_status ink_tune_calls(struct ink_device *device, const struct ink_model *model, int batch, bool training, struct ink_tuned_call **calls, int *count);

struct ink_tune_limits {
    double until;                /* ink_clock() time: nothing is begun after it */
    double run_seconds;          /* a run that is not done by then hangs; 0: 30 */
    void (*progress)(const struct ink_tuned_call *call, const char *algorithm, int variant, void *user); /* before each candidate; may be NULL */
    void *user;
};

/* Builds, checks and times every candidate of a call that is not set aside, and chooses the fastest, or the guess where none is clearly faster
 * (by 5 % in the median of 7 rounds, and in all of them but one); does nothing where one is chosen. What
 * is found is in the table after each step. *lost: a candidate does not return, and with it the device is lost to this process, which
 * should end and have another go on. Out of time, no choice is made. Fails only for what is no candidate's fault. */
ink_status ink_tune_call(struct ink_device *device, struct ink_choices *choices, const struct ink_tuned_call *call,
                         const struct ink_tune_limits *limits, bool *lost);

#endif
