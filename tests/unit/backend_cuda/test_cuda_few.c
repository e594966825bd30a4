/* Products of a few rows, kernel by kernel: of every format, on every way to share them out, against sums in double;
 * and that a row's bits hang on nothing but the matrix and the number of blocks. */
#define _GNU_SOURCE
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "cuda_matrix.h"
#include "launch.h"

enum {
    MATRIX_ROWS = 75, /* not whole units, nor as many as a block's warps take */
    MOST_ROWS = 35,
    MOST_COLUMNS = 1152,
    MOST_SUMS = 16 * 64 * 256, /* [splits][split_rows][rows of all matrices] */
    MOST_SHARED = 227 << 10
};

/* --- a product --- */

/* How a product is shared out. */
typedef struct sharing {
    int rows, pieces, warps, stages, tiles;
    int splits;   /* of the columns, at most */
    int blocks;   /* of the grid, at most; 0: one for each item */
    bool grouped; /* by product_group */
} sharing;

static const char *prefix(const sharing *s)
{
    if (s->grouped)
        return s->pieces == 1 ? "product_group" : "product_group_fine";
    return s->pieces == 1 ? "product_few" : "product_few_fine";
}

static _Alignas(16) float x[MOST_ROWS * MOST_COLUMNS];
static _Alignas(16) uint32_t pieces[(MOST_ROWS + 7) / 8 * 3 * (MOST_COLUMNS + 511) / 512 * 8 * 2 * 32 * 4];
static _Alignas(16) float sums[(MOST_ROWS + 7) / 8 * (MOST_COLUMNS + 511) / 512 * 8 * 4 * 8];
static _Alignas(16) float parts[MOST_SUMS];

static void prepare(const ffai__cuda_matrix *m, const sharing *s)
{
    const ffai__cuda_prepare_few_args args = {
        .prepare = {.step = step_of(s->rows),
                    .x = x,
                    .pieces = pieces,
                    .sums = sums,
                    .columns = m->columns,
                    .spans = m->spans,
                    .subgroups = m->subgroups,
                    .num_pieces = s->pieces,
                    .order = s->grouped ? FFAI__CUDA_ORDER_GROUP : FFAI__CUDA_ORDER_MMA},
        .result = {.y = x, .columns = m->columns},
    };
    memset(pieces, 0xFF, sizeof pieces);
    memset(sums, 0xFF, sizeof sums);
    CUDA_MODEL_RUN("prepare_few", 3, 128, 0, &args);
}

/* Returns the items. */
static int share_out(ffai__cuda_product_few_args *args, const sharing *s)
{
    const ffai__cuda_matrix *m = &args->parts[0].matrix;
    const int units = s->warps * FFAI__CUDA_FEW_UNITS / (args->swiglu ? 2 : 1);
    const int stage_tiles = FFAI__CUDA_FEW_STAGE_TILES(m->format);
    const int stages = (m->tiles + stage_tiles - 1) / stage_tiles;
    for (int i = 0; i < (args->swiglu ? 1 : args->num_parts); i++) {
        args->first_block[i] = args->blocks;
        args->blocks += (args->parts[i].matrix.units + units - 1) / units;
    }
    args->num_pieces = s->pieces;
    args->tiles = s->tiles;
    args->groups = (s->rows + 8 * s->tiles - 1) / (8 * s->tiles);
    args->stages = s->stages;
    args->splits = s->splits < stages ? s->splits : stages;
    args->split_rows = 8 * s->tiles * args->groups;
    return args->blocks * args->groups * args->splits;
}

