/* Linear kernels in plain C. */
#include "linear_lanes_scalar.h"

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
