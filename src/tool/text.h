/* Text for people: errors and warnings on standard error, numbers as people write them, colours, and the size and
 * abilities of the terminal. */
#ifndef TOOL_TEXT_H
#define TOOL_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "inkling/inkling.h"

#if defined(__GNUC__)
#define TOOL_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define TOOL_PRINTF(text, first)
#endif

/* Prints "inkling: <text>" on standard error, clearing the progress bar first. */
void complain(const char *format, ...) TOOL_PRINTF(1, 2);

/* From now on nothing is printed there; what was to be said last. */
void keep_silent(void);
const char *last_complaint(void);

/* Prints the library's last error after what it was about (may be NULL), and returns EXIT_FAILED. */
int complain_library(const char *about);

/* A short text, returned by value so that several can stand in one printf. */
struct text {
    char s[48];
};

struct text text_count(uint64_t n);              /* 25012: "25,012" */
struct text text_bytes(uint64_t bytes);          /* "7.8 GiB" */
struct text text_flops(double flops);            /* "12.3 M" */
struct text text_seconds(double seconds);        /* "2.4 s" */
struct text text_clock(double seconds);          /* "1:23", "2:03:04" */
struct text text_shape(struct ink_shape shape);  /* "28x28x1" */
/* "test accuracy 99.12 % (95 % interval 98.92 to 99.28 %)". */
void text_accuracy(const struct ink_metrics *metrics, char *line, size_t size);

enum colour { COLOUR_OFF, COLOUR_BOLD, COLOUR_DIM, COLOUR_GREEN, COLOUR_RED, COLOUR_YELLOW };

/* The escape sequence of a colour, or "" where standard output is no terminal, or NO_COLOR is set (no-color.org). */
const char *colour(enum colour which);

bool terminal_out(void);   /* standard output is a terminal that moves its cursor when told to */
bool terminal_utf8(void);  /* the locale's characters are UTF-8 */
int terminal_width(void);  /* of standard output in columns; 80 where that is not known */

#endif
