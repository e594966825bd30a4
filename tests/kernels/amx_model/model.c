#include "model.h"

#include "kernels/linear_lanes_scalar.h"
#include "tiles.h"

/* --- the vocabulary of amx/linear.c in plain C --- */

typedef lanes_u dot_codes;

typedef struct dot_sum {
    int32_t high[FFAI__TILE_ROWS], low[FFAI__TILE_ROWS];
} dot_sum;

#define DOT_SPAN(input, number) ((input) + (number)*64 - (number) % 2 * 32)

FFAI__ALWAYS_INLINE dot_codes dot_widen(lanes_u quad)
{
    return quad;
}

FFAI__ALWAYS_INLINE dot_sum dot_zero(void)
{
    return (dot_sum){{0}, {0}};
}

FFAI__ALWAYS_INLINE dot_sum dot_load(const int32_t *high, const int32_t *low)
{
    dot_sum sum;
    memcpy(sum.high, high, sizeof sum.high);
    memcpy(sum.low, low, sizeof sum.low);
    return sum;
}

FFAI__ALWAYS_INLINE dot_sum dot_add(dot_sum sum, dot_codes codes, const uint8_t *span, int quad)
{
    EACH_LANE(r)
    {
        for (int i = 0; i < 4; i++) {
            const int32_t q = (int32_t)(codes.lane[r] >> 8 * i & 0xFFu);
            sum.high[r] += q * (int8_t)span[4 * quad + i];
            sum.low[r] += q * (int8_t)span[64 + 4 * quad + i];
        }
    }
    return sum;
}

FFAI__ALWAYS_INLINE dot_sum dot_join(dot_sum a, dot_sum b)
{
    EACH_LANE(r)
    {
        a.high[r] += b.high[r];
        a.low[r] += b.low[r];
    }
    return a;
}

FFAI__ALWAYS_INLINE lanes_f dot_float(dot_sum sum, int32_t offset)
{
    lanes_f a;
    EACH_LANE(r)
    a.lane[r] = (float)(256 * sum.high[r] + sum.low[r] + offset);
    return a;
}

FFAI__ALWAYS_INLINE lanes_f f_round_bf16(lanes_f a)
{
    EACH_LANE(i)
    a.lane[i] = ffai__bf16_to_f32(ffai__f32_to_bf16(a.lane[i]));
    return a;
}

FFAI__ALWAYS_INLINE lanes_f f_less(lanes_f a, lanes_f b)
{
    EACH_LANE(i)
    a.lane[i] = isfinite(a.lane[i] - b.lane[i]) ? a.lane[i] - b.lane[i] : 0.0f;
    return a;
}

FFAI__ALWAYS_INLINE void f_store_bf16(uint8_t *at, lanes_f a)
{
    EACH_LANE(i)
    {
        const uint16_t bits = ffai__f32_to_bf16(a.lane[i]);
        memcpy(at + 2 * i, &bits, sizeof bits);
    }
}

#include "kernels/linear_affine.h"

DEFINE_FIXED(ROWS_1)

static void few_rows(const ffai__linear_job *job)
{
    fixed(job);
}

#include "kernels/linear_tiles_affine.h"
#include "kernels/linear_tiles_bf16.h"

static int32_t fixed_convert(uint8_t *out, const float *x, int64_t column, int count, float factor)
{
    int32_t sum = 0;
    for (int64_t c = column; c < column + count; c++) {
        const int32_t v = factor > 0.0f ? (int32_t)lrintf(x[c] * factor) : 0;
        uint8_t *at = out + c / 64 * 128 + c % 64;
        at[64] = (uint8_t)v;
        at[0] = (uint8_t)((v - (int8_t)at[64]) / 256);
        sum += v;
    }
    return sum;
}

#include "kernels/linear_prepare.h"

/* --- the kernels --- */

static void prepare_fixed_bytes(void *prepared, const float *x, const ffai__linear_input *input)
{
    prepare_fixed(prepared, x, input);
}

static const ffai__linear_kernels affine = {
    .name = "affine fixed-point amx model",
    .kind = FFAI__INPUT_FIXED,
    .prepare = prepare_fixed_bytes,
    .compute = multiply_affine,
};

static const ffai__linear_kernels bf16_split = {
    .name = "bf16 amx model",
    .kind = FFAI__INPUT_BF16_SPLIT,
    .prepare = prepare_split,
    .compute = multiply_split,
};

static const ffai__linear_kernels bf16_rounded = {
    .name = "bf16 rounded inputs amx model",
    .kind = FFAI__INPUT_BF16,
    .prepare = prepare_rounded,
    .compute = multiply_rounded,
};

void amx_model_plan(ffai__packed *packed, ffai__activations activations)
{
    const ffai__weight *weight = packed->weight;
    if (activations == FFAI__ACTIVATIONS_F32)
        return;
    if (ffai__weight_is_affine(weight))
        packed->kernels = &affine;
    else if (weight->dtype == FFAI__BF16)
        packed->kernels = activations == FFAI__ACTIVATIONS_BF16 ? &bf16_rounded : &bf16_split;
    packed->input.kind = packed->kernels->kind;
    packed->wide = packed->input.kind != FFAI__INPUT_F32;
}
