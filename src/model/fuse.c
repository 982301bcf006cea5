/* Fusion: rules that change a copy of the nodes before anything is emitted.
 *
 *   fold_activations   a lone activation layer becomes the end of the layer before it
 *   crop_for_pools     a convolution leaves out the last rows and columns that the pooling behind it never reads
 *   fold_norms         not in training: a batch norm behind a convolution or dense layer becomes part of its weights and bias
 *   sum_norms          a batch norm that an add alone reads is normalised by that
 *   drop_softmax       a softmax at the model's end is left to the loss, which computes it from the logits
 *   fuse_pools         max pooling with windows side by side becomes the end of the layer before it, where every pass of
 *                      that has an algorithm that pools
 */
#include "model/work.h"

#include <string.h>

static void fold_activations(struct ink_works *l)
{
    for (int i = 0; i < l->model->count; i++) {
        struct ink_work *w = &l->work[i];
        int before = ink_work_root(l, w->node.inputs[0]);
        if (strcmp(w->node.op->name, "activation") != 0 || before < 0)
            continue;
        struct ink_work *producer = &l->work[before];
        bool can = producer->node.op->fields & INK_FIELD_ACTIVATION && strcmp(producer->node.op->name, "activation") != 0;
        if (!can || producer->node.layer.activation != INK_NONE || producer->consumers != 1 || producer->alias)
            continue;
        producer->node.layer.activation = w->node.layer.activation;
        producer->node.layer.slope = w->node.layer.slope;
        w->alias = true;
        ink_work_count(l);
    }
}

/* With fixed statistics a batch norm is linear: its scale goes into the weights of a linear layer before it, its shift into
 * the bias. */
static void fold_norms(struct ink_works *l)
{
    for (int i = 0; i < l->model->count && !l->how->training; i++) {
        struct ink_work *w = &l->work[i];
        int before = ink_work_root(l, w->node.inputs[0]);
        if (strcmp(w->node.op->name, "batch_norm") != 0 || before < 0 || !w->live)
            continue;
        struct ink_work *producer = &l->work[before];
        bool linear = strcmp(producer->node.op->name, "conv") == 0 || strcmp(producer->node.op->name, "dense") == 0;
        if (!linear || producer->node.layer.activation != INK_NONE || producer->consumers != 1 || producer->norm >= 0 ||
            producer->node.out.channels != w->node.in.channels)
            continue;
        producer->norm = i;
        producer->node.layer.activation = w->node.layer.activation;
        producer->node.layer.slope = w->node.layer.slope;
        producer->node.layer.no_bias = false;
        w->alias = true;
        ink_work_count(l);
    }
}

/* Rows or columns that windows without padding read. */
static int rows_read(int windows, int filter, int stride) { return (windows - 1) * stride + filter; }

static void crop_for_pools(struct ink_works *l)
{
    for (int i = 0; i < l->model->count; i++) {
        struct ink_node *pool = &l->work[i].node;
        const struct ink_layer *window = &pool->layer;
        int before = ink_work_root(l, pool->inputs[0]);
        if (!pool->op->crops || l->work[i].alias || before < 0)
            continue;
        struct ink_work *producer = &l->work[before];
        bool padded = window->pad_top || window->pad_bottom || window->pad_left || window->pad_right;
        if (padded || !producer->node.op->croppable || producer->consumers != 1)
            continue;
        pool->in.height = rows_read(pool->out.height, window->filter_height, window->stride_height);
        pool->in.width = rows_read(pool->out.width, window->filter_width, window->stride_width);
        producer->node.out.height = pool->in.height;
        producer->node.out.width = pool->in.width;
    }
}

static void sum_norms(struct ink_works *l)
{
    for (int i = 0; i < l->model->count; i++) {
        struct ink_work *w = &l->work[i];
        for (int k = 0; k < 2 && strcmp(w->node.op->name, "add") == 0 && w->live; k++) {
            int before = ink_work_root(l, w->node.inputs[k]);
            if (before < 0 || strcmp(l->work[before].node.op->name, "batch_norm") != 0)
                continue;
            struct ink_work *norm = &l->work[before];
            if (norm->node.layer.activation == INK_NONE && norm->consumers == 1)
                norm->sum = i;
        }
    }
}

static void drop_softmax(struct ink_works *l)
{
    struct ink_work *last = &l->work[l->model->count - 1];
    if (strcmp(last->node.op->name, "softmax") == 0)
        last->alias = true;
    ink_work_count(l);
}

/* True if every pass of a node would be done by an algorithm that pools too. */
static bool can_pool(struct ink_works *l, int i)
{
    struct ink_work *w = &l->work[i];
    bool can = true;
    for (enum ink_pass pass = INK_FORWARD; pass < INK_PASSES && can; pass++) {
        bool needed = pass == INK_FORWARD || (l->how->training && w->needs_gradient);
        if (pass == INK_BACKWARD_DATA) {
            int before = ink_work_root(l, w->node.inputs[0]);
            needed &= before >= 0 && l->work[before].needs_gradient;
        }
        struct ink_call call = ink_work_call(l, i, pass);
        struct ink_choice choice = ink_lower_choice(l->how, &call);
        can = !needed || (choice.algorithm && choice.algorithm->pools);
    }
    return can;
}

static void fuse_pools(struct ink_works *l)
{
    /* which of equal values behind an activation wins depends on whether pooling is fused, and that on the device */
    for (int i = 0; i < l->model->count && !l->how->reproducible; i++) {
        struct ink_node *pool = &l->work[i].node;
        const struct ink_layer *window = &pool->layer;
        int before = ink_work_root(l, pool->inputs[0]);
        if (strcmp(pool->op->name, "max_pool") != 0 || before < 0 || !l->work[i].live)
            continue;
        struct ink_work *producer = &l->work[before];
        bool padded = window->pad_top || window->pad_bottom || window->pad_left || window->pad_right;
        bool apart = window->stride_height == window->filter_height && window->stride_width == window->filter_width;
        int place = 0;
        while (place < INK_MAX_SAVED && (producer->node.saved[place].sample_bytes || producer->node.saved[place].fixed_bytes))
            place++;
        if (padded || !apart || window->filter_height * window->filter_width > 255 || producer->consumers != 1 || producer->node.pool.height ||
            place == INK_MAX_SAVED)
            continue;
        struct ink_node whole = producer->node;
        producer->node.pool.height = window->filter_height;
        producer->node.pool.width = window->filter_width;
        producer->node.out = pool->out;
        producer->node.saved[place].sample_bytes = pool->saved[0].sample_bytes;
        if (can_pool(l, before)) {
            l->work[i].alias = true;
            ink_work_count(l);
        } else {
            producer->node = whole;
        }
    }
}

void ink_fuse(struct ink_works *l)
{
    fold_norms(l);
    fold_activations(l);
    crop_for_pools(l);
    sum_norms(l);
    drop_softmax(l);
    fuse_pools(l);
}
