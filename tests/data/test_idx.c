/* IDX files: good ones spelled out byte by byte, then each field of them broken. */
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <zlib.h>

#include "data/idx.h"
#include "scratch.h"
#include "suite.h"

#if defined(__SANITIZE_ADDRESS__)
#define ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ADDRESS_SANITIZER
#endif
#endif

/* Two images of 2 x 3. */
static const uint8_t good[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3,
                               1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 255};

/* Compresses bytes to a gzip member; *size is its length. Freed with free(). */
static uint8_t *zip(const uint8_t *bytes, size_t count, size_t *size)
{
    z_stream stream = {0};
    ck_assert_int_eq(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    size_t room = deflateBound(&stream, count);
    uint8_t *zipped = malloc(room);
    stream.next_in = (uint8_t *)(uintptr_t)bytes;
    stream.avail_in = (uInt)count;
    stream.next_out = zipped;
    stream.avail_out = (uInt)room;
    ck_assert_int_eq(deflate(&stream, Z_FINISH), Z_STREAM_END);
    *size = room - stream.avail_out;
    deflateEnd(&stream);
    return zipped;
}

static const char *write_file(const uint8_t *bytes, size_t size)
{
    const char *path = scratch_path("file-idx");
    scratch_write(path, bytes, size);
    return path;
}

/* Expects a failure that names the path, and leaves the result alone. */
static void check_fails(const uint8_t *bytes, size_t size, const char *text)
{
    struct ink_idx idx = {.rank = 77};
    const char *path = write_file(bytes, size);
    ck_fails(ink_idx_read(path, 3, 4, 0, &idx), INK_ERROR_FORMAT, text);
    ck_assert(strncmp(ink_last_error(), path, strlen(path)) == 0);
    ck_assert(idx.rank == 77 && !idx.values);
}

/* Expects the good file's content. */
static void check_good(const char *path)
{
    struct ink_idx idx;
    ck_ok(ink_idx_read(path, 3, 4, 0, &idx));
    ck_assert_int_eq(idx.rank, 3);
    ck_assert(idx.dims[0] == 2 && idx.dims[1] == 2 && idx.dims[2] == 3);
    ck_assert_uint_eq(idx.kept, 2);
    ck_assert(memcmp(idx.values, good + 16, 12) == 0);
    free(idx.values);
}

START_TEST(good_files_are_read)
{
    check_good(write_file(good, sizeof good));
    size_t size;
    uint8_t *zipped = zip(good, sizeof good, &size);
    check_good(write_file(zipped, size));
    free(zipped);

    /* four dimensions, and one */
    struct ink_idx idx;
    static const uint8_t four[] = {0, 0, 8, 4, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6};
    ck_ok(ink_idx_read(write_file(four, sizeof four), 3, 4, 0, &idx));
    ck_assert(idx.rank == 4 && idx.dims[3] == 3 && idx.values[5] == 6);
    free(idx.values);
    static const uint8_t one[] = {0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9};
    ck_ok(ink_idx_read(write_file(one, sizeof one), 1, 1, 2, &idx));
    ck_assert(idx.rank == 1 && idx.dims[0] == 3 && idx.kept == 2 && idx.values[1] == 8);
    free(idx.values);
}
END_TEST

START_TEST(gzip_of_two_members_is_one_file)
{
    size_t first, second;
    uint8_t *a = zip(good, 19, &first), *b = zip(good + 19, sizeof good - 19, &second), joined[200];
    memcpy(joined, a, first);
    memcpy(joined + first, b, second);
    check_good(write_file(joined, first + second));
    check_fails(joined, first, "ends at byte 19");
    free(a);
    free(b);
}
END_TEST

START_TEST(every_header_field_is_checked)
{
    static const struct {
        int at, value;
        const char *text;
    } cases[] = {
        {0, 1, "byte 0: found 0x01 0x00, expected the two zero bytes"},
        {1, 2, "byte 0: found 0x00 0x02"},
        {2, 0x09, "byte 2: found type 0x09 (signed byte), expected 0x08"},
        {2, 0x0b, "(16-bit integer)"},
        {2, 0x0c, "(32-bit integer)"},
        {2, 0x0d, "(32-bit float)"},
        {2, 0x0e, "(64-bit float)"},
        {2, 0x07, "(not a code of the format)"},
        {3, 0, "byte 3: found 0 dimensions, expected 3 to 4"},
        {3, 1, "found 1 dimensions"},
        {3, 2, "found 2 dimensions"},
        {3, 5, "found 5 dimensions"},
        {3, 255, "found 255 dimensions"},
        {4, 0x80, "byte 4: found 2147483650 for dimension 1"},
        {7, 0, "byte 4: found 0 for dimension 1, expected 1 to 2147483647"},
        {7, 1, "byte 22: the file goes on"},
        {7, 3, "ends at byte 28, expected 34 bytes: a header of 16 and 3 x 2 x 3 values"},
        {8, 1, "byte 8: found 16777218 for dimension 2, expected 1 to 65536"},
        {11, 0, "byte 8: found 0 for dimension 2"},
        {11, 1, "byte 22: the file goes on"},
        {15, 0, "byte 12: found 0 for dimension 3"},
        {15, 2, "byte 24: the file goes on"},
        {15, 255, "ends at byte 28, expected 1036 bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t bytes[sizeof good];
        memcpy(bytes, good, sizeof good);
        bytes[cases[i].at] = (uint8_t)cases[i].value;
        check_fails(bytes, sizeof bytes, cases[i].text);
        size_t size;
        uint8_t *zipped = zip(bytes, sizeof bytes, &size);
        check_fails(zipped, size, cases[i].text);
        free(zipped);
    }
    struct ink_idx idx;
    ck_fails(ink_idx_read(write_file(good, sizeof good), 1, 1, 0, &idx), INK_ERROR_FORMAT,
             "found 3 dimensions, expected 1;");
}
END_TEST

START_TEST(cut_off_files_are_refused_at_every_length)
{
    for (size_t size = 0; size < sizeof good; size++) {
        char text[32];
        snprintf(text, sizeof text, "ends at byte %zu", size);
        check_fails(good, size, text);
    }
    size_t size;
    uint8_t *zipped = zip(good, sizeof good, &size);
    for (size_t cut = 0; cut < size; cut++)
        check_fails(zipped, cut, cut < 2 ? "ends at byte" : "the gzip data is cut off");
    free(zipped);
}
END_TEST

START_TEST(damaged_gzip_is_refused)
{
    size_t size;
    uint8_t *zipped = zip(good, sizeof good, &size);
    for (size_t at = size - 8; at < size; at++) { /* the last eight bytes are checksum and length */
        zipped[at] ^= 1;
        check_fails(zipped, size, at < size - 4 ? "incorrect data check" : "incorrect length check");
        zipped[at] ^= 1;
    }
    zipped[2] = 9; /* method: not deflate */
    check_fails(zipped, size, "unknown compression method");
    zipped[2] = 8;
    for (size_t at = 10; at < size - 8; at++) { /* any bit of the deflate data: seen at the latest by the checksum */
        struct ink_idx idx = {0};
        zipped[at] ^= 0x10;
        ck_assert_int_eq(ink_idx_read(write_file(zipped, size), 3, 4, 0, &idx), INK_ERROR_FORMAT);
        zipped[at] ^= 0x10;
    }
    free(zipped);
}
END_TEST

START_TEST(trailing_bytes_are_refused)
{
    uint8_t longer[200];
    memcpy(longer, good, sizeof good);
    longer[sizeof good] = 0;
    check_fails(longer, sizeof good + 1, "byte 28: the file goes on");
    size_t size;
    uint8_t *zipped = zip(longer, sizeof good + 1, &size);
    check_fails(zipped, size, "byte 28: the file goes on");
    free(zipped);
    zipped = zip(good, sizeof good, &size);
    memcpy(longer, zipped, size);
    longer[size] = 0;
    check_fails(longer, size + 1, "goes on with a byte 0x00 that is not gzip");
    free(zipped);
}
END_TEST

START_TEST(limit_keeps_the_first_and_checks_the_rest)
{
    struct ink_idx idx;
    ck_ok(ink_idx_read(write_file(good, sizeof good), 3, 4, 1, &idx));
    ck_assert_uint_eq(idx.kept, 1);
    ck_assert_uint_eq(idx.dims[0], 2);
    ck_assert(memcmp(idx.values, good + 16, 6) == 0);
    free(idx.values);
    ck_ok(ink_idx_read(write_file(good, sizeof good), 3, 4, 3, &idx));
    ck_assert_uint_eq(idx.kept, 2);
    free(idx.values);
    idx = (struct ink_idx){0};
    ck_fails(ink_idx_read(write_file(good, sizeof good - 1), 3, 4, 1, &idx), INK_ERROR_FORMAT, "ends at byte 27");
    ck_assert_ptr_null(idx.values);
}
END_TEST

/* A header that promises 4 GiB, or more, in a file of a few bytes: found out without the memory. */
START_TEST(lying_headers_get_no_memory)
{
    static const uint8_t lie[] = {0, 0, 8, 3, 0, 0, 0x40, 0, 0, 0, 2, 0, 0, 0, 2, 0, 1, 2, 3};
    static const uint8_t worse[] = {0, 0, 8, 4, 0x7f, 0xff, 0xff, 0xff, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0};
    static const uint8_t just[] = {0, 0, 8, 3, 0, 0, 0x40, 1, 0, 0, 2, 0, 0, 0, 2, 0};
    struct rlimit limit = {(rlim_t)1 << 30, (rlim_t)1 << 30};
#ifndef ADDRESS_SANITIZER
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
#else
    (void)limit; /* the sanitiser reserves more than that for itself */
#endif
    check_fails(lie, sizeof lie, "ends at byte 19, expected 4294967312 bytes");
    check_fails(worse, sizeof worse, "byte 8: dimension 2 of 65536 makes more than 4294967296 values");
    check_fails(just, sizeof just, "makes more than 4294967296 values");
    size_t size;
    uint8_t *zipped = zip(lie, sizeof lie, &size);
    check_fails(zipped, size, "ends at byte 19, expected 4294967312 bytes");
    free(zipped);
}
END_TEST

/* More than the buffers hold, so that every piece of the reader goes round. */
START_TEST(large_files_come_in_pieces)
{
    enum { COUNT = 5000, ITEM = 30 * 31 };
    uint8_t *bytes = malloc(16 + COUNT * ITEM);
    static const uint8_t header[] = {0, 0, 8, 3, 0, 0, COUNT >> 8, COUNT & 255, 0, 0, 0, 30, 0, 0, 0, 31};
    memcpy(bytes, header, 16);
    for (size_t i = 0; i < COUNT * ITEM; i++)
        bytes[16 + i] = i < 1000000 ? (uint8_t)(i * 2654435761u >> 24) : 0; /* part of it compresses very well */
    size_t size;
    uint8_t *zipped = zip(bytes, 16 + COUNT * ITEM, &size);
    for (int compressed = 0; compressed < 2; compressed++) {
        const char *path = write_file(compressed ? zipped : bytes, compressed ? size : 16 + COUNT * ITEM);
        for (size_t limit = 0; limit < 4000; limit += 1999) {
            struct ink_idx idx;
            ck_ok(ink_idx_read(path, 3, 3, limit, &idx));
            ck_assert_uint_eq(idx.kept, limit ? limit : COUNT);
            ck_assert(memcmp(idx.values, bytes + 16, idx.kept * ITEM) == 0);
            free(idx.values);
        }
    }
    free(zipped);
    free(bytes);
}
END_TEST

START_TEST(paths_that_cannot_be_read_are_named)
{
    struct ink_idx idx = {0};
    ck_fails(ink_idx_read(scratch_path("none"), 3, 3, 0, &idx), INK_ERROR_FILE, scratch_path("none"));
    ck_fails(ink_idx_read(scratch_folder, 3, 3, 0, &idx), INK_ERROR_FILE, "is a folder");
    check_fails((const uint8_t *)"", 0, "ends at byte 0");
}
END_TEST

int main(void)
RUN_SUITE("idx", good_files_are_read, gzip_of_two_members_is_one_file, every_header_field_is_checked,
          cut_off_files_are_refused_at_every_length, damaged_gzip_is_refused, trailing_bytes_are_refused,
          limit_keeps_the_first_and_checks_the_rest, lying_headers_get_no_memory, large_files_come_in_pieces,
          paths_that_cannot_be_read_are_named)
