/* Linear kernels for AVX-512 (F, BW, VL, DQ). Dot products widen codes to int16, as on AVX2. */
#include "linear_lanes_avx512.h"

typedef struct dot_codes {
    __m512i even, odd;
} dot_codes;

typedef __m512i dot_sum;

FFAI__ALWAYS_INLINE dot_codes dot_widen(lanes_u quad)
{
    return (dot_codes){_mm512_and_si512(quad, _mm512_set1_epi16(255)), _mm512_srli_epi16(quad, 8)};
}

FFAI__ALWAYS_INLINE dot_sum dot_zero(void)
{
    return _mm512_setzero_si512();
}

FFAI__ALWAYS_INLINE dot_sum dot_add(dot_sum sum, dot_codes codes, const uint8_t *span, int quad)
{
    sum = _mm512_add_epi32(sum, _mm512_madd_epi16(codes.even, input_word(span + 8 * quad)));
    return _mm512_add_epi32(sum, _mm512_madd_epi16(codes.odd, input_word(span + 8 * quad + 4)));
}

FFAI__ALWAYS_INLINE dot_sum dot_join(dot_sum a, dot_sum b)
{
    return _mm512_add_epi32(a, b);
}

FFAI__ALWAYS_INLINE lanes_f dot_float(dot_sum sum, int32_t offset)
{
    return _mm512_cvtepi32_ps(_mm512_add_epi32(sum, _mm512_set1_epi32(offset)));
}

#include "linear_affine.h"
#include "linear_dense.h"

DEFINE_FIXED(ROWS_8_4_2_1)
DEFINE_KERNEL(affine_f32, ROWS_4_1)
DEFINE_DENSE(dense_f32, DENSE_F32, ROWS_8_4_2_1)
DEFINE_DENSE(dense_f16, DENSE_F16, ROWS_8_4_2_1)
DEFINE_DENSE(dense_bf16, DENSE_BF16, ROWS_8_4_2_1)

const ffai__linear_tier ffai__linear_avx512 = {
    .fixed = {"affine fixed-point avx512", FFAI__INPUT_FIXED, ffai__linear_prepare_fixed_avx2, fixed},
    .affine_f32 = {"affine float32 avx512", FFAI__INPUT_F32, ffai__linear_prepare_f32, affine_f32},
    .dense_f32 = {"f32 avx512", FFAI__INPUT_F32, ffai__linear_prepare_f32, dense_f32},
    .dense_f16 = {"f16 avx512", FFAI__INPUT_F32, ffai__linear_prepare_f32, dense_f16},
    .dense_bf16 = {"bf16 avx512", FFAI__INPUT_F32, ffai__linear_prepare_f32, dense_bf16},
};
