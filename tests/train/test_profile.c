/* The profile of a step against what is known of a small model: which launches there are, their FLOP against those of the
 * layers, their bytes by hand; and the measuring itself: its statistics, its ranges, its errors. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "device/device.h"
#include "device/measure.h"
#include "suite.h"

static const char text[] = "input 8x8x2\nconv 16 3x3 relu\ndense 10\n";
enum { BATCH = 5 }; /* more than launches are chained for */
static const double short_time = 0.01;

static void check_spread(struct ink_spread spread)
{
    ck_assert(isfinite(spread.median) && spread.low > 0 && spread.low <= spread.median && spread.median <= spread.high);
}

static void open_both(ink_model **model, ink_device **device)
{
    ck_ok(ink_model_parse(text, model));
    ck_ok(ink_device_open(NULL, device));
}

static bool has(const struct ink_launch_info *launch, const char *name)
{
    bool found = strncmp(launch->label, name, strlen(name)) == 0;
    for (size_t s = 0; s < launch->stage_count; s++)
        found |= strncmp(launch->stages[s], name, strlen(name)) == 0;
    return found;
}

static const struct ink_launch_info *find(const struct ink_profile *profile, const char *name)
{
    for (size_t i = 0; i < profile->count; i++)
        if (has(&profile->launches[i], name))
            return &profile->launches[i];
    ck_abort_msg("no launch is or has \"%s\"", name);
    return NULL;
}

START_TEST(test_inference)
{
    ink_model *model;
    ink_device *device;
    struct ink_profile profile;
    struct ink_layer_info layer;
    open_both(&model, &device);
    ck_ok(ink_model_profile(model, device, &(struct ink_profile_options){.batch = BATCH, .inference = true, .apart = true, .seconds = short_time,
                                                                         .algorithms = "conv=direct,dense=direct"}, &profile));
    ck_assert_int_eq(profile.batch, BATCH);
    ck_assert_uint_eq(profile.enqueued, profile.count);
    check_spread(profile.step);
    check_spread(profile.kernels);
    ck_assert_uint_ge(profile.samples.kept, 5);
    for (size_t i = 0; i < ink_model_layer_count(model); i++) {
        double flops = 0;
        ck_ok(ink_model_layer(model, i, &layer));
        for (size_t l = 0; l < profile.count; l++)
            if (strcmp(profile.launches[l].layer, layer.name) == 0)
                flops += profile.launches[l].flops;
        /* both are whole numbers far below 2^53 */
        ck_assert_double_eq(flops, layer.flops * BATCH);
    }
    double sum = 0;
    for (size_t l = 0; l < profile.count; l++) {
        ck_assert(isfinite(profile.launches[l].seconds.median) && profile.launches[l].seconds.median >= 0);
        ck_assert_uint_ge(profile.launches[l].groups, 1);
        sum += profile.launches[l].seconds.median;
    }
    ck_assert(sum > 0);
    /* bytes and the order of samples in, floats out */
    const struct ink_launch_info *gather = find(&profile, "gather");
    ck_assert_str_eq(gather->layer, "");
    ck_assert_double_eq(gather->bytes, BATCH * (8 * 8 * 2) + BATCH * 4 + BATCH * (8 * 8 * 2) * 4);
    /* x, weights and bias in, y out */
    ck_assert_double_eq(find(&profile, "conv1 forward")->bytes, 4 * (BATCH * 8 * 8 * 2 + (3 * 3 * 2 * 16 + 16) + BATCH * 6 * 6 * 16));
    ck_assert_str_eq(find(&profile, "conv1 forward")->algorithm, "direct");
    ink_profile_free(&profile);
    ck_assert_ptr_null(profile.launches);
    ink_device_destroy(&device);
    ink_model_destroy(&model);
}
END_TEST

START_TEST(test_training)
{
    ink_model *model;
    ink_device *device;
    struct ink_profile profile;
    struct ink_tensor weights;
    open_both(&model, &device);
    ck_ok(ink_model_initialise(model, 3));
    ck_ok(ink_model_tensor(model, 0, &weights));
    float before = weights.data[0];
    ck_ok(ink_model_profile(model, device, &(struct ink_profile_options){.batch = BATCH, .seconds = short_time}, &profile));
    ck_assert(weights.data[0] == before); /* NOLINT: the same bits */
    if (device->style == INK_STYLE_CPU) /* relays */
        ck_assert_uint_lt(profile.enqueued, profile.count);
    else
        ck_assert_uint_eq(profile.enqueued, profile.count);
    find(&profile, "conv1 backward_weights");
    const struct ink_launch_info *dense = find(&profile, "dense1 backward_data");
    ck_assert_uint_eq(dense->stage_count, 2);
    for (int i = 0; i < 2; i++) /* either order */
        ck_assert(strcmp(dense->stages[i], "dense1 backward_weights direct") == 0 || strcmp(dense->stages[i], "dense1 backward_data direct") == 0);
    ck_assert_str_ne(dense->stages[0], dense->stages[1]);
    ck_assert_str_eq(dense->layer, "dense1");
    ck_assert_uint_ge(dense->groups, 2);
    ck_assert_uint_eq(find(&profile, "Adam")->stage_count, 0);
    ck_assert_ptr_null(find(&profile, "Adam")->stages);
    for (size_t l = 0; l < profile.count; l++)
        ck_assert(!profile.launches[l].constant);
    /* Adam reads the gradients, and reads and writes parameters and two moments, at least all parameters of the model */
    ck_assert_double_ge(find(&profile, "Adam")->bytes, 7.0 * 4 * (double)ink_model_parameter_count(model));
    check_spread(profile.step);
    ink_profile_free(&profile);
    ink_device_destroy(&device);
    ink_model_destroy(&model);
}
END_TEST

