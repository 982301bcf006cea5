/* The safetensors container: golden bytes spelled out, written and read, then broken on purpose in every field. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "model/safetensors.h"
#include "scratch.h"
#include "suite.h"

/* Two tensors, [2][3] and a single value, and two texts. */
#define GOLDEN_HEADER                                                                                 \
    "{\"__metadata__\":{\"format\":\"x\",\"a \\\"b\\\"\":\"1\\n\\\\\"},"                              \
    "\"conv.weights\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"                   \
    "\"s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[24,28]}}"
static const unsigned char golden_data[] = {
    0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 0, 0, 0, 0,           /* 1, -2, 0 */
    0, 0, 0, 0x3f, 0, 0, 0x80, 0x7f, 0xdb, 0x0f, 0x49, 0x40, /* 0.5, infinity, pi */
    0xcd, 0xcc, 0xcc, 0x3d,                                  /* 0.1 */
};
static const float golden_values[] = {1, -2, 0, 0.5f, INFINITY, 3.14159265f, 0.1f};
static const struct ink_safetensors_text golden_texts[] = {{"format", "x"}, {"a \"b\"", "1\n\\"}};

/* Puts a header, padded to padding bytes or as it is if that is 0, and data together; returns the size. */
static size_t build(unsigned char *file, const char *header, size_t padding, const void *data, size_t size)
{
    size_t length = strlen(header);
    memcpy(file + 8, header, length);
    for (; length % (padding ? padding : 1); length++)
        file[8 + length] = ' ';
    for (int i = 0; i < 8; i++)
        file[i] = (unsigned char)((uint64_t)length >> (8 * i));
    memcpy(file + 8 + length, data, size);
    return 8 + length + size;
}

static size_t build_golden(unsigned char *file)
{
    return build(file, GOLDEN_HEADER, 8, golden_data, sizeof golden_data);
}

/* Parses a copy of exactly this size, so that a sanitiser sees a read beyond the end. */
static ink_status parse(const unsigned char *bytes, size_t size, struct ink_safetensors **file)
{
    unsigned char *copy = malloc(size ? size : 1);
    memcpy(copy, bytes, size);
    struct ink_safetensors *read = NULL;
    ink_status status = ink_safetensors_parse("some.safetensors", copy, size, &read);
    if (status) {
        ck_assert_ptr_null(read);
        ck_assert_msg(strncmp(ink_last_error(), "some.safetensors: ", 18) == 0, "%s", ink_last_error());
        free(copy);
        return status;
    }
    read->content = copy; /* freed with it */
    *file = read;
    return INK_OK;
}

START_TEST(written_bytes_are_golden)
{
    unsigned char expected[512], *bytes = NULL;
    size_t size = build_golden(expected), got = 0;
    const struct ink_safetensors_entry tensors[] = {{"conv.weights", 2, {2, 3}, golden_values},
                                                    {"s", 0, {0}, golden_values + 6}};
    ck_ok(ink_safetensors_write(tensors, 2, golden_texts, 2, &bytes, &got));
    ck_assert_uint_eq(got, size);
    ck_assert(memcmp(bytes, expected, size) == 0);
    ck_assert_uint_eq((size - sizeof golden_data) % 8, 0);
    free(bytes);

    /* nothing at all is a file too */
    ck_ok(ink_safetensors_write(NULL, 0, NULL, 0, &bytes, &got));
    ck_assert_uint_eq(got, 16);
    ck_assert(memcmp(bytes, "\10\0\0\0\0\0\0\0{}      ", 16) == 0);
    struct ink_safetensors *file;
    ck_ok(parse(bytes, got, &file));
    ck_assert(file->tensor_count == 0 && file->text_count == 0);
    ink_safetensors_destroy(&file);
    free(bytes);
}
END_TEST

