/* inkling devices: the OpenCL devices of this machine, which one is picked, and why. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "text.h"

enum { NOTES_MOST = 32 };

/* What the library tells while it looks: platforms without devices, platforms that fail. */
struct notes {
    char text[NOTES_MOST][240];
    int count;
};

static void keep_note(ink_log_level level, const char *text, void *user)
{
    struct notes *notes = user;
    if (level != INK_LOG_DEBUG && notes->count < NOTES_MOST)
        snprintf(notes->text[notes->count++], sizeof notes->text[0], "%s", text);
}

/* True if a note only says again what the table says of a device. */
static bool is_told(const char *note, const struct ink_device_info *devices, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (*devices[i].why && strstr(note, devices[i].name) && strstr(note, devices[i].why))
            return true;
    return false;
}

static const char *type_text(ink_device_type type)
{
    return type == INK_DEVICE_GPU ? "GPU" : type == INK_DEVICE_ACCELERATOR ? "accelerator" : "CPU";
}

/* "1.2" of "OpenCL 1.2 pocl". */
static void version_number(const char *version, char *number, size_t size)
{
    if (strncmp(version, "OpenCL ", 7) == 0)
        version += 7;
    snprintf(number, size, "%.*s", (int)strcspn(version, " "), version);
}

static int longest(int so_far, const char *text)
{
    int length = (int)strlen(text);
    return length > so_far ? length : so_far;
}

static void print_table(const struct ink_device_info *devices, size_t count)
{
    int platform = (int)strlen("platform"), name = (int)strlen("device"), driver = (int)strlen("driver");
    for (size_t i = 0; i < count; i++) {
        platform = longest(platform, devices[i].platform);
        name = longest(name, devices[i].name);
        driver = longest(driver, devices[i].driver);
    }
    printf("     #  %-*s  %-*s  %-11s  %-*s  OpenCL  units      memory       local\n", platform, "platform", name,
           "device", "type", driver, "driver");
    for (size_t i = 0; i < count; i++) {
        const struct ink_device_info *device = &devices[i];
        char number[16];
        version_number(device->version, number, sizeof number);
        const char *shade = device->picked ? colour(COLOUR_GREEN) : device->usable ? "" : colour(COLOUR_RED);
        printf("%s%s %3d  %-*s  %-*s  %-11s  %-*s  %-6s  %5u  %10s  %10s%s\n", shade,
               device->picked ? "->" : device->usable ? "  " : " !", device->index, platform, device->platform, name,
               device->name, type_text(device->type), driver, device->driver, number, device->compute_units,
               text_bytes(device->memory_bytes).s, text_bytes(device->local_bytes).s, *shade ? colour(COLOUR_OFF) : "");
        if (*device->why || !device->usable)
            printf("        %s%s\n", device->picked ? "picked: " : device->usable ? "" : "not usable: ", device->why);
    }
}

static int print_devices_json(const struct ink_device_info *devices, size_t count, const struct notes *notes)
{
    struct json_object *root = json_object_new_object(), *list = json_object_new_array(), *texts = json_object_new_array();
    for (size_t i = 0; i < count; i++) {
        const struct ink_device_info *device = &devices[i];
        struct json_object *item = json_object_new_object();
        json_object_object_add(item, "index", json_object_new_int(device->index));
        json_object_object_add(item, "platform", json_object_new_string(device->platform));
        json_object_object_add(item, "name", json_object_new_string(device->name));
        json_object_object_add(item, "type", json_object_new_string(type_text(device->type)));
        json_object_object_add(item, "driver", json_object_new_string(device->driver));
        json_object_object_add(item, "version", json_object_new_string(device->version));
        json_object_object_add(item, "compute_units", json_count(device->compute_units));
        json_object_object_add(item, "memory_bytes", json_count(device->memory_bytes));
        json_object_object_add(item, "max_alloc_bytes", json_count(device->max_alloc_bytes));
        json_object_object_add(item, "local_bytes", json_count(device->local_bytes));
        json_object_object_add(item, "max_work_group", json_count(device->max_work_group));
        json_object_object_add(item, "usable", json_object_new_boolean(device->usable));
        json_object_object_add(item, "picked", json_object_new_boolean(device->picked));
        json_object_object_add(item, "why", json_object_new_string(device->why));
        json_object_array_add(list, item);
    }
    for (int i = 0; i < notes->count; i++)
        json_object_array_add(texts, json_object_new_string(notes->text[i]));
    json_object_object_add(root, "devices", list);
    json_object_object_add(root, "notes", texts);
    return print_json(root);
}

static int run(const struct settings *settings)
{
    struct ink_device_info *devices = NULL;
    size_t count = 0, usable = 0;
    static struct notes notes;
    ink_set_log(keep_note, &notes);
    ink_status failed = ink_device_list(&devices, &count);
    ink_set_log(NULL, NULL);
    if (failed)
        return complain_library(NULL);
    for (size_t i = 0; i < count; i++)
        usable += devices[i].usable;
    if (settings->json) {
        print_devices_json(devices, count, &notes);
    } else {
        if (count)
            print_table(devices, count);
        const char *space = count ? "\n" : "";
        for (int i = 0; i < notes.count; i++) {
            if (is_told(notes.text[i], devices, count))
                continue;
            printf("%snote: %s\n", space, notes.text[i]);
            space = "";
        }
    }
    free(devices);
    if (usable)
        return EXIT_OK;
    complain("%s; a GPU needs its vendor's OpenCL driver; any CPU can be used through PoCL:\n"
             "  Debian, Ubuntu: apt install pocl-opencl-icd    Fedora: dnf install pocl\n"
             "  Arch: pacman -S pocl                           Homebrew: brew install pocl",
             count ? "none of the OpenCL devices here can be used" : "there is no OpenCL device here");
    return EXIT_FAILED;
}

static const struct option options[] = {OPTION_OF_JSON, OPTION_OF_HELP};

const struct command devices_command = {
    .name = "devices", .operands = "", .options = options, .run = run,
    .summary = "list the OpenCL devices, which one is picked, and why",
};
