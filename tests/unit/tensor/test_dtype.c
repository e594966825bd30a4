/* Element types: every half-precision number, and rounding to nearest even. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "dtype.h"

/* The definition of binary16: sign, five bits of exponent, ten of fraction. */
static float reference_half(uint32_t half)
{
    const float sign = half & 0x8000u ? -1.0f : 1.0f;
    const int exponent = (int)(half >> 10 & 31u);
    const float fraction = (float)(half & 1023u) / 1024.0f;
    if (exponent == 31)
        return half & 1023u ? NAN : sign * INFINITY;
    return sign * (exponent ? ldexpf(1.0f + fraction, exponent - 15) : ldexpf(fraction, -14));
}

static void every_half_widens_to_its_value(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 65536; half++) {
        const float got = ffai__f16_to_f32((uint16_t)half);
        const float expected = reference_half(half);
        if (isnan(expected)) {
            assert_true(isnan(got));
            continue;
        }
        assert_memory_equal(&got, &expected, sizeof got);
    }
}

static void every_half_narrows_back_to_itself(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 65536; half++) {
        const uint16_t back = ffai__f32_to_f16(ffai__f16_to_f32((uint16_t)half));
        if ((half & 0x7C00u) == 0x7C00u && (half & 1023u))
            assert_true((back & 0x7C00u) == 0x7C00u && (back & 1023u));
        else
            assert_int_equal(back, half);
    }
}

/* Between each half and the next: below the middle down, above it up, on it to the even one. */
static void a_float_between_two_halves_rounds_to_the_nearest_even(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 0x7BFFu; half++) {
        const float low = reference_half(half);
        const float high = reference_half(half + 1);
        const float middle = low + (high - low) / 2;
        assert_int_equal(ffai__f32_to_f16(middle), half % 2 ? half + 1 : half);
        assert_int_equal(ffai__f32_to_f16(nextafterf(middle, low)), half);
        assert_int_equal(ffai__f32_to_f16(nextafterf(middle, high)), half + 1);
        assert_int_equal(ffai__f32_to_f16(-middle), (half % 2 ? half + 1 : half) | 0x8000u);
    }
    assert_int_equal(ffai__f32_to_f16(65519.996f), 0x7BFF);
    assert_int_equal(ffai__f32_to_f16(65520.0f), 0x7C00);
    assert_int_equal(ffai__f32_to_f16(1e30f), 0x7C00);
}

static void bf16_keeps_the_upper_half_and_rounds_to_even(void **state)
{
    (void)state;
    for (uint32_t half = 0; half < 65536; half++) {
        const uint16_t back = ffai__f32_to_bf16(ffai__bf16_to_f32((uint16_t)half));
        const bool nan = (half & 0x7F80u) == 0x7F80u && (half & 0x7Fu);
        assert_int_equal(back, nan ? half | 0x40u : half);
    }
    assert_int_equal(ffai__f32_to_bf16(1.0f + 0x1p-8f), 0x3F80);
    assert_int_equal(ffai__f32_to_bf16(1.0f + 0x1p-8f + 0x1p-20f), 0x3F81);
    assert_int_equal(ffai__f32_to_bf16(1.0f + 3 * 0x1p-8f), 0x3F82);
}

static void arrays_are_read_and_written_at_any_address(void **state)
{
    (void)state;
    const float values[3] = {1.5f, -2.0f, 0.0f};
    const ffai__dtype types[] = {FFAI__F32, FFAI__F16, FFAI__BF16};
    for (int i = 0; i < 3; i++) {
        unsigned char bytes[16];
        float back[3];
        ffai__from_f32(bytes + 1, types[i], values, 3);
        ffai__to_f32(back, bytes + 1, types[i], 3);
        assert_memory_equal(back, values, sizeof values);
    }
    const double wide[2] = {0.25, -1e300};
    unsigned char bytes[17];
    float back[2];
    memcpy(bytes + 1, wide, sizeof wide);
    ffai__to_f32(back, bytes + 1, FFAI__F64, 2);
    assert_true(back[0] == 0.25f && isinf(back[1]));
}

static void names_are_found_whole_only(void **state)
{
    (void)state;
    ffai__dtype dtype = FFAI__F64;
    for (int i = 0; i < FFAI__DTYPE_COUNT; i++) {
        const char *name = ffai__dtype_name((ffai__dtype)i);
        assert_true(ffai__dtype_find(&dtype, name, strlen(name)));
        assert_int_equal(dtype, i);
    }
    assert_false(ffai__dtype_find(&dtype, "F1", 2));
    assert_false(ffai__dtype_find(&dtype, "F8_E4M3", 7));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_widens_to_its_value),
        cmocka_unit_test(every_half_narrows_back_to_itself),
        cmocka_unit_test(a_float_between_two_halves_rounds_to_the_nearest_even),
        cmocka_unit_test(bf16_keeps_the_upper_half_and_rounds_to_even),
        cmocka_unit_test(arrays_are_read_and_written_at_any_address),
        cmocka_unit_test(names_are_found_whole_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
