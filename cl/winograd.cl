/* Winograd convolution, the CPU's shape: F(M x M, R x R) of Lavin and Gray 2016 with any number of points, stride 1. An M x M
 * tile of the result comes from an N x N tile of the source, N = M + R - 1:
 *
 *   result = A' [ (G w G') . (B' source B) ] A       ' is the transpose, . the product place by place, summed over channels
 *
 * so that the sums over channels become N * N matrix products, one for each place of a tile:
 *
 *      K channels        C channels              C channels
 *     +----------+      +----------+            +----------+
 *   T |  v[at]   |  x K |  u[at]   |    =     T |  m[at]   |      at = 0 .. N * N - 1
 *     +----------+      +----------+            +----------+
 *      tiles, transformed   weights, transformed   tiles, to be transformed back
 *
 * A work-item (a work-group of its own) takes T tiles, SAMPLES whole samples or BAND rows of tiles of one, through all three
 * steps; v and m lie in local memory, which is cache here. forward and backward_data are one kernel as in conv_direct.cl:
 * backward_data is a convolution of dy, padded by R - 1 - pad, with the filters turned round and transposed. The transposed
 * algorithm gives the gradient of the weights from the same transforms: G' [ sum over tiles of (B' x B) (A dy A')' ] G. And
 * transposed_data the gradient of the data, B [ (G w G') . (A dy A') ] B', with fewer points for most sizes, but its tiles of
 * N x N overlap, so that a work-item has to take whole samples.
 *
 *   M, R, N           the tile, the filter, and the tile of the source
 *   IH, IW, SRC_C     the source image; SRC_CP its channels in whole vectors     PAD_H, PAD_W  rows and columns before it
 *   OH, OW, DST_C     the result; DST_CP its channels in whole blocks of Q vectors; backward_weights has DST_BLOCKS times as many
 *   COVER_H, COVER_W  rows and columns of the result that tiles cover; past them the result is 0 (backward_data)
 *   TILES_H, TILES_W  tiles of a sample            SAMPLES, BAND  see above      T  tiles of a work-item
 *   ROWS, Q           register tile of the products: ROWS * Q + Q + 1 registers
 *   V_AT, M_AT        floats of v and m from place to place (padded, as U_AT and SUMS_AT are: powers of two are slow)
 *   BIAS, BIAS_AT     whether there is a bias, and its place in the parameters
 *   POOL_H, POOL_W    max pooling fused behind the convolution (1 x 1: none), windows side by side
 *   IMAGE_PIXELS, IMAGE_W   the image in local memory that pooled values and overlapping tiles go through; its width
 *   EDGES             a tile can reach outside the source
 *   INPUT, OUTPUT, FILTER, INPUT_BACK, OUTPUT_BACK, FILTER_BACK   f(O, D): O(i) = sum of coefficients * D(k), in one
 *                     dimension; generated from the points: B', A', G, B, A, G'
 *
 * Coefficients C(number, value) are constants where a kernel has nothing else to do. Where it has products too, they lie as vectors in
 * local memory behind v: compilers keep constants in registers for the whole kernel, and then have too few for the products.
 */
#define PLACES (N * N)
#define PANEL (Q * VW)
#define BLOCKS (DST_CP / PANEL)
#define POOLED (POOL_H * POOL_W > 1)
#define LOADS(p) (*(__local const floatv *)(p))
#define STORES(v, p) (*(__local floatv *)(p) = (v))
/* Floats from place to place of transformed weights, and of the sums for their gradients, which are followed by the bias's. */
#define U_AT (BLOCKS * SRC_C * PANEL + LINE)
#define SUMS_AT (SRC_C * DST_CP + LINE)
#define SUMS ((long)PLACES * SUMS_AT + DST_CP)
#define BANDS ((TILES_H + BAND - 1) / BAND)
/* A transform goes down column j of its tile to column j of mid, then along row r of that to out. */
#define MID(i) mid[i][j]
#define IN_ROW(i) mid[r][i]
#define OUT_ROW(i) out[i]

#if defined(KERNEL_weights) || defined(KERNEL_gradients)
#define C(number, value) (value)
#else
#define C(number, value) LOADS(v + V_TILES + (number)*VW)
#define V_TILES ((PLACES * V_AT + 15) / 16 * 16)
#define V_FLOATS ((V_TILES + COEFFICIENTS * VW + 15) / 16 * 16)
#define M_FLOATS ((PLACES * M_AT + 15) / 16 * 16)
#define LOCAL_MEMORY                                                                 \
    __local float *v = stage_memory, *m = v + V_FLOATS, *image = m + M_FLOATS;       \
    LAY_OUT(v + V_TILES)
