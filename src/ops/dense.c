/* Dense (fully connected) layers: y[n][units] = f(x[n][inputs] * weights[inputs][units] + bias). */
#include <stdio.h>

#include "ops/clblast.h"
#include "ops/gemm.h"

enum { LARGEST = 65536 };

static ink_status infer(struct ink_node *node)
{
    struct ink_layer *layer = &node->layer;
    size_t inputs = ink_shape_count(node->in);
    if (layer->units < 1 || layer->units > LARGEST)
        return ink_fail_layer(node, "units is %d; 1 to %d is possible", layer->units, LARGEST);
    if (inputs * (size_t)layer->units > (size_t)1 << 28)
        return ink_fail_layer(node, "%zu inputs times %d units are more weights than the 268,435,456 a layer may have", inputs, layer->units);
    node->out = (struct ink_shape){1, 1, layer->units};
    ink_node_parameter(node, "weights", 2, (const int[]){(int)inputs, layer->units}, true, INK_FILL_WEIGHTS, (double)inputs, layer->units);
    if (!layer->no_bias)
        ink_node_parameter(node, "bias", 1, &layer->units, true, INK_FILL_ZERO, 0, 0);
    return INK_OK;
}

static double flops(const struct ink_node *node)
{
    return 2.0 * (double)ink_shape_count(node->in) * node->layer.units;
}

static void describe(const struct ink_node *node, char *text, size_t size)
{
    snprintf(text, size, "%d", node->layer.units);
}

/* The defines of a tile over rows rows; returns it. */
static struct ink_tile define_tile(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call, int rows, int inputs,
                                   int units, bool bias)
{
    struct ink_tile tile;
    ink_pick_tile(call, rows, (units + call->vector_width - 1) / call->vector_width, &tile);
    ink_define_int(list, launch, "ROWS", tile.rows);
    ink_define_int(list, launch, "Q", tile.q);
    ink_define_int(list, launch, "INPUTS", inputs);
    ink_define_int(list, launch, "UNITS", units);
    ink_define_int(list, launch, "BIAS", bias);
    ink_range_fixed(launch, 0, (size_t)(units + call->vector_width - 1) / (size_t)call->vector_width, (size_t)tile.q, 1);
    return tile;
}

static void direct_forward(struct ink_launches *list, const struct ink_call *call)
{
    const struct ink_node *node = call->node;
    struct ink_launch *launch = ink_launch_add(list, "dense.cl", "forward", "forward direct");
    struct ink_tile tile = define_tile(list, launch, call, call->batch, (int)ink_shape_count(node->in), node->layer.units, !node->layer.no_bias);
    ink_define_activation(list, launch, call);
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    ink_arg_value(list, launch, INK_ARG_READ, call->parameters);
    ink_arg_value(list, launch, INK_ARG_WRITE, call->y);
    ink_arg_scalar(list, launch, INK_BATCH);
    ink_range_samples(launch, 1, 1, (size_t)tile.rows, 1);
    launch->sample_flops = flops(node);
}

static void direct_backward_data(struct ink_launches *list, const struct ink_call *call)
{
    const struct ink_node *node = call->node;
    int inputs = (int)ink_shape_count(node->in), units = node->layer.units;
    ink_value turned = ink_value_create(list, "transposed weights", 0, (size_t)inputs * (size_t)units * sizeof(float));
    ink_emit_transpose(list, call, call->parameters, turned, 1, inputs, units);
    struct ink_launch *launch = ink_launch_add(list, "dense.cl", "backward_data", "backward_data direct");
    struct ink_tile tile = define_tile(list, launch, call, call->batch, units, inputs, false);
    ink_arg_value(list, launch, INK_ARG_READ, call->dy);
    ink_arg_value(list, launch, INK_ARG_READ, turned);
    ink_arg_dx(list, launch, call);
    ink_arg_scalar(list, launch, INK_BATCH);
    ink_range_samples(launch, 1, 1, (size_t)tile.rows, 1);
    launch->sample_flops = flops(node);
}

static void direct_backward_weights(struct ink_launches *list, const struct ink_call *call)
{
    const struct ink_node *node = call->node;
    int inputs = (int)ink_shape_count(node->in);
    struct ink_launch *launch = ink_launch_add(list, "dense.cl", "backward_weights", "backward_weights direct");
    struct ink_tile tile = define_tile(list, launch, call, inputs, inputs, node->layer.units, !node->layer.no_bias);
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    ink_arg_value(list, launch, INK_ARG_READ, call->dy);
    ink_arg_value(list, launch, INK_ARG_WRITE, call->gradients);
    ink_arg_scalar(list, launch, INK_BATCH);
    ink_range_fixed(launch, 1, (size_t)inputs, (size_t)tile.rows, 1);
    launch->sample_flops = flops(node);
}

#ifdef INK_CLBLAST
#define CLBLAST(emit) {"clblast", INK_STYLE_AUTO, NULL, emit, .on_request = true},
#else
#define CLBLAST(emit)
#endif

const struct ink_op ink_op_dense = {
    .name = "dense",
    .fields = INK_FIELD_UNITS | INK_FIELD_NO_BIAS | INK_FIELD_ACTIVATION | INK_FIELD_INITIALISER,
    .inputs = 1,
    .infer = infer,
    .flops = flops,
    .describe = describe,
    .passes = {
        [INK_FORWARD] = (const struct ink_algorithm[]){
            {"direct", INK_STYLE_CPU, NULL, direct_forward},
            {"gemm", INK_STYLE_GPU, ink_gemm_applies, ink_gemm_forward, .variants = ink_gemm_variants},
            CLBLAST(ink_clblast_forward)
            {0}},
        [INK_BACKWARD_DATA] = (const struct ink_algorithm[]){
            {"direct", INK_STYLE_CPU, NULL, direct_backward_data},
            {"gemm", INK_STYLE_GPU, ink_gemm_applies, ink_gemm_backward_data, .variants = ink_gemm_variants},
            CLBLAST(ink_clblast_backward_data)
            {0}},
        [INK_BACKWARD_WEIGHTS] = (const struct ink_algorithm[]){
            {"direct", INK_STYLE_CPU, NULL, direct_backward_weights},
            {"gemm", INK_STYLE_GPU, ink_gemm_applies, ink_gemm_backward_weights, .variants = ink_gemm_variants},
            CLBLAST(ink_clblast_backward_weights)
            {0}},
    },
};
