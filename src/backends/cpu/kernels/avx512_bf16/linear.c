/* Dense bf16 weights times inputs rounded to bf16: pairs of products added into float32. */
#include "linear_lanes_bf16_avx512.h"

#include "linear_prepare_bf16.h"
#include "linear_rows.h"

/* Two pairs of columns a step, each added to its own sum. */
FFAI__ALWAYS_INLINE void bf16_pairs_rows(const ffai__linear_job *job, int64_t tile, int64_t row, int rows)
{
    enum { STEP = 2 * FFAI__BLOCK_BYTES };
    const uint8_t *at = job->packed->tiles + (uint64_t)tile * job->packed->tile_bytes;
    const uint8_t *const end = at + job->packed->tile_bytes;
    const size_t stride = job->input_bytes;
    const uint8_t *input = job->inputs + (uint64_t)row * stride;
    __m512 sums_a[MOST_ROWS];
    __m512 sums_b[MOST_ROWS];
    UNROLL
    for (int m = 0; m < rows; m++)
        sums_a[m] = sums_b[m] = _mm512_setzero_ps();
    for (; at < end; at += STEP, input += 8) {
        fetch_ahead(at, STEP / FFAI__BLOCK_BYTES, rows);
        const __m512bh a = (__m512bh)_mm512_loadu_si512(at);
        const __m512bh b = (__m512bh)_mm512_loadu_si512(at + FFAI__BLOCK_BYTES);
        UNROLL
        for (int m = 0; m < rows; m++) {
            const uint8_t *x = input + (size_t)m * stride;
            sums_a[m] = _mm512_dpbf16_ps(sums_a[m], a, (__m512bh)input_word(x));
            sums_b[m] = _mm512_dpbf16_ps(sums_b[m], b, (__m512bh)input_word(x + 4));
        }
    }
    UNROLL
    for (int m = 0; m < rows; m++)
        finish_lanes(job, tile, row + m, _mm512_add_ps(sums_a[m], sums_b[m]));
}

DEFINE_KERNEL(bf16_pairs, ROWS_8_4_2_1)

static void prepare(void *prepared, const float *x, const ffai__linear_input *input)
{
    prepare_bf16(prepared, x, input, 1);
}

const ffai__linear_kernels ffai__linear_avx512_bf16 = {
    .name = "bf16 rounded inputs avx512",
    .kind = FFAI__INPUT_BF16,
    .prepare = prepare,
    .compute = bf16_pairs,
};