#endif

#if defined(KERNEL_weights) || defined(KERNEL_gradients)
/* Work-item (so many vectors of channels, RUN rows of weights): its rows and vectors. */
#define FOR_WEIGHTS(k, c, vectors, end)                                                                                            \
    NO_UNROLL for (int k = get_global_id(1) * RUN, last_ = min(k + RUN, SRC_C); k < last_; k++)                                     \
        NO_UNROLL for (int c = get_global_id(0) * ((vectors)*VW), end_ = min(c + (vectors)*VW, end); c < end_; c += VW)
#endif

#ifdef KERNEL_weights
/* u[at][block][k][PANEL] = G w G'. weights are [tap][k][DST_C]; BACK: [tap][DST_C][k]; TURNED: taps from last to first.
 * Work-item (block, run of k). */
SOLO_KERNEL(weights)(in_t weights, out_t u)
{
    FOR_WEIGHTS(k, c, Q, DST_CP) {
        __global float *to = u + ((long)(c / PANEL) * SRC_C + k) * PANEL + c % PANEL;
        floatv mid[N][R], out[N];
#define TAP_AT(i) (TURNED ? R * R - 1 - ((i)*R + j) : (i)*R + j)
#if BACK
#define TAP(i) FROM_LANES(lane[i])
#else
#define TAP(i) LOAD(weights + (TAP_AT(i) * SRC_C + k) * DST_C + c)
#endif
        if (c < DST_C) {
            NO_UNROLL for (int j = 0; j < R; j++) {
#if BACK
                LANES lane[R][VW];
                UNROLL for (int i = 0; i < R; i++)
                    UNROLL for (int l = 0; l < VW; l++)
                        lane[i][l] = weights[(TAP_AT(i) * DST_C + min(c + l, DST_C - 1)) * SRC_C + k];
#endif
                FILTER(MID, TAP)
            }
            NO_UNROLL for (int r = 0; r < N; r++) {
                FILTER(OUT_ROW, IN_ROW)
                UNROLL for (int i = 0; i < N; i++) {
                    STORE(out[i], to + (r * N + i) * U_AT);
                    PREFETCH_STORE(to, PANEL + (r * N + i) * U_AT);
                }
            }
        } else {
            NO_UNROLL for (int at = 0; at < PLACES; at++)
                STORE(SPLAT(0.0f), to + at * U_AT);
        }
#undef TAP
#undef TAP_AT
    }
}
#endif

#ifndef KERNEL_weights
/* Channels are taken a cache line at a time through pixels and tiles, or all at once where no image is in between. */
#if V_FLOATS + M_FLOATS + IMAGE_PIXELS * LINE > STAGE_FLOATS
#error stage_memory is too small
#endif
#define FOR_CHANNELS(c, line, step, channels) NO_UNROLL for (int c = line; c < min((line) + (step), channels); c += VW)

/* While products are summed in the caches, what is read or written next is asked for: count floats from p on, in as many slices as
 * there are products. */
#define SLICE(count) (((count) / (PLACES * BLOCKS) / LINE + 1) * LINE)
#define FETCH(p, count, slice)                                                                                        \
    NO_UNROLL for (int i_ = (slice) * (int)SLICE(count), stop_ = min((int)(count), i_ + (int)SLICE(count)); i_ < stop_; i_ += LINE) \
        PREFETCH(p, i_);

/* Floats of the next panel that are asked for with each row of this one, so that it is all there when all rows of tiles are past. */
#define AHEAD ((PANEL - 1) / ((T + ROWS - 1) / ROWS) + 1)

/* image[rows][IMAGE_W][LINE]: a line of channels of the rows x columns of a source from (top_row, left) on, 0 outside it. */
#define CLEAR(first, end, to) /* pixels */                 \
    NO_UNROLL for (int i_ = (first)*LINE; i_ < (end)*LINE; i_ += VW) \
        STORES(SPLAT(0.0f), (to) + i_);
#define WINDOW(source, channels, line, height, width, top_row, left, rows, columns)                            \
    NO_UNROLL for (int r_ = 0; r_ < (rows); r_++) {                                                            \
        int h_ = (top_row) + r_, first_ = min(max(0, -(left)), columns), end_ = max(first_, min(columns, (width) - (left))); \
        __local float *to_ = image + r_ * (IMAGE_W * LINE);                                                    \
        end_ = h_ < 0 || h_ >= (height) ? first_ : end_;                                                       \
        CLEAR(0, first_, to_)                                                                                  \
        __global const float *from_ = source + (h_ * (width) + first_ + (left)) * (channels) + (line);         \
        NO_UNROLL for (int q_ = first_; q_ < end_; q_++, from_ += (channels)) {                                \
            UNROLL for (int c_ = 0; c_ < LINE; c_ += VW) {                                                     \
                if ((channels) % LINE == 0 || (line) + c_ < (channels))                                        \
                    STORES(LOAD(from_ + c_), to_ + q_ * LINE + c_);                                            \
            }                                                                                                  \
        }                                                                                                      \
        CLEAR(end_, columns, to_)                                                                              \
    }

