/* Weights on the device are those of the file: packed when a plan is loaded, read back by the kernel that embeds
 * tokens, and compared bit for bit with what ffai__weight_read says. */
#define _GNU_SOURCE
// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#include "../../kernels/tiny_model.h"
#include "cuda.h"
#include "k_block.h"
#include "launch.h"
#include "stub.h"

/* A weight as a test wants it; bytes stand one off every boundary. */
typedef struct stored {
    ffai__weight weight;
    uint8_t *parts[3];
} stored;

static uint32_t state = 17;

static uint32_t draw(void)
{
    state = state * 1664525u + 1013904223u;
    return state >> 8;
}

static uint8_t *random_bytes(stored *s, int part, size_t count)
{
    s->parts[part] = tiny_part(count + 1);
    for (size_t i = 0; i < count; i++)
        s->parts[part][1 + i] = (uint8_t)draw();
    return s->parts[part] + 1;
}

/* Numbers of 16 bits that are finite: any others can come. */
static void make_finite(uint8_t *at, size_t count, size_t stride, ffai__dtype dtype)
{
    const uint8_t exponent = dtype == FFAI__F16 ? 0x7C : 0x7F;
    for (size_t i = 0; i < count; i++) {
        uint8_t *high = at + i * stride + 1;
        if ((*high & exponent) == exponent)
            *high &= 0xBF;
    }
}

static void fill_numbers(uint8_t *at, size_t count, ffai__dtype dtype)
{
    for (size_t i = 0; i < count; i++) {
        const double value = ((double)draw() / 16777216.0 - 0.5) * pow(2, (double)(draw() % 60) - 50);
        const float narrow = (float)value;
        if (dtype == FFAI__F64)
            memcpy(at + i * 8, &value, 8);
        else if (dtype == FFAI__F32)
            memcpy(at + i * 4, &narrow, 4);
    }
    if (dtype == FFAI__F16 || dtype == FFAI__BF16)
        make_finite(at, count, 2, dtype);
}

static void fill_dense(stored *s, ffai__dtype dtype)
{
    ffai__weight *w = &s->weight;
    const size_t count = (size_t)(w->rows * w->columns);
    w->packing = FFAI__DENSE;
    w->dtype = dtype;
    uint8_t *bytes = random_bytes(s, 0, count * ffai__dtype_size(dtype));
    fill_numbers(bytes, count, dtype);
    w->data = bytes;
}

static void fill_mlx(stored *s, int bits, int group_size, ffai__dtype scales)
{
    ffai__weight *w = &s->weight;
    const size_t groups = (size_t)(w->rows * w->columns / group_size);
    w->packing = FFAI__MLX_AFFINE;
    w->bits = bits;
    w->group_size = group_size;
    w->scale_dtype = scales;
    w->data = random_bytes(s, 0, (size_t)(w->rows * w->columns) * (size_t)bits / 8);
    for (int part = 1; part < 3; part++) {
        uint8_t *bytes = random_bytes(s, part, groups * ffai__dtype_size(scales));
        fill_numbers(bytes, groups, scales);
        *(part == 1 ? &w->scales : &w->biases) = bytes;
    }
}

/* Scales of a size whose multiples have 16 bits too: the exponent is cut to 2^8 at most. */
static void fill_gguf(stored *s, ffai__packing packing, int bits, size_t block_bytes)
{
    ffai__weight *w = &s->weight;
    const size_t blocks = (size_t)(w->rows * w->columns / 32);
    const bool has_bias = packing == FFAI__GGUF_Q4_1 || packing == FFAI__GGUF_Q5_1;
    w->packing = packing;
    w->bits = bits;
    w->group_size = 32;
    w->scale_dtype = FFAI__F16;
    uint8_t *bytes = random_bytes(s, 0, blocks * block_bytes);
    for (size_t i = 0; i < blocks; i++) {
        bytes[i * block_bytes + 1] &= 0xDF;
        if (has_bias)
            bytes[i * block_bytes + 3] &= 0xDF;
    }
    w->data = bytes;
}

static void free_stored(stored *s)
{
    for (int i = 0; i < 3; i++)
        free(s->parts[i]);
}

/* --- there and back --- */

static ffai__value value_of(const ffai__program *program, const ffai__weight *weight)
{
    for (size_t v = 0; v < program->num_values; v++) {
        if (program->values[v].kind == FFAI__WEIGHT && program->values[v].weight == weight)
            return (ffai__value)v;
    }
    fail_msg("the program does not read %s", weight->name);
    return FFAI__NONE;
}

static void embed_row(float *y, const ffai__cuda_matrix *matrix, int32_t row)
{
    static int32_t history[1];
    const ffai__cuda_sizes sizes = {.num_rows = 1};
    const ffai__cuda_row rows[1] = {{.token = row}};
    const ffai__cuda_embed_args args = {
        .step = {.sizes = &sizes, .rows = rows, .history = history, .history_stride = 1}, .matrix = *matrix, .y = y};
    CUDA_MODEL_RUN("embed", 1, 256, 0, &args);
}

