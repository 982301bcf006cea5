/* A model on disk: safetensors, with the text form in the metadata under "inkling.model". */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/model.h"
#include "model/safetensors.h"
#include "util/file.h"

static const char *const text_key = "inkling.model";

/* A file in the way of a new one must be a model, or force must be set. What is no file (a folder, a device) is not
 * looked into: writing to it tells what is wrong, or does no harm. */
static ink_status check_replaceable(const char *path, bool force)
{
    struct ink_safetensors *file = NULL;
    struct stat info;
    if (force || stat(path, &info) != 0 || !S_ISREG(info.st_mode))
        return INK_OK;
    bool model = ink_safetensors_read(path, &file) == INK_OK && ink_safetensors_find_text(file, text_key);
    ink_safetensors_destroy(&file);
    if (!model)
        return ink_fail(INK_ERROR_FILE, "%s: exists and is not a model, so it is not overwritten; choose another name, or use force (--force)", path);
    return INK_OK;
}

ink_status ink_model_save(ink_model *model, const char *path, bool force)
{
    INK_TRY(check_replaceable(path, force));
    size_t count = ink_model_tensor_count(model), size = 0;
    const struct ink_safetensors_text texts[] = {{text_key, ink_model_text(model)}, {"inkling.version", ink_version()}};
    if (!*texts[0].value)
        return INK_ERROR_MEMORY;
    struct ink_safetensors_entry *entries = calloc(count + 1, sizeof *entries);
    struct ink_tensor *tensors = calloc(count + 1, sizeof *tensors);
    unsigned char *bytes = NULL;
    ink_status status = entries && tensors ? INK_OK : ink_fail_memory((count + 1) * sizeof *tensors);
    for (size_t i = 0; i < count && !status; i++) {
        status = ink_model_tensor(model, i, &tensors[i]);
        entries[i] = (struct ink_safetensors_entry){.name = tensors[i].name, .rank = tensors[i].rank, .data = tensors[i].data};
        for (int d = 0; d < tensors[i].rank; d++)
            entries[i].dims[d] = (size_t)tensors[i].dims[d];
    }
    if (!status)
        status = ink_safetensors_write(entries, count, texts, 2, &bytes, &size);
    if (!status)
        status = ink_file_replace(path, bytes, size);
    free(bytes);
    free(entries);
    free(tensors);
    return status;
}

/* "3x3x1x32" */
static void write_dims(char *text, size_t size, const size_t *dims, int rank)
{
    size_t used = 0;
    snprintf(text, size, "one value");
    for (int d = 0; d < rank && used < size; d++)
        used += (size_t)snprintf(text + used, size - used, "%s%zu", d ? "x" : "", dims[d]);
}

/* Copies a tensor of the file into the model, if its shape is the model's. */
static ink_status load_tensor(const struct ink_safetensors *file, const struct ink_tensor *tensor, const char *path)
{
    const struct ink_safetensors_tensor *found = ink_safetensors_find(file, tensor->name);
    size_t dims[4] = {0};
    if (!found)
        return ink_fail(INK_ERROR_FORMAT, "%s: tensor '%s' is missing; the model's text asks for it", path, tensor->name);
    bool same = found->rank == tensor->rank;
    for (int d = 0; d < tensor->rank; d++) {
        dims[d] = (size_t)tensor->dims[d];
        same = same && found->dims[d] == dims[d];
    }
    if (!same) {
        char have[192], want[96];
        write_dims(have, sizeof have, found->dims, found->rank);
        write_dims(want, sizeof want, dims, tensor->rank);
        return ink_fail(INK_ERROR_FORMAT, "%s: tensor '%s' is %s, and the model's text asks for %s", path, tensor->name, have, want);
    }
    return ink_safetensors_floats(file, found, tensor->data);
}

ink_status ink_model_load(const char *path, ink_model **out)
{
    struct ink_safetensors *file = NULL;
    ink_model *model = NULL;
    INK_TRY(ink_safetensors_read(path, &file));
    const char *text = ink_safetensors_find_text(file, text_key);
    ink_status status = INK_OK;
    if (!text)
        status = ink_fail(INK_ERROR_FORMAT, "%s: is a safetensors file without '%s' in its metadata, so its layers are not known; use a model saved by Inkling",
                          path, text_key);
    else if ((status = ink_model_parse(text, &model)))
        ink_fail_in(status, "%s: metadata '%s'", path, text_key);
    size_t count = status ? 0 : ink_model_tensor_count(model);
    for (size_t i = 0; i < count && !status; i++) {
        struct ink_tensor tensor;
        status = ink_model_tensor(model, i, &tensor);
        if (!status)
            status = load_tensor(file, &tensor, path);
    }
    if (!status && count != file->tensor_count)
        status = ink_fail(INK_ERROR_FORMAT, "%s: has %zu tensors, and the model's text asks for %zu", path, file->tensor_count, count);
    ink_safetensors_destroy(&file);
    if (status)
        ink_model_destroy(&model);
    else
        *out = model;
    return status;
}
