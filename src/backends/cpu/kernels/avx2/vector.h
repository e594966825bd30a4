/* Eight floats: what the kernel templates are written in, for AVX2 with FMA and F16C. */
#ifndef FFAI_CPU_AVX2_VECTOR_H
#define FFAI_CPU_AVX2_VECTOR_H

#include <immintrin.h>
#include <stdint.h>

typedef __m256 vec;

enum { LANES = 8, SCORE_QUERIES = 6, SCORE_VECTORS = 2, SUM_QUERIES = 4, SUM_VECTORS = 2 };

static inline vec vec_set(float x)
{
    return _mm256_set1_ps(x);
}
static inline vec vec_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
static inline void vec_store(float *p, vec a)
{
    _mm256_storeu_ps(p, a);
}
static inline __m256i first_lanes(int64_t n)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane);
}
/* The first n lanes, 0 < n < LANES; the others are zero. */
static inline vec vec_load_part(const float *p, int64_t n)
{
    return _mm256_maskload_ps(p, first_lanes(n));
}
static inline void vec_store_part(float *p, vec a, int64_t n)
{
    _mm256_maskstore_ps(p, first_lanes(n), a);
}
static inline vec vec_fma(vec a, vec b, vec c)
{
    return _mm256_fmadd_ps(a, b, c);
}
/* The greater; b where either is not a number. */
static inline vec vec_max(vec a, vec b)
{
    return _mm256_max_ps(a, b);
}
static inline vec vec_min(vec a, vec b)
{
    return _mm256_min_ps(a, b);
}
/* Lanes [begin, end) of a, the others from b. */
static inline vec vec_window(vec a, vec b, int begin, int end)
{
    const __m256i inside = _mm256_andnot_si256(first_lanes(begin), first_lanes(end));
    return _mm256_blendv_ps(b, a, _mm256_castsi256_ps(inside));
}
static inline vec vec_zero_below(vec a, vec x, float limit)
{
    return _mm256_andnot_ps(_mm256_cmp_ps(x, _mm256_set1_ps(limit), _CMP_LT_OQ), a);
}
/* 2^n for the integer n in the low bits of 1.5 * 2^23 + n. */
static inline vec vec_power_of_two(vec shifted)
{
    const __m256i exponent = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(exponent, _mm256_set1_epi32(0x3F800000)));
}
static inline float vec_sum(vec a)
{
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
/* Of lanes that are numbers. */
static inline float vec_greatest(vec a)
{
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
static inline vec vec_load_bf16(const uint16_t *p)
{
    const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
static inline vec vec_load_f16(const uint16_t *p)
{
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)p));
}
/* Rounded to the nearest, ties to even; what is not a number keeps its upper bits. */
static inline void vec_store_bf16(uint16_t *p, vec a)
{
    const __m256i bits = _mm256_castps_si256(a);
    const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    const __m256i up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
    const __m256 quiet = _mm256_or_ps(a, _mm256_castsi256_ps(_mm256_set1_epi32(0x400000)));
    const __m256 rounded = _mm256_blendv_ps(_mm256_castsi256_ps(up), quiet, _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    const __m256i upper = _mm256_srli_epi32(_mm256_castps_si256(rounded), 16);
    const __m128i half = _mm_packus_epi32(_mm256_castsi256_si128(upper), _mm256_extracti128_si256(upper, 1));
    _mm_storeu_si128((__m128i *)(void *)p, half);
}
static inline void vec_store_f16(uint16_t *p, vec a)
{
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT));
}

#endif
