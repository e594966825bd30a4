/* Places for values that live for a while: two share memory if one is gone before the other comes. */
#ifndef FFAI_BACKENDS_LIVENESS_H
#define FFAI_BACKENDS_LIVENESS_H

#include "program.h"

/* A value that needs a place: alive from instruction `birth` to instruction `death`, both included. */
typedef struct ffai__lifetime {
    uint64_t bytes; /* a multiple of the wanted alignment; 0: it needs no place */
    size_t birth, death;
    uint64_t offset; /* where it lies: the result */
} ffai__lifetime;

/* Births and deaths of a program's activations: from the instruction that writes one to the last that reads it; logits,
 * and with keep all of them, outlive the program. lifetimes [num_values]; others' bytes become 0. */
void ffai__lifetimes_find(ffai__lifetime *lifetimes, const ffai__program *program, bool keep);

/* Give every lifetime its offset, in order of birth, the lowest that is free while it lives. Returns the bytes of all
 * together in *end. FFAI_E_MEMORY if they pass 2^62. */
ffai_status ffai__lifetimes_place(uint64_t *end, ffai__lifetime *lifetimes, size_t count, ffai_error *err);

#endif
