/* Dense layers, the CPU's shape: y[n][UNITS] = x[n][INPUTS] * weights[INPUTS][UNITS] + bias[UNITS].
 *
 * A work-item (a work-group of its own) computes a tile of ROWS samples by Q vectors of units and keeps its sums in
 * registers; each step of k loads Q vectors of weights and broadcasts ROWS inputs:
 *
 *              Q * VW units                 ROWS, Q  the tile: ROWS * Q + Q + 1 registers
 *            +---------------+              INPUTS   values summed over (forward: inputs; backward_data: units)
 *     ROWS   | acc[ROWS][Q]  |  += x[.][k]  UNITS    values a row of the result has
 *   samples  |               |     * w[k]   BIAS     1: the bias stands behind the weights
 *            +---------------+
 *
 * backward_data is the same product with the transposed weights: dx[n][inputs] = dy[n][units] * weightsT.
 * backward_weights sums over samples; its tile is ROWS inputs by Q vectors of units.
 */
#define TAIL (UNITS % VW)
#define IS_PART(c) (TAIL != 0 && (c) + VW > UNITS)
/* the first unit of the work-item; a constant if there is but one block */
#define FIRST_UNIT (UNITS > Q * VW ? (int)get_global_id(0) * Q * VW : 0)

#if defined(KERNEL_forward) || defined(KERNEL_backward_data)
/* Work-item (block of Q vectors, block of ROWS samples). Rows past the last sample repeat it, and store it once more. */
#ifdef KERNEL_forward
SOLO_KERNEL(forward)(in_t x, in_t weights, out_t y, int n)
#else
SOLO_KERNEL(backward_data)(in_t x, in_t weights, DX_ARGUMENTS, int n)
#endif
{
    int c0 = FIRST_UNIT, s0 = get_global_id(1) * ROWS;
    int row[ROWS];
    floatv acc[ROWS][Q];
    UNROLL for (int p = 0; p < ROWS; p++) {
        row[p] = min(s0 + p, n - 1);
        UNROLL for (int q = 0; q < Q; q++)
            acc[p][q] = BIAS ? LOAD(weights + INPUTS * UNITS + c0 + q * VW) : SPLAT(0.0f);
    }
    NO_UNROLL for (int k = 0; k < INPUTS; k++) {
        floatv w[Q];
        UNROLL for (int q = 0; q < Q; q++)
            w[q] = LOAD(weights + k * UNITS + c0 + q * VW);
        UNROLL for (int p = 0; p < ROWS; p++) {
            floatv v = SPLAT(x[row[p] * INPUTS + k]);
            UNROLL for (int q = 0; q < Q; q++)
                acc[p][q] = fma(v, w[q], acc[p][q]);
        }
    }
    UNROLL for (int p = 0; p < ROWS; p++) {
#ifdef KERNEL_backward_data
        if (ACCUMULATE && s0 + p >= n)
            continue;
#endif
        UNROLL for (int q = 0; q < Q; q++) {
            int c = c0 + q * VW, i = row[p] * UNITS + c;
#ifdef KERNEL_forward
            floatv out = ACTIVATE(acc[p][q]);
            if (IS_PART(c))
                STORE_PART(out, y + i, TAIL)
            else
                STORE(out, y + i);
#else
            if (IS_PART(c))
                STORE_DX_PART(acc[p][q], i, TAIL)
            else
                STORE_DX(acc[p][q], i);
#endif
        }
    }
}
#endif

#ifdef KERNEL_backward_weights
/* gradients[k][c] = sum over samples of x[s][k] * dy[s][c]; behind them, gradients of the bias: the sum of dy[s][c].
 * Work-item (block of Q vectors of units, block of ROWS inputs); the block of the first inputs does the bias too.
 * Inputs past the last repeat it, and store it once more. */
SOLO_KERNEL(backward_weights)(in_t x, in_t dy, out_t gradients, int n)
{
    int c0 = FIRST_UNIT, k0 = get_global_id(1) * ROWS;
    int column[ROWS];
    floatv acc[ROWS][Q], bias[Q];
    UNROLL for (int p = 0; p < ROWS; p++) {
        column[p] = min(k0 + p, INPUTS - 1);
        UNROLL for (int q = 0; q < Q; q++)
            acc[p][q] = SPLAT(0.0f);
    }
    NO_UNROLL for (int s = 0; s < n; s++) {
        floatv d[Q];
        UNROLL for (int q = 0; q < Q; q++)
            d[q] = LOAD(dy + s * UNITS + c0 + q * VW);
        UNROLL for (int p = 0; p < ROWS; p++) {
            floatv v = SPLAT(x[s * INPUTS + column[p]]);
            UNROLL for (int q = 0; q < Q; q++)
                acc[p][q] = fma(v, d[q], acc[p][q]);
        }
    }
    UNROLL for (int p = 0; p < ROWS; p++) {
        UNROLL for (int q = 0; q < Q; q++) {
            int c = c0 + q * VW;
            if (IS_PART(c))
                STORE_PART(acc[p][q], gradients + column[p] * UNITS + c, TAIL)
            else
                STORE(acc[p][q], gradients + column[p] * UNITS + c);
        }
    }
    if (BIAS && k0 == 0) {
        UNROLL for (int q = 0; q < Q; q++)
            bias[q] = SPLAT(0.0f);
        NO_UNROLL for (int s = 0; s < n; s++) {
            UNROLL for (int q = 0; q < Q; q++)
                bias[q] += LOAD(dy + s * UNITS + c0 + q * VW);
        }
        UNROLL for (int q = 0; q < Q; q++) {
            int c = c0 + q * VW;
            if (IS_PART(c))
                STORE_PART(bias[q], gradients + INPUTS * UNITS + c, TAIL)
            else
                STORE(bias[q], gradients + INPUTS * UNITS + c);
        }
    }
}
#endif
#undef TAIL
#undef IS_PART
#undef FIRST_UNIT
