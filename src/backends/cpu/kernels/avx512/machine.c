#include <immintrin.h>

#include "linear_kernels.h"

typedef __m512 peak_sum;
typedef __m512 peak_factor;

FFAI__ALWAYS_INLINE peak_factor peak_factor_of(float zero)
{
    return _mm512_set1_ps(0.75f + zero);
}

FFAI__ALWAYS_INLINE peak_sum peak_begin(int i)
{
    return _mm512_set1_ps((float)i);
}

FFAI__ALWAYS_INLINE peak_sum peak_step(peak_sum sum, peak_factor factor)
{
    return _mm512_fmadd_ps(sum, factor, factor);
}

FFAI__ALWAYS_INLINE float peak_value(peak_sum sum)
{
    return _mm512_cvtss_f32(sum);
}

#include "machine_template.h"

const ffai__peak ffai__peak_avx512_f32 = {"vfmadd (512 bits, float32)", 32.0 * FFAI__PEAK_CHAINS *FFAI__PEAK_REPEATS,
                                          multiply_add};

uint64_t ffai__read_avx512(const uint8_t *bytes, size_t n)
{
    enum { VECTORS = 4 };
    const __m512i *vectors = (const __m512i *)(const void *)bytes;
    __m512i sums[VECTORS] = {_mm512_setzero_si512()};
    for (size_t i = 0; i < n / sizeof *vectors; i += VECTORS) {
        UNROLL
        for (size_t k = 0; k < VECTORS; k++) {
            _mm_prefetch((const char *)(vectors + i + k) + FFAI__READ_AHEAD, _MM_HINT_T0);
            sums[k] = _mm512_add_epi64(sums[k], _mm512_load_si512(vectors + i + k));
        }
    }
    const __m512i sum = _mm512_add_epi64(_mm512_add_epi64(sums[0], sums[1]), _mm512_add_epi64(sums[2], sums[3]));
    return (uint64_t)_mm512_reduce_add_epi64(sum);
}
