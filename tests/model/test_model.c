/* The model builder: names, shapes of every op, what is refused and how the message tells it, tensors, initial weights. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/model.h"
#include "suite.h"

static ink_model *create(int height, int width, int channels)
{
    ink_model *model = NULL;
    ck_ok(ink_model_create((struct ink_shape){height, width, channels}, &model));
    return model;
}

#define ADD(model, ...) ck_ok(ink_model_add(model, &(struct ink_layer){__VA_ARGS__}))

START_TEST(default_names_count_each_op)
{
    ink_model *model = create(12, 12, 2);
    const char *const names[] = {"conv1", "mine", "conv3", "conv5", "max_pool1", "conv6", "softmax1"};
    ADD(model, .op = "conv", .units = 2, .filter_height = 1, .filter_width = 1);
    ADD(model, .op = "conv", .name = "mine", .units = 2, .filter_height = 1, .filter_width = 1);
    ADD(model, .op = "conv", .units = 2, .filter_height = 1, .filter_width = 1);
    ADD(model, .op = "conv", .name = "conv5", .units = 2, .filter_height = 1, .filter_width = 1);
    ADD(model, .op = "max_pool", .filter_height = 2, .filter_width = 2);
    /* the fifth convolution would be conv5, which is taken */
    ADD(model, .op = "conv", .units = 2, .filter_height = 1, .filter_width = 1, .activation = INK_SOFTMAX);
    ck_assert_uint_eq(ink_model_layer_count(model), sizeof names / sizeof *names);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct ink_layer_info info;
        ck_ok(ink_model_layer(model, i, &info));
        ck_assert_str_eq(info.name, names[i]);
    }
    struct ink_layer_info info;
    ck_fails(ink_model_layer(model, 7, &info), INK_ERROR_ARGUMENT, "layer 7 of a model of 7");
    ink_model_destroy(&model);
    ck_assert_ptr_null(model);
    ink_model_destroy(&model);
}
END_TEST

static const struct {
    struct ink_shape in;
    struct ink_layer layer;
    struct ink_shape out;
    size_t parameters;
    double flops; /* -1: not checked */
} shapes[] = {
    /* 26 = 28 - 3 + 1; 3 * 3 * 1 * 32 weights and 32 biases; two operations a weight and pixel */
    {{28, 28, 1}, {.op = "conv", .units = 32, .filter_height = 3, .filter_width = 3}, {26, 26, 32}, 320, 2.0 * 26 * 26 * 9 * 32},
    /* 'same': ceil(29 / 2) = 15 and ceil(7 / 3) = 3 */
    {{29, 7, 3}, {.op = "conv", .units = 4, .filter_height = 3, .filter_width = 5, .stride_height = 2, .stride_width = 3, .padding = INK_SAME},
     {15, 3, 4}, 3 * 5 * 3 * 4 + 4, 2.0 * 15 * 3 * 4 * 15 * 3},
    /* the dilated filter covers (3 - 1) * 2 + 1 = 5 of 9 + 1 + 2 rows: 8; of 9 + 3 columns with step 3: (12 - 5) / 3 + 1 = 3 */
    {{9, 9, 4}, {.op = "conv", .units = 6, .filter_height = 3, .filter_width = 3, .dilation_height = 2, .dilation_width = 2, .stride_width = 3,
                 .padding = INK_EXPLICIT, .pad_top = 1, .pad_bottom = 2, .pad_right = 3, .groups = 2, .no_bias = true},
     {8, 3, 6}, 3 * 3 * 2 * 6, 2.0 * 8 * 3 * 6 * 9 * 2},
    {{3, 4, 5}, {.op = "dense", .units = 7}, {1, 1, 7}, 60 * 7 + 7, 2.0 * 60 * 7},
    {{1, 1, 5}, {.op = "dense", .units = 1, .no_bias = true}, {1, 1, 1}, 5, 10},
    /* the stride of a window is the window: floor((7 - 3) / 3) + 1 */
    {{7, 8, 2}, {.op = "max_pool", .filter_height = 3, .filter_width = 2}, {2, 4, 2}, 0, -1},
    {{7, 7, 2}, {.op = "max_pool", .filter_height = 2, .filter_width = 2, .padding = INK_SAME}, {4, 4, 2}, 0, -1},
    {{7, 8, 2}, {.op = "average_pool", .filter_height = 3, .filter_width = 2, .stride_height = 1, .stride_width = 1}, {5, 7, 2}, 0, -1},
    {{4, 4, 2}, {.op = "average_pool", .filter_height = 3, .filter_width = 3, .stride_height = 2, .stride_width = 2, .padding = INK_EXPLICIT,
                 .pad_top = 1, .pad_bottom = 2, .pad_left = 1, .pad_right = 2}, {3, 3, 2}, 0, -1},
    {{7, 5, 9}, {.op = "global_average_pool"}, {1, 1, 9}, 0, -1},
    {{7, 5, 9}, {.op = "flatten"}, {1, 1, 315}, 0, 0},
    {{7, 5, 9}, {.op = "activation", .activation = INK_TANH}, {7, 5, 9}, 0, -1},
    {{7, 5, 9}, {.op = "activation", .activation = INK_SOFTMAX}, {7, 5, 9}, 0, -1},
    {{7, 5, 9}, {.op = "softmax"}, {7, 5, 9}, 0, -1},
    {{7, 5, 9}, {.op = "dropout", .rate = 0.5f}, {7, 5, 9}, 0, -1},
    {{7, 5, 9}, {.op = "batch_norm"}, {7, 5, 9}, 18, -1},
    {{7, 5, 9}, {.op = "add", .other = "input"}, {7, 5, 9}, 0, -1},
};

