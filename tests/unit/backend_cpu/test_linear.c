/* What a plan says of a matrix. The products themselves are checked by tests/kernels/checkop. */
#include "linear.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

typedef struct format {
    ffai__packing packing;
    ffai__dtype dtype; /* of dense elements or MLX scales */
    int bits, group_size;
} format;

static ffai__weight weight_of(const format *f, int64_t rows, int64_t columns)
{
    return (ffai__weight){.name = "odd.weight",
                          .rank = 2,
                          .rows = rows,
                          .columns = columns,
                          .packing = f->packing,
                          .dtype = f->packing == FFAI__DENSE ? f->dtype : FFAI__U32,
                          .bits = f->bits,
                          .group_size = f->group_size,
                          .scale_dtype = f->packing == FFAI__MLX_AFFINE ? f->dtype : FFAI__F16};
}

static void tiles_stay_close_to_the_files_size(void **state)
{
    (void)state;
    static const format formats[] = {
        {FFAI__DENSE, FFAI__BF16, 0, 0},       {FFAI__MLX_AFFINE, FFAI__F16, 4, 64},
        {FFAI__MLX_AFFINE, FFAI__BF16, 3, 32}, {FFAI__MLX_AFFINE, FFAI__F32, 5, 16},
        {FFAI__GGUF_Q4_0, FFAI__F16, 4, 32},   {FFAI__GGUF_Q5_1, FFAI__F16, 5, 32},
        {FFAI__GGUF_Q8_0, FFAI__F16, 8, 32},
    };
    const ffai__cpu_features none = {0};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        const ffai__weight weight = weight_of(&formats[i], 64, 2048);
        ffai__packed packed;
        assert_int_equal(ffai__packed_plan(&packed, &weight, FFAI__ISA_SCALAR, &none, FFAI__ACTIVATIONS_FINE, NULL),
                         FFAI_OK);
        assert_true((uint64_t)packed.num_tiles * packed.tile_bytes == ffai__weight_bytes(&weight));
    }
}

static void a_format_without_kernels_is_refused_by_name(void **state)
{
    (void)state;
    static const format formats[] = {
        {FFAI__DENSE, FFAI__I8, 0, 0}, {FFAI__MLX_AFFINE, FFAI__F16, 7, 64}, {FFAI__MLX_AFFINE, FFAI__F16, 4, 256}};
    const ffai__cpu_features none = {0};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        const ffai__weight weight = weight_of(&formats[i], 16, 512);
        ffai__packed packed;
        ffai_error err = FFAI_ERROR_INIT;
        assert_int_equal(ffai__packed_plan(&packed, &weight, FFAI__ISA_SCALAR, &none, FFAI__ACTIVATIONS_FINE, &err),
                         FFAI_E_UNSUPPORTED);
        assert_non_null(strstr(err.message, "odd.weight"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiles_stay_close_to_the_files_size),
        cmocka_unit_test(a_format_without_kernels_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
