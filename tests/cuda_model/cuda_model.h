/* What kernels/device.cuh needs when a kernel is compiled for the host, by a C++ compiler with FFAI_CUDA_MODEL: its
 * vocabulary, and what CUDA C has built in. __CUDA_ARCH__ is not defined. */
#ifndef CUDA_MODEL_CUDA_MODEL_H
#define CUDA_MODEL_CUDA_MODEL_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "runtime.h"

#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define DEVICE_MEMBER   inline
#define DEVICE          static inline

/* Blocks run one after the other, so a block's variables may be static. The section lets the model fill them with 0xFF
 * before each block; gcc leaves those of templates out of it. */
#define __shared__ static __attribute__((section("cuda_shared")))

#define KERNEL_BESIDE(name, Args, threads, blocks) KERNEL(name, Args, threads)
#define KERNEL(name, Args, threads)                KERNEL_CLUSTER(name, Args, threads, 1)
#define KERNEL_CLUSTER(kernel_name, Args, threads, blocks)                                                             \
    static_assert(blocks <= 2, "as many as the model has room for");                                                   \
    static void cuda_model_body_##kernel_name(const Args &args);                                                       \
    static void cuda_model_run_##kernel_name(const void *args)                                                         \
    {                                                                                                                  \
        cuda_model_body_##kernel_name(*static_cast<const Args *>(args));                                               \
    }                                                                                                                  \
    static_assert(sizeof(Args) <= 4096, "a kernel's argument has 4 KiB at most");                                      \
    static cuda_model_entry cuda_model_entry_##kernel_name(#kernel_name, cuda_model_run_##kernel_name, sizeof(Args),   \
                                                           threads, blocks);                                           \
    static void cuda_model_body_##kernel_name(const Args &args)

struct cuda_model_entry {
    cuda_model_kernel kernel;
    cuda_model_entry(const char *name, void (*run)(const void *), size_t args_bytes, unsigned most_threads,
                     unsigned cluster)
        : kernel{name, run, args_bytes, most_threads, cluster, nullptr}
    {
        cuda_model_register(&kernel);
    }
};

#define DYNAMIC_SHARED(Type, name) Type *name = static_cast<Type *>(cuda_model_dynamic_shared())
#define PRODUCT_SHARED(name)       uint8_t *name = on_product_boundary(static_cast<uint8_t *>(cuda_model_dynamic_shared()))

/* Vectors */

struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
struct alignas(8) int2 {
    int x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) float2 {
    float x, y;
};

DEVICE uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w)
{
    return {x, y, z, w};
}

DEVICE uint2 make_uint2(unsigned x, unsigned y)
{
    return {x, y};
}

DEVICE int4 make_int4(int x, int y, int z, int w)
{
    return {x, y, z, w};
}

DEVICE int2 make_int2(int x, int y)
{
    return {x, y};
}

DEVICE float4 make_float4(float x, float y, float z, float w)
{
    return {x, y, z, w};
}

DEVICE float2 make_float2(float x, float y)
{
    return {x, y};
}

/* Bits */

template <class To, class From> DEVICE To cuda_model_bits(From from)
{
    static_assert(sizeof(To) == sizeof(From), "of one size");
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}

DEVICE float float_of(uint32_t bits)
{
    return cuda_model_bits<float>(bits);
}

DEVICE uint32_t bits_of(float value)
{
    return cuda_model_bits<uint32_t>(value);
}

DEVICE double double_of(uint64_t bits)
{
    return cuda_model_bits<double>(bits);
}

DEVICE unsigned __float_as_uint(float value)
{
    return bits_of(value);
}

DEVICE float __uint_as_float(unsigned bits)
{
    return float_of(bits);
}

DEVICE int __float_as_int(float value)
{
    return cuda_model_bits<int>(value);
}

DEVICE float __int_as_float(int bits)
{
    return cuda_model_bits<float>(bits);
}

DEVICE int __popc(unsigned bits)
{
    return __builtin_popcount(bits);
}

DEVICE int __popcll(unsigned long long bits)
{
    return __builtin_popcountll(bits);
}

