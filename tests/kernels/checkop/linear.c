/* The linear kernels: fixed, affine_f32, dense_f32, dense_f16, dense_bf16. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "k_block.h"
#include "kernels/linear_kernels.h"
#include "model.h"
#include "timed.h"
#include "weights.h"

/* One product with everything around it. */
typedef struct product {
    ffai__weight weight;
    int64_t num_inputs;
    float *x; /* [num_inputs, columns] */
    const float *bias;
    const float *residual; /* [num_inputs, stride] */
    int64_t stride;
    ffai__packed packed;
    uint8_t *prepared;
    size_t input_bytes;
    int fetch_ahead;
} product;

typedef struct product_case {
    weight_format format;
    int64_t rows, columns, num_inputs;
    int rope_heads;
    weight_fill fill;
    ffai__activations activations;
} product_case;

/* Input row t: ordinary ones between rows of every kind. */
static checkop_fill row_fill(const product_case *p, int64_t t)
{
    return t % 3 == 0 ? CHECKOP_PLAIN : (checkop_fill)((t + p->rows + p->columns) % CHECKOP_FILLS);
}

static void make_operands(checkop *c, product *p, const product_case *spec)
{
    p->weight = weight_of(&spec->format, spec->rows, spec->columns, spec->rope_heads);
    make_weight(c, &p->weight, spec->fill);
    p->num_inputs = spec->num_inputs;
    p->stride = spec->rows + checkop_pick(c, 0, 5);
    p->x = checkop_floats_in(c, p->num_inputs * spec->columns);
    for (int64_t t = 0; t < p->num_inputs; t++)
        checkop_fill_floats(c, p->x + t * spec->columns, spec->columns, row_fill(spec, t));
    float *bias = checkop_floats_in(c, spec->rows);
    float *residual = checkop_floats_in(c, p->num_inputs * p->stride);
    checkop_fill_floats(c, bias, spec->rows, CHECKOP_PLAIN);
    checkop_fill_floats(c, residual, p->num_inputs * p->stride, CHECKOP_PLAIN);
    p->bias = checkop_pick(c, 0, 2) ? bias : NULL;
    p->residual = checkop_pick(c, 0, 2) ? residual : NULL;
    p->fetch_ahead = 4096 * checkop_pick(c, 0, 1);
    checkop_seal(c);
}

/* Tiles filled in two ranges, and prepared inputs; false where the format has no kernel. */
static bool prepare(checkop *c, product *p, ffai__activations activations)
{
    const checkop_tier *tier = checkop_tier_of(c);
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__packed_plan(&p->packed, &p->weight, tier->isa, &tier->features, activations, &err) != FFAI_OK) {
        checkop_fail(c, "%s", err.message);
        return false;
    }
    if (tier->amx_model)
        amx_model_plan(&p->packed, activations);
    const int64_t tiles = p->packed.num_tiles;
    const int64_t middle = checkop_pick(c, 0, (int)tiles);
    void *scratch = checkop_output(c, ffai__pack_scratch_bytes(&p->packed), 64);
    p->packed.tiles = checkop_input(c, (size_t)tiles * (size_t)p->packed.tile_bytes, 64);
    ffai__packed_fill(&p->packed, middle, tiles, scratch);
    ffai__packed_fill(&p->packed, 0, middle, scratch);
    checkop_seal(c);
    p->input_bytes = ffai__linear_input_bytes(&p->packed.input);
    p->prepared = checkop_input(c, (size_t)p->num_inputs * p->input_bytes, 64);
    for (int64_t t = 0; t < p->num_inputs; t++)
        ffai__linear_prepare(p->prepared + (size_t)t * p->input_bytes, p->x + t * p->weight.columns, &p->packed);
    checkop_seal(c);
    return true;
}

/* Input rows [first, first + count), tiles [from, to), into y, which has the product's stride. */
static ffai__linear_job job_of(float *y, const product *p, int64_t first, int64_t count, int64_t from, int64_t to)
{
    return (ffai__linear_job){
        .packed = &p->packed,
        .y = y,
        .y_stride = p->stride,
        .inputs = p->prepared + (size_t)first * p->input_bytes,
        .input_bytes = p->input_bytes,
        .num_rows = count,
        .first = from,
        .last = to,
        .bias = p->bias,
        .residual = p->residual ? p->residual + first * p->stride : NULL,
        .fetch_ahead = p->fetch_ahead,
    };
}

