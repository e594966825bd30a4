/* Products of many rows by wgmma, kernel by kernel: of every format, against sums in double. */
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
    MATRIX_ROWS = 139, /* more than a block of threads takes, and no whole units */
    MOST_ROWS = 271,   /* of x: more than a block takes */
    MOST_COLUMNS = 4736,
    MOST_SPANS = (MOST_COLUMNS + 511) / 512,
    ROW_TILES = (MOST_ROWS + 7) / 8 + 1
};

static float x[MOST_ROWS * MOST_COLUMNS];
static float y[MOST_ROWS * MATRIX_ROWS];
static _Alignas(16) uint8_t pieces_of_x[2 * MOST_SPANS * 8 * ROW_TILES * FFAI__CUDA_X_TILE_BYTES];
static _Alignas(16) uint8_t sums[3 * FFAI__CUDA_SUM_BLOCKS(MOST_SPANS, 4) * ROW_TILES * FFAI__CUDA_X_TILE_BYTES];

static ffai__cuda_prepare_args prepare_args(const float *of, int64_t columns, int subgroups, int rows, int pieces)
{
    return (ffai__cuda_prepare_args){
        .step = step_of(rows),
        .x = of,
        .pieces = (uint32_t *)pieces_of_x,
        .sums = (float *)sums,
        .columns = columns,
        .spans = (int32_t)((columns + 511) / 512),
        .subgroups = subgroups,
        .num_pieces = pieces,
        .order = FFAI__CUDA_ORDER_WGMMA,
        .row_tiles = ROW_TILES,
    };
}

static void prepare(const ffai__cuda_matrix *m, int rows, int pieces)
{
    const ffai__cuda_prepare_args args = prepare_args(x, m->columns, m->subgroups, rows, pieces);
    memset(pieces_of_x, 0xFF, sizeof pieces_of_x);
    memset(sums, 0xFF, sizeof sums);
    CUDA_MODEL_RUN("prepare", 3, 256, 0, &args);
}

/* args: parts, and whether they are swiglu's. */
static void multiply(ffai__cuda_product_wgmma_args args, int rows, int pieces)
{
    const ffai__cuda_matrix *m = &args.parts[0].matrix;
    const int units = FFAI__CUDA_WGMMA_UNITS / (args.swiglu ? 2 : 1);
    const int rows_a_block = FFAI__CUDA_WGMMA_ROWS(m->format);
    int blocks = 0;
    for (int i = 0; i < (args.swiglu ? 1 : args.num_parts); i++) {
        args.first_block[i] = blocks;
        blocks += (args.parts[i].matrix.units + units - 1) / units;
    }
    args.step = step_of(rows);
    args.pieces = (const uint32_t *)pieces_of_x;
    args.sums = (const float *)sums;
    args.row_tiles = ROW_TILES;
    prepare(m, rows, pieces);
    blocks = (blocks + FFAI__CUDA_WGMMA_CLUSTER - 1) / FFAI__CUDA_WGMMA_CLUSTER * FFAI__CUDA_WGMMA_CLUSTER;
    const cuda_model_index grid = {(unsigned)((rows + rows_a_block - 1) / rows_a_block) + 1, (unsigned)blocks, 1};
    const char *failed = cuda_model_launch_grid(
        cuda_model_find(kernel_name(pieces == 1 ? "product_wgmma" : "product_wgmma_fine", m)), grid,
        FFAI__CUDA_WGMMA_THREADS, (size_t)FFAI__CUDA_WGMMA_SHARED_BYTES(m->format, m->subgroups), &args);
    if (failed)
        fail_msg("%s", failed);
}

/* Some of the rows of x, since double sums take long. */
static void check(const float *of, const matrix *m, int rows, double bar)
{
    double most = 0;
    double squares = 0;
    int count = 0;
    for (int t = 0; t < rows; t += t + 9 < rows ? 9 : 1) {
        for (int row = 0; row < m->weight.rows; row++, count++) {
            const double expected = reference(m, x, t, row);
            const double error = fabs(of[t * m->weight.rows + row] - expected);
            most = error <= most ? most : error; /* NaN is the most */
            squares += expected * expected;
        }
    }
    const double relative = most / sqrt(squares / count);
    if (!(relative < bar))
        fail_msg("%s, %d columns: %d rows: error %g", kernel_name("product_wgmma", &m->packed), (int)m->weight.columns,
                 rows, relative);
}

