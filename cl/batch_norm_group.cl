/* The sums of batch_norm.cl, the GPU's shape: the same kernels and results, by work-groups that share out rows and add up in
 * local memory, always in the same order.
 *
 * A group of GROUP work-items takes a part of rows, part_rows of them, and a block of columns of them, each a vector of channels:
 *
 *                columns * VW channels
 *              +----+----+----+----+            columns   vectors of a block, so many that the blocks (groups in dimension 1) are
 *              | 0  | 1  | 2  | 3  |                      alike; neighbouring items read neighbouring vectors
 *              | 4  | 5  | 6  | 7  | at_once    at_once   GROUP / columns rows; items that are left over do as the others do, but
 *   part_rows  | 8  | 9  | 10 | 11 |                      are not counted in
 *              +----+----+----+----+            PARTIAL   1: the last vector of a row is not full
 *              | 0  | 1  | 2  | 3  |            POOL_H, POOL_W   the window of the pooling behind; a row is then a window
 *              | .. |              |
 *              +----+----+----+----+
 *
 * Over the parts a group sums one vector of channels, each item every GROUP-th part.
 */
#define VECTORS ((channels + VW - 1) / VW)
#define PARTS(rows) (((rows) + part_rows - 1) / part_rows)
/* A vector of channels; rows of them are aligned if all are full. */
#define FETCH(p) (PARTIAL ? LOAD(p) : LOAD_ALIGNED(p))
/* Loads that an item has in flight together. A window is several. */
#define FLIGHT 4
#if defined(POOL_H)
#define WINDOW_FLIGHT (POOL_H * POOL_W <= 4 ? 2 : 1)
#define OUT_H (height / POOL_H)
#define OUT_W (width / POOL_W)
#if POOL_H * POOL_W <= 16
#define UNROLL_WINDOW UNROLL
#else
#define UNROLL_WINDOW NO_UNROLL
#endif
#endif

/* The place of an item: its row among those at once, and its first channel c; one beyond the last has the last's. The part begins at row
 * start of all and has count rows. */
#define START_PART(all)                                                                                  \
    const int item = get_local_id(0), blocks = get_num_groups(1), columns = (VECTORS + blocks - 1) / blocks; \
    const int at_once = GROUP / columns, row = item / columns, vector = get_group_id(1) * columns + item % columns; \
    const int c = min(vector, VECTORS - 1) * VW, start = get_group_id(0) * part_rows, count = min(part_rows, (all)-start);
/* Adds up what the items left in a and b; those of the first row, which take_sums names, take the sums and store results with SAVE_PART. */
#define ADD_PART(a, b)                                  \
    ADD_ROWS(item, at_once, columns, other, {           \
        a[item] += a[other];                            \
        b[item] += b[other];                            \
    })                                                  \
    const bool take_sums = item < columns && vector < VECTORS;
#define SAVE_PART(first, second)                                        \
    __global float *to = sums + (long)get_group_id(0) * 2 * channels + c; \
    STORE_FIRST(first, to, channels - c)                                \
    STORE_FIRST(second, to + channels, channels - c)

#ifdef KERNEL_part_moments
/* Mean and sum of squared deviations of each part, from deviations from the mean of some of its rows. */
GROUP_KERNEL(part_moments)(in_t x, out_t sums, int pixels, int channels, int part_rows, int n)
{
    __local floatv deviations[GROUP], squares[GROUP];
    START_PART(n * pixels)
    __global const float *from = x + (long)start * channels + c;
    floatv shift = SPLAT(0.0f), deviation = SPLAT(0.0f), square = SPLAT(0.0f);
    UNROLL for (int i = 0; i < FLIGHT; i++)
        shift += FETCH(from + (long)(i * count / FLIGHT) * channels);
    shift *= 1.0f / FLIGHT;
    FOR_ROWS(r, inside, row, at_once, count, FLIGHT, {
        floatv d = FETCH(from + (long)r * channels) - shift;
        d = inside ? d : SPLAT(0.0f);
        deviation += d;
        square = fma(d, d, square);
    })
    deviations[item] = deviation;
    squares[item] = square;
    ADD_PART(deviations, squares)
    if (take_sums) {
        floatv sum = deviations[item], off = DIV(sum, SPLAT((float)count)), mean = shift + off, rest = fma(-off, sum, squares[item]);
        rest = select(rest, SPLAT(0.0f), rest < SPLAT(0.0f));
        SAVE_PART(mean, rest)
    }
}
#endif

#ifdef KERNEL_statistics
/* From the parts' moments those of the batch, and the running ones. A group's channels are finished by an item each. */
GROUP_KERNEL(statistics)(in_t sums, out_t statistics, __global float *restrict state, float momentum, float epsilon, int pixels, int channels,
                         int part_rows, int n)
{
    __local floatv means[GROUP], squares[GROUP];
    const int item = get_local_id(0), c = get_group_id(0) * VW, rows = n * pixels, parts = PARTS(rows), most = min(parts, GROUP);
    floatv mean = SPLAT(0.0f), square = SPLAT(0.0f);
    FOR_ROWS(p, inside, item, GROUP, parts, FLIGHT, {
        floatv v = FETCH(sums + (long)p * 2 * channels + c);
        mean = fma(SPLAT((float)min(part_rows, rows - p * part_rows)), inside ? v : SPLAT(0.0f), mean);
    })
    means[item] = mean;
    ADD_ROWS(item, most, 1, other, means[item] += means[other];)
    barrier(CLK_LOCAL_MEM_FENCE);
    mean = DIV(means[0], SPLAT((float)rows));
    FOR_ROWS(p, inside, item, GROUP, parts, FLIGHT, {
        floatv d = FETCH(sums + (long)p * 2 * channels + c) - mean;
        floatv v = fma(SPLAT((float)min(part_rows, rows - p * part_rows)), d * d, FETCH(sums + ((long)p * 2 + 1) * channels + c));
        square += inside ? v : SPLAT(0.0f);
    })
    squares[item] = square;
    ADD_ROWS(item, most, 1, other, squares[item] += squares[other];)
    barrier(CLK_LOCAL_MEM_FENCE);
    __local const float *sum = (__local const float *)means, *deviation = (__local const float *)squares;
    PLAIN_LOOP for (int l = item; l < min(VW, channels - c); l += GROUP) {
        float old_mean = state[c + l], old_variance = state[channels + c + l];
        float new_mean = DIV(sum[l], (float)rows), variance = DIV(deviation[l], (float)rows);
        /* the running variance takes the unbiased estimate, which a single row does not have */
        float estimate = rows > 1 ? DIV(deviation[l], (float)(rows - 1)) : variance;
        statistics[c + l] = new_mean;
        statistics[channels + c + l] = DIV(1.0f, SQRT(variance + epsilon));
        state[c + l] = momentum * old_mean + (1.0f - momentum) * new_mean;
        state[channels + c + l] = momentum * old_variance + (1.0f - momentum) * estimate;
    }
}
#endif

