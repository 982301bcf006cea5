/* Batch normalisation over rows (samples and pixels) of channels values, y = f(gamma * xhat + beta), where
 * xhat = (x - mean) * inverse and inverse = 1 / sqrt(variance + epsilon). Sizes are arguments, so one kernel serves many
 * layers. Blocks of parameters: [gamma][beta], of their gradients likewise; of state: [mean][variance]; of statistics,
 * which forward keeps for backward: [mean][inverse].
 *
 * An item is a block of Q vectors of channels of part_rows rows in a row, so that it reads whole lines of the cache:
 *
 *              Q * VW channels
 *            +---------------+             Q       divides the vectors of channels
 *  part_rows |               |  one item   PARTIAL 1: the last vector of a row is not full
 *            +---------------+             STREAM  1: the result is too large to be in the cache when it is read; not with PARTIAL
 *
 * Sums are taken of each part, into sums[part][2][channels], then over the parts in their order, so they do not depend on
 * how the device shares out the work.
 *
 * With max pooling behind (POOL_H, POOL_W the window, windows side by side), the kernels *_pooled take a row of windows
 * where the others take a row. f never falls, so the largest of the window before f is the largest behind it.
 */
#define VECTORS ((channels + VW - 1) / VW)
#define BLOCKS (VECTORS / Q)
#define ITEM_CHANNEL (item % BLOCKS * (Q * VW))
#define EACH(q) UNROLL for (int q = 0; q < Q; q++)
#define AHEAD 512 /* floats, half a page */
#if PARTIAL
#define SAVE(v, p, more) STORE_FIRST(v, p, more)
#define SAVE_DX(v, i, more) STORE_DX_FIRST(v, i, more)
#else
#define SAVE(v, p, more) STORE(v, p);
#define SAVE_DX(v, i, more) STORE_DX(v, i);
#endif
#if STREAM
#define SAVE_Y(v, p, more) STREAM_STORE(v, p);
#undef SAVE_DX
#define SAVE_DX(v, i, more) STREAM_STORE(GRADIENT_AS(floatv, v, LOAD(mask_y + (i))), dx + (i));
#define END_Y STREAM_END
#else
#define SAVE_Y(v, p, more) SAVE(v, p, more)
#define END_Y
#endif
/* Parts of rows, and one part's first and end. */
#define PARTS(rows) (((rows) + part_rows - 1) / part_rows)
#define ITEM_START (item / BLOCKS * part_rows)
#define ITEM_END(rows) min(ITEM_START + part_rows, rows)
/* Windows of an image. */
#define OUT_H (height / POOL_H)
#define OUT_W (width / POOL_W)

#if defined(POOL_H) && POOL_H * POOL_W <= 16
#define UNROLL_WINDOW UNROLL
#else
#define UNROLL_WINDOW NO_UNROLL
#endif

#ifdef KERNEL_part_moments
/* Mean and sum of squared deviations of each part, from deviations from the mean of its first rows, which is near enough
 * that little cancels when they are taken from each other (Chan, Golub, LeVeque 1983). */
ITEMS_KERNEL(part_moments)(in_t x, out_t sums, int pixels, int channels, int part_rows, int n)
{
    FOR_ITEMS(item, PARTS(n * pixels) * BLOCKS) {
        int c = ITEM_CHANNEL, start = ITEM_START, end = ITEM_END(n * pixels), first = min(end - start, 64);
        __global const float *from = x + (long)start * channels + c;
        floatv shift[Q], deviations[Q], squares[Q];
        EACH(q)
            shift[q] = deviations[q] = squares[q] = SPLAT(0.0f);
        NO_UNROLL for (int row = 0; row < first; row++) {
            EACH(q)
                shift[q] += LOAD(from + (long)row * channels + q * VW);
        }
        EACH(q)
            shift[q] = SETTLE(DIV(shift[q], SPLAT((float)first)));
        NO_UNROLL for (int row = 0; row < end - start; row++) {
            EACH(q) {
                __global const float *at = from + (long)row * channels + q * VW;
                PREFETCH(at, AHEAD);
                floatv d = LOAD(at) - shift[q];
                deviations[q] += d;
                squares[q] = fma(d, d, squares[q]);
            }
        }
        __global float *to = sums + (long)(item / BLOCKS) * 2 * channels + c;
        EACH(q) {
            floatv off = DIV(deviations[q], SPLAT((float)(end - start))), mean = shift[q] + off, rest = fma(-off, deviations[q], squares[q]);
            rest = select(rest, SPLAT(0.0f), rest < SPLAT(0.0f));
            SAVE(mean, to + q * VW, channels - c - q * VW)
            SAVE(rest, to + channels + q * VW, channels - c - q * VW)
        }
    }
}
#endif

