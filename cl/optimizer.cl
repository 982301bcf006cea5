/* One optimizer step over the flat buffer of all parameters. An item is a vector. WEIGHT_DECAY as in PyTorch's
 * definitions: added to the gradient, or, DECOUPLED (AdamW, Loshchilov and Hutter 2019), taken off the parameter first. */
#define DECAY(g, p) (DECOUPLED || WEIGHT_DECAY == 0.0f ? (g) : fma(SPLAT(WEIGHT_DECAY), p, g))

#ifdef KERNEL_adam
/* Kingma and Ba 2015: m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, p -= rate * (m c1) / (sqrt(v c2) + e), with the
 * corrections c1 = 1 / (1 - b1^t), c2 = 1 / (1 - b2^t), and REST1 = 1 - b1, REST2 = 1 - b2, computed on the host in
 * double precision. */
ITEMS_KERNEL(adam)(out_t parameters, in_t gradients, out_t moment1, out_t moment2, int vectors, float rate, float c1, float c2)
{
    FOR_ITEMS(i, vectors) {
        floatv p = LOAD(parameters + i * VW), g = DECAY(LOAD(gradients + i * VW), p);
        floatv m = BETA1 * LOAD(moment1 + i * VW) + REST1 * g;
        floatv v = BETA2 * LOAD(moment2 + i * VW) + REST2 * g * g;
        STORE(m, moment1 + i * VW);
        STORE(v, moment2 + i * VW);
        if (DECOUPLED)
            p *= 1.0f - rate * WEIGHT_DECAY;
        STORE(p - rate * (m * c1) / (sqrt(v * c2) + EPSILON), parameters + i * VW);
    }
}
#endif

#ifdef KERNEL_sgd
/* m = momentum m + g; p -= rate * (Nesterov: g + momentum m; else: m). Sutskever et al. 2013, as PyTorch writes it. */
ITEMS_KERNEL(sgd)(out_t parameters, in_t gradients, out_t moment1, int vectors, float rate)
{
    FOR_ITEMS(i, vectors) {
        floatv p = LOAD(parameters + i * VW), g = DECAY(LOAD(gradients + i * VW), p);
        if (MOMENTUM != 0.0f) {
            floatv m = MOMENTUM * LOAD(moment1 + i * VW) + g;
            STORE(m, moment1 + i * VW);
            g = NESTEROV ? g + MOMENTUM * m : m;
        }
        STORE(p - rate * g, parameters + i * VW);
    }
}
#endif
#undef DECAY
