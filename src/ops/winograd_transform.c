/* Winograd's matrices, and the shortest straight code for them. A matrix becomes sums of fused multiply-adds; columns that
 * agree but for signs (those of points a and -a) share a sum and a difference of their inputs, and rows that do (likewise)
 * share their even and odd parts, which halves the work. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ops/winograd.h"
#include "util/text.h"

enum { L = INK_WINOGRAD_LARGEST };

/* Finite points, by how many there are: small, and in pairs of a and -a where that does not cost accuracy. */
static const double points[L][L - 1] = {
    [1] = {0}, [2] = {0, 1}, [3] = {0, 1, -1}, [4] = {0, 1, -1, 2}, [5] = {0, 1, -1, 0.5, -2},
    [6] = {0, 1, -1, 0.5, -0.5, -2}, [7] = {0, 1, -1, 0.5, -0.5, 2, -2},
};

/* The power of two nearest to the largest filter coefficient of point j: what balances filter and input. */
static double log_scale(const struct ink_winograd *w, int j)
{
    double largest = 0;
    for (int k = 0; k < w->r; k++)
        largest = fmax(largest, fabs(w->filter[j * w->r + k]));
    return log2(largest);
}

void ink_winograd_matrices(int m, int r, struct ink_winograd *w)
{
    int n = m + r - 1, finite = n - 1;
    const double *p = points[finite];
    *w = (struct ink_winograd){.m = m, .r = r, .n = n, .one = 1};
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++)
            w->output[i * n + j] = j < finite ? pow(p[j], i) : i == m - 1;
    for (int j = 0; j < n; j++) {
        double f = 1, polynomial[L] = {1}; /* the product of x - p[i] over the other finite points, and its value at p[j] */
        int degree = 0;
        for (int i = 0; i < finite; i++) {
            if (i == j)
                continue;
            if (j < finite)
                f *= p[j] - p[i];
            degree++;
            for (int k = degree; k > 0; k--)
                polynomial[k] = polynomial[k - 1] - p[i] * polynomial[k];
            polynomial[0] *= -p[i];
        }
        for (int k = 0; k < r; k++)
            w->filter[j * r + k] = j < finite ? pow(p[j], k) / f : k == r - 1;
        for (int k = 0; k < n; k++)
            w->input[j * n + k] = polynomial[k];
    }
    double scale[L];
    for (int j = 0; j < n; j++) {
        scale[j] = log_scale(w, j);
        for (int i = 0; i < finite && j < finite; i++) /* a and -a get the same scale, or they would share nothing */
            if (p[i] == -p[j] && i != j)
                scale[j] = 0.5 * (log_scale(w, i) + log_scale(w, j));
    }
    for (int j = 0; j < n; j++) {
        double factor = exp2(round(scale[j]));
        for (int k = 0; k < r; k++)
            w->filter[j * r + k] /= factor;
        for (int k = 0; k < n; k++)
            w->input[j * n + k] *= factor;
    }
}

static double row_squares(const double *row, int stride, int count)
{
    double sum = 0;
    for (int k = 0; k < count; k++)
        sum += row[k * stride] * row[k * stride];
    return sum;
}

double ink_winograd_error(const struct ink_winograd *w)
{
    double images = 0, weights = 0;
    for (int i = 0; i < w->m; i++) {
        double sum = 0;
        for (int j = 0; j < w->n; j++)
            sum += pow(w->output[i * w->n + j], 2) * row_squares(w->filter + j * w->r, 1, w->r) * row_squares(w->input + j * w->n, 1, w->n);
        images = fmax(images, sum / w->r);
    }
    for (int k = 0; k < w->r; k++) {
        double sum = 0;
        for (int j = 0; j < w->n; j++)
            sum += pow(w->filter[j * w->r + k], 2) * row_squares(w->output + j, w->n, w->m) * row_squares(w->input + j * w->n, 1, w->n);
        weights = fmax(weights, sum / w->m);
    }
    return fmax(images, weights);
}

/* A sum of coefficients times symbols. */
struct row { double of[2 * L]; };

static int terms(const struct row *row)
{
    int count = 0;
    for (int i = 0; i < 2 * L; i++)
        count += row->of[i] != 0;
    return count;
}

/* Where transforms are written to, and the coefficients that stand in them. */
struct writer {
    struct ink_text *text;
    float coefficients[6 * L * 2 * L];
    int count;
};

/* The number of a coefficient among those written so far. */
static int number(struct writer *to, double coefficient)
{
    int i = 0;
    while (i < to->count && to->coefficients[i] != (float)coefficient)
        i++;
    if (i == to->count)
        to->coefficients[to->count++] = (float)coefficient;
    return i;
}

/* Symbols 0 .. L - 1 are the inputs, or the sums of pairs; L .. 2 L - 1 the differences of pairs. */
static void write_sum(struct writer *to, const struct row *row)
{
    char sum[2048] = "";
    for (int pass = 0; pass < 2; pass++) /* whole terms come last, as they need no multiplication */
        for (int i = 0; i < 2 * L; i++) {
            double c = row->of[i];
            bool whole = c == 1 || c == -1;
            char before[2048];
            if (c == 0 || whole != (pass == 1))
                continue;
            strcpy(before, sum);
            if (!*before)
                whole ? snprintf(sum, sizeof sum, c == 1 ? "s%d" : "(-s%d)", i) : snprintf(sum, sizeof sum, "(s%d * C(%d, %af))", i, number(to, c), c);
            else if (whole)
                snprintf(sum, sizeof sum, "(%.1900s %c s%d)", before, c > 0 ? '+' : '-', i);
            else
                snprintf(sum, sizeof sum, "fma(SPLAT(C(%d, %af)), s%d, %.1900s)", number(to, c), c, i, before);
        }
    ink_text_add(to->text, "%s", *sum ? sum : "SPLAT(0.0f)");
}

