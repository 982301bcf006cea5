/* Opening several devices: by a list of selectors, all that the machine has, or the parts of one. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "device/list.h"

enum { MOST_DEVICES = 64, SELECTOR_BYTES = 128 };

struct opened {
    ink_device *devices[MOST_DEVICES];
    size_t count;
};

static ink_status take(struct opened *opened, const struct ink_listed *listed)
{
    if (opened->count == MOST_DEVICES)
        return ink_fail(INK_ERROR_ARGUMENT, "more than %d devices are asked for", MOST_DEVICES);
    INK_TRY(ink_listed_open(listed, &opened->devices[opened->count]));
    opened->count++;
    return INK_OK;
}

/* Divides the compute units of a device evenly. */
static ink_status take_parts(struct opened *opened, const struct ink_listed *whole, int parts)
{
    cl_device_partition_property how[MOST_DEVICES + 3] = {CL_DEVICE_PARTITION_BY_COUNTS};
    cl_device_id ids[MOST_DEVICES];
    cl_uint made = 0;
    int units = (int)whole->info.compute_units;
    if (parts > units)
        return ink_fail(INK_ERROR_ARGUMENT, "%s has %d compute unit%s and cannot be divided into %d parts", whole->info.name, units, units == 1 ? "" : "s",
                        parts);
    for (int p = 0; p < parts; p++)
        how[1 + p] = units / parts + (p < units % parts);
    how[1 + parts] = CL_DEVICE_PARTITION_BY_COUNTS_LIST_END;
    cl_int code = clCreateSubDevices(whole->id, how, (cl_uint)parts, ids, &made);
    if (code != CL_SUCCESS || made != (cl_uint)parts)
        return ink_fail(INK_ERROR_UNSUPPORTED, "%s cannot be divided into %d parts (clCreateSubDevices: %s); use it whole", whole->info.name, parts,
                        ink_cl_error(code));
    ink_status status = INK_OK;
    for (int p = 0; p < parts; p++) {
        struct ink_listed part = {.info = whole->info, .platform = whole->platform, .id = ids[p], .part = true};
        ink_listed_describe(&part);
        snprintf(part.info.why, sizeof part.info.why, "part %d of %d", p + 1, parts);
        if (!status)
            status = take(opened, &part);
        clReleaseDevice(ids[p]); /* an opened device holds it */
    }
    return status;
}

/* Cuts "/N" off a selector; 1 without it, 0 where N is no number of parts. */
static int cut_parts(char *selector)
{
    char *slash = strrchr(selector, '/'), *end;
    if (!slash)
        return 1;
    long parts = isdigit((unsigned char)slash[1]) ? strtol(slash + 1, &end, 10) : 0;
    if (parts < 1 || parts > MOST_DEVICES || *end)
        return 0;
    *slash = 0;
    return (int)parts;
}

static ink_status take_selected(struct opened *opened, struct ink_listed *listed, size_t count, const char *item)
{
    char selector[SELECTOR_BYTES];
    size_t chosen;
    snprintf(selector, sizeof selector, "%s", item);
    int parts = cut_parts(selector);
    if (!parts)
        return ink_fail(INK_ERROR_ARGUMENT, "'%s': behind the slash goes a number of parts, 1 to %d, as in 'cpu/2'", item, MOST_DEVICES);
    if (strcasecmp(selector, "all") != 0) {
        INK_TRY(ink_devices_select(listed, count, selector, &chosen));
        return parts > 1 ? take_parts(opened, &listed[chosen], parts) : take(opened, &listed[chosen]);
    }
    size_t before = opened->count;
    for (size_t i = 0; i < count; i++) {
        if (!listed[i].info.usable)
            continue;
        snprintf(listed[i].info.why, sizeof listed[i].info.why, "one of all");
        INK_TRY(parts > 1 ? take_parts(opened, &listed[i], parts) : take(opened, &listed[i]));
    }
    return opened->count > before ? INK_OK : ink_devices_select(listed, count, NULL, &chosen); /* which tells what to install */
}

/* The next item of a list, without blanks around it; false at its end. */
static bool next_item(const char **list, char item[SELECTOR_BYTES])
{
    const char *begin = *list, *end;
    if (!begin)
        return false;
    end = strchr(begin, ',');
    *list = end ? end + 1 : NULL;
    end = end ? end : begin + strlen(begin);
    while (begin < end && isspace((unsigned char)*begin))
        begin++;
    while (end > begin && isspace((unsigned char)end[-1]))
        end--;
    snprintf(item, SELECTOR_BYTES, "%.*s", (int)(end - begin), begin);
    return true;
}

ink_status ink_devices_open(const char *selectors, ink_device ***out, size_t *count)
{
    struct opened opened = {.count = 0};
    struct ink_listed *listed;
    size_t listed_count;
    char item[SELECTOR_BYTES];
    INK_TRY(ink_devices_enumerate(&listed, &listed_count));
    ink_status status = INK_OK;
    selectors = selectors ? selectors : "";
    while (!status && next_item(&selectors, item))
        status = *item ? take_selected(&opened, listed, listed_count, item)
                       : ink_fail(INK_ERROR_ARGUMENT, "an item of the list of devices is empty; name devices with a comma between two");
    free(listed);
    ink_device **devices = status ? NULL : calloc(opened.count, sizeof(ink_device *));
    if (!status && !devices)
        status = ink_fail_memory(opened.count * sizeof(ink_device *));
    if (status) {
        for (size_t i = 0; i < opened.count; i++)
            ink_device_destroy(&opened.devices[i]);
        return status;
    }
    memcpy(devices, opened.devices, opened.count * sizeof(ink_device *));
    *out = devices;
    *count = opened.count;
    return INK_OK;
}

void ink_devices_close(ink_device ***devices, size_t *count)
{
    for (size_t i = 0; *devices && i < *count; i++)
        ink_device_destroy(&(*devices)[i]);
    free(*devices);
    *devices = NULL;
    *count = 0;
}
