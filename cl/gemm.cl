/* Matrix multiply, the GPU's shape: convolution and dense layers, all passes, as C[M][N] = A[M][K] * B[K][N] with work-groups
 * that share tiles in local memory. No matrix is built: elements of A are gathered from the images as they are needed
 * (implicit GEMM). A dense layer is the convolution of 1x1 images by 1x1 filters, and costs no index arithmetic as
 * every constant below is then 1 or 0.
 *
 * A work-group of SLICES slices of WG_M x WG_N work-items owns TILE_M x TILE_N results. In each slice an item has ITEM_M x ITEM_N
 * sums in registers. The group walks along K in steps of TILE_K, which the slices share out: each sums its part of a step's depth, and at
 * the end their sums are added up. All items together bring a piece of A and one of B to local memory. They load the next step's pieces into
 * registers before they sum the step's own, and store them behind that.
 *
 *                         TILE_N = WG_N * ITEM_N
 *                        +-----------------+
 *                 TILE_K | slice 0  b_tile |            WG_M, WG_N       work-items of a slice, rows and columns
 *                        |.slice 1.........|            SLICES           1, 2, 4 or 8; several keep a GPU busy where results are few
 *                        +-----------------+            ITEM_M, ITEM_N   results of an item: 1, 2, or a multiple of 4
 *             TILE_K                                    TILE_K           depth of a step, a multiple of SLICES
 *            +---+--+    +-----------------+            A_VECTOR,        floats that an item loads at once, 4, 2 or 1: along K
 *            |   :  |    | ....       .... |            B_VECTOR         where that is the inner dimension in memory, else
 *   TILE_M = |a_tile|    | ....       .... |                             along M or N
 *     WG_M * |   :  |    |                 |            BUFFERS          2: a step writes the tiles that it does not read, which
 *     ITEM_M |   :  |    | ....       .... |                             saves a barrier; else 1
 *            |   :  |    | ....       .... |
 *            +---+--+    +-----------------+            An item's results are patches of up to 4x4 (here 8x8 as four), as
 *                                                       far apart as all items' patches together are wide: so neighbours
 *                                                       read neighbouring vectors of 4 from local memory, without conflicts
 *
 *   local memory  BUFFERS * TILE_K * (TILE_M + TILE_N + 8) floats, or what the slices' sums need
 *   registers     ITEM_M * ITEM_N + ITEM_M + ITEM_N and TILE_K * (TILE_M + TILE_N) / WG loaded ahead
 *   local loads   (ITEM_M + ITEM_N) / (ITEM_M * ITEM_N) floats a multiply-add
 *
 *   pass               M                      K                            N                    A         B          C
 *   forward            sample, output pixel   tap, input channel           filter               x         weights    y
 *   backward_data      sample, input pixel    tap, filter                  input channel        dy        weights^T  dx
 *   backward_weights   tap, input channel     sample of chunk, out pixel   filter               x^T       dy         gradients
 *                      and a row of ones: the bias
 *
 * The image that A is gathered from is SRC (IH x IW x SRC_C, SRC_G channels of each group), the pixels of the other are
 * OH x OW, C has DST_C columns, DST_G of each group; KH, KW is the filter. Output pixel p sees through tap t source
 * pixel (A p + B + C t) / D of a dimension where that division is exact: forward and backward_weights A = stride,
 * B = -pad, C = dilation, D = 1; backward_data A = 1, B = pad, C = -dilation, D = stride. CLIP 0: every source pixel lies
 * inside the image. BIAS 1: the bias stands behind the weights. SAMPLES: of a chunk of backward_weights.
 *
 * With max pooling behind (POOL_H, POOL_W the window, of 2 or 4 pixels; else 1, 1), windows side by side, output pixels are numbered window by
 * window, so that an item has all sums of a window in one patch, and stores the largest and (KEEP) its place in the window. The gradient that
 * the backward passes are given is that of the pooled values: it belongs to the place that was kept, and every other is zero.
 *
 * Zeros stand in for elements of A outside the image or beyond K. B is then finite too: some other element of it. Rows
 * beyond M and columns beyond N repeat others and are not stored.
 */
