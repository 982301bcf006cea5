/* The program cache; see cache.h. */
#include "device/cache.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device/cache_files.h"
#include "device/folder.h"
#include "util/file.h"

enum { FILE_MOST = 1 << 30, LIMIT_MIB = 256 };

static atomic_ullong hits, misses, rebuilt, stored;

/* Tells once a process of a variable that is not understood, and what is done in its stead. */
static void warn(atomic_flag *told, const char *variable, const char *value, const char *instead)
{
    if (!atomic_flag_test_and_set(told))
        ink_log(INK_LOG_WARNING, "%s: \"%s\" %s", variable, value, instead);
}

static ink_cache_mode read_mode(void)
{
    static atomic_flag told = ATOMIC_FLAG_INIT;
    const char *value = getenv("INKLING_CACHE");
    if (!value || !*value)
        return INK_CACHE_AUTO;
    if (strcmp(value, "off") == 0)
        return INK_CACHE_OFF;
    if (strcmp(value, "always") == 0)
        return INK_CACHE_ALWAYS;
    warn(&told, "INKLING_CACHE", value, "is neither off nor always; it is as if it were not set");
    return INK_CACHE_AUTO;
}

/* Bytes that the files may take. */
static uint64_t read_limit(void)
{
    static atomic_flag told = ATOMIC_FLAG_INIT;
    const char *value = getenv("INKLING_CACHE_LIMIT");
    if (!value || !*value)
        return (uint64_t)LIMIT_MIB << 20;
    char *end;
    errno = 0;
    unsigned long long mib = strtoull(value, &end, 10);
    if (*value >= '0' && *value <= '9' && !*end && !errno && mib <= UINT64_MAX >> 20)
        return (uint64_t)mib << 20;
    warn(&told, "INKLING_CACHE_LIMIT", value, "is not a whole number of MiB; 256 is taken");
    return (uint64_t)LIMIT_MIB << 20;
}

/* PoCL; see cache.h. */
static bool keeps_kernels(const char *platform) { return strcmp(platform, "Portable Computing Language") == 0; }

/* A string that a device tells, whole, where struct ink_device_info may have it cut; freed with free(). NULL where that fails. */
static char *ask_device(const struct ink_device *device, cl_device_info what)
{
    size_t size = 0;
    char *text = clGetDeviceInfo(device->id, what, 0, NULL, &size) == CL_SUCCESS ? calloc(size + 1, 1) : NULL;
    if (text && clGetDeviceInfo(device->id, what, size, text, NULL) == CL_SUCCESS)
        return text;
    free(text);
    return NULL;
}

/* The same of its platform. */
static char *ask_platform(const struct ink_device *device, cl_platform_info what)
{
    size_t size = 0;
    char *text = clGetPlatformInfo(device->platform, what, 0, NULL, &size) == CL_SUCCESS ? calloc(size + 1, 1) : NULL;
    if (text && clGetPlatformInfo(device->platform, what, size, text, NULL) == CL_SUCCESS)
        return text;
    free(text);
    return NULL;
}

bool ink_cache_open(const struct ink_device *device, const char *source, const char *options, struct ink_cache_slot *slot)
{
    ink_cache_mode mode = read_mode();
    char folder[sizeof slot->path - INK_PROGRAM_NAME - 1];
    if (mode == INK_CACHE_OFF || (mode == INK_CACHE_AUTO && keeps_kernels(device->info.platform)) || !read_limit()
        || !ink_cache_folder(INK_CACHE_FOLDER, folder, sizeof folder))
        return false;
    char *platform = ask_platform(device, CL_PLATFORM_NAME), *platform_version = ask_platform(device, CL_PLATFORM_VERSION);
    char *name = ask_device(device, CL_DEVICE_NAME), *driver = ask_device(device, CL_DRIVER_VERSION);
    char *version = ask_device(device, CL_DEVICE_VERSION);
    bool is_open = false;
    if (!platform || !platform_version || !name || !driver || !version)
        goto end;
    struct ink_program_parts parts = {.pointer_bytes = sizeof(void *), .platform = platform, .platform_version = platform_version,
                                      .device = name, .driver = driver, .device_version = version, .options = options, .source = source};
    if (ink_program_key_make(&parts, &slot->key))
        goto end;
    char file[INK_PROGRAM_NAME];
    ink_program_name(&slot->key.hash, file);
    snprintf(slot->path, sizeof slot->path, "%s/%s", folder, file);
    is_open = true;
end:
    free(platform);
    free(platform_version);
    free(name);
    free(driver);
    free(version);
    return is_open;
}

