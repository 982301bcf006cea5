/* How a batch is divided among devices: in proportion to weights, which are given or follow the speed that is measured while
 * training runs. Pure arithmetic. */
#ifndef INK_TRAIN_SHARES_H
#define INK_TRAIN_SHARES_H

#include <stdbool.h>
#include <stddef.h>

enum { INK_MOST_DEVICES = 64, INK_SHARES_BYTES = 26 * INK_MOST_DEVICES };

struct ink_shares {
    int count;
    bool fixed;                         /* weights are given */
    double weights[INK_MOST_DEVICES];   /* their sum is 1; 0: takes no part */
    double samples[INK_MOST_DEVICES], seconds[INK_MOST_DEVICES]; /* that were measured since the last review */
    int steps;
};

/* The place in a batch of n samples at which the part of device i begins; that of device count is n. Parts lie side by side. */
size_t ink_shares_cut(const struct ink_shares *shares, int i, size_t n);

/* Sets weights in proportion to numbers of which one at least is above 0. */
void ink_shares_set(struct ink_shares *shares, const double *numbers, int count);

/* Numbers as text, with commas, every bit kept; and back, at most INK_MOST_DEVICES above or at 0. False: it is something else. */
void ink_shares_text(const double *numbers, int count, char text[INK_SHARES_BYTES]);
bool ink_shares_read(const char *text, double *numbers, int *count);

/* Gives the part of device i to the others. */
void ink_shares_drop(struct ink_shares *shares, int i);

/* Takes in that a device did so many samples in so many seconds. */
void ink_shares_note(struct ink_shares *shares, int i, size_t samples, double seconds);

/* To be called after each step. Every so many steps weights that are not fixed are made those of the measured speeds, where steps
 * would be faster by more than what measurements vary by; true if they were. */
bool ink_shares_review(struct ink_shares *shares);

#endif
