/* Lowering a model to launches.
 *
 * forward    gather, then each layer's forward pass
 * loss       softmax and cross-entropy on the logits, with their gradient
 * backward   layers from last to first: backward_weights, then backward_data into the gradient of the layer before
 * update     the optimizer over all parameters at once
 *
 * Fusion rules, applied to a copy of the nodes before anything is emitted:
 *   fold_activations   a lone activation layer becomes the end of the layer before it
 *   crop_for_pools     a convolution leaves out the last rows and columns that the pooling behind it never reads
 *   fold_norms         not in training: a batch norm behind a convolution or dense layer becomes part of its weights and bias
 *   drop_softmax       a softmax at the model's end is left to the loss, which computes it from the logits
 *   fuse_pools         max pooling with windows side by side becomes the end of the layer before it, where every pass of
 *                      that has an algorithm that pools
 * and two while emitting: the gradient through an activation is the end (struct ink_epilogue) of the last backward_data
 * pass that writes it, never a launch of its own, unless the loss is that writer; and
 *   pass_on            a gradient that an op hands on as it is (add) becomes that of the layer before without a launch, and
 *                      where it is read for the last time, what is made of it may take its place in memory
 */
#include "model/lower.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A node while it is lowered. */
struct work {
    struct ink_node node;          /* a copy, changed by the rules */
    bool live;                     /* the output depends on it */
    bool alias;                    /* its output is its input's */
    int consumers;                 /* live nodes that read its output; 0 for aliases */
    int norm;                      /* the batch norm that became part of its weights; -1: none */
    bool needs_gradient;           /* it, or a node before it, has weights to train */
    bool shared;                   /* grad is another node's too: it may be read, not changed */
    ink_value y, grad, saved[INK_MAX_SAVED];
    ink_value parameters, gradients, state;
};

struct lowering {
    const struct ink_model *model;
    const struct ink_lowering *how;
    struct ink_launches *list;
    struct work *work;
    ink_value input;
};

/* The node whose output i's value really is; -1 the model's input. */
static int root(const struct lowering *l, int i)
{
    while (i >= 0 && l->work[i].alias)
        i = l->work[i].node.inputs[0];
    return i;
}

static ink_value value_of(const struct lowering *l, int i)
{
    i = root(l, i);
    return i < 0 ? l->input : l->work[i].y;
}

static void count_consumers(struct lowering *l)
{
    for (int i = 0; i < l->model->count; i++)
        l->work[i].consumers = 0;
    for (int i = 0; i < l->model->count; i++)
        for (int k = 0; k < l->work[i].node.op->inputs && !l->work[i].alias && l->work[i].live; k++) {
            int r = root(l, l->work[i].node.inputs[k]);
            if (r >= 0)
                l->work[r].consumers++;
        }
}

static void fold_activations(struct lowering *l)
{
    for (int i = 0; i < l->model->count; i++) {
        struct work *w = &l->work[i];
        int before = root(l, w->node.inputs[0]);
        if (strcmp(w->node.op->name, "activation") != 0 || before < 0)
            continue;
        struct work *producer = &l->work[before];
        bool can = producer->node.op->fields & INK_FIELD_ACTIVATION && strcmp(producer->node.op->name, "activation") != 0;
        if (!can || producer->node.layer.activation != INK_NONE || producer->consumers != 1 || producer->alias)
            continue;
        producer->node.layer.activation = w->node.layer.activation;
        producer->node.layer.slope = w->node.layer.slope;
        w->alias = true;
        count_consumers(l);
    }
}

/* With fixed statistics a batch norm is linear: its scale goes into the weights of a linear layer before it, its shift into
 * the bias. */
