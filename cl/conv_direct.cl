/* Convolution, the CPU's shape: direct sums in register tiles, NHWC images, HWIO weights.
 *
 * forward and backward_data are one kernel: each makes an image DST (OH x OW x DST_C) from an image SRC (IH x IW x
 * SRC_C). A work-item (a work-group of its own) owns Q vectors of destination channels of one group, a band of rows of one
 * sample, and walks over it in tiles of TH x TW pixels whose sums all stay in registers. Each step of k loads Q vectors of
 * weights and broadcasts one source value a pixel:
 *
 *                 Q * VW channels                      TH, TW, Q   the tile: TH * TW * Q + Q + 1 registers
 *               +------------------+                   BAND        rows of a work-item
 *      TH * TW  | acc[TH * TW][Q]  | += src[pixel][k]  KH, KW      filter
 *       pixels  |                  |      * w[k]       SRC_G, DST_G channels of a group; SRC_C, DST_C of an image
 *               +------------------+
 *
 * Destination pixel p sees, through tap t of a dimension, source pixel (A p + B + C t) / D where that division is exact
 * and the result lies inside:  forward A = stride, B = -pad, C = dilation, D = 1;  backward_data A = 1, B = pad,
 * C = -dilation, D = stride, with the weights of each tap transposed first. Which pixels of a tile a
 * tap reaches is decided by the compiler wherever it can: CLIP says that edges matter at all; then the first and last tile
 * of a row have constant places, and MIDDLE_CLIP says that even tiles between them can touch an edge.
 * POOL_H, POOL_W: max pooling fused behind the convolution, windows side by side (1 x 1: none). forward then takes the rows
 * of windows at once (TH is POOL_H, TW a multiple of POOL_W) or one after the other (TH is 1), keeps the largest of each
 * window in registers, and stores the pooled values and, with KEEP, the places of the winners in their windows. The backward
 * passes are given the gradient of pooled values and those places: backward_data first lays the gradient of the whole sample
 * out in local memory, backward_weights takes it apart pixel by pixel.
 * MERGE: away from edges the taps of a filter row see one run of KW * SRC_G values of SRC (forward, no dilation, one group).
 *
 * KEEP: forward stores places.
 *
 * backward_weights sums x * dy over pixels; its tile is weights (taps x channels) by Q vectors of filters. See there.
 */
#define INSIDE(number, d, size) ((number) >= 0 && (number) % (d) == 0 && (number) / (d) < (size))
#define POOLED (POOL_H * POOL_W > 1)
#if POOLED
#define PLACE_ARGUMENT __global const uchar *place, /* of backward passes */
#else
#define PLACE_ARGUMENT
#endif

#if defined(KERNEL_forward) || defined(KERNEL_backward_data)
#define TAIL (DST_G % VW)
#define BLOCKS ((DST_G + Q * VW - 1) / (Q * VW))
#define ROW_NUMBER(r, kh) ((r)*A_H + B_H + (kh)*C_H)
#define COLUMN_NUMBER(p, kw) ((p)*A_W + B_W + (kw)*C_W)
/* Does pixel p of a tile at column ow0 see anything through tap kw; and where. check 0: no edge is near. */
#define TAKES(p, kw) (check ? INSIDE(COLUMN_NUMBER(ow0 + (p), kw), D_W, IW) : COLUMN_NUMBER(p, kw) % D_W == 0)
#define COLUMN(p, kw) (check ? COLUMN_NUMBER(ow0 + (p), kw) / D_W : ow0 * A_W / D_W + COLUMN_NUMBER(p, kw) / D_W)
#if TH > 1
#define UNROLL_ROWS UNROLL
#else
#define UNROLL_ROWS NO_UNROLL
#endif
#if MERGE && KW * SRC_G <= 9
#define FOR_RUN(k, run, ...) UNROLL for (int k = 0; k < (run); k++) __VA_ARGS__
#else
#define FOR_RUN BY_4
#endif

#if defined(KERNEL_backward_data) && POOLED
#define SOURCE __local const float
#define PIXEL SRC_G /* floats from a source pixel to the next */
#else
#define SOURCE __global const float
#define PIXEL SRC_C
#endif