START_TEST(test_bundle_of_two_layers)
{
    ink_model *model;
    ink_device *device;
    struct ink_profile profile;
    ck_ok(ink_model_parse("input 8x8x2\nconv 16 3x3\nconv 16 3x3\ndense 10\n", &model));
    ck_ok(ink_device_open(NULL, &device));
    if (device->style == INK_STYLE_CPU) {
        /* a batch of which there are partial gradients to add up, which are not too many to wait for the layer before */
        const struct ink_profile_options options = {.batch = 32, .seconds = short_time, .algorithms = "conv=direct"};
        ck_ok(ink_model_profile(model, device, &options, &profile));
        const struct ink_launch_info *bundle = find(&profile, "conv2 reduce");
        ck_assert_uint_eq(bundle->stage_count, 2);
        ck_assert(has(bundle, "conv1 backward_weights direct"));
        ck_assert_str_eq(bundle->algorithm, "direct");
        ck_assert_str_eq(bundle->layer, "");
        ck_assert_str_eq(find(&profile, "conv1 reduce")->layer, "conv1");
        ink_profile_free(&profile);
    } else {
        fprintf(stderr, "skipped: there are no bundles on a device of GPU style\n");
    }
    ink_device_destroy(&device);
    ink_model_destroy(&model);
}
END_TEST

START_TEST(test_latency)
{
    ink_model *model;
    ink_device *device;
    struct ink_spread latency;
    struct ink_samples samples;
    open_both(&model, &device);
    ck_ok(ink_model_latency(model, device, &(struct ink_profile_options){.batch = 3, .seconds = short_time}, &latency, &samples));
    check_spread(latency);
    ck_assert_uint_ge(samples.kept, 5);
    ink_device_destroy(&device);
    ink_model_destroy(&model);
}
END_TEST

START_TEST(test_refusals)
{
    ink_model *model;
    ink_device *device;
    struct ink_profile profile = {.count = 7};
    struct ink_spread latency;
    open_both(&model, &device);
    ck_fails(ink_model_profile(model, device, &(struct ink_profile_options){.batch = -1}, &profile), INK_ERROR_ARGUMENT, "batch is -1");
    ck_fails(ink_model_profile(model, device, &(struct ink_profile_options){.seconds = -1}, &profile), INK_ERROR_ARGUMENT, "seconds is -1");
    ck_fails(ink_model_profile(model, device, &(struct ink_profile_options){.seconds = NAN}, &profile), INK_ERROR_ARGUMENT, "seconds is");
    ck_fails(ink_model_profile(model, device, &(struct ink_profile_options){.algorithms = "conv=none"}, &profile), INK_ERROR_ARGUMENT, "none");
    ck_fails(ink_model_latency(model, device, &(struct ink_profile_options){.seconds = 4000}, &latency, NULL), INK_ERROR_ARGUMENT, "3600");
    ck_assert_uint_eq(profile.count, 7);
    ink_device_destroy(&device);
    ink_model_destroy(&model);
}
END_TEST

START_TEST(test_spread)
{
    struct ink_spread one = ink_spread_of((double[]){3}, 1), five = ink_spread_of((double[]){5, 1, 4, 2, 3}, 5);
    struct ink_spread four = ink_spread_of((double[]){4, 1, 3, 2}, 4);
    ck_assert_double_eq(one.median, 3);
    ck_assert_double_eq(one.low, 3);
    ck_assert_double_eq(five.low, 2);
    ck_assert_double_eq(five.median, 3);
    ck_assert_double_eq(five.high, 4);
    ck_assert_double_eq(four.median, 2.5);
    ck_assert_double_eq(four.low, 1.75);
}
END_TEST

int main(void) RUN_SUITE("profile", test_inference, test_training, test_bundle_of_two_layers, test_latency, test_refusals, test_spread)
