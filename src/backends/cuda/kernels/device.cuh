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

/* One block at a time on a multiprocessor, and of so many blocks, neighbours in y, each reaches the others' dynamic
 * shared memory: a cluster, where there are such products as multiply_group's. */
#if __CUDA_ARCH_FEAT_SM90_ALL
#define KERNEL_CLUSTER(name, Args, threads, blocks)                                                                    \
    extern "C" __global__ void __cluster_dims__(1, blocks, 1) __launch_bounds__(threads, 1)                            \
        name(const __grid_constant__ Args args)
#else
#define KERNEL_CLUSTER(name, Args, threads, blocks) KERNEL_BESIDE(name, Args, threads, 1)
#endif

/* The block's dynamic shared memory, as many bytes as the launch asked for, on a 128-byte boundary. */
#define DYNAMIC_SHARED(Type, name)                                                                                     \
    extern __shared__ __align__(128) uint8_t dynamic_shared[];                                                         \
    Type *name = reinterpret_cast<Type *>(dynamic_shared)

/* The same on a boundary for multiply_group. */
#define PRODUCT_SHARED(name)                                                                                           \
    extern __shared__ __align__(1024) uint8_t product_shared[];                                                        \
    uint8_t *name = product_shared

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

/* __syncthreads of `threads` of the block, whole warps: barrier `number` of 1 to 15. */
DEVICE void sync_some(int number, int threads)
{
    asm volatile("barrier.sync %0, %1;" ::"r"(number), "r"(threads) : "memory");
}

/* Numbers as vectors of them, which lie on a boundary of their size. */
template <class Vector, class T> DEVICE Vector *vectors_at(T *at)
{
    return reinterpret_cast<Vector *>(at);
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

/* 2 to the power of x, to 22 bits; 2^0 is 1, and what is less than a normal number 0. */
DEVICE float power_of_two(float x)
{
    float power;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x));
    return power;
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

/* A number that stays in a register: nvcc would make two instructions of one that has two numbers in itself. */
template <uint32_t NUMBER> DEVICE uint32_t opaque()
{
    uint32_t number;
    asm volatile("mov.b32 %0, %1;" : "=r"(number) : "n"(NUMBER));
    return number;
}

/* (word & MASK) | bits */
template <uint32_t MASK> DEVICE uint32_t mask_or(uint32_t word, uint32_t bits)
{
    uint32_t result;
    asm("lop3.b32 %0, %1, %2, %3, 0xEA;" : "=r"(result) : "r"(word), "n"(MASK), "r"(bits));
    return result;
}

