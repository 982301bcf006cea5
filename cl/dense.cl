/* Dense layers, the CPU's shape: y[n][UNITS] = x[n][INPUTS] * weights[INPUTS][UNITS] + bias[UNITS].
 *
 * A work-item (a work-group of its own) computes tiles of ROWS samples by Q vectors of units and keeps their sums in
 * registers; each step of k loads Q vectors of weights and broadcasts ROWS inputs:
 *
 *              Q * VW units                 ROWS, Q  the tile: ROWS * Q * WAYS + Q + 1 registers
 *            +---------------+              INPUTS   values summed over (forward: inputs; backward_data: units)
 *     ROWS   | acc[ROWS][Q]  |  += x[.][k]  UNITS    values a row of the result has
 *   samples  |               |     * w[k]   BIAS     1: the bias stands behind the weights
 *            +---------------+              BAND     rows that a work-item does, one tile after the other
 *                                           WAYS     sums a result is made of, as a core has several multiply-adds in
 *                                                    flight: of every WAYS-th k; more than 1 only for small tiles
 *                                           BATCH    samples that the buffers hold, at least ROWS
 *
 * backward_data is the same product with the transposed weights: dx[n][inputs] = dy[n][units] * weightsT. With PACK each
 * work-item first transposes those of its units for all its tiles, into an array that fits the first-level cache;
 * without, they come transposed.
 * backward_weights sums over samples; its tile is ROWS inputs by Q vectors of units.
 */
#define TAIL (UNITS % VW)
#define IS_PART(c) (TAIL != 0 && (c) + VW > UNITS)
/* the first unit of the work-item; a constant if there is but one block */
#define FIRST_UNIT (UNITS > Q * VW ? (int)get_global_id(0) * Q * VW : 0)

#if defined(KERNEL_forward) || defined(KERNEL_backward_data)
#if PACK
#define WEIGHT(k, q) packed[(k) * Q + (q)]
#else
#define WEIGHT(k, q) LOAD(weights + (k) * UNITS + c0 + (q) * VW)
#endif
/* acc[way] += x[.][k] * w[k] */
#define STEP(way, k)                                                            \
    {                                                                           \
        floatv w_[Q];                                                           \
        UNROLL for (int q = 0; q < Q; q++)                                      \
            w_[q] = WEIGHT(k, q);                                               \
        UNROLL for (int p = 0; p < ROWS; p++) {                                 \
            floatv v_ = SPLAT(from[p * INPUTS + (k)]);                          \
            UNROLL for (int q = 0; q < Q; q++)                                  \
                acc[way][p][q] = fma(v_, w_[q], acc[way][p][q]);                \
        }                                                                       \
    }

/* Work-item (block of Q vectors, band of samples). The last tile overlaps the one before rather than stick out of the
 * batch, and rows that are another tile's or past the last sample are not stored. */