static void every_format_equals_the_reference(void **unused)
{
    (void)unused;
    static const int columns[] = {128, 640, 1152, 384, 896};
    static const int rows[] = {65, 97, 1, 130, 8};
    static matrix m;
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
        make(&m, MATRIX_ROWS, columns[f % 5], formats[f].bits, formats[f].group_size, formats[f].dtype);
        const ffai__cuda_product_wgmma_args args = {.parts[0] = {.matrix = m.packed, .y = y}, .num_parts = 1};
        for (int pieces = 1; pieces <= 2; pieces++) {
            fill_x(x, sizeof x / sizeof *x, pieces == 1);
            cuda_model_run_backwards(f % 2);
            multiply(args, rows[(f + (size_t)pieces) % 5], pieces);
            cuda_model_run_backwards(false);
            check(y, &m, rows[(f + (size_t)pieces) % 5], pieces == 1 ? 2e-5 : 1e-4);
        }
        release(&m);
    }
}

/* More columns than one block of sums is for, and more rows of x than one block of threads. */
static void long_rows_and_many_of_them(void **unused)
{
    (void)unused;
    static matrix m;
    static const struct {
        int bits, group_size, rows;
    } cases[] = {{4, 64, 100}, {3, 32, 65}, {4, 64, 200}, {8, 128, 200}, {16, 0, 271}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make(&m, 24, MOST_COLUMNS, cases[i].bits, cases[i].group_size, FFAI__BF16);
        const ffai__cuda_product_wgmma_args args = {.parts[0] = {.matrix = m.packed, .y = y}, .num_parts = 1};
        fill_x(x, sizeof x / sizeof *x, true);
        for (int turn = 0; turn < 2; turn++) { /* no block writes what is another's, whichever comes last */
            cuda_model_run_backwards(turn == 1);
            multiply(args, cases[i].rows, 1);
            cuda_model_run_backwards(false);
            check(y, &m, cases[i].rows, 2e-5);
        }
        release(&m);
    }
}

static void several_matrices_and_what_is_added(void **unused)
{
    (void)unused;
    static const int matrix_rows[3] = {139, 40, 9};
    static matrix m[3];
    static float own[3][MOST_ROWS * MATRIX_ROWS];
    static float before[MOST_ROWS * MATRIX_ROWS];
    static float bias[MATRIX_ROWS];
    ffai__cuda_product_wgmma_args args = {.num_parts = 3};
    for (int i = 0; i < 3; i++) {
        make(&m[i], matrix_rows[i], 640, 4, 64, FFAI__BF16);
        args.parts[i] = (ffai__cuda_part){.matrix = m[i].packed, .y = own[i]};
    }
    for (int i = 0; i < MATRIX_ROWS; i++)
        bias[i] = normal();
    for (size_t i = 0; i < sizeof before / sizeof *before; i++)
        own[2][i] = before[i] = normal();
    args.parts[1].bias = bias;
    args.parts[2].residual = own[2]; /* in place */
    fill_x(x, sizeof x / sizeof *x, true);
    multiply(args, 101, 1);
    for (int i = 0; i < 101 * matrix_rows[1]; i++)
        own[1][i] -= bias[i % matrix_rows[1]];
    for (int i = 0; i < 101 * matrix_rows[2]; i++)
        own[2][i] -= before[i];
    for (int i = 0; i < 3; i++) {
        check(own[i], &m[i], 101, 2e-5);
        release(&m[i]);
    }
}

static void a_gate_and_its_product_are_one(void **unused)
{
    (void)unused;
    static const int bits[] = {4, 16};
    static matrix m[2];
    static float bias[2][MATRIX_ROWS];
    for (int i = 0; i < 2 * MATRIX_ROWS; i++)
        bias[i / MATRIX_ROWS][i % MATRIX_ROWS] = 10 * normal();
    for (int k = 0; k < 2; k++) {
        ffai__cuda_product_wgmma_args args = {.num_parts = 2, .swiglu = 1};
        for (int i = 0; i < 2; i++) {
            make(&m[i], MATRIX_ROWS, 640, bits[k], 64, FFAI__BF16);
            args.parts[i] = (ffai__cuda_part){.matrix = m[i].packed, .y = i ? NULL : y, .bias = bias[i]};
        }
        fill_x(x, sizeof x / sizeof *x, true);
        multiply(args, 130, 1);
        for (int t = 0; t < 130; t += 3) {
            for (int row = 0; row < MATRIX_ROWS; row++) {
                const double gate = reference(&m[0], x, t, row) + bias[0][row];
                const double up = reference(&m[1], x, t, row) + bias[1][row];
                const double expected = gate / (1 + exp(-gate)) * up;
                assert_true(fabs(y[t * MATRIX_ROWS + row] - expected) < 1e-3 * (fabs(gate) + fabs(up) + 1));
            }
        }
        release(&m[0]);
        release(&m[1]);
    }
}

