/* The reader of safetensors files; see safetensors.h. json-c reads the header; what it lets pass (a key given twice, of
 * which it keeps the last; single quotes) and what the format asks for (tensors that fill the data without gap or
 * overlap) is checked here. */
#include "model/safetensors.h"

#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "util/file.h"

#define DAMAGED "the file is damaged: save or fetch it again"

enum { LENGTH_BYTES = 8, JSON_DEPTH = 8 };

static const struct {
    const char *name;
    size_t bytes;
} dtypes[] = {
    {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F64", 8}, {"BOOL", 1}, {"U8", 1}, {"I8", 1}, {"F8_E5M2", 1}, {"F8_E4M3", 1},
    {"I16", 2}, {"U16", 2}, {"I32", 4}, {"U32", 4}, {"I64", 8}, {"U64", 8},
};

/* What a look through a JSON text that json-c has accepted tells. */
struct scan {
    size_t keys;  /* outside of strings, a colon stands after each key and nowhere else */
    bool zero;    /* a string has a \u0000, which would cut it short */
    bool lenient; /* a string stands in single quotes: no JSON, but json-c takes it even when strict */
};

static struct scan scan_text(const char *text, size_t size)
{
    struct scan scan = {0};
    bool quoted = false;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '"')
            quoted = !quoted;
        else if (quoted && text[i] == '\\') {
            scan.zero = scan.zero || (size - i > 5 && memcmp(text + i, "\\u0000", 6) == 0);
            i++;
        } else if (!quoted) {
            scan.keys += text[i] == ':';
            scan.lenient = scan.lenient || text[i] == '\'';
        }
    }
    return scan;
}

static size_t count_keys_in_object(json_object *object)
{
    size_t keys = 0;
    if (json_object_is_type(object, json_type_object)) {
        json_object_object_foreach(object, key, value) {
            (void)key;
            keys += 1 + count_keys_in_object(value);
        }
    } else if (json_object_is_type(object, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(object); i++)
            keys += count_keys_in_object(json_object_array_get_idx(object, i));
    }
    return keys;
}

/* Parses the header's text; *header is put by the caller. */
static ink_status parse_header(const char *path, const char *text, size_t size, json_object **header)
{
    if (size == 0 || text[0] != '{')
        return ink_fail(INK_ERROR_FORMAT, "%s: byte 8: expected '{', the start of a safetensors header; check that "
                        "this is the right file", path);
    struct json_tokener *tokener = json_tokener_new_ex(JSON_DEPTH);
    if (!tokener)
        return ink_fail_memory(size);
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8 |
                                        JSON_TOKENER_ALLOW_TRAILING_CHARS);
    json_object *object = json_tokener_parse_ex(tokener, text, (int)size);
    enum json_tokener_error error = json_tokener_get_error(tokener);
    size_t end = json_tokener_get_parse_end(tokener);
    json_tokener_free(tokener);
    ink_status status = INK_OK;
    struct scan scan = {0};
    if (error == json_tokener_continue)
        status = ink_fail(INK_ERROR_FORMAT, "%s: byte %zu: the header ends in the middle of its JSON; " DAMAGED, path,
                          LENGTH_BYTES + size);
    else if (error != json_tokener_success)
        status = ink_fail(INK_ERROR_FORMAT, "%s: byte %zu: the header is not JSON: %s; " DAMAGED, path,
                          LENGTH_BYTES + end, json_tokener_error_desc(error));
    size_t rest = end;
    while (!status && rest < size && strchr(" \t\r\n", text[rest]) && text[rest])
        rest++;
    if (!status && rest < size)
        status = ink_fail(INK_ERROR_FORMAT, "%s: byte %zu: after the header's JSON come other bytes than spaces; "
                          DAMAGED, path, LENGTH_BYTES + rest);
    if (!status)
        scan = scan_text(text, end);
    if (!status && scan.lenient)
        status = ink_fail(INK_ERROR_FORMAT, "%s: the header is not JSON: a text stands in single quotes; " DAMAGED,
                          path);
    if (!status && scan.keys != count_keys_in_object(object))
        status = ink_fail(INK_ERROR_FORMAT, "%s: a key stands twice in the same object of the header; each tensor and "
                          "field may be given once", path);
    if (!status && scan.zero)
        status = ink_fail(INK_ERROR_FORMAT, "%s: a text of the header contains the character \\u0000; take it out",
                          path);
    if (status) {
        json_object_put(object);
        return status;
    }
    *header = object;
    return INK_OK;
}

