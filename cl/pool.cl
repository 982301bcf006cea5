/* Max, average and global average pooling. The window is made of constants, the sizes are arguments, so one kernel serves
 * every layer of the same window.
 *
 *   FH, FW  the window     SH, SW  strides     PT, PL  padding above and left
 *   PADDED  0: every window lies inside the input as a whole
 *   ROWS    1: an item is a row of pixels, all channels (CPU); 0: an item is VW channels of one pixel (GPU, so that
 *           neighbours read neighbouring channels)
 *   INDEX   uchar or ushort: the type of a winner's place in its window, row * FW + column
 *
 * Vectors run over channels; of the last one of a pixel, count lanes are stored.
 */
#define BLOCKS ((channels + VW - 1) / VW)
#if ROWS
#define PER_ROW(columns) 1
#define FOR_ROW(item, column, c, columns)                  \
    for (int column = 0; column < (columns); column++)     \
        for (int c = 0; c < channels; c += VW)
#else
#define PER_ROW(columns) ((columns) * BLOCKS)
#define FOR_ROW(item, column, c, columns) \
    for (int column = item / BLOCKS % (columns), c = item % BLOCKS * VW, once_ = 1; once_; once_ = 0)
#endif

#if defined(FH) && FH * FW <= 16 && !PADDED
#define WINDOW_LOOP UNROLL
#else
#define WINDOW_LOOP NO_UNROLL
#endif

/* The part of a window that lies inside the input: first and end of its rows, of its columns. */
#if PADDED
#define FIRST_PLACE(at) max(0, -(at))
#define END_PLACE(at, filter, size) min(filter, (size) - (at))
#else
#define FIRST_PLACE(at) 0
#define END_PLACE(at, filter, size) (filter)
#endif

/* The windows that cover input row or column at (padding counted in): first and last. */
#define FIRST_WINDOW(at, filter, stride) ((at) < (filter) ? 0 : ((at) - (filter)) / (stride) + 1)
#define LAST_WINDOW(at, stride, count) min((at) / (stride), (count) - 1)

#ifdef KERNEL_max_forward
/* y[s][oh][ow][c] = the largest x of the window, the first such; NaN counts as largest. KEEP: index is its place. */
#if KEEP
#define KEPT_ARGUMENT __global INDEX *index,
#else
#define KEPT_ARGUMENT
#endif
ITEMS_KERNEL(max_forward)(in_t x, out_t y, KEPT_ARGUMENT int height, int width, int channels, int out_height, int out_width, int n)
{
    FOR_ITEMS(item, n * out_height * PER_ROW(out_width)) {
        int row = item / PER_ROW(out_width), h = row % out_height * SH - PT;
        __global const float *image = x + (long)(row / out_height) * height * width * channels;
        FOR_ROW(item, ow, c, out_width) {
            int w = ow * SW - PL;
            int kh0 = FIRST_PLACE(h), kh1 = END_PLACE(h, FH, height), kw0 = FIRST_PLACE(w), kw1 = END_PLACE(w, FW, width);
            __global const float *from = image + (h * width + w) * channels + c;
            floatv best = LOAD(from + (kh0 * width + kw0) * channels);
            intv place = (intv)(kh0 * FW + kw0);
            WINDOW_LOOP for (int kh = kh0; kh < kh1; kh++) {
                WINDOW_LOOP for (int kw = kw0; kw < kw1; kw++) {
                    floatv v = LOAD(from + (kh * width + kw) * channels);
                    intv wins = ~(v <= best) & (best == best);
                    best = select(best, v, wins);
                    place = select(place, (intv)(kh * FW + kw), wins);
                }
            }
            long o = ((long)row * out_width + ow) * channels + c;
            STORE_FIRST(best, y + o, channels - c)
#if KEEP
            STORE_FIRST_PLACES(INDEX, place, index + o, channels - c)
#endif
        }
    }
}
#undef KEPT_ARGUMENT
#endif

