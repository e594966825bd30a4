/* Rows of x as the products of several rows want them. */
#include "product_rows.cuh"

/* Four columns, a piece after the other, `stride` words apart. Returns the sum of the pieces. */
DEVICE float write_pieces(uint32_t *at, float4 x, int num_pieces, int64_t stride)
{
    float sum = 0;
    for (int piece = 0; piece < num_pieces; piece++) {
        uint32_t pairs[2];
        sum += take_piece(pairs, x);
        *reinterpret_cast<uint2 *>(at + piece * stride) = make_uint2(pairs[0], pairs[1]);
    }
    return sum;
}

/* A warp has a block of 64 columns of 8 rows: lane (g, t) the columns that lane (g, t) of a product takes of row g. */
KERNEL(prepare, ffai__cuda_prepare_args, ROWS_THREADS)
{
    wait_for_previous();
    let_next_begin();
    const int num_rows = (int)rows_of(args.step, args.of_outputs);
    const int lane = threadIdx.x % WARP;
    const int t = lane % 4;
    const int blocks = args.spans * 8;
    const int64_t count = (int64_t)((num_rows + ROW_TILE - 1) / ROW_TILE) * blocks;
    const int64_t stride = (int64_t)gridDim.x * ROWS_WARPS;
    for (int64_t item = (int64_t)blockIdx.x * ROWS_WARPS + threadIdx.x / WARP; item < count; item += stride) {
        const int64_t tile = item / blocks;
        const int block = (int)(item % blocks);
        const int64_t row = tile * ROW_TILE + lane / 4;
        float sum[4] = {0, 0, 0, 0};
        for (int step = 0; step < 4; step++) {
            const int64_t column = (int64_t)block * 64 + column_of_step(step, t, args.subgroups);
            const float4 x = four_columns(args.x + row * args.columns, column, row < num_rows ? args.columns : 0);
            uint32_t *at = args.pieces + ((tile * args.num_pieces * blocks + block) * 2 + step / 2) * WARP * 4 +
                           lane * 4 + step % 2 * 2;
            sum[step * args.subgroups / 4] += write_pieces(at, x, args.num_pieces, (int64_t)blocks * 2 * WARP * 4);
        }
        for (int q = 0; q < args.subgroups; q++) {
            float all = sum[q];
            all += __shfl_xor_sync(~0u, all, 1);
            all += __shfl_xor_sync(~0u, all, 2);
            if (t == 0)
                args.sums[(item * args.subgroups + q) * ROW_TILE + lane / 4] = all;
        }
    }
}
