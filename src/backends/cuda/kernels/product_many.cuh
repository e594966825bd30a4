/* Many rows through a matrix: y[t] = W x[t], 64 rows of x and 128 of the matrix in a block of threads.
 *
 * A warp takes 16 rows of the matrix, two units, and all 64 rows of x, of which a tile's 128 columns lie in shared
 * memory while the next ones are on their way there. Sums over columns are one warp's, in order: a row's result depends
 * on the matrix's columns alone. */
#ifndef FFAI_CUDA_PRODUCT_MANY_CUH
#define FFAI_CUDA_PRODUCT_MANY_CUH

#include "product_rows.cuh"

enum {
    MANY_WARPS = FFAI__CUDA_MANY_WARPS,
    MANY_THREADS = MANY_WARPS * WARP,
    MANY_TILES = FFAI__CUDA_MANY_ROWS / ROW_TILE, /* of rows of x */
    BLOCK_PARTS = 2 * WARP                        /* 16 bytes each: a block of 64 columns of 8 rows of x */
};

/* Sums of 16 rows of the matrix and 64 of x. */
typedef struct many_sums {
    float c[MANY_TILES][4];
} many_sums;

/* x of one tile of columns: pieces [row tile][piece][2 blocks][2][lane], then sums [row tile][2 blocks][subgroup][8].
 */
typedef struct many_stage {
    const uint4 *pieces;
    const float *sums;
} many_stage;

typedef struct many_frame {
    const ffai__cuda_product_rows_args *args;
    uint8_t *shared;
    int first_tile; /* of rows of x, and how many the block has */
    int num_tiles;
} many_frame;

template <int SUBGROUPS> DEVICE many_stage stage_at(const many_frame &f, int number)
{
    const int pieces = MANY_TILES * f.args->num_pieces * 2 * BLOCK_PARTS;
    const int bytes = pieces * 16 + MANY_TILES * 2 * SUBGROUPS * ROW_TILE * 4;
    many_stage stage;
    stage.pieces = vectors_at<const uint4>(f.shared + number % 2 * bytes);
    stage.sums = reinterpret_cast<const float *>(stage.pieces + pieces);
    return stage;
}

/* Ask for the columns of tile `tile`, by all threads. */
template <int SUBGROUPS> DEVICE void fill_stage(const many_frame &f, int tile)
{
    const ffai__cuda_product_rows_args &args = *f.args;
    const int blocks = args.part.matrix.spans * 8;
    const many_stage stage = stage_at<SUBGROUPS>(f, tile);
    uint4 *pieces = const_cast<uint4 *>(stage.pieces);
    const int count = f.num_tiles * args.num_pieces * 2 * BLOCK_PARTS;
    for (int i = threadIdx.x; i < count; i += MANY_THREADS) {
        const int64_t row = (int64_t)f.first_tile * args.num_pieces + i / (2 * BLOCK_PARTS);
        copy_ahead<16>(pieces + i,
                       vectors_at<const uint4>(args.pieces) + (row * blocks + tile * 2) * BLOCK_PARTS +
                           i % (2 * BLOCK_PARTS),
                       true);
    }
    const int of_row = 2 * SUBGROUPS * ROW_TILE / 4;
    for (int i = threadIdx.x; i < f.num_tiles * of_row; i += MANY_THREADS) {
        const int64_t row = f.first_tile + i / of_row;
        copy_ahead<16>(vectors_at<uint4>(const_cast<float *>(stage.sums)) + i,
                       vectors_at<const uint4>(args.sums) + (row * blocks + tile * 2) * (of_row / 2) + i % of_row,
                       true);
    }
    close_copies();
}

/* Steps 2h and 2h + 1 of a block, for all rows of x. `even` and `odd` may be the same sums. */
DEVICE void multiply_steps(many_sums &even, many_sums &odd, const uint32_t (&a)[4][4], const many_frame &f,
                           const many_stage &stage, int half, int h)
{
    const int pieces = f.args->num_pieces;
    for (int piece = 0; piece < pieces; piece++) {
#pragma unroll
        for (int tile = 0; tile < MANY_TILES; tile++) {
            if (tile >= f.num_tiles)
                break;
            const uint4 x = stage.pieces[(((tile * pieces + piece) * 2 + half) * 2 + h) * WARP + threadIdx.x % WARP];
            mma_bf16(even.c[tile], a[2 * h], x.x, x.y);
            mma_bf16(odd.c[tile], a[2 * h + 1], x.z, x.w);
        }
    }
}

/* What a subgroup's sums are worth. */
template <int FORMAT, int SUBGROUPS>
DEVICE void scale_sums(many_sums &results, const many_sums &sums, const many_frame &f, const many_stage &stage,
                       int64_t unit, int block, int q)
{
    const ffai__cuda_matrix &m = f.args->part.matrix;
    const int lane = threadIdx.x % WARP;
    const float magic = magic_of<FORMAT>(f.args->num_pieces);
    float scale[2] = {0, 0};
    float bias[2] = {0, 0};
    read_scale(&scale[0], &bias[0], &m, scale_index(&m, unit, block / 8, lane / 4, block % 8, q));
    if (unit + 1 < m.units)
        read_scale(&scale[1], &bias[1], &m, scale_index(&m, unit + 1, block / 8, lane / 4, block % 8, q));
#pragma unroll
    for (int tile = 0; tile < MANY_TILES; tile++) {
        if (tile >= f.num_tiles)
            break;
        const float2 x =
            *vectors_at<const float2>(stage.sums + ((tile * 2 + block % 2) * SUBGROUPS + q) * ROW_TILE + lane % 4 * 2);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float sum = i % 2 ? x.y : x.x;
            results.c[tile][i] =
                fmaf(scale[i / 2], sums.c[tile][i] - magic * sum, fmaf(bias[i / 2], sum, results.c[tile][i]));
        }
    }
}

