/* inkling cache: shows, verifies and clears a cache made for it. */
#include <json-c/json.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device/program_file.h"
#include "suite.h"
#include "tool/run.h"

/* A cache of two programs, a damaged one and a file of someone else's, in the suite's folder. */
static void make_cache(void)
{
    static const char *const sources[] = {"one", "two", "damaged"};
    char path[128];
    ck_assert(mkdir("cache", 0700) == 0 && mkdir("cache/programs", 0700) == 0);
    for (int i = 0; i < 3; i++) {
        struct ink_program_parts parts = {8, "", "", "", "", "", "", sources[i]};
        struct ink_program_key key = {0};
        unsigned char *bytes = NULL;
        char name[INK_PROGRAM_NAME];
        size_t size;
        ck_ok(ink_program_key_make(&parts, &key));
        ck_ok(ink_program_encode(&key, "binary", 6, &bytes, &size));
        ink_program_name(&key.hash, name);
        snprintf(path, sizeof path, "cache/programs/%s", name);
        FILE *file = fopen(path, "wb");
        ck_assert_ptr_nonnull(file);
        ck_assert(fwrite(bytes, 1, size - (i == 2), file) == size - (i == 2) && fclose(file) == 0);
        free(bytes);
        ink_program_key_free(&key);
    }
    write_file("cache/programs/notes.txt", "not a program\n");
    setenv("INKLING_CACHE_DIR", "cache", 1);
    unsetenv("INKLING_CACHE");
    unsetenv("INKLING_CACHE_LIMIT");
}

static void remove_cache(void)
{
    ck_assert(remove("cache/programs/notes.txt") == 0 && rmdir("cache/programs") == 0 && rmdir("cache") == 0);
}

static void check_json(const char *arguments, const char *name, int64_t wanted)
{
    struct run run;
    struct json_object *value;
    run_tool(&run, arguments);
    struct json_object *root = json_tokener_parse(run.out);
    ck_assert_msg(run.status == 0 && root && json_object_object_get_ex(root, name, &value), "inkling %s: %s%s", arguments, run.out, run.err);
    ck_assert_int_eq(json_object_get_int64(value), wanted);
    json_object_put(root);
    run_free(&run);
}

START_TEST(shows_verifies_and_clears)
{
    make_cache();
    check_run("cache", 0, "cache/programs: 3 programs, ", NULL);
    check_run("cache show", 0, " of at most 256 MiB\n", NULL);
    check_json("cache --json", "files", 3);
    check_json("cache show --json", "limit_bytes", 256 << 20);
    check_run("cache verify", 0, "2 programs good, 1 damaged and removed", NULL);
    check_run("cache verify", 0, "2 programs good\n", NULL);
    check_json("cache verify --json", "good", 2);
    check_json("cache verify --json", "removed", 0);
    check_run("cache clear", 0, "removed 2 files\n", NULL);
    check_json("cache clear --json", "removed", 0);
    check_run("cache", 0, "cache/programs: 0 programs, 0 B of", NULL);
    remove_cache();
}
END_TEST

START_TEST(variables_are_told)
{
    setenv("INKLING_CACHE_DIR", "nowhere", 1);
    setenv("INKLING_CACHE", "off", 1);
    setenv("INKLING_CACHE_LIMIT", "5", 1);
    check_run("cache", 0, "nowhere/programs: 0 programs, 0 B of at most 5 MiB\nINKLING_CACHE=off: ", NULL);
    setenv("INKLING_CACHE", "perhaps", 1);
    check_run("cache", 0, "nowhere/programs", "INKLING_CACHE: \"perhaps\" is neither off nor always");
    setenv("INKLING_CACHE", "", 1);
    setenv("INKLING_CACHE_LIMIT", "much", 1);
    check_run("cache", 0, "256 MiB", "INKLING_CACHE_LIMIT: \"much\" is not a whole number");
    unsetenv("INKLING_CACHE_LIMIT");
    setenv("INKLING_CACHE_DIR", "/dev/null", 1);
    check_run("cache", 1, NULL, "/dev/null/programs: the program cache cannot be read: Not a directory");
    check_run("cache verify", 1, NULL, "/dev/null/programs");
    check_run("cache clear", 1, NULL, "/dev/null/programs");
    unsetenv("INKLING_CACHE_DIR");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    check_run("cache", 0, "no folder: set INKLING_CACHE_DIR", NULL);
    check_run("cache clear", 0, "removed 0 files", NULL);
    ck_assert_int_eq(count_files(), 0);
}
END_TEST

/* A run stores its programs, and the next one finds them and gives the same. */
START_TEST(runs_use_the_cache)
{
    struct ink_device_info *devices = NULL;
    size_t count = 0;
    ck_ok(ink_device_list(&devices, &count));
    free(devices);
    if (!count) {
        fprintf(stderr, "skipped: there is no OpenCL device\n");
        return;
    }
    static const char train[] = "train --limit 64 --epochs 1 --model small.txt --force --out small.safetensors";
    setenv("INKLING_CACHE_DIR", "kept", 1);
    setenv("INKLING_CACHE", "always", 1);
    write_file("small.txt", "input 28x28x1\nflatten\ndense 10\n");
    check_run(train, 0, "saved small.safetensors", "");
    struct run first, second;
    run_tool(&first, "cache --json");
    ck_assert_msg(!strstr(first.out, "\"files\": 0"), "%s", first.out);
    check_run(train, 0, "saved small.safetensors", "");
    run_tool(&second, "cache --json");
    ck_assert_str_eq(first.out, second.out);
    check_run("cache verify", 0, " good\n", NULL);
    check_run("cache clear", 0, "removed ", NULL);
    run_free(&first);
    run_free(&second);
    ck_assert(rmdir("kept/programs") == 0 && rmdir("kept") == 0 && remove("small.txt") == 0 && remove("small.safetensors") == 0);
}
END_TEST

static int cache(void)
RUN_SUITE("tool_cache", shows_verifies_and_clears, variables_are_told, runs_use_the_cache)

int main(void)
{
    run_begin();
    int failed = cache();
    run_end();
    return failed;
}
