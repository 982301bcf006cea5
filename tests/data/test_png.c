/* PNG pictures: every colour type, depth and interlacing written with libpng and read back, then files broken field by
 * field. */
#include <fcntl.h>
#include <png.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <zlib.h>

#include "data/png.h"
#include "scratch.h"
#include "suite.h"

/* What a test file is, and its bytes. */
struct file {
    int width, height, type, depth, interlace;
    unsigned char bytes[1 << 16];
    size_t size;
};

static void append(png_structp png, png_bytep bytes, size_t size)
{
    struct file *file = png_get_io_ptr(png);
    ck_assert_uint_le(file->size + size, sizeof file->bytes);
    memcpy(file->bytes + file->size, bytes, size);
    file->size += size;
}

static void no_flush(png_structp png) { (void)png; }

/* The sample of a channel at a pixel: a pattern over the whole range of the depth. */
static unsigned sample(const struct file *file, int x, int y, int channel)
{
    return (unsigned)(x * 7919 + y * 104729 + channel * 1299709 + x * y * 31) % (1u << file->depth);
}

/* Grey that a palette entry, or a pixel of the given samples, must become: straight from the definition, in double. */
static double grey_of(double red, double green, double blue, double alpha)
{
    return (0.299 * red + 0.587 * green + 0.114 * blue) * alpha + 255 * (1 - alpha);
}

static void palette_entry(int i, png_color *colour, png_byte *alpha)
{
    *colour = (png_color){(png_byte)(i * 37), (png_byte)(i * 101), (png_byte)(255 - i)};
    *alpha = (png_byte)(i * 53);
}

static int channels_of(int type)
{
    int colours = type & PNG_COLOR_MASK_COLOR && !(type & PNG_COLOR_MASK_PALETTE) ? 3 : 1;
    return colours + (type & PNG_COLOR_MASK_ALPHA ? 1 : 0);
}

static void encode(struct file *file, bool transparent)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    ck_assert(png && info);
    file->size = 0;
    png_set_write_fn(png, file, append, no_flush);
    png_set_IHDR(png, info, (png_uint_32)file->width, (png_uint_32)file->height, file->depth, file->type,
                 file->interlace, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_color palette[256];
    png_byte alphas[256];
    for (int i = 0; i < 256; i++)
        palette_entry(i, palette + i, alphas + i);
    if (file->type == PNG_COLOR_TYPE_PALETTE)
        png_set_PLTE(png, info, palette, 1 << file->depth);
    if (transparent) {
        unsigned clear = sample(file, 0, 0, 0);
        png_color_16 colour = {.red = (png_uint_16)clear, .green = (png_uint_16)sample(file, 0, 0, 1),
                               .blue = (png_uint_16)sample(file, 0, 0, 2), .gray = (png_uint_16)clear};
        png_set_tRNS(png, info, alphas, file->type == PNG_COLOR_TYPE_PALETTE ? 1 << file->depth : 0, &colour);
    }
    png_write_info(png, info);
    int channels = channels_of(file->type), passes = png_set_interlace_handling(png);
    for (int pass = 0; pass < passes; pass++)
        for (int y = 0; y < file->height; y++) {
            unsigned char row[4096] = {0};
            for (int x = 0; x < file->width; x++)
                for (int c = 0; c < channels; c++) {
                    unsigned value = sample(file, x, y, c);
                    int at = x * channels + c;
                    if (file->depth == 16)
                        row[2 * at] = (unsigned char)(value >> 8), row[2 * at + 1] = (unsigned char)value;
                    else
                        row[at * file->depth / 8] |= (unsigned char)(value << (8 - file->depth - at * file->depth % 8));
                }
            png_write_row(png, row);
        }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
}

static double expected_grey(const struct file *file, int x, int y, bool transparent)
{
    double top = (1u << file->depth) - 1, v[4];
    int channels = channels_of(file->type);
    bool clear = transparent;
    for (int c = 0; c < channels; c++) {
        v[c] = sample(file, x, y, c) * 255.0 / top;
        clear = clear && sample(file, x, y, c) == sample(file, 0, 0, c);
    }
    png_color entry;
    png_byte alpha;
    switch (file->type) {
    case PNG_COLOR_TYPE_GRAY: return clear ? 255 : v[0];
    case PNG_COLOR_TYPE_GRAY_ALPHA: return grey_of(v[0], v[0], v[0], v[1] / 255);
    case PNG_COLOR_TYPE_RGB: return clear ? 255 : grey_of(v[0], v[1], v[2], 1);
    case PNG_COLOR_TYPE_RGB_ALPHA: return grey_of(v[0], v[1], v[2], v[3] / 255);
    }
    palette_entry((int)sample(file, x, y, 0), &entry, &alpha);
    return grey_of(entry.red, entry.green, entry.blue, transparent ? alpha / 255.0 : 1);
}

