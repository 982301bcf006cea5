/* How the work-groups of a relay (src/model/relay.h) share out the work-groups of its legs. Those of a leg are cut into shares, one for each
 * work-group of the relay if they are few, so that what a core has written in one leg it reads in the next. A work-group begins with its own
 * share and goes on to what is left of the others.
 *
 *     work-groups of a leg   0 1 2 3 4 5 6 7 | 8 9 10 11 12 13 14 15          two shares
 *                            first: 0, 1, ...   second: 8, 9, ...; who is done with his takes of the other's what is not yet taken
 *     the next leg           first: 7, 6, ...   second: 15, 14, ...: what was written last is in the caches still
 *
 * SHARES is the most of them (INK_RELAY_SHARES). counters, a line of the cache each, for leg l:
 *
 *   (SHARES + 1) l + s    work-groups that have been taken of share s, and more      (SHARES + 1) l + SHARES     those of all that are done
 *   (SHARES + 1) legs     work-groups of the relay that have left it; the last of them puts all back to 0
 *
 * LEG(counters, l, backwards, count)   of a leg that is to be done (a1 to a2 - 1) takes so many work-groups, some at a time; at: the number of each
 * LEG_END(counters, l)                 waits for those that others have taken, unless it is the last
 * RELAY_END(counters, legs)            leaves
 */
#define COUNTER(counters, i) ((volatile __global int *)(counters) + (i)*LINE)
#define DONE(leg) ((SHARES + 1) * (leg) + SHARES)
#define LEG(counters, leg, backwards, count)                                                                                           \
    if (a1 <= (leg) && (leg) < a2) {                                                                                                   \
        const int count_ = (count), groups_ = get_num_groups(0), shares_ = min(groups_, SHARES), some_ = max(1, count_ / (16 * groups_)); \
        NO_UNROLL for (int turn_ = 0; turn_ < shares_; turn_++) {                                                                      \
            const int share_ = ((int)get_group_id(0) + turn_) % shares_;                                                               \
            const int start_ = (long)count_ * share_ / shares_, stop_ = (long)count_ * (share_ + 1) / shares_;                         \
            NO_UNROLL for (;;) {                                                                                                       \
                int from_ = start_ + atomic_add(COUNTER(counters, (SHARES + 1) * (leg) + share_), some_), end_ = min(from_ + some_, stop_); \
                if (from_ >= stop_)                                                                                                    \
                    break;                                                                                                             \
                NO_UNROLL for (int i_ = from_; i_ < end_; i_++) {                                                                      \
                    const int at = (backwards) ? start_ + stop_ - 1 - i_ : i_;
#define LEG_END(counters, leg)                                                                    \
                }                                                                                 \
                mem_fence(CLK_GLOBAL_MEM_FENCE);                                                  \
                atomic_add(COUNTER(counters, DONE(leg)), end_ - from_);                           \
            }                                                                                     \
        }                                                                                         \
        NO_UNROLL while ((leg) + 1 < a2 && atomic_add(COUNTER(counters, DONE(leg)), 0) < count_) {} \
        mem_fence(CLK_GLOBAL_MEM_FENCE);                                                          \
    }
#define RELAY_END(counters, legs)                                                                \
    if (atomic_inc(COUNTER(counters, (SHARES + 1) * (legs))) == (int)get_num_groups(0) - 1) {    \
        NO_UNROLL for (int i_ = 0; i_ <= (SHARES + 1) * (legs); i_++)                            \
            atomic_xchg(COUNTER(counters, i_), 0);                                               \
    }
