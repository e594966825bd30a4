/* Rows of x as the products of several rows want them. */
#include "product_rows.cuh"

/* A warp has a block of 64 columns of 8 rows: lane (g, t) the columns that lane (g, t) of a product takes of row g. */
KERNEL(prepare, ffai__cuda_prepare_args, ROWS_THREADS)
{
    wait_for_previous();
    let_next_begin();
    const int num_rows = args.of_outputs ? args.step.sizes->num_outputs : args.step.sizes->num_rows;
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
            float v[4] = {0, 0, 0, 0};
            for (int i = 0; i < 4 && row < num_rows && column + i < args.columns; i++)
                v[i] = args.x[row * args.columns + column + i];
            uint32_t *at = args.pieces + ((tile * args.num_pieces * blocks + block) * 2 + step / 2) * WARP * 4 +
                           lane * 4 + step % 2 * 2;
            sum[step * args.subgroups / 4] +=
                stage_columns(at, make_float4(v[0], v[1], v[2], v[3]), args.num_pieces, (int64_t)blocks * 2 * WARP * 4);
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
