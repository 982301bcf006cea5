/* What every subcommand is made of: a name, its options and operands in tables that the parser and the help text both
 * read, and a function that runs it. A new subcommand is one file that defines a struct command, and a line each in
 * this header, in the list of main.c and in meson.build. */
#ifndef TOOL_COMMAND_H
#define TOOL_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "inkling/inkling.h"

/* Exit statuses. A run that a signal stopped ends with 128 + its number, as shells have it. */
enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

/* Values of all options of all subcommands. A subcommand reads those that its table lists; the rest stay zero. */
struct settings {
    uint64_t epochs, batch, seed, limit, count, warmup, step_size, plateau_epochs, patience;
    double learning_rate, momentum, weight_decay, label_smoothing, seconds;
    double gamma, min_lr, pct_start, div_factor, final_div_factor, clip_norm, ema;
    int optimizer, schedule, anneal, monitor; /* an ink_optimizer and so on */
    int tune;      /* 0 short, 1 full */
    bool nesterov, reproducible, force, json, wrong, plan, apart, inference, first_step, full, no_tune, help;
    const char *model, *device, *data, *out, *algorithms, *checkpoints, *checkpoint_every, *resume, *recipe;
    uint64_t keep;
    uint64_t micro_batch;
    const char *devices, *shares;
    uint64_t batch_to, batch_every;
    double validation;
    int sampling; /* an ink_sampling */
    const char *class_weights;
    uint64_t device_memory; /* MiB */
    struct ink_augmentation augmentation;
    bool augment;  /* of show */
    uint64_t given[2]; /* bit i: the i-th option of the command's table is on the command line */
    char **operands;
    int operand_count;
};

/* The type of an option's field in struct settings: bool, uint64_t, double, const char *, int. */
enum option_kind { OPTION_END, OPTION_FLAG, OPTION_WHOLE, OPTION_REAL, OPTION_TEXT, OPTION_CHOICE };

struct option {
    enum option_kind kind;
    size_t field;         /* offset in struct settings */
    const char *name;     /* without its dashes */
    char letter;          /* one-letter form, or 0 */
    const char *value;    /* what help calls the value; for a choice the words: "adam|adamw|sgd" gives 0, 1, 2 */
    uint64_t least, most; /* OPTION_WHOLE: least <= value <= most */
    double low, high;     /* OPTION_REAL: low <= value < high */
    const char *initial;  /* the default as a user would type it, or NULL for none (zero) */
    const char *help;
};

#define FIELD(name) offsetof(struct settings, name)
#define OPTION_OF_ALGORITHMS {OPTION_TEXT, FIELD(algorithms), "algorithms", 0, "LIST", 0, 0, 0, 0, NULL, \
    "op=name with commas, for example conv=im2col,dense=clblast (else chosen for the device)"}
#define OPTION_OF_BATCH {OPTION_WHOLE, FIELD(batch), "batch", 0, "N", 1, 65536, 0, 0, "128", "images a step"}
#define OPTION_OF_DATA {OPTION_TEXT, FIELD(data), "data", 0, "DIR", 0, 0, 0, 0, NULL, \
    "folder with the four MNIST-format files (else $INKLING_DATA, the installed data, the data beside the sources)"}
#define OPTION_OF_DEVICE {OPTION_TEXT, FIELD(device), "device", 0, "WHICH", 0, 0, 0, 0, NULL, \
    "gpu, cpu, accelerator, a number of 'inkling devices' or a part of a name (else the best one)"}
#define OPTION_OF_FORCE(what) {OPTION_FLAG, FIELD(force), "force", 0, NULL, 0, 0, 0, 0, NULL, what}
#define OPTION_OF_JSON {OPTION_FLAG, FIELD(json), "json", 0, NULL, 0, 0, 0, 0, NULL, "print JSON, for programs"}
#define OPTION_OF_TEXT_FORM {OPTION_TEXT, FIELD(model), "model", 'm', "FILE", 0, 0, 0, 0, NULL, \
    "the text form of a model, instead of a trained one"}
/* An option of a field of struct ink_augmentation, and all of them. */
#define OPTION_OF_DISTORTION(field, name, low, high, what) \
    {OPTION_REAL, FIELD(augmentation.field), name, 0, "X", 0, 0, low, high, NULL, what}
#define OPTIONS_OF_AUGMENTATION \
    OPTION_OF_DISTORTION(shift, "shift", 0, 65536, "move training images by up to X pixels down and across"), \
    OPTION_OF_DISTORTION(rotate, "rotate", 0, 360, "turn them by up to X degrees"), \
    OPTION_OF_DISTORTION(scale, "scale", 0, 1, "make them larger or smaller by up to this share"), \
    OPTION_OF_DISTORTION(shear, "shear", 0, 10, "slant them by up to this share"), \
    OPTION_OF_DISTORTION(elastic, "elastic", 0, 65536, "distort them elastically, pixels by X on the root mean square"), \
    OPTION_OF_DISTORTION(elastic_smoothness, "elastic-smoothness", 1, 65536, "as filtered by a Gaussian of a deviation of X pixels, 4 if not given"), \
    OPTION_OF_DISTORTION(thickness, "thickness", 0, 1, "make strokes thicker or thinner by up to X pixels on each side"), \
    OPTION_OF_DISTORTION(contrast, "contrast", 0, 1, "change contrast by up to this share"), \
    OPTION_OF_DISTORTION(noise, "noise", 0, 1, "add noise of this deviation, pixels being 0 to 1"), \
    OPTION_OF_DISTORTION(erase, "erase", 0, 1, "blank a rectangle of up to this share of the area")
#define OPTION_OF_LIMIT(what) {OPTION_WHOLE, FIELD(limit), "limit", 0, "N", 1, 1000000000, 0, 0, NULL, what}
#define OPTION_OF_HELP {OPTION_FLAG, FIELD(help), "help", 'h', NULL, 0, 0, 0, 0, NULL, "print this text"}, {OPTION_END}

struct command {
    const char *name;
    const char *operands; /* as usage shows them: "MODEL IMAGE..." or "" */
    int least, most;      /* how many operands */
    const char *summary;  /* a line for the list of commands */
    const char *more;     /* what else help tells; ends with a newline, or NULL */
    const struct option *options; /* up to OPTION_END */
    int (*run)(const struct settings *settings); /* returns the exit status, having said what failed */
};

extern const struct command bench_command, cache_command, devices_command, evaluate_command, predict_command, show_command,
    summary_command, train_command, tune_command;

#endif