static void multiply(float *y, const product *p, int64_t first, int64_t count, int64_t from, int64_t to)
{
    const ffai__linear_job job = job_of(y, p, first, count, from, to);
    ffai__linear_compute(&job);
}

static void expect_product(checkop *c, const product *p, const product_case *spec, const float *y)
{
    for (int64_t t = 0; t < p->num_inputs; t++) {
        const bool finite = row_fill(spec, t) < CHECKOP_FINITE;
        for (int64_t o = 0; o < p->weight.rows; o++) {
            const int64_t at = t * p->stride + o;
            const expected_output e = expect_output(&p->weight, o, p->x + t * p->weight.columns, p->packed.input.kind);
            if (!finite || !isfinite(e.exact)) {
                checkop_not_finite(c, "y", at, y[at]);
                continue;
            }
            const double bias = p->bias ? (double)p->bias[o] : 0;
            const double residual = p->residual ? (double)p->residual[at] : 0;
            const double bar = e.bar + 3 * CHECKOP_EPS * (fabs(e.exact) + fabs(bias) + fabs(residual));
            checkop_near(c, "y", at, y[at], e.exact + bias + residual, bar);
        }
    }
}

/* Other companies of rows and other ranges of tiles: the same bits, and nothing else written. */
static void expect_same_in_parts(checkop *c, const product *p, const float *whole)
{
    static const int64_t counts[] = {1, 2, 3, 4, 5, 7, 8, 11, 16, 17};
    for (size_t i = 0; i < sizeof counts / sizeof *counts && counts[i] <= p->num_inputs; i++) {
        const int64_t count = counts[i];
        const int64_t first = checkop_pick(c, 0, (int)(p->num_inputs - count));
        const int64_t from = checkop_pick(c, 0, (int)p->packed.num_tiles - 1);
        const int64_t to = checkop_pick(c, (int)from + 1, (int)p->packed.num_tiles);
        const int64_t begin = from * FFAI__TILE_ROWS;
        const int64_t end = to * FFAI__TILE_ROWS < p->weight.rows ? to * FFAI__TILE_ROWS : p->weight.rows;
        float *y = checkop_floats_out(c, count * p->stride);
        multiply(y, p, first, count, from, to);
        for (int64_t t = 0; t < count; t++) {
            const float *row = y + t * p->stride;
            checkop_equal(c, "in part, in whole", row + begin, whole + (first + t) * p->stride + begin, end - begin);
            checkop_untouched(c, "before the asked tiles", row, begin);
            checkop_untouched(c, "behind the asked tiles", row + end, p->stride - end);
        }
    }
}

/* y may be its own residual. */
static void expect_same_in_place(checkop *c, const product *p, const float *whole)
{
    if (!p->residual)
        return;
    float *y = checkop_floats_out(c, p->num_inputs * p->stride);
    memcpy(y, p->residual, (size_t)(p->num_inputs * p->stride) * sizeof *y);
    ffai__linear_job job = job_of(y, p, 0, p->num_inputs, 0, p->packed.num_tiles);
    job.residual = y;
    ffai__linear_compute(&job);
    for (int64_t t = 0; t < p->num_inputs; t++)
        checkop_equal(c, "in place, elsewhere", y + t * p->stride, whole + t * p->stride, p->weight.rows);
    multiply(y, p, 0, 0, 0, p->packed.num_tiles);
    multiply(y, p, 0, p->num_inputs, 0, 0);
    checkop_equal(c, "nothing asked", y, whole, p->weight.rows);
}

/* What two-level scales stand for is exact in float32: with those the product has the same bits. */
static void expect_same_with_float_scales(checkop *c, const product *p, const product_case *spec, const float *whole)
{
    product floats = *p;
    floats.weight = float_groups_of(c, &p->weight);
    if (!prepare(c, &floats, spec->activations))
        return;
    float *y = checkop_floats_out(c, p->num_inputs * p->stride);
    multiply(y, &floats, 0, p->num_inputs, 0, floats.packed.num_tiles);
    for (int64_t t = 0; t < p->num_inputs; t++)
        checkop_equal(c, "float32 scales, two-level ones", y + t * p->stride, whole + t * p->stride, p->weight.rows);
}