/* What is in parts is for `join`, which args.num_results then counts. */
static ffai__cuda_join_args leave_parts(ffai__cuda_product_few_args *args)
{
    ffai__cuda_join_args join = {.step = args->step, .num_results = args->swiglu ? 1 : args->num_parts};
    float *next = parts;
    for (int i = 0; i < args->num_parts; i++) {
        ffai__cuda_part *p = &args->parts[i];
        const int64_t stride = p->matrix.units * FFAI__CUDA_UNIT_ROWS;
        join.results[i] = (ffai__cuda_parted){
            .sums = next,
            .bias = p->bias,
            .residual = p->residual,
            .y = p->y,
            .columns = p->matrix.rows,
            .stride = stride,
            .splits = args->splits,
            .split_rows = args->split_rows,
        };
        p->y = next;
        p->bias = p->residual = NULL;
        next += args->splits * args->split_rows * stride;
    }
    assert_true(next - parts <= MOST_SUMS);
    if (args->swiglu) {
        join.results[0].up = join.results[1].sums;
        join.results[0].up_bias = join.results[1].bias;
    }
    return join;
}

static int shared_bytes(const ffai__cuda_matrix *m, const sharing *s)
{
    const bool wide = m->scale_format == FFAI__CUDA_SCALES_F32;
    return 1024 + s->stages * FFAI__CUDA_FEW_STAGE_BYTES(m->format, m->subgroups, wide, s->pieces, s->warps, s->tiles);
}

/* args: parts, and whether they are swiglu's. */
static void multiply(ffai__cuda_product_few_args args, const sharing *s)
{
    const ffai__cuda_matrix *m = &args.parts[0].matrix;
    const int items = share_out(&args, s);
    const int blocks = s->blocks && s->blocks < items ? s->blocks : items;
    ffai__cuda_join_args join = {.num_results = 0};
    args.step = step_of(s->rows);
    args.pieces = pieces;
    args.sums = sums;
    prepare(m, s);
    memset(parts, 0xFF, sizeof parts);
    if (args.splits > 1)
        join = leave_parts(&args);
    CUDA_MODEL_RUN(kernel_name(prefix(s), m), (unsigned)blocks, (unsigned)s->warps * 32, (size_t)shared_bytes(m, s),
                   &args);
    if (join.num_results)
        CUDA_MODEL_RUN("join", 2, 64, 0, &join);
}

static bool has_room(const ffai__cuda_matrix *m, const sharing *s)
{
    return shared_bytes(m, s) <= MOST_SHARED;
}

static void multiply_one(float *y, const matrix *m, const sharing *s)
{
    const ffai__cuda_product_few_args args = {.parts[0] = {.matrix = m->packed, .y = y}, .num_parts = 1};
    multiply(args, s);
}

static void check(const float *y, const matrix *m, const sharing *s, double bar)
{
    double most = 0;
    double squares = 0;
    for (int t = 0; t < s->rows; t++) {
        for (int row = 0; row < m->weight.rows; row++) {
            const double expected = reference(m, x, t, row);
            const double error = fabs(y[t * m->weight.rows + row] - expected);
            most = error <= most ? most : error; /* NaN is the most */
            squares += expected * expected;
        }
    }
    const double relative = most / sqrt(squares / (double)(s->rows * m->weight.rows));
    if (!(relative < bar))
        fail_msg("%s, %d columns: %d rows, %d pieces, %d warps, %d stages, %d tiles, %d splits, %d blocks: error %g",
                 kernel_name(prefix(s), &m->packed), (int)m->weight.columns, s->rows, s->pieces, s->warps, s->stages,
                 s->tiles, s->splits, s->blocks, relative);
}

/* --- every format --- */

/* A few for each: all formats, columns that end in a stage, within one, and within a span. */
static const sharing sharings[] = {
    {2, 1, 8, 4, 1, 3, 0, false},  {9, 1, 2, 3, 2, 1, 3, false},  {17, 1, 1, 2, 4, 5, 1, false},
    {32, 1, 8, 2, 4, 2, 2, false}, {33, 1, 2, 2, 4, 4, 7, false}, {35, 1, 1, 4, 1, 9, 5, false},
    {3, 2, 2, 2, 1, 2, 4, false},  {24, 2, 4, 2, 4, 1, 3, false}, {7, 3, 1, 3, 1, 3, 2, false},
    {33, 3, 2, 2, 2, 1, 0, false}, {20, 1, 8, 2, 4, 4, 3, false}, {2, 1, 8, 4, 1, 3, 0, true},
    {9, 1, 4, 3, 2, 1, 3, true},   {17, 1, 4, 2, 4, 5, 1, true},  {32, 1, 8, 2, 4, 2, 2, true},
    {33, 1, 4, 2, 4, 4, 7, true},  {35, 1, 8, 4, 1, 9, 5, true},  {12, 2, 8, 2, 2, 2, 0, true},
    {24, 2, 4, 2, 4, 1, 3, true},  {3, 2, 4, 2, 1, 3, 2, true},
};

