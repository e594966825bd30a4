#include <arm_neon.h>

#include "linear_kernels.h"
#include "machine_kernels.h"

static _Thread_local volatile float sink;

static void multiply_add(int64_t iterations)
{
    const float32x4_t factor = vdupq_n_f32(0.75f + 0 * sink);
    float32x4_t sums[FFAI__PEAK_CHAINS];
    UNROLL
    for (int i = 0; i < FFAI__PEAK_CHAINS; i++)
        sums[i] = vdupq_n_f32((float)i);
    for (int64_t n = 0; n < iterations * FFAI__PEAK_REPEATS; n++) {
        UNROLL
        for (int i = 0; i < FFAI__PEAK_CHAINS; i++)
            sums[i] = vfmaq_f32(factor, sums[i], factor);
    }
    UNROLL
    for (int i = 0; i < FFAI__PEAK_CHAINS; i++)
        sink = sink + vgetq_lane_f32(sums[i], 0);
}

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
