/* Writing, reading and comparing checkpoints; see checkpoint.h. */
#include "train/checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/dataset.h"
#include "device/device.h"
#include "train/sampler.h"
#include "train/train.h"
#include "util/file.h"

enum { VALUE_BYTES = 32 };
enum kind { KIND_INT, KIND_BOOL, KIND_U64, KIND_SIZE, KIND_DOUBLE };

struct field {
    const char *name;
    enum kind kind;
    size_t offset;
};

_Static_assert(sizeof(ink_optimizer) == sizeof(int) && sizeof(ink_schedule) == sizeof(int), "enumerations are read and written as int");
_Static_assert(sizeof(ink_anneal) == sizeof(int) && sizeof(ink_monitor) == sizeof(int), "enumerations are read and written as int");
_Static_assert(sizeof(ink_sampling) == sizeof(int), "enumerations are read and written as int");

/* Every option that the result depends on. */
#define OPTION(kind, name) {#name, KIND_##kind, offsetof(struct ink_train_options, name)}
static const struct field option_fields[] = {
    OPTION(INT, epochs), OPTION(INT, batch), OPTION(INT, optimizer), OPTION(DOUBLE, learning_rate), OPTION(DOUBLE, momentum),
    OPTION(BOOL, nesterov), OPTION(DOUBLE, beta1), OPTION(DOUBLE, beta2), OPTION(DOUBLE, epsilon), OPTION(DOUBLE, weight_decay),
    OPTION(DOUBLE, label_smoothing), OPTION(INT, schedule), OPTION(INT, warmup), OPTION(INT, step_size), OPTION(INT, plateau_epochs),
    OPTION(DOUBLE, gamma), OPTION(DOUBLE, min_learning_rate), OPTION(DOUBLE, pct_start), OPTION(DOUBLE, div_factor),
    OPTION(DOUBLE, final_div_factor), OPTION(INT, anneal), OPTION(DOUBLE, clip_norm), OPTION(DOUBLE, ema), OPTION(INT, monitor),
    OPTION(INT, patience), OPTION(U64, seed), OPTION(BOOL, reproducible),
    OPTION(DOUBLE, validation), OPTION(INT, sampling), OPTION(INT, batch_to), OPTION(INT, batch_every),
    OPTION(DOUBLE, augmentation.shift), OPTION(DOUBLE, augmentation.rotate), OPTION(DOUBLE, augmentation.scale), OPTION(DOUBLE, augmentation.shear),
    OPTION(DOUBLE, augmentation.elastic), OPTION(DOUBLE, augmentation.elastic_smoothness), OPTION(DOUBLE, augmentation.thickness),
    OPTION(DOUBLE, augmentation.contrast), OPTION(DOUBLE, augmentation.noise), OPTION(DOUBLE, augmentation.erase),
    OPTION(INT, micro_batch),
};
enum { OPTIONS = sizeof option_fields / sizeof *option_fields };

#define COUNTER(kind, name) {#name, KIND_##kind, offsetof(struct ink_snapshot, name)}
static const struct field counter_fields[] = {
    COUNTER(U64, step), COUNTER(INT, epoch), COUNTER(SIZE, position), COUNTER(DOUBLE, sums.loss), COUNTER(DOUBLE, sums.more), COUNTER(SIZE, sums.correct),
    COUNTER(SIZE, sums.count), COUNTER(DOUBLE, monitored.best), COUNTER(DOUBLE, monitored.scale), COUNTER(INT, monitored.best_epoch),
    COUNTER(INT, monitored.stale), COUNTER(INT, monitored.plateau),
};
enum { COUNTERS = sizeof counter_fields / sizeof *counter_fields };

#define DATUM(name) {#name, KIND_SIZE, offsetof(struct ink_run, name)}
static const struct field data_fields[] = {DATUM(train_count), DATUM(test_count)};
enum { DATA = sizeof data_fields / sizeof *data_fields };

