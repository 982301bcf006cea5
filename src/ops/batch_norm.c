/* Batch normalisation (Ioffe and Szegedy 2015) over batch, rows and columns. Training takes the moments of the batch and
 * moves the running ones, which inference uses. Sums are split into parts of rows by the shapes, the plan's batch and, in GPU
 * style, the device's limits, so that the same seed gives the same bits however many compute units there are. Max pooling behind,
 * with windows side by side, is done in the same passes: the values that are not pooled are never written, nor are their gradients
 * before this layer. And a sum of which it is an operand is done in the pass that normalises, which then is the sum's. */
#include "ops/op.h"

enum {
    PARTS_WANTED = 64,        /* of the sums, for many cores */
    PART_FLOATS_LEAST = 4096, /* all channels of a part, so that adding the parts up costs little */
    PART_FLOATS_MOST = 32768, /* and is exact enough */
    GROUP_FLOATS = 16384,     /* that a CPU's work-group takes at least: several microseconds, */
    GROUPS_LEAST = 16,        /* where so many come of it */
    MOST_VECTORS = 4,         /* of channels side by side, a block */
    STREAM_BYTES = 4 << 20,   /* of a result that is stored past a CPU's caches, as little of it would be there when it is read */
    /* of a GPU's sums, batch_norm_group.cl */
    PART_GROUP = 128,         /* work-items that sum a part: few wait little for each other */
    CHANNEL_GROUP = 256,      /* and those that sum over the parts */
    MOST_COLUMNS = 16,        /* vectors of channels side by side, enough for whole lines of the cache */
    GROUPS_WANTED = 1024,     /* of a pass over all x; as many parts are summed in one go */
    ROUND = 4,                /* vectors that an item has in flight together */
    MOST_ROUNDS = 16,         /* of an item */
};

static ink_status infer(struct ink_node *node)
{
    struct ink_layer *layer = &node->layer;
    int channels = node->in.channels;
    if (layer->momentum == 0.0f)
        layer->momentum = 0.9f;
    if (layer->epsilon == 0.0f)
        layer->epsilon = 1e-5f;
    if (!(layer->momentum > 0.0f && layer->momentum < 1.0f))
        return ink_fail_layer(node, "its momentum is %g; above 0 and below 1 is possible", (double)layer->momentum);
    if (!(layer->epsilon > 0.0f && layer->epsilon <= 1.0f))
        return ink_fail_layer(node, "its epsilon is %g; above 0 and at most 1 is possible", (double)layer->epsilon);
    node->out = node->in;
    ink_node_parameter(node, "gamma", 1, &channels, true, INK_FILL_ONE, 0, 0);
    ink_node_parameter(node, "beta", 1, &channels, true, INK_FILL_ZERO, 0, 0);
    ink_node_parameter(node, "mean", 1, &channels, false, INK_FILL_ZERO, 0, 0);
    ink_node_parameter(node, "variance", 1, &channels, false, INK_FILL_ONE, 0, 0);
    node->saved[0].fixed_bytes = 2 * (size_t)channels * sizeof(float);
    return INK_OK;
}

static double flops(const struct ink_node *node) { return 2.0 * (double)ink_shape_count(node->in); }

/* What a pass walks over: rows of a sample, floats of a row; rows are pixels, or rows of windows of the pooling behind. */
struct walk { size_t rows, row_floats, part_rows; };

static struct walk walk_of(const struct ink_call *call, bool pooled)
{
    const struct ink_node *node = call->node;
    size_t all = ink_shape_count(node->in) * (size_t)call->batch, part = all / PARTS_WANTED;
    struct walk walk = {(size_t)node->in.height * (size_t)node->in.width, (size_t)node->in.channels, 0};
    if (pooled)
        walk = (struct walk){(size_t)node->out.height, (size_t)(node->pool.height * node->in.width * node->in.channels), 0};
    part = part < PART_FLOATS_LEAST ? PART_FLOATS_LEAST : part > PART_FLOATS_MOST ? PART_FLOATS_MOST : part;
    walk.part_rows = (part + walk.row_floats - 1) / walk.row_floats;
    if (walk.rows * walk.row_floats <= PART_FLOATS_MOST)
        walk.part_rows = ink_range_whole(walk.rows, walk.part_rows > walk.rows ? walk.part_rows : walk.rows);
    return walk;
}

static size_t vectors_of(const struct ink_call *call)
{
    return ((size_t)call->node->in.channels + (size_t)call->vector_width - 1) / (size_t)call->vector_width;
}

/* A GPU's groups for sums: work-items, blocks of channels, rows that the items of a group take at once. */
struct groups { size_t items, blocks, at_once; };

