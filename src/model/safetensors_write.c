/* The writer of safetensors files; see safetensors.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/safetensors.h"

/* A text that grows; out of memory once, it stays so and is noticed at the end. */
struct text {
    char *bytes;
    size_t used, room;
    bool failed;
};

static void put_bytes(struct text *text, const char *bytes, size_t size)
{
    if (!text->failed && size > text->room - text->used) {
        size_t room = (text->room + size) * 2;
        char *larger = realloc(text->bytes, room);
        text->failed = !larger;
        if (larger) {
            text->bytes = larger;
            text->room = room;
        }
    }
    if (text->failed)
        return;
    memcpy(text->bytes + text->used, bytes, size);
    text->used += size;
}

static void put(struct text *text, const char *string) { put_bytes(text, string, strlen(string)); }

static void put_number(struct text *text, uint64_t number)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRIu64, number);
    put(text, digits);
}

static void put_quoted(struct text *text, const char *string)
{
    put(text, "\"");
    for (; *string; string++) {
        unsigned char byte = (unsigned char)*string;
        char escape[8];
        if (byte == '"' || byte == '\\')
            snprintf(escape, sizeof escape, "\\%c", byte);
        else if (byte == '\n')
            snprintf(escape, sizeof escape, "\\n");
        else if (byte < 0x20)
            snprintf(escape, sizeof escape, "\\u%04x", byte);
        else
            snprintf(escape, sizeof escape, "%c", byte);
        put(text, escape);
    }
    put(text, "\"");
}

/* The number of values of a tensor; false if it is more than memory can hold. */
static bool count_values(const struct ink_safetensors_entry *tensor, size_t *count)
{
    size_t product = 1;
    for (int i = 0; i < tensor->rank; i++) {
        if (tensor->dims[i] && product > SIZE_MAX / sizeof(float) / tensor->dims[i])
            return false;
        product *= tensor->dims[i];
    }
    *count = product;
    return true;
}

static ink_status check_entries(const struct ink_safetensors_entry *tensors, size_t tensor_count,
                                const struct ink_safetensors_text *texts, size_t text_count, size_t *total)
{
    size_t sum = 0;
    for (size_t i = 0; i < tensor_count; i++) {
        const struct ink_safetensors_entry *tensor = &tensors[i];
        size_t count = 0;
        if (!tensor->name || !*tensor->name || strcmp(tensor->name, "__metadata__") == 0)
            return ink_fail(INK_ERROR_ARGUMENT, "safetensors: tensor %zu has the name \"%s\"; give it a name of its "
                            "own", i, tensor->name ? tensor->name : "");
        if (tensor->rank < 0 || tensor->rank > INK_SAFETENSORS_RANK)
            return ink_fail(INK_ERROR_ARGUMENT, "safetensors: tensor \"%s\" has %d dimensions; give it 0 to %d",
                            tensor->name, tensor->rank, INK_SAFETENSORS_RANK);
        if (!count_values(tensor, &count) || count * sizeof(float) > SIZE_MAX / 2 - sum)
            return ink_fail(INK_ERROR_ARGUMENT, "safetensors: tensor \"%s\" is larger than memory", tensor->name);
        if (count && !tensor->data)
            return ink_fail(INK_ERROR_ARGUMENT, "safetensors: tensor \"%s\" has no data", tensor->name);
        for (size_t k = 0; k < i; k++)
            if (strcmp(tensors[k].name, tensor->name) == 0)
                return ink_fail(INK_ERROR_ARGUMENT, "safetensors: two tensors are named \"%s\"; rename one",
                                tensor->name);
        sum += count * sizeof(float);
    }
    for (size_t i = 0; i < text_count; i++) {
        if (!texts[i].key || !texts[i].value)
            return ink_fail(INK_ERROR_ARGUMENT, "safetensors: text %zu has no %s", i, texts[i].key ? "value" : "key");
        for (size_t k = 0; k < i; k++)
            if (strcmp(texts[k].key, texts[i].key) == 0)
                return ink_fail(INK_ERROR_ARGUMENT, "safetensors: two texts have the key \"%s\"; rename one",
                                texts[i].key);
    }
    *total = sum;
    return INK_OK;
}

/* The header's JSON, padded with spaces so that the data begins at a multiple of eight. */
static void put_header(struct text *header, const struct ink_safetensors_entry *tensors, size_t tensor_count,
                       const struct ink_safetensors_text *texts, size_t text_count)
{
    put(header, "{");
    for (size_t i = 0; i < text_count; i++) {
        put(header, i ? "," : "\"__metadata__\":{");
        put_quoted(header, texts[i].key);
        put(header, ":");
        put_quoted(header, texts[i].value);
    }
    put(header, text_count ? "}" : "");
    uint64_t begin = 0;
    for (size_t i = 0; i < tensor_count; i++) {
        size_t count = 0;
        count_values(&tensors[i], &count);
        put(header, i || text_count ? "," : "");
        put_quoted(header, tensors[i].name);
        put(header, ":{\"dtype\":\"F32\",\"shape\":[");
        for (int k = 0; k < tensors[i].rank; k++) {
            put(header, k ? "," : "");
            put_number(header, tensors[i].dims[k]);
        }
        put(header, "],\"data_offsets\":[");
        put_number(header, begin);
        begin += (uint64_t)count * sizeof(float);
        put(header, ",");
        put_number(header, begin);
        put(header, "]}");
    }
    put(header, "}");
    while (!header->failed && header->used % 8)
        put(header, " ");
}

ink_status ink_safetensors_write(const struct ink_safetensors_entry *tensors, size_t tensor_count,
                                 const struct ink_safetensors_text *texts, size_t text_count,
                                 unsigned char **bytes, size_t *size)
{
    size_t total = 0;
    INK_TRY(check_entries(tensors, tensor_count, texts, text_count, &total));
    ink_status status = INK_OK;
    struct text header = {0};
    unsigned char *made = NULL;
    put_header(&header, tensors, tensor_count, texts, text_count);
    if (header.failed) {
        status = ink_fail_memory(header.room);
        goto fail;
    }
    if (header.used > INK_SAFETENSORS_HEADER) {
        status = ink_fail(INK_ERROR_ARGUMENT, "safetensors: the header would be %zu bytes, at most %d may be; shorten "
                          "the texts", header.used, INK_SAFETENSORS_HEADER);
        goto fail;
    }
    made = malloc(8 + header.used + total);
    if (!made) {
        status = ink_fail_memory(8 + header.used + total);
        goto fail;
    }
    for (int i = 0; i < 8; i++)
        made[i] = (unsigned char)((uint64_t)header.used >> (8 * i));
    memcpy(made + 8, header.bytes, header.used);
    unsigned char *to = made + 8 + header.used;
    for (size_t i = 0; i < tensor_count; i++) {
        size_t count = 0;
        count_values(&tensors[i], &count);
        for (size_t k = 0; k < count; k++, to += 4) {
            uint32_t word;
            memcpy(&word, &tensors[i].data[k], 4);
            to[0] = (unsigned char)word, to[1] = (unsigned char)(word >> 8);
            to[2] = (unsigned char)(word >> 16), to[3] = (unsigned char)(word >> 24);
        }
    }
    *bytes = made;
    *size = 8 + header.used + total;
fail:
    free(header.bytes);
    return status;
}
