/* How the work-groups of a relay (src/model/relay.h) share out the work-groups of its legs. counters, a line of the cache each, for leg l:
 *
 *   2 l       work-groups of the leg that have been taken, and more           2 l + 1   those that are done
 *   2 legs    work-groups of the relay that have left it; the last of them puts all back to 0
 *
 * LEG(counters, l, count)   of a leg that is to be done (a1 to a2 - 1) takes so many work-groups, some at a time; at: the number of each
 * LEG_END(counters, l)      waits for those that others have taken, unless it is the last
 * RELAY_END(counters, legs) leaves
 */
#define COUNTER(counters, i) ((volatile __global int *)(counters) + (i)*LINE)
#define LEG(counters, leg, count)                                                                            \
    if (a1 <= (leg) && (leg) < a2) {                                                                         \
        const int count_ = (count), some_ = max(1, count_ / (16 * (int)get_num_groups(0)));                   \
        NO_UNROLL for (;;) {                                                                                 \
            int from_ = atomic_add(COUNTER(counters, 2 * (leg)), some_), end_ = min(from_ + some_, count_);  \
            if (from_ >= count_)                                                                             \
                break;                                                                                       \
            NO_UNROLL for (int at = from_; at < end_; at++) {
#define LEG_END(counters, leg)                                                                           \
            }                                                                                            \
            mem_fence(CLK_GLOBAL_MEM_FENCE);                                                             \
            atomic_add(COUNTER(counters, 2 * (leg) + 1), end_ - from_);                                  \
        }                                                                                                \
        NO_UNROLL while ((leg) + 1 < a2 && atomic_add(COUNTER(counters, 2 * (leg) + 1), 0) < count_) {}  \
        mem_fence(CLK_GLOBAL_MEM_FENCE);                                                                 \
    }
#define RELAY_END(counters, legs)                                                              \
    if (atomic_inc(COUNTER(counters, 2 * (legs))) == (int)get_num_groups(0) - 1) {             \
        NO_UNROLL for (int i_ = 0; i_ <= 2 * (legs); i_++)                                     \
            atomic_xchg(COUNTER(counters, i_), 0);                                             \
    }