#ifdef KERNEL_max_scatter
/* backward_data where windows lie apart (stride >= window, no padding): each output owns the input up to the next
 * window, in the last row and column up to the border, and writes the gradient to the winner and zeros around it.
 * The winner's value is the pooled one, so the activation before the pool is taken back from y (pooled), unless dx is
 * added to, where f' stands before what is already there. */
#if ACCUMULATE
#define STORE_PLACE(v, i, more) STORE_DX_FIRST(v, i, more)
#else
#define STORE_PLACE(v, i, more) STORE_FIRST(v, dx + (i), more)
#endif
ITEMS_KERNEL(max_scatter)(in_t dy, in_t y, __global const INDEX *index, DX_ARGUMENTS, int height, int width, int channels,
                          int out_height, int out_width, int n)
{
    FOR_ITEMS(item, n * out_height * PER_ROW(out_width)) {
        int row = item / PER_ROW(out_width), oh = row % out_height;
        long image = (long)(row / out_height) * height * width * channels;
        int rows = oh == out_height - 1 ? height - oh * SH : SH;
        FOR_ROW(item, ow, c, out_width) {
            long o = ((long)row * out_width + ow) * channels + c, i = image + ((long)oh * SH * width + ow * SW) * channels + c;
            int columns = ow == out_width - 1 ? width - ow * SW : SW, more = channels - c;
            floatv g = LOAD(dy + o);
            intv place = LOAD_PLACES(INDEX, index + o);
#if !ACCUMULATE
            g = GRADIENT_AS(floatv, g, LOAD(y + o));
#endif
            WINDOW_LOOP for (int kh = 0; kh < FH; kh++) {
                WINDOW_LOOP for (int kw = 0; kw < FW; kw++) {
                    floatv v = select(SPLAT(0.0f), g, place == kh * FW + kw);
                    STORE_PLACE(v, i + (kh * width + kw) * channels, more)
                }
            }
            /* what no window covers: right of the window, then below it */
            for (int kh = 0; kh < rows; kh++)
                for (int kw = kh < FH ? FW : 0; kw < columns; kw++) {
                    STORE_PLACE(SPLAT(0.0f), i + (kh * width + kw) * channels, more)
                }
        }
    }
}
#undef STORE_PLACE
#endif

#ifdef KERNEL_max_gather
/* backward_data of any window: each input sums the gradients of the windows whose winner it is, in order. */
ITEMS_KERNEL(max_gather)(in_t dy, __global const INDEX *index, DX_ARGUMENTS, int height, int width, int channels,
                         int out_height, int out_width, int n)
{
    FOR_ITEMS(item, n * height * PER_ROW(width)) {
        int row = item / PER_ROW(width), h = row % height + PT;
        long outputs = (long)(row / height) * out_height * out_width * channels;
        int oh0 = FIRST_WINDOW(h, FH, SH), oh1 = LAST_WINDOW(h, SH, out_height);
        FOR_ROW(item, column, c, width) {
            int w = column + PL, ow0 = FIRST_WINDOW(w, FW, SW), ow1 = LAST_WINDOW(w, SW, out_width);
            floatv sum = SPLAT(0.0f);
            for (int oh = oh0; oh <= oh1; oh++)
                for (int ow = ow0; ow <= ow1; ow++) {
                    long o = outputs + ((long)oh * out_width + ow) * channels + c;
                    intv place = LOAD_PLACES(INDEX, index + o);
                    sum += select(SPLAT(0.0f), LOAD(dy + o), place == (h - oh * SH) * FW + w - ow * SW);
                }
            STORE_DX_FIRST(sum, ((long)row * width + column) * channels + c, channels - c)
        }
    }
}
#endif