#define SLICE (WG_M * WG_N)
#define WG (SLICE * SLICES)
#define SLICE_K (TILE_K / SLICES)
#define TILE_M (WG_M * ITEM_M)
#define TILE_N (WG_N * ITEM_N)
/* rows of a tile are padded by 4: fewer bank conflicts, and vectors of 4 stay aligned */
#define A_ROW (TILE_M + 4)
#define B_ROW (TILE_N + 4)
/* sides of the patches, and where result i of an item lies in the tile */
#if ITEM_M % 4
#define PATCH_M ITEM_M
#else
#define PATCH_M 4
#endif
#if ITEM_N % 4
#define PATCH_N ITEM_N
#else
#define PATCH_N 4
#endif
#define ROW(i) ((i) / PATCH_M * (WG_M * PATCH_M) + (i) % PATCH_M)
#define COLUMN(j) ((j) / PATCH_N * (WG_N * PATCH_N) + (j) % PATCH_N)
/* vectors of a tile that each item brings; the last round may be for some items only */
#define A_COUNT (TILE_M * TILE_K / A_VECTOR)
#define B_COUNT (TILE_N * TILE_K / B_VECTOR)
#define A_LOADS ((A_COUNT + WG - 1) / WG)
#define B_LOADS ((B_COUNT + WG - 1) / WG)
#define NUMBER(l) (item + (l)*WG)
#define IN_TILE(l, count) ((count) % WG == 0 || NUMBER(l) < (count))
/* Steps of depth 1 that the compiler may mix: more hide more of local memory's latency, in more registers. A slice's part of a step takes two
 * rounds of them or more: NVIDIA's compiler moves loads past what is in one block with them, but not past a loop. */
#define MIX(u) (SLICE_K % (u) == 0 && SLICE_K > (u) && (u) * ITEM_M * ITEM_N <= 256)
#define AT_ONCE (MIX(8) ? 8 : MIX(5) ? 5 : MIX(4) ? 4 : MIX(3) ? 3 : MIX(2) ? 2 : 1)
#define A_FLOATS ((BUFFERS * TILE_K * A_ROW + 3) / 4 * 4) /* b_tile is aligned */
#define TILES_FLOATS (A_FLOATS + BUFFERS * TILE_K * B_ROW)
/* the upper half of the slices put their sums there, an item's side by side but for one float that spreads them over the banks */
#define SUMS_ROW (ITEM_M * ITEM_N + 1)
#define SUMS_FLOATS (SLICES / 2 * SLICE * SUMS_ROW)
#define N_TILES ((DST_G + TILE_N - 1) / TILE_N)
#define TAPS (KH * KW)
/* The row and column of an output pixel, which are numbered window by window of the pooling; and the pooling of SRC. */
#define POOL (POOL_H * POOL_W)
#ifdef KERNEL_backward_data
#define PIXEL_H(p) ((p) / OW)
#define PIXEL_W(p) ((p) % OW)
#define SRC_POOL_H POOL_H
#define SRC_POOL_W POOL_W
#else
#define PIXEL_H(p) ((p) / POOL / (OW / POOL_W) * POOL_H + (p) % POOL / POOL_W)
#define PIXEL_W(p) ((p) / POOL % (OW / POOL_W) * POOL_W + (p) % POOL_W)
#define SRC_POOL_H 1
#define SRC_POOL_W 1
#endif
#define FITS(number, d, size) (CLIP == 0 || ((number) >= 0 && (number) % (d) == 0 && (number) / (d) < (size)))
/* Results that are stored at once: 4 columns or 1, of the rows of a window of the pooling. */
#ifdef KERNEL_forward
#define ROWS_STORED POOL
#else
#define ROWS_STORED 1
#endif
#if DST_G % 4 == 0 && DST_C % 4 == 0 && ITEM_N % 4 == 0
#define STORED 4
#define STORED_TYPE float4
#define INT_STORED int4
#define SUM(i, j) (float4)(acc[i][j], acc[i][(j) + 1], acc[i][(j) + 2], acc[i][(j) + 3])
#define LOAD_STORED AS4
#define WINS(v, old) (~((v) <= (old)) & ((old) == (old)))
#define CHOSEN(old, v, wins) select(old, v, wins)
#define SAVE_PLACES(where, p) (*(__global uchar4 *)(p) = convert_uchar4(where))
#else
#define STORED 1
#define STORED_TYPE float
#define INT_STORED int
#define SUM(i, j) acc[i][j]
#define LOAD_STORED LOAD_1
#define WINS(v, old) (!((v) <= (old)) && (old) == (old))
#define CHOSEN(old, v, wins) ((wins) ? (v) : (old))
#define SAVE_PLACES(where, p) (*(p) = (uchar)(where))
#endif
#define AS4(p) (*(__global const float4 *)(p))

