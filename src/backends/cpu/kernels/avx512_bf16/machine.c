#include <immintrin.h>

#include "linear_kernels.h"

typedef __m512 peak_sum;
typedef __m512bh peak_factor;

FFAI__ALWAYS_INLINE peak_factor peak_factor_of(float zero)
{
    return _mm512_cvtne2ps_pbh(_mm512_set1_ps(0x1p-30f + zero), _mm512_set1_ps(0x1p-30f + zero));
}

FFAI__ALWAYS_INLINE peak_sum peak_begin(int i)
{
    return _mm512_set1_ps((float)i);
}

FFAI__ALWAYS_INLINE peak_sum peak_step(peak_sum sum, peak_factor factor)
{
    return _mm512_dpbf16_ps(sum, factor, factor);
}

FFAI__ALWAYS_INLINE float peak_value(peak_sum sum)
{
    return _mm512_cvtss_f32(sum);
}

#include "machine_template.h"

const ffai__peak ffai__peak_avx512_bf16 = {"vdpbf16ps (512 bits)", 64.0 * FFAI__PEAK_CHAINS *FFAI__PEAK_REPEATS,
                                           multiply_add};
