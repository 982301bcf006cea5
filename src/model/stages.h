/* Stages: launches that are made one, their kernels becoming functions that its kernel calls. What chains, bundles and relays share. */
#ifndef INK_MODEL_STAGES_H
#define INK_MODEL_STAGES_H

#include "ops/launch.h"
#include "util/text.h"

/* True for a launch in CPU style of a kernel of ours: its work-groups are of one work-item. */
bool ink_stages_can(const struct ink_launch *launch);

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

/* The first stage that has the code of this one, which serves both. */
int ink_stages_code(const struct ink_launch *whole, int stage);

/* The type of an argument of a stage, "int", "float" or "__global void *", and what it is in the kernel of whole, added to text. */
const char *ink_stages_type(const struct ink_argument *argument);
void ink_stages_write_value(struct ink_text *text, const struct ink_launch *whole, const struct ink_argument *argument);

/* Adds a call of the function of a stage, for the work-item with these ids. first: the instance of the first stage. */
void ink_stages_write_call(struct ink_text *text, const struct ink_launch *whole, int stage, int first, const char *const ids[3]);

#endif
