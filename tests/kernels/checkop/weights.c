#include "weights.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "k_block.h"
#include "kernels/linear_kernels.h"

enum { MOST_COLUMNS = 8192, GGUF_BLOCK = 32 };

ffai__weight weight_of(const weight_format *format, int64_t rows, int64_t columns, int rope_heads)
{
    return (ffai__weight){.name = "test.weight",
                          .rank = 2,
                          .rows = rows,
                          .columns = columns,
                          .packing = format->packing,
                          .dtype = format->packing == FFAI__DENSE ? format->dtype : FFAI__U32,
                          .bits = format->bits,
                          .group_size = format->group_size,
                          .scale_dtype = format->packing == FFAI__MLX_AFFINE || ffai__packing_is_k(format->packing)
                                             ? format->dtype
                                             : FFAI__F16,
                          .rope_heads = rope_heads};
}

const char *format_text(const weight_format *format, char text[48])
{
    static const char *const blocks[] = {
        [FFAI__GGUF_Q4_0] = "q4_0", [FFAI__GGUF_Q4_1] = "q4_1", [FFAI__GGUF_Q5_0] = "q5_0", [FFAI__GGUF_Q5_1] = "q5_1",
        [FFAI__GGUF_Q8_0] = "q8_0", [FFAI__GGUF_Q2_K] = "q2_k", [FFAI__GGUF_Q3_K] = "q3_k", [FFAI__GGUF_Q4_K] = "q4_k",
        [FFAI__GGUF_Q5_K] = "q5_k", [FFAI__GGUF_Q6_K] = "q6_k"};
    if (format->packing == FFAI__DENSE)
        snprintf(text, 48, "%s", ffai__dtype_name(format->dtype));
    else if (format->packing == FFAI__MLX_AFFINE)
        snprintf(text, 48, "%db g%d %s", format->bits, format->group_size, ffai__dtype_name(format->dtype));
    else
        snprintf(text, 48, "%s", blocks[format->packing]);
    return text;
}

static float scale_of(checkop *c, weight_fill fill, float most)
{
    const float ordinary = most * (0.25f + 0.75f * fabsf(checkop_uniform(c)));
    if (fill == WEIGHTS_BROKEN) {
        static const float rare[] = {INFINITY, -INFINITY, NAN};
        const int pick = checkop_pick(c, 0, 11);
        return pick < 3 ? rare[pick] : ordinary;
    }
    if (fill != WEIGHTS_VARIED)
        return ordinary;
    static const float factors[] = {1, -1, 0, 1e-3f, 1e-7f, 30};
    return ordinary * factors[checkop_pick(c, 0, 5)];
}

static void make_dense(checkop *c, ffai__weight *w, weight_fill fill)
{
    static const checkop_fill kinds[] = {CHECKOP_PLAIN, CHECKOP_SPREAD, CHECKOP_SPARSE,
                                         CHECKOP_ZEROS, CHECKOP_SMALL,  CHECKOP_DENORMALS};
    static float row[MOST_COLUMNS];
    const size_t size = ffai__dtype_size(w->dtype);
    uint8_t *data = checkop_input(c, (size_t)(w->rows * w->columns) * size, 1);
    w->data = data;
    for (int64_t r = 0; r < w->rows; r++, data += (size_t)w->columns * size) {
        checkop_fill_floats(c, row, w->columns, fill == WEIGHTS_VARIED ? kinds[r % 6] : CHECKOP_PLAIN);
        for (int64_t i = 0; i < w->columns && w->dtype == FFAI__F64; i++) {
            const double wide = (double)row[i] * (1 + 1e-9);
            memcpy(data + 8 * i, &wide, 8);
        }
        if (w->dtype != FFAI__F64)
            ffai__from_f32(data, w->dtype, row, (size_t)w->columns);
    }
}

static uint8_t *random_codes(checkop *c, size_t bytes, weight_fill fill)
{
    uint8_t *data = checkop_input(c, bytes, 1);
    for (size_t i = 0; i < bytes; i++)
        data[i] = fill == WEIGHTS_EXTREME ? 0xFF : (uint8_t)checkop_random(c);
    return data;
}

static const void *mlx_scales(checkop *c, const ffai__weight *w, weight_fill fill, float most)
{
    const size_t size = ffai__dtype_size(w->scale_dtype);
    const size_t count = (size_t)(w->rows * w->columns / w->group_size);
    uint8_t *out = checkop_input(c, count * size, 1);
    for (size_t i = 0; i < count; i++) {
        const float value = scale_of(c, fill, most);
        ffai__from_f32(out + i * size, w->scale_dtype, &value, 1);
    }
    return out;
}