/* Places of a vector in its tile: neighbouring items load neighbours in memory. Along K these are no more than 16 floats, since the
 * places of vectors along K are in the same banks of local memory. */
#define ALONG_K(vector) (TILE_K % 16 == 0 ? 16 / (vector) : TILE_K / (vector))
#define ACROSS(l, vector, tile) (NUMBER(l) / ALONG_K(vector) % (tile))
#define DEEP(l, vector, tile)                                                                                                        \
    ((NUMBER(l) % ALONG_K(vector) + NUMBER(l) / (ALONG_K(vector) * (tile)) % (TILE_K / (vector) / ALONG_K(vector)) * ALONG_K(vector)) * (vector))
#ifdef KERNEL_backward_weights
#define A_M(l) (NUMBER(l) % (TILE_M / A_VECTOR) * A_VECTOR)
#define A_K(l) (NUMBER(l) / (TILE_M / A_VECTOR))
#define A_STEP 1
#else
#define A_M(l) ACROSS(l, A_VECTOR, TILE_M)
#define A_K(l) DEEP(l, A_VECTOR, TILE_M)
#define A_STEP A_ROW
#endif
#ifdef KERNEL_backward_data
#define B_N(l) ACROSS(l, B_VECTOR, TILE_N)
#define B_K(l) DEEP(l, B_VECTOR, TILE_N)
#define B_STEP B_ROW
#else
#define B_N(l) (NUMBER(l) % (TILE_N / B_VECTOR) * B_VECTOR)
#define B_K(l) (NUMBER(l) / (TILE_N / B_VECTOR))
#define B_STEP 1
#endif

/* Vectors of 4, 2 or 1 floats: loaded from global memory, put into a tile with step between the floats, and
 * taken from a tile into an array. */
#define LOAD_4(p) AS4(p)
#define LOAD_2(p) (*(__global const float2 *)(p))
#define LOAD_1(p) (*(p))
#define PUT_4(p, step, v)                     \
    if ((step) == 1)                          \
        *(__local float4 *)(p) = (v);         \
    else {                                    \
        (p)[0] = (v).x, (p)[step] = (v).y;    \
        (p)[2 * (step)] = (v).z, (p)[3 * (step)] = (v).w; \
    }
#define PUT_2(p, step, v)                     \
    if ((step) == 1)                          \
        *(__local float2 *)(p) = (v);         \
    else                                      \
        (p)[0] = (v).x, (p)[step] = (v).y;
#define PUT_1(p, step, v) *(p) = (v);
#define TAKE_4(to, p) { float4 v_ = *(__local const float4 *)(p); (to)[0] = v_.x, (to)[1] = v_.y, (to)[2] = v_.z, (to)[3] = v_.w; }
#define TAKE_2(to, p) { float2 v_ = *(__local const float2 *)(p); (to)[0] = v_.x, (to)[1] = v_.y; }
#define TAKE_1(to, p) *(to) = *(p);
/* NVIDIA's compiler moves a load to where its value is needed, behind the sums that are to hide its latency, unless something needs it before. */
#ifdef __NV_CL_C_VERSION
#define LOADED_4(v) __asm__ volatile("" ::"f"((v).x), "f"((v).y), "f"((v).z), "f"((v).w))
#define LOADED_2(v) __asm__ volatile("" ::"f"((v).x), "f"((v).y))
#define LOADED_1(v) __asm__ volatile("" ::"f"(v))
#else
#define LOADED_4(v)
#define LOADED_2(v)
#define LOADED_1(v)
#endif
#if A_VECTOR == 4
#define A_TYPE float4
#define A_ONE (float4)(1.0f, 0.0f, 0.0f, 0.0f)
#elif A_VECTOR == 2
#define A_TYPE float2
#define A_ONE (float2)(1.0f, 0.0f)
#else
#define A_TYPE float
#define A_ONE 1.0f
#endif
#if B_VECTOR == 4
#define B_TYPE float4
#elif B_VECTOR == 2
#define B_TYPE float2
#else
#define B_TYPE float
#endif

