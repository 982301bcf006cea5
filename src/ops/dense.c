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

enum {
    IN_FLIGHT = 8,        /* half cycles: what a core needs in flight to be busy */
    TILE_COST = 40,       /* of starting a tile, half cycles */
    GROUP_COST = 2000,    /* of starting a work-group, half cycles: some 0.3 microseconds */
    PACK_COST = 3,        /* of copying a weight, half cycles */
    LEAST_GROUPS = 16,    /* work for so many cores is left where bands are made */
    PACKED_FLOATS = 8192, /* of weights that a work-item copies, most of them in the first-level cache */
};

/* A product rows x sum x columns as work-items do it: tiles of rows by q vectors, band rows a work-item. */
struct product {
    int rows, columns, sum;      /* of the result; values summed over */
    bool bias;
    bool ways;                   /* a result may be made of several sums */
    bool far;                    /* the vectors of a column lie so far apart that each comes from the second-level cache */
    bool pack;                   /* a work-item transposes the weights of its columns first */
};

struct blocking { int rows, q, ways, band; };

/* How evenly groups work-groups share out over 2, 4, 8 and 16 cores, 1 the best. */
static double balance(int groups)
{
    double sum = 0;
    for (int cores = 2; cores <= 16; cores *= 2)
        sum += (double)groups / ((groups + cores - 1) / cores * cores);
    return sum / 4;
}

/* The tile and band of the least predicted time, in half cycles of a core as in ink_pick_tile(). */
static struct blocking pick(const struct ink_call *call, const struct product *product)
{
    int registers = call->vector_width == 16 ? 32 : 16, vectors = (product->columns + call->vector_width - 1) / call->vector_width;
    int fetch = !product->far ? 1 : (call->vector_width * (int)sizeof(float) + 15) / 16;
    struct blocking best = {0};
    double best_cost = 0;
    for (int q = 1; q <= 4; q++)
        for (int rows = 1; rows <= product->rows && vectors % q == 0 && rows * q + q + 2 <= registers; rows++) {
            if (product->pack && product->sum * q * call->vector_width > PACKED_FLOATS)
                continue;
            int ways = 1;
            while (product->ways && rows * q * ways < IN_FLIGHT && 2 * ways <= product->sum && 2 * ways * rows * q + q + 2 <= registers)
                ways *= 2;
            int fma = rows * q * ways, loads = (rows + q * fetch) * ways, step = fma > loads ? fma : loads;
            step = step > IN_FLIGHT ? step : IN_FLIGHT;
            double tile = (double)step * product->sum / ways + 4.0 * rows * q + TILE_COST;
            int tiles = (product->rows + rows - 1) / rows, blocks = vectors / q;
            double start = GROUP_COST + (product->pack ? PACK_COST * (double)product->sum * q * call->vector_width : 0);
            /* a work-item does so many tiles that starting it is a small part, but leaves work for many cores */
            int each = (int)(8 * start / tile), most = tiles * blocks / LEAST_GROUPS;
            each = each < most ? each : most;
            each = each < 1 ? 1 : each;
            int groups = (tiles + each - 1) / each * blocks;
            double cost = (groups * start + tile * tiles * blocks) / balance(groups);
            if (!best.q || cost < best_cost) {
                best = (struct blocking){rows, q, ways, each * rows};
                best_cost = cost;
            }
        }
    return best;
}

/* The defines of a product and its range over columns; returns its blocking. */
static struct blocking define_product(struct ink_launches *list, struct ink_launch *launch, const struct ink_call *call, const struct product *product)
{
    struct blocking b = pick(call, product);
    ink_define_int(list, launch, "ROWS", b.rows);
    ink_define_int(list, launch, "Q", b.q);
    ink_define_int(list, launch, "BAND", b.band);
    ink_define_int(list, launch, "UNITS", product->columns);
    ink_define_int(list, launch, "BIAS", product->bias);
    ink_range_fixed(launch, 0, (size_t)(product->columns + call->vector_width - 1) / (size_t)call->vector_width, (size_t)b.q, 1);
    launch->sample_flops = flops(call->node);
    return b;
}

/* True if a work-item can transpose the weights that it needs. */
static bool packs(const struct ink_call *call) { return (size_t)call->node->layer.units * (size_t)call->vector_width <= PACKED_FLOATS; }