/* Where a row of a block of 64 columns, or of sums, stands. */
static const uint16_t *prepared_row(const uint8_t *from, int block, int row)
{
    return (const void *)(from + ((int64_t)block * ROW_TILES + row / 8) * FFAI__CUDA_X_TILE_BYTES + row % 8 * 128);
}

static float bf16(uint16_t bits)
{
    const uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

static void compare_passed(const uint8_t *passed, const uint8_t *passed_sums, int rows, int pieces, int subgroups)
{
    enum { BLOCKS = (MATRIX_ROWS + 127) / 128 * 2 };
    for (int i = 0; i < pieces * BLOCKS * rows; i++) {
        const int block = i / rows / BLOCKS * 8 + i / rows % BLOCKS;
        assert_memory_equal(prepared_row(passed, block, i % rows), prepared_row(pieces_of_x, block, i % rows), 128);
    }
    const int blocks = FFAI__CUDA_SUM_BLOCKS(1, subgroups);
    for (int i = 0; i < blocks * rows * 64; i++) {
        double is = 0, expected = 0;
        for (int piece = 0; piece < FFAI__CUDA_SUM_PIECES(pieces); piece++) {
            const int block = piece * blocks + i / 64 / rows;
            is += (double)bf16(prepared_row(passed_sums, block, i / 64 % rows)[i % 64]);
            expected += (double)bf16(prepared_row(sums, block, i / 64 % rows)[i % 64]);
        }
        assert_true(fabs(is - expected) <= 1e-4 * fabs(expected) + 1e-3);
    }
}

/* What the next product finds is what preparing the results would make of them. */
static void a_gate_and_its_product_are_passed_on(void **unused)
{
    (void)unused;
    enum { ROWS = 202 };
    static matrix m[2];
    static _Alignas(16) uint8_t passed[sizeof pieces_of_x], passed_sums[sizeof sums];
    for (int k = 0; k < 4; k++) {
        const int pieces = 1 + k % 2;
        const int subgroups = 1 << k % 3;
        ffai__cuda_product_wgmma_args args = {.num_parts = 2, .swiglu = 1};
        for (int i = 0; i < 2; i++) {
            make(&m[i], MATRIX_ROWS, 384, k < 2 ? 4 : 16, 64, FFAI__BF16);
            args.parts[i] = (ffai__cuda_part){.matrix = m[i].packed, .y = i ? NULL : y};
        }
        fill_x(x, sizeof x / sizeof *x, true);
        multiply(args, ROWS, 1);
        args.next = prepare_args(NULL, MATRIX_ROWS, subgroups, ROWS, pieces);
        args.next.pieces = (uint32_t *)passed;
        args.next.sums = (float *)passed_sums;
        memset(passed, 0xFF, sizeof passed);
        memset(passed_sums, 0xFF, sizeof passed_sums);
        cuda_model_run_backwards(k % 2);
        multiply(args, ROWS, 1);
        cuda_model_run_backwards(false);
        const ffai__cuda_prepare_args expected = prepare_args(y, MATRIX_ROWS, subgroups, ROWS, pieces);
        CUDA_MODEL_RUN("prepare", 3, 256, 0, &expected);
        compare_passed(passed, passed_sums, ROWS, pieces, subgroups);
        release(&m[0]);
        release(&m[1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_equals_the_reference),    cmocka_unit_test(long_rows_and_many_of_them),
        cmocka_unit_test(several_matrices_and_what_is_added),   cmocka_unit_test(a_gate_and_its_product_are_one),
        cmocka_unit_test(a_gate_and_its_product_are_passed_on),
    };
    if (!cuda_model_has_kernels())
        return 77;
    setenv("FFAI_STUB_MEMORY", "4294967296", 1);
    return cmocka_run_group_tests(tests, NULL, leave);
}
