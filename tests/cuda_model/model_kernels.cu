/* Kernels that test_cuda_model.c runs, to see that the model does what a device does. */
#include "device.cuh"

#include "model_args.h"

KERNEL(model_places, model_words, 1024)
{
    const uint64_t block = ((uint64_t)blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    args.out[block * blockDim.x + threadIdx.x] = (uint32_t)(block << 16 | threadIdx.x);
}

/* out[i] = in[i] + in[i + 1] + … over the block, by halves in shared memory. */
KERNEL(model_block_sum, model_words, 256)
{
    __shared__ uint32_t sums[256];
    const unsigned i = threadIdx.x;
    sums[i] = i < args.count ? args.in[i] : 0;
    __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (i < half)
            sums[i] += sums[i + half];
        __syncthreads();
    }
    if (i == 0)
        args.out[blockIdx.x] = sums[0];
}

/* The first thread reads what the last one wrote, without a barrier: right in one order of the threads alone. */
KERNEL(model_lacks_a_barrier, model_words, 256)
{
    __shared__ uint32_t words[256];
    words[threadIdx.x] = threadIdx.x;
    args.out[threadIdx.x] = words[(threadIdx.x + 1) % blockDim.x];
}

/* Threads of `count` and more end at once; the others turn their words round the block count times. */
KERNEL(model_some_end, model_words, 256)
{
    DYNAMIC_SHARED(uint32_t, words);
    if (threadIdx.x >= args.count)
        return;
    words[threadIdx.x] = args.in[threadIdx.x];
    __syncthreads();
    for (uint32_t turn = 0; turn < args.count; turn++) {
        const uint32_t next = words[(threadIdx.x + 1) % args.count];
        __syncthreads();
        words[threadIdx.x] = next + 1;
        __syncthreads();
    }
    args.out[threadIdx.x] = words[threadIdx.x];
}

/* Each block of a cluster brings half of in [64] to both; a block writes what it then has. */
KERNEL_CLUSTER(model_cluster, model_words, 64, 2)
{
    DYNAMIC_SHARED(uint64_t, barrier);
    uint32_t *words = reinterpret_cast<uint32_t *>(barrier + 2);
    if (threadIdx.x == 0) {
        barrier_make(barrier, 1 + 2 * 64);
        barriers_are_made();
    }
    arrive_at_cluster();
    wait_for_cluster();
    if (threadIdx.x == 0) {
        barrier_arrive_with(barrier, 64 * 4);
        copy_bulk_to_all<2>(words + 32 * cluster_rank(), args.in + 32 * cluster_rank(), 32 * 4, barrier);
    }
    barrier_arrive_at(barrier, 0);
    barrier_arrive_at(barrier, 1);
    barrier_wait(barrier, 0);
    args.out[(blockIdx.y * gridDim.x + blockIdx.x) * 64 + threadIdx.x] = words[threadIdx.x];
    arrive_at_cluster();
    wait_for_cluster();
}

/* Lanes of `count` and more end; the others go on with the whole warp's mask. */
KERNEL(model_lanes_end, model_words, 32)
{
    if (threadIdx.x >= args.count)
        return;
    const uint32_t word = args.in[threadIdx.x];
    args.out[threadIdx.x] = __shfl_sync(~0u, word, 1);
    args.out[32 + threadIdx.x] = __reduce_add_sync(~0u, word);
    args.out[64 + threadIdx.x] = __shfl_sync(~0u, word, 31);
}

/* What a block finds in shared memory that it has not written. */
KERNEL(model_looks_at_shared, model_words, 32)
{
    __shared__ uint32_t fixed[32];
    DYNAMIC_SHARED(uint32_t, dynamic);
    const unsigned at = blockIdx.x * 64 + threadIdx.x;
    args.out[at] = fixed[threadIdx.x];
    args.out[at + 32] = dynamic[threadIdx.x];
    fixed[threadIdx.x] = dynamic[threadIdx.x] = at;
}

