/* Affine kernels with byte dot products: the input is two signed bytes, 256 h + l, each times the unsigned codes. */
#include "linear_lanes_avx512.h"

typedef lanes_u dot_codes;

typedef struct dot_sum {
    __m512i high, low;
} dot_sum;

FFAI__ALWAYS_INLINE dot_codes dot_widen(lanes_u quad)
{
    return quad;
}

FFAI__ALWAYS_INLINE dot_sum dot_zero(void)
{
    return (dot_sum){_mm512_setzero_si512(), _mm512_setzero_si512()};
}

FFAI__ALWAYS_INLINE dot_sum dot_add(dot_sum sum, dot_codes codes, const uint8_t *span, int quad)
{
    sum.high = _mm512_dpbusd_epi32(sum.high, codes, input_word(span + 4 * quad));
    sum.low = _mm512_dpbusd_epi32(sum.low, codes, input_word(span + 32 + 4 * quad));
    return sum;
}

FFAI__ALWAYS_INLINE dot_sum dot_join(dot_sum a, dot_sum b)
{
    return (dot_sum){_mm512_add_epi32(a.high, b.high), _mm512_add_epi32(a.low, b.low)};
}

FFAI__ALWAYS_INLINE lanes_f dot_float(dot_sum sum, int32_t offset)
{
    const __m512i total = _mm512_add_epi32(_mm512_slli_epi32(sum.high, 8), sum.low);
    return _mm512_cvtepi32_ps(_mm512_add_epi32(total, _mm512_set1_epi32(offset)));
}

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
        uint8_t *at = out + c / FFAI__SPAN_COLUMNS * 64 + c % FFAI__SPAN_COLUMNS;
        const __m512 scaled = _mm512_mul_ps(_mm512_loadu_ps(x + c), _mm512_set1_ps(factor));
        /* All lanes off where there is no factor: infinities and NaN have no integer. */
        const __m512i v = _mm512_maskz_cvtps_epi32(factor > 0.0f ? 0xFFFF : 0, scaled);
        const __m512i high = _mm512_srai_epi32(_mm512_add_epi32(v, _mm512_set1_epi32(128)), 8);
        _mm_storeu_si128((void *)at, _mm512_cvtepi32_epi8(high));
        _mm_storeu_si128((void *)(at + 32), _mm512_cvtepi32_epi8(v));
        sum = _mm512_add_epi32(sum, v);
    }
    return _mm512_reduce_add_epi32(sum);
}

#include "linear_prepare.h"

static void prepare_fixed_vnni(void *prepared, const float *x, const ffai__linear_input *input)
{
    prepare_fixed(prepared, x, input);
}

DEFINE_FIXED(ROWS_8_4_2_1)

const ffai__linear_kernels ffai__linear_avx512_vnni = {"affine fixed-point vnni", FFAI__INPUT_FIXED, prepare_fixed_vnni,
                                                       fixed};
