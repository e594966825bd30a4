/* What the device can do at most: reading memory, and multiplying on tensor cores without any memory. */
#include "args.h"
#include "device.cuh"

KERNEL(read_memory, ffai__cuda_machine_args, 512)
{
    enum { AT_ONCE = 8 };
    const uint4 *data = static_cast<const uint4 *>(args.data);
    uint32_t mixed = 0;
    const int64_t stride = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < args.count; i += stride * AT_ONCE) {
        uint4 v[AT_ONCE];
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++)
            v[k] = i + k * stride < args.count ? load_once(data + i + k * stride) : make_uint4(0, 0, 0, 0);
#pragma unroll
        for (int k = 0; k < AT_ONCE; k++)
            mixed ^= v[k].x ^ v[k].y ^ v[k].z ^ v[k].w;
    }
    if (mixed == 0x12345678u) /* so that the loads are not left out */
        *args.sink = mixed;
}

/* Each warp multiplies `count` times 8 independent m16n8k16 of bf16. */
KERNEL(multiply_registers, ffai__cuda_machine_args, 256)
{
    float c[8][4] = {};
    const uint32_t bits = 0x3F803F80u + threadIdx.x; /* about one */
    const uint32_t a[4] = {bits, bits + 1, bits + 2, bits + 3};
    for (int64_t i = 0; i < args.count; i++) {
#pragma unroll
        for (int k = 0; k < 8; k++)
            mma_bf16(c[k], a, bits + k, bits + 8 + k);
    }
    float sum = 0;
    for (int k = 0; k < 8; k++)
        sum += c[k][0] + c[k][1] + c[k][2] + c[k][3];
    if (sum == 12345.0f)
        *args.sink = bits;
}

/* The same by groups of four warps: `count` times 4 m64n256k16, one operand in shared memory. Where the device has no
 * such instruction nothing is done and *sink stays 0. */
KERNEL(multiply_groups, ffai__cuda_machine_args, 256)
{
    DYNAMIC_SHARED(uint32_t, shared);
    for (int i = threadIdx.x; i < FFAI__CUDA_MACHINE_SHARED_BYTES / 4; i += blockDim.x)
        shared[i] = 0x3F803F80u + i % 64;
    __syncthreads();
    group_sums sums = {};
    const bool there = multiply_group_loop(sums, shared, args.count);
    float sum = 0;
    for (float c : sums.c)
        sum += c;
    if (there && threadIdx.x == 0 && blockIdx.x == 0)
        *args.sink = sum == 12345.0f ? 2 : 1; /* so that the products are not left out */
}
