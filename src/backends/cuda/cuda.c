#include "cuda.h"

static ffai_status cuda_load(ffai__plan **out, const ffai__program *program, const ffai__plan_options *options,
                             ffai_error *err)
{
    (void)out;
    (void)program;
    (void)options;
    return ffai__fail(err, FFAI_E_UNSUPPORTED, "cuda: this build has no kernels for NVIDIA's devices");
}

const ffai__backend ffai__backend_cuda = {
    .name = "cuda",
    .load = cuda_load,
};