/* ONE_TAP: a step sees one tap, so that what depends on the tap is the same for all items. PLAIN: taps see pixels at a fixed
 * distance from tap 0's, so that little is left to each item: one addition, and a bit that tells whether the tap is inside. */
#define ONE_TAP (TAPS == 1 || SRC_G % TILE_K == 0)
#define PLAIN (D_H == 1 && D_W == 1 && TAPS <= 32 && SRC_POOL_H * SRC_POOL_W == 1)
#define SEES(seen, tap) (CLIP == 0 || ((seen) >> (tap) & 1) != 0)
#define WITHIN(k) (SRC_G % TILE_K == 0 || (k) < TAPS * SRC_G)
/* no step and no load of a tile goes beyond K */
#ifdef KERNEL_backward_weights
#define WHOLE_STEPS ((OH * OW) % TILE_K == 0 && A_COUNT % WG == 0 && B_COUNT % WG == 0)
#else
#define WHOLE_STEPS ((TAPS * SRC_G) % TILE_K == 0 && B_COUNT % WG == 0)
#endif
#define BEFORE(k, end) (WHOLE_STEPS || (k) < (end))
#define SAME_SIZE (IH == OH && IW == OW && A_H == 1 && A_W == 1 && POOL == 1)

/* The place of the vector of A at k, whose floats lie side by side in one pixel; *spot: its place in the window of the pooling; -1: it is
 * zeros; ONES: the row of ones. */
#define ONES -2
#ifdef KERNEL_backward_weights
static __attribute__((always_inline)) uint NAME(place_a)(uint m, uint k, uint k_end, uint group, int *spot)
{
    uint tap = m / SRC_G, sample = k / (OH * OW), p = k - sample * (OH * OW);
    int tap_h = (int)(tap / KW) * C_H + B_H, tap_w = (int)(tap % KW) * C_W + B_W;
    int h = (int)PIXEL_H(p) * A_H + tap_h, w = (int)PIXEL_W(p) * A_W + tap_w;
    bool inside = m < TAPS * SRC_G && FITS(h, 1, IH) && FITS(w, 1, IW);
    /* the pixels of images of the same size have the same numbers, whatever the sample */
    uint pixel = SAME_SIZE ? k + (tap_h * IW + tap_w) : sample * (IH * IW) + h * IW + w;
    *spot = !BEFORE(k, k_end) ? -1 : inside ? 0 : BIAS == 1 && m == TAPS * SRC_G ? ONES : -1;
    return pixel * SRC_C + group * SRC_G + m % SRC_G;
}
#elif PLAIN
/* from: the float that the vector begins with in step 0; seen: a bit for each tap */
static __attribute__((always_inline)) uint NAME(place_a)(uint from, uint seen, uint k0, uint k, int *spot)
{
    uint tap = TAPS == 1 ? 0 : (ONE_TAP ? k0 : k) / SRC_G;
    *spot = SEES(seen, tap) && WITHIN(k) ? 0 : -1;
    return from + ((int)(tap / KW) * (C_H * IW) + (int)(tap % KW) * C_W) * SRC_C + (k0 - tap * SRC_G);
}
#else
/* tap_h, tap_w: where tap 0 lies, times D; from: the sample and group in src */
static __attribute__((always_inline)) uint NAME(place_a)(uint from, int tap_h, int tap_w, uint k0, uint k, int *spot)
{
    uint tap = (ONE_TAP ? k0 : k) / SRC_G;
    int h = tap_h + (int)(tap / KW) * C_H, w = tap_w + (int)(tap % KW) * C_W;
    bool inside = k < TAPS * SRC_G && FITS(h, D_H, IH) && FITS(w, D_W, IW);
    *spot = inside ? h / D_H % SRC_POOL_H * SRC_POOL_W + w / D_W % SRC_POOL_W : -1;
    return from + (h / D_H / SRC_POOL_H * (IW / SRC_POOL_W) + w / D_W / SRC_POOL_W) * SRC_C + k - tap * SRC_G;
}
#endif

