/* What a data set is inside: the arrays that go to the device as they are. The functions are in inkling.h. */
#ifndef INK_DATA_DATASET_H
#define INK_DATA_DATASET_H

#include "util/status.h"

struct ink_dataset {
    size_t count;           /* 1 or more */
    struct ink_shape shape;
    int classes;            /* 2 or more; every label is below */
    uint8_t *images;        /* [count][height][width][channels] */
    uint8_t *labels;        /* [count] */
};

#endif
