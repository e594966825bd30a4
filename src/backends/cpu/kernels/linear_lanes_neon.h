/* The vocabulary of linear_affine.h and linear_dense.h in Advanced SIMD: 16 lanes are four registers. Dot products
 * apart, which differ from variant to variant. */
#ifndef FFAI_LINEAR_LANES_NEON_H
#define FFAI_LINEAR_LANES_NEON_H

#include <arm_neon.h>

#include "linear_kernels.h"

enum { PARTS = 4 };

/* A sum of 16 rows takes eight registers of the 32: two input rows at once, and no need for sums to take turns. */
#define DOT_ROWS  2
#define DOT_TURNS 1

typedef struct lanes_u {
    uint8x16_t part[PARTS];
} lanes_u;

typedef struct lanes_f {
    float32x4_t part[PARTS];
} lanes_f;

// NOLINTNEXTLINE(bugprone-macro-parentheses): a name that is declared takes no parentheses
#define EACH_PART(p) UNROLL for (int p = 0; p < PARTS; p++)

FFAI__ALWAYS_INLINE lanes_u u_load(const void *at)
{
    const uint8_t *bytes = at;
    lanes_u a;
    EACH_PART(p)
    a.part[p] = vld1q_u8(bytes + 16 * p);
    return a;
}

FFAI__ALWAYS_INLINE void u_store(void *at, lanes_u a)
{
    uint8_t *bytes = at;
    EACH_PART(p)
    vst1q_u8(bytes + 16 * p, a.part[p]);
}

/* Immediate operands must be constants, and n is one only after inlining. */
FFAI__ALWAYS_INLINE uint8x16_t shift_part(uint8x16_t a, int n)
{
    switch (n) {
    case 1:
        return vshrq_n_u8(a, 1);
    case 2:
        return vshrq_n_u8(a, 2);
    case 3:
        return vshrq_n_u8(a, 3);
    case 4:
        return vshrq_n_u8(a, 4);
    case 5:
        return vshrq_n_u8(a, 5);
    case 6:
        return vshrq_n_u8(a, 6);
    case 7:
        return vshrq_n_u8(a, 7);
    case -1:
        return vshlq_n_u8(a, 1);
    case -2:
        return vshlq_n_u8(a, 2);
    case -3:
        return vshlq_n_u8(a, 3);
    case -4:
        return vshlq_n_u8(a, 4);
    default:
        return a;
    }
}

#define SHIFTS_BYTES 1
FFAI__ALWAYS_INLINE lanes_u u_shift(lanes_u a, int n)
{
    EACH_PART(p)
    a.part[p] = shift_part(a.part[p], n);
    return a;
}

FFAI__ALWAYS_INLINE lanes_u u_and(lanes_u a, int mask)
{
    EACH_PART(p)
    a.part[p] = vandq_u8(a.part[p], vdupq_n_u8((uint8_t)mask));
    return a;
}

FFAI__ALWAYS_INLINE lanes_u u_select(int mask, lanes_u a, lanes_u b)
{
    EACH_PART(p)
    a.part[p] = vbslq_u8(vdupq_n_u8((uint8_t)mask), a.part[p], b.part[p]);
    return a;
}

FFAI__ALWAYS_INLINE uint32x4_t byte_part(uint32x4_t quad, int column)
{
    switch (column) {
    case 0:
        return vandq_u32(quad, vdupq_n_u32(255));
    case 1:
        return vandq_u32(vshrq_n_u32(quad, 8), vdupq_n_u32(255));
    case 2:
        return vandq_u32(vshrq_n_u32(quad, 16), vdupq_n_u32(255));
    default:
        return vshrq_n_u32(quad, 24);
    }
}

FFAI__ALWAYS_INLINE lanes_f u_byte(lanes_u quad, int column)
{
    lanes_f a;
    EACH_PART(p)
    a.part[p] = vcvtq_f32_u32(byte_part(vreinterpretq_u32_u8(quad.part[p]), column));
    return a;
}

