/* Weights against numbers by mlx and by the gguf package: tests/data/formats/generate.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <math.h>

#include "alloc.h"
#include "file_map.h"
#include "k_block.h"
#include "weight.h"

#define DATA FFAI_SOURCE_DIR "/tests/data/formats/"

typedef struct {
    char *bytes;
    size_t size;
    size_t at;
} file;

static file read_file(const char *path)
{
    file in = {NULL, 0, 0};
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai__file_read(&in.bytes, &in.size, path, 1 << 20, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    return in;
}

static const void *take(file *in, size_t size)
{
    assert_true(size <= in->size - in->at);
    in->at += size;
    return in->bytes + in->at - size;
}

static int32_t take_int(file *in)
{
    int32_t value = 0;
    memcpy(&value, take(in, sizeof value), sizeof value);
    return value;
}

static void assert_near(float got, float expected, const ffai__weight *weight, int64_t row, int64_t column)
{
    if (!(fabsf(got - expected) <= 2e-7f * (1.0f + fabsf(expected))))
        fail_msg("%db g%d packing %d [%d, %d]: %.9g is not %.9g", weight->bits, weight->group_size,
                 (int)weight->packing, (int)row, (int)column, (double)got, (double)expected);
}

/* K types are defined in float32: bit for bit, but for the sign of a zero. */
static void assert_same(float got, float expected, const ffai__weight *weight, int64_t row, int64_t column)
{
    if (got != expected)
        fail_msg("packing %d [%d, %d]: %.9g is not %.9g", (int)weight->packing, (int)row, (int)column, (double)got,
                 (double)expected);
}

static void check_k_rows(const ffai__weight *weight, const uint8_t *values)
{
    uint8_t codes[512];
    float got[512];
    float scales[32];
    float biases[32];
    for (int64_t row = 0; row < weight->rows; row++) {
        ffai__weight_read_codes(codes, scales, biases, weight, row);
        ffai__weight_read(got, weight, row);
        for (int64_t c = 0; c < weight->columns; c++) {
            float expected = 0;
            memcpy(&expected, values + (size_t)(row * weight->columns + c) * sizeof expected, sizeof expected);
            const int64_t group = c / weight->group_size;
            assert_same(got[c], expected, weight, row, c);
            assert_same(scales[group] * (float)codes[c] + biases[group], expected, weight, row, c);
        }
    }
}

static void check_rows(const ffai__weight *weight, const uint8_t *codes, const uint8_t *values)
{
    uint8_t got_codes[256];
    float got[256];
    float scales[16];
    float biases[16];
    const int64_t columns = weight->columns;
    for (int64_t row = 0; row < weight->rows; row++) {
        ffai__weight_read_codes(got_codes, scales, biases, weight, row);
        ffai__weight_read(got, weight, row);
        if (codes)
            assert_memory_equal(got_codes, codes + row * columns, (size_t)columns);
        for (int64_t c = 0; c < columns; c++) {
            float expected = 0;
            memcpy(&expected, values + (size_t)(row * columns + c) * sizeof expected, sizeof expected);
            assert_near(got[c], expected, weight, row, c);
            const int64_t group = c / weight->group_size;
            assert_near(scales[group] * (float)got_codes[c] + biases[group], expected, weight, row, c);
        }
    }
}

static void every_width_and_group_unpacks_like_mlx(void **state)
{
    (void)state;
    static const ffai__dtype types[] = {FFAI__F16, FFAI__BF16, FFAI__F32};
    file in = read_file(DATA "affine.bin");
    int cases = 0;
    for (; in.at < in.size; cases++) {
        ffai__weight weight = {.name = "w.weight", .rank = 2, .packing = FFAI__MLX_AFFINE};
        weight.bits = take_int(&in);
        weight.group_size = take_int(&in);
        weight.scale_dtype = types[take_int(&in)];
        weight.rows = take_int(&in);
        weight.columns = take_int(&in);
        const size_t rows = (size_t)weight.rows;
        const size_t side = rows * (size_t)(weight.columns / weight.group_size) * ffai__dtype_size(weight.scale_dtype);
        weight.data = take(&in, rows * (size_t)ffai__weight_row_bytes(&weight));
        weight.scales = take(&in, side);
        weight.biases = take(&in, side);
        assert_int_equal(ffai__weight_bytes(&weight), rows * ffai__weight_row_bytes(&weight) + 2 * side);
        const uint8_t *codes = take(&in, rows * (size_t)weight.columns);
        check_rows(&weight, codes, take(&in, rows * (size_t)weight.columns * sizeof(float)));
    }
    assert_int_equal(cases, 18);
    ffai__free(in.bytes);
}

