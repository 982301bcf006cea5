/* From a picture of a digit to an image as MNIST has them. The paper's brightness, which may change over the picture,
 * is found as a smooth surface through what is not ink; ink is what stands out from it, and specks are left out. Then
 * the recipe of MNIST (LeCun et al., "Gradient-based learning applied to document recognition", 1998): the ink's
 * bounding box scaled to a box of five sevenths of the image, then moved by whole pixels until its centre of mass is in
 * the middle. In MNIST itself that centre lies within half a pixel of row and column 14 of 0 to 27. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/png.h"

enum {
    WORK_SIDE = 512,  /* larger pictures are shrunk first */
    FIT_SIDE = 128,   /* about so many rows and columns of pixels are enough to fit the surface to */
    BINS = 1024,      /* of the histograms, over 0 to 255 */
    TERMS = 6,        /* of the surface: 1, x, y, x^2, x y, y^2 */
    ROUNDS = 8,       /* of telling paper from ink */
};

#define LEAST_CONTRAST 12.0f /* of 255: ink fainter than this is none */
#define CLEAR_SHARE 0.85      /* of the variance between light and dark: two clear groups */
#define FAIR_SHARE 0.7        /* two groups at all: normal noise has 0.64 */
#define NOISES 6.0f          /* ink stands out from the paper by this many deviations of its noise */

/* A picture while it is worked on; all arrays have height * width values. */
struct work {
    int height, width;
    float *grey; /* as given, then how far each pixel stands out from the paper, 0 where nothing is kept */
    float *apart; /* how far each pixel is from the paper, light or dark */
    bool *paper; /* thought to be paper */
    int *group;  /* connected ink: the number of its group, from 1; 0: none */
    int *stack;
};

static size_t pixels(const struct work *work) { return (size_t)work->height * (size_t)work->width; }

/* The value that a share of the chosen pixels' values do not exceed, to 1/4; values lie in 0 to 255. absolute: the
 * values' distance from zero. 0 if none is chosen. */
static float quantile(const float *values, const bool *chosen, size_t count, double share, float at_least,
                      bool absolute)
{
    size_t bins[BINS] = {0}, total = 0;
    for (size_t i = 0; i < count; i++) {
        float value = absolute ? fabsf(values[i]) : values[i];
        if ((chosen && !chosen[i]) || value < at_least)
            continue;
        int bin = (int)(value * (BINS / 256.0f));
        bins[bin < 0 ? 0 : bin >= BINS ? BINS - 1 : bin]++;
        total++;
    }
    size_t below = 0;
    for (int bin = 0; bin < BINS && total; bin++) {
        below += bins[bin];
        if ((double)below >= share * (double)total)
            return ((float)bin + 0.5f) * (256.0f / BINS);
    }
    return 0;
}

/* Shrinks by a whole number, averaging, so that no side is above WORK_SIDE. */
static ink_status begin(const struct ink_picture *picture, struct work *work)
{
    int longer = picture->width > picture->height ? picture->width : picture->height;
    int step = (longer + WORK_SIDE - 1) / WORK_SIDE;
    work->height = (picture->height + step - 1) / step;
    work->width = (picture->width + step - 1) / step;
    size_t count = pixels(work);
    work->grey = malloc(count * sizeof *work->grey);
    work->apart = malloc(count * sizeof *work->apart);
    work->paper = malloc(count * sizeof *work->paper);
    work->group = calloc(count, sizeof *work->group);
    work->stack = malloc(count * sizeof *work->stack);
    if (!work->grey || !work->apart || !work->paper || !work->group || !work->stack)
        return ink_fail_memory(count * (2 * sizeof *work->grey + sizeof *work->paper + 2 * sizeof *work->group));
    for (int y = 0; y < work->height; y++)
        for (int x = 0; x < work->width; x++) {
            int sum = 0, cells = 0;
            for (int i = y * step; i < (y + 1) * step && i < picture->height; i++)
                for (int k = x * step; k < (x + 1) * step && k < picture->width; k++, cells++)
                    sum += picture->pixels[(size_t)i * (size_t)picture->width + (size_t)k];
            work->grey[(size_t)y * (size_t)work->width + (size_t)x] = (float)sum / (float)cells;
        }
    return INK_OK;
}

