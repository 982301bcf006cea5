/* Stages: launches that are made one, whose functions its kernel calls. What chains, bundles and relays share. */
#ifndef INK_MODEL_STAGES_H
#define INK_MODEL_STAGES_H

#include "ops/launch.h"
#include "util/text.h"

/* True for a kernel of ours whose work-groups are of one work-item: its code is a function (SOLO_KERNEL in common.cl). */
bool ink_stages_can(const struct ink_launch *launch);

/* True for a launch whose kernel calls functions, and takes their local memory as its last argument if they have any. */
static inline bool ink_stages_called(const struct ink_launch *launch) { return launch->stages || ink_stages_can(launch); }

/* What a launch does: its stages, or itself alone. */
static inline struct ink_launch *ink_stages_of(struct ink_launch *launch) { return launch->stages ? launch->stages : launch; }
static inline int ink_stages_count(const struct ink_launch *launch) { return launch->stages ? launch->stage_count : 1; }

/* About the operations of a launch: those it counts, by its algorithm, and what its bytes cost. */
double ink_stages_work(const struct ink_launches *list, const struct ink_launch *launch, int batch);

/* Adds what a stage brings to the arguments of whole: the values and scalars that are not yet among them, and the number of samples.
 * false, and nothing added, where that is too much. */
bool ink_stages_take(struct ink_launch *whole, const struct ink_launch *stage);

/* Sets what whole has of its stages, once it has them: operations, rounding, memory. */
void ink_stages_sum(struct ink_launch *whole);

/* Adds the head of the kernel of whole, up to and with its local memory. */
void ink_stages_write_head(struct ink_text *text, const struct ink_launch *whole, int instance);

/* Whether a range can have more than one work-group, and how many it has, as an expression with no operator outside brackets. */
struct ink_stage_groups {
    char text[96];
};
bool ink_stages_many(const struct ink_range *range);
struct ink_stage_groups ink_stages_groups(const struct ink_launch *whole, const struct ink_range *range);

/* Adds a call of the function of a stage, for the work-item with these ids. */
void ink_stages_write_call(struct ink_text *text, const struct ink_launch *whole, int stage, const char *const ids[3]);

/* Adds the kernel of a launch that is alone: it calls the function for its own work-item. */
void ink_stages_write_alone(struct ink_text *text, const struct ink_launch *launch, int instance);

#endif
