/* The dimensions of a stored tensor, outermost first. */
#ifndef FFAI_FORMATS_SHAPE_H
#define FFAI_FORMATS_SHAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weight.h"

enum { FFAI__MAX_RANK = 8 };

typedef struct ffai__shape {
    int rank;
    uint64_t dims[FFAI__MAX_RANK];
} ffai__shape;

/* The product of the dimensions; false if it (or a partial product) does not fit an int64_t. */
bool ffai__shape_elements(uint64_t *elements, const ffai__shape *shape);
/* "[2, 3]", cut to the buffer. */
const char *ffai__shape_text(const ffai__shape *shape, char *buffer, size_t size);
/* Set rank, rows (the product of all but the last dimension) and columns of a weight. */
void ffai__shape_apply(ffai__weight *weight, const ffai__shape *shape);

#endif
