/* Checkpoints on the command line; see resume.h. */
#include "resume.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "text.h"

static bool set_every(const char *text, struct ink_train_options *options)
{
    char *end;
    errno = 0;
    unsigned long count = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || errno || !count || count > 1000000 || (*end && ((*end != 'm' && *end != 'e') || end[1]))) {
        complain("--checkpoint-every: \"%s\" is neither steps, as 500, nor minutes, as 10m, nor epochs, as 1e; give 1 to 1,000,000 of them", text);
        return false;
    }
    if (*end == 'm')
        options->checkpoint_minutes = (double)count;
    else if (*end == 'e')
        options->checkpoint_epochs = (int)count;
    else
        options->checkpoint_steps = (int)count;
    return true;
}

/* The folder of the checkpoint that is gone on from, else one beside the model that will be saved. */
static bool name_folder(const struct settings *settings, char folder[DATA_PATH_SIZE])
{
    static const char tail[] = ".safetensors";
    int length;
    if (settings->checkpoints) {
        length = snprintf(folder, DATA_PATH_SIZE, "%s", settings->checkpoints);
    } else if (settings->resume) {
        const char *slash = strrchr(settings->resume, '/');
        length = snprintf(folder, DATA_PATH_SIZE, "%.*s", slash ? (int)(slash - settings->resume) : 1, slash ? settings->resume : ".");
    } else {
        size_t name = strlen(settings->out), cut = sizeof tail - 1;
        if (name > cut && strcmp(settings->out + name - cut, tail) == 0)
            name -= cut;
        length = snprintf(folder, DATA_PATH_SIZE, "%.*s.checkpoints", (int)name, settings->out);
    }
    if (length < DATA_PATH_SIZE)
        return true;
    complain("the name of the folder for checkpoints is too long; give a shorter one with --checkpoints");
    return false;
}

bool set_checkpoints(const struct settings *settings, char folder[DATA_PATH_SIZE], struct ink_train_options *options)
{
    options->resume = settings->resume;
    options->keep = (int)settings->keep;
    if (!settings->checkpoint_every && !settings->checkpoints && !settings->keep)
        return true;
    if (settings->checkpoint_every && !set_every(settings->checkpoint_every, options))
        return false;
    options->checkpoints = folder;
    return name_folder(settings, folder);
}

/* Options that are not on the command line are those of the checkpoint. */
static void take_options(struct settings *s, const struct ink_checkpoint_info *info)
{
    const struct ink_train_options *o = &info->options;
    const struct ink_augmentation *from = &o->augmentation;
    struct ink_augmentation *a = &s->augmentation;
    const struct { const char *name; uint64_t *field; uint64_t value; } whole[] = {
        {"epochs", &s->epochs, (uint64_t)o->epochs}, {"batch", &s->batch, (uint64_t)o->batch}, {"seed", &s->seed, o->seed},
        {"micro-batch", &s->micro_batch, (uint64_t)o->micro_batch},
        {"warmup", &s->warmup, (uint64_t)o->warmup}, {"step-size", &s->step_size, (uint64_t)o->step_size},
        {"plateau-epochs", &s->plateau_epochs, (uint64_t)o->plateau_epochs}, {"patience", &s->patience, (uint64_t)o->patience},
        {"batch-to", &s->batch_to, (uint64_t)o->batch_to}, {"batch-every", &s->batch_every, (uint64_t)o->batch_every},
        /* the first so many of both sets gave these counts, whether they were limited or not */
        {"limit", &s->limit, info->train_count > info->test_count ? info->train_count : info->test_count},
    };
    const struct { const char *name; double *field, value; } real[] = {
        {"lr", &s->learning_rate, o->learning_rate}, {"momentum", &s->momentum, o->momentum}, {"weight-decay", &s->weight_decay, o->weight_decay},
        {"label-smoothing", &s->label_smoothing, o->label_smoothing}, {"gamma", &s->gamma, o->gamma}, {"min-lr", &s->min_lr, o->min_learning_rate},
        {"pct-start", &s->pct_start, o->pct_start}, {"div-factor", &s->div_factor, o->div_factor},
        {"final-div-factor", &s->final_div_factor, o->final_div_factor}, {"clip-norm", &s->clip_norm, o->clip_norm}, {"ema", &s->ema, o->ema},
        {"val", &s->validation, o->validation},
        {"shift", &a->shift, from->shift}, {"rotate", &a->rotate, from->rotate}, {"scale", &a->scale, from->scale},
        {"shear", &a->shear, from->shear}, {"elastic", &a->elastic, from->elastic}, {"elastic-smoothness", &a->elastic_smoothness, from->elastic_smoothness},
        {"thickness", &a->thickness, from->thickness}, {"contrast", &a->contrast, from->contrast}, {"noise", &a->noise, from->noise},
        {"erase", &a->erase, from->erase},
    };
    const struct { const char *name; int *field, value; } choices[] = {
        {"optimizer", &s->optimizer, (int)o->optimizer}, {"schedule", &s->schedule, (int)o->schedule}, {"anneal", &s->anneal, (int)o->anneal},
        {"monitor", &s->monitor, (int)o->monitor}, {"sampling", &s->sampling, (int)o->sampling},
    };
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (!option_given(&train_command, s, whole[i].name))
            *whole[i].field = whole[i].value;
    for (size_t i = 0; i < sizeof real / sizeof *real; i++)
        if (!option_given(&train_command, s, real[i].name))
            *real[i].field = real[i].value;
    for (size_t i = 0; i < sizeof choices / sizeof *choices; i++)
        if (!option_given(&train_command, s, choices[i].name))
            *choices[i].field = choices[i].value;
    s->nesterov |= o->nesterov;
    s->reproducible |= o->reproducible;
    if (!option_given(&train_command, s, "algorithms") && *info->algorithms)
        s->algorithms = info->algorithms;
    if (!option_given(&train_command, s, "class-weights") && *info->class_weights)
        s->class_weights = info->class_weights;
    if (s->devices && !option_given(&train_command, s, "shares") && *info->shares)
        s->shares = info->shares;
}

bool resume_settings(struct settings *settings, ink_model **model, struct ink_checkpoint_info *info)
{
    ink_model *kept = NULL;
    if (ink_checkpoint_load(settings->resume, &kept, info)) {
        complain_library(settings->resume);
        return false;
    }
    take_options(settings, info);
    if (settings->model)
        ink_model_destroy(&kept);
    else
        *model = kept;
    return true;
}
