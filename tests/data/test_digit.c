/* Pictures of digits become images as MNIST has them. Real MNIST digits are rendered large, dark on light, off centre,
 * on uneven paper and so on, and must come back close to what they were.
 *
 * The measure: the root of the mean square difference from the original, divided by that of the original moved by one
 * pixel, the smallest of the four ways. 1 is thus "as near as a copy one pixel off", what centring by whole pixels may
 * do to any digit, and well under what makes another digit of it. The bounds are on the median over 40 digits. */
#include <math.h>
#include <string.h>

#include "suite.h"
#include "util/rng.h"

#define MNIST INK_TEST_DATA "/mnist"

enum { SIDE = 28, DIGITS = 40, LARGE = 280 };

static const struct ink_shape shape = {SIDE, SIDE, 1};
static uint8_t pixels[600 * 600];
static float noise[600 * 600];

/* A picture of a digit's values enlarged by a factor to 0 to 255, placed at top, left; read by a pixel's centre. */
static double digit_at(const uint8_t *digit, double factor, int top, int left, int y, int x)
{
    double row = (y - top + 0.5) / factor - 0.5, column = (x - left + 0.5) / factor - 0.5;
    if (row <= -1 || column <= -1 || row >= SIDE || column >= SIDE)
        return 0;
    double value = 0;
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++) {
            int r = (int)floor(row) + i, c = (int)floor(column) + k;
            double near = (1 - fabs(row - r)) * (1 - fabs(column - c));
            value += r >= 0 && c >= 0 && r < SIDE && c < SIDE ? near * digit[r * SIDE + c] : 0;
        }
    return value;
}

static double difference(const uint8_t *a, const uint8_t *b, int down, int right)
{
    double sum = 0;
    for (int y = 0; y < SIDE; y++)
        for (int x = 0; x < SIDE; x++) {
            int from_y = y - down, from_x = x - right;
            bool inside = from_y >= 0 && from_x >= 0 && from_y < SIDE && from_x < SIDE;
            double apart = (inside ? a[from_y * SIDE + from_x] : 0) - (double)b[y * SIDE + x];
            sum += apart * apart;
        }
    return sqrt(sum / (SIDE * SIDE));
}

static double measure(const uint8_t *image, const uint8_t *digit)
{
    double step = fmin(fmin(difference(digit, digit, 1, 0), difference(digit, digit, -1, 0)),
                       fmin(difference(digit, digit, 0, 1), difference(digit, digit, 0, -1)));
    return difference(image, digit, 0, 0) / step;
}

