#include "shape.h"

#include <stdio.h>

#include "alloc.h"

bool ffai__shape_elements(uint64_t *elements, const ffai__shape *shape)
{
    uint64_t product = 1;
    for (int i = 0; i < shape->rank; i++) {
        if (shape->dims[i] > INT64_MAX || !ffai__mul(&product, product, shape->dims[i]) || product > INT64_MAX)
            return false;
    }
    *elements = product;
    return true;
}

const char *ffai__shape_text(const ffai__shape *shape, char *buffer, size_t size)
{
    size_t used = (size_t)snprintf(buffer, size, "[");
    for (int i = 0; i < shape->rank && used < size; i++)
        used +=
            (size_t)snprintf(buffer + used, size - used, "%s%llu", i ? ", " : "", (unsigned long long)shape->dims[i]);
    if (used < size)
        snprintf(buffer + used, size - used, "]");
    return buffer;
}

void ffai__shape_apply(ffai__weight *weight, const ffai__shape *shape)
{
    weight->rank = shape->rank;
    weight->rows = 1;
    weight->columns = shape->rank ? (int64_t)shape->dims[shape->rank - 1] : 1;
    for (int i = 0; i + 1 < shape->rank; i++)
        weight->rows *= (int64_t)shape->dims[i];
}
