/* Whether cores are shared: what is made of times. */
#include "suite.h"
#include "util/crowd.h"

/* The last of so many judgements a millisecond apart, while threads get a share of their cores. */
static bool go_on(struct ink_crowd *crowd, unsigned threads, double share, int milliseconds, double *now, double *processor)
{
    bool crowded = false;
    for (int i = 0; i < milliseconds; i++) {
        *now += 0.001;
        *processor += 0.001 * threads * share;
        crowded = ink_crowd_judge(crowd, threads, *now, *processor);
    }
    return crowded;
}

START_TEST(others_are_noticed)
{
    static const struct { unsigned threads; double share; bool crowded; } cases[] = {
        {2, 1, false}, {2, 0.9, false}, {2, 0.67, true}, {2, 0.5, true}, {8, 0.98, false}, {8, 0.93, true}, {64, 0.98, false}, {64, 0.95, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct ink_crowd crowd = {0};
        double now = 1000, processor = 7;
        ck_assert(!go_on(&crowd, cases[i].threads, cases[i].share, 10, &now, &processor));
        ck_assert_int_eq(go_on(&crowd, cases[i].threads, cases[i].share, 100, &now, &processor), cases[i].crowded);
    }
}
END_TEST

START_TEST(it_is_tried_again)
{
    struct ink_crowd crowd = {0};
    double now = 5, processor = 0;
    ck_assert(go_on(&crowd, 2, 0.5, 200, &now, &processor));
    ck_assert(go_on(&crowd, 2, 0.5, 1800, &now, &processor)); /* whatever they get meanwhile */
    ck_assert(!go_on(&crowd, 2, 1, 200, &now, &processor));
    ck_assert(!go_on(&crowd, 2, 1, 2000, &now, &processor));
    ck_assert(go_on(&crowd, 2, 0.5, 200, &now, &processor));
}
END_TEST

START_TEST(pauses_are_no_lack)
{
    struct ink_crowd crowd = {0};
    double now = 5, processor = 0;
    ck_assert(!go_on(&crowd, 2, 1, 200, &now, &processor));
    now += 10;
    ck_assert(!go_on(&crowd, 2, 1, 200, &now, &processor));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crowd");
    TCase *tcase = tcase_create("crowd");
    tcase_add_test(tcase, others_are_noticed);
    tcase_add_test(tcase, it_is_tried_again);
    tcase_add_test(tcase, pauses_are_no_lack);
    return run_case(suite, tcase);
}
