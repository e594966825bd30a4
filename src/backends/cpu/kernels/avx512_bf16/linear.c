/* Dense bf16 weights times inputs rounded to bf16: pairs of products added into float32. */
#include "linear_lanes_bf16_avx512.h"

FFAI__ALWAYS_INLINE lanes_f f_multiply_pairs(lanes_f sum, lanes_u weights, const uint8_t *input, int pair)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)weights, (__m512bh)input_word(input + 4 * pair));
}

#include "linear_bf16_pairs.h"

DEFINE_KERNEL(bf16_pairs, ROWS_8_4_2_1)

const ffai__linear_kernels ffai__linear_avx512_bf16 = {
    .name = "bf16 rounded inputs avx512",
    .kind = FFAI__INPUT_BF16,
    .prepare = prepare,
    .compute = bf16_pairs,
};