#ifdef KERNEL_forward
SOLO_KERNEL(forward)(in_t x, in_t weights, out_t y, int n)
#else
SOLO_KERNEL(backward_data)(in_t x, in_t weights, DX_ARGUMENTS, int n)
#endif
{
    int c0 = FIRST_UNIT, first = get_global_id(1) * BAND, last = min(first + BAND, n);
#if PACK
    floatv packed[INPUTS * Q];
    NO_UNROLL for (int k = 0; k < INPUTS; k++) {
        UNROLL for (int q = 0; q < Q; q++) {
            LANES lane[VW];
            UNROLL for (int l = 0; l < VW; l++)
                lane[l] = weights[(TAIL != 0 ? min(c0 + q * VW + l, UNITS - 1) : c0 + q * VW + l) * INPUTS + k];
            packed[k * Q + q] = FROM_LANES(lane);
        }
    }
#endif
    NO_UNROLL for (int tile = first; tile < last; tile += ROWS) {
        int s0 = BATCH % ROWS != 0 ? min(tile, BATCH - ROWS) : tile;
        __global const float *from = x + s0 * INPUTS;
        floatv acc[WAYS][ROWS][Q];
        UNROLL for (int p = 0; p < ROWS; p++) {
            UNROLL for (int q = 0; q < Q; q++) {
                acc[0][p][q] = BIAS ? LOAD(weights + INPUTS * UNITS + c0 + q * VW) : SPLAT(0.0f);
                UNROLL for (int way = 1; way < WAYS; way++)
                    acc[way][p][q] = SPLAT(0.0f);
            }
        }
        NO_UNROLL for (int k = 0; k <= INPUTS - WAYS; k += WAYS) {
            UNROLL for (int way = 0; way < WAYS; way++)
                STEP(way, k + way)
        }
        UNROLL for (int k = INPUTS / WAYS * WAYS; k < INPUTS; k++)
            STEP(0, k)
        UNROLL for (int other = WAYS / 2; other >= 1; other /= 2) {
            UNROLL for (int p = 0; p < other * ROWS * Q; p++)
                acc[p / (ROWS * Q)][p / Q % ROWS][p % Q] += acc[p / (ROWS * Q) + other][p / Q % ROWS][p % Q];
        }
        UNROLL for (int p = 0; p < ROWS; p++) {
            if (s0 + p < tile || s0 + p >= n)
                continue;
            UNROLL for (int q = 0; q < Q; q++) {
                int c = c0 + q * VW, i = (s0 + p) * UNITS + c;
#ifdef KERNEL_forward
                floatv out = ACTIVATE(acc[0][p][q]);
                if (IS_PART(c))
                    STORE_PART(out, y + i, TAIL)
                else
                    STORE(out, y + i);
#else
                if (IS_PART(c))
                    STORE_DX_PART(acc[0][p][q], i, TAIL)
                else
                    STORE_DX(acc[0][p][q], i);
#endif
            }
        }
    }
}
#undef WEIGHT
#undef STEP
#endif

#ifdef KERNEL_backward_weights
/* gradients[k][c] = sum over samples of x[s][k] * dy[s][c]; behind them, gradients of the bias: the sum of dy[s][c].
 * Work-item (block of Q vectors of units, band of inputs); the band of the first inputs does the bias too. The last tile
 * overlaps the one before rather than stick out, and stores the same sums once more. */
#define SAVE(v, row, c)                                        \
    {                                                          \
        if (IS_PART(c))                                        \
            STORE_PART(v, gradients + (row) * UNITS + (c), TAIL) \
        else                                                   \
            STORE(v, gradients + (row) * UNITS + (c));         \
    }

SOLO_KERNEL(backward_weights)(in_t x, in_t dy, out_t gradients, int n)
{
    int c0 = FIRST_UNIT, first = get_global_id(1) * BAND, last = min(first + BAND, INPUTS);
    NO_UNROLL for (int tile = first; tile < last; tile += ROWS) {
        int k0 = INPUTS % ROWS != 0 ? min(tile, INPUTS - ROWS) : tile;
        __global const float *left = x + k0, *right = dy + c0;
        floatv acc[ROWS][Q];
        UNROLL for (int p = 0; p < ROWS; p++) {
            UNROLL for (int q = 0; q < Q; q++)
                acc[p][q] = SPLAT(0.0f);
        }
        BY_4(s, n, {
            floatv d[Q];
            UNROLL for (int q = 0; q < Q; q++)
                d[q] = LOAD(right + q * VW);
            UNROLL for (int p = 0; p < ROWS; p++) {
                floatv v = SPLAT(left[p]);
                UNROLL for (int q = 0; q < Q; q++)
                    acc[p][q] = fma(v, d[q], acc[p][q]);
            }
            left += INPUTS;
            right += UNITS;
        })
        UNROLL for (int p = 0; p < ROWS; p++) {
            UNROLL for (int q = 0; q < Q; q++)
                SAVE(acc[p][q], k0 + p, c0 + q * VW)
        }
    }
    if (BIAS && first == 0) {
        UNROLL for (int q = 0; q < Q; q++) {
            floatv bias = SPLAT(0.0f);
            NO_UNROLL for (int s = 0; s < n; s++)
                bias += LOAD(dy + s * UNITS + c0 + q * VW);
            SAVE(bias, INPUTS, c0 + q * VW)
        }
    }
}
#undef SAVE
#endif
#undef TAIL
#undef IS_PART
#undef FIRST_UNIT
