/* Dense bf16 with bf16 dot products: pairs of products added into float32. */
#include "linear_lanes_avx512.h"

FFAI__ALWAYS_INLINE lanes_f f_load_pairs(const uint8_t *at)
{
    return _mm512_loadu_ps(at);
}

FFAI__ALWAYS_INLINE lanes_f f_dot_pairs(lanes_f weights, const uint8_t *input, lanes_f sum)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)_mm512_castps_si512(weights), (__m512bh)input_word(input));
}

#define HAVE_BF16_DOT
#include "linear_dense.h"

/* Nearest, ties to even, as ffai__f32_to_bf16: the processor's own conversion would flush denormals. */
FFAI__ALWAYS_INLINE __m256i round_16(__m512 x)
{
    const __m512i bits = _mm512_castps_si512(x);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
    const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));
    const __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(_mm512_mask_mov_epi32(rounded, nan, quiet), 16));
}

static void prepare_bf16(void *prepared, const float *x, const ffai__linear_input *input)
{
    uint16_t *out = prepared;
    const int64_t padded = ffai__spans(input->columns) * FFAI__SPAN_COLUMNS;
    for (int64_t c = 0; c < padded; c += 16) {
        const int64_t left = input->columns - c;
        const __mmask16 some = (__mmask16)(left >= 16 ? 0xFFFF : left > 0 ? (1 << left) - 1 : 0);
        _mm256_storeu_si256((void *)(out + c), round_16(_mm512_maskz_loadu_ps(some, x + c)));
    }
}

DEFINE_DENSE(dense_bf16, DENSE_BF16_PAIRS, ROWS_8_4_2_1)

const ffai__linear_kernels ffai__linear_avx512_bf16 = {"bf16 dot products", FFAI__INPUT_BF16, prepare_bf16, dense_bf16};
