/* Start of every Check suite: the cases of a file are listed once, and RUN_SUITE() makes the main(). */
#ifndef INK_TESTS_SUITE_H
#define INK_TESTS_SUITE_H

#include <check.h>
#include <stdlib.h>

#include "inkling/inkling.h"

/* Runs a suite of one case, to which main() has added its tests, and gives the program's exit status. */
static inline int run_case(Suite *suite, TCase *tcase)
{
    tcase_set_timeout(tcase, 300);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* int main(void) RUN_SUITE("rng", test_a, test_b): one case with all tests, each in a forked child. Looped tests are
 * added by Check's own calls, and run by run_case(). */
#define RUN_SUITE(title, ...)                                                                                    \
    {                                                                                                            \
        Suite *suite_ = suite_create(title);                                                                     \
        TCase *case_ = tcase_create(title);                                                                      \
        const TTest *const *tests_ = (const TTest *const[]){__VA_ARGS__, NULL};                                  \
        for (; *tests_; tests_++)                                                                                \
            tcase_add_test(case_, *tests_);                                                                      \
        return run_case(suite_, case_);                                                                          \
    }

/* Fails with the library's own message when a call does not succeed. */
#define ck_ok(call) do { ink_status ck_status_ = (call); \
    ck_assert_msg(ck_status_ == INK_OK, "%s: %s: %s", #call, ink_status_text(ck_status_), ink_last_error()); } while (0)

/* Fails unless a call gives this status and its message contains this text. */
#define ck_fails(call, status, text) do { ink_status ck_status_ = (call); \
    ck_assert_msg(ck_status_ == (status), "%s gave %s, not %s", #call, ink_status_text(ck_status_), ink_status_text(status)); \
    ck_assert_msg(strstr(ink_last_error(), (text)) != NULL, "%s: the message \"%s\" lacks \"%s\"", #call, ink_last_error(), (text)); } while (0)

#endif
