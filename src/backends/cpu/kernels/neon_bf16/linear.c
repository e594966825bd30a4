/* Dense bf16 weights times inputs rounded to bf16: pairs of products added into float32 (BFDOT). */
#include <math.h>

#include "linear_lanes_neon.h"

/* The nearest bf16 as float32, ties to even. */
FFAI__ALWAYS_INLINE lanes_f f_round_bf16(lanes_f a)
{
    EACH_PART(p)
    {
        const uint32x4_t bits = vreinterpretq_u32_f32(a.part[p]);
        const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
        const uint32x4_t rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7FFF)));
        const uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x400000));
        const uint32x4_t either = vbslq_u32(vceqq_f32(a.part[p], a.part[p]), rounded, quiet);
        a.part[p] = vreinterpretq_f32_u32(vandq_u32(either, vdupq_n_u32(0xFFFF0000u)));
    }
    return a;
}

/* a - b; zero where that is not finite. */
FFAI__ALWAYS_INLINE lanes_f f_less(lanes_f a, lanes_f b)
{
    EACH_PART(p)
    {
        const float32x4_t difference = vsubq_f32(a.part[p], b.part[p]);
        const uint32x4_t finite = vcltq_f32(vabsq_f32(difference), vdupq_n_f32(INFINITY));
        a.part[p] = vreinterpretq_f32_u32(vandq_u32(finite, vreinterpretq_u32_f32(difference)));
    }
    return a;
}

/* Of float32 that are bf16. */
FFAI__ALWAYS_INLINE void f_store_bf16(void *at, lanes_f a)
{
    uint16_t *values = at;
    EACH_PART(p)
    vst1_u16(values + 4 * p, vshrn_n_u32(vreinterpretq_u32_f32(a.part[p]), 16));
}

FFAI__ALWAYS_INLINE lanes_f f_multiply_pairs(lanes_f sum, lanes_u weights, const uint8_t *input, int pair)
{
    const bfloat16x4_t x = vreinterpret_bf16_u8(vld1_u8(input));
    EACH_PART(p)
    {
        const bfloat16x8_t w = vreinterpretq_bf16_u8(weights.part[p]);
        sum.part[p] = pair ? vbfdotq_lane_f32(sum.part[p], w, x, 1) : vbfdotq_lane_f32(sum.part[p], w, x, 0);
    }
    return sum;
}

#include "linear_bf16_pairs.h"

DEFINE_KERNEL(bf16_pairs, ROWS_3_1)

const ffai__linear_kernels ffai__linear_neon_bf16 = {
    .name = "bf16 rounded inputs neon",
    .kind = FFAI__INPUT_BF16,
    .prepare = prepare,
    .compute = bf16_pairs,
};
