/* The text form of a model: a line "input HxWxC", then a line a layer, its op first:
 *
 *   [name:] op [units] [HxW] [activation] [key=value ...]        # comment
 *
 * A bare number is units (dropout: rate), HxW the filter or window, a bare word the activation. Keys: from, with (other),
 * stride, pad (same, valid, N, or top,bottom,left,right), dilation, groups, bias=no, slope, rate, momentum, epsilon, init.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/model.h"
#include "util/text.h"

static const char *const initialisers[] = {"glorot_uniform", "glorot_normal", "he_uniform", "he_normal"};

enum { LINE_BYTES = 512, MAX_LINES = 8192 };

/* ------------------------------------------------------------------ reading */

static bool read_int(const char *word, int *value)
{
    char *end;
    errno = 0;
    long number = strtol(word, &end, 10);
    if (!isdigit((unsigned char)*word) || *end || errno || number > 1 << 28)
        return false;
    *value = (int)number;
    return true;
}

/* "N" or "NxM". */
static bool read_pair(const char *word, int *first, int *second)
{
    const char *cross = strchr(word, 'x');
    char left[32];
    if (!cross)
        return read_int(word, first) && read_int(word, second);
    if ((size_t)(cross - word) >= sizeof left)
        return false;
    memcpy(left, word, (size_t)(cross - word));
    left[cross - word] = 0;
    return read_int(left, first) && read_int(cross + 1, second);
}

static bool read_float(const char *word, float *value)
{
    char *end;
    *value = strtof(word, &end);
    return *word && !*end && *value == *value && *value < 1e30f && *value > -1e30f;
}

static bool read_padding(const char *word, struct ink_layer *layer)
{
    int *pads[4] = {&layer->pad_top, &layer->pad_bottom, &layer->pad_left, &layer->pad_right}, count = 0;
    if (strcmp(word, "same") == 0 || strcmp(word, "valid") == 0) {
        layer->padding = *word == 's' ? INK_SAME : INK_VALID;
        return true;
    }
    layer->padding = INK_EXPLICIT;
    for (const char *at = word;; at++) {
        char part[16];
        size_t length = strcspn(at, ",");
        if (count == 4 || length >= sizeof part)
            return false;
        memcpy(part, at, length);
        part[length] = 0;
        if (!read_int(part, pads[count++]))
            return false;
        at += length;
        if (!*at)
            break;
    }
    for (int i = 1; i < 4 && count == 1; i++)
        *pads[i] = layer->pad_top;
    return count == 1 || count == 4;
}

static bool read_key(const char *key, const char *value, struct ink_layer *layer)
{
    if (strcmp(key, "from") == 0)
        layer->input = value;
    else if (strcmp(key, "with") == 0)
        layer->other = value;
    else if (strcmp(key, "stride") == 0)
        return read_pair(value, &layer->stride_height, &layer->stride_width);
    else if (strcmp(key, "pad") == 0)
        return read_padding(value, layer);
    else if (strcmp(key, "dilation") == 0)
        return read_pair(value, &layer->dilation_height, &layer->dilation_width);
    else if (strcmp(key, "groups") == 0)
        return read_int(value, &layer->groups);
    else if (strcmp(key, "bias") == 0)
        return layer->no_bias = strcmp(value, "no") == 0, layer->no_bias || strcmp(value, "yes") == 0;
    else if (strcmp(key, "slope") == 0)
        return read_float(value, &layer->slope);
    else if (strcmp(key, "rate") == 0)
        return read_float(value, &layer->rate);
    else if (strcmp(key, "momentum") == 0)
        return read_float(value, &layer->momentum);
    else if (strcmp(key, "epsilon") == 0)
        return read_float(value, &layer->epsilon);
    else if (strcmp(key, "init") == 0) {
        for (int i = 0; i < 4; i++)
            if (strcmp(value, initialisers[i]) == 0)
                return layer->initialiser = (ink_initialiser)i, true;
        return false;
    } else
        return false;
    return *value != 0;
}