/* The place of a vector of B at k < k_end, c < DST_G; k0, the same for all items, where the step begins. */
static __attribute__((always_inline)) uint NAME(place_b)(uint k0, uint k, uint c, uint group)
{
#ifdef KERNEL_backward_data
    uint tap = (ONE_TAP ? k0 : k) / SRC_G;
    return (tap * DST_G + c) * SRC_C + group * SRC_G + k - tap * SRC_G;
#elif defined(KERNEL_backward_weights)
    return k / POOL * DST_C + group * DST_G + c;
#else
    return k * DST_C + group * DST_G + c;
#endif
}

/* Loads the vectors of the step from k0 on into a_next and b_next, and the winners' places in their windows where they are gradients of pooled
 * values. Always a load, of the first value if need be: no branch keeps the loads of a step from being in flight together. And nothing that
 * needs a loaded value, as every such waits for it. */
#if defined(KERNEL_backward_weights)
#define A_ARGUMENTS(k0, l) m0 + A_M(l), (k0) + A_K(l), k_end, group
#elif PLAIN
#define A_ARGUMENTS(k0, l) from[l], seen[l], k0, (k0) + A_K(l)
#else
#define A_ARGUMENTS(k0, l) from[l], tap_h[l], tap_w[l], k0, (k0) + A_K(l)
#endif
#define LOAD_STEP(k0)                                                                                       \
    UNROLL for (int l = 0; l < A_LOADS; l++) {                                                              \
        uint at = NAME(place_a)(A_ARGUMENTS(k0, l), &spot[l]);                                              \
        at = spot[l] >= 0 ? at : 0;                                                                         \
        a_next[l] = CAT(LOAD_, A_VECTOR)(src + at);                                                         \
        LOAD_WINNERS_A(l, at)                                                                               \
    }                                                                                                       \
    UNROLL for (int l = 0; l < B_LOADS; l++) {                                                              \
        uint k = WHOLE_STEPS ? (k0) + B_K(l) : min((k0) + (uint)B_K(l), k_end - B_ALONG_K);                 \
        uint c = min(n0 + (uint)B_N(l), (uint)(DST_G - B_ALONG_N)), at = NAME(place_b)(k0, k, c, group);    \
        b_next[l] = CAT(LOAD_, B_VECTOR)(other + at);                                                       \
        LOAD_WINNERS_B(l, at, k)                                                                            \
    }                                                                                                       \
    UNROLL for (int l = 0; l < A_LOADS; l++)                                                                \
        CAT(LOADED_, A_VECTOR)(a_next[l]);                                                                  \
    UNROLL for (int l = 0; l < B_LOADS; l++)                                                                \
        CAT(LOADED_, B_VECTOR)(b_next[l]);
/* Stores what was loaded into tiles. */
#define STORE_STEP(a_to, b_to)                                                                              \
    UNROLL for (int l = 0; l < A_LOADS; l++)                                                                \
        if (IN_TILE(l, A_COUNT)) {                                                                          \
            A_TYPE value = spot[l] >= 0 ? a_next[l] : spot[l] == ONES ? A_ONE : (A_TYPE)(0.0f);             \
            CHOOSE_A(l, value)                                                                              \
            CAT(PUT_, A_VECTOR)((a_to) + A_K(l) * A_ROW + A_M(l), A_STEP, value)                            \
        }                                                                                                   \
    UNROLL for (int l = 0; l < B_LOADS; l++)                                                                \
        if (IN_TILE(l, B_COUNT)) {                                                                          \
            B_TYPE value = b_next[l];                                                                       \
            CHOOSE_B(l, value)                                                                              \
            CAT(PUT_, B_VECTOR)((b_to) + B_K(l) * B_ROW + B_N(l), B_STEP, value)                            \
        }
