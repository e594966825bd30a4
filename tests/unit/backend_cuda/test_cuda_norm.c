// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/args.h"
#include "launch.h"

enum { ROWS = 5, OUTPUTS = 2, MOST_COLUMNS = 8192, MOST = ROWS * MOST_COLUMNS };

static _Alignas(16) float x[MOST], y[MOST], w[MOST_COLUMNS];

static const ffai__cuda_sizes sizes = {.num_rows = ROWS, .num_outputs = OUTPUTS};

static void fill(float *values, int64_t count, float most)
{
    for (int64_t i = 0; i < count; i++)
        values[i] = most * ((float)rand() / (float)RAND_MAX * 2 - 1);
}

typedef struct norm_case {
    int64_t width, columns;
    float eps;
    int of_outputs;
} norm_case;

static void run(const norm_case *c, bool by_warps, unsigned blocks, const float *from)
{
    const ffai__cuda_rms_norm_args args = {.step = {.sizes = &sizes},
                                           .y = y,
                                           .x = from,
                                           .w = w,
                                           .width = c->width,
                                           .columns = c->columns,
                                           .eps = c->eps,
                                           .of_outputs = c->of_outputs};
    CUDA_MODEL_RUN(by_warps ? "rms_norm_warps" : "rms_norm_blocks", blocks, FFAI__CUDA_NORM_THREADS,
                   by_warps ? 0 : FFAI__CUDA_NORM_SHARED_BYTES, &args);
}

/* A square's sum is rounded once for each other that its thread adds to it, and in the tree; half of that is left
 * behind the root. Then four roundings: the mean, the root, its inverse and a product, and the other product. */
static double bar(int64_t width, bool by_warps)
{
    const int64_t threads = by_warps ? 32 : FFAI__CUDA_NORM_THREADS;
    const int64_t columns_at_once = width % 4 ? threads : 4 * threads;
    const int64_t sums = (width + columns_at_once - 1) / columns_at_once + 2 + 5 + 8;
    return ((double)sums / 2 + 5) * 0x1p-24;
}

static void check_spans(const norm_case *c, bool by_warps)
{
    const int64_t rows = c->of_outputs ? OUTPUTS : ROWS;
    for (int64_t s = 0; s < rows * c->columns / c->width; s++) {
        double squares = 0;
        for (int64_t i = 0; i < c->width; i++)
            squares += (double)x[s * c->width + i] * (double)x[s * c->width + i];
        const double scale = 1 / sqrt(squares / (double)c->width + (double)c->eps);
        for (int64_t i = 0; i < c->width; i++) {
            const double expected = (double)x[s * c->width + i] * scale * (double)w[i];
            const double got = (double)y[s * c->width + i];
            if (!(fabs(got - expected) <= bar(c->width, by_warps) * fabs(expected)))
                fail_msg("width %d, span %d, column %d: %.9g, not %.9g", (int)c->width, (int)s, (int)i, got, expected);
        }
    }
    for (int64_t i = rows * c->columns; i < MOST; i++)
        assert_true(y[i] == 7);
}

static void check(const norm_case *c, bool by_warps, unsigned blocks)
{
    static float in_place[MOST];
    fill(x, MOST, 3);
    fill(w, c->width, 2);
    for (int i = 0; i < MOST; i++)
        y[i] = 7;
    run(c, by_warps, blocks, x);
    check_spans(c, by_warps);
    memcpy(in_place, y, sizeof y);
    memcpy(y, x, sizeof y);
    run(c, by_warps, blocks == 3 ? 1 : 3, y); /* another grid and in place: the same bits */
    const int64_t count = (c->of_outputs ? OUTPUTS : ROWS) * c->columns;
    assert_memory_equal(y, in_place, (size_t)count * sizeof *y);
}

static void skip_without_kernels(void)
{
    if (!cuda_model_has_kernels())
        skip();
    srand(9);
}

static void a_warp_norms_each_head(void **state)
{
    (void)state;
    static const int64_t widths[] = {1, 31, 64, 80, 96, 128, 130, 256, 512};
    skip_without_kernels();
    for (int i = 0; i < 18; i++) {
        const int64_t width = widths[i / 2];
        const norm_case c = {.width = width, .columns = width * 6, .eps = i % 2 ? 1e-6f : 0.1f, .of_outputs = i % 2};
        check(&c, true, i % 3 ? 3 : 20);
    }
}

static void a_block_norms_each_row(void **state)
{
    (void)state;
    static const int64_t widths[] = {1, 300, 576, 577, 2048, 4096, 8191, 8192};
    skip_without_kernels();
    for (int i = 0; i < 16; i++) {
        const int64_t width = widths[i / 2];
        const norm_case c = {.width = width, .columns = width, .eps = i % 2 ? 1e-6f : 0.1f, .of_outputs = i % 2};
        check(&c, false, i % 3 ? 3 : 20);
    }
}

/* Zeros stay zeros, and a row that is not a number is that row's alone. */
static void rows_do_not_see_each_other(void **state)
{
    (void)state;
    skip_without_kernels();
    for (int by_warps = 0; by_warps < 2; by_warps++) {
        const norm_case c = {.width = 128, .columns = 128, .eps = 1e-6f};
        fill(x, MOST, 1);
        fill(w, 128, 1);
        x[2 * 128 + 77] = NAN;
        memset(x + 3 * 128, 0, 128 * sizeof *x);
        run(&c, by_warps, 2, x);
        for (int i = 0; i < ROWS * 128; i++) {
            assert_int_equal(isnan(y[i]) != 0, i / 128 == 2);
            if (i / 128 == 3)
                assert_true(y[i] == 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_warp_norms_each_head),
        cmocka_unit_test(a_block_norms_each_row),
        cmocka_unit_test(rows_do_not_see_each_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
