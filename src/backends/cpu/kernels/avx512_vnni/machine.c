#include <immintrin.h>

#include "linear_kernels.h"
#include "machine_kernels.h"

static _Thread_local volatile float sink;

static void multiply_add(int64_t iterations)
{
    const __m512i factor = _mm512_set1_epi8((int8_t)(3 + 0 * sink));
    __m512i sums[FFAI__PEAK_CHAINS];
    UNROLL
    for (int i = 0; i < FFAI__PEAK_CHAINS; i++)
        sums[i] = _mm512_set1_epi32(i);
    for (int64_t n = 0; n < iterations * FFAI__PEAK_REPEATS; n++) {
        UNROLL
        for (int i = 0; i < FFAI__PEAK_CHAINS; i++)
            sums[i] = _mm512_dpbusd_epi32(sums[i], factor, factor);
    }
    UNROLL
    for (int i = 0; i < FFAI__PEAK_CHAINS; i++)
        sink = sink + (float)_mm512_cvtsi512_si32(sums[i]);
}

/* 64 products of bytes; an input of 15 bits has two. */
const ffai__peak ffai__peak_avx512_vnni = {"vpdpbusd (512 bits, two for 15-bit input)",
                                           64.0 * FFAI__PEAK_CHAINS *FFAI__PEAK_REPEATS, multiply_add};