static const char *const array_names[INK_AVERAGE + 1] = {
    [INK_PARAMETERS] = "weights", [INK_STATE] = "statistics", [INK_MOMENT1] = "moment1", [INK_MOMENT2] = "moment2", [INK_AVERAGE] = "average",
};

/* The checksum stands first in the file's header, so its place is known. */
static const char opening[] = "{\"__metadata__\":{\"inkling.checksum\":\"";
static const char no_checksum[] = "00000000000000000000000000000000";
enum { CHECKSUM_AT = 8 + sizeof opening - 1 };

static void write_value(const struct field *field, const void *base, char text[VALUE_BYTES])
{
    const char *at = (const char *)base + field->offset;
    int whole;
    uint64_t large;
    size_t size;
    double real;
    switch (field->kind) {
    case KIND_INT:
        memcpy(&whole, at, sizeof whole);
        snprintf(text, VALUE_BYTES, "%d", whole);
        break;
    case KIND_BOOL:
        snprintf(text, VALUE_BYTES, "%d", *(const bool *)at);
        break;
    case KIND_U64:
        memcpy(&large, at, sizeof large);
        snprintf(text, VALUE_BYTES, "%" PRIu64, large);
        break;
    case KIND_SIZE:
        memcpy(&size, at, sizeof size);
        snprintf(text, VALUE_BYTES, "%zu", size);
        break;
    case KIND_DOUBLE:
        memcpy(&real, at, sizeof real);
        snprintf(text, VALUE_BYTES, "%a", real);
        break;
    }
}

static bool read_value(const struct field *field, const char *text, void *base)
{
    char *at = (char *)base + field->offset, *end;
    errno = 0;
    if (field->kind == KIND_DOUBLE) {
        double real = strtod(text, &end);
        memcpy(at, &real, sizeof real);
    } else if (field->kind == KIND_INT) {
        int whole = (int)strtol(text, &end, 10);
        memcpy(at, &whole, sizeof whole);
    } else {
        uint64_t large = strtoull(text, &end, 10);
        size_t size = (size_t)large;
        if (field->kind == KIND_BOOL)
            *(bool *)at = large != 0;
        else
            memcpy(at, field->kind == KIND_U64 ? (void *)&large : (void *)&size, field->kind == KIND_U64 ? sizeof large : sizeof size);
    }
    return end != text && !*end && !errno;
}

/* The tables of fields, for walking over all of them. */
struct table {
    const char *prefix;
    const struct field *fields;
    int count;
    void *base;
};
enum { TABLES = 3 };

static void list_tables(struct ink_run *run, struct ink_snapshot *snapshot, struct table tables[TABLES])
{
    tables[0] = (struct table){"option", option_fields, OPTIONS, &run->options};
    tables[1] = (struct table){"counter", counter_fields, COUNTERS, snapshot};
    tables[2] = (struct table){"data", data_fields, DATA, run};
}