static void put_gguf_scales(checkop *c, const ffai__weight *w, uint8_t *data, weight_fill fill)
{
    const size_t blocks = (size_t)(w->columns / GGUF_BLOCK);
    const size_t bytes = (size_t)ffai__weight_row_bytes(w) / blocks;
    for (size_t b = 0; b < blocks * (size_t)w->rows; b++) {
        const float scale = scale_of(c, fill, 0.1f);
        const float bias = scale_of(c, fill, -1.0f);
        ffai__from_f32(data + b * bytes, FFAI__F16, &scale, 1);
        if (w->packing == FFAI__GGUF_Q4_1 || w->packing == FFAI__GGUF_Q5_1)
            ffai__from_f32(data + b * bytes + 2, FFAI__F16, &bias, 1);
    }
}

/* d, and dmin where there is one, of every super-block; what they multiply stays as random as the codes. */
static void put_k_scales(checkop *c, const ffai__weight *w, uint8_t *data, weight_fill fill)
{
    static const struct {
        int d, dmin;
        float most;
    } places[] = {{80, 82, 0.03f}, {108, -1, 0.01f}, {0, 2, 0.003f}, {0, 2, 0.0015f}, {208, -1, 0.0005f}};
    const int type = (int)w->packing - FFAI__GGUF_Q2_K;
    const size_t bytes = ffai__k_block_bytes(w->packing);
    const size_t blocks = (size_t)(w->rows * w->columns / FFAI__K_COLUMNS);
    for (size_t b = 0; b < blocks; b++) {
        const float d = scale_of(c, fill, places[type].most);
        const float dmin = scale_of(c, fill, places[type].most);
        ffai__from_f32(data + b * bytes + places[type].d, FFAI__F16, &d, 1);
        if (places[type].dmin >= 0)
            ffai__from_f32(data + b * bytes + places[type].dmin, FFAI__F16, &dmin, 1);
    }
}

void make_weight(checkop *c, ffai__weight *weight, weight_fill fill)
{
    if (!ffai__weight_is_affine(weight)) {
        make_dense(c, weight, fill);
        return;
    }
    uint8_t *data = random_codes(c, (size_t)ffai__weight_row_bytes(weight) * (size_t)weight->rows, fill);
    weight->data = data;
    if (weight->packing == FFAI__MLX_AFFINE) {
        weight->scales = mlx_scales(c, weight, fill, 2.0f / (float)(1 << weight->bits));
        weight->biases = mlx_scales(c, weight, fill, -1.0f);
    } else if (ffai__packing_is_k(weight->packing)) {
        put_k_scales(c, weight, data, fill);
    } else {
        put_gguf_scales(c, weight, data, fill);
    }
}

/* A row of codes, the first in the lowest bits. */
static void pack_mlx(uint8_t *out, const uint8_t *codes, int64_t columns, int bits)
{
    uint32_t window = 0;
    int held = 0;
    for (int64_t i = 0; i < columns; i++) {
        window |= (uint32_t)codes[i] << held;
        for (held += bits; held >= 8; held -= 8, window >>= 8)
            *out++ = (uint8_t)window;
    }
}

ffai__weight float_groups_of(checkop *c, const ffai__weight *weight)
{
    static uint8_t codes[MOST_COLUMNS];
    const int64_t groups = weight->columns / weight->group_size;
    ffai__weight mlx = *weight;
    mlx.packing = FFAI__MLX_AFFINE;
    mlx.scale_dtype = FFAI__F32;
    mlx.rope_heads = 0;
    uint8_t *data = checkop_input(c, (size_t)(ffai__weight_row_bytes(&mlx) * (uint64_t)mlx.rows), 1);
    float *scales = checkop_floats_in(c, mlx.rows * groups);
    float *biases = checkop_floats_in(c, mlx.rows * groups);
    for (int64_t r = 0; r < mlx.rows; r++) {
        ffai__weight_read_codes(codes, scales + r * groups, biases + r * groups, weight, r);
        pack_mlx(data + (uint64_t)r * ffai__weight_row_bytes(&mlx), codes, mlx.columns, mlx.bits);
    }
    mlx.data = data;
    mlx.scales = scales;
    mlx.biases = biases;
    return mlx;
}

