/* The random numbers of Inkling: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011),
 * a function from a key and a counter to four words. There is no state to carry: a number is named by
 * (seed, stream, index), so the same one can be had in any order, on the host and in kernels (cl/random.cl). */
#ifndef INK_UTIL_RNG_H
#define INK_UTIL_RNG_H

#include <stddef.h>
#include <stdint.h>

/* What a stream is for; the low 32 bits of a stream are free for a layer, tensor or epoch number. */
enum ink_stream {
    INK_STREAM_WEIGHTS = 1, /* low bits: tensor number */
    INK_STREAM_ORDER = 2,   /* low bits: epoch */
    INK_STREAM_DROPOUT = 3, /* low bits: layer; index: step and element */
    INK_STREAM_AUGMENT = 8, /* low bits: epoch; index: sample, and what is drawn for it */
    INK_STREAM_NOISE = 9,   /* low bits: epoch; index: sample and element */
    INK_STREAM_SPLIT = 10,  /* low bits: 0 */
};
#define INK_STREAM(purpose, number) ((uint64_t)(purpose) << 32 | (uint32_t)(number))

/* The raw function: ten rounds of counter under key. */
void ink_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);

/* Four words for index of stream under seed: key = seed, counter = (index low, index high, stream low, stream high). */
void ink_random_words(uint64_t seed, uint64_t stream, uint64_t index, uint32_t out[4]);

/* Uniform in [0, 1), 24 bits: the high bits of a word. */
static inline float ink_uniform(uint32_t word) { return (float)(word >> 8) * 0x1p-24f; }

/* Fills values with uniform numbers in [low, high) and normal ones of a mean of 0 (Box and Muller 1958). */
void ink_random_uniform(uint64_t seed, uint64_t stream, float low, float high, float *values, size_t count);
void ink_random_normal(uint64_t seed, uint64_t stream, float deviation, float *values, size_t count);

/* A permutation of 0 .. count - 1 (Fisher and Yates; bounded integers without bias after Lemire 2019). */
void ink_random_order(uint64_t seed, uint64_t stream, uint32_t *order, size_t count);

#endif
