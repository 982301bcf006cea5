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
 * of a window one after the other (TH is 1, TW a multiple of POOL_W), keeps the largest of each window in registers, and
 * stores the pooled values and, with KEEP, the places of the winners in their windows. The backward passes are given the
 * gradient of pooled values and those places: backward_data first lays the gradient of the whole sample out in local memory,
 * backward_weights takes it apart pixel by pixel.
 * MERGE: the taps of a filter row are one run of KW * SRC_G values of SRC (forward, no edges, no dilation, one group).
 *
 * KEEP: forward stores places.
 *
 * backward_weights sums x * dy over pixels; its tile is T weights (taps x channels) by Q vectors of filters. See there.
 */
#define INSIDE(number, d, size) ((number) >= 0 && (number) % (d) == 0 && (number) / (d) < (size))
#define POOLED (POOL_H * POOL_W > 1)
#if POOLED
#define PLACE_ARGUMENT __global const uchar *place, /* of backward passes */
#else
#define PLACE_ARGUMENT
#endif
#define PLACES CAT(uchar, VW)
#define WIDE CAT(convert_int, VW)

#if defined(KERNEL_forward) || defined(KERNEL_backward_data)
#define TAIL (DST_G % VW)
#define BLOCKS ((DST_G + Q * VW - 1) / (Q * VW))
#define RUN (MERGE ? KW * SRC_G : SRC_G)
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
#define UNROLL_RUN UNROLL
#else
#define UNROLL_RUN NO_UNROLL
#endif

