/* The launches of a step; see plan.h. */
#include "plan.h"

#include <stdio.h>
#include <string.h>

#include "common.h"
#include "text.h"

struct plan_totals plan_sum(const struct ink_profile *profile)
{
    struct plan_totals totals = {0, 0};
    for (size_t i = 0; i < profile->count; i++)
        if (!profile->launches[i].constant) {
            totals.flops += profile->launches[i].flops;
            totals.bytes += profile->launches[i].bytes;
        }
    return totals;
}

double plan_host_share(const struct ink_profile *profile) { return 1 - profile->kernels.median / profile->step.median; }

static double per_second(double amount, double seconds) { return seconds > 0 ? amount / seconds : 0; }

/* The columns from the time on. */
static void print_figures(struct ink_spread seconds, double flops, double bytes, double peak)
{
    printf("  %8.3f  %7.3f-%-7.3f  %8s  %9.1f", 1e3 * seconds.median, 1e3 * seconds.low, 1e3 * seconds.high, text_flops(flops).s,
           1e-9 * per_second(flops, seconds.median));
    if (peak > 0)
        printf("  %6.1f", 100 * per_second(flops, seconds.median) / peak);
    printf("  %9s  %7.1f", text_bytes((uint64_t)bytes).s, 1e-9 * per_second(bytes, seconds.median));
}

void plan_print_samples(const struct ink_samples *samples)
{
    if (samples->discarded)
        printf("%s of %s samples were discarded, taken while threads of the device shared a core\n", text_count(samples->discarded).s,
               text_count(samples->kept + samples->discarded).s);
    if (samples->shared)
        printf("doubtful: threads of the device shared a core in almost all samples, so none was discarded; is the machine busy?\n");
}

void plan_print(const struct ink_profile *profile, double peak)
{
    int width = 6, algorithms = 9;
    for (size_t i = 0; i < profile->count; i++) {
        int label = (int)strlen(profile->launches[i].label), algorithm = (int)strlen(profile->launches[i].algorithm);
        width = label > width ? label : width;
        algorithms = algorithm > algorithms ? algorithm : algorithms;
    }
    bool constants = false;
    printf("%3s  %-*s  %-*s  %8s  %-15s  %8s  %9s%s  %9s  %7s  %7s\n", "#", width, "launch", algorithms, "algorithm", "ms", "   quartiles", "FLOP",
           "GFLOP/s", peak > 0 ? "  % peak" : "", "bytes", "GB/s", "groups");
    for (size_t i = 0; i < profile->count; i++) {
        const struct ink_launch_info *launch = &profile->launches[i];
        printf("%3zu  %-*s  %-*s", i + 1, width, launch->label, algorithms, launch->algorithm);
        print_figures(launch->seconds, launch->flops, launch->bytes, peak);
        printf("  %7zu%s\n", launch->groups, launch->constant ? "  *" : "");
        for (size_t s = 0; s < launch->stage_count; s++)
            printf("       %s\n", launch->stages[s]);
        constants |= launch->constant;
    }
    struct plan_totals totals = plan_sum(profile);
    printf("     %-*s  %-*s", width, "all launches", algorithms, "");
    print_figures(profile->kernels, totals.flops, totals.bytes, peak);
    printf("\n     %-*s  %-*s", width, "step, in a chain", algorithms, "");
    print_figures(profile->step, totals.flops, totals.bytes, peak);
    printf("\n\n%s launches", text_count(profile->count).s);
    if (profile->enqueued < profile->count)
        printf(", handed to the device as %s", text_count(profile->enqueued).s);
    printf("; the step takes %+.1f %% beside its launches\n", 100 * (profile->step.median / profile->kernels.median - 1));
    if (constants)
        printf("* runs when weights change, not in every step; not in the totals\n");
    plan_print_samples(&profile->samples);
}

struct json_object *json_spread(struct ink_spread spread)
{
    struct json_object *object = json_object_new_object();
    json_object_object_add(object, "median", json_real(spread.median));
    json_object_object_add(object, "low", json_real(spread.low));
    json_object_object_add(object, "high", json_real(spread.high));
    return object;
}

void json_add_samples(struct json_object *object, const struct ink_samples *samples)
{
    json_object_object_add(object, "samples", json_count(samples->kept));
    json_object_object_add(object, "discarded", json_count(samples->discarded));
    json_object_object_add(object, "doubtful", json_object_new_boolean(samples->shared));
}

struct json_object *plan_json(const struct ink_profile *profile, double peak)
{
    struct json_object *root = json_object_new_object(), *list = json_object_new_array();
    for (size_t i = 0; i < profile->count; i++) {
        const struct ink_launch_info *launch = &profile->launches[i];
        struct json_object *item = json_object_new_object();
        json_object_object_add(item, "label", json_object_new_string(launch->label));
        json_object_object_add(item, "layer", json_object_new_string(launch->layer));
        json_object_object_add(item, "algorithm", json_object_new_string(launch->algorithm));
        json_object_object_add(item, "seconds", json_spread(launch->seconds));
        json_object_object_add(item, "flop", json_real(launch->flops));
        json_object_object_add(item, "bytes", json_real(launch->bytes));
        if (peak > 0)
            json_object_object_add(item, "share_of_peak", json_real(per_second(launch->flops, launch->seconds.median) / peak));
        json_object_object_add(item, "groups", json_count(launch->groups));
        json_object_object_add(item, "constant", json_object_new_boolean(launch->constant));
        struct json_object *stages = json_object_new_array();
        for (size_t s = 0; s < launch->stage_count; s++)
            json_object_array_add(stages, json_object_new_string(launch->stages[s]));
        json_object_object_add(item, "stages", stages);
        json_object_array_add(list, item);
    }
    struct plan_totals totals = plan_sum(profile);
    json_object_object_add(root, "batch", json_object_new_int(profile->batch));
    json_object_object_add(root, "launches", list);
    json_object_object_add(root, "enqueued", json_count(profile->enqueued));
    json_object_object_add(root, "step_seconds", json_spread(profile->step));
    json_object_object_add(root, "kernel_seconds", json_spread(profile->kernels));
    json_object_object_add(root, "flop", json_real(totals.flops));
    json_object_object_add(root, "bytes", json_real(totals.bytes));
    json_object_object_add(root, "host_share", json_real(plan_host_share(profile)));
    json_add_samples(root, &profile->samples);
    return root;
}
