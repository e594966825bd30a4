/* The vocabulary of linear_affine.h and linear_dense.h in AVX-512 (F, BW, VL, DQ), dot products apart: those differ
 * with VNNI and without. */
#ifndef FFAI_LINEAR_LANES_AVX512_H
#define FFAI_LINEAR_LANES_AVX512_H

#include <immintrin.h>

#include "linear_kernels.h"

typedef __m512i lanes_u;
typedef __m512 lanes_f;

FFAI__ALWAYS_INLINE lanes_u u_load(const void *at)
{
    return _mm512_loadu_si512(at);
}

FFAI__ALWAYS_INLINE void u_store(void *at, lanes_u a)
{
    _mm512_storeu_si512(at, a);
}

/* Immediate operands are constants only after inlining. */
#if defined(__OPTIMIZE__) && defined(__clang__)
#define SHIFT_RIGHT(a, n) _mm512_srli_epi16(a, (unsigned)(n))
#define SHIFT_LEFT(a, n)  _mm512_slli_epi16(a, (unsigned)(n))
#elif defined(__OPTIMIZE__)
#define SHIFT_RIGHT(a, n) _mm512_srli_epi16(a, n)
#define SHIFT_LEFT(a, n)  _mm512_slli_epi16(a, n)
#else
#define SHIFT_RIGHT(a, n) _mm512_srl_epi16(a, _mm_cvtsi32_si128(n))
#define SHIFT_LEFT(a, n)  _mm512_sll_epi16(a, _mm_cvtsi32_si128(n))
#endif

FFAI__ALWAYS_INLINE lanes_u u_shift(lanes_u a, int n)
{
    if (n > 0)
        return SHIFT_RIGHT(a, n);
    return n < 0 ? SHIFT_LEFT(a, -n) : a;
}

FFAI__ALWAYS_INLINE lanes_u u_and(lanes_u a, int mask)
{
    return _mm512_and_si512(a, _mm512_set1_epi8((char)mask));
}

FFAI__ALWAYS_INLINE lanes_u u_select(int mask, lanes_u a, lanes_u b)
{
    return _mm512_ternarylogic_epi32(_mm512_set1_epi8((char)mask), a, b, 0xCA);
}

FFAI__ALWAYS_INLINE lanes_f u_byte(lanes_u quad, int column)
{
    return _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(quad, 8u * (unsigned)column), _mm512_set1_epi32(255)));
}

FFAI__ALWAYS_INLINE lanes_f f_signed_bytes(lanes_b bytes)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32((__m128i)bytes));
}

FFAI__ALWAYS_INLINE lanes_f u_bf16_low(lanes_u pairs)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
}

FFAI__ALWAYS_INLINE lanes_f u_bf16_high(lanes_u pairs)
{
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int)0xFFFF0000u)));
}

FFAI__ALWAYS_INLINE lanes_f f_zero(void)
{
    return _mm512_setzero_ps();
}

FFAI__ALWAYS_INLINE lanes_f f_set(float value)
{
    return _mm512_set1_ps(value);
}

FFAI__ALWAYS_INLINE lanes_f f_load(const void *at)
{
    return _mm512_loadu_ps(at);
}

FFAI__ALWAYS_INLINE void f_store(float *at, lanes_f a)
{
    _mm512_storeu_ps(at, a);
}

FFAI__ALWAYS_INLINE lanes_f f_load_f16(const void *at)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256(at));
}

FFAI__ALWAYS_INLINE lanes_f f_load_bf16(const void *at)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(at)), 16));
}

FFAI__ALWAYS_INLINE lanes_f f_add(lanes_f a, lanes_f b)
{
    return _mm512_add_ps(a, b);
}

FFAI__ALWAYS_INLINE lanes_f f_mul(lanes_f a, lanes_f b)
{
    return _mm512_mul_ps(a, b);
}

FFAI__ALWAYS_INLINE lanes_f f_fma(lanes_f a, lanes_f b, lanes_f c)
{
    return _mm512_fmadd_ps(a, b, c);
}

FFAI__ALWAYS_INLINE float f_reduce(lanes_f a)
{
    const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

FFAI__ALWAYS_INLINE __m512i input_word(const uint8_t *at)
{
    int32_t word = 0;
    memcpy(&word, at, sizeof word);
    return _mm512_set1_epi32(word);
}

#endif
