/* Template: dense weights times float32 input. A step is two columns, each added to its own sum; the two sums are
 * added at the end. Needs the vocabulary of linear_affine.h and u_bf16_low, u_bf16_high (the two columns of a vector
 * of bf16 pairs as float32). */
#ifndef FFAI_LINEAR_DENSE_H
#define FFAI_LINEAR_DENSE_H

#include "linear_rows.h"

enum { DENSE_F32, DENSE_F16, DENSE_BF16 };

FFAI__ALWAYS_INLINE size_t dense_step_bytes(int format)
{
    return format == DENSE_F32 ? 128 : 64;
}

/* Vector number part, 0 or 1, of the step at `at`. */
FFAI__ALWAYS_INLINE lanes_f load_dense(const uint8_t *at, int format, int part)
{
    switch (format) {
    case DENSE_F32:
        return f_load(at + 64 * part);
    case DENSE_F16:
        return f_load_f16(at + 32 * part);
    case DENSE_BF16:
    default:
        return part ? u_bf16_high(u_load(at)) : u_bf16_low(u_load(at));
    }
}

FFAI__ALWAYS_INLINE lanes_f multiply_dense(lanes_f weights, const uint8_t *input, lanes_f sum)
{
    float x = 0;
    memcpy(&x, input, sizeof x);
    return f_fma(weights, f_set(x), sum);
}

FFAI__ALWAYS_INLINE void dense_rows(const ffai__linear_job *job, int64_t tile, int64_t row, int format, int rows)
{
    const uint8_t *at = job->packed->tiles + (uint64_t)tile * job->packed->tile_bytes;
    const uint8_t *const end = at + job->packed->tile_bytes;
    const size_t stride = job->input_bytes;
    const uint8_t *input = job->inputs + (uint64_t)row * stride;
    lanes_f sums_a[MOST_ROWS];
    lanes_f sums_b[MOST_ROWS];
    UNROLL
    for (int m = 0; m < rows; m++)
        sums_a[m] = sums_b[m] = f_zero();
    for (; at < end; at += dense_step_bytes(format), input += 8) {
        fetch_ahead(at, (int)dense_step_bytes(format) / FFAI__BLOCK_BYTES, distance_ahead(job, rows));
        const lanes_f a = load_dense(at, format, 0);
        UNROLL
        for (int m = 0; m < rows; m++)
            sums_a[m] = multiply_dense(a, input + (size_t)m * stride, sums_a[m]);
        const lanes_f b = load_dense(at, format, 1);
        UNROLL
        for (int m = 0; m < rows; m++)
            sums_b[m] = multiply_dense(b, input + (size_t)m * stride + 4, sums_b[m]);
    }
    UNROLL
    for (int m = 0; m < rows; m++)
        finish_lanes(job, tile, row + m, f_add(sums_a[m], sums_b[m]));
}

#define DEFINE_DENSE(name, format, ROWS)                                                                               \
    FFAI__ALWAYS_INLINE void name##_rows(const ffai__linear_job *job, int64_t tile, int64_t row, int rows)             \
    {                                                                                                                  \
        dense_rows(job, tile, row, format, rows);                                                                      \
    }                                                                                                                  \
    DEFINE_KERNEL(name, ROWS)

#endif