#if defined(KERNEL_part_gradients) || defined(KERNEL_part_gradients_pooled)
#define ADD_GRADIENTS                                                       \
    dots[item] = dot;                                                       \
    gradients[item] = gradient;                                             \
    ADD_PART(dots, gradients)                                               \
    if (take_sums) {                                                        \
        dot = dots[item] * FETCH(statistics + channels + c);                \
        SAVE_PART(dot, gradients[item])                                     \
    }
#endif

#ifdef KERNEL_part_gradients
/* Of each part: the sums of dy * xhat, and of dy. */
GROUP_KERNEL(part_gradients)(in_t x, in_t dy, in_t statistics, out_t sums, int pixels, int channels, int part_rows, int n)
{
    __local floatv dots[GROUP], gradients[GROUP];
    START_PART(n * pixels)
    floatv mean = FETCH(statistics + c), dot = SPLAT(0.0f), gradient = SPLAT(0.0f);
    FOR_ROWS(r, inside, row, at_once, count, FLIGHT, {
        long i = (long)(start + r) * channels + c;
        floatv g = FETCH(dy + i), d = FETCH(x + i) - mean;
        g = inside ? g : SPLAT(0.0f);
        dot = fma(g, d, dot);
        gradient += g;
    })
    ADD_GRADIENTS
}
#endif

#ifdef KERNEL_part_gradients_pooled
/* The same where dy is that of the pooled values: it belongs to the winner of each window. */
GROUP_KERNEL(part_gradients_pooled)(in_t x, in_t dy, __global const uchar *index, in_t statistics, out_t sums, int height, int width, int channels,
                                    int part_rows, int n)
{
    __local floatv dots[GROUP], gradients[GROUP];
    START_PART(n * OUT_H * OUT_W)
    floatv mean = FETCH(statistics + c), dot = SPLAT(0.0f), gradient = SPLAT(0.0f);
    FOR_ROWS(r, inside, row, at_once, count, WINDOW_FLIGHT, {
        int window = start + r;
        int line = window / OUT_W;
        int corner = (line / OUT_H * height + line % OUT_H * POOL_H) * width + window % OUT_W * POOL_W;
        __global const float *from = x + (long)corner * channels + c;
        long o = (long)window * channels + c;
        intv place = LOAD_PLACES(uchar, index + o);
        floatv g = FETCH(dy + o);
        floatv winner = FETCH(from);
        UNROLL_WINDOW for (int k = 1; k < POOL_H * POOL_W; k++)
            winner = select(winner, FETCH(from + (k / POOL_W * width + k % POOL_W) * channels), place == k);
        g = inside ? g : SPLAT(0.0f);
        dot = fma(g, winner - mean, dot);
        gradient += g;
    })
    ADD_GRADIENTS
}
#endif

#ifdef KERNEL_gradients
/* The gradients of gamma and beta: sums over the parts. A group's channels are stored by an item each. */
GROUP_KERNEL(gradients)(in_t sums, out_t gradients, int rows, int channels, int part_rows, int n)
{
    __local floatv dgammas[GROUP], dbetas[GROUP];
    const int item = get_local_id(0), c = get_group_id(0) * VW, parts = PARTS(n * rows);
    floatv dgamma = SPLAT(0.0f), dbeta = SPLAT(0.0f);
    FOR_ROWS(p, inside, item, GROUP, parts, FLIGHT, {
        __global const float *from = sums + (long)p * 2 * channels + c;
        floatv first = FETCH(from), second = FETCH(from + channels);
        dgamma += inside ? first : SPLAT(0.0f);
        dbeta += inside ? second : SPLAT(0.0f);
    })
    dgammas[item] = dgamma;
    dbetas[item] = dbeta;
    ADD_ROWS(item, min(parts, GROUP), 1, other, {
        dgammas[item] += dgammas[other];
        dbetas[item] += dbetas[other];
    })
    barrier(CLK_LOCAL_MEM_FENCE);
    PLAIN_LOOP for (int l = item; l < min(VW, channels - c); l += GROUP) {
        gradients[c + l] = ((__local const float *)dgammas)[l];
        gradients[channels + c + l] = ((__local const float *)dbetas)[l];
    }
}
#endif
#undef VECTORS
#undef PARTS
#undef FETCH
#undef FLIGHT
#undef WINDOW_FLIGHT
#undef OUT_H
#undef OUT_W
#undef UNROLL_WINDOW
#undef START_PART
#undef ADD_PART
#undef SAVE_PART
#undef ADD_GRADIENTS
