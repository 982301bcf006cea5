/* Shared by every kernel; stands first in each program.
 *
 * A program holds many copies of the other files, each specialised by defines that stand in front of it:
 *   INSTANCE  number of the copy; KERNEL(f) and NAME(f) give f a name of its own in it
 *   KERNEL_f  defined for the one kernel f of the file that the copy is for
 *   VW        floats in a vector, the same in the whole program: 4, 8 or 16
 *   ACT, ACT_SLOPE               activation a forward pass ends with: none_ relu_ leaky_relu_ sigmoid_ tanh_
 *   MASK, MASK_SLOPE, ACCUMULATE what a backward_data pass does before it stores (STORE_DX)
 *   ITEMS, LOCAL                 how FOR_ITEMS walks
 *   GROUP                        work-items in a group of a GROUP_KERNEL
 *   STAGE_FLOATS                 length of stage_memory, the local memory of a SOLO_KERNEL
 * A file undefines at its end the macros it makes, as the next copy or file may make others of the same name.
 * Vectors may be loaded from any float on, up to 64 bytes past the end of a buffer; stores stay inside.
 */
#if LOOSE && defined(__clang__) /* compilers for GPUs do not warn of it, and NVIDIA's does of the pragma */
#pragma clang diagnostic ignored "-Wpsabi" /* of vectors wider than the device's registers, all of whose calls are inlined */
#endif
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#define NAME(base) CAT(CAT(base, _), INSTANCE)
#define KERNEL(base) __kernel void NAME(base)
/* What has a work-group of one work-item is a function, and the plan writes the kernel that calls it (src/model/program.c): for its own work-item,
 * or as a stage of several for each work-item in turn (chain.c), each in a work-group of its own (bundle.c), or many in each of a few
 * work-groups (relay.c). What get_global_id gives it are arguments, and its local memory is stage_memory. A macro takes the list of its
 * arguments, so that no directive may stand there. The call stays one: PoCL compiles a kernel, with all that is inlined, three times, and
 * what it calls once; and Oclgrind does not know what compilers make of restrict where they inline. */
#define SOLO_KERNEL(base) static __attribute__((noinline)) void NAME(base) STAGE_ARGUMENTS
#define STAGE_ARGUMENTS(...) (int id0, int id1, int id2, __local float *stage_memory, __VA_ARGS__)
#define ITEMS_KERNEL(base) CAT(ITEMS_KERNEL_, LOCAL)(base)
#define ITEMS_KERNEL_1(base) SOLO_KERNEL(base)
#define ITEMS_KERNEL_64(base) KERNEL(base) /* the host may have to make groups smaller */
#define GROUP_KERNEL(base) __kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) void NAME(base)
/* Declares the local memory of a SOLO_KERNEL: so many floats, all of it. */
#define LOCAL_FLOATS(name, count)                                                     \
    __local float *name = stage_memory;                                               \
    typedef char stage_memory_is_large_enough[(count) <= STAGE_FLOATS ? 1 : -1];
#define UNROLL _Pragma("unroll")
#define NO_UNROLL _Pragma("nounroll")
/* The body, its last argument, for i from 0 to count - 1, four at a time: the speed of short loops else depends on how they lie in lines
 * of the cache, and the pragma is refused for some. */
#define BY_4(i, count, ...)                                     \
    {                                                           \
        int i = 0;                                              \
        NO_UNROLL for (int most_ = (count)-3; i < most_;) {     \
            UNROLL for (int each_ = 0; each_ < 4; each_++, i++) \
                __VA_ARGS__                                     \
        }                                                       \
        NO_UNROLL for (; i < (count); i++)                      \
            __VA_ARGS__                                         \
    }
#define PLAIN_LOOP _Pragma("clang loop vectorize(disable) unroll(disable)") /* short: not worth a compiler's time */

typedef __global const float *restrict in_t;
typedef __global float *restrict out_t;

typedef CAT(float, VW) floatv;
typedef CAT(int, VW) intv;
#define SPLAT(x) ((floatv)(x))
#include "arithmetic.cl"
#define LOAD1(p) (*(p))

/* LOAD and STORE of vectors in global memory, at any float, and of vectors of T (uchar or ushort) at any of these. On a CPU they are
 * plain accesses through a type that promises no more alignment than one of its lanes has: the same instructions as vloadn and vstoren
 * for floats, which take its compilers several times as long, and far fewer for bytes. PART stores the first count (1 .. VW - 1, a
 * constant) lanes, as halves, quarters and so on. What is stored is settled, but by STORE_RAW. */
