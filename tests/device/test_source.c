/* Kernel sources: embedded or from a folder, includes put in once, and line numbers of the real files in build logs. */
#include <stdio.h>
#include <string.h>

#include "device/device.h"
#include "device/source.h"
#include "scratch.h"
#include "suite.h"

static void write_source(const char *name, const char *text) { scratch_write(scratch_path(name), text, strlen(text)); }

static void use_folder(void) { ck_assert_int_eq(setenv("INKLING_CL_DIR", scratch_folder, 1), 0); }

static int occurrences(const char *text, const char *part)
{
    int count = 0;
    for (const char *at = text; (at = strstr(at, part)) != NULL; at += strlen(part))
        count++;
    return count;
}

START_TEST(embedded_sources_are_those_of_the_build)
{
    unsetenv("INKLING_CL_DIR");
    int count = 0;
    for (const struct ink_source *source = ink_embedded_sources; source->name; source++, count++) {
        char *text = NULL;
        ck_ok(ink_source_load(source->name, &text));
        char directive[80];
        snprintf(directive, sizeof directive, "#line 1 \"%s\"\n", source->name);
        ck_assert_msg(strncmp(text, directive, strlen(directive)) == 0, "%s", source->name);
        ck_assert_msg(text[strlen(text) - 1] == '\n', "%s", source->name);
        free(text);
    }
    ck_assert_int_gt(count, 5);
    char *text = NULL;
    ck_fails(ink_source_load("nothing.cl", &text), INK_ERROR_FILE, "nothing.cl");
    ck_assert_ptr_null(text);
}
END_TEST

START_TEST(includes_are_put_in_once_with_their_lines)
{
    write_source("top.cl", "one\n\n#include \"middle.cl\"\nfour\n  #  include \"leaf.cl\"\nsix\n");
    write_source("middle.cl", "m1\n#include \"leaf.cl\"\nm3"); /* no newline at its end */
    write_source("leaf.cl", "leaf\n");
    use_folder();
    char *text = NULL;
    ck_ok(ink_source_load("top.cl", &text));
    ck_assert_str_eq(text, "#line 1 \"top.cl\"\none\n\n"
                           "#line 1 \"middle.cl\"\nm1\n"
                           "#line 1 \"leaf.cl\"\nleaf\n"
                           "#line 3 \"middle.cl\"\nm3\n"
                           "#line 4 \"top.cl\"\nfour\n"
                           "#line 6 \"top.cl\"\nsix\n");
    free(text);
}
END_TEST

START_TEST(rings_of_includes_end)
{
    write_source("a.cl", "text of a\n#include \"b.cl\"\n");
    write_source("b.cl", "text of b\n#include \"a.cl\"\n#include \"b.cl\"\n");
    use_folder();
    char *text = NULL;
    ck_ok(ink_source_load("a.cl", &text));
    ck_assert_int_eq(occurrences(text, "text of a\n"), 1);
    ck_assert_int_eq(occurrences(text, "text of b\n"), 1);
    free(text);
}
END_TEST

START_TEST(missing_files_are_errors)
{
    char *text = NULL;
    use_folder();
    /* common.cl is embedded, and must not be used in the stead of the folder's */
    ck_fails(ink_source_load("common.cl", &text), INK_ERROR_FILE, "INKLING_CL_DIR is set");
    ck_assert_ptr_nonnull(strstr(ink_last_error(), "common.cl"));
    write_source("top.cl", "one\n\n#include \"absent.cl\"\n");
    ck_fails(ink_source_load("top.cl", &text), INK_ERROR_FILE, "included from top.cl:3");
    ck_assert_ptr_nonnull(strstr(ink_last_error(), "absent.cl"));
    ck_assert_ptr_null(text);
    setenv("INKLING_CL_DIR", "/no/such/folder", 1);
    ck_fails(ink_source_load("common.cl", &text), INK_ERROR_FILE, "/no/such/folder/common.cl");
    setenv("INKLING_CL_DIR", "", 1); /* as if it were not set */
    ck_ok(ink_source_load("common.cl", &text));
    free(text);
}
END_TEST

