/* Convolution: y[n][oh][ow][f] = act(bias[f] + sum over kh, kw, c of x[n][oh s - pad + kh d][ow s - pad + kw d][c] w[kh][kw][c][f]),
 * in groups of channels and filters. This file has its shapes and its table of algorithms. */
#include "ops/conv.h"

#include <stdio.h>

#include "ops/clblast.h"
#include "ops/gemm.h"

static ink_status infer(struct ink_node *node)
{
    struct ink_layer *layer = &node->layer;
    if (layer->units < 1 || layer->units > 65536)
        return ink_fail_layer(node, "units (its filters) is %d; 1 to 65536 is possible", layer->units);
    if (layer->groups == 0)
        layer->groups = 1;
    if (layer->groups < 1 || node->in.channels % layer->groups || layer->units % layer->groups)
        return ink_fail_layer(node, "%d groups do not divide %d input channels and %d filters", layer->groups, node->in.channels, layer->units);
    int height, width;
    INK_TRY(ink_infer_window(node, false, &height, &width));
    node->out = (struct ink_shape){height, width, layer->units};
    int dims[4] = {layer->filter_height, layer->filter_width, node->in.channels / layer->groups, layer->units};
    double area = (double)layer->filter_height * layer->filter_width;
    if (area * dims[2] * dims[3] > 268435456.0)
        return ink_fail_layer(node, "its weights are more than the 268,435,456 a layer may have");
    ink_node_parameter(node, "weights", 4, dims, true, INK_FILL_WEIGHTS, area * dims[2], area * layer->units / layer->groups);
    if (!layer->no_bias)
        ink_node_parameter(node, "bias", 1, &layer->units, true, INK_FILL_ZERO, 0, 0);
    return INK_OK;
}

double ink_conv_flops(const struct ink_node *node)
{
    const struct ink_layer *layer = &node->layer;
    struct ink_shape out = ink_conv_out(node);
    return 2.0 * out.height * out.width * layer->units * layer->filter_height * layer->filter_width * node->in.channels / layer->groups;
}

static void describe(const struct ink_node *node, char *text, size_t size)
{
    const struct ink_layer *l = &node->layer;
    int used = snprintf(text, size, "%d %dx%d", l->units, l->filter_height, l->filter_width);
    if (l->stride_height != 1 || l->stride_width != 1)
        used += snprintf(text + used, size - (size_t)used, " stride %dx%d", l->stride_height, l->stride_width);
    if (l->padding != INK_VALID)
        used += snprintf(text + used, size - (size_t)used, " pad %d,%d,%d,%d", l->pad_top, l->pad_bottom, l->pad_left, l->pad_right);
    if (l->dilation_height != 1 || l->dilation_width != 1)
        used += snprintf(text + used, size - (size_t)used, " dilation %dx%d", l->dilation_height, l->dilation_width);
    if (l->groups != 1)
        snprintf(text + used, size - (size_t)used, " groups %d", l->groups);
}

#ifdef INK_CLBLAST
#define CLBLAST(emit) {"im2col", INK_STYLE_AUTO, NULL, emit, .on_request = true, .reorders = true},
#else
#define CLBLAST(emit)
#endif

const struct ink_op ink_op_conv = {
    .name = "conv",
    .fields = INK_FIELD_UNITS | INK_FIELD_FILTER | INK_FIELD_STRIDE | INK_FIELD_PADDING | INK_FIELD_DILATION | INK_FIELD_GROUPS |
              INK_FIELD_NO_BIAS | INK_FIELD_ACTIVATION | INK_FIELD_INITIALISER,
    .inputs = 1,
    .croppable = true,
    .infer = infer,
    .flops = ink_conv_flops,
    .describe = describe,
    .passes = {
        [INK_FORWARD] = (const struct ink_algorithm[]){
            {"winograd", INK_STYLE_CPU, ink_winograd_applies, ink_winograd_forward, .pools = true, .variants = ink_winograd_variants, .reorders = true},
            {"direct", INK_STYLE_CPU, ink_conv_direct_applies, ink_conv_direct_forward, .pools = true, .variants = ink_conv_direct_variants},
            {"gemm", INK_STYLE_GPU, ink_gemm_applies, ink_gemm_forward, .pools = true, .variants = ink_gemm_variants, .reorders = true},
            CLBLAST(ink_clblast_forward)
            {0}},
        [INK_BACKWARD_DATA] = (const struct ink_algorithm[]){
            {"winograd", INK_STYLE_CPU, ink_winograd_applies, ink_winograd_backward_data, .pools = true, .variants = ink_winograd_variants, .reorders = true},
            {"direct", INK_STYLE_CPU, ink_conv_direct_applies, ink_conv_direct_backward_data, .pools = true, .variants = ink_conv_direct_variants},
            {"gemm", INK_STYLE_GPU, ink_gemm_applies, ink_gemm_backward_data, .pools = true, .variants = ink_gemm_variants, .reorders = true},
            CLBLAST(ink_clblast_backward_data)
            {0}},
        [INK_BACKWARD_WEIGHTS] = (const struct ink_algorithm[]){
            {"winograd", INK_STYLE_CPU, ink_winograd_applies, ink_winograd_backward_weights, .pools = true, .variants = ink_winograd_variants, .reorders = true},
            {"direct", INK_STYLE_CPU, ink_conv_direct_applies, ink_conv_direct_backward_weights, .pools = true, .variants = ink_conv_direct_variants},
            {"gemm", INK_STYLE_GPU, ink_gemm_applies, ink_gemm_backward_weights, .pools = true, .variants = ink_gemm_variants, .reorders = true},
            CLBLAST(ink_clblast_backward_weights)
            {0}},
    },
};
