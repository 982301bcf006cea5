/* The file of a compiled program: its bytes spelled out, then damaged in every way there is. */
#include <stdint.h>
#include <string.h>
#include <zlib.h>

#include "device/program_file.h"
#include "suite.h"

static const struct ink_program_parts parts = {
    .pointer_bytes = 8, .platform = "Platform", .platform_version = "OpenCL 1", .device = "Device", .driver = "2.0",
    .device_version = "OpenCL 3", .options = "-DX=4", .source = "kernel",
};

/* The file of these parts and the payload "binary". */
#define KEY "1\0" "8\0" "Platform\0" "OpenCL 1\0" "Device\0" "2.0\0" "OpenCL 3\0" "-DX=4\0" "6\0" "df4e2cd2f1e6a25f769f83f25bbdae1b"
static const unsigned char golden_header[INK_PROGRAM_HEADER] = {
    'I', 'N', 'K', 'P', 'R', 'O', 'G', '\n',
    0x01, 0x00, 0x00, 0x00,
    0x69, 0xbf, 0xab, 0x8f,
    0xf8, 0x81, 0x6a, 0xe5, 0x2b, 0xf1, 0x04, 0xf3, 0x16, 0x98, 0x33, 0x90, 0x5c, 0xc5, 0x70, 0x5b,
    83, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    6, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};
static const char golden_name[] = "f8816ae52bf104f3169833905cc5705b.program";

enum { GOLDEN = INK_PROGRAM_HEADER + sizeof KEY + 6 };

static void make_golden(unsigned char file[GOLDEN])
{
    memcpy(file, golden_header, sizeof golden_header);
    memcpy(file + INK_PROGRAM_HEADER, KEY, sizeof KEY);
    memcpy(file + INK_PROGRAM_HEADER + sizeof KEY, "binary", 6);
}

/* Makes the checksum fit again, so that a change is found by what it is and not by the checksum. */
static void sign(unsigned char *file, size_t size)
{
    uint32_t crc = (uint32_t)crc32(0, file + 16, (uInt)(size - 16));
    for (int i = 0; i < 4; i++)
        file[12 + i] = (unsigned char)(crc >> 8 * i);
}

/* In memory of just this size, so that a sanitizer sees a read beyond it. */
static ink_status decode(const struct ink_program_key *key, const unsigned char *file, size_t size)
{
    unsigned char *copy = malloc(size ? size : 1);
    memcpy(copy, file, size);
    struct ink_program_view view = {.payload_size = 77};
    ink_status status = ink_program_decode(key, copy, size, &view);
    if (status)
        ck_assert_uint_eq(view.payload_size, 77);
    free(copy);
    return status;
}

START_TEST(bytes_are_as_spelled_out)
{
    struct ink_program_key key = {0};
    unsigned char golden[GOLDEN], *file = NULL;
    char name[INK_PROGRAM_NAME];
    size_t size = 0;
    make_golden(golden);
    ck_ok(ink_program_key_make(&parts, &key));
    ck_assert_uint_eq(key.size, sizeof KEY);
    ck_assert_mem_eq(key.bytes, KEY, sizeof KEY);
    ink_program_name(&key.hash, name);
    ck_assert_str_eq(name, golden_name);
    ck_ok(ink_program_encode(&key, "binary", 6, &file, &size));
    ck_assert_uint_eq(size, GOLDEN);
    ck_assert_mem_eq(file, golden, GOLDEN);
    struct ink_program_view view;
    ck_ok(ink_program_decode(&key, file, size, &view));
    ck_assert_uint_eq(view.payload_size, 6);
    ck_assert_mem_eq(view.payload, "binary", 6);
    ck_ok(ink_program_decode(NULL, file, size, &view));
    ck_assert_mem_eq(view.hash.bytes, key.hash.bytes, INK_HASH_BYTES);
    free(file);
    ink_program_key_free(&key);
    ink_program_key_free(&key);
}
END_TEST

START_TEST(every_part_shapes_the_key)
{
    struct ink_program_key key = {0}, other = {0};
    ck_ok(ink_program_key_make(&parts, &key));
    for (int part = 0; part < 8; part++) {
        struct ink_program_parts changed = parts;
        changed.pointer_bytes -= part == 0 ? 4 : 0;
        const char **texts[] = {&changed.platform, &changed.platform_version, &changed.device, &changed.driver,
                                &changed.device_version, &changed.options, &changed.source};
        if (part)
            *texts[part - 1] = part == 7 ? "Kernel" : "";
        ck_ok(ink_program_key_make(&changed, &other));
        ck_assert_msg(memcmp(&key.hash, &other.hash, sizeof key.hash) != 0, "part %d does not count", part);
        ink_program_key_free(&other);
    }
    /* where one part ends and the next begins */
    struct ink_program_parts moved = parts;
    moved.platform = "PlatformOpenCL 1";
    moved.platform_version = "";
    ck_ok(ink_program_key_make(&moved, &other));
    ck_assert(memcmp(&key.hash, &other.hash, sizeof key.hash) != 0);
    ink_program_key_free(&other);
    ink_program_key_free(&key);
}
END_TEST

