/* inkling bench: what the device can do, and what Inkling makes of it: a training step launch by launch, inference at many
 * batches, and the time from the start of a process to its first step. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "output.h"
#include "plan.h"
#include "roofline.h"
#include "start.h"
#include "surface.h"
#include "text.h"

enum { BATCHES = 11, COLD_STARTS = 2, WARM_STARTS = 5 };

/* Shares of --seconds; the rest goes to making ready and to the starts. */
static const double speed_share = 0.2, step_share = 0.3, latency_share = 0.02;

struct results {
    struct ink_device_speed speed;
    struct ink_profile profile;
    struct ink_spread latency[BATCHES]; /* of batches 1, 2, 4, ... */
    struct ink_samples samples[BATCHES];
    struct start_times starts;
};

static bool measure(const struct settings *settings, ink_model *model, ink_device *device, struct results *results)
{
    struct ink_profile_options how = {.batch = (int)settings->batch, .seconds = settings->seconds * step_share, .apart = true,
                                      .algorithms = settings->algorithms};
    if (ink_device_measure(device, settings->seconds * speed_share, &results->speed) || ink_model_profile(model, device, &how, &results->profile)) {
        complain_library(NULL);
        return false;
    }
    how.seconds = settings->seconds * latency_share;
    for (int i = 0; i < BATCHES; i++) {
        how.batch = 1 << i;
        if (ink_model_latency(model, device, &how, &results->latency[i], &results->samples[i])) {
            complain_library(NULL);
            return false;
        }
    }
    return start_measure(settings, COLD_STARTS, WARM_STARTS, &results->starts);
}

static void print_rate(const char *name, struct ink_spread rate, const char *unit, const char *more)
{
    printf("  %-16s  %8.1f  %8.1f-%-8.1f  %s%s\n", name, 1e-9 * rate.median, 1e-9 * rate.low, 1e-9 * rate.high, unit, more);
}

static void print_table(const struct results *results)
{
    const struct ink_device_speed *speed = &results->speed;
    char more[96];
    printf("\nthe device at most: median and quartiles\n");
    snprintf(more, sizeof more, ", %d sums of vectors of %d", speed->accumulators, speed->vector);
    print_rate("fp32", speed->flops, "GFLOP/s", more);
    snprintf(more, sizeof more, ", of %s", text_bytes(speed->cache_bytes).s);
    print_rate("read in cache", speed->cache_read, "GB/s", more);
    print_rate("triad in cache", speed->cache_triad, "GB/s", "");
    snprintf(more, sizeof more, ", of %s", text_bytes(speed->memory_bytes).s);
    print_rate("read in memory", speed->memory_read, "GB/s", more);
    print_rate("triad in memory", speed->memory_triad, "GB/s", "");
    plan_print_samples(&speed->samples);
    printf("\na training step of a batch of %d\n", results->profile.batch);
    plan_print(&results->profile, speed->flops.median);
    printf("%.0f images a second\n", results->profile.batch / results->profile.step.median);
    printf("\ninference, from images to probabilities in host memory\n%7s  %9s  %-17s  %10s  %9s\n", "batch", "ms", "    quartiles", "us a image",
           "images/s");
    struct ink_samples sum = {0, 0, false};
    for (int i = 0; i < BATCHES; i++) {
        struct ink_spread l = results->latency[i];
        printf("%7d  %9.3f  %8.3f-%-8.3f  %10.1f  %9.0f\n", 1 << i, 1e3 * l.median, 1e3 * l.low, 1e3 * l.high, 1e6 * l.median / (1 << i),
               (1 << i) / l.median);
        sum.kept += results->samples[i].kept;
        sum.discarded += results->samples[i].discarded;
        sum.shared |= results->samples[i].shared;
    }
    plan_print_samples(&sum);
    printf("\nfrom the start of a process to its first training step: median, least and most\n");
    printf("  cold, with empty caches  %6.2f s  %6.2f-%-6.2f  of %zu\n", results->starts.cold.median, results->starts.cold.low,
           results->starts.cold.high, results->starts.cold_count);
    printf("  warm                     %6.2f s  %6.2f-%-6.2f  of %zu\n", results->starts.warm.median, results->starts.warm.low,
           results->starts.warm.high, results->starts.warm_count);
}

