/* The hash against the vectors published with SipHash-2-4-128, whose message of n bytes is 0, 1, ... n - 1. */
#include <string.h>

#include "suite.h"
#include "util/hash.h"

START_TEST(published_vectors)
{
    static const struct { size_t size; const char *hash; } vectors[] = {
        {0, "a3817f04ba25a8e66df67214c7550293"},
        {1, "da87c1d86b99af44347659119b22fc45"},
        {2, "8177228da4a45dc7fca38bdef60affe4"},
        {3, "9c70b60c5267a94e5f33b6b02985ed51"},
        {7, "a1f1ebbed8dbc153c0b84aa61ff08239"},
        {8, "3b62a9ba6258f5610f83e264f31497b4"},
        {15, "5493e99933b0a8117e08ec0f97cfc3d9"},
    };
    unsigned char message[64];
    char text[INK_HASH_DIGITS + 1];
    for (int i = 0; i < 64; i++)
        message[i] = (unsigned char)i;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        struct ink_hash hash = ink_hash_bytes(message, vectors[i].size);
        ink_hash_text(&hash, text);
        ck_assert_str_eq(text, vectors[i].hash);
    }
}
END_TEST

START_TEST(every_bit_counts)
{
    unsigned char message[21] = "twenty bytes of text";
    struct ink_hash first = ink_hash_bytes(message, sizeof message);
    for (size_t bit = 0; bit < 8 * sizeof message; bit++) {
        message[bit / 8] ^= (unsigned char)(1u << bit % 8);
        struct ink_hash other = ink_hash_bytes(message, sizeof message);
        ck_assert(memcmp(first.bytes, other.bytes, 8) != 0 && memcmp(first.bytes + 8, other.bytes + 8, 8) != 0);
        message[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    struct ink_hash shorter = ink_hash_bytes(message, sizeof message - 1);
    ck_assert(memcmp(&first, &shorter, sizeof first) != 0);
}
END_TEST

int main(void)
RUN_SUITE("hash", published_vectors, every_bit_counts)