static void fold_norms(struct lowering *l)
{
    for (int i = 0; i < l->model->count && !l->how->training; i++) {
        struct work *w = &l->work[i];
        int before = root(l, w->node.inputs[0]);
        if (strcmp(w->node.op->name, "batch_norm") != 0 || before < 0 || !w->live)
            continue;
        struct work *producer = &l->work[before];
        bool linear = strcmp(producer->node.op->name, "conv") == 0 || strcmp(producer->node.op->name, "dense") == 0;
        if (!linear || producer->node.layer.activation != INK_NONE || producer->consumers != 1 || producer->norm >= 0 ||
            producer->node.out.channels != w->node.in.channels)
            continue;
        producer->norm = i;
        producer->node.layer.activation = w->node.layer.activation;
        producer->node.layer.slope = w->node.layer.slope;
        producer->node.layer.no_bias = false;
        w->alias = true;
        count_consumers(l);
    }
}

/* Rows or columns that windows without padding read. */
static int rows_read(int windows, int filter, int stride) { return (windows - 1) * stride + filter; }

static void crop_for_pools(struct lowering *l)
{
    for (int i = 0; i < l->model->count; i++) {
        struct ink_node *pool = &l->work[i].node;
        const struct ink_layer *window = &pool->layer;
        int before = root(l, pool->inputs[0]);
        if (!pool->op->crops || l->work[i].alias || before < 0)
            continue;
        struct work *producer = &l->work[before];
        bool padded = window->pad_top || window->pad_bottom || window->pad_left || window->pad_right;
        if (padded || !producer->node.op->croppable || producer->consumers != 1)
            continue;
        pool->in.height = rows_read(pool->out.height, window->filter_height, window->stride_height);
        pool->in.width = rows_read(pool->out.width, window->filter_width, window->stride_width);
        producer->node.out.height = pool->in.height;
        producer->node.out.width = pool->in.width;
    }
}

static void drop_softmax(struct lowering *l)
{
    struct work *last = &l->work[l->model->count - 1];
    if (strcmp(last->node.op->name, "softmax") == 0)
        last->alias = true;
    count_consumers(l);
}

/* The name that text ("op=name,op=name") gives for an op; its length, 0 if none. */
static size_t asked_algorithm(const char *text, const char *op, const char **name)
{
    size_t length = strlen(op);
    for (const char *at = text; at && *at; at += strcspn(at, ","), at += *at == ',')
        if (strncmp(at, op, length) == 0 && at[length] == '=') {
            *name = at + length + 1;
            return strcspn(*name, ",");
        }
    return 0;
}

ink_status ink_check_algorithms(const char *text)
{
    for (const char *at = text; at && *at; at += strcspn(at, ","), at += *at == ',') {
        char op_name[32], name[32];
        if (sscanf(at, "%31[^=,]=%31[^,]", op_name, name) != 2)
            return ink_fail(INK_ERROR_ARGUMENT, "algorithms '%s': write op=name, with commas between, for example conv=direct", text);
        const struct ink_op *op = ink_op_find(op_name);
        if (!op)
            return ink_fail(INK_ERROR_ARGUMENT, "algorithms: no op is called '%s'", op_name);
        char known[256] = "";
        bool found = false;
        for (int pass = 0; pass < INK_PASSES; pass++)
            for (const struct ink_algorithm *a = op->passes[pass]; a && a->name; a++) {
                found |= strcmp(a->name, name) == 0;
                if (!strstr(known, a->name))
                    snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", *known ? ", " : "", a->name);
            }
        if (!found)
            return ink_fail(INK_ERROR_ARGUMENT, "algorithms: %s has no algorithm '%s'; it has %s", op_name, name, *known ? known : "none");
    }
    return INK_OK;
}

/* True if an algorithm can do the call. */
static bool applies(const struct ink_algorithm *algorithm, const struct ink_call *call)
{
    return (!call->node->pool.height || algorithm->pools) && (!algorithm->applies || algorithm->applies(call));
}

struct ink_choice ink_lower_choice(const struct ink_lowering *how, const struct ink_call *call)
{
    struct ink_choice measured = {0}, styled = {0}, any = {0};
    const char *asked = NULL;
    size_t length = asked_algorithm(how->algorithms, call->node->op->name, &asked);
    if (!length && how->choose && how->choose(call, how->choose_user, &measured))
        return measured;
    for (const struct ink_algorithm *a = call->node->op->passes[call->pass]; a && a->name; a++) {
        bool named = length && strlen(a->name) == length && strncmp(a->name, asked, length) == 0;
        if (named && call->node->pool.height && !a->pools)
            return (struct ink_choice){0};
        if (!applies(a, call))
            continue;
        if (named)
            return (struct ink_choice){a, 0};
        if (a->on_request)
            continue;
        if (!styled.algorithm && (a->style == INK_STYLE_AUTO || a->style == call->style))
            styled.algorithm = a;
        if (!any.algorithm)
            any.algorithm = a;
    }
    return styled.algorithm ? styled : any;
}

