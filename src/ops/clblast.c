/* Convolution and dense layers by CLBlast. Patches of the images become rows of a matrix (cl/im2col.cl), a chunk of
 * samples and a group of channels at a time so that the matrix stays within bounds, and Sgemm does the rest. Filters of
 * one pixel, and so dense layers, need no such matrix: the images are it. CLBlast compiles its kernels at the first
 * call, and picks them by the device's name, which is why nothing here is taken unless the user names it. */
#include "ops/clblast.h"

#ifdef INK_CLBLAST
#include <clblast_c.h>
#include <stdlib.h>

#include "ops/gemm.h"

enum { COLUMN_BYTES = 64 << 20 }; /* of the matrix of patches at most, or a quarter of what the device gives, unless one sample needs more */

/* C[m][n] = A[m][k] B[k][n] (+ C), over the pixels of samples first .. first + samples - 1. */
struct product {
    int first, samples, pixels;
    size_t m, n, k;              /* 0: the pixels of the samples */
    bool turn_a, turn_b;         /* the matrix is stored transposed */
    bool accumulate;
    size_t a_at, a_row, b_at, b_row, c_at, c_row; /* floats: where it begins, and from row to row */
};

static ink_status run_product(const struct ink_launch *launch, struct ink_device *device, cl_command_queue queue, const cl_mem *buffers, int n)
{
    const struct product *p = launch->call_data;
    int samples = n - p->first < p->samples ? n - p->first : p->samples;
    if (samples <= 0)
        return INK_OK;
    size_t pixels = (size_t)samples * (size_t)p->pixels;
    CLBlastStatusCode code = CLBlastSgemm(CLBlastLayoutRowMajor, p->turn_a ? CLBlastTransposeYes : CLBlastTransposeNo,
                                          p->turn_b ? CLBlastTransposeYes : CLBlastTransposeNo, p->m ? p->m : pixels, p->n ? p->n : pixels,
                                          p->k ? p->k : pixels, 1.0f, buffers[0], p->a_at, p->a_row, buffers[1], p->b_at, p->b_row,
                                          p->accumulate ? 1.0f : 0.0f, buffers[2], p->c_at, p->c_row, &queue, NULL);
    if (code != CLBlastSuccess)
        return ink_fail(INK_ERROR_DEVICE, "%s: CLBlastSgemm failed with status %d on %s; another algorithm does without CLBlast", launch->label,
                        (int)code, device->info.name);
    return INK_OK;
}

static void emit_product(struct ink_launches *list, const struct ink_call *call, const char *label, struct product product, ink_value a,
                         ink_value b, ink_value c, bool update)
{
    struct ink_launch *launch = ink_launch_add(list, "CLBlast", "sgemm", label);
    if (list->status)
        return;
    struct product *data = malloc(sizeof *data);
    if (!data) {
        list->status = ink_fail_memory(sizeof *data);
        return;
    }
    *data = product;
    launch->call = run_product;
    launch->call_data = data;
    ink_arg_value(list, launch, INK_ARG_READ, a);
    ink_arg_value(list, launch, INK_ARG_READ, b);
    ink_arg_value(list, launch, update ? INK_ARG_UPDATE : INK_ARG_WRITE, c);
    /* the sum over a pass's products is that of the op */
    launch->sample_flops = call->node->op->flops(call->node) * product.samples / call->batch / ink_gemm_shape(call->node).groups;
}

/* A kernel of im2col.cl with the layer's constants. */
static struct ink_launch *emit_kernel(struct ink_launches *list, const struct ink_gemm_shape *s, const char *kernel, const char *label, int samples)
{
    struct ink_launch *launch = ink_launch_add(list, "im2col.cl", kernel, label);
    const struct { const char *name; int value; } defines[] = {
        {"IH", s->in.height}, {"IW", s->in.width}, {"SRC_C", s->in.channels}, {"SRC_G", s->group_in},
        {"OH", s->out.height}, {"OW", s->out.width}, {"DST_C", s->out.channels}, {"KH", s->filter_height}, {"KW", s->filter_width},
        {"STRIDE_H", s->stride_height}, {"STRIDE_W", s->stride_width}, {"DILATION_H", s->dilation_height}, {"DILATION_W", s->dilation_width},
        {"PAD_H", s->pad_top}, {"PAD_W", s->pad_left}, {"SAMPLES", samples}, {"BIAS", s->bias}, {"BIAS_AT", s->taps * s->group_in * s->out.channels},
    };
    for (size_t i = 0; i < sizeof defines / sizeof *defines; i++)
        ink_define_int(list, launch, defines[i].name, defines[i].value);
    return launch;
}