/* The same of a pooled source, unpooled; places tells where. The window has all its columns. */
#define UNPOOLED_WINDOW(source, places, channels, line, pooled_h, pooled_w, top_row, left, rows, columns)       \
    CLEAR(0, (rows) * IMAGE_W, image)                                                                            \
    NO_UNROLL for (int ph_ = max(0, top_row) / POOL_H; ph_ < min(pooled_h, ((top_row) + (rows) + POOL_H - 1) / POOL_H); ph_++) \
        NO_UNROLL for (int pw_ = 0; pw_ < (pooled_w); pw_++)                                                    \
            FOR_CHANNELS(c_, line, LINE, channels) {                                                            \
                int from_ = (ph_ * (pooled_w) + pw_) * (channels) + c_;                                         \
                floatv g_ = LOAD(source + from_);                                                               \
                intv where_ = LOAD_PLACES(uchar, places + from_);                                               \
                UNROLL for (int h_ = 0; h_ < POOL_H; h_++) {                                                    \
                    int r_ = ph_ * POOL_H + h_ - (top_row);                                                     \
                    if (r_ >= 0 && r_ < (rows)) {                                                               \
                        UNROLL for (int w_ = 0; w_ < POOL_W; w_++)                                              \
                            STORES(select(SPLAT(0.0f), g_, where_ == h_ * POOL_W + w_),                         \
                                   image + (r_ * IMAGE_W + pw_ * POOL_W + w_ - (left)) * LINE + c_ - (line));   \
                    }                                                                                           \
                }                                                                                               \
            }
#endif