/* STEP: rows from a tile to the one below it. What that is the first to read and write is asked for ahead. */
#ifdef KERNEL_forward
#define STEP (POOLED ? POOL_H : TH)
#define WINDOW_H POOL_H /* pixels of the destination as it is stored */
#define WINDOW_W POOL_W
#define FETCH_RESULT(at) PREFETCH(dst + (at), 0)
#else
#define STEP TH
#define WINDOW_H 1
#define WINDOW_W 1
#define FETCH_RESULT(at) PREFETCH(dx + (at), 0), PREFETCH(mask_y + (at), 0)
#endif
#define FETCH_RESULTS                                                                                                                \
    UNROLL for (int i_ = 0; i_ < STEP / WINDOW_H * (TW / WINDOW_W); i_++) {                                                          \
        int row_ = (oh0 + STEP) / WINDOW_H + i_ / (TW / WINDOW_W), column_ = ow0 / WINDOW_W + i_ % (TW / WINDOW_W);                  \
        UNROLL for (int c_ = 0; c_ < Q * VW; c_ += LINE)                                                                             \
            FETCH_RESULT(dst_index + (row_ * (OW / WINDOW_W) + column_) * DST_C + c_);                                               \
    }
#if SRC_G == SRC_C && !(defined(KERNEL_backward_data) && POOLED)
#define FETCH_SOURCES                                                                                                                \
    UNROLL for (int r_ = 0; r_ < (STEP * A_H + D_H - 1) / D_H; r_++) {                                                               \
        int row_ = ROW_NUMBER(oh0 + STEP, C_H > 0 ? KH - 1 : 0) / D_H + r_;                                                          \
        for (int i_ = 0; i_ < TW * A_W / D_W * SRC_C; i_ += LINE)                                                                    \
            PREFETCH(src + (row_ * IW + ow0 * A_W / D_W) * SRC_C, i_);                                                               \
    }
#else
#define FETCH_SOURCES
#endif

/* The sums of a tile at (oh0, ow0) of a sample: src points at the group's first channel of its first pixel, weights (and
 * bias, of forward) at the first destination channel. */
static __attribute__((always_inline)) void NAME(sums)(floatv (*acc)[Q], SOURCE *src, __global const float *weights,
                                                      __global const float *bias, const int oh0, const int ow0, const int check)
{
    UNROLL for (int q = 0; q < Q; q++) {
#if defined(KERNEL_forward) && BIAS
        floatv start = LOAD(bias + q * VW);
#else
        floatv start = SPLAT(0.0f);
#endif
        UNROLL for (int i = 0; i < TH * TW; i++)
            acc[i][q] = start;
    }
    const bool merged = MERGE && !check;
    const int taps = merged ? 1 : KW, run = merged ? KW * SRC_G : SRC_G;
    UNROLL_ROWS for (int kh = 0; kh < KH; kh++) {
#if CLIP && TH == 1
        if (!INSIDE(ROW_NUMBER(oh0, kh), D_H, IH))
            continue;
#endif
        UNROLL for (int kw = 0; kw < taps; kw++) {
            __global const float *w_tap = weights + (kh * KW + kw) * SRC_G_TAP;
            SOURCE *from = src;
            FOR_RUN(k, run, {
                floatv w[Q];
                UNROLL for (int q = 0; q < Q; q++)
                    w[q] = LOAD(w_tap + q * VW);
                UNROLL for (int r = 0; r < TH; r++) {
                    if (CLIP && TH > 1 && !INSIDE(ROW_NUMBER(oh0 + r, kh), D_H, IH))
                        continue;
                    SOURCE *row = from + ROW_NUMBER(oh0 + r, kh) / D_H * (IW * PIXEL);
                    UNROLL for (int p = 0; p < TW; p++) {
                        if (TAKES(p, kw)) {
                            floatv v = SPLAT(row[COLUMN(p, kw) * PIXEL]);
                            UNROLL for (int q = 0; q < Q; q++)
                                acc[r * TW + p][q] = fma(v, w[q], acc[r * TW + p][q]);
                        }
                    }
                }
                w_tap += W_STEP;
                from++;
            })
        }
    }
}

