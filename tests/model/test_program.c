/* Program texts: what the launches of a program share of them, and that kernels which call functions compute what these do. */
#include <string.h>

#include "model/bundle.h"
#include "model/program.h"
#include "ops/op_case.h"
#include "suite.h"

enum { ROWS = 5, COLUMNS = 3, BATCH = 1 };

/* A launch of the copy of tensor.cl whose define MARK is so. */
static struct ink_launch *add_transpose(struct ink_launches *list, int mark, ink_value in, ink_value out, int rows, int columns)
{
    struct ink_launch *launch = ink_launch_add(list, "tensor.cl", "transpose", "transpose");
    ink_define_int(list, launch, "MARK", mark);
    ink_arg_value(list, launch, INK_ARG_READ, in);
    ink_arg_value(list, launch, INK_ARG_WRITE, out);
    ink_arg_int(list, launch, rows);
    ink_arg_int(list, launch, columns);
    ink_range_fixed(launch, 0, (size_t)rows, 4, 1);
    return launch;
}

static ink_value matrix(struct ink_launches *list, const char *label)
{
    ink_value value = ink_value_create(list, label, 0, ROWS * COLUMNS * sizeof(float));
    list->values[value].pinned = true;
    return value;
}

static int count(const char *text, const char *part)
{
    int found = 0;
    for (const char *at = text; (at = strstr(at, part)); at += strlen(part))
        found++;
    return found;
}

/* The text of lists; sets their instances. */
static char *text_of(struct ink_bound *bound, int lists)
{
    char *text;
    for (int b = 0; b < lists; b++) {
        bound[b].device = test_device();
        bound[b].batch = BATCH;
        ck_assert_int_eq(bound[b].list->status, INK_OK);
        ck_ok(ink_bound_place(&bound[b]));
    }
    ck_ok(ink_program_text(bound, lists, 4, &text));
    return text;
}

/* Two alone in a list, two in a bundle of another: the code of all is there once, that of the one with another define for itself, and the
 * kernel of those that are alone serves both of them. */
START_TEST(launches_of_the_same_code_share_it)
{
    struct ink_launches alone = {0}, bundled = {0};
    ink_value a = matrix(&alone, "a"), b = matrix(&alone, "b"), c = matrix(&alone, "c");
    add_transpose(&alone, 1, a, b, ROWS, COLUMNS);
    add_transpose(&alone, 1, b, c, COLUMNS, ROWS);
    add_transpose(&alone, 2, c, a, COLUMNS, ROWS);
    ink_value x = matrix(&bundled, "x"), y = matrix(&bundled, "y"), z = matrix(&bundled, "z");
    add_transpose(&bundled, 1, x, y, ROWS, COLUMNS);
    add_transpose(&bundled, 1, x, z, COLUMNS, ROWS);
    ck_ok(ink_bundle(&bundled, BATCH, false));
    ck_assert_int_eq(bundled.count, 1);
    struct ink_bound bound[2] = {{.list = &alone}, {.list = &bundled}};
    char *text = text_of(bound, 2);
    ck_assert_int_eq(count(text, "SOLO_KERNEL(transpose)(in_t"), 2);
    ck_assert_int_eq(count(text, "__kernel __attribute__((reqd_work_group_size(1, 1, 1))) void transpose_"), 2);
    ck_assert_int_eq(count(text, "void bundle_"), 1);
    ck_assert_int_eq(bound[0].instances[0], bound[0].instances[1]);
    ck_assert_int_ne(bound[0].instances[0], bound[0].instances[2]);
    ck_assert_int_eq(bundled.launches[0].stages[0].function, alone.launches[0].function);
    ck_assert_int_eq(bundled.launches[0].stages[1].function, alone.launches[0].function);
    free(text);
    for (int i = 0; i < 2; i++)
        ink_bound_free(&bound[i]);
    ink_launches_free(&alone);
    ink_launches_free(&bundled);
}
END_TEST

/* Two launches of one kernel have arguments of their own: a matrix transposed, and back. */
START_TEST(kernels_that_call_compute_what_functions_do)
{
    struct ink_launches list = {0};
    ink_value a = matrix(&list, "a"), b = matrix(&list, "b"), c = matrix(&list, "c");
    add_transpose(&list, 1, a, b, ROWS, COLUMNS);
    add_transpose(&list, 1, b, c, COLUMNS, ROWS);
    struct ink_bound bound = {.list = &list};
    struct ink_device *device = test_device();
    char *text = text_of(&bound, 1);
    cl_program program;
    ck_ok(ink_program_build(device, text, "", &program));
    ck_ok(ink_bound_kernels(&bound, program));
    cl_mem arena;
    cl_int scalars[INK_SCALARS] = {[INK_BATCH] = BATCH};
    float in[ROWS * COLUMNS], turned[ROWS * COLUMNS], back[ROWS * COLUMNS];
    for (int i = 0; i < ROWS * COLUMNS; i++)
        in[i] = (float)i;
    ck_ok(ink_buffer_create(device, bound.arena_bytes, "test", &arena));
    ck_ok(ink_bound_storage(&bound, INK_ARENA, arena, bound.arena_bytes));
    ck_ok(ink_buffer_write(device, arena, bound.offsets[a], in, sizeof in));
    ck_ok(ink_bound_run(&bound, device->queue, BATCH, scalars, NULL));
    ck_ok(ink_buffer_read(device, arena, bound.offsets[b], turned, sizeof turned));
    ck_ok(ink_buffer_read(device, arena, bound.offsets[c], back, sizeof back));
    for (int r = 0; r < ROWS; r++)
        for (int s = 0; s < COLUMNS; s++)
            ck_assert_float_eq(turned[s * ROWS + r], in[r * COLUMNS + s]);
    ck_assert_mem_eq(back, in, sizeof in);
    clReleaseProgram(program);
    ink_bound_free(&bound);
    clReleaseMemObject(arena);
    free(text);
    ink_launches_free(&list);
}
END_TEST

/* The local memory of a kernel is the most that its stages take, its last argument; without any there is none. */
START_TEST(local_memory_is_an_argument)
{
    struct ink_launches list = {0};
    ink_value a = matrix(&list, "a"), b = matrix(&list, "b"), c = matrix(&list, "c");
    add_transpose(&list, 1, a, b, ROWS, COLUMNS)->local_floats = 100;
    add_transpose(&list, 2, a, c, ROWS, COLUMNS);
    struct ink_bound bound = {.list = &list};
    char *text = text_of(&bound, 1);
    ck_assert_int_eq(count(text, ", __local float16 *memory)"), 1);
    ck_assert_int_eq(count(text, "__local float *stage_memory = 0;"), 1);
    ck_assert_int_eq(count(text, "#define STAGE_FLOATS 100\n"), 1);
    cl_program program;
    ck_ok(ink_program_build(test_device(), text, "", &program));
    ck_ok(ink_bound_kernels(&bound, program));
    for (int i = 0; i < 2; i++) {
        cl_uint arguments;
        ck_assert_int_eq(clGetKernelInfo(bound.kernels[i], CL_KERNEL_NUM_ARGS, sizeof arguments, &arguments, NULL), CL_SUCCESS);
        ck_assert_uint_eq(arguments, i ? 4 : 5);
    }
    free(text);
    clReleaseProgram(program);
    ink_bound_free(&bound);
    ink_launches_free(&list);
}
END_TEST

int main(void) RUN_SUITE("program", launches_of_the_same_code_share_it, kernels_that_call_compute_what_functions_do, local_memory_is_an_argument)