#if LOOSE
typedef floatv loosev __attribute__((aligned(4)));
typedef float8 loose8 __attribute__((aligned(4)));
typedef float4 loose4 __attribute__((aligned(4)));
typedef float2 loose2 __attribute__((aligned(4)));
typedef CAT(uchar, VW) loose_uchar __attribute__((aligned(1)));
typedef CAT(ushort, VW) loose_ushort __attribute__((aligned(2)));
#define LOAD(p) (*(__global const loosev *)(p))
#define STORE_RAW(v, p) (*(__global loosev *)(p) = (v))
#define STORE8(v, p) (*(__global loose8 *)(p) = (v))
#define STORE4(v, p) (*(__global loose4 *)(p) = (v))
#define STORE2(v, p) (*(__global loose2 *)(p) = (v))
#define LOAD_OF(T, p) (*(__global const CAT(loose_, T) *)(p))
#define STORE_OF(T, v, p) (*(__global CAT(loose_, T) *)(p) = (v))
#else
#define LOAD(p) CAT(vload, VW)(0, p)
#define STORE_RAW(v, p) CAT(vstore, VW)(v, 0, p)
#define STORE8(v, p) vstore8(v, 0, p)
#define STORE4(v, p) vstore4(v, 0, p)
#define STORE2(v, p) vstore2(v, 0, p)
#define LOAD_OF(T, p) CAT(vload, VW)(0, p)
#define STORE_OF(T, v, p) CAT(vstore, VW)(v, 0, p)
#endif
#define LOAD_ALIGNED(p) (*(__global const floatv *)(p)) /* of a vector that is aligned as such */
#define STORE(v, p) STORE_RAW(SETTLE(v), p)
#define STORE_PART16(v, p, count)                     \
    {                                                 \
        float8 eight_ = (v).lo;                       \
        if ((count)&8) {                              \
            STORE8(eight_, p);                        \
            eight_ = (v).hi;                          \
        }                                             \
        STORE_PART8(eight_, (p) + ((count)&8), count) \
    }
#define STORE_PART8(v, p, count)                      \
    {                                                 \
        float4 four_ = (v).lo;                        \
        if ((count)&4) {                              \
            STORE4(four_, p);                         \
            four_ = (v).hi;                           \
        }                                             \
        STORE_PART4(four_, (p) + ((count)&4), count)  \
    }
#define STORE_PART4(v, p, count)                      \
    {                                                 \
        float2 two_ = (v).lo;                         \
        if ((count)&2) {                              \
            STORE2(two_, p);                          \
            two_ = (v).hi;                            \
        }                                             \
        if ((count)&1)                                \
            (p)[(count)&2] = two_.x;                  \
    }
#define STORE_PART(v, p, count) CAT(STORE_PART, VW)(SETTLE(v), p, count)

#define LINE 16 /* floats of a line of the cache */
/* Hints for what waits for memory.
 * PREFETCH     asks for the line of the cache some floats behind p: by itself a CPU does not look ahead beyond the end of a page
 * PREFETCH_STORE   the same of a line that is to be stored, which no other core may then have
 * STREAM_STORE stores a vector past the caches, which else read what is to be overwritten; p is aligned to the vector. Such stores
 *              may overtake others, those that tell of a kernel's end too: a work-item ends with STREAM_END */
#if LOOSE && (defined(__x86_64__) || defined(__aarch64__))
#define PREFETCH(p, floats) __builtin_prefetch((const void *)((size_t)(p) + (floats) * sizeof(float)))
#define PREFETCH_STORE(p, floats) __builtin_prefetch((const void *)((size_t)(p) + (floats) * sizeof(float)), 1)
#define STREAM_STORE(v, p) __builtin_nontemporal_store(SETTLE(v), (__global floatv *)(p))
#define STREAM_END __sync_synchronize();
#else
#define PREFETCH(p, floats) (void)0
#define PREFETCH_STORE(p, floats) (void)0
#define STREAM_STORE(v, p) STORE(v, p)
#define STREAM_END
#endif

/* A vector's lanes as an array in private memory, declared LANES lanes[VW], and back. */
#define LANES __attribute__((aligned(64))) float
#define TO_LANES(v, lanes) (*(__private floatv *)(lanes) = (v))
#define FROM_LANES(lanes) (*(__private floatv *)(lanes))

/* Stores the first lanes of v, more of them or all: for the last vector of a row whose length is an argument. */
#define STORE_FIRST(v, p, more)             \
    if ((more) >= VW)                       \
        STORE(v, p);                        \
    else {                                  \
        LANES lane_[VW];                    \
        TO_LANES(SETTLE(v), lane_);         \
        PLAIN_LOOP for (int l_ = 0; l_ < (more); l_++) \
            (p)[l_] = lane_[l_];            \
    }

