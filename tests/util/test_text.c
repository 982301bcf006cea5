/* The growing text: what is written is there, and a failure stays. */
#include <string.h>

#include "suite.h"
#include "util/text.h"

START_TEST(pieces_follow_each_other)
{
    struct ink_text text = {0};
    char *bytes;
    size_t size;
    for (int i = 0; i < 1000; i++)
        ink_text_add(&text, "%03d,", i);
    ink_text_bytes(&text, "\0x", 2);
    ck_ok(ink_text_take(&text, &bytes, &size));
    ck_assert_uint_eq(size, 4002);
    ck_assert_int_eq(memcmp(bytes, "000,001,002,", 12), 0);
    ck_assert_int_eq(memcmp(bytes + 3996, "999,\0x", 7), 0);
    ck_assert_ptr_null(text.bytes);
    free(bytes);
}
END_TEST

START_TEST(nothing_written_is_an_empty_text)
{
    struct ink_text text = {0};
    char *bytes;
    ck_ok(ink_text_take(&text, &bytes, NULL));
    ck_assert_str_eq(bytes, "");
    free(bytes);
}
END_TEST

START_TEST(failure_stays)
{
    struct ink_text text = {0};
    char *bytes = NULL, longer[5000];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    ink_text_add(&text, "good");
    ink_text_add(&text, "%s", longer);
    ink_text_add(&text, "lost");
    ck_fails(ink_text_take(&text, &bytes, NULL), INK_ERROR_UNSUPPORTED, "longer than 4095");
    ck_assert_ptr_null(bytes);
}
END_TEST

int main(void)
RUN_SUITE("text", pieces_follow_each_other, nothing_written_is_an_empty_text, failure_stays)