static void product_check(checkop *c, const product_case *spec)
{
    char text[48];
    product p;
    checkop_begin(c, "%s [%lld, %lld] x %lld%s%s%s", format_text(&spec->format, text), (long long)spec->rows,
                  (long long)spec->columns, (long long)spec->num_inputs, spec->rope_heads ? ", rotary rows" : "",
                  spec->fill == WEIGHTS_VARIED ? ", varied weights" : "",
                  spec->fill == WEIGHTS_EXTREME  ? ", the largest codes"
                  : spec->fill == WEIGHTS_BROKEN ? ", scales that are not finite"
                                                 : "");
    make_operands(c, &p, spec);
    if (prepare(c, &p, spec->activations)) {
        float *y = checkop_floats_out(c, p.num_inputs * p.stride);
        multiply(y, &p, 0, p.num_inputs, 0, p.packed.num_tiles);
        expect_product(c, &p, spec, y);
        for (int64_t t = 0; t < p.num_inputs; t++) {
            checkop_untouched(c, "between the rows", y + t * p.stride + p.weight.rows, p.stride - p.weight.rows);
            checkop_record(c, "y", y + t * p.stride, p.weight.rows);
        }
        expect_same_in_parts(c, &p, y);
        expect_same_in_place(c, &p, y);
        if (ffai__packing_is_k(p.weight.packing))
            expect_same_with_float_scales(c, &p, spec, y);
    }
    checkop_end(c);
}

static const int64_t row_counts[] = {1, 16, 37, 50, 5, 33};
static const int64_t input_counts[] = {33, 1, 17, 4, 9, 2, 40};

/* A case of the format; `which` picks sizes and kinds, so that neighbouring cases differ in all. */
static product_case varied_case(const weight_format *format, int64_t columns, int which, ffai__activations activations)
{
    return (product_case){.format = *format,
                          .rows = row_counts[which % 6],
                          .columns = columns,
                          .num_inputs = input_counts[which % 7],
                          .fill = (weight_fill)(which % 3),
                          .activations = activations};
}

static void check_mlx(checkop *c, ffai__activations activations)
{
    static const int widths[] = {2, 3, 4, 5, 6, 8};
    static const ffai__dtype dtypes[] = {FFAI__F16, FFAI__BF16, FFAI__F32};
    int which = 0;
    for (int w = 0; w < 6; w++) {
        for (int group = 16; group <= 128; group *= 2) {
            for (int d = 0; d < 3; d++) {
                const weight_format format = {FFAI__MLX_AFFINE, dtypes[d], widths[w], group};
                for (int repeat = 0; repeat < 5; repeat++, which++) {
                    const product_case p = varied_case(&format, group * (1 + which % 5), which, activations);
                    product_check(c, &p);
                }
            }
        }
    }
}

static const weight_format gguf_formats[] = {
    {FFAI__GGUF_Q4_0, FFAI__F16, 4, 32}, {FFAI__GGUF_Q4_1, FFAI__F16, 4, 32}, {FFAI__GGUF_Q5_0, FFAI__F16, 5, 32},
    {FFAI__GGUF_Q5_1, FFAI__F16, 5, 32}, {FFAI__GGUF_Q8_0, FFAI__F16, 8, 32},
};

static void check_gguf(checkop *c, ffai__activations activations)
{
    static const int64_t columns[] = {32, 64, 96, 224};
    for (int i = 0; i < 5; i++) {
        for (int k = 0; k < 8; k++) {
            const product_case p = varied_case(&gguf_formats[i], columns[k % 4], 5 * k + i, activations);
            product_check(c, &p);
        }
    }
}

static const weight_format k_formats[] = {
    {FFAI__GGUF_Q2_K, FFAI__F32, 2, 16}, {FFAI__GGUF_Q3_K, FFAI__F32, 3, 16}, {FFAI__GGUF_Q4_K, FFAI__F32, 4, 32},
    {FFAI__GGUF_Q5_K, FFAI__F32, 5, 32}, {FFAI__GGUF_Q6_K, FFAI__F32, 6, 16},
};