#ifdef KERNEL_average_forward
/* y = the mean over the pixels of the window that lie inside the input. */
ITEMS_KERNEL(average_forward)(in_t x, out_t y, int height, int width, int channels, int out_height, int out_width, int n)
{
    FOR_ITEMS(item, n * out_height * PER_ROW(out_width)) {
        int row = item / PER_ROW(out_width), h = row % out_height * SH - PT;
        __global const float *image = x + (long)(row / out_height) * height * width * channels;
        FOR_ROW(item, ow, c, out_width) {
            int w = ow * SW - PL;
            int kh0 = FIRST_PLACE(h), kh1 = END_PLACE(h, FH, height), kw0 = FIRST_PLACE(w), kw1 = END_PLACE(w, FW, width);
            __global const float *from = image + (h * width + w) * channels + c;
            floatv sum = SPLAT(0.0f);
            WINDOW_LOOP for (int kh = kh0; kh < kh1; kh++) {
                WINDOW_LOOP for (int kw = kw0; kw < kw1; kw++)
                    sum += LOAD(from + (kh * width + kw) * channels);
            }
            sum = DIV(sum, SPLAT((float)((kh1 - kh0) * (kw1 - kw0))));
            STORE_FIRST(sum, y + ((long)row * out_width + ow) * channels + c, channels - c)
        }
    }
}
#endif

#ifdef KERNEL_average_gather
/* Each input sums its share of the windows that cover it. */
ITEMS_KERNEL(average_gather)(in_t dy, DX_ARGUMENTS, int height, int width, int channels, int out_height, int out_width, int n)
{
    FOR_ITEMS(item, n * height * PER_ROW(width)) {
        int row = item / PER_ROW(width), h = row % height + PT;
        long outputs = (long)(row / height) * out_height * out_width * channels;
        int oh0 = FIRST_WINDOW(h, FH, SH), oh1 = LAST_WINDOW(h, SH, out_height);
        FOR_ROW(item, column, c, width) {
            int w = column + PL, ow0 = FIRST_WINDOW(w, FW, SW), ow1 = LAST_WINDOW(w, SW, out_width);
            floatv sum = SPLAT(0.0f);
            for (int oh = oh0; oh <= oh1; oh++) {
                int top = oh * SH - PT, rows = END_PLACE(top, FH, height) - FIRST_PLACE(top);
                for (int ow = ow0; ow <= ow1; ow++) {
                    int left = ow * SW - PL, columns = END_PLACE(left, FW, width) - FIRST_PLACE(left);
                    sum += DIV(LOAD(dy + outputs + ((long)oh * out_width + ow) * channels + c), SPLAT((float)(rows * columns)));
                }
            }
            STORE_DX_FIRST(sum, ((long)row * width + column) * channels + c, channels - c)
        }
    }
}
#endif

#ifdef KERNEL_global_forward
/* y[s][c] = the mean of x[s][p][c] over the pixels p. Here a row is a sample, its only column the mean. */
ITEMS_KERNEL(global_forward)(in_t x, out_t y, int pixels, int channels, int n)
{
    FOR_ITEMS(item, n * PER_ROW(1)) {
        int s = item / PER_ROW(1);
        FOR_ROW(item, column, c, 1) {
            __global const float *from = x + (long)s * pixels * channels + c;
            floatv sum = SPLAT(0.0f);
            for (int p = 0; p < pixels; p++)
                sum += LOAD(from + (long)p * channels);
            sum = DIV(sum, SPLAT((float)pixels));
            STORE_FIRST(sum, y + (long)s * channels + c, channels - c)
        }
    }
}
#endif

#ifdef KERNEL_global_backward_data
/* dx[s][p][c] = dy[s][c] / pixels. A row is a sample. */
ITEMS_KERNEL(global_backward_data)(in_t dy, DX_ARGUMENTS, int pixels, int channels, int n)
{
    FOR_ITEMS(item, n * PER_ROW(pixels)) {
        int s = item / PER_ROW(pixels);
        FOR_ROW(item, p, c, pixels) {
            floatv g = DIV(LOAD(dy + (long)s * channels + c), SPLAT((float)pixels));
            STORE_DX_FIRST(g, ((long)s * pixels + p) * channels + c, channels - c)
        }
    }
}
#endif
#undef BLOCKS
#undef PER_ROW
#undef FOR_ROW
#undef WINDOW_LOOP
#undef FIRST_PLACE
#undef END_PLACE
#undef FIRST_WINDOW
#undef LAST_WINDOW