#ifdef KERNEL_statistics
/* From the parts' moments those of the batch, and the running ones. An item is VW channels. */
ITEMS_KERNEL(statistics)(in_t sums, out_t statistics, __global float *restrict state, float momentum, float epsilon, int pixels, int channels,
                         int part_rows, int n)
{
    FOR_ITEMS(item, VECTORS) {
        int c = item * VW, rows = n * pixels, more = channels - c;
        floatv mean = SPLAT(0.0f), squares = SPLAT(0.0f);
        for (int p = 0; p < PARTS(rows); p++)
            mean = fma(SPLAT((float)min(part_rows, rows - p * part_rows)), LOAD(sums + (long)p * 2 * channels + c), mean);
        mean = SETTLE(DIV(mean, SPLAT((float)rows)));
        for (int p = 0; p < PARTS(rows); p++) {
            floatv d = LOAD(sums + (long)p * 2 * channels + c) - mean;
            squares += fma(SPLAT((float)min(part_rows, rows - p * part_rows)), d * d, LOAD(sums + ((long)p * 2 + 1) * channels + c));
        }
        floatv variance = DIV(squares, SPLAT((float)rows)), inverse = DIV(SPLAT(1.0f), SQRT(variance + epsilon));
        STORE_FIRST(mean, statistics + c, more)
        STORE_FIRST(inverse, statistics + channels + c, more)
        /* the running variance takes the unbiased estimate, which a single row does not have */
        floatv estimate = rows > 1 ? DIV(squares, SPLAT((float)(rows - 1))) : variance;
        LANES lane[VW], lane_estimate[VW];
        TO_LANES(mean, lane);
        TO_LANES(estimate, lane_estimate);
        for (int l = 0; l < min(more, VW); l++) {
            state[c + l] = SETTLE(momentum * state[c + l] + (1.0f - momentum) * lane[l]);
            state[channels + c + l] = SETTLE(momentum * state[channels + c + l] + (1.0f - momentum) * lane_estimate[l]);
        }
    }
}
#endif

#if defined(KERNEL_normalise) || defined(KERNEL_normalise_pooled) || defined(KERNEL_fold)
/* mean, scale and beta of the item, from the statistics of the batch, or (RUNNING) the running ones: y = f((x - mean) scale + beta). */
#define LOAD_SCALES(mean, scale, beta, parameters, statistics, epsilon)                                 \
    floatv mean[Q], scale[Q], beta[Q];                                                                  \
    EACH(q) {                                                                                           \
        floatv second = LOAD(statistics + channels + c + q * VW);                                       \
        mean[q] = LOAD(statistics + c + q * VW);                                                        \
        scale[q] = SETTLE(LOAD(parameters + c + q * VW) * (RUNNING ? DIV(SPLAT(1.0f), SQRT(second + epsilon)) : second)); \
        beta[q] = LOAD(parameters + channels + c + q * VW);                                             \
    }
#define NORMALISE(v, q) fma((v) - mean[q], scale[q], beta[q])
#endif

