/* One element, or one row, at a time: what no product's kernel has taken in. */
#include "step.cuh"

DEVICE float silu_of_first(float a, float)
{
    return silu_of(a);
}

DEVICE float product_of(float a, float b)
{
    return a * b;
}

DEVICE float sum_of(float a, float b)
{
    return a + b;
}

DEVICE float swiglu_of(float a, float b)
{
    return silu_of(a) * b;
}

template <float operation(float, float)> DEVICE float4 of_quads(float4 a, float4 b)
{
    return make_float4(operation(a.x, b.x), operation(a.y, b.y), operation(a.z, b.z), operation(a.w, b.w));
}

template <float operation(float, float)> DEVICE void combine(const ffai__cuda_elements_args &args, const float *b)
{
    wait_for_previous();
    let_next_begin();
    const int64_t count = rows_of(args.step, args.of_outputs) * args.columns;
    const int64_t stride = (int64_t)gridDim.x * blockDim.x;
    const int64_t first = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (args.columns % 4 == 0) {
        const float4 *a_quads = vectors_at<const float4>(args.a);
        const float4 *b_quads = vectors_at<const float4>(b);
        float4 *y_quads = vectors_at<float4>(args.y);
        for (int64_t i = first; i < count / 4; i += stride)
            y_quads[i] = of_quads<operation>(a_quads[i], b_quads[i]);
    } else {
        for (int64_t i = first; i < count; i += stride)
            args.y[i] = operation(args.a[i], b[i]);
    }
}

KERNEL(silu, ffai__cuda_elements_args, FFAI__CUDA_ELEMENT_THREADS)
{
    combine<silu_of_first>(args, args.a);
}

KERNEL(mul, ffai__cuda_elements_args, FFAI__CUDA_ELEMENT_THREADS)
{
    combine<product_of>(args, args.b);
}

KERNEL(add, ffai__cuda_elements_args, FFAI__CUDA_ELEMENT_THREADS)
{
    combine<sum_of>(args, args.b);
}

KERNEL(swiglu, ffai__cuda_elements_args, FFAI__CUDA_ELEMENT_THREADS)
{
    combine<swiglu_of>(args, args.b);
}

template <typename Element> DEVICE void copy_row(float *y, const float *x, int64_t columns)
{
    const int64_t count = columns * (int64_t)sizeof(float) / (int64_t)sizeof(Element);
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x)
        reinterpret_cast<Element *>(y)[i] = reinterpret_cast<const Element *>(x)[i];
}

KERNEL(select_rows, ffai__cuda_elements_args, FFAI__CUDA_ELEMENT_THREADS)
{
    wait_for_previous();
    let_next_begin();
    for (int32_t r = blockIdx.x; r < args.step.sizes->num_outputs; r += gridDim.x) {
        const float *x = args.a + args.step.output_rows[r] * args.columns;
        float *y = args.y + r * args.columns;
        if (args.columns % 4 == 0)
            copy_row<float4>(y, x, args.columns);
        else
            copy_row<float>(y, x, args.columns);
    }
}
