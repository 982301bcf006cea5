/* Lowering a model to launches.
 *
 * forward    gather, then each layer's forward pass
 * loss       softmax and cross-entropy on the logits, with their gradient
 * backward   layers from last to first: backward_weights, then backward_data into the gradient of the layer before
 * update     the optimizer over all parameters at once
 *
 * Rules of fusion change a copy of the nodes before anything is emitted: fuse.c. Two more work while emitting: the gradient
 * through an activation is the end (struct ink_epilogue) of the last backward_data pass that writes it, never a launch of its
 * own, unless the loss is that writer; and
 *   pass_on            a gradient that an op hands on as it is (add) becomes that of the layer before without a launch, of several
 *                      layers if all have read it before one's is added to; and where it is read for the last time, what is made
 *                      of it may take its place in memory
 * And when all is emitted, launches become one: small ones of an evaluation (chain.c), those that meet the same samples, for some samples at a
 * time (chain_blocks.c), small ones of a training step that do not wait for each other (bundle.c), and what is left of that (relay.c).
 */
#include "model/lower.h"

#include <limits.h>
#include <stdlib.h>

#include "model/bundle.h"
#include "model/chain.h"
#include "model/relay.h"
#include "model/work.h"
#include "util/cores.h"

static ink_status emit(struct ink_works *l, struct ink_call *call)
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

/* The weights of a node with its batch norm in them, and a bias, which the node itself may lack. */
static ink_value fold_norm(struct ink_works *l, int i)
{
    const struct ink_work *w = &l->work[i];
    const struct ink_parameter *weights = &w->node.parameters[0];
    struct ink_call norm = ink_work_call(l, w->norm, INK_FORWARD);
    ink_value folded = ink_value_create(l->list, "folded weights", 0, (weights->count + (size_t)w->node.layer.units) * sizeof(float));
    if (folded != INK_NO_VALUE)
        l->list->values[folded].pinned = true;
    l->list->label = norm.node->layer.name;
    ink_emit_fold_norm(l->list, &norm, w->parameters, weights->count / (size_t)w->node.layer.units, w->node.parameter_count > 1, folded);
    l->list->label = NULL;
    return folded;
}

static ink_status forward(struct ink_works *l)
{
    for (int i = 0; i < l->model->count; i++) {
        struct ink_work *w = &l->work[i];
        if (w->alias || !w->live)
            continue;
        if (w->sum < 0)
            w->y = ink_value_create(l->list, w->node.layer.name, ink_shape_count(w->node.out) * sizeof(float), 0);
        for (int k = 0; k < INK_MAX_SAVED && l->how->training; k++)
            if (w->node.saved[k].sample_bytes || w->node.saved[k].fixed_bytes)
                w->saved[k] = ink_value_create(l->list, "saved", w->node.saved[k].sample_bytes, w->node.saved[k].fixed_bytes);
        struct ink_call call = ink_work_call(l, i, INK_FORWARD);
        if (w->norm >= 0)
            call.parameters = fold_norm(l, i);
        struct ink_call norms[2];
        for (int k = 0; k < w->node.op->inputs; k++) {
            int before = ink_work_root(l, w->node.inputs[k]);
            if (before < 0 || l->work[before].sum != i)
                continue;
            norms[k] = ink_work_call(l, before, INK_FORWARD);
            call.norms[k] = &norms[k];
        }
        INK_TRY(emit(l, &call));
    }
    return INK_OK;
}

/* True if node m is still to read the gradient of node i, of which operand k is being done. */
static bool shares(const struct ink_works *l, int m, int i, int k)
{
    bool done = m > i || (m == i && k == l->work[i].node.op->inputs - 1);
    return !done && l->work[m].grad == l->work[i].grad;
}

/* True if the gradient of node i, once its operand k is done, is read no more, and node r has none yet: it can be r's. */
static bool takes_place(const struct ink_works *l, int i, int k, int r)
{
    for (int m = 0; m <= i; m++)
        if (shares(l, m, i, k))
            return false;
    return l->work[r].grad == INK_NO_VALUE && !l->work[i].node.pool.height;
}

/* The node that adds to the gradient of node h next, from operand k of node i on; -1: none. */
static int next_writer(const struct ink_works *l, int h, int i, int k)
{
    for (int j = i; j > h; j--)
        for (int o = j == i ? k + 1 : 0; o < l->work[j].node.op->inputs; o++)
            if (l->work[j].live && !l->work[j].alias && ink_work_root(l, l->work[j].node.inputs[o]) == h)
                return j;
    return -1;
}

