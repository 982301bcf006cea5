/* The PNG reader. Checksums are made right again for half of the inputs, so that changes get beyond them. */
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "data/png.h"
#include "fuzz.h"

static void decode(const uint8_t *bytes, size_t size)
{
    struct ink_picture picture;
    /* a large picture is right, but fills memory with zeros at every turn */
    if (size >= 24 && (bytes[16] | bytes[17] | bytes[20] | bytes[21] || bytes[18] > 8 || bytes[22] > 8))
        return;
    if (ink_picture_decode_png("input", bytes, size, &picture) != INK_OK)
        return;
    unsigned sum = 0;
    for (int i = 0; i < picture.width * picture.height; i++)
        sum += picture.pixels[i];
    if (picture.channels != 1 || sum > 255u * (unsigned)(picture.width * picture.height))
        abort();
    free(picture.pixels);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    decode(bytes, size);
    uint8_t *sealed = malloc(size + 1);
    if (!sealed)
        abort();
    memcpy(sealed, bytes, size);
    for (size_t at = 8; size >= 12 && at <= size - 12;) {
        size_t length = 0;
        for (size_t i = 0; i < 4; i++)
            length = length << 8 | sealed[at + i];
        if (length > size - at - 12)
            break;
        uint32_t sum = (uint32_t)crc32(0, sealed + at + 4, (uInt)length + 4);
        for (size_t i = 0; i < 4; i++)
            sealed[at + 8 + length + i] = (uint8_t)(sum >> (24 - 8 * i));
        at += 12 + length;
    }
    decode(sealed, size);
    free(sealed);
    return 0;
}

size_t fuzz_good_file(unsigned variant, uint8_t *bytes, size_t room)
{
    static const png_uint_32 formats[] = {PNG_FORMAT_GRAY, PNG_FORMAT_GA, PNG_FORMAT_RGB, PNG_FORMAT_RGBA,
                                          PNG_FORMAT_LINEAR_Y, PNG_FORMAT_RGBA_COLORMAP};
    png_image image = {.version = PNG_IMAGE_VERSION, .width = 11, .height = 7, .format = formats[variant % 6],
                       .colormap_entries = 16};
    uint16_t pixels[11 * 7 * 4];
    uint8_t colours[16 * 4];
    for (size_t i = 0; i < sizeof pixels; i++)
        ((uint8_t *)pixels)[i] = (uint8_t)(variant % 6 == 5 ? i % 16 : i * i);
    for (size_t i = 0; i < sizeof colours; i++)
        colours[i] = (uint8_t)(i * 37);
    png_alloc_size_t size = room;
    if (!png_image_write_to_memory(&image, bytes, &size, 0, pixels, 0, colours))
        abort();
    return size;
}