#ifdef KERNEL_normalise
/* SUM: what is added before f. 0: nothing; 1: other; 2: other normalised, by parameters and statistics of its own. */
#if SUM == 2
#define SUM_ARGUMENTS in_t other, in_t other_parameters, in_t other_statistics, float other_epsilon,
#define LOAD_OTHER_SCALES LOAD_SCALES(other_mean, other_scale, other_beta, other_parameters, other_statistics, other_epsilon)
#define OTHER(i, q) +SETTLE(fma(LOAD(other + (i)) - other_mean[q], other_scale[q], other_beta[q]))
#elif SUM == 1
#define SUM_ARGUMENTS in_t other,
#define LOAD_OTHER_SCALES
#define OTHER(i, q) +LOAD(other + (i))
#else
#define SUM_ARGUMENTS
#define LOAD_OTHER_SCALES
#define OTHER(i, q)
#endif
ITEMS_KERNEL(normalise)(in_t x, in_t parameters, in_t statistics, SUM_ARGUMENTS out_t y, float epsilon, int pixels, int channels, int part_rows,
                        int n)
{
    FOR_ITEMS(item, PARTS(n * pixels) * BLOCKS) {
        int c = ITEM_CHANNEL, end = ITEM_END(n * pixels);
        LOAD_SCALES(mean, scale, beta, parameters, statistics, epsilon)
        LOAD_OTHER_SCALES
        NO_UNROLL for (int row = ITEM_START; row < end; row++) {
            long i = (long)row * channels + c;
            EACH(q) {
                floatv v = SETTLE(NORMALISE(LOAD(x + i + q * VW), q)) OTHER(i + q * VW, q), out = ACTIVATE(v);
                SAVE_Y(out, y + i + q * VW, channels - c - q * VW)
            }
        }
    }
    END_Y
}
#undef SUM_ARGUMENTS
#undef LOAD_OTHER_SCALES
#undef OTHER
#endif

#ifdef KERNEL_fold
/* The weights and bias of a layer with the normalisation of its output taken in, as it is in inference: out[row][channel] =
 * weights * scale, and in the row behind the weights (bias - mean) * scale + beta. */
ITEMS_KERNEL(fold)(in_t weights, in_t parameters, in_t statistics, out_t out, float epsilon, int weight_rows, int channels, int part_rows)
{
    FOR_ITEMS(item, PARTS(weight_rows + 1) * BLOCKS) {
        int c = ITEM_CHANNEL, end = ITEM_END(weight_rows + 1);
        LOAD_SCALES(mean, scale, beta, parameters, statistics, epsilon)
        NO_UNROLL for (int row = ITEM_START; row < end; row++) {
            floatv v = row < weight_rows || BIAS ? LOAD(weights + (long)row * channels + c) : SPLAT(0.0f);
            v = row < weight_rows ? v * scale[0] : NORMALISE(v, 0);
            SAVE(v, out + (long)row * channels + c, channels - c)
        }
    }
}
#endif

#ifdef KERNEL_normalise_pooled
/* KEEP: index is the place of the winner in its window, row * POOL_W + column; the first such, NaN counting as largest. */
#if KEEP
#define KEPT_ARGUMENT __global uchar *index,
#else
#define KEPT_ARGUMENT
#endif
ITEMS_KERNEL(normalise_pooled)(in_t x, in_t parameters, in_t statistics, out_t y, KEPT_ARGUMENT float epsilon, int height, int width, int channels,
                               int part_rows, int n)
{
    FOR_ITEMS(item, PARTS(n * OUT_H) * BLOCKS) {
        int c = ITEM_CHANNEL, end = ITEM_END(n * OUT_H);
        LOAD_SCALES(mean, scale, beta, parameters, statistics, epsilon)
        NO_UNROLL for (int row = ITEM_START; row < end; row++) {
            __global const float *from = x + ((long)(row / OUT_H) * height + row % OUT_H * POOL_H) * width * channels + c;
            long o = (long)row * OUT_W * channels + c;
            NO_UNROLL for (int ow = 0; ow < OUT_W; ow++, from += POOL_W * channels, o += channels) {
                EACH(q) {
                    int more = channels - c - q * VW;
                    floatv best = NORMALISE(LOAD(from + q * VW), q);
                    intv place = (intv)(0);
                    UNROLL_WINDOW for (int k = 1; k < POOL_H * POOL_W; k++) {
                        floatv v = NORMALISE(LOAD(from + (k / POOL_W * width + k % POOL_W) * channels + q * VW), q);
                        intv wins = ~(v <= best) & (best == best);
                        best = select(best, v, wins);
                        place = select(place, (intv)(k), wins);
                    }
                    floatv out = ACTIVATE(best);
                    SAVE_Y(out, y + o + q * VW, more)
#if KEEP
                    STORE_FIRST_PLACES(uchar, place, index + o + q * VW, PARTIAL ? more : VW)
#endif
                }
            }
        }
    }
    END_Y
}
#undef KEPT_ARGUMENT
#endif

#if defined(KERNEL_part_gradients) || defined(KERNEL_part_gradients_pooled)
#define START_SUMS                              \
    floatv mean[Q], dot[Q], sum[Q];             \
    EACH(q) {                                   \
        mean[q] = LOAD(statistics + c + q * VW); \
        dot[q] = sum[q] = SPLAT(0.0f);          \
    }