ink_status ink_checkpoint_write(const char *path, const struct ink_run *run, const struct ink_snapshot *snapshot)
{
    enum { TEXTS = 11, MOST_TEXTS = OPTIONS + COUNTERS + DATA + TEXTS };
    char weights[INK_SHARES_BYTES];
    ink_shares_text(snapshot->weights, snapshot->weight_count, weights);
    struct ink_safetensors_text texts[MOST_TEXTS] = {
        {"inkling.checksum", no_checksum}, {"inkling.checkpoint", "1"}, {"model", run->model}, {"choices", run->choices}, {"maker", run->maker},
        {"train", run->train}, {"test", run->test}, {"algorithms", run->options.algorithms ? run->options.algorithms : ""},
        {"class_weights", run->options.class_weights ? run->options.class_weights : ""}, {"shares", run->shares}, {"weights of devices", weights},
    };
    char keys[MOST_TEXTS][48], values[MOST_TEXTS][VALUE_BYTES];
    struct ink_safetensors_entry entries[INK_AVERAGE + 1];
    struct table tables[TABLES];
    struct ink_run of = *run;
    struct ink_snapshot counters = *snapshot;
    size_t text_count = TEXTS, entry_count = 0, size;
    unsigned char *bytes;
    list_tables(&of, &counters, tables);
    for (int t = 0; t < TABLES; t++)
        for (int f = 0; f < tables[t].count; f++, text_count++) {
            snprintf(keys[text_count], sizeof keys[0], "%s.%s", tables[t].prefix, tables[t].fields[f].name);
            write_value(&tables[t].fields[f], tables[t].base, values[text_count]);
            texts[text_count] = (struct ink_safetensors_text){keys[text_count], values[text_count]};
        }
    for (int s = 0; s <= INK_AVERAGE; s++)
        if (snapshot->arrays[s] && snapshot->counts[s])
            entries[entry_count++] = (struct ink_safetensors_entry){array_names[s], 1, {snapshot->counts[s]}, snapshot->arrays[s]};
    INK_TRY(ink_safetensors_write(entries, entry_count, texts, text_count, &bytes, &size));
    struct ink_hash hash = ink_hash_bytes(bytes, size);
    char digits[INK_HASH_DIGITS + 1];
    ink_hash_text(&hash, digits);
    memcpy(bytes + CHECKSUM_AT, digits, INK_HASH_DIGITS);
    ink_status status = ink_file_replace(path, bytes, size);
    free(bytes);
    return status;
}

/* Reads a file and holds it against its checksum. */
static ink_status read_whole(const char *path, struct ink_safetensors **file)
{
    unsigned char *bytes;
    size_t size;
    char written[INK_HASH_DIGITS + 1] = "", digits[INK_HASH_DIGITS + 1];
    INK_TRY(ink_file_read(path, INK_SAFETENSORS_BYTES, &bytes, &size));
    if (size < CHECKSUM_AT + INK_HASH_DIGITS || memcmp(bytes + 8, opening, sizeof opening - 1) != 0) {
        free(bytes);
        return ink_fail(INK_ERROR_FORMAT, "%s: is no checkpoint, or its beginning is damaged", path);
    }
    memcpy(written, bytes + CHECKSUM_AT, INK_HASH_DIGITS);
    memcpy(bytes + CHECKSUM_AT, no_checksum, INK_HASH_DIGITS);
    struct ink_hash hash = ink_hash_bytes(bytes, size);
    ink_hash_text(&hash, digits);
    ink_status status = ink_safetensors_parse(path, bytes, size, file); /* which tells more where the file is cut off */
    if (!status && strcmp(digits, written) != 0) {
        ink_safetensors_destroy(file);
        status = ink_fail(INK_ERROR_FORMAT, "%s: was altered after it was written: its checksum is %s, and that of its content %s", path, written, digits);
    }
    if (status)
        free(bytes);
    else
        (*file)->content = bytes;
    return status;
}

static bool is_whole(const char *path)
{
    struct ink_safetensors *file;
    bool whole = !read_whole(path, &file);
    if (whole)
        ink_safetensors_destroy(&file);
    return whole;
}

static const char *text_of(const struct ink_safetensors *file, const char *key)
{
    const char *text = ink_safetensors_find_text(file, key);
    return text ? text : "";
}

