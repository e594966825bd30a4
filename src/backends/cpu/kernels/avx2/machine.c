#include <immintrin.h>

#include "linear_kernels.h"

typedef __m256 peak_sum;
typedef __m256 peak_factor;

FFAI__ALWAYS_INLINE peak_factor peak_factor_of(float zero)
{
    return _mm256_set1_ps(0.75f + zero);
}

FFAI__ALWAYS_INLINE peak_sum peak_begin(int i)
{
    return _mm256_set1_ps((float)i);
}

FFAI__ALWAYS_INLINE peak_sum peak_step(peak_sum sum, peak_factor factor)
{
    return _mm256_fmadd_ps(sum, factor, factor);
}

FFAI__ALWAYS_INLINE float peak_value(peak_sum sum)
{
    return _mm256_cvtss_f32(sum);
}

#include "machine_template.h"

const ffai__peak ffai__peak_avx2_f32 = {"vfmadd (256 bits, float32)", 16.0 * FFAI__PEAK_CHAINS *FFAI__PEAK_REPEATS,
                                        multiply_add};

/* Each sum's product needs a register too: fewer chains fit. */
enum { I16_CHAINS = 8 };

/* What products of codes and fixed-point input are made of without VNNI. */
static void multiply_add_i16(int64_t iterations)
{
    const __m256i factor = _mm256_set1_epi16((int16_t)(3 + 0 * sink));
    __m256i sums[I16_CHAINS];
    UNROLL
    for (int i = 0; i < I16_CHAINS; i++)
        sums[i] = _mm256_set1_epi32(i);
    for (int64_t n = 0; n < iterations * FFAI__PEAK_REPEATS; n++) {
        UNROLL
        for (int i = 0; i < I16_CHAINS; i++)
            sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(sums[i], factor));
    }
    UNROLL
    for (int i = 0; i < I16_CHAINS; i++)
        sink = sink + (float)_mm256_cvtsi256_si32(sums[i]);
}

const ffai__peak ffai__peak_avx2_i16 = {"vpmaddwd (256 bits, int16)", 32.0 * (I16_CHAINS * FFAI__PEAK_REPEATS),
                                        multiply_add_i16};

uint64_t ffai__read_avx2(const uint8_t *bytes, size_t n)
{
    enum { VECTORS = 4 };
    const __m256i *vectors = (const __m256i *)(const void *)bytes;
    __m256i sums[VECTORS] = {_mm256_setzero_si256()};
    for (size_t i = 0; i < n / sizeof *vectors; i += VECTORS) {
        UNROLL
        for (size_t k = 0; k < VECTORS; k++)
            sums[k] = _mm256_add_epi64(sums[k], _mm256_load_si256(vectors + i + k));
    }
    uint64_t parts[VECTORS];
    const __m256i sum = _mm256_add_epi64(_mm256_add_epi64(sums[0], sums[1]), _mm256_add_epi64(sums[2], sums[3]));
    _mm256_storeu_si256((__m256i *)(void *)parts, sum);
    return parts[0] + parts[1] + parts[2] + parts[3];
}
