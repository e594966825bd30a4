/* The vocabulary of the kernels: what a thread, a warp and a block can do, over NVIDIA's compiler or, with
 * FFAI_CUDA_MODEL, over a model of the device on the host (tests/cuda_model), where every kernel can be run and checked
 * without a GPU. A kernel uses C++ only as far as templates go, the built-in variables (threadIdx and the like),
 * __syncthreads, __syncwarp, shuffles, votes, atomics on 32-bit and 64-bit words, and what stands here.
 *
 * KERNEL(name, Args, threads) { … args.member … } defines a kernel that takes one struct by value, in blocks of at most
 * `threads`, one-dimensional. Its name is in kernels.def too, from which the host finds it. */
#ifndef FFAI_CUDA_DEVICE_CUH
#define FFAI_CUDA_DEVICE_CUH

#include <stdint.h>

#ifdef FFAI_CUDA_MODEL

#include "cuda_model.h"

#else

#define KERNEL(name, Args, threads)                                                                                    \
    extern "C" __global__ void __launch_bounds__(threads) name(const __grid_constant__ Args args)

/* The same, and at least so many blocks have room on a multiprocessor. */
#define KERNEL_BESIDE(name, Args, threads, blocks)                                                                     \
    extern "C" __global__ void __launch_bounds__(threads, blocks) name(const __grid_constant__ Args args)

/* The block's dynamic shared memory, as many bytes as the launch asked for, on a 128-byte boundary. */
#define DYNAMIC_SHARED(Type, name)                                                                                     \
    extern __shared__ __align__(128) uint8_t dynamic_shared[];                                                         \
    Type *name = reinterpret_cast<Type *>(dynamic_shared)

#define DEVICE        static __device__ __forceinline__
#define DEVICE_MEMBER __device__ __forceinline__

/* Kernels of one stream may overlap where the launch allows it: what the one before wrote may be read, and what it
 * reads overwritten, only behind wait_for_previous. let_next_begin says that the next one may start to wait. */
DEVICE void wait_for_previous()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

DEVICE void let_next_begin()
{
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;");
#endif
}

/* Loads of what is read once: past the first-level cache. */
DEVICE uint4 load_once(const uint4 *at)
{
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(at));
    return v;
}

DEVICE uint2 load_once(const uint2 *at)
{
    uint2 v;
    asm volatile("ld.global.nc.L1::no_allocate.v2.u32 {%0,%1}, [%2];" : "=r"(v.x), "=r"(v.y) : "l"(at));
    return v;
}

DEVICE uint32_t load_once(const uint32_t *at)
{
    uint32_t v;
    asm volatile("ld.global.nc.L1::no_allocate.u32 %0, [%1];" : "=r"(v) : "l"(at));
    return v;
}

/* Copies to shared memory that go on by themselves: 16, 8 or 4 bytes, or as many zeros. What a thread has asked for
 * since it last said so is one group; it waits until at most so many of its groups are on their way. */
template <int BYTES> DEVICE void copy_ahead(void *to, const void *from, bool there)
{
#if __CUDA_ARCH__ >= 800
    const uint32_t address = (uint32_t)__cvta_generic_to_shared(to);
    if constexpr (BYTES == 16)
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" : : "r"(address), "l"(from), "r"(there ? 16 : 0));
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;"
                     :
                     : "r"(address), "l"(from), "n"(BYTES), "r"(there ? BYTES : 0));
#else
    for (int i = 0; i < BYTES / 4; i++)
        static_cast<uint32_t *>(to)[i] = there ? static_cast<const uint32_t *>(from)[i] : 0;
#endif
}

DEVICE void close_copies()
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

template <int GROUPS> DEVICE void wait_for_copies()
{
#if __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" : : "n"(GROUPS) : "memory");
#endif
}

/* Half-precision numbers by their bits. Conversions round to nearest, ties to even. */
DEVICE float f16_to_f32(uint16_t bits)
{
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}

