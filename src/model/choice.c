/* The table of choices and its file; see choice.h. */
#include "model/choice.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "device/folder.h"
#include "device/source.h"
#include "util/file.h"
#include "util/hash.h"
#include "util/text.h"

enum { FIELDS = 8, LARGEST_FILE = 64 << 20 };
static const char magic[] = "inkling choices 1";
static const char *const verdicts[INK_VERDICTS] = {"trying", "right", "chosen", "wrong", "failed", "hung"};

ink_status ink_choice_key(const struct ink_call *call, char key[INK_KEY_BYTES])
{
    static const char *const passes[INK_PASSES] = {"forward", "backward_data", "backward_weights"};
    const struct ink_node *node = call->node;
    const struct ink_layer *l = &node->layer;
    struct ink_text text = {0};
    char *bytes;
    size_t size;
    ink_text_add(&text, "%s %s in %dx%dx%d out %dx%dx%d", node->op->name, passes[call->pass], node->in.height, node->in.width, node->in.channels,
                 node->out.height, node->out.width, node->out.channels);
    if (l->filter_height)
        ink_text_add(&text, " filter %dx%d stride %dx%d pad %d,%d,%d,%d", l->filter_height, l->filter_width, l->stride_height, l->stride_width,
                     l->pad_top, l->pad_bottom, l->pad_left, l->pad_right);
    if (l->dilation_height)
        ink_text_add(&text, " dilation %dx%d", l->dilation_height, l->dilation_width);
    if (l->groups)
        ink_text_add(&text, " groups %d", l->groups);
    if (!l->no_bias)
        ink_text_add(&text, " bias");
    if (l->activation)
        ink_text_add(&text, " %s", ink_activation_name(l->activation));
    if (node->pool.height)
        ink_text_add(&text, " pool %dx%d", node->pool.height, node->pool.width);
    if (call->pass == INK_BACKWARD_DATA)
        ink_text_add(&text, " operand %d%s%s%s", call->operand, call->epilogue.accumulate ? " accumulate" : "",
                     call->epilogue.activation ? " through " : "", call->epilogue.activation ? ink_activation_name(call->epilogue.activation) : "");
    ink_text_add(&text, " batch %d%s %s vectors of %d", call->batch, call->training ? " training" : "",
                 call->style == INK_STYLE_CPU ? "CPU" : "GPU", call->vector_width);
    INK_TRY(ink_text_take(&text, &bytes, &size));
    bool fits = size < INK_KEY_BYTES;
    if (fits)
        memcpy(key, bytes, size + 1);
    free(bytes);
    return fits ? INK_OK : ink_fail(INK_ERROR_UNSUPPORTED, "layer '%s': its numbers are too long for a key", l->name);
}

/* Replaces what would end a field or a line. */
static void clean(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ')
            *text = ' ';
}

static ink_status name_table(const struct ink_device *device, struct ink_choices *choices)
{
    struct ink_text all = {0};
    char digits[INK_HASH_DIGITS + 1], *bytes;
    size_t size;
    for (const struct ink_source *source = ink_embedded_sources; source->name; source++) {
        char *text;
        INK_TRY(ink_source_load(source->name, &text)); /* which may lie in INKLING_CL_DIR */
        ink_text_add(&all, "%s\n", source->name);
        ink_text_bytes(&all, text, strlen(text));
        free(text);
    }
    INK_TRY(ink_text_take(&all, &bytes, &size));
    struct ink_hash hash = ink_hash_bytes(bytes, size);
    free(bytes);
    ink_hash_text(&hash, digits);
    char part[32] = ""; /* which of a device's units it is makes no difference, how many does */
    if (device->part)
        snprintf(part, sizeof part, ", %u of its units", device->info.compute_units);
    snprintf(choices->device, sizeof choices->device, "%s%s, driver %s, platform %s, kernels %.16s", device->info.name, part, device->info.driver,
             device->info.platform, digits);
    clean(choices->device);
    hash = ink_hash_bytes(choices->device, strlen(choices->device));
    ink_hash_text(&hash, digits);
    char name[64];
    snprintf(name, sizeof name, "choices-%.16s.txt", digits);
    if (!ink_cache_folder(name, choices->path, sizeof choices->path))
        return ink_fail(INK_ERROR_FILE, "there is no cache folder: set INKLING_CACHE_DIR, XDG_CACHE_HOME or HOME");
    return INK_OK;
}

