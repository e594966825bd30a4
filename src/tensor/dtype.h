/* Element types of stored tensors, and their conversion to float32. */
#ifndef FFAI_TENSOR_DTYPE_H
#define FFAI_TENSOR_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* X(name as safetensors spells it, bytes an element) */
#define FFAI__DTYPE_LIST(X)                                                                                            \
    X(F64, 8)                                                                                                          \
    X(F32, 4)                                                                                                          \
    X(F16, 2)                                                                                                          \
    X(BF16, 2)                                                                                                         \
    X(I64, 8)                                                                                                          \
    X(U64, 8)                                                                                                          \
    X(I32, 4)                                                                                                          \
    X(U32, 4)                                                                                                          \
    X(I16, 2)                                                                                                          \
    X(U16, 2)                                                                                                          \
    X(I8, 1)                                                                                                           \
    X(U8, 1)                                                                                                           \
    X(BOOL, 1)

typedef enum ffai__dtype {
#define FFAI__DTYPE_ENUM(name, bytes) FFAI__##name,
    FFAI__DTYPE_LIST(FFAI__DTYPE_ENUM)
#undef FFAI__DTYPE_ENUM
        FFAI__DTYPE_COUNT
} ffai__dtype;

const char *ffai__dtype_name(ffai__dtype dtype);
size_t ffai__dtype_size(ffai__dtype dtype);
/* False if no dtype has this name (of length bytes). */
bool ffai__dtype_find(ffai__dtype *dtype, const char *name, size_t length);
/* f32, f16, bf16: what weights are computed with as they are stored. */
bool ffai__dtype_is_float(ffai__dtype dtype);

static inline float ffai__bf16_to_f32(uint16_t half)
{
    const uint32_t bits = (uint32_t)half << 16;
    float value = 0;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Round to nearest, ties to even; NaN stays NaN. */
static inline uint16_t ffai__f32_to_bf16(float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u)
        return (uint16_t)((bits >> 16) | 0x40u);
    return (uint16_t)((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

#define FFAI__F16_MOST 65504.0f /* the largest finite number */

/* Without a branch, so that loops become vectors. The biases of the exponents differ by 112: a product with 2^112 is
 * exact, of subnormal numbers too. */
static inline float ffai__f16_to_f32(uint16_t half)
{
    const uint32_t magnitude = half & 0x7FFFu;
    const uint32_t infinite = 0u - ((magnitude + 0x400u) >> 15); /* or not a number: all ones */
    uint32_t bits = magnitude << 13;
    float value = 0;
    memcpy(&value, &bits, sizeof value);
    value *= 0x1p112f;
    memcpy(&bits, &value, sizeof bits);
    bits |= (infinite & 0x7F800000u) | (uint32_t)(half >> 15) << 31;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint16_t ffai__f32_to_f16(float value); /* nearest, ties to even; overflow gives infinity */

/* Read count elements of a float dtype (F64 too) at data, which may be unaligned, into float32. */
void ffai__to_f32(float *out, const void *data, ffai__dtype dtype, size_t count);
/* Write count floats as dtype (F32, F16 or BF16), rounding to nearest. */
void ffai__from_f32(void *out, ffai__dtype dtype, const float *values, size_t count);

#endif
