/* The launches of a step as a table or JSON: what 'inkling summary --plan' prints, and 'inkling bench' among other things. */
#ifndef TOOL_PLAN_H
#define TOOL_PLAN_H

#include <json-c/json.h>

#include "inkling/inkling.h"

/* Prints a line a launch, and totals. peak: operations a second that the device can do, for a column of shares of it; 0
 * leaves that out. */
void plan_print(const struct ink_profile *profile, double peak);

/* The same as an object of a list "launches" and totals. */
struct json_object *plan_json(const struct ink_profile *profile, double peak);

/* {"median": ..., "low": ..., "high": ...}. */
struct json_object *json_spread(struct ink_spread spread);
void json_add_samples(struct json_object *object, const struct ink_samples *samples);

/* Says on standard output how many samples were discarded and why, and if the measurement is doubtful; nothing else. */
void plan_print_samples(const struct ink_samples *samples);

/* FLOP and bytes of all launches of a step, constant ones left out. */
struct plan_totals {
    double flops, bytes;
};
struct plan_totals plan_sum(const struct ink_profile *profile);

/* The share of a step in which the device waits for the host: 1 - kernels / step; negative if timing each launch costs. */
double plan_host_share(const struct ink_profile *profile);

#endif
