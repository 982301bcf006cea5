/* How a function of the library fails: it returns ink_fail(status, what happened and what to do), which keeps the
 * message for ink_last_error() in thread-local memory. A caller that knows more (the file, the layer) puts it in
 * front with ink_fail_in() and passes the status on. */
#ifndef INK_UTIL_STATUS_H
#define INK_UTIL_STATUS_H

#include "inkling/inkling.h"

#if defined(__GNUC__)
#define INK_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define INK_PRINTF(text, first)
#endif

/* Sets the message of this thread and returns status, so that `return ink_fail(...)` reads well. */
ink_status ink_fail(ink_status status, const char *format, ...) INK_PRINTF(2, 3);

/* Puts "<context>: " in front of the message of this thread and returns status. */
ink_status ink_fail_in(ink_status status, const char *format, ...) INK_PRINTF(2, 3);

/* INK_ERROR_MEMORY with the number of bytes that could not be had. */
ink_status ink_fail_memory(size_t bytes);

/* Sends a line to the log callback, if there is one. */
void ink_log(ink_log_level level, const char *format, ...) INK_PRINTF(2, 3);

/* Returns from the calling function with the status of a failed call. */
#define INK_TRY(call) do { ink_status try_status_ = (call); if (try_status_) return try_status_; } while (0)

#endif
