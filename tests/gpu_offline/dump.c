/* Prints what plans in GPU style would give a device to compile, without any device: for made-up limits, one program of
 * the training steps and evaluations of several models in every variant of every algorithm, as JSON:
 *   {"text": the program, "launches": [{"model", "section", "label", "algorithm", "variant", "kernel": the name in the program,
 *    "source", "local": [3], "groups": [3] at the full batch, "flops", "bytes": of the tensors it reads and writes}]}
 *
 * Usage: gpu_offline_dump MAX_WORK_GROUP LOCAL_BYTES REGISTERS BATCH MODEL_TEXT_FILE... */
#include <json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/program.h"
#include "model/lower.h"
#include "util/file.h"

enum { CLASSES = 10, MOST_LISTS = 1024, ALIGN = 256 };

struct lists {
    struct ink_bound bound[MOST_LISTS];
    struct { const char *model; bool training; int variant; } of[MOST_LISTS];
    int count;
};

/* What choose() is to choose, and whether some call had it. */
struct wish {
    int variant;
    bool granted;
};

static void check(ink_status status)
{
    if (!status)
        return;
    fprintf(stderr, "gpu_offline_dump: %s: %s\n", ink_status_text(status), ink_last_error());
    exit(EXIT_FAILURE);
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        check(ink_fail_memory(count * size));
    return memory;
}

/* The algorithm that a GPU takes by itself, in the wanted variant, or in its own guess where it has fewer. */
static bool choose(const struct ink_call *call, void *user, struct ink_choice *choice)
{
    struct wish *wish = user;
    for (const struct ink_algorithm *a = call->node->op->passes[call->pass]; a && a->name; a++) {
        bool fits = a->style != INK_STYLE_CPU && !a->on_request && (!call->node->pool.height || a->pools) && (!a->applies || a->applies(call));
        if (!fits)
            continue;
        bool has = wish->variant < (a->variants ? a->variants(call) : 1);
        wish->granted |= has;
        *choice = (struct ink_choice){a, has ? wish->variant : 0};
        return true;
    }
    return false;
}

/* Lowers a section of a model; true if some call has the variant. */
static bool add_list(struct lists *lists, const struct ink_model *model, struct ink_device *device, const char *name, int batch,
                     bool training, int variant)
{
    static const struct ink_train_options train = {
        .learning_rate = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-7,
        .augmentation = {.rotate = 10, .elastic = 1, .thickness = 0.5, .contrast = 0.2, .noise = 0.1, .erase = 0.1}, /* all kernels of it */
    };
    size_t count = (size_t)model->count, parameters = 0, state = 0;
    size_t *offsets = allocate(2 * count, sizeof *offsets);
    for (size_t i = 0; i < count; i++) {
        offsets[i] = parameters;
        offsets[count + i] = state;
        parameters += (model->nodes[i].trained_count * sizeof(float) + ALIGN - 1) / ALIGN * ALIGN;
        state += (model->nodes[i].state_count * sizeof(float) + ALIGN - 1) / ALIGN * ALIGN;
    }
    struct wish wish = {.variant = variant};
    const struct ink_lowering how = {
        .device = device, .style = INK_STYLE_GPU, .vector_width = device->vector_width, .batch = batch, .classes = CLASSES, .training = training,
        .probabilities = !training, .choose = choose, .choose_user = &wish, .options = &train, .parameter_offsets = offsets,
        .state_offsets = offsets + count, .parameter_floats = parameters / sizeof(float),
    };
    if (lists->count == MOST_LISTS)
        check(ink_fail(INK_ERROR_ARGUMENT, "more than %d models, sections and variants; give fewer models at once", MOST_LISTS));
    struct ink_bound *bound = &lists->bound[lists->count];
    struct ink_lowered lowered;
    *bound = (struct ink_bound){.device = device, .list = allocate(1, sizeof *bound->list), .batch = batch};
    check(ink_lower(model, &how, bound->list, &lowered));
    check(ink_bound_place(bound));
    free(offsets);
    lists->of[lists->count].model = name;
    lists->of[lists->count].training = training;
    lists->of[lists->count].variant = variant;
    lists->count++;
    return wish.granted;
}

static void drop_last(struct lists *lists)
{
    struct ink_launches *list = lists->bound[--lists->count].list;
    ink_bound_free(&lists->bound[lists->count]);
    ink_launches_free(list);
    free(list);
}

