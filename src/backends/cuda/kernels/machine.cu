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

#ifdef HAS_GROUP_PRODUCTS
/* Two bf16 numbers between one half and two, of either sign. */
DEVICE uint32_t random_pair(uint32_t seed)
{
    const uint32_t bits = (seed ^ seed >> 16) * 0x9E3779B1u;
    return ((bits ^ bits >> 15) & 0x80FF80FFu) | 0x3F003F00u;
}
#endif

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

/* The same by groups of four warps: `count` times 4 m64n256k16, one operand in shared memory, both of random numbers,
 * as those of models are: a device is slower with them than with zeros. Where it has no such instruction nothing is
 * done and *sink stays 0. */
KERNEL(multiply_groups, ffai__cuda_machine_args, 256)
{
#ifdef HAS_GROUP_PRODUCTS
    DYNAMIC_SHARED(uint8_t, shared);
    uint32_t *columns = reinterpret_cast<uint32_t *>(on_product_boundary(shared));
    for (int i = threadIdx.x; i < FFAI__CUDA_MACHINE_COLUMN_BYTES / 4; i += blockDim.x)
        columns[i] = random_pair(i + blockIdx.x * blockDim.x);
    uint32_t a[4][4];
    for (int i = 0; i < 16; i++)
        a[i / 4][i % 4] = random_pair(threadIdx.x * 16 + i);
    publish_to_products();
    __syncthreads();
    group_sums<256> sums = {};
    for (int64_t i = 0; i < args.count; i++) {
        begin_products();
#pragma unroll
        for (int step = 0; step < 4; step++)
            multiply_group(sums, a[step], group_columns(columns), step, true);
        close_products();
        wait_for_products<0>();
    }
    float sum = 0;
    for (float c : sums.c)
        sum += c;
    if (threadIdx.x == 0 && blockIdx.x == 0)
        *args.sink = sum == 12345.0f ? 2 : 1; /* so that the products are not left out */
#else
    (void)args;
#endif
}