static void compare_row(const float *got, const stored *s, int64_t row)
{
    char text[32];
    float *expected = tiny_part((size_t)s->weight.columns * sizeof *expected);
    ffai__weight_read(expected, &s->weight, row);
    for (int64_t i = 0; i < s->weight.columns; i++) {
        if (memcmp(&got[i], &expected[i], sizeof *got) != 0)
            fail_msg("%s [%d, %d], row %d, column %d: %g, not %g", ffai__weight_format_text(&s->weight, text),
                     (int)s->weight.rows, (int)s->weight.columns, (int)row, (int)i, (double)got[i],
                     (double)expected[i]);
    }
    free(expected);
}

/* A program that embeds tokens by this matrix, which is its head too; as a plan on the device. `every`: look at each
 * row of so many. */
static void check_packed(const stored *s, int every)
{
    const tiny_shape shape = {
        .hidden = (int)s->weight.columns, .vocab = (int)s->weight.rows, .tied = true, .bits = 32, .rope_dims = 0};
    static tiny_model m;
    ffai__plan *plan = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    tiny_create(&m, &shape);
    const char *name = m.weights[0].name;
    m.weights[0] = s->weight;
    m.weights[0].name = name;
    if (tiny_load(&plan, &ffai__backend_cuda, m.program, &(ffai__plan_options){0}, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    const ffai__cuda_matrix *matrix = &((ffai__cuda_plan *)plan)->matrices[value_of(m.program, &m.weights[0])];
    float *row = tiny_part((size_t)s->weight.columns * sizeof *row);
    for (int64_t r = 0; r < s->weight.rows; r += every) {
        embed_row(row, matrix, (int32_t)r);
        compare_row(row, s, r);
    }
    free(row);
    ffai__backend_cuda.unload(plan);
    tiny_free(&m);
}

static stored sized(int rows, int columns)
{
    return (stored){.weight = {.name = "a test's", .rank = 2, .rows = rows, .columns = columns}};
}

/* Units and tiles that are whole, and that are not. */
static const struct {
    int rows, columns;
} sizes[] = {{8, 128}, {1, 1}, {7, 3}, {9, 130}, {16, 512}, {21, 515}, {3, 1027}, {50, 64}};

static void dense_matrices(void **unused)
{
    (void)unused;
    static const ffai__dtype dtypes[] = {FFAI__F32, FFAI__F16, FFAI__BF16, FFAI__F64};
    for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            stored s = sized(sizes[i].rows, sizes[i].columns);
            fill_dense(&s, dtypes[d]);
            check_packed(&s, 1);
            free_stored(&s);
        }
    }
}

static void affine_matrices_of_mlx(void **unused)
{
    (void)unused;
    static const int bits[] = {2, 3, 4, 5, 6, 8};
    static const int groups[] = {16, 32, 64, 128};
    static const ffai__dtype scales[] = {FFAI__F32, FFAI__F16, FFAI__BF16};
    static const int rows[] = {9, 8, 3};
    for (size_t i = 0; i < sizeof bits / sizeof *bits * sizeof groups / sizeof *groups * 3; i++) {
        const int group = groups[i / 3 % 4];
        for (int k = 1; k <= 9; k += 4) { /* one group; not whole tiles; more than a span */
            const int columns = k * group + (k == 9 ? 512 : 0);
            if (columns * bits[i / 12] % 32) /* rows are whole words */
                continue;
            stored s = sized(rows[i % 3], columns);
            fill_mlx(&s, bits[i / 12], group, scales[i % 3]);
            check_packed(&s, 1);
            free_stored(&s);
        }
    }
}

static const struct {
    ffai__packing packing;
    int bits;
    size_t block_bytes;
} types[] = {{FFAI__GGUF_Q4_0, 4, 18},
             {FFAI__GGUF_Q4_1, 4, 20},
             {FFAI__GGUF_Q5_0, 5, 22},
             {FFAI__GGUF_Q5_1, 5, 24},
             {FFAI__GGUF_Q8_0, 8, 34}};

static void matrices_of_gguf(void **unused)
{
    (void)unused;
    static const struct {
        int rows, columns, heads;
    } shapes[] = {{8, 128, 0}, {1, 32, 0}, {13, 160, 0}, {9, 544, 0}, {24, 96, 2}, {60, 32, 6}, {64, 64, 4}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
            stored s = sized(shapes[k].rows, shapes[k].columns);
            fill_gguf(&s, types[i].packing, types[i].bits, types[i].block_bytes);
            s.weight.rope_heads = shapes[k].heads;
            check_packed(&s, 1);
            free_stored(&s);
        }
    }
}

