/* The PNG reader: libpng decodes any colour type, depth and interlacing to 8 bits of grey and alpha, or of red, green,
 * blue and alpha, and we make grey on white of it. All of what libpng reports comes back as an error; nothing is
 * printed. Colour profiles and gamma are left aside: a digit is dark on light whatever they say. */
#include "data/png.h"

#include <png.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/file.h"

#define SAVE_AGAIN "save the picture again as PNG"

enum { SIGNATURE_BYTES = 8, HEADER_BYTES = 33 }; /* the header chunk and its checksum end at byte 33 */

/* All that outlives a longjmp() lies here and not in local variables. */
struct reader {
    const unsigned char *bytes;
    size_t size, offset;
    png_structp png;
    png_infop info;
    unsigned char *rows;  /* decoded values: one row, or all of an interlaced picture */
    uint8_t *grey;        /* [height][width] */
    char why[160], warning[160];
    bool memory;          /* memory ran out */
};

static void on_error(png_structp png, png_const_charp text)
{
    struct reader *reader = png_get_error_ptr(png);
    if (reader->warning[0]) /* libpng says what is wrong in warnings, then fails with "Invalid IHDR data" */
        snprintf(reader->why, sizeof reader->why, "%s (%.70s)", text, reader->warning);
    else
        snprintf(reader->why, sizeof reader->why, "%s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    struct reader *reader = png_get_error_ptr(png);
    snprintf(reader->warning, sizeof reader->warning, "%s", text);
}

static void on_read(png_structp png, png_bytep to, size_t size)
{
    struct reader *reader = png_get_io_ptr(png);
    if (size > reader->size - reader->offset) {
        reader->warning[0] = 0;
        png_error(png, "the file is cut off");
    }
    memcpy(to, reader->bytes + reader->offset, size);
    reader->offset += size;
}

/* One row of grey on white. channels: 2 (grey, alpha) or 4 (red, green, blue, alpha). Luma after ITU-R BT.601. */
static void convert_row(const unsigned char *values, int channels, size_t width, uint8_t *grey)
{
    for (size_t x = 0; x < width; x++, values += channels) {
        unsigned luma = channels == 2 ? values[0] * 1000u : values[0] * 299u + values[1] * 587u + values[2] * 114u;
        unsigned alpha = values[channels - 1];
        grey[x] = (uint8_t)((luma * alpha + 255000u * (255 - alpha) + 127500) / 255000);
    }
}

/* Decodes into reader->grey; false if libpng failed or memory ran out. */
static bool decode(struct reader *reader, size_t width, size_t height)
{
    png_structp png = reader->png;
    if (setjmp(png_jmpbuf(png)))
        return false;
    png_set_read_fn(png, reader, on_read);
    png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_user_limits(png, INK_PICTURE_SIDE, INK_PICTURE_SIDE);
    png_read_info(png, reader->info);
    png_set_expand(png); /* palettes to colours, 1, 2 and 4 bits to 8, transparent colours to alpha */
    png_set_scale_16(png);
    png_set_add_alpha(png, 255, PNG_FILLER_AFTER);
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, reader->info);

    int channels = png_get_channels(png, reader->info);
    size_t stride = width * (size_t)channels;
    if ((channels != 2 && channels != 4) || png_get_rowbytes(png, reader->info) != stride)
        png_error(png, "its values do not become 8 bits of grey or colour with alpha");
    reader->rows = malloc(passes > 1 ? stride * height : stride);
    reader->grey = malloc(width * height);
    if (!reader->rows || !reader->grey) {
        reader->memory = true;
        return false;
    }
    for (int pass = 0; pass < passes; pass++)
        for (size_t y = 0; y < height; y++) {
            unsigned char *row = passes > 1 ? reader->rows + y * stride : reader->rows;
            png_read_row(png, row, NULL);
            if (pass == passes - 1)
                convert_row(row, channels, width, reader->grey + y * width);
        }
    png_read_end(png, NULL);
    return true;
}

static uint32_t read_word(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

ink_status ink_picture_decode_png(const char *name, const unsigned char *bytes, size_t size,
                                  struct ink_picture *picture)
{
    if (size < SIGNATURE_BYTES || png_sig_cmp(bytes, 0, SIGNATURE_BYTES) != 0)
        return ink_fail(INK_ERROR_FORMAT, "%s: is not a PNG file: its first bytes are not those of one; convert it to "
                        "PNG", name);
    if (size < HEADER_BYTES)
        return ink_fail(INK_ERROR_FORMAT, "%s: cannot be read as PNG: the file is cut off in its header, at byte %zu; "
                        SAVE_AGAIN, name, size);
    uint32_t width = read_word(bytes + 16), height = read_word(bytes + 20);
    if (memcmp(bytes + 12, "IHDR", 4) == 0 &&
        (width < 1 || height < 1 || width > INK_PICTURE_SIDE || height > INK_PICTURE_SIDE))
        return ink_fail(INK_ERROR_FORMAT, "%s: is %u x %u pixels, expected 1 to %d a side; %s", name, (unsigned)width,
                        (unsigned)height, INK_PICTURE_SIDE,
                        width < 1 || height < 1 ? SAVE_AGAIN : "scale the picture down");

    ink_status status = INK_OK;
    struct reader reader = {.bytes = bytes, .size = size};
    reader.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &reader, on_error, on_warning);
    reader.info = reader.png ? png_create_info_struct(reader.png) : NULL;
    if (!reader.info) {
        status = ink_fail_memory(sizeof reader);
        goto fail;
    }
    if (!decode(&reader, width, height)) {
        status = reader.memory
                     ? ink_fail_memory((size_t)width * height)
                     : ink_fail(INK_ERROR_FORMAT, "%s: cannot be read as PNG: %s, at byte %zu; " SAVE_AGAIN, name,
                                reader.why, reader.offset);
        goto fail;
    }
    *picture = (struct ink_picture){(int)width, (int)height, 1, reader.grey};
    reader.grey = NULL;
fail:
    png_destroy_read_struct(&reader.png, &reader.info, NULL);
    free(reader.rows);
    free(reader.grey);
    return status;
}

ink_status ink_picture_read_png(const char *path, struct ink_picture *picture)
{
    if (!path || !picture)
        return ink_fail(INK_ERROR_ARGUMENT, "ink_picture_read_png: %s is NULL", path ? "picture" : "path");
    unsigned char *bytes;
    size_t size;
    INK_TRY(ink_file_read(path, INK_PICTURE_BYTES, &bytes, &size));
    ink_status status = ink_picture_decode_png(path, bytes, size, picture);
    free(bytes);
    return status;
}
