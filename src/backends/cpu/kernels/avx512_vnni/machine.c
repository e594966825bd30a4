#include <immintrin.h>

#include "linear_kernels.h"

typedef __m512i peak_sum;
typedef __m512i peak_factor;

FFAI__ALWAYS_INLINE peak_factor peak_factor_of(float zero)
{
    return _mm512_set1_epi8((int8_t)(3 + zero));
}

FFAI__ALWAYS_INLINE peak_sum peak_begin(int i)
{
    return _mm512_set1_epi32(i);
}

FFAI__ALWAYS_INLINE peak_sum peak_step(peak_sum sum, peak_factor factor)
{
    return _mm512_dpbusd_epi32(sum, factor, factor);
}

FFAI__ALWAYS_INLINE float peak_value(peak_sum sum)
{
    return (float)_mm512_cvtsi512_si32(sum);
}

#include "machine_template.h"

/* 64 products of bytes; an input of 15 bits has two. */
const ffai__peak ffai__peak_avx512_vnni = {"vpdpbusd (512 bits, two for 15-bit input)",
                                           64.0 * FFAI__PEAK_CHAINS *FFAI__PEAK_REPEATS, multiply_add};
