/* Affine kernels with byte dot products. */
#include "linear_dots_vnni.h"

#include "linear_affine.h"

FFAI__ALWAYS_INLINE uint32_t fixed_magnitude(const float *x, int count)
{
    const __m512i mask = _mm512_set1_epi32(0x7FFFFFFF);
    __m512i most = _mm512_setzero_si512();
    for (int i = 0; i < count; i += 16)
        most = _mm512_max_epu32(most, _mm512_and_si512(mask, _mm512_loadu_si512(x + i)));
    return _mm512_reduce_max_epu32(most);
}

FFAI__ALWAYS_INLINE int32_t fixed_convert(uint8_t *out, const float *x, int64_t column, int count, float factor)
{
    __m512i sum = _mm512_setzero_si512();
    for (int64_t c = column; c < column + count; c += 16) {
        uint8_t *at = out + c / 64 * 128 + c % 64;
        const __m512 scaled = _mm512_mul_ps(_mm512_loadu_ps(x + c), _mm512_set1_ps(factor));
        /* All lanes off where there is no factor: infinities and NaN have no integer. */
        const __m512i v = _mm512_maskz_cvtps_epi32(factor > 0.0f ? 0xFFFF : 0, scaled);
        const __m512i high = _mm512_srai_epi32(_mm512_add_epi32(v, _mm512_set1_epi32(128)), 8);
        _mm_storeu_si128((void *)at, _mm512_cvtepi32_epi8(high));
        _mm_storeu_si128((void *)(at + 64), _mm512_cvtepi32_epi8(v));
        sum = _mm512_add_epi32(sum, v);
    }
    return _mm512_reduce_add_epi32(sum);
}

#include "linear_prepare.h"

void ffai__linear_prepare_fixed_vnni(void *prepared, const float *x, const ffai__linear_input *input)
{
    prepare_fixed(prepared, x, input);
}

DEFINE_FIXED(ROWS_8_4_2_1)

const ffai__linear_kernels ffai__linear_avx512_vnni = {
    .name = "affine fixed-point vnni",
    .kind = FFAI__INPUT_FIXED,
    .prepare = ffai__linear_prepare_fixed_vnni,
    .compute = fixed,
};
