#include <string.h>

#include "suite.h"
#include "util/status.h"

START_TEST(message_is_kept_and_prefixed)
{
    ck_assert_int_eq(ink_fail(INK_ERROR_FILE, "no file %d", 7), INK_ERROR_FILE);
    ck_assert_str_eq(ink_last_error(), "no file 7");
    ck_assert_int_eq(ink_fail_in(INK_ERROR_FORMAT, "reading %s", "x"), INK_ERROR_FORMAT);
    ck_assert_str_eq(ink_last_error(), "reading x: no file 7");
}
END_TEST

START_TEST(message_may_quote_itself)
{
    ink_fail(INK_ERROR_FILE, "inner");
    ink_fail(INK_ERROR_FILE, "outer: %s", ink_last_error());
    ck_assert_str_eq(ink_last_error(), "outer: inner");
}
END_TEST

START_TEST(every_status_has_a_text)
{
    for (int status = INK_OK; status <= INK_ERROR_DIVERGED; status++)
        ck_assert_str_ne(ink_status_text((ink_status)status), "unknown status");
    ck_assert_str_eq(ink_status_text((ink_status)99), "unknown status");
}
END_TEST

static void keep(ink_log_level level, const char *text, void *user)
{
    ck_assert_int_eq(level, INK_LOG_WARNING);
    strcpy(user, text);
}

START_TEST(log_goes_to_the_callback)
{
    char line[64] = "";
    ink_log(INK_LOG_WARNING, "dropped");
    ink_set_log(keep, line);
    ink_log(INK_LOG_WARNING, "device %s", "a");
    ck_assert_str_eq(line, "device a");
    ink_set_log(NULL, NULL);
    ink_log(INK_LOG_WARNING, "dropped");
    ck_assert_str_eq(line, "device a");
}
END_TEST

int main(void)
RUN_SUITE("status", message_is_kept_and_prefixed, message_may_quote_itself, every_status_has_a_text,
          log_goes_to_the_callback)