static struct ink_call call_of(const struct lowering *l, int i, enum ink_pass pass)
{
    const struct work *w = &l->work[i];
    struct ink_call call = {
        .node = &w->node, .number = i, .device = l->how->device, .style = l->how->style, .vector_width = l->how->vector_width,
        .batch = l->how->batch, .training = l->how->training, .pass = pass, .x = {INK_NO_VALUE, INK_NO_VALUE}, .y = w->y,
        .dy = INK_NO_VALUE, .dx = INK_NO_VALUE, .parameters = w->parameters, .gradients = w->gradients, .state = w->state,
        .saved = {w->saved[0], w->saved[1]}, .epilogue = {.y = INK_NO_VALUE},
    };
    for (int k = 0; k < w->node.op->inputs; k++)
        call.x[k] = value_of(l, w->node.inputs[k]);
    if (pass != INK_FORWARD)
        call.dy = w->grad;
    return call;
}

static ink_status emit(struct lowering *l, struct ink_call *call)
{
    struct ink_choice choice = ink_lower_choice(l->how, call);
    if (!choice.algorithm)
        return ink_fail(INK_ERROR_UNSUPPORTED, "layer '%s': %s has no algorithm for this device", call->node->layer.name, call->node->op->name);
    int before = l->list->count;
    call->variant = choice.variant;
    l->list->label = call->node->layer.name;
    choice.algorithm->emit(l->list, call);
    l->list->label = NULL;
    for (int i = before; i < l->list->count; i++)
        l->list->launches[i].algorithm = choice.algorithm->name;
    return l->list->status;
}

/* True if every pass of a node would be done by an algorithm that pools too. */
static bool can_pool(struct lowering *l, int i)
{
    struct work *w = &l->work[i];
    bool can = true;
    for (enum ink_pass pass = INK_FORWARD; pass < INK_PASSES && can; pass++) {
        bool needed = pass == INK_FORWARD || (l->how->training && w->needs_gradient);
        if (pass == INK_BACKWARD_DATA) {
            int before = root(l, w->node.inputs[0]);
            needed &= before >= 0 && l->work[before].needs_gradient;
        }
        struct ink_call call = call_of(l, i, pass);
        struct ink_choice choice = ink_lower_choice(l->how, &call);
        can = !needed || (choice.algorithm && choice.algorithm->pools);
    }
    return can;
}

static void fuse_pools(struct lowering *l)
{
    for (int i = 0; i < l->model->count; i++) {
        struct ink_node *pool = &l->work[i].node;
        const struct ink_layer *window = &pool->layer;
        int before = root(l, pool->inputs[0]);
        if (strcmp(pool->op->name, "max_pool") != 0 || before < 0 || !l->work[i].live)
            continue;
        struct work *producer = &l->work[before];
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
            count_consumers(l);
        } else {
            producer->node = whole;
        }
    }
}

/* The weights of a node with its batch norm in them, and a bias, which the node itself may lack. */
static ink_value fold_norm(struct lowering *l, int i)
{
    const struct work *w = &l->work[i];
    const struct ink_parameter *weights = &w->node.parameters[0];
    struct ink_call norm = call_of(l, w->norm, INK_FORWARD);
    ink_value folded = ink_value_create(l->list, "folded weights", 0, (weights->count + (size_t)w->node.layer.units) * sizeof(float));
    if (folded != INK_NO_VALUE)
        l->list->values[folded].pinned = true;
    l->list->label = norm.node->layer.name;
    ink_emit_fold_norm(l->list, &norm, w->parameters, weights->count / (size_t)w->node.layer.units, w->node.parameter_count > 1, folded);
    l->list->label = NULL;
    return folded;
}

