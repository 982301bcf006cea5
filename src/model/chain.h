/* Chains: launches done one after the other by one work-group, of all samples or of some. */
#ifndef INK_MODEL_CHAIN_H
#define INK_MODEL_CHAIN_H

#include "ops/launch.h"
#include "util/text.h"

/* Makes one launch of each run of small ones, which does them one after the other in a single work-item: what that takes longer is less
 * than what it costs to hand each to the device and to wake its cores for it. For launches in CPU style of
 * an evaluation; batch: samples of its plan, of which more than INK_CHAIN_SAMPLES are not chained. Constant launches
 * (ink_lower_mark_constants) come first from then on, by themselves. */
ink_status ink_chain(struct ink_launches *list, int batch);

/* Makes one launch of launches that go by samples (ink_launch_samples) and meet the same ones, which does them one after the other for a block of
 * samples in each of its work-groups: what one writes the next finds in the core's caches, and no core waits for others between them. They
 * are moved within the list to meet, never over one that they have to wait for. As many as leave each of the cores several blocks, and as can
 * be with what they read in a core's cache. For launches in CPU style on a device whose own style that is; batch: samples of its plan. Which
 * are made one changes no value. wakes: the first that goes by samples stays by itself, as little work for cores that sleep: until all
 * are awake and each of the device's threads has one, two of them may be on the same. */
ink_status ink_chain_blocks(struct ink_launches *list, const struct ink_device *device, unsigned cores, int batch, bool wakes);

/* Labels a chain that has its stages. */
void ink_chain_name(struct ink_launch *chain);

/* Adds the number of blocks of the chain whose stages begin with stage s of a launch, an expression, and what stages s to end - 1, a chain,
 * do for the block whose number is in the variable id. */
void ink_chain_write_count(struct ink_text *text, const struct ink_launch *whole, int s);
void ink_chain_write_group(struct ink_text *text, const struct ink_launch *whole, int s, int end);

/* Adds the kernel chain_<instance> of a launch with stages. */
void ink_chain_write(struct ink_text *text, const struct ink_launch *chain, int instance);

#endif
