/* A text that grows as it is written. The first failure stays in status and later writes do nothing, so a writer
 * checks once at its end. */
#ifndef INK_UTIL_TEXT_H
#define INK_UTIL_TEXT_H

#include "util/status.h"

/* Zero it to begin. bytes ends with a zero byte that used does not count; it is freed with free(). */
struct ink_text {
    char *bytes;
    size_t used, room;
    ink_status status;
};

/* Appends size bytes. */
void ink_text_bytes(struct ink_text *text, const void *bytes, size_t size);

/* Appends what the format gives, at most 4095 characters. */
void ink_text_add(struct ink_text *text, const char *format, ...) INK_PRINTF(2, 3);

/* Hands the text over: *bytes is the caller's (size may be NULL), and text is empty again. On an earlier failure gives
 * its status and frees the text. */
ink_status ink_text_take(struct ink_text *text, char **bytes, size_t *size);

#endif
