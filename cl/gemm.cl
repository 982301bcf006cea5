/* Matrix multiply, the GPU's shape: convolution and dense layers, all passes, as C[M][N] = A[M][K] * B[K][N] with work-groups
 * that share tiles in local memory. No matrix is built: elements of A are gathered from the images as they are needed
 * (implicit GEMM). A dense layer is the convolution of 1x1 images by 1x1 filters, and costs no index arithmetic as
 * every constant below is then 1 or 0.
 *
 * A work-group of WG_M x WG_N work-items owns TILE_M x TILE_N results, each item ITEM_M x ITEM_N of them in registers. It
 * walks along K in steps of TILE_K; in each, all items together bring a piece of A and one of B to local memory, having
 * loaded the next step's pieces into registers while they computed:
 *
 *                         TILE_N = WG_N * ITEM_N
 *                        +-------------+
 *                 TILE_K |   b_tile    |                WG_M, WG_N      work-items of a group, rows and columns
 *                        +-------------+                ITEM_M, ITEM_N  results of an item, rows and columns
 *             TILE_K                                    TILE_K          depth of a step; divides the work-group
 *            +------+    +-------------+
 *   TILE_M = |a_tile|    | . . +--+    |                local memory:   TILE_K * (TILE_M + TILE_N + 8) floats
 *     WG_M * |      |    |     |  | an item's           registers:      ITEM_M * ITEM_N + ITEM_M + ITEM_N and
 *     ITEM_M |      |    |     +--+    |                                TILE_K * (TILE_M + TILE_N) / group loaded ahead
 *            +------+    +-------------+                local loads:    (ITEM_M + ITEM_N) / (ITEM_M * ITEM_N) a multiply-add
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
 */
#define WG (WG_M * WG_N)
#define TILE_M (WG_M * ITEM_M)
#define TILE_N (WG_N * ITEM_N)
/* rows of a tile are padded by 4: fewer bank conflicts, and vectors of 4 stay aligned */
#define A_ROW (TILE_M + 4)
#define B_ROW (TILE_N + 4)
/* elements of a tile that each item brings; the last round may be for some items only */
#define A_LOADS ((TILE_M * TILE_K + WG - 1) / WG)
#define B_LOADS ((TILE_N * TILE_K + WG - 1) / WG)
#define ELEMENT(l) (item + (l)*WG)
#define IN_TILE(l, size) ((size) % WG == 0 || ELEMENT(l) < (size))
#define N_TILES ((DST_G + TILE_N - 1) / TILE_N)
#define TAPS (KH * KW)
#define FITS(number, d, size) (!CLIP || ((number) >= 0 && (number) % (d) == 0 && (number) / (d) < (size)))

/* Places of an element in its tile: neighbouring items load neighbours in memory. */
#ifdef KERNEL_backward_weights
#define A_M(l) (ELEMENT(l) % TILE_M)
#define A_K(l) (ELEMENT(l) / TILE_M)
#else
#define A_M(l) (ELEMENT(l) / TILE_K)
#define A_K(l) (ELEMENT(l) % TILE_K)
#endif
#ifdef KERNEL_backward_data
#define B_N(l) (ELEMENT(l) / TILE_K)
#define B_K(l) (ELEMENT(l) % TILE_K)
#else
#define B_N(l) (ELEMENT(l) % TILE_N)
#define B_K(l) (ELEMENT(l) / TILE_N)
#endif

