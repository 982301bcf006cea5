/* Relays: launches made one although each waits for the one before. */
#ifndef INK_MODEL_RELAY_H
#define INK_MODEL_RELAY_H

#include "ops/launch.h"
#include "util/text.h"

/* The first arguments of a relay's kernel: INK_COUNTERS, the first of the legs that a run of it does, and the one behind its last. */
enum { INK_RELAY_COUNTERS, INK_RELAY_FIRST, INK_RELAY_END };

/* Legs of a relay, and shares that a leg is cut into, at most (SHARES of cl/relay.cl). Bytes of INK_COUNTERS: a line of the cache for each
 * counter there: of each share of a leg, of the leg, and one behind them. */
enum { INK_RELAY_LEGS = 10, INK_RELAY_SHARES = 8, INK_RELAY_BYTES = ((INK_RELAY_SHARES + 1) * INK_RELAY_LEGS + 1) * 64 };

/* Makes one launch of launches and bundles that follow each other, as many as its arguments suffice for, its legs. It has so many
 * work-groups. These take the work-groups of a leg from a counter until none is left, and go on to the next leg when the last is done,
 * waiting awake: cores that are not put to sleep between launches need not be woken, which takes tens of microseconds in a virtual machine,
 * and share the work more evenly than a driver hands it out. No work-group waits for one that may not have begun, as what is waited for has
 * been taken by another that runs. For a training step in CPU style, on a device whose own style that is. */
ink_status ink_relay(struct ink_launches *list, unsigned groups);

/* Adds the kernel relay_<instance> of a launch with stages. */
void ink_relay_write(struct ink_text *text, const struct ink_launch *relay, int instance);

#endif
