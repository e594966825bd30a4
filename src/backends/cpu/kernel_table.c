#include "kernels/kernel_table.h"

const ffai__kernels *ffai__kernels_of(ffai__isa isa)
{
    static const ffai__kernels *const tables[FFAI__ISA_COUNT] = {
        [FFAI__ISA_SCALAR] = &ffai__kernels_scalar,
#if defined(__x86_64__)
        [FFAI__ISA_AVX2] = &ffai__kernels_avx2,
        [FFAI__ISA_AVX512] = &ffai__kernels_avx512,
        [FFAI__ISA_AMX] = &ffai__kernels_avx512,
#elif defined(__aarch64__)
        [FFAI__ISA_NEON] = &ffai__kernels_neon,
#endif
    };
    return tables[isa] ? tables[isa] : &ffai__kernels_scalar;
}
