/* Bundles: launches that need not wait for each other, made one. */
#ifndef INK_MODEL_BUNDLE_H
#define INK_MODEL_BUNDLE_H

#include "ops/launch.h"
#include "util/text.h"

/* Makes one launch of small ones (INK_BUNDLE_WORK) of which none reads or writes what another writes; they then run side by side, each in
 * work-groups of its own, and the device is woken once for them all. They are moved within the list to meet: each waits until the next
 * large one needs it or another that goes before that, and those that can go along do. Large launches keep their order. For a training step
 * in CPU style; batch: samples of its plan. What reads more than INK_BUNDLE_BYTES of the arena, and with gradients_at_once what writes
 * gradients, as they are handed on while the step goes on, is not kept waiting: it goes before the next large launch of the list. */
ink_status ink_bundle(struct ink_launches *list, int batch, bool gradients_at_once);

/* Adds the number of work-groups of the stages s to end - 1 of a launch, an expression, and what the one of them whose number is in the
 * variable id does; id is changed. */
void ink_bundle_write_count(struct ink_text *text, const struct ink_launch *bundle, int s, int end);
void ink_bundle_write_group(struct ink_text *text, const struct ink_launch *bundle, int s, int end);

/* Adds the kernel bundle_<instance> of a launch with stages. */
void ink_bundle_write(struct ink_text *text, const struct ink_launch *bundle, int instance);

#endif
