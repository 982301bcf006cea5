/* The safetensors container: eight bytes with the header's length, little-endian; the header, a JSON object with an
 * entry a tensor, {"dtype": "F32", "shape": [3, 3, 1, 32], "data_offsets": [begin, end]}, and texts under
 * "__metadata__"; then the tensors' bytes without gaps, little-endian. Names, shapes and texts mean nothing here: what
 * they say is the model's matter. The format: https://github.com/huggingface/safetensors. */
#ifndef INK_MODEL_SAFETENSORS_H
#define INK_MODEL_SAFETENSORS_H

#include "util/status.h"

enum { INK_SAFETENSORS_RANK = 8 };                  /* the most dimensions of a tensor */
enum { INK_SAFETENSORS_HEADER = 100 * 1000 * 1000 };  /* the most bytes of a header, as in the original */
#define INK_SAFETENSORS_BYTES ((size_t)UINT32_MAX)  /* the most bytes of a file read */

/* A tensor to write, as F32: the product of dims values, 1 if rank is 0. */
struct ink_safetensors_entry {
    const char *name; /* not "" nor "__metadata__", in UTF-8, different from all others */
    int rank;         /* 0 to 8 */
    size_t dims[INK_SAFETENSORS_RANK];
    const float *data;
};

struct ink_safetensors_text {
    const char *key, *value; /* UTF-8 */
};

/* Makes a file of tensors and texts in memory, in the order given: the same input gives the same bytes. *bytes is freed
 * with free(). */
ink_status ink_safetensors_write(const struct ink_safetensors_entry *tensors, size_t tensor_count,
                                 const struct ink_safetensors_text *texts, size_t text_count,
                                 unsigned char **bytes, size_t *size);

/* A tensor of a file that was read. */
struct ink_safetensors_tensor {
    const char *name;
    const char *dtype;          /* "F32" and the like */
    int rank;
    size_t dims[INK_SAFETENSORS_RANK];
    size_t count;               /* the product of dims */
    const unsigned char *bytes; /* in the file's content, at any alignment */
    size_t size, begin;         /* bytes of it, and where they begin in the data */
};

struct ink_safetensors {
    struct ink_safetensors_tensor *tensors; /* in the header's order */
    size_t tensor_count;
    struct ink_safetensors_text *texts;
    size_t text_count;
    void *header;                           /* the parsed JSON, which holds the strings */
    char *path;                             /* for messages */
    unsigned char *content;                 /* the whole file, if it was read from one */
};

/* Reads and checks a file. An error names path, tensor, what was found and what was expected. */
ink_status ink_safetensors_read(const char *path, struct ink_safetensors **file);

/* The same from memory, which must stay while the result is used; path is for messages. */
ink_status ink_safetensors_parse(const char *path, const unsigned char *bytes, size_t size,
                                 struct ink_safetensors **file);

void ink_safetensors_destroy(struct ink_safetensors **file);

/* The tensor of a name, or the text of a key; NULL if there is none. */
const struct ink_safetensors_tensor *ink_safetensors_find(const struct ink_safetensors *file, const char *name);
const char *ink_safetensors_find_text(const struct ink_safetensors *file, const char *key);

/* Writes a tensor's count values to values; F16, BF16 and F64 are converted, INK_ERROR_UNSUPPORTED for other types. */
ink_status ink_safetensors_floats(const struct ink_safetensors *file, const struct ink_safetensors_tensor *tensor,
                                  float *values);

#endif
