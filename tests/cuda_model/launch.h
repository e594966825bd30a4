/* Kernels run on the host, one by one, for tests in C: the model of a device that the stub driver launches on too.
 *
 *     scale_args args = {…};
 *     CUDA_MODEL_RUN("scale", 4, 128, 0, &args);
 *
 * Memory is the host's: whatever pointers stand in the arguments. Launches of several host threads take turns. */
#ifndef CUDA_MODEL_LAUNCH_H
#define CUDA_MODEL_LAUNCH_H

#include <stdbool.h>

#include "runtime.h"

#define CUDA_MODEL_EXPORT __attribute__((visibility("default")))

enum {
    CUDA_MODEL_MOST_THREADS = 1024,
    CUDA_MODEL_MOST_CLUSTER = 2,
    CUDA_MODEL_MOST_SHARED = 232448, /* 227 KiB, as on compute capability 9.0 */
};

/* False where no C++ compiler was there to build the kernels with: tests that need them skip. */
CUDA_MODEL_EXPORT bool cuda_model_has_kernels(void);

/* The kernel of that name; NULL: there is none. */
CUDA_MODEL_EXPORT const cuda_model_kernel *cuda_model_find(const char *name);

/* Runs the kernel to its end: `blocks` blocks, each of `threads` threads and with shared_bytes of dynamic shared
 * memory, all 0xFF at first. args: the kernel's struct, args_bytes its size.
 *
 * NULL: it ran. Otherwise what was wrong, with kernel, block and thread: no such kernel, a limit that is passed,
 * threads of which none can go on, shared memory that is overrun, an address that is nobody's. The text stays until the
 * next launch. What the kernel wrote until then stays written. */
CUDA_MODEL_EXPORT const char *cuda_model_launch(const char *name, unsigned blocks, unsigned threads,
                                                size_t shared_bytes, const void *args, size_t args_bytes);

/* The same, with a grid of up to three dimensions and a kernel that was found. */
CUDA_MODEL_EXPORT const char *cuda_model_launch_grid(const cuda_model_kernel *kernel, cuda_model_index grid,
                                                     unsigned threads, size_t shared_bytes, const void *args);

/* What a device would refuse about this launch, in words; NULL: nothing. */
CUDA_MODEL_EXPORT const char *cuda_model_refusal(const cuda_model_kernel *kernel, cuda_model_index grid,
                                                 unsigned threads, size_t shared_bytes);

/* From now on blocks, warps and lanes run from the last to the first: a kernel that lacks a barrier and by luck works
 * in one order does not in the other. */
CUDA_MODEL_EXPORT void cuda_model_run_backwards(bool backwards);

/* Run a kernel in a cmocka test, which fails where the launch does. */
#define CUDA_MODEL_RUN(name, blocks, threads, shared_bytes, args)                                                      \
    do {                                                                                                               \
        const char *const fault_ =                                                                                     \
            cuda_model_launch((name), (blocks), (threads), (shared_bytes), (args), sizeof *(args));                    \
        if (fault_)                                                                                                    \
            fail_msg("%s", fault_);                                                                                    \
    } while (0)

#endif
