/* A batch from the data set, distorted at random. Which of these kernels run, and what of them is compiled, is what is asked for:
 *
 *   draw    the numbers of each sample: its inverse map, and so on (DRAWS floats), and with FIELD the control points of its
 *           elastic distortion, [2][FIELD_HEIGHT][FIELD_WIDTH]
 *   thicken strokes: bytes of the data set to floats in [0, 1]
 *   warp    x(p) = source(map(p) + displacement(p)), bilinear, 0 outside; from the data set, or with THICK from what thicken wrote
 *   finish  contrast, noise and erasing, in place
 *
 * Random numbers are named by seed, epoch and the sample's number in the data set, never by its place in a batch. The first 64 of a
 * sample are kept for its draws, the next are its control points; noise has a stream of its own.
 */
#include "random.cl"

#define DRAWS 12
#define DRAW_MAP 0       /* u = m[0] * column + m[1] * row + m[2], v = m[3] * column + m[4] * row + m[5] */
#define DRAW_THICKNESS 6
#define DRAW_CONTRAST 7
#define DRAW_ERASE 8     /* top, bottom, left, right */
#define FIELD_NUMBERS 16 /* index of the first number of the control points */
#if ACROSS
#define PIXELS_KERNEL SOLO_KERNEL
#else
#define PIXELS_KERNEL KERNEL
#endif

#ifdef KERNEL_draw
/* BLOCKS items a sample: each draws 4 * VW control points, and the first the rest too. angle in radians; largest draws. */
#define DRAW(k, largest) ((largest) * (2.0f * number[k] - 1.0f))
#if FIELD
#define FIELD_ARGUMENT __global float *field,
#else
#define FIELD_ARGUMENT
#endif
ITEMS_KERNEL(draw)(__global const uint *order, __global float *draws, FIELD_ARGUMENT int start, int n, uint seed_low, uint seed_high, uint epoch,
                   float shift, float angle, float scale, float shear, float elastic, float thickness, float contrast, float erase)
{
    FOR_ITEMS(item, n * BLOCKS) {
        int s = item / BLOCKS, block = item % BLOCKS;
        uintv words[4];
        if (block == 0) {
            __global float *to = draws + (long)s * DRAWS;
            LANES number[4 * VW];
            random_words(0, order[start + s], epoch, STREAM, seed_low, seed_high, words);
            UNROLL for (int q = 0; q < 4; q++)
                TO_LANES(RANDOM_UNIFORM(words[q]), number + q * VW);
            float turn = DRAW(2, angle), size = 1.0f + DRAW(3, scale), slant = DRAW(4, shear);
            float c = DIV(COS1(turn), size), d = DIV(SIN1(turn), size);
            float middle_x = 0.5f * (WIDTH - 1), middle_y = 0.5f * (HEIGHT - 1);
            float moved_x = middle_x + DRAW(0, shift), moved_y = middle_y + DRAW(1, shift);
            float a = c + slant * d, b = d - slant * c;
            to[DRAW_MAP] = a;
            to[DRAW_MAP + 1] = b;
            to[DRAW_MAP + 2] = middle_x - a * moved_x - b * moved_y;
            to[DRAW_MAP + 3] = -d;
            to[DRAW_MAP + 4] = c;
            to[DRAW_MAP + 5] = middle_y + d * moved_x - c * moved_y;
            to[DRAW_THICKNESS] = DRAW(5, thickness);
            to[DRAW_CONTRAST] = 1.0f + DRAW(6, contrast);
            /* up to three times as high as wide, or as wide as high */
            float area = number[7] * erase * (WIDTH * HEIGHT), aspect = EXP(DRAW(8, 1.0986123f));
            float high = min(rint(SQRT(area * aspect)), (float)HEIGHT), wide = min(rint(SQRT(DIV(area, aspect))), (float)WIDTH);
            float top = floor(number[9] * (HEIGHT - high + 1.0f)), left = floor(number[10] * (WIDTH - wide + 1.0f));
            to[DRAW_ERASE] = top;
            to[DRAW_ERASE + 1] = top + high;
            to[DRAW_ERASE + 2] = left;
            to[DRAW_ERASE + 3] = left + wide;
        }
#if FIELD
        int first = block * 4 * VW;
        __global float *points = field + (long)s * (2 * FIELD_WIDTH * FIELD_HEIGHT) + first;
        random_words(FIELD_NUMBERS + block * VW, order[start + s], epoch, STREAM, seed_low, seed_high, words);
        UNROLL for (int q = 0; q < 4; q++) { /* across from the low half of a word, down from the high half */
            floatv across = elastic * (CAT(convert_float, VW)(words[q] & 0xffffu) * 0x1p-15f - 1.0f);
            floatv down = elastic * (CAT(convert_float, VW)(words[q] >> 16) * 0x1p-15f - 1.0f);
            int more = FIELD_WIDTH * FIELD_HEIGHT - first - q * VW;
            STORE_FIRST(across, points + q * VW, more)
            STORE_FIRST(down, points + FIELD_WIDTH * FIELD_HEIGHT + q * VW, more)
        }
#endif
    }
}
#undef DRAW
#endif

