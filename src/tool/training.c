/* The options of inkling train; see training.h. */
#include "training.h"

#include <stdio.h>

#include "augment.h"
#include "batches.h"
#include "options.h"
#include "text.h"

static const char *const optimizer_names[] = {"adam", "adamw", "sgd"};
static const char *const schedule_names[] = {"constant", "step", "cosine", "one-cycle", "plateau"};

/* An option of another schedule would do nothing. */
static bool check_schedule(const struct settings *settings)
{
    const struct { const char *name; bool set; ink_schedule of[2]; } uses[] = {
        {"step-size", settings->step_size != 0, {INK_SCHEDULE_STEP, INK_SCHEDULE_STEP}},
        {"plateau-epochs", settings->plateau_epochs != 0, {INK_SCHEDULE_PLATEAU, INK_SCHEDULE_PLATEAU}},
        {"gamma", settings->gamma > 0, {INK_SCHEDULE_STEP, INK_SCHEDULE_PLATEAU}},
        {"min-lr", settings->min_lr > 0, {INK_SCHEDULE_COSINE, INK_SCHEDULE_PLATEAU}},
        {"pct-start", settings->pct_start > 0, {INK_SCHEDULE_ONE_CYCLE, INK_SCHEDULE_ONE_CYCLE}},
        {"div-factor", settings->div_factor > 0, {INK_SCHEDULE_ONE_CYCLE, INK_SCHEDULE_ONE_CYCLE}},
        {"final-div-factor", settings->final_div_factor > 0, {INK_SCHEDULE_ONE_CYCLE, INK_SCHEDULE_ONE_CYCLE}},
        {"anneal", settings->anneal != 0, {INK_SCHEDULE_ONE_CYCLE, INK_SCHEDULE_ONE_CYCLE}},
    };
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++) {
        const ink_schedule *of = uses[i].of;
        if (!uses[i].set || (ink_schedule)settings->schedule == of[0] || (ink_schedule)settings->schedule == of[1])
            continue;
        complain("--%s is for --schedule %s%s%s; choose it, or leave --%s out", uses[i].name, schedule_names[of[0]], of[0] == of[1] ? "" : " or ",
                 of[0] == of[1] ? "" : schedule_names[of[1]], uses[i].name);
        return false;
    }
    return true;
}

static double rate_of(const struct settings *settings)
{
    return settings->learning_rate > 0 ? settings->learning_rate : settings->optimizer == INK_SGD ? 0.01 : 0.001;
}

bool check_training(const struct settings *settings)
{
    if (settings->optimizer != INK_SGD && (settings->momentum > 0 || settings->nesterov)) {
        complain("--%s is for --optimizer sgd; %s has its own", settings->momentum > 0 ? "momentum" : "nesterov",
                 optimizer_names[settings->optimizer]);
        return false;
    }
    if (settings->nesterov && settings->momentum <= 0) {
        complain("--nesterov needs --momentum, for example --momentum 0.9");
        return false;
    }
    if (settings->min_lr > rate_of(settings)) {
        complain("--min-lr is %g, above the learning rate of %g; choose a lower one, or a higher --lr", settings->min_lr, rate_of(settings));
        return false;
    }
    if (settings->reproducible && (settings->algorithms || option_given(&train_command, settings, "tune"))) {
        complain("--reproducible takes the same algorithms on every device; leave out --%s", settings->algorithms ? "algorithms" : "tune");
        return false;
    }
    if (settings->micro_batch > settings->batch) {
        complain("--micro-batch is %llu, above the batch of %llu; choose a smaller one, or a larger --batch",
                 (unsigned long long)settings->micro_batch, (unsigned long long)settings->batch);
        return false;
    }
    if (settings->no_tune && option_given(&train_command, settings, "tune")) {
        complain("--tune asks to measure and --no-tune not to; leave out one of them");
        return false;
    }
    return check_batches(settings) && check_augmentation(&settings->augmentation) && check_schedule(settings);
}