static void end(struct work *work)
{
    free(work->grey);
    free(work->apart);
    free(work->paper);
    free(work->group);
    free(work->stack);
}

/* The brightness that parts the picture's values in two groups that differ most (Otsu 1979), as the middle between the
 * means of the two. *share: how much of the variance lies between the groups; 3/4 for values spread evenly. */
static float find_threshold(const struct work *work, double *share)
{
    double bins[256] = {0}, total = (double)pixels(work), sum = 0, squares = 0;
    for (size_t i = 0; i < pixels(work); i++)
        bins[(int)(work->grey[i] + 0.5f)]++;
    for (int i = 0; i < 256; i++) {
        sum += i * bins[i];
        squares += (double)i * i * bins[i];
    }
    double below = 0, below_sum = 0, most = 0, threshold = 0;
    for (int i = 0; i < 255; i++) {
        below += bins[i];
        below_sum += i * bins[i];
        if (below == 0 || below == total)
            continue;
        double low = below_sum / below, high = (sum - below_sum) / (total - below);
        double between = below * (total - below) * (high - low) * (high - low);
        if (between > most) {
            most = between;
            threshold = (low + high) / 2;
        }
    }
    double spread = squares * total - sum * sum;
    *share = spread > 0 ? most / spread : 0;
    return (float)threshold;
}

/* Light ink on dark paper? The paper is what the border mostly is, or most of the picture where the border is both. */
static bool is_light_on_dark(const struct work *work, float threshold)
{
    size_t border = 0, border_light = 0, light = 0;
    for (int y = 0; y < work->height; y++)
        for (int x = 0; x < work->width; x++) {
            bool is_light = work->grey[(size_t)y * (size_t)work->width + (size_t)x] > threshold;
            light += is_light;
            if (y == 0 || x == 0 || y == work->height - 1 || x == work->width - 1) {
                border++;
                border_light += is_light;
            }
        }
    if (border_light * 10 < border * 4 || border_light * 10 > border * 6)
        return border_light * 2 < border;
    return light * 2 < pixels(work);
}

static void surface_terms(const struct work *work, int x, int y, double term[TERMS])
{
    double u = work->width > 1 ? 2.0 * x / (work->width - 1) - 1 : 0;
    double v = work->height > 1 ? 2.0 * y / (work->height - 1) - 1 : 0;
    const double terms[TERMS] = {1, u, v, u * u, u * v, v * v};
    memcpy(term, terms, sizeof terms);
}

/* Fits the first terms of the surface to the paper by least squares; terms that the paper does not determine are 0. */
static void fit_surface(const struct work *work, int terms, double surface[TERMS])
{
    double m[TERMS][TERMS + 1] = {{0}};
    int down = 1 + work->height / FIT_SIDE, across = 1 + work->width / FIT_SIDE;
    for (int y = 0; y < work->height; y += down)
        for (int x = 0; x < work->width; x += across) {
            size_t i = (size_t)y * (size_t)work->width + (size_t)x;
            if (!work->paper[i])
                continue;
            double term[TERMS];
            surface_terms(work, x, y, term);
            for (int r = 0; r < terms; r++) {
                for (int c = 0; c < terms; c++)
                    m[r][c] += term[r] * term[c];
                m[r][TERMS] += term[r] * work->grey[i];
            }
        }
    double scale = m[0][0];
    memset(surface, 0, TERMS * sizeof *surface);
    bool solved[TERMS] = {false};
    /* Gauss and Jordan; the matrix is positive semidefinite, so that no rows need be exchanged */
    for (int r = 0; r < terms; r++) {
        if (m[r][r] <= 1e-6 * scale)
            continue;
        solved[r] = true;
        for (int other = 0; other < terms; other++) {
            double factor = m[other][r] / m[r][r];
            for (int c = r; other != r && c <= TERMS; c++)
                m[other][c] -= factor * m[r][c];
        }
    }
    for (int r = 0; r < terms; r++)
        surface[r] = solved[r] ? m[r][TERMS] / m[r][r] : 0;
}

/* Sets apart to how far each pixel is from a surface through the paper; returns the deviation of the paper's noise,
 * estimated from the pixels that are thought to be paper, or from all. */