/* The bits of a where MASK has ones, and of b elsewhere. */
template <uint32_t MASK> DEVICE uint32_t choose(uint32_t a, uint32_t b)
{
    uint32_t result;
    asm("lop3.b32 %0, %1, %2, %3, 0xE2;" : "=r"(result) : "r"(a), "n"(MASK), "r"(b));
    return result;
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

/* a + b likewise. */
DEVICE uint32_t add_bf16(uint32_t a, uint32_t b)
{
#if __CUDA_ARCH__ >= 800
    uint32_t sum;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(sum) : "r"(b), "r"(0x3F803F80u), "r"(a)); /* b * 1 + a */
    return sum;
#else
    return subtract_bf16(a, b ^ 0x80008000u);
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

#if __CUDA_ARCH__ < 800
static __device__ __noinline__ int4 mma_bytes_turing(int4 sums, uint4 rows, uint2 columns)
{
    const uint32_t a[4] = {rows.x, rows.y, rows.z, rows.w};
    int c[4] = {sums.x, sums.y, sums.z, sums.w};
    const int g = threadIdx.x % 32 / 4;
    const int t = threadIdx.x % 4;
    for (int half = 0; half < 2; half++) {
        for (int from = 0; from < 4; from++) {
            for (int i = 0; i < 4; i++) {
                const uint32_t codes = __shfl_sync(~0u, i / 2 ? a[half * 2 + 1] : a[half * 2], g * 4 + from);
                const uint32_t x = __shfl_sync(~0u, half ? columns.y : columns.x, (2 * t + i % 2) * 4 + from);
                asm("dp4a.u32.s32 %0, %1, %2, %0;" : "+r"(c[i]) : "r"(codes), "r"(x));
            }
        }
    }
    return make_int4(c[0], c[1], c[2], c[3]);
}
#endif

/* c [16][8] += a [16][32] * b [32][8] of bytes in integers, those of a unsigned, those of b signed: mma.sync m16n8k32.
 * A word has four bytes where one of mma_bf16 has a pair: of a columns 4t to 4t + 3, and 16 more (a[2], a[3]); of b the
 * same rows of column g. */
DEVICE void mma_bytes(int (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    const int4 sums =
        mma_bytes_turing(make_int4(c[0], c[1], c[2], c[3]), make_uint4(a[0], a[1], a[2], a[3]), make_uint2(b0, b1));
    c[0] = sums.x;
    c[1] = sums.y;
    c[2] = sums.z;
    c[3] = sums.w;
#endif
}

/* The larger one; a number that is none stays so. */
DEVICE float max_or_nan(float a, float b)
{
#if __CUDA_ARCH__ >= 800
    float most;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(most) : "f"(a), "f"(b));
    return most;
#else
    return a > b || a != a ? a : b;
#endif
}

/* Products of a group of four warps, whose first one's number is a multiple of four: wgmma, which compute capability
 * 9.0 alone has. A warp has 16 rows of 64, in the fragments of mma_bf16: c[4j … 4j + 3] are those of columns 8j to
 * 8j + 7. */
template <int COLUMNS> struct group_sums {
    float c[COLUMNS / 2];
};

#if __CUDA_ARCH_FEAT_SM90_ALL
#define HAS_GROUP_PRODUCTS

/* Columns in shared memory as multiply_group is told of them. They are on a 1,024-byte boundary: 64 numbers of bf16 one
 * after the other for each, 128 bytes, and of every eight columns the 16-byte parts swapped about: part p of column n
 * lies where part p ^ n % 8 would. wgmma calls it the swizzle of 128 bytes; this is the lower half of a matrix
 * descriptor, of which the upper one is always the same. */
DEVICE uint32_t group_columns(const void *shared)
{
    return ((uint32_t)__cvta_generic_to_shared(shared) & 0x3FFFFu) >> 4 | 1u << 16;
}

#define SUMS_8(s, i)                                                                                                   \
    "+f"(s.c[i]), "+f"(s.c[i + 1]), "+f"(s.c[i + 2]), "+f"(s.c[i + 3]), "+f"(s.c[i + 4]), "+f"(s.c[i + 5]),            \
        "+f"(s.c[i + 6]), "+f"(s.c[i + 7])
#define SUMS_4(s, i)  "+f"(s.c[i]), "+f"(s.c[i + 1]), "+f"(s.c[i + 2]), "+f"(s.c[i + 3])
#define SUMS_32(s, i) SUMS_8(s, i), SUMS_8(s, i + 8), SUMS_8(s, i + 16), SUMS_8(s, i + 24)
#define OPERANDS_4    "%0, %1, %2, %3"
#define OPERANDS_8    OPERANDS_4 ", %4, %5, %6, %7"
#define OPERANDS_16   OPERANDS_8 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define OPERANDS_32                                                                                                    \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, "   \
    "%24, %25, %26, %27, %28, %29, %30, %31"
#define OPERANDS_64                                                                                                    \
    OPERANDS_32                                                                                                        \
    ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"                                 \
    ", %48, %49, %50, %51, %52, %53, "                                                                                 \
    "%54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define OPERANDS_88                                                                                                    \
    OPERANDS_64                                                                                                        \
    ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, " \
    "%86, %87"
#define OPERANDS_128                                                                                                   \
    OPERANDS_88                                                                                                        \
    ", %88, %89, %90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, "   \
    "%108, %109, %110, %111, %112, %113, %114, "                                                                       \
    "%115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define WGMMA(columns, operands, a0, a1, a2, a3, b, add)                                                               \
    "{\n.reg .pred add;\n.reg .b64 matrix;\nsetp.ne.b32 add, %" #add ", 0;\n"                                          \
    "mov.b64 matrix, {%" #b ", 0x40000040};\n"                                                                         \
    "wgmma.mma_async.sync.aligned.m64n" #columns "k16.f32.bf16.bf16 {" operands "}, {%" #a0 ", %" #a1 ", %" #a2        \
    ", %" #a3 "}, matrix, add, 1, 1, 0;\n}\n"

/* s = a [64][16] in registers * step `step` (16 of the 64 numbers of a column) of b in shared memory, added to s if
 * `add`. From begin_products on registers of s and a are the products', until they were waited for. */
template <int COLUMNS>
DEVICE void multiply_group(group_sums<COLUMNS> &s, const uint32_t (&a)[4], uint32_t b, int step, bool add)
{
    const uint32_t matrix = b + 2 * (uint32_t)step;
    if constexpr (COLUMNS == 256)
        asm volatile(WGMMA(256, OPERANDS_128, 128, 129, 130, 131, 132, 133)
                     : SUMS_32(s, 0), SUMS_32(s, 32), SUMS_32(s, 64), SUMS_32(s, 96)
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(matrix), "r"((int)add));
    else if constexpr (COLUMNS == 128)
        asm volatile(WGMMA(128, OPERANDS_64, 64, 65, 66, 67, 68, 69)
                     : SUMS_32(s, 0), SUMS_32(s, 32)
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(matrix), "r"((int)add));
    else if constexpr (COLUMNS == 176)
        asm volatile(WGMMA(176, OPERANDS_88, 88, 89, 90, 91, 92, 93)
                     : SUMS_32(s, 0), SUMS_32(s, 32), SUMS_8(s, 64), SUMS_8(s, 72), SUMS_8(s, 80)
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(matrix), "r"((int)add));
    else if constexpr (COLUMNS == 64)
        asm volatile(WGMMA(64, OPERANDS_32, 32, 33, 34, 35, 36, 37)
                     : SUMS_32(s, 0)
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(matrix), "r"((int)add));
    else if constexpr (COLUMNS == 32)
        asm volatile(WGMMA(32, OPERANDS_16, 16, 17, 18, 19, 20, 21)
                     : SUMS_8(s, 0), SUMS_8(s, 8)
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(matrix), "r"((int)add));
    else if constexpr (COLUMNS == 16)
        asm volatile(WGMMA(16, OPERANDS_8, 8, 9, 10, 11, 12, 13)
                     : SUMS_8(s, 0)
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(matrix), "r"((int)add));
    else
        asm volatile(WGMMA(8, OPERANDS_4, 4, 5, 6, 7, 8, 9)
                     : SUMS_4(s, 0)
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(matrix), "r"((int)add));
    static_assert(COLUMNS == 256 || COLUMNS == 176 || COLUMNS == 128 || COLUMNS == 64 || COLUMNS == 32 ||
                      COLUMNS == 16 || COLUMNS == 8,
                  "the sizes that are spelled out here");
}

/* What the products read is computed here, and not behind begin_products. */
DEVICE void settle(uint32_t (&a)[4])
{
    asm volatile("" : "+r"(a[0]), "+r"(a[1]), "+r"(a[2]), "+r"(a[3])::"memory");
}

/* What was waited for is not looked at earlier, and what is looked at is not asked for earlier. */
template <int COLUMNS> DEVICE void settle(group_sums<COLUMNS> &s)
{
#pragma unroll
    for (int i = 0; i < COLUMNS / 2; i++)
        asm volatile("" : "+f"(s.c[i])::"memory");
}

DEVICE void begin_products()
{
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

/* What was asked for since it last was said so is one group; wait until at most so many groups are on their way. */
DEVICE void close_products()
{
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

template <int GROUPS> DEVICE void wait_for_products()
{
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(GROUPS) : "memory");
}

/* What a thread has written to shared memory is there for multiply_group, behind a barrier. */
DEVICE void publish_to_products()
{
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

/* Registers of a group of warps, of a kernel that was told how many blocks there may be: all of its threads want so
 * many from here on, or no more than so many. */
template <int REGISTERS> DEVICE void take_registers()
{
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

template <int REGISTERS> DEVICE void give_registers()
{
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(REGISTERS));
}

/* A barrier in shared memory (mbarrier): a phase of it is over when as many have arrived as it was made for, and all
 * bytes have come that were announced. Phases are told apart by parity: 0, 1, 0 … */
DEVICE void barrier_make(uint64_t *barrier, int arrivals)
{
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(barrier);
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(at), "r"(arrivals) : "memory");
}

/* Behind the last barrier_make, before the others go on. */
DEVICE void barriers_are_made()
{
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

DEVICE void barrier_arrive(uint64_t *barrier)
{
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(barrier);
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(at) : "memory");
}

/* Arrive, and announce so many bytes of copy_bulk. */
DEVICE void barrier_arrive_with(uint64_t *barrier, uint32_t bytes)
{
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(barrier);
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(at), "r"(bytes) : "memory");
}

/* Until the phase of this parity is over; at once if it is the other one's turn already. */
DEVICE void barrier_wait(uint64_t *barrier, int parity)
{
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(barrier);
    uint32_t over;
    do
        asm volatile("{\n.reg .pred over;\n"
                     "mbarrier.try_wait.parity.shared::cta.b64 over, [%1], %2;\n"
                     "selp.b32 %0, 1, 0, over;\n}\n"
                     : "=r"(over)
                     : "r"(at), "r"(parity)
                     : "memory");
    while (!over);
}

/* Bytes to shared memory by themselves, 16 at least and a multiple, both ends on such boundaries. */
DEVICE void copy_bulk(void *to, const void *from, uint32_t bytes, uint64_t *barrier)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                     (uint32_t)__cvta_generic_to_shared(to)),
                 "l"(from), "r"(bytes), "r"((uint32_t)__cvta_generic_to_shared(barrier))
                 : "memory");
}

