/* The input of products of a few rows, laid out by whoever has its numbers: four columns of a row at a time. */
#ifndef FFAI_CUDA_FEW_INPUT_CUH
#define FFAI_CUDA_FEW_INPUT_CUH

#include "row_input.cuh"

enum { INPUT_ROWS = 8, FOURS_A_BLOCK = 64 / 4 };

/* Four columns as pieces: their place in the second operand of mma.sync, or of multiply_group, see prepare.cu. Returns
 * their sum. */
DEVICE float write_pieces(const ffai__cuda_prepare_args &args, float4 x, int64_t row, int column, bool there)
{
    int step;
    int t;
    step_of_column(column % 64, args.subgroups, &step, &t);
    const int within = (int)(row % INPUT_ROWS);
    const int64_t blocks = args.spans * 8;
    const int64_t block = row / INPUT_ROWS * args.num_pieces * blocks + column / 64;
    uint32_t *tile = args.pieces + block * (FFAI__CUDA_X_TILE_BYTES / 4);
    float sum = 0;
    for (int piece = 0; piece < args.num_pieces; piece++) {
        uint32_t pairs[2];
        sum += take_piece(pairs, x);
        if (there && args.order == FFAI__CUDA_ORDER_GROUP) {
            tile[within * 32 + ((2 * step) ^ within) * 4 + t] = pairs[0];
            tile[within * 32 + ((2 * step + 1) ^ within) * 4 + t] = pairs[1];
        } else if (there) {
            vectors_at<uint2>(tile)[(step / 2 * WARP + within * 4 + t) * 2 + step % 2] = make_uint2(pairs[0], pairs[1]);
        }
        tile += blocks * (FFAI__CUDA_X_TILE_BYTES / 4);
    }
    return sum;
}

/* Of a row, with the sums of its subgroups: by the 16 lanes that have a block of 64 columns, which is
 * there or not. */
DEVICE void prepare_four(const ffai__cuda_prepare_args &args, float4 x, int64_t row, int column, bool there = true)
{
    float sum = write_pieces(args, x, row, column, there);
    const int lanes = FOURS_A_BLOCK / args.subgroups;
    for (int distance = 1; distance < lanes; distance *= 2)
        sum += __shfl_xor_sync(~0u, sum, distance);
    const int64_t number = (row / INPUT_ROWS * args.spans * FOURS_A_BLOCK * 8 + column / 4) / lanes;
    if (there && threadIdx.x % lanes == 0)
        args.sums[number * INPUT_ROWS + row % INPUT_ROWS] = sum;
}

#endif