static void fill_k(stored *s, ffai__packing packing, int bits)
{
    ffai__weight *w = &s->weight;
    const size_t block_bytes = ffai__k_block_bytes(packing);
    const size_t blocks = (size_t)(w->rows * w->columns / FFAI__K_COLUMNS);
    static const size_t factors[] = {80, 108, 0, 0, 208}; /* d, and dmin behind it where there is one */
    w->packing = packing;
    w->bits = bits;
    w->group_size = ffai__k_group_size(packing);
    w->scale_dtype = FFAI__F32;
    uint8_t *bytes = random_bytes(s, 0, blocks * block_bytes);
    const bool has_min = packing != FFAI__GGUF_Q3_K && packing != FFAI__GGUF_Q6_K;
    for (size_t i = 0; i < blocks; i++)
        make_finite(bytes + i * block_bytes + factors[packing - FFAI__GGUF_Q2_K], has_min ? 2 : 1, 2, FFAI__F16);
    w->data = bytes;
}

static void matrices_of_k_types(void **unused)
{
    (void)unused;
    static const struct {
        int rows, columns, heads;
    } shapes[] = {{8, 256, 0}, {1, 512, 0}, {13, 768, 0}, {24, 256, 2}, {60, 512, 6}};
    for (int type = 0; type < 5; type++) {
        for (size_t k = 0; k < sizeof shapes / sizeof *shapes; k++) {
            stored s = sized(shapes[k].rows, shapes[k].columns);
            fill_k(&s, (ffai__packing)(FFAI__GGUF_Q2_K + type), 2 + type);
            s.weight.rope_heads = shapes[k].heads;
            check_packed(&s, 1);
            free_stored(&s);
        }
    }
}

/* A matrix of GGUF's whose scales are as large as f16 numbers can be: what its zero makes of them is no f16. */
static stored with_large_scales(int type, int rows, int columns)
{
    stored s = sized(rows, columns);
    fill_gguf(&s, types[type].packing, types[type].bits, types[type].block_bytes);
    const uint16_t large = 0x7BFF; /* 65504 */
    memcpy(s.parts[0] + 1 + (size_t)(rows * columns / 32 - 1) * types[type].block_bytes, &large, sizeof large);
    return s;
}

static void scales_beyond_what_16_bits_hold_are_float32(void **unused)
{
    (void)unused;
    for (int i = 0; i < (int)(sizeof types / sizeof *types); i++) {
        stored s = with_large_scales(i, 17, 160);
        check_packed(&s, 1);
        free_stored(&s);
    }
}

/* The embedding and head of a model, of which one step is taken. */
static const float *step_with(tiny_run *run, const ffai__backend *backend, tiny_model *m)
{
    static const int32_t tokens[] = {3, 1, 4, 1, 5};
    tiny_open(run, backend, m->program, &(tiny_options){.f32 = true, .format = FFAI__STORE_F32});
    tiny_begin(run);
    tiny_rows(run, 0, tokens, 5, 2);
    return tiny_step(run);
}

static void logits_of_large_scales_are_those_of_the_reference(void **unused)
{
    (void)unused;
    static const tiny_shape shape = {.hidden = 160, .vocab = 17, .tied = true, .bits = 32};
    static tiny_run own, ref;
    for (int i = 0; i < (int)(sizeof types / sizeof *types); i++) {
        static tiny_model m;
        stored s = with_large_scales(i, 17, 160);
        tiny_create(&m, &shape);
        s.weight.name = m.weights[0].name;
        m.weights[0] = s.weight;
        const float *logits = step_with(&own, &ffai__backend_cuda, &m);
        const float *expected = step_with(&ref, &ffai__backend_ref, &m);
        double squares = 0;
        for (int k = 0; k < 2 * 17; k++)
            squares += (double)expected[k] * (double)expected[k];
        for (int k = 0; k < 2 * 17; k++) /* and none is no number */
            assert_true(fabs((double)logits[k] - (double)expected[k]) <= 1e-4 * sqrt(squares / (2 * 17)));
        tiny_close(&own);
        tiny_close(&ref);
        free_stored(&s);
        tiny_free(&m);
    }
}

static size_t left; /* open because the stub was told not to take it back */

static size_t open_things(void)
{
    return (size_t)stub_open_objects() + stub_device_bytes() + stub_pinned_bytes() + (size_t)stub_open_contexts() +
           (size_t)stub_pushed_contexts();
}

/* Whichever call of the driver fails while weights are packed twice, a load that fails leaves nothing open. What gives
 * back may fail unnoticed, the last calls among them. */