static void check_k(checkop *c, ffai__activations activations)
{
    for (int i = 0; i < 5; i++) {
        for (int k = 0; k < 8; k++) {
            product_case p = varied_case(&k_formats[i], 256 * (1 + k % 3), 5 * k + i, activations);
            product_check(c, &p);
            p.fill = WEIGHTS_BROKEN;
            product_check(c, &p);
        }
    }
}

/* Long rows, more prepared inputs than stay in the cache, rows stored in the rotary order, and more inputs than any
 * kernel takes at once. */
static void check_large(checkop *c, const weight_format *formats, int count, ffai__activations activations)
{
    for (int i = 0; i < count; i++) {
        product_case p = {.format = formats[i], .activations = activations};
        p.rows = 18;
        p.columns = 8192;
        p.num_inputs = 33;
        product_check(c, &p);
        p.rows = 36;
        p.columns = 64;
        p.rope_heads = 3;
        product_check(c, &p);
        p.columns = 128;
        p.num_inputs = 555;
        product_check(c, &p);
    }
}

static void check_affine(checkop *c, ffai__activations activations)
{
    static const weight_format large[] = {{FFAI__MLX_AFFINE, FFAI__F32, 8, 64},
                                          {FFAI__MLX_AFFINE, FFAI__BF16, 4, 64},
                                          {FFAI__MLX_AFFINE, FFAI__F16, 3, 32},
                                          {FFAI__GGUF_Q4_0, FFAI__F16, 4, 32}};
    check_mlx(c, activations);
    check_gguf(c, activations);
    check_k(c, activations);
    check_large(c, large, 4, activations);
}

static void check_fixed(checkop *c)
{
    check_affine(c, FFAI__ACTIVATIONS_FINE);
}

static void check_affine_f32(checkop *c)
{
    check_affine(c, FFAI__ACTIVATIONS_F32);
}

static void check_dense(checkop *c, ffai__dtype dtype)
{
    static const int64_t columns[] = {1, 2, 3, 15, 16, 31, 32, 37, 64, 130, 255, 300, 530};
    const weight_format format = {FFAI__DENSE, dtype, 0, 0};
    for (int k = 0; k < 52; k++) {
        const product_case p = varied_case(&format, columns[k % 13], k + k / 12, (ffai__activations)(k % 3));
        product_check(c, &p);
    }
    check_large(c, &format, 1, FFAI__ACTIVATIONS_FINE);
    check_large(c, &format, 1, FFAI__ACTIVATIONS_BF16);
}

static void check_dense_f32(checkop *c)
{
    check_dense(c, FFAI__F32);
    check_dense(c, FFAI__F64);
}

static void check_dense_f16(checkop *c)
{
    check_dense(c, FFAI__F16);
}

static void check_dense_bf16(checkop *c)
{
    check_dense(c, FFAI__BF16);
}

/* --- benchmarks --- */

typedef enum linear_mode { ONE_CACHED, ONE_MEMORY, MANY, PREPARE, PACK, LINEAR_MODES } linear_mode;

enum { BENCH_COLUMNS = 2048, BENCH_ROWS = 128, BENCH_INPUTS = 64, MEMORY_BYTES = 96 << 20 };

typedef struct timed_product {
    linear_mode mode;
    ffai__weight weight;
    ffai__packed packed;
    uint8_t *codes, *scales;
    float *x, *y;
    uint8_t *prepared;
    size_t input_bytes;
    int fetch_ahead;
} timed_product;

static void *memory_of(size_t bytes)
{
    void *memory = ffai__malloc_aligned(bytes);
    if (!memory)
        exit(1);
    return memory;
}

/* Numbers of ordinary size, whatever they are read as: the exponent's highest bits stay off. */
static uint8_t *random_bytes(size_t size)
{
    uint8_t *bytes = memory_of(size);
    uint32_t state = 1;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(i % 2 ? 0x38 | (state >> 30 << 6 & 0x80) : state >> 24);
    }
    return bytes;
}

static void multiply_timed(const timed_product *t)
{
    const ffai__linear_job job = {
        .packed = &t->packed,
        .y = t->y,
        .y_stride = t->weight.rows,
        .inputs = t->prepared,
        .input_bytes = t->input_bytes,
        .num_rows = t->mode == MANY ? BENCH_INPUTS : 1,
        .last = t->packed.num_tiles,
        .fetch_ahead = t->fetch_ahead,
    };
    ffai__linear_compute(&job);
}

