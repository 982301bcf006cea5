/* The choice of a device among made-up ones, error codes in words, and the devices of this machine. */
#include <stdio.h>
#include <string.h>

#include "device/list.h"
#include "suite.h"

enum { COUNT = 8 };

/* The first GPU is broken; the last two are smaller and larger than the one before them on their platform. */
static void make(struct ink_listed *listed)
{
    static const struct { ink_device_type type; const char *platform, *name; bool usable; int units; } devices[COUNT] = {
        {INK_DEVICE_CPU, "Portable Computing Language", "pthread-haswell", true, 8},
        {INK_DEVICE_GPU, "Clover", "AMD Radeon RX 580", false, 36},
        {INK_DEVICE_ACCELERATOR, "Boards", "An FPGA", true, 1},
        {INK_DEVICE_GPU, "NVIDIA CUDA", "NVIDIA GeForce RTX 4090", true, 128},
        {INK_DEVICE_GPU, "AMD Accelerated Parallel Processing", "gfx1100 7", true, 96},
        {INK_DEVICE_CPU, "Intel(R) OpenCL", "Intel(R) Core(TM) i7", true, 16},
        {INK_DEVICE_CPU, "Intel(R) OpenCL", "Intel(R) Atom(TM)", true, 4},
        {INK_DEVICE_CPU, "Intel(R) OpenCL", "Intel(R) Xeon(R)", true, 32},
    };
    memset(listed, 0, COUNT * sizeof *listed);
    for (int i = 0; i < COUNT; i++) {
        struct ink_device_info *info = &listed[i].info;
        info->index = i;
        info->type = devices[i].type;
        info->usable = devices[i].usable;
        info->compute_units = devices[i].units;
        snprintf(info->platform, sizeof info->platform, "%s", devices[i].platform);
        snprintf(info->name, sizeof info->name, "%s", devices[i].name);
        snprintf(info->why, sizeof info->why, "%s", info->usable ? "" : "it says it is not available");
    }
}

/* want -1: none, and the message has the text; else the number picked, whose reason has the text. */
static const struct { const char *selector; int want; const char *text; } choices[] = {
    {NULL, 3, "a GPU comes first"},
    {"", 3, "a GPU comes first"},
    {"gpu", 3, "fits 'gpu'"},
    {"GPU", 3, "fits 'GPU'"},
    {"accelerator", 2, "fits"},
    {"cpu", 0, "fits"},
    {"Cpu", 0, "fits"},
    {"0", 0, "fits '0'"},
    {"3", 3, "fits '3'"},
    {"05", 5, "fits"},
    {"1", -1, "it says it is not available"},
    {"8", -1, "no OpenCL device fits '8'; 'inkling devices' lists the 8"},
    {"99999999999999999999999", -1, "no OpenCL device fits"},
    {"-1", -1, "no OpenCL device fits '-1'"},
    {"radeon", -1, "it says it is not available"},
    {"4090", -1, "fits '4090'"}, /* digits are a number of the list, not a part of a name */
    {"RTX 4090", 3, "fits"},
    {"rtx", 3, "fits"},
    {"amd acc", 4, "fits"}, /* of the platform */
    {"portable", 0, "fits"},
    {"intel", 7, "fits"}, /* the largest of a platform */
    {"core", 5, "fits"},
    {"atom", 6, "fits"},
    {"amd", 4, "fits"}, /* the broken one has it too, and is passed over */
    {"n", 0, "fits"},   /* the first of many platforms */
    {"nonsense", -1, "no OpenCL device fits 'nonsense'"},
};

START_TEST(selectors_pick)
{
    struct ink_listed listed[COUNT];
    size_t chosen = 99;
    make(listed);
    ink_status status = ink_devices_select(listed, COUNT, choices[_i].selector, &chosen);
    if (choices[_i].want < 0) {
        ck_assert_int_eq(status, INK_ERROR_NO_DEVICE);
        ck_assert_uint_eq(chosen, 99);
        ck_assert_msg(strstr(ink_last_error(), choices[_i].text) != NULL, "%s", ink_last_error());
        for (int i = 0; i < COUNT; i++)
            ck_assert(!listed[i].info.picked);
        return;
    }
    ck_assert_msg(status == INK_OK, "%s", ink_last_error());
    ck_assert_int_eq((int)chosen, choices[_i].want);
    for (int i = 0; i < COUNT; i++)
        ck_assert(listed[i].info.picked == (i == choices[_i].want));
    ck_assert_msg(strstr(listed[chosen].info.why, choices[_i].text) != NULL, "%s", listed[chosen].info.why);
}
END_TEST

START_TEST(better_types_come_first)
{
    struct ink_listed listed[COUNT];
    size_t chosen;
    make(listed);
    listed[3].info.usable = listed[4].info.usable = false;
    ck_ok(ink_devices_select(listed, COUNT, NULL, &chosen));
    ck_assert_uint_eq(chosen, 2);
    ck_assert_ptr_nonnull(strstr(listed[2].info.why, "an accelerator comes before a CPU"));
    make(listed);
    listed[2].info.usable = listed[3].info.usable = listed[4].info.usable = false;
    ck_ok(ink_devices_select(listed, COUNT, "", &chosen));
    ck_assert_uint_eq(chosen, 0);
    ck_assert_ptr_nonnull(strstr(listed[0].info.why, "a CPU is always good enough"));
    for (int i = 0; i < COUNT; i++)
        listed[i].info.usable = false;
    ck_fails(ink_devices_select(listed, COUNT, NULL, &chosen), INK_ERROR_NO_DEVICE, "usable");
}
END_TEST

