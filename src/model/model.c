/* Building a model: layers are checked and their shapes inferred as they are added. */
#include "model/model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/rng.h"

enum { LARGEST_SIDE = 16384, MAX_LAYERS = 4096 };

static ink_status check_input(struct ink_shape input)
{
    if (input.height < 1 || input.width < 1 || input.channels < 1 || input.height > LARGEST_SIDE || input.width > LARGEST_SIDE ||
        input.channels > LARGEST_SIDE || ink_shape_count(input) > (size_t)1 << 26)
        return ink_fail(INK_ERROR_SHAPE, "the input is %dx%dx%d; each side must be 1 to %d, and all values together at most 67,108,864",
                        input.height, input.width, input.channels, LARGEST_SIDE);
    return INK_OK;
}

ink_status ink_model_create(struct ink_shape input, ink_model **out)
{
    INK_TRY(check_input(input));
    struct ink_model *model = calloc(1, sizeof *model);
    if (!model)
        return ink_fail_memory(sizeof *model);
    model->input = input;
    *out = model;
    return INK_OK;
}

static void free_strings(struct ink_layer *layer)
{
    free((char *)layer->name);
    free((char *)layer->input);
    free((char *)layer->other);
}

void ink_model_destroy(ink_model **model)
{
    if (!model || !*model)
        return;
    for (int i = 0; i < (*model)->count; i++)
        free_strings(&(*model)->nodes[i].layer);
    free((*model)->nodes);
    free((*model)->trained);
    free((*model)->state);
    free((*model)->text);
    free(*model);
    *model = NULL;
}

ink_status ink_model_create_reference(struct ink_shape input, int classes, ink_model **out)
{
    const struct ink_layer layers[] = {
        {.op = "conv", .units = 32, .filter_height = 3, .filter_width = 3, .activation = INK_RELU},
        {.op = "max_pool", .filter_height = 2, .filter_width = 2},
        {.op = "conv", .units = 64, .filter_height = 3, .filter_width = 3, .activation = INK_RELU},
        {.op = "max_pool", .filter_height = 2, .filter_width = 2},
        {.op = "conv", .units = 64, .filter_height = 3, .filter_width = 3, .activation = INK_RELU},
        {.op = "flatten"},
        {.op = "dense", .units = 64, .activation = INK_RELU},
        {.op = "dense", .units = classes, .activation = INK_SOFTMAX},
    };
    ink_model *model = NULL;
    INK_TRY(ink_model_create(input, &model));
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        ink_status status = ink_model_add(model, &layers[i]);
        if (status) {
            ink_model_destroy(&model);
            return ink_fail_in(status, "the reference model for %dx%dx%d inputs", input.height, input.width, input.channels);
        }
    }
    *out = model;
    return INK_OK;
}

int ink_model_find(const struct ink_model *model, const char *name)
{
    if (strcmp(name, "input") == 0)
        return -1;
    for (int i = 0; i < model->count; i++)
        if (strcmp(model->nodes[i].layer.name, name) == 0)
            return i;
    return -2;
}

void ink_model_default_name(const struct ink_model *model, int node, const char *op, char *name, size_t size)
{
    int number = 1;
    for (int i = 0; i < node; i++)
        number += strcmp(model->nodes[i].op->name, op) == 0;
    for (bool taken = true; taken; number += taken) {
        snprintf(name, size, "%s%d", op, number);
        taken = false;
        for (int i = 0; i < node; i++)
            taken |= strcmp(model->nodes[i].layer.name, name) == 0;
    }
}