#if defined(KERNEL_forward) || defined(KERNEL_backward_data) || defined(KERNEL_transposed_data)
#ifdef KERNEL_transposed_data
#define SIDE M /* of a tile of the source, its transform, and its place */
#define FROM_TILE OUTPUT_BACK
#define SOURCE_TOP(band_top) ((band_top)*M)
#define SOURCE_LEFT 0
#define RAGGED (IH % M != 0 || IW % M != 0)
#else
#define SIDE N
#define FROM_TILE INPUT
#define SOURCE_TOP(band_top) ((band_top)*M - PAD_H)
#define SOURCE_LEFT (-PAD_W)
#define RAGGED EDGES
#endif
#define START (BIAS ? LOAD(parameters + BIAS_AT + c) : SPLAT(0.0f))
#ifdef KERNEL_forward
#define UNPOOLS 0
#define RESULT_LINE (POOLED ? LINE : DST_CP)
#define RESULT_FLOATS ((long)SAMPLES * (OH / POOL_H) * (OW / POOL_W) * DST_C / BANDS)
#define SOURCE_FLOATS ((long)SAMPLES * IH * IW * SRC_C / BANDS)
#define FETCH_RESULT(slice) FETCH(y + item * RESULT_FLOATS, RESULT_FLOATS, slice)
#if KEEP
#define PLACES_ARGUMENT , __global uchar *restrict places
#else
#define PLACES_ARGUMENT
#endif
SOLO_KERNEL(forward)(in_t x, in_t u, in_t parameters, out_t y PLACES_ARGUMENT, int n)
#else
#define UNPOOLS POOLED
#define RESULT_FLOATS ((long)SAMPLES * OH * OW * DST_C / BANDS)
#define SOURCE_FLOATS ((long)SAMPLES * (IH / POOL_H) * (IW / POOL_W) * SRC_C / BANDS)
#define FETCH_RESULT(slice) FETCH(dx + item * RESULT_FLOATS, RESULT_FLOATS, slice) FETCH(mask_y + item * RESULT_FLOATS, RESULT_FLOATS, slice)
#ifdef KERNEL_transposed_data
#define RESULT_LINE LINE
#else
#define RESULT_LINE DST_CP
#endif
#if POOLED
#define PLACES_ARGUMENT , __global const uchar *restrict places
#else
#define PLACES_ARGUMENT
#endif
#ifdef KERNEL_backward_data
SOLO_KERNEL(backward_data)(in_t x, in_t u PLACES_ARGUMENT, DX_ARGUMENTS, int n)
#else
SOLO_KERNEL(transposed_data)(in_t x, in_t u PLACES_ARGUMENT, DX_ARGUMENTS, int n)
#endif
#endif
{
    LOCAL_MEMORY
#define WINDOWED (RAGGED || UNPOOLS)
#define SOURCE_LINE (WINDOWED ? LINE : SRC_CP)
    int band = get_global_id(0), first = get_global_id(1) * SAMPLES, samples = min(SAMPLES, n - first);
    int top = band * BAND, bottom = min(top + BAND, TILES_H), tiles = samples * (bottom - top) * TILES_W;
    long item = get_global_id(1) * BANDS + band;

    /* v = B' source B, or A source A' */
    NO_UNROLL for (int s = 0; s < samples; s++)
        NO_UNROLL for (int line = 0; line < SRC_C; line += SOURCE_LINE) {
            int row0 = SOURCE_TOP(top), rows = (bottom - top) * M + SIDE - M;
#if UNPOOLS
            long pooled = (long)(first + s) * (IH / POOL_H * (IW / POOL_W) * SRC_C);
            UNPOOLED_WINDOW(x + pooled, places + pooled, SRC_C, line, IH / POOL_H, IW / POOL_W, row0, SOURCE_LEFT, rows, TILES_W * M + SIDE - M)
#else
            __global const float *source = x + (long)(first + s) * (IH * IW * SRC_C);
#if WINDOWED
            WINDOW(source, SRC_C, line, IH, IW, row0, SOURCE_LEFT, rows, TILES_W * M + SIDE - M)
#endif
#endif
            NO_UNROLL for (int t = 0; t < (bottom - top) * TILES_W; t++) FOR_CHANNELS(c, line, SOURCE_LINE, SRC_C) {
                int h = t / TILES_W * M, w = t % TILES_W * M;
                floatv mid[N][SIDE], out[N];
#if WINDOWED
                __local const float *corner = image + (h * IMAGE_W + w) * LINE + c - line;
#define PIXEL(i) LOADS(corner + j * LINE + (i) * (IMAGE_W * LINE))
#else
                __global const float *corner = source + ((row0 + h) * IW + SOURCE_LEFT + w) * SRC_C + c;
#define PIXEL(i) LOAD(corner + j * SRC_C + (i) * (IW * SRC_C))
#endif
                NO_UNROLL for (int j = 0; j < SIDE; j++)
                    FROM_TILE(MID, PIXEL)
                __local float *to = v + (s * (bottom - top) * TILES_W + t) * SRC_CP + c;
                NO_UNROLL for (int r = 0; r < N; r++) {
                    FROM_TILE(OUT_ROW, IN_ROW)
                    UNROLL for (int i = 0; i < N; i++)
                        STORES(out[i], to + (r * N + i) * V_AT);
                }
#undef PIXEL
            }
        }

    /* m[at] = v[at] u[at]. Register tiles at the end are moved back; rows past the tiles are computed and not used. While the rows of
     * tiles go past a panel of u, they ask for the next, each for its part. */
    NO_UNROLL for (int at = 0; at < PLACES; at++)
        NO_UNROLL for (int block = 0; block < BLOCKS; block++) {
            __global const float *panel = u + at * U_AT + block * (SRC_C * PANEL);
            FETCH_RESULT(at * BLOCKS + block)
            FETCH(x + (item + 1) * SOURCE_FLOATS, SOURCE_FLOATS, at * BLOCKS + block)
            NO_UNROLL for (int t = 0; t < tiles; t += ROWS) {
                int row = T % ROWS != 0 ? min(t, T - ROWS) : t;
                __local const float *from = v + at * V_AT + row * SRC_CP;
                floatv acc[ROWS][Q];
                UNROLL for (int p = 0; p < ROWS; p++)
                    UNROLL for (int q = 0; q < Q; q++)
                        acc[p][q] = SPLAT(0.0f);
                __global const float *next = panel + (t / ROWS * AHEAD + PANEL) * SRC_C;
                BY_4(k, SRC_C, {
                    floatv w[Q];
                    UNROLL for (int l = 0; l < AHEAD; l += LINE)
                        PREFETCH(next, k * AHEAD + l);
                    UNROLL for (int q = 0; q < Q; q++)
                        w[q] = LOAD(panel + k * PANEL + q * VW);
                    UNROLL for (int p = 0; p < ROWS; p++) {
                        floatv b = SPLAT(from[p * SRC_CP + k]);
                        UNROLL for (int q = 0; q < Q; q++)
                            acc[p][q] = fma(b, w[q], acc[p][q]);
                    }
                })
                __local float *to = m + at * M_AT + row * DST_CP + block * PANEL;
                UNROLL for (int p = 0; p < ROWS; p++)
                    UNROLL for (int q = 0; q < Q; q++)
                        STORES(acc[p][q], to + p * DST_CP + q * VW);
            }
        }

#ifdef KERNEL_transposed_data
    /* result = B m B', tiles added where they overlap, each pixel first stored by the first tile that covers it */
    NO_UNROLL for (int s = 0; s < samples; s++)
        NO_UNROLL for (int line = 0; line < DST_C; line += RESULT_LINE) {
            NO_UNROLL for (int t = 0; t < TILES_H * TILES_W; t++) FOR_CHANNELS(c, line, RESULT_LINE, DST_C) {
                __local const float *from = m + (s * TILES_H * TILES_W + t) * DST_CP + c;
                __local float *to = image + (t / TILES_W * M * IMAGE_W + t % TILES_W * M) * LINE + c - line;
                floatv mid[N][N], out[N];
#define PLACE(i) LOADS(from + j * M_AT + (i) * (N * M_AT))
                NO_UNROLL for (int j = 0; j < N; j++)
                    INPUT_BACK(MID, PLACE)
                NO_UNROLL for (int r = 0; r < N; r++) {
                    INPUT_BACK(OUT_ROW, IN_ROW)
                    UNROLL for (int i = 0; i < N; i++) {
                        __local float *pixel = to + (r * IMAGE_W + i) * LINE;
                        bool covered = (r < R - 1 && t >= TILES_W) || (i < R - 1 && t % TILES_W > 0);
                        STORES(covered ? out[i] + LOADS(pixel) : out[i], pixel);
                    }
                }
#undef PLACE
            }
            NO_UNROLL for (int h = 0; h < OH; h++)
                NO_UNROLL for (int w = 0; w < OW; w++) FOR_CHANNELS(c, line, RESULT_LINE, DST_C) {
                    long at = (((long)(first + s) * OH + h) * OW + w) * DST_C + c;
                    floatv sum = h < COVER_H && w < COVER_W ? LOADS(image + ((h + PAD_H) * IMAGE_W + w + PAD_W) * LINE + c - line) : SPLAT(0.0f);
                    if (DST_C % VW == 0)
                        STORE_DX(sum, at);
                    else
                        STORE_DX_FIRST(sum, at, DST_C - c)
                }
        }
#else
    /* result = A' m A */
    NO_UNROLL for (int s = 0; s < samples; s++)
        NO_UNROLL for (int line = 0; line < DST_C; line += RESULT_LINE) {
            NO_UNROLL for (int t = 0; t < (bottom - top) * TILES_W; t++) FOR_CHANNELS(c, line, RESULT_LINE, DST_C) {
                __local const float *from = m + (s * (bottom - top) * TILES_W + t) * DST_CP + c;
                floatv mid[M][N], out[M];
#define PLACE(i) LOADS(from + j * M_AT + (i) * (N * M_AT))
                NO_UNROLL for (int j = 0; j < N; j++)
                    OUTPUT(MID, PLACE)
                NO_UNROLL for (int r = 0; r < M; r++) {
                    int h = (top + t / TILES_W) * M + r;
                    OUTPUT(OUT_ROW, IN_ROW)
#if POOLED && defined(KERNEL_forward)
                    UNROLL for (int i = 0; i < M; i++)
                        STORES(out[i], image + ((h - top * M) * IMAGE_W + t % TILES_W * M + i) * LINE + c - line);
#else
                    if (COVER_H % M == 0 || h < COVER_H) {
                        UNROLL for (int i = 0; i < M; i++) {
                            int w = t % TILES_W * M + i;
                            if (COVER_W % M == 0 || w < COVER_W) {
                                long at = (((long)(first + s) * OH + h) * OW + w) * DST_C + c;
#ifdef KERNEL_forward
                                floatv sum = out[i] + START, result = ACTIVATE(sum);
                                if (DST_C % VW == 0)
                                    STORE(result, y + at);
                                else
                                    STORE_FIRST(result, y + at, DST_C - c)
#else
                                if (DST_C % VW == 0)
                                    STORE_DX(out[i], at);
                                else
                                    STORE_DX_FIRST(out[i], at, DST_C - c)
#endif
                            }
                        }
                    }
#endif
                }
#undef PLACE
            }
#if POOLED && defined(KERNEL_forward)
            /* the first largest wins, and NaN is largest, as in pool.cl */
            NO_UNROLL for (int ph = top * M / POOL_H; ph < min(bottom * M, OH) / POOL_H; ph++)
                NO_UNROLL for (int pw = 0; pw < OW / POOL_W; pw++) FOR_CHANNELS(c, line, LINE, DST_C) {
                    __local const float *window = image + ((ph * POOL_H - top * M) * IMAGE_W + pw * POOL_W) * LINE + c - line;
                    floatv best = LOADS(window);
                    intv place = (intv)(0);
                    UNROLL for (int i = 1; i < POOL_H * POOL_W; i++) {
                        floatv value = LOADS(window + (i / POOL_W * IMAGE_W + i % POOL_W) * LINE);
                        intv wins = ~(value <= best) & (best == best);
                        best = select(best, value, wins);
                        place = select(place, (intv)(i), wins);
                    }
                    long at = (((long)(first + s) * (OH / POOL_H) + ph) * (OW / POOL_W) + pw) * DST_C + c;
                    floatv sum = best + START, result = ACTIVATE(sum);
                    STORE_FIRST(result, y + at, DST_C - c)
#if KEEP
                    STORE_FIRST_PLACES(uchar, place, places + at, DST_C - c)
#endif
                }
#endif
#if defined(KERNEL_backward_data) && (COVER_H < OH || COVER_W < OW)
            /* what no filter reaches */
            NO_UNROLL for (int h = top * M; h < (bottom == TILES_H ? OH : bottom * M); h++)
                NO_UNROLL for (int w = h < COVER_H ? COVER_W : 0; w < OW; w++) FOR_CHANNELS(c, line, RESULT_LINE, DST_C) {
                    long at = (((long)(first + s) * OH + h) * OW + w) * DST_C + c;
                    STORE_DX_FIRST(SPLAT(0.0f), at, DST_C - c)
                }
#endif
        }
#endif
}
#undef SIDE
#undef FROM_TILE
#undef SOURCE_TOP
#undef SOURCE_LEFT
#undef RAGGED
#undef WINDOWED
#undef UNPOOLS
#undef START
#undef SOURCE_LINE
#undef RESULT_LINE
#undef RESULT_FLOATS
#undef SOURCE_FLOATS
#undef FETCH_RESULT
#endif

