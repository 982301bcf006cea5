/* Placement of values by their lives: what must hold for any spans, on random ones, and small cases worked by hand. */
#include <stdint.h>
#include <string.h>

#include "suite.h"
#include "tensor/arena.h"
#include "util/rng.h"

enum { MOST = 60, STEPS = 40 };

static size_t up(size_t bytes, size_t align) { return (bytes + align - 1) / align * align; }

/* Random spans from a seed: sizes of 0 to 4000 bytes, often equal, some never used. */
static size_t draw(uint64_t seed, struct ink_span *spans)
{
    uint32_t words[4];
    ink_random_words(seed, 1, MOST, words);
    size_t count = words[0] % (MOST + 1);
    for (size_t i = 0; i < count; i++) {
        ink_random_words(seed, 1, i, words);
        spans[i] = (struct ink_span){.bytes = words[0] % 5 ? words[0] % 4000 : 512, .first = (int)(words[1] % STEPS)};
        spans[i].last = spans[i].first + (int)(words[2] % (words[3] % 4 ? 6 : STEPS));
        if (words[3] % 11 == 0)
            spans[i].first = -1;
        if (words[3] % 13 == 0)
            spans[i].bytes = 0;
    }
    return count;
}

static bool used(const struct ink_span *span) { return span->bytes && span->first >= 0; }

START_TEST(random_spans_keep_apart)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        static const size_t aligns[] = {1, 4, 64, 128, 4096};
        struct ink_span spans[MOST] = {0}, again[MOST] = {0};
        size_t align = aligns[seed % 5], count = draw(seed, spans), total = 999, total_again, sum = 0, most = 0, end = 0;
        draw(seed, again);
        ck_ok(ink_arena_place(spans, count, align, &total));
        for (size_t i = 0; i < count; i++) {
            if (!used(&spans[i]))
                continue;
            ck_assert_uint_eq(spans[i].offset % align, 0);
            sum += up(spans[i].bytes, align);
            end = spans[i].offset + spans[i].bytes > end ? spans[i].offset + spans[i].bytes : end;
            for (size_t j = 0; j < i; j++) {
                bool together = used(&spans[j]) && spans[j].first <= spans[i].last && spans[i].first <= spans[j].last;
                bool apart = spans[j].offset + spans[j].bytes <= spans[i].offset || spans[i].offset + spans[i].bytes <= spans[j].offset;
                ck_assert_msg(!together || apart, "seed %d: spans %zu and %zu share memory", (int)seed, j, i);
            }
        }
        for (int step = 0; step < 2 * STEPS; step++) {
            size_t alive = 0;
            for (size_t i = 0; i < count; i++)
                alive += used(&spans[i]) && spans[i].first <= step && step <= spans[i].last ? spans[i].bytes : 0;
            most = alive > most ? alive : most;
        }
        ck_assert_uint_eq(total, end);
        ck_assert_uint_ge(total, most);
        ck_assert_uint_le(total, sum);

        ck_ok(ink_arena_place(again, count, align, &total_again));
        ck_assert_uint_eq(total, total_again);
        for (size_t i = 0; i < count; i++)
            ck_assert_uint_eq(spans[i].offset, again[i].offset);
    }
}
END_TEST

START_TEST(nothing_needs_nothing)
{
    struct ink_span spans[] = {{.bytes = 100, .first = -1, .last = 3, .offset = 7}, {.bytes = 0, .first = 0, .last = 9, .offset = 8}};
    size_t total = 999;
    ck_ok(ink_arena_place(spans, 2, 64, &total));
    ck_assert_uint_eq(total, 0);
    ck_assert_uint_eq(spans[0].offset, 7); /* left as they were */
    ck_assert_uint_eq(spans[1].offset, 8);
    total = 999;
    ck_ok(ink_arena_place(NULL, 0, 64, &total));
    ck_assert_uint_eq(total, 0);
}
END_TEST

START_TEST(values_share_a_place_one_after_the_other)
{
    /* a chain, as in a forward pass: each lives while the next is written; two places are enough */
    struct ink_span spans[8];
    size_t total;
    for (int i = 0; i < 8; i++)
        spans[i] = (struct ink_span){.bytes = 100, .first = i, .last = i + 1};
    ck_ok(ink_arena_place(spans, 8, 64, &total));
    ck_assert_uint_eq(total, 128 + 100);
    for (int i = 0; i < 8; i++)
        ck_assert_uint_eq(spans[i].offset, i % 2 ? 128 : 0);
}
END_TEST

START_TEST(last_step_is_included)
{
    struct ink_span spans[] = {{.bytes = 64, .first = 0, .last = 1}, {.bytes = 64, .first = 1, .last = 2}, {.bytes = 64, .first = 2, .last = 2}};
    size_t total;
    ck_ok(ink_arena_place(spans, 3, 64, &total));
    ck_assert_uint_eq(spans[0].offset, 0);
    ck_assert_uint_eq(spans[1].offset, 64);
    ck_assert_uint_eq(spans[2].offset, 0);
    ck_assert_uint_eq(total, 128);
}
END_TEST

START_TEST(small_values_fill_gaps)
{
    /* the largest two lie one on the other; the first is dead when the third comes, which fits below the second */
    struct ink_span spans[] = {{.bytes = 1000, .first = 0, .last = 1}, {.bytes = 900, .first = 1, .last = 3}, {.bytes = 800, .first = 2, .last = 3}};
    size_t total;
    ck_ok(ink_arena_place(spans, 3, 1, &total));
    ck_assert_uint_eq(spans[0].offset, 0);
    ck_assert_uint_eq(spans[1].offset, 1000);
    ck_assert_uint_eq(spans[2].offset, 0);
    ck_assert_uint_eq(total, 1900);
}
END_TEST

int main(void)
RUN_SUITE("arena", random_spans_keep_apart, nothing_needs_nothing, values_share_a_place_one_after_the_other, last_step_is_included,
          small_values_fill_gaps)