DEVICE int __clz(int bits)
{
    return bits ? __builtin_clz((unsigned)bits) : 32;
}

DEVICE int __clzll(long long bits)
{
    return bits ? __builtin_clzll((unsigned long long)bits) : 64;
}

DEVICE int __ffs(int bits)
{
    return __builtin_ffs(bits);
}

DEVICE int __ffsll(long long bits)
{
    return __builtin_ffsll(bits);
}

DEVICE unsigned __brev(unsigned bits)
{
    unsigned reversed = 0;
    for (int i = 0; i < 32; i++)
        reversed |= (bits >> i & 1u) << (31 - i);
    return reversed;
}

/* Four bytes of x (0 to 3) and y (4 to 7), chosen by the low three bits of each of selector's four digits; a digit's
 * fourth bit asks for the byte's sign, eight times. */
DEVICE unsigned __byte_perm(unsigned x, unsigned y, unsigned selector)
{
    const uint64_t both = (uint64_t)y << 32 | x;
    unsigned result = 0;
    for (int i = 0; i < 4; i++) {
        const unsigned digit = selector >> (4 * i) & 15u;
        const unsigned byte = (unsigned)(both >> (digit % 8 * 8)) & 255u;
        result |= (digit & 8 ? (byte >> 7) * 255u : byte) << (8 * i);
    }
    return result;
}

/* The upper (l) or lower (r) word of high:low, shifted. */
DEVICE unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift)
{
    return (unsigned)(((uint64_t)high << 32 | low) << (shift & 31) >> 32);
}

DEVICE unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift)
{
    return (unsigned)(((uint64_t)high << 32 | low) >> (shift & 31));
}

/* Numbers */

DEVICE unsigned __umulhi(unsigned a, unsigned b)
{
    return (unsigned)((uint64_t)a * b >> 32);
}

DEVICE unsigned long long __umul64hi(unsigned long long a, unsigned long long b)
{
    const uint64_t a_low = (uint32_t)a, a_high = a >> 32;
    const uint64_t b_low = (uint32_t)b, b_high = b >> 32;
    const uint64_t first = a_low * b_high + (a_low * b_low >> 32);
    const uint64_t second = a_high * b_low + (uint32_t)first;
    return a_high * b_high + (first >> 32) + (second >> 32);
}

/* Four products of bytes, and a sum that wraps. */
DEVICE int __dp4a(int a, int b, int sum)
{
    unsigned total = (unsigned)sum;
    for (int i = 0; i < 4; i++)
        total += (unsigned)((int8_t)(a >> (8 * i)) * (int8_t)(b >> (8 * i)));
    return (int)total;
}

DEVICE unsigned __dp4a(unsigned a, unsigned b, unsigned sum)
{
    for (int i = 0; i < 4; i++)
        sum += (uint8_t)(a >> (8 * i)) * (unsigned)(uint8_t)(b >> (8 * i));
    return sum;
}

#define CUDA_MODEL_MIN_MAX(Type)                                                                                       \
    DEVICE Type min(Type a, Type b)                                                                                    \
    {                                                                                                                  \
        return b < a ? b : a;                                                                                          \
    }                                                                                                                  \
    DEVICE Type max(Type a, Type b)                                                                                    \
    {                                                                                                                  \
        return a < b ? b : a;                                                                                          \
    }
CUDA_MODEL_MIN_MAX(int)
CUDA_MODEL_MIN_MAX(unsigned)
CUDA_MODEL_MIN_MAX(long)
CUDA_MODEL_MIN_MAX(unsigned long)
CUDA_MODEL_MIN_MAX(long long)
CUDA_MODEL_MIN_MAX(unsigned long long)
#undef CUDA_MODEL_MIN_MAX

/* Of numbers and NaN: the number. */
DEVICE float min(float a, float b)
{
    return fminf(a, b);
}

DEVICE float max(float a, float b)
{
    return fmaxf(a, b);
}

DEVICE float __fmaf_rn(float a, float b, float c)
{
    return fmaf(a, b, c);
}

