/* A text that grows as it is written; see text.h. */
#include "util/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ink_text_bytes(struct ink_text *text, const void *bytes, size_t size)
{
    if (!text->status && text->used + size + 1 > text->room) {
        size_t room = 2 * (text->used + size + 1);
        char *larger = realloc(text->bytes, room);
        if (larger) {
            text->bytes = larger;
            text->room = room;
        } else {
            text->status = ink_fail_memory(room);
        }
    }
    if (text->status)
        return;
    memcpy(text->bytes + text->used, bytes, size);
    text->used += size;
    text->bytes[text->used] = 0;
}

void ink_text_add(struct ink_text *text, const char *format, ...)
{
    char piece[4096];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(piece, sizeof piece, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof piece)
        text->status = text->status ? text->status : ink_fail(INK_ERROR_UNSUPPORTED, "a piece of text is longer than 4095 characters");
    else
        ink_text_bytes(text, piece, (size_t)length);
}

ink_status ink_text_take(struct ink_text *text, char **bytes, size_t *size)
{
    ink_text_bytes(text, "", 0);
    ink_status status = text->status;
    if (status) {
        free(text->bytes);
    } else {
        *bytes = text->bytes;
        if (size)
            *size = text->used;
    }
    *text = (struct ink_text){0};
    return status;
}