static void add_model(struct lists *lists, const char *path, struct ink_device *device, int batch)
{
    unsigned char *text;
    size_t size;
    ink_model *model;
    check(ink_file_read(path, 1 << 20, &text, &size));
    check(ink_model_parse((const char *)text, &model));
    free(text);
    const char *slash = strrchr(path, '/');
    for (int training = 1; training >= 0; training--) {
        int variant = 0;
        while (add_list(lists, model, device, slash ? slash + 1 : path, batch, training, variant))
            variant++;
        drop_last(lists); /* one too many: no call had the variant */
    }
    ink_model_destroy(&model);
}

static json_object *describe(const struct lists *lists, int l, int i)
{
    const struct ink_bound *bound = &lists->bound[l];
    const struct ink_launch *launch = &bound->list->launches[i];
    json_object *object = json_object_new_object(), *local = json_object_new_array(), *groups = json_object_new_array();
    char kernel[96];
    size_t bytes = 0;
    snprintf(kernel, sizeof kernel, "%s_%d", launch->kernel, bound->instances[i]);
    for (int a = 0; a < launch->argument_count; a++)
        if (launch->arguments[a].kind <= INK_ARG_UPDATE)
            bytes += ink_value_bytes(bound->list, launch->arguments[a].value, bound->batch);
    for (int d = 0; d < 3; d++) {
        const struct ink_range *range = &launch->range[d];
        size_t items = range->sample_items * (size_t)bound->batch + range->fixed_items;
        json_object_array_add(local, json_object_new_int64(range->local ? (int64_t)range->local : 1));
        size_t count = range->items_per_group ? (items + range->items_per_group - 1) / range->items_per_group : 1;
        json_object_array_add(groups, json_object_new_int64((int64_t)count));
    }
    json_object_object_add(object, "model", json_object_new_string(lists->of[l].model));
    json_object_object_add(object, "section", json_object_new_string(lists->of[l].training ? "train" : "evaluate"));
    json_object_object_add(object, "label", json_object_new_string(launch->label));
    json_object_object_add(object, "algorithm", json_object_new_string(launch->algorithm ? launch->algorithm : ""));
    json_object_object_add(object, "variant", json_object_new_int(lists->of[l].variant));
    json_object_object_add(object, "kernel", json_object_new_string(kernel));
    json_object_object_add(object, "source", json_object_new_string(launch->source));
    json_object_object_add(object, "local", local);
    json_object_object_add(object, "groups", groups);
    json_object_object_add(object, "flops", json_object_new_double(launch->sample_flops * bound->batch + launch->fixed_flops));
    json_object_object_add(object, "bytes", json_object_new_int64((int64_t)bytes));
    return object;
}

int main(int argc, char **argv)
{
    static struct lists lists;
    if (argc < 6) {
        fprintf(stderr, "usage: gpu_offline_dump MAX_WORK_GROUP LOCAL_BYTES REGISTERS BATCH MODEL_TEXT_FILE...\n");
        return 2;
    }
    struct ink_device device = {
        .info = {.type = INK_DEVICE_GPU, .name = "a made-up GPU", .compute_units = 64, .memory_bytes = (uint64_t)8 << 30,
                 .max_alloc_bytes = (uint64_t)2 << 30, .max_work_group = strtoul(argv[1], NULL, 10), .local_bytes = strtoul(argv[2], NULL, 10)},
        .style = INK_STYLE_GPU, .vector_width = 4, .align = ALIGN, .registers = atoi(argv[3]),
    };
    int batch = atoi(argv[4]);
    if (device.info.max_work_group < 1 || device.info.local_bytes < 1 || device.registers < 1 || batch < 1) {
        fprintf(stderr, "gpu_offline_dump: the four numbers have to be at least 1\n");
        return 2;
    }
    for (int i = 5; i < argc; i++)
        add_model(&lists, argv[i], &device, batch);

    char *text;
    check(ink_program_text(lists.bound, lists.count, device.vector_width, &text));
    json_object *whole = json_object_new_object(), *launches = json_object_new_array();
    json_object_object_add(whole, "text", json_object_new_string(text));
    for (int l = 0; l < lists.count; l++)
        for (int i = 0; i < lists.bound[l].list->count; i++)
            if (!lists.bound[l].list->launches[i].call)
                json_object_array_add(launches, describe(&lists, l, i));
    json_object_object_add(whole, "launches", launches);
    puts(json_object_to_json_string_ext(whole, JSON_C_TO_STRING_PLAIN));
    json_object_put(whole);
    free(text);
    while (lists.count)
        drop_last(&lists);
    return EXIT_SUCCESS;
}
