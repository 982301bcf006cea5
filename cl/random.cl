/* Philox4x32-10 as in src/util/rng.h, VW counters side by side: words of number index of a stream are those of
 * ink_random_words(seed, stream, index) on the host, bit for bit. */
#ifndef INK_RANDOM_CL
#define INK_RANDOM_CL
typedef CAT(uint, VW) uintv;
#if VW == 16
#define HALF_VW 8
#elif VW == 8
#define HALF_VW 4
#else
#define HALF_VW 2
#endif
typedef CAT(ulong, HALF_VW) uint_pairs;
#define AS_PAIRS(v) CAT(as_ulong, HALF_VW)(v)
#define AS_WORDS(v) CAT(as_uint, VW)(v)

/* Uniform in [0, 1), 24 bits: the high bits of a word. */
#define RANDOM_UNIFORM(words) (CAT(convert_float, VW)((words) >> 8) * 0x1p-24f)

/* high and low: the two words of each lane of v times k. Lanes are multiplied in their place of a pair, as a product of 64
 * bits, which vector units have where they lack mul_hi(). */
#define MULTIPLY(v, k, high, low)                                                            \
    uintv high, low;                                                                         \
    {                                                                                        \
        uint_pairs pairs_ = AS_PAIRS(v);                                                     \
        uint_pairs even_ = (pairs_ & 0xffffffffUL) * (ulong)(k), odd_ = (pairs_ >> 32) * (ulong)(k); \
        high = AS_WORDS((odd_ & 0xffffffff00000000UL) | (even_ >> 32));                      \
        low = AS_WORDS((odd_ << 32) | (even_ & 0xffffffffUL));                               \
    }

/* The words of 4 * VW numbers in a row: words[0] to words[3] hold word 0, 1, 2, 3 of index, then word 0 of index + 1, ...
 * Counter: index, high, stream low, stream high. */
static void random_words(uint index, uint high, uint stream_low, uint stream_high, uint key0, uint key1, uintv words[4])
{
    uint lanes[VW];
    UNROLL for (int l = 0; l < VW; l++)
        lanes[l] = index + l;
    uintv c0 = CAT(vload, VW)(0, lanes), c1 = high, c2 = stream_low, c3 = stream_high;
    UNROLL for (int round = 0; round < 10; round++) {
        MULTIPLY(c0, 0xD2511F53u, high0, low0)
        MULTIPLY(c2, 0xCD9E8D57u, high1, low1)
        c0 = high1 ^ c1 ^ key0;
        c1 = low1;
        c2 = high0 ^ c3 ^ key1;
        c3 = low0;
        key0 += 0x9E3779B9u;
        key1 += 0xBB67AE85u;
    }
    /* from a vector for each word to the order of the elements: pairs of words first, then pairs of pairs */
    uintv low01, high01, low23, high23;
    low01.even = c0.lo;
    low01.odd = c1.lo;
    high01.even = c0.hi;
    high01.odd = c1.hi;
    low23.even = c2.lo;
    low23.odd = c3.lo;
    high23.even = c2.hi;
    high23.odd = c3.hi;
    uint_pairs quads[4];
    quads[0].even = AS_PAIRS(low01).lo;
    quads[0].odd = AS_PAIRS(low23).lo;
    quads[1].even = AS_PAIRS(low01).hi;
    quads[1].odd = AS_PAIRS(low23).hi;
    quads[2].even = AS_PAIRS(high01).lo;
    quads[2].odd = AS_PAIRS(high23).lo;
    quads[3].even = AS_PAIRS(high01).hi;
    quads[3].odd = AS_PAIRS(high23).hi;
    UNROLL for (int q = 0; q < 4; q++)
        words[q] = AS_WORDS(quads[q]);
}
#endif