static double zero_of(const ffai__weight *w)
{
    const bool centred =
        w->packing == FFAI__GGUF_Q4_0 || w->packing == FFAI__GGUF_Q5_0 || w->packing == FFAI__GGUF_Q8_0;
    return centred ? 1 << (w->bits - 1) : 0;
}

/* A row as numbers: codes, scales and biases of an affine one, plain values of a dense one. */
typedef struct row_numbers {
    uint8_t codes[MOST_COLUMNS];
    float scales[MOST_COLUMNS / 16];
    float biases[MOST_COLUMNS / 16];
    float values[MOST_COLUMNS];
} row_numbers;

/* What one group may be off by in fixed point. An entry is off by half a step, and 0.006 of it for the roundings of
 * factor and step; where the largest entry is below 2^-100 all of it is lost. */
static double fixed_bar(const float *x, int count, double weights)
{
    double most = 0;
    for (int i = 0; i < count; i++)
        most = fmax(most, fabs((double)x[i]));
    return (most < 0x1p-100 ? most : 0.506 * most / FFAI__FIXED_MOST) * weights;
}

static expected_output expect_group(const ffai__weight *w, const uint8_t *codes, double scale, double bias,
                                    const float *x, ffai__input_kind kind)
{
    const double zero = zero_of(w);
    const double offset = zero > 0 ? 0 : bias; /* the bias of a centred code is no number of its own */
    double exact = 0;
    double all = 0;     /* sum of the magnitudes of all that is added */
    double weights = 0; /* sum of |w| */
    for (int i = 0; i < w->group_size; i++) {
        const double code = (double)codes[i] - zero;
        const double value = (double)x[i];
        exact += (scale * code + offset) * value;
        /* With float32 input the centre is subtracted behind the sum. */
        const double size = kind == FFAI__INPUT_F32 ? (double)codes[i] + zero : fabs(code);
        all += (fabs(scale) * size + fabs(offset)) * fabs(value);
        weights += fabs(scale * code + offset);
    }
    const int64_t groups = w->columns / w->group_size;
    const double depth = (double)(2 * groups) + (kind == FFAI__INPUT_F32 ? w->group_size + 8 : 6);
    double bar = depth * CHECKOP_EPS * all;
    if (kind == FFAI__INPUT_FIXED)
        bar += fixed_bar(x, w->group_size, weights) + (fabs(scale) < 0x1p-20 ? 0x1p-100 * all : 0);
    return (expected_output){exact, bar};
}

static expected_output expect_affine(const ffai__weight *w, int64_t o, const float *x, ffai__input_kind kind)
{
    static row_numbers row;
    expected_output sum = {0, 0};
    ffai__weight_read_codes(row.codes, row.scales, row.biases, w, o);
    for (int64_t g = 0; g < w->columns / w->group_size; g++) {
        const int64_t at = g * w->group_size;
        const expected_output group =
            expect_group(w, row.codes + at, (double)row.scales[g], (double)row.biases[g], x + at, kind);
        sum.exact += group.exact;
        sum.bar += group.bar;
    }
    return sum;
}

/* What the input's kind loses of |w x|. */
static double input_bar(ffai__input_kind kind)
{
    switch (kind) {
    case FFAI__INPUT_BF16:
        return 0x1p-8;
    case FFAI__INPUT_BF16_SPLIT:
        return 0x1p-17;
    default:
        return 0;
    }
}

/* Two chains of columns / 2. A denormal operand, or product in bf16, may count as zero. */
static expected_output expect_dense(const ffai__weight *w, int64_t o, const float *x, ffai__input_kind kind)
{
    static row_numbers row;
    expected_output sum = {0, 0};
    ffai__weight_read(row.values, w, o);
    for (int64_t i = 0; i < w->columns; i++) {
        const double a = (double)row.values[i];
        const double b = (double)x[i];
        sum.exact += a * b;
        sum.bar += (((double)w->columns / 2 + 4) * CHECKOP_EPS + input_bar(kind)) * fabs(a * b);
        sum.bar += kind == FFAI__INPUT_F32 ? 0 : CHECKOP_LEAST;
        if (fabs(a) < CHECKOP_LEAST || fabs(b) < CHECKOP_LEAST)
            sum.bar += fabs(a * b);
    }
    return sum;
}

expected_output expect_output(const ffai__weight *weight, int64_t o, const float *x, ffai__input_kind kind)
{
    return ffai__weight_is_affine(weight) ? expect_affine(weight, o, x, kind) : expect_dense(weight, o, x, kind);
}
