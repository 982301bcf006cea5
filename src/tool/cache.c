/* inkling cache: what the program cache holds and where it is; verifies it or clears it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "text.h"

static const char pocl[] = "Portable Computing Language";

/* The folder in which PoCL keeps its kernels, found as PoCL finds it, or false where no device here is PoCL's. */
static bool find_pocl_folder(char *path, size_t size)
{
    struct ink_device_info *devices = NULL;
    size_t count = 0;
    bool has_pocl = false;
    if (ink_device_list(&devices, &count))
        return false;
    for (size_t i = 0; i < count; i++)
        has_pocl |= strcmp(devices[i].platform, pocl) == 0;
    free(devices);
    const char *own = getenv("POCL_CACHE_DIR"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (own)
        snprintf(path, size, "%s", own);
    else if (xdg && *xdg)
        snprintf(path, size, "%s/pocl/kcache", xdg);
    else
        snprintf(path, size, "%s%s", home ? home : "/tmp", home ? "/.cache/pocl/kcache" : "/pocl/kcache");
    return has_pocl;
}

static const char *mode_text(ink_cache_mode mode)
{
    return mode == INK_CACHE_OFF ? "off" : mode == INK_CACHE_ALWAYS ? "always" : "auto";
}

static const char *plural(uint64_t count) { return count == 1 ? "" : "s"; }

static int show(bool json)
{
    struct ink_cache_info info;
    char pocl_path[DATA_PATH_SIZE];
    if (ink_cache_get_info(&info))
        return complain_library(NULL);
    bool has_pocl = find_pocl_folder(pocl_path, sizeof pocl_path);
    if (json) {
        struct json_object *root = json_object_new_object();
        json_object_object_add(root, "mode", json_object_new_string(mode_text(info.mode)));
        json_object_object_add(root, "path", *info.path ? json_object_new_string(info.path) : NULL);
        json_object_object_add(root, "files", json_count(info.files));
        json_object_object_add(root, "bytes", json_count(info.bytes));
        json_object_object_add(root, "limit_bytes", json_count(info.limit));
        json_object_object_add(root, "pocl_path", has_pocl ? json_object_new_string(pocl_path) : NULL);
        return print_json(root);
    }
    if (*info.path)
        printf("%s: %s program%s, %s of at most %s\n", info.path, text_count(info.files).s, plural(info.files), text_bytes(info.bytes).s,
               text_bytes(info.limit).s);
    else
        printf("no folder: set INKLING_CACHE_DIR, XDG_CACHE_HOME or HOME, and programs are kept\n");
    if (info.mode == INK_CACHE_OFF)
        printf("INKLING_CACHE=off: programs are neither kept nor used\n");
    if (has_pocl)
        printf("PoCL keeps its kernels itself, in %s%s\n", pocl_path,
               info.mode == INK_CACHE_ALWAYS ? "; INKLING_CACHE=always: its programs are kept here too" : "");
    return EXIT_OK;
}

static int verify(bool json)
{
    struct ink_cache_check check;
    if (ink_cache_verify(&check))
        return complain_library(NULL);
    if (json) {
        struct json_object *root = json_object_new_object();
        json_object_object_add(root, "good", json_count(check.good));
        json_object_object_add(root, "removed", json_count(check.bad));
        return print_json(root);
    }
    printf("%s program%s good", text_count(check.good).s, plural(check.good));
    if (check.bad)
        printf(", %s damaged and removed; what is missing is compiled when it is next used", text_count(check.bad).s);
    putchar('\n');
    return EXIT_OK;
}

static int clear(bool json)
{
    size_t removed;
    if (ink_cache_clear(&removed))
        return complain_library(NULL);
    if (json) {
        struct json_object *root = json_object_new_object();
        json_object_object_add(root, "removed", json_count(removed));
        return print_json(root);
    }
    printf("removed %s file%s\n", text_count(removed).s, plural(removed));
    return EXIT_OK;
}

static int run(const struct settings *settings)
{
    static const struct {
        const char *name;
        int (*run)(bool json);
    } actions[] = {{"show", show}, {"verify", verify}, {"clear", clear}};
    const char *name = settings->operand_count ? settings->operands[0] : "show";
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
        if (strcmp(name, actions[i].name) == 0)
            return actions[i].run(settings->json);
    complain("cache cannot \"%s\"; give show, verify or clear", name);
    return EXIT_USAGE;
}

static const struct option options[] = {OPTION_OF_JSON, OPTION_OF_HELP};

const struct command cache_command = {
    .name = "cache", .operands = "[show|verify|clear]", .least = 0, .most = 1, .options = options, .run = run,
    .summary = "show, verify or clear the compiled programs that are kept on disk",
    .more = "Compiled programs are kept so that the next run need not compile them again: in $INKLING_CACHE_DIR/programs,\n"
            "else $XDG_CACHE_HOME/inkling/programs, else $HOME/.cache/inkling/programs.\n"
            "INKLING_CACHE=off keeps and uses none. Drivers that keep kernels themselves, as PoCL does, are left to do\n"
            "so; INKLING_CACHE=always keeps their programs too. INKLING_CACHE_LIMIT is the most MiB that the files may\n"
            "take (256 if not set); the longest unused go first.\n",
};
