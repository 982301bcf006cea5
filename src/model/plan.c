/* Making a plan and running it; see plan.h. */
#include "model/plan_data.h"
#include "model/program.h"
#include "model/relay.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* From a block of floats to the next: blocks start at multiples of align, so that they can be sub-buffers, and of 16 floats. The slack of
 * their sub-buffers lies between them: where it reached into the next ones, NVIDIA's driver 580 would crash as these are released. */
static size_t stride(size_t floats, size_t align)
{
    return floats ? (floats * sizeof(float) + INK_SLACK + align - 1) / align * align : 0;
}

static ink_status lay_out(struct ink_plan *plan, const struct ink_model *model, size_t align)
{
    size_t count = (size_t)model->count, parameters = 0, states = 0;
    size_t *offsets = calloc(4 * count + 1, sizeof *offsets);
    if (!offsets)
        return ink_fail_memory(4 * count * sizeof *offsets);
    plan->parameter_offsets = offsets;
    plan->state_offsets = offsets + count;
    plan->trained_counts = offsets + 2 * count;
    plan->state_counts = offsets + 3 * count;
    plan->nodes = model->count;
    for (size_t i = 0; i < count; i++) {
        plan->parameter_offsets[i] = parameters;
        plan->state_offsets[i] = states;
        plan->trained_counts[i] = model->nodes[i].trained_count;
        plan->state_counts[i] = model->nodes[i].state_count;
        parameters += stride(plan->trained_counts[i], align);
        states += stride(plan->state_counts[i], align);
    }
    plan->parameter_floats = parameters / sizeof(float);
    plan->state_floats = states / sizeof(float);
    return INK_OK;
}

/* Where weights are averaged, it is the average that is evaluated. */
static ink_status bind_storage(struct ink_plan *plan, int s, size_t bytes, bool averaged)
{
    for (int b = 0; b < INK_SECTIONS; b++)
        if (!(averaged && s == INK_PARAMETERS && b == INK_SECTION_EVALUATE))
            INK_TRY(ink_bound_storage(&plan->bound[b], (enum ink_storage)s, plan->storage[s], bytes));
    return s == INK_AVERAGE ? ink_bound_storage(&plan->bound[INK_SECTION_EVALUATE], INK_PARAMETERS, plan->storage[s], bytes) : INK_OK;
}

static bool averages(const struct ink_plan_options *options) { return options->training && options->train->ema > 0; }

/* Bytes of one of the plan's own buffers; 0: it has none. */
static size_t storage_bytes(const struct ink_plan *plan, int s, bool training, bool averaged)
{
    if ((!training && s != INK_PARAMETERS && s != INK_STATE) || (!averaged && s == INK_AVERAGE) ||
        (!plan->has[INK_SECTION_ACCUMULATE] && s == INK_ACCUMULATED))
        return 0;
    return (s == INK_STATE ? plan->state_floats : plan->parameter_floats) * sizeof(float);
}

static void add_bytes(size_t bytes, uint64_t *sum, uint64_t *largest)
{
    uint64_t with_slack = bytes ? (uint64_t)bytes + INK_SLACK : 0;
    *sum += with_slack;
    *largest = with_slack > *largest ? with_slack : *largest;
}

/* What a plan whose values are placed will take. */
static struct ink_plan_bytes count_bytes(const struct ink_plan *plan, const struct ink_plan_options *options)
{
    struct ink_plan_bytes bytes = {0};
    for (int s = INK_PARAMETERS; s <= INK_ACCUMULATED; s++)
        add_bytes(storage_bytes(plan, s, options->training, averages(options)), &bytes.weights, &bytes.largest);
    add_bytes(plan->arena_bytes, &bytes.arena, &bytes.largest);
    add_bytes(INK_RELAY_BYTES, &bytes.arena, &bytes.largest);
    return bytes;
}