/* A word that stands alone; a second one of its kind is refused, as in "dense 64 10" it is not clear what was meant. */
static bool read_word(const char *word, struct ink_layer *layer)
{
    for (int a = INK_RELU; a <= INK_SOFTMAX; a++)
        if (strcmp(word, ink_activation_name((ink_activation)a)) == 0) {
            bool first = layer->activation == INK_NONE;
            layer->activation = (ink_activation)a;
            return first;
        }
    if (strcmp(layer->op, "dropout") == 0)
        return layer->rate == 0.0f && read_float(word, &layer->rate);
    if (strchr(word, 'x'))
        return !layer->filter_height && read_pair(word, &layer->filter_height, &layer->filter_width);
    return !layer->units && read_int(word, &layer->units);
}

/* "HxWxC". */
static bool read_shape(const char *word, struct ink_shape *shape)
{
    char left[32];
    const char *cross = strrchr(word, 'x');
    if (!cross || (size_t)(cross - word) >= sizeof left)
        return false;
    memcpy(left, word, (size_t)(cross - word));
    left[cross - word] = 0;
    return strchr(left, 'x') && read_pair(left, &shape->height, &shape->width) && read_int(cross + 1, &shape->channels);
}

/* Makes the model of its first line, which is cut into words in place. */
static ink_status read_input(char *line, ink_model **model)
{
    struct ink_shape shape;
    char *rest = line, *word = strtok_r(line, " \t\r", &rest), *size = strtok_r(NULL, " \t\r", &rest);
    if (strcmp(word, "input") != 0 || !size || !read_shape(size, &shape) || strtok_r(NULL, " \t\r", &rest))
        return ink_fail(INK_ERROR_FORMAT, "a model begins with its input, for example 'input 28x28x1'; found '%.40s%s%.40s'", word,
                        size ? " " : "", size ? size : "");
    return ink_model_create(shape, model);
}

/* Adds the layer of a line, which is cut into words in place. */
static ink_status read_layer(ink_model *model, char *line)
{
    struct ink_layer layer = {0};
    char *rest = line, *word = strtok_r(line, " \t\r", &rest);
    if (word[strlen(word) - 1] == ':') {
        word[strlen(word) - 1] = 0;
        layer.name = word;
        word = strtok_r(NULL, " \t\r", &rest);
        if (!word)
            return ink_fail(INK_ERROR_FORMAT, "a name without an op");
    }
    layer.op = word;
    char keys[LINE_BYTES + 1] = " "; /* those read, with blanks around */
    while ((word = strtok_r(NULL, " \t\r", &rest))) {
        char *equals = strchr(word, '=');
        bool good;
        if (equals) {
            char key[LINE_BYTES + 2];
            *equals = 0;
            snprintf(key, sizeof key, " %s ", word);
            if (strstr(keys, key))
                return ink_fail(INK_ERROR_FORMAT, "'%.40s' is given twice", word);
            strcat(keys, key + 1);
            good = read_key(word, equals + 1, &layer); /* names point behind the '=' in the line */
            *equals = '=';
        } else {
            good = read_word(word, &layer);
        }
        if (!good)
            return ink_fail(INK_ERROR_FORMAT, "'%.60s' is not understood after '%.40s'", word, layer.op);
    }
    return ink_model_add(model, &layer);
}

ink_status ink_model_parse(const char *text, ink_model **out)
{
    ink_model *model = NULL;
    ink_status status = INK_OK;
    int number = 0;
    for (const char *at = text, *next; *at && !status; at = next) {
        char line[LINE_BYTES];
        size_t length = strcspn(at, "\n");
        next = at + length + (at[length] == '\n');
        number++;
        if (length >= sizeof line || number > MAX_LINES) {
            status = ink_fail(INK_ERROR_FORMAT, "the line is longer than %d characters, or there are more than %d lines", LINE_BYTES - 1, MAX_LINES);
            break;
        }
        memcpy(line, at, length);
        line[length] = 0;
        line[strcspn(line, "#")] = 0;
        char *start = line + strspn(line, " \t\r");
        if (!*start)
            continue;
        status = model ? read_layer(model, start) : read_input(start, &model);
    }
    if (status) {
        ink_model_destroy(&model);
        return ink_fail_in(status, "model text, line %d", number);
    }
    if (!model)
        return ink_fail(INK_ERROR_FORMAT, "the model text is empty; it begins with its input, for example 'input 28x28x1'");
    *out = model;
    return INK_OK;
}