/* Which block of its cluster this is. */
DEVICE int cluster_rank()
{
    uint32_t rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return (int)rank;
}

/* barrier_arrive in block `rank` of the cluster, at the barrier that lies where this one does here. */
DEVICE void barrier_arrive_at(uint64_t *barrier, int rank)
{
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(barrier);
    asm volatile("{\n.reg .b32 there;\n"
                 "mapa.shared::cluster.u32 there, %0, %1;\n"
                 "mbarrier.arrive.shared::cluster.b64 _, [there];\n}\n" ::"r"(at),
                 "r"(rank)
                 : "memory");
}

/* copy_bulk to the same place in each of the `BLOCKS` of a cluster, whose barrier in the same place hears of it. */
template <int BLOCKS> DEVICE void copy_bulk_to_all(void *to, const void *from, uint32_t bytes, uint64_t *barrier)
{
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster"
                 " [%0], [%1], %2, [%3], %4;" ::"r"((uint32_t)__cvta_generic_to_shared(to)),
                 "l"(from), "r"(bytes), "r"((uint32_t)__cvta_generic_to_shared(barrier)),
                 "h"((uint16_t)((1 << BLOCKS) - 1))
                 : "memory");
}

/* All threads of a cluster's blocks wait for each other, in two halves. */
DEVICE void arrive_at_cluster()
{
    asm volatile("barrier.cluster.arrive.release;" ::: "memory");
}

