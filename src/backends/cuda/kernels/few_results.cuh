/* The results of a product of a few rows: what belongs to them is added, or they are left as parts of sums. */
#ifndef FFAI_CUDA_FEW_RESULTS_CUH
#define FFAI_CUDA_FEW_RESULTS_CUH

#include "few_work.cuh"

/* Where the warp's results go: lane (g, t) has rows g of its units, and rows 2t and 2t + 1 of each eight of x. */
typedef struct few_output {
    const few_frame *f;
    few_units units;
    int split;
    int first_row; /* the lane's, of x */
} few_output;

/* The unit's row that the lane has; -1 where it has none. */
DEVICE int64_t output_column(const few_output &out, int u)
{
    const int64_t column = unit_of(out.units, out.f->args->swiglu, u) * UNIT + threadIdx.x % WARP / 4;
    return column < part_of(*out.f, out.units, u).matrix.rows ? column : -1;
}

DEVICE bool row_is_there(const few_output &out, int tile, int i)
{
    return out.first_row + tile * ROW_TILE + i < out.f->num_rows;
}

template <int TILES> DEVICE void add_biases(few_sums<TILES> &results, const few_output &out)
{
    float bias[FEW_UNITS];
#pragma unroll
    for (int u = 0; u < FEW_UNITS; u++) {
        const ffai__cuda_part &p = part_of(*out.f, out.units, u);
        const int64_t column = output_column(out, u);
        bias[u] = p.bias && column >= 0 ? p.bias[column] : 0;
    }
#pragma unroll
    for (int u = 0; u < FEW_UNITS; u++) {
#pragma unroll
        for (int tile = 0; tile < TILES; tile++) {
            results.c[tile][u * 2] += bias[u];
            results.c[tile][u * 2 + 1] += bias[u];
        }
    }
}

/* All are asked for before the first is added. */
template <int TILES> DEVICE void add_residual(few_sums<TILES> &results, const few_output &out)
{
    const ffai__cuda_part &p = out.f->args->parts[out.units.part];
    few_sums<TILES> residual;
#pragma unroll
    for (int u = 0; u < FEW_UNITS; u++) {
        const int64_t column = output_column(out, u);
        const float *from = p.residual + out.first_row * p.matrix.rows + column;
#pragma unroll
        for (int tile = 0; tile < TILES; tile++) {
#pragma unroll
            for (int i = 0; i < 2; i++) {
                float &number = residual.c[tile][u * 2 + i];
                number = 0;
                if (column >= 0 && row_is_there(out, tile, i))
                    number = from[(tile * ROW_TILE + i) * p.matrix.rows];
            }
        }
    }
#pragma unroll
    for (int tile = 0; tile < TILES; tile++) {
#pragma unroll
        for (int i = 0; i < 4; i++)
            results.c[tile][i] += residual.c[tile][i];
    }
}

template <int TILES> DEVICE void take_swiglu(few_sums<TILES> &results)
{
#pragma unroll
    for (int tile = 0; tile < TILES; tile++) {
#pragma unroll
        for (int i = 0; i < 2; i++)
            results.c[tile][i] = silu_of(results.c[tile][i]) * results.c[tile][2 + i];
    }
}

/* The warp's first `count` units into rows of y that are so long, or, where there are several parts, the part's. */
template <int TILES> DEVICE void write_units(const few_sums<TILES> &results, const few_output &out, int count)
{
    const ffai__cuda_product_few_args &args = *out.f->args;
#pragma unroll
    for (int u = 0; u < FEW_UNITS; u++) {
        const ffai__cuda_part &p = part_of(*out.f, out.units, u);
        const int64_t stride = args.splits > 1 ? p.matrix.units * UNIT : p.matrix.rows;
        const int64_t column = u < count ? output_column(out, u) : -1;
        const int64_t first = ((int64_t)out.split * args.split_rows + out.first_row) * stride + column;
#pragma unroll
        for (int tile = 0; tile < TILES; tile++) {
#pragma unroll
            for (int i = 0; i < 2; i++) {
                if (column >= 0 && row_is_there(out, tile, i))
                    p.y[first + (tile * ROW_TILE + i) * stride] = results.c[tile][u * 2 + i];
            }
        }
    }
}

template <int TILES> DEVICE void write_item(few_sums<TILES> &results, const few_frame &f, int item)
{
    const few_output out = {&f, find_units(f, item), item % f.args->splits,
                            group_of(f, item) * f.args->tiles * ROW_TILE + (int)threadIdx.x % 4 * 2};
    if (out.units.first >= part_of(f, out.units, 0).matrix.units)
        return;
    if (f.args->splits > 1) {
        write_units(results, out, FEW_UNITS);
        return;
    }
    add_biases(results, out);
    if (f.args->swiglu)
        take_swiglu(results);
    else if (part_of(f, out.units, 0).residual)
        add_residual(results, out);
    write_units(results, out, f.args->swiglu ? FEW_UNITS / 2 : FEW_UNITS);
}

#endif
