/* What measurement has found, kept on disk: for each call the trials of its candidates, and the one chosen.
 *
 * A table is of one device with one driver and one set of kernel sources, all named in the file and, hashed, in its name
 * (choices-<hash>.txt in the cache folder). The file is text: a head with a checksum of what follows, the device, then a line
 * a trial, its fields divided by tabs: key, algorithm, variant, verdict, seconds, when (seconds since 1970), reason. It is
 * written anew, aside and renamed, after each trial, so it is whole at any time; one that is not is set aside. */
#ifndef INK_MODEL_CHOICE_H
#define INK_MODEL_CHOICE_H

#include "model/lower.h"

enum ink_verdict {
    INK_TRYING,  /* begun; found in a file, it ended its process */
    INK_RIGHT,   /* gives right numbers, in so many seconds */
    INK_CHOSEN,  /* the same, and is taken */
    INK_WRONG,   /* gives wrong numbers */
    INK_FAILED,  /* does not build or run */
    INK_HUNG,    /* did not return in time */
    INK_VERDICTS
};

enum { INK_KEY_BYTES = 400 };

struct ink_trial {
    char key[INK_KEY_BYTES], algorithm[32];
    int variant;
    enum ink_verdict verdict;
    double seconds;              /* of one call; 0: not timed */
    long long when;
    int attempts;                /* begun so many times without an end */
    char reason[200];            /* why it is set aside; "" */
};

struct ink_choices {
    char path[4096];
    char device[400];            /* what the table is for */
    struct ink_trial *trials;
    int count, room;
};

/* A call as text, alike for calls that any algorithm does alike. */
ink_status ink_choice_key(const struct ink_call *call, char key[INK_KEY_BYTES]);

/* Reads the table of a device; an empty one if there is none, or if the file is damaged, which is then renamed to
 * <name>.damaged and told in the log. Free it with ink_choices_free(), on failure too. */
ink_status ink_choices_open(const struct ink_device *device, struct ink_choices *choices);
void ink_choices_free(struct ink_choices *choices);

/* The trial of a key by an algorithm and variant; NULL if there is none. */
struct ink_trial *ink_choices_find(const struct ink_choices *choices, const char *key, const char *algorithm, int variant);

/* The chosen trial of a key; NULL if there is none. */
const struct ink_trial *ink_choices_chosen(const struct ink_choices *choices, const char *key);

/* Puts a trial in the table, in place of an earlier one of its key, algorithm and variant, and writes the file. */
ink_status ink_choices_note(struct ink_choices *choices, const struct ink_trial *trial);

/* Takes all trials of a key out of the table; the file keeps them until the next note. */
void ink_choices_forget(struct ink_choices *choices, const char *key);

/* The choice of an algorithm by its name; false: the call's pass has none of that name, or it cannot do the call, or lacks the variant. */
bool ink_choice_named(const struct ink_call *call, const char *algorithm, int variant, struct ink_choice *choice);

/* An ink_choose_function; user is a struct ink_choices. A choice that is no longer possible is not taken. */
bool ink_choices_choose(const struct ink_call *call, void *user, struct ink_choice *choice);

#endif
