#include <arm_neon.h>

#include "linear_kernels.h"

typedef float32x4_t peak_sum;
typedef float32x4_t peak_factor;

FFAI__ALWAYS_INLINE peak_factor peak_factor_of(float zero)
{
    return vdupq_n_f32(0.75f + zero);
}

FFAI__ALWAYS_INLINE peak_sum peak_begin(int i)
{
    return vdupq_n_f32((float)i);
}

FFAI__ALWAYS_INLINE peak_sum peak_step(peak_sum sum, peak_factor factor)
{
    return vfmaq_f32(factor, sum, factor);
}

FFAI__ALWAYS_INLINE float peak_value(peak_sum sum)
{
    return vgetq_lane_f32(sum, 0);
}

#include "machine_template.h"

const ffai__peak ffai__peak_neon_f32 = {"fmla (float32)", 8.0 * FFAI__PEAK_CHAINS *FFAI__PEAK_REPEATS, multiply_add};

uint64_t ffai__read_neon(const uint8_t *bytes, size_t n)
{
    enum { VECTORS = 8 };
    const uint64_t *words = (const uint64_t *)(const void *)bytes;
    uint64x2_t sums[VECTORS];
    UNROLL
    for (size_t k = 0; k < VECTORS; k++)
        sums[k] = vdupq_n_u64(0);
    for (size_t i = 0; i < n / sizeof *words; i += 2 * VECTORS) {
        UNROLL
        for (size_t k = 0; k < VECTORS; k++)
            sums[k] = vaddq_u64(sums[k], vld1q_u64(words + i + 2 * k));
    }
    uint64_t sum = 0;
    UNROLL
    for (size_t k = 0; k < VECTORS; k++)
        sum += vaddvq_u64(sums[k]);
    return sum;
}
