/* What several subcommands do: open the device, the data and the model that their options name, saying on standard
 * error what fails. All of these return false after saying so. */
#ifndef TOOL_COMMON_H
#define TOOL_COMMON_H

#include <json-c/json.h>

#include "command.h"
#include "inkling/inkling.h"

enum { DATA_PATH_SIZE = 4096 };

bool open_device(const struct settings *settings, ink_device **device);

/* Finds the data folder, written to path (of DATA_PATH_SIZE bytes). */
bool find_data(const struct settings *settings, char *path);

bool load_data(const char *path, ink_split split, const struct settings *settings, ink_dataset **dataset);

bool load_model(const char *path, ink_model **model);

/* The text of a file of at most so many bytes; what tells what it should be. free() it; NULL: that was not possible. */
char *read_text(const char *path, size_t most, const char *what);

/* Reads a model's text form from a file. */
bool parse_model(const char *path, ink_model **model);

/* The model of the operand, else the text form of --model, else the reference model for MNIST. *name: what to call it.
 * The weights of the latter two are drawn, as processors take another time for zeros. Gives the exit status. */
int open_model(const struct settings *settings, ink_model **model, const char **name);

/* A trained model with the test set and a device: what evaluate and show work on. */
struct session {
    char path[DATA_PATH_SIZE];
    ink_model *model;
    ink_dataset *test;
    ink_device *device;
    int classes;          /* of the model */
    float *probabilities; /* [test images][classes], once evaluated */
    struct ink_metrics metrics;
};

/* Opens the model of the first operand, data and device. */
bool session_open(const struct settings *settings, struct session *session);
/* Runs the model over the test set. */
bool session_evaluate(const struct settings *settings, struct session *session);
void session_close(struct session *session);

/* A hash of a seed and an image's number (the finalizer of SplitMix64, Steele, Lea and Flood 2014), to draw images at random by. */
uint64_t hash_of(uint64_t seed, uint64_t index);

/* The likeliest of some classes; the first of equals. */
int best_class(const float *probabilities, int classes);

/* Lines that say what a command works with; train or test may be NULL. */
void print_data(const char *path, const ink_dataset *train, const ink_dataset *test);
void print_device(const ink_device *device);

/* Prints a JSON object, with a newline, and frees it. */
int print_json(struct json_object *object);
struct json_object *json_shape(struct ink_shape shape);
struct json_object *json_real(double value); /* null where value is no number */
struct json_object *json_count(uint64_t value);

#endif
