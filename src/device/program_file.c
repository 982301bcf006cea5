/* Program files to bytes and back; see program_file.h. */
#include "device/program_file.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "util/text.h"

static const unsigned char magic[8] = {'I', 'N', 'K', 'P', 'R', 'O', 'G', '\n'};

enum { AT_VERSION = 8, AT_CHECKSUM = 12, AT_HASH = 16, AT_KEY_SIZE = 32, AT_PAYLOAD_SIZE = 40 };

static void put(unsigned char *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (unsigned char)(value >> 8 * i);
}

static uint64_t get(const unsigned char *at, int bytes)
{
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--)
        value = value << 8 | at[i];
    return value;
}

/* Appends a part with its zero byte. */
static void add_part(struct ink_text *text, const char *part) { ink_text_bytes(text, part, strlen(part) + 1); }

ink_status ink_program_key_make(const struct ink_program_parts *parts, struct ink_program_key *key)
{
    struct ink_text text = {0};
    char number[32], digits[INK_HASH_DIGITS + 1];
    size_t source_size = strlen(parts->source);
    struct ink_hash source = ink_hash_bytes(parts->source, source_size);
    ink_hash_text(&source, digits);
    snprintf(number, sizeof number, "%d", INK_PROGRAM_VERSION);
    add_part(&text, number);
    snprintf(number, sizeof number, "%u", parts->pointer_bytes);
    add_part(&text, number);
    add_part(&text, parts->platform);
    add_part(&text, parts->platform_version);
    add_part(&text, parts->device);
    add_part(&text, parts->driver);
    add_part(&text, parts->device_version);
    add_part(&text, parts->options);
    snprintf(number, sizeof number, "%zu", source_size);
    add_part(&text, number);
    add_part(&text, digits);
    struct ink_program_key made;
    INK_TRY(ink_text_take(&text, &made.bytes, &made.size));
    made.hash = ink_hash_bytes(made.bytes, made.size);
    *key = made;
    return INK_OK;
}

void ink_program_key_free(struct ink_program_key *key)
{
    free(key->bytes);
    *key = (struct ink_program_key){0};
}

void ink_program_name(const struct ink_hash *hash, char name[INK_PROGRAM_NAME])
{
    ink_hash_text(hash, name);
    memcpy(name + INK_HASH_DIGITS, INK_PROGRAM_ENDING, sizeof INK_PROGRAM_ENDING);
}

bool ink_program_name_fits(const char *name)
{
    return strspn(name, "0123456789abcdef") == INK_HASH_DIGITS && strcmp(name + INK_HASH_DIGITS, INK_PROGRAM_ENDING) == 0;
}

static uint32_t checksum(const unsigned char *file, size_t size)
{
    uLong crc = crc32(0, NULL, 0);
    for (size_t at = AT_HASH; at < size;) { /* zlib counts in unsigned int */
        uInt part = size - at > 1u << 30 ? 1u << 30 : (uInt)(size - at);
        crc = crc32(crc, file + at, part);
        at += part;
    }
    return (uint32_t)crc;
}

ink_status ink_program_encode(const struct ink_program_key *key, const void *payload, size_t payload_size, unsigned char **file, size_t *size)
{
    if (payload_size > SIZE_MAX - INK_PROGRAM_HEADER - key->size)
        return ink_fail_memory(payload_size);
    size_t total = INK_PROGRAM_HEADER + key->size + payload_size;
    unsigned char *bytes = malloc(total);
    if (!bytes)
        return ink_fail_memory(total);
    memcpy(bytes, magic, sizeof magic);
    put(bytes + AT_VERSION, INK_PROGRAM_VERSION, 4);
    memcpy(bytes + AT_HASH, key->hash.bytes, INK_HASH_BYTES);
    put(bytes + AT_KEY_SIZE, key->size, 8);
    put(bytes + AT_PAYLOAD_SIZE, payload_size, 8);
    memcpy(bytes + INK_PROGRAM_HEADER, key->bytes, key->size);
    memcpy(bytes + INK_PROGRAM_HEADER + key->size, payload, payload_size);
    put(bytes + AT_CHECKSUM, checksum(bytes, total), 4);
    *file = bytes;
    *size = total;
    return INK_OK;
}

ink_status ink_program_decode(const struct ink_program_key *key, const unsigned char *file, size_t size, struct ink_program_view *view)
{
    if (size < INK_PROGRAM_HEADER)
        return ink_fail(INK_ERROR_FORMAT, "too short for a compiled program: %zu bytes", size);
    if (memcmp(file, magic, sizeof magic) != 0)
        return ink_fail(INK_ERROR_FORMAT, "not a compiled program");
    uint64_t version = get(file + AT_VERSION, 4), key_size = get(file + AT_KEY_SIZE, 8), payload_size = get(file + AT_PAYLOAD_SIZE, 8);
    if (version != INK_PROGRAM_VERSION)
        return ink_fail(INK_ERROR_FORMAT, "a compiled program of format %llu, not %d", (unsigned long long)version, INK_PROGRAM_VERSION);
    size_t behind = size - INK_PROGRAM_HEADER;
    if (key_size > behind || payload_size != behind - key_size || !payload_size)
        return ink_fail(INK_ERROR_FORMAT, "%zu bytes do not fit the lengths in the header, %llu and %llu", size, (unsigned long long)key_size,
                        (unsigned long long)payload_size);
    if (get(file + AT_CHECKSUM, 4) != checksum(file, size))
        return ink_fail(INK_ERROR_FORMAT, "the checksum is wrong");
    struct ink_hash hash = ink_hash_bytes(file + INK_PROGRAM_HEADER, (size_t)key_size);
    if (memcmp(hash.bytes, file + AT_HASH, INK_HASH_BYTES) != 0)
        return ink_fail(INK_ERROR_FORMAT, "the hash of the key is wrong");
    if (key && (key_size != key->size || memcmp(file + INK_PROGRAM_HEADER, key->bytes, key->size) != 0))
        return ink_fail(INK_ERROR_FORMAT, "another program than its name says");
    *view = (struct ink_program_view){hash, file + INK_PROGRAM_HEADER + (size_t)key_size, (size_t)payload_size};
    return INK_OK;
}
