/* For machine_template.h: registers of NEON's products of bytes. A tier adds peak_step. */
#ifndef FFAI_MACHINE_NEON_BYTES_H
#define FFAI_MACHINE_NEON_BYTES_H

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

FFAI__ALWAYS_INLINE float peak_value(peak_sum sum)
{
    return (float)vgetq_lane_s32(sum, 0);
}

#endif