START_TEST(shapes_are_inferred)
{
    struct ink_shape in = shapes[_i].in, want = shapes[_i].out;
    ink_model *model = create(in.height, in.width, in.channels);
    struct ink_layer_info info;
    ck_ok(ink_model_add(model, &shapes[_i].layer));
    ck_ok(ink_model_layer(model, 0, &info));
    struct ink_shape out = ink_model_output(model);
    ck_assert_msg(ink_shape_equal(out, want) && ink_shape_equal(info.output, want), "%s: %dx%dx%d", info.op, out.height, out.width, out.channels);
    ck_assert_uint_eq(ink_model_parameter_count(model), shapes[_i].parameters);
    ck_assert_uint_eq(info.parameters, shapes[_i].parameters);
    if (shapes[_i].flops >= 0)
        ck_assert_double_eq(info.flops, shapes[_i].flops);
    ink_model_destroy(&model);
}
END_TEST

START_TEST(every_op_has_a_shape_test)
{
    for (const struct ink_op *const *op = ink_ops; *op; op++) {
        bool found = false;
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            found |= strcmp(shapes[i].layer.op, (*op)->name) == 0;
        ck_assert_msg(found, "%s", (*op)->name);
    }
}
END_TEST

/* Each is added behind a layer "first" of 6x6x4; the message has to hold both texts: what is wrong where, and the mend. */
static const struct {
    struct ink_layer layer;
    ink_status status;
    const char *what, *mend;
} refused[] = {
    {{.op = "conv", .name = "c", .filter_height = 3, .filter_width = 3}, INK_ERROR_SHAPE, "layer 'c' (conv)", "1 to 65536"},
    {{.op = "conv", .name = "c", .units = 65537, .filter_height = 3, .filter_width = 3}, INK_ERROR_SHAPE, "65537", "1 to 65536"},
    {{.op = "conv", .name = "c", .units = 1, .filter_height = 3}, INK_ERROR_SHAPE, "filter width is 0", "1 to 1024"},
    {{.op = "conv", .name = "c", .units = 1, .filter_height = 7, .filter_width = 3}, INK_ERROR_SHAPE, "covers 7 pixels in height", "use a smaller filter or 'same'"},
    {{.op = "conv", .name = "c", .units = 1, .filter_height = 3, .filter_width = 3, .stride_height = -1}, INK_ERROR_SHAPE, "stride", "1 to 1024"},
    {{.op = "conv", .name = "c", .units = 1, .filter_height = 3, .filter_width = 3, .dilation_width = 3}, INK_ERROR_SHAPE, "covers 7 pixels in width", "'same'"},
    {{.op = "conv", .name = "c", .units = 1, .filter_height = 3, .filter_width = 3, .padding = INK_EXPLICIT, .pad_top = 3}, INK_ERROR_SHAPE,
     "padding height (3 and 0)", "below the filter's extent of 3"},
    {{.op = "conv", .name = "c", .units = 1, .filter_height = 3, .filter_width = 3, .pad_top = 1}, INK_ERROR_SHAPE, "pad_top", "explicit padding only"},
    {{.op = "conv", .name = "c", .units = 1, .filter_height = 3, .filter_width = 3, .padding = (ink_padding)9}, INK_ERROR_SHAPE, "padding 9", "valid, same, explicit"},
    {{.op = "conv", .name = "c", .units = 6, .filter_height = 3, .filter_width = 3, .groups = 4}, INK_ERROR_SHAPE, "4 groups", "4 input channels and 6 filters"},
    {{.op = "conv", .name = "c", .units = 1, .filter_height = 1, .filter_width = 1, .activation = (ink_activation)77}, INK_ERROR_SHAPE, "activation 77", "known"},
    {{.op = "conv", .name = "c", .units = 1, .filter_height = 1, .filter_width = 1, .initialiser = (ink_initialiser)77}, INK_ERROR_SHAPE, "initialiser 77", "known"},
    {{.op = "conv", .name = "c", .units = 1, .filter_height = 1, .filter_width = 1, .activation = INK_LEAKY_RELU, .slope = -1}, INK_ERROR_SHAPE, "slope -1", "0 to 1"},
    {{.op = "dense", .name = "d"}, INK_ERROR_SHAPE, "layer 'd' (dense)", "1 to 65536"},
    {{.op = "dense", .name = "d", .units = 3, .filter_height = 2}, INK_ERROR_SHAPE, "no use for a filter", "leave it out"},
    {{.op = "dense", .name = "d", .units = 3, .rate = 0.5f}, INK_ERROR_SHAPE, "no use for a rate", "leave it out"},
    {{.op = "dense", .name = "d", .units = 3, .groups = 2}, INK_ERROR_SHAPE, "no use for groups", "leave it out"},
    {{.op = "dense", .name = "d", .units = 3, .padding = INK_SAME}, INK_ERROR_SHAPE, "no use for padding", "leave it out"},
    {{.op = "dense", .name = "d", .units = 3, .dilation_height = 2}, INK_ERROR_SHAPE, "no use for a dilation", "leave it out"},
    {{.op = "dense", .name = "d", .units = 3, .other = "first"}, INK_ERROR_SHAPE, "second one ('first')", "one input"},
    {{.op = "max_pool", .name = "p", .filter_height = 2, .filter_width = 2, .units = 1}, INK_ERROR_SHAPE, "layer 'p' (max_pool)", "no use for units; leave it out"},
    {{.op = "max_pool", .name = "p", .filter_height = 2, .filter_width = 2, .activation = INK_RELU}, INK_ERROR_SHAPE, "no use for an activation", "leave it out"},
    {{.op = "max_pool", .name = "p", .filter_height = 2, .filter_width = 2, .activation = INK_SOFTMAX}, INK_ERROR_SHAPE, "no use for an activation", "leave it out"},
    {{.op = "max_pool", .name = "p"}, INK_ERROR_SHAPE, "filter height is 0", "1 to 1024"},
    {{.op = "average_pool", .name = "p", .filter_height = 7, .filter_width = 1}, INK_ERROR_SHAPE, "layer 'p' (average_pool)", "smaller filter"},
    {{.op = "average_pool", .name = "p", .filter_height = 2, .filter_width = 2, .no_bias = true}, INK_ERROR_SHAPE, "no use for no_bias", "leave it out"},
    {{.op = "global_average_pool", .name = "g", .stride_height = 1}, INK_ERROR_SHAPE, "no use for a stride", "leave it out"},
    {{.op = "flatten", .name = "f", .initialiser = INK_HE_NORMAL}, INK_ERROR_SHAPE, "no use for an initialiser", "leave it out"},
    {{.op = "activation", .name = "a"}, INK_ERROR_SHAPE, "layer 'a' (activation)", "relu, leaky_relu, sigmoid, tanh or softmax"},
    {{.op = "softmax", .name = "s", .slope = 0.5f}, INK_ERROR_SHAPE, "no use for a slope", "leave it out"},
    {{.op = "dropout", .name = "x", .rate = 1}, INK_ERROR_SHAPE, "its rate is 1", "below 1"},
    {{.op = "dropout", .name = "x", .rate = NAN}, INK_ERROR_SHAPE, "its rate is nan", "below 1"},
    {{.op = "dropout", .name = "x", .momentum = 0.5f}, INK_ERROR_SHAPE, "no use for a momentum", "leave it out"},
    {{.op = "dropout", .name = "x", .epsilon = 0.5f}, INK_ERROR_SHAPE, "no use for an epsilon", "leave it out"},
    {{.op = "batch_norm", .name = "b", .momentum = 1.5f}, INK_ERROR_SHAPE, "layer 'b' (batch_norm)", "1.5"},
    {{.op = "batch_norm", .name = "b", .epsilon = -1}, INK_ERROR_SHAPE, "layer 'b' (batch_norm)", "-1"},
    {{.op = "add", .name = "+"}, INK_ERROR_ARGUMENT, "layer name '+'", "use 1 to 48 letters"},
    {{.op = "add", .name = "sum"}, INK_ERROR_SHAPE, "layer 'sum' (add)", "name a layer"},
    {{.op = "add", .name = "sum", .other = "input"}, INK_ERROR_SHAPE, "6x6x4, and 8x8x3 from 'input'", "differ"},
    {{.op = "add", .name = "sum", .other = "later"}, INK_ERROR_SHAPE, "fed by 'later'", "no layer before it has that name"},
    {{.op = "flatten", .name = "f", .input = "f"}, INK_ERROR_SHAPE, "fed by 'f'", "no layer before it has that name"},
    {{.op = "flatten", .name = "first"}, INK_ERROR_ARGUMENT, "'first' is taken", "must differ"},
    {{.op = "flatten", .name = "input"}, INK_ERROR_ARGUMENT, "'input' is taken", "must differ"},
    {{.op = "flatten", .name = ""}, INK_ERROR_ARGUMENT, "layer name ''", "use 1 to 48 letters"},
    {{.op = "flatten", .name = "a b"}, INK_ERROR_ARGUMENT, "layer name 'a b'", "use 1 to 48 letters"},
    {{.op = "flatten", .name = "1234567890123456789012345678901234567890123456789"}, INK_ERROR_ARGUMENT, "layer name", "use 1 to 48 letters"},
    {{.op = "convolve", .name = "c"}, INK_ERROR_ARGUMENT, "no op is called 'convolve'", "conv, "},
    {{.op = "convolve", .activation = INK_SOFTMAX}, INK_ERROR_ARGUMENT, "no op is called 'convolve'", "conv, "},
    {{.name = "nothing"}, INK_ERROR_ARGUMENT, "needs an op", ""},
    {{.op = "dense", .units = 5, .name = "first", .activation = INK_SOFTMAX}, INK_ERROR_ARGUMENT, "'first' is taken", "must differ"},
};