static ink_status create_storage(struct ink_plan *plan, bool training, bool averaged)
{
    static const char *const names[] = {"the arena", "the weights", "the gradients", "the running statistics", "the optimizer's state",
                                        "the optimizer's state", "the average of the weights", "the gradients of parts"};
    for (int s = INK_PARAMETERS; s <= INK_ACCUMULATED; s++) {
        size_t bytes = storage_bytes(plan, s, training, averaged);
        if (!bytes)
            continue;
        INK_TRY(ink_buffer_create(plan->device, bytes, names[s], &plan->storage[s]));
        INK_TRY(ink_buffer_zero(plan->device, plan->storage[s], bytes));
        INK_TRY(bind_storage(plan, s, bytes, averaged));
    }
    INK_TRY(ink_buffer_create(plan->device, INK_RELAY_BYTES, "counters of relays", &plan->counters));
    INK_TRY(ink_buffer_zero(plan->device, plan->counters, INK_RELAY_BYTES));
    INK_TRY(ink_buffer_create(plan->device, plan->arena_bytes, "the activations and gradients of a batch", &plan->arena));
    for (int b = 0; b < INK_SECTIONS; b++) {
        INK_TRY(ink_bound_storage(&plan->bound[b], INK_ARENA, plan->arena, plan->arena_bytes));
        INK_TRY(ink_bound_storage(&plan->bound[b], INK_COUNTERS, plan->counters, 0));
    }
    return INK_OK;
}

static ink_status build(struct ink_plan *plan, const struct ink_lowering *how)
{
    char *text;
    INK_TRY(ink_program_text(plan->bound, INK_SECTIONS, how->vector_width, &text));
    ink_status status = ink_program_build(plan->device, text, "", &plan->program);
    free(text);
    for (int b = 0; b < INK_SECTIONS && !status; b++)
        status = ink_bound_kernels(&plan->bound[b], plan->program);
    return status;
}

/* Frees what prepare() made, sections in the order that ink_bound_free asks for. */
static void discard(struct ink_plan *plan)
{
    for (; plan->runs >= 0; plan->runs--)
        for (int b = 0; b < INK_SECTIONS; b++)
            if (plan->bound[b].ran == plan->runs)
                ink_bound_free(&plan->bound[b]);
    plan->runs = 0;
    for (int b = 0; b < INK_SECTIONS; b++)
        ink_launches_free(&plan->lists[b]);
    if (plan->program)
        clReleaseProgram(plan->program);
    plan->program = NULL;
    plan->arena_bytes = 0;
}

static ink_status lower(struct ink_plan *plan, int section, const struct ink_model *model, struct ink_lowering *how)
{
    how->training = section != INK_SECTION_EVALUATE;
    how->apart = section == INK_SECTION_GRADIENTS;
    if (section == INK_SECTION_ACCUMULATE)
        return ink_lower_accumulate(how, &plan->lists[section]);
    if (section == INK_SECTION_UPDATE)
        return ink_lower_update(how, &plan->lists[section]);
    return ink_lower(model, how, &plan->lists[section], &plan->lowered[section]);
}

/* Lowers and places all sections. */
static ink_status place(struct ink_plan *plan, const struct ink_model *model, struct ink_lowering *how)
{
    for (int b = 0; b < INK_SECTIONS; b++) {
        plan->bound[b] = (struct ink_bound){.device = plan->device, .list = &plan->lists[b], .batch = how->batch, .reproducible = how->reproducible,
                                           .runs = &plan->runs};
        if (plan->has[b])
            INK_TRY(lower(plan, b, model, how));
        INK_TRY(ink_bound_place(&plan->bound[b]));
        if (plan->bound[b].arena_bytes > plan->arena_bytes)
            plan->arena_bytes = plan->bound[b].arena_bytes;
    }
    return INK_OK;
}