DEVICE float __fadd_rn(float a, float b)
{
    return a + b;
}

DEVICE float __fsub_rn(float a, float b)
{
    return a - b;
}

DEVICE float __fmul_rn(float a, float b)
{
    return a * b;
}

DEVICE float __fdiv_rn(float a, float b)
{
    return a / b;
}

DEVICE float __fsqrt_rn(float a)
{
    return sqrtf(a);
}

DEVICE float __frcp_rn(float a)
{
    return 1.0f / a;
}

DEVICE float __int2float_rn(int value)
{
    return (float)value;
}

DEVICE float __uint2float_rn(unsigned value)
{
    return (float)value;
}

/* Out of range: the nearest that there is. NaN: 0. */
DEVICE int cuda_model_to_int(float rounded)
{
    if (!(rounded == rounded))
        return 0;
    if (rounded >= 0x1p31f)
        return INT32_MAX;
    return rounded < -0x1p31f ? INT32_MIN : (int)rounded;
}

DEVICE int __float2int_rn(float value)
{
    return cuda_model_to_int(rintf(value));
}

DEVICE int __float2int_rz(float value)
{
    return cuda_model_to_int(truncf(value));
}

/* The math library has some of these names to itself. Approximations of a device are exact here. */
#define rsqrtf(x)        (1.0f / sqrtf(x))
#define __expf(x)        expf(x)
#define __logf(x)        logf(x)
#define __log2f(x)       log2f(x)
#define __sinf(x)        sinf(x)
#define __cosf(x)        cosf(x)
#define __fdividef(x, y) ((x) / (y))

DEVICE float power_of_two(float x)
{
    const float power = exp2f(x);
    return power < 0x1p-126f ? 0 : power;
}

/* Half precision, by bits: round to nearest, ties to even. Every NaN becomes the one that a device makes. */
DEVICE float f16_to_f32(uint16_t bits)
{
    const uint32_t sign = (uint32_t)(bits & 0x8000u) << 16;
    const uint32_t magnitude = bits & 0x7FFFu;
    if (magnitude > 0x7C00u)
        return float_of(0x7FFFFFFFu);
    if (magnitude == 0x7C00u)
        return float_of(sign | 0x7F800000u);
    if (magnitude < 0x0400u)
        return float_of(sign | bits_of((float)magnitude * 0x1p-24f));
    return float_of(sign | ((magnitude << 13) + ((127u - 15u) << 23)));
}

DEVICE uint16_t f32_to_f16(float value)
{
    const uint32_t bits = bits_of(value);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);
    const uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u)
        return 0x7FFFu;
    if (magnitude >= 0x477FF000u) /* 65520, halfway from the largest to what would come next */
        return (uint16_t)(sign | 0x7C00u);
    if (magnitude < 0x38800000u) /* 2^-14: the sum's unit in the last place is a denormal's */
        return (uint16_t)(sign | (bits_of(float_of(magnitude) + 0.5f) - bits_of(0.5f)));
    const uint32_t based = magnitude - ((127u - 15u) << 23);
    return (uint16_t)(sign | ((based + 0xFFFu + (based >> 13 & 1u)) >> 13));
}

/* Memory */

DEVICE void wait_for_previous()
{
}

DEVICE void let_next_begin()
{
}

template <class T> DEVICE void cuda_model_check_alignment(const T *at)
{
    if (reinterpret_cast<uintptr_t>(at) % sizeof(T) != 0)
        cuda_model_fault("%zu bytes at %p, which is no multiple of their size", sizeof(T), (const void *)at);
}

template <class Vector, class T> DEVICE Vector *vectors_at(T *at)
{
    Vector *vectors = reinterpret_cast<Vector *>(at);
    cuda_model_check_alignment(vectors);
    return vectors;
}

template <class T> DEVICE T load_once(const T *at)
{
    static_assert(sizeof(T) == 4 || sizeof(T) == 8 || sizeof(T) == 16, "uint32_t, uint2, uint4");
    cuda_model_check_alignment(at);
    return *at;
}