/* Fields that the op does not use must be zero, so that a misunderstanding is told rather than ignored. */
static ink_status check_fields(const struct ink_node *node)
{
    const struct ink_layer *l = &node->layer;
    const struct { unsigned field; bool set; const char *name; } fields[] = {
        {INK_FIELD_UNITS, l->units != 0, "units"},
        {INK_FIELD_FILTER, l->filter_height || l->filter_width, "a filter"},
        {INK_FIELD_STRIDE, l->stride_height || l->stride_width, "a stride"},
        {INK_FIELD_PADDING, l->padding || l->pad_top || l->pad_bottom || l->pad_left || l->pad_right, "padding"},
        {INK_FIELD_DILATION, l->dilation_height || l->dilation_width, "a dilation"},
        {INK_FIELD_GROUPS, l->groups != 0, "groups"},
        {INK_FIELD_NO_BIAS, l->no_bias, "no_bias"},
        {INK_FIELD_ACTIVATION, l->activation != INK_NONE, "an activation"},
        {INK_FIELD_ACTIVATION, l->slope != 0.0f, "a slope"},
        {INK_FIELD_RATE, l->rate != 0.0f, "a rate"},
        {INK_FIELD_MOMENTUM, l->momentum != 0.0f, "a momentum"},
        {INK_FIELD_EPSILON, l->epsilon != 0.0f, "an epsilon"},
        {INK_FIELD_INITIALISER, l->initialiser != INK_GLOROT_UNIFORM, "an initialiser"},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (fields[i].set && !(node->op->fields & fields[i].field))
            return ink_fail_layer(node, "it has no use for %s; leave it out", fields[i].name);
    if (l->other && node->op->inputs < 2)
        return ink_fail_layer(node, "it has one input, and a second one ('%s') is named", l->other);
    if (l->activation < INK_NONE || l->activation > INK_SOFTMAX)
        return ink_fail_layer(node, "its activation %d is none of the known ones", (int)l->activation);
    if (l->initialiser < INK_GLOROT_UNIFORM || l->initialiser > INK_HE_NORMAL)
        return ink_fail_layer(node, "its initialiser %d is none of the known ones", (int)l->initialiser);
    if (!(l->slope >= 0.0f && l->slope <= 1.0f))
        return ink_fail_layer(node, "its slope %g is not in 0 to 1", (double)l->slope);
    return INK_OK;
}

static ink_status find_input(const struct ink_model *model, const struct ink_node *node, const char *name, int *input)
{
    *input = name ? ink_model_find(model, name) : model->count - 1;
    if (*input == -2)
        return ink_fail_layer(node, "it is fed by '%s', and no layer before it has that name", name);
    return INK_OK;
}

static bool good_name(const char *name)
{
    size_t length = strlen(name);
    return length > 0 && length <= 48 && name[0] != '#' && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-/") == length;
}

static ink_status infer_node(const struct ink_model *model, struct ink_node *node)
{
    const char *name = node->layer.name;
    if (!good_name(name))
        return ink_fail(INK_ERROR_ARGUMENT, "layer name '%.60s': use 1 to 48 letters, digits, '_', '-' and '/'", name);
    if (ink_model_find(model, name) != -2)
        return ink_fail(INK_ERROR_ARGUMENT, "layer name '%s' is taken; names must differ", name);
    INK_TRY(find_input(model, node, node->layer.input, &node->inputs[0]));
    node->in = node->inputs[0] < 0 ? model->input : model->nodes[node->inputs[0]].out;
    node->inputs[1] = -2;
    if (node->op->inputs == 2) {
        if (!node->layer.other)
            return ink_fail_layer(node, "it needs a second input: name a layer");
        INK_TRY(find_input(model, node, node->layer.other, &node->inputs[1]));
        struct ink_shape other = node->inputs[1] < 0 ? model->input : model->nodes[node->inputs[1]].out;
        if (!ink_shape_equal(node->in, other))
            return ink_fail_layer(node, "its inputs differ: %dx%dx%d, and %dx%dx%d from '%s'", node->in.height, node->in.width,
                                  node->in.channels, other.height, other.width, other.channels, node->layer.other);
    }
    INK_TRY(check_fields(node));
    if (node->layer.slope == 0.0f && node->layer.activation == INK_LEAKY_RELU)
        node->layer.slope = 0.01f;
    INK_TRY(node->op->infer(node));
    if (ink_shape_count(node->out) > (size_t)1 << 28)
        return ink_fail_layer(node, "its output %dx%dx%d is larger than the 268,435,456 values a layer may give", node->out.height,
                              node->out.width, node->out.channels);
    return INK_OK;
}

/* Grows a flat buffer by the tensors of a node, started as their fill says; weights start at 0. */
static ink_status extend(float **buffer, size_t *used, const struct ink_node *node, bool trained)
{
    size_t more = trained ? node->trained_count : node->state_count, at = *used;
    if (!more)
        return INK_OK;
    float *larger = realloc(*buffer, (*used + more) * sizeof **buffer);
    if (!larger)
        return ink_fail_memory((*used + more) * sizeof **buffer);
    *buffer = larger;
    for (int p = 0; p < node->parameter_count; p++)
        if (node->parameters[p].trained == trained)
            for (size_t i = 0; i < node->parameters[p].count; i++)
                larger[at++] = node->parameters[p].fill == INK_FILL_ONE ? 1.0f : 0.0f;
    *used = at;
    return INK_OK;
}

static char *copy_string(const char *text, bool *failed)
{
    char *copy = text ? strdup(text) : NULL;
    *failed |= text && !copy;
    return copy;
}

static ink_status fail_op(const char *op)
{
    char known[512] = "";
    for (const struct ink_op *const *each = ink_ops; *each; each++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", *known ? ", " : "", (*each)->name);
    return ink_fail(INK_ERROR_ARGUMENT, "no op is called '%.40s'; there are %s", op, known);
}

static ink_status add_node(ink_model *model, const struct ink_layer *layer)
{
    struct ink_node node = {.op = ink_op_find(layer->op), .layer = *layer};
    char made[64];
    if (!node.op)
        return fail_op(layer->op);
    if (model->count == MAX_LAYERS)
        return ink_fail(INK_ERROR_ARGUMENT, "a model has at most %d layers", MAX_LAYERS);
    ink_model_default_name(model, model->count, node.op->name, made, sizeof made);
    bool failed = false;
    node.layer.op = node.op->name;
    node.layer.name = copy_string(layer->name ? layer->name : made, &failed);
    node.layer.input = copy_string(layer->input, &failed);
    node.layer.other = copy_string(layer->other, &failed);
    ink_status status = failed ? ink_fail_memory(256) : infer_node(model, &node);
    if (!status && model->count == model->room) {
        int room = model->room ? 2 * model->room : 16;
        struct ink_node *larger = realloc(model->nodes, (size_t)room * sizeof *larger);
        if (larger) {
            model->nodes = larger;
            model->room = room;
        } else {
            status = ink_fail_memory((size_t)room * sizeof *larger);
        }
    }
    size_t trained = model->trained_count;
    if (!status)
        status = extend(&model->trained, &model->trained_count, &node, true);
    if (!status)
        status = extend(&model->state, &model->state_count, &node, false);
    if (status) {
        model->trained_count = trained;
        free_strings(&node.layer);
        return status;
    }
    model->nodes[model->count++] = node;
    free(model->text);
    model->text = NULL;
    return INK_OK;
}

static void remove_last(ink_model *model)
{
    struct ink_node *node = &model->nodes[--model->count];
    model->trained_count -= node->trained_count;
    model->state_count -= node->state_count;
    free_strings(&node->layer);
}

/* INK_SOFTMAX stands for a softmax layer behind this one, or in the place of a lone activation. */
ink_status ink_model_add(ink_model *model, const struct ink_layer *layer)
{
    if (!layer->op)
        return ink_fail(INK_ERROR_ARGUMENT, "a layer needs an op");
    const struct ink_op *op = ink_op_find(layer->op);
    if (layer->activation != INK_SOFTMAX || !op || !(op->fields & INK_FIELD_ACTIVATION))
        return add_node(model, layer);
    struct ink_layer first = *layer;
    first.activation = INK_NONE;
    if (strcmp(op->name, "activation") == 0) {
        first.op = "softmax";
        return add_node(model, &first);
    }
    INK_TRY(add_node(model, &first));
    ink_status status = add_node(model, &(struct ink_layer){.op = "softmax"});
    if (status)
        remove_last(model);
    return status;
}

struct ink_shape ink_model_input(const ink_model *model) { return model->input; }

struct ink_shape ink_model_output(const ink_model *model)
{
    return model->count ? model->nodes[model->count - 1].out : model->input;
}

size_t ink_model_parameter_count(const ink_model *model) { return model->trained_count; }

size_t ink_model_layer_count(const ink_model *model) { return (size_t)model->count; }

ink_status ink_model_layer(const ink_model *model, size_t i, struct ink_layer_info *info)
{
    if (i >= (size_t)model->count)
        return ink_fail(INK_ERROR_ARGUMENT, "layer %zu of a model of %d", i, model->count);
    const struct ink_node *node = &model->nodes[i];
    *info = (struct ink_layer_info){.op = node->op->name, .name = node->layer.name, .output = node->out, .parameters = node->trained_count,
                                    .flops = node->op->flops ? node->op->flops(node) : 0.0};
    if (node->op->describe)
        node->op->describe(node, info->detail, sizeof info->detail);
    if (node->layer.activation != INK_NONE) {
        size_t used = strlen(info->detail);
        snprintf(info->detail + used, sizeof info->detail - used, "%s%s", used ? " " : "", ink_activation_name(node->layer.activation));
    }
    return INK_OK;
}

size_t ink_model_trained_offset(const struct ink_model *model, int node)
{
    size_t offset = 0;
    for (int i = 0; i < node; i++)
        offset += model->nodes[i].trained_count;
    return offset;
}

size_t ink_model_state_offset(const struct ink_model *model, int node)
{
    size_t offset = 0;
    for (int i = 0; i < node; i++)
        offset += model->nodes[i].state_count;
    return offset;
}

size_t ink_model_tensor_count(const ink_model *model)
{
    size_t count = 0;
    for (int i = 0; i < model->count; i++)
        count += (size_t)model->nodes[i].parameter_count;
    return count;
}

ink_status ink_model_tensor(ink_model *model, size_t index, struct ink_tensor *tensor)
{
    size_t trained = 0, state = 0;
    for (int i = 0; i < model->count; i++)
        for (int p = 0; p < model->nodes[i].parameter_count; p++) {
            const struct ink_parameter *parameter = &model->nodes[i].parameters[p];
            size_t *at = parameter->trained ? &trained : &state;
            if (index-- == 0) {
                *tensor = (struct ink_tensor){.rank = parameter->rank, .count = parameter->count, .trained = parameter->trained,
                                              .data = (parameter->trained ? model->trained : model->state) + *at};
                snprintf(tensor->name, sizeof tensor->name, "%s.%s", model->nodes[i].layer.name, parameter->suffix);
                memcpy(tensor->dims, parameter->dims, sizeof tensor->dims);
                return INK_OK;
            }
            *at += parameter->count;
        }
    return ink_fail(INK_ERROR_ARGUMENT, "the model has %zu tensors", ink_model_tensor_count(model));
}

ink_status ink_model_initialise(ink_model *model, uint64_t seed)
{
    float *trained = model->trained, *state = model->state;
    uint32_t number = 0;
    for (int i = 0; i < model->count; i++)
        for (int p = 0; p < model->nodes[i].parameter_count; p++, number++) {
            const struct ink_parameter *parameter = &model->nodes[i].parameters[p];
            float **at = parameter->trained ? &trained : &state;
            double fans = parameter->fan_in + parameter->fan_out;
            uint64_t stream = INK_STREAM(INK_STREAM_WEIGHTS, number);
            if (parameter->fill != INK_FILL_WEIGHTS) {
                for (size_t k = 0; k < parameter->count; k++)
                    (*at)[k] = parameter->fill == INK_FILL_ONE ? 1.0f : 0.0f;
            } else {
                ink_initialiser initialiser = model->nodes[i].layer.initialiser;
                bool glorot = initialiser == INK_GLOROT_UNIFORM || initialiser == INK_GLOROT_NORMAL;
                double variance = glorot ? 2.0 / fans : 2.0 / parameter->fan_in;
                if (initialiser == INK_GLOROT_UNIFORM || initialiser == INK_HE_UNIFORM)
                    ink_random_uniform(seed, stream, (float)-sqrt(3.0 * variance), (float)sqrt(3.0 * variance), *at, parameter->count);
                else
                    ink_random_normal(seed, stream, (float)sqrt(variance), *at, parameter->count);
            }
            *at += parameter->count;
        }
    return INK_OK;
}