/* Prepares within what the device allows. What it allows a kernel is known only once that is built: kernels that ask for
 * too much are made smaller, and kernels in GPU style that still do not build or fit give way to those in CPU style,
 * which run anywhere. */
static ink_status prepare_to_fit(struct ink_plan *plan, const struct ink_model *model, const struct ink_plan_options *options,
                                 struct ink_lowering *how)
{
    struct ink_device limited = *plan->device;
    how->device = &limited;
    for (;;) {
        ink_status status = place(plan, model, how);
        if (!status && options->admit) {
            struct ink_plan_bytes bytes = count_bytes(plan, options);
            status = options->admit(&bytes, options->admit_user);
        }
        if (!status)
            status = build(plan, how);
        if (!status || how->style != INK_STYLE_GPU || (status != INK_ERROR_UNSUPPORTED && status != INK_ERROR_BUILD))
            return status;
        size_t allowed = 0;
        for (int b = 0; b < INK_SECTIONS; b++)
            if (plan->bound[b].allowed_group)
                allowed = plan->bound[b].allowed_group;
        discard(plan);
        if (status == INK_ERROR_UNSUPPORTED && allowed && allowed < limited.info.max_work_group) {
            ink_log(INK_LOG_INFO, "%s; trying work-groups of %zu", ink_last_error(), allowed);
            limited.info.max_work_group = allowed;
        } else {
            ink_log(INK_LOG_WARNING, "%s; using the kernels in CPU style, which are slow on a GPU", ink_last_error());
            how->style = INK_STYLE_CPU;
        }
    }
}

/* Where blocks begin decides in which order the squares of gradients are summed for clipping, so reproducible plans have them begin at
 * multiples of what no device asks for more than. */
static size_t choose_align(const struct ink_device *device, const struct ink_plan_options *options)
{
    const size_t largest = 512;
    size_t align = options->align > device->align ? options->align : device->align;
    return options->reproducible && align < largest ? largest : align;
}

/* Begins a plan: its layout, and how it is to be lowered. */
static ink_status begin(struct ink_plan *plan, struct ink_device *device, const struct ink_model *model, const struct ink_plan_options *options,
                        struct ink_lowering *how)
{
    plan->device = device;
    INK_TRY(ink_check_algorithms(options->algorithms));
    plan->batch = options->batch;
    plan->reproducible = options->reproducible;
    plan->has[INK_SECTION_EVALUATE] = true;
    plan->has[INK_SECTION_TRAIN] = options->training && !options->parts;
    plan->has[INK_SECTION_GRADIENTS] = plan->has[INK_SECTION_ACCUMULATE] = plan->has[INK_SECTION_UPDATE] = options->training && options->parts;
    INK_TRY(lay_out(plan, model, choose_align(device, options)));
    *how = (struct ink_lowering){
        .style = options->reproducible ? INK_STYLE_CPU : options->style ? options->style : device->style,
        .vector_width = options->vector_width ? options->vector_width : device->vector_width,
        .batch = options->batch, .classes = options->classes, .probabilities = options->probabilities,
        .unbundled = options->unbundled, .unrelayed = options->unrelayed,
        .reproducible = options->reproducible, .algorithms = options->reproducible ? NULL : options->algorithms,
        .choose = options->reproducible ? NULL : options->choose, .choose_user = options->choose_user,
        .options = options->train, .class_weights = options->class_weights, .parameter_offsets = plan->parameter_offsets,
        .state_offsets = plan->state_offsets, .parameter_floats = plan->parameter_floats,
    };
    return INK_OK;
}

ink_status ink_plan_measure(struct ink_device *device, const struct ink_model *model, const struct ink_plan_options *options,
                            struct ink_plan_bytes *out)
{
    struct ink_plan plan = {0};
    struct ink_lowering how;
    ink_status status = begin(&plan, device, model, options, &how);
    how.device = device;
    if (!status)
        status = place(&plan, model, &how);
    if (!status)
        *out = count_bytes(&plan, options);
    discard(&plan);
    free(plan.parameter_offsets);
    return status;
}

