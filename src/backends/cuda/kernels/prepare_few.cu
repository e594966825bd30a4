/* Between products of a few rows: their results put together, normed, and laid out as the next one's input. */
#include "few_input.cuh"
#include "results.cuh"

/* By the whole block, of up to 32 warps. */
DEVICE float block_sum(float value)
{
    __shared__ float of_warp[WARP];
    value = warp_sum(value);
    __syncthreads(); /* those of the row before have been read */
    if (threadIdx.x % WARP == 0)
        of_warp[threadIdx.x / WARP] = value;
    __syncthreads();
    return warp_sum(threadIdx.x % WARP < blockDim.x / WARP ? of_warp[threadIdx.x % WARP] : 0);
}

DEVICE float4 normed_four(float4 x, float scale, float4 w)
{
    return make_float4(x.x * scale * w.x, x.y * scale * w.y, x.z * scale * w.z, x.w * scale * w.w);
}

/* Results are written as soon as they are put together. */
DEVICE void keep_result(const ffai__cuda_parted &result, float4 x, int64_t row, int column)
{
    if (result.sums)
        write_four(result.y + row * result.columns, x, column, (int)result.columns);
}

DEVICE void prepare_row(const ffai__cuda_prepare_few_args &args, int64_t row)
{
    const int end = args.prepare.spans * SPAN;
    const int stride = 4 * (int)(gridDim.y * blockDim.x);
    for (int column = 4 * (int)(blockIdx.y * blockDim.x + threadIdx.x); column < end; column += stride) {
        const float4 x = take_any_result(args.result, row, column);
        keep_result(args.result, x, row, column);
        prepare_four(args.prepare, x, row, column);
    }
}

/* first_norm: of the thread's first columns. */
DEVICE void norm_row(const ffai__cuda_prepare_few_args &args, int64_t row, float4 first_norm)
{
    const int columns = (int)args.prepare.columns;
    const float *from = args.prepare.x + row * args.prepare.columns;
    const int end = args.prepare.spans * SPAN;
    const int begin = 4 * (int)threadIdx.x;
    const int stride = 4 * (int)blockDim.x;
    float4 first = {};
    float squares = 0;
#pragma unroll 1
    for (int column = begin; column < end; column += stride) {
        const float4 x = take_result(args.result, row, column);
        keep_result(args.result, x, row, column);
        first = column == begin ? x : first;
        squares = fmaf(x.x, x.x, fmaf(x.y, x.y, fmaf(x.z, x.z, fmaf(x.w, x.w, squares))));
    }
    const float scale = 1.0f / sqrtf(block_sum(squares) / (float)columns + args.eps);
    if (begin < end)
        prepare_four(args.prepare, normed_four(first, scale, first_norm), row, begin);
    for (int column = begin + stride; column < end; column += stride) {
        const float4 x = load_four(from, column, columns);
        prepare_four(args.prepare, normed_four(x, scale, load_four(args.norm, column, columns)), row, column);
    }
}

KERNEL(prepare_few, ffai__cuda_prepare_few_args, FFAI__CUDA_PREPARE_FEW_THREADS)
{
    let_next_begin();
    const float4 norm = args.norm ? load_four(args.norm, 4 * (int)threadIdx.x, (int)args.prepare.columns) : float4();
    wait_for_previous();
    const int64_t num_rows = rows_of(args.prepare.step, args.prepare.of_outputs);
    for (int64_t row = blockIdx.x; row < num_rows; row += gridDim.x) {
        if (args.norm)
            norm_row(args, row, norm);
        else
            prepare_row(args, row);
    }
}

KERNEL(join, ffai__cuda_join_args, FFAI__CUDA_ELEMENT_THREADS)
{
    let_next_begin();
    wait_for_previous();
    const int64_t num_rows = rows_of(args.step, args.of_outputs);
    const int64_t stride = (int64_t)gridDim.x * blockDim.x;
    for (int n = 0; n < args.num_results; n++) {
        const ffai__cuda_parted &result = args.results[n];
        const int64_t fours = (result.columns + 3) / 4;
        for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < num_rows * fours; i += stride) {
            const int64_t row = i / fours;
            const int column = (int)(i % fours) * 4;
            write_four(result.y + row * result.columns, take_any_result(result, row, column), column,
                       (int)result.columns);
        }
    }
}
