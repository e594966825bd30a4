/* What products of several rows have in common: prepare.cu lays their input out, eight rows of x as the 8 columns of
 * mma.sync's B. */
#ifndef FFAI_CUDA_PRODUCT_ROWS_CUH
#define FFAI_CUDA_PRODUCT_ROWS_CUH

#include "product_row.cuh"

enum { ROWS_WARPS = 8, ROWS_THREADS = ROWS_WARPS * WARP, ROW_TILE = 8 };

/* For wgmma: as pieces, where the lane of a product has them (args.h). */
DEVICE void write_sum_pieces(const ffai__cuda_prepare_args &args, int64_t row, int block, int q, float sum)
{
    const int within = (int)(row % ROW_TILE);
    const int n = block / 8 * 2 * args.subgroups + block % 2 * args.subgroups + q;
    const int part = n / 4 % 4 * 2 + n % 4 / 2;
    const int blocks = FFAI__CUDA_SUM_BLOCKS(args.spans, args.subgroups);
    const int number = within * 64 + (part ^ within) * 8 + block % 8 / 2 * 2 + n % 2;
    for (int piece = 0; piece < FFAI__CUDA_SUM_PIECES(args.num_pieces); piece++) {
        const int64_t tile = ((int64_t)piece * blocks + n / 16) * args.row_tiles + row / ROW_TILE;
        const uint16_t bits = f32_to_bf16(sum);
        reinterpret_cast<uint16_t *>(args.sums)[tile * (FFAI__CUDA_X_TILE_BYTES / 2) + number] = bits;
        sum -= bf16_to_f32(bits);
    }
}

/* Blocks of 64 columns that something is written for: for wgmma sums fill up their blocks with zeros. */
DEVICE int prepared_blocks(const ffai__cuda_prepare_args &args)
{
    return args.order == FFAI__CUDA_ORDER_MMA ? args.spans * 8
                                              : FFAI__CUDA_SUM_BLOCKS(args.spans, args.subgroups) * 64 / args.subgroups;
}

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

#endif