static ink_status append(struct ink_choices *choices, const struct ink_trial *trial)
{
    if (choices->count == choices->room) {
        int room = choices->room ? 2 * choices->room : 32;
        struct ink_trial *more = realloc(choices->trials, (size_t)room * sizeof *more);
        if (!more)
            return ink_fail_memory((size_t)room * sizeof *more);
        choices->trials = more;
        choices->room = room;
    }
    choices->trials[choices->count++] = *trial;
    return INK_OK;
}

/* Reads a whole number in a range. */
static bool read_whole(const char *text, long long most, long long *value)
{
    char *end;
    errno = 0;
    *value = strtoll(text, &end, 10);
    return end != text && !*end && !errno && *value >= 0 && *value <= most;
}

/* Reads a line, which it takes apart; false if it is no trial. */
static bool read_trial(char *line, struct ink_trial *trial)
{
    char *fields[FIELDS], *end;
    long long variant, attempts;
    *trial = (struct ink_trial){0};
    for (int f = 0; f < FIELDS; f++) {
        fields[f] = line;
        line = strchr(line, '\t');
        if (!line != (f == FIELDS - 1))
            return false;
        if (line)
            *line++ = 0;
    }
    int verdict = 0;
    while (verdict < INK_VERDICTS && strcmp(verdicts[verdict], fields[3]) != 0)
        verdict++;
    trial->seconds = strtod(fields[4], &end);
    if (verdict == INK_VERDICTS || end == fields[4] || *end || !(trial->seconds >= 0) || !read_whole(fields[2], INT32_MAX, &variant) ||
        !read_whole(fields[5], INT64_MAX, &trial->when) || !read_whole(fields[6], INT32_MAX, &attempts))
        return false;
    trial->verdict = (enum ink_verdict)verdict;
    trial->variant = (int)variant;
    trial->attempts = (int)attempts;
    return (size_t)snprintf(trial->key, sizeof trial->key, "%s", fields[0]) < sizeof trial->key &&
           (size_t)snprintf(trial->algorithm, sizeof trial->algorithm, "%s", fields[1]) < sizeof trial->algorithm &&
           (size_t)snprintf(trial->reason, sizeof trial->reason, "%s", fields[7]) < sizeof trial->reason;
}

static ink_status read_table(struct ink_choices *choices, char *text, size_t size)
{
    char head[64], *line = memchr(text, '\n', size);
    if (!line || strlen(text) != size)
        return ink_fail(INK_ERROR_FORMAT, "it has no head");
    *line++ = 0;
    snprintf(head, sizeof head, "%s %08lx", magic, crc32(0, (const unsigned char *)line, (unsigned)(size - (size_t)(line - text))));
    if (strcmp(head, text) != 0)
        return ink_fail(INK_ERROR_FORMAT, "its checksum is wrong");
    for (bool first = true; *line; first = false) {
        char *next = line + strcspn(line, "\n");
        struct ink_trial trial;
        if (*next)
            *next++ = 0;
        if (first ? strcmp(line, choices->device) != 0 : !read_trial(line, &trial))
            return ink_fail(INK_ERROR_FORMAT, first ? "it is for another device" : "a line is no trial");
        if (!first)
            INK_TRY(append(choices, &trial));
        line = next;
    }
    return INK_OK;
}

ink_status ink_choices_open(const struct ink_device *device, struct ink_choices *choices)
{
    unsigned char *data;
    size_t size;
    *choices = (struct ink_choices){0};
    INK_TRY(name_table(device, choices));
    if (!ink_file_exists(choices->path))
        return INK_OK;
    INK_TRY(ink_file_read(choices->path, LARGEST_FILE, &data, &size));
    ink_status status = read_table(choices, (char *)data, size);
    free(data);
    if (status != INK_ERROR_FORMAT)
        return status;
    char aside[sizeof choices->path + 16];
    choices->count = 0;
    snprintf(aside, sizeof aside, "%s.damaged", choices->path);
    if (rename(choices->path, aside) != 0)
        return ink_fail(INK_ERROR_FILE, "%s is damaged and cannot be renamed: %s; remove it", choices->path, strerror(errno));
    ink_log(INK_LOG_WARNING, "%s: %s; it is now %s, and choices are measured anew", choices->path, ink_last_error(), aside);
    return INK_OK;
}

