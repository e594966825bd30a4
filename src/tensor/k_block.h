/* GGUF's K types: super-blocks of 256 columns as affine groups. A super-block has f16 factors d and, in Q2_K, Q4_K and
 * Q5_K, dmin; a group has a small integer sc and with dmin another one, m:
 *     Q2_K   16 groups of 16   w = d sc q - dmin m            q of 2 bits, sc and m of 4
 *     Q3_K   16 groups of 16   w = d (sc - 32) (q - 4)        q of 3 bits, sc of 6
 *     Q4_K    8 groups of 32   w = d sc q - dmin m            q of 4 bits, sc and m of 6
 *     Q5_K    8 groups of 32   the same                       q of 5 bits
 *     Q6_K   16 groups of 16   w = d sc (q - 32)              q of 6 bits, sc an int8
 * A product of an f16 and 8 bits has 19 at most: scale and bias are exact in float32. */
#ifndef FFAI_TENSOR_K_BLOCK_H
#define FFAI_TENSOR_K_BLOCK_H

#include "weight.h"

enum { FFAI__K_COLUMNS = 256, FFAI__K_MOST_GROUPS = 16 };

static inline bool ffai__packing_is_k(ffai__packing packing)
{
    return packing >= FFAI__GGUF_Q2_K && packing <= FFAI__GGUF_Q6_K;
}

/* Bytes of a super-block of a K type. */
size_t ffai__k_block_bytes(ffai__packing packing);
/* Columns that share a scale: 16 or 32. */
int ffai__k_group_size(ffai__packing packing);

/* What Q3_K and Q6_K take from a code; 0 in the others. */
int ffai__k_zero(ffai__packing packing);

/* The scales of a super-block as it has them: for each group
 *     scale = d sc    bias = -dmin m, or in types that have no dmin -zero scale */
typedef struct ffai__k_scales {
    uint16_t d, dmin; /* f16 */
    int8_t sc[FFAI__K_MOST_GROUPS];
    int8_t m[FFAI__K_MOST_GROUPS]; /* 0 without dmin, as that is */
} ffai__k_scales;

void ffai__k_block_scales(ffai__k_scales *scales, const uint8_t *block, ffai__packing packing);

/* One super-block: its codes [256], scales and biases [256 / group size]. block may be unaligned. */
void ffai__k_block_read(uint8_t *codes, float *scales, float *biases, const uint8_t *block, ffai__packing packing);

#endif
