/* PNG files of cairo's pictures; see surface.h. */
#include "surface.h"

#include <stdio.h>
#include <string.h>

#include "output.h"
#include "text.h"

bool surface_is_png(const char *path)
{
    static const unsigned char signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    unsigned char bytes[sizeof signature];
    FILE *file = fopen(path, "rb");
    if (!file)
        return false;
    bool matches = fread(bytes, 1, sizeof bytes, file) == sizeof bytes && memcmp(bytes, signature, sizeof bytes) == 0;
    fclose(file);
    return matches;
}

/* What a PNG is written through: the file, and the first error. */
struct sink {
    struct output output;
    int cause;
};

static cairo_status_t write_bytes(void *closure, const unsigned char *data, unsigned int length)
{
    struct sink *sink = closure;
    if (!sink->cause)
        sink->cause = output_write(&sink->output, data, length);
    return sink->cause ? CAIRO_STATUS_WRITE_ERROR : CAIRO_STATUS_SUCCESS;
}

bool surface_write_png(cairo_surface_t *page, const char *path)
{
    struct sink sink = {0};
    if (!output_open(path, &sink.output)) {
        cairo_surface_destroy(page);
        return false;
    }
    cairo_status_t status = cairo_surface_write_to_png_stream(page, write_bytes, &sink);
    cairo_surface_destroy(page);
    if (status) {
        complain("%s: cannot be written: %s", path, sink.cause ? strerror(sink.cause) : cairo_status_to_string(status));
        output_abandon(&sink.output);
        return false;
    }
    return output_close(&sink.output);
}
