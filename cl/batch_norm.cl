/* Batch normalisation over rows (samples and pixels) of channels values, y = f(gamma * xhat + beta), where
 * xhat = (x - mean) * inverse and inverse = 1 / sqrt(variance + epsilon). Sizes are arguments, so one kernel serves every
 * layer. Blocks of parameters: [gamma][beta], of their gradients likewise; of state: [mean][variance]; of statistics,
 * which forward keeps for backward: [mean][inverse].
 *
 * An item is VW channels of part_rows rows in a row. Sums are taken of each part, into sums[part][2][channels], then over
 * the parts in their order, so they do not depend on how the device shares out the work.
 */
#define BLOCKS ((channels + VW - 1) / VW)
#define PARTS ((n * pixels + part_rows - 1) / part_rows)
#define ITEM_CHANNEL (item % BLOCKS * VW)
#define ITEM_START (item / BLOCKS * part_rows)
#define ITEM_END min(ITEM_START + part_rows, n * pixels)

#ifdef KERNEL_part_moments
/* Mean and sum of squared deviations of each part: a first mean, then deviations from it, whose own mean corrects what
 * rounding left in the first (Chan, Golub, LeVeque 1983). */
ITEMS_KERNEL(part_moments)(in_t x, out_t sums, int pixels, int channels, int part_rows, int n)
{
    FOR_ITEMS(item, PARTS * BLOCKS) {
        int c = ITEM_CHANNEL, start = ITEM_START, end = ITEM_END;
        floatv sum = SPLAT(0.0f), deviations = SPLAT(0.0f), squares = SPLAT(0.0f), count = SPLAT((float)(end - start));
        for (int row = start; row < end; row++)
            sum += LOAD(x + (long)row * channels + c);
        floatv mean = sum / count;
        for (int row = start; row < end; row++) {
            floatv d = LOAD(x + (long)row * channels + c) - mean;
            deviations += d;
            squares = fma(d, d, squares);
        }
        __global float *to = sums + (long)(item / BLOCKS) * 2 * channels + c;
        mean += deviations / count;
        squares -= deviations * deviations / count;
        STORE_FIRST(mean, to, channels - c)
        STORE_FIRST(squares, to + channels, channels - c)
    }
}
#endif

#ifdef KERNEL_statistics
/* From the parts' moments those of the batch, and the running ones. An item is VW channels. */
ITEMS_KERNEL(statistics)(in_t sums, out_t statistics, __global float *restrict state, float momentum, float epsilon, int pixels, int channels,
                         int part_rows, int n)
{
    FOR_ITEMS(item, BLOCKS) {
        int c = ITEM_CHANNEL, rows = n * pixels, more = channels - c;
        floatv mean = SPLAT(0.0f), squares = SPLAT(0.0f);
        for (int p = 0; p < PARTS; p++)
            mean = fma(SPLAT((float)min(part_rows, rows - p * part_rows)), LOAD(sums + (long)p * 2 * channels + c), mean);
        mean /= (float)rows;
        for (int p = 0; p < PARTS; p++) {
            floatv d = LOAD(sums + (long)p * 2 * channels + c) - mean;
            squares += fma(SPLAT((float)min(part_rows, rows - p * part_rows)), d * d, LOAD(sums + ((long)p * 2 + 1) * channels + c));
        }
        floatv variance = squares / (float)rows, inverse = SPLAT(1.0f) / sqrt(variance + epsilon);
        STORE_FIRST(mean, statistics + c, more)
        STORE_FIRST(inverse, statistics + channels + c, more)
        /* the running variance takes the unbiased estimate, which a single row does not have */
        floatv estimate = rows > 1 ? squares / (float)(rows - 1) : variance;
        LANES lane[VW], lane_estimate[VW];
        TO_LANES(mean, lane);
        TO_LANES(estimate, lane_estimate);
        for (int l = 0; l < min(more, VW); l++) {
            state[c + l] = momentum * state[c + l] + (1.0f - momentum) * lane[l];
            state[channels + c + l] = momentum * state[channels + c + l] + (1.0f - momentum) * lane_estimate[l];
        }
    }
}
#endif