DEVICE void wait_for_cluster()
{
    asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
}
#endif

#endif

/* What follows is the same on both. */

/* A number that all lanes have, and of which the compiler then knows that they do. */
DEVICE int same_for_all(int number)
{
    return __shfl_sync(~0u, number, 0);
}

/* The warp's number in its block, which the compiler knows to be the same for all lanes. */
DEVICE int warp_of_block()
{
    return same_for_all((int)(threadIdx.x / 32));
}

/* The first 1,024-byte boundary of shared memory, for multiply_group. */
DEVICE uint8_t *on_product_boundary(uint8_t *shared)
{
#ifdef __CUDA_ARCH__
    const uint32_t at = (uint32_t)__cvta_generic_to_shared(shared); /* so that it is seen to be shared memory */
#else
    const uintptr_t at = reinterpret_cast<uintptr_t>(shared);
#endif
    return shared + (1024 - at % 1024) % 1024;
}

DEVICE float bf16_to_f32(uint16_t bits)
{
    return float_of((uint32_t)bits << 16);
}

/* A number that is not one stays so. */
DEVICE uint16_t f32_to_bf16(float value)
{
#if __CUDA_ARCH__ >= 800
    uint32_t pair; /* which is faster than to round one */
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(0.0f), "f"(value));
    return (uint16_t)pair;
#else
    const uint32_t bits = bits_of(value);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u)
        return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
#endif
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

/* The same of f16. */
DEVICE uint32_t f16_pair(float low, float high)
{
#if __CUDA_ARCH__ >= 800
    uint32_t pair;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
#else
    return f32_to_f16(low) | (uint32_t)f32_to_f16(high) << 16;
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

/* Over the four lanes of a row of mma.sync's fragments: all have it then. */
template <class T> DEVICE T quad_sum(T value)
{
    value += __shfl_xor_sync(~0u, value, 1);
    return value + __shfl_xor_sync(~0u, value, 2);
}

DEVICE float quad_max(float value)
{
    value = fmaxf(value, __shfl_xor_sync(~0u, value, 1));
    return fmaxf(value, __shfl_xor_sync(~0u, value, 2));
}

DEVICE float silu_of(float a)
{
    return __fdividef(a, 1.0f + expf(-a));
}

DEVICE float warp_max(float value)
{
    for (int distance = 16; distance > 0; distance /= 2)
        value = fmaxf(value, __shfl_xor_sync(~0u, value, distance));
    return value;
}

#endif
