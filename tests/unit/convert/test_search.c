/* Searched scales: never farther from the values than MLX's, by the error that was asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "rounding.h"
#include "search.h"

enum { COLUMNS = 256, ROWS = 24 };

static uint32_t state_of_random = 1;

static float uniform(void)
{
    state_of_random = state_of_random * 1664525u + 1013904223u;
    return (float)(state_of_random >> 8) / 0x1p24f;
}

static float gaussian(void)
{
    float sum = -6;
    for (int i = 0; i < 12; i++)
        sum += uniform();
    return sum;
}

typedef struct {
    uint8_t codes[COLUMNS];
    float scales[COLUMNS];
    float biases[COLUMNS];
} row;

static double error_of(const row *r, const float *values, const float *weights, int first, int group_size)
{
    double sum = 0;
    for (int i = first; i < first + group_size; i++) {
        const float scale = r->scales[i / group_size];
        const float bias = r->biases[i / group_size];
        const double off = (double)values[i] - ((double)scale * r->codes[i] + (double)bias);
        sum += (weights ? (double)weights[i] : 1) * off * off;
    }
    return sum;
}

static void as_stored(float *values, ffai__dtype dtype, size_t count)
{
    uint8_t bytes[4 * COLUMNS];
    ffai__from_f32(bytes, dtype, values, count);
    ffai__to_f32(values, bytes, dtype, count);
}

static void fill(float *values, float *weights, int which)
{
    for (int i = 0; i < COLUMNS; i++) {
        values[i] = 0.1f * gaussian();
        weights[i] = which % 3 == 0 ? 1 : expf(2 * gaussian());
        if (which % 5 == 1 && i % 61 == 0)
            values[i] *= 20;
        if (which % 7 == 2)
            values[i] = which % 2 ? 0 : 0.25f;
    }
}

static void no_group_is_farther_off_than_mlxs_and_most_are_nearer(void **state)
{
    (void)state;
    static const int widths[] = {2, 3, 4, 5, 6, 8};
    static const int groups[] = {32, 64, 128};
    static const ffai__dtype dtypes[] = {FFAI__BF16, FFAI__F16, FFAI__F32};
    float values[COLUMNS];
    float weights[COLUMNS];
    row mlx;
    row searched;
    int nearer = 0;
    int all = 0;
    for (int n = 0; n < 6 * 3 * 3 * ROWS; n++) {
        const int bits = widths[n % 6];
        const int group_size = groups[n / 6 % 3];
        const ffai__dtype dtype = dtypes[n / 18 % 3];
        const size_t count = (size_t)(COLUMNS / group_size);
        fill(values, weights, n / 54);
        assert_true(ffai__round_row(mlx.codes, mlx.scales, mlx.biases, values, COLUMNS, bits, group_size));
        assert_true(ffai__search_row(searched.codes, searched.scales, searched.biases, values, weights, COLUMNS, bits,
                                     group_size, dtype));
        as_stored(mlx.scales, dtype, count);
        as_stored(mlx.biases, dtype, count);
        row again = searched;
        as_stored(again.scales, dtype, count);
        as_stored(again.biases, dtype, count);
        assert_memory_equal(again.scales, searched.scales, count * sizeof(float)); /* they are of the type already */
        assert_memory_equal(again.biases, searched.biases, count * sizeof(float));
        for (int first = 0; first < COLUMNS; first += group_size) {
            const double before = error_of(&mlx, values, weights, first, group_size);
            const double after = error_of(&searched, values, weights, first, group_size);
            if (after > before * (1 + 1e-5) + 1e-12)
                fail_msg("case %d, column %d: %g, and MLX's %g", n, first, after, before);
            nearer += after < 0.9 * before;
            all++;
        }
        for (int i = 0; i < COLUMNS; i++)
            assert_true(searched.codes[i] < 1 << bits);
    }
    assert_true(nearer > all / 2);
}

static void a_column_that_weighs_most_is_met_best(void **state)
{
    (void)state;
    float values[COLUMNS];
    float weights[COLUMNS];
    row even;
    row uneven;
    double off[2] = {0, 0};
    for (int n = 0; n < ROWS; n++) {
        fill(values, weights, 0);
        for (int i = 0; i < COLUMNS; i++)
            weights[i] = i % 32 == 5 ? 100.0f : 0.01f;
        assert_true(ffai__search_row(even.codes, even.scales, even.biases, values, NULL, COLUMNS, 3, 32, FFAI__F32));
        assert_true(
            ffai__search_row(uneven.codes, uneven.scales, uneven.biases, values, weights, COLUMNS, 3, 32, FFAI__F32));
        off[0] += error_of(&even, values, weights, 0, 32);
        off[1] += error_of(&uneven, values, weights, 0, 32);
    }
    assert_true(off[1] < 0.2 * off[0]);
}

static void values_that_are_not_finite_are_refused(void **state)
{
    (void)state;
    float values[COLUMNS] = {0};
    row r;
    values[77] = NAN;
    assert_false(ffai__search_row(r.codes, r.scales, r.biases, values, NULL, COLUMNS, 4, 64, FFAI__F32));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_group_is_farther_off_than_mlxs_and_most_are_nearer),
        cmocka_unit_test(a_column_that_weighs_most_is_met_best),
        cmocka_unit_test(values_that_are_not_finite_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