#if defined(KERNEL_forward) && POOLED
/* A tile of TW / POOL_W windows of a row at (oh0, ow0): as in pool.cl the first largest wins, and NaN counts as largest. */
static __attribute__((always_inline)) void NAME(tile)(SOURCE *src, __global const float *weights, __global const float *bias,
                                                      __global float *dst,
#if KEEP
                                                      __global uchar *place,
#endif
                                                      int dst_index, int c0, int row0, const int oh0, int column0,
                                                      const int ow0, const int check)
{
    FETCH_SOURCES
    FETCH_RESULTS
    floatv best[TW / POOL_W][Q];
    intv where[TW / POOL_W][Q];
    UNROLL for (int i = 0; i < TW / POOL_W; i++) {
        UNROLL for (int q = 0; q < Q; q++) {
            best[i][q] = SPLAT(-INFINITY);
            where[i][q] = (intv)(0);
        }
    }
    NO_UNROLL for (int r = 0; r < POOL_H; r += TH) {
        floatv acc[TH * TW][Q];
        NAME(sums)(acc, src, weights, bias, oh0 + r, ow0, check);
        UNROLL for (int i = 0; i < TH * TW; i++) {
            const int window = i % TW / POOL_W, in_window = i / TW * POOL_W + i % POOL_W;
            UNROLL for (int q = 0; q < Q; q++) {
                floatv v = acc[i][q], old = best[window][q];
                intv wins = ~(v <= old) & (old == old);
                if (TH == POOL_H && in_window == 0)
                    wins = (intv)(-1);
                best[window][q] = select(old, v, wins);
                where[window][q] = select(where[window][q], (intv)(r * POOL_W + in_window), wins);
            }
        }
    }
    UNROLL for (int i = 0; i < TW / POOL_W; i++) {
#if OW % TW != 0
        if (ow0 + i * POOL_W < column0)
            continue;
#endif
        UNROLL for (int q = 0; q < Q; q++) {
            int at = dst_index + (oh0 / POOL_H * (OW / POOL_W) + ow0 / POOL_W + i) * DST_C + q * VW;
            floatv out = ACTIVATE(best[i][q]);
            bool part = TAIL != 0 && c0 + (q + 1) * VW > DST_G;
            if (part)
                STORE_PART(out, dst + at, TAIL)
            else
                STORE(out, dst + at);
#if KEEP
            STORE_FIRST_PLACES(uchar, where[i][q], place + at, part ? TAIL : VW)
#endif
        }
    }
}
#else
/* A tile at (oh0, ow0) of a sample: c0 is its first destination channel within the group, dst_index the sample's start in
 * floats. Tiles at the end of a row or image are moved back to lie inside; pixels before (row0, column0) are another
 * tile's to store. */
static __attribute__((always_inline)) void NAME(tile)(SOURCE *src, __global const float *weights, __global const float *bias,
#ifdef KERNEL_forward
                                                      __global float *dst,
#else
                                                      DX_ARGUMENTS,
#endif
                                                      int dst_index, int c0, int row0, const int oh0, int column0,
                                                      const int ow0, const int check)
{
    FETCH_SOURCES
    FETCH_RESULTS
    floatv acc[TH * TW][Q];
    NAME(sums)(acc, src, weights, bias, oh0, ow0, check);
    UNROLL for (int i = 0; i < TH * TW; i++) {
#if OH % TH != 0
        if (oh0 + i / TW < row0)
            continue;
#endif
#if OW % TW != 0
        if (ow0 + i % TW < column0)
            continue;
#endif
        UNROLL for (int q = 0; q < Q; q++) {
            int at = dst_index + ((oh0 + i / TW) * OW + ow0 + i % TW) * DST_C + q * VW;
#ifdef KERNEL_forward
            floatv out = ACTIVATE(acc[i][q]);
            if (TAIL != 0 && c0 + (q + 1) * VW > DST_G)
                STORE_PART(out, dst + at, TAIL)
            else
                STORE(out, dst + at);
#else
            if (TAIL != 0 && c0 + (q + 1) * VW > DST_G)
                STORE_DX_PART(acc[i][q], at, TAIL)
            else
                STORE_DX(acc[i][q], at);
#endif
        }
    }
}

#endif