static float measure(struct work *work, int terms, bool from_all)
{
    double surface[TERMS];
    fit_surface(work, terms, surface);
    size_t i = 0;
    for (int y = 0; y < work->height; y++)
        for (int x = 0; x < work->width; x++, i++) {
            double term[TERMS], level = 0;
            surface_terms(work, x, y, term);
            for (int t = 0; t < terms; t++)
                level += surface[t] * term[t];
            work->apart[i] = work->grey[i] - (float)level;
        }
    /* the median distance of a normal distribution, without what lies beyond 2 deviations, is 0.639 deviations */
    return quantile(work->apart, from_all ? NULL : work->paper, pixels(work), 0.5, 0, true) * 1.565f;
}

/* Replaces grey by how far it stands out from the paper on the ink's side; returns the deviation of the paper's noise.
 * Where two groups of brightness are clear, the paper starts as one of them. Otherwise, as with a shadow over the
 * picture, it starts as everything, and what lies far from the surface is left out of the next one. A
 * thick digit may draw that surface to itself and vanish; a retry is content with groups less clear. */
static float subtract_paper(struct work *work, bool retry, bool *clear_groups)
{
    double share;
    size_t count = pixels(work), paper = 0;
    float threshold = find_threshold(work, &share), sign = is_light_on_dark(work, threshold) ? 1 : -1, noise = 0;
    bool clear = *clear_groups = share >= (retry ? FAIR_SHARE : CLEAR_SHARE);
    for (size_t i = 0; i < count; i++) {
        work->paper[i] = !clear || sign * (work->grey[i] - threshold) <= 0;
        paper += work->paper[i];
    }
    for (int round = 0; round < ROUNDS; round++) {
        /* a surface from little paper, as round a digit cut out closely, would run wild under the ink */
        int terms = paper * 3 < count ? 1 : round < ROUNDS / 2 ? 3 : TERMS;
        noise = measure(work, terms, !clear && round < ROUNDS - 1);
        float bound = noise * (clear || round == ROUNDS - 1 ? 3 : 2);
        bound = bound > 2 ? bound : 2;
        paper = 0;
        for (size_t i = 0; i < count; i++) {
            work->paper[i] = fabsf(work->apart[i]) <= bound;
            paper += work->paper[i];
        }
    }
    if (!clear) { /* the ink's side is that on which more stands out */
        double light = 0, dark = 0;
        for (size_t i = 0; i < count; i++) {
            light += work->apart[i] > 3 * noise ? work->apart[i] : 0;
            dark -= work->apart[i] < -3 * noise ? work->apart[i] : 0;
        }
        sign = light > dark ? 1 : -1;
    }
    /* in a shadow, paper and ink are darker by the same factor, so dark ink is measured against the paper round it */
    double brightness = 0;
    for (size_t i = 0; i < count; i++)
        brightness += (work->grey[i] - work->apart[i]) / (double)count;
    for (size_t i = 0; i < count; i++) {
        float level = work->grey[i] - work->apart[i];
        float lit = sign < 0 && brightness > 0 ? fmaxf(level, (float)brightness / 4) / (float)brightness : 1;
        work->grey[i] = sign * work->apart[i] / lit;
    }
    return noise;
}

/* Numbers the connected groups of pixels of at least low, in all eight directions; weights[group] is its sum. Returns
 * the largest weight of a group that reaches high, or 0. */
static double find_groups(struct work *work, float low, float high, double *weights, bool *reaches, int *groups)
{
    double largest = 0;
    *groups = 0;
    for (size_t seed = 0; seed < pixels(work); seed++) {
        if (work->group[seed] || work->grey[seed] < low)
            continue;
        int group = ++*groups, depth = 0;
        weights[group] = 0;
        reaches[group] = false;
        work->group[seed] = group;
        work->stack[depth++] = (int)seed;
        while (depth) {
            int at = work->stack[--depth], row = at / work->width, column = at % work->width;
            weights[group] += work->grey[at];
            reaches[group] = reaches[group] || work->grey[at] >= high;
            for (int y = row > 0 ? row - 1 : 0; y <= row + 1 && y < work->height; y++)
                for (int x = column > 0 ? column - 1 : 0; x <= column + 1 && x < work->width; x++) {
                    int next = y * work->width + x;
                    if (work->group[next] || work->grey[next] < low)
                        continue;
                    work->group[next] = group;
                    work->stack[depth++] = next; /* each pixel once at most */
                }
        }
        if (reaches[group] && weights[group] > largest)
            largest = weights[group];
    }
    return largest;
}

