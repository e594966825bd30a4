/* Read every row of every weight, so that a sanitizer sees each byte that a checkpoint claims to have. */
#ifndef FFAI_FUZZ_READ_ALL_H
#define FFAI_FUZZ_READ_ALL_H

#include <stdlib.h>

#include "contents.h"

enum { MOST_ELEMENTS = 1 << 20 }; /* a tensor of no bytes may have any number of rows */

static void read_all(const ffai__checkpoint *checkpoint)
{
    for (size_t i = 0; i < ffai__checkpoint_count(checkpoint); i++) {
        const ffai__weight *weight = ffai__checkpoint_weight(checkpoint, i);
        const bool readable = ffai__weight_is_affine(weight) || ffai__dtype_is_float(weight->dtype);
        if (!readable || weight->columns == 0 || weight->columns > MOST_ELEMENTS || weight->rows > MOST_ELEMENTS)
            continue;
        float *row = malloc((size_t)weight->columns * sizeof *row);
        for (int64_t r = 0; row && r < weight->rows; r++)
            ffai__weight_read(row, weight, r);
        free(row);
    }
}

#endif
