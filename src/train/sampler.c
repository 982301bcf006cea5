/* The split, the order of an epoch, and its batches; see sampler.h. */
#include "train/sampler.h"

#include <stdlib.h>
#include <string.h>

#include "data/dataset.h"
#include "util/rng.h"

enum { CLASSES = 256 }; /* a label is a byte */

int ink_epoch_batch(const struct ink_train_options *o, size_t count, int epoch)
{
    int batch = o->batch, doublings = (epoch - 1) / o->batch_every;
    for (int i = 0; i < doublings && batch < o->batch_to; i++)
        batch = batch <= o->batch_to / 2 ? 2 * batch : o->batch_to;
    return (size_t)batch < count ? batch : (int)count;
}

size_t ink_epoch_steps(const struct ink_train_options *o, size_t count, int epoch)
{
    size_t batch = (size_t)ink_epoch_batch(o, count, epoch);
    return (count + batch - 1) / batch;
}

struct ink_batch ink_epoch_step(const struct ink_train_options *o, size_t count, int epoch, size_t step)
{
    size_t batch = (size_t)ink_epoch_batch(o, count, epoch), start = step * batch;
    return (struct ink_batch){start, count - start < batch ? count - start : batch};
}

uint64_t ink_steps_before(const struct ink_train_options *o, size_t count, int epoch)
{
    uint64_t steps = 0;
    for (int first = 1; first < epoch; first += o->batch_every) { /* epochs in a row of one size */
        int end = epoch - first > o->batch_every ? first + o->batch_every : epoch;
        steps += (uint64_t)(end - first) * ink_epoch_steps(o, count, first);
    }
    return steps;
}

struct ink_batch ink_batch_part(struct ink_batch batch, size_t i, size_t n)
{
    size_t first = batch.count * i / n, end = batch.count * (i + 1) / n;
    return (struct ink_batch){batch.start + first, end - first};
}

size_t ink_validation_count(const struct ink_train_options *o, size_t count) { return (size_t)((double)count * o->validation + 0.5); }

/* Shares a total out to classes in proportion to their samples: whole parts, then one more to those that lack most; the first of equals. */
static void share_out(const size_t samples[CLASSES], size_t count, size_t total, size_t quota[CLASSES])
{
    size_t rest[CLASSES], given = 0;
    for (int c = 0; c < CLASSES; c++) {
        quota[c] = (size_t)((uint64_t)samples[c] * total / count);
        rest[c] = (size_t)((uint64_t)samples[c] * total % count);
        given += quota[c];
    }
    for (; given < total; given++) {
        int most = 0;
        for (int c = 1; c < CLASSES; c++)
            if (rest[c] > rest[most])
                most = c;
        quota[most]++;
        rest[most] = 0;
    }
}

static void count_classes(const uint8_t *labels, const uint32_t *order, size_t count, size_t classes[CLASSES])
{
    memset(classes, 0, CLASSES * sizeof *classes);
    for (size_t i = 0; i < count; i++)
        classes[labels[order[i]]]++;
}

/* The first of each class in a random order are kept apart. */
static ink_status split(const ink_dataset *dataset, struct ink_sampler *s)
{
    size_t samples[CLASSES], quota[CLASSES], count = dataset->count, kept = 0, apart = 0;
    uint32_t *order = malloc(count * sizeof *order);
    bool *chosen = calloc(count, sizeof *chosen);
    if (!order || !chosen) {
        free(order);
        free(chosen);
        return ink_fail_memory(count * sizeof *order);
    }
    ink_random_order(s->options->seed, INK_STREAM(INK_STREAM_SPLIT, 0), order, count);
    count_classes(s->labels, order, count, samples);
    share_out(samples, count, s->apart_count, quota);
    for (size_t i = 0; i < count; i++)
        if (quota[s->labels[order[i]]]) {
            quota[s->labels[order[i]]]--;
            chosen[order[i]] = true;
        }
    for (size_t i = 0; i < count; i++)
        if (chosen[i])
            s->apart[apart++] = (uint32_t)i;
        else
            s->kept[kept++] = (uint32_t)i;
    free(order);
    free(chosen);
    return INK_OK;
}