#ifdef KERNEL_normalise
/* y = f(gamma * (x - mean) * inverse + beta), with the statistics of the batch, or (RUNNING) the running ones. */
ITEMS_KERNEL(normalise)(in_t x, in_t parameters, in_t statistics, out_t y, float epsilon, int pixels, int channels, int part_rows, int n)
{
    FOR_ITEMS(item, PARTS * BLOCKS) {
        int c = ITEM_CHANNEL, start = ITEM_START, end = ITEM_END;
        floatv mean = LOAD(statistics + c), second = LOAD(statistics + channels + c);
        floatv inverse = RUNNING ? SPLAT(1.0f) / sqrt(second + epsilon) : second;
        floatv scale = LOAD(parameters + c) * inverse, shift = LOAD(parameters + channels + c);
        for (int row = start; row < end; row++) {
            long i = (long)row * channels + c;
            floatv v = fma(LOAD(x + i) - mean, scale, shift), out = ACTIVATE(v);
            STORE_FIRST(out, y + i, channels - c)
        }
    }
}
#endif

#ifdef KERNEL_part_gradients
/* Of each part: the sums of dy * xhat, and of dy. */
ITEMS_KERNEL(part_gradients)(in_t x, in_t dy, in_t statistics, out_t sums, int pixels, int channels, int part_rows, int n)
{
    FOR_ITEMS(item, PARTS * BLOCKS) {
        int c = ITEM_CHANNEL, start = ITEM_START, end = ITEM_END;
        floatv mean = LOAD(statistics + c), dot = SPLAT(0.0f), sum = SPLAT(0.0f);
        for (int row = start; row < end; row++) {
            floatv g = LOAD(dy + (long)row * channels + c);
            dot = fma(g, LOAD(x + (long)row * channels + c) - mean, dot);
            sum += g;
        }
        dot *= LOAD(statistics + channels + c);
        __global float *to = sums + (long)(item / BLOCKS) * 2 * channels + c;
        STORE_FIRST(dot, to, channels - c)
        STORE_FIRST(sum, to + channels, channels - c)
    }
}
#endif

#ifdef KERNEL_gradients
/* The gradients of gamma and beta: sums over the parts. An item is VW channels. */
ITEMS_KERNEL(gradients)(in_t sums, out_t gradients, int pixels, int channels, int part_rows, int n)
{
    FOR_ITEMS(item, BLOCKS) {
        int c = ITEM_CHANNEL;
        floatv dgamma = SPLAT(0.0f), dbeta = SPLAT(0.0f);
        for (int p = 0; p < PARTS; p++) {
            dgamma += LOAD(sums + (long)p * 2 * channels + c);
            dbeta += LOAD(sums + ((long)p * 2 + 1) * channels + c);
        }
        STORE_FIRST(dgamma, gradients + c, channels - c)
        STORE_FIRST(dbeta, gradients + channels + c, channels - c)
    }
}
#endif

#ifdef KERNEL_backward_data
/* dx = gamma * inverse * (dy - dbeta / rows - xhat * dgamma / rows), since mean and inverse depend on every x. */
ITEMS_KERNEL(backward_data)(in_t x, in_t dy, in_t parameters, in_t gradients, in_t statistics, DX_ARGUMENTS, int pixels, int channels,
                            int part_rows, int n)
{
    FOR_ITEMS(item, PARTS * BLOCKS) {
        int c = ITEM_CHANNEL, start = ITEM_START, end = ITEM_END, more = channels - c;
        float rows = (float)(n * pixels);
        floatv mean = LOAD(statistics + c), inverse = LOAD(statistics + channels + c), scale = LOAD(parameters + c) * inverse;
        floatv from_gamma = LOAD(gradients + c) / rows * inverse, from_beta = LOAD(gradients + channels + c) / rows;
        for (int row = start; row < end; row++) {
            long i = (long)row * channels + c;
            floatv g = scale * (LOAD(dy + i) - from_beta - (LOAD(x + i) - mean) * from_gamma);
            STORE_DX_FIRST(g, i, more)
        }
    }
}
#endif
#undef BLOCKS
#undef PARTS
#undef ITEM_CHANNEL
#undef ITEM_START
#undef ITEM_END
