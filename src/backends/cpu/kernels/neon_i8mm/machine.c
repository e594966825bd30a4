#include "machine_neon_bytes.h"

FFAI__ALWAYS_INLINE peak_sum peak_step(peak_sum sum, peak_factor factor)
{
    return vmmlaq_s32(sum, factor, factor);
}

#include "machine_template.h"

/* 2 x 2 sums of 8 products of bytes; an input of 15 bits has two. */
const ffai__peak ffai__peak_neon_i8mm = {"smmla (two for 15-bit input)", 32.0 * FFAI__PEAK_CHAINS *FFAI__PEAK_REPEATS,
                                         multiply_add};