/* The ink's bounding box: rows top to below bottom, columns left to below right. */
struct box {
    int top, bottom, left, right;
};

/* Keeps the ink, as 0 to 1, and sets all else to 0. INK_ERROR_FORMAT if there is none. */
static ink_status keep_ink(struct work *work, float noise, struct box *box)
{
    static const char blank[] = "the picture is blank: nothing stands out from its background; give one with a digit "
                                "on it";
    size_t count = pixels(work);
    float floor = noise * NOISES > LEAST_CONTRAST ? noise * NOISES : LEAST_CONTRAST;
    float peak = quantile(work->grey, NULL, count, 0.995, floor, false);
    if (peak < floor)
        return ink_fail(INK_ERROR_FORMAT, "%s", blank);
    /* full ink: nearly the most of what is more ink than paper, as single pixels may be brighter by noise */
    float full = quantile(work->grey, NULL, count, 0.95, peak / 2, false);
    float low = noise * 3 > full / 12 ? noise * 3 : full / 12;

    double *weights = malloc((count + 1) * sizeof *weights);
    bool *reaches = malloc((count + 1) * sizeof *reaches);
    ink_status status = INK_OK;
    if (!weights || !reaches) {
        status = ink_fail_memory((count + 1) * (sizeof *weights + sizeof *reaches));
        goto fail;
    }
    int groups;
    double least = find_groups(work, low, full / 2, weights, reaches, &groups) / 50; /* smaller ones are specks */
    *box = (struct box){work->height, 0, work->width, 0};
    size_t i = 0;
    for (int y = 0; y < work->height; y++)
        for (int x = 0; x < work->width; x++, i++) {
            int group = work->group[i];
            if (group == 0 || !reaches[group] || weights[group] < least) {
                work->grey[i] = 0;
                continue;
            }
            work->grey[i] = work->grey[i] < full ? work->grey[i] / full : 1;
            box->top = y < box->top ? y : box->top;
            box->bottom = y + 1;
            box->left = x < box->left ? x : box->left;
            box->right = x + 1 > box->right ? x + 1 : box->right;
        }
    if (box->top >= box->bottom)
        status = ink_fail(INK_ERROR_FORMAT, "%s", blank);
fail:
    free(weights);
    free(reaches);
    return status;
}

/* Scales each of count lines from size from_size to to_size and turns the result: to is [to_size][count]. Smaller: the
 * average over what a pixel covers. Larger: between the two nearest, by distance. */
static void scale_and_turn(const float *from, int count, int from_size, int from_stride, float *to, int to_size)
{
    double step = (double)from_size / to_size;
    for (int k = 0; k < to_size; k++) {
        double low = step >= 1 ? k * step : (k + 0.5) * step - 0.5, high = step >= 1 ? low + step : low + 1;
        for (int line = 0; line < count; line++) {
            const float *values = from + (size_t)line * (size_t)from_stride;
            double sum = 0;
            for (int i = (int)floor(low); i < high - 1e-9; i++) {
                /* enlarging, a neighbour's weight is 1 less its distance, which is what [low, low + 1) covers of it */
                double covered = fmin(i + 1, high) - fmax(i, low);
                sum += covered * values[i < 0 ? 0 : i < from_size ? i : from_size - 1];
            }
            to[(size_t)k * (size_t)count + (size_t)line] = (float)(sum / (high - low));
        }
    }
}

/* The place of the first of size pixels so that the centre of mass of sums lies in the middle of side pixels. */
static int centre(const double *sums, int size, int side)
{
    double mass = 0, moment = 0;
    for (int i = 0; i < size; i++) {
        mass += sums[i];
        moment += i * sums[i];
    }
    int place = mass > 0 ? (int)floor(side / 2 - moment / mass + 0.5) : 0;
    return place < 0 ? 0 : place > side - size ? side - size : place;
}

