/* Results of products of a few rows that are in several parts (ffai__cuda_parted in args.h) are put together. */
#ifndef FFAI_CUDA_RESULTS_CUH
#define FFAI_CUDA_RESULTS_CUH

#include "step.cuh"

DEVICE float4 add_fours(float4 a, float4 b)
{
    return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

/* Four numbers side by side, the first of which is there or none is; those behind the last are 0. */
DEVICE float4 load_four(const float *row, int column, int columns)
{
    if ((columns | column) % 4 == 0)
        return column < columns ? *vectors_at<const float4>(row + column) : make_float4(0, 0, 0, 0);
    return make_float4(column < columns ? row[column] : 0, column + 1 < columns ? row[column + 1] : 0,
                       column + 2 < columns ? row[column + 2] : 0, column + 3 < columns ? row[column + 3] : 0);
}

DEVICE void write_four(float *row, float4 v, int column, int columns)
{
    if (columns % 4 == 0) {
        if (column < columns)
            *vectors_at<float4>(row + column) = v;
        return;
    }
    const float numbers[4] = {v.x, v.y, v.z, v.w};
    for (int i = 0; i < 4; i++) {
        if (column + i < columns)
            row[column + i] = numbers[i];
    }
}

/* The parts' sums, in order; those of four parts are on their way at once. */
DEVICE float4 sum_parts(const ffai__cuda_parted &result, const float *sums, int64_t row, int column)
{
    enum { AT_ONCE = 3 };
    const float *from = sums + row * result.stride;
    const int64_t next = result.split_rows * result.stride;
    float4 sum = load_four(from, column, (int)result.columns);
    for (int first = 1; first < result.splits; first += AT_ONCE) {
        float4 part[AT_ONCE];
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            if (first + i < result.splits)
                part[i] = load_four(from + (first + i) * next, column, (int)result.columns);
        }
#pragma unroll
        for (int i = 0; i < AT_ONCE; i++) {
            if (first + i < result.splits)
                sum = add_fours(sum, part[i]);
        }
    }
    return sum;
}

/* Four numbers of y, which are written nowhere; not a gate's. What is added last is asked for first. */
DEVICE float4 take_result(const ffai__cuda_parted &result, int64_t row, int column)
{
    const int columns = (int)result.columns;
    float4 bias = {};
    float4 residual = {};
    if (!result.sums)
        return load_four(result.y + row * result.columns, column, columns);
    if (result.bias)
        bias = load_four(result.bias, column, columns);
    if (result.residual)
        residual = load_four(result.residual + row * result.columns, column, columns);
    return add_fours(add_fours(sum_parts(result, result.sums, row, column), bias), residual);
}

/* The same of any result. */
DEVICE float4 take_any_result(const ffai__cuda_parted &result, int64_t row, int column)
{
    const float4 y = take_result(result, row, column);
    if (!result.up)
        return y;
    float4 up = sum_parts(result, result.up, row, column);
    if (result.up_bias)
        up = add_fours(up, load_four(result.up_bias, column, (int)result.columns));
    return make_float4(silu_of(y.x) * up.x, silu_of(y.y) * up.y, silu_of(y.z) * up.z, silu_of(y.w) * up.w);
}

#endif
