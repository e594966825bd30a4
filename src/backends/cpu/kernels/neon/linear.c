/* Linear kernels for Advanced SIMD without dot products: codes are widened to int16 and multiplied into int32. */
#include "linear_lanes_neon.h"

/* A quad's columns 0 and 2, and 1 and 3, as int16. */
typedef struct dot_codes {
    int16x8_t even[PARTS], odd[PARTS];
} dot_codes;

/* Of each row two sums side by side: low has the rows 0 and 1 of every four, high the rows 2 and 3. */
typedef struct dot_sum {
    int32x4_t low[PARTS], high[PARTS];
} dot_sum;

FFAI__ALWAYS_INLINE dot_codes dot_widen(lanes_u quad)
{
    dot_codes codes;
    EACH_PART(p)
    {
        const uint16x8_t pairs = vreinterpretq_u16_u8(quad.part[p]);
        codes.even[p] = vreinterpretq_s16_u16(vandq_u16(pairs, vdupq_n_u16(255)));
        codes.odd[p] = vreinterpretq_s16_u16(vshrq_n_u16(pairs, 8));
    }
    return codes;
}

FFAI__ALWAYS_INLINE dot_sum dot_zero(void)
{
    dot_sum sum;
    EACH_PART(p)
    sum.low[p] = sum.high[p] = vdupq_n_s32(0);
    return sum;
}

/* Two columns of one row, over and over. */
FFAI__ALWAYS_INLINE int16x8_t input_pair(const uint8_t *at)
{
    int32_t pair = 0;
    memcpy(&pair, at, sizeof pair);
    return vreinterpretq_s16_s32(vdupq_n_s32(pair));
}

FFAI__ALWAYS_INLINE dot_sum dot_add(dot_sum sum, dot_codes codes, const uint8_t *span, int quad)
{
    const int16x8_t even = input_pair(span + 8 * quad);
    const int16x8_t odd = input_pair(span + 8 * quad + 4);
    EACH_PART(p)
    {
        sum.low[p] = vmlal_s16(sum.low[p], vget_low_s16(codes.even[p]), vget_low_s16(even));
        sum.high[p] = vmlal_high_s16(sum.high[p], codes.even[p], even);
    }
    EACH_PART(p)
    {
        sum.low[p] = vmlal_s16(sum.low[p], vget_low_s16(codes.odd[p]), vget_low_s16(odd));
        sum.high[p] = vmlal_high_s16(sum.high[p], codes.odd[p], odd);
    }
    return sum;
}

FFAI__ALWAYS_INLINE dot_sum dot_join(dot_sum a, dot_sum b)
{
    EACH_PART(p)
    {
        a.low[p] = vaddq_s32(a.low[p], b.low[p]);
        a.high[p] = vaddq_s32(a.high[p], b.high[p]);
    }
    return a;
}

FFAI__ALWAYS_INLINE lanes_f dot_float(dot_sum sum, int32_t offset)
{
    lanes_f a;
    EACH_PART(p)
    a.part[p] = vcvtq_f32_s32(vaddq_s32(vpaddq_s32(sum.low[p], sum.high[p]), vdupq_n_s32(offset)));
    return a;
}

#include "linear_affine.h"
#include "linear_dense.h"

/* As int16 in the order 0, 2, 1, 3 of each four. What is not finite comes with the factor 0, and the conversion makes
 * 0 of the NaN. */
FFAI__ALWAYS_INLINE int32_t fixed_convert(uint8_t *out, const float *x, int64_t column, int count, float factor)
{
    int32x4_t sum = vdupq_n_s32(0);
    for (int64_t c = column; c < column + count; c += 8) {
        const int32x4_t a = fixed_four(x + c, factor);
        const int32x4_t b = fixed_four(x + c + 4, factor);
        const uint32x2_t even = vreinterpret_u32_s16(vmovn_s32(vuzp1q_s32(a, b)));
        const uint32x2_t odd = vreinterpret_u32_s16(vmovn_s32(vuzp2q_s32(a, b)));
        vst1_u8(out + 2 * c, vreinterpret_u8_u32(vzip1_u32(even, odd)));
        vst1_u8(out + 2 * c + 8, vreinterpret_u8_u32(vzip2_u32(even, odd)));
        sum = vaddq_s32(sum, vaddq_s32(a, b));
    }
    return vaddvq_s32(sum);
}

#include "linear_prepare.h"

static void prepare_fixed_neon(void *prepared, const float *x, const ffai__linear_input *input)
{
    prepare_fixed(prepared, x, input);
}

DEFINE_FIXED(ROWS_8_4_2_1)
DEFINE_KERNEL(affine_f32, ROWS_4_1)
DEFINE_DENSE(dense_f32, DENSE_F32, ROWS_3_1)
DEFINE_DENSE(dense_f16, DENSE_F16, ROWS_3_1)
DEFINE_DENSE(dense_bf16, DENSE_BF16, ROWS_3_1)

const ffai__linear_tier ffai__linear_neon = {
    .fixed = {"affine fixed-point neon", FFAI__INPUT_FIXED, prepare_fixed_neon, fixed},
    .affine_f32 = {"affine float32 neon", FFAI__INPUT_F32, ffai__linear_prepare_f32, affine_f32},
    .dense_f32 = {"f32 neon", FFAI__INPUT_F32, ffai__linear_prepare_f32, dense_f32},
    .dense_f16 = {"f16 neon", FFAI__INPUT_F32, ffai__linear_prepare_f32, dense_f16},
    .dense_bf16 = {"bf16 neon", FFAI__INPUT_F32, ffai__linear_prepare_f32, dense_bf16},
};
