/* Products with codes of 6 bits. */
#include "product_kernels.cuh"

PRODUCTS(6, 1, 6_1)
PRODUCTS(6, 2, 6_2)
PRODUCTS(6, 4, 6_4)
