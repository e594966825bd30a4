#include "kernels/kernel_table.h"

const ffai__kernels *ffai__kernels_of(ffai__isa isa)
{
#if defined(__x86_64__)
    if (isa == FFAI__ISA_AVX2)
        return &ffai__kernels_avx2;
    if (isa == FFAI__ISA_AVX512)
        return &ffai__kernels_avx512;
#endif
    (void)isa;
    return &ffai__kernels_scalar;
}