START_TEST(wrong_layers_are_refused_and_change_nothing)
{
    ink_model *model = create(8, 8, 3);
    ADD(model, .op = "conv", .name = "first", .units = 4, .filter_height = 3, .filter_width = 3);
    char before[256];
    snprintf(before, sizeof before, "%s", ink_model_text(model));
    size_t parameters = ink_model_parameter_count(model);
    ck_fails(ink_model_add(model, &refused[_i].layer), refused[_i].status, refused[_i].what);
    ck_assert_msg(strstr(ink_last_error(), refused[_i].mend) != NULL, "\"%s\" lacks \"%s\"", ink_last_error(), refused[_i].mend);
    ck_assert_str_eq(ink_model_text(model), before);
    ck_assert_uint_eq(ink_model_layer_count(model), 1);
    ck_assert_uint_eq(ink_model_parameter_count(model), parameters);
    ADD(model, .op = "dense", .units = 2); /* it still works */
    ck_assert_uint_eq(ink_model_parameter_count(model), parameters + 6 * 6 * 4 * 2 + 2);
    ink_model_destroy(&model);
}
END_TEST

START_TEST(inputs_out_of_range_are_refused)
{
    static const struct ink_shape wrong[] = {{0, 1, 1}, {1, -1, 1}, {1, 1, 0}, {16385, 1, 1}, {1, 1, 16385}, {16384, 16384, 1}};
    ink_model *model = NULL;
    ck_fails(ink_model_create(wrong[_i], &model), INK_ERROR_SHAPE, "each side must be 1 to 16384");
    ck_assert_ptr_null(model);
    ck_fails(ink_model_create_reference(wrong[_i], 10, &model), INK_ERROR_SHAPE, "each side must be 1 to 16384");
    ck_assert_ptr_null(model);
}
END_TEST

