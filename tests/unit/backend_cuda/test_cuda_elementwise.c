// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/args.h"
#include "launch.h"

enum { MOST_ROWS = 9, MOST_COLUMNS = 700, MOST = MOST_ROWS * MOST_COLUMNS };

static _Alignas(16) float a[MOST], b[MOST], y[MOST];

static const float untouched = -12345.0f;

static void fill(float *x)
{
    static const float special[] = {0, -0.0f, 1e-40f, 88, -88, 200, -200, 1e30f, -1e30f, INFINITY, -INFINITY, NAN};
    for (int i = 0; i < MOST; i++)
        x[i] = 20 * ((float)rand() / (float)RAND_MAX - 0.5f);
    for (int i = 0; i < 40; i++)
        x[rand() % MOST] = special[rand() % 12];
}

/* Steps of 7 rows of which 3 have output. */
static const ffai__cuda_sizes sizes = {.num_rows = 7, .num_outputs = 3};
static const int32_t output_rows[] = {1, 2, 6};

static void run(const char *kernel, int64_t columns, int of_outputs, unsigned blocks, const float *left,
                const float *right)
{
    const ffai__cuda_elements_args args = {.step = {.sizes = &sizes, .output_rows = output_rows},
                                           .y = y,
                                           .a = left,
                                           .b = right,
                                           .columns = columns,
                                           .of_outputs = of_outputs};
    CUDA_MODEL_RUN(kernel, blocks, FFAI__CUDA_ELEMENT_THREADS, 0, &args);
}

static float silu(float x)
{
    return (float)((double)x / (1 + exp(-(double)x)));
}

static float silu_of_first(float left, float right)
{
    (void)right;
    return silu(left);
}

static float product_of(float left, float right)
{
    return left * right;
}

static float sum_of(float left, float right)
{
    return left + right;
}

static float swiglu_of(float left, float right)
{
    return silu(left) * right;
}

/* An exponential and a division, each within an ulp or two, and two sums; where the exponential is infinite the result
 * is 0. Products and sums have no error. */
static void check_element(const char *kernel, int i, float got, float expected, int ulps)
{
    const double tiny = ulps ? 1e-35 * (isfinite(b[i]) ? 1 + fabs((double)b[i]) : 1) : 0;
    if (isnan(expected) ? isnan(got) : got == expected)
        return;
    if (!(fabs((double)got - (double)expected) <= ulps * 0x1p-23 * fabs((double)expected) + tiny))
        fail_msg("%s: element %d of %g and %g is %g, not %g", kernel, i, (double)a[i], (double)b[i], (double)got,
                 (double)expected);
}

static void check(const char *kernel, float definition(float, float), int ulps)
{
    static const int64_t widths[] = {1, 3, 4, 64, 173, 576, 700};
    for (int trial = 0; trial < 42; trial++) {
        const int64_t columns = widths[trial % 7];
        const int of_outputs = trial / 7 % 2;
        const int count = (int)columns * (of_outputs ? sizes.num_outputs : sizes.num_rows);
        fill(a);
        fill(b);
        for (int i = 0; i < MOST; i++)
            y[i] = untouched;
        run(kernel, columns, of_outputs, trial % 3 == 0 ? 1 : trial % 3 == 1 ? 3 : 40, a, b);
        for (int i = 0; i < count; i++)
            check_element(kernel, i, y[i], definition(a[i], b[i]), ulps);
        for (int i = count; i < MOST; i++)
            assert_true(y[i] == untouched);
    }
}

static void skip_without_kernels(void)
{
    if (!cuda_model_has_kernels())
        skip();
    srand(5);
}

static void silu_is_x_times_its_sigmoid(void **state)
{
    (void)state;
    skip_without_kernels();
    check("silu", silu_of_first, 6);
}

static void products_and_sums_are_those_of_floats(void **state)
{
    (void)state;
    skip_without_kernels();
    check("mul", product_of, 0);
    check("add", sum_of, 0);
}

static void swiglu_is_silu_times_the_other(void **state)
{
    (void)state;
    skip_without_kernels();
    check("swiglu", swiglu_of, 7);
}

static void a_result_may_stand_where_an_operand_stood(void **state)
{
    (void)state;
    static const char *const kernels[] = {"silu", "mul", "add", "swiglu"};
    static float expected[MOST];
    skip_without_kernels();
    for (int i = 0; i < 8; i++) {
        const int64_t columns = i % 2 ? 699 : 700;
        fill(a);
        fill(b);
        memset(y, 0, sizeof y);
        run(kernels[i / 2], columns, 0, 3, a, b);
        memcpy(expected, y, sizeof y);
        memcpy(y, a, sizeof y);
        run(kernels[i / 2], columns, 0, 3, y, b);
        assert_memory_equal(y, expected, 7 * (size_t)columns * sizeof *y);
    }
}

static void output_rows_are_selected(void **state)
{
    (void)state;
    static const int64_t widths[] = {1, 4, 173, 700};
    skip_without_kernels();
    for (int trial = 0; trial < 8; trial++) {
        const size_t columns = (size_t)widths[trial % 4];
        fill(a);
        for (int i = 0; i < MOST; i++)
            y[i] = untouched;
        run("select_rows", widths[trial % 4], 0, trial < 4 ? 2 : 40, a, NULL);
        for (int r = 0; r < 3; r++)
            assert_memory_equal(y + (size_t)r * columns, a + (size_t)output_rows[r] * columns, columns * sizeof *y);
        for (size_t i = 3 * columns; i < MOST; i++)
            assert_true(y[i] == untouched);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silu_is_x_times_its_sigmoid),    cmocka_unit_test(products_and_sums_are_those_of_floats),
        cmocka_unit_test(swiglu_is_silu_times_the_other), cmocka_unit_test(a_result_may_stand_where_an_operand_stood),
        cmocka_unit_test(output_rows_are_selected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
