/* Root mean square norms. Sums are float32: each of a span's threads adds up to four sums of its own, in order, which
 * are joined in a tree. */
#include "step.cuh"

/* A thread's part of the sum of squares of x [width]: every `threads`-th column, or every such four. */
DEVICE float squares_of(const float *x, int64_t width, int thread, int threads)
{
    float4 sums = make_float4(0, 0, 0, 0);
    if (width % 4 == 0) {
        const float4 *quads = vectors_at<const float4>(x);
        for (int64_t i = thread; i < width / 4; i += threads) {
            const float4 v = quads[i];
            sums.x = fmaf(v.x, v.x, sums.x);
            sums.y = fmaf(v.y, v.y, sums.y);
            sums.z = fmaf(v.z, v.z, sums.z);
            sums.w = fmaf(v.w, v.w, sums.w);
        }
    } else {
        for (int64_t i = thread; i < width; i += threads)
            sums.x = fmaf(x[i], x[i], sums.x);
    }
    return (sums.x + sums.y) + (sums.z + sums.w);
}

DEVICE void scale_span(const ffai__cuda_rms_norm_args &args, int64_t span, float squares, int thread, int threads)
{
    const float scale = 1.0f / sqrtf(squares / (float)args.width + args.eps);
    const float *x = args.x + span * args.width;
    float *y = args.y + span * args.width;
    if (args.width % 4 == 0) {
        const float4 *w_quads = vectors_at<const float4>(args.w);
        for (int64_t i = thread; i < args.width / 4; i += threads) {
            const float4 v = vectors_at<const float4>(x)[i];
            const float4 w = w_quads[i];
            vectors_at<float4>(y)[i] =
                make_float4(v.x * scale * w.x, v.y * scale * w.y, v.z * scale * w.z, v.w * scale * w.w);
        }
    } else {
        for (int64_t i = thread; i < args.width; i += threads)
            y[i] = x[i] * scale * args.w[i];
    }
}

DEVICE int64_t spans_of(const ffai__cuda_rms_norm_args &args)
{
    return rows_of(args.step, args.of_outputs) * (args.columns / args.width);
}

KERNEL(rms_norm_warps, ffai__cuda_rms_norm_args, FFAI__CUDA_NORM_THREADS)
{
    const int warps = FFAI__CUDA_NORM_THREADS / 32;
    const int lane = threadIdx.x % 32;
    wait_for_previous();
    let_next_begin();
    const int64_t spans = spans_of(args);
    for (int64_t s = (int64_t)blockIdx.x * warps + threadIdx.x / 32; s < spans; s += (int64_t)gridDim.x * warps) {
        const float squares = warp_sum(squares_of(args.x + s * args.width, args.width, lane, 32));
        scale_span(args, s, squares, lane, 32);
    }
}

KERNEL(rms_norm_blocks, ffai__cuda_rms_norm_args, FFAI__CUDA_NORM_THREADS)
{
    const int warps = FFAI__CUDA_NORM_THREADS / 32;
    const int warp = threadIdx.x / 32;
    DYNAMIC_SHARED(float, sums); /* [warps] */
    wait_for_previous();
    let_next_begin();
    const int64_t spans = spans_of(args);
    for (int64_t s = blockIdx.x; s < spans; s += gridDim.x) {
        const float of_warp =
            warp_sum(squares_of(args.x + s * args.width, args.width, threadIdx.x, FFAI__CUDA_NORM_THREADS));
        if (threadIdx.x % 32 == 0)
            sums[warp] = of_warp;
        __syncthreads();
        float squares = 0;
        for (int i = 0; i < warps; i++)
            squares += sums[i];
        scale_span(args, s, squares, threadIdx.x, FFAI__CUDA_NORM_THREADS);
        __syncthreads(); /* the sums have been read */
    }
}