/* Half a tile: a block of 64 columns. */
template <int FORMAT, int SUBGROUPS>
DEVICE void multiply_half(many_sums &results, const uint32_t (&words)[2][lane_words<FORMAT>], const many_frame &f,
                          const many_stage &stage, int64_t unit, int tile, int half)
{
    many_sums sums[SUBGROUPS == 4 ? 2 : 1];
#pragma unroll
    for (int h = 0; h < 2; h++) {
        if constexpr (is_affine<FORMAT>) {
            if (SUBGROUPS > 1 || h == 0) {
                for (many_sums &each : sums)
                    each = many_sums();
            }
        }
#pragma unroll
        for (int part = 0; part < weight_pieces<FORMAT>; part++) {
            uint32_t pairs[2][PAIRS];
            uint32_t a[4][4];
            for (int i = 0; i < 2; i++) {
                unpack_pairs<FORMAT>(pairs[i], words[i], part);
                take_out_magic<FORMAT>(pairs[i], f.args->num_pieces, part);
            }
            block_pairs<FORMAT>(a, pairs[0], pairs[1], half);
            if constexpr (is_affine<FORMAT>)
                multiply_steps(sums[0], sums[SUBGROUPS == 4], a, f, stage, half, h);
            else
                multiply_steps(results, results, a, f, stage, half, h);
        }
        if constexpr (is_affine<FORMAT>) {
            const int block = tile * 2 + half;
            if (SUBGROUPS == 4) {
                scale_sums<FORMAT, SUBGROUPS>(results, sums[0], f, stage, unit, block, 2 * h);
                scale_sums<FORMAT, SUBGROUPS>(results, sums[SUBGROUPS == 4], f, stage, unit, block, 2 * h + 1);
            } else if (SUBGROUPS == 2 || h == 1) {
                scale_sums<FORMAT, SUBGROUPS>(results, sums[0], f, stage, unit, block, SUBGROUPS == 2 ? h : 0);
            }
        }
    }
}

/* The warp's results: each lane has rows g and g + 8 of the matrix, and rows 2t and 2t + 1 of each eight of x. */
DEVICE void finish_many(const many_sums &results, const many_frame &f, int64_t unit, int64_t num_rows)
{
    const ffai__cuda_part &p = f.args->part;
    const int lane = threadIdx.x % WARP;
#pragma unroll
    for (int tile = 0; tile < MANY_TILES; tile++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int64_t row = (int64_t)(f.first_tile + tile) * ROW_TILE + lane % 4 * 2 + i % 2;
            const int64_t at = unit * UNIT + i / 2 * UNIT + lane / 4;
            if (tile >= f.num_tiles || row >= num_rows || at >= p.matrix.rows)
                continue;
            float y = results.c[tile][i];
            if (p.bias)
                y += p.bias[at];
            if (p.residual)
                y += p.residual[row * p.matrix.rows + at];
            p.y[row * p.matrix.rows + at] = y;
        }
    }
}

template <int FORMAT, int SUBGROUPS> DEVICE void multiply_many(const many_frame &f, int64_t num_rows)
{
    const ffai__cuda_matrix &m = f.args->part.matrix;
    const int64_t unit = ((int64_t)blockIdx.x * MANY_WARPS + threadIdx.x / WARP) * 2;
    many_sums results = {};
    uint32_t words[2][lane_words<FORMAT>];
    fill_stage<SUBGROUPS>(f, 0);
    for (int tile = 0; tile < m.tiles; tile++) {
        load_tile<FORMAT>(words[0], m, unit, tile / TILES, tile % TILES);
        load_tile<FORMAT>(words[1], m, unit + 1, tile / TILES, tile % TILES);
        wait_for_copies<0>();
        __syncthreads(); /* all have this tile's columns, and are done with those before */
        if (tile + 1 < m.tiles)
            fill_stage<SUBGROUPS>(f, tile + 1);
        const many_stage stage = stage_at<SUBGROUPS>(f, tile);
        if (unit >= m.units)
            continue;
        for (int half = 0; half < 2; half++)
            multiply_half<FORMAT, SUBGROUPS>(results, words, f, stage, unit, tile, half);
    }
    __syncthreads(); /* before the next rows' columns come */
    finish_many(results, f, unit, num_rows);
}

/* Grid: blocks of 128 rows of the matrix; blocks of 64 rows of x, or fewer, which then take turns. */
template <int FORMAT, int SUBGROUPS> DEVICE void product_many(const ffai__cuda_product_rows_args &args)
{
    DYNAMIC_SHARED(uint8_t, shared);
    let_next_begin();
    wait_for_previous();
    const int num_rows = (int)rows_of(args.step, args.of_outputs);
    const int tiles = (num_rows + ROW_TILE - 1) / ROW_TILE;
    for (int first = blockIdx.y * MANY_TILES; first < tiles; first += gridDim.y * MANY_TILES) {
        const many_frame f = {&args, shared, first, tiles - first < MANY_TILES ? tiles - first : MANY_TILES};
        multiply_many<FORMAT, SUBGROUPS>(f, num_rows);
    }
}

#endif