/* Takes the run and the counters out of the texts. */
static ink_status read_texts(const char *path, struct ink_checkpoint *c)
{
    const char *algorithms = text_of(c->file, "algorithms"), *weights = text_of(c->file, "class_weights"), *version = text_of(c->file, "inkling.checkpoint");
    struct table tables[TABLES];
    if (strcmp(version, "1") != 0)
        return ink_fail(INK_ERROR_FORMAT, "%s: is a checkpoint of form \"%s\", which this version does not read; use the version that wrote it", path, version);
    c->run.model = text_of(c->file, "model");
    c->run.choices = text_of(c->file, "choices");
    c->run.options.algorithms = *algorithms ? algorithms : NULL;
    c->run.options.class_weights = *weights ? weights : NULL;
    snprintf(c->run.maker, sizeof c->run.maker, "%s", text_of(c->file, "maker"));
    snprintf(c->run.train, sizeof c->run.train, "%s", text_of(c->file, "train"));
    snprintf(c->run.test, sizeof c->run.test, "%s", text_of(c->file, "test"));
    snprintf(c->run.shares, sizeof c->run.shares, "%s", text_of(c->file, "shares"));
    if (!ink_shares_read(text_of(c->file, "weights of devices"), c->snapshot.weights, &c->snapshot.weight_count))
        return ink_fail(INK_ERROR_FORMAT, "%s: the weights of its devices are no numbers: \"%.40s\"", path, text_of(c->file, "weights of devices"));
    list_tables(&c->run, &c->snapshot, tables);
    for (int t = 0; t < TABLES; t++)
        for (int f = 0; f < tables[t].count; f++) {
            char key[48];
            snprintf(key, sizeof key, "%s.%s", tables[t].prefix, tables[t].fields[f].name);
            if (!ink_safetensors_find_text(c->file, key))
                continue; /* a version that did not have it wrote the file: it is 0 */
            if (!read_value(&tables[t].fields[f], text_of(c->file, key), tables[t].base))
                return ink_fail(INK_ERROR_FORMAT, "%s: \"%s\" is no number: \"%s\"", path, key, text_of(c->file, key));
        }
    return INK_OK;
}

ink_status ink_checkpoint_open(const char *path, struct ink_checkpoint *out)
{
    struct ink_checkpoint checkpoint = {0};
    char before[INK_CHECKPOINT_PATH], why[1024];
    ink_status status = read_whole(path, &checkpoint.file);
    if (!status)
        status = read_texts(path, &checkpoint);
    if (!status) {
        *out = checkpoint;
        return INK_OK;
    }
    ink_checkpoint_close(&checkpoint);
    snprintf(why, sizeof why, "%s", ink_last_error());
    if (ink_checkpoint_before(path, is_whole, before))
        return ink_fail(status, "%s; %s is whole: resume from that one", why, before);
    return ink_fail(status, "%s; its folder has no other checkpoint that is whole", why);
}

void ink_checkpoint_close(struct ink_checkpoint *checkpoint)
{
    ink_safetensors_destroy(&checkpoint->file);
    *checkpoint = (struct ink_checkpoint){0};
}

static ink_status check_text(const char *path, const char *name, const char *before, const char *now)
{
    before = before ? before : "";
    now = now ? now : "";
    return strcmp(before, now) == 0 ? INK_OK
                                    : ink_fail(INK_ERROR_ARGUMENT, "%s: is of a run whose %s are \"%s\", not \"%s\"; give the same", path, name, before, now);
}

ink_status ink_checkpoint_check(const struct ink_checkpoint *c, const struct ink_run *run)
{
    const char *path = c->file->path;
    struct ink_train_options before, now;
    INK_TRY(ink_train_defaults(&c->run.options, &before));
    INK_TRY(ink_train_defaults(&run->options, &now));
    if (strcmp(c->run.model, run->model) != 0)
        return ink_fail(INK_ERROR_ARGUMENT, "%s: is of another model; go on with its own", path);
    if (c->run.train_count != run->train_count || strcmp(c->run.train, run->train) != 0)
        return ink_fail(INK_ERROR_ARGUMENT, "%s: is of other training data (%zu images, not these %zu); use the same data and limit", path,
                        c->run.train_count, run->train_count);
    if (c->run.test_count != run->test_count || strcmp(c->run.test, run->test) != 0)
        return ink_fail(INK_ERROR_ARGUMENT, "%s: is of other test data (%zu images, not these %zu); use the same data and limit", path,
                        c->run.test_count, run->test_count);
    for (int f = 0; f < OPTIONS; f++) {
        char old[VALUE_BYTES], new[VALUE_BYTES];
        write_value(&option_fields[f], &before, old);
        write_value(&option_fields[f], &now, new);
        if (strcmp(old, new) == 0)
            continue;
        if (option_fields[f].kind == KIND_DOUBLE) {
            snprintf(old, sizeof old, "%.9g", strtod(old, NULL));
            snprintf(new, sizeof new, "%.9g", strtod(new, NULL));
        }
        return ink_fail(INK_ERROR_ARGUMENT, "%s: is of a run whose %s is %s, not %s; give the same", path, option_fields[f].name, old, new);
    }
    INK_TRY(check_text(path, "algorithms", before.algorithms, now.algorithms));
    INK_TRY(check_text(path, "class_weights", before.class_weights, now.class_weights));
    INK_TRY(check_text(path, "shares", c->run.shares, run->shares));
    if (strcmp(c->run.maker, run->maker) != 0)
        ink_log(INK_LOG_WARNING, "%s: was made by %s, and goes on with %s: results may differ from those of an uninterrupted run", path, c->run.maker, run->maker);
    return INK_OK;
}