/* What keeps a gradient of pooled values where it belongs. */
#define INT_4 int4
#define INT_2 int2
#define INT_1 int
#define WINNER_4(p) convert_int4(*(__global const uchar4 *)(p))
#define WINNER_2(p) convert_int2(*(__global const uchar2 *)(p))
#define WINNER_1(p) ((int)*(p))
#define CHOOSE_4(value, winner, spot) value = select((float4)(0.0f), value, (winner) == (int4)(spot));
#define CHOOSE_2(value, winner, spot) value = select((float2)(0.0f), value, (winner) == (int2)(spot));
#define CHOOSE_1(value, winner, spot) value = (winner) == (spot) ? value : 0.0f;
#if defined(KERNEL_backward_data) && POOL > 1
#define LOAD_WINNERS_A(l, at) a_winner[l] = CAT(WINNER_, A_VECTOR)(place + (at));
#define CHOOSE_A(l, value) CAT(CHOOSE_, A_VECTOR)(value, a_winner[l], spot[l])
#else
#define LOAD_WINNERS_A(l, at)
#define CHOOSE_A(l, value)
#endif
#if defined(KERNEL_backward_weights) && POOL > 1
#define LOAD_WINNERS_B(l, at, k) b_winner[l] = CAT(WINNER_, B_VECTOR)(place + (at)), b_spot[l] = (k) % POOL;
#define CHOOSE_B(l, value) CAT(CHOOSE_, B_VECTOR)(value, b_winner[l], b_spot[l])
#else
#define LOAD_WINNERS_B(l, at, k)
#define CHOOSE_B(l, value)
#endif
#ifdef KERNEL_backward_data
#define B_ALONG_K B_VECTOR
#define B_ALONG_N 1
#else
#define B_ALONG_K 1
#define B_ALONG_N B_VECTOR
#endif

#if !KEEP
#define PLACE_ARGUMENT
#elif defined(KERNEL_forward)
#define PLACE_ARGUMENT __global uchar *place,
#else
#define PLACE_ARGUMENT __global const uchar *place,
#endif

/* Work-group (group and tile of columns, tile of rows, chunk of samples). src and other are what A and B come from. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
#if defined(KERNEL_forward)
void NAME(forward)(in_t src, in_t other, out_t dst, PLACE_ARGUMENT int n)
#elif defined(KERNEL_backward_data)
void NAME(backward_data)(in_t src, in_t other, PLACE_ARGUMENT DX_ARGUMENTS, int n)
#else
void NAME(backward_weights)(in_t src, in_t other, out_t dst, PLACE_ARGUMENT int n)
#endif
{
    __local float tiles[SUMS_FLOATS > TILES_FLOATS ? SUMS_FLOATS : TILES_FLOATS] __attribute__((aligned(16)));
    __local float *a_tile = tiles, *b_tile = tiles + A_FLOATS;
    /* places are unsigned: they are divided by constants, which so costs less */
    const uint item = get_local_id(0), slice = item / SLICE, row = item % SLICE / WG_N * PATCH_M, column = item % WG_N * PATCH_N;
    const uint block = get_group_id(0), group = block / N_TILES, n0 = block % N_TILES * TILE_N, m0 = get_group_id(1) * TILE_M;
    A_TYPE a_next[A_LOADS];
    B_TYPE b_next[B_LOADS];
    int spot[A_LOADS];
#if defined(KERNEL_backward_data) && POOL > 1
    CAT(INT_, A_VECTOR) a_winner[A_LOADS];
#elif defined(KERNEL_backward_weights) && POOL > 1
    CAT(INT_, B_VECTOR) b_winner[B_LOADS];
    int b_spot[B_LOADS];
#endif
    float acc[ITEM_M][ITEM_N];

#ifdef KERNEL_backward_weights
    const uint m_end = TAPS * SRC_G + BIAS, first = get_group_id(2) * SAMPLES;
    const uint k_first = first * (OH * OW), k_end = min(first + SAMPLES, (uint)n) * (OH * OW);
    dst += (ulong)get_group_id(2) * ((TAPS * SRC_G + BIAS) * DST_C);