/* Work-group (group and tile of columns, tile of rows, chunk of samples). src and other are what A and B come from. */
__kernel __attribute__((reqd_work_group_size(WG, 1, 1)))
#if defined(KERNEL_forward)
void NAME(forward)(in_t src, in_t other, out_t dst, int n)
#elif defined(KERNEL_backward_data)
void NAME(backward_data)(in_t src, in_t other, DX_ARGUMENTS, int n)
#else
void NAME(backward_weights)(in_t src, in_t other, out_t dst, int n)
#endif
{
    __local float a_tile[TILE_K * A_ROW] __attribute__((aligned(16)));
    __local float b_tile[TILE_K * B_ROW] __attribute__((aligned(16)));
    /* places are unsigned: they are divided by constants, which so costs less */
    const uint item = get_local_id(0), row = item / WG_N * ITEM_M, column = item % WG_N * ITEM_N;
    const uint block = get_group_id(0), group = block / N_TILES, n0 = block % N_TILES * TILE_N, m0 = get_group_id(1) * TILE_M;
    float a_next[A_LOADS], b_next[B_LOADS], acc[ITEM_M][ITEM_N];

#ifdef KERNEL_backward_weights
    const uint m_end = TAPS * SRC_G + BIAS;
    const int first = get_group_id(2) * SAMPLES, k_first = first * (OH * OW), k_end = min(first + SAMPLES, n) * (OH * OW);
    dst += (ulong)get_group_id(2) * ((TAPS * SRC_G + BIAS) * DST_C);
#else
    const uint m_end = n * (OH * OW);
    const int k_first = 0, k_end = TAPS * SRC_G;
    /* the pixels whose rows of A this item brings: where their tap 0 lies, and their sample and group in src */
    int tap_h[A_LOADS], tap_w[A_LOADS];
    uint from[A_LOADS];
    UNROLL for (int l = 0; l < A_LOADS; l++) {
        uint m = m0 + A_M(l), pixel = m % (OH * OW);
        tap_h[l] = (int)(pixel / OW) * A_H + B_H;
        tap_w[l] = (int)(pixel % OW) * A_W + B_W;
        from[l] = m / (OH * OW) * (IH * IW * SRC_C) + group * SRC_G;
    }
#endif
    UNROLL for (int i = 0; i < ITEM_M; i++) {
        UNROLL for (int j = 0; j < ITEM_N; j++)
            acc[i][j] = 0.0f;
    }

    /* each step stores what the step before loaded; the first loads only */
    NO_UNROLL for (int k0 = k_first - TILE_K; k0 < k_end; k0 += TILE_K) {
        if (k0 >= k_first) {
            UNROLL for (int l = 0; l < A_LOADS; l++)
                if (IN_TILE(l, TILE_M * TILE_K))
                    a_tile[A_K(l) * A_ROW + A_M(l)] = a_next[l];
            UNROLL for (int l = 0; l < B_LOADS; l++)
                if (IN_TILE(l, TILE_N * TILE_K))
                    b_tile[B_K(l) * B_ROW + B_N(l)] = b_next[l];
        }
        barrier(CLK_LOCAL_MEM_FENCE);

        UNROLL for (int l = 0; l < A_LOADS; l++) {
            uint k = k0 + TILE_K + A_K(l), m = m0 + A_M(l);
#ifdef KERNEL_backward_weights
            uint tap = m / SRC_G, pixel = k % (OH * OW);
            int h = (int)(pixel / OW) * A_H + B_H + (int)(tap / KW) * C_H, w = (int)(pixel % OW) * A_W + B_W + (int)(tap % KW) * C_W;
            bool inside = k < k_end && m < TAPS * SRC_G && FITS(h, 1, IH) && FITS(w, 1, IW);
            uint at = (k / (OH * OW) * (IH * IW) + h * IW + w) * SRC_C + group * SRC_G + m % SRC_G;
            float outside = BIAS && m == TAPS * SRC_G;
#else
            uint tap = k / SRC_G;
            int h = tap_h[l] + (int)(tap / KW) * C_H, w = tap_w[l] + (int)(tap % KW) * C_W;
            bool inside = k < k_end && m < m_end && FITS(h, D_H, IH) && FITS(w, D_W, IW);
            uint at = from[l] + (h / D_H * IW + w / D_W) * SRC_C + k % SRC_G;
            const float outside = 0.0f;
#endif
            /* always a load, of the first value if need be: no branch keeps the loads of a step from being in flight together */
            float value = src[inside ? at : 0];
            a_next[l] = inside ? value : outside;
        }
        UNROLL for (int l = 0; l < B_LOADS; l++) {
            uint k = k0 + TILE_K + B_K(l), c = n0 + B_N(l);
            bool inside = k < k_end && c < DST_G;
#ifdef KERNEL_backward_data
            uint at = (k / SRC_G * DST_G + c) * SRC_C + group * SRC_G + k % SRC_G;
#else
            uint at = k * DST_C + group * DST_G + c;
#endif
            float value = other[inside ? at : 0];
            b_next[l] = inside ? value : 0.0f;
        }

        if (k0 >= k_first) {
            UNROLL for (int k = 0; k < TILE_K; k++) {
                float a[ITEM_M], b[ITEM_N];
                UNROLL for (int i = 0; i < ITEM_M; i++)
                    a[i] = a_tile[k * A_ROW + row + i];
                UNROLL for (int j = 0; j < ITEM_N; j++)
                    b[j] = b_tile[k * B_ROW + column + j];
                UNROLL for (int i = 0; i < ITEM_M; i++) {
                    UNROLL for (int j = 0; j < ITEM_N; j++)
                        acc[i][j] = fma(a[i], b[j], acc[i][j]);
                }
            }
        }
        barrier(CLK_LOCAL_MEM_FENCE);
    }

    UNROLL for (int j = 0; j < ITEM_N; j++) {
        uint c = n0 + column + j;
        if (c >= DST_G)
            continue;
#if defined(KERNEL_forward) && BIAS
        float bias = other[TAPS * SRC_G * DST_C + group * DST_G + c];
#else
        float bias = 0.0f;
#endif
        UNROLL for (int i = 0; i < ITEM_M; i++) {
            uint m = m0 + row + i;
            if (m >= m_end)
                continue;
            uint at = m * DST_C + group * DST_G + c;
#if defined(KERNEL_forward)
            float sum = acc[i][j] + bias;
            dst[at] = ACTIVATE_AS(float, sum);
#elif defined(KERNEL_backward_data)
            STORE_DX1(acc[i][j], at);
#else
            dst[at] = acc[i][j] + bias;
#endif
        }
    }
}
#undef WG
#undef TILE_M
#undef TILE_N
#undef A_ROW
#undef B_ROW
#undef A_LOADS
#undef B_LOADS
#undef ELEMENT
#undef IN_TILE
#undef N_TILES
#undef TAPS
#undef FITS
#undef A_M
#undef A_K
#undef B_N
#undef B_K