/* Work-item (channel block of a group, band of rows, sample). */
#ifdef KERNEL_forward
#if KEEP
#define KEPT_ARGUMENT , __global uchar *place
#define TILE(column, ow, check) NAME(tile)(src, weights, bias, dst, place, dst_index, c0, row, oh, column, ow, check)
#else
#define KEPT_ARGUMENT
#define TILE(column, ow, check) NAME(tile)(src, weights, bias, dst, dst_index, c0, row, oh, column, ow, check)
#endif
SOLO_KERNEL(forward)(in_t x, in_t parameters, out_t dst KEPT_ARGUMENT)
#else
#define TILE(column, ow, check) NAME(tile)(src, weights, weights, dx, mask_y, dst_index, c0, row, oh, column, ow, check)
SOLO_KERNEL(backward_data)(in_t x, in_t parameters, PLACE_ARGUMENT DX_ARGUMENTS)
#endif
{
#if defined(KERNEL_backward_data) && POOLED
    /* the sample's gradient before the pooling, channels of the group */
    LOCAL_FLOATS(whole, IH * IW * SRC_G)
#endif
    int group = get_global_id(0) / BLOCKS, c0 = get_global_id(0) % BLOCKS * (Q * VW), sample = get_global_id(2);
    int first = get_global_id(1) * BAND, last = min(first + BAND, OH);
#if defined(KERNEL_backward_data) && POOLED
    SOURCE *src = whole;
    NO_UNROLL for (int ih = 0; ih < IH; ih++) {
        NO_UNROLL for (int iw = 0; iw < IW; iw++) {
            int at = ((sample * (IH / POOL_H) + ih / POOL_H) * (IW / POOL_W) + iw / POOL_W) * SRC_C + group * SRC_G;
            NO_UNROLL for (int c = 0; c < SRC_G / VW * VW; c += VW) {
                intv wins = LOAD_PLACES(uchar, place + at + c) == ih % POOL_H * POOL_W + iw % POOL_W;
                CAT(vstore, VW)(select(SPLAT(0.0f), LOAD(x + at + c), wins), 0, whole + (ih * IW + iw) * SRC_G + c);
            }
            PLAIN_LOOP for (int c = SRC_G / VW * VW; c < SRC_G; c++)
                whole[(ih * IW + iw) * SRC_G + c] = place[at + c] == ih % POOL_H * POOL_W + iw % POOL_W ? x[at + c] : 0.0f;
        }
    }
#else
    SOURCE *src = x + (long)sample * (IH * IW * SRC_C) + group * SRC_G;
#endif
    __global const float *weights = parameters + group * W_GROUP + c0;
#ifdef KERNEL_forward
    __global const float *bias = parameters + KH * KW * SRC_G * DST_C + group * DST_G + c0;
#endif
#ifdef KERNEL_forward
    int dst_index = sample * (OH / POOL_H * (OW / POOL_W) * DST_C) + group * DST_G + c0;
#else
    int dst_index = sample * (OH * OW * DST_C) + group * DST_G + c0;
#endif
    NO_UNROLL for (int row = first; row < last; row += STEP) {
#if TH == OH
        const int oh = 0;
#else
        int oh = OH % TH != 0 ? min(row, OH - TH) : row;
#endif
#if TW == OW
        TILE(0, 0, CLIP);
#elif !CLIP
        NO_UNROLL for (int ow = 0; ow < OW; ow += TW)
            TILE(ow, (OW % TW != 0 ? min(ow, OW - TW) : ow), 0);
#else
        TILE(0, 0, 1);
        NO_UNROLL for (int ow = TW; ow + TW < OW; ow += TW)
            TILE(ow, ow, MIDDLE_CLIP);
        TILE((OW - 1) / TW * TW, OW - TW, 1);
#endif
    }
}
#undef TAIL
#undef BLOCKS
#undef ROW_NUMBER
#undef COLUMN_NUMBER
#undef TAKES
#undef COLUMN
#undef UNROLL_ROWS
#undef FOR_RUN
#undef SOURCE
#undef PIXEL
#undef STEP
#undef FETCH_RESULT
#undef WINDOW_H
#undef WINDOW_W
#undef FETCH_RESULTS
#undef FETCH_SOURCES
#undef TILE
#undef KEPT_ARGUMENT
#endif

#ifdef KERNEL_backward_weights
/* partial[chunk][w][filter] = sum over the chunk's samples and pixels of x * dy, and behind the weights the sums of dy
 * for the bias. w counts (kh, kw, channel of the group). A work-item (BLOCKS_EACH blocks of a group's filters,
 * RUNS_EACH runs, chunk of SAMPLES samples) does runs of ROWS x TAPS taps of all channels, in tiles of CHANNELS. A tile takes N
 * columns of dy at a time, so that a value of x that is broadcast serves every tap through which one of them sees it:
 *
 *   ROWS * TAPS     Q * VW filters              dy  |  0 |  1 |  2 |  3 |       N = 4 columns
 *   * CHANNELS    +----------------+                  |\   |\   |\   |\         TAPS = 3: the value in the middle of x is
 *     weights     | acc[T][Q]      | += x * dy   x  | . | . | o | . | . | . |    multiplied by the columns 0, 1 and 2
 *                 +----------------+
 *
 * in T * Q + N * Q + 1 registers, Q more where the bias is summed up at the same time (BIAS_INSIDE). The sums of a tile take in
 * BAND rows of dy before the next tile takes in the same, so that those stay in the first-level cache for all tiles.
 */
