/* The safetensors reader. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "model/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct ink_safetensors *file = NULL;
    if (ink_safetensors_parse("input", bytes, size, &file) != INK_OK)
        return 0;
    for (size_t i = 0; i < file->tensor_count; i++) {
        const struct ink_safetensors_tensor *tensor = &file->tensors[i];
        if (tensor->size > size || tensor->bytes < bytes || tensor->bytes + tensor->size > bytes + size ||
            ink_safetensors_find(file, tensor->name) != tensor)
            abort();
        float *values = malloc(tensor->count * sizeof *values + 1);
        if (values)
            ink_safetensors_floats(file, tensor, values);
        free(values);
    }
    for (size_t i = 0; i < file->text_count; i++)
        if (!ink_safetensors_find_text(file, file->texts[i].key))
            abort();
    ink_safetensors_destroy(&file);
    return 0;
}

size_t fuzz_good_file(unsigned variant, uint8_t *bytes, size_t room)
{
    static const float values[12] = {1, 2, 3};
    const struct ink_safetensors_entry tensors[] = {{"conv.weights", 3, {2, 2, 3}, values}, {"conv.bias", 1, {3},
                                                                                             values},
                                                    {"empty", 2, {0, 3}, NULL}, {"one", 0, {0}, values}};
    const struct ink_safetensors_text texts[] = {{"format", "pt"}, {"text", "input 28x28x1\nconv \"1\""}};
    unsigned char *made;
    size_t size;
    if (ink_safetensors_write(tensors, 1 + variant % 4, texts, variant % 3, &made, &size) != INK_OK || size > room)
        abort();
    memcpy(bytes, made, size);
    free(made);
    return size;
}
