/* inkling summary: the layers of a model, their output shapes, parameters and floating-point operations; or, with --plan,
 * the launches of a step, timed. */
#include <stdio.h>
#include <string.h>

#include "common.h"
#include "plan.h"
#include "text.h"

static int widest(int so_far, const char *text)
{
    int length = (int)strlen(text);
    return length > so_far ? length : so_far;
}

static int print_table(const ink_model *model, const char *name)
{
    int widths[4] = {5, 2, 6, 6}; /* layer, op, detail, output */
    size_t layers = ink_model_layer_count(model);
    struct ink_layer_info info;
    double flops = 0;
    for (size_t i = 0; i < layers; i++) {
        if (ink_model_layer(model, i, &info))
            return complain_library(name);
        widths[0] = widest(widths[0], info.name);
        widths[1] = widest(widths[1], info.op);
        widths[2] = widest(widths[2], info.detail);
        widths[3] = widest(widths[3], text_shape(info.output).s);
    }
    printf("%s: images of %s\n\n", name, text_shape(ink_model_input(model)).s);
    printf("%-*s  %-*s  %-*s  %-*s  %12s  %9s\n", widths[0], "layer", widths[1], "op", widths[2], "detail", widths[3],
           "output", "parameters", "FLOPs");
    for (size_t i = 0; i < layers; i++) {
        if (ink_model_layer(model, i, &info))
            return complain_library(name);
        flops += info.flops;
        printf("%-*s  %-*s  %-*s  %-*s  %12s  %9s\n", widths[0], info.name, widths[1], info.op, widths[2], info.detail,
               widths[3], text_shape(info.output).s, text_count(info.parameters).s, text_flops(info.flops).s);
    }
    size_t parameters = ink_model_parameter_count(model);
    printf("\n%s layers, %s parameters (%s), %sFLOPs forward an image\n", text_count(layers).s,
           text_count(parameters).s, text_bytes((uint64_t)parameters * sizeof(float)).s, text_flops(flops).s);
    return EXIT_OK;
}

static int print_summary_json(const ink_model *model, const char *name)
{
    struct json_object *root = json_object_new_object(), *list = json_object_new_array();
    double flops = 0;
    for (size_t i = 0; i < ink_model_layer_count(model); i++) {
        struct ink_layer_info info;
        if (ink_model_layer(model, i, &info)) {
            json_object_put(list);
            json_object_put(root);
            return complain_library(name);
        }
        flops += info.flops;
        struct json_object *item = json_object_new_object();
        json_object_object_add(item, "name", json_object_new_string(info.name));
        json_object_object_add(item, "op", json_object_new_string(info.op));
        json_object_object_add(item, "detail", json_object_new_string(info.detail));
        json_object_object_add(item, "output", json_shape(info.output));
        json_object_object_add(item, "parameters", json_count(info.parameters));
        json_object_object_add(item, "flops", json_count((uint64_t)info.flops));
        json_object_array_add(list, item);
    }
    json_object_object_add(root, "model", json_object_new_string(name));
    json_object_object_add(root, "input", json_shape(ink_model_input(model)));
    json_object_object_add(root, "output", json_shape(ink_model_output(model)));
    json_object_object_add(root, "layers", list);
    json_object_object_add(root, "parameters", json_count(ink_model_parameter_count(model)));
    json_object_object_add(root, "flops", json_count((uint64_t)flops));
    return print_json(root);
}

static int print_plan(const struct settings *settings, ink_model *model, const char *name)
{
    struct ink_profile_options how = {.batch = (int)settings->batch, .inference = settings->inference, .apart = settings->apart,
                                      .algorithms = settings->algorithms};
    ink_device *device = NULL;
    struct ink_profile profile;
    if (!open_device(settings, &device))
        return EXIT_FAILED;
    int status = EXIT_OK;
    if (ink_model_profile(model, device, &how, &profile)) {
        status = complain_library(name);
    } else if (settings->json) {
        struct json_object *root = plan_json(&profile, 0);
        json_object_object_add(root, "model", json_object_new_string(name));
        json_object_object_add(root, "device", json_object_new_string(ink_device_get_info(device)->name));
        json_object_object_add(root, "inference", json_object_new_boolean(settings->inference));
        status = print_json(root);
        ink_profile_free(&profile);
    } else {
        print_device(device);
        printf("model   %s: %s of a batch of %s\n\n", name, settings->inference ? "inference" : "a training step", text_count(settings->batch).s);
        plan_print(&profile, 0);
        ink_profile_free(&profile);
    }
    ink_device_destroy(&device);
    return status;
}

static int run(const struct settings *settings)
{
    ink_model *model = NULL;
    const char *name;
    int status = open_model(settings, &model, &name);
    if (status)
        return status;
    if ((settings->inference || settings->apart) && !settings->plan) {
        complain("--%s tells which plan to show; give --plan too", settings->inference ? "inference" : "apart");
        status = EXIT_USAGE;
    } else if (settings->plan) {
        status = print_plan(settings, model, name);
    } else {
        status = settings->json ? print_summary_json(model, name) : print_table(model, name);
    }
    ink_model_destroy(&model);
    return status;
}

static const struct option options[] = {
    OPTION_OF_TEXT_FORM,
    {OPTION_FLAG, FIELD(plan), "plan", 0, NULL, 0, 0, 0, 0, NULL, "tell the launches of a training step instead, in order and timed"},
    {OPTION_FLAG, FIELD(inference), "inference", 0, NULL, 0, 0, 0, 0, NULL, "with --plan: those of inference"},
    {OPTION_FLAG, FIELD(apart), "apart", 0, NULL, 0, 0, 0, 0, NULL, "with --plan: each kernel by itself, also where a step runs several as one"},
    {OPTION_WHOLE, FIELD(batch), "batch", 0, "N", 1, 65536, 0, 0, "128", "with --plan: images a step"},
    OPTION_OF_DEVICE,
    OPTION_OF_ALGORITHMS,
    OPTION_OF_JSON,
    OPTION_OF_HELP,
};

const struct command summary_command = {
    .name = "summary", .operands = "[MODEL]", .most = 1, .options = options, .run = run,
    .summary = "tell the layers of a model, their shapes, parameters and FLOPs",
    .more = "Without MODEL it tells of the reference model, which 'inkling train' trains.\n"
            "FLOPs are floating-point operations of a forward pass of one image, a multiply-add as 2.\n"
            "With --plan, FLOP are of the direct algorithms, whichever is taken, and bytes those of each\n"
            "tensor that a launch reads or writes, once; the quartiles hold half of the times measured.\n",
};
