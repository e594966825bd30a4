/* Rows of x as the products of several rows want them. */
#include "product_rows.cuh"

/* A lane's columns of a block, as pairs of bf16: the place of row `row` in the second operand of mma.sync. */
DEVICE void write_piece(const ffai__cuda_prepare_args &args, const uint32_t (&pairs)[4][2], int piece, int64_t row,
                        int batch)
{
    const int64_t blocks = args.spans * 8;
    const int64_t block = (row / ROW_TILE * args.num_pieces + piece) * blocks + batch / 4;
    uint4 *at = vectors_at<uint4>(args.pieces) + block * 2 * WARP + row % ROW_TILE * 4 + batch % 4;
    at[0] = make_uint4(pairs[0][0], pairs[0][1], pairs[1][0], pairs[1][1]);
    at[WARP] = make_uint4(pairs[2][0], pairs[2][1], pairs[3][0], pairs[3][1]);
}

/* Of four lanes, each of which has v[i] for the i-th of them, each gets what all have for it, in their order. */
DEVICE uint4 transpose_quad(const uint32_t (&v)[4])
{
    const bool odd = threadIdx.x & 1, upper = threadIdx.x & 2;
    uint32_t of_two[2][2]; /* for the first or the second of two lanes: theirs */
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const uint32_t other = __shfl_xor_sync(~0u, odd ? v[2 * i] : v[2 * i + 1], 1);
        of_two[i][0] = odd ? other : v[2 * i];
        of_two[i][1] = odd ? v[2 * i + 1] : other;
    }
    const uint32_t a = __shfl_xor_sync(~0u, upper ? of_two[0][0] : of_two[1][0], 2);
    const uint32_t b = __shfl_xor_sync(~0u, upper ? of_two[0][1] : of_two[1][1], 2);
    return upper ? make_uint4(a, b, of_two[1][0], of_two[1][1]) : make_uint4(of_two[0][0], of_two[0][1], a, b);
}

/* And in that of wgmma, whose parts are swapped about: a part has four lanes' pairs of one number. By whole warps, of
 * which some lanes may have nothing to write. */
DEVICE void write_wgmma_piece(const ffai__cuda_prepare_args &args, const uint32_t (&pairs)[4][2], int piece,
                              int64_t row, int batch, bool there)
{
    const int64_t block = (int64_t)piece * args.spans * 8 + batch / 4;
    const int within = (int)(row % ROW_TILE);
    uint4 *of_row = vectors_at<uint4>(args.pieces) +
                    (block * args.row_tiles + row / ROW_TILE) * (FFAI__CUDA_X_TILE_BYTES / 16) + within * 8;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const uint4 part =
            transpose_quad({pairs[2 * half][0], pairs[2 * half][1], pairs[2 * half + 1][0], pairs[2 * half + 1][1]});
        if (there)
            of_row[(half * 4 + batch % 4) ^ within] = part;
    }
}

/* A subgroup's sums for mma.sync, as they are. */
DEVICE void write_sum(const ffai__cuda_prepare_args &args, int64_t row, int block, int q, float sum)
{
    const int64_t at = (row / ROW_TILE * args.spans * 8 + block) * args.subgroups + q;
    args.sums[at * ROW_TILE + row % ROW_TILE] = sum;
}

/* A batch of row `row`: lane t's columns of a block, and, by the block's first lane, their sums. Batches behind the
 * last take part in these. */
DEVICE void prepare_batch(const ffai__cuda_prepare_args &args, row_batch x, int64_t row, int batch)
{
    const int block = batch / 4;
    const bool there = block < args.spans * 8;
    const bool wgmma = args.order == FFAI__CUDA_ORDER_WGMMA;
    float sums[4] = {0, 0, 0, 0};
    for (int piece = 0; piece < args.num_pieces; piece++) {
        uint32_t pairs[4][2];
#pragma unroll
        for (int step = 0; step < 4; step++)
            sums[step] += take_piece(pairs[step], x.v[step]);
        if (wgmma)
            write_wgmma_piece(args, pairs, piece, row, batch, there);
        else if (there)
            write_piece(args, pairs, piece, row, batch);
    }
    const int steps = 4 / args.subgroups;
    for (int q = 0; q < args.subgroups; q++) {
        float sum = 0;
#pragma unroll
        for (int step = 0; step < 4; step++)
            sum += step / steps == q ? sums[step] : 0;
        sum = quad_sum(sum);
        if (batch % 4 == 0 && wgmma && block < prepared_blocks(args))
            write_sum_pieces(args, row, block, q, sum);
        else if (batch % 4 == 0 && !wgmma && there)
            write_sum(args, row, block, q, sum);
    }
}

