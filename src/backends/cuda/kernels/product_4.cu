/* Products with codes of 4 bits. */
#include "product_kernels.cuh"

PRODUCTS(4, 1, 4_1)
PRODUCTS(4, 2, 4_2)
PRODUCTS(4, 4, 4_4)
