/* Platforms and devices, asked what they are; a device that cannot answer or run is kept in the list as not usable,
 * with the reason, so that a person sees why it is passed over. */
#include "device/list.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void device_text(cl_device_id id, cl_device_info what, char *text, size_t size)
{
    char buffer[1024] = "";
    if (clGetDeviceInfo(id, what, sizeof buffer - 1, buffer, NULL) != CL_SUCCESS)
        buffer[0] = 0;
    const char *start = buffer;
    while (isspace((unsigned char)*start))
        start++;
    snprintf(text, size, "%.*s", (int)size - 1, start);
    for (size_t length = strlen(text); length && isspace((unsigned char)text[length - 1]); length--)
        text[length - 1] = 0;
}

/* info->why tells what it lacks, "" if nothing. */
void ink_listed_describe(struct ink_listed *entry)
{
    struct ink_device_info *info = &entry->info;
    cl_device_type type = 0;
    cl_uint units = 0;
    cl_ulong memory = 0, largest = 0, local = 0;
    cl_bool available = CL_FALSE, compiler = CL_FALSE;
    size_t group = 0;
    device_text(entry->id, CL_DEVICE_NAME, info->name, sizeof info->name);
    device_text(entry->id, CL_DRIVER_VERSION, info->driver, sizeof info->driver);
    device_text(entry->id, CL_DEVICE_VERSION, info->version, sizeof info->version);
    cl_int code = clGetDeviceInfo(entry->id, CL_DEVICE_TYPE, sizeof type, &type, NULL);
    code |= clGetDeviceInfo(entry->id, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units, NULL);
    code |= clGetDeviceInfo(entry->id, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof memory, &memory, NULL);
    code |= clGetDeviceInfo(entry->id, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof largest, &largest, NULL);
    code |= clGetDeviceInfo(entry->id, CL_DEVICE_LOCAL_MEM_SIZE, sizeof local, &local, NULL);
    code |= clGetDeviceInfo(entry->id, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof group, &group, NULL);
    code |= clGetDeviceInfo(entry->id, CL_DEVICE_AVAILABLE, sizeof available, &available, NULL);
    code |= clGetDeviceInfo(entry->id, CL_DEVICE_COMPILER_AVAILABLE, sizeof compiler, &compiler, NULL);
    info->type = type & CL_DEVICE_TYPE_GPU ? INK_DEVICE_GPU : type & CL_DEVICE_TYPE_CPU ? INK_DEVICE_CPU : INK_DEVICE_ACCELERATOR;
    info->compute_units = units;
    info->memory_bytes = memory;
    info->max_alloc_bytes = largest;
    info->local_bytes = local;
    info->max_work_group = group;
    if (code != CL_SUCCESS)
        snprintf(info->why, sizeof info->why, "it does not answer what it is");
    else if (!available)
        snprintf(info->why, sizeof info->why, "it says it is not available");
    else if (!compiler)
        snprintf(info->why, sizeof info->why, "it has no compiler for kernels");
    else if (!units || !largest || !group)
        snprintf(info->why, sizeof info->why, "it reports no compute units, memory or work-groups");
    info->usable = !info->why[0];
}

ink_status ink_devices_enumerate(struct ink_listed **out, size_t *count)
{
    cl_platform_id platforms[64];
    cl_uint platform_count = 0;
    struct ink_listed *listed = NULL;
    size_t used = 0;
    cl_int code = clGetPlatformIDs(64, platforms, &platform_count);
    if (code != CL_SUCCESS || platform_count == 0) {
        ink_log(INK_LOG_INFO, "no OpenCL platform (%s)", ink_cl_error(code));
        platform_count = 0;
    }
    if (platform_count > 64)
        platform_count = 64;
    for (cl_uint p = 0; p < platform_count; p++) {
        char name[128] = "";
        cl_device_id ids[64];
        cl_uint id_count = 0;
        clGetPlatformInfo(platforms[p], CL_PLATFORM_NAME, sizeof name - 1, name, NULL);
        code = clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, 64, ids, &id_count);
        if (code != CL_SUCCESS || id_count == 0) {
            ink_log(INK_LOG_INFO, "platform '%s' has no device (%s); passed over", name, ink_cl_error(code));
            continue;
        }
        if (id_count > 64)
            id_count = 64;
        struct ink_listed *larger = realloc(listed, (used + id_count) * sizeof *listed);
        if (!larger) {
            free(listed);
            return ink_fail_memory((used + id_count) * sizeof *listed);
        }
        listed = larger;
        for (cl_uint d = 0; d < id_count; d++, used++) {
            listed[used] = (struct ink_listed){.platform = platforms[p], .id = ids[d]};
            listed[used].info.index = (int)used;
            snprintf(listed[used].info.platform, sizeof listed[used].info.platform, "%s", name);
            ink_listed_describe(&listed[used]);
            if (!listed[used].info.usable)
                ink_log(INK_LOG_WARNING, "device '%s' is passed over: %s", listed[used].info.name, listed[used].info.why);
        }
    }
    *out = listed;
    *count = used;
    return INK_OK;
}