#else
    const uint m_end = n * (OH * OW), k_first = 0, k_end = TAPS * SRC_G;
    uint from[A_LOADS];
#if PLAIN
    uint seen[A_LOADS];
#else
    int tap_h[A_LOADS], tap_w[A_LOADS];
#endif
    UNROLL for (int l = 0; l < A_LOADS; l++) {
        uint m = min(m0 + A_M(l), m_end - 1), pixel = m % (OH * OW);
        int h = (int)PIXEL_H(pixel) * A_H + B_H, w = (int)PIXEL_W(pixel) * A_W + B_W;
        from[l] = m / (OH * OW) * (IH / SRC_POOL_H * (IW / SRC_POOL_W) * SRC_C) + group * SRC_G;
#if PLAIN
        from[l] += (h * IW + w) * SRC_C + A_K(l);
        uint columns = 0;
        seen[l] = 0;
        UNROLL for (int t = 0; t < KW; t++)
            columns |= (uint)FITS(w + t * C_W, 1, IW) << t;
        UNROLL for (int t = 0; t < KH; t++)
            seen[l] |= FITS(h + t * C_H, 1, IH) ? columns << t * KW : 0;
#else
        tap_h[l] = h;
        tap_w[l] = w;
#endif
    }
#endif
    const uint k_last = k_first + (k_end - k_first - 1) / TILE_K * TILE_K;
    UNROLL for (int i = 0; i < ITEM_M; i++) {
        UNROLL for (int j = 0; j < ITEM_N; j++)
            acc[i][j] = 0.0f;
    }

    LOAD_STEP(k_first)
    STORE_STEP(a_tile, b_tile)
    barrier(CLK_LOCAL_MEM_FENCE);
    uint a_at = 0, b_at = 0;
    NO_UNROLL for (uint k0 = k_first; k0 < k_end; k0 += TILE_K) {
        /* the last step loads itself once more: cheaper than a branch in every one */
        uint next = min(k0 + TILE_K, k_last);
        LOAD_STEP(next)
        __local const float *a_from = a_tile + a_at + slice * (SLICE_K * A_ROW) + row, *b_from = b_tile + b_at + slice * (SLICE_K * B_ROW) + column;
        NO_UNROLL for (int k = 0; k < SLICE_K; k += AT_ONCE) {
            UNROLL for (int u = 0; u < AT_ONCE; u++) {
                float a[ITEM_M], b[ITEM_N];
                UNROLL for (int i = 0; i < ITEM_M; i += PATCH_M)
                    CAT(TAKE_, PATCH_M)(a + i, a_from + u * A_ROW + ROW(i))
                UNROLL for (int j = 0; j < ITEM_N; j += PATCH_N)
                    CAT(TAKE_, PATCH_N)(b + j, b_from + u * B_ROW + COLUMN(j))
                UNROLL for (int i = 0; i < ITEM_M; i++) {
                    UNROLL for (int j = 0; j < ITEM_N; j++)
                        acc[i][j] = fma(a[i], b[j], acc[i][j]);
                }
            }
            a_from += AT_ONCE * A_ROW;
            b_from += AT_ONCE * B_ROW;
        }
#if BUFFERS == 2
        a_at = TILE_K * A_ROW - a_at;
        b_at = TILE_K * B_ROW - b_at;
#else
        barrier(CLK_LOCAL_MEM_FENCE);
#endif
        STORE_STEP(a_tile + a_at, b_tile + b_at)
        barrier(CLK_LOCAL_MEM_FENCE);
    }

