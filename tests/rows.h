/* A small data set that can be learnt: noise, brighter in the rows that tell the class. */
#ifndef INK_TESTS_ROWS_H
#define INK_TESTS_ROWS_H

#include <stdlib.h>

#include "util/rng.h"
#include "util/status.h"

/* count images of side x side x 1, of classes 0, 1, ... in turn; values are below 100 + brighter. */
static inline ink_status make_rows(uint64_t seed, int side, int classes, size_t count, int brighter, ink_dataset **dataset)
{
    size_t pixels = (size_t)(side * side), rows = (pixels + (size_t)classes - 1) / (size_t)classes; /* pixels that tell a class */
    uint8_t *images = malloc(count * pixels), *labels = malloc(count);
    ink_status status = images && labels ? INK_OK : ink_fail_memory(count * (pixels + 1));
    for (size_t i = 0; i < count * pixels && !status; i++) {
        uint32_t words[4];
        ink_random_words(seed, 1, i, words);
        labels[i / pixels] = (uint8_t)(i / pixels % (size_t)classes);
        images[i] = (uint8_t)(words[0] % 100 + (i % pixels / rows == labels[i / pixels] ? (uint32_t)brighter : 0));
    }
    if (!status)
        status = ink_dataset_create(images, labels, count, (struct ink_shape){side, side, 1}, classes, dataset);
    free(images);
    free(labels);
    return status;
}

#endif