#ifdef KERNEL_thicken
/* y = v + |t| (w - v), w being the largest (t < 0: the smallest) value of the 3x3 pixels around that are inside. The smallest is the
 * largest of the complements. CPU: an item a sample; GPU: an item a value. */
#define ROW (WIDTH * CHANNELS)
#define LARGEST(load, i, left, right)                                                                          \
    max(max(max(max(load(above, left), load(above, i)), max(load(above, right), load(here, left))),            \
            max(max(load(here, i), load(here, right)), max(load(below, left), load(below, i)))), load(below, right))
#define ONE(row, i) ((uchar)((row)[i] ^ flip))
#define MANY(row, i) (CAT(vload, VW)(0, (row) + (i)) ^ (CAT(uchar, VW))(flip))
PIXELS_KERNEL(thicken)(__global const uchar *images, __global const uint *rows, in_t draws, out_t x, int begin)
{
    int s = get_global_id(1);
#if ACROSS
    int top = 0, bottom = HEIGHT;
#else
    int place = get_global_id(0), top = place / ROW, bottom = top + 1;
    if (place >= ROW * HEIGHT)
        return;
#endif
    float strength = draws[s * DRAWS + DRAW_THICKNESS], share = fabs(strength);
    uchar flip = strength < 0.0f ? 255 : 0;
    for (int y = top; y < bottom; y++) {
        __global const uchar *here = images + (ulong)rows[begin + s] * (ROW * HEIGHT) + y * ROW;
        __global const uchar *above = here - (y > 0 ? ROW : 0), *below = here + (y < HEIGHT - 1 ? ROW : 0);
        __global float *to = x + (long)s * (ROW * HEIGHT) + y * ROW;
#if ACROSS
        int i = 0, end = ROW;
#else
        int i = place % ROW, end = i + 1;
#endif
        while (i < end) {
#if ACROSS
            if (i >= CHANNELS && i + VW + CHANNELS <= ROW) {
                floatv middle = CAT(convert_float, VW)(CAT(vload, VW)(0, here + i));
                floatv most = CAT(convert_float, VW)(LARGEST(MANY, i, i - CHANNELS, i + CHANNELS) ^ (CAT(uchar, VW))(flip));
                floatv v = middle + share * (most - middle);
                STORE(DIV_255(floatv, v), to + i);
                i += VW;
                continue;
            }
#endif
            int left = i >= CHANNELS ? i - CHANNELS : i, right = i + CHANNELS < ROW ? i + CHANNELS : i;
            float middle = here[i], most = (uchar)(LARGEST(ONE, i, left, right) ^ flip), v = middle + share * (most - middle);
            to[i++] = SETTLE(DIV_255(float, v));
        }
    }
}
#undef ROW
#undef LARGEST
#undef ONE
#undef MANY
#endif

#ifdef KERNEL_warp
/* CPU: an item a sample, columns side by side in a vector, down the rows; GPU: an item a pixel.
 *
 * The displacement is a uniform cubic B-spline over control points 1 / FIELD_STEP pixels apart, the first a step outside the image:
 * summed over the columns of control points for four rows of them at a time, which are kept while rows of pixels need them.
 *
 * Where a neighbour of the position is outside, the weight of the next one inside is what bilinear weights give it, for these are
 * tents around pixels, and pairs of pixels are taken from inside alone. */
#if ACROSS
#define SIDE VW
#define WIDE floatv
#define TO_WIDE(v) CAT(convert_float, VW)(v)
#define WHOLE intv
#define TO_WHOLE(v) CAT(convert_int, VW)(v)
#define PUT(v, array) TO_LANES(v, array)
#define PUT_WHOLE(v, array) CAT(vstore, VW)(v, 0, array)
#define TAKE(array) FROM_LANES(array)
#else
#define SIDE 1
#define WIDE float
#define TO_WIDE(v) ((float)(v))
#define WHOLE int
#define TO_WHOLE(v) ((int)(v))
#define PUT(v, array) ((array)[0] = (v))
#define PUT_WHOLE(v, array) ((array)[0] = (v))
#define TAKE(array) ((array)[0])
#endif
#define TENT(v) fmax(1.0f - fabs(v), (WIDE)(0.0f))
#define SPLINE_NEAR(d) (2.0f / 3.0f - (d) * (d) * (1.0f - 0.5f * (d)))
#define SPLINE_FAR(T, d) (CUBE(fmax((T)(2.0f) - (d), (T)(0.0f))) * (1.0f / 6.0f))
#define CUBE(v) ((v) * (v) * (v))
#define SPLINE(T, d) select(SPLINE_FAR(T, d), SPLINE_NEAR(d), (d) < (T)(1.0f))
#define POINTS (FIELD_WIDTH * FIELD_HEIGHT)
#if THICK
typedef float NAME(source);
#else
typedef uchar NAME(source);
#endif