static ink_status read_texts(struct ink_safetensors *file, json_object *object)
{
    if (!json_object_is_type(object, json_type_object))
        return ink_fail(INK_ERROR_FORMAT, "%s: __metadata__ is not an object of texts; " DAMAGED, file->path);
    size_t room = (size_t)json_object_object_length(object);
    file->texts = calloc(room + 1, sizeof *file->texts);
    if (!file->texts)
        return ink_fail_memory((room + 1) * sizeof *file->texts);
    json_object_object_foreach(object, key, value) {
        if (!json_object_is_type(value, json_type_string))
            return ink_fail(INK_ERROR_FORMAT, "%s: __metadata__ \"%s\" is not a text; make it one", file->path, key);
        file->texts[file->text_count++] = (struct ink_safetensors_text){key, json_object_get_string(value)};
    }
    return INK_OK;
}

/* A whole number of 0 or more that a size_t holds. */
static bool read_size(json_object *value, size_t *number)
{
    if (!json_object_is_type(value, json_type_int))
        return false;
    int64_t got = json_object_get_int64(value); /* a larger one comes as INT64_MAX */
    if (got < 0 || got == INT64_MAX || (uint64_t)got > SIZE_MAX)
        return false;
    *number = (size_t)got;
    return true;
}

static ink_status read_tensor(const char *path, const char *name, json_object *object, const unsigned char *data,
                              size_t size, struct ink_safetensors_tensor *tensor)
{
    json_object *dtype = NULL, *shape = NULL, *offsets = NULL;
    if (!json_object_is_type(object, json_type_object))
        return ink_fail(INK_ERROR_FORMAT, "%s: tensor \"%s\" is not an object with dtype, shape and data_offsets; "
                        DAMAGED, path, name);
    json_object_object_foreach(object, key, value) {
        if (strcmp(key, "dtype") == 0)
            dtype = value;
        else if (strcmp(key, "shape") == 0)
            shape = value;
        else if (strcmp(key, "data_offsets") == 0)
            offsets = value;
        else
            return ink_fail(INK_ERROR_FORMAT, "%s: tensor \"%s\" has an unknown field \"%s\"; a newer format? take it "
                            "out", path, name, key);
    }

    size_t width = 0;
    const char *type = json_object_is_type(dtype, json_type_string) ? json_object_get_string(dtype) : NULL;
    for (size_t i = 0; type && i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(type, dtypes[i].name) == 0)
            width = dtypes[i].bytes;
    if (!width)
        return ink_fail(INK_ERROR_FORMAT, "%s: tensor \"%s\": dtype is %s, expected \"F32\"; convert it", path, name,
                        dtype ? json_object_to_json_string(dtype) : "missing");

    if (!json_object_is_type(shape, json_type_array))
        return ink_fail(INK_ERROR_FORMAT, "%s: tensor \"%s\": shape is %s, expected a list of numbers; " DAMAGED, path,
                        name, shape ? json_object_to_json_string(shape) : "missing");
    size_t rank = json_object_array_length(shape), count = 1;
    if (rank > INK_SAFETENSORS_RANK)
        return ink_fail(INK_ERROR_FORMAT, "%s: tensor \"%s\": shape has %zu dimensions, expected at most %d; reshape "
                        "it", path, name, rank, INK_SAFETENSORS_RANK);
    for (size_t i = 0; i < rank; i++) {
        size_t *dim = &tensor->dims[i];
        if (!read_size(json_object_array_get_idx(shape, i), dim))
            return ink_fail(INK_ERROR_FORMAT, "%s: tensor \"%s\": dimension %zu of shape %s is not a size; " DAMAGED,
                            path, name, i + 1, json_object_to_json_string(shape));
        if (*dim && count > SIZE_MAX / width / *dim)
            return ink_fail(INK_ERROR_FORMAT, "%s: tensor \"%s\": shape %s is larger than memory; " DAMAGED, path, name,
                            json_object_to_json_string(shape));
        count *= *dim;
    }

    size_t begin, end;
    if (!json_object_is_type(offsets, json_type_array) || json_object_array_length(offsets) != 2 ||
        !read_size(json_object_array_get_idx(offsets, 0), &begin) ||
        !read_size(json_object_array_get_idx(offsets, 1), &end))
        return ink_fail(INK_ERROR_FORMAT, "%s: tensor \"%s\": data_offsets is %s, expected two sizes; " DAMAGED, path,
                        name, offsets ? json_object_to_json_string(offsets) : "missing");
    if (begin > end || end > size)
        return ink_fail(INK_ERROR_FORMAT, "%s: tensor \"%s\": data_offsets is [%zu, %zu], expected a range within the "
                        "%zu bytes of data; " DAMAGED, path, name, begin, end, size);
    if (end - begin != count * width)
        return ink_fail(INK_ERROR_FORMAT, "%s: tensor \"%s\": data_offsets gives it %zu bytes, expected %zu for %s of "
                        "shape %s; " DAMAGED, path, name, end - begin, count * width, type,
                        json_object_to_json_string(shape));
    tensor->name = name;
    tensor->dtype = type;
    tensor->rank = (int)rank;
    tensor->count = count;
    tensor->bytes = data + begin;
    tensor->size = end - begin;
    tensor->begin = begin;
    return INK_OK;
}

