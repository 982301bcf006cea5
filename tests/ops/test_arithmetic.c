/* The arithmetic of reproducible kernels (cl/arithmetic.cl) against double precision, with vectors of every length. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "device/device.h"
#include "device/source.h"
#include "ops/op_case.h"
#include "suite.h"

enum { COUNT = 4096 };

static const struct {
    const char *name, *expression; /* of a and b */
    double ulps;                   /* at most so many; by the errors of the last two or three operations */
    float low, high;               /* of a; exponents of 2 where it is drawn over many sizes */
    bool sizes;
} functions[] = {
    {"divide", "DIV(a, b)", 2, -60, 60, true},
    {"root", "SQRT(fabs(a))", 2, -120, 120, true},
    {"exponential", "EXP(a)", 3, -87, 88, false},
    {"exponential near 0", "EXP(a)", 2, -0.5f, 0.5f, false},
    {"logarithm", "LOG(fabs(a))", 4, -100, 100, true},
    {"logarithm near 1", "LOG(a)", 4, 0.5f, 2, false},
    {"tanh", "TANH(a)", 4, -12, 12, false},
    {"tanh near 0", "TANH(a)", 4, -30, 0, true},
    {"sine", "sine(a, 0)", 3, -7, 7, false},
    {"cosine", "sine(a, 1)", 3, -7, 7, false},
    {"settled", "SETTLE(a)", 0, -39, 120, true},
    {"a sum", "ADD(a, SPLAT(0.0f))", 0, -125, 120, true},
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

static double exact(int f, double a, double b)
{
    return f == 0 ? a / b : f == 1 ? sqrt(fabs(a)) : f < 4 ? exp(a) : f < 6 ? log(fabs(a)) : f < 8 ? tanh(a) : f < 9 ? sin(a) : f < 10 ? cos(a) : a;
}

/* A kernel of these statements for a vector of items, a and b. */
static cl_program compile(int width, bool reproducible, const char *statements)
{
    char *common, *text;
    ck_ok(ink_source_load("common.cl", &common));
    text = malloc(strlen(common) + strlen(statements) + 1024);
    sprintf(text, "#define VW %d\n#define LOOSE 0\n%s%s\n__kernel void apply(in_t x, in_t y, out_t out)\n{\n"
            "    int i = get_global_id(0) * VW;\n    floatv a = LOAD(x + i), b = LOAD(y + i);\n%s}\n",
            width, reproducible ? "#define REPRODUCIBLE 1\n" : "", common, statements);
    cl_program program;
    ck_ok(ink_program_build(test_device(), text, "", &program));
    free(common);
    free(text);
    return program;
}

static cl_program build(int width)
{
    char text[4096];
    size_t size = 0;
    for (int f = 0; f < FUNCTIONS; f++)
        size += (size_t)snprintf(text + size, sizeof text - size, "    STORE_RAW(%s, out + %d + i);\n", functions[f].expression, f * COUNT);
    return compile(width, true, text);
}

/* out[f][i], of every function. */
static void run(cl_program program, int width, const float *a, const float *b, float *out)
{
    struct ink_device *device = test_device();
    size_t global = COUNT / (size_t)width;
    const size_t bytes[] = {(COUNT + 16) * sizeof(float), (COUNT + 16) * sizeof(float), FUNCTIONS * COUNT * sizeof(float)};
    cl_mem buffers[3];
    cl_int code;
    cl_kernel kernel = clCreateKernel(program, "apply", &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    for (cl_uint i = 0; i < 3; i++) {
        ck_ok(ink_buffer_create(device, bytes[i], "arithmetic", &buffers[i]));
        ck_assert_int_eq(clSetKernelArg(kernel, i, sizeof buffers[i], &buffers[i]), CL_SUCCESS);
    }
    ck_ok(ink_buffer_write(device, buffers[0], 0, a, COUNT * sizeof(float)));
    ck_ok(ink_buffer_write(device, buffers[1], 0, b, COUNT * sizeof(float)));
    ck_assert_int_eq(clEnqueueNDRangeKernel(device->queue, kernel, 1, NULL, &global, NULL, 0, NULL, NULL), CL_SUCCESS);
    ck_ok(ink_buffer_read(device, buffers[2], 0, out, bytes[2]));
    for (int i = 0; i < 3; i++)
        clReleaseMemObject(buffers[i]);
    clReleaseKernel(kernel);
}

static const int widths[] = {4, 8, 16};

START_TEST(functions_are_near)
{
    static float a[COUNT], b[COUNT], powers[COUNT], out[FUNCTIONS * COUNT];
    cl_program program = build(widths[_i]);
    for (int f = 0; f < FUNCTIONS; f++) {
        test_fill(10, functions[f].low, functions[f].high, a, COUNT);
        test_fill(11, -60, 60, powers, COUNT);
        test_fill(12, -1, 1, b, COUNT);
        for (int i = 0; i < COUNT; i++) {
            float sign = b[i] < 0 ? -1 : 1;
            a[i] = functions[f].sizes ? sign * exp2f(a[i]) : a[i];
            b[i] = sign * exp2f(powers[i]);
        }
        run(program, widths[_i], a, b, out);
        for (int i = 0; i < COUNT; i++) {
            double want = exact(f, (double)a[i], (double)b[i]), ulp = ldexp(1, ilogb(want) - 23), got = (double)out[f * COUNT + i];
            ck_assert_msg(fabs(got - want) <= functions[f].ulps * ulp || (want == 0 && got == 0), "%s of %.9g, %.9g is %.9g, not %.9g", functions[f].name,
                          (double)a[i], (double)b[i], got, want);
        }
    }
    clReleaseProgram(program);
}
END_TEST

/* Zero, infinities, NaN, and what is too large or too small. */
START_TEST(ends_are_right)
{
    static float a[COUNT], b[COUNT], out[FUNCTIONS * COUNT];
    static const struct { float a, b; int f; float want; } cases[] = {
        {1, 0, 0, INFINITY}, {-1, 0, 0, -INFINITY}, {1, INFINITY, 0, 0}, {INFINITY, 2, 0, INFINITY}, {0, 3, 0, 0}, {NAN, 1, 0, NAN}, {1, NAN, 0, NAN},
        {0x1p-100f, 0x1p30f, 0, 0}, {0x1p-126f, 1, 0, 0x1p-126f}, {0x1p-126f, 0x1p-126f, 0, 1}, {0x1p100f, 0x1p-60f, 0, INFINITY},
        {1.5f, 0x1p127f, 0, 0}, {3, 0x1p126f, 0, 0x1.8p-125f}, {0, 1, 1, 0}, {0x1p-126f, 1, 1, 0x1p-63f}, {INFINITY, 1, 1, INFINITY}, {NAN, 1, 1, NAN},
        {0, 1, 2, 1}, {-INFINITY, 1, 2, 0}, {-200, 1, 2, 0}, {-90, 1, 2, 0}, {200, 1, 2, INFINITY}, {INFINITY, 1, 2, INFINITY}, {NAN, 1, 2, NAN},
        {1, 1, 4, 0}, {INFINITY, 1, 4, INFINITY}, {NAN, 1, 4, NAN}, {0, 1, 6, 0}, {50, 1, 6, 1}, {-INFINITY, 1, 6, -1}, {NAN, 1, 6, NAN},
        {0x1p-40f, 1, 10, 0x1p-40f}, {-0x1.fffffep-41f, 1, 10, 0}, {0x1p-140f, 1, 10, 0}, {NAN, 1, 10, NAN}, {INFINITY, 1, 10, INFINITY},
        {0x1p-126f, 1, 11, 0x1p-126f}, {-0x1p-127f, 1, 11, 0}, {0x1p-149f, 1, 11, 0}, {NAN, 1, 11, NAN},
    };
    for (int i = 0; i < COUNT; i++) {
        a[i] = cases[i % (int)(sizeof cases / sizeof *cases)].a;
        b[i] = cases[i % (int)(sizeof cases / sizeof *cases)].b;
    }
    cl_program program = build(widths[_i]);
    run(program, widths[_i], a, b, out);
    clReleaseProgram(program);
    for (int i = 0; i < (int)(sizeof cases / sizeof *cases); i++) {
        float got = out[cases[i].f * COUNT + i], want = cases[i].want;
        ck_assert_msg(isnan(want) ? isnan(got) : got == want, "%s of %g, %g is %g, not %g", functions[cases[i].f].name, (double)a[i], (double)b[i],
                      (double)got, (double)want);
    }
}
END_TEST

/* All bytes, and other numbers as thickened strokes have them, in both kinds. */
START_TEST(parts_of_255_are_rounded_correctly)
{
    static float a[COUNT], out[FUNCTIONS * COUNT];
    char text[256];
    snprintf(text, sizeof text, "    STORE_RAW(DIV_255(floatv, a), out + i);\n"
             "    for (int l = 0; l < VW; l++)\n        out[%d + i + l] = DIV_255(float, x[i + l]);\n    (void)b;\n", COUNT);
    test_fill(13, 0, 255, a, COUNT);
    for (int i = 0; i < 256; i++)
        a[i] = (float)i;
    for (int reproducible = 0; reproducible < 2; reproducible++) {
        cl_program program = compile(widths[_i], reproducible, text);
        run(program, widths[_i], a, a, out);
        clReleaseProgram(program);
        for (int i = 0; i < 2 * COUNT; i++) {
            float of = a[i % COUNT], want = of / 255.0f;
            ck_assert_double_le(fabs((double)of / 255 - (double)want), ldexp(0.5, of > 0 ? ilogb((double)want) - 23 : 0));
            ck_assert_msg(out[i] == want, "%.9g / 255 is %.9g, not %.9g", (double)of, (double)out[i], (double)want);
        }
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("arithmetic");
    TCase *cases = tcase_create("arithmetic");
    tcase_add_loop_test(cases, functions_are_near, 0, 3);
    tcase_add_loop_test(cases, ends_are_right, 0, 3);
    tcase_add_loop_test(cases, parts_of_255_are_rounded_correctly, 0, 3);
    return run_case(suite, cases);
}
