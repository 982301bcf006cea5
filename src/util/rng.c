/* Philox4x32-10 and what is drawn from it; see rng.h. */
#include "util/rng.h"

#include <math.h>

void ink_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void ink_random_words(uint64_t seed, uint64_t stream, uint64_t index, uint32_t out[4])
{
    const uint32_t counter[4] = {(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)stream, (uint32_t)(stream >> 32)};
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    ink_philox(counter, key, out);
}

void ink_random_uniform(uint64_t seed, uint64_t stream, float low, float high, float *values, size_t count)
{
    uint32_t words[4];
    for (size_t i = 0; i < count; i++) {
        if (i % 4 == 0)
            ink_random_words(seed, stream, i / 4, words);
        /* the product is exact in double, so that fused multiply-adds change nothing; the sum may round up to high */
        float value = (float)(low + ((double)high - low) * ink_uniform(words[i % 4]));
        values[i] = value < high ? value : nextafterf(high, low);
    }
}

void ink_random_normal(uint64_t seed, uint64_t stream, float deviation, float *values, size_t count)
{
    const double turn = 6.283185307179586;
    uint32_t words[4];
    for (size_t i = 0; i < count; i++) {
        if (i % 4 == 0)
            ink_random_words(seed, stream, i / 4, words);
        /* words 0 and 1 make values 0 and 1, words 2 and 3 the next two; the radius' word is shifted off zero */
        const uint32_t *pair = words + (i % 4 / 2) * 2;
        double radius = sqrt(-2.0 * log(((double)pair[0] + 1.0) * 0x1p-32)), angle = turn * (double)pair[1] * 0x1p-32;
        values[i] = (float)(deviation * radius * (i % 2 ? sin(angle) : cos(angle)));
    }
}

/* A number below bound without bias: high half of word * bound, drawn again if the low half falls in the short rest. */
static uint32_t below(uint64_t seed, uint64_t stream, uint64_t *index, uint32_t bound)
{
    for (;;) {
        uint32_t words[4];
        ink_random_words(seed, stream, (*index)++, words);
        for (int i = 0; i < 4; i++) {
            uint64_t product = (uint64_t)words[i] * bound;
            if ((uint32_t)product >= bound || (uint32_t)product >= (uint32_t)-bound % bound)
                return (uint32_t)(product >> 32);
        }
    }
}

void ink_random_order(uint64_t seed, uint64_t stream, uint32_t *order, size_t count)
{
    uint64_t index = 0;
    for (size_t i = 0; i < count; i++)
        order[i] = (uint32_t)i;
    for (size_t i = count; i > 1; i--) {
        size_t j = below(seed, stream, &index, (uint32_t)i);
        uint32_t swap = order[i - 1];
        order[i - 1] = order[j];
        order[j] = swap;
    }
}