template <class T> DEVICE T __ldg(const T *at)
{
    cuda_model_check_alignment(at);
    return *at;
}

DEVICE void __threadfence()
{
}

DEVICE void __threadfence_block()
{
}

DEVICE void __threadfence_system()
{
}

DEVICE void __trap()
{
    cuda_model_fault("__trap");
}

/* Blocks and warps */

DEVICE void __syncthreads()
{
    cuda_model_sync_block();
}

DEVICE void __syncwarp(uint32_t mask = ~0u)
{
    cuda_model_sync_warp(mask);
}

template <class T> DEVICE T cuda_model_shuffle_of(uint32_t mask, T value, unsigned source_lane)
{
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "shuffles take words of 32 and 64 bits");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = cuda_model_shuffle(mask, bits, source_lane);
    memcpy(&value, &bits, sizeof value);
    return value;
}

DEVICE unsigned cuda_model_lane()
{
    return threadIdx.x % 32;
}

/* Lanes are in groups of `width`, a power of two. What would be read from another group is the lane's own value, but
 * for
 * __shfl_xor_sync, which may read groups before its own. */
template <class T> DEVICE T __shfl_sync(uint32_t mask, T value, int source, int width = 32)
{
    const unsigned first = cuda_model_lane() & ~(unsigned)(width - 1);
    return cuda_model_shuffle_of(mask, value, first + ((unsigned)source & (unsigned)(width - 1)));
}

template <class T> DEVICE T __shfl_xor_sync(uint32_t mask, T value, int with, int width = 32)
{
    const unsigned lane = cuda_model_lane();
    const unsigned source = (lane ^ (unsigned)with) & 31u;
    return cuda_model_shuffle_of(mask, value, source <= (lane | (unsigned)(width - 1)) ? source : lane);
}

template <class T> DEVICE T __shfl_up_sync(uint32_t mask, T value, unsigned distance, int width = 32)
{
    const unsigned lane = cuda_model_lane();
    return cuda_model_shuffle_of(mask, value, (lane & (unsigned)(width - 1)) >= distance ? lane - distance : lane);
}

template <class T> DEVICE T __shfl_down_sync(uint32_t mask, T value, unsigned distance, int width = 32)
{
    const unsigned lane = cuda_model_lane();
    const bool inside = (lane & (unsigned)(width - 1)) + distance < (unsigned)width;
    return cuda_model_shuffle_of(mask, value, inside ? lane + distance : lane);
}

DEVICE unsigned __ballot_sync(uint32_t mask, int condition)
{
    return cuda_model_reduce(CUDA_MODEL_BALLOT, mask, condition != 0);
}

DEVICE int __any_sync(uint32_t mask, int condition)
{
    return __ballot_sync(mask, condition) != 0;
}

DEVICE int __all_sync(uint32_t mask, int condition)
{
    return __ballot_sync(mask, !condition) == 0;
}

DEVICE unsigned __reduce_add_sync(uint32_t mask, unsigned value)
{
    return cuda_model_reduce(CUDA_MODEL_ADD, mask, value);
}

DEVICE int __reduce_add_sync(uint32_t mask, int value)
{
    return (int)cuda_model_reduce(CUDA_MODEL_ADD, mask, (unsigned)value);
}

DEVICE unsigned __reduce_min_sync(uint32_t mask, unsigned value)
{
    return cuda_model_reduce(CUDA_MODEL_MIN, mask, value);
}

DEVICE int __reduce_min_sync(uint32_t mask, int value)
{
    return (int)cuda_model_reduce(CUDA_MODEL_MIN_SIGNED, mask, (unsigned)value);
}

DEVICE unsigned __reduce_max_sync(uint32_t mask, unsigned value)
{
    return cuda_model_reduce(CUDA_MODEL_MAX, mask, value);
}

DEVICE int __reduce_max_sync(uint32_t mask, int value)
{
    return (int)cuda_model_reduce(CUDA_MODEL_MAX_SIGNED, mask, (unsigned)value);
}

DEVICE unsigned __reduce_and_sync(uint32_t mask, unsigned value)
{
    return cuda_model_reduce(CUDA_MODEL_AND, mask, value);
}

