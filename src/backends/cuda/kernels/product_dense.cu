/* Products with numbers as they are. */
#include "product_kernels.cuh"

PRODUCTS(FFAI__CUDA_BF16, 1, bf16)
PRODUCTS(FFAI__CUDA_F16, 1, f16)
PRODUCTS(FFAI__CUDA_F32, 1, f32)
