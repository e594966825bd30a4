/* The kernels of a format: product_row_NAME with inputs of one piece, product_row_fine_NAME of two,
 * product_row_whole_NAME of three; product_few_NAME with one and product_few_fine_NAME with more, product_group
 * likewise; product_many_NAME; product_wgmma_NAME and product_wgmma_fine_NAME with one and two. */
#ifndef FFAI_CUDA_PRODUCT_KERNELS_CUH
#define FFAI_CUDA_PRODUCT_KERNELS_CUH

#include "product_group.cuh"
#include "product_many.cuh"
#include "product_wgmma.cuh"

enum { ROW_BESIDE = 2 }; /* blocks of product_row that a multiprocessor has room for */

#define PRODUCTS(format, subgroups, name)                                                                              \
    KERNEL_BESIDE(product_row_##name, ffai__cuda_product_row_args, ROW_THREADS, ROW_BESIDE)                            \
    {                                                                                                                  \
        product_row<format, subgroups, 1>(args);                                                                       \
    }                                                                                                                  \
    KERNEL_BESIDE(product_row_fine_##name, ffai__cuda_product_row_args, ROW_THREADS, ROW_BESIDE)                       \
    {                                                                                                                  \
        product_row<format, subgroups, 2>(args);                                                                       \
    }                                                                                                                  \
    KERNEL(product_row_whole_##name, ffai__cuda_product_row_args, ROW_THREADS)                                         \
    {                                                                                                                  \
        product_row<format, subgroups, 3>(args);                                                                       \
    }                                                                                                                  \
    KERNEL_BESIDE(product_few_##name, ffai__cuda_product_few_args, FEW_THREADS, 1)                                     \
    {                                                                                                                  \
        product_few<format, subgroups, true>(args);                                                                    \
    }                                                                                                                  \
    KERNEL_BESIDE(product_few_fine_##name, ffai__cuda_product_few_args, FEW_THREADS, 1)                                \
    {                                                                                                                  \
        product_few<format, subgroups, false>(args);                                                                   \
    }                                                                                                                  \
    KERNEL_BESIDE(product_group_##name, ffai__cuda_product_few_args, FEW_THREADS, 1)                                   \
    {                                                                                                                  \
        product_group<format, subgroups, true>(args);                                                                  \
    }                                                                                                                  \
    KERNEL_BESIDE(product_group_fine_##name, ffai__cuda_product_few_args, FEW_THREADS, 1)                              \
    {                                                                                                                  \
        product_group<format, subgroups, false>(args);                                                                 \
    }                                                                                                                  \
    KERNEL(product_many_##name, ffai__cuda_product_rows_args, MANY_THREADS)                                            \
    {                                                                                                                  \
        product_many<format, subgroups>(args);                                                                         \
    }                                                                                                                  \
    KERNEL_CLUSTER(product_wgmma_##name, ffai__cuda_product_wgmma_args, WGMMA_THREADS, WGMMA_CLUSTER)                  \
    {                                                                                                                  \
        product_wgmma<format, subgroups, 1>(args);                                                                     \
    }                                                                                                                  \
    KERNEL_CLUSTER(product_wgmma_fine_##name, ffai__cuda_product_wgmma_args, WGMMA_THREADS, WGMMA_CLUSTER)             \
    {                                                                                                                  \
        product_wgmma<format, subgroups, 2>(args);                                                                     \
    }

#endif
