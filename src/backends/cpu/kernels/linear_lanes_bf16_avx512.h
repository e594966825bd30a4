/* The vocabulary of linear_prepare_bf16.h in AVX-512. The processor's own conversion would flush denormals. */
#ifndef FFAI_LINEAR_LANES_BF16_AVX512_H
#define FFAI_LINEAR_LANES_BF16_AVX512_H

#include "linear_lanes_avx512.h"

FFAI__ALWAYS_INLINE lanes_f f_round_bf16(lanes_f a)
{
    const __m512i bits = _mm512_castps_si512(a);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
    const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
    const __mmask16 nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
    const __m512i either = _mm512_mask_mov_epi32(rounded, nan, quiet);
    return _mm512_castsi512_ps(_mm512_and_si512(either, _mm512_set1_epi32((int)0xFFFF0000u)));
}

FFAI__ALWAYS_INLINE lanes_f f_less(lanes_f a, lanes_f b)
{
    const lanes_f difference = _mm512_sub_ps(a, b);
    /* Exponent bits not all ones: neither infinite nor NaN. */
    const __m512i exponent = _mm512_set1_epi32(0x7F800000);
    const __m512i bits = _mm512_and_si512(_mm512_castps_si512(difference), exponent);
    return _mm512_maskz_mov_ps(_mm512_cmpneq_epi32_mask(bits, exponent), difference);
}

FFAI__ALWAYS_INLINE void f_store_bf16(void *at, lanes_f a)
{
    _mm256_storeu_si256(at, _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_castps_si512(a), 16)));
}

#endif