/* Places of winners in their windows, an intv, kept as T (uchar or ushort): loaded, and the first lanes stored, more of them or all. */
#define LOAD_PLACES(T, p) CAT(convert_int, VW)(LOAD_OF(T, p))
#define STORE_FIRST_PLACES(T, v, p, more)                            \
    {                                                                \
        const CAT(T, VW) places_ = CAT(convert_, CAT(T, VW))(v);     \
        if ((more) >= VW)                                            \
            STORE_OF(T, places_, p);                                 \
        else {                                                       \
            T lane_[VW];                                             \
            CAT(vstore, VW)(places_, 0, lane_);                      \
            PLAIN_LOOP for (int l_ = 0; l_ < (more); l_++)           \
                (p)[l_] = lane_[l_];                                 \
        }                                                            \
    }

/* f(v) of type T (float or floatv); v is evaluated more than once. NaN stays NaN. */
#define activate_none_(T, v, slope) (v)
#define activate_relu_(T, v, slope) select(v, (T)(0.0f), (v) < (T)(0.0f))
#define activate_leaky_relu_(T, v, slope) select(v, (v) * (T)(slope), (v) < (T)(0.0f))
#define activate_sigmoid_(T, v, slope) DIV((T)(1.0f), (T)(1.0f) + EXP(-(v)))
#define activate_tanh_(T, v, slope) TANH(v)
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
 * STORE_DX_PART(v, i, count) or STORE_DX_FIRST(v, i, more) (its first lanes) or STORE_DX1(v, i) (a float), i counted in floats from the start of dx.
 * mask_y is the value that dx is the gradient of. */
#define DX_ARGUMENTS __global float *dx, __global const float *mask_y
#define DX_FINISH(T, v, i, load) GRADIENT_AS(T, (ACCUMULATE ? (v) + load(dx + (i)) : (v)), load(mask_y + (i)))
#define STORE_DX(v, i) STORE(DX_FINISH(floatv, v, i, LOAD), dx + (i))
#define STORE_DX_PART(v, i, count)                                                    \
    if (ACCUMULATE) { /* the lanes behind may be another work-item's: not even read */ \
        LANES lane_[VW];                                                              \
        TO_LANES(v, lane_);                                                           \
        UNROLL for (int l_ = 0; l_ < (count); l_++)                                   \
            STORE_DX1(lane_[l_], (i) + l_);                                           \
    } else {                                                                          \
        floatv whole_ = GRADIENT_AS(floatv, v, LOAD(mask_y + (i)));                   \
        STORE_PART(whole_, dx + (i), count)                                           \
    }
#define STORE_DX_FIRST(v, i, more)          \
    if ((more) >= VW)                       \
        STORE_DX(v, i);                     \
    else {                                  \
        LANES lane_[VW];                    \
        TO_LANES(v, lane_);                 \
        PLAIN_LOOP for (int l_ = 0; l_ < (more); l_++) \
            STORE_DX1(lane_[l_], (i) + l_); \
    }
#define STORE_DX1(v, i) dx[i] = SETTLE(DX_FINISH(float, v, i, LOAD1))

/* Walks i over 0 .. total - 1. CPU: work-groups of one, ITEMS in a row each; GPU: groups of LOCAL, one item each. */
#define FOR_ITEMS(i, total)                                                          \
    for (int i = (int)get_global_id(0) * ITEMS, end_##i = min(i + ITEMS, (int)(total)); \
         i < end_##i; i++)

/* The share of an item in count rows: the body, the last argument, for rows r from first on, step apart. at_once of them, a constant, are
 * in flight together: in the last round some may not be inside, which repeat the last row so that no branch keeps loads from each other. */
#define FOR_ROWS(r, inside, first, step, count, at_once, ...)                                  \
    NO_UNROLL for (int from_ = (first); from_ < (count); from_ += (at_once) * (step)) {        \
        UNROLL for (int each_ = 0; each_ < (at_once); each_++) {                               \
            const int r = min(from_ + each_ * (step), (count)-1);                              \
            const bool inside = from_ + each_ * (step) < (count);                              \
            __VA_ARGS__                                                                        \
        }                                                                                      \
    }

/* Adds up the rows of what the items of a group left in local memory, item row * columns + column each, by halves: always in the same order.
 * The last argument adds what item `other` left to the item's own. Every item comes here; those behind the last row are not counted in. At
 * the end the items of row 0 have the sums; a barrier lets others see them. */
#define ADD_ROWS(item, rows, columns, other, ...)                                     \
    NO_UNROLL for (int left_ = (rows), half_; left_ > 1; left_ = half_) {             \
        half_ = (left_ + 1) / 2;                                                      \
        const int other = (item) + half_ * (columns);                                 \
        barrier(CLK_LOCAL_MEM_FENCE);                                                 \
        if (other < left_ * (columns)) {                                              \
            __VA_ARGS__                                                               \
        }                                                                             \
    }