#ifdef KERNEL_backward_weights
/* partial[chunk][block][at][k][DST_CP] = sum over the chunk's tiles of (B' x B)[at][k] * (A dy A')[at][c], and behind all places
 * the sums of dy: at the point 1 a row of A is all ones, so its sum over tiles is that of dy. Work-item: block of DST_CP channels
 * of dy, whose sums stay in its cache, and chunk of CHUNK bands of BAND rows of tiles (or CHUNK groups of SAMPLES samples). Here
 * the source is x, and the result's place is dy's. */
#define NEXT_X ((long)SAMPLES * IH * IW * SRC_C / BANDS) /* floats of a step */
#define NEXT_DY ((long)SAMPLES * (OH / POOL_H) * (OW / POOL_W) * DST_C / BANDS)
#define SOURCE_LINE (EDGES ? LINE : SRC_CP)
#define GRADIENT_WINDOWED (POOLED || OH % M != 0 || OW % M != 0)
#define GRADIENT_LINE (GRADIENT_WINDOWED ? LINE : DST_CP)
#if POOLED
#define PLACES_ARGUMENT , __global const uchar *restrict places
#else
#define PLACES_ARGUMENT
#endif
SOLO_KERNEL(backward_weights)(in_t x, in_t dy PLACES_ARGUMENT, out_t partial, int n)
{
    LOCAL_MEMORY
    int c0 = get_global_id(0) * DST_CP, c_end = min(c0 + DST_CP, DST_C);
    int chunk = get_global_id(1), end = min((chunk + 1) * CHUNK, (n + SAMPLES - 1) / SAMPLES * BANDS);
    __global float *sums = partial + ((long)chunk * DST_BLOCKS + get_global_id(0)) * SUMS, *bias_sums = sums + PLACES * SUMS_AT;
    NO_UNROLL for (int step = chunk * CHUNK; step < end; step++) {
        int first = step / BANDS * SAMPLES, samples = min(SAMPLES, n - first), again = step > chunk * CHUNK;
        int top = step % BANDS * BAND, bottom = min(top + BAND, TILES_H), tiles = samples * (bottom - top) * TILES_W;

        NO_UNROLL for (int s = 0; s < samples; s++)
            NO_UNROLL for (int line = 0; line < SRC_C; line += SOURCE_LINE) {
                int row0 = top * M - PAD_H;
                __global const float *source = x + (long)(first + s) * (IH * IW * SRC_C);
#if EDGES
                WINDOW(source, SRC_C, line, IH, IW, row0, -PAD_W, (bottom - top) * M + R - 1, TILES_W * M + R - 1)
#endif
                NO_UNROLL for (int t = 0; t < (bottom - top) * TILES_W; t++) FOR_CHANNELS(c, line, SOURCE_LINE, SRC_C) {
                    int h = t / TILES_W * M, w = t % TILES_W * M;
                    floatv mid[N][N], out[N];
#if EDGES
                    __local const float *corner = image + (h * IMAGE_W + w) * LINE + c - line;
#define PIXEL(i) LOADS(corner + j * LINE + (i) * (IMAGE_W * LINE))
#else
                    __global const float *corner = source + ((row0 + h) * IW + w - PAD_W) * SRC_C + c;
#define PIXEL(i) LOAD(corner + j * SRC_C + (i) * (IW * SRC_C))
#endif
                    NO_UNROLL for (int j = 0; j < N; j++)
                        INPUT(MID, PIXEL)
                    __local float *to = v + (s * (bottom - top) * TILES_W + t) * SRC_CP + c;
                    NO_UNROLL for (int r = 0; r < N; r++) {
                        INPUT(OUT_ROW, IN_ROW)
                        UNROLL for (int i = 0; i < N; i++)
                            STORES(out[i], to + (r * N + i) * V_AT);
                    }
#undef PIXEL
                }
            }

        NO_UNROLL for (int s = 0; s < samples; s++)
            NO_UNROLL for (int line = c0; line < c_end; line += GRADIENT_LINE) {
#if POOLED
                long pooled = (long)(first + s) * (OH / POOL_H * (OW / POOL_W) * DST_C);
                UNPOOLED_WINDOW(dy + pooled, places + pooled, DST_C, line, OH / POOL_H, OW / POOL_W, top * M, 0, (bottom - top) * M, TILES_W * M)
#else
                __global const float *gradient = dy + (long)(first + s) * (OH * OW * DST_C);
#if GRADIENT_WINDOWED
                WINDOW(gradient, DST_C, line, OH, OW, top * M, 0, (bottom - top) * M, TILES_W * M)
#endif
#endif
                NO_UNROLL for (int t = 0; t < (bottom - top) * TILES_W; t++) FOR_CHANNELS(c, line, GRADIENT_LINE, c_end) {
                    int h = t / TILES_W * M, w = t % TILES_W * M;
                    floatv mid[N][M], out[N];
#if GRADIENT_WINDOWED
                    __local const float *corner = image + (h * IMAGE_W + w) * LINE + c - line;
#define PIXEL(i) LOADS(corner + j * LINE + (i) * (IMAGE_W * LINE))
#else
                    __global const float *corner = gradient + ((top * M + h) * OW + w) * DST_C + c;
#define PIXEL(i) LOAD(corner + j * DST_C + (i) * (OW * DST_C))
#endif
                    NO_UNROLL for (int j = 0; j < M; j++)
                        OUTPUT_BACK(MID, PIXEL)
                    __local float *to = m + (s * (bottom - top) * TILES_W + t) * DST_CP + c - c0;
                    NO_UNROLL for (int r = 0; r < N; r++) {
                        OUTPUT_BACK(OUT_ROW, IN_ROW)
                        UNROLL for (int i = 0; i < N; i++)
                            STORES(out[i], to + (r * N + i) * M_AT);
                    }
#undef PIXEL
                }
            }

        NO_UNROLL for (int at = 0; at < PLACES; at++)
            NO_UNROLL for (int block = 0; block < BLOCKS; block++) {
                FETCH(x + (step + 1) * NEXT_X, NEXT_X, at * BLOCKS + block)
                FETCH(dy + (step + 1) * NEXT_DY, NEXT_DY, at * BLOCKS + block)
                NO_UNROLL for (int k0 = 0; k0 < SRC_C; k0 += ROWS) {
                    int k = SRC_C % ROWS != 0 ? min(k0, SRC_C - ROWS) : k0;
                    __local const float *left = v + at * V_AT + k, *right = m + at * M_AT + block * PANEL;
                    __global float *to = sums + at * SUMS_AT + k * DST_CP + block * PANEL;
                    floatv acc[ROWS][Q];
                    UNROLL for (int p = 0; p < ROWS; p++)
                        UNROLL for (int q = 0; q < Q; q++)
                            acc[p][q] = SPLAT(0.0f);
                    if (again) { /* the next register tile's sums are asked for */
                        UNROLL for (int p = 0; p < ROWS; p++)
                            UNROLL for (int l = 0; l < PANEL; l += LINE)
                                PREFETCH(to, (ROWS + p) * DST_CP + l);
                    }
                    BY_4(t, tiles, {
                        floatv w[Q];
                        UNROLL for (int q = 0; q < Q; q++)
                            w[q] = LOADS(right + q * VW);
                        UNROLL for (int p = 0; p < ROWS; p++) {
                            floatv b = SPLAT(left[p]);
                            UNROLL for (int q = 0; q < Q; q++)
                                acc[p][q] = fma(b, w[q], acc[p][q]);
                        }
                        left += SRC_CP;
                        right += DST_CP;
                    })
                    UNROLL for (int p = 0; p < ROWS; p++) {
                        if (SRC_C % ROWS == 0 || k + p >= k0) { /* a tile moved back adds none of its rows twice */
                            UNROLL for (int q = 0; q < Q; q++) {
                                __global float *sum = to + p * DST_CP + q * VW;
                                STORE(again ? acc[p][q] + LOAD(sum) : acc[p][q], sum);
                            }
                        }
                    }
                }
            }
#if BIAS
        NO_UNROLL for (int c = 0; c < c_end - c0; c += VW) {
            floatv sum = again ? LOAD(bias_sums + c) : SPLAT(0.0f);
            NO_UNROLL for (int t = 0; t < tiles; t++)
                sum += LOADS(m + (ONE * N + ONE) * M_AT + t * DST_CP + c);
            STORE(sum, bias_sums + c);
        }
#endif
    }
}
#endif

