/* Sixteen floats: what the kernel templates are written in, for AVX-512. */
#ifndef FFAI_CPU_AVX512_VECTOR_H
#define FFAI_CPU_AVX512_VECTOR_H

#include <immintrin.h>
#include <stdint.h>

typedef __m512 vec;

enum { LANES = 16, SCORE_QUERIES = 8, SCORE_VECTORS = 2, SUM_QUERIES = 4, SUM_VECTORS = 4 };

static inline vec vec_set(float x)
{
    return _mm512_set1_ps(x);
}
static inline vec vec_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
static inline void vec_store(float *p, vec a)
{
    _mm512_storeu_ps(p, a);
}
static inline __mmask16 first_lanes(int64_t n)
{
    return (__mmask16)((1u << n) - 1u);
}
/* The first n lanes, 0 < n < LANES; the others are zero. */
static inline vec vec_load_part(const float *p, int64_t n)
{
    return _mm512_maskz_loadu_ps(first_lanes(n), p);
}
static inline void vec_store_part(float *p, vec a, int64_t n)
{
    _mm512_mask_storeu_ps(p, first_lanes(n), a);
}
static inline vec vec_fma(vec a, vec b, vec c)
{
    return _mm512_fmadd_ps(a, b, c);
}
/* The greater; b where either is not a number. */
static inline vec vec_max(vec a, vec b)
{
    return _mm512_max_ps(a, b);
}
static inline vec vec_min(vec a, vec b)
{
    return _mm512_min_ps(a, b);
}
/* Lanes [begin, end) of a, the others from b. */
static inline vec vec_window(vec a, vec b, int begin, int end)
{
    const uint32_t below_end = end >= LANES ? 0xFFFFu : (1u << end) - 1u;
    const uint32_t from_begin = begin <= 0 ? 0xFFFFu : ~((1u << begin) - 1u);
    return _mm512_mask_mov_ps(b, (__mmask16)(below_end & from_begin), a);
}
static inline vec vec_zero_below(vec a, vec x, float limit)
{
    const __mmask16 below = _mm512_cmp_ps_mask(x, _mm512_set1_ps(limit), _CMP_LT_OQ);
    return _mm512_mask_mov_ps(a, below, _mm512_setzero_ps());
}
/* 2^n for the integer n in the low bits of 1.5 * 2^23 + n. */
static inline vec vec_power_of_two(vec shifted)
{
    const __m512i exponent = _mm512_slli_epi32(_mm512_castps_si512(shifted), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(exponent, _mm512_set1_epi32(0x3F800000)));
}
static inline float vec_sum(vec a)
{
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
/* Of lanes that are numbers. */
static inline float vec_greatest(vec a)
{
    return _mm512_reduce_max_ps(a);
}
static inline vec vec_load_bf16(const uint16_t *p)
{
    const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
static inline vec vec_load_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
/* Rounded to the nearest, ties to even; what is not a number keeps its upper bits. BF16's own instruction makes
 * denormals zeros. */
static inline void vec_store_bf16(uint16_t *p, vec a)
{
    const __m512i bits = _mm512_castps_si512(a);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i up = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
    const __mmask16 no_number = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
    const __m512i rounded = _mm512_mask_or_epi32(up, no_number, bits, _mm512_set1_epi32(0x400000));
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
}
static inline void vec_store_f16(uint16_t *p, vec a)
{
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}

#endif