void ink_choices_free(struct ink_choices *choices)
{
    free(choices->trials);
    *choices = (struct ink_choices){0};
}

struct ink_trial *ink_choices_find(const struct ink_choices *choices, const char *key, const char *algorithm, int variant)
{
    for (int i = 0; i < choices->count; i++) {
        struct ink_trial *t = &choices->trials[i];
        if (t->variant == variant && strcmp(t->algorithm, algorithm) == 0 && strcmp(t->key, key) == 0)
            return t;
    }
    return NULL;
}

const struct ink_trial *ink_choices_chosen(const struct ink_choices *choices, const char *key)
{
    for (int i = 0; i < choices->count; i++)
        if (choices->trials[i].verdict == INK_CHOSEN && strcmp(choices->trials[i].key, key) == 0)
            return &choices->trials[i];
    return NULL;
}

void ink_choices_forget(struct ink_choices *choices, const char *key)
{
    int kept = 0;
    for (int i = 0; i < choices->count; i++)
        if (strcmp(choices->trials[i].key, key) != 0)
            choices->trials[kept++] = choices->trials[i];
    choices->count = kept;
}

static ink_status write_table(const struct ink_choices *choices)
{
    struct ink_text body = {0}, whole = {0};
    char *bytes, folder[sizeof choices->path];
    size_t size;
    if (!ink_cache_folder(NULL, folder, sizeof folder))
        return ink_fail(INK_ERROR_FILE, "there is no cache folder any more");
    INK_TRY(ink_folder_make(folder, 0700));
    ink_text_add(&body, "%s\n", choices->device);
    for (int i = 0; i < choices->count; i++) {
        const struct ink_trial *t = &choices->trials[i];
        ink_text_add(&body, "%s\t%s\t%d\t%s\t%.9g\t%lld\t%d\t%s\n", t->key, t->algorithm, t->variant, verdicts[t->verdict], t->seconds, t->when,
                     t->attempts, t->reason);
    }
    INK_TRY(ink_text_take(&body, &bytes, &size));
    ink_text_add(&whole, "%s %08lx\n", magic, crc32(0, (const unsigned char *)bytes, (unsigned)size));
    ink_text_bytes(&whole, bytes, size);
    free(bytes);
    INK_TRY(ink_text_take(&whole, &bytes, &size));
    ink_status status = ink_file_replace(choices->path, bytes, size);
    free(bytes);
    return status;
}

ink_status ink_choices_note(struct ink_choices *choices, const struct ink_trial *trial)
{
    struct ink_trial *old = ink_choices_find(choices, trial->key, trial->algorithm, trial->variant);
    struct ink_trial cleaned = *trial;
    clean(cleaned.reason);
    if (old)
        *old = cleaned;
    else
        INK_TRY(append(choices, &cleaned));
    return write_table(choices);
}

bool ink_choice_named(const struct ink_call *call, const char *algorithm, int variant, struct ink_choice *choice)
{
    for (const struct ink_algorithm *a = call->node->op->passes[call->pass]; a && a->name; a++)
        if (strcmp(a->name, algorithm) == 0 && ink_algorithm_applies(a, call) && variant < (a->variants ? a->variants(call) : 1)) {
            *choice = (struct ink_choice){a, variant};
            return true;
        }
    return false;
}

bool ink_choices_choose(const struct ink_call *call, void *user, struct ink_choice *choice)
{
    char key[INK_KEY_BYTES];
    const struct ink_trial *chosen = ink_choice_key(call, key) ? NULL : ink_choices_chosen(user, key);
    return chosen && ink_choice_named(call, chosen->algorithm, chosen->variant, choice);
}