ink_status ink_sampler_create(const ink_dataset *dataset, const struct ink_train_options *options, struct ink_sampler *out)
{
    struct ink_sampler s = {.labels = dataset->labels, .options = options};
    size_t count = dataset->count;
    s.apart_count = ink_validation_count(options, count);
    if (options->validation > 0 && (!s.apart_count || s.apart_count == count))
        return ink_fail(INK_ERROR_ARGUMENT, "validation is %g, which of %zu samples leaves none to %s; choose another share, or more samples",
                        options->validation, count, s.apart_count ? "train on" : "validate on");
    s.kept_count = count - s.apart_count;
    s.kept = malloc(count * sizeof *s.kept); /* both in one */
    if (!s.kept)
        return ink_fail_memory(count * sizeof *s.kept);
    s.apart = s.kept + s.kept_count;
    ink_status status = split(dataset, &s);
    if (status) {
        ink_sampler_destroy(&s);
        return status;
    }
    count_classes(s.labels, s.kept, s.kept_count, s.classes);
    *out = s;
    return INK_OK;
}

void ink_sampler_destroy(struct ink_sampler *sampler)
{
    free(sampler->kept);
    *sampler = (struct ink_sampler){0};
}

/* The class of each place, so that up to every place each class has its share to within one sample; then it has in any batch to within
 * two. R. Tijdeman, "The chairman assignment problem", 1980: of the classes that may come next, the one that must come soonest. next[c]
 * is where class c's samples begin in from, and is moved on. */
static void spread(const struct ink_sampler *s, const uint32_t *from, size_t next[CLASSES], uint32_t *order)
{
    size_t taken[CLASSES] = {0};
    int present[CLASSES], k = 0;
    const double count = (double)s->kept_count, rounding = 1e-6; /* of samples, up to 4e9 of them */
    for (int c = 0; c < CLASSES; c++)
        if (s->classes[c])
            present[k++] = c;
    double slack = k > 1 ? 1 - 1 / (2.0 * k - 2) : 1;
    for (size_t p = 0; p < s->kept_count; p++) {
        int best = -1;
        double soonest = 0;
        for (int i = 0; i < k; i++) {
            int c = present[i];
            double share = (double)s->classes[c] / count, lacks = share * (double)(p + 1) - (double)taken[c], deadline = (slack - lacks) / share;
            if (lacks >= 1 - slack - rounding && (best < 0 || deadline < soonest)) {
                best = c;
                soonest = deadline;
            }
        }
        taken[best]++;
        order[p] = from[next[best]++];
    }
}

static ink_status stratify(const struct ink_sampler *s, uint32_t *order)
{
    size_t next[CLASSES], at = 0;
    uint32_t *by_class = malloc(s->kept_count * sizeof *by_class);
    if (!by_class)
        return ink_fail_memory(s->kept_count * sizeof *by_class);
    for (int c = 0; c < CLASSES; c++) {
        next[c] = at;
        at += s->classes[c];
    }
    for (size_t i = 0; i < s->kept_count; i++)
        by_class[next[s->labels[order[i]]]++] = order[i];
    for (int c = 0; c < CLASSES; c++)
        next[c] -= s->classes[c];
    spread(s, by_class, next, order);
    free(by_class);
    return INK_OK;
}

ink_status ink_sampler_order(const struct ink_sampler *s, int epoch, uint32_t *order)
{
    ink_random_order(s->options->seed, INK_STREAM(INK_STREAM_ORDER, epoch), order, s->kept_count);
    for (size_t i = 0; i < s->kept_count; i++)
        order[i] = s->kept[order[i]];
    return s->options->sampling == INK_SAMPLING_STRATIFIED ? stratify(s, order) : INK_OK;
}