static void direct_forward(struct ink_launches *list, const struct ink_call *call)
{
    const struct ink_node *node = call->node;
    struct ink_launch *launch = ink_launch_add(list, "dense.cl", "forward", "forward direct");
    struct product product = {.rows = call->batch, .columns = node->layer.units, .sum = (int)ink_shape_count(node->in),
                              .bias = !node->layer.no_bias, .ways = !call->reproducible, .far = true};
    struct blocking b = define_product(list, launch, call, &product);
    ink_define_int(list, launch, "INPUTS", product.sum);
    ink_define_int(list, launch, "BATCH", call->batch);
    ink_define_int(list, launch, "WAYS", b.ways);
    ink_define_activation(list, launch, call);
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    ink_arg_value(list, launch, INK_ARG_READ, call->parameters);
    ink_arg_value(list, launch, INK_ARG_WRITE, call->y);
    ink_arg_scalar(list, launch, INK_BATCH);
    ink_range_samples(launch, 1, 1, (size_t)b.band, 1);
    launch->by_samples = true;
}

static void emit_backward_data(struct ink_launches *list, const struct ink_call *call, ink_value weights, bool pack)
{
    struct ink_launch *launch = ink_launch_add(list, "dense.cl", "backward_data", pack ? "backward_data direct" : "backward_data transposed");
    struct product product = {.rows = call->batch, .columns = (int)ink_shape_count(call->node->in), .sum = call->node->layer.units, .ways = !call->reproducible,
                              .far = !pack, .pack = pack};
    struct blocking b = define_product(list, launch, call, &product);
    ink_define_int(list, launch, "INPUTS", product.sum);
    ink_define_int(list, launch, "BATCH", call->batch);
    ink_define_int(list, launch, "WAYS", b.ways);
    ink_define_int(list, launch, "PACK", pack);
    ink_arg_value(list, launch, INK_ARG_READ, call->dy);
    ink_arg_value(list, launch, INK_ARG_READ, weights);
    ink_arg_dx(list, launch, call);
    ink_arg_scalar(list, launch, INK_BATCH);
    ink_range_samples(launch, 1, 1, (size_t)b.band, 1);
    launch->by_samples = true;
}

static void direct_backward_data(struct ink_launches *list, const struct ink_call *call)
{
    emit_backward_data(list, call, call->parameters, true);
}

static void transposed_backward_data(struct ink_launches *list, const struct ink_call *call)
{
    int inputs = (int)ink_shape_count(call->node->in), units = call->node->layer.units;
    ink_value turned = ink_value_create(list, "transposed weights", 0, (size_t)inputs * (size_t)units * sizeof(float));
    ink_emit_transpose(list, call, call->parameters, turned, 1, inputs, units);
    emit_backward_data(list, call, turned, false);
}

static void direct_backward_weights(struct ink_launches *list, const struct ink_call *call)
{
    const struct ink_node *node = call->node;
    struct ink_launch *launch = ink_launch_add(list, "dense.cl", "backward_weights", "backward_weights direct");
    struct product product = {.rows = (int)ink_shape_count(node->in), .columns = node->layer.units, .sum = call->batch,
                              .bias = !node->layer.no_bias};
    struct blocking b = define_product(list, launch, call, &product);
    ink_define_int(list, launch, "INPUTS", product.rows);
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    ink_arg_value(list, launch, INK_ARG_READ, call->dy);
    ink_arg_value(list, launch, INK_ARG_WRITE, call->gradients);
    ink_arg_scalar(list, launch, INK_BATCH);
    ink_range_fixed(launch, 1, (size_t)product.rows, (size_t)b.band, 1);
}

#ifdef INK_CLBLAST
#define CLBLAST(emit) {"clblast", INK_STYLE_AUTO, NULL, emit, .on_request = true, .reorders = true},
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
            {"gemm", INK_STYLE_GPU, ink_gemm_applies, ink_gemm_forward, .variants = ink_gemm_variants, .reorders = true},
            CLBLAST(ink_clblast_forward)
            {0}},
        [INK_BACKWARD_DATA] = (const struct ink_algorithm[]){
            {"direct", INK_STYLE_CPU, packs, direct_backward_data},
            {"transposed", INK_STYLE_CPU, NULL, transposed_backward_data},
            {"gemm", INK_STYLE_GPU, ink_gemm_applies, ink_gemm_backward_data, .variants = ink_gemm_variants, .reorders = true},
            CLBLAST(ink_clblast_backward_data)
            {0}},
        [INK_BACKWARD_WEIGHTS] = (const struct ink_algorithm[]){
            {"direct", INK_STYLE_CPU, NULL, direct_backward_weights},
            {"gemm", INK_STYLE_GPU, ink_gemm_applies, ink_gemm_backward_weights, .variants = ink_gemm_variants, .reorders = true},
            CLBLAST(ink_clblast_backward_weights)
            {0}},
    },
};