/* The images themselves are the matrix of patches. */
static bool is_plain(const struct ink_gemm_shape *s)
{
    return s->taps == 1 && s->stride_height == 1 && s->stride_width == 1 && s->in.height == s->out.height && s->in.width == s->out.width && !s->clip;
}

/* How the samples of a batch are cut, and the matrix of patches of one cut and group (INK_NO_VALUE if plain). */
struct patches {
    bool plain;
    int samples;
    size_t row;                 /* floats of a patch */
    ink_value columns;
};

static struct patches plan_patches(struct ink_launches *list, const struct ink_call *call, const struct ink_gemm_shape *s)
{
    struct patches p = {is_plain(s), call->batch, (size_t)(s->taps * s->group_in), INK_NO_VALUE};
    if (p.plain)
        return p;
    size_t bytes = (size_t)s->pixels * p.row * sizeof(float), room = COLUMN_BYTES;
    if (room > call->device->info.max_alloc_bytes / 4)
        room = call->device->info.max_alloc_bytes / 4;
    size_t most = room / bytes;
    if (most < (size_t)p.samples)
        p.samples = most ? (int)most : 1;
    p.columns = ink_value_create(list, "patches", 0, bytes * (size_t)p.samples);
    return p;
}

static void emit_im2col(struct ink_launches *list, const struct ink_call *call, const struct ink_gemm_shape *s, const struct patches *p, int group,
                        int first)
{
    struct ink_launch *launch = emit_kernel(list, s, "im2col", "im2col", p->samples);
    ink_arg_value(list, launch, INK_ARG_READ, call->x[0]);
    ink_arg_value(list, launch, INK_ARG_WRITE, p->columns);
    ink_arg_int(list, launch, group);
    ink_arg_int(list, launch, first);
    ink_arg_scalar(list, launch, INK_BATCH);
    ink_range_items(list, launch, call->style, 0, (size_t)p->samples * (size_t)s->pixels * p->row, 4096);
}

/* Where the patches of a group and of samples from first on begin in the matrix, and its row length. */
static size_t patches_at(const struct ink_gemm_shape *s, const struct patches *p, int group, int first)
{
    return p->plain ? (size_t)first * (size_t)s->pixels * (size_t)s->in.channels + (size_t)(group * s->group_in) : 0;
}

static size_t patches_row(const struct ink_gemm_shape *s, const struct patches *p)
{
    return p->plain ? (size_t)s->in.channels : p->row;
}

/* The same of y and dy. */
static size_t output_at(const struct ink_gemm_shape *s, int group, int first)
{
    return (size_t)first * (size_t)s->pixels * (size_t)s->out.channels + (size_t)(group * s->group_out);
}

void ink_clblast_forward(struct ink_launches *list, const struct ink_call *call)
{
    struct ink_gemm_shape s = ink_gemm_shape(call->node);
    struct patches p = plan_patches(list, call, &s);
    size_t filters = (size_t)s.out.channels;
    for (int group = 0; group < s.groups; group++)
        for (int first = 0; first < call->batch; first += p.samples) {
            if (!p.plain)
                emit_im2col(list, call, &s, &p, group, first);
            struct product product = {
                .first = first, .samples = p.samples, .pixels = s.pixels, .n = (size_t)s.group_out, .k = p.row,
                .a_at = patches_at(&s, &p, group, first), .a_row = patches_row(&s, &p),
                .b_at = (size_t)(group * s.group_out), .b_row = filters,
                .c_at = output_at(&s, group, first), .c_row = filters,
            };
            emit_product(list, call, "forward CLBlast", product, p.plain ? call->x[0] : p.columns, call->parameters, call->y, group || first);
        }
    if (!s.bias && call->node->layer.activation == INK_NONE)
        return;
    struct ink_launch *launch = emit_kernel(list, &s, "finish", "forward bias and activation", call->batch);
    ink_define_activation(list, launch, call);
    ink_arg_value(list, launch, INK_ARG_UPDATE, call->y);
    ink_arg_value(list, launch, INK_ARG_READ, call->parameters);
    ink_arg_scalar(list, launch, INK_BATCH);
    ink_range_items(list, launch, call->style, (size_t)s.pixels * filters, 0, 4096);
}

