/* Dot products of bytes (VNNI) for linear_affine.h: the input is two signed bytes, 256 h + l, each times the unsigned
 * codes. */
#ifndef FFAI_LINEAR_DOTS_VNNI_H
#define FFAI_LINEAR_DOTS_VNNI_H

#include "linear_lanes_avx512.h"

#define FIXED_LAYOUTS

/* 64 h, then 64 l: a span is half of each. */
#define DOT_SPAN(input, number) ((input) + (number)*64 - (number) % 2 * 32)

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
    sum.low = _mm512_dpbusd_epi32(sum.low, codes, input_word(span + 64 + 4 * quad));
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

#endif
