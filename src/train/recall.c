/* Noting the algorithms of a plan; see recall.h. */
#include "train/recall.h"

#include <stdlib.h>
#include <string.h>

#include "util/text.h"

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

ink_status ink_recall_write(const struct ink_recall *recall, char **text)
{
    struct ink_text lines = {0};
    for (int i = 0; i < recall->count; i++)
        ink_text_add(&lines, "%s\t%s\t%d\n", recall->entries[i].key, recall->entries[i].algorithm, recall->entries[i].variant);
    return ink_text_take(&lines, text, NULL);
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
