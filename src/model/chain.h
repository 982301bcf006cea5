/* Chains: launches that are too small to be worth sharing out. */
#ifndef INK_MODEL_CHAIN_H
#define INK_MODEL_CHAIN_H

#include "ops/launch.h"
#include "util/text.h"

/* Makes one launch of each run of small ones, which does them one after the other in a single work-item: what that takes longer is less
 * than what it costs to hand each to the device and to wake its cores for it. For launches in CPU style of
 * an evaluation; batch: samples of its plan, of which more than INK_CHAIN_SAMPLES are not chained. Constant launches
 * (ink_lower_mark_constants) come first from then on, by themselves. */
ink_status ink_chain(struct ink_launches *list, int batch);

/* Adds the kernel chain_<instance> of a launch with stages, whose functions stand before it and have the instances from first on. */
void ink_chain_write(struct ink_text *text, const struct ink_launch *chain, int first, int instance);

#endif