static void every_format_equals_the_reference(void **unused)
{
    (void)unused;
    static const int columns[] = {1024, 1152, 640, 384, 128};
    static matrix m;
    static float y[MOST_ROWS * MATRIX_ROWS];
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
        make(&m, MATRIX_ROWS, columns[f % 5], formats[f].bits, formats[f].group_size, formats[f].dtype);
        for (size_t i = 0; i < sizeof sharings / sizeof *sharings; i++) {
            const sharing *s = &sharings[i];
            if (!has_room(&m.packed, s))
                continue;
            fill_x(x, sizeof x / sizeof *x, s->pieces == 1);
            multiply_one(y, &m, s);
            check(y, &m, s, s->pieces == 1 ? 1e-4 : s->pieces == 2 ? 1e-4 : 1e-5);
        }
        release(&m);
    }
}

/* --- the same bits --- */

/* However many rows there are, however they are grouped, and however many blocks of threads there are. */
static void a_rows_bits_hang_on_the_matrix_alone(void **unused)
{
    (void)unused;
    static const int bits[] = {4, 16};
    static const int splits[] = {1, 2, 5};
    static const int rows[] = {1, 2, 8, 9, 16, 23, 32};
    static matrix m;
    static float all[MOST_ROWS * MATRIX_ROWS];
    static float some[MOST_ROWS * MATRIX_ROWS];
    for (int i = 0; i < 12; i++) {
        make(&m, MATRIX_ROWS, 1152, bits[i / 3 % 2], 64, FFAI__BF16);
        fill_x(x, sizeof x / sizeof *x, false);
        sharing s = {32, 1, 4, 3, 4, splits[i % 3], 0, i >= 6};
        multiply_one(all, &m, &s);
        for (size_t k = 0; k < sizeof rows / sizeof *rows; k++) {
            s.rows = rows[k];
            s.tiles = rows[k] > 16 ? 4 : rows[k] > 8 ? 2 : 1;
            s.stages = 2 + (int)k % 3;
            s.blocks = (int)k;
            cuda_model_run_backwards(k % 2);
            multiply_one(some, &m, &s);
            cuda_model_run_backwards(false);
            assert_memory_equal(all, some, (size_t)(rows[k] * MATRIX_ROWS) * sizeof *all);
        }
        release(&m);
    }
}

/* --- several matrices, and what is added --- */

static void several_matrices_share_one_list(void **unused)
{
    (void)unused;
    static const int rows[3] = {75, 40, 9};
    static matrix m[3];
    static _Alignas(16) float y[3][MOST_ROWS * (MATRIX_ROWS + 1)];
    static _Alignas(16) float bias[MATRIX_ROWS];
    static float before[MOST_ROWS * MATRIX_ROWS];
    ffai__cuda_product_few_args args = {.num_parts = 3};
    for (int i = 0; i < 3; i++) {
        make(&m[i], rows[i], 640, 4, 64, FFAI__BF16);
        args.parts[i] = (ffai__cuda_part){.matrix = m[i].packed, .y = y[i]};
    }
    for (int i = 0; i < MATRIX_ROWS; i++)
        bias[i] = normal();
    args.parts[1].bias = bias;
    args.parts[2].residual = y[2]; /* in place */
    for (size_t k = 0; k < sizeof sharings / sizeof *sharings; k++) {
        const sharing *s = &sharings[k];
        fill_x(x, sizeof x / sizeof *x, s->pieces == 1);
        for (size_t i = 0; i < sizeof before / sizeof *before; i++)
            before[i] = normal();
        memcpy(y[2], before, sizeof before);
        multiply(args, s);
        for (int i = 0; i < s->rows * rows[1]; i++)
            y[1][i] -= bias[i % rows[1]];
        for (int i = 0; i < s->rows * rows[2]; i++)
            y[2][i] -= before[i];
        for (int i = 0; i < 3; i++)
            check(y[i], &m[i], s, 1e-4);
    }
    for (int i = 0; i < 3; i++)
        release(&m[i]);
}

