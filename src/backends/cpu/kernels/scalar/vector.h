/* Four floats: what the kernel templates are written in, in plain C with the compilers' vector types. No
 * instruction beyond the architecture's baseline is needed; products and sums round separately. */
#ifndef FFAI_CPU_SCALAR_VECTOR_H
#define FFAI_CPU_SCALAR_VECTOR_H

#include "dtype.h"

typedef float vec __attribute__((vector_size(16)));
typedef int32_t vec_bits __attribute__((vector_size(16)));

enum { LANES = 4, SCORE_QUERIES = 4, SCORE_VECTORS = 2, SUM_QUERIES = 4, SUM_VECTORS = 2 };

static inline vec vec_set(float x)
{
    return (vec){x, x, x, x};
}
static inline vec vec_load(const float *p)
{
    vec a;
    memcpy(&a, p, sizeof a);
    return a;
}
static inline void vec_store(float *p, vec a)
{
    memcpy(p, &a, sizeof a);
}
/* The first n lanes, 0 < n < LANES; the others are zero. */
static inline vec vec_load_part(const float *p, int64_t n)
{
    vec a = vec_set(0);
    for (int i = 0; i < n; i++)
        a[i] = p[i];
    return a;
}
static inline void vec_store_part(float *p, vec a, int64_t n)
{
    for (int i = 0; i < n; i++)
        p[i] = a[i];
}
static inline vec vec_fma(vec a, vec b, vec c)
{
    return a * b + c;
}
/* Where the mask's lane is all ones a's, else b's. */
static inline vec vec_pick(vec_bits mask, vec a, vec b)
{
    return (vec)((mask & (vec_bits)a) | (~mask & (vec_bits)b));
}
/* The greater; b where either is not a number. */
static inline vec vec_max(vec a, vec b)
{
    return vec_pick(a > b, a, b);
}
static inline vec vec_min(vec a, vec b)
{
    return vec_pick(a < b, a, b);
}
/* Lanes [begin, end) of a, the others from b. */
static inline vec vec_window(vec a, vec b, int begin, int end)
{
    const vec_bits lane = {0, 1, 2, 3};
    return vec_pick((lane >= begin) & (lane < end), a, b);
}
static inline vec vec_zero_below(vec a, vec x, float limit)
{
    return (vec)(~(x < limit) & (vec_bits)a);
}
/* 2^n for the integer n in the low bits of 1.5 * 2^23 + n. */
static inline vec vec_power_of_two(vec shifted)
{
    return (vec)(((vec_bits)shifted << 23) + 0x3F800000);
}
static inline float vec_sum(vec a)
{
    return (a[0] + a[2]) + (a[1] + a[3]);
}
/* Of lanes that are numbers. */
static inline float vec_greatest(vec a)
{
    const float even = a[0] > a[2] ? a[0] : a[2];
    const float odd = a[1] > a[3] ? a[1] : a[3];
    return even > odd ? even : odd;
}
static inline vec vec_load_bf16(const uint16_t *p)
{
    return (vec){ffai__bf16_to_f32(p[0]), ffai__bf16_to_f32(p[1]), ffai__bf16_to_f32(p[2]), ffai__bf16_to_f32(p[3])};
}
static inline vec vec_load_f16(const uint16_t *p)
{
    return (vec){ffai__f16_to_f32(p[0]), ffai__f16_to_f32(p[1]), ffai__f16_to_f32(p[2]), ffai__f16_to_f32(p[3])};
}
static inline void vec_store_bf16(uint16_t *p, vec a)
{
    for (int i = 0; i < LANES; i++)
        p[i] = ffai__f32_to_bf16(a[i]);
}
static inline void vec_store_f16(uint16_t *p, vec a)
{
    for (int i = 0; i < LANES; i++)
        p[i] = ffai__f32_to_f16(a[i]);
}

#endif