DEVICE unsigned __reduce_or_sync(uint32_t mask, unsigned value)
{
    return cuda_model_reduce(CUDA_MODEL_OR, mask, value);
}

DEVICE unsigned __reduce_xor_sync(uint32_t mask, unsigned value)
{
    return cuda_model_reduce(CUDA_MODEL_XOR, mask, value);
}

/* c [16][8] += a [16][16] * b [16][8], in the fragments that device.cuh describes. */
DEVICE void mma_bf16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    cuda_model_mma(c, a, b0, b1, CUDA_MODEL_BF16);
}

DEVICE void mma_f16(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    cuda_model_mma(c, a, b0, b1, CUDA_MODEL_F16);
}

DEVICE void mma_bytes(int (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    cuda_model_mma_bytes(c, a, b0, b1);
}

DEVICE float max_or_nan(float a, float b)
{
    return a > b || a != a ? a : b;
}

/* Copies are done when they are asked for. */
template <int BYTES> DEVICE void copy_ahead(void *to, const void *from, bool there)
{
    static_assert(BYTES == 4 || BYTES == 8 || BYTES == 16, "what a device copies");
    if (there)
        __builtin_memcpy(to, from, BYTES);
    else
        __builtin_memset(to, 0, BYTES);
}

DEVICE void close_copies()
{
}

template <int GROUPS> DEVICE void wait_for_copies()
{
}

/* Products of groups of warps: a warp's part is done when it is asked for. */
#define HAS_GROUP_PRODUCTS

template <int COLUMNS> struct group_sums {
    float c[COLUMNS / 2];
};

DEVICE const void *group_columns(const void *shared)
{
    if (reinterpret_cast<uintptr_t>(shared) % 1024 != 0)
        cuda_model_fault("columns for multiply_group that are not on a boundary of 1,024 bytes");
    return shared;
}

template <int COLUMNS>
DEVICE void multiply_group(group_sums<COLUMNS> &s, const uint32_t (&a)[4], const void *b, int step, bool add)
{
    cuda_model_group_product(s.c, a, static_cast<const uint8_t *>(b), COLUMNS, step, add);
}

DEVICE void settle(uint32_t (&)[4])
{
}

template <int COLUMNS> DEVICE void settle(group_sums<COLUMNS> &)
{
}

DEVICE void begin_products()
{
}

DEVICE void close_products()
{
}

template <int GROUPS> DEVICE void wait_for_products()
{
}

DEVICE void publish_to_products()
{
}

template <int REGISTERS> DEVICE void take_registers()
{
}

template <int REGISTERS> DEVICE void give_registers()
{
}

DEVICE void barrier_make(uint64_t *barrier, int arrivals)
{
    cuda_model_barrier_make(barrier, arrivals);
}

DEVICE void barriers_are_made()
{
}

DEVICE void barrier_arrive(uint64_t *barrier)
{
    cuda_model_barrier_arrive(barrier, 0);
}

DEVICE void barrier_arrive_with(uint64_t *barrier, uint32_t bytes)
{
    cuda_model_barrier_arrive(barrier, bytes);
}

DEVICE void barrier_wait(uint64_t *barrier, int parity)
{
    cuda_model_barrier_wait(barrier, parity);
}

DEVICE void copy_bulk(void *to, const void *from, uint32_t bytes, uint64_t *barrier)
{
    if ((reinterpret_cast<uintptr_t>(to) | reinterpret_cast<uintptr_t>(from) | bytes) % 16 != 0 || bytes == 0)
        cuda_model_fault("copy_bulk of %u bytes from %p to %p: not in sixteens", bytes, from, to);
    __builtin_memcpy(to, from, bytes);
    cuda_model_barrier_bytes(barrier, bytes);
}

DEVICE int cluster_rank()
{
    return (int)cuda_model_cluster_rank();
}

DEVICE void barrier_arrive_at(uint64_t *barrier, int rank)
{
    barrier_arrive(static_cast<uint64_t *>(cuda_model_in_block(barrier, (unsigned)rank)));
}

template <int BLOCKS> DEVICE void copy_bulk_to_all(void *to, const void *from, uint32_t bytes, uint64_t *barrier)
{
    for (unsigned i = 0; i < BLOCKS; i++)
        copy_bulk(cuda_model_in_block(to, i), from, bytes, static_cast<uint64_t *>(cuda_model_in_block(barrier, i)));
}

DEVICE void arrive_at_cluster()
{
    cuda_model_cluster_arrive();
}

DEVICE void wait_for_cluster()
{
    cuda_model_cluster_wait();
}

DEVICE void sync_some(int number, int threads)
{
    cuda_model_sync_some(number, threads);
}

template <uint32_t NUMBER> DEVICE uint32_t opaque()
{
    return NUMBER;
}

template <uint32_t MASK> DEVICE uint32_t mask_or(uint32_t word, uint32_t bits)
{
    return (word & MASK) | bits;
}

template <uint32_t MASK> DEVICE uint32_t choose(uint32_t a, uint32_t b)
{
    return (a & MASK) | (b & ~MASK);
}

/* Pairs of bf16. A device rounds what is no bf16 number; kernels promise that all are. */
DEVICE uint32_t subtract_bf16(uint32_t a, uint32_t b)
{
    const uint32_t low = bits_of(float_of(a << 16) - float_of(b << 16));
    const uint32_t high = bits_of(float_of(a & 0xFFFF0000u) - float_of(b & 0xFFFF0000u));
    if ((low | high) & 0xFFFFu)
        cuda_model_fault("subtract_bf16(0x%08x, 0x%08x), which has to be rounded", a, b);
    return low >> 16 | high;
}

DEVICE uint32_t add_bf16(uint32_t a, uint32_t b)
{
    return subtract_bf16(a, b ^ 0x80008000u);
}

/* Atomics give what was there before. No thread runs meanwhile, so they are plain. */

template <class T> DEVICE T cuda_model_exchange(T *at, T value)
{
    cuda_model_check_alignment(at);
    const T before = *at;
    *at = value;
    return before;
}

#define CUDA_MODEL_ATOMIC(name, Type, after)                                                                           \
    DEVICE Type name(Type *at, Type value)                                                                             \
    {                                                                                                                  \
        [[maybe_unused]] const Type before = *at;                                                                      \
        return cuda_model_exchange(at, static_cast<Type>(after));                                                      \
    }
#define CUDA_MODEL_ATOMICS(Type)                                                                                       \
    CUDA_MODEL_ATOMIC(atomicExch, Type, value)                                                                         \
    CUDA_MODEL_ATOMIC(atomicMax, Type, max(before, value))                                                             \
    CUDA_MODEL_ATOMIC(atomicMin, Type, min(before, value))                                                             \
    CUDA_MODEL_ATOMIC(atomicAnd, Type, before &value)                                                                  \
    CUDA_MODEL_ATOMIC(atomicOr, Type, before | value)                                                                  \
    CUDA_MODEL_ATOMIC(atomicXor, Type, before ^ value)                                                                 \
    DEVICE Type atomicCAS(Type *at, Type expected, Type value)                                                         \
    {                                                                                                                  \
        return cuda_model_exchange(at, *at == expected ? value : *at);                                                 \
    }
CUDA_MODEL_ATOMICS(int)
CUDA_MODEL_ATOMICS(unsigned)
CUDA_MODEL_ATOMICS(unsigned long long)
CUDA_MODEL_ATOMIC(atomicAdd, int, static_cast<unsigned>(before) + static_cast<unsigned>(value))
CUDA_MODEL_ATOMIC(atomicAdd, unsigned, before + value)
CUDA_MODEL_ATOMIC(atomicAdd, unsigned long long, before + value)
CUDA_MODEL_ATOMIC(atomicAdd, float, before + value)
CUDA_MODEL_ATOMIC(atomicExch, float, value)
#undef CUDA_MODEL_ATOMICS
#undef CUDA_MODEL_ATOMIC

#endif
