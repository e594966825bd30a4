/* Several rows through a matrix: y[t] = W x[t], 32 rows of x at a time.
 *
 * A block of threads takes 16 rows of the matrix, two units: they are the 16 rows of mma.sync's A, and rows of x its 8
 * columns of B, as prepare.cu laid them out. Its warps share out the spans, and their sums are added in the order of
 * the warps, so that a row's result depends on the matrix's columns alone. */
#ifndef FFAI_CUDA_PRODUCT_ROWS_CUH
#define FFAI_CUDA_PRODUCT_ROWS_CUH

#include "product_row.cuh"

enum {
    ROWS_WARPS = 8,
    ROWS_THREADS = ROWS_WARPS * WARP,
    ROW_TILE = 8,
    ROW_TILES = 4,
    STEP_ROWS = ROW_TILE * ROW_TILES
};

/* sums of 16 rows of the matrix and 32 of x. */
typedef struct rows_sums {
    float c[ROW_TILES][4];
} rows_sums;

typedef struct rows_frame {
    const ffai__cuda_product_rows_args *args;
    int first_tile; /* of rows of x */
    int num_tiles;  /* that have rows of the step */
} rows_frame;

/* Both units' pairs of one block of 64, as A wants them. */
template <int FORMAT>
DEVICE void block_pairs(uint32_t (&a)[4][4], const uint32_t (&upper)[PAIRS], const uint32_t (&lower)[PAIRS], int half)
{
#pragma unroll
    for (int step = 0; step < 4; step++) {
        a[step][0] = upper[4 * step + half];
        a[step][1] = lower[4 * step + half];
        a[step][2] = upper[4 * step + 2 + half];
        a[step][3] = lower[4 * step + 2 + half];
    }
}

template <int SUBGROUPS>
DEVICE void multiply_block(rows_sums (&sums)[SUBGROUPS], const uint32_t (&a)[4][4], const rows_frame &f, int span,
                           int block)
{
    const ffai__cuda_product_rows_args &args = *f.args;
    const int lane = threadIdx.x % WARP;
    const int spans = args.part.matrix.spans;
#pragma unroll
    for (int tile = 0; tile < ROW_TILES; tile++) {
        if (tile >= f.num_tiles)
            break;
        for (int piece = 0; piece < args.num_pieces; piece++) {
            const int64_t at = (((int64_t)(f.first_tile + tile) * args.num_pieces + piece) * spans + span) * 8 + block;
            const uint4 *from = reinterpret_cast<const uint4 *>(args.pieces) + at * 2 * WARP + lane;
            const uint4 low = from[0];
            const uint4 high = from[WARP];
            mma_bf16(sums[0].c[tile], a[0], low.x, low.y);
            mma_bf16(sums[SUBGROUPS / 4].c[tile], a[1], low.z, low.w);
            mma_bf16(sums[SUBGROUPS / 2].c[tile], a[2], high.x, high.y);
            mma_bf16(sums[SUBGROUPS * 3 / 4].c[tile], a[3], high.z, high.w);
        }
    }
}

/* What a block of an affine matrix adds to the results. */
template <int FORMAT, int SUBGROUPS>
DEVICE void scale_block(rows_sums &results, const rows_sums (&sums)[SUBGROUPS], const rows_frame &f, int64_t unit,
                        int span, int block)
{
    const ffai__cuda_product_rows_args &args = *f.args;
    const ffai__cuda_matrix &m = args.part.matrix;
    const int lane = threadIdx.x % WARP;
#pragma unroll
    for (int q = 0; q < SUBGROUPS; q++) {
        float scale[2] = {0, 0};
        float bias[2] = {0, 0};
        read_scale(&scale[0], &bias[0], &m, scale_index(&m, unit, span, lane / 4, block, q));
        if (unit + 1 < m.units)
            read_scale(&scale[1], &bias[1], &m, scale_index(&m, unit + 1, span, lane / 4, block, q));
#pragma unroll
        for (int tile = 0; tile < ROW_TILES; tile++) {
            if (tile >= f.num_tiles)
                break;
            const int64_t at = (((int64_t)(f.first_tile + tile) * m.spans + span) * 8 + block) * SUBGROUPS + q;
            const float2 x = *reinterpret_cast<const float2 *>(args.sums + at * ROW_TILE + lane % 4 * 2);
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const float sum = i % 2 ? x.y : x.x;
                results.c[tile][i] = fmaf(scale[i / 2], sums[q].c[tile][i] - magic_of<FORMAT>(args.num_pieces) * sum,
                                          fmaf(bias[i / 2], sum, results.c[tile][i]));
            }
        }
    }
}

