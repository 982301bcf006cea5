/* Shared by every kernel; stands first in each program.
 *
 * A program holds many copies of the other files, each specialised by defines that stand in front of it:
 *   INSTANCE  number of the copy; KERNEL(f) and NAME(f) give f a name of its own in it
 *   KERNEL_f  defined for the one kernel f of the file that the copy is for
 *   VW        floats in a vector, the same in the whole program: 4, 8 or 16
 *   ACT, ACT_SLOPE               activation a forward pass ends with: none_ relu_ leaky_relu_ sigmoid_ tanh_
 *   MASK, MASK_SLOPE, ACCUMULATE what a backward_data pass does before it stores (STORE_DX)
 *   ITEMS, LOCAL                 how FOR_ITEMS walks
 * A file undefines at its end the macros it makes, as the next copy or file may make others of the same name.
 * Vectors may be loaded from any float on, up to 64 bytes past the end of a buffer; stores stay inside.
 */
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#define NAME(base) CAT(CAT(base, _), INSTANCE)
#define KERNEL(base) __kernel void NAME(base)
#define SOLO_KERNEL(base) __kernel __attribute__((reqd_work_group_size(1, 1, 1))) void NAME(base)
#define ITEMS_KERNEL(base) __kernel __attribute__((reqd_work_group_size(LOCAL, 1, 1))) void NAME(base)
#define UNROLL _Pragma("unroll")
#define NO_UNROLL _Pragma("nounroll")

typedef __global const float *restrict in_t;
typedef __global float *restrict out_t;

typedef CAT(float, VW) floatv;
typedef CAT(int, VW) intv;
#define LOAD(p) CAT(vload, VW)(0, p)
#define STORE(v, p) CAT(vstore, VW)(v, 0, p)
#define SPLAT(x) ((floatv)(x))

/* Stores the first count (1 .. VW - 1, a constant) lanes of v. */
#define STORE_PART(v, p, count)                       \
    {                                                 \
        float part_[VW];                              \
        STORE(v, part_);                              \
        UNROLL for (int l_ = 0; l_ < (count); l_++)   \
            (p)[l_] = part_[l_];                      \
    }

/* f(v) of type T (float or floatv); v is evaluated more than once. NaN stays NaN. */
#define activate_none_(T, v, slope) (v)
#define activate_relu_(T, v, slope) select(v, (T)(0.0f), (v) < (T)(0.0f))
#define activate_leaky_relu_(T, v, slope) select(v, (v) * (T)(slope), (v) < (T)(0.0f))
#define activate_sigmoid_(T, v, slope) ((T)(1.0f) / ((T)(1.0f) + exp(-(v))))
#define activate_tanh_(T, v, slope) tanh(v)
#define ACTIVATE_AS(T, v) CAT(activate_, ACT)(T, v, ACT_SLOPE)
#define ACTIVATE(v) ACTIVATE_AS(floatv, v)

/* g * f'(z), computed from y = f(z). */
#define gradient_none_(T, g, y, slope) (g)
#define gradient_relu_(T, g, y, slope) select((T)(0.0f), g, (y) > (T)(0.0f))
#define gradient_leaky_relu_(T, g, y, slope) select((g) * (T)(slope), g, (y) > (T)(0.0f))
#define gradient_sigmoid_(T, g, y, slope) ((g) * (y) * ((T)(1.0f) - (y)))
#define gradient_tanh_(T, g, y, slope) ((g) * ((T)(1.0f) - (y) * (y)))
#define GRADIENT_AS(T, g, y) CAT(gradient_, MASK)(T, g, y, MASK_SLOPE)

/* The end of a backward_data pass: declare DX_ARGUMENTS last among the buffers, and store with STORE_DX(v, i) (a vector),
 * STORE_DX_PART(v, i, count) (its first lanes) or STORE_DX1(v, i) (a float), i counted in floats from the start of dx.
 * mask_y is the value that dx is the gradient of. */
#define DX_ARGUMENTS __global float *dx, __global const float *mask_y
#define DX_FINISH(T, v, i, load) GRADIENT_AS(T, (ACCUMULATE ? (v) + load(dx + (i)) : (v)), load(mask_y + (i)))
#define LOAD1(p) (*(p))
#define STORE_DX(v, i) STORE(DX_FINISH(floatv, v, i, LOAD), dx + (i))
#define STORE_DX_PART(v, i, count)                                                         \
    {                                                                                      \
        float part_[VW];                                                                   \
        STORE(v, part_);                                                                   \
        UNROLL for (int l_ = 0; l_ < (count); l_++)                                        \
            dx[(i) + l_] = DX_FINISH(float, part_[l_], (i) + l_, LOAD1);                   \
    }
#define STORE_DX1(v, i) dx[i] = DX_FINISH(float, v, i, LOAD1)

/* Walks i over 0 .. total - 1. CPU: work-groups of one, ITEMS in a row each; GPU: groups of LOCAL, one item each. */
#define FOR_ITEMS(i, total)                                                          \
    for (int i = (int)get_global_id(0) * ITEMS, end_##i = min(i + ITEMS, (int)(total)); \
         i < end_##i; i++)
