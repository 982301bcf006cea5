/* Random numbers: the known answers of Philox, and that what is drawn has the distribution it should. Every draw is
 * fixed by its seed, so a test that passes once passes always; the bounds are those a fair source would stay in. */
#include <math.h>
#include <string.h>

#include "suite.h"
#include "util/rng.h"

/* Philox4x32-10 of the known-answer file of Random123, the authors' own library. */
START_TEST(philox_gives_the_known_answers)
{
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } known[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        uint32_t out[4];
        ink_philox(known[i].counter, known[i].key, out);
        ck_assert(memcmp(out, known[i].out, sizeof out) == 0);
    }
    uint32_t out[4];
    ink_random_words(0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88, out);
    ck_assert(memcmp(out, known[2].out, sizeof out) == 0);
}
END_TEST

START_TEST(uniform_words_span_zero_to_below_one)
{
    ck_assert(ink_uniform(0) == 0.0f);
    ck_assert(ink_uniform(0xff) == 0.0f);
    ck_assert(ink_uniform(0x80000000) == 0.5f);
    ck_assert(ink_uniform(0xffffffff) == 1.0f - 0x1p-24f);
}
END_TEST

enum { DRAWS = 1000000 };
static float values[DRAWS];

/* Mean of values to a power of 1 to 4. */
static double moment(int power)
{
    double sum = 0;
    for (int i = 0; i < DRAWS; i++) {
        double square = (double)values[i] * values[i];
        sum += power == 1 ? values[i] : power == 2 ? square : power == 3 ? square * values[i] : square * square;
    }
    return sum / DRAWS;
}

/* The k-th moment of n draws strays from the true one by about sqrt((m_2k - m_k^2) / n); 4 times that is left by one
 * fair seed in 16000. */
static void check_moment(int power, double expected, double twice)
{
    double bound = 4 * sqrt((twice - expected * expected) / DRAWS), got = moment(power);
    ck_assert_msg(fabs(got - expected) < bound, "moment %d is %g, not %g +- %g", power, got, expected, bound);
}

START_TEST(uniform_has_its_moments)
{
    for (uint64_t seed = 0; seed < 3; seed++) {
        ink_random_uniform(seed, INK_STREAM(INK_STREAM_WEIGHTS, 7), -1, 1, values, DRAWS);
        int outside = 0;
        for (int i = 0; i < DRAWS; i++)
            outside += !(values[i] >= -1 && values[i] < 1);
        ck_assert_int_eq(outside, 0);
        for (int power = 1; power <= 4; power++)
            check_moment(power, power % 2 ? 0 : 1.0 / (power + 1), 1.0 / (2 * power + 1));
    }
}
END_TEST

START_TEST(uniform_stays_below_its_end)
{
    /* where floats are sparse the largest values would round up to the end: over a range of one step, half of them */
    ink_random_uniform(1, 0, 1.0f, nextafterf(1.0f, 2.0f), values, 1000);
    for (int i = 0; i < 1000; i++)
        ck_assert(values[i] == 1.0f);
    ink_random_uniform(1, 0, -3.0f, -3.0f + 0x1p-20f, values, 1000);
    for (int i = 0; i < 1000; i++)
        ck_assert(values[i] >= -3.0f && values[i] < -3.0f + 0x1p-20f);
}
END_TEST

START_TEST(normal_has_its_moments)
{
    /* moments of the standard normal distribution: 1, 3, 15, 105, ... for even powers */
    static const double even[] = {1, 1, 3, 15, 105};
    for (uint64_t seed = 0; seed < 3; seed++) {
        ink_random_normal(seed, INK_STREAM(INK_STREAM_WEIGHTS, 7), 1, values, DRAWS);
        for (int power = 1; power <= 4; power++)
            check_moment(power, power % 2 ? 0 : even[power / 2], even[power]);
        int tail = 0, infinite = 0;
        double pairs = 0;
        for (int i = 0; i < DRAWS; i++) {
            infinite += !isfinite(values[i]);
            tail += fabsf(values[i]) > 3;
            pairs += i % 2 ? (double)values[i] * values[i - 1] : 0;
        }
        ck_assert_int_eq(infinite, 0);
        /* 0.26998 % lie beyond 3; the count's own deviation is 52 */
        ck_assert_int_lt(abs(tail - 2700), 4 * 52);
        /* the two values of a pair are independent: the mean of 500000 products strays by 1 / sqrt(500000) */
        ck_assert(fabs(pairs / (DRAWS / 2)) < 4 / sqrt(DRAWS / 2));
    }
    ink_random_normal(5, 0, 1, values, 1000);
    float *half = values + 1000;
    ink_random_normal(5, 0, 0.5f, half, 1000);
    for (int i = 0; i < 1000; i++)
        ck_assert(half[i] == values[i] / 2);
}
END_TEST

