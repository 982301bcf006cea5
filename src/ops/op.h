/* The contract of an operation. An op is one file here and one in cl/: a table with shape inference and, for each
 * pass, its algorithms; the first that applies is taken unless the user names one or measurement decides.
 *
 * Passes (field terms): forward computes y from x; backward_data computes dx, the gradient of the loss by x, from dy;
 * backward_weights computes the gradients of the op's parameters. The plan calls backward_weights before backward_data.
 *
 * Activations belong to the op that writes a value: forward stores y = f(z), and whoever writes the gradient of y
 * writes the gradient of z instead, by multiplying with f'(z) as computed from y. So dy given to a backward pass of
 * an op is already the gradient of its pre-activation output, and a backward_data pass ends with the struct
 * ink_epilogue of the op before it (macros STORE_DX of common.cl do that).
 */
#ifndef INK_OPS_OP_H
#define INK_OPS_OP_H

#include "ops/launch.h"

enum { INK_MAX_PARAMETERS = 4, INK_MAX_SAVED = 2 };

/* Fields of struct ink_layer that an op uses; any other must be zero. */
enum ink_field {
    INK_FIELD_UNITS = 1, INK_FIELD_FILTER = 2, INK_FIELD_STRIDE = 4, INK_FIELD_PADDING = 8, INK_FIELD_DILATION = 16,
    INK_FIELD_GROUPS = 32, INK_FIELD_NO_BIAS = 64, INK_FIELD_ACTIVATION = 128, INK_FIELD_RATE = 256,
    INK_FIELD_MOMENTUM = 512, INK_FIELD_EPSILON = 1024, INK_FIELD_INITIALISER = 2048,
};

enum ink_fill { INK_FILL_ZERO, INK_FILL_ONE, INK_FILL_WEIGHTS };

/* A parameter tensor of a node. Those of a node lie one behind the other without gaps in its block of
 * INK_PARAMETERS (trained) or INK_STATE (not trained), in the order of the table. */
struct ink_parameter {
    const char *suffix;   /* "weights", "bias", ... */
    int rank, dims[4];
    size_t count;
    bool trained;
    enum ink_fill fill;
    double fan_in, fan_out;
};

struct ink_op;

/* A layer with its shapes. */
struct ink_node {
    const struct ink_op *op;
    struct ink_layer layer;      /* defaults and padding as numbers filled in; strings belong to the model */
    int inputs[2];               /* node numbers; -1 is the model's input */
    struct ink_shape in, out;    /* of one sample; out behind the pooling, if there is one */
    struct { int height, width; } pool; /* a max pooling fused behind it, windows side by side; 0: none */
    struct ink_parameter parameters[INK_MAX_PARAMETERS];
    int parameter_count;
    size_t trained_count, state_count; /* floats in its blocks */
    /* What forward keeps for backward beside x and y, per sample and fixed, in bytes; zeros: nothing. */
    struct { size_t sample_bytes, fixed_bytes; } saved[INK_MAX_SAVED];
};

/* A node with pool set computes y = f(max over the window of z), and the first of saved that it does not use itself
 * (saved[0] of a convolution) is what max_pool saves: the place of the winner in its window (row * pool.width + column),
 * one byte a value of y. Its dy is the gradient of the pooled values before the activation, which belongs to the place of
 * the winner, and 0 elsewhere. */

/* What a backward_data pass does with each gradient v of element i before it is stored in dx:
 * v += dx[i] if accumulate; v *= f'(y[i]) if activation is not INK_NONE. */
struct ink_epilogue {
    bool accumulate;
    ink_activation activation;   /* never INK_SOFTMAX */
    float slope;
    ink_value y;                 /* what dx is the gradient of; INK_NO_VALUE if no activation */
};

enum ink_pass { INK_FORWARD, INK_BACKWARD_DATA, INK_BACKWARD_WEIGHTS, INK_PASSES };