DEVICE uint16_t f32_to_f16(float value)
{
    uint16_t bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

DEVICE float float_of(uint32_t bits)
{
    return __uint_as_float(bits);
}

DEVICE uint32_t bits_of(float value)
{
    return __float_as_uint(value);
}

DEVICE double double_of(uint64_t bits)
{
    return __longlong_as_double((long long)bits);
}

#if __CUDA_ARCH__ < 800
/* Turing has no such product of bf16: the rows and columns are passed round the warp. A function of its own, since its
 * copies would be most of a kernel: ten times the code, ten times the time to compile it. */
static __device__ __noinline__ float4 mma_bf16_turing(float4 sums, uint4 rows, uint2 columns)
{
    const uint32_t a[4] = {rows.x, rows.y, rows.z, rows.w};
    float c[4] = {sums.x, sums.y, sums.z, sums.w};
    const int lane = threadIdx.x % 32;
    const int g = lane / 4;
    const int t = lane % 4;
    for (int half = 0; half < 2; half++) {
        for (int from = 0; from < 4; from++) {
            const uint32_t low = __shfl_sync(~0u, a[half * 2], g * 4 + from);
            const uint32_t high = __shfl_sync(~0u, a[half * 2 + 1], g * 4 + from);
            const uint32_t left = __shfl_sync(~0u, half ? columns.y : columns.x, 2 * t * 4 + from);
            const uint32_t right = __shfl_sync(~0u, half ? columns.y : columns.x, (2 * t + 1) * 4 + from);
            for (int odd = 0; odd < 2; odd++) {
                const uint32_t mask = odd ? 0xFFFF0000u : 0xFFFFu;
                const int shift = odd ? 0 : 16;
                const float x = float_of((low & mask) << shift);
                const float y = float_of((high & mask) << shift);
                const float u = float_of((left & mask) << shift);
                const float v = float_of((right & mask) << shift);
                c[0] = __fmaf_rn(x, u, c[0]);
                c[1] = __fmaf_rn(x, v, c[1]);
                c[2] = __fmaf_rn(y, u, c[2]);
                c[3] = __fmaf_rn(y, v, c[3]);
            }
        }
    }
    return make_float4(c[0], c[1], c[2], c[3]);
}
#endif

/* c [16][8] += a [16][16] * b [16][8] of bf16 in float32: mma.sync m16n8k16, in its own fragments. With g = lane / 4
 * and t = lane % 4, a: rows g, g + 8 (a[1], a[3]), columns 2t, 2t + 1, and 8 more (a[2], a[3]); b: rows 2t, 2t + 1 (b0)
 * and 8 more (b1) of column g; c: rows g (c[0], c[1]) and g + 8 (c[2], c[3]), columns 2t and 2t + 1. */
DEVICE void mma_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    const float4 sums =
        mma_bf16_turing(make_float4(c[0], c[1], c[2], c[3]), make_uint4(a[0], a[1], a[2], a[3]), make_uint2(b0, b1));
    c[0] = sums.x;
    c[1] = sums.y;
    c[2] = sums.z;
    c[3] = sums.w;
#endif
}

/* a - b of pairs of bf16, where the differences are bf16 numbers too. */
DEVICE uint32_t subtract_bf16(uint32_t a, uint32_t b)
{
#if __CUDA_ARCH__ >= 800
    uint32_t difference;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(difference) : "r"(b), "r"(0xBF80BF80u), "r"(a)); /* b * -1 + a */
    return difference;
#else
    const float low = float_of(a << 16) - float_of(b << 16);
    const float high = float_of(a & 0xFFFF0000u) - float_of(b & 0xFFFF0000u);
    return bits_of(low) >> 16 | (bits_of(high) & 0xFFFF0000u);
#endif
}

/* The same of f16. Turing has it in two halves. */
DEVICE void mma_f16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(b0));
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[2]), "r"(a[3]), "r"(b1));
#endif
}

/* Products of a group of four warps, a 64 x 256 block of sums: wgmma, which compute capability 9.0 alone has. */
typedef struct group_sums {
    float c[128];
} group_sums;

#if __CUDA_ARCH_FEAT_SM90_ALL
/* A matrix in shared memory, 64 numbers of bf16 a row, rows of 128 bytes whose 16-byte parts are swapped about in the
 * pattern of eight rows that wgmma calls the swizzle of 128 bytes. */
DEVICE uint64_t matrix_descriptor(const void *shared)
{
    const uint64_t address = (uint64_t)__cvta_generic_to_shared(shared);
    return (address & 0x3FFFFu) >> 4 | 1ull << 16 | 64ull << 32 | 1ull << 62;
}