static int by_begin(const void *left, const void *right)
{
    const struct ink_safetensors_tensor *a = *(struct ink_safetensors_tensor *const *)left;
    const struct ink_safetensors_tensor *b = *(struct ink_safetensors_tensor *const *)right;
    if (a->begin != b->begin)
        return a->begin < b->begin ? -1 : 1;
    if (a->size != b->size) /* empty ones first */
        return a->size < b->size ? -1 : 1;
    return a < b ? -1 : a > b;
}

/* Checks that the tensors fill the data, each byte once. */
static ink_status check_cover(const struct ink_safetensors *file, size_t size)
{
    struct ink_safetensors_tensor **order = malloc((file->tensor_count + 1) * sizeof *order);
    if (!order)
        return ink_fail_memory((file->tensor_count + 1) * sizeof *order);
    for (size_t i = 0; i < file->tensor_count; i++)
        order[i] = &file->tensors[i];
    qsort(order, file->tensor_count, sizeof *order, by_begin);
    ink_status status = INK_OK;
    size_t covered = 0;
    for (size_t i = 0; i < file->tensor_count && !status; i++) {
        if (order[i]->begin != covered)
            status = ink_fail(INK_ERROR_FORMAT, "%s: tensor \"%s\" begins at byte %zu of the data, expected %zu, where "
                              "%s%s; " DAMAGED, file->path, order[i]->name, order[i]->begin, covered,
                              i ? "ends " : "the data begins", i ? order[i - 1]->name : "");
        covered = order[i]->begin + order[i]->size;
    }
    if (!status && covered != size)
        status = ink_fail(INK_ERROR_FORMAT, "%s: holds %zu bytes of data, but the tensors end at %zu; " DAMAGED,
                          file->path, size, covered);
    free(order);
    return status;
}

ink_status ink_safetensors_parse(const char *path, const unsigned char *bytes, size_t size,
                                 struct ink_safetensors **file)
{
    if (size < LENGTH_BYTES)
        return ink_fail(INK_ERROR_FORMAT, "%s: ends at byte %zu, in the eight bytes of the header's length; check that "
                        "this is a safetensors file", path, size);
    uint64_t length = 0;
    for (int i = 0; i < LENGTH_BYTES; i++)
        length |= (uint64_t)bytes[i] << (8 * i);
    if (length > INK_SAFETENSORS_HEADER)
        return ink_fail(INK_ERROR_FORMAT, "%s: byte 0: the header's length is %llu, expected at most %d; check that "
                        "this is a safetensors file", path, (unsigned long long)length, INK_SAFETENSORS_HEADER);
    if (length > size - LENGTH_BYTES)
        return ink_fail(INK_ERROR_FORMAT, "%s: byte 0: the header's length is %llu, but %zu bytes follow; the file is "
                        "cut off, or not a safetensors file", path, (unsigned long long)length, size - LENGTH_BYTES);

