/* Products of one row, kernel by kernel: of every format, against sums in double. */
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

enum { MATRIX_ROWS = 139 /* no whole units */, MOST_COLUMNS = 9344, BLOCK_THREADS = 32 * FFAI__CUDA_ROW_WARPS };

static float x[MOST_COLUMNS];
static float y[MATRIX_ROWS];

/* args: parts, and whether they are swiglu's. */
static void multiply(ffai__cuda_product_row_args args, int pieces, int units)
{
    static const char *const prefixes[] = {"product_row", "product_row_fine", "product_row_whole"};
    const ffai__cuda_matrix *m = &args.parts[0].matrix;
    const int each = units / (args.swiglu ? 2 : 1);
    int blocks = 0;
    for (int i = 0; i < (args.swiglu ? 1 : args.num_parts); i++) {
        args.first_block[i] = blocks;
        blocks += (args.parts[i].matrix.units + each - 1) / each;
    }
    args.step = step_of(1);
    args.x = x;
    args.pieces = pieces;
    args.units_a_block = units;
    CUDA_MODEL_RUN(kernel_name(prefixes[pieces - 1], m), (unsigned)blocks, BLOCK_THREADS,
                   (size_t)FFAI__CUDA_ROW_SHARED_BYTES(m->format, m->subgroups, pieces, m->spans, units), &args);
}

static void check(const float *of, const matrix *m, double bar)
{
    double most = 0;
    double squares = 0;
    for (int row = 0; row < m->weight.rows; row++) {
        const double expected = reference(m, x, 0, row);
        const double error = fabs(of[row] - expected);
        most = error <= most ? most : error; /* NaN is the most */
        squares += expected * expected;
    }
    const double relative = most / sqrt(squares / (double)m->weight.rows);
    if (!(relative < bar))
        fail_msg("%s, %d columns: error %g", kernel_name("product_row", &m->packed), (int)m->weight.columns, relative);
}

/* Numbers that inputs of every kind are whole with: seven bits. */
static void fill_whole(void)
{
    for (int i = 0; i < MOST_COLUMNS; i++)
        x[i] = roundf(fmaxf(-5, fminf(5, normal())) * 16) / 16;
}

/* Columns that end in a span and within one, fewer spans than a block has warps, and more. */
static void every_format_equals_the_reference(void **unused)
{
    (void)unused;
    static const int columns[] = {128, 640, 2048, 1152, 4736, 5120, 9344};
    static const int units[] = {1, 4, 7, 18};
    static matrix m;
    int number = 0;
    fill_whole();
    for (size_t f = 0; f < sizeof formats / sizeof *formats; f++) {
        for (int i = 0; i < 3; i++) {
            make(&m, MATRIX_ROWS, columns[number % 7], formats[f].bits, formats[f].group_size, formats[f].dtype);
            const ffai__cuda_product_row_args args = {.parts[0] = {.matrix = m.packed, .y = y}, .num_parts = 1};
            for (int pieces = 1; pieces <= 3; pieces++) {
                cuda_model_run_backwards(pieces == 2);
                multiply(args, pieces, units[number % 4]);
                cuda_model_run_backwards(false);
                check(y, &m, 1e-5);
            }
            release(&m);
            number++;
        }
    }
}

/* Inputs of 15 bits, blocks of 64 being as large as they may be and as small, and largest just below a power of two,
 * where the next step begins. */
static void inputs_are_as_fine_as_fifteen_bits(void **unused)
{
    (void)unused;
    static const float largest[] = {1, 0.999F, 0.997F, 0.9961F, 0.996F, 0.995F, 0.51F, 0.5F};
    static const int bits[] = {2, 3, 4, 5, 6, 8};
    static matrix m;
    for (int b = 0; b < 6; b++) {
        make(&m, 40, 1024, bits[b], 64, FFAI__F32);
        const ffai__cuda_product_row_args args = {.parts[0] = {.matrix = m.packed, .y = y}, .num_parts = 1};
        fill_x(x, 1024, false);
        for (int i = 0; i < 1024; i++) {
            const float bound = largest[(i / 64 + b) % 8] * (i / 64 % 4 == 3 ? 1024.0F : 1.0F);
            x[i] = i % 64 == 7 ? (i / 64 % 2 ? bound : -bound) : bound * fmaxf(-1, fminf(1, x[i] / 4));
        }
        multiply(args, 1, 3);
        check(y, &m, 4e-4); /* fourteen would be twice that, in a column beyond its byte much more */
        release(&m);
    }
}