#define TAIL (DST_G % VW)
#define BLOCKS ((DST_G + Q * VW - 1) / (Q * VW))
#define T (ROWS * TAPS * CHANNELS)
#define SPLITS ((BLOCKS + BLOCKS_EACH - 1) / BLOCKS_EACH)
#define RUNS_W ((KW + TAPS - 1) / TAPS)
#define RUNS ((KH + ROWS - 1) / ROWS * RUNS_W)
#define TILES ((SRC_G + CHANNELS - 1) / CHANNELS) /* of a run */
#define LAST ((OW - 1) / N * N) /* where the last columns begin */
/* Columns between the first N and the last can touch an edge, or where the edges are is not known to the compiler. */
#define MIDDLE_CHECK (TAPS < KW || N * STRIDE_W < PAD_W || (LAST - 1) * STRIDE_W - PAD_W + (KW - 1) * DILATION_W >= IW)
/* The place of weight t of a tile among all, and whether no tile before has it. */
#define WEIGHT(t) (((kh + (t) / (TAPS * CHANNELS)) * KW + kw + (t) / CHANNELS % TAPS) * SRC_G + k + (t) % CHANNELS)
#define OWN(t)                                                                                                                  \
    ((KH % ROWS == 0 || kh + (t) / (TAPS * CHANNELS) >= own_kh) && (KW % TAPS == 0 || kw + (t) / CHANNELS % TAPS >= own_kw) && \
     (SRC_G % CHANNELS == 0 || k + (t) % CHANNELS >= own_k))
#define GO_ON (BAND < SAMPLES * OH) /* a tile's sums are taken up again */
#define SAVE(v, w, q)                                                   \
    {                                                                   \
        __global float *to_ = out + (w)*DST_C + (q)*VW;                 \
        if (TAIL != 0 && c0 + ((q) + 1) * VW > DST_G)                        \
            STORE_PART(v, to_, TAIL)                                    \
        else                                                            \
            STORE(v, to_);                                              \
    }

/* Fetches what the next row needs into the cache, where few tiles take it from there again: memory is the bound then. */
#if RUNS * TILES <= 4
#define AHEAD(p) PREFETCH(p, 0)
#else
#define AHEAD(p)
#endif
/* d_row: the row of dy. With pooling it and place_row are the windows', and pool_row is the row's place in them. */
#if POOLED
#define ROW_ARGUMENTS __global const float *d_row, __global const uchar *place_row, int pool_row
#define ROW_OF_D d_row, place_row, pool_row
#define FIND_ROW(row, oh, filter)                                                                       \
    long row_at = (long)((row) / POOL_H) * (OW / POOL_W * DST_C) + (filter);                            \
    __global const float *d_row = dy + row_at;                                                          \
    __global const uchar *place_row = place + row_at;                                                   \
    int pool_row = (oh) % POOL_H * POOL_W;
#else
#define ROW_ARGUMENTS __global const float *d_row
#define ROW_OF_D d_row
#define FIND_ROW(row, oh, filter) __global const float *d_row = dy + (long)(row) * (OW * DST_C) + (filter);
#endif

/* Takes in count columns of a row of dy from ow0 on: src points at what column 0 sees through the first tap, which is column
 * shift of row ih of x. check, check_rows 0: no edge is near. none is 0, which the compiler does not know. */
