/* IDX files, the format MNIST comes in: two zero bytes, a type code, the number of dimensions, each dimension as four
 * bytes, the high one first, then the values, the last dimension varying fastest. Only unsigned bytes are read. A file
 * may be compressed with gzip; its content tells, not its name. */
#ifndef INK_DATA_IDX_H
#define INK_DATA_IDX_H

#include <stdio.h>

#include "util/status.h"

enum { INK_IDX_RANK = 4 };
#define INK_IDX_BYTES ((uint64_t)1 << 32) /* the most values a file may have */

struct ink_idx {
    int rank;
    uint32_t dims[INK_IDX_RANK]; /* as in the file */
    size_t kept;                 /* items of the first dimension in values */
    uint8_t *values;             /* [kept][dims[1]]...; freed with free() */
};

/* Reads a file of rank_low to rank_high dimensions and keeps the first limit items, or all if limit is 0. What is not
 * kept is read and checked all the same. Memory grows as the file's values arrive, so a header that lies gets none. An
 * error names the path and the byte of the uncompressed content. */
ink_status ink_idx_read(const char *path, int rank_low, int rank_high, size_t limit, struct ink_idx *idx);

/* The same from an open file, which stays open; path is for messages. */
ink_status ink_idx_read_stream(FILE *stream, const char *path, int rank_low, int rank_high, size_t limit,
                               struct ink_idx *idx);

#endif
