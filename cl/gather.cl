/* A batch from the data set: x[s][i] = images[order[start + s]][i] / 255. Work-item (BLOCK values of a sample, sample s);
 * BLOCK is 1 or a multiple of VW. */
#ifdef KERNEL_gather
#if BLOCK > 1
#define GATHER_KERNEL SOLO_KERNEL
#else
#define GATHER_KERNEL KERNEL
#endif
GATHER_KERNEL(gather)(__global const uchar *images, __global const uint *order, out_t x, int count, int start)
{
    int s = get_global_id(1), i = get_global_id(0) * BLOCK, end = min(i + BLOCK, count);
    __global const uchar *from = images + (ulong)order[start + s] * count;
    __global float *to = x + (long)s * count;
#if BLOCK > 1
    for (; i + VW <= end; i += VW) {
        floatv v = CAT(convert_float, VW)(CAT(vload, VW)(0, from + i));
        STORE(DIV_255(floatv, v), to + i);
    }
#endif
    for (; i < end; i++)
        to[i] = SETTLE(DIV_255(float, (float)from[i]));
}
#undef GATHER_KERNEL
#endif