FFAI__ALWAYS_INLINE lanes_f f_signed_bytes(lanes_b bytes)
{
    const int8x16_t all = (int8x16_t)bytes;
    const int16x8_t low = vmovl_s8(vget_low_s8(all));
    const int16x8_t high = vmovl_high_s8(all);
    return (lanes_f){{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_high_s16(low)),
                      vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_high_s16(high))}};
}

FFAI__ALWAYS_INLINE lanes_f u_bf16_low(lanes_u pairs)
{
    lanes_f a;
    EACH_PART(p)
    a.part[p] = vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_u8(pairs.part[p]), 16));
    return a;
}

FFAI__ALWAYS_INLINE lanes_f u_bf16_high(lanes_u pairs)
{
    lanes_f a;
    EACH_PART(p)
    a.part[p] = vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_u8(pairs.part[p]), vdupq_n_u32(0xFFFF0000u)));
    return a;
}

FFAI__ALWAYS_INLINE lanes_f f_set(float value)
{
    lanes_f a;
    EACH_PART(p)
    a.part[p] = vdupq_n_f32(value);
    return a;
}

FFAI__ALWAYS_INLINE lanes_f f_zero(void)
{
    return f_set(0.0f);
}

FFAI__ALWAYS_INLINE lanes_f f_load(const void *at)
{
    const float *values = at;
    lanes_f a;
    EACH_PART(p)
    a.part[p] = vld1q_f32(values + 4 * p);
    return a;
}

FFAI__ALWAYS_INLINE void f_store(float *at, lanes_f a)
{
    EACH_PART(p)
    vst1q_f32(at + 4 * p, a.part[p]);
}

FFAI__ALWAYS_INLINE lanes_f f_load_f16(const void *at)
{
    const uint16_t *values = at;
    lanes_f a;
    EACH_PART(p)
    a.part[p] = vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(values + 4 * p)));
    return a;
}

FFAI__ALWAYS_INLINE lanes_f f_load_bf16(const void *at)
{
    const uint16_t *values = at;
    lanes_f a;
    EACH_PART(p)
    a.part[p] = vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(values + 4 * p), 16));
    return a;
}

FFAI__ALWAYS_INLINE lanes_f f_add(lanes_f a, lanes_f b)
{
    EACH_PART(p)
    a.part[p] = vaddq_f32(a.part[p], b.part[p]);
    return a;
}

FFAI__ALWAYS_INLINE lanes_f f_mul(lanes_f a, lanes_f b)
{
    EACH_PART(p)
    a.part[p] = vmulq_f32(a.part[p], b.part[p]);
    return a;
}

FFAI__ALWAYS_INLINE lanes_f f_fma(lanes_f a, lanes_f b, lanes_f c)
{
    EACH_PART(p)
    c.part[p] = vfmaq_f32(c.part[p], a.part[p], b.part[p]);
    return c;
}

/* Halves added to each other until one lane is left, as on every tier. */
FFAI__ALWAYS_INLINE float f_reduce(lanes_f a)
{
    const float32x4_t four = vaddq_f32(vaddq_f32(a.part[0], a.part[2]), vaddq_f32(a.part[1], a.part[3]));
    const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

/* The largest |x| as its bits; a NaN is larger than all. */
FFAI__ALWAYS_INLINE uint32_t fixed_magnitude(const float *x, int count)
{
    uint32x4_t a = vdupq_n_u32(0);
    uint32x4_t b = a;
    for (int i = 0; i < count; i += 8) {
        a = vmaxq_u32(a, vreinterpretq_u32_f32(vabsq_f32(vld1q_f32(x + i))));
        b = vmaxq_u32(b, vreinterpretq_u32_f32(vabsq_f32(vld1q_f32(x + i + 4))));
    }
    return vmaxvq_u32(vmaxq_u32(a, b));
}

/* round(x * factor) of four. */
FFAI__ALWAYS_INLINE int32x4_t fixed_four(const float *x, float factor)
{
    return vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x), factor));
}

#endif
