/* Products with codes of 5 bits. */
#include "product_kernels.cuh"

PRODUCTS(5, 1, 5_1)
PRODUCTS(5, 2, 5_2)
PRODUCTS(5, 4, 5_4)