static void run_product(void *context)
{
    const timed_product *t = context;
    switch (t->mode) {
    case PREPARE:
        ffai__linear_prepare(t->prepared, t->x, &t->packed);
        break;
    case PACK:
        ffai__packed_fill(&t->packed, 0, t->packed.num_tiles, NULL);
        break;
    default:
        multiply_timed(t);
        break;
    }
}

static void close_product(void *context)
{
    timed_product *t = context;
    ffai__free_aligned(t->packed.tiles);
    ffai__free_aligned(t->codes);
    ffai__free_aligned(t->scales);
    ffai__free_aligned(t->x);
    ffai__free_aligned(t->y);
    ffai__free_aligned(t->prepared);
    free(t);
}

static timed_product *open_product(const weight_format *format, const checkop_tier *tier, linear_mode mode,
                                   ffai__activations activations)
{
    timed_product *t = calloc(1, sizeof *t);
    if (!t)
        exit(1);
    t->mode = mode;
    t->weight = weight_of(format, BENCH_ROWS, BENCH_COLUMNS, 0);
    if (mode == ONE_MEMORY)
        t->weight.rows = (int64_t)(MEMORY_BYTES / ffai__weight_bytes(&t->weight)) * BENCH_ROWS;
    t->weight.data = t->codes = random_bytes((size_t)(ffai__weight_row_bytes(&t->weight) * (uint64_t)t->weight.rows));
    t->weight.scales = t->weight.biases = t->scales = random_bytes((size_t)t->weight.rows * BENCH_COLUMNS);
    if (ffai__packed_plan(&t->packed, &t->weight, tier->isa, &tier->features, activations, NULL) != FFAI_OK)
        exit(1);
    t->packed.tiles = memory_of((size_t)t->packed.num_tiles * (size_t)t->packed.tile_bytes);
    ffai__packed_fill(&t->packed, 0, t->packed.num_tiles, NULL);
    t->input_bytes = ffai__linear_input_bytes(&t->packed.input);
    t->fetch_ahead = ffai__fetch_ahead_usual(&tier->features);
    t->prepared = memory_of(BENCH_INPUTS * t->input_bytes);
    t->x = memory_of(BENCH_COLUMNS * sizeof(float));
    t->y = memory_of(BENCH_INPUTS * (size_t)t->weight.rows * sizeof(float));
    for (int i = 0; i < BENCH_COLUMNS; i++)
        t->x[i] = (float)((i * 7919) % 1000 - 500) * 0.001f;
    for (size_t i = 0; i < BENCH_INPUTS; i++)
        ffai__linear_prepare(t->prepared + i * t->input_bytes, t->x, &t->packed);
    return t;
}

static bool bench_formats(checkop_job *job, const checkop_tier *tier, int variant, const weight_format *formats,
                          int count, ffai__activations activations)
{
    static const char *const names[LINEAR_MODES] = {"1 row, cached", "1 row, memory", "64 rows", "prepare", "pack"};
    char text[48];
    if (variant >= count * LINEAR_MODES)
        return false;
    const weight_format *format = &formats[variant / LINEAR_MODES];
    const linear_mode mode = (linear_mode)(variant % LINEAR_MODES);
    timed_product *t = open_product(format, tier, mode, activations);
    const double tiles = (double)t->packed.num_tiles * (double)t->packed.tile_bytes;
    const double products = 2.0 * BENCH_COLUMNS * (double)t->weight.rows;
    *job = (checkop_job){.bytes = mode == PREPARE ? BENCH_COLUMNS * 4.0 : tiles,
                         .flops = mode >= PREPARE ? 0 : products * (mode == MANY ? BENCH_INPUTS : 1),
                         .memory = mode == ONE_MEMORY,
                         .run = run_product,
                         .close = close_product,
                         .context = t,
                         .code = mode == PACK ? (const void *)names : t->packed.kernels};
    snprintf(job->name, sizeof job->name, "%s, %s", format_text(format, text), names[mode]);
    return true;
}