static void a_gate_and_its_product_are_one(void **unused)
{
    (void)unused;
    static matrix m[2];
    static float y[MOST_ROWS * MATRIX_ROWS];
    ffai__cuda_product_few_args args = {.num_parts = 2, .swiglu = 1};
    for (int i = 0; i < 2; i++) {
        make(&m[i], MATRIX_ROWS, 640, 4, 64, FFAI__BF16);
        args.parts[i] = (ffai__cuda_part){.matrix = m[i].packed, .y = i ? NULL : y};
    }
    for (size_t k = 0; k < sizeof sharings / sizeof *sharings; k++) {
        const sharing *s = &sharings[k];
        fill_x(x, sizeof x / sizeof *x, s->pieces == 1);
        multiply(args, s);
        for (int t = 0; t < s->rows; t++) {
            for (int row = 0; row < MATRIX_ROWS; row++) {
                const double gate = reference(&m[0], x, t, row);
                const double up = reference(&m[1], x, t, row);
                const double expected = gate / (1 + exp(-gate)) * up;
                const double bar = 1e-3 * (fabs(gate) + fabs(up) + 1); /* either is off by so much of their usual 25 */
                assert_true(fabs(y[t * MATRIX_ROWS + row] - expected) < bar);
            }
        }
    }
    for (int i = 0; i < 2; i++)
        release(&m[i]);
}

/* --- between products --- */

typedef struct preparing {
    int columns, rows, subgroups, pieces, splits;
    bool has_norm, gates;
} preparing;

static _Alignas(16) float w[MOST_COLUMNS], result_bias[MOST_COLUMNS];
static _Alignas(16) float residual[MOST_ROWS * MOST_COLUMNS];

/* Row t's number c, put together as kernels do. */
static float result_number(const ffai__cuda_parted *r, const float *from, const float *bias, int t, int c)
{
    float sum = from[t * r->stride + c];
    for (int i = 1; i < r->splits; i++)
        sum += from[(i * r->split_rows + t) * r->stride + c];
    return bias ? sum + bias[c] : sum;
}

static float expected_x(const ffai__cuda_parted *r, int t, int c)
{
    const float y = result_number(r, r->sums, r->bias, t, c);
    if (r->up)
        return y / (1 + expf(-y)) * result_number(r, r->up, r->up_bias, t, c);
    return y + r->residual[t * r->columns + c];
}

/* x [rows][columns] of a result in parts, its norm, and what the kernel of many rows makes of it. */
static void expect(ffai__cuda_prepare_few_args *args, const preparing *p, float *normed)
{
    for (int t = 0; t < p->rows; t++) {
        double squares = 0;
        for (int c = 0; c < p->columns; c++) {
            normed[t * p->columns + c] = expected_x(&args->result, t, c);
            squares += (double)normed[t * p->columns + c] * normed[t * p->columns + c];
        }
        const float scale = (float)(1 / sqrt(squares / p->columns + 1e-5));
        for (int c = 0; c < p->columns && p->has_norm; c++)
            normed[t * p->columns + c] *= scale * w[c];
    }
    ffai__cuda_prepare_args plain = args->prepare;
    plain.x = normed;
    plain.pieces = pieces;
    plain.sums = sums;
    CUDA_MODEL_RUN("prepare", 2, 256, 0, &plain);
}