#undef NEXT_X
#undef NEXT_DY
#undef SOURCE_LINE
#undef GRADIENT_WINDOWED
#undef GRADIENT_LINE
#ifdef KERNEL_gradients
/* Gradients of the weights, G' (sum over chunks of partial) G, [tap][k][DST_C], and behind them the bias's. Work-item (cache line of
 * channels, run of k). */
SOLO_KERNEL(gradients)(in_t partial, out_t gradients, int n)
{
    int chunks = ((n + SAMPLES - 1) / SAMPLES * BANDS + CHUNK - 1) / CHUNK;
    long next_chunk = SUMS * DST_BLOCKS;
    FOR_WEIGHTS(k, c, LINE / VW, DST_C) {
        int more = DST_C - c;
        __global const float *from = partial + c / DST_CP * SUMS + k * DST_CP + c % DST_CP;
        floatv mid[R][N], out[R], column[N];
#define PLACE(i) column[i]
        NO_UNROLL for (int j = 0; j < N; j++) {
            UNROLL for (int i = 0; i < N; i++)
                column[i] = LOAD(from + (i * N + j) * SUMS_AT);
            NO_UNROLL for (int chunk = 1; chunk < chunks; chunk++) {
                __global const float *next = from + chunk * next_chunk;
                UNROLL for (int i = 0; i < N; i++)
                    column[i] += LOAD(next + (i * N + j) * SUMS_AT);
            }
            FILTER_BACK(MID, PLACE)
        }
        NO_UNROLL for (int r = 0; r < R; r++) {
            FILTER_BACK(OUT_ROW, IN_ROW)
            UNROLL for (int i = 0; i < R; i++) {
                __global float *to = gradients + ((long)(r * R + i) * SRC_C + k) * DST_C + c;
                if (DST_C % VW == 0)
                    STORE(out[i], to);
                else
                    STORE_FIRST(out[i], to, more)
            }
        }
#if BIAS
        if (k == 0) {
            floatv sum = LOAD(from + PLACES * SUMS_AT);
            NO_UNROLL for (int chunk = 1; chunk < chunks; chunk++)
                sum += LOAD(from + chunk * next_chunk + PLACES * SUMS_AT);
            STORE_FIRST(sum, gradients + (long)R * R * SRC_C * DST_C + c, more)
        }
#endif
#undef PLACE
    }
}
#endif
#undef FOR_WEIGHTS
#undef C
#undef V_TILES
#undef V_FLOATS
#undef M_FLOATS
#undef LOCAL_MEMORY
#undef PLACES_ARGUMENT
#undef PLACES
#undef PANEL
#undef BLOCKS
#undef POOLED
#undef LOADS
#undef STORES
#undef BANDS
#undef MID
#undef IN_ROW
#undef OUT_ROW
#undef CLEAR
#undef WINDOW
#undef UNPOOLED_WINDOW
#undef U_AT
#undef SUMS_AT
#undef SUMS
#undef FOR_CHANNELS
#undef SLICE
#undef AHEAD
#undef FETCH