/* One use of an op in a plan. Values not used in a pass are INK_NO_VALUE. */
struct ink_call {
    const struct ink_node *node;
    int number;                  /* of the node; names its random numbers */
    const struct ink_device *device;
    enum ink_style style;        /* CPU or GPU */
    int vector_width;            /* VW of the program */
    bool reproducible;           /* sums are in an order that nothing but the shapes and the batch decide */
    int batch;                   /* samples at most */
    bool training;
    enum ink_pass pass;
    ink_value x[2], y;           /* forward, and kept for backward; without y a batch norm's forward takes the statistics alone */
    const struct ink_call *norms[2]; /* forward of an add: the batch norms whose y an operand would be, and is not stored; NULL: none */
    ink_value dy, dx;            /* backward */
    int operand;                 /* backward_data of an op with two inputs: which one dx belongs to */
    ink_value parameters, gradients, state; /* the node's blocks */
    ink_value saved[INK_MAX_SAVED];
    struct ink_epilogue epilogue;
    int variant;                 /* of the algorithm; 0: the one that it guesses to be the fastest */
};

/* One way to do a pass. */
struct ink_algorithm {
    const char *name;            /* as the user names it: "direct", "gemm", "im2col" */
    enum ink_style style;        /* which style takes it by itself; AUTO: both */
    bool (*applies)(const struct ink_call *call); /* NULL: always */
    void (*emit)(struct ink_launches *list, const struct ink_call *call);
    bool on_request;             /* taken only where the user names it */
    bool pools;                  /* does a node with pool set */
    bool reorders;               /* its sums are not the direct ones in their order: never for a reproducible call */
    /* How many variants (tiles and the like) it has for a call, at least 1; NULL: 1. emit takes any variant below that. */
    int (*variants)(const struct ink_call *call);
};

struct ink_op {
    const char *name;
    unsigned fields;
    int inputs;                  /* 1 or 2 */
    bool alias;                  /* y is x in another shape: no passes */
    bool alias_inference;        /* the same, except while training */
    bool in_place;               /* its backward_data, without pooling, takes a dx that is dy, both of one size */
    bool passes_gradient;        /* dx is dy, but for the end of the pass */
    bool croppable;              /* its passes take node->out as they find it, with fewer rows and columns too */
    bool crops;                  /* slides a window, and may leave the last rows and columns of x unread */
    /* Checks the layer (in, layer set), fills in defaults, sets out, parameters, saved. */
    ink_status (*infer)(struct ink_node *node);
    double (*flops)(const struct ink_node *node);        /* forward of a sample; NULL: 0 */
    void (*describe)(const struct ink_node *node, char *text, size_t size); /* "64 3x3 relu"; NULL: activation only */
    const struct ink_algorithm *passes[INK_PASSES];      /* each an array ended by a NULL name; NULL: no such pass */
};

/* Every op, ended by NULL; see ops.c. */
extern const struct ink_op *const ink_ops[];
const struct ink_op *ink_op_find(const char *name);

/* Helpers shared by ops. */

/* Fails with "layer 'name': " in front. */
#define ink_fail_layer(node, ...) (ink_fail(INK_ERROR_SHAPE, __VA_ARGS__), ink_fail_in(INK_ERROR_SHAPE, "layer '%s' (%s)", (node)->layer.name, (node)->op->name))

/* Adds a parameter to a node and counts it in. */
void ink_node_parameter(struct ink_node *node, const char *suffix, int rank, const int *dims, bool trained, enum ink_fill fill,
                        double fan_in, double fan_out);

/* Work-items in a group where nothing but the device matters. */
static inline size_t ink_call_group(const struct ink_call *call)
{
    size_t most = call->device->info.max_work_group;
    return call->style == INK_STYLE_CPU ? 1 : most < 64 ? most : 64;
}

/* Work-items of a group, at most most, that leave two vectors each in local memory: what a GROUP_KERNEL of common.cl sums with. */
static inline size_t ink_call_sum_group(const struct ink_call *call, size_t most)
{
    size_t bytes = 2 * (size_t)call->vector_width * sizeof(float);
    while (most > 1 && (most > call->device->info.max_work_group || most * bytes > call->device->info.local_bytes))
        most /= 2;
    return most;
}

/* Values of a shape. */
static inline size_t ink_shape_count(struct ink_shape shape) { return (size_t)shape.height * (size_t)shape.width * (size_t)shape.channels; }
static inline bool ink_shape_equal(struct ink_shape a, struct ink_shape b)
{
    return a.height == b.height && a.width == b.width && a.channels == b.channels;
}

/* Fills in stride, dilation and padding of a filter or window and gives the output's height and width.
 * window: pooling, whose stride defaults to the window. */