/* True if two columns agree but for signs, and both signs occur: with the sum and the difference of their inputs each row
 * needs one term where it needed two. */
static bool pair_columns(const double *matrix, int rows, int columns, int a, int b)
{
    int same = 0, opposite = 0;
    for (int k = 0; k < rows; k++) {
        double x = matrix[k * columns + a], y = matrix[k * columns + b];
        if (fabs(x) != fabs(y))
            return false;
        same += x != 0 && x == y;
        opposite += x != 0 && x == -y;
    }
    return same && opposite && same + opposite > 2;
}

/* #define name(O, D) { O(i) = ...; } for a matrix; gives its operations. */
static int write_transform(struct writer *to, const char *name, const double *matrix, int rows, int columns)
{
    struct row row[L] = {0};
    bool paired[L] = {false}, done[L] = {false};
    int work = 0;
    ink_text_add(to->text, "#undef %s\n#define %s(O, D) {", name, name);
    for (int a = 0; a < columns; a++) {
        int b = a + 1;
        if (paired[a])
            continue;
        while (b < columns && (paired[b] || !pair_columns(matrix, rows, columns, a, b)))
            b++;
        if (b < columns) {
            paired[a] = paired[b] = true;
            ink_text_add(to->text, " floatv a%d = D(%d), a%d = D(%d), s%d = a%d + a%d, s%d = a%d - a%d;", a, a, b, b, a, a, b, L + a, a, b);
            work += 2;
            for (int k = 0; k < rows; k++) {
                double x = matrix[k * columns + a];
                row[k].of[x == matrix[k * columns + b] ? a : L + a] = x;
            }
        } else {
            ink_text_add(to->text, " floatv s%d = D(%d);", a, a);
            for (int k = 0; k < rows; k++)
                row[k].of[a] = matrix[k * columns + a];
        }
    }
    for (int i = 0; i < rows; i++) {
        struct row even = {0}, odd = {0};
        int best = -1, gain = 0;
        for (int j = i + 1; j < rows && !done[i]; j++) {
            if (done[j])
                continue;
            for (int s = 0; s < 2 * L; s++) {
                even.of[s] = (row[i].of[s] + row[j].of[s]) / 2;
                odd.of[s] = (row[i].of[s] - row[j].of[s]) / 2;
            }
            int saved = terms(&row[i]) + terms(&row[j]) - terms(&even) - terms(&odd) - 2;
            if (saved > gain && terms(&even) && terms(&odd)) {
                best = j;
                gain = saved;
            }
        }
        if (best >= 0) {
            for (int s = 0; s < 2 * L; s++) {
                even.of[s] = (row[i].of[s] + row[best].of[s]) / 2;
                odd.of[s] = (row[i].of[s] - row[best].of[s]) / 2;
            }
            ink_text_add(to->text, " floatv e%d = ", i);
            write_sum(to, &even);
            ink_text_add(to->text, ", o%d = ", i);
            write_sum(to, &odd);
            ink_text_add(to->text, "; O(%d) = e%d + o%d; O(%d) = e%d - o%d;", i, i, i, best, i, i);
            work += terms(&even) + terms(&odd) + 2;
            done[best] = true;
        } else if (!done[i]) {
            ink_text_add(to->text, " O(%d) = ", i);
            write_sum(to, &row[i]);
            ink_text_add(to->text, ";");
            work += terms(&row[i]);
        }
        done[i] = true;
    }
    ink_text_add(to->text, " }\n");
    return work;
}

static void transpose(const double *matrix, int rows, int columns, double *out)
{
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++)
            out[j * rows + i] = matrix[i * columns + j];
}

static struct ink_winograd_work write_all(const struct ink_winograd *w, struct writer *to)
{
    double input_back[L * L], output_back[L * L], filter_back[L * L];
    transpose(w->input, w->n, w->n, input_back);
    transpose(w->output, w->m, w->n, output_back);
    transpose(w->filter, w->n, w->r, filter_back);
    struct ink_winograd_work work;
    work.input = write_transform(to, "INPUT", w->input, w->n, w->n);
    work.filter = write_transform(to, "FILTER", w->filter, w->n, w->r);
    work.output = write_transform(to, "OUTPUT", w->output, w->m, w->n);
    work.input_back = write_transform(to, "INPUT_BACK", input_back, w->n, w->n);
    work.output_back = write_transform(to, "OUTPUT_BACK", output_back, w->n, w->m);
    work.filter_back = write_transform(to, "FILTER_BACK", filter_back, w->r, w->n);
    work.coefficients = to->count;
    ink_text_add(to->text, "#undef COEFFICIENTS\n#define COEFFICIENTS %d\n#undef LAY_OUT\n#define LAY_OUT(to) {", to->count);
    for (int i = 0; i < to->count; i++)
        ink_text_add(to->text, " STORES(SPLAT(%af), (to) + %d * VW);", (double)to->coefficients[i], i);
    ink_text_add(to->text, " }\n");
    return work;
}

ink_status ink_winograd_text(const struct ink_winograd *winograd, char **out)
{
    struct ink_text text = {0};
    struct writer to = {.text = &text};
    write_all(winograd, &to);
    return ink_text_take(&text, out, NULL);
}

struct ink_winograd_work ink_winograd_work(const struct ink_winograd *winograd)
{
    struct ink_text none = {.status = INK_ERROR_ARGUMENT}; /* takes nothing in */
    struct writer to = {.text = &none};
    return write_all(winograd, &to);
}