#if SLICES > 1
    /* the upper half of the slices gives its sums to the lower, until one slice is left */
    UNROLL for (uint half_ = SLICES / 2; half_ > 0; half_ /= 2) {
        __local float *sums = tiles + item % (half_ * SLICE) * SUMS_ROW;
        if (slice >= half_ && slice < 2 * half_) {
            UNROLL for (int i = 0; i < ITEM_M * ITEM_N; i++)
                sums[i] = acc[i / ITEM_N][i % ITEM_N];
        }
        barrier(CLK_LOCAL_MEM_FENCE);
        if (slice < half_) {
            UNROLL for (int i = 0; i < ITEM_M * ITEM_N; i++)
                acc[i / ITEM_N][i % ITEM_N] += sums[i];
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }
    if (slice > 0)
        return;
#endif
    UNROLL for (int j = 0; j < ITEM_N; j += STORED) {
        uint c = n0 + column + COLUMN(j);
        if (c >= DST_G)
            continue;
#ifdef KERNEL_forward
        STORED_TYPE bias = (STORED_TYPE)(0.0f);
#if BIAS
        bias = LOAD_STORED(other + TAPS * SRC_G * DST_C + group * DST_G + c);
#endif
#endif
        UNROLL for (int i = 0; i < ITEM_M; i += ROWS_STORED) {
            uint m = m0 + row + ROW(i);
            if (m >= m_end)
                continue;
            uint at = m / ROWS_STORED * DST_C + group * DST_G + c;
            STORED_TYPE sum = SUM(i, j);
#ifdef KERNEL_forward
#if POOL > 1
            /* as in pool.cl the first largest wins, and NaN counts as largest */
            INT_STORED where = (INT_STORED)(0);
            UNROLL for (int p = 1; p < POOL; p++) {
                STORED_TYPE v = SUM(i + p, j);
                INT_STORED wins = WINS(v, sum);
                sum = CHOSEN(sum, v, wins);
                where = CHOSEN(where, (INT_STORED)(p), wins);
            }
#if KEEP
            SAVE_PLACES(where, place + at);
#endif
#endif
            sum += bias;
            *(__global STORED_TYPE *)(dst + at) = ACTIVATE_AS(STORED_TYPE, sum);
#elif defined(KERNEL_backward_data)
            *(__global STORED_TYPE *)(dx + at) = DX_FINISH(STORED_TYPE, sum, at, LOAD_STORED);
#else
            *(__global STORED_TYPE *)(dst + at) = sum;
#endif
        }
    }
}
#undef SLICE
#undef WG
#undef SLICE_K
#undef TILE_M
#undef TILE_N
#undef A_ROW
#undef B_ROW
#undef PATCH_M
#undef PATCH_N
#undef ROW
#undef COLUMN
#undef A_COUNT
#undef B_COUNT
#undef A_LOADS
#undef B_LOADS
#undef NUMBER
#undef IN_TILE
#undef N_TILES
#undef TAPS
#undef FITS
#undef ROWS_STORED
#undef STORED
#undef STORED_TYPE
#undef INT_STORED
#undef SUM
#undef LOAD_STORED
#undef WINS
#undef CHOSEN
#undef SAVE_PLACES
#undef AS4
#undef A_M
#undef A_K
#undef A_STEP
#undef B_N
#undef B_K
#undef B_STEP
#undef LOAD_4
#undef LOAD_1
#undef PUT_4
#undef PUT_1
#undef TAKE_4
#undef TAKE_2
#undef TAKE_1
#undef A_TYPE
#undef A_ONE
#undef B_TYPE
#undef ONE_TAP
#undef PLAIN
#undef SAME_SIZE
#undef A_ARGUMENTS
#undef LOAD_STEP
#undef ONES
#undef POOL
#undef PIXEL_H
#undef PIXEL_W
#undef SRC_POOL_H
#undef SRC_POOL_W
#undef INT_4
#undef INT_2
#undef INT_1
#undef WINNER_4
#undef WINNER_2
#undef WINNER_1
#undef CHOOSE_4
#undef CHOOSE_2
#undef CHOOSE_1
#undef LOAD_WINNERS_A
#undef LOAD_WINNERS_B
#undef CHOOSE_A
#undef CHOOSE_B
#undef PLACE_ARGUMENT
#undef B_ALONG_K
#undef B_ALONG_N
#undef WHOLE_STEPS
#undef ALONG_K
#undef ACROSS
#undef DEEP
#undef MIX
#undef AT_ONCE
#undef LOADED_4
#undef LOADED_2
#undef LOADED_1
#undef STORE_STEP
#undef A_FLOATS
#undef TILES_FLOATS
#undef SUMS_ROW
#undef SUMS_FLOATS
#undef LOAD_2
#undef PUT_2
#undef SEES
#undef WITHIN
#undef BEFORE