#if THICK
#define ROWS_ARGUMENTS
#else
#define ROWS_ARGUMENTS __global const uint *rows, int begin,
#endif
#if FIELD
#define FIELD_ARGUMENT in_t field,
#else
#define FIELD_ARGUMENT
#endif
PIXELS_KERNEL(warp)(__global const NAME(source) *source, ROWS_ARGUMENTS FIELD_ARGUMENT in_t draws, out_t x)
{
    int s = get_global_id(1);
#if ACROSS
    int left = 0, right = WIDTH, top = 0, bottom = HEIGHT;
#else
    int place = get_global_id(0), left = place % WIDTH, right = left + 1, top = place / WIDTH, bottom = top + 1;
    if (place >= WIDTH * HEIGHT)
        return;
#endif
#if THICK
    __global const float *from = source + (long)s * (WIDTH * HEIGHT * CHANNELS);
    const float unit = 1.0f;
#else
    __global const uchar *from = source + (ulong)rows[begin + s] * (WIDTH * HEIGHT * CHANNELS);
    const float unit = 1.0f / 255.0f;
#endif
    __global float *to = x + (long)s * (WIDTH * HEIGHT * CHANNELS);
    __global const float *map = draws + s * DRAWS + DRAW_MAP;
    const float ux = map[0], uy = map[1], u0 = map[2], vx = map[3], vy = map[4], v0 = map[5];
    LANES ramp[SIDE];
    UNROLL for (int l = 0; l < SIDE; l++)
        ramp[l] = l;
    for (int column = left; column < right; column += SIDE) {
        WIDE across = (float)column + TAKE(ramp);
#if FIELD
        WIDE weight[TAPS], shift_x[4] = {0.0f, 0.0f, 0.0f, 0.0f}, shift_y[4] = {0.0f, 0.0f, 0.0f, 0.0f};
        int first = (int)(column * FIELD_STEP), taps = min(TAPS, FIELD_WIDTH - first), held = (int)(top * FIELD_STEP) - 4;
        __global const float *points = field + (long)s * (2 * POINTS) + first;
        for (int t = 0; t < taps; t++) {
            WIDE distance = fabs(across * FIELD_STEP - (float)(first + t - 1));
            weight[t] = SPLINE(WIDE, distance);
        }
#endif
        for (int row = top; row < bottom; row++) {
            WIDE u = ux * across + (uy * row + u0), v = vx * across + (vy * row + v0);
#if FIELD
            float down = row * FIELD_STEP;
            while (held < (int)down) {
                WIDE sum_x = 0.0f, sum_y = 0.0f;
                held++;
                for (int t = 0; t < taps; t++) {
                    sum_x += weight[t] * points[(held + 3) * FIELD_WIDTH + t];
                    sum_y += weight[t] * points[(held + 3) * FIELD_WIDTH + t + POINTS];
                }
                UNROLL for (int k = 0; k < 3; k++) {
                    shift_x[k] = shift_x[k + 1];
                    shift_y[k] = shift_y[k + 1];
                }
                shift_x[3] = sum_x;
                shift_y[3] = sum_y;
            }
            UNROLL for (int k = 0; k < 4; k++) {
                float distance = fabs(down - (float)(held + k - 1)), part = SPLINE(float, distance);
                u += part * shift_x[k];
                v += part * shift_y[k];
            }
#endif
            WHOLE i = TO_WHOLE(clamp(u, (WIDE)(0.0f), (WIDE)(max(WIDTH - 2, 0)))), j = TO_WHOLE(clamp(v, (WIDE)(0.0f), (WIDE)(max(HEIGHT - 2, 0))));
            WIDE in_x = u - TO_WIDE(i), in_y = v - TO_WIDE(j);
            WIDE left_part = TENT(in_x), right_part = WIDTH > 1 ? TENT(in_x - 1.0f) : (WIDE)(0.0f);
            WIDE upper_part = TENT(in_y) * unit, lower_part = HEIGHT > 1 ? TENT(in_y - 1.0f) * unit : (WIDE)(0.0f);
            __attribute__((aligned(64))) int at[SIDE];
            PUT_WHOLE((j * WIDTH + i) * CHANNELS, at);
            for (int c = 0; c < CHANNELS; c++) {
                LANES corner[SIDE], beside[SIDE], below[SIDE], opposite[SIDE];
                UNROLL for (int l = 0; l < SIDE; l++) {
                    __global const NAME(source) *pixel = from + at[l] + c;
                    corner[l] = pixel[0];
                    beside[l] = pixel[NEXT_COLUMN];
                    below[l] = pixel[NEXT_ROW];
                    opposite[l] = pixel[NEXT_ROW + NEXT_COLUMN];
                }
                WIDE upper = left_part * TAKE(corner) + right_part * TAKE(beside);
                WIDE lower = left_part * TAKE(below) + right_part * TAKE(opposite);
                WIDE value = upper_part * upper + lower_part * lower;
                __global float *end = to + (row * WIDTH + column) * CHANNELS + c;
#if ACROSS && CHANNELS == 1
                if (WIDTH % VW == 0 || column + VW <= WIDTH) {
                    STORE(value, end);
                } else {
                    STORE_PART(value, end, WIDTH % VW);
                }
#else
                PUT(value, corner);
                for (int l = 0; l < min(SIDE, WIDTH - column); l++)
                    end[l * CHANNELS] = SETTLE(corner[l]);
#endif
            }
        }
    }
}
#undef SIDE
#undef WIDE
#undef TO_WIDE
#undef WHOLE
#undef TO_WHOLE
#undef PUT
#undef PUT_WHOLE
#undef TAKE
#undef TENT
#undef SPLINE
#undef SPLINE_NEAR
#undef SPLINE_FAR
#undef CUBE
#undef POINTS
#endif

