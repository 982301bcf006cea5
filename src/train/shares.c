/* Shares of a batch; see shares.h. */
#include "train/shares.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REVIEW_STEPS = 16 };
static const double least_gain = 0.03; /* of the time of a step */

size_t ink_shares_cut(const struct ink_shares *shares, int i, size_t n)
{
    double before = 0;
    if (i >= shares->count)
        return n;
    for (int k = 0; k < i; k++)
        before += shares->weights[k];
    size_t cut = (size_t)(before * (double)n + 0.5);
    return cut < n ? cut : n;
}

static void begin_measuring(struct ink_shares *shares)
{
    memset(shares->samples, 0, sizeof shares->samples);
    memset(shares->seconds, 0, sizeof shares->seconds);
    shares->steps = 0;
}

void ink_shares_set(struct ink_shares *shares, const double *numbers, int count)
{
    double sum = 0;
    for (int i = 0; i < count; i++)
        sum += numbers[i];
    shares->count = count;
    for (int i = 0; i < count; i++)
        shares->weights[i] = numbers[i] / sum;
    begin_measuring(shares);
}

void ink_shares_text(const double *numbers, int count, char text[INK_SHARES_BYTES])
{
    size_t used = 0;
    *text = 0;
    for (int i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, INK_SHARES_BYTES - used, "%s%.17g", i ? "," : "", numbers[i]);
}

bool ink_shares_read(const char *text, double *numbers, int *count)
{
    char *end;
    int found = 0;
    for (; *text; text = *end ? end + 1 : end) {
        if (found == INK_MOST_DEVICES)
            return false;
        double number = strtod(text, &end);
        if (end == text || !(number >= 0 && number < 1e9) || (*end && *end != ','))
            return false;
        numbers[found++] = number;
    }
    *count = found;
    return true;
}

void ink_shares_drop(struct ink_shares *shares, int i)
{
    double weights[INK_MOST_DEVICES], left = 0;
    memcpy(weights, shares->weights, sizeof weights);
    weights[i] = 0;
    for (int k = 0; k < shares->count; k++)
        left += weights[k];
    if (left > 0)
        ink_shares_set(shares, weights, shares->count);
}

void ink_shares_note(struct ink_shares *shares, int i, size_t samples, double seconds)
{
    shares->samples[i] += (double)samples;
    shares->seconds[i] += seconds;
}

bool ink_shares_review(struct ink_shares *shares)
{
    double speeds[INK_MOST_DEVICES] = {0}, slowest = 0, total = 0;
    if (shares->fixed || ++shares->steps < REVIEW_STEPS)
        return false;
    for (int i = 0; i < shares->count; i++) {
        if (shares->weights[i] <= 0 || shares->seconds[i] <= 0)
            continue;
        double now = shares->seconds[i] / shares->samples[i] * shares->weights[i]; /* of a step, for each sample of its batch */
        speeds[i] = shares->samples[i] / shares->seconds[i];
        total += speeds[i];
        slowest = now > slowest ? now : slowest;
    }
    bool better = total > 0 && 1 / total < (1 - least_gain) * slowest;
    if (better)
        ink_shares_set(shares, speeds, shares->count);
    else
        begin_measuring(shares);
    return better;
}
