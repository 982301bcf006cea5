/* Finds OpenCL sources and resolves the includes between them; see source.h. */
#include "device/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "util/file.h"
#include "util/text.h"

enum { MAX_INCLUDED = 32, MAX_SOURCE = 1 << 20 };

/* What is loaded, and the files already in it. */
struct whole {
    struct ink_text text;
    const char *included[MAX_INCLUDED];
    int included_count;
};

/* The text of one file; *owned is to be freed, NULL for an embedded one. */
static ink_status read_source(const char *name, const char **content, char **owned)
{
    const char *folder = getenv("INKLING_CL_DIR");
    if (folder && *folder) {
        char path[4096];
        size_t size;
        unsigned char *data;
        if ((size_t)snprintf(path, sizeof path, "%s/%s", folder, name) >= sizeof path)
            return ink_fail(INK_ERROR_FILE, "INKLING_CL_DIR: the folder's name is too long");
        ink_status status = ink_file_read(path, MAX_SOURCE, &data, &size);
        if (status)
            return ink_fail_in(status, "INKLING_CL_DIR is set, and kernels are read from there");
        *owned = (char *)data;
        *content = *owned;
        return INK_OK;
    }
    for (const struct ink_source *source = ink_embedded_sources; source->name; source++)
        if (strcmp(source->name, name) == 0) {
            *owned = NULL;
            *content = source->text;
            return INK_OK;
        }
    return ink_fail(INK_ERROR_FILE, "%s: no such kernel file in this build", name);
}

/* The name in an #include "name" line. */
static bool read_include(const char *line, char name[64])
{
    line += strspn(line, " \t");
    if (*line != '#')
        return false;
    line += 1 + strspn(line + 1, " \t");
    if (strncmp(line, "include", 7) != 0)
        return false;
    line += 7 + strspn(line + 7, " \t");
    size_t length = *line == '"' ? strcspn(line + 1, "\"\n") : 0;
    if (length == 0 || length >= 64 || line[1 + length] != '"')
        return false;
    memcpy(name, line + 1, length);
    name[length] = 0;
    return true;
}

/* Notes a file as included; whole keeps a copy of its name. */
static ink_status note(struct whole *whole, const char *name)
{
    if (whole->included_count == MAX_INCLUDED)
        return ink_fail(INK_ERROR_FORMAT, "more than %d files included", MAX_INCLUDED);
    char *copy = strdup(name);
    if (!copy)
        return ink_fail_memory(strlen(name) + 1);
    whole->included[whole->included_count++] = copy;
    return INK_OK;
}

static ink_status append_source(struct whole *whole, const char *name)
{
    struct ink_text *text = &whole->text;
    const char *content;
    char *owned;
    INK_TRY(read_source(name, &content, &owned));
    ink_status status = note(whole, name);
    ink_text_add(text, "#line 1 \"%s\"\n", name);
    int line = 1;
    for (const char *at = content, *next; *at && !status; at = next, line++) {
        const char *end = strchr(at, '\n');
        next = end ? end + 1 : at + strlen(at);
        char inner[64];
        if (!read_include(at, inner)) {
            ink_text_bytes(text, at, (size_t)(next - at));
            continue;
        }
        bool seen = false;
        for (int i = 0; i < whole->included_count; i++)
            seen |= strcmp(whole->included[i], inner) == 0;
        if (!seen && (status = append_source(whole, inner)))
            ink_fail_in(status, "included from %s:%d", name, line);
        ink_text_add(text, "#line %d \"%s\"\n", line + 1, name);
    }
    free(owned);
    if (text->used && text->bytes[text->used - 1] != '\n')
        ink_text_bytes(text, "\n", 1);
    return status ? status : text->status;
}

ink_status ink_source_load(const char *name, char **text)
{
    struct whole whole = {0};
    ink_status status = append_source(&whole, name);
    for (int i = 0; i < whole.included_count; i++)
        free((char *)whole.included[i]);
    if (status)
        free(whole.text.bytes);
    else
        status = ink_text_take(&whole.text, text, NULL);
    return status;
}

/* The file and line that a line of the whole text is of, by the last #line directive before it; false if none is. */
static bool find_origin(const char *text, unsigned long wanted, char name[64], unsigned long *origin)
{
    bool known = false;
    for (unsigned long line = 1; line < wanted && *text; line++) {
        unsigned long next;
        char file[64];
        if (strncmp(text, "#line ", 6) == 0 && sscanf(text, "#line %lu \"%63[^\"\n]\"", &next, file) == 2) {
            memcpy(name, file, sizeof file);
            *origin = next;
            known = true;
        } else {
            ++*origin;
        }
        text += strcspn(text, "\n");
        text += *text == '\n';
    }
    return known && *text;
}

ink_status ink_source_map_log(const char *text, const char *log, char **out)
{
    static const char whole[] = "<kernel>:";
    struct ink_text mapped = {0};
    for (const char *at = log, *next; *at; at = next) {
        const char *end = strchr(at, '\n');
        next = end ? end + 1 : at + strlen(at);
        const char *number = strncmp(at, whole, sizeof whole - 1) == 0 ? at + sizeof whole - 1 : NULL;
        char name[64], *behind = NULL;
        unsigned long origin = 0, line = number ? strtoul(number, &behind, 10) : 0;
        if (line && *behind == ':' && find_origin(text, line, name, &origin)) {
            ink_text_add(&mapped, "%s:%lu", name, origin);
            at = behind;
        }
        ink_text_bytes(&mapped, at, (size_t)(next - at));
    }
    return ink_text_take(&mapped, out, NULL);
}