ink_status ink_infer_window(struct ink_node *node, bool window, int *height, int *width);

/* Defines ACT and ACT_SLOPE for ACTIVATE(): the activation that the node's forward ends with. */
void ink_define_activation(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call);

/* Defines MASK, MASK_SLOPE and ACCUMULATE for STORE_DX(), and adds its two arguments: dx, then y (dx again if there
 * is no activation). Call it where the kernel declares DX_ARGUMENTS. */
void ink_arg_dx(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call);

/* A register tile of a CPU kernel: rows broadcast values times q vectors of channels, all accumulators in registers. */
struct ink_tile { int rows, q; };

/* The tile with the best predicted use of a core for rows rows (pixels, samples or taps) and vectors vectors of channels;
 * q divides vectors. */
void ink_pick_tile(const struct ink_call *call, int rows, int vectors, struct ink_tile *tile);

/* "relu" and so on; the token that cl/common.cl knows, and the text form's word. */
const char *ink_activation_name(ink_activation activation);

/* dx = dy under the epilogue of the call: the backward_data pass of ops that hand a gradient on. count floats a sample. */
void ink_emit_pass_gradient(struct ink_launches *list, const struct ink_call *call, size_t count);

/* Shared kernels. transpose: for each of matrices, [rows][columns] -> [columns][rows]. reduce: out[i] = sum over the
 * first ceil(n / samples) parts of in[part][i], always in the same order, count values. */
void ink_emit_transpose(struct ink_launches *list, const struct ink_call *call, ink_value in, ink_value out, int matrices, int rows, int columns);
void ink_emit_reduce(struct ink_launches *list, const struct ink_call *call, ink_value in, ink_value out, size_t count, int samples);

/* The parameters of a linear layer, rows rows of weights and a bias if it has one, with the batch norm of the call behind it
 * taken in as it is in inference: out is [rows][units] weights, then the bias. */
void ink_emit_fold_norm(struct ink_launches *list, const struct ink_call *norm, ink_value parameters, size_t rows, bool bias, ink_value out);

/* y = f(a + b) of an add's call with norms. */
void ink_emit_norm_sum(struct ink_launches *list, const struct ink_call *add);

/* Passes that are not layers. */

/* x[n][count] = images[rows[row + i]] / 255. */
void ink_emit_gather(struct ink_launches *list, const struct ink_call *call, ink_value images, ink_value rows, ink_value x, size_t count);

/* The same, distorted at random: by the sample's number in the data set, the seed and the epoch alone. */
void ink_emit_augment(struct ink_launches *list, const struct ink_call *call, const struct ink_augmentation *augmentation, ink_value images,
                      ink_value rows, ink_value order, ink_value x, struct ink_shape shape);

/* True if any distortion is asked for; and INK_ERROR_ARGUMENT, naming the field, if one cannot be. */
bool ink_augmentation_is_on(const struct ink_augmentation *augmentation);
ink_status ink_augmentation_check(const struct ink_augmentation *augmentation);

/* Softmax, sparse categorical cross-entropy and its gradient. logits [n][classes]; dlogits (INK_NO_VALUE: none) is the
 * gradient of the mean loss over the batch that the n samples are of; losses and predictions at start + i; probabilities (INK_NO_VALUE:
 * none). weights: of each class, the mean being sum / INK_BATCH_WEIGHT then; NULL: all alike. */
struct ink_loss_values { ink_value logits, dlogits, labels, order, losses, predictions, probabilities; };
void ink_emit_loss(struct ink_launches *list, const struct ink_call *call, const struct ink_loss_values *values, int classes, float smoothing,
                   const float *weights);

/* One step of an optimizer over flat buffers of count floats, a multiple of 16. average: where the average of the parameters is
 * kept; INK_NO_VALUE: none. */
void ink_emit_optimizer(struct ink_launches *list, const struct ink_call *call, const struct ink_train_options *options,
                        ink_value parameters, ink_value gradients, ink_value moment1, ink_value moment2, ink_value average, size_t count);

/* gradients += accumulated: count floats, a multiple of 16. */
void ink_emit_accumulate(struct ink_launches *list, const struct ink_call *call, ink_value gradients, ink_value accumulated, size_t count);

#endif