START_TEST(golden_bytes_are_read)
{
    unsigned char bytes[512];
    size_t size = build_golden(bytes);
    struct ink_safetensors *file = NULL;
    scratch_write(scratch_path("golden"), bytes, size);
    ck_ok(ink_safetensors_read(scratch_path("golden"), &file));
    ck_assert_uint_eq(file->tensor_count, 2);
    ck_assert_str_eq(file->tensors[0].name, "conv.weights");
    ck_assert_str_eq(file->tensors[1].name, "s");
    ck_assert_uint_eq(file->text_count, 2);
    for (int i = 0; i < 2; i++) {
        ck_assert_str_eq(file->texts[i].key, golden_texts[i].key);
        ck_assert_str_eq(ink_safetensors_find_text(file, golden_texts[i].key), golden_texts[i].value);
    }
    const struct ink_safetensors_tensor *weights = ink_safetensors_find(file, "conv.weights");
    const struct ink_safetensors_tensor *scalar = ink_safetensors_find(file, "s");
    ck_assert(weights == &file->tensors[0] && scalar == &file->tensors[1]);
    ck_assert(weights->rank == 2 && weights->dims[0] == 2 && weights->dims[1] == 3 && weights->count == 6);
    ck_assert(scalar->rank == 0 && scalar->count == 1);
    float values[7];
    ck_ok(ink_safetensors_floats(file, weights, values));
    ck_ok(ink_safetensors_floats(file, scalar, values + 6));
    ck_assert(memcmp(values, golden_values, sizeof values) == 0);
    ck_assert_ptr_null(ink_safetensors_find(file, "conv"));
    ck_assert_ptr_null(ink_safetensors_find_text(file, "s"));
    ink_safetensors_destroy(&file);
    ck_assert_ptr_null(file);
    ink_safetensors_destroy(&file);
    ck_fails(ink_safetensors_read(scratch_path("none"), &file), INK_ERROR_FILE, "none");
}
END_TEST

START_TEST(unusual_names_go_round)
{
    char control[32] = "";
    for (int i = 1; i < 32; i++)
        control[i - 1] = (char)i;
    const struct ink_safetensors_entry tensors[] = {
        {control, 1, {1}, golden_values}, {"\"\\/:{}[],", 1, {0}, NULL},
        {"\xc3\xa9\xe4\xb8\xad\xf0\x9f\x96\x8b", 1, {1}, golden_values},
        {" ", 8, {1, 1, 1, 1, 1, 1, 1, 2}, golden_values},
    };
    const struct ink_safetensors_text texts[] = {{"", ""}, {"\\u0000", ": \"x\": "}};
    unsigned char *bytes;
    size_t size;
    ck_ok(ink_safetensors_write(tensors, 4, texts, 2, &bytes, &size));
    struct ink_safetensors *file;
    ck_ok(parse(bytes, size, &file));
    for (int i = 0; i < 4; i++) {
        ck_assert_str_eq(file->tensors[i].name, tensors[i].name);
        ck_assert_int_eq(file->tensors[i].rank, tensors[i].rank);
        ck_assert_uint_eq(file->tensors[i].size, i == 1 ? 0 : i == 3 ? 8 : 4);
    }
    ck_assert_str_eq(ink_safetensors_find_text(file, ""), "");
    ck_assert_str_eq(ink_safetensors_find_text(file, "\\u0000"), ": \"x\": ");
    ink_safetensors_destroy(&file);
    free(bytes);
}
END_TEST