static void packing_again_can_fail_anywhere(void **unused)
{
    (void)unused;
    static const tiny_shape shape = {.hidden = 160, .vocab = 17, .tied = true, .bits = 32};
    static tiny_model m;
    stored s = with_large_scales(0, 17, 160);
    uint64_t calls = 0;
    int failures = 0;
    ffai_status status = FFAI_OK;
    tiny_create(&m, &shape);
    s.weight.name = m.weights[0].name;
    m.weights[0] = s.weight;
    for (uint64_t n = 1; n == 1 || n <= calls; n++) {
        ffai__plan *plan = NULL;
        const size_t before = open_things();
        stub_reset();
        stub_fail_at(n, 999);
        status = tiny_load(&plan, &ffai__backend_cuda, m.program, &(ffai__plan_options){0}, NULL);
        calls = stub_all_calls() > calls ? stub_all_calls() : calls;
        stub_fail_at(0, 0);
        if (status == FFAI_OK)
            ffai__backend_cuda.unload(plan);
        else
            assert_int_equal(open_things(), before);
        failures += status != FFAI_OK;
    }
    assert_true(failures > 30 && status == FFAI_OK);
    left = open_things();
    stub_reset();
    free_stored(&s);
    tiny_free(&m);
}

static void dense_rows_of_heads_are_put_in_order(void **unused)
{
    (void)unused;
    stored s = sized(36, 48);
    fill_dense(&s, FFAI__F16);
    s.weight.rope_heads = 6;
    check_packed(&s, 1);
    free_stored(&s);
}

/* More than one portion of 32 MiB, and heads of 850 rows, which no portion may part. */
static void large_matrices_go_in_portions(void **unused)
{
    (void)unused;
    for (int heads = 0; heads <= 20; heads += 20) {
        stored s = sized(17000, 520);
        fill_dense(&s, FFAI__F32);
        s.weight.rope_heads = heads;
        check_packed(&s, 37);
        free_stored(&s);
    }
}

static void vectors_are_float32(void **unused)
{
    (void)unused;
    static const ffai__dtype dtypes[] = {FFAI__F32, FFAI__F16, FFAI__BF16, FFAI__F64};
    static const tiny_shape shape = {.hidden = 515, .vocab = 4, .tied = true, .bits = 32};
    for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++) {
        static tiny_model m;
        ffai__plan *plan = NULL;
        tiny_create(&m, &shape);
        ffai__weight *norm = &m.weights[1];
        stored s = {.weight = {.name = norm->name, .rank = 1, .rows = 1, .columns = 515}};
        fill_dense(&s, dtypes[d]);
        *norm = s.weight;
        assert_int_equal(tiny_load(&plan, &ffai__backend_cuda, m.program, &(ffai__plan_options){0}, NULL), FFAI_OK);
        compare_row(ffai__cuda_pointer(((ffai__cuda_plan *)plan)->vectors[value_of(m.program, norm)]), &s, 0);
        ffai__backend_cuda.unload(plan);
        free_stored(&s);
        tiny_free(&m);
    }
}

/* A matrix takes as many bytes as its codes and scales, apart from padding, and a tied head none of its own. */
static void weights_take_what_they_take_in_the_file(void **unused)
{
    (void)unused;
    static const int bits[] = {2, 3, 4, 5, 6, 8};
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
        static tiny_model m;
        static const tiny_shape shape = {.hidden = 1024, .vocab = 64, .tied = true, .bits = 32};
        ffai__plan *plan = NULL;
        stored s = sized(64, 1024);
        fill_mlx(&s, bits[i], 64, FFAI__BF16);
        tiny_create(&m, &shape);
        m.weights[0] = s.weight;
        assert_int_equal(tiny_load(&plan, &ffai__backend_cuda, m.program, &(ffai__plan_options){0}, NULL), FFAI_OK);
        assert_int_equal(((ffai__cuda_plan *)plan)->matrix_bytes, ffai__weight_bytes(&s.weight));
        ffai__backend_cuda.unload(plan);
        free_stored(&s);
        tiny_free(&m);
    }
}

static int leave(void **unused)
{
    (void)unused;
    return open_things() != left;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_matrices),
        cmocka_unit_test(affine_matrices_of_mlx),
        cmocka_unit_test(matrices_of_gguf),
        cmocka_unit_test(matrices_of_k_types),
        cmocka_unit_test(scales_beyond_what_16_bits_hold_are_float32),
        cmocka_unit_test(logits_of_large_scales_are_those_of_the_reference),
        cmocka_unit_test(packing_again_can_fail_anywhere),
        cmocka_unit_test(dense_rows_of_heads_are_put_in_order),
        cmocka_unit_test(large_matrices_go_in_portions),
        cmocka_unit_test(vectors_are_float32),
        cmocka_unit_test(weights_take_what_they_take_in_the_file),
    };
    if (!cuda_model_has_kernels())
        return 77;
    return cmocka_run_group_tests(tests, NULL, leave);
}
