/* Sums over parts against double precision: every style and vector width, few values of many parts and many of few, values that do not
 * fill vectors, parts that are not in use, and groups of few work-items. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/program.h"
#include "ops/op_case.h"
#include "reference.h"
#include "suite.h"

enum { BEHIND = 16 }; /* values behind the result, which stay as they were */

static const struct {
    size_t count;
    int batch, n, samples;     /* a part for each so many samples */
    size_t max_work_group;     /* a GPU's; 0: as many as it allows */
} sizes[] = {
    {1, 1, 1, 1, 0},
    {144, 128, 128, 1, 0},     /* 32 items for a vector */
    {157, 128, 127, 1, 0},
    {2309, 300, 299, 2, 0},    /* more parts than they have in flight */
    {512, 30, 2, 1, 0},        /* fewer parts in use than items */
    {7, 5, 5, 1, 0},           /* 2 items */
    {600001, 5, 4, 1, 0},      /* an item for a vector */
    {37, 128, 128, 1, 8},
    {37, 128, 128, 1, 1},
};
enum { CASES = sizeof sizes / sizeof *sizes };

static void check_way(int i, enum ink_style style, int width)
{
    struct ink_device limited = *test_device(), *device = test_device();
    if (sizes[i].max_work_group)
        limited.info.max_work_group = sizes[i].max_work_group;
    size_t count = sizes[i].count, parts = (size_t)((sizes[i].batch + sizes[i].samples - 1) / sizes[i].samples);
    size_t used = (size_t)((sizes[i].n + sizes[i].samples - 1) / sizes[i].samples);
    float *in = malloc(parts * count * sizeof *in), *out = malloc((count + BEHIND) * sizeof *out);
    double *want = calloc(count, sizeof *want);
    test_fill(1, -1, 1, in, parts * count);
    for (size_t p = 0; p < parts; p++)
        for (size_t k = 0; k < count; k++) {
            if (p < used)
                want[k] += (double)in[p * count + k];
            else
                in[p * count + k] = NAN;
        }
    struct ink_launches list = {0};
    struct ink_call call = {.device = &limited, .style = style, .vector_width = width, .batch = sizes[i].batch};
    ink_value from = ink_value_create(&list, "parts", 0, parts * count * sizeof *in), to = ink_value_create(&list, "sums", 0, (count + BEHIND) * sizeof *out);
    list.values[from].pinned = list.values[to].pinned = true;
    ink_emit_reduce(&list, &call, from, to, count, sizes[i].samples);
    ck_ok(list.status);
    struct ink_bound bound = {.device = device, .list = &list, .batch = sizes[i].batch};
    cl_program program;
    cl_mem arena;
    char *text, label[64];
    ck_ok(ink_bound_place(&bound));
    ck_ok(ink_program_text(&bound, 1, width, &text));
    ck_ok(ink_program_build(device, text, "", &program));
    ck_ok(ink_bound_kernels(&bound, program));
    ck_ok(ink_buffer_create(device, bound.arena_bytes, "arena", &arena));
    ck_ok(ink_bound_storage(&bound, INK_ARENA, arena, bound.arena_bytes));
    memset(out, 0x7f, (count + BEHIND) * sizeof *out);
    ck_ok(ink_buffer_write(device, bound.buffers[from], 0, in, parts * count * sizeof *in));
    ck_ok(ink_buffer_write(device, bound.buffers[to], 0, out, (count + BEHIND) * sizeof *out));
    cl_int scalars[INK_SCALARS] = {[INK_BATCH] = sizes[i].n};
    ck_ok(ink_bound_run(&bound, device->queue, sizes[i].n, scalars, NULL));
    ck_ok(ink_buffer_read(device, bound.buffers[to], 0, out, (count + BEHIND) * sizeof *out));
    snprintf(label, sizeof label, "reduce, %s style, vectors of %d", style == INK_STYLE_CPU ? "CPU" : "GPU", width);
    reference_compare(label, out, want, count, reference_tolerance(used));
    const unsigned char *behind = (const unsigned char *)(out + count);
    for (size_t k = 0; k < BEHIND * sizeof *out; k++)
        ck_assert_msg(behind[k] == 0x7f, "%s: byte %zu behind the sums was written", label, k);
    ink_bound_free(&bound);
    ink_launches_free(&list);
    clReleaseProgram(program);
    clReleaseMemObject(arena);
    free(text);
    free(in);
    free(out);
    free(want);
}

START_TEST(sums_agree_with_the_reference)
{
    for (enum ink_style style = INK_STYLE_CPU; style <= INK_STYLE_GPU; style++)
        for (int width = 4; width <= 16; width *= 2)
            check_way(_i, style, width);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("reduce");
    TCase *all = tcase_create("reduce");
    tcase_add_loop_test(all, sums_agree_with_the_reference, 0, CASES);
    return run_case(suite, all);
}