START_TEST(wrong_tensors_are_not_written)
{
    static const struct {
        struct ink_safetensors_entry tensor;
        const char *text;
    } cases[] = {
        {{NULL, 1, {1}, golden_values}, "tensor 1 has the name \"\""},
        {{"", 1, {1}, golden_values}, "tensor 1 has the name \"\""},
        {{"__metadata__", 1, {1}, golden_values}, "__metadata__"},
        {{"s", 1, {1}, golden_values}, "two tensors are named \"s\""},
        {{"x", 9, {1}, golden_values}, "\"x\" has 9 dimensions"},
        {{"x", -1, {1}, golden_values}, "\"x\" has -1 dimensions"},
        {{"x", 1, {1}, NULL}, "\"x\" has no data"},
        {{"x", 2, {SIZE_MAX / 2, 3}, golden_values}, "\"x\" is larger than memory"},
        {{"x", 1, {SIZE_MAX / 4}, golden_values}, "\"x\" is larger than memory"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char *bytes = NULL;
        size_t size = 77;
        const struct ink_safetensors_entry tensors[] = {{"s", 0, {0}, golden_values}, cases[i].tensor};
        ck_fails(ink_safetensors_write(tensors, 2, NULL, 0, &bytes, &size), INK_ERROR_ARGUMENT, cases[i].text);
        ck_assert(!bytes && size == 77);
    }
    unsigned char *bytes = NULL;
    size_t size;
    const struct ink_safetensors_text twice[] = {{"a", "1"}, {"a", "2"}}, none[] = {{"a", NULL}};
    ck_fails(ink_safetensors_write(NULL, 0, twice, 2, &bytes, &size), INK_ERROR_ARGUMENT,
             "two texts have the key \"a\"");
    ck_fails(ink_safetensors_write(NULL, 0, none, 1, &bytes, &size), INK_ERROR_ARGUMENT, "text 0 has no value");
}
END_TEST

START_TEST(broken_headers_are_refused)
{
#define T(fields) "{\"t\":{" fields "}}"
#define D "\"dtype\":\"F32\","
#define S "\"shape\":[2],"
#define O "\"data_offsets\":[0,8]"
    static const struct {
        const char *header, *text; /* over 8 bytes of data; a NULL text: accepted */
    } cases[] = {
        {T(D S O), NULL},
        {T(D S O) "   \n\t ", NULL},
        {T(D S O) " x", "after the header's JSON"},
        {T(D S O) "{}", "after the header's JSON"},
        {" " T(D S O), "byte 8: expected '{'"},
        {"", "byte 8: expected '{'"},
        {"[]", "byte 8: expected '{'"},
        {"{", "ends in the middle"},
        {"{'t':{" D S O "}}", "is not JSON"},
        {"{\"t\":{" D S O ",}}", "is not JSON"},
        {"{/**/\"t\":{" D S O "}}", "is not JSON"},
        {"{\"t\xff\":{" D S O "}}", "is not JSON"},
        {"{\"t\":[[[[[[[[[[[[1]]]]]]]]]]]]}", "is not JSON"},
        {"{\"t\":{" D S O "},\"t\":{" D S O "}}", "stands twice"},
        {T(D D S O), "stands twice"},
        {"{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"},\"t\":{" D S O "}}", "stands twice"},
        {"{\"__metadata__\":{},\"__metadata__\":{},\"t\":{" D S O "}}", "stands twice"},
        {"{\"__metadata__\":{\"a\":1},\"t\":{" D S O "}}", "__metadata__ \"a\" is not a text"},
        {"{\"__metadata__\":{\"a\":null},\"t\":{" D S O "}}", "__metadata__ \"a\" is not a text"},
        {"{\"__metadata__\":[],\"t\":{" D S O "}}", "__metadata__ is not an object"},
        {"{\"__metadata__\":null,\"t\":{" D S O "}}", "__metadata__ is not an object"},
        {"{\"t\\u0000x\":{" D S O "}}", "\\u0000"},
        {"{\"__metadata__\":{\"\\\\\":\"\\u0000\"},\"t\":{" D S O "}}", "\\u0000"},
        {"{\"t\":1}", "tensor \"t\" is not an object"},
        {"{\"t\":null}", "tensor \"t\" is not an object"},
        {T(D S O ",\"more\":1"), "unknown field \"more\""},
        {T(S O), "dtype is missing"},
        {T("\"dtype\":\"F33\"," S O), "dtype is \"F33\""},
        {T("\"dtype\":\"f32\"," S O), "dtype is \"f32\""},
        {T("\"dtype\":32," S O), "dtype is 32"},
        {T("\"dtype\":null," S O), "dtype is missing"},
        {T("\"dtype\":\"F64\"," S O), "gives it 8 bytes, expected 16 for F64"},
        {T(D O), "shape is missing"},
        {T(D "\"shape\":2," O), "shape is 2, expected a list"},
        {T(D "\"shape\":[1]," O), "gives it 8 bytes, expected 4"},
        {T(D "\"shape\":[3]," O), "gives it 8 bytes, expected 12"},
        {T(D "\"shape\":[0]," O), "expected 0"},
        {T(D "\"shape\":[-2]," O), "dimension 1 of shape"},
        {T(D "\"shape\":[1,2.0]," O), "dimension 2 of shape"},
        {T(D "\"shape\":[\"2\"]," O), "dimension 1 of shape"},
        {T(D "\"shape\":[null]," O), "dimension 1 of shape"},
        {T(D "\"shape\":[18446744073709551616]," O), "dimension 1 of shape"},
        {T(D "\"shape\":[9223372036854775807]," O), "dimension 1 of shape"},
        {T(D "\"shape\":[4611686018427387906,4]," O), "is larger than memory"},
        {T(D "\"shape\":[2147483648,2147483648,2]," O), "is larger than memory"},
        {T(D "\"shape\":[0,4611686018427387904]," O), "gives it 8 bytes, expected 0"},
        {T(D "\"shape\":[1,1,1,1,1,1,1,1,2]," O), "shape has 9 dimensions"},
        {T(D "\"shape\":[1,1,1,1,1,1,1,2]," O), NULL},
        {T(D "\"shape\":[2]"), "data_offsets is missing"},
        {T(D S "\"data_offsets\":[0]"), "expected two sizes"},
        {T(D S "\"data_offsets\":[0,8,8]"), "expected two sizes"},
        {T(D S "\"data_offsets\":[0,\"8\"]"), "expected two sizes"},
        {T(D S "\"data_offsets\":[0,8.0]"), "expected two sizes"},
        {T(D S "\"data_offsets\":[-8,0]"), "expected two sizes"},
        {T(D S "\"data_offsets\":{}"), "expected two sizes"},
        {T(D S "\"data_offsets\":[8,0]"), "data_offsets is [8, 0], expected a range"},
        {T(D S "\"data_offsets\":[1,9]"), "expected a range within the 8 bytes"},
        {T(D S "\"data_offsets\":[8,16]"), "expected a range within the 8 bytes"},
        {T(D S "\"data_offsets\":[0,9223372036854775806]"), "expected a range within the 8 bytes"},
        {T(D "\"shape\":[1],\"data_offsets\":[0,4]"), "but the tensors end at 4"},
        {T(D "\"shape\":[1],\"data_offsets\":[4,8]"), "begins at byte 4 of the data, expected 0"},
        {"{\"__metadata__\":{}}", "but the tensors end at 0"},
        {"{\"t\":{" D S O "},\"u\":{" D S O "}}", "begins at byte 0 of the data, expected 8, where ends t"},
        {"{\"t\":{" D S O "},\"u\":{" D "\"shape\":[1],\"data_offsets\":[4,8]}}", "tensor \"u\" begins at byte 4"},
        {"{\"u\":{" D "\"shape\":[1],\"data_offsets\":[4,8]},\"t\":{" D "\"shape\":[1],\"data_offsets\":[0,4]}}", NULL},
        {"{\"t\":{" D S O "},\"u\":{" D "\"shape\":[0],\"data_offsets\":[8,8]},\"v\":{" D
             "\"shape\":[0],\"data_offsets\":[0,0]}}", NULL},
        {"{\"t\":{" D S O "},\"u\":{" D "\"shape\":[0],\"data_offsets\":[4,4]}}", "tensor \"u\" begins at byte 4"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned char bytes[512];
        struct ink_safetensors *file = NULL;
        size_t size = build(bytes, cases[i].header, 0, golden_data, 8);
        if (cases[i].text) {
            ck_fails(parse(bytes, size, &file), INK_ERROR_FORMAT, cases[i].text);
            continue;
        }
        ck_ok(parse(bytes, size, &file));
        ink_safetensors_destroy(&file);
    }
}
END_TEST

START_TEST(lengths_are_checked)
{
    unsigned char bytes[512];
    struct ink_safetensors *file = NULL;
    size_t size = build_golden(bytes), header = size - sizeof golden_data;
    for (size_t cut = 0; cut < size; cut++)
        ck_fails(parse(bytes, cut, &file), INK_ERROR_FORMAT,
                 cut < 8 ? "in the eight bytes" : cut < header ? "the file is cut off" : "expected a range");
    bytes[size] = 0;
    ck_fails(parse(bytes, size + 1, &file), INK_ERROR_FORMAT, "but the tensors end at 28");
    for (int i = 0; i < 8; i++) /* each byte of the header's length, each bit */
        for (int bit = 0; bit < 8; bit++) {
            bytes[i] ^= (unsigned char)(1 << bit);
            ck_fails(parse(bytes, size, &file), INK_ERROR_FORMAT, "");
            bytes[i] ^= (unsigned char)(1 << bit);
        }
    bytes[4] = 1;
    ck_fails(parse(bytes, size, &file), INK_ERROR_FORMAT, "expected at most 100000000");
}
END_TEST

/* Every byte of the header changed to every other: no crash, and what is accepted is whole. */
START_TEST(any_header_byte_may_change)
{
    unsigned char bytes[512];
    size_t size = build_golden(bytes);
    int accepted = 0;
    for (size_t at = 8; at < size - sizeof golden_data; at++)
        for (int value = 0; value < 256; value++) {
            unsigned char kept = bytes[at];
            bytes[at] = (unsigned char)value;
            struct ink_safetensors *file = NULL;
            if (parse(bytes, size, &file) == INK_OK) {
                float values[7];
                for (size_t i = 0; i < file->tensor_count; i++)
                    if (strcmp(file->tensors[i].dtype, "F32") == 0)
                        ck_ok(ink_safetensors_floats(file, &file->tensors[i], values));
                ink_safetensors_destroy(&file);
                accepted++;
            } else
                ck_assert_str_ne(ink_last_error(), "");
            bytes[at] = kept;
        }
    ck_assert_int_gt(accepted, 1000); /* names and texts may be anything, each byte may be itself */
}
END_TEST

START_TEST(other_types_become_floats)
{
    static const unsigned char half[] = {0, 0, 0, 0x80, 1, 0, 0xff, 0x83, 0, 4, 0, 0x3c, 0xff, 0x7b, 0, 0x7c, 0, 0xfc,
                                         0x55, 0x35};
    static const float of_half[] = {0, -0.0f, 0x1p-24f, -0x3ffp-24f, 0x1p-14f, 1, 65504, INFINITY, -INFINITY,
                                    0x1.554p-2f};
    static const unsigned char brain[] = {0x80, 0x3f, 0x49, 0xc0, 0x80, 0xff};
    static const float of_brain[] = {1, -3.140625f, -INFINITY};
    static const unsigned char twice[] = {0x18, 0x2d, 0x44, 0x54, 0xfb, 0x21, 0x09, 0x40, 0, 0, 0, 0, 0, 0, 0xf0, 0xbf};
    static const float of_twice[] = {3.14159265f, -1};
    static const struct {
        const char *dtype;
        const unsigned char *data;
        size_t size, count;
        const float *values;
    } cases[] = {
        {"F16", half, sizeof half, 10, of_half}, {"BF16", brain, sizeof brain, 3, of_brain},
        {"F64", twice, sizeof twice, 2, of_twice},
        {"U8", half, 5, 5, NULL}, {"I64", twice, 16, 2, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char header[128];
        unsigned char bytes[256];
        float values[10] = {0};
        snprintf(header, sizeof header, "{\"t\":{\"dtype\":\"%s\",\"shape\":[%zu],\"data_offsets\":[0,%zu]}}",
                 cases[i].dtype, cases[i].count, cases[i].size);
        struct ink_safetensors *file;
        ck_ok(parse(bytes, build(bytes, header, 0, cases[i].data, cases[i].size), &file));
        if (cases[i].values) {
            ck_ok(ink_safetensors_floats(file, file->tensors, values));
            ck_assert(memcmp(values, cases[i].values, cases[i].count * sizeof(float)) == 0);
        } else
            ck_fails(ink_safetensors_floats(file, file->tensors, values), INK_ERROR_UNSUPPORTED,
                     "tensor \"t\" is of type");
        ink_safetensors_destroy(&file);
    }
}
END_TEST

int main(void)
RUN_SUITE("safetensors", written_bytes_are_golden, golden_bytes_are_read, unusual_names_go_round,
          wrong_tensors_are_not_written, broken_headers_are_refused, lengths_are_checked, any_header_byte_may_change,
          other_types_become_floats)