static struct groups groups_of(const struct ink_call *call)
{
    size_t items = ink_call_sum_group(call, PART_GROUP), vectors = vectors_of(call), most = items < MOST_COLUMNS ? items : MOST_COLUMNS;
    size_t blocks = (vectors + most - 1) / most;
    return (struct groups){items, blocks, items / ((vectors + blocks - 1) / blocks)};
}

/* The same of a pass that sums. For a GPU rows are pixels or windows, and a part is whole rounds of its group. */
static struct walk walk_of_sums(const struct ink_call *call, bool pooled)
{
    if (call->style == INK_STYLE_CPU)
        return walk_of(call, pooled);
    struct ink_shape shape = pooled ? call->node->out : call->node->in;
    struct walk walk = {(size_t)shape.height * (size_t)shape.width, (size_t)shape.channels, 0};
    struct groups groups = groups_of(call);
    size_t vectors = walk.rows * (size_t)call->batch * vectors_of(call), rounds = vectors / (GROUPS_WANTED * groups.items * ROUND) + 1;
    walk.part_rows = groups.at_once * ROUND * (rounds < MOST_ROUNDS ? rounds : MOST_ROUNDS);
    return walk;
}

/* Sums of the parts of a full batch: [parts][2][channels]. */
static ink_value create_sums(struct ink_launches *list, const struct ink_call *call, const struct walk *walk)
{
    size_t parts = ((size_t)call->batch * walk->rows + walk->part_rows - 1) / walk->part_rows;
    return ink_value_create(list, "sums of parts", 0, parts * 2 * (size_t)call->node->in.channels * sizeof(float));
}

/* The sizes that a pass over all x walks by. */
static void arg_sizes(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call, const struct walk *walk, bool pooled)
{
    const struct ink_node *node = call->node;
    ink_define_int(list, launch, "PARTIAL", node->in.channels % call->vector_width != 0);
    if (pooled) {
        ink_define_int(list, launch, "POOL_H", node->pool.height);
        ink_define_int(list, launch, "POOL_W", node->pool.width);
        ink_arg_int(list, launch, node->in.height);
        ink_arg_int(list, launch, node->in.width);
    } else {
        ink_arg_int(list, launch, (int)walk->rows);
    }
    ink_arg_int(list, launch, node->in.channels);
    ink_arg_int(list, launch, (int)walk->part_rows);
    ink_arg_scalar(list, launch, INK_BATCH);
}

/* The end of a pass over all x: sizes, and the range over blocks of channels of parts. A CPU's work-group takes all blocks of parts that consist of
 * whole samples; else there may be one part more than rows / part_rows tells. */
static void end_parts(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call, const struct walk *walk, bool pooled)
{
    size_t vectors = vectors_of(call), q = call->style == INK_STYLE_CPU ? MOST_VECTORS : 1;
    while (vectors % q)
        q--;
    size_t blocks = vectors / q, items = GROUP_FLOATS / (walk->part_rows * walk->row_floats / blocks + 1);
    ink_define_int(list, launch, "Q", (long)q);
    arg_sizes(list, launch, call, walk, pooled);
    if (call->style == INK_STYLE_CPU && walk->part_rows % walk->rows == 0) {
        size_t samples = walk->part_rows / walk->rows, parts = ink_range_whole(1, items > blocks ? items / blocks : 1);
        while (parts > 1 && GROUPS_LEAST * parts * samples > (size_t)call->batch)
            parts /= 2;
        ink_range_items(list, launch, call->style, 1, 0, parts * blocks);
        launch->range[0].items_per_group = parts * samples;
        launch->by_samples = true;
        return;
    }
    ink_range_items(list, launch, call->style, walk->rows * blocks, walk->part_rows * blocks, items ? items : 1);
    launch->range[0].items_per_group *= walk->part_rows;
}

/* The same where nothing is summed, so that a GPU's items are single rows. */
static void end_rows(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call, bool pooled)
{
    struct walk walk = walk_of(call, pooled);
    if (call->style != INK_STYLE_CPU)
        walk.part_rows = 1;
    end_parts(list, launch, call, &walk, pooled);
}

/* The same where parts are summed. */
static void end_sums(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call, const struct walk *walk, bool pooled)
{
    if (call->style == INK_STYLE_CPU) {
        end_parts(list, launch, call, walk, pooled);
        return;
    }
    struct groups groups = groups_of(call);
    ink_define_group(list, launch, groups.items);
    arg_sizes(list, launch, call, walk, pooled);
    ink_range_samples(launch, 0, walk->rows, walk->part_rows, groups.items);
    ink_range_fixed(launch, 1, groups.blocks, 1, 1);
}