/* out [rows][32]: what each lane gets, of the word in[lane] and of 64 bits made of it. */
KERNEL(model_shuffles, model_words, 32)
{
    const unsigned lane = threadIdx.x;
    const uint32_t word = args.in[lane];
    const uint64_t both = (uint64_t)word << 32 | lane;
    uint32_t *out = args.out + lane;
    out[0] = __shfl_sync(~0u, word, (int)(lane * 7 + 3));
    out[32] = __shfl_sync(~0u, word, (int)lane + 1, 8);
    out[64] = __shfl_xor_sync(~0u, word, 9);
    out[96] = __shfl_xor_sync(~0u, word, 12, 8);
    out[128] = __shfl_up_sync(~0u, word, 5);
    out[160] = __shfl_up_sync(~0u, word, 3, 16);
    out[192] = __shfl_down_sync(~0u, word, 5);
    out[224] = __shfl_down_sync(~0u, word, 3, 4);
    out[256] = (uint32_t)__shfl_xor_sync(~0u, both, 1);
    out[288] = (uint32_t)(__shfl_xor_sync(~0u, both, 1) >> 32);
    out[320] = bits_of(__shfl_sync(~0u, float_of(word), 31 - (int)lane));
}

KERNEL(model_votes, model_words, 32)
{
    const uint32_t word = args.in[threadIdx.x];
    uint32_t *out = args.out + threadIdx.x;
    out[0] = __ballot_sync(~0u, word & 1);
    out[32] = (uint32_t)__any_sync(~0u, word == args.in[7]);
    out[64] = (uint32_t)__all_sync(~0u, word != args.in[7] + 1);
    out[96] = __reduce_add_sync(~0u, word);
    out[128] = __reduce_min_sync(~0u, word);
    out[160] = (uint32_t)__reduce_min_sync(~0u, (int)word);
    out[192] = __reduce_max_sync(~0u, word);
    out[224] = (uint32_t)__reduce_max_sync(~0u, (int)word);
    out[256] = __reduce_and_sync(~0u, word);
    out[288] = __reduce_or_sync(~0u, word);
    out[320] = __reduce_xor_sync(~0u, word);
}

/* Even and odd lanes go their own ways, one of them more often, and meet again. */
KERNEL(model_two_masks, model_words, 32)
{
    const unsigned lane = threadIdx.x;
    const uint32_t mask = lane % 2 ? 0xAAAAAAAAu : 0x55555555u;
    uint32_t word = args.in[lane];
    for (unsigned i = 0; i < (lane % 2 ? 5u : 2u); i++)
        word += __shfl_sync(mask, word, (int)((lane + 2) % 32));
    __syncwarp();
    args.out[lane] = __shfl_xor_sync(~0u, word, 1);
}

/* All threads of all blocks: out[0] sum, [1] largest, [2] smallest, [3] or, [4] by compare and swap, [5] last of an
 * exchange, [6] sum as int, [7] sum of floats, [8, 9] sum of 64 bits. */
KERNEL(model_atomics, model_words, 256)
{
    const uint32_t word = args.in[threadIdx.x];
    atomicAdd(&args.out[0], word);
    atomicMax(&args.out[1], word);
    atomicMin(&args.out[2], word);
    atomicOr(&args.out[3], word);
    for (uint32_t seen = args.out[4], before = 0;; seen = before) {
        before = atomicCAS(&args.out[4], seen, seen * 3 + 1);
        if (before == seen)
            break;
    }
    atomicExch(&args.out[5], word);
    atomicAdd(reinterpret_cast<int *>(&args.out[6]), (int)word);
    atomicAdd(reinterpret_cast<float *>(&args.out[7]), (float)(word % 16));
    atomicAdd(reinterpret_cast<unsigned long long *>(&args.out[8]), (unsigned long long)word << 8);
}

KERNEL(model_mma, model_product, 32)
{
    const int g = threadIdx.x / 4;
    const int k = threadIdx.x % 4 * 2;
    float c[4] = {args.c[g * 8 + k], args.c[g * 8 + k + 1], args.c[(g + 8) * 8 + k], args.c[(g + 8) * 8 + k + 1]};
    uint32_t a[4];
    uint32_t b[2];
    for (int i = 0; i < 4; i++) {
        const uint16_t *at = &args.a[(g + i % 2 * 8) * 16 + k + i / 2 * 8];
        a[i] = at[0] | (uint32_t)at[1] << 16;
    }
    for (int i = 0; i < 2; i++)
        b[i] = args.b[(k + i * 8) * 8 + g] | (uint32_t)args.b[(k + i * 8 + 1) * 8 + g] << 16;
    if (args.f16)
        mma_f16(c, a, b[0], b[1]);
    else
        mma_bf16(c, a, b[0], b[1]);
    args.c[g * 8 + k] = c[0];
    args.c[g * 8 + k + 1] = c[1];
    args.c[(g + 8) * 8 + k] = c[2];
    args.c[(g + 8) * 8 + k + 1] = c[3];
}

