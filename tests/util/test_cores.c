/* Cores to use: quotas as control groups write them. */
#include <limits.h>
#include <unistd.h>

#include "suite.h"
#include "util/cores.h"

START_TEST(quotas_are_whole_cores)
{
    static const struct { const char *text; unsigned cores; } quotas[] = {
        {"200000 100000\n", 2}, {"100000 100000", 1}, {"150000 100000", 1}, {"50000 100000", 1}, {"6400000 100000\n", 64},
        {"max 100000\n", UINT_MAX}, {"-1\n 100000\n", UINT_MAX}, {"100000", UINT_MAX}, {"1 0", UINT_MAX}, {"", UINT_MAX},
    };
    for (size_t i = 0; i < sizeof quotas / sizeof *quotas; i++)
        ck_assert_uint_eq(ink_cores_of_quota(quotas[i].text), quotas[i].cores);
}
END_TEST

START_TEST(some_are_allowed)
{
    ck_assert_uint_ge(ink_cores_allowed(), 1);
    ck_assert_uint_le(ink_cores_allowed(), (unsigned)sysconf(_SC_NPROCESSORS_CONF));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cores");
    TCase *tcase = tcase_create("cores");
    tcase_add_test(tcase, quotas_are_whole_cores);
    tcase_add_test(tcase, some_are_allowed);
    return run_case(suite, tcase);
}
