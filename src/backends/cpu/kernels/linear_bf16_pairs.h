/* Template: dense bf16 weights times inputs rounded to bf16, pairs of products added into float32. A tier includes it
 * after its vocabulary (linear_affine.h) and
 *   f_multiply_pairs(sum, weights, input, pair)   sum + the pair of columns in weights times pair 0 or 1 of the four
 * bf16 at input */
#ifndef FFAI_LINEAR_BF16_PAIRS_H
#define FFAI_LINEAR_BF16_PAIRS_H

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
    lanes_f sums_a[MOST_ROWS];
    lanes_f sums_b[MOST_ROWS];
    UNROLL
    for (int m = 0; m < rows; m++)
        sums_a[m] = sums_b[m] = f_zero();
    for (; at < end; at += STEP, input += 8) {
        fetch_ahead(at, STEP / FFAI__BLOCK_BYTES, distance_ahead(job, rows));
        const lanes_u a = u_load(at);
        UNROLL
        for (int m = 0; m < rows; m++)
            sums_a[m] = f_multiply_pairs(sums_a[m], a, input + (size_t)m * stride, 0);
        const lanes_u b = u_load(at + FFAI__BLOCK_BYTES);
        UNROLL
        for (int m = 0; m < rows; m++)
            sums_b[m] = f_multiply_pairs(sums_b[m], b, input + (size_t)m * stride, 1);
    }
    UNROLL
    for (int m = 0; m < rows; m++)
        finish_lanes(job, tile, row + m, f_add(sums_a[m], sums_b[m]));
}

static void prepare(void *prepared, const float *x, const ffai__linear_input *input)
{
    prepare_bf16(prepared, x, input, 1);
}

#endif
