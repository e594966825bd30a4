/* Linear kernels in plain C: 16 lanes are an array. */
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

typedef lanes_u dot_codes;

typedef struct dot_sum {
    int32_t lane[FFAI__TILE_ROWS];
} dot_sum;

FFAI__ALWAYS_INLINE dot_codes dot_widen(lanes_u quad)
{
    return quad;
}

FFAI__ALWAYS_INLINE dot_sum dot_zero(void)
{
    return (dot_sum){{0}};
}

FFAI__ALWAYS_INLINE dot_sum dot_add(dot_sum sum, dot_codes codes, const uint8_t *span, int quad)
{
    int16_t v[4]; /* columns 0, 2, 1, 3 */
    memcpy(v, span + 8 * quad, sizeof v);
    EACH_LANE(i)
    {
        const uint32_t q = codes.lane[i];
        sum.lane[i] += (int32_t)(q & 0xFFu) * v[0] + (int32_t)((q >> 16) & 0xFFu) * v[1];
        sum.lane[i] += (int32_t)((q >> 8) & 0xFFu) * v[2] + (int32_t)(q >> 24) * v[3];
    }
    return sum;
}

FFAI__ALWAYS_INLINE dot_sum dot_join(dot_sum a, dot_sum b)
{
    EACH_LANE(i)
    a.lane[i] += b.lane[i];
    return a;
}

FFAI__ALWAYS_INLINE lanes_f dot_float(dot_sum sum, int32_t offset)
{
    lanes_f a;
    EACH_LANE(i)
    a.lane[i] = (float)(sum.lane[i] + offset);
    return a;
}

#include "linear_affine.h"
#include "linear_dense.h"

static uint32_t fixed_magnitude(const float *x, int count)
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

static int32_t fixed_convert(uint8_t *out, const float *x, int64_t column, int count, float factor)
{
    static const int place[4] = {0, 2, 1, 3};
    int32_t sum = 0;
    for (int i = 0; i < count; i++) {
        const int16_t v = factor > 0.0f ? (int16_t)lrintf(x[column + i] * factor) : 0;
        memcpy(out + 2 * (column + i - i % 4 + place[i % 4]), &v, sizeof v);
        sum += v;
    }
    return sum;
}

#include "linear_prepare.h"

static void prepare_fixed_scalar(void *prepared, const float *x, const ffai__linear_input *input)
{
    prepare_fixed(prepared, x, input);
}

DEFINE_FIXED(ROWS_4_1)
DEFINE_KERNEL(affine_f32, ROWS_1)
DEFINE_DENSE(dense_f32, DENSE_F32, ROWS_1)
DEFINE_DENSE(dense_f16, DENSE_F16, ROWS_1)
DEFINE_DENSE(dense_bf16, DENSE_BF16, ROWS_1)

const ffai__linear_tier ffai__linear_scalar = {
    .fixed = {"affine fixed-point scalar", FFAI__INPUT_FIXED, prepare_fixed_scalar, fixed},
    .affine_f32 = {"affine float32 scalar", FFAI__INPUT_F32, ffai__linear_prepare_f32, affine_f32},
    .dense_f32 = {"f32 scalar", FFAI__INPUT_F32, ffai__linear_prepare_f32, dense_f32},
    .dense_f16 = {"f16 scalar", FFAI__INPUT_F32, ffai__linear_prepare_f32, dense_f16},
    .dense_bf16 = {"bf16 scalar", FFAI__INPUT_F32, ffai__linear_prepare_f32, dense_bf16},
};
