/* The algorithms that a plan takes, noted as it is made, so that a later process can make the same plan: measured choices and
 * guesses may both be others by then, and algorithms round differently. */
#ifndef INK_TRAIN_RECALL_H
#define INK_TRAIN_RECALL_H

#include "model/choice.h"
#include "util/text.h"

struct ink_recall_entry {
    char key[INK_KEY_BYTES], algorithm[32];
    int variant;
};

/* Zero it; choices may be set. Once entries are read they are binding, and a call without one is counted as new. */
struct ink_recall {
    struct ink_choices *choices;  /* what was measured; NULL: guesses are noted */
    struct ink_recall_entry *entries;
    int count, room, fresh;       /* fresh: entries noted since the others were read */
    ink_status status;            /* of what failed while a plan was made */
};

/* An ink_choose_function; user is a struct ink_recall. */
bool ink_recall_choose(const struct ink_call *call, void *user, struct ink_choice *choice);

/* A line an entry: key, algorithm and variant, divided by tabs. prefix stands in front of the keys, to tell several recalls in one
 * text apart; once read, what has a prefix is taken out into a recall of its own. */
enum { INK_RECALL_PREFIX = 24 };
void ink_recall_prefix(int device, char prefix[INK_RECALL_PREFIX]);
void ink_recall_write(const struct ink_recall *recall, const char *prefix, struct ink_text *text);
ink_status ink_recall_read(struct ink_recall *recall, const char *text);
ink_status ink_recall_take(struct ink_recall *from, const char *prefix, struct ink_recall *recall);

/* Forgets the entries. */
void ink_recall_clear(struct ink_recall *recall);

#endif