#ifdef KERNEL_finish
/* An item is 4 * VW values of a sample. Noise is the sum of the four bytes of a word, less its mean and over its deviation: nearly
 * normal, and the same on every device. */
#if CONTRAST || ERASE
#define DRAWS_ARGUMENT in_t draws,
#else
#define DRAWS_ARGUMENT
#endif
ITEMS_KERNEL(finish)(__global float *x, __global const uint *order, DRAWS_ARGUMENT int start, int n, uint seed_low, uint seed_high, uint epoch,
                     float deviation)
{
    FOR_ITEMS(item, n * BLOCKS) {
        int s = item / BLOCKS, block = item % BLOCKS, first = block * 4 * VW;
        __global float *to = x + (long)s * COUNT + first;
#if CONTRAST
        float contrast = draws[s * DRAWS + DRAW_CONTRAST];
#endif
#if NOISE
        uintv words[4];
        random_words(block * VW, order[start + s], epoch, STREAM, seed_low, seed_high, words);
#endif
#if ERASE
        __global const float *erase = draws + s * DRAWS + DRAW_ERASE;
        int top = erase[0], bottom = erase[1], left = (int)erase[2] * CHANNELS, right = (int)erase[3] * CHANNELS;
        __attribute__((aligned(64))) int ramp[VW];
        UNROLL for (int l = 0; l < VW; l++)
            ramp[l] = first + l;
#endif
        UNROLL for (int q = 0; q < 4; q++) {
            int more = COUNT - first - q * VW;
            LANES lane[VW] = {0.0f};
            floatv v;
            if (more >= VW) {
                v = LOAD(to + q * VW);
            } else { /* values behind may be another item's */
                for (int l = 0; l < more; l++)
                    lane[l] = to[q * VW + l];
                v = FROM_LANES(lane);
            }
#if CONTRAST
            v = clamp(0.5f + contrast * (v - 0.5f), SPLAT(0.0f), SPLAT(1.0f));
#endif
#if NOISE
            uintv pairs = (words[q] & 0x00ff00ffu) + ((words[q] >> 8) & 0x00ff00ffu);
            floatv sum = CAT(convert_float, VW)((pairs & 0xffffu) + (pairs >> 16));
            v = clamp(v + deviation * ((sum - 510.0f) * 0.00676587509f), SPLAT(0.0f), SPLAT(1.0f));
#endif
#if ERASE
            intv place = CAT(vload, VW)(0, ramp) + q * VW, row = place / (WIDTH * CHANNELS), column = place - row * (WIDTH * CHANNELS);
            v = select(v, SPLAT(0.0f), row >= top & row < bottom & column >= left & column < right);
#endif
            if (more > 0) {
                STORE_FIRST(v, to + q * VW, more)
            }
        }
    }
}
#endif
#undef DRAWS
#undef DRAW_MAP
#undef DRAW_THICKNESS
#undef DRAW_CONTRAST
#undef DRAW_ERASE
#undef FIELD_NUMBERS
#undef PIXELS_KERNEL
#undef ROWS_ARGUMENTS
#undef FIELD_ARGUMENT
#undef DRAWS_ARGUMENT
