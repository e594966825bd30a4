/* Template: the members of a tier's ffai__kernels. */
#define KERNEL(name, parameters, text) .name = (name),
#define STORE_KERNEL(name, parameters, text)                                                                           \
    .name = {[FFAI__STORE_BF16] = name##_bf16, [FFAI__STORE_F16] = name##_f16, [FFAI__STORE_F32] = name##_f32},
#include "kernels.def"