/* ------------------------------------------------------------------ writing */

static void write_pair(struct ink_text *text, const char *key, int first, int second, int usual_first, int usual_second)
{
    if (first == usual_first && second == usual_second)
        return;
    ink_text_add(text, " %s=%dx%d", key, first, second);
}

/* In as few digits as give the same float again. */
static void write_float(struct ink_text *text, const char *before, float value)
{
    char digits[32];
    int precision = 1;
    do
        snprintf(digits, sizeof digits, "%.*g", precision, (double)value);
    while (strtof(digits, NULL) != value && precision++ < 9);
    ink_text_add(text, "%s%s", before, digits);
}

static void write_layer(struct ink_text *text, const struct ink_model *model, int i)
{
    const struct ink_node *node = &model->nodes[i];
    const struct ink_layer *l = &node->layer;
    unsigned fields = node->op->fields;
    bool window = fields & INK_FIELD_FILTER && !(fields & INK_FIELD_UNITS);
    char usual[64];
    ink_model_default_name(model, i, node->op->name, usual, sizeof usual);
    if (strcmp(usual, l->name) != 0)
        ink_text_add(text, "%s: ", l->name);
    ink_text_add(text, "%s", node->op->name);
    if (fields & INK_FIELD_UNITS)
        ink_text_add(text, " %d", l->units);
    if (fields & INK_FIELD_RATE)
        write_float(text, " ", l->rate);
    if (fields & INK_FIELD_FILTER)
        ink_text_add(text, " %dx%d", l->filter_height, l->filter_width);
    if (l->activation != INK_NONE)
        ink_text_add(text, " %s", ink_activation_name(l->activation));
    if (l->activation == INK_LEAKY_RELU)
        write_float(text, " slope=", l->slope);
    if (l->input && ink_model_find(model, l->input) != i - 1)
        ink_text_add(text, " from=%s", l->input);
    if (l->other)
        ink_text_add(text, " with=%s", l->other);
    if (fields & INK_FIELD_STRIDE)
        write_pair(text, "stride", l->stride_height, l->stride_width, window ? l->filter_height : 1, window ? l->filter_width : 1);
    if (fields & INK_FIELD_PADDING && l->padding == INK_SAME)
        ink_text_add(text, " pad=same");
    if (fields & INK_FIELD_PADDING && l->padding == INK_EXPLICIT)
        ink_text_add(text, " pad=%d,%d,%d,%d", l->pad_top, l->pad_bottom, l->pad_left, l->pad_right);
    if (fields & INK_FIELD_DILATION)
        write_pair(text, "dilation", l->dilation_height, l->dilation_width, 1, 1);
    if (fields & INK_FIELD_GROUPS && l->groups != 1)
        ink_text_add(text, " groups=%d", l->groups);
    if (l->no_bias)
        ink_text_add(text, " bias=no");
    if (fields & INK_FIELD_MOMENTUM)
        write_float(text, " momentum=", l->momentum);
    if (fields & INK_FIELD_EPSILON)
        write_float(text, " epsilon=", l->epsilon);
    if (l->initialiser != INK_GLOROT_UNIFORM)
        ink_text_add(text, " init=%s", initialisers[l->initialiser]);
    ink_text_add(text, "\n");
}

const char *ink_model_text(ink_model *model)
{
    if (model->text)
        return model->text;
    struct ink_text text = {0};
    ink_text_add(&text, "input %dx%dx%d\n", model->input.height, model->input.width, model->input.channels);
    for (int i = 0; i < model->count; i++)
        write_layer(&text, model, i);
    if (ink_text_take(&text, &model->text, NULL))
        return "";
    return model->text;
}
