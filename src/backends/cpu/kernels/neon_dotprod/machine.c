#include <arm_neon.h>

#include "linear_kernels.h"
#include "machine_kernels.h"

static _Thread_local volatile float sink;

static void multiply_add(int64_t iterations)
{
    const int8x16_t factor = vdupq_n_s8((int8_t)(3 + 0 * sink));
    int32x4_t sums[FFAI__PEAK_CHAINS];
    UNROLL
    for (int i = 0; i < FFAI__PEAK_CHAINS; i++)
        sums[i] = vdupq_n_s32(i);
    for (int64_t n = 0; n < iterations * FFAI__PEAK_REPEATS; n++) {
        UNROLL
        for (int i = 0; i < FFAI__PEAK_CHAINS; i++)
            sums[i] = vdotq_s32(sums[i], factor, factor);
    }
    UNROLL
    for (int i = 0; i < FFAI__PEAK_CHAINS; i++)
        sink = sink + (float)vgetq_lane_s32(sums[i], 0);
}

/* 16 products of bytes; an input of 15 bits has two. */
const ffai__peak ffai__peak_neon_dotprod = {"sdot (two for 15-bit input)", 16.0 * FFAI__PEAK_CHAINS *FFAI__PEAK_REPEATS,
                                            multiply_add};