START_TEST(truncated_files_are_refused)
{
    unsigned char golden[GOLDEN];
    make_golden(golden);
    ck_ok(decode(NULL, golden, GOLDEN));
    for (size_t size = 0; size < GOLDEN; size++) {
        ck_fails(decode(NULL, golden, size), INK_ERROR_FORMAT, size < INK_PROGRAM_HEADER ? "too short" : "do not fit the lengths");
        if (size < 16)
            continue;
        unsigned char cut[GOLDEN];
        memcpy(cut, golden, GOLDEN);
        sign(cut, size); /* the lengths tell, not only the checksum */
        ck_assert_int_eq(decode(NULL, cut, size), INK_ERROR_FORMAT);
    }
}
END_TEST

START_TEST(every_changed_bit_is_found)
{
    unsigned char file[GOLDEN];
    make_golden(file);
    for (size_t bit = 0; bit < 8 * GOLDEN; bit++) {
        file[bit / 8] ^= (unsigned char)(1u << bit % 8);
        ck_assert_msg(decode(NULL, file, GOLDEN) == INK_ERROR_FORMAT, "bit %zu of byte %zu changes unseen", bit % 8, bit / 8);
        file[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    ck_ok(decode(NULL, file, GOLDEN));
}
END_TEST

START_TEST(signed_lies_are_refused)
{
    static const struct { size_t at; unsigned char value; const char *text; } lies[] = {
        {0, 'J', "not a compiled program"},
        {8, 2, "format 2, not 1"},
        {11, 1, "format 16777217, not 1"},
        {16, 0, "the hash of the key"},
        {32, 82, "do not fit the lengths"},
        {39, 0xff, "do not fit the lengths"}, /* a sum that would wrap around */
        {40, 7, "do not fit the lengths"},
        {47, 0xff, "do not fit the lengths"},
        {INK_PROGRAM_HEADER, '2', "the hash of the key"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        unsigned char file[GOLDEN];
        make_golden(file);
        file[lies[i].at] = lies[i].value;
        sign(file, GOLDEN);
        ck_fails(decode(NULL, file, GOLDEN), INK_ERROR_FORMAT, lies[i].text);
    }
    unsigned char longer[GOLDEN + 1];
    make_golden(longer);
    longer[GOLDEN] = 0;
    sign(longer, GOLDEN + 1);
    ck_fails(decode(NULL, longer, GOLDEN + 1), INK_ERROR_FORMAT, "do not fit the lengths");
    struct ink_program_key key = {0}; /* the hash may be the same: the key has to be */
    struct ink_program_parts newer = parts;
    newer.driver = "2.1";
    make_golden(longer);
    ck_ok(ink_program_key_make(&newer, &key));
    ck_fails(decode(&key, longer, GOLDEN), INK_ERROR_FORMAT, "another program");
    ink_program_key_free(&key);
}
END_TEST

START_TEST(programs_without_a_binary_are_refused)
{
    struct ink_program_key key = {0};
    unsigned char *file = NULL;
    size_t size;
    ck_ok(ink_program_key_make(&parts, &key));
    ck_ok(ink_program_encode(&key, "", 0, &file, &size));
    ck_fails(decode(&key, file, size), INK_ERROR_FORMAT, "do not fit the lengths");
    free(file);
    ink_program_key_free(&key);
}
END_TEST

START_TEST(names_fit_or_not)
{
    ck_assert(ink_program_name_fits(golden_name));
    static const char *const others[] = {
        "", ".program", "f8816ae52bf104f3169833905cc5705.program", "f8816ae52bf104f3169833905cc5705b0.program",
        "F8816ae52bf104f3169833905cc5705b.program", "f8816ae52bf104f3169833905cc5705b", "f8816ae52bf104f3169833905cc5705b.program1", "f8816ae52bf104f3169833905cc5705b.programs",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        ck_assert_msg(!ink_program_name_fits(others[i]), "%s", others[i]);
}
END_TEST

int main(void)
RUN_SUITE("program_file", bytes_are_as_spelled_out, every_part_shapes_the_key, truncated_files_are_refused, every_changed_bit_is_found,
          signed_lies_are_refused, programs_without_a_binary_are_refused, names_fit_or_not)
