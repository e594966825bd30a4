/* The kernels of one tier, all but the matrix products: norms, activations, rope and attention. What each does, and
 * its parameters, is in kernels.def. */
#ifndef FFAI_CPU_KERNEL_TABLE_H
#define FFAI_CPU_KERNEL_TABLE_H

#include "cpu_features.h"
#include "step.h"

enum {
    FFAI__STORE_FORMATS = 3,
    FFAI__SPAN_TOKENS = 128,    /* positions whose weights are computed at once */
    FFAI__SCORES_STRIDE = 144,  /* floats from one query's scores to the next's: rows fall into all sets of a cache */
    FFAI__STRETCH_TOKENS = 512, /* positions that a partial result is of: spans one after the other */
    FFAI__PARTIAL_EXTRA = 16,   /* floats behind a partial's sums: its maximum and its denominator */
    FFAI__DIM_MULTIPLE = 16     /* value rows are padded with zeros to a multiple of this */
};

/* Floats a head's value row takes in a page and in a partial. */
static inline int ffai__padded_dim(int head_dim)
{
    return (head_dim + FFAI__DIM_MULTIPLE - 1) / FFAI__DIM_MULTIPLE * FFAI__DIM_MULTIPLE;
}

typedef struct ffai__kernels {
// NOLINTBEGIN(bugprone-macro-parentheses): names and lists of parameters take no more of them
#define KERNEL(name, parameters, text)       void(*name) parameters;
#define STORE_KERNEL(name, parameters, text) void(*name[FFAI__STORE_FORMATS]) parameters;
#include "kernels.def"
    // NOLINTEND(bugprone-macro-parentheses)
} ffai__kernels;

extern const ffai__kernels ffai__kernels_scalar;
#if defined(__x86_64__)
extern const ffai__kernels ffai__kernels_avx2;
extern const ffai__kernels ffai__kernels_avx512;
#elif defined(__aarch64__)
extern const ffai__kernels ffai__kernels_neon;
#endif

/* A tier's table; the scalar one where this architecture lacks it. */
const ffai__kernels *ffai__kernels_of(ffai__isa isa);

#endif
