/* Kernels that find out what a device can do. Unlike those of the operations they stand without common.cl. In front stand
 *   INSTANCE  number of the copy, the end of the kernel's name
 *   KERNEL_f  the one kernel f of the copy
 *   WIDTH     floats in a vector: 1, 2, 4, 8 or 16
 *   LOCAL     work-items in a work-group
 *   CHAINS    peak: sums that a work-item keeps in registers; none waits for another
 *   GRID      stream: 0, a work-item walks over a stretch of its own (CPU); 1, all walk side by side (GPU)
 */
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#define KERNEL(base) __kernel __attribute__((reqd_work_group_size(LOCAL, 1, 1))) void CAT(CAT(base, _), INSTANCE)
#define UNROLL _Pragma("unroll")
#if WIDTH == 1
typedef float CAT(vector_, INSTANCE);
#else
typedef CAT(float, WIDTH) CAT(vector_, INSTANCE);
#endif
#define VECTOR CAT(vector_, INSTANCE)

#ifdef KERNEL_peak
/* 2 * WIDTH * CHAINS operations a work-item and round; a and b make every sum tend to 1, so that none overflows or becomes
 * subnormal. */
KERNEL(peak)(__global float *out, int rounds, float a, float b)
{
    VECTOR sums[CHAINS];
    UNROLL for (int c = 0; c < CHAINS; c++)
        sums[c] = (VECTOR)((float)((int)get_global_id(0) % 7 + c));
    for (int i = 0; i < rounds; i++) {
        UNROLL for (int c = 0; c < CHAINS; c++)
            sums[c] = fma(sums[c], (VECTOR)(a), (VECTOR)(b));
    }
    VECTOR total = sums[0];
    UNROLL for (int c = 1; c < CHAINS; c++)
        total += sums[c];
#if WIDTH == 1
    out[get_global_id(0)] = total;
#else
    out[get_global_id(0)] = total.s0;
#endif
}
#endif

#ifdef KERNEL_spin
/* One chain, each link of which waits for the one before: as long on a core that shares its units with another thread's. */
KERNEL(spin)(__global float *out, int rounds, float a, float b)
{
    float sum = (float)get_global_id(0);
    for (int i = 0; i < rounds; i++)
        sum = fma(sum, a, b);
    out[get_global_id(0)] = sum;
}
#endif

#if defined(KERNEL_read) || defined(KERNEL_triad)
/* Vectors of a work-item: every STEP-th from FIRST on, count of them. */
#if GRID
#define FIRST (int)get_global_id(0)
#define STEP (int)get_global_size(0)
#else
#define FIRST (int)get_global_id(0) * count
#define STEP 1
#endif
#endif

#ifdef KERNEL_read
/* Four sums, or the reads would wait for the additions. count is a multiple of 4. */
KERNEL(read)(__global const VECTOR *in, __global float *out, int count, int rounds)
{
    VECTOR sums[4] = {(VECTOR)(0.0f), (VECTOR)(0.0f), (VECTOR)(0.0f), (VECTOR)(0.0f)};
    for (int r = 0; r < rounds; r++)
        for (int i = 0; i < count; i += 4) {
            UNROLL for (int k = 0; k < 4; k++)
                sums[k] += in[FIRST + (i + k) * STEP];
        }
    VECTOR total = sums[0] + sums[1] + sums[2] + sums[3];
#if WIDTH == 1
    out[get_global_id(0)] = total;
#else
    out[get_global_id(0)] = total.s0 + total.s1;
#endif
}
#endif

#ifdef KERNEL_triad
KERNEL(triad)(__global VECTOR *a, __global const VECTOR *b, __global const VECTOR *c, float s, int count, int rounds)
{
    for (int r = 0; r < rounds; r++)
        for (int i = 0; i < count; i += 4) {
            UNROLL for (int k = 0; k < 4; k++)
                a[FIRST + (i + k) * STEP] = fma((VECTOR)(s), c[FIRST + (i + k) * STEP], b[FIRST + (i + k) * STEP]);
        }
}
#endif
#undef CAT_
#undef CAT
#undef KERNEL
#undef UNROLL
#undef VECTOR
#undef FIRST
#undef STEP
