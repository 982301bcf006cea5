/* What the tests of faults have fail: all that uses a device, on a network and data so small that it can be done hundreds of times. */
#ifndef INK_TESTS_SCENARIO_H
#define INK_TESTS_SCENARIO_H

#include <stdbool.h>

#include "device/device.h"

enum { MOST_VALUES = 1024 };

/* What a run left. */
struct outcome {
    ink_status status;
    char message[2048];
    float values[MOST_VALUES];
    size_t count;
};

/* Of the values of two runs. Where shares or algorithms are measured they are near; runs that give measured times have none. */
enum likeness { SAME, NEAR };

struct scenario {
    const char *name;
    ink_status (*run)(const struct scenario *scenario, struct outcome *outcome);
    enum likeness likeness;
    unsigned most; /* failures of a kind that are tried */
    const char *network;
    bool on_parts;       /* of the test device; shares: that are given */
    bool shares;
    bool streams;        /* images do not fit */
    bool fresh;          /* nothing is measured before */
    bool checkpoints, resumes, kept_programs;
    struct ink_train_options options;
};

extern const struct scenario scenarios[];
extern const int scenario_count;

extern char told[8192];                    /* by the log in the last run */
extern ink_device **parts;                 /* [part_count], of the test device; NULL: it cannot be divided */
extern size_t part_count;

/* Opens and makes what a scenario needs, and gives it back, the test device too. */
void scenario_begin(const struct scenario *scenario);
void scenario_end(void);

/* Runs it with nothing left of earlier runs. */
void scenario_run(const struct scenario *scenario, struct outcome *outcome);

/* Training on the test device alone. */
extern const struct scenario plain_training;

/* Folders of scenarios, and how many files are in one. */
const char *scenario_checkpoints(void);
const char *scenario_cache(void);
int scenario_files(const char *folder);

#endif
