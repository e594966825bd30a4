/* The kernels of a format: product_row_NAME with inputs of one piece, product_row_fine_NAME of two,
 * product_row_whole_NAME of three; product_rows_NAME and product_many_NAME. */
#ifndef FFAI_CUDA_PRODUCT_KERNELS_CUH
#define FFAI_CUDA_PRODUCT_KERNELS_CUH

#include "product_many.cuh"

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
    KERNEL(product_rows_##name, ffai__cuda_product_rows_args, ROWS_THREADS)                                            \
    {                                                                                                                  \
        product_rows<format, subgroups>(args);                                                                         \
    }                                                                                                                  \
    KERNEL(product_many_##name, ffai__cuda_product_rows_args, MANY_THREADS)                                            \
    {                                                                                                                  \
        product_many<format, subgroups>(args);                                                                         \
    }

#endif