START_TEST(no_device_says_what_to_install)
{
    size_t chosen;
    ck_fails(ink_devices_select(NULL, 0, NULL, &chosen), INK_ERROR_NO_DEVICE, "pocl-opencl-icd");
    ck_fails(ink_devices_select(NULL, 0, "gpu", &chosen), INK_ERROR_NO_DEVICE, "install a driver");
}
END_TEST

START_TEST(error_codes_have_names)
{
    ck_assert_str_eq(ink_cl_error(CL_SUCCESS), "CL_SUCCESS");
    ck_assert_str_eq(ink_cl_error(CL_INVALID_DEVICE_PARTITION_COUNT), "CL_INVALID_DEVICE_PARTITION_COUNT");
    ck_assert_str_eq(ink_cl_error(-1001), "CL_PLATFORM_NOT_FOUND_KHR");
    ck_assert_str_eq(ink_cl_error(-4711), "an OpenCL code without a name");
    for (cl_int code = -59; code <= -42; code++) /* calls on programs, kernels, queues and buffers */
        ck_assert_msg(strncmp(ink_cl_error(code), "CL_", 3) == 0, "%d", (int)code);
    ck_ok(ink_cl_check(NULL, CL_SUCCESS, "clFinish", "a test"));
    ck_fails(ink_cl_check(NULL, CL_INVALID_VALUE, "clFinish", "a test"), INK_ERROR_DEVICE, "clFinish (a test) failed with CL_INVALID_VALUE (-30)");
    ck_fails(ink_cl_check(NULL, CL_OUT_OF_HOST_MEMORY, "clFinish", "a test"), INK_ERROR_MEMORY, "a smaller batch");
}
END_TEST

START_TEST(list_and_open_agree)
{
    struct ink_device_info *infos = NULL;
    size_t count = 99;
    ck_ok(ink_device_list(&infos, &count));
    size_t picked = count;
    for (size_t i = 0; i < count; i++) {
        ck_assert_int_eq(infos[i].index, (int)i);
        ck_assert_msg(infos[i].name[0] && infos[i].platform[0], "device %zu has no name", i);
        ck_assert_msg(infos[i].usable || infos[i].why[0], "no reason why device %zu is not usable", i);
        if (infos[i].picked) {
            ck_assert_uint_eq(picked, count);
            picked = i;
        }
    }
    ink_device *device = NULL;
    ink_status status = ink_device_open(NULL, &device);
    if (picked == count) {
        ck_assert_int_eq(status, INK_ERROR_NO_DEVICE);
        printf("no usable OpenCL device: opening one is not tested\n");
        free(infos);
        return;
    }
    ck_assert_msg(status == INK_OK, "%s", ink_last_error());
    const struct ink_device_info *info = ink_device_get_info(device);
    ck_assert_int_eq(info->index, infos[picked].index);
    ck_assert_str_eq(info->name, infos[picked].name);
    ck_assert(info->usable && info->picked && info->compute_units > 0 && info->memory_bytes > 0);
    ck_assert(device->vector_width == 4 || device->vector_width == 8 || device->vector_width == 16);
    ck_assert_uint_ge(device->align, 64);
    ink_device_destroy(&device);
    ck_assert_ptr_null(device);
    ink_device_destroy(&device);
    char number[16];
    snprintf(number, sizeof number, "%zu", picked);
    ck_ok(ink_device_open(number, &device));
    ink_device_destroy(&device);
    ck_fails(ink_device_open("no device is called so", &device), INK_ERROR_NO_DEVICE, "no device is called so");
    ck_assert_ptr_null(device);
    free(infos);
}
END_TEST

START_TEST(buffers_keep_what_is_written)
{
    ink_device *device = NULL;
    if (ink_device_open(NULL, &device) == INK_ERROR_NO_DEVICE) {
        printf("no OpenCL device: buffers are not tested\n");
        return;
    }
    cl_mem buffer = NULL;
    float values[64], back[64];
    for (int i = 0; i < 64; i++)
        values[i] = (float)i;
    ck_ok(ink_buffer_create(device, sizeof values, "a test", &buffer));
    ck_ok(ink_buffer_write(device, buffer, 0, values, sizeof values));
    ck_ok(ink_buffer_zero(device, buffer, 8 * sizeof(float)));
    ck_ok(ink_buffer_write(device, buffer, 4, &values[60], sizeof(float)));
    ck_ok(ink_buffer_read(device, buffer, 0, back, sizeof back));
    for (int i = 0; i < 64; i++)
        ck_assert_float_eq(back[i], i == 1 ? 60 : i < 8 ? 0 : values[i]);
    ck_ok(ink_buffer_read(device, buffer, 256, back, 0));
    ck_fails(ink_buffer_read(device, buffer, 1 << 20, back, 4), INK_ERROR_DEVICE, "clEnqueueReadBuffer");
    clReleaseMemObject(buffer);
    ck_fails(ink_buffer_create(device, device->info.max_alloc_bytes, "a test", &buffer), INK_ERROR_MEMORY, "a test needs a buffer of");
    ink_device_destroy(&device);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("device");
    TCase *all = tcase_create("device");
    tcase_set_timeout(all, 120);
    tcase_add_loop_test(all, selectors_pick, 0, (int)(sizeof choices / sizeof *choices));
    tcase_add_test(all, better_types_come_first);
    tcase_add_test(all, no_device_says_what_to_install);
    tcase_add_test(all, error_codes_have_names);
    tcase_add_test(all, list_and_open_agree);
    tcase_add_test(all, buffers_keep_what_is_written);
    suite_add_tcase(suite, all);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