void ink_cache_close(struct ink_cache_slot *slot) { ink_program_key_free(&slot->key); }

/* The program of a binary, or NULL where the driver does not take it. */
static cl_program build(const struct ink_device *device, const char *options, const struct ink_program_view *view)
{
    cl_int taken = CL_INVALID_BINARY, code;
    const unsigned char *binary = view->payload;
    cl_program program = clCreateProgramWithBinary(device->context, 1, &device->id, &view->payload_size, &binary, &taken, &code);
    if (code == CL_SUCCESS && taken == CL_SUCCESS && clBuildProgram(program, 1, &device->id, options, NULL, NULL) == CL_SUCCESS)
        return program;
    if (program)
        clReleaseProgram(program);
    return NULL;
}

cl_program ink_cache_load(const struct ink_device *device, const char *options, const struct ink_cache_slot *slot)
{
    struct stat info;
    if (lstat(slot->path, &info) != 0) {
        misses++;
        return NULL;
    }
    unsigned char *file = NULL;
    size_t size;
    struct ink_program_view view;
    cl_program program = NULL;
    /* a pipe would be waited for */
    ink_status status = S_ISREG(info.st_mode) ? ink_file_read(slot->path, FILE_MOST, &file, &size)
                                              : ink_fail(INK_ERROR_FORMAT, "not a regular file");
    if (!status)
        status = ink_program_decode(&slot->key, file, size, &view);
    if (!status && !(program = build(device, options, &view)))
        status = ink_fail(INK_ERROR_BUILD, "the driver refuses it");
    free(file);
    if (program) {
        utimensat(AT_FDCWD, slot->path, NULL, 0);
        hits++;
        return program;
    }
    if (status == INK_ERROR_MEMORY || status == INK_ERROR_FILE || (unlink(slot->path) != 0 && errno == ENOENT)) {
        misses++; /* the file may be good, or another process was quicker */
        return NULL;
    }
    ink_log(INK_LOG_DEBUG, "program cache: %s: %s; it is built from source", slot->path, ink_last_error());
    rebuilt++;
    return NULL;
}

/* The binary of a program that is built for one device; freed with free(). NULL where there is none. */
static unsigned char *get_binary(cl_program program, size_t *size)
{
    *size = 0;
    if (clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, sizeof *size, size, NULL) != CL_SUCCESS || !*size || *size > FILE_MOST)
        return NULL;
    unsigned char *binary = malloc(*size);
    if (binary && clGetProgramInfo(program, CL_PROGRAM_BINARIES, sizeof binary, &binary, NULL) == CL_SUCCESS)
        return binary;
    free(binary);
    return NULL;
}

void ink_cache_store(const struct ink_device *device, cl_program program, const struct ink_cache_slot *slot)
{
    char folder[sizeof slot->path];
    unsigned char *binary = NULL, *file = NULL;
    size_t binary_size, size;
    uint64_t limit = read_limit();
    if (!ink_cache_folder(INK_CACHE_FOLDER, folder, sizeof folder) || ink_folder_make(folder, 0700) || access(folder, W_OK) != 0)
        return; /* before the driver is asked, which may take it long */
    binary = get_binary(program, &binary_size);
    if (!binary || ink_program_encode(&slot->key, binary, binary_size, &file, &size) || size > limit)
        goto end;
    if (ink_file_replace(slot->path, file, size)) {
        ink_log(INK_LOG_DEBUG, "program cache: a program of %s is not kept: %s", device->info.name, ink_last_error());
        goto end;
    }
    stored++;
    ink_cache_trim(folder, slot->path + strlen(folder) + 1, limit);
end:
    free(file);
    free(binary);
}

ink_status ink_cache_get_info(struct ink_cache_info *info)
{
    struct ink_cache_info found = {.mode = read_mode(), .limit = read_limit(), .hits = hits, .misses = misses, .rebuilt = rebuilt, .stored = stored};
    struct ink_cache_file *files = NULL;
    size_t count = 0;
    if (ink_cache_folder(INK_CACHE_FOLDER, found.path, sizeof found.path))
        INK_TRY(ink_cache_list(found.path, &files, &count));
    for (size_t i = 0; i < count; i++) {
        found.files += !files[i].aside;
        found.bytes += files[i].bytes;
    }
    free(files);
    *info = found;
    return INK_OK;
}