static bool contains(const char *text, const char *part)
{
    size_t length = strlen(part);
    for (; *text; text++) {
        size_t i = 0;
        while (i < length && text[i] && tolower((unsigned char)text[i]) == tolower((unsigned char)part[i]))
            i++;
        if (i == length)
            return true;
    }
    return false;
}

static const char *const type_names[] = {"gpu", "accelerator", "cpu"};

/* How well an entry fits a selector: lower is better, -1 not at all. */
static int fit(const struct ink_listed *entry, const char *selector)
{
    int type = (int)entry->info.type;
    if (!*selector)
        return type;
    for (int i = 0; i < 3; i++)
        if (strcasecmp(selector, type_names[i]) == 0)
            return type == i ? 0 : -1;
    if (strspn(selector, "0123456789") == strlen(selector))
        return strtol(selector, NULL, 10) == entry->info.index ? 0 : -1;
    return contains(entry->info.name, selector) || contains(entry->info.platform, selector) ? 0 : -1;
}

/* True if one that fits like another is the better choice: of a platform that with more compute units, else the first. */
static bool is_larger(const struct ink_listed *entry, const struct ink_listed *than)
{
    return strcmp(entry->info.platform, than->info.platform) == 0 && entry->info.compute_units > than->info.compute_units;
}

ink_status ink_devices_select(struct ink_listed *listed, size_t count, const char *selector, size_t *chosen)
{
    static const char *const reasons[] = {"a GPU comes first", "no GPU; an accelerator comes before a CPU", "no GPU or accelerator; a CPU is always good enough"};
    size_t best = count;
    const struct ink_device_info *unusable = NULL; /* the first that fits but cannot be used */
    if (!selector)
        selector = "";
    for (size_t i = 0; i < count; i++) {
        int rank = fit(&listed[i], selector);
        if (rank >= 0 && !listed[i].info.usable && !unusable)
            unusable = &listed[i].info;
        if (rank < 0 || !listed[i].info.usable)
            continue;
        int before = best < count ? fit(&listed[best], selector) : INT_MAX;
        if (rank < before || (rank == before && is_larger(&listed[i], &listed[best])))
            best = i;
    }
    if (best == count) {
        if (count == 0)
            return ink_fail(INK_ERROR_NO_DEVICE, "this machine has no OpenCL device; install a driver for its GPU, or PoCL to use the CPU "
                                                 "(Debian and Ubuntu: pocl-opencl-icd; Fedora, Arch and Homebrew: pocl). PoCL also hides its "
                                                 "device when it cannot write to its cache folder, ~/.cache/pocl or $POCL_CACHE_DIR");
        if (unusable)
            return ink_fail(INK_ERROR_NO_DEVICE, "no usable OpenCL device%s%s%s; '%s' is not: %s", *selector ? " fits '" : "", selector,
                            *selector ? "'" : "", unusable->name, unusable->why);
        return ink_fail(INK_ERROR_NO_DEVICE, "no OpenCL device fits '%s'; 'inkling devices' lists the %zu of this machine, chosen by number, "
                                             "by a part of the name, or by gpu, cpu or accelerator", selector, count);
    }
    listed[best].info.picked = true;
    if (*selector)
        snprintf(listed[best].info.why, sizeof listed[best].info.why, "fits '%.100s'", selector);
    else
        snprintf(listed[best].info.why, sizeof listed[best].info.why, "%s", reasons[listed[best].info.type]);
    *chosen = best;
    return INK_OK;
}

ink_status ink_device_list(struct ink_device_info **devices, size_t *count)
{
    struct ink_listed *listed;
    size_t used, chosen;
    INK_TRY(ink_devices_enumerate(&listed, &used));
    struct ink_device_info *infos = calloc(used + 1, sizeof *infos);
    if (!infos) {
        free(listed);
        return ink_fail_memory((used + 1) * sizeof *infos);
    }
    if (used)
        ink_devices_select(listed, used, NULL, &chosen);
    for (size_t i = 0; i < used; i++)
        infos[i] = listed[i].info;
    free(listed);
    *devices = infos;
    *count = used;
    return INK_OK;
}