START_TEST(reference_model_says_what_it_cannot_take)
{
    ink_model *model = NULL;
    /* 17 -> 15 -> 7 -> 5 -> 2, and no 3x3 filter fits */
    ck_fails(ink_model_create_reference((struct ink_shape){17, 28, 1}, 10, &model), INK_ERROR_SHAPE, "the reference model for 17x28x1 inputs: layer 'conv3'");
    ck_fails(ink_model_create_reference((struct ink_shape){28, 28, 1}, 0, &model), INK_ERROR_SHAPE, "units is 0");
    ck_assert_ptr_null(model);
    ck_ok(ink_model_create_reference((struct ink_shape){18, 18, 1}, 2, &model));
    ink_model_destroy(&model);
}
END_TEST

START_TEST(layers_of_a_size_no_memory_holds_are_refused)
{
    ink_model *model = create(4096, 4096, 4);
    ck_fails(ink_model_add(model, &(struct ink_layer){.op = "conv", .units = 64, .filter_height = 1, .filter_width = 1}), INK_ERROR_SHAPE, "larger than");
    ck_fails(ink_model_add(model, &(struct ink_layer){.op = "dense", .units = 64}), INK_ERROR_SHAPE, "more weights than");
    ck_assert_uint_eq(ink_model_layer_count(model), 0);
    ink_model_destroy(&model);
}
END_TEST

