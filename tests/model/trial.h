/* A model on the test device, run step by step over a data set: what the tests of whole models share. */
#ifndef INK_TESTS_TRIAL_H
#define INK_TESTS_TRIAL_H

#include "ops/op_case.h"
#include "train/feed.h"

/* Models of images of 12x12x4 in 3 classes, of all kinds of layers, in text form. */
enum { TRIAL_MODELS = 5 };
extern const char *const trial_models[TRIAL_MODELS];

/* A data set of count images of random bytes, whose labels are 0, 1, 2 in turn; the caller's to destroy. */
ink_dataset *trial_dataset(int count, struct ink_shape shape);

struct trial {
    struct ink_model *model;   /* borrowed */
    struct ink_plan *plan;
    struct ink_feed feed;
    struct ink_train_options options;
    int steps;                 /* training steps done, or at least begun */
};

/* Fails the test if the model cannot be made ready. options: rates and betas as they are, no defaults filled in;
 * algorithms and micro_batch as in struct ink_train_options. */
void trial_open(struct trial *trial, struct ink_model *model, const ink_dataset *dataset,
                const struct ink_train_options *options, int batch, enum ink_style style);
/* The same with launches as operations give them. */
void trial_open_unbundled(struct trial *trial, struct ink_model *model, const ink_dataset *dataset,
                          const struct ink_train_options *options, int batch, enum ink_style style);
/* The same on a device, which must last, and either way. */
void trial_open_on(struct ink_device *device, struct trial *trial, struct ink_model *model, const ink_dataset *dataset,
                   const struct ink_train_options *options, int batch, enum ink_style style, bool unbundled);
void trial_close(struct trial *trial);

/* Runs a section on samples start .. start + n - 1 in the order of the data set and returns their mean loss; those of
 * each are in feed.host_losses from start on. */
double trial_run(struct trial *trial, enum ink_section section, int start, int n);

#endif