static __attribute__((always_inline)) void NAME(columns)(floatv (*acc)[Q], floatv *bias, __global const float *src, int none, ROW_ARGUMENTS, int ih,
                                                         int shift, const int check_rows, const int ow0, const int count, const int check)
{
    /* with a part that is not known, lest compilers keep values that the next columns see too in registers, of which there are too few */
    __global const float *here = src + (ow0 * (STRIDE_W * SRC_C) ^ none);
    floatv d[N][Q];
    UNROLL for (int n = 0; n < N; n++) {
        UNROLL for (int q = 0; q < Q; q++) {
            if (n >= count)
                continue;
#if POOLED
            /* whole windows at a time where N allows: loaded once */
            int window = N % POOL_W == 0 ? ow0 / POOL_W + n / POOL_W : (ow0 + n) / POOL_W, at = window * DST_C + q * VW;
            intv wins = LOAD_PLACES(uchar, place_row + at) - pool_row == (N % POOL_W == 0 ? n % POOL_W : (ow0 + n) % POOL_W);
            d[n][q] = select(SPLAT(0.0f), LOAD(d_row + at), wins);
            if (n % POOL_W == 0) {
                AHEAD(d_row + at + OW / POOL_W * DST_C);
            }
#else
            d[n][q] = LOAD(d_row + (ow0 + n) * DST_C + q * VW);
            AHEAD(d_row + (ow0 + n + OW) * DST_C + q * VW);
#endif
        }
    }
#if BIAS_INSIDE
    UNROLL for (int q = 0; q < Q; q++) {
#if REPRODUCIBLE
        UNROLL for (int n = 0; n < N; n++) {
            if (n < count)
                bias[q] += d[n][q];
        }
#else /* a shorter chain of sums, each of which waits for the one before, than those of the weights */
        floatv sum = d[0][q];
        UNROLL for (int n = 1; n < N; n++) {
            if (n < count)
                sum += d[n][q];
        }
        bias[q] += sum;
#endif
    }
#endif
    UNROLL for (int j = 0; j <= (N - 1) * STRIDE_W + (TAPS - 1) * DILATION_W; j++) {
        int column = ow0 * STRIDE_W + j;
        if (check && (column + shift < 0 || column + shift >= IW))
            continue;
        AHEAD(here + ((ROWS - 1) * DILATION_H + STRIDE_H * IW + j) * SRC_C);
        UNROLL for (int r = 0; r < ROWS; r++) {
            if (check_rows && (ih + r * DILATION_H < 0 || ih + r * DILATION_H >= IH))
                continue;
            UNROLL for (int c = 0; c < CHANNELS; c++) {
                floatv v = SPLAT(here[(r * DILATION_H * IW + j) * SRC_C + c]);
                UNROLL for (int u = 0; u < TAPS; u++) {
                    int n = (j - u * DILATION_W) / STRIDE_W;
                    if (j >= u * DILATION_W && (j - u * DILATION_W) % STRIDE_W == 0 && n < count) {
                        UNROLL for (int q = 0; q < Q; q++)
                            acc[(r * TAPS + u) * CHANNELS + c][q] = fma(v, d[n][q], acc[(r * TAPS + u) * CHANNELS + c][q]);
                    }
                }
            }
        }
    }
}

#define COLUMNS(ow, count, check_rows, check) NAME(columns)(acc, bias, src, none, ROW_OF_D, ih, shift, check_rows, ow, count, check)
#if CLIP
#define ALL_COLUMNS(check_rows)                                  \
    {                                                            \
        COLUMNS(0, min(N, OW), check_rows, 1);                   \
        NO_UNROLL for (int ow = N; ow < LAST; ow += N)           \
            COLUMNS(ow, N, check_rows, MIDDLE_CHECK);            \
        if (LAST > 0)                                            \
            COLUMNS(LAST, OW - LAST, check_rows, 1);             \
    }
#else
#define ALL_COLUMNS(check_rows)                                  \
    {                                                            \
        NO_UNROLL for (int ow = 0; ow + N <= OW; ow += N)        \
            COLUMNS(ow, N, check_rows, 0);                       \
        if (OW % N != 0)                                         \
            COLUMNS(LAST, OW - LAST, check_rows, 0);             \
    }
#endif