#define SAVE_SUMS                                                              \
    __global float *to = sums + (long)(item / BLOCKS) * 2 * channels + c;      \
    EACH(q) {                                                                  \
        floatv scaled = dot[q] * LOAD(statistics + channels + c + q * VW);     \
        SAVE(scaled, to + q * VW, channels - c - q * VW)                       \
        SAVE(sum[q], to + channels + q * VW, channels - c - q * VW)            \
    }
#endif

#ifdef KERNEL_part_gradients
/* Of each part: the sums of dy * xhat, and of dy. */
ITEMS_KERNEL(part_gradients)(in_t x, in_t dy, in_t statistics, out_t sums, int pixels, int channels, int part_rows, int n)
{
    FOR_ITEMS(item, PARTS(n * pixels) * BLOCKS) {
        int c = ITEM_CHANNEL, end = ITEM_END(n * pixels);
        START_SUMS
        NO_UNROLL for (int row = ITEM_START; row < end; row++) {
            long i = (long)row * channels + c;
            EACH(q) {
                PREFETCH(x + i + q * VW, AHEAD);
                PREFETCH(dy + i + q * VW, AHEAD);
                floatv g = LOAD(dy + i + q * VW);
                dot[q] = fma(g, LOAD(x + i + q * VW) - mean[q], dot[q]);
                sum[q] += g;
            }
        }
        SAVE_SUMS
    }
}
#endif

#ifdef KERNEL_part_gradients_pooled
/* The same where dy is that of the pooled values: it belongs to the winner of each window. */
ITEMS_KERNEL(part_gradients_pooled)(in_t x, in_t dy, __global const uchar *index, in_t statistics, out_t sums, int height, int width, int channels,
                                    int part_rows, int n)
{
    FOR_ITEMS(item, PARTS(n * OUT_H) * BLOCKS) {
        int c = ITEM_CHANNEL, end = ITEM_END(n * OUT_H);
        START_SUMS
        NO_UNROLL for (int row = ITEM_START; row < end; row++) {
            __global const float *from = x + ((long)(row / OUT_H) * height + row % OUT_H * POOL_H) * width * channels + c;
            long o = (long)row * OUT_W * channels + c;
            NO_UNROLL for (int ow = 0; ow < OUT_W; ow++, from += POOL_W * channels, o += channels) {
                EACH(q) {
                    intv place = LOAD_PLACES(uchar, index + o + q * VW);
                    floatv g = LOAD(dy + o + q * VW), winner = LOAD(from + q * VW);
                    UNROLL_WINDOW for (int k = 1; k < POOL_H * POOL_W; k++)
                        winner = select(winner, LOAD(from + (k / POOL_W * width + k % POOL_W) * channels + q * VW), place == k);
                    dot[q] = fma(g, winner - mean[q], dot[q]);
                    sum[q] += g;
                }
            }
        }
        SAVE_SUMS
    }
}
#endif

#ifdef KERNEL_gradients
/* The gradients of gamma and beta: sums over the parts. An item is VW channels. */
ITEMS_KERNEL(gradients)(in_t sums, out_t gradients, int rows, int channels, int part_rows, int n)
{
    FOR_ITEMS(item, VECTORS) {
        int c = item * VW;
        floatv dgamma = SPLAT(0.0f), dbeta = SPLAT(0.0f);
        for (int p = 0; p < PARTS(n * rows); p++) {
            dgamma += LOAD(sums + (long)p * 2 * channels + c);
            dbeta += LOAD(sums + ((long)p * 2 + 1) * channels + c);
        }
        STORE_FIRST(dgamma, gradients + c, channels - c)
        STORE_FIRST(dbeta, gradients + channels + c, channels - c)
    }
}
#endif

#if defined(KERNEL_backward_data) || defined(KERNEL_backward_data_pooled)
/* dx = gamma * inverse * (dy - dbeta / rows - xhat * dgamma / rows), since mean and inverse depend on every x. */
#define LOAD_GRADIENTS                                                             \
    floatv mean[Q], scale[Q], from_gamma[Q], from_beta[Q];                         \
    EACH(q) {                                                                      \
        floatv inverse = LOAD(statistics + channels + c + q * VW);                 \
        mean[q] = LOAD(statistics + c + q * VW);                                   \
        scale[q] = SETTLE(LOAD(parameters + c + q * VW) * inverse);                \
        from_gamma[q] = SETTLE(DIV(LOAD(gradients + c + q * VW), SPLAT(rows)) * inverse); \
        from_beta[q] = SETTLE(DIV(LOAD(gradients + channels + c + q * VW), SPLAT(rows))); \
    }