    json_object *header = NULL;
    struct ink_safetensors *made = calloc(1, sizeof *made);
    if (!made)
        return ink_fail_memory(sizeof *made);
    ink_status status = parse_header(path, (const char *)bytes + LENGTH_BYTES, (size_t)length, &header);
    if (status)
        goto fail;
    made->header = header;
    made->path = strdup(path);
    made->tensors = calloc((size_t)json_object_object_length(header) + 1, sizeof *made->tensors);
    if (!made->path || !made->tensors) {
        status = ink_fail_memory(((size_t)json_object_object_length(header) + 1) * sizeof *made->tensors);
        goto fail;
    }
    const unsigned char *data = bytes + LENGTH_BYTES + length;
    size_t data_size = size - LENGTH_BYTES - (size_t)length;
    json_object_object_foreach(header, key, value) {
        if (strcmp(key, "__metadata__") == 0)
            status = read_texts(made, value);
        else
            status = read_tensor(path, key, value, data, data_size, &made->tensors[made->tensor_count++]);
        if (status)
            goto fail;
    }
    status = check_cover(made, data_size);
    if (status)
        goto fail;
    *file = made;
    return INK_OK;
fail:
    ink_safetensors_destroy(&made);
    return status;
}

ink_status ink_safetensors_read(const char *path, struct ink_safetensors **file)
{
    unsigned char *content;
    size_t size;
    INK_TRY(ink_file_read(path, INK_SAFETENSORS_BYTES, &content, &size));
    struct ink_safetensors *made;
    ink_status status = ink_safetensors_parse(path, content, size, &made);
    if (status) {
        free(content);
        return status;
    }
    made->content = content;
    *file = made;
    return INK_OK;
}

void ink_safetensors_destroy(struct ink_safetensors **file)
{
    if (!file || !*file)
        return;
    json_object_put((*file)->header);
    free((*file)->tensors);
    free((*file)->texts);
    free((*file)->path);
    free((*file)->content);
    free(*file);
    *file = NULL;
}

const struct ink_safetensors_tensor *ink_safetensors_find(const struct ink_safetensors *file, const char *name)
{
    for (size_t i = 0; i < file->tensor_count; i++)
        if (strcmp(file->tensors[i].name, name) == 0)
            return &file->tensors[i];
    return NULL;
}

const char *ink_safetensors_find_text(const struct ink_safetensors *file, const char *key)
{
    for (size_t i = 0; i < file->text_count; i++)
        if (strcmp(file->texts[i].key, key) == 0)
            return file->texts[i].value;
    return NULL;
}

static uint64_t read_bytes(const unsigned char *bytes, int count)
{
    uint64_t word = 0;
    for (int i = 0; i < count; i++)
        word |= (uint64_t)bytes[i] << (8 * i);
    return word;
}

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float float_of_half(uint32_t half)
{
    uint32_t sign = (half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
    if (exponent == 0) /* zero and subnormal numbers: fraction * 2^-24, exact */
        return float_of_bits(sign) + (sign ? -1.0f : 1.0f) * (float)fraction * 0x1p-24f;
    return float_of_bits(sign | (exponent == 31 ? 255 : exponent + 112) << 23 | fraction << 13);
}

static float float_of_double(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return (float)value;
}

ink_status ink_safetensors_floats(const struct ink_safetensors *file, const struct ink_safetensors_tensor *tensor,
                                  float *values)
{
    const unsigned char *from = tensor->bytes;
    const char *type = tensor->dtype;
    if (strcmp(type, "F32") == 0)
        for (size_t i = 0; i < tensor->count; i++)
            values[i] = float_of_bits((uint32_t)read_bytes(from + 4 * i, 4));
    else if (strcmp(type, "F16") == 0)
        for (size_t i = 0; i < tensor->count; i++)
            values[i] = float_of_half((uint32_t)read_bytes(from + 2 * i, 2));
    else if (strcmp(type, "BF16") == 0)
        for (size_t i = 0; i < tensor->count; i++)
            values[i] = float_of_bits((uint32_t)read_bytes(from + 2 * i, 2) << 16);
    else if (strcmp(type, "F64") == 0)
        for (size_t i = 0; i < tensor->count; i++)
            values[i] = float_of_double(read_bytes(from + 8 * i, 8));
    else
        return ink_fail(INK_ERROR_UNSUPPORTED, "%s: tensor \"%s\" is of type %s, which cannot be read as numbers; "
                        "convert it to F32", file->path, tensor->name, type);
    return INK_OK;
}