void ink_clblast_backward_data(struct ink_launches *list, const struct ink_call *call)
{
    struct ink_gemm_shape s = ink_gemm_shape(call->node);
    struct patches p = plan_patches(list, call, &s);
    size_t filters = (size_t)s.out.channels, values = (size_t)s.in.height * (size_t)s.in.width * (size_t)s.in.channels;
    bool finished = p.plain && !call->epilogue.accumulate && call->epilogue.activation == INK_NONE;
    ink_value to = finished ? call->dx : p.plain ? ink_value_create(list, "gradient", values * sizeof(float), 0) : p.columns;
    for (int group = 0; group < s.groups; group++)
        for (int first = 0; first < call->batch; first += p.samples) {
            struct product product = {
                .first = first, .samples = p.samples, .pixels = s.pixels, .n = p.row, .k = (size_t)s.group_out, .turn_b = true,
                .a_at = output_at(&s, group, first), .a_row = filters,
                .b_at = (size_t)(group * s.group_out), .b_row = filters,
                .c_at = patches_at(&s, &p, group, first), .c_row = patches_row(&s, &p),
            };
            emit_product(list, call, "backward_data CLBlast", product, call->dy, call->parameters, to, p.plain && (group || first));
            if (p.plain)
                continue;
            struct ink_launch *launch = emit_kernel(list, &s, "col2im", "col2im", p.samples);
            ink_arg_value(list, launch, INK_ARG_READ, p.columns);
            ink_arg_dx(list, launch, call);
            ink_arg_int(list, launch, group);
            ink_arg_int(list, launch, first);
            ink_arg_scalar(list, launch, INK_BATCH);
            ink_range_items(list, launch, call->style, 0, (size_t)p.samples * (size_t)(s.in.height * s.in.width * s.group_in), 1024);
        }
    if (finished || !p.plain)
        return;
    struct ink_call end = *call;
    end.dy = to;
    ink_emit_pass_gradient(list, &end, values);
}

void ink_clblast_backward_weights(struct ink_launches *list, const struct ink_call *call)
{
    struct ink_gemm_shape s = ink_gemm_shape(call->node);
    struct patches p = plan_patches(list, call, &s);
    size_t filters = (size_t)s.out.channels;
    for (int group = 0; group < s.groups; group++)
        for (int first = 0; first < call->batch; first += p.samples) {
            if (!p.plain)
                emit_im2col(list, call, &s, &p, group, first);
            struct product product = {
                .first = first, .samples = p.samples, .pixels = s.pixels, .m = p.row, .n = (size_t)s.group_out, .turn_a = true,
                .accumulate = first > 0,
                .a_at = patches_at(&s, &p, group, first), .a_row = patches_row(&s, &p),
                .b_at = output_at(&s, group, first), .b_row = filters,
                .c_at = (size_t)(group * s.group_out), .c_row = filters,
            };
            emit_product(list, call, "backward_weights CLBlast", product, p.plain ? call->x[0] : p.columns, call->dy, call->gradients, group || first);
        }
    if (!s.bias)
        return;
    ink_value partial = ink_value_create(list, "partial bias gradients", filters * sizeof(float), 0);
    struct ink_launch *launch = emit_kernel(list, &s, "bias_sums", "bias sums", call->batch);
    ink_arg_value(list, launch, INK_ARG_READ, call->dy);
    ink_arg_value(list, launch, INK_ARG_WRITE, partial);
    ink_arg_scalar(list, launch, INK_BATCH);
    ink_range_items(list, launch, call->style, filters, 0, 64);
    launch = emit_kernel(list, &s, "bias_gradient", "bias gradient", call->batch);
    ink_arg_value(list, launch, INK_ARG_READ, partial);
    ink_arg_value(list, launch, INK_ARG_UPDATE, call->gradients);
    ink_arg_scalar(list, launch, INK_BATCH);
    ink_range_items(list, launch, call->style, 0, filters, 16);
}
#endif