/* Whether a result that takes no other's place is stored past the caches. */
static void define_stream(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call, struct ink_shape shape)
{
    bool large = ink_shape_count(shape) * (size_t)call->batch * sizeof(float) >= STREAM_BYTES;
    ink_define_int(list, launch, "STREAM", large && call->style == INK_STYLE_CPU && shape.channels % call->vector_width == 0);
}

/* The end of a pass over the sums of parts: vectors of channels, each an item's, or a group's. */
static void end_channels(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call, const struct walk *walk)
{
    bool groups = call->style != INK_STYLE_CPU;
    size_t items = ink_call_sum_group(call, CHANNEL_GROUP);
    if (groups)
        ink_define_group(list, launch, items);
    else
        ink_define_int(list, launch, "Q", 1);
    ink_define_int(list, launch, "PARTIAL", groups ? call->node->in.channels % call->vector_width != 0 : 1);
    ink_arg_int(list, launch, (int)walk->rows);
    ink_arg_int(list, launch, call->node->in.channels);
    ink_arg_int(list, launch, (int)walk->part_rows);
    ink_arg_scalar(list, launch, INK_BATCH);
    if (groups)
        ink_range_fixed(launch, 0, vectors_of(call), 1, items);
    else
        ink_range_items(list, launch, call->style, 0, vectors_of(call), 1);
}

static const char *source_of_sums(const struct ink_call *call) { return call->style == INK_STYLE_CPU ? "batch_norm.cl" : "batch_norm_group.cl"; }

static void emit_statistics(struct ink_launches *list, const struct ink_call *call)
{
    struct walk walk = walk_of_sums(call, false);
    ink_value sums = create_sums(list, call, &walk);
    struct ink_launch *launch = ink_launch_add(list, source_of_sums(call), "part_moments", "forward moments");
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    ink_arg_value(list, launch, INK_ARG_WRITE, sums);
    end_sums(list, launch, call, &walk, false);

    launch = ink_launch_add(list, source_of_sums(call), "statistics", "forward statistics");
    ink_arg_value(list, launch, INK_ARG_READ, sums);
    ink_arg_value(list, launch, INK_ARG_WRITE, call->saved[0]);
    ink_arg_value(list, launch, INK_ARG_UPDATE, call->state);
    ink_arg_float(list, launch, call->node->layer.momentum);
    ink_arg_float(list, launch, call->node->layer.epsilon);
    end_channels(list, launch, call, &walk);
}

static bool pooled(const struct ink_call *call) { return call->node->pool.height != 0; }

/* What is normalised, and by what. */
static void arg_norm(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call)
{
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    ink_arg_value(list, launch, INK_ARG_READ, call->parameters);
    ink_arg_value(list, launch, INK_ARG_READ, call->training ? call->saved[0] : call->state);
}

static void forward(struct ink_launches *list, const struct ink_call *call)
{
    if (call->training)
        emit_statistics(list, call);
    if (call->y == INK_NO_VALUE)
        return;
    struct ink_launch *launch = ink_launch_add(list, "batch_norm.cl", pooled(call) ? "normalise_pooled" : "normalise", "forward");
    ink_define_activation(list, launch, call);
    ink_define_int(list, launch, "RUNNING", !call->training);
    ink_define_int(list, launch, "SUM", 0);
    define_stream(list, launch, call, call->node->out);
    arg_norm(list, launch, call);
    ink_arg_value(list, launch, INK_ARG_WRITE, call->y);
    if (pooled(call)) {
        ink_define_int(list, launch, "KEEP", call->training);
        if (call->training)
            ink_arg_value(list, launch, INK_ARG_WRITE, call->saved[1]);
    }
    ink_arg_float(list, launch, call->node->layer.epsilon);
    end_rows(list, launch, call, pooled(call));
    launch->sample_flops = flops(call->node);
}

void ink_emit_norm_sum(struct ink_launches *list, const struct ink_call *add)
{
    int first = add->norms[0] ? 0 : 1;
    const struct ink_call *norm = add->norms[first], *other = add->norms[1 - first];
    struct ink_launch *launch = ink_launch_add(list, "batch_norm.cl", "normalise", "forward with batch norm");
    ink_define_activation(list, launch, add);
    ink_define_int(list, launch, "RUNNING", !add->training);
    ink_define_int(list, launch, "SUM", other ? 2 : 1);
    define_stream(list, launch, add, add->node->out);
    arg_norm(list, launch, norm);
    if (other) {
        arg_norm(list, launch, other);
        ink_arg_float(list, launch, other->node->layer.epsilon);
    } else {
        ink_arg_value(list, launch, INK_ARG_READ, add->x[1 - first]);
    }
    ink_arg_value(list, launch, INK_ARG_WRITE, add->y);
    ink_arg_float(list, launch, norm->node->layer.epsilon);
    end_rows(list, launch, norm, false);
    launch->sample_flops = (double)ink_shape_count(add->node->out) + flops(norm->node) + (other ? flops(other->node) : 0);
}

