/* The kernels of one device: found by name in the images that are linked into the binary. */
#ifndef FFAI_CUDA_KERNELS_H
#define FFAI_CUDA_KERNELS_H

#include <stdbool.h>

#include "cuda_driver.h"

typedef enum ffai__cuda_kernel {
#define KERNEL(file, name) FFAI__CUDA_KERNEL_##name,
#include "kernels/kernels.def"
#undef KERNEL
    FFAI__CUDA_KERNEL_COUNT
} ffai__cuda_kernel;

enum {
    FFAI__CUDA_MOST_IMAGES = 64,
    FFAI__CUDA_STATIC_SHARED_BYTES = 1024 /* no kernel that takes dynamic shared memory has more of the static kind */
};

typedef struct ffai__cuda_kernels {
    ffai__cuda_module modules[FFAI__CUDA_MOST_IMAGES];
    size_t num_modules;
    ffai__cuda_function functions[FFAI__CUDA_KERNEL_COUNT];
} ffai__cuda_kernels;

/* Whether a kernel is launched with dynamic shared memory, and may want more than the 48 KiB that all get. */
bool ffai__cuda_takes_shared(ffai__cuda_kernel kernel);

/* Load the images into the current context. What was loaded before a failure stays for ffai__cuda_kernels_unload.
 * FFAI_E_UNSUPPORTED if this build has none, or none for a device like this; shared_bytes: what a block may have. */
ffai_status ffai__cuda_kernels_load(ffai__cuda_kernels *kernels, const ffai__cuda_driver *driver, int shared_bytes,
                                    ffai_error *err);
void ffai__cuda_kernels_unload(ffai__cuda_kernels *kernels, const ffai__cuda_driver *driver);

#endif