static int by_size(const void *a, const void *b)
{
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

/* How a picture is made of a digit. */
struct look {
    const char *name;
    double factor;
    int width, height, top, left;
    double paper, ink;       /* brightness; ink is what full ink has on paper of that brightness */
    double slope, noise;     /* darker towards the right by this share; deviation of noise */
    double median;           /* the bound */
};

static void render(const struct look *look, const uint8_t *digit, unsigned seed)
{
    if (look->noise > 0)
        ink_random_normal(seed, 99, (float)look->noise, noise, (size_t)(look->width * look->height));
    for (int y = 0; y < look->height; y++)
        for (int x = 0; x < look->width; x++) {
            double cover = digit_at(digit, look->factor, look->top, look->left, y, x) / 255;
            double value = look->paper + (look->ink - look->paper) * cover;
            value *= 1 - look->slope * x / look->width;
            value += look->noise > 0 ? noise[y * look->width + x] : 0;
            pixels[y * look->width + x] = (uint8_t)fmin(255, fmax(0, floor(value + 0.5)));
        }
}

/* The medians with the blur of enlarging by bilinear weights lie at 0.45, of the digit alone at 0.04. */
static const struct look looks[] = {
    {"as it is", 1, 28, 28, 0, 0, 0, 255, 0, 0, 0.1},
    {"inverted", 1, 28, 28, 0, 0, 255, 0, 0, 0, 0.1},
    {"ten times", 10, LARGE, LARGE, 0, 0, 0, 255, 0, 0, 0.55},
    {"ten times, dark on light", 10, LARGE, LARGE, 0, 0, 255, 0, 0, 0, 0.55},
    {"odd factor", 3.7, 104, 104, 0, 0, 255, 0, 0, 0, 0.6},
    {"off centre", 5, 400, 300, 150, 11, 255, 0, 0, 0, 0.6},
    {"off centre, light", 5, 300, 400, 20, 150, 30, 220, 0, 0, 0.6},
    {"over the working size", 20, 600, 600, 30, 25, 255, 0, 0, 0, 0.55},
    {"pale", 10, LARGE, LARGE, 0, 0, 200, 160, 0, 0, 0.55},
    {"noise", 10, LARGE, LARGE, 0, 0, 220, 40, 0, 10, 0.6},
    {"noise, light on dark", 10, LARGE, LARGE, 0, 0, 30, 210, 0, 10, 0.6},
    {"strong noise", 10, LARGE, LARGE, 0, 0, 220, 40, 0, 25, 0.7},
    {"shadow", 10, LARGE, LARGE, 0, 0, 240, 70, 0.35, 3, 0.65},
    {"deep shadow", 10, LARGE, LARGE, 0, 0, 250, 75, 0.6, 2, 0.85},
};

START_TEST(digits_come_back)
{
    const struct look *look = &looks[_i];
    ink_dataset *digits;
    ck_ok(ink_dataset_load(MNIST, INK_TEST, DIGITS, &digits));
    double measures[DIGITS];
    for (int i = 0; i < DIGITS; i++) {
        const uint8_t *digit = ink_dataset_image(digits, (size_t)i);
        uint8_t image[SIDE * SIDE];
        render(look, digit, (unsigned)i);
        struct ink_picture picture = {look->width, look->height, 1, pixels};
        ck_ok(ink_picture_to_image(&picture, shape, image));
        measures[i] = measure(image, digit);
    }
    qsort(measures, DIGITS, sizeof *measures, by_size);
    ck_assert_msg(measures[DIGITS / 2] < look->median, "%s: the median is %g, the worst %g", look->name,
                  measures[DIGITS / 2], measures[DIGITS - 1]);
    /* nine in ten are nearer than one and a half pixels: still the same digit */
    ck_assert_msg(measures[DIGITS * 9 / 10] < 1.5, "%s: one in ten is over %g", look->name, measures[DIGITS * 9 / 10]);
    ink_dataset_destroy(&digits);
}
END_TEST

/* Ink's box and centre of mass, in the coordinates of pixels. */
struct ink {
    int top, bottom, left, right, peak;
    double row, column;
};

static struct ink look_at(const uint8_t *image, struct ink_shape of)
{
    struct ink ink = {of.height, -1, of.width, -1, 0, 0, 0};
    double mass = 0;
    for (int y = 0; y < of.height; y++)
        for (int x = 0; x < of.width; x++) {
            int value = image[(y * of.width + x) * of.channels];
            if (!value)
                continue;
            ink.top = y < ink.top ? y : ink.top, ink.bottom = y;
            ink.left = x < ink.left ? x : ink.left, ink.right = x > ink.right ? x : ink.right;
            ink.peak = value > ink.peak ? value : ink.peak;
            mass += value, ink.row += y * value, ink.column += x * value;
        }
    ink.row /= mass, ink.column /= mass;
    return ink;
}

static void draw(int height, int width, uint8_t paper, uint8_t ink, int top, int bottom, int left, int right)
{
    memset(pixels, paper, (size_t)(height * width));
    for (int y = top; y <= bottom; y++)
        memset(pixels + y * width + left, ink, (size_t)(right - left + 1));
}

START_TEST(ink_fits_and_is_centred)
{
    static const int rectangles[][6] = { /* height, width, top, bottom, left, right */
        {100, 100, 10, 29, 50, 59}, {100, 100, 70, 79, 2, 97}, {500, 500, 3, 490, 100, 101}, {9, 9, 4, 4, 4, 4},
        {400, 500, 200, 200, 5, 494}, {5, 599, 2, 2, 3, 595}, {300, 7, 2, 297, 3, 3}, {3, 3, 1, 1, 1, 1},
        {600, 600, 299, 300, 10, 589},
    };
    static const struct ink_shape shapes[] = {{28, 28, 1}, {32, 32, 3}, {14, 20, 1}, {29, 29, 1}, {64, 48, 2}};
    for (size_t r = 0; r < sizeof rectangles / sizeof *rectangles; r++)
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            for (int light = 0; light < 2; light++) {
                const int *at = rectangles[r];
                uint8_t image[64 * 64 * 3];
                const struct ink_shape of = shapes[s];
                draw(at[0], at[1], light ? 20 : 250, light ? 230 : 30, at[2], at[3], at[4], at[5]);
                struct ink_picture picture = {at[1], at[0], 1, pixels};
                ck_ok(ink_picture_to_image(&picture, of, image));
                struct ink ink = look_at(image, of);
                int rows = ink.bottom - ink.top + 1, columns = ink.right - ink.left + 1;
                int most_rows = (int)(of.height * 5 / 7.0 + 0.5), most_columns = (int)(of.width * 5 / 7.0 + 0.5);
                ck_assert_msg(rows == most_rows || columns == most_columns, "rectangle %zu, shape %zu: %d x %d", r, s,
                              rows, columns);
                ck_assert(rows <= most_rows && columns <= most_columns);
                ck_assert_int_eq(ink.peak, 255);
                ck_assert(fabs(ink.row - of.height / 2) <= 0.5 && fabs(ink.column - of.width / 2) <= 0.5);
                int unlike = 0;
                for (int i = 0; i < of.height * of.width; i++)
                    for (int c = 1; c < of.channels; c++)
                        unlike += image[i * of.channels + c] != image[i * of.channels];
                ck_assert_int_eq(unlike, 0);
            }
}
END_TEST

START_TEST(specks_are_left_out)
{
    draw(200, 200, 240, 20, 60, 139, 90, 109);
    for (int i = 0; i < 40; i++) /* dust, all over */
        pixels[(i * 7919 % 200) * 200 + i * 104729 % 200] = 0;
    uint8_t image[SIDE * SIDE];
    struct ink_picture picture = {200, 200, 1, pixels};
    ck_ok(ink_picture_to_image(&picture, shape, image));
    struct ink ink = look_at(image, shape);
    ck_assert(ink.bottom - ink.top + 1 == 20 && ink.right - ink.left + 1 == 5);
}
END_TEST

START_TEST(blank_pictures_are_refused)
{
    uint8_t image[SIDE * SIDE] = {7};
    static const int sizes[][2] = {{1, 1}, {1, 40}, {40, 1}, {200, 300}};
    for (int i = 0; i < 4; i++) {
        int count = sizes[i][0] * sizes[i][1];
        struct ink_picture picture = {sizes[i][1], sizes[i][0], 1, pixels};
        for (int level = 0; level < 256; level += 51) {
            memset(pixels, level, (size_t)count);
            ck_fails(ink_picture_to_image(&picture, shape, image), INK_ERROR_FORMAT, "is blank");
        }
    }
    /* noise, and a shadow, with nothing on it */
    for (int deviation = 1; deviation <= 30; deviation += deviation < 5 ? 1 : 5)
        for (int shadow = 0; shadow <= 60; shadow += 15) {
            ink_random_normal((uint64_t)deviation, (uint64_t)shadow, (float)deviation, noise, 200 * 300);
            for (int i = 0; i < 200 * 300; i++)
                pixels[i] = (uint8_t)fmin(255, fmax(0, 130 + i % 300 * shadow / 300 + noise[i]));
            struct ink_picture picture = {300, 200, 1, pixels};
            ck_fails(ink_picture_to_image(&picture, shape, image), INK_ERROR_FORMAT, "is blank");
        }
    ck_assert_int_eq(image[0], 7);
}
END_TEST

START_TEST(any_size_and_content_is_survived)
{
    uint8_t image[SIDE * SIDE];
    for (uint64_t seed = 0; seed < 300; seed++) {
        uint32_t words[4];
        ink_random_words(seed, 5, 0, words);
        int height = 1 + (int)(words[0] % 40), width = 1 + (int)(words[1] % 40);
        for (int i = 0; i < height * width; i++) {
            uint32_t value[4];
            ink_random_words(seed, 6, (uint64_t)i, value);
            const uint8_t kinds[] = {(uint8_t)value[0], value[0] % 2 ? 255 : 0, value[0] % 16 ? 0 : 255};
            pixels[i] = kinds[words[2] % 3];
        }
        struct ink_picture picture = {width, height, 1, pixels};
        const struct ink_shape any = {1 + (int)(words[3] % 28), 1 + (int)(words[3] / 28 % 28), 1};
        ink_status status = ink_picture_to_image(&picture, any, image);
        ck_assert(status == INK_OK || status == INK_ERROR_FORMAT);
    }
}
END_TEST

START_TEST(arguments_are_checked)
{
    uint8_t image[SIDE * SIDE];
    struct ink_picture picture = {10, 10, 1, pixels};
    ck_fails(ink_picture_to_image(NULL, shape, image), INK_ERROR_ARGUMENT, "is NULL");
    ck_fails(ink_picture_to_image(&picture, shape, NULL), INK_ERROR_ARGUMENT, "image is NULL");
    ck_fails(ink_picture_to_image(&picture, (struct ink_shape){0, 28, 1}, image), INK_ERROR_ARGUMENT, "0 x 28 x 1");
    picture.channels = 3;
    ck_fails(ink_picture_to_image(&picture, shape, image), INK_ERROR_ARGUMENT, "3 channels");
    picture = (struct ink_picture){0, 10, 1, pixels};
    ck_fails(ink_picture_to_image(&picture, shape, image), INK_ERROR_ARGUMENT, "0 x 10");
    picture = (struct ink_picture){10, 16385, 1, pixels};
    ck_fails(ink_picture_to_image(&picture, shape, image), INK_ERROR_ARGUMENT, "10 x 16385");
    picture = (struct ink_picture){10, 10, 1, NULL};
    ck_fails(ink_picture_to_image(&picture, shape, image), INK_ERROR_ARGUMENT, "its pixels");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("digit");
    TCase *tests = tcase_create("digit");
    tcase_add_loop_test(tests, digits_come_back, 0, sizeof looks / sizeof *looks);
    tcase_add_test(tests, ink_fits_and_is_centred);
    tcase_add_test(tests, specks_are_left_out);
    tcase_add_test(tests, blank_pictures_are_refused);
    tcase_add_test(tests, any_size_and_content_is_survived);
    tcase_add_test(tests, arguments_are_checked);
    return run_case(suite, tests);
}