static void every_gguf_type_reads_like_the_gguf_package(void **state)
{
    (void)state;
    static const ffai__packing packings[] = {FFAI__GGUF_Q4_0, FFAI__GGUF_Q4_1, FFAI__GGUF_Q5_0, FFAI__GGUF_Q5_1,
                                             FFAI__GGUF_Q8_0};
    file in = read_file(DATA "blocks.bin");
    int cases = 0;
    for (; in.at < in.size; cases++) {
        ffai__weight weight = {.name = "w.weight", .rank = 2, .group_size = 32, .scale_dtype = FFAI__F16};
        weight.packing = packings[take_int(&in)];
        weight.rows = take_int(&in);
        weight.columns = take_int(&in);
        weight.data = take(&in, (size_t)ffai__weight_bytes(&weight));
        check_rows(&weight, NULL, take(&in, (size_t)(weight.rows * weight.columns) * sizeof(float)));
    }
    assert_int_equal(cases, 5);
    ffai__free(in.bytes);
}

static void every_k_type_reads_like_the_gguf_package(void **state)
{
    (void)state;
    file in = read_file(DATA "k_blocks.bin");
    int cases = 0;
    for (; in.at < in.size; cases++) {
        ffai__weight weight = {.name = "w.weight", .rank = 2, .scale_dtype = FFAI__F32};
        weight.packing = (ffai__packing)(FFAI__GGUF_Q2_K + take_int(&in));
        weight.rows = take_int(&in);
        weight.columns = take_int(&in);
        weight.group_size = ffai__k_group_size(weight.packing);
        weight.data = take(&in, (size_t)ffai__weight_bytes(&weight));
        check_k_rows(&weight, take(&in, (size_t)(weight.rows * weight.columns) * sizeof(float)));
    }
    assert_int_equal(cases, 20);
    ffai__free(in.bytes);
}

static void groups_of_16_unpack(void **state)
{
    (void)state;
    uint8_t bytes[12]; /* 32 codes of 3 bits: 0, 1, 2 … 7, 0, 1 … */
    memset(bytes, 0, sizeof bytes);
    for (int i = 0; i < 32; i++) {
        for (int b = 0; b < 3; b++)
            bytes[(3 * i + b) / 8] |= (uint8_t)((i % 8 >> b & 1) << (3 * i + b) % 8);
    }
    const float scales[2] = {1.0f, 2.0f};
    const float biases[2] = {0.5f, -1.0f};
    const ffai__weight weight = {.name = "w",
                                 .rank = 2,
                                 .rows = 1,
                                 .columns = 32,
                                 .packing = FFAI__MLX_AFFINE,
                                 .bits = 3,
                                 .group_size = 16,
                                 .scale_dtype = FFAI__F32,
                                 .data = bytes,
                                 .scales = scales,
                                 .biases = biases};
    float got[32];
    ffai__weight_read(got, &weight, 0);
    for (int i = 0; i < 32; i++)
        assert_true(got[i] == scales[i / 16] * (float)(i % 8) + biases[i / 16]);
}

/* Two heads of four rows, stored 0 2 1 3: row i of a head and row i + 2 side by side. */
static void interleaved_rotary_rows_are_read_in_natural_order(void **state)
{
    (void)state;
    const float stored[8] = {0, 2, 1, 3, 4, 6, 5, 7};
    const ffai__weight weight = {.name = "q",
                                 .rank = 2,
                                 .rows = 8,
                                 .columns = 1,
                                 .packing = FFAI__DENSE,
                                 .dtype = FFAI__F32,
                                 .data = stored,
                                 .rope_heads = 2};
    for (int64_t row = 0; row < 8; row++) {
        float value = -1;
        ffai__weight_read(&value, &weight, row);
        assert_true(value == (float)row);
    }
}

static void formats_have_short_texts(void **state)
{
    (void)state;
    char buffer[32];
    ffai__weight weight = {.packing = FFAI__MLX_AFFINE, .bits = 4, .group_size = 64};
    assert_string_equal(ffai__weight_format_text(&weight, buffer), "4b g64");
    weight = (ffai__weight){.packing = FFAI__GGUF_Q5_K, .bits = 5, .group_size = 32};
    assert_string_equal(ffai__weight_format_text(&weight, buffer), "q5_k");
    weight = (ffai__weight){.packing = FFAI__DENSE, .dtype = FFAI__BF16};
    assert_string_equal(ffai__weight_format_text(&weight, buffer), "bf16");
    weight.dtype = FFAI__I32;
    assert_string_equal(ffai__weight_format_text(&weight, buffer), "I32");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_width_and_group_unpacks_like_mlx),
        cmocka_unit_test(every_gguf_type_reads_like_the_gguf_package),
        cmocka_unit_test(every_k_type_reads_like_the_gguf_package),
        cmocka_unit_test(groups_of_16_unpack),
        cmocka_unit_test(interleaved_rotary_rows_are_read_in_natural_order),
        cmocka_unit_test(formats_have_short_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
