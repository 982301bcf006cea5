/* Text for people; see text.h. */
#include "text.h"

#include <langinfo.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bar.h"
#include "command.h"

static bool silent;
static char complaint[2048]; /* the last one */

void complain(const char *format, ...)
{
    bar_clear();
    fflush(stdout); /* keeps the order of the two streams where both go to one place */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(complaint, sizeof complaint, format, arguments);
    va_end(arguments);
    if (silent)
        return;
    va_start(arguments, format);
    fputs("inkling: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

void keep_silent(void) { silent = true; }

const char *last_complaint(void) { return complaint; }

int complain_library(const char *about)
{
    const char *error = ink_last_error();
    /* Errors about files mostly name them already. */
    if (about && strncmp(error, about, strlen(about)) != 0)
        complain("%s: %s", about, error);
    else
        complain("%s", error);
    return EXIT_FAILED;
}

struct text text_count(uint64_t n)
{
    char digits[24];
    int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    struct text text;
    char *to = text.s;
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = 0;
    return text;
}

static struct text scaled(double value, double base, const char *const *units)
{
    struct text text;
    int unit = 0;
    while (value >= base * 0.9995 && units[unit + 1]) {
        value /= base;
        unit++;
    }
    snprintf(text.s, sizeof text.s, "%.*f %s", value < 99.95 && value != floor(value) ? 1 : 0, value, units[unit]);
    return text;
}

struct text text_bytes(uint64_t bytes)
{
    return scaled((double)bytes, 1024, (const char *const[]){"B", "KiB", "MiB", "GiB", "TiB", NULL});
}

struct text text_flops(double flops)
{
    struct text text = scaled(flops, 1000, (const char *const[]){"", "k", "M", "G", "T", NULL});
    size_t length = strlen(text.s);
    if (length && text.s[length - 1] == ' ')
        text.s[length - 1] = 0;
    return text;
}

struct text text_seconds(double seconds)
{
    struct text text;
    snprintf(text.s, sizeof text.s, "%.*f s", seconds < 100 ? 1 : 0, seconds);
    return text;
}

struct text text_clock(double seconds)
{
    struct text text;
    if (!(seconds >= 0 && seconds < 3.6e8)) {
        snprintf(text.s, sizeof text.s, "?");
        return text;
    }
    long whole = (long)(seconds + 0.5);
    if (whole >= 3600)
        snprintf(text.s, sizeof text.s, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
    else
        snprintf(text.s, sizeof text.s, "%ld:%02ld", whole / 60, whole % 60);
    return text;
}

struct text text_shape(struct ink_shape shape)
{
    struct text text;
    snprintf(text.s, sizeof text.s, "%dx%dx%d", shape.height, shape.width, shape.channels);
    return text;
}

void text_accuracy(const struct ink_metrics *metrics, char *line, size_t size)
{
    snprintf(line, size, "test accuracy %.2f %% (95 %% interval %.2f to %.2f %%)", 100 * metrics->accuracy,
             100 * metrics->accuracy_low, 100 * metrics->accuracy_high);
}

const char *colour(enum colour which)
{
    static const char *const codes[] = {"\033[0m", "\033[1m", "\033[2m", "\033[32m", "\033[31m", "\033[33m"};
    const char *off = getenv("NO_COLOR");
    if ((off && *off) || !terminal_out())
        return "";
    return codes[which];
}

bool terminal_out(void)
{
    const char *kind = getenv("TERM");
    return isatty(STDOUT_FILENO) && !(kind && strcmp(kind, "dumb") == 0);
}

bool terminal_utf8(void) { return strcmp(nl_langinfo(CODESET), "UTF-8") == 0; }

int terminal_width(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        return size.ws_col;
    return 80;
}