START_TEST(lone_softmax_keeps_its_input)
{
    ink_model *model = create(4, 4, 2);
    ADD(model, .op = "conv", .name = "a", .units = 3, .filter_height = 1, .filter_width = 1);
    ADD(model, .op = "conv", .name = "b", .units = 5, .filter_height = 1, .filter_width = 1);
    ADD(model, .op = "activation", .activation = INK_SOFTMAX, .input = "a");
    ck_assert_int_eq(ink_model_output(model).channels, 3);
    ink_model_destroy(&model);
}
END_TEST

START_TEST(tensors_have_names_shapes_and_own_places)
{
    ink_model *model = create(6, 6, 4);
    ADD(model, .op = "conv", .units = 6, .filter_height = 3, .filter_width = 2, .groups = 2);
    ADD(model, .op = "batch_norm", .name = "norm");
    ADD(model, .op = "dense", .units = 5, .no_bias = true);
    static const struct { const char *name; int rank, dims[4]; float start; bool trained; } want[] = {
        {"conv1.weights", 4, {3, 2, 2, 6}, 0, true}, {"conv1.bias", 1, {6}, 0, true}, {"norm.gamma", 1, {6}, 1, true}, {"norm.beta", 1, {6}, 0, true},
        {"norm.mean", 1, {6}, 0, false}, {"norm.variance", 1, {6}, 1, false}, {"dense1.weights", 2, {4 * 5 * 6, 5}, 0, true},
    };
    ck_assert_uint_eq(ink_model_tensor_count(model), sizeof want / sizeof *want);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct ink_tensor tensor;
        size_t count = 1;
        ck_ok(ink_model_tensor(model, i, &tensor));
        ck_assert_str_eq(tensor.name, want[i].name);
        ck_assert_int_eq(tensor.rank, want[i].rank);
        for (int d = 0; d < tensor.rank; d++) {
            ck_assert_int_eq(tensor.dims[d], want[i].dims[d]);
            count *= (size_t)want[i].dims[d];
        }
        ck_assert_uint_eq(tensor.count, count);
        ck_assert(tensor.trained == want[i].trained);
        for (size_t k = 0; k < count; k++) {
            ck_assert_float_eq(tensor.data[k], want[i].start);
            tensor.data[k] = (float)(i + 2); /* seen below if tensors shared a place */
        }
    }
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        struct ink_tensor tensor;
        ck_ok(ink_model_tensor(model, i, &tensor));
        for (size_t k = 0; k < tensor.count; k++)
            ck_assert_float_eq(tensor.data[k], (float)(i + 2));
    }
    struct ink_tensor none;
    ck_fails(ink_model_tensor(model, 7, &none), INK_ERROR_ARGUMENT, "has 7 tensors");
    ink_model_destroy(&model);
}
END_TEST

START_TEST(seeds_name_weights)
{
    ink_model *models[3] = {NULL};
    for (int i = 0; i < 3; i++) {
        ck_ok(ink_model_create_reference((struct ink_shape){28, 28, 1}, 10, &models[i]));
        ck_ok(ink_model_initialise(models[i], i < 2 ? 7 : 8));
    }
    ck_assert_uint_eq(models[0]->trained_count, 93322);
    ck_assert_mem_eq(models[0]->trained, models[1]->trained, models[0]->trained_count * sizeof(float));
    size_t same = 0;
    for (size_t i = 0; i < models[0]->trained_count; i++)
        same += models[0]->trained[i] == models[2]->trained[i];
    /* the 234 biases are 0 in both; of the 93,088 weights a pair agrees in all of its 24 bits hardly ever */
    ck_assert_uint_ge(same, 234);
    ck_assert_uint_le(same, 234 + 10);
    for (int i = 0; i < 3; i++)
        ink_model_destroy(&models[i]);
}
END_TEST

