/* SipHash-2-4 with 128 bits of output; see hash.h. */
#include "util/hash.h"

#include <stdint.h>
#include <stdio.h>

struct state {
    uint64_t v0, v1, v2, v3;
};

static uint64_t rotate(uint64_t value, int by) { return value << by | value >> (64 - by); }

static void stir(struct state *s, int rounds)
{
    for (int i = 0; i < rounds; i++) {
        s->v0 += s->v1, s->v1 = rotate(s->v1, 13) ^ s->v0, s->v0 = rotate(s->v0, 32);
        s->v2 += s->v3, s->v3 = rotate(s->v3, 16) ^ s->v2;
        s->v0 += s->v3, s->v3 = rotate(s->v3, 21) ^ s->v0;
        s->v2 += s->v1, s->v1 = rotate(s->v1, 17) ^ s->v2, s->v2 = rotate(s->v2, 32);
    }
}

static void take(struct state *s, uint64_t word)
{
    s->v3 ^= word;
    stir(s, 2);
    s->v0 ^= word;
}

/* Up to 8 bytes, the first the lowest. */
static uint64_t word_of(const unsigned char *bytes, size_t count)
{
    uint64_t word = 0;
    for (size_t i = 0; i < count; i++)
        word |= (uint64_t)bytes[i] << 8 * i;
    return word;
}

static void give(const struct state *s, unsigned char *bytes)
{
    uint64_t word = s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(word >> 8 * i);
}

struct ink_hash ink_hash_bytes(const void *data, size_t size)
{
    /* the key of the published test vectors: the bytes 0 to 15 */
    const uint64_t k0 = 0x0706050403020100u, k1 = 0x0f0e0d0c0b0a0908u;
    struct state s = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du ^ 0xee, k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u};
    const unsigned char *bytes = data;
    size_t whole = size / 8 * 8;
    for (size_t i = 0; i < whole; i += 8)
        take(&s, word_of(bytes + i, 8));
    take(&s, (uint64_t)size << 56 | word_of(bytes + whole, size - whole));
    struct ink_hash hash;
    s.v2 ^= 0xee;
    stir(&s, 4);
    give(&s, hash.bytes);
    s.v1 ^= 0xdd;
    stir(&s, 4);
    give(&s, hash.bytes + 8);
    return hash;
}

void ink_hash_text(const struct ink_hash *hash, char text[INK_HASH_DIGITS + 1])
{
    for (int i = 0; i < INK_HASH_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", hash->bytes[i]);
}