/* The words of one tile of a unit. */
template <int FORMAT>
DEVICE void load_tile(uint32_t (&words)[lane_words<FORMAT>], const ffai__cuda_matrix &m, int64_t unit, int span,
                      int tile)
{
    const int lane = threadIdx.x % WARP;
    const bool there = unit < m.units && span * TILES + tile < m.tiles;
#pragma unroll
    for (int i = 0; i < lane_words<FORMAT>; i++)
        words[i] =
            there ? m.words[word_index(&m, lane_words<FORMAT>, unit, span, tile * lane_words<FORMAT> + i, lane)] : 0;
}

template <int FORMAT, int SUBGROUPS>
DEVICE void multiply_tile(rows_sums &results, const rows_frame &f, int64_t unit, int span, int tile)
{
    uint32_t words[2][lane_words<FORMAT>];
    load_tile<FORMAT>(words[0], f.args->part.matrix, unit, span, tile);
    load_tile<FORMAT>(words[1], f.args->part.matrix, unit + 1, span, tile);
    for (int half = 0; half < 2; half++) {
        rows_sums sums[SUBGROUPS] = {};
#pragma unroll
        for (int part = 0; part < weight_pieces<FORMAT>; part++) {
            uint32_t pairs[2][PAIRS];
            uint32_t a[4][4];
            unpack_pairs<FORMAT>(pairs[0], words[0], part);
            unpack_pairs<FORMAT>(pairs[1], words[1], part);
            take_out_magic<FORMAT>(pairs[0], f.args->num_pieces, part);
            take_out_magic<FORMAT>(pairs[1], f.args->num_pieces, part);
            block_pairs<FORMAT>(a, pairs[0], pairs[1], half);
            if constexpr (is_affine<FORMAT>) {
                multiply_block<SUBGROUPS>(sums, a, f, span, tile * 2 + half);
            } else {
                rows_sums(&own)[1] = reinterpret_cast<rows_sums(&)[1]>(results);
                multiply_block<1>(own, a, f, span, tile * 2 + half);
            }
        }
        if constexpr (is_affine<FORMAT>)
            scale_block<FORMAT, SUBGROUPS>(results, sums, f, unit, span, tile * 2 + half);
    }
}

/* Row `row` of the matrix and row t of x: the sum of all warps' results, and what belongs to it. */
DEVICE void finish_rows(const rows_frame &f, const float *results, int64_t unit, int index, int64_t num_rows)
{
    const ffai__cuda_part &p = f.args->part;
    const int row = index % 16;
    const int t = index / 16;
    const int64_t at_row = (int64_t)f.first_tile * ROW_TILE + t;
    const int64_t at = unit * UNIT + row;
    if (at >= p.matrix.rows || at_row >= num_rows)
        return;
    float y = 0;
    for (int warp = 0; warp < ROWS_WARPS; warp++)
        y += results[(warp * STEP_ROWS + t) * 16 + row];
    if (p.bias)
        y += p.bias[at];
    if (p.residual)
        y += p.residual[at_row * p.matrix.rows + at];
    p.y[at_row * p.matrix.rows + at] = y;
}

template <int FORMAT, int SUBGROUPS> DEVICE void product_rows(const ffai__cuda_product_rows_args &args)
{
    __shared__ float of_warps[ROWS_WARPS * STEP_ROWS * 16];
    wait_for_previous();
    let_next_begin();
    const int num_rows = (int)rows_of(args.step, args.of_outputs);
    const int64_t unit = (int64_t)blockIdx.x * 2;
    const int tiles = (num_rows + ROW_TILE - 1) / ROW_TILE;
    for (int first = blockIdx.y * ROW_TILES; first < tiles; first += gridDim.y * ROW_TILES) {
        const rows_frame f = {&args, first, tiles - first < ROW_TILES ? tiles - first : ROW_TILES};
        const int warp = threadIdx.x / WARP;
        const int lane = threadIdx.x % WARP;
        rows_sums results = {};
        for (int tile = warp; tile < args.part.matrix.tiles; tile += ROWS_WARPS)
            multiply_tile<FORMAT, SUBGROUPS>(results, f, unit, tile / TILES, tile % TILES);
        for (int tile = 0; tile < ROW_TILES; tile++) {
            for (int i = 0; i < 4; i++)
                of_warps[(warp * STEP_ROWS + tile * ROW_TILE + lane % 4 * 2 + i % 2) * 16 + lane / 4 + i / 2 * 8] =
                    results.c[tile][i];
        }
        __syncthreads();
        for (int i = threadIdx.x; i < STEP_ROWS * 16; i += ROWS_THREADS)
            finish_rows(f, of_warps, unit, i, num_rows);
        __syncthreads();
    }
}

#endif
