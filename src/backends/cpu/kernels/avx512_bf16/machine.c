#include <immintrin.h>

#include "linear_kernels.h"
#include "machine_kernels.h"

static _Thread_local volatile float sink;

static void multiply_add(int64_t iterations)
{
    const __m512 value = _mm512_set1_ps(0x1p-30f + 0 * sink);
    const __m512bh factor = _mm512_cvtne2ps_pbh(value, value);
    __m512 sums[FFAI__PEAK_CHAINS];
    UNROLL
    for (int i = 0; i < FFAI__PEAK_CHAINS; i++)
        sums[i] = _mm512_set1_ps((float)i);
    for (int64_t n = 0; n < iterations * FFAI__PEAK_REPEATS; n++) {
        UNROLL
        for (int i = 0; i < FFAI__PEAK_CHAINS; i++)
            sums[i] = _mm512_dpbf16_ps(sums[i], factor, factor);
    }
    UNROLL
    for (int i = 0; i < FFAI__PEAK_CHAINS; i++)
        sink = sink + _mm512_cvtss_f32(sums[i]);
}

const ffai__peak ffai__peak_avx512_bf16 = {"vdpbf16ps (512 bits)", 64.0 * FFAI__PEAK_CHAINS *FFAI__PEAK_REPEATS,
                                           multiply_add};