static struct json_object *make_json(const struct results *results, const ink_device *device, const char *name)
{
    const struct ink_device_info *info = ink_device_get_info(device);
    const struct ink_device_speed *speed = &results->speed;
    struct json_object *root = json_object_new_object(), *about = json_object_new_object(), *list = json_object_new_array(),
                       *starts = json_object_new_object();
    json_object_object_add(root, "version", json_object_new_string(ink_version()));
    json_object_object_add(root, "model", json_object_new_string(name));
    json_object_object_add(about, "name", json_object_new_string(info->name));
    json_object_object_add(about, "platform", json_object_new_string(info->platform));
    json_object_object_add(about, "driver", json_object_new_string(info->driver));
    json_object_object_add(about, "units", json_object_new_int((int)info->compute_units));
    json_object_object_add(about, "flops", json_spread(speed->flops));
    json_object_object_add(about, "vector", json_object_new_int(speed->vector));
    json_object_object_add(about, "accumulators", json_object_new_int(speed->accumulators));
    json_object_object_add(about, "cache_read", json_spread(speed->cache_read));
    json_object_object_add(about, "cache_triad", json_spread(speed->cache_triad));
    json_object_object_add(about, "memory_read", json_spread(speed->memory_read));
    json_object_object_add(about, "memory_triad", json_spread(speed->memory_triad));
    json_add_samples(about, &speed->samples);
    json_object_object_add(root, "device", about);
    json_object_object_add(root, "step", plan_json(&results->profile, speed->flops.median));
    for (int i = 0; i < BATCHES; i++) {
        struct json_object *item = json_object_new_object();
        json_object_object_add(item, "batch", json_object_new_int(1 << i));
        json_object_object_add(item, "seconds", json_spread(results->latency[i]));
        json_object_object_add(item, "images_per_second", json_real((1 << i) / results->latency[i].median));
        json_add_samples(item, &results->samples[i]);
        json_object_array_add(list, item);
    }
    json_object_object_add(root, "inference", list);
    json_object_object_add(starts, "cold", json_spread(results->starts.cold));
    json_object_object_add(starts, "warm", json_spread(results->starts.warm));
    json_object_object_add(root, "first_step_seconds", starts);
    return root;
}

static bool draw(const struct settings *settings, const struct results *results, const ink_device *device, const char *name)
{
    char title[256], subtitle[256];
    snprintf(title, sizeof title, "%s: a training step of a batch of %d", name, results->profile.batch);
    snprintf(subtitle, sizeof subtitle, "%s, %.2f ms a step", ink_device_get_info(device)->name, 1e3 * results->profile.step.median);
    struct roofline roofline = {title, subtitle, &results->speed, &results->profile};
    return roofline_write_png(&roofline, settings->out);
}

static int run(const struct settings *settings)
{
    ink_model *model = NULL;
    ink_device *device = NULL;
    struct results results = {0};
    const char *name;
    if (settings->out && !output_is_possible(settings->out, settings->force, "a PNG picture", surface_is_png))
        return EXIT_FAILED;
    int status = open_model(settings, &model, &name);
    if (status)
        return status;
    if (settings->first_step) {
        status = start_first_step(settings, model);
        ink_model_destroy(&model);
        return status;
    }
    status = EXIT_FAILED;
    if (open_device(settings, &device)) {
        if (!settings->json) {
            print_device(device);
            printf("model   %s\n", name);
            fflush(stdout);
        }
        bool done = measure(settings, model, device, &results);
        if (done && settings->json)
            done = print_json(make_json(&results, device, name)) == EXIT_OK;
        else if (done)
            print_table(&results);
        if (done && settings->out)
            done = draw(settings, &results, device, name);
        status = done ? EXIT_OK : EXIT_FAILED;
    }
    ink_profile_free(&results.profile);
    ink_device_destroy(&device);
    ink_model_destroy(&model);
    return status;
}

static const struct option options[] = {
    OPTION_OF_TEXT_FORM,
    OPTION_OF_BATCH,
    {OPTION_REAL, FIELD(seconds), "seconds", 0, "S", 0, 0, 0.1, 3600, "12", "how long to measure, about, beside making ready and starts"},
    {OPTION_TEXT, FIELD(out), "plot", 0, "FILE", 0, 0, 0, 0, NULL, "draw a roofline, each kernel a point under the device's ceilings, as PNG"},
    OPTION_OF_FORCE("replace the plot's FILE even if it is not a PNG"),
    {OPTION_FLAG, FIELD(first_step), "first-step", 0, NULL, 0, 0, 0, 0, NULL,
     "only make ready and do one training step: what is started to time starts"},
    OPTION_OF_DEVICE,
    OPTION_OF_ALGORITHMS,
    OPTION_OF_JSON,
    OPTION_OF_HELP,
};

const struct command bench_command = {
    .name = "bench", .operands = "[MODEL]", .most = 1, .options = options, .run = run,
    .summary = "measure the device, and how fast a model trains and predicts on it",
    .more = "Without MODEL it measures the reference model. Peak and bandwidth of the device come first, in\n"
            "the same run. FLOP are those of the direct algorithms, so that faster ones can pass 100 % of the\n"
            "peak. Samples taken while threads of the device shared a core are discarded and counted.\n",
};