ink_status ink_plan_create(struct ink_device *device, const struct ink_model *model, const struct ink_plan_options *options, struct ink_plan **out)
{
    struct ink_plan *plan = calloc(1, sizeof *plan);
    struct ink_lowering how;
    if (!plan)
        return ink_fail_memory(sizeof *plan);
    ink_status status = begin(plan, device, model, options, &how);
    if (!status)
        status = prepare_to_fit(plan, model, options, &how);
    if (!status)
        status = create_storage(plan, options->training, averages(options));
    if (!status)
        status = ink_plan_upload(plan, model);
    if (status)
        ink_plan_destroy(&plan);
    else
        *out = plan;
    return status;
}

void ink_plan_destroy(struct ink_plan **out)
{
    if (!out || !*out)
        return;
    struct ink_plan *plan = *out;
    clFinish(plan->device->queue);
    discard(plan);
    for (int s = INK_PARAMETERS; s <= INK_ACCUMULATED; s++)
        if (plan->storage[s])
            clReleaseMemObject(plan->storage[s]);
    if (plan->arena)
        clReleaseMemObject(plan->arena);
    if (plan->counters)
        clReleaseMemObject(plan->counters);
    free(plan->parameter_offsets);
    free(plan);
    *out = NULL;
}

ink_status ink_plan_bind(struct ink_plan *plan, enum ink_section section, enum ink_storage storage, cl_mem buffer)
{
    return ink_bound_storage(&plan->bound[section], storage, buffer, 0);
}

void ink_plan_set_int(struct ink_plan *plan, enum ink_scalar scalar, cl_int value) { plan->scalars[scalar] = value; }

void ink_plan_set_float(struct ink_plan *plan, enum ink_scalar scalar, cl_float value)
{
    memcpy(&plan->scalars[scalar], &value, sizeof value);
}

void ink_plan_set_shift(struct ink_plan *plan, int shift) { plan->shift = shift; }

void ink_plan_set_part(struct ink_plan *plan, const struct ink_part *part)
{
    plan->scalars[INK_START] = part->start;
    plan->scalars[INK_ROW] = part->start + plan->shift;
    plan->scalars[INK_BATCH] = part->n;
    plan->scalars[INK_FIRST] = part->first;
    plan->scalars[INK_WHOLE] = part->whole;
}

ink_status ink_plan_run(struct ink_plan *plan, enum ink_section section, int start, int n, cl_event *done)
{
    ink_plan_set_part(plan, &(struct ink_part){.start = start, .n = n, .whole = n});
    if (section != INK_SECTION_EVALUATE)
        plan->bound[INK_SECTION_EVALUATE].constants_done = false;
    INK_TRY(ink_bound_run(&plan->bound[section], plan->device->queue, n, plan->scalars, done));
    if (plan->lists[section].count || !done)
        return INK_OK;
    return ink_cl_check(plan->device, clEnqueueMarkerWithWaitList(plan->device->queue, 0, NULL, done), "clEnqueueMarkerWithWaitList", "a section");
}

ink_status ink_plan_time(struct ink_plan *plan, enum ink_section section, int start, int n, cl_command_queue queue, double *seconds)
{
    ink_plan_set_part(plan, &(struct ink_part){.start = start, .n = n, .whole = n});
    return ink_bound_time(&plan->bound[section], queue, n, plan->scalars, seconds);
}

/* What reproducible kernels take for granted of their weights; see arithmetic.cl. */
static void settle(float *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (fabsf(values[i]) < 0x1p-40f)
            values[i] = 0;
}