/* The first pieces are the same but for a last bit, and sums nearly. */
static void compare(const ffai__cuda_prepare_args *own, const preparing *p)
{
    const size_t tile_words = (size_t)own->spans * 8 * 2 * 32 * 4;
    for (int tile = 0; tile < p->rows / 8; tile++) {
        for (size_t k = 0; k < 2 * tile_words; k++) {
            const size_t at = 2 * (size_t)(tile * p->pieces) * tile_words + k;
            const int a = ((const uint16_t *)own->pieces)[at];
            const int b = ((const uint16_t *)pieces)[at];
            assert_true(abs(a - b) <= 1 || ((a | b) & 0x7FFF) < 0x3000); /* 1e-10 */
        }
    }
    for (int k = 0; k < p->rows / 8 * own->spans * 8 * p->subgroups * 8; k++)
        assert_true(fabsf(own->sums[k] - sums[k]) < 0.1f);
}

static void check_preparing(const preparing *p)
{
    static _Alignas(16) float y[MOST_ROWS * MOST_COLUMNS];
    static _Alignas(16) float normed[MOST_ROWS * MOST_COLUMNS];
    static _Alignas(16) uint32_t own[sizeof pieces / sizeof *pieces];
    static _Alignas(16) float own_sums[sizeof sums / sizeof *sums];
    const int stride = (p->columns + 7) / 8 * 8;
    const int spans = (p->columns + 511) / 512;
    ffai__cuda_prepare_few_args args = {
        .prepare = {.step = step_of(p->rows),
                    .x = y,
                    .pieces = own,
                    .sums = own_sums,
                    .columns = p->columns,
                    .spans = spans,
                    .subgroups = p->subgroups,
                    .num_pieces = p->pieces},
        .result = {.sums = parts,
                   .bias = result_bias,
                   .y = y,
                   .columns = p->columns,
                   .stride = stride,
                   .splits = p->splits,
                   .split_rows = p->rows},
        .norm = p->has_norm ? w : NULL,
        .eps = 1e-5f,
    };
    const int64_t numbers = (int64_t)p->splits * p->rows * stride;
    assert_true(2 * numbers <= MOST_SUMS);
    fill_x(parts, (size_t)(2 * numbers), false);
    if (p->gates)
        args.result.up = parts + numbers;
    else
        args.result.residual = residual;
    /* Of a norm a block has the row; several blocks, and threads with several columns, otherwise. */
    const cuda_model_index grid = {3, p->has_norm ? 1 : 2, 1};
    const char *fault =
        cuda_model_launch_grid(cuda_model_find("prepare_few"), grid, p->rows % 16 ? 128 : 512, 0, &args);
    if (fault)
        fail_msg("%s", fault);
    for (int t = 0; t < p->rows; t++) {
        for (int c = 0; c < p->columns; c++) {
            const float x_tc = expected_x(&args.result, t, c);
            assert_true(fabsf(y[t * p->columns + c] - x_tc) <= 1e-5f * (1 + fabsf(x_tc)));
        }
    }
    expect(&args, p, normed);
    compare(&args.prepare, p);
}

/* What prepares a few rows for a product does what join, a norm and prepare do. */
static void results_are_put_together_normed_and_prepared(void **unused)
{
    (void)unused;
    static const preparing ways[] = {
        {1024, 8, 1, 1, 1, true, false}, {130, 16, 2, 2, 3, true, false},  {1027, 8, 4, 3, 2, true, false},
        {1152, 8, 1, 1, 9, true, false}, {640, 16, 4, 2, 8, false, false}, {1027, 8, 2, 1, 2, false, true},
        {512, 16, 1, 1, 4, false, true},
    };
    for (int c = 0; c < MOST_COLUMNS; c++) {
        w[c] = 1 + 0.1f * normal();
        result_bias[c] = normal();
    }
    for (size_t i = 0; i < sizeof residual / sizeof *residual; i++)
        residual[i] = normal();
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        check_preparing(&ways[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_equals_the_reference),
        cmocka_unit_test(a_rows_bits_hang_on_the_matrix_alone),
        cmocka_unit_test(several_matrices_share_one_list),
        cmocka_unit_test(a_gate_and_its_product_are_one),
        cmocka_unit_test(results_are_put_together_normed_and_prepared),
    };
    if (!cuda_model_has_kernels())
        return 77;
    setenv("FFAI_STUB_MEMORY", "4294967296", 1);
    return cmocka_run_group_tests(tests, NULL, leave);
}
