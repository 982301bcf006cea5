/* A hash of 128 bits for naming things by their content: SipHash-2-4-128 (Aumasson and Bernstein 2012) under a key of
 * its own. Two different contents of one hash do not come up by chance; it does not guard against those who look for
 * them. */
#ifndef INK_UTIL_HASH_H
#define INK_UTIL_HASH_H

#include <stddef.h>

enum { INK_HASH_BYTES = 16, INK_HASH_DIGITS = 32 };

struct ink_hash {
    unsigned char bytes[INK_HASH_BYTES]; /* the same on every machine */
};

struct ink_hash ink_hash_bytes(const void *data, size_t size);

/* The hash in hexadecimal digits, with a zero byte behind them. */
void ink_hash_text(const struct ink_hash *hash, char text[INK_HASH_DIGITS + 1]);

#endif