/* Scales the box to fit, and writes it to the image, centred. */
static ink_status place(const struct work *work, const struct box *box, struct ink_shape shape, uint8_t *image)
{
    int height = box->bottom - box->top, width = box->right - box->left;
    int most_rows = (shape.height * 5 + 3) / 7 > 0 ? (shape.height * 5 + 3) / 7 : 1;
    int most_columns = (shape.width * 5 + 3) / 7 > 0 ? (shape.width * 5 + 3) / 7 : 1;
    double scale = fmin((double)most_rows / height, (double)most_columns / width);
    int rows = (int)fmax(1, floor(height * scale + 0.5)), columns = (int)fmax(1, floor(width * scale + 0.5));

    ink_status status = INK_OK;
    float *turned = malloc((size_t)columns * (size_t)height * sizeof *turned);
    float *scaled = malloc((size_t)rows * (size_t)columns * sizeof *scaled);
    double *sums = calloc((size_t)(rows + columns), sizeof *sums);
    if (!turned || !scaled || !sums) {
        status = ink_fail_memory((size_t)columns * (size_t)(height + rows) * sizeof *turned);
        goto fail;
    }
    scale_and_turn(work->grey + (size_t)box->top * (size_t)work->width + box->left, height, width, work->width,
                   turned, columns);
    scale_and_turn(turned, columns, height, height, scaled, rows);
    float peak = 0;
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < columns; x++) {
            float value = scaled[y * columns + x];
            sums[y] += value;
            sums[rows + x] += value;
            peak = value > peak ? value : peak;
        }
    int top = centre(sums, rows, shape.height), left = centre(sums + rows, columns, shape.width);
    memset(image, 0, (size_t)shape.height * (size_t)shape.width * (size_t)shape.channels);
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < columns; x++) {
            /* lines thinner than a pixel are made as bright as MNIST's strokes are */
            uint8_t value = (uint8_t)(scaled[y * columns + x] / peak * 255 + 0.5f);
            size_t at = ((size_t)(top + y) * (size_t)shape.width + (size_t)(left + x)) * (size_t)shape.channels;
            memset(image + at, value, (size_t)shape.channels);
        }
fail:
    free(turned);
    free(scaled);
    free(sums);
    return status;
}

ink_status ink_picture_to_image(const struct ink_picture *picture, struct ink_shape shape, uint8_t *image)
{
    if (!picture || !picture->pixels || !image)
        return ink_fail(INK_ERROR_ARGUMENT, "ink_picture_to_image: %s is NULL",
                        image ? "picture or its pixels" : "image");
    if (picture->channels != 1)
        return ink_fail(INK_ERROR_ARGUMENT, "ink_picture_to_image: the picture has %d channels; give a grey one, of 1",
                        picture->channels);
    if (picture->width < 1 || picture->height < 1 || picture->width > INK_PICTURE_SIDE ||
        picture->height > INK_PICTURE_SIDE)
        return ink_fail(INK_ERROR_ARGUMENT, "ink_picture_to_image: the picture is %d x %d; give 1 to %d pixels a side",
                        picture->width, picture->height, INK_PICTURE_SIDE);
    if (shape.height < 1 || shape.width < 1 || shape.channels < 1 || shape.height > INK_PICTURE_SIDE ||
        shape.width > INK_PICTURE_SIDE || shape.channels > INK_PICTURE_SIDE)
        return ink_fail(INK_ERROR_ARGUMENT, "ink_picture_to_image: the shape is %d x %d x %d; give 1 to %d for each",
                        shape.height, shape.width, shape.channels, INK_PICTURE_SIDE);
    ink_status status = INK_OK;
    bool clear = false;
    for (bool retry = false;; retry = true) {
        struct work work = {0};
        struct box box = {0};
        status = begin(picture, &work);
        if (!status) {
            float noise = subtract_paper(&work, retry, &clear);
            status = keep_ink(&work, noise, &box);
        }
        if (!status)
            status = place(&work, &box, shape, image);
        end(&work);
        if (status != INK_ERROR_FORMAT || clear || retry)
            return status;
    }
}
