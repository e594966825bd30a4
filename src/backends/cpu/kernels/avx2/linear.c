/* Linear kernels for AVX2, FMA and F16C. */
#include "linear_lanes_avx2.h"

#include "linear_affine.h"
#include "linear_dense.h"

FFAI__ALWAYS_INLINE uint32_t fixed_magnitude(const float *x, int count)
{
    const __m256i mask = _mm256_set1_epi32(0x7FFFFFFF);
    __m256i eight = _mm256_setzero_si256();
    for (int i = 0; i < count; i += 8)
        eight = _mm256_max_epu32(eight, _mm256_and_si256(mask, _mm256_loadu_si256((const void *)(x + i))));
    __m128i most = _mm_max_epu32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    most = _mm_max_epu32(most, _mm_shuffle_epi32(most, 0x4E));
    most = _mm_max_epu32(most, _mm_shuffle_epi32(most, 0xB1));
    return (uint32_t)_mm_cvtsi128_si32(most);
}

/* 16 columns: as int16 in the order 0, 2, 1, 3 of each four; the sums of pairs of columns. */
FFAI__ALWAYS_INLINE __m256i convert_16(uint8_t *out, const float *x, __m256 factor)
{
    const __m256i a = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x), factor));
    const __m256i b = _mm256_cvtps_epi32(_mm256_mul_ps(_mm256_loadu_ps(x + 8), factor));
    __m256i v = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xD8);
    v = _mm256_shufflehi_epi16(_mm256_shufflelo_epi16(v, 0xD8), 0xD8);
    _mm256_storeu_si256((void *)out, v);
    return _mm256_madd_epi16(v, _mm256_set1_epi16(1));
}

FFAI__ALWAYS_INLINE int32_t fixed_convert(uint8_t *out, const float *x, int64_t column, int count, float factor)
{
    out += 2 * column;
    x += column;
    if (!(factor > 0.0f)) {
        memset(out, 0, 2 * (size_t)count);
        return 0;
    }
    __m256i eight = _mm256_setzero_si256();
    for (int i = 0; i < count; i += 16)
        eight = _mm256_add_epi32(eight, convert_16(out + 2 * (size_t)i, x + i, _mm256_set1_ps(factor)));
    __m128i sum = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0x4E));
    sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, 0xB1));
    return _mm_cvtsi128_si32(sum);
}

#include "linear_prepare.h"

void ffai__linear_prepare_fixed_avx2(void *prepared, const float *x, const ffai__linear_input *input)
{
    prepare_fixed(prepared, x, input);
}

DEFINE_FIXED(ROWS_4_2_1)
DEFINE_KERNEL(affine_f32, ROWS_4_1)
DEFINE_DENSE(dense_f32, DENSE_F32, ROWS_3_1)
DEFINE_DENSE(dense_f16, DENSE_F16, ROWS_3_1)
DEFINE_DENSE(dense_bf16, DENSE_BF16, ROWS_3_1)

const ffai__linear_tier ffai__linear_avx2 = {
    .fixed = {"affine fixed-point avx2", FFAI__INPUT_FIXED, ffai__linear_prepare_fixed_avx2, fixed},
    .affine_f32 = {"affine float32 avx2", FFAI__INPUT_F32, ffai__linear_prepare_f32, affine_f32},
    .dense_f32 = {"f32 avx2", FFAI__INPUT_F32, ffai__linear_prepare_f32, dense_f32},
    .dense_f16 = {"f16 avx2", FFAI__INPUT_F32, ffai__linear_prepare_f32, dense_f16},
    .dense_bf16 = {"bf16 avx2", FFAI__INPUT_F32, ffai__linear_prepare_f32, dense_bf16},
};