#define GRADIENT_OF(g, v, q) (scale[q] * ((g) - from_beta[q] - ((v) - mean[q]) * from_gamma[q]))
#endif

#ifdef KERNEL_backward_data
/* dx may be dy. */
ITEMS_KERNEL(backward_data)(in_t x, __global const float *dy, in_t parameters, in_t gradients, in_t statistics, DX_ARGUMENTS, int pixels,
                            int channels, int part_rows, int n)
{
    FOR_ITEMS(item, PARTS(n * pixels) * BLOCKS) {
        int c = ITEM_CHANNEL, end = ITEM_END(n * pixels);
        float rows = (float)(n * pixels);
        LOAD_GRADIENTS
        NO_UNROLL for (int row = ITEM_START; row < end; row++) {
            long i = (long)row * channels + c;
            EACH(q) {
                PREFETCH(x + i + q * VW, AHEAD);
                PREFETCH(dy + i + q * VW, AHEAD);
                floatv g = GRADIENT_OF(LOAD(dy + i + q * VW), LOAD(x + i + q * VW), q);
                SAVE_DX(g, i + q * VW, channels - c - q * VW)
            }
        }
    }
    END_Y
}
#endif

#ifdef KERNEL_backward_data_pooled
/* The last row of windows takes the rows below that no window covers, the last window of a row the columns beside it. */
ITEMS_KERNEL(backward_data_pooled)(in_t x, in_t dy, __global const uchar *index, in_t parameters, in_t gradients, in_t statistics, DX_ARGUMENTS,
                                   int height, int width, int channels, int part_rows, int n)
{
    FOR_ITEMS(item, PARTS(n * OUT_H) * BLOCKS) {
        int c = ITEM_CHANNEL, end = ITEM_END(n * OUT_H);
        float rows = (float)(n * height * width);
        LOAD_GRADIENTS
        NO_UNROLL for (int row = ITEM_START; row < end; row++) {
            int oh = row % OUT_H, window_rows = oh == OUT_H - 1 ? height - oh * POOL_H : POOL_H;
            long top = ((long)(row / OUT_H) * height + oh * POOL_H) * width * channels + c, o = (long)row * OUT_W * channels + c;
            NO_UNROLL for (int ow = 0; ow < OUT_W; ow++, o += channels) {
                EACH(q) {
                    intv place = LOAD_PLACES(uchar, index + o + q * VW);
                    floatv g = LOAD(dy + o + q * VW);
                    UNROLL_WINDOW for (int k = 0; k < POOL_H * POOL_W; k++) {
                        long i = top + (k / POOL_W * width + ow * POOL_W + k % POOL_W) * channels + q * VW;
                        floatv v = GRADIENT_OF(select(SPLAT(0.0f), g, place == k), LOAD(x + i), q);
                        SAVE_DX(v, i, channels - c - q * VW)
                    }
                }
            }
            PLAIN_LOOP for (int h = 0; h < window_rows; h++) {
                PLAIN_LOOP for (int w = h < POOL_H ? OUT_W * POOL_W : 0; w < width; w++) {
                    EACH(q) {
                        long i = top + (h * width + w) * channels + q * VW;
                        floatv v = GRADIENT_OF(SPLAT(0.0f), LOAD(x + i), q);
                        SAVE_DX(v, i, channels - c - q * VW)
                    }
                }
            }
        }
    }
    END_Y
}
#endif
#undef VECTORS
#undef BLOCKS
#undef ITEM_CHANNEL
#undef EACH
#undef AHEAD
#undef SAVE
#undef SAVE_DX
#undef SAVE_Y
#undef END_Y
#undef PARTS
#undef ITEM_START
#undef ITEM_END
#undef OUT_H
#undef OUT_W
#undef UNROLL_WINDOW
#undef START_SUMS
#undef SAVE_SUMS
#undef LOAD_SCALES
#undef NORMALISE
#undef LOAD_GRADIENTS
#undef GRADIENT_OF