static ink_status forward(struct lowering *l)
{
    for (int i = 0; i < l->model->count; i++) {
        struct work *w = &l->work[i];
        if (w->alias || !w->live)
            continue;
        w->y = ink_value_create(l->list, w->node.layer.name, ink_shape_count(w->node.out) * sizeof(float), 0);
        for (int k = 0; k < INK_MAX_SAVED && l->how->training; k++)
            if (w->node.saved[k].sample_bytes || w->node.saved[k].fixed_bytes)
                w->saved[k] = ink_value_create(l->list, "saved", w->node.saved[k].sample_bytes, w->node.saved[k].fixed_bytes);
        struct ink_call call = call_of(l, i, INK_FORWARD);
        if (w->norm >= 0)
            call.parameters = fold_norm(l, i);
        INK_TRY(emit(l, &call));
    }
    return INK_OK;
}

/* True if the gradient of node i, once its operand k is done, is read no more, and node r has none yet: it can be r's. */
static bool takes_place(const struct lowering *l, int i, int k, int r)
{
    const struct work *w = &l->work[i];
    return !w->shared && k == w->node.op->inputs - 1 && l->work[r].grad == INK_NO_VALUE && !w->node.pool.height;
}

/* Makes the gradient of node i that of node r, where operand k hands it on as it is; false: it takes a launch. */
static bool pass_on(struct lowering *l, int i, int k, int r)
{
    struct work *w = &l->work[i], *target = &l->work[r];
    bool last = target->consumers == 1;
    if (!w->node.op->passes_gradient || target->grad != INK_NO_VALUE || (last && target->node.layer.activation != INK_NONE))
        return false;
    bool moves = takes_place(l, i, k, r);
    if (!moves && !last) /* the others would add to what is read here still */
        return false;
    target->grad = w->grad;
    target->consumers--;
    target->shared = w->shared = !moves;
    return true;
}

/* Gives the call the end that the gradient of node r needs if this is its last writer, and counts the writer off. The
 * first writer makes the gradient, in place of another value that is no longer needed unless that is INK_NO_VALUE. */
static void end_gradient(struct lowering *l, int r, struct ink_call *call, ink_value place)
{
    struct work *target = &l->work[r];
    call->epilogue.accumulate = target->grad != INK_NO_VALUE;
    if (target->grad == INK_NO_VALUE)
        target->grad = place != INK_NO_VALUE ? place : ink_value_create(l->list, "gradient", ink_shape_count(target->node.out) * sizeof(float), 0);
    call->dx = target->grad;
    if (--target->consumers == 0 && target->node.layer.activation != INK_NONE) {
        call->epilogue.activation = target->node.layer.activation;
        call->epilogue.slope = target->node.layer.slope;
        call->epilogue.y = target->y;
    }
}

static ink_status backward(struct lowering *l)
{
    for (int i = l->model->count - 1; i >= 0; i--) {
        struct work *w = &l->work[i];
        if (w->alias || w->grad == INK_NO_VALUE)
            continue;
        if (w->node.trained_count) {
            struct ink_call call = call_of(l, i, INK_BACKWARD_WEIGHTS);
            INK_TRY(emit(l, &call));
        }
        for (int k = 0; k < w->node.op->inputs; k++) {
            int r = root(l, w->node.inputs[k]);
            if (r < 0 || !l->work[r].needs_gradient)
                continue;
            if (pass_on(l, i, k, r))
                continue;
            struct ink_call call = call_of(l, i, INK_BACKWARD_DATA);
            call.operand = k;
            end_gradient(l, r, &call, w->node.op->in_place && takes_place(l, i, k, r) ? w->grad : INK_NO_VALUE);
            INK_TRY(emit(l, &call));
        }
    }
    return INK_OK;
}

