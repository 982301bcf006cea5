/* One optimizer step over the flat buffer of all parameters, and the sum of gradients of which it takes one. An item is a vector. WEIGHT_DECAY as in PyTorch's
 * definitions: added to the gradient, or, DECOUPLED (AdamW, Loshchilov and Hutter 2019), taken off the parameter first.
 *   CLIP     1: the gradients are first scaled down to a norm of MAX_NORM, as PyTorch's clip_grad_norm_ does it; parts
 *            holds the sums of their squares, made by squares
 *   AVERAGE  1: average += rest * (p - average), p being the new parameter */
#if CLIP
#define CLIP_ARGUMENT , in_t parts
#define CLIP_SCALE float scale = NAME(clip_scale)(parts);
#define CLIPPED(g) MUL(g, scale)
static __attribute__((always_inline)) float NAME(clip_scale)(in_t parts)
{
    float all = 0.0f;
    for (int p = 0; p < PARTS; p++)
        all += parts[p];
    float norm = SQRT(all);
    return norm > MAX_NORM ? DIV(MAX_NORM, norm + 1e-6f) : 1.0f; /* NaN stays in the gradients that have it */
}
#else
#define CLIP_ARGUMENT
#define CLIP_SCALE
#define CLIPPED(g) (g)
#endif
#if AVERAGE
#define AVERAGE_ARGUMENTS , out_t average, float rest
#define TAKE_AVERAGE(p, i)                                 \
    {                                                      \
        floatv old_ = LOAD(average + (i));                 \
        STORE(fma(SPLAT(rest), SUB(p, old_), old_), average + (i)); \
    }
#else
#define AVERAGE_ARGUMENTS
#define TAKE_AVERAGE(p, i)
#endif
#define GRADIENT(i, p) DECAY(CLIPPED(LOAD(gradients + (i))), p)
#define DECAY(g, p) (DECOUPLED || WEIGHT_DECAY == 0.0f ? (g) : fma(SPLAT(WEIGHT_DECAY), p, g))

#ifdef KERNEL_accumulate
/* gradients += accumulated. */
ITEMS_KERNEL(accumulate)(out_t gradients, in_t accumulated, int vectors)
{
    FOR_ITEMS(i, vectors)
        STORE(LOAD(accumulated + i * VW) + LOAD(gradients + i * VW), gradients + i * VW);
}
#endif

#ifdef KERNEL_squares
/* parts[p] = the sum of the squares in the p-th of PARTS pieces of the gradients, counted in vectors of 16 whatever VW is. A
 * work-group does a piece: its LOCAL work-items take vectors in turn, and their sums are added as a tree, so the order is
 * always the same. */
ITEMS_KERNEL(squares)(in_t gradients, out_t parts, int vectors)
{
    int part = get_global_id(0) / LOCAL, item = get_global_id(0) % LOCAL, piece = (vectors + PARTS - 1) / PARTS, end = min((part + 1) * piece, vectors);
    float16 sum = (float16)(0.0f);
    for (int i = part * piece + item; i < end; i += LOCAL) {
        float16 g = vload16(i, gradients);
        sum = fma(g, g, sum);
    }
    float8 sum8 = sum.lo + sum.hi;
    float4 sum4 = sum8.lo + sum8.hi;
    float all = sum4.x + sum4.y + (sum4.z + sum4.w);
#if LOCAL > 1
    __local float sums[LOCAL];
    sums[item] = all;
    for (int others = LOCAL / 2; others; others /= 2) {
        barrier(CLK_LOCAL_MEM_FENCE);
        if (item < others)
            sums[item] += sums[item + others];
    }
    all = sums[0]; /* of work-item 0, which wrote it */
#endif
    if (item == 0)
        parts[part] = all;
}
#endif

#ifdef KERNEL_adam
/* Kingma and Ba 2015: m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, p -= rate * (m c1) / (sqrt(v c2) + e), with the
 * corrections c1 = 1 / (1 - b1^t), c2 = 1 / (1 - b2^t), and REST1 = 1 - b1, REST2 = 1 - b2, computed on the host in
 * double precision. */
ITEMS_KERNEL(adam)(out_t parameters, in_t gradients, out_t moment1, out_t moment2, int vectors, float rate, float c1, float c2 CLIP_ARGUMENT
                   AVERAGE_ARGUMENTS)
{
    CLIP_SCALE
    FOR_ITEMS(i, vectors) {
        floatv p = LOAD(parameters + i * VW), g = GRADIENT(i * VW, p);
        floatv m = ADD(MUL(BETA1, LOAD(moment1 + i * VW)), MUL(REST1, g));
        floatv v = ADD(MUL(BETA2, LOAD(moment2 + i * VW)), MUL(MUL(REST2, g), g));
        STORE_RAW(m, moment1 + i * VW);
        STORE_RAW(v, moment2 + i * VW);
        if (DECOUPLED)
            p = MUL(p, 1.0f - MUL(rate, WEIGHT_DECAY));
        p = SUB(p, DIV(MUL(rate, MUL(m, c1)), ADD(SQRT(MUL(v, c2)), EPSILON)));
        STORE(p, parameters + i * VW);
        TAKE_AVERAGE(p, i * VW)
    }
}
#endif

#ifdef KERNEL_sgd
/* m = momentum m + g; p -= rate * (Nesterov: g + momentum m; else: m). Sutskever et al. 2013, as PyTorch writes it. */
ITEMS_KERNEL(sgd)(out_t parameters, in_t gradients, out_t moment1, int vectors, float rate CLIP_ARGUMENT AVERAGE_ARGUMENTS)
{
    CLIP_SCALE
    FOR_ITEMS(i, vectors) {
        floatv p = LOAD(parameters + i * VW), g = GRADIENT(i * VW, p);
        if (MOMENTUM != 0.0f) {
            floatv m = ADD(MUL(MOMENTUM, LOAD(moment1 + i * VW)), g);
            STORE_RAW(m, moment1 + i * VW);
            g = NESTEROV ? ADD(g, MUL(MOMENTUM, m)) : m;
        }
        p = SUB(p, MUL(rate, g));
        STORE(p, parameters + i * VW);
        TAKE_AVERAGE(p, i * VW)
    }
}
#endif
#undef CLIP_ARGUMENT
#undef CLIP_SCALE
#undef CLIPPED
#undef AVERAGE_ARGUMENTS
#undef TAKE_AVERAGE
#undef GRADIENT
#undef DECAY
