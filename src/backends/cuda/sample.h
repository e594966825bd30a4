/* What the host knows of the kernels that draw tokens (kernels/sample.cu). */
#ifndef FFAI_CUDA_SAMPLE_H
#define FFAI_CUDA_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/args.h"
#include "step.h"

/* Bytes of a row's scratch, ffai__cuda_sample_args.scratch_stride: a multiple of 256. */
size_t ffai__cuda_sample_scratch_bytes(int64_t vocab_size);

/* A grid for each of the kernels in steps of up to max_outputs output rows. */
unsigned ffai__cuda_sample_blocks(int64_t vocab_size, int32_t max_outputs);

/* Dynamic shared memory of sample_best, and of each of the other two. */
#define FFAI__CUDA_SAMPLE_BEST_SHARED_BYTES offsetof(ffai__cuda_sample_shared, bins)
#define FFAI__CUDA_SAMPLE_SHARED_BYTES      sizeof(ffai__cuda_sample_shared)

/* draws [R] from the step's, which are there. True: all rows take the largest logit as it is, so that sample_best alone
 * is enough; false: all three kernels are needed. */
bool ffai__cuda_draws_fill(ffai__cuda_draw *draws, const ffai__step *step);

#endif