/* s += a [64][16] in registers * b [16][256] in shared memory. */
DEVICE void multiply_group(group_sums &s, const uint32_t (&a)[4], uint64_t b)
{
    asm volatile(
        "{\n"
        "wgmma.mma_async.sync.aligned.m64n256k16.f32.bf16.bf16 {%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, "
        "%13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, "
        "%35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, "
        "%57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, "
        "%79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, "
        "%100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, %112, %113, %114, %115, %116, %117, "
        "%118, %119, %120, %121, %122, %123, %124, %125, %126, %127}, "
        "{%128, %129, %130, %131}, %132, 1, 1, 1, 0;\n"
        "}\n"
        : "+f"(s.c[0]), "+f"(s.c[1]), "+f"(s.c[2]), "+f"(s.c[3]), "+f"(s.c[4]), "+f"(s.c[5]), "+f"(s.c[6]),
          "+f"(s.c[7]), "+f"(s.c[8]), "+f"(s.c[9]), "+f"(s.c[10]), "+f"(s.c[11]), "+f"(s.c[12]), "+f"(s.c[13]),
          "+f"(s.c[14]), "+f"(s.c[15]), "+f"(s.c[16]), "+f"(s.c[17]), "+f"(s.c[18]), "+f"(s.c[19]), "+f"(s.c[20]),
          "+f"(s.c[21]), "+f"(s.c[22]), "+f"(s.c[23]), "+f"(s.c[24]), "+f"(s.c[25]), "+f"(s.c[26]), "+f"(s.c[27]),
          "+f"(s.c[28]), "+f"(s.c[29]), "+f"(s.c[30]), "+f"(s.c[31]), "+f"(s.c[32]), "+f"(s.c[33]), "+f"(s.c[34]),
          "+f"(s.c[35]), "+f"(s.c[36]), "+f"(s.c[37]), "+f"(s.c[38]), "+f"(s.c[39]), "+f"(s.c[40]), "+f"(s.c[41]),
          "+f"(s.c[42]), "+f"(s.c[43]), "+f"(s.c[44]), "+f"(s.c[45]), "+f"(s.c[46]), "+f"(s.c[47]), "+f"(s.c[48]),
          "+f"(s.c[49]), "+f"(s.c[50]), "+f"(s.c[51]), "+f"(s.c[52]), "+f"(s.c[53]), "+f"(s.c[54]), "+f"(s.c[55]),
          "+f"(s.c[56]), "+f"(s.c[57]), "+f"(s.c[58]), "+f"(s.c[59]), "+f"(s.c[60]), "+f"(s.c[61]), "+f"(s.c[62]),
          "+f"(s.c[63]), "+f"(s.c[64]), "+f"(s.c[65]), "+f"(s.c[66]), "+f"(s.c[67]), "+f"(s.c[68]), "+f"(s.c[69]),
          "+f"(s.c[70]), "+f"(s.c[71]), "+f"(s.c[72]), "+f"(s.c[73]), "+f"(s.c[74]), "+f"(s.c[75]), "+f"(s.c[76]),
          "+f"(s.c[77]), "+f"(s.c[78]), "+f"(s.c[79]), "+f"(s.c[80]), "+f"(s.c[81]), "+f"(s.c[82]), "+f"(s.c[83]),
          "+f"(s.c[84]), "+f"(s.c[85]), "+f"(s.c[86]), "+f"(s.c[87]), "+f"(s.c[88]), "+f"(s.c[89]), "+f"(s.c[90]),
          "+f"(s.c[91]), "+f"(s.c[92]), "+f"(s.c[93]), "+f"(s.c[94]), "+f"(s.c[95]), "+f"(s.c[96]), "+f"(s.c[97]),
          "+f"(s.c[98]), "+f"(s.c[99]), "+f"(s.c[100]), "+f"(s.c[101]), "+f"(s.c[102]), "+f"(s.c[103]), "+f"(s.c[104]),
          "+f"(s.c[105]), "+f"(s.c[106]), "+f"(s.c[107]), "+f"(s.c[108]), "+f"(s.c[109]), "+f"(s.c[110]),
          "+f"(s.c[111]), "+f"(s.c[112]), "+f"(s.c[113]), "+f"(s.c[114]), "+f"(s.c[115]), "+f"(s.c[116]),
          "+f"(s.c[117]), "+f"(s.c[118]), "+f"(s.c[119]), "+f"(s.c[120]), "+f"(s.c[121]), "+f"(s.c[122]),
          "+f"(s.c[123]), "+f"(s.c[124]), "+f"(s.c[125]), "+f"(s.c[126]), "+f"(s.c[127])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));
}
#endif

/* `count` times four products one behind the other; false where there are none. */
DEVICE bool multiply_group_loop(group_sums &sums, const void *shared, int64_t count)
{
#if __CUDA_ARCH_FEAT_SM90_ALL
    const uint32_t bits = 0x3F803F80u + threadIdx.x;
    const uint32_t a[4] = {bits, bits + 1, bits + 2, bits + 3};
    const uint64_t b = matrix_descriptor(shared);
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    for (int64_t i = 0; i < count; i++) {
        asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#pragma unroll
        for (int k = 0; k < 4; k++)
            multiply_group(sums, a, b + 2 * k);
        asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
        asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
    }
    return true;
#else
    (void)sums;
    (void)shared;
    (void)count;
    return false;
#endif
}

#endif

/* What follows is the same on both. */

DEVICE float bf16_to_f32(uint16_t bits)
{
    return float_of((uint32_t)bits << 16);
}

/* A number that is not one stays so. */
DEVICE uint16_t f32_to_bf16(float value)
{
    const uint32_t bits = bits_of(value);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u)
        return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

/* Two numbers as a pair of bf16, the first one in the low half. */
DEVICE uint32_t bf16_pair(float low, float high)
{
#if __CUDA_ARCH__ >= 800
    uint32_t pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
#else
    return f32_to_bf16(low) | (uint32_t)f32_to_bf16(high) << 16;
#endif
}

DEVICE float low_of_pair(uint32_t pair)
{
    return float_of(pair << 16);
}

DEVICE float high_of_pair(uint32_t pair)
{
    return float_of(pair & 0xFFFF0000u);
}

DEVICE float warp_sum(float value)
{
    for (int distance = 16; distance > 0; distance /= 2)
        value += __shfl_xor_sync(~0u, value, distance);
    return value;
}

DEVICE float warp_max(float value)
{
    for (int distance = 16; distance > 0; distance /= 2)
        value = fmaxf(value, __shfl_xor_sync(~0u, value, distance));
    return value;
}

#endif