/* Bounds and spread of 4 * 4 * 8 * 200 = 25,600 weights in 2 groups: fans 4 * 4 * 8 and 4 * 4 * 200 / 2. The mean of n values
 * of deviation s strays by s / sqrt(n), their variance by s^2 * sqrt((kurtosis - 1) / n), kurtosis 9/5 for the uniform and 3
 * for the normal distribution; six of these are allowed. */
START_TEST(initialisers_have_their_spread)
{
    const double fan_in = 4 * 4 * 8, fan_out = 4 * 4 * 100, n = 25600;
    const bool uniform = _i == INK_GLOROT_UNIFORM || _i == INK_HE_UNIFORM;
    const double variance = _i == INK_GLOROT_UNIFORM || _i == INK_GLOROT_NORMAL ? 2 / (fan_in + fan_out) : 2 / fan_in;
    ink_model *model = create(5, 5, 16);
    ADD(model, .op = "conv", .units = 200, .filter_height = 4, .filter_width = 4, .groups = 2, .initialiser = (ink_initialiser)_i);
    ck_ok(ink_model_initialise(model, 1));
    struct ink_tensor weights, bias;
    ck_ok(ink_model_tensor(model, 0, &weights));
    ck_ok(ink_model_tensor(model, 1, &bias));
    ck_assert_uint_eq(weights.count, 25600);
    double sum = 0, squares = 0, largest = 0;
    for (size_t i = 0; i < weights.count; i++) {
        double w = (double)weights.data[i];
        sum += w;
        squares += w * w;
        largest = fmax(largest, fabs(w));
    }
    ck_assert_double_le(fabs(sum / n), 6 * sqrt(variance / n));
    ck_assert_double_le(fabs(squares / n - variance), 6 * variance * sqrt(((uniform ? 1.8 : 3) - 1) / n));
    double bound = sqrt(3 * variance);
    if (uniform) { /* and the ends are reached to 1 %, which 25,600 values miss with a chance of 0.99^25600 */
        ck_assert_double_le(largest, bound * (1 + 1e-6));
        ck_assert_double_ge(largest, bound * 0.99);
    } else { /* a normal value is beyond 1.73 deviations one time in 12 */
        ck_assert_double_ge(largest, 1.5 * bound);
    }
    for (size_t i = 0; i < bias.count; i++)
        ck_assert_float_eq(bias.data[i], 0);
    ink_model_destroy(&model);
}
END_TEST

START_TEST(initialise_resets_what_is_not_drawn)
{
    ink_model *model = create(3, 3, 2);
    ADD(model, .op = "batch_norm");
    for (size_t i = 0; i < 4; i++) {
        struct ink_tensor tensor;
        ck_ok(ink_model_tensor(model, i, &tensor));
        tensor.data[0] = 9;
    }
    ck_ok(ink_model_initialise(model, 3));
    static const float want[] = {1, 0, 0, 1}; /* gamma, beta, mean, variance */
    for (size_t i = 0; i < 4; i++) {
        struct ink_tensor tensor;
        ck_ok(ink_model_tensor(model, i, &tensor));
        ck_assert_float_eq(tensor.data[0], want[i]);
    }
    ink_model_destroy(&model);
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof *(array))

int main(void)
{
    Suite *suite = suite_create("model");
    TCase *all = tcase_create("model");
    tcase_set_timeout(all, 60);
    tcase_add_test(all, default_names_count_each_op);
    tcase_add_loop_test(all, shapes_are_inferred, 0, COUNT(shapes));
    tcase_add_test(all, every_op_has_a_shape_test);
    tcase_add_loop_test(all, wrong_layers_are_refused_and_change_nothing, 0, COUNT(refused));
    tcase_add_loop_test(all, inputs_out_of_range_are_refused, 0, 6);
    tcase_add_test(all, reference_model_says_what_it_cannot_take);
    tcase_add_test(all, layers_of_a_size_no_memory_holds_are_refused);
    tcase_add_test(all, lone_softmax_keeps_its_input);
    tcase_add_test(all, tensors_have_names_shapes_and_own_places);
    tcase_add_test(all, seeds_name_weights);
    tcase_add_loop_test(all, initialisers_have_their_spread, 0, 4);
    tcase_add_test(all, initialise_resets_what_is_not_drawn);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