/* Rounding to 8 bits at the end makes half a step. At depth 16 each colour is rounded before, too: another half, but
 * none for plain grey, rounded once. Alpha's half step weighs up to one of white less the value: another half. */
static double bound_of(const struct file *file)
{
    double before = file->type & PNG_COLOR_MASK_ALPHA ? 1 : 0.5;
    before = file->depth < 16 || file->type == PNG_COLOR_TYPE_GRAY ? 0 : before;
    return 0.5 + before + 1e-9;
}

static void check_picture(const struct file *file, bool transparent)
{
    struct ink_picture picture;
    const char *path = scratch_path("picture.png");
    scratch_write(path, file->bytes, file->size);
    ck_ok(ink_picture_read_png(path, &picture));
    ck_assert(picture.width == file->width && picture.height == file->height && picture.channels == 1);
    double bound = bound_of(file);
    for (int y = 0; y < file->height; y++)
        for (int x = 0; x < file->width; x++) {
            double expected = expected_grey(file, x, y, transparent), got = picture.pixels[y * file->width + x];
            ck_assert_msg(got >= expected - bound && got <= expected + bound, "type %d depth %d at %d, %d: %g, not %g",
                          file->type, file->depth, x, y, got, expected);
        }
    free(picture.pixels);
}

START_TEST(every_kind_of_png_is_read)
{
    static const int kinds[][2] = {
        {PNG_COLOR_TYPE_GRAY, 1}, {PNG_COLOR_TYPE_GRAY, 2}, {PNG_COLOR_TYPE_GRAY, 4}, {PNG_COLOR_TYPE_GRAY, 8},
        {PNG_COLOR_TYPE_GRAY, 16}, {PNG_COLOR_TYPE_PALETTE, 1}, {PNG_COLOR_TYPE_PALETTE, 2},
        {PNG_COLOR_TYPE_PALETTE, 4}, {PNG_COLOR_TYPE_PALETTE, 8}, {PNG_COLOR_TYPE_RGB, 8}, {PNG_COLOR_TYPE_RGB, 16},
        {PNG_COLOR_TYPE_GRAY_ALPHA, 8},
        {PNG_COLOR_TYPE_GRAY_ALPHA, 16}, {PNG_COLOR_TYPE_RGB_ALPHA, 8}, {PNG_COLOR_TYPE_RGB_ALPHA, 16},
    };
    static const int sizes[][2] = {{1, 1}, {3, 1}, {1, 5}, {33, 21}};
    static struct file file;
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++)
        for (int size = 0; size < 4; size++)
            for (int interlace = 0; interlace < 2; interlace++)
                for (int transparent = 0; transparent < 2; transparent++) {
                    file.type = kinds[kind][0], file.depth = kinds[kind][1];
                    file.width = sizes[size][0], file.height = sizes[size][1];
                    file.interlace = interlace ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE;
                    if (transparent && file.type & PNG_COLOR_MASK_ALPHA)
                        continue;
                    encode(&file, transparent);
                    check_picture(&file, transparent);
                }
}
END_TEST

/* A good file of 9 x 6 pixels, cut to size, with a change, and with the header's checksum right again if asked. */
static struct file make(void)
{
    struct file file = {.width = 9, .height = 6, .type = PNG_COLOR_TYPE_GRAY, .depth = 8};
    encode(&file, false);
    return file;
}

static void seal_header(struct file *file)
{
    uint32_t sum = (uint32_t)crc32(0, file->bytes + 12, 17);
    for (int i = 0; i < 4; i++)
        file->bytes[29 + i] = (unsigned char)(sum >> (24 - 8 * i));
}

/* Expects a failure that names the file, leaves the result alone and prints nothing. */
static void check_fails(const struct file *file, const char *text)
{
    struct ink_picture picture = {.width = 77};
    ck_fails(ink_picture_decode_png("some.png", file->bytes, file->size, &picture), INK_ERROR_FORMAT, text);
    ck_assert(strncmp(ink_last_error(), "some.png: ", 10) == 0);
    ck_assert(picture.width == 77 && !picture.pixels);
}

