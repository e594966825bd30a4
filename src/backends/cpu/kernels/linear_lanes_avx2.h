/* The vocabulary of linear_affine.h and linear_dense.h in AVX2, FMA and F16C: 16 lanes are two registers. Dot
 * products widen codes to int16 and multiply pairs, so they need the input as int16. */
#ifndef FFAI_LINEAR_LANES_AVX2_H
#define FFAI_LINEAR_LANES_AVX2_H

#include <immintrin.h>

#include "linear_kernels.h"

typedef struct lanes_u {
    __m256i low, high;
} lanes_u;

typedef struct lanes_f {
    __m256 low, high;
} lanes_f;

FFAI__ALWAYS_INLINE lanes_u u_load(const void *at)
{
    const uint8_t *bytes = at;
    return (lanes_u){_mm256_loadu_si256((const void *)bytes), _mm256_loadu_si256((const void *)(bytes + 32))};
}

FFAI__ALWAYS_INLINE void u_store(void *at, lanes_u a)
{
    uint8_t *bytes = at;
    _mm256_storeu_si256((void *)bytes, a.low);
    _mm256_storeu_si256((void *)(bytes + 32), a.high);
}

FFAI__ALWAYS_INLINE __m256i shift_half(__m256i a, int n)
{
    return n > 0 ? _mm256_srli_epi16(a, n) : n < 0 ? _mm256_slli_epi16(a, -n) : a;
}

FFAI__ALWAYS_INLINE lanes_u u_shift(lanes_u a, int n)
{
    return (lanes_u){shift_half(a.low, n), shift_half(a.high, n)};
}

FFAI__ALWAYS_INLINE lanes_u u_and(lanes_u a, int mask)
{
    const __m256i wide = _mm256_set1_epi8((char)mask);
    return (lanes_u){_mm256_and_si256(a.low, wide), _mm256_and_si256(a.high, wide)};
}

FFAI__ALWAYS_INLINE __m256i select_half(__m256i mask, __m256i a, __m256i b)
{
    return _mm256_or_si256(_mm256_and_si256(mask, a), _mm256_andnot_si256(mask, b));
}

FFAI__ALWAYS_INLINE lanes_u u_select(int mask, lanes_u a, lanes_u b)
{
    const __m256i wide = _mm256_set1_epi8((char)mask);
    return (lanes_u){select_half(wide, a.low, b.low), select_half(wide, a.high, b.high)};
}

FFAI__ALWAYS_INLINE __m256 byte_half(__m256i quad, int column)
{
    return _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(quad, 8 * column), _mm256_set1_epi32(255)));
}

FFAI__ALWAYS_INLINE lanes_f u_byte(lanes_u quad, int column)
{
    return (lanes_f){byte_half(quad.low, column), byte_half(quad.high, column)};
}

FFAI__ALWAYS_INLINE lanes_f f_signed_bytes(lanes_b bytes)
{
    const __m128i low = (__m128i)bytes;
    return (lanes_f){_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(low)),
                     _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(low, low)))};
}

FFAI__ALWAYS_INLINE lanes_f u_bf16_low(lanes_u pairs)
{
    return (lanes_f){_mm256_castsi256_ps(_mm256_slli_epi32(pairs.low, 16)),
                     _mm256_castsi256_ps(_mm256_slli_epi32(pairs.high, 16))};
}

FFAI__ALWAYS_INLINE lanes_f u_bf16_high(lanes_u pairs)
{
    const __m256i mask = _mm256_set1_epi32((int)0xFFFF0000u);
    return (lanes_f){_mm256_castsi256_ps(_mm256_and_si256(pairs.low, mask)),
                     _mm256_castsi256_ps(_mm256_and_si256(pairs.high, mask))};
}

FFAI__ALWAYS_INLINE lanes_f f_zero(void)
{
    return (lanes_f){_mm256_setzero_ps(), _mm256_setzero_ps()};
}

FFAI__ALWAYS_INLINE lanes_f f_set(float value)
{
    return (lanes_f){_mm256_set1_ps(value), _mm256_set1_ps(value)};
}