/* in: the bits of floats. out [i]: as f16, then as bf16 16 bits higher. */
KERNEL(model_to_half, model_words, 256)
{
    const uint64_t i = (uint64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < args.count)
        args.out[i] = f32_to_f16(float_of(args.in[i])) | (uint32_t)f32_to_bf16(float_of(args.in[i])) << 16;
}

/* out [i]: the bits of f16 i, [65536 + i]: of bf16 i. */
KERNEL(model_from_half, model_words, 256)
{
    const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
    args.out[i] = bits_of(f16_to_f32((uint16_t)i));
    args.out[65536 + i] = bits_of(bf16_to_f32((uint16_t)i));
}

/* out [3][32]: sums, maxima, loads. */
KERNEL(model_vocabulary, model_floats, 32)
{
    const unsigned lane = threadIdx.x;
    args.out[lane] = warp_sum(args.in[lane]);
    args.out[32 + lane] = warp_max(args.in[lane]);
    const uint4 four = load_once(reinterpret_cast<const uint4 *>(args.in) + lane / 4);
    const uint2 two = load_once(reinterpret_cast<const uint2 *>(args.in) + lane / 2);
    const uint32_t one = load_once(reinterpret_cast<const uint32_t *>(args.in) + lane);
    const uint32_t of_four = lane % 4 == 0 ? four.x : lane % 4 == 1 ? four.y : lane % 4 == 2 ? four.z : four.w;
    const bool same = of_four == one && (lane % 2 ? two.y : two.x) == one;
    args.out[64 + lane] = same ? float_of(one) : -1.0f;
}

/* out [i] = in [i] - in [count + i], pairs of bf16. */
KERNEL(model_differences, model_words, 256)
{
    const uint32_t i = threadIdx.x;
    args.out[i] = subtract_bf16(args.in[i], args.in[args.count + i]);
}

DEVICE int deeper(volatile int *above)
{
    volatile int here[256];
    here[0] = *above + 1;
    return here[0] > 0 ? deeper(here) + here[1] : 0;
}

KERNEL(model_makes_mistakes, model_mistake, 64)
{
    DYNAMIC_SHARED(uint32_t, words);
    const bool wrong = threadIdx.x == 37 && blockIdx.x == 2;
    volatile int zero = 0;
    uint32_t got = 0;
    wait_for_previous();
    let_next_begin();
    if (!wrong) {
        if (args.kind == MODEL_LANE_MISSES_SHUFFLE || args.kind == MODEL_OTHER_OPERATION)
            got = __shfl_sync(~0u, threadIdx.x, 0);
        __syncthreads();
    } else {
        switch (args.kind) {
        case MODEL_BARRIER_AND_SHUFFLE:
            got = __shfl_sync(~0u, got, 0);
            break;
        case MODEL_OTHER_OPERATION:
            __syncwarp();
            break;
        case MODEL_OUTSIDE_ITS_MASK:
            got = __ballot_sync(1u, 1);
            break;
        case MODEL_MISALIGNED:
            got =
                load_once(reinterpret_cast<const uint4 *>((reinterpret_cast<uintptr_t>(args.out) & ~(uintptr_t)15) + 8))
                    .x;
            break;
        case MODEL_SHARED_READ_BEHIND:
            got = words[32];
            break;
        case MODEL_SHARED_WRITE_BEHIND:
            reinterpret_cast<volatile uint8_t *>(words)[100] = 1;
            break;
        case MODEL_SHARED_WRITE_BEFORE:
            reinterpret_cast<volatile uint8_t *>(words)[-1] = 1;
            break;
        case MODEL_NULL_POINTER:
            got = *reinterpret_cast<volatile uint32_t *>((uintptr_t)zero + 16);
            break;
        case MODEL_ENDLESS_STACK:
            got = (uint32_t)deeper(&zero);
            break;
        case MODEL_TRAP:
            __trap();
            break;
        default:
            break;
        }
        __syncthreads();
    }
    args.out[blockIdx.x * blockDim.x + threadIdx.x] = got;
}