#if defined(KERNEL_backward_data) && POOLED
#define SOURCE __local const float
#define PIXEL SRC_G /* floats from a source pixel to the next */
#else
#define SOURCE __global const float
#define PIXEL SRC_C
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
    UNROLL_ROWS for (int kh = 0; kh < KH; kh++) {
#if CLIP && TH == 1
        if (!INSIDE(ROW_NUMBER(oh0, kh), D_H, IH))
            continue;
#endif
        UNROLL for (int kw = 0; kw < (MERGE ? 1 : KW); kw++) {
            __global const float *w_tap = weights + (kh * KW + kw) * SRC_G_TAP;
            UNROLL_RUN for (int k = 0; k < RUN; k++) {
                floatv w[Q];
                UNROLL for (int q = 0; q < Q; q++)
                    w[q] = LOAD(w_tap + k * W_STEP + q * VW);
                UNROLL for (int r = 0; r < TH; r++) {
#if CLIP && TH > 1
                    if (!INSIDE(ROW_NUMBER(oh0 + r, kh), D_H, IH))
                        continue;
#endif
                    SOURCE *row = src + ROW_NUMBER(oh0 + r, kh) / D_H * (IW * PIXEL) + k;
                    UNROLL for (int p = 0; p < TW; p++) {
                        if (TAKES(p, kw)) {
                            floatv v = SPLAT(row[COLUMN(p, kw) * PIXEL]);
                            UNROLL for (int q = 0; q < Q; q++)
                                acc[r * TW + p][q] = fma(v, w[q], acc[r * TW + p][q]);
                        }
                    }
                }
            }
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
    floatv best[TW / POOL_W][Q];
    intv where[TW / POOL_W][Q];
    UNROLL for (int i = 0; i < TW / POOL_W; i++) {
        UNROLL for (int q = 0; q < Q; q++) {
            best[i][q] = SPLAT(-INFINITY);
            where[i][q] = (intv)(0);
        }
    }
    NO_UNROLL for (int r = 0; r < POOL_H; r++) {
        floatv acc[TW][Q];
        NAME(sums)(acc, src, weights, bias, oh0 + r, ow0, check);
        UNROLL for (int i = 0; i < TW; i++) {
            UNROLL for (int q = 0; q < Q; q++) {
                floatv v = acc[i][q], old = best[i / POOL_W][q];
                intv wins = ~(v <= old) & (old == old);
                best[i / POOL_W][q] = select(old, v, wins);
                where[i / POOL_W][q] = select(where[i / POOL_W][q], (intv)(r * POOL_W + i % POOL_W), wins);
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
            PLACES places = CAT(convert_, PLACES)(where[i][q]);
            if (part) {
                uchar lane[VW];
                CAT(vstore, VW)(places, 0, lane);
                UNROLL for (int l = 0; l < TAIL; l++)
                    place[at + l] = lane[l];
            } else {
                CAT(vstore, VW)(places, 0, place + at);
            }
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
#define STEP (POOLED ? POOL_H : TH) /* rows from a tile to the next */
#if KEEP
#define KEPT_ARGUMENT , __global uchar *place
#define TILE(column, ow, check) NAME(tile)(src, weights, bias, dst, place, dst_index, c0, row, oh, column, ow, check)
#else
#define KEPT_ARGUMENT
#define TILE(column, ow, check) NAME(tile)(src, weights, bias, dst, dst_index, c0, row, oh, column, ow, check)
#endif
SOLO_KERNEL(forward)(in_t x, in_t parameters, out_t dst KEPT_ARGUMENT)
#else
#define STEP TH
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
                intv wins = WIDE(CAT(vload, VW)(0, place + at + c)) == ih % POOL_H * POOL_W + iw % POOL_W;
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
#undef RUN
#undef ROW_NUMBER
#undef COLUMN_NUMBER
#undef TAKES
#undef COLUMN
#undef UNROLL_ROWS
#undef UNROLL_RUN
#undef SOURCE
#undef PIXEL
#undef STEP
#undef TILE
#undef KEPT_ARGUMENT
#endif

#ifdef KERNEL_backward_weights
/* partial[chunk][w][filter] = sum over the chunk's samples and pixels of x * dy, and behind the weights the sums of dy
 * for the bias. w counts (kh, kw, channel of the group). A work-item (filter block of a group, run, chunk of SAMPLES
 * samples) does a run of weights that are neighbours in x too, in tiles of T:
 *
 *              Q * VW filters              RUN   weights of a run: ALL filter rows (few channels), a filter row
 *           +---------------+                    (MERGE: no edges, no dilation, one group), or a tap's channels
 *      T    | acc[T][Q]     | += x[t]      BLOCK samples that all tiles of a run take before the next, so that they stay in
 *  weights  |               |    * dy[.]         cache
 *           +---------------+              T * Q + Q + 1 registers (ALL: 2 Q + 1, for the bias)
 */
#define TAIL (DST_G % VW)
#define BLOCKS ((DST_G + Q * VW - 1) / (Q * VW))
#define SAVE(v, w, q)                                                   \
    {                                                                   \
        __global float *to_ = out + (w)*DST_C + (q)*VW;                 \
        if (TAIL != 0 && c0 + ((q) + 1) * VW > DST_G)                        \
            STORE_PART(v, to_, TAIL)                                    \
        else                                                            \
            STORE(v, to_);                                              \
    }
/* The pixel of tap t (of ALL's run) relative to the first tap's, in floats of x. */
#define TAP(t) (((t) / (KW * SRC_G) * DILATION_H * IW + (t) / SRC_G % KW * DILATION_W) * SRC_C + (t) % SRC_G)

/* The gradients of POOL_W columns from ow on, Q vectors each: FIND_D finds those of d_row, and TAKE_D takes that of
 * column ow + i. With pooling d_row and place_row are the windows' and pool_row is the row's place in them. */
#if POOLED
#define FIND_D(ow)                                                           \
    floatv all_d[Q];                                                         \
    intv where_d[Q];                                                         \
    UNROLL for (int q = 0; q < Q; q++) {                                     \
        int at_ = (ow) / POOL_W * DST_C + q * VW;                            \
        all_d[q] = LOAD(d_row + at_);                                        \
        where_d[q] = WIDE(CAT(vload, VW)(0, place_row + at_)) - pool_row;    \
    }
#define TAKE_D(d, ow, i)                                                     \
    UNROLL for (int q = 0; q < Q; q++)                                       \
        d[q] = select(SPLAT(0.0f), all_d[q], where_d[q] == (i));
#define FIND_ROW(s, oh)                                                                                 \
    long row_at = ((long)(s) * (OH / POOL_H) + (oh) / POOL_H) * (OW / POOL_W * DST_C);                  \
    __global const float *d_row = dy + row_at;                                                          \
    __global const uchar *place_row = place + row_at;                                                   \
    int pool_row = (oh) % POOL_H * POOL_W;
#else
#define FIND_D(ow)
#define TAKE_D(d, ow, i)               \
    UNROLL for (int q = 0; q < Q; q++) \
        d[q] = LOAD(d_row + ((ow) + (i)) * DST_C + q * VW);
#define FIND_ROW(s, oh) __global const float *d_row = dy + ((long)(s) * OH + (oh)) * (OW * DST_C);
#endif

SOLO_KERNEL(backward_weights)(in_t x, in_t dy, PLACE_ARGUMENT out_t partial, int n)
{
    int group = get_global_id(0) / BLOCKS, c0 = get_global_id(0) % BLOCKS * (Q * VW), run = get_global_id(1), chunk = get_global_id(2);
    int first = chunk * SAMPLES, last = min(first + SAMPLES, n);
    __global float *out = partial + (long)chunk * ((KH * KW * SRC_G + BIAS) * DST_C) + group * DST_G + c0;
    x += group * SRC_G;
    dy += group * DST_G + c0;
#if POOLED
    place += group * DST_G + c0;
#endif
#if ALL
    int kh = min(run * ALL, KH - ALL);
    floatv acc[T][Q], bias[Q];
    UNROLL for (int q = 0; q < Q; q++) {
        bias[q] = SPLAT(0.0f);
        UNROLL for (int t = 0; t < T; t++)
            acc[t][q] = SPLAT(0.0f);
    }
    NO_UNROLL for (int s = first; s < last; s++) {
        NO_UNROLL for (int oh = 0; oh < OH; oh++) {
            int ih = oh * STRIDE_H - PAD_H + kh * DILATION_H;
            __global const float *row = x + (long)s * (IH * IW * SRC_C) + ih * (IW * SRC_C);
            FIND_ROW(s, oh)
            NO_UNROLL for (int ow0 = 0; ow0 < OW; ow0 += POOL_W) {
                FIND_D(ow0)
                UNROLL for (int i = 0; i < POOL_W; i++) {
                    int iw = (ow0 + i) * STRIDE_W - PAD_W;
                    floatv d[Q];
                    TAKE_D(d, ow0, i)
                    UNROLL for (int q = 0; q < Q; q++)
                        bias[q] += d[q];
                    if (!CLIP || (ih >= 0 && ih + (ALL - 1) * DILATION_H < IH && iw >= 0 && iw + (KW - 1) * DILATION_W < IW)) {
                        UNROLL for (int t = 0; t < T; t++) {
                            floatv v = SPLAT(row[iw * SRC_C + TAP(t)]);
                            UNROLL for (int q = 0; q < Q; q++)
                                acc[t][q] = fma(v, d[q], acc[t][q]);
                        }
                    } else {
                        UNROLL for (int t = 0; t < T; t++) {
                            int h = ih + t / (KW * SRC_G) * DILATION_H, w = iw + t / SRC_G % KW * DILATION_W;
                            if (h >= 0 && h < IH && w >= 0 && w < IW) {
                                floatv v = SPLAT(row[iw * SRC_C + TAP(t)]);
                                UNROLL for (int q = 0; q < Q; q++)
                                    acc[t][q] = fma(v, d[q], acc[t][q]);
                            }
                        }
                    }
                }
            }
        }
    }
    UNROLL for (int t = 0; t < T; t++) {
        if (KH % ALL != 0 && kh + t / (KW * SRC_G) < run * ALL)
            continue; /* the run before has it */
        UNROLL for (int q = 0; q < Q; q++)
            SAVE(acc[t][q], kh * (KW * SRC_G) + t, q)
    }
    if (BIAS && run == 0) {
        UNROLL for (int q = 0; q < Q; q++)
            SAVE(bias[q], KH * KW * SRC_G, q)
    }
#else
    int kh = MERGE ? run : run / KW, kw = MERGE ? 0 : run % KW;
    /* columns of dy whose source column ow * stride + shift lies inside */
    int shift = kw * DILATION_W - PAD_W, low = 0, high = OW;
    if (CLIP) {
        low = shift < 0 ? (-shift + STRIDE_W - 1) / STRIDE_W : 0;
        high = IW - 1 - shift < 0 ? 0 : min(OW, (IW - 1 - shift) / STRIDE_W + 1);
    }
    NO_UNROLL for (int block = first; block < last; block += BLOCK) {
        NO_UNROLL for (int tile = 0; tile < RUN; tile += T) {
            int t0 = min(tile, RUN - T);
            floatv acc[T][Q];
            UNROLL for (int q = 0; q < Q; q++) {
                UNROLL for (int t = 0; t < T; t++)
                    acc[t][q] = SPLAT(0.0f);
            }
            NO_UNROLL for (int s = block; s < min(block + BLOCK, last); s++) {
                NO_UNROLL for (int oh = 0; oh < OH; oh++) {
                    int ih = oh * STRIDE_H - PAD_H + kh * DILATION_H;
                    if (CLIP && (ih < 0 || ih >= IH))
                        continue;
                    __global const float *row = x + (long)s * (IH * IW * SRC_C) + (ih * IW + shift) * SRC_C + t0;
                    FIND_ROW(s, oh)
                    NO_UNROLL for (int ow = low; ow < high; ow++) {
                        floatv d[Q];
                        FIND_D(ow)
                        TAKE_D(d, ow, POOLED ? ow % POOL_W : 0)
                        UNROLL for (int t = 0; t < T; t++) {
                            floatv v = SPLAT(row[ow * (STRIDE_W * SRC_C) + t]);
                            UNROLL for (int q = 0; q < Q; q++)
                                acc[t][q] = fma(v, d[q], acc[t][q]);
                        }
                    }
                }
            }
            UNROLL for (int t = 0; t < T; t++) {
                if (RUN % T != 0 && t0 + t < tile)
                    continue; /* the tile before has stored it */
                UNROLL for (int q = 0; q < Q; q++) {
#if BLOCK < SAMPLES
                    if (block > first)
                        acc[t][q] += LOAD(out + (run * RUN + t0 + t) * DST_C + q * VW);
#endif
                    SAVE(acc[t][q], run * RUN + t0 + t, q)
                }
            }
        }
    }
    if (BIAS && run == 0) {
        floatv bias[Q];
        UNROLL for (int q = 0; q < Q; q++)
            bias[q] = SPLAT(0.0f);
        /* each pooled value has one winner, so their sum is the same without places */
        NO_UNROLL for (long i = (long)first * (OH / POOL_H * (OW / POOL_W)); i < (long)last * (OH / POOL_H * (OW / POOL_W)); i++) {
            UNROLL for (int q = 0; q < Q; q++)
                bias[q] += LOAD(dy + i * DST_C + q * VW);
        }
        UNROLL for (int q = 0; q < Q; q++)
            SAVE(bias[q], KH * KW * SRC_G, q)
    }
#endif
}
#undef TAIL
#undef BLOCKS
#undef SAVE
#undef FIND_D
#undef TAKE_D
#undef FIND_ROW
#undef TAP
#endif
#undef INSIDE
#undef POOLED
#undef PLACE_ARGUMENT
#undef PLACES
#undef WIDE