static void several_matrices_and_what_is_added(void **unused)
{
    (void)unused;
    static const int matrix_rows[3] = {139, 40, 9};
    static matrix m[3];
    static float own[3][MATRIX_ROWS];
    static float before[MATRIX_ROWS];
    static float bias[MATRIX_ROWS];
    ffai__cuda_product_row_args args = {.num_parts = 3};
    for (int i = 0; i < 3; i++) {
        make(&m[i], matrix_rows[i], 1152, 5, 64, FFAI__BF16);
        args.parts[i] = (ffai__cuda_part){.matrix = m[i].packed, .y = own[i]};
    }
    for (int i = 0; i < MATRIX_ROWS; i++) {
        bias[i] = normal();
        own[2][i] = before[i] = normal();
    }
    args.parts[1].bias = bias;
    args.parts[2].residual = own[2]; /* in place */
    fill_whole();
    multiply(args, 1, 3);
    for (int i = 0; i < matrix_rows[1]; i++)
        own[1][i] -= bias[i];
    for (int i = 0; i < matrix_rows[2]; i++)
        own[2][i] -= before[i];
    for (int i = 0; i < 3; i++) {
        check(own[i], &m[i], 1e-5);
        release(&m[i]);
    }
}

/* Blocks of threads in which a warp's walk goes from the one matrix to the other within a unit, and at once. */
static void a_gate_and_its_product_are_one(void **unused)
{
    (void)unused;
    static const struct {
        int bits, columns, units;
    } cases[] = {{3, 640, 2}, {6, 2048, 6}, {4, 4736, 4}, {16, 640, 10}, {32, 2048, 4}, {8, 5120, 18}};
    static matrix m[2];
    static float bias[2][MATRIX_ROWS];
    for (int i = 0; i < 2 * MATRIX_ROWS; i++)
        bias[i / MATRIX_ROWS][i % MATRIX_ROWS] = 10 * normal();
    fill_whole();
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        ffai__cuda_product_row_args args = {.num_parts = 2, .swiglu = 1};
        for (int i = 0; i < 2; i++) {
            make(&m[i], MATRIX_ROWS, cases[k].columns, cases[k].bits, 64, FFAI__BF16);
            args.parts[i] = (ffai__cuda_part){.matrix = m[i].packed, .y = i ? NULL : y, .bias = bias[i]};
        }
        multiply(args, 1, cases[k].units);
        for (int row = 0; row < MATRIX_ROWS; row++) {
            const double gate = reference(&m[0], x, 0, row) + bias[0][row];
            const double up = reference(&m[1], x, 0, row) + bias[1][row];
            const double expected = gate / (1 + exp(-gate)) * up;
            assert_true(fabs(y[row] - expected) < 1e-3 * (fabs(gate) + fabs(up) + 1));
        }
        release(&m[0]);
        release(&m[1]);
    }
}

static void a_number_that_is_none_makes_none_of_the_outputs_one(void **unused)
{
    (void)unused;
    static const float values[] = {INFINITY, -INFINITY, NAN};
    static matrix m;
    make(&m, 40, 1152, 6, 32, FFAI__BF16);
    const ffai__cuda_product_row_args args = {.parts[0] = {.matrix = m.packed, .y = y}, .num_parts = 1};
    for (int i = 0; i < 3; i++) {
        fill_whole();
        x[700] = values[i];
        multiply(args, 1, 2);
        for (int row = 0; row < 40; row++)
            assert_true(0 == isfinite(y[row]));
    }
    release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_equals_the_reference),
        cmocka_unit_test(inputs_are_as_fine_as_fifteen_bits),
        cmocka_unit_test(several_matrices_and_what_is_added),
        cmocka_unit_test(a_gate_and_its_product_are_one),
        cmocka_unit_test(a_number_that_is_none_makes_none_of_the_outputs_one),
    };
    if (!cuda_model_has_kernels())
        return 77;
    setenv("FFAI_STUB_MEMORY", "4294967296", 1);
    return cmocka_run_group_tests(tests, NULL, leave);
}
