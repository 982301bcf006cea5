/* Moving and summing whole tensors: transposes of weights for backward passes, sums of partial gradients. Shapes are
 * arguments, not constants, so that one kernel serves every layer. */
#ifdef KERNEL_transpose
/* out[m][c][r] = in[m][r][c]. Work-item (block of VW rows, matrix m). The last block of rows that do not fill a
 * vector is stored one by one. */
SOLO_KERNEL(transpose)(in_t in, out_t out, int rows, int columns)
{
    int r = get_global_id(0) * VW, m = get_global_id(1);
    __global const float *from = in + ((long)m * rows + r) * columns;
    __global float *to = out + (long)m * rows * columns + r;
    if (r + VW <= rows) {
        PLAIN_LOOP for (int c = 0; c < columns; c++) {
            LANES lane[VW];
            UNROLL for (int l = 0; l < VW; l++)
                lane[l] = from[l * columns + c];
            STORE(FROM_LANES(lane), to + (long)c * rows);
        }
    } else {
        PLAIN_LOOP for (int c = 0; c < columns; c++)
            PLAIN_LOOP for (int l = 0; l < rows - r; l++)
                to[(long)c * rows + l] = from[l * columns + c];
    }
}
#endif

#ifdef KERNEL_reduce
/* out[i] = in[0][i] + in[1][i] + ..., over the ceil(n / samples) parts that hold something, in this order. Items: vectors. */
ITEMS_KERNEL(reduce)(in_t in, out_t out, int count, int samples, int n)
{
    int parts = (n + samples - 1) / samples;
    FOR_ITEMS(item, (count + VW - 1) / VW) {
        int i = item * VW;
        floatv sum = LOAD(in + i);
        for (int p = 1; p < parts; p++)
            sum += LOAD(in + (long)p * count + i);
        if (i + VW <= count)
            STORE(sum, out + i);
        else
            PLAIN_LOOP for (int l = 0; l < count - i; l++) {
                float one = in[i + l];
                PLAIN_LOOP for (int p = 1; p < parts; p++)
                    one += in[(long)p * count + i + l];
                out[i + l] = SETTLE(one);
            }
    }
}
#endif

#ifdef KERNEL_reduce_group
/* The same by work-groups, in an order of its own: ROWS work-items share out the parts of each vector of values, GROUP / ROWS vectors side by
 * side. PARTIAL: the values do not fill whole vectors. */
#define FETCH(p) (PARTIAL ? LOAD(p) : LOAD_ALIGNED(p))
GROUP_KERNEL(reduce_group)(in_t in, out_t out, int count, int samples, int n)
{
    __local floatv sums[GROUP];
    const int item = get_local_id(0), columns = GROUP / ROWS, parts = (n + samples - 1) / samples, vectors = (count + VW - 1) / VW;
    const int vector = get_group_id(0) * columns + item % columns, i = min(vector, vectors - 1) * VW;
    floatv sum = SPLAT(0.0f);
    FOR_ROWS(p, inside, item / columns, ROWS, parts, 4, {
        floatv v = FETCH(in + (long)p * count + i);
        sum += inside ? v : SPLAT(0.0f);
    })
    sums[item] = sum;
    ADD_ROWS(item, ROWS, columns, other, sums[item] += sums[other];)
    if (item < columns && vector < vectors) {
        sum = sums[item];
        STORE_FIRST(sum, out + i, count - i)
    }
}
#undef FETCH
#endif

#ifdef KERNEL_pass_gradient
/* dx = dy, ended as DX_ARGUMENTS tells; they may be the same. An item is a float: the compiler makes vectors of them where it helps. */
ITEMS_KERNEL(pass_gradient)(__global const float *dy, DX_ARGUMENTS, int count, int n)
{
    FOR_ITEMS(i, n * count)
        STORE_DX1(dy[i], i);
}
#endif
