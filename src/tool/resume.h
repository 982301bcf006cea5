/* Checkpoints on the command line of inkling train: how often and where they are written, and what is taken from one. */
#ifndef TOOL_RESUME_H
#define TOOL_RESUME_H

#include "common.h"

/* What --checkpoint-every, --checkpoints and --keep ask for; folder is the room for its name. False after saying what is wrong. */
bool set_checkpoints(const struct settings *settings, char folder[DATA_PATH_SIZE], struct ink_train_options *options);

/* Takes the model from the checkpoint of --resume, unless --model names one, and what the command line does not say; *info, which
 * holds strings of settings from now on, tells where training stands. False after saying what is wrong. */
bool resume_settings(struct settings *settings, ink_model **model, struct ink_checkpoint_info *info);

#endif
