#ifndef FFAI_CUDA_SAMPLE_H
#define FFAI_CUDA_SAMPLE_H
#include <stdint.h>
static inline int64_t ffai__cuda_sample_scratch_bytes(int64_t vocab_size)
{
    return (vocab_size * 8 + 65536) / 256 * 256;
}
#endif