START_TEST(too_many_includes_are_refused)
{
    char text[2000] = "", *loaded = NULL;
    for (int i = 0; i < 40; i++) {
        char name[16];
        snprintf(name, sizeof name, "x%d.cl", i);
        write_source(name, "x\n");
        snprintf(text + strlen(text), sizeof text - strlen(text), "#include \"%s\"\n", name);
    }
    write_source("top.cl", text);
    use_folder();
    ck_fails(ink_source_load("top.cl", &loaded), INK_ERROR_FORMAT, "more than");
}
END_TEST

/* Line 4 of the included file is wrong: the log has to say so, on a device of any platform. */
START_TEST(build_logs_name_the_real_line)
{
    ink_device *device = NULL;
    if (ink_device_open(NULL, &device) == INK_ERROR_NO_DEVICE) {
        printf("no OpenCL device: the line numbers of a build log are not tested\n");
        return;
    }
    write_source("top.cl", "/* 1 */\n#include \"part.cl\"\n__kernel void good(__global int *x) { x[0] = 3; }\n");
    write_source("part.cl", "/* 1 */\n/* 2 */\n__kernel void bad(__global int *x) {\n    x[0] = not_declared;\n}\n");
    use_folder();
    char *text = NULL;
    cl_program program = NULL;
    ck_ok(ink_source_load("top.cl", &text));
    ck_fails(ink_program_build(device, text, "-DSOME=1", &program), INK_ERROR_BUILD, "part.cl:4");
    ck_assert_ptr_null(program);
    ck_assert_ptr_nonnull(strstr(ink_last_error(), "not_declared"));
    ck_assert_ptr_nonnull(strstr(ink_last_error(), "-DSOME=1"));
    ck_assert_ptr_nonnull(strstr(ink_last_error(), ink_device_get_info(device)->name));
    free(text);
    /* behind the include the lines are those of the first file again */
    write_source("top.cl", "/* 1 */\n#include \"part.cl\"\n__kernel void bad2(__global int *x) { x[0] = nor_this; }\n");
    write_source("part.cl", "/* 1 */\n");
    ck_ok(ink_source_load("top.cl", &text));
    ck_fails(ink_program_build(device, text, "", &program), INK_ERROR_BUILD, "top.cl:3");
    free(text);
    ink_device_destroy(&device);
}
END_TEST

/* Logs that name lines of the whole text. */
START_TEST(lines_of_the_whole_are_mapped)
{
    static const char text[] = "#define VW 4\n#line 1 \"top.cl\"\none\n#line 1 \"part.cl\"\np1\np2\n#line 3 \"top.cl\"\nthree\nfour\n";
    static const struct { const char *log, *mapped; } cases[] = {
        {"", ""},
        {"<kernel>:3:1: error: one\n", "top.cl:1:1: error: one\n"},
        {"<kernel>:6:12: error: two\n    p2\n    ^\n<kernel>:8:3: warning: x", "part.cl:2:12: error: two\n    p2\n    ^\ntop.cl:3:3: warning: x"},
        {"<kernel>:9:1: note: see <kernel>:5:1\n1 error generated.\n", "top.cl:4:1: note: see <kernel>:5:1\n1 error generated.\n"},
        /* in front of the first file, behind the last line, and no number */
        {"<kernel>:1:9: a\n<kernel>:2:1: b\n<kernel>:10:1: c\n<kernel>:1000:1: d\n<kernel>:0:1: e\n<kernel>: f\n<kernel>:3",
         "<kernel>:1:9: a\n<kernel>:2:1: b\n<kernel>:10:1: c\n<kernel>:1000:1: d\n<kernel>:0:1: e\n<kernel>: f\n<kernel>:3"},
        /* of compilers that follow the directives */
        {"top.cl:3:1: error\n<scratch space>:3:1: note\n  <kernel>:3:1:\n", "top.cl:3:1: error\n<scratch space>:3:1: note\n  <kernel>:3:1:\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *mapped = NULL;
        ck_ok(ink_source_map_log(text, cases[i].log, &mapped));
        ck_assert_str_eq(mapped, cases[i].mapped);
        free(mapped);
    }
}
END_TEST

int main(void)
RUN_SUITE("source", embedded_sources_are_those_of_the_build, includes_are_put_in_once_with_their_lines, rings_of_includes_end,
          missing_files_are_errors, too_many_includes_are_refused, lines_of_the_whole_are_mapped, build_logs_name_the_real_line)