/* True if the counters are of a place in training. */
static bool is_place(const struct ink_run *run, const struct ink_snapshot *s)
{
    struct ink_train_options o;
    if (ink_train_defaults(&run->options, &o) || ink_validation_count(&o, run->train_count) >= run->train_count || s->epoch < 1)
        return false;
    size_t count = run->train_count - ink_validation_count(&o, run->train_count);
    return s->position <= ink_epoch_steps(&o, count, s->epoch) && s->sums.count <= count
           && s->step == ink_steps_before(&o, count, s->epoch) + s->position;
}

ink_status ink_checkpoint_restore(const struct ink_checkpoint *c, struct ink_snapshot *snapshot)
{
    struct ink_snapshot restored = c->snapshot;
    memcpy(restored.arrays, snapshot->arrays, sizeof restored.arrays);
    memcpy(restored.counts, snapshot->counts, sizeof restored.counts);
    if (!is_place(&c->run, &restored))
        return ink_fail(INK_ERROR_FORMAT, "%s: its counters do not fit each other", c->file->path);
    for (int s = 0; s <= INK_AVERAGE; s++) {
        if (!restored.arrays[s] || !restored.counts[s])
            continue;
        const struct ink_safetensors_tensor *tensor = ink_safetensors_find(c->file, array_names[s]);
        if (!tensor || tensor->count != restored.counts[s])
            return ink_fail(INK_ERROR_FORMAT, "%s: has %zu values of \"%s\", and the model asks for %zu", c->file->path, tensor ? tensor->count : 0,
                            array_names[s], restored.counts[s]);
        INK_TRY(ink_safetensors_floats(c->file, tensor, restored.arrays[s]));
    }
    *snapshot = restored;
    return INK_OK;
}

static void describe_data(const ink_dataset *dataset, size_t *count, char hash[INK_HASH_DIGITS + 1])
{
    struct ink_hash parts[2] = {ink_hash_bytes(dataset->images, dataset->count * ink_shape_count(dataset->shape)),
                                ink_hash_bytes(dataset->labels, dataset->count)};
    struct ink_hash both = ink_hash_bytes(parts, sizeof parts);
    *count = dataset->count;
    ink_hash_text(&both, hash);
}

void ink_run_describe(struct ink_run *run, const ink_device *device, const ink_dataset *train, const ink_dataset *test)
{
    const struct ink_device_info *info = &device->info;
    const struct ink_train_options *o = &run->options;
    int used = snprintf(run->maker, sizeof run->maker, "%s, driver %s, Inkling %s", info->name, info->driver, ink_version());
    for (size_t i = 1; i < o->device_count && used < (int)sizeof run->maker; i++)
        used += snprintf(run->maker + used, sizeof run->maker - (size_t)used, ", %s", o->devices[i]->info.name);
    if (o->group && used < (int)sizeof run->maker)
        snprintf(run->maker + used, sizeof run->maker - (size_t)used, ", %d processes", ink_group_get_info(o->group).size);
    if (o->shares)
        ink_shares_text(o->shares, (int)o->device_count, run->shares);
    describe_data(train, &run->train_count, run->train);
    if (test)
        describe_data(test, &run->test_count, run->test);
}
