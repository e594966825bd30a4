/* What a kernel asks of the step that it is in. */
#ifndef FFAI_CUDA_STEP_CUH
#define FFAI_CUDA_STEP_CUH

#include "args.h"
#include "device.cuh"

/* R or T, see args.h. */
DEVICE int64_t rows_of(const ffai__cuda_step &step, int32_t of_outputs)
{
    return of_outputs ? step.sizes->num_outputs : step.sizes->num_rows;
}

#endif
