/* What the variants of the NEON tier that multiply bytes share: the fixed-point input, v = 256 h + l, and sums of its
 * two parts. Each 8 columns of the input have 16 bytes: 8 signed h, then 8 signed l. To dot products that is four
 * lanes, h and l of two quads; to products of matrices, two rows. */
#ifndef FFAI_LINEAR_NEON_BYTES_H
#define FFAI_LINEAR_NEON_BYTES_H

#include "linear_lanes_neon.h"

enum { PAIR_COLUMNS = 8, PAIR_INPUT_BYTES = 16 };

typedef lanes_u dot_codes;

typedef struct dot_sum {
    int32x4_t high[PARTS], low[PARTS];
} dot_sum;

FFAI__ALWAYS_INLINE dot_codes dot_widen(lanes_u quad)
{
    return quad;
}

FFAI__ALWAYS_INLINE dot_sum dot_zero(void)
{
    dot_sum sum;
    EACH_PART(p)
    sum.high[p] = sum.low[p] = vdupq_n_s32(0);
    return sum;
}

FFAI__ALWAYS_INLINE dot_sum dot_join(dot_sum a, dot_sum b)
{
    EACH_PART(p)
    {
        a.high[p] = vaddq_s32(a.high[p], b.high[p]);
        a.low[p] = vaddq_s32(a.low[p], b.low[p]);
    }
    return a;
}

FFAI__ALWAYS_INLINE lanes_f dot_float(dot_sum sum, int32_t offset)
{
    lanes_f a;
    EACH_PART(p)
    {
        const int32x4_t low = vaddq_s32(sum.low[p], vdupq_n_s32(offset));
        a.part[p] = vcvtq_f32_s32(vaddq_s32(vshlq_n_s32(sum.high[p], 8), low));
    }
    return a;
}

/* What is not finite comes with the factor 0, and the conversion makes 0 of the NaN. */
FFAI__ALWAYS_INLINE int32_t fixed_convert(uint8_t *out, const float *x, int64_t column, int count, float factor)
{
    int32x4_t sum = vdupq_n_s32(0);
    for (int64_t c = column; c < column + count; c += PAIR_COLUMNS) {
        const int32x4_t a = fixed_four(x + c, factor);
        const int32x4_t b = fixed_four(x + c + 4, factor);
        const int16x8_t v = vcombine_s16(vmovn_s32(a), vmovn_s32(b));
        const int8x8_t high = vrshrn_n_s16(v, 8);
        vst1q_u8(out + 2 * c, vreinterpretq_u8_s8(vcombine_s8(high, vmovn_s16(v))));
        sum = vaddq_s32(sum, vaddq_s32(a, b));
    }
    return vaddvq_s32(sum);
}

#endif