SOLO_KERNEL(backward_weights)(in_t x, in_t dy, PLACE_ARGUMENT out_t partial, int n)
{
    int group = get_global_id(0) / SPLITS, first_block = get_global_id(0) % SPLITS * BLOCKS_EACH, last_block = min(first_block + BLOCKS_EACH, BLOCKS);
    int first_run = get_global_id(1) * RUNS_EACH, last_run = min(first_run + RUNS_EACH, RUNS), chunk = get_global_id(2);
    int first = chunk * SAMPLES * OH, last = min(first + SAMPLES * OH, n * OH); /* rows of dy */
    int none = n >> 31;
    NO_UNROLL for (int band = first; band < last; band += BAND) {
        int end = min(band + BAND, last);
        NO_UNROLL for (int block = first_block; block < last_block; block++) {
            int c0 = block * (Q * VW), filter = group * DST_G + c0;
            __global float *out = partial + (long)chunk * ((KH * KW * SRC_G + BIAS) * DST_C) + filter;
            NO_UNROLL for (int i = first_run * TILES; i < last_run * TILES; i++) {
                /* the last tile of a dimension begins earlier where it would not be full; what it shares with the one before is that one's */
                int run = i / TILES, own_kh = run / RUNS_W * ROWS, own_kw = run % RUNS_W * TAPS, own_k = i % TILES * CHANNELS;
                int kh = min(own_kh, KH - ROWS), kw = min(own_kw, KW - TAPS), k = min(own_k, SRC_G - CHANNELS);
                int shift = (TAPS < KW ? kw * DILATION_W : 0) - PAD_W;
                floatv acc[T][Q], bias[Q];
                UNROLL for (int q = 0; q < Q; q++) {
                    UNROLL for (int t = 0; t < T; t++)
                        acc[t][q] = GO_ON && band > first && OWN(t) ? LOAD(out + WEIGHT(t) * DST_C + q * VW) : SPLAT(0.0f);
                    bias[q] = GO_ON && band > first && BIAS_INSIDE && i == 0 ? LOAD(out + KH * KW * SRC_G * DST_C + q * VW) : SPLAT(0.0f);
                }
                int oh = band % OH, ih = oh * STRIDE_H - PAD_H + kh * DILATION_H;
                __global const float *src = x + (long)(band / OH) * (IH * IW * SRC_C) + (ih * IW + shift) * SRC_C + group * SRC_G + k;
                NO_UNROLL for (int row = band; row < end; row++) {
                    FIND_ROW(row, oh, filter)
#if CLIP && ROWS == 1 && !BIAS_INSIDE
                    if (ih >= 0 && ih < IH)
#elif CLIP
                    if (ih < 0 || ih + (ROWS - 1) * DILATION_H >= IH)
                        ALL_COLUMNS(1)
                    else
#endif
                        ALL_COLUMNS(0)
                    ih += STRIDE_H;
                    src += STRIDE_H * IW * SRC_C;
                    if (++oh == OH) {
                        oh = 0;
                        ih -= OH * STRIDE_H;
                        src += (IH - OH * STRIDE_H) * (IW * SRC_C);
                    }
                }
                UNROLL for (int t = 0; t < T; t++) {
                    if (OWN(t)) {
                        UNROLL for (int q = 0; q < Q; q++)
                            SAVE(acc[t][q], WEIGHT(t), q)
                    }
                }
                if (BIAS_INSIDE && i == 0) {
                    UNROLL for (int q = 0; q < Q; q++)
                        SAVE(bias[q], KH * KW * SRC_G, q)
                }
            }
        }
    }
#if BIAS && !BIAS_INSIDE
    NO_UNROLL for (int block = first_run == 0 ? first_block : last_block; block < last_block; block++) {
        int c0 = block * (Q * VW), filter = group * DST_G + c0;
        __global float *out = partial + (long)chunk * ((KH * KW * SRC_G + BIAS) * DST_C) + filter;
        floatv bias[Q];
        UNROLL for (int q = 0; q < Q; q++)
            bias[q] = SPLAT(0.0f);
        /* each pooled value has one winner, so their sum is the same without places */
        NO_UNROLL for (long at = (long)first / POOL_H * (OW / POOL_W); at < (long)last / POOL_H * (OW / POOL_W); at++) {
            UNROLL for (int q = 0; q < Q; q++)
                bias[q] += LOAD(dy + at * DST_C + filter + q * VW);
        }
        UNROLL for (int q = 0; q < Q; q++)
            SAVE(bias[q], KH * KW * SRC_G, q)
    }
#endif
}
#undef TAIL
#undef BLOCKS
#undef T
#undef SPLITS
#undef RUNS_W
#undef GO_ON
#undef RUNS
#undef TILES
#undef LAST
#undef MIDDLE_CHECK
#undef SAVE
#undef ROW_ARGUMENTS
#undef ROW_OF_D
#undef FIND_ROW
#undef AHEAD
#undef WEIGHT
#undef OWN
#undef COLUMNS
#undef ALL_COLUMNS
#endif
#undef INSIDE
#undef POOLED
#undef PLACE_ARGUMENT
