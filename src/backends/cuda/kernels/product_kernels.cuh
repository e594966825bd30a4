/* The kernels of a format: product_row_NAME and product_rows_NAME. */
#ifndef FFAI_CUDA_PRODUCT_KERNELS_CUH
#define FFAI_CUDA_PRODUCT_KERNELS_CUH

#include "product_rows.cuh"

#define PRODUCTS(format, subgroups, name)                                                                              \
    KERNEL(product_row_##name, ffai__cuda_product_row_args, ROW_THREADS)                                               \
    {                                                                                                                  \
        product_row<format, subgroups>(args);                                                                          \
    }                                                                                                                  \
    KERNEL(product_rows_##name, ffai__cuda_product_rows_args, ROW_THREADS)                                             \
    {                                                                                                                  \
        product_rows<format, subgroups>(args);                                                                         \
    }

#endif
