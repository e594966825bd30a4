/* Sets of bytes. */
#ifndef FFAI_GRAMMAR_BYTE_SET_H
#define FFAI_GRAMMAR_BYTE_SET_H

#include <stdbool.h>
#include <stdint.h>

typedef struct ffai__byte_set {
    uint64_t bits[4];
} ffai__byte_set;

static inline void ffai__byte_set_add(ffai__byte_set *set, unsigned first, unsigned last)
{
    for (unsigned byte = first; byte <= last; byte++)
        set->bits[byte / 64] |= UINT64_C(1) << byte % 64;
}

static inline bool ffai__byte_set_has(const ffai__byte_set *set, unsigned byte)
{
    return set->bits[byte / 64] >> byte % 64 & 1;
}

#endif
