/* Arrays that grow. */
#ifndef FFAI_GRAMMAR_GROW_H
#define FFAI_GRAMMAR_GROW_H

#include "alloc.h"

/* Room for `count` elements of `size` bytes in *array, which has *capacity; false where memory is short. */
static inline bool ffai__grow(void **array, uint32_t *capacity, uint64_t count, size_t size)
{
    if (count <= *capacity)
        return true;
    if (count > UINT32_MAX / 2)
        return false;
    const uint32_t wanted = count < 8 ? 16 : (uint32_t)count * 2;
    void *grown = ffai__realloc(*array, wanted, size);
    if (!grown)
        return false;
    *array = grown;
    *capacity = wanted;
    return true;
}

#define FFAI__GROW(array, capacity, count) ffai__grow((void **)&(array), &(capacity), (count), sizeof *(array))

#endif
