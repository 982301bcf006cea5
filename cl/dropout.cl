/* Dropout: values are dropped by numbers named by seed, layer, step and element of the batch (word element % 4 of index
 * element / 4), so backward_data draws the same ones again and nothing is stored. The n samples are those of the batch from
 * `first` on. An item is 4 * VW elements, as the batch has them: where the samples begin inside four, SHIFT elements of the
 * first item lie before them. */
#include "random.cl"

#define SHIFT ((int)((ulong)first * count & 3))
#define INDEX ((uint)((ulong)first * count >> 2))
#define DROPPED(v, q) select(SPLAT(0.0f), (v) * scale, RANDOM_UNIFORM(words[q]) >= rate)

#ifdef KERNEL_forward
/* y = x * scale where the number is at least rate, else 0. */
ITEMS_KERNEL(forward)(in_t x, out_t y, int count, float rate, float scale, uint stream_low, uint stream_high, uint seed_low, uint seed_high,
                      uint step, int first, int n)
{
    int total = count * n;
    FOR_ITEMS(item, (total + SHIFT + 4 * VW - 1) / (4 * VW)) {
        int at = item * 4 * VW - SHIFT;
        uintv words[4];
        random_words(INDEX + item * VW, step, stream_low, stream_high, seed_low, seed_high, words);
        if (at >= 0 && at + 4 * VW <= total) {
            UNROLL for (int q = 0; q < 4; q++)
                STORE(DROPPED(LOAD(x + at + q * VW), q), y + at + q * VW);
        } else {
            LANES lane[4 * VW];
            UNROLL for (int q = 0; q < 4; q++)
                TO_LANES(DROPPED(SPLAT(1.0f), q), lane + q * VW);
            for (int l = max(-at, 0); l < min(total - at, 4 * VW); l++)
                y[at + l] = lane[l] == 0.0f ? 0.0f : SETTLE(x[at + l] * scale);
        }
    }
}
#endif

#ifdef KERNEL_backward_data
/* dx may be dy. */
ITEMS_KERNEL(backward_data)(__global const float *dy, DX_ARGUMENTS, int count, float rate, float scale, uint stream_low, uint stream_high,
                            uint seed_low, uint seed_high, uint step, int first, int n)
{
    int total = count * n;
    FOR_ITEMS(item, (total + SHIFT + 4 * VW - 1) / (4 * VW)) {
        int at = item * 4 * VW - SHIFT;
        uintv words[4];
        random_words(INDEX + item * VW, step, stream_low, stream_high, seed_low, seed_high, words);
        if (at >= 0 && at + 4 * VW <= total) {
            UNROLL for (int q = 0; q < 4; q++) {
                floatv g = DROPPED(LOAD(dy + at + q * VW), q);
                STORE_DX(g, at + q * VW);
            }
        } else {
            LANES lane[4 * VW];
            UNROLL for (int q = 0; q < 4; q++)
                TO_LANES(DROPPED(SPLAT(1.0f), q), lane + q * VW);
            for (int l = max(-at, 0); l < min(total - at, 4 * VW); l++) {
                float g = lane[l] == 0.0f ? 0.0f : dy[at + l] * scale;
                STORE_DX1(g, at + l);
            }
        }
    }
}
#endif
#undef SHIFT
#undef INDEX
#undef DROPPED
