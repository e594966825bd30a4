#include <arm_neon.h>

#include "linear_kernels.h"

typedef int32x4_t peak_sum;
typedef int8x16_t peak_factor;

FFAI__ALWAYS_INLINE peak_factor peak_factor_of(float zero)
{
    return vdupq_n_s8((int8_t)(3 + zero));
}

FFAI__ALWAYS_INLINE peak_sum peak_begin(int i)
{
    return vdupq_n_s32(i);
}

FFAI__ALWAYS_INLINE peak_sum peak_step(peak_sum sum, peak_factor factor)
{
    return vmmlaq_s32(sum, factor, factor);
}

FFAI__ALWAYS_INLINE float peak_value(peak_sum sum)
{
    return (float)vgetq_lane_s32(sum, 0);
}

#include "machine_template.h"

/* 2 x 2 sums of 8 products of bytes; an input of 15 bits has two. */
const ffai__peak ffai__peak_neon_i8mm = {"smmla (two for 15-bit input)", 32.0 * FFAI__PEAK_CHAINS *FFAI__PEAK_REPEATS,
                                         multiply_add};
