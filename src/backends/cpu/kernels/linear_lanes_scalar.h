/* The vocabulary of linear_affine.h and linear_dense.h in plain C: 16 lanes are an array. Dot products apart, as they
 * come in more than one way. */
#ifndef FFAI_LINEAR_LANES_SCALAR_H
#define FFAI_LINEAR_LANES_SCALAR_H

#include <math.h>

#include "linear_kernels.h"

typedef struct lanes_u {
    uint32_t lane[FFAI__TILE_ROWS];
} lanes_u;

typedef struct lanes_f {
    float lane[FFAI__TILE_ROWS];
} lanes_f;

// NOLINTNEXTLINE(bugprone-macro-parentheses): a name that is declared takes no parentheses
#define EACH_LANE(i) for (int i = 0; i < FFAI__TILE_ROWS; i++)

FFAI__ALWAYS_INLINE lanes_u u_load(const void *at)
{
    lanes_u a;
    memcpy(&a, at, sizeof a);
    return a;
}

FFAI__ALWAYS_INLINE void u_store(void *at, lanes_u a)
{
    memcpy(at, &a, sizeof a);
}

/* Bits that cross from a neighbouring byte are masked away by the caller. */
FFAI__ALWAYS_INLINE lanes_u u_shift(lanes_u a, int n)
{
    EACH_LANE(i)
    a.lane[i] = n >= 0 ? a.lane[i] >> n : a.lane[i] << -n;
    return a;
}

FFAI__ALWAYS_INLINE lanes_u u_and(lanes_u a, int mask)
{
    EACH_LANE(i)
    a.lane[i] &= (uint32_t)mask * 0x01010101u;
    return a;
}

FFAI__ALWAYS_INLINE lanes_u u_select(int mask, lanes_u a, lanes_u b)
{
    const uint32_t wide = (uint32_t)mask * 0x01010101u;
    EACH_LANE(i)
    a.lane[i] = (a.lane[i] & wide) | (b.lane[i] & ~wide);
    return a;
}

FFAI__ALWAYS_INLINE lanes_f u_byte(lanes_u quad, int column)
{
    lanes_f a;
    EACH_LANE(i)
    a.lane[i] = (float)(int32_t)((quad.lane[i] >> 8 * column) & 0xFFu);
    return a;
}

FFAI__ALWAYS_INLINE lanes_f f_signed_bytes(lanes_b bytes)
{
    lanes_f a;
    EACH_LANE(i)
    a.lane[i] = (float)(int8_t)bytes[i];
    return a;
}

FFAI__ALWAYS_INLINE lanes_f u_bf16_low(lanes_u pairs)
{
    lanes_f a;
    EACH_LANE(i)
    a.lane[i] = ffai__bf16_to_f32((uint16_t)pairs.lane[i]);
    return a;
}

FFAI__ALWAYS_INLINE lanes_f u_bf16_high(lanes_u pairs)
{
    lanes_f a;
    EACH_LANE(i)
    a.lane[i] = ffai__bf16_to_f32((uint16_t)(pairs.lane[i] >> 16));
    return a;
}

FFAI__ALWAYS_INLINE lanes_f f_set(float value)
{
    lanes_f a;
    EACH_LANE(i)
    a.lane[i] = value;
    return a;
}

FFAI__ALWAYS_INLINE lanes_f f_zero(void)
{
    return f_set(0.0f);
}

FFAI__ALWAYS_INLINE lanes_f f_load(const void *at)
{
    lanes_f a;
    memcpy(&a, at, sizeof a);
    return a;
}

FFAI__ALWAYS_INLINE void f_store(void *at, lanes_f a)
{
    memcpy(at, &a, sizeof a);
}

FFAI__ALWAYS_INLINE lanes_f f_load_f16(const void *at)
{
    lanes_f a;
    ffai__to_f32(a.lane, at, FFAI__F16, FFAI__TILE_ROWS);
    return a;
}

FFAI__ALWAYS_INLINE lanes_f f_load_bf16(const void *at)
{
    lanes_f a;
    ffai__to_f32(a.lane, at, FFAI__BF16, FFAI__TILE_ROWS);
    return a;
}

FFAI__ALWAYS_INLINE lanes_f f_add(lanes_f a, lanes_f b)
{
    EACH_LANE(i)
    a.lane[i] += b.lane[i];
    return a;
}

FFAI__ALWAYS_INLINE lanes_f f_mul(lanes_f a, lanes_f b)
{
    EACH_LANE(i)
    a.lane[i] *= b.lane[i];
    return a;
}

FFAI__ALWAYS_INLINE lanes_f f_fma(lanes_f a, lanes_f b, lanes_f c)
{
    EACH_LANE(i)
    c.lane[i] = fmaf(a.lane[i], b.lane[i], c.lane[i]);
    return c;
}

FFAI__ALWAYS_INLINE float f_reduce(lanes_f a)
{
    for (int half = FFAI__TILE_ROWS / 2; half > 0; half /= 2) {
        for (int i = 0; i < half; i++)
            a.lane[i] += a.lane[i + half];
    }
    return a.lane[0];
}

/* For linear_prepare.h. */
FFAI__ALWAYS_INLINE uint32_t fixed_magnitude(const float *x, int count)
{
    uint32_t most = 0;
    for (int i = 0; i < count; i++) {
        uint32_t bits = 0;
        memcpy(&bits, x + i, sizeof bits);
        bits &= 0x7FFFFFFFu;
        most = bits > most ? bits : most;
    }
    return most;
}

#endif
