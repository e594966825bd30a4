/* What a kernel over the model calls: its block, its warp, its place. Read by C and, through cuda_model.h, by kernels.
 *
 * A thread of a block is a fiber. It runs until it has to wait for others, so that whatever a kernel does between two
 * such places is one piece, and atomics are plain arithmetic. */
#ifndef CUDA_MODEL_RUNTIME_H
#define CUDA_MODEL_RUNTIME_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cuda_model_index {
    unsigned x, y, z;
} cuda_model_index;

/* A kernel as KERNEL defines it; the list of them is made before main. */
typedef struct cuda_model_kernel {
    const char *name;
    void (*run)(const void *args);
    size_t args_bytes;
    unsigned most_threads; /* of a block */
    unsigned cluster;      /* blocks, neighbours in y, that run together */
    struct cuda_model_kernel *next;
} cuda_model_kernel;

void cuda_model_register(cuda_model_kernel *kernel);

/* The thread that runs now, and its launch. CUDA's own names, because kernels use them. */
extern cuda_model_index threadIdx, blockIdx, blockDim, gridDim;

/* The block's dynamic shared memory. What lies behind its end is not to be touched. */
void *cuda_model_dynamic_shared(void);

/* The launch ends here with this message, to which kernel, block and thread are added. */
__attribute__((noreturn, format(printf, 1, 2))) void cuda_model_fault(const char *format, ...);

/* __syncthreads: threads that have ended do not count. */
void cuda_model_sync_block(void);

/* What the lanes of a mask do together. All of them must come with the same mask and the same operation; lanes that
 * have ended do not count. A value read from a lane that does not take part is all ones. */
void cuda_model_sync_warp(uint32_t mask);
uint64_t cuda_model_shuffle(uint32_t mask, uint64_t value, unsigned source_lane);

typedef enum cuda_model_reduction {
    CUDA_MODEL_BALLOT, /* bit i: lane i's value is not 0 */
    CUDA_MODEL_ADD,
    CUDA_MODEL_MIN,
    CUDA_MODEL_MAX,
    CUDA_MODEL_MIN_SIGNED,
    CUDA_MODEL_MAX_SIGNED,
    CUDA_MODEL_AND,
    CUDA_MODEL_OR,
    CUDA_MODEL_XOR,
} cuda_model_reduction;

uint32_t cuda_model_reduce(cuda_model_reduction what, uint32_t mask, uint32_t value);

typedef enum cuda_model_number { CUDA_MODEL_BF16, CUDA_MODEL_F16 } cuda_model_number;

/* c [4] += a [4] * (b0, b1), in the fragments of mma.sync m16n8k16, of numbers of that kind; products are exact, sums
 * in float32 over k from 0. */
void cuda_model_mma(float *c, const uint32_t *a, uint32_t b0, uint32_t b1, cuda_model_number kind);

/* The same in integers, in those of m16n8k32: a's bytes are unsigned, b's signed. */
void cuda_model_mma_bytes(int *c, const uint32_t *a, uint32_t b0, uint32_t b1);

/* c [columns / 2] = a [4] * step `step` of b, in the fragments of wgmma m64nNk16, added to c if `add`: the part of one
 * warp, all of whose lanes come. b is in shared memory as device.cuh's multiply_group has it. */
void cuda_model_group_product(float *c, const uint32_t *a, const uint8_t *b, int columns, int step, int add);

/* Barriers in shared memory, as device.cuh describes them: 64 bits that say how many have to arrive yet and how many
 * bytes to come. Copies are done when they are asked for. */
void cuda_model_barrier_make(uint64_t *barrier, int arrivals);
void cuda_model_barrier_arrive(uint64_t *barrier, uint32_t announced_bytes);
void cuda_model_barrier_bytes(uint64_t *barrier, uint32_t bytes);
void cuda_model_barrier_wait(const uint64_t *barrier, int parity);
/* `wanted` threads, whole warps, wait for each other. */
void cuda_model_sync_some(int number, int wanted);

/* Blocks of a cluster: which one of it this is, where something in its dynamic shared memory lies in that of block
 * `rank`, and all of their threads: each comes as often as it waits. */
unsigned cuda_model_cluster_rank(void);
void *cuda_model_in_block(void *shared, unsigned rank);
void cuda_model_cluster_arrive(void);
void cuda_model_cluster_wait(void);

#ifdef __cplusplus
}
#endif

#endif
