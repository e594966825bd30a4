/* Products with codes of 8 bits. */
#include "product_kernels.cuh"

PRODUCTS(8, 1, 8_1)
PRODUCTS(8, 2, 8_2)
PRODUCTS(8, 4, 8_4)