static void print_augmentation(const struct ink_augmentation *a)
{
    const struct { const char *name; double value; } all[] = {
        {"shift", a->shift}, {"rotate", a->rotate}, {"scale", a->scale}, {"shear", a->shear}, {"elastic", a->elastic},
        {"elastic-smoothness", a->elastic_smoothness}, {"thickness", a->thickness}, {"contrast", a->contrast}, {"noise", a->noise}, {"erase", a->erase},
    };
    const char *before = "augment ";
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].value > 0) {
            printf("%s%s %g", before, all[i].name, all[i].value);
            before = ", ";
        }
    if (is_augmented(a))
        printf("\n");
}

void print_training(const struct settings *settings, const ink_model *model)
{
    if (!settings->resume)
        printf("recipe  %s\n", settings->recipe);
    printf("model   %s: %s layers, %s parameters\n", settings->model ? settings->model : "reference",
           text_count(ink_model_layer_count(model)).s, text_count(ink_model_parameter_count(model)).s);
    bool scheduled = settings->schedule != INK_SCHEDULE_CONSTANT;
    printf("train   %s epoch%s of batches of %s%s%s, %s, learning rate %g%s%s, seed %llu\n", text_count(settings->epochs).s,
           settings->epochs == 1 ? "" : "s", text_count(settings->batch).s, settings->batch_to ? " to " : "",
           settings->batch_to ? text_count(settings->batch_to).s : "", optimizer_names[settings->optimizer], rate_of(settings),
           scheduled ? " " : "", scheduled ? schedule_names[settings->schedule] : "", (unsigned long long)settings->seed);
    print_augmentation(&settings->augmentation);
    fflush(stdout);
}

struct ink_train_options training_of(const struct settings *settings)
{
    return (struct ink_train_options){
        .epochs = (int)settings->epochs,
        .batch = (int)settings->batch,
        .optimizer = (ink_optimizer)settings->optimizer,
        .learning_rate = settings->learning_rate,
        .momentum = settings->momentum,
        .nesterov = settings->nesterov,
        .weight_decay = settings->weight_decay,
        .label_smoothing = settings->label_smoothing,
        .schedule = (ink_schedule)settings->schedule,
        .warmup = (int)settings->warmup,
        .step_size = (int)settings->step_size,
        .plateau_epochs = (int)settings->plateau_epochs,
        .gamma = settings->gamma,
        .min_learning_rate = settings->min_lr,
        .pct_start = settings->pct_start,
        .div_factor = settings->div_factor,
        .final_div_factor = settings->final_div_factor,
        .anneal = (ink_anneal)settings->anneal,
        .clip_norm = settings->clip_norm,
        .ema = settings->ema,
        .monitor = (ink_monitor)settings->monitor,
        .patience = (int)settings->patience,
        .seed = settings->seed,
        .augmentation = settings->augmentation,
        .initialise = true,
        .reproducible = settings->reproducible,
        .algorithms = settings->algorithms,
        .tune = settings->no_tune ? INK_TUNE_NONE : (ink_tune)(INK_TUNE_SHORT + settings->tune),
        .micro_batch = (int)settings->micro_batch,
    };
}

