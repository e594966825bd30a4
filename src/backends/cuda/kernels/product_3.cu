/* Products with codes of 3 bits. */
#include "product_kernels.cuh"

PRODUCTS(3, 1, 3_1)
PRODUCTS(3, 2, 3_2)
PRODUCTS(3, 4, 3_4)