static bool bench_fixed(checkop_job *job, const checkop_tier *tier, int variant)
{
    static const weight_format formats[] = {
        {FFAI__MLX_AFFINE, FFAI__BF16, 2, 64}, {FFAI__MLX_AFFINE, FFAI__BF16, 3, 64},
        {FFAI__MLX_AFFINE, FFAI__BF16, 4, 64}, {FFAI__MLX_AFFINE, FFAI__F16, 4, 32},
        {FFAI__MLX_AFFINE, FFAI__F16, 4, 128}, {FFAI__MLX_AFFINE, FFAI__BF16, 5, 64},
        {FFAI__MLX_AFFINE, FFAI__BF16, 6, 64}, {FFAI__MLX_AFFINE, FFAI__F32, 6, 16},
        {FFAI__MLX_AFFINE, FFAI__BF16, 8, 64}, {FFAI__GGUF_Q4_0, FFAI__F16, 4, 32},
        {FFAI__GGUF_Q4_1, FFAI__F16, 4, 32},   {FFAI__GGUF_Q5_0, FFAI__F16, 5, 32},
        {FFAI__GGUF_Q8_0, FFAI__F16, 8, 32},   {FFAI__GGUF_Q2_K, FFAI__F32, 2, 16},
        {FFAI__GGUF_Q3_K, FFAI__F32, 3, 16},   {FFAI__GGUF_Q4_K, FFAI__F32, 4, 32},
        {FFAI__GGUF_Q5_K, FFAI__F32, 5, 32},   {FFAI__GGUF_Q6_K, FFAI__F32, 6, 16},
    };
    return bench_formats(job, tier, variant, formats, sizeof formats / sizeof *formats, FFAI__ACTIVATIONS_FINE);
}

static bool bench_affine_f32(checkop_job *job, const checkop_tier *tier, int variant)
{
    static const weight_format format = {FFAI__MLX_AFFINE, FFAI__BF16, 4, 64};
    return bench_formats(job, tier, variant, &format, 1, FFAI__ACTIVATIONS_F32);
}

static bool bench_dense_f32(checkop_job *job, const checkop_tier *tier, int variant)
{
    static const weight_format format = {FFAI__DENSE, FFAI__F32, 0, 0};
    return bench_formats(job, tier, variant, &format, 1, FFAI__ACTIVATIONS_FINE);
}

static bool bench_dense_f16(checkop_job *job, const checkop_tier *tier, int variant)
{
    static const weight_format format = {FFAI__DENSE, FFAI__F16, 0, 0};
    return bench_formats(job, tier, variant, &format, 1, FFAI__ACTIVATIONS_FINE);
}

static bool bench_dense_bf16(checkop_job *job, const checkop_tier *tier, int variant)
{
    static const weight_format format = {FFAI__DENSE, FFAI__BF16, 0, 0};
    return bench_formats(job, tier, variant, &format, 1, FFAI__ACTIVATIONS_FINE);
}

#define FIXED_BAR                                                                                                      \
    "0.506 of a group's step (its largest |x| / 32512) times the sum of |w|, and (2 groups + 6) eps of the sum of "    \
    "|scale q x| + |bias x|: integers within a group, two fused additions for each"
#define AFFINE_BAR                                                                                                     \
    "(group + 2 groups + 8) eps of the sum of |scale q x| + |bias x|: one chain in a group, two for groups"
#define DENSE_BAR "(columns/2 + 4) eps of the sum of |w x|: two chains"
#define DENSE_BF16_BAR                                                                                                 \
    DENSE_BAR "; and for the input 2^-17 of it where that is in two bf16 parts, 2^-8 where it is rounded to one, and " \
              "2^-126 a product: AMX flushes denormals"

const checkop_kernel checkop_fixed = {FIXED_BAR, true, check_fixed, bench_fixed};
const checkop_kernel checkop_affine_f32 = {AFFINE_BAR, true, check_affine_f32, bench_affine_f32};
const checkop_kernel checkop_dense_f32 = {DENSE_BAR, false, check_dense_f32, bench_dense_f32};
const checkop_kernel checkop_dense_f16 = {DENSE_BAR, false, check_dense_f16, bench_dense_f16};
const checkop_kernel checkop_dense_bf16 = {DENSE_BF16_BAR, false, check_dense_bf16, bench_dense_bf16};
