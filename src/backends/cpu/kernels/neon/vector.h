/* Four floats: what the kernel templates are written in, for Advanced SIMD. */
#ifndef FFAI_CPU_NEON_VECTOR_H
#define FFAI_CPU_NEON_VECTOR_H

#include <arm_neon.h>

typedef float32x4_t vec;

/* 24 sums of scores, or 16 of values, and four vectors of keys or values stay in the 32 registers. */
enum { LANES = 4, SCORE_QUERIES = 6, SCORE_VECTORS = 4, SUM_QUERIES = 4, SUM_VECTORS = 4 };

static inline vec vec_set(float x)
{
    return vdupq_n_f32(x);
}
static inline vec vec_load(const float *p)
{
    return vld1q_f32(p);
}
static inline void vec_store(float *p, vec a)
{
    vst1q_f32(p, a);
}
/* The first n lanes, 0 < n < LANES; the others are zero. */
static inline vec vec_load_part(const float *p, int64_t n)
{
    if (n == 1)
        return vsetq_lane_f32(p[0], vdupq_n_f32(0), 0);
    const vec two = vcombine_f32(vld1_f32(p), vdup_n_f32(0));
    return n == 2 ? two : vsetq_lane_f32(p[2], two, 2);
}
static inline void vec_store_part(float *p, vec a, int64_t n)
{
    if (n == 1) {
        vst1q_lane_f32(p, a, 0);
        return;
    }
    vst1_f32(p, vget_low_f32(a));
    if (n > 2)
        vst1q_lane_f32(p + 2, a, 2);
}
static inline vec vec_fma(vec a, vec b, vec c)
{
    return vfmaq_f32(c, a, b);
}
/* The greater; b where either is not a number. */
static inline vec vec_max(vec a, vec b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}
static inline vec vec_min(vec a, vec b)
{
    return vbslq_f32(vcltq_f32(a, b), a, b);
}
/* Lanes [begin, end) of a, the others from b. */
static inline vec vec_window(vec a, vec b, int begin, int end)
{
    const int32x4_t lane = {0, 1, 2, 3};
    const uint32x4_t inside = vandq_u32(vcgeq_s32(lane, vdupq_n_s32(begin)), vcltq_s32(lane, vdupq_n_s32(end)));
    return vbslq_f32(inside, a, b);
}
static inline vec vec_zero_below(vec a, vec x, float limit)
{
    return vreinterpretq_f32_u32(vbicq_u32(vreinterpretq_u32_f32(a), vcltq_f32(x, vdupq_n_f32(limit))));
}
/* 2^n for the integer n in the low bits of 1.5 * 2^23 + n. */
static inline vec vec_power_of_two(vec shifted)
{
    const uint32x4_t exponent = vshlq_n_u32(vreinterpretq_u32_f32(shifted), 23);
    return vreinterpretq_f32_u32(vaddq_u32(exponent, vdupq_n_u32(0x3F800000)));
}
static inline float vec_sum(vec a)
{
    const float32x2_t two = vadd_f32(vget_low_f32(a), vget_high_f32(a));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
/* Of lanes that are numbers. */
static inline float vec_greatest(vec a)
{
    return vmaxnmvq_f32(a);
}
static inline vec vec_load_bf16(const uint16_t *p)
{
    return vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16));
}
static inline vec vec_load_f16(const uint16_t *p)
{
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
/* Rounded to the nearest, ties to even; what is not a number keeps its upper bits. */
static inline void vec_store_bf16(uint16_t *p, vec a)
{
    const uint32x4_t bits = vreinterpretq_u32_f32(a);
    const uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    const uint32x4_t up = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7FFF)));
    const uint32x4_t quiet = vorrq_u32(bits, vdupq_n_u32(0x400000));
    vst1_u16(p, vshrn_n_u32(vbslq_u32(vceqq_f32(a, a), up, quiet), 16));
}
static inline void vec_store_f16(uint16_t *p, vec a)
{
    vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(a)));
}

#endif
