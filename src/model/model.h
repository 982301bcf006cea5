/* The model as the library sees it: nodes with shapes, and their tensors in two flat host buffers. */
#ifndef INK_MODEL_MODEL_H
#define INK_MODEL_MODEL_H

#include "ops/op.h"

struct ink_model {
    struct ink_shape input;
    struct ink_node *nodes;      /* in an order in which inputs come first */
    int count, room;
    float *trained, *state;      /* all trained parameters; all running statistics; node after node */
    size_t trained_count, state_count;
    char *text;                  /* the text form, made when asked for; NULL after a change */
};

/* A node's floats in model->trained and model->state. */
size_t ink_model_trained_offset(const struct ink_model *model, int node);
size_t ink_model_state_offset(const struct ink_model *model, int node);

/* The number of the node of a name, -1 for "input" or NULL at the first layer, -2 if there is none. */
int ink_model_find(const struct ink_model *model, const char *name);

/* The name a layer of an op gets if it has none; written to name. */
void ink_model_default_name(const struct ink_model *model, int node, const char *op, char *name, size_t size);

#endif