/* The loss; in training with the gradient of the logits, and through the activation of the layer that made them. */
static ink_status loss(struct lowering *l, ink_value order, struct ink_lowered *lowered)
{
    const struct ink_lowering *how = l->how;
    int last = root(l, l->model->count - 1);
    struct ink_shape out = ink_model_output(l->model);
    struct ink_call call = {.device = how->device, .style = how->style, .vector_width = how->vector_width, .batch = how->batch,
                            .dx = INK_NO_VALUE, .epilogue = {.y = INK_NO_VALUE}};
    if (out.height != 1 || out.width != 1 || out.channels < how->classes)
        return ink_fail(INK_ERROR_SHAPE, "the model ends in %dx%dx%d, and the data has %d classes; end it in a dense layer of %d units",
                        out.height, out.width, out.channels, how->classes, how->classes);
    bool gradient = how->training && last >= 0 && l->work[last].needs_gradient;
    struct ink_loss_values values = {
        .logits = value_of(l, l->model->count - 1),
        .dlogits = gradient ? ink_value_create(l->list, "gradient of logits", (size_t)out.channels * sizeof(float), 0) : INK_NO_VALUE,
        .labels = ink_value_bind(l->list, "labels", INK_LABELS, 0, 0),
        .order = order,
        .losses = ink_value_bind(l->list, "losses", INK_LOSSES, 0, 0),
        .predictions = ink_value_bind(l->list, "predictions", INK_PREDICTIONS, 0, 0),
        .probabilities = how->probabilities && !how->training ? ink_value_bind(l->list, "probabilities", INK_PROBABILITIES, 0, 0) : INK_NO_VALUE,
    };
    lowered->logits = values.logits;
    lowered->dlogits = values.dlogits;
    ink_emit_loss(l->list, &call, &values, out.channels, how->options ? (float)how->options->label_smoothing : 0.0f);
    if (!gradient)
        return l->list->status;
    struct work *w = &l->work[last];
    if (w->node.layer.activation == INK_NONE) {
        w->grad = values.dlogits;
    } else {
        w->consumers = 1; /* the loss alone: what is live comes before it */
        call.dy = values.dlogits;
        end_gradient(l, last, &call, INK_NO_VALUE);
        ink_emit_pass_gradient(l->list, &call, ink_shape_count(w->node.out));
    }
    return l->list->status;
}

ink_status ink_lower_mark_constants(struct ink_launches *list)
{
    bool *constant = calloc((size_t)list->value_count + 1, sizeof *constant);
    if (!constant)
        return ink_fail_memory((size_t)list->value_count);
    for (int v = 0; v < list->value_count; v++)
        constant[v] = list->values[v].storage == INK_PARAMETERS || list->values[v].storage == INK_STATE;
    for (int i = 0; i < list->count; i++) {
        struct ink_launch *launch = &list->launches[i];
        bool can = true;
        for (int a = 0; a < launch->argument_count; a++) {
            const struct ink_argument *argument = &launch->arguments[a];
            bool read = argument->kind == INK_ARG_READ || argument->kind == INK_ARG_UPDATE;
            can &= argument->kind != INK_ARG_SCALAR && !(read && !constant[argument->value]);
            can &= argument->kind > INK_ARG_UPDATE || argument->kind == INK_ARG_READ || list->values[argument->value].storage == INK_ARENA;
        }
        launch->constant = can;
        for (int a = 0; a < launch->argument_count; a++) {
            const struct ink_argument *argument = &launch->arguments[a];
            if (argument->kind != INK_ARG_WRITE && argument->kind != INK_ARG_UPDATE)
                continue;
            constant[argument->value] = can;
            list->values[argument->value].pinned |= can;
        }
    }
    free(constant);
    return INK_OK;
}