void ink_emit_fold_norm(struct ink_launches *list, const struct ink_call *norm, ink_value parameters, size_t rows, bool bias, ink_value out)
{
    enum { ROWS = 16 };
    struct ink_launch *launch = ink_launch_add(list, "batch_norm.cl", "fold", "folded into the weights before it");
    size_t vectors = vectors_of(norm);
    launch->constant = true;
    ink_define_int(list, launch, "Q", 1);
    ink_define_int(list, launch, "PARTIAL", norm->node->in.channels % norm->vector_width != 0);
    ink_define_int(list, launch, "RUNNING", 1);
    ink_define_int(list, launch, "BIAS", bias);
    ink_arg_value(list, launch, INK_ARG_READ, parameters);
    ink_arg_value(list, launch, INK_ARG_READ, norm->parameters);
    ink_arg_value(list, launch, INK_ARG_READ, norm->state);
    ink_arg_value(list, launch, INK_ARG_WRITE, out);
    ink_arg_float(list, launch, norm->node->layer.epsilon);
    ink_arg_int(list, launch, (int)rows);
    ink_arg_int(list, launch, norm->node->in.channels);
    ink_arg_int(list, launch, ROWS);
    ink_range_items(list, launch, norm->style, 0, (rows + ROWS) / ROWS * vectors, 8);
}

static void backward_weights(struct ink_launches *list, const struct ink_call *call)
{
    struct walk walk = walk_of_sums(call, pooled(call));
    ink_value sums = create_sums(list, call, &walk);
    struct ink_launch *launch = ink_launch_add(list, source_of_sums(call), pooled(call) ? "part_gradients_pooled" : "part_gradients",
                                               "backward_weights parts");
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    ink_arg_value(list, launch, INK_ARG_READ, call->dy);
    if (pooled(call))
        ink_arg_value(list, launch, INK_ARG_READ, call->saved[1]);
    ink_arg_value(list, launch, INK_ARG_READ, call->saved[0]);
    ink_arg_value(list, launch, INK_ARG_WRITE, sums);
    end_sums(list, launch, call, &walk, pooled(call));

    launch = ink_launch_add(list, source_of_sums(call), "gradients", "backward_weights");
    ink_arg_value(list, launch, INK_ARG_READ, sums);
    ink_arg_value(list, launch, INK_ARG_WRITE, call->gradients);
    end_channels(list, launch, call, &walk);
}

/* Uses the gradients of gamma and beta, which backward_weights left. */
static void backward_data(struct ink_launches *list, const struct ink_call *call)
{
    struct ink_launch *launch = ink_launch_add(list, "batch_norm.cl", pooled(call) ? "backward_data_pooled" : "backward_data", "backward_data");
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    ink_arg_value(list, launch, INK_ARG_READ, call->dy);
    if (pooled(call))
        ink_arg_value(list, launch, INK_ARG_READ, call->saved[1]);
    ink_arg_value(list, launch, INK_ARG_READ, call->parameters);
    ink_arg_value(list, launch, INK_ARG_READ, call->gradients);
    ink_arg_value(list, launch, INK_ARG_READ, call->saved[0]);
    ink_arg_dx(list, launch, call);
    if (call->dx != call->dy && !call->epilogue.accumulate)
        define_stream(list, launch, call, call->node->in);
    end_rows(list, launch, call, pooled(call));
}

const struct ink_op ink_op_batch_norm = {
    .name = "batch_norm",
    .fields = INK_FIELD_MOMENTUM | INK_FIELD_EPSILON | INK_FIELD_ACTIVATION,
    .inputs = 1,
    .in_place = true,
    .infer = infer,
    .flops = flops,
    .passes = {
        [INK_FORWARD] = (const struct ink_algorithm[]){{"direct", INK_STYLE_AUTO, NULL, forward, .pools = true}, {0}},
        [INK_BACKWARD_DATA] = (const struct ink_algorithm[]){{"direct", INK_STYLE_AUTO, NULL, backward_data, .pools = true}, {0}},
        [INK_BACKWARD_WEIGHTS] = (const struct ink_algorithm[]){{"direct", INK_STYLE_AUTO, NULL, backward_weights, .pools = true}, {0}},
    },
};