const struct option training_options[] = {
    {OPTION_TEXT, FIELD(recipe), "recipe", 'r', "NAME|FILE", 0, 0, 0, 0, "default",
     "options that are not given here: seed (plain training), fast (99 % in one epoch), default (the best of five epochs), or a file "
     "with a line for each"},
    {OPTION_TEXT, FIELD(model), "model", 'm', "FILE", 0, 0, 0, 0, NULL,
     "text form of the model to train (else the reference model)"},
    {OPTION_WHOLE, FIELD(epochs), "epochs", 'e', "N", 1, 1000000, 0, 0, "5", "times to go through the training images"},
    OPTION_OF_BATCH,
    {OPTION_CHOICE, FIELD(optimizer), "optimizer", 0, "adam|adamw|sgd", 0, 0, 0, 0, "adam", "how weights are changed"},
    {OPTION_REAL, FIELD(learning_rate), "lr", 0, "X", 0, 0, 1e-9, 1000, NULL,
     "learning rate; 0.001 for adam and adamw, 0.01 for sgd if not given"},
    {OPTION_REAL, FIELD(momentum), "momentum", 0, "X", 0, 0, 0, 1, NULL, "of sgd, 0 if not given"},
    {OPTION_FLAG, FIELD(nesterov), "nesterov", 0, NULL, 0, 0, 0, 0, NULL, "Nesterov's form of momentum"},
    {OPTION_REAL, FIELD(weight_decay), "weight-decay", 0, "X", 0, 0, 0, 1, NULL,
     "decoupled for adamw, added to the gradient for adam and sgd; 0 if not given"},
    {OPTION_REAL, FIELD(label_smoothing), "label-smoothing", 0, "X", 0, 0, 0, 1, NULL,
     "share of each target spread over all classes while training; 0 if not given"},
    {OPTION_CHOICE, FIELD(schedule), "schedule", 0, "constant|step|cosine|one-cycle|plateau", 0, 0, 0, 0, "constant",
     "how the learning rate goes on, as PyTorch's schedulers have it"},
    {OPTION_WHOLE, FIELD(warmup), "warmup", 0, "N", 0, 1000000000, 0, 0, NULL,
     "steps in which the learning rate first goes up linearly, none if not given"},
    {OPTION_WHOLE, FIELD(step_size), "step-size", 0, "N", 1, 1000000, 0, 0, NULL,
     "of step: epochs after which the rate is multiplied by --gamma, a third of all if not given"},
    {OPTION_WHOLE, FIELD(plateau_epochs), "plateau-epochs", 0, "N", 1, 1000000, 0, 0, NULL,
     "of plateau: epochs without a better result after which it is, 2 if not given"},
    {OPTION_REAL, FIELD(gamma), "gamma", 0, "X", 0, 0, 1e-9, 1, NULL, "of step and plateau, 0.1 if not given"},
    {OPTION_REAL, FIELD(min_lr), "min-lr", 0, "X", 0, 0, 0, 1000, NULL, "of cosine and plateau: where the rate ends, 0 if not given"},
    {OPTION_REAL, FIELD(pct_start), "pct-start", 0, "X", 0, 0, 1e-9, 1, NULL,
     "of one-cycle: share of the steps in which the rate goes up, 0.3 if not given"},
    {OPTION_REAL, FIELD(div_factor), "div-factor", 0, "X", 0, 0, 1, 1e12, NULL,
     "of one-cycle: it begins at the learning rate divided by this, 25 if not given"},
    {OPTION_REAL, FIELD(final_div_factor), "final-div-factor", 0, "X", 0, 0, 1, 1e12, NULL,
     "of one-cycle: it ends at what it began with divided by this, 10,000 if not given"},
    {OPTION_CHOICE, FIELD(anneal), "anneal", 0, "cosine|linear", 0, 0, 0, 0, "cosine", "of one-cycle: the shape of its ways"},
    {OPTION_REAL, FIELD(clip_norm), "clip-norm", 0, "X", 0, 0, 1e-9, 1e9, NULL,
     "scale gradients down whose norm over all weights is above X"},
    {OPTION_REAL, FIELD(ema), "ema", 0, "X", 0, 0, 0, 1, NULL,
     "test and save a moving average of the weights that keeps this share of itself in each step"},
    {OPTION_WHOLE, FIELD(patience), "patience", 0, "N", 1, 1000000, 0, 0, NULL,
     "end after so many epochs in a row without a better result"},
    {OPTION_CHOICE, FIELD(monitor), "monitor", 0, "loss|accuracy", 0, 0, 0, 0, "loss",
     "the result, of --val or else of the test set, that --patience and the plateau schedule go by"},
    {OPTION_REAL, FIELD(validation), "val", 0, "X", 0, 0, 0, 1, NULL,
     "share of the training images, of each class alike, that are kept apart and tested after each epoch"},
    {OPTION_CHOICE, FIELD(sampling), "sampling", 0, "shuffled|stratified", 0, 0, 0, 0, "shuffled",
     "which images make a batch: any, or of each class its share"},
    {OPTION_WHOLE, FIELD(device_memory), "device-memory", 0, "MIB", 1, 1 << 30, 0, 0, NULL,
     "take at most so much of the device's memory; images that do not fit are sent batch by batch (else all it has)"},
    {OPTION_TEXT, FIELD(class_weights), "class-weights", 0, "LIST", 0, 0, 0, 0, NULL,
     "what the loss of each class is multiplied by: numbers with commas, or balanced, by the classes' sizes"},
    {OPTION_WHOLE, FIELD(batch_to), "batch-to", 0, "N", 1, 65536, 0, 0, NULL, "let the batch grow, doubled after every --batch-every epochs, up to N"},
    {OPTION_WHOLE, FIELD(batch_every), "batch-every", 0, "N", 1, 1000000, 0, 0, NULL, "of --batch-to: epochs of one size, 1 if not given"},
    {OPTION_WHOLE, FIELD(seed), "seed", 's', "N", 0, UINT64_MAX, 0, 0, "1",
     "of the first weights, the order of images, their distortion and dropout; the same seed on the same device gives the same model"},
    {OPTION_FLAG, FIELD(reproducible), "reproducible", 0, NULL, 0, 0, 0, 0, NULL, "give the same model on every device, which takes longer"},
    OPTIONS_OF_AUGMENTATION,
    OPTION_OF_DEVICE,
    OPTION_OF_DATA,
    OPTION_OF_LIMIT("use only the first N training and the first N test images"),
    {OPTION_TEXT, FIELD(algorithms), "algorithms", 0, "LIST", 0, 0, 0, 0, NULL,
     "op=name with commas, for example conv=im2col,dense=clblast (else chosen for the device)"},
    {OPTION_TEXT, FIELD(checkpoint_every), "checkpoint-every", 0, "N[m|e]", 0, 0, 0, 0, NULL,
     "write a checkpoint after every N steps, N minutes (10m) or N epochs (1e)"},
    {OPTION_TEXT, FIELD(checkpoints), "checkpoints", 0, "DIR", 0, 0, 0, 0, NULL,
     "folder for checkpoints (else that of --resume, else FILE of --out with .checkpoints for its ending)"},
    {OPTION_WHOLE, FIELD(keep), "keep", 0, "N", 1, 1000000, 0, 0, NULL, "newest checkpoints that are kept, 3 if not given"},
    {OPTION_TEXT, FIELD(resume), "resume", 0, "FILE", 0, 0, 0, 0, NULL,
     "go on from a checkpoint, with its model and options where they are not given"},
    {OPTION_TEXT, FIELD(devices), "devices", 0, "LIST", 0, 0, 0, 0, NULL,
     "train on several devices together: all, or as --device with a comma between two; cpu/2 is a CPU's cores in 2 parts"},
    {OPTION_TEXT, FIELD(shares), "shares", 0, "LIST", 0, 0, 0, 0, NULL,
     "of --devices: how a batch is divided, as 2,1 (else by their speed, which is measured)"},
    {OPTION_WHOLE, FIELD(micro_batch), "micro-batch", 0, "N", 1, 65536, 0, 0, NULL,
     "images worked on at once: a step sums the gradients of several so many, in the memory of one; --batch if not given"},
    {OPTION_TEXT, FIELD(out), "out", 'o', "FILE", 0, 0, 0, 0, "inkling.safetensors", "where to save the model"},
    {OPTION_CHOICE, FIELD(tune), "tune", 0, "short|full", 0, 0, 0, 0, "short",
     "measure which algorithms are the fastest first: within 5 % of the time training takes, or all"},
    {OPTION_FLAG, FIELD(no_tune), "no-tune", 0, NULL, 0, 0, 0, 0, NULL, "neither measure nor use what was measured before"},
    OPTION_OF_FORCE("replace FILE even if it is not a model"),
    OPTION_OF_HELP,
};