static void start(struct lowering *l)
{
    for (int i = 0; i < l->model->count; i++) {
        struct work *w = &l->work[i];
        w->node = l->model->nodes[i];
        w->alias = w->node.op->alias || (w->node.op->alias_inference && !l->how->training);
        w->norm = -1;
        w->y = w->grad = w->saved[0] = w->saved[1] = w->parameters = w->gradients = w->state = INK_NO_VALUE;
        size_t bytes = w->node.trained_count * sizeof(float), at = l->how->parameter_offsets[i];
        if (bytes) {
            w->parameters = ink_value_bind(l->list, "parameters", INK_PARAMETERS, at, bytes);
            w->gradients = ink_value_bind(l->list, "gradients", INK_GRADIENTS, at, bytes);
        }
        if (w->node.state_count)
            w->state = ink_value_bind(l->list, "state", INK_STATE, l->how->state_offsets[i], w->node.state_count * sizeof(float));
        w->needs_gradient = bytes != 0;
        for (int k = 0; k < w->node.op->inputs; k++)
            w->needs_gradient |= w->node.inputs[k] >= 0 && l->work[w->node.inputs[k]].needs_gradient;
    }
    l->work[l->model->count - 1].live = true;
    for (int i = l->model->count - 1; i >= 0; i--)
        for (int k = 0; k < l->work[i].node.op->inputs && l->work[i].live; k++)
            if (l->work[i].node.inputs[k] >= 0)
                l->work[l->work[i].node.inputs[k]].live = true;
    count_consumers(l);
}

/* Kernels count the values of a batch in an int. */
static ink_status check_size(const struct ink_model *model, int batch)
{
    size_t largest = ink_shape_count(model->input);
    for (int i = 0; i < model->count; i++)
        if (ink_shape_count(model->nodes[i].out) > largest)
            largest = ink_shape_count(model->nodes[i].out);
    if (largest * (size_t)batch > INT_MAX)
        return ink_fail(INK_ERROR_UNSUPPORTED, "a batch of %d is too large: a layer has %zu values a sample, and %d is the most in a batch; use a batch of at most %zu",
                        batch, largest, INT_MAX, INT_MAX / largest);
    return INK_OK;
}

ink_status ink_lower(const struct ink_model *model, const struct ink_lowering *how, struct ink_launches *list, struct ink_lowered *lowered)
{
    if (!model->count)
        return ink_fail(INK_ERROR_SHAPE, "the model has no layers");
    struct lowering l = {model, how, list, calloc((size_t)model->count, sizeof(struct work)), INK_NO_VALUE};
    if (!l.work)
        return ink_fail_memory((size_t)model->count * sizeof(struct work));
    start(&l);
    ink_status status = check_size(model, how->batch);
    if (status) {
        free(l.work);
        return status;
    }
    fold_norms(&l);
    fold_activations(&l);
    crop_for_pools(&l);
    drop_softmax(&l);
    fuse_pools(&l);

    struct ink_call gather = {.device = how->device, .style = how->style, .vector_width = how->vector_width, .batch = how->batch};
    ink_value images = ink_value_bind(list, "images", INK_IMAGES, 0, 0), order = ink_value_bind(list, "order", INK_ORDER, 0, 0);
    l.input = ink_value_create(list, "input", ink_shape_count(model->input) * sizeof(float), 0);
    lowered->input = l.input;
    ink_emit_gather(list, &gather, images, order, l.input, ink_shape_count(model->input));
    status = forward(&l);
    if (!status)
        status = loss(&l, order, lowered);
    if (!status && how->training)
        status = backward(&l);
    if (!status && how->training && how->parameter_floats) {
        ink_value parameters = ink_value_bind(list, "parameters", INK_PARAMETERS, 0, how->parameter_floats * sizeof(float));
        ink_value gradients = ink_value_bind(list, "gradients", INK_GRADIENTS, 0, how->parameter_floats * sizeof(float));
        ink_value moment1 = ink_value_bind(list, "moment 1", INK_MOMENT1, 0, how->parameter_floats * sizeof(float));
        ink_value moment2 = ink_value_bind(list, "moment 2", INK_MOMENT2, 0, how->parameter_floats * sizeof(float));
        ink_value average = how->options->ema > 0 ? ink_value_bind(list, "average", INK_AVERAGE, 0, how->parameter_floats * sizeof(float)) : INK_NO_VALUE;
        ink_emit_optimizer(list, &gather, how->options, parameters, gradients, moment1, moment2, average, how->parameter_floats);
    }
    free(l.work);
    if (!status && !list->status && !how->training)
        status = ink_lower_mark_constants(list);
    return status ? status : list->status;
}