/* True if node r can share the gradient of node i, and with it those who do already: none is to read it once another's is added to. */
static bool can_share(const struct ink_works *l, int i, int k, int r)
{
    for (int h = 0; h < i; h++) {
        int writer = h == r || shares(l, h, i, k) ? next_writer(l, h, i, k) : -1;
        for (int m = 0; m <= writer; m++)
            if (m != h && (m == r || shares(l, m, i, k)))
                return false;
    }
    return true;
}

/* Makes the gradient of node i that of node r, where operand k hands it on as it is; false: it takes a launch. */
static bool pass_on(struct ink_works *l, int i, int k, int r)
{
    struct ink_work *w = &l->work[i], *target = &l->work[r];
    bool activated = target->consumers == 1 && target->node.layer.activation != INK_NONE;
    if (!w->node.op->passes_gradient || target->grad != INK_NO_VALUE || activated || !can_share(l, i, k, r))
        return false;
    target->grad = w->grad;
    target->consumers--;
    return true;
}

/* Gives the call the end that the gradient of node r needs if this is its last writer, and counts the writer off. The
 * first writer makes the gradient, in place of another value that is no longer needed unless that is INK_NO_VALUE. */
static void end_gradient(struct ink_works *l, int r, struct ink_call *call, ink_value place)
{
    struct ink_work *target = &l->work[r];
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

static ink_status backward(struct ink_works *l)
{
    for (int i = l->model->count - 1; i >= 0; i--) {
        struct ink_work *w = &l->work[i];
        if (w->alias || w->grad == INK_NO_VALUE)
            continue;
        if (w->node.trained_count) {
            struct ink_call call = ink_work_call(l, i, INK_BACKWARD_WEIGHTS);
            INK_TRY(emit(l, &call));
        }
        for (int k = 0; k < w->node.op->inputs; k++) {
            int r = ink_work_root(l, w->node.inputs[k]);
            if (r < 0 || !l->work[r].needs_gradient)
                continue;
            if (pass_on(l, i, k, r))
                continue;
            struct ink_call call = ink_work_call(l, i, INK_BACKWARD_DATA);
            call.operand = k;
            end_gradient(l, r, &call, w->node.op->in_place && takes_place(l, i, k, r) ? w->grad : INK_NO_VALUE);
            INK_TRY(emit(l, &call));
        }
    }
    return INK_OK;
}

/* The loss; in training with the gradient of the logits, and through the activation of the layer that made them. */
static ink_status loss(struct ink_works *l, ink_value order, struct ink_lowered *lowered)
{
    const struct ink_lowering *how = l->how;
    int last = ink_work_root(l, l->model->count - 1);
    struct ink_shape out = ink_model_output(l->model);
    struct ink_call call = {.device = how->device, .style = how->style, .vector_width = how->vector_width, .reproducible = how->reproducible, .batch = how->batch,
                            .dx = INK_NO_VALUE, .epilogue = {.y = INK_NO_VALUE}};
    if (out.height != 1 || out.width != 1 || out.channels < how->classes)
        return ink_fail(INK_ERROR_SHAPE, "the model ends in %dx%dx%d, and the data has %d classes; end it in a dense layer of %d units",
                        out.height, out.width, out.channels, how->classes, how->classes);
    bool gradient = how->training && last >= 0 && l->work[last].needs_gradient;
    struct ink_loss_values values = {
        .logits = ink_work_value(l, l->model->count - 1),
        .dlogits = gradient ? ink_value_create(l->list, "gradient of logits", (size_t)out.channels * sizeof(float), 0) : INK_NO_VALUE,
        .labels = ink_value_bind(l->list, "labels", INK_LABELS, 0, 0),
        .order = order,
        .losses = ink_value_bind(l->list, "losses", INK_LOSSES, 0, 0),
        .predictions = ink_value_bind(l->list, "predictions", INK_PREDICTIONS, 0, 0),
        .probabilities = how->probabilities && !how->training ? ink_value_bind(l->list, "probabilities", INK_PROBABILITIES, 0, 0) : INK_NO_VALUE,
    };
    lowered->logits = values.logits;
    lowered->dlogits = values.dlogits;
    ink_emit_loss(l->list, &call, &values, out.channels, how->training ? (float)how->options->label_smoothing : 0.0f,
                  how->training ? how->class_weights : NULL);
    if (!gradient)
        return l->list->status;
    struct ink_work *w = &l->work[last];
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
            can &= !ink_argument_is_value(argument) || argument->kind == INK_ARG_READ || list->values[argument->value].storage == INK_ARENA;
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

static void start(struct ink_works *l)
{
    for (int i = 0; i < l->model->count; i++) {
        struct ink_work *w = &l->work[i];
        w->node = l->model->nodes[i];
        w->alias = w->node.op->alias || (w->node.op->alias_inference && !l->how->training);
        w->norm = w->sum = -1;
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
    ink_work_count(l);
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

static struct ink_call call_of(const struct ink_lowering *how)
{
    return (struct ink_call){.device = how->device, .style = how->style, .vector_width = how->vector_width,
                             .reproducible = how->reproducible, .batch = how->batch};
}

/* A value as long as the parameters. */
static ink_value bind_flat(const struct ink_lowering *how, struct ink_launches *list, const char *label, enum ink_storage storage)
{
    return ink_value_bind(list, label, storage, 0, how->parameter_floats * sizeof(float));
}

ink_status ink_lower_update(const struct ink_lowering *how, struct ink_launches *list)
{
    if (!how->parameter_floats)
        return list->status;
    struct ink_call call = call_of(how);
    ink_value parameters = bind_flat(how, list, "parameters", INK_PARAMETERS), gradients = bind_flat(how, list, "gradients", INK_GRADIENTS);
    ink_value moment1 = bind_flat(how, list, "moment 1", INK_MOMENT1), moment2 = bind_flat(how, list, "moment 2", INK_MOMENT2);
    ink_value average = how->options->ema > 0 ? bind_flat(how, list, "average", INK_AVERAGE) : INK_NO_VALUE;
    ink_emit_optimizer(list, &call, how->options, parameters, gradients, moment1, moment2, average, how->parameter_floats);
    return list->status;
}

ink_status ink_lower_accumulate(const struct ink_lowering *how, struct ink_launches *list)
{
    if (!how->parameter_floats)
        return list->status;
    struct ink_call call = call_of(how);
    ink_value gradients = bind_flat(how, list, "gradients", INK_GRADIENTS), accumulated = bind_flat(how, list, "accumulated", INK_ACCUMULATED);
    ink_emit_accumulate(list, &call, gradients, accumulated, how->parameter_floats);
    return list->status;
}

/* Cores to share launches out to; 0: the device itself is not of CPU style, whose kernels it is given for the same bits on every device or where
 * its own do not build. It has more cores then than chains leave work for. Nor are there relays, whose work-groups wait awake, so that there must
 * be no more of them than cores to run them on: a GPU need not let a work-group go on while others wait for it, and llvmpipe ends loops, so
 * those that wait too. */
static unsigned count_cores(const struct ink_device *device)
{
    if (device->style != INK_STYLE_CPU)
        return 0;
    unsigned cores = ink_cores_allowed();
    return cores < device->info.compute_units ? cores : device->info.compute_units;
}

ink_status ink_lower(const struct ink_model *model, const struct ink_lowering *how, struct ink_launches *list, struct ink_lowered *lowered)
{
    if (!model->count)
        return ink_fail(INK_ERROR_SHAPE, "the model has no layers");
    struct ink_works l = {model, how, list, calloc((size_t)model->count, sizeof(struct ink_work)), INK_NO_VALUE};
    if (!l.work)
        return ink_fail_memory((size_t)model->count * sizeof(struct ink_work));
    start(&l);
    ink_status status = check_size(model, how->batch);
    if (status) {
        free(l.work);
        return status;
    }
    ink_fuse(&l);

    struct ink_call gather = call_of(how);
    ink_value images = ink_value_bind(list, "images", INK_IMAGES, 0, 0), order = ink_value_bind(list, "order", INK_ORDER, 0, 0);
    ink_value rows = ink_value_bind(list, "rows", INK_ROWS, 0, 0);
    l.input = ink_value_create(list, "input", ink_shape_count(model->input) * sizeof(float), 0);
    lowered->input = l.input;
    if (how->training && ink_augmentation_is_on(&how->options->augmentation))
        ink_emit_augment(list, &gather, &how->options->augmentation, images, rows, order, l.input, model->input);
    else
        ink_emit_gather(list, &gather, images, rows, l.input, ink_shape_count(model->input));
    status = forward(&l);
    if (!status)
        status = loss(&l, order, lowered);
    if (!status && how->training)
        status = backward(&l);
    if (!status && how->training && !how->apart)
        status = ink_lower_update(how, list);
    free(l.work);
    if (status || list->status)
        return status ? status : list->status;
    unsigned cores = count_cores(how->device);
    if (how->training) {
        if (how->style != INK_STYLE_CPU || how->unbundled)
            return INK_OK;
        if (cores && !how->apart)
            INK_TRY(ink_chain_blocks(list, how->device, cores, how->batch, false));
        INK_TRY(ink_bundle(list, how->batch, how->apart));
        return cores && !how->apart && !how->unrelayed ? ink_relay(list, cores) : INK_OK;
    }
    INK_TRY(ink_lower_mark_constants(list));
    if (how->style != INK_STYLE_CPU || how->unbundled)
        return INK_OK;
    INK_TRY(ink_chain(list, how->batch));
    return cores ? ink_chain_blocks(list, how->device, cores, how->batch, true) : INK_OK;
}
