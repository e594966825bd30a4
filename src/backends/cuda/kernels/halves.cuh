/* Numbers of 16 bits in stores, f16 or bf16, as tensor cores multiply them. */
#ifndef FFAI_CUDA_HALVES_CUH
#define FFAI_CUDA_HALVES_CUH

#include "pages.cuh"

template <int FORMAT> DEVICE uint16_t narrow(float value)
{
    return FORMAT == STORE_F16 ? f32_to_f16(value) : f32_to_bf16(value);
}

template <int FORMAT> DEVICE float widen(uint16_t bits)
{
    return FORMAT == STORE_F16 ? f16_to_f32(bits) : bf16_to_f32(bits);
}

template <int FORMAT> DEVICE uint32_t pair_of(float low, float high)
{
    return FORMAT == STORE_F16 ? f16_pair(low, high) : bf16_pair(low, high);
}

/* Two numbers as a pair and what the pair lacks. */
template <int FORMAT> DEVICE void split_pair(uint32_t &high, uint32_t &low, float x, float y)
{
    const uint16_t x_high = narrow<FORMAT>(x);
    const uint16_t y_high = narrow<FORMAT>(y);
    high = x_high | (uint32_t)y_high << 16;
    low = narrow<FORMAT>(x - widen<FORMAT>(x_high)) | (uint32_t)narrow<FORMAT>(y - widen<FORMAT>(y_high)) << 16;
}

template <int FORMAT> DEVICE void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    if constexpr (FORMAT == STORE_F16)
        mma_f16(c, a, b0, b1);
    else
        mma_bf16(c, a, b0, b1);
}

#endif