START_TEST(a_number_is_named_by_seed_stream_and_index)
{
    float *other = values + 1000;
    for (int kind = 0; kind < 2; kind++) {
        for (int change = 0; change < 4; change++) {
            uint64_t seed = change == 1 ? 0x100000001 : 1, stream = change == 2 ? 9 : change == 3 ? 0x800000008 : 8;
            if (kind == 0)
                ink_random_uniform(1, 8, 0, 1, values, 1000), ink_random_uniform(seed, stream, 0, 1, other, 997);
            else
                ink_random_normal(1, 8, 1, values, 1000), ink_random_normal(seed, stream, 1, other, 997);
            int same = 0;
            for (int i = 0; i < 997; i++)
                same += values[i] == other[i];
            /* another seed or stream: two 24-bit values agree once in 17 million */
            ck_assert_int_eq(same, change == 0 ? 997 : 0);
        }
    }
}
END_TEST

START_TEST(order_is_a_permutation)
{
    static uint32_t order[60000], other[60000];
    static const size_t counts[] = {0, 1, 2, 3, 127, 128, 60000};
    for (size_t k = 0; k < sizeof counts / sizeof *counts; k++) {
        static unsigned char seen[60000];
        memset(seen, 0, sizeof seen);
        ink_random_order(3, INK_STREAM(INK_STREAM_ORDER, k), order, counts[k]);
        size_t wrong = 0;
        for (size_t i = 0; i < counts[k]; i++)
            wrong += order[i] >= counts[k] || seen[order[i]]++ > 0;
        ck_assert_uint_eq(wrong, 0);
    }
    for (int change = 0; change < 3; change++) {
        int same = 0;
        ink_random_order(change == 1 ? 4 : 3, INK_STREAM(INK_STREAM_ORDER, change == 2 ? 7 : 6), other, 60000);
        for (int i = 0; i < 60000; i++)
            same += order[i] == other[i];
        /* two fair orders agree in 1 place on average, in more than 12 once in a billion */
        ck_assert(change == 0 ? same == 60000 : same <= 12);
    }
}
END_TEST

/* Every one of the 24 orders of 4 things as often as any other: over 24000 seeds the sum of (seen - 1000)^2 / 1000 is
 * chi-square of 23 degrees, above 57.6 once in 10000. */
START_TEST(small_orders_are_unbiased)
{
    int seen[256] = {0};
    for (uint64_t seed = 0; seed < 24000; seed++) {
        uint32_t order[4];
        ink_random_order(seed, INK_STREAM(INK_STREAM_ORDER, 1), order, 4);
        seen[order[0] | order[1] << 2 | order[2] << 4 | order[3] << 6]++;
    }
    int orders = 0;
    double chi = 0;
    for (int i = 0; i < 256; i++) {
        orders += seen[i] > 0;
        chi += seen[i] ? (seen[i] - 1000.0) * (seen[i] - 1000.0) / 1000 : 0;
    }
    ck_assert_int_eq(orders, 24);
    ck_assert_msg(chi < 57.6, "chi-square is %g", chi);
}
END_TEST

int main(void)
RUN_SUITE("rng", philox_gives_the_known_answers, uniform_words_span_zero_to_below_one, uniform_has_its_moments,
          uniform_stays_below_its_end, normal_has_its_moments, a_number_is_named_by_seed_stream_and_index,
          order_is_a_permutation, small_orders_are_unbiased)
