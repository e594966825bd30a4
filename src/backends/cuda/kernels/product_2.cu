/* Products with codes of 2 bits. */
#include "product_kernels.cuh"

PRODUCTS(2, 1, 2_1)
PRODUCTS(2, 2, 2_2)
PRODUCTS(2, 4, 2_4)