START_TEST(header_fields_are_checked)
{
    static const struct {
        int at, value;
        const char *text;
    } cases[] = {
        {0, 0x88, "is not a PNG file"}, {7, 0, "is not a PNG file"},
        {11, 12, ""}, {12, 'X', ""},
        {19, 0, "is 0 x 6 pixels, expected 1 to 16384"}, {23, 0, "is 9 x 0 pixels"},
        {18, 0x40, "is 16393 x 6 pixels, expected 1 to 16384 a side; scale the picture down"},
        {16, 0x80, "pixels, expected"}, {20, 0x7f, "is 9 x 2130706438 pixels"},
        {24, 3, "bit depth"}, {24, 0, "bit depth"}, {25, 1, "color type"}, {25, 3, ""}, {26, 1, "compression"},
        {27, 1, "filter"}, {28, 2, "interlace"},
        {19, 10, ""}, {23, 7, "Not enough image data"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct file file = make();
        file.bytes[cases[i].at] = (unsigned char)cases[i].value;
        if (cases[i].at > 12)
            seal_header(&file);
        check_fails(&file, cases[i].text);
    }
}
END_TEST

START_TEST(checksums_are_checked)
{
    /* every byte of every chunk's type, data and checksum; the four of a chunk's length come first */
    struct file good = make();
    for (size_t at = 8; at < good.size;) {
        uint32_t length = (uint32_t)good.bytes[at + 2] << 8 | good.bytes[at + 3];
        for (size_t i = at + 4; i < at + 12 + length; i++) {
            struct file file = good;
            file.bytes[i] ^= 1;
            check_fails(&file, i >= at + 8 + length ? "CRC error" : "");
        }
        at += 12 + length;
    }
}
END_TEST

START_TEST(cut_off_files_are_refused_at_every_length)
{
    struct file file = make();
    for (size_t size = file.size; size-- > 0;) {
        file.size = size;
        check_fails(&file, size < 8 ? "is not a PNG file" : "the file is cut off");
    }
}
END_TEST

START_TEST(paths_and_sizes_are_checked)
{
    struct ink_picture picture = {0};
    ck_fails(ink_picture_read_png(scratch_path("none.png"), &picture), INK_ERROR_FILE, "none.png");
    ck_fails(ink_picture_read_png(scratch_folder, &picture), INK_ERROR_FILE, "is a folder");
    ck_fails(ink_picture_read_png(NULL, &picture), INK_ERROR_ARGUMENT, "path is NULL");
    ck_fails(ink_picture_read_png("x.png", NULL), INK_ERROR_ARGUMENT, "picture is NULL");
    scratch_write(scratch_path("text.png"), "GIF89a and more", 15);
    ck_fails(ink_picture_read_png(scratch_path("text.png"), &picture), INK_ERROR_FORMAT, "is not a PNG file");
    scratch_write(scratch_path("large.png"), "", 0);
    ck_assert_int_eq(truncate(scratch_path("large.png"), (64 << 20) + 1), 0);
    ck_fails(ink_picture_read_png(scratch_path("large.png"), &picture), INK_ERROR_FORMAT, "is larger than");
    ck_assert_ptr_null(picture.pixels);
}
END_TEST

START_TEST(nothing_is_printed)
{
    const char *path = scratch_path("stderr");
    int kept = dup(STDERR_FILENO), descriptor = open(path, O_RDWR | O_CREAT, 0600);
    ck_assert(kept >= 0 && descriptor >= 0 && dup2(descriptor, STDERR_FILENO) >= 0);
    struct file file = make();
    file.bytes[24] = 3; /* a warning and an error of libpng */
    seal_header(&file);
    check_fails(&file, "bit depth");
    file = make();
    file.bytes[file.size - 1] ^= 1;
    check_fails(&file, "CRC error");
    ck_assert(dup2(kept, STDERR_FILENO) >= 0);
    ck_assert_int_eq((int)lseek(descriptor, 0, SEEK_END), 0);
    close(kept);
    close(descriptor);
}
END_TEST

int main(void)
RUN_SUITE("png", every_kind_of_png_is_read, header_fields_are_checked, checksums_are_checked,
          cut_off_files_are_refused_at_every_length, paths_and_sizes_are_checked, nothing_is_printed)
