/* The writer of safetensors files; see safetensors.h. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/safetensors.h"
#include "util/text.h"

static void put_quoted(struct ink_text *text, const char *string)
{
    ink_text_add(text, "\"");
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
        ink_text_add(text, "%s", escape);
    }
    ink_text_add(text, "\"");
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
static void put_header(struct ink_text *header, const struct ink_safetensors_entry *tensors, size_t tensor_count,
                       const struct ink_safetensors_text *texts, size_t text_count)
{
    ink_text_add(header, "{");
    for (size_t i = 0; i < text_count; i++) {
        ink_text_add(header, "%s", i ? "," : "\"__metadata__\":{");
        put_quoted(header, texts[i].key);
        ink_text_add(header, ":");
        put_quoted(header, texts[i].value);
    }
    ink_text_add(header, "%s", text_count ? "}" : "");
    uint64_t begin = 0;
    for (size_t i = 0; i < tensor_count; i++) {
        size_t count = 0;
        count_values(&tensors[i], &count);
        ink_text_add(header, "%s", i || text_count ? "," : "");
        put_quoted(header, tensors[i].name);
        ink_text_add(header, ":{\"dtype\":\"F32\",\"shape\":[");
        for (int k = 0; k < tensors[i].rank; k++) {
            ink_text_add(header, "%s", k ? "," : "");
            ink_text_add(header, "%zu", tensors[i].dims[k]);
        }
        ink_text_add(header, "],\"data_offsets\":[");
        ink_text_add(header, "%" PRIu64, begin);
        begin += (uint64_t)count * sizeof(float);
        ink_text_add(header, ",");
        ink_text_add(header, "%" PRIu64, begin);
        ink_text_add(header, "]}");
    }
    ink_text_add(header, "}");
    while (!header->status && header->used % 8)
        ink_text_add(header, " ");
}

ink_status ink_safetensors_write(const struct ink_safetensors_entry *tensors, size_t tensor_count,
                                 const struct ink_safetensors_text *texts, size_t text_count,
                                 unsigned char **bytes, size_t *size)
{
    size_t total = 0;
    INK_TRY(check_entries(tensors, tensor_count, texts, text_count, &total));
    ink_status status = INK_OK;
    struct ink_text header = {0};
    unsigned char *made = NULL;
    put_header(&header, tensors, tensor_count, texts, text_count);
    status = header.status;
    if (status)
        goto fail;
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