/* A warp has a block of 64 columns of 8 rows; zeros behind the last row. */
KERNEL(prepare, ffai__cuda_prepare_args, ROWS_THREADS)
{
    let_next_begin();
    wait_for_previous();
    const int64_t num_rows = rows_of(args.step, args.of_outputs);
    const int blocks = prepared_blocks(args);
    const int64_t count = (num_rows + ROW_TILE - 1) / ROW_TILE * blocks;
    const int64_t stride = (int64_t)gridDim.x * ROWS_WARPS;
    for (int64_t item = (int64_t)blockIdx.x * ROWS_WARPS + threadIdx.x / WARP; item < count; item += stride) {
        const int64_t row = item / blocks * ROW_TILE + threadIdx.x % WARP / 4;
        const int batch = (int)(item % blocks) * 4 + threadIdx.x % 4;
        row_batch x = {};
        if (row < num_rows)
            x = load_batch(args.x + row * args.columns, batch, args.columns, args.subgroups);
        prepare_batch(args, x, row, batch);
    }
}

/* The mean square of x, by the whole block, whose threads have their first batch. */
DEVICE float mean_square(const float *x, const row_batch &first, int batches, int64_t columns, int subgroups)
{
    __shared__ float of_warp[ROW_WARPS];
    float sum = squares_of(first);
    for (int batch = threadIdx.x + ROW_THREADS; batch < batches; batch += ROW_THREADS)
        sum += squares_of(load_batch(x, batch, columns, subgroups));
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0)
        of_warp[threadIdx.x / WARP] = sum;
    __syncthreads();
    sum = 0;
    for (int i = 0; i < ROW_WARPS; i++)
        sum += of_warp[i];
    return sum / (float)columns;
}

DEVICE row_batch normed(const row_batch &x, const row_batch &weights, float scale)
{
    row_batch y;
#pragma unroll
    for (int step = 0; step < 4; step++)
        y.v[step] = make_float4(x.v[step].x * scale * weights.v[step].x, x.v[step].y * scale * weights.v[step].y,
                                x.v[step].z * scale * weights.v[step].z, x.v[step].w * scale * weights.v[step].w);
    return y;
}

/* Rows that are there alone: the others of their eight are nobody's. */
KERNEL(prepare_norm, ffai__cuda_prepare_norm_args, ROW_THREADS)
{
    const ffai__cuda_prepare_args &p = args.prepare;
    const int batches = prepared_blocks(p) * 4;
    let_next_begin();
    const row_batch weights = load_batch(args.norm, threadIdx.x, p.columns, p.subgroups);
    wait_for_previous();
    const int64_t num_rows = rows_of(p.step, p.of_outputs);
    for (int64_t row = blockIdx.x; row < num_rows; row += gridDim.x) {
        const float *from = p.x + row * p.columns;
        row_batch x = load_batch(from, threadIdx.x, p.columns, p.subgroups);
        const float scale = 1.0f / sqrtf(mean_square(from, x, batches, p.columns, p.subgroups) + args.eps);
        prepare_batch(p, normed(x, weights, scale), row, threadIdx.x);
        for (int batch = threadIdx.x + ROW_THREADS; batch / WARP * WARP < batches; batch += ROW_THREADS) {
            x = load_batch(from, batch, p.columns, p.subgroups);
            prepare_batch(p, normed(x, load_batch(args.norm, batch, p.columns, p.subgroups), scale), row, batch);
        }
        __syncthreads(); /* the sums of squares have been read */
    }
}
