/* Status codes in words, the thread's last error message, and the log callback. */
#include "util/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#ifndef INK_VERSION
#define INK_VERSION "unknown"
#endif

enum { MESSAGE_BYTES = 16384 }; /* room for a build log */

static _Thread_local char message[MESSAGE_BYTES];
static ink_log_function log_function;
static void *log_user;

const char *ink_version(void) { return INK_VERSION; }

const char *ink_last_error(void) { return message; }

const char *ink_status_text(ink_status status)
{
    switch (status) {
    case INK_OK: return "success";
    case INK_ERROR_ARGUMENT: return "wrong argument";
    case INK_ERROR_MEMORY: return "out of memory";
    case INK_ERROR_FILE: return "file error";
    case INK_ERROR_FORMAT: return "wrong format";
    case INK_ERROR_SHAPE: return "shape mismatch";
    case INK_ERROR_NO_DEVICE: return "no such device";
    case INK_ERROR_DEVICE: return "device error";
    case INK_ERROR_BUILD: return "build failure";
    case INK_ERROR_UNSUPPORTED: return "not supported";
    case INK_ERROR_DIVERGED: return "not a finite number";
    }
    return "unknown status";
}

ink_status ink_fail(ink_status status, const char *format, ...)
{
    char text[MESSAGE_BYTES]; /* aside, as an argument may be the message itself */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    memcpy(message, text, strlen(text) + 1);
    return status;
}

ink_status ink_fail_in(ink_status status, const char *format, ...)
{
    char text[MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length >= 0 && (size_t)length < sizeof text)
        snprintf(text + length, sizeof text - (size_t)length, ": %.*s", (int)(sizeof text - (size_t)length) - 3, message);
    memcpy(message, text, strlen(text) + 1);
    return status;
}

ink_status ink_fail_memory(size_t bytes)
{
    return ink_fail(INK_ERROR_MEMORY, "host memory ran out: %zu bytes could not be had", bytes);
}

void ink_set_log(ink_log_function function, void *user)
{
    log_function = function;
    log_user = user;
}

void ink_log(ink_log_level level, const char *format, ...)
{
    if (!log_function)
        return;
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_function(level, text, log_user);
}