FFAI__ALWAYS_INLINE lanes_f f_load(const void *at)
{
    const uint8_t *bytes = at;
    return (lanes_f){_mm256_loadu_ps((const void *)bytes), _mm256_loadu_ps((const void *)(bytes + 32))};
}

FFAI__ALWAYS_INLINE void f_store(float *at, lanes_f a)
{
    _mm256_storeu_ps(at, a.low);
    _mm256_storeu_ps(at + 8, a.high);
}

FFAI__ALWAYS_INLINE lanes_f f_load_f16(const void *at)
{
    const __m128i *halves = at;
    return (lanes_f){_mm256_cvtph_ps(_mm_loadu_si128(halves)), _mm256_cvtph_ps(_mm_loadu_si128(halves + 1))};
}

FFAI__ALWAYS_INLINE __m256 bf16_half(__m128i values)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(values), 16));
}

FFAI__ALWAYS_INLINE lanes_f f_load_bf16(const void *at)
{
    const __m128i *halves = at;
    return (lanes_f){bf16_half(_mm_loadu_si128(halves)), bf16_half(_mm_loadu_si128(halves + 1))};
}

FFAI__ALWAYS_INLINE lanes_f f_add(lanes_f a, lanes_f b)
{
    return (lanes_f){_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)};
}

FFAI__ALWAYS_INLINE lanes_f f_mul(lanes_f a, lanes_f b)
{
    return (lanes_f){_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)};
}

FFAI__ALWAYS_INLINE lanes_f f_fma(lanes_f a, lanes_f b, lanes_f c)
{
    return (lanes_f){_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}

FFAI__ALWAYS_INLINE float f_reduce(lanes_f a)
{
    const __m256 eight = _mm256_add_ps(a.low, a.high);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

/* A quad's columns 0 and 2, and 1 and 3, as int16. */
typedef struct dot_codes {
    lanes_u even, odd;
} dot_codes;

typedef lanes_u dot_sum;

FFAI__ALWAYS_INLINE dot_codes dot_widen(lanes_u quad)
{
    const __m256i mask = _mm256_set1_epi16(255);
    return (dot_codes){{_mm256_and_si256(quad.low, mask), _mm256_and_si256(quad.high, mask)},
                       {_mm256_srli_epi16(quad.low, 8), _mm256_srli_epi16(quad.high, 8)}};
}

FFAI__ALWAYS_INLINE dot_sum dot_zero(void)
{
    return (dot_sum){_mm256_setzero_si256(), _mm256_setzero_si256()};
}

FFAI__ALWAYS_INLINE __m256i input_pair(const uint8_t *at)
{
    int32_t pair = 0;
    memcpy(&pair, at, sizeof pair);
    return _mm256_set1_epi32(pair);
}

FFAI__ALWAYS_INLINE dot_sum dot_add(dot_sum sum, dot_codes codes, const uint8_t *span, int quad)
{
    const __m256i even = input_pair(span + 8 * quad);
    const __m256i odd = input_pair(span + 8 * quad + 4);
    sum.low = _mm256_add_epi32(sum.low, _mm256_madd_epi16(codes.even.low, even));
    sum.high = _mm256_add_epi32(sum.high, _mm256_madd_epi16(codes.even.high, even));
    sum.low = _mm256_add_epi32(sum.low, _mm256_madd_epi16(codes.odd.low, odd));
    sum.high = _mm256_add_epi32(sum.high, _mm256_madd_epi16(codes.odd.high, odd));
    return sum;
}

FFAI__ALWAYS_INLINE dot_sum dot_join(dot_sum a, dot_sum b)
{
    return (dot_sum){_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)};
}

FFAI__ALWAYS_INLINE lanes_f dot_float(dot_sum sum, int32_t offset)
{
    const __m256i wide = _mm256_set1_epi32(offset);
    return (lanes_f){_mm256_cvtepi32_ps(_mm256_add_epi32(sum.low, wide)),
                     _mm256_cvtepi32_ps(_mm256_add_epi32(sum.high, wide))};
}

#endif
