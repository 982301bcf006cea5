/* Noting the algorithms of a plan; see recall.h. */
#include "train/recall.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct ink_recall_entry *find(const struct ink_recall *recall, const char *key)
{
    for (int i = 0; i < recall->count; i++)
        if (strcmp(recall->entries[i].key, key) == 0)
            return &recall->entries[i];
    return NULL;
}

static ink_status add(struct ink_recall *recall, const struct ink_recall_entry *entry)
{
    if (recall->count == recall->room) {
        int room = recall->room ? 2 * recall->room : 32;
        struct ink_recall_entry *larger = realloc(recall->entries, (size_t)room * sizeof *larger);
        if (!larger)
            return ink_fail_memory((size_t)room * sizeof *larger);
        recall->entries = larger;
        recall->room = room;
    }
    recall->entries[recall->count++] = *entry;
    return INK_OK;
}

bool ink_recall_choose(const struct ink_call *call, void *user, struct ink_choice *choice)
{
    static const struct ink_lowering guessing;
    struct ink_recall *recall = user;
    struct ink_recall_entry entry = {0};
    if (!recall->status)
        recall->status = ink_choice_key(call, entry.key);
    if (recall->status)
        return false;
    const struct ink_recall_entry *known = find(recall, entry.key);
    if (known && ink_choice_named(call, known->algorithm, known->variant, choice))
        return true;
    if (!recall->choices || !ink_choices_choose(call, recall->choices, choice))
        *choice = ink_lower_choice(&guessing, call);
    if (!choice->algorithm || known)
        return choice->algorithm != NULL;
    strncpy(entry.algorithm, choice->algorithm->name, sizeof entry.algorithm - 1);
    entry.variant = choice->variant;
    recall->status = add(recall, &entry);
    recall->fresh++;
    return true;
}

void ink_recall_prefix(int device, char prefix[INK_RECALL_PREFIX]) { snprintf(prefix, INK_RECALL_PREFIX, "device %d: ", device + 1); }

void ink_recall_write(const struct ink_recall *recall, const char *prefix, struct ink_text *text)
{
    for (int i = 0; i < recall->count; i++)
        ink_text_add(text, "%s%s\t%s\t%d\n", prefix, recall->entries[i].key, recall->entries[i].algorithm, recall->entries[i].variant);
}

ink_status ink_recall_take(struct ink_recall *from, const char *prefix, struct ink_recall *recall)
{
    size_t length = strlen(prefix);
    int left = 0;
    for (int i = 0; i < from->count; i++) {
        struct ink_recall_entry entry = from->entries[i];
        if (strncmp(entry.key, prefix, length) != 0) {
            from->entries[left++] = entry;
            continue;
        }
        memmove(entry.key, entry.key + length, strlen(entry.key) + 1 - length);
        INK_TRY(add(recall, &entry));
    }
    from->count = left;
    return INK_OK;
}

ink_status ink_recall_read(struct ink_recall *recall, const char *text)
{
    ink_recall_clear(recall);
    while (*text) {
        struct ink_recall_entry entry = {0};
        size_t key = strcspn(text, "\t\n"), name = text[key] == '\t' ? strcspn(text + key + 1, "\t\n") : 0;
        if (!key || key >= sizeof entry.key || !name || name >= sizeof entry.algorithm || text[key + 1 + name] != '\t')
            return ink_fail(INK_ERROR_FORMAT, "a line of the algorithms is not a key, a name and a variant");
        char *end;
        memcpy(entry.key, text, key);
        memcpy(entry.algorithm, text + key + 1, name);
        entry.variant = (int)strtol(text + key + name + 2, &end, 10);
        if (*end != '\n')
            return ink_fail(INK_ERROR_FORMAT, "a line of the algorithms does not end in a number");
        INK_TRY(add(recall, &entry));
        text = end + 1;
    }
    return INK_OK;
}

void ink_recall_clear(struct ink_recall *recall)
{
    free(recall->entries);
    recall->entries = NULL;
    recall->count = recall->room = recall->fresh = 0;
}