/* Copies the blocks of all nodes between a padded device buffer and a packed host one. */
static ink_status transfer(struct ink_plan *plan, enum ink_storage storage, float *packed, bool upload)
{
    const size_t *offsets = storage == INK_STATE ? plan->state_offsets : plan->parameter_offsets;
    const size_t *counts = storage == INK_STATE ? plan->state_counts : plan->trained_counts;
    size_t bytes = (storage == INK_STATE ? plan->state_floats : plan->parameter_floats) * sizeof(float);
    if (!bytes)
        return INK_OK;
    char *padded = calloc(bytes, 1);
    if (!padded)
        return ink_fail_memory(bytes);
    ink_status status = upload ? INK_OK : ink_buffer_read(plan->device, plan->storage[storage], 0, padded, bytes);
    for (int i = 0; i < plan->nodes && !status && counts; packed += counts[i], i++) {
        char *block = padded + offsets[i];
        if (upload && counts[i])
            memcpy(block, packed, counts[i] * sizeof(float));
        else if (counts[i])
            memcpy(packed, block, counts[i] * sizeof(float));
    }
    if (upload && plan->reproducible && storage != INK_MOMENT1 && storage != INK_MOMENT2)
        settle((float *)padded, bytes / sizeof(float));
    if (upload)
        status = ink_buffer_write(plan->device, plan->storage[storage], 0, padded, bytes);
    free(padded);
    return status;
}

static ink_status check_same(const struct ink_plan *plan, const struct ink_model *model)
{
    bool same = plan->nodes == model->count;
    for (int i = 0; i < plan->nodes && same; i++)
        same = plan->trained_counts[i] == model->nodes[i].trained_count && plan->state_counts[i] == model->nodes[i].state_count;
    return same ? INK_OK : ink_fail(INK_ERROR_SHAPE, "the model's layers changed after it was made ready for the device");
}

ink_status ink_plan_upload(struct ink_plan *plan, const struct ink_model *model)
{
    INK_TRY(check_same(plan, model));
    plan->bound[INK_SECTION_EVALUATE].constants_done = false;
    INK_TRY(transfer(plan, INK_PARAMETERS, model->trained, true));
    if (plan->storage[INK_AVERAGE])
        INK_TRY(transfer(plan, INK_AVERAGE, model->trained, true));
    return transfer(plan, INK_STATE, model->state, true);
}

ink_status ink_plan_rewind(struct ink_plan *plan, const struct ink_model *model)
{
    for (int s = INK_MOMENT1; s <= INK_MOMENT2; s++)
        if (plan->storage[s])
            INK_TRY(ink_buffer_zero(plan->device, plan->storage[s], plan->parameter_floats * sizeof(float)));
    return ink_plan_upload(plan, model);
}

ink_status ink_plan_download(struct ink_plan *plan, struct ink_model *model)
{
    INK_TRY(check_same(plan, model));
    INK_TRY(transfer(plan, plan->storage[INK_AVERAGE] ? INK_AVERAGE : INK_PARAMETERS, model->trained, false));
    return transfer(plan, INK_STATE, model->state, false);
}

ink_status ink_plan_get(struct ink_plan *plan, enum ink_storage storage, float *packed) { return transfer(plan, storage, packed, false); }

ink_status ink_plan_put(struct ink_plan *plan, enum ink_storage storage, const float *packed)
{
    plan->bound[INK_SECTION_EVALUATE].constants_done = false;
    return transfer(plan, storage, (float *)packed, true);
}

ink_status ink_plan_gradients(struct ink_plan *plan, float *trained) { return ink_plan_get(plan, INK_GRADIENTS, trained); }

const struct ink_launches *ink_plan_launches(const struct ink_plan *plan, enum ink_section section) { return &plan->lists[section]; }

const struct ink_lowered *ink_plan_lowered(const struct ink_plan *plan, enum ink_section section) { return &plan->lowered[section]; }

ink_status ink_plan_read(struct ink_plan *plan, enum ink_section section, ink_value value, void *data, size_t bytes)
{
    return ink_buffer_read(plan->device, plan->bound[section].buffers[value], 0, data, bytes);
}
