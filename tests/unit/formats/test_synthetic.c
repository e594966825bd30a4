// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <math.h>
#include <string.h>

#include "synthetic.h"

enum { ROWS = 200, COLUMNS = 1024 };

static const ffai__synthetic_tensor tensors[] = {
    {"b.weight", ROWS, COLUMNS},
    {"a.weight", 0, 70},
    {"c.weight", 3, COLUMNS},
};

static ffai_status make(ffai__checkpoint **out, int bits, int group_size, ffai_error *err)
{
    const ffai__synthetic_weights weights = {tensors, sizeof tensors / sizeof *tensors, bits, group_size};
    return ffai__checkpoint_make(out, "made up", json_object(), &weights, err);
}

static void check_normal(const ffai__weight *weight, double middle, double deviation)
{
    static float row[COLUMNS];
    double sum = 0, squares = 0;
    const double n = (double)weight->rows * (double)weight->columns;
    for (int64_t r = 0; r < weight->rows; r++) {
        ffai__weight_read(row, weight, r);
        for (int64_t c = 0; c < weight->columns; c++) {
            assert_true(isfinite(row[c]));
            sum += (double)row[c] - middle;
            squares += ((double)row[c] - middle) * ((double)row[c] - middle);
        }
    }
    assert_true(fabs(sum / n) < deviation / 5);
    assert_true(sqrt(squares / n) > 0.7 * deviation && sqrt(squares / n) < 1.3 * deviation);
}

static void weights_of_every_width_have_a_normal_size(void **state)
{
    (void)state;
    static const int widths[] = {16, 8, 6, 5, 4, 3, 2};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        ffai__checkpoint *checkpoint = NULL;
        assert_int_equal(make(&checkpoint, widths[i], 64, NULL), FFAI_OK);
        assert_int_equal(ffai__checkpoint_count(checkpoint), 3);
        const ffai__weight *matrix = ffai__checkpoint_find(checkpoint, "b.weight");
        assert_non_null(matrix);
        assert_int_equal(matrix->rows, ROWS);
        assert_int_equal(matrix->bits, widths[i] == 16 ? 0 : widths[i]);
        check_normal(matrix, 0, 0.02);
        const ffai__weight *norm = ffai__checkpoint_find(checkpoint, "a.weight");
        assert_non_null(norm);
        assert_int_equal(norm->rank, 1);
        check_normal(norm, 1, 0.02);
        ffai__checkpoint_close(checkpoint);
    }
}

/* Every code of a width is used about as often as any other. */
static void codes_are_uniform(void **state)
{
    (void)state;
    ffai__checkpoint *checkpoint = NULL;
    assert_int_equal(make(&checkpoint, 3, 32, NULL), FFAI_OK);
    const ffai__weight *matrix = ffai__checkpoint_find(checkpoint, "b.weight");
    int counts[8] = {0};
    uint8_t codes[COLUMNS];
    float scales[COLUMNS / 32], biases[COLUMNS / 32];
    for (int64_t r = 0; r < ROWS; r++) {
        ffai__weight_read_codes(codes, scales, biases, matrix, r);
        for (int c = 0; c < COLUMNS; c++)
            counts[codes[c]]++;
    }
    for (int i = 0; i < 8; i++)
        assert_in_range(counts[i], ROWS * COLUMNS / 8 * 9 / 10, ROWS * COLUMNS / 8 * 11 / 10);
    ffai__checkpoint_close(checkpoint);
}

static void other_widths_and_groups_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        int bits, group_size;
        const char *message;
    } cases[] = {
        {7, 64, "7 bits: there are"},
        {1, 64, "1 bits"},
        {4, 48, "groups of 48: there are"},
        {4, 0, "groups of 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ffai__checkpoint *checkpoint = NULL;
        ffai_error err = FFAI_ERROR_INIT;
        assert_int_equal(make(&checkpoint, cases[i].bits, cases[i].group_size, &err), FFAI_E_ARGUMENT);
        assert_non_null(strstr(err.message, cases[i].message));
    }
    const ffai__synthetic_tensor odd = {"odd.weight", 4, 96};
    const ffai__synthetic_weights weights = {&odd, 1, 4, 64};
    ffai__checkpoint *checkpoint = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai__checkpoint_make(&checkpoint, "made up", json_object(), &weights, &err), FFAI_E_ARGUMENT);
    assert_non_null(strstr(err.message, "do not divide the 96 columns of odd.weight"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(weights_of_every_width_have_a_normal_size),
        cmocka_unit_test(codes_are_uniform),
        cmocka_unit_test(other_widths_and_groups_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
