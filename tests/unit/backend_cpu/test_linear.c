/* Every weight format on every tier this machine has, against a product in double precision. */
#define _DEFAULT_SOURCE
#include "linear.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

/* Memory that ends at a page nobody may touch. */
typedef struct guarded {
    uint8_t *pages;
    size_t size; /* of all pages */
    uint8_t *data;
} guarded;

static guarded guard(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    guarded memory = {NULL, (bytes + page - 1) / page * page + page, NULL};
    memory.pages = mmap(NULL, memory.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(memory.pages != MAP_FAILED);
    assert_int_equal(mprotect(memory.pages + memory.size - page, page, PROT_NONE), 0);
    memory.data = memory.pages + memory.size - page - bytes;
    return memory;
}

static void release(guarded *memory)
{
    munmap(memory->pages, memory->size);
}

static uint64_t seed;

static uint32_t random_bits(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 32);
}

/* About normal, variance 1. */
static float random_float(void)
{
    float sum = 0;
    for (int i = 0; i < 4; i++)
        sum += (float)random_bits() * 0x1p-32f - 0.5f;
    return sum * 1.7320508f;
}

typedef struct format {
    ffai__packing packing;
    ffai__dtype dtype; /* of dense elements or MLX scales */
    int bits, group_size;
} format;

typedef struct matrix {
    ffai__weight weight;
    guarded data, scales, biases;
} matrix;

static void fill_scales(uint8_t *out, ffai__dtype dtype, size_t count, float least, float most)
{
    for (size_t i = 0; i < count; i++) {
        const float value = least + (most - least) * ((float)random_bits() * 0x1p-32f);
        ffai__from_f32(out + i * ffai__dtype_size(dtype), dtype, &value, 1);
    }
}

static void fill_dense(matrix *m)
{
    const size_t count = (size_t)(m->weight.rows * m->weight.columns);
    for (size_t i = 0; i < count; i++) {
        const double wide = (double)random_float();
        const float value = (float)wide;
        if (m->weight.dtype == FFAI__F64)
            memcpy(m->data.data + 8 * i, &wide, 8);
        else
            ffai__from_f32(m->data.data + i * ffai__dtype_size(m->weight.dtype), m->weight.dtype, &value, 1);
    }
}

static void fill_gguf_scales(matrix *m)
{
    const size_t blocks = (size_t)(m->weight.rows * m->weight.columns / 32);
    const size_t bytes = (size_t)ffai__weight_row_bytes(&m->weight) * (size_t)m->weight.rows / blocks;
    for (size_t b = 0; b < blocks; b++) {
        fill_scales(m->data.data + b * bytes, FFAI__F16, 1, -0.1f, 0.1f);
        if (m->weight.packing == FFAI__GGUF_Q4_1 || m->weight.packing == FFAI__GGUF_Q5_1)
            fill_scales(m->data.data + b * bytes + 2, FFAI__F16, 1, -1.0f, 1.0f);
    }
}

static matrix make_matrix(const format *f, int64_t rows, int64_t columns, int rope_heads)
{
    matrix m = {.weight = {.name = "test.weight",
                           .rank = 2,
                           .rows = rows,
                           .columns = columns,
                           .packing = f->packing,
                           .dtype = f->packing == FFAI__DENSE ? f->dtype : FFAI__U32,
                           .bits = f->bits,
                           .group_size = f->group_size,
                           .scale_dtype = f->packing == FFAI__MLX_AFFINE ? f->dtype : FFAI__F16,
                           .rope_heads = rope_heads}};
    const size_t bytes = (size_t)ffai__weight_row_bytes(&m.weight) * (size_t)rows;
    m.data = guard(bytes);
    for (size_t i = 0; i < bytes; i++)
        m.data.data[i] = (uint8_t)random_bits();
    const size_t groups = f->group_size ? (size_t)(rows * columns / f->group_size) : 0;
    const size_t scale_bytes = f->packing == FFAI__MLX_AFFINE ? groups * ffai__dtype_size(f->dtype) : 0;
    m.scales = guard(scale_bytes);
    m.biases = guard(scale_bytes);
    if (f->packing == FFAI__DENSE) {
        fill_dense(&m);
    } else if (f->packing == FFAI__MLX_AFFINE) {
        const float most = (float)(1 << f->bits);
        fill_scales(m.scales.data, f->dtype, groups, 0.5f / most, 2.0f / most);
        fill_scales(m.biases.data, f->dtype, groups, -1.0f, 0.0f);
    } else {
        fill_gguf_scales(&m);
    }
    m.weight.data = m.data.data;
    m.weight.scales = m.scales.data;
    m.weight.biases = m.biases.data;
    return m;
}

static void free_matrix(matrix *m)
{
    release(&m->data);
    release(&m->scales);
    release(&m->biases);
}

/* A tier as a plan chooses it, with or without its optional instructions. */
typedef struct tier {
    ffai__isa isa;
    ffai__cpu_features features;
} tier;

enum { MOST_TIERS = FFAI__ISA_COUNT + 2 };

static int list_tiers(tier tiers[MOST_TIERS])
{
    ffai__cpu_features machine;
    ffai__cpu_features_detect(&machine);
    int count = 0;
    for (ffai__isa isa = FFAI__ISA_SCALAR; isa < FFAI__ISA_COUNT; isa++) {
        if (ffai__isa_runs(&machine, isa))
            tiers[count++] = (tier){isa, machine};
    }
    if (ffai__isa_runs(&machine, FFAI__ISA_AVX512) && machine.avx512_vnni) {
        tiers[count] = (tier){FFAI__ISA_AVX512, machine};
        tiers[count++].features.avx512_vnni = false;
    }
    if (machine.neon_i8mm) {
        tiers[count] = (tier){FFAI__ISA_NEON, machine};
        tiers[count++].features.neon_i8mm = false;
    }
    if (machine.neon_dotprod) {
        tiers[count] = (tier){FFAI__ISA_NEON, machine};
        tiers[count++].features.neon_dotprod = false;
    }
    return count;
}

enum { MOST_INPUTS = 33 };
static const int64_t input_counts[] = {1, 2, 3, 5, 16, 17, 33};

/* One product with everything around it: inputs, bias, residual, and the exact answer. */
typedef struct problem {
    matrix m;
    guarded x, bias, residual;
    double *exact; /* [MOST_INPUTS, rows] */
} problem;

static float *floats(const guarded *memory)
{
    return (float *)(void *)memory->data;
}

static void solve(problem *p)
{
    const int64_t rows = p->m.weight.rows;
    const int64_t columns = p->m.weight.columns;
    float *w = malloc((size_t)columns * sizeof *w);
    assert_non_null(w);
    for (int64_t o = 0; o < rows; o++) {
        ffai__weight_read(w, &p->m.weight, o);
        for (int64_t t = 0; t < MOST_INPUTS; t++) {
            double sum = 0;
            for (int64_t c = 0; c < columns; c++)
                sum += (double)w[c] * (double)floats(&p->x)[t * columns + c];
            p->exact[t * rows + o] = sum + (double)floats(&p->bias)[o] + (double)floats(&p->residual)[t * rows + o];
        }
    }
    free(w);
}

static problem make_problem(const format *f, int64_t rows, int64_t columns, int rope_heads)
{
    problem p = {.m = make_matrix(f, rows, columns, rope_heads)};
    p.x = guard((size_t)(MOST_INPUTS * columns) * sizeof(float));
    p.bias = guard((size_t)rows * sizeof(float));
    p.residual = guard((size_t)(MOST_INPUTS * rows) * sizeof(float));
    p.exact = malloc((size_t)(MOST_INPUTS * rows) * sizeof *p.exact);
    assert_non_null(p.exact);
    for (int64_t i = 0; i < MOST_INPUTS * columns; i++)
        floats(&p.x)[i] = random_float();
    for (int64_t i = 0; i < rows; i++)
        floats(&p.bias)[i] = random_float();
    for (int64_t i = 0; i < MOST_INPUTS * rows; i++)
        floats(&p.residual)[i] = random_float();
    solve(&p);
    return p;
}

static void free_problem(problem *p)
{
    free_matrix(&p->m);
    release(&p->x);
    release(&p->bias);
    release(&p->residual);
    free(p->exact);
}

/* A matrix planned, packed, and its inputs prepared. */
typedef struct ready {
    ffai__packed packed;
    guarded tiles, inputs;
    size_t input_bytes;
} ready;

static ready make_ready(const problem *p, const tier *t, bool f32_activations)
{
    ready r;
    ffai_error err = FFAI_ERROR_INIT;
    assert_int_equal(ffai__packed_plan(&r.packed, &p->m.weight, t->isa, &t->features, f32_activations, &err), FFAI_OK);
    assert_null(r.packed.tiles);
    assert_int_equal(r.packed.tile_bytes % 64, 0);
    r.tiles = guard((size_t)r.packed.num_tiles * (size_t)r.packed.tile_bytes);
    r.packed.tiles = r.tiles.data;
    memset(r.tiles.data, 0xA5, (size_t)r.packed.num_tiles * (size_t)r.packed.tile_bytes);
    guarded scratch = guard(ffai__pack_scratch_bytes(&r.packed));
    ffai__packed_fill(&r.packed, 0, r.packed.num_tiles / 2, scratch.data);
    ffai__packed_fill(&r.packed, r.packed.num_tiles / 2, r.packed.num_tiles, scratch.data);
    release(&scratch);
    r.input_bytes = ffai__linear_input_bytes(&r.packed.input);
    assert_int_equal(r.input_bytes % 64, 0);
    r.inputs = guard(MOST_INPUTS * r.input_bytes);
    memset(r.inputs.data, 0xA5, MOST_INPUTS * r.input_bytes);
    for (int64_t i = 0; i < MOST_INPUTS; i++)
        ffai__linear_prepare(r.inputs.data + (size_t)i * r.input_bytes, floats(&p->x) + i * p->m.weight.columns,
                             &r.packed);
    return r;
}

static void free_ready(ready *r)
{
    release(&r->tiles);
    release(&r->inputs);
}

/* y [count, rows] of input rows from `first` on, with bias and residual, the tiles in ranges of `step`. */
static void multiply(float *y, const problem *p, const ready *r, int64_t first, int64_t count, int64_t step)
{
    const int64_t rows = p->m.weight.rows;
    for (int64_t t = 0; t < r->packed.num_tiles; t += step) {
        const int64_t end = t + step < r->packed.num_tiles ? t + step : r->packed.num_tiles;
        ffai__linear_compute(y, rows, &r->packed, r->inputs.data + (size_t)first * r->input_bytes, count, t, end,
                             floats(&p->bias), floats(&p->residual) + first * rows);
    }
}

static double error_of(const float *y, const problem *p)
{
    const int64_t count = MOST_INPUTS * p->m.weight.rows;
    double squares = 0;
    double most = 0;
    for (int64_t i = 0; i < count; i++) {
        const double off = fabs((double)y[i] - p->exact[i]);
        most = off > most || isnan(off) ? off : most;
        squares += p->exact[i] * p->exact[i];
    }
    return most / sqrt(squares / (double)count);
}

static void check_same_bits(const float *a, const float *b, int64_t count, const char *what)
{
    for (int64_t i = 0; i < count; i++) {
        if (memcmp(a + i, b + i, sizeof *a) != 0)
            fail_msg("%s: element %lld is %.9g, expected %.9g", what, (long long)i, (double)b[i], (double)a[i]);
    }
}

/* Any number of rows and any split of tiles give the bits of the whole. */
static void check_company(const float *whole, const problem *p, const ready *r)
{
    const int64_t rows = p->m.weight.rows;
    for (size_t i = 0; i < sizeof input_counts / sizeof *input_counts; i++) {
        const int64_t count = input_counts[i];
        guarded y = guard((size_t)(count * rows) * sizeof(float));
        for (int64_t first = 0; first + count <= MOST_INPUTS; first += count) {
            multiply(floats(&y), p, r, first, count, (int64_t)i % 3 + 1);
            check_same_bits(whole + first * rows, floats(&y), count * rows, "rows in other company");
        }
        release(&y);
    }
}

static double worst_fixed, worst_f32;

static double bar_of(const ready *r, double error)
{
    static const double bars[] = {[FFAI__INPUT_F32] = 1e-5, [FFAI__INPUT_FIXED] = 1e-3};
    double *const worst[] = {[FFAI__INPUT_F32] = &worst_f32, [FFAI__INPUT_FIXED] = &worst_fixed};
    const ffai__input_kind kind = r->packed.input.kind;
    *worst[kind] = error > *worst[kind] ? error : *worst[kind];
    return bars[kind];
}

/* All tiers on one problem. Affine tiers must agree bit for bit. */
static void check_problem(const problem *p, bool f32_activations, const char *name)
{
    tier tiers[MOST_TIERS];
    const int count = list_tiers(tiers);
    const int64_t size = MOST_INPUTS * p->m.weight.rows;
    guarded first = guard((size_t)size * sizeof(float));
    guarded y = guard((size_t)size * sizeof(float));
    for (int i = 0; i < count; i++) {
        ready r = make_ready(p, &tiers[i], f32_activations);
        multiply(floats(&y), p, &r, 0, MOST_INPUTS, r.packed.num_tiles);
        const double error = error_of(floats(&y), p);
        if (!(error <= bar_of(&r, error)))
            fail_msg("%s [%lld, %lld] on %s: error %g", name, (long long)p->m.weight.rows,
                     (long long)p->m.weight.columns, ffai__linear_kernel_name(&r.packed), error);
        check_company(floats(&y), p, &r);
        if (i == 0)
            memcpy(first.data, y.data, (size_t)size * sizeof(float));
        else if (ffai__weight_is_affine(&p->m.weight))
            check_same_bits(floats(&first), floats(&y), size, ffai__linear_kernel_name(&r.packed));
        free_ready(&r);
    }
    release(&first);
    release(&y);
}

static void check_format(const format *f, int64_t rows, int64_t columns, int rope_heads)
{
    char name[64];
    snprintf(name, sizeof name, "packing %d, %s, %d bits, groups of %d", (int)f->packing, ffai__dtype_name(f->dtype),
             f->bits, f->group_size);
    seed = (uint64_t)(rows * 1000003 + columns * 31 + f->bits * 7 + f->group_size);
    problem p = make_problem(f, rows, columns, rope_heads);
    check_problem(&p, false, name);
    check_problem(&p, true, name);
    free_problem(&p);
}

static void dense_weights_of_any_size_multiply_right(void **state)
{
    (void)state;
    static const ffai__dtype dtypes[] = {FFAI__F32, FFAI__F16, FFAI__BF16, FFAI__F64};
    static const int64_t sizes[][2] = {{1, 1}, {16, 2}, {17, 3}, {40, 37}, {33, 64}, {5, 130}, {64, 255}};
    for (size_t d = 0; d < sizeof dtypes / sizeof *dtypes; d++) {
        const format f = {FFAI__DENSE, dtypes[d], 0, 0};
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            check_format(&f, sizes[s][0], sizes[s][1], 0);
    }
}

static void mlx_weights_multiply_right_at_every_width_group_and_scale(void **state)
{
    (void)state;
    static const int widths[] = {2, 3, 4, 5, 6, 8};
    static const ffai__dtype dtypes[] = {FFAI__F16, FFAI__BF16, FFAI__F32};
    static const int64_t rows[] = {1, 16, 37, 50};
    int which = 0;
    for (int w = 0; w < 6; w++) {
        for (int group = 16; group <= 128; group *= 2) {
            for (int d = 0; d < 3; d++, which++) {
                const format f = {FFAI__MLX_AFFINE, dtypes[d], widths[w], group};
                check_format(&f, rows[which % 4], group * (1 + which % 5), 0);
            }
        }
    }
}

static void gguf_blocks_multiply_right(void **state)
{
    (void)state;
    static const format formats[] = {
        {FFAI__GGUF_Q4_0, FFAI__F16, 4, 32}, {FFAI__GGUF_Q4_1, FFAI__F16, 4, 32}, {FFAI__GGUF_Q5_0, FFAI__F16, 5, 32},
        {FFAI__GGUF_Q5_1, FFAI__F16, 5, 32}, {FFAI__GGUF_Q8_0, FFAI__F16, 8, 32},
    };
    static const int64_t sizes[][2] = {{1, 32}, {16, 64}, {19, 96}, {35, 224}};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            check_format(&formats[i], sizes[s][0], sizes[s][1], 0);
    }
}

static void interleaved_rotary_rows_come_out_in_the_models_order(void **state)
{
    (void)state;
    static const format formats[] = {
        {FFAI__DENSE, FFAI__F32, 0, 0},      {FFAI__DENSE, FFAI__F16, 0, 0},      {FFAI__MLX_AFFINE, FFAI__BF16, 4, 64},
        {FFAI__GGUF_Q4_1, FFAI__F16, 4, 32}, {FFAI__GGUF_Q8_0, FFAI__F16, 8, 32},
    };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        check_format(&formats[i], 36, 64, 3);
}

static void long_rows_keep_their_accuracy(void **state)
{
    (void)state;
    static const format formats[] = {
        {FFAI__DENSE, FFAI__F32, 0, 0},        {FFAI__DENSE, FFAI__BF16, 0, 0},
        {FFAI__MLX_AFFINE, FFAI__F32, 8, 128}, {FFAI__MLX_AFFINE, FFAI__BF16, 4, 64},
        {FFAI__GGUF_Q4_0, FFAI__F16, 4, 32},
    };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        check_format(&formats[i], 16, 8192, 0);
}

/* The largest codes against the largest inputs, all of one sign: the integer sums at their limit. */
static void extreme_codes_do_not_overflow(void **state)
{
    (void)state;
    const format f = {FFAI__MLX_AFFINE, FFAI__F32, 8, 128};
    seed = 5;
    problem p = make_problem(&f, 16, 256, 0);
    memset(p.m.data.data, 0xFF, 16 * 256);
    for (int64_t i = 0; i < MOST_INPUTS * 256; i++)
        floats(&p.x)[i] = i / 256 % 2 ? 3.0f : -3.0f;
    solve(&p);
    check_problem(&p, false, "extreme codes");
    free_problem(&p);
}

/* One activation 10,000 times the others, as residual streams have them: the error stays small beside the result,
 * and other groups keep their own step. */
static void a_massive_activation_does_not_drown_other_groups(void **state)
{
    (void)state;
    const format f = {FFAI__MLX_AFFINE, FFAI__F16, 4, 64};
    seed = 6;
    problem p = make_problem(&f, 48, 512, 0);
    for (int64_t t = 0; t < MOST_INPUTS; t++)
        floats(&p.x)[t * 512 + 100] = 1e4f;
    solve(&p);
    check_problem(&p, false, "a massive activation");
    free_problem(&p);
}

static bool all_finite(const float *y, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(y[i]))
            return false;
    }
    return true;
}

static bool none_finite(const float *y, int64_t count)
{
    for (int64_t i = 0; i < count; i++) {
        if (isfinite(y[i]))
            return false;
    }
    return true;
}

static const format input_formats[] = {
    {FFAI__DENSE, FFAI__F32, 0, 0},       {FFAI__DENSE, FFAI__F16, 0, 0},        {FFAI__DENSE, FFAI__BF16, 0, 0},
    {FFAI__MLX_AFFINE, FFAI__F16, 4, 16}, {FFAI__MLX_AFFINE, FFAI__BF16, 3, 64}, {FFAI__GGUF_Q8_0, FFAI__F16, 8, 32},
};

/* Multiply with input row 2 made strange; the others must not notice. */
static void check_strange_row(const format *f, const float *strange, bool finite)
{
    enum { COLUMNS = 96, ROWS = 20, STRANGE = 2 };
    const int64_t columns = f->group_size == 64 ? 128 : COLUMNS;
    tier tiers[MOST_TIERS];
    const int count = list_tiers(tiers);
    seed = 7;
    problem p = make_problem(f, ROWS, columns, 0);
    float before[MOST_INPUTS * ROWS];
    float after[MOST_INPUTS * ROWS];
    for (int i = 0; i < 2 * count; i++) {
        ready r = make_ready(&p, &tiers[i / 2], i % 2);
        multiply(before, &p, &r, 0, MOST_INPUTS, 1);
        float *row = malloc((size_t)columns * sizeof *row);
        assert_non_null(row);
        memcpy(row, floats(&p.x) + STRANGE * columns, (size_t)columns * sizeof *row);
        memcpy(row + 5, strange, 4 * sizeof *row);
        ffai__linear_prepare(r.inputs.data + STRANGE * r.input_bytes, row, &r.packed);
        free(row);
        multiply(after, &p, &r, 0, MOST_INPUTS, 1);
        assert_true(finite ? all_finite(after + STRANGE * ROWS, ROWS) : none_finite(after + STRANGE * ROWS, ROWS));
        check_same_bits(before, after, STRANGE * ROWS, "rows before a strange one");
        check_same_bits(before + (STRANGE + 1) * ROWS, after + (STRANGE + 1) * ROWS, (MOST_INPUTS - STRANGE - 1) * ROWS,
                        "rows behind a strange one");
        free_ready(&r);
    }
    free_problem(&p);
}

static void what_is_not_finite_stays_in_its_row(void **state)
{
    (void)state;
    const float strange[][4] = {
        {INFINITY, 0, 1, 2}, {-INFINITY, 0, 1, 2}, {NAN, 1, 2, 3}, {INFINITY, -INFINITY, NAN, 0}, {0, 0, 0, -NAN}};
    for (size_t f = 0; f < sizeof input_formats / sizeof *input_formats; f++) {
        for (size_t s = 0; s < sizeof strange / sizeof *strange; s++)
            check_strange_row(&input_formats[f], strange[s], false);
    }
}

static void huge_and_denormal_inputs_are_finite(void **state)
{
    (void)state;
    const float strange[][4] = {{1e30f, -1e30f, 0, 0}, {1e-40f, -1e-42f, 1e-45f, 0}, {-0.0f, 0.0f, 1e-38f, 0}};
    for (size_t f = 0; f < sizeof input_formats / sizeof *input_formats; f++) {
        for (size_t s = 0; s < sizeof strange / sizeof *strange; s++)
            check_strange_row(&input_formats[f], strange[s], true);
    }
}

/* Whole rows of zeros, of denormals and of the smallest normal numbers. */
static void tiny_rows_give_tiny_results(void **state)
{
    (void)state;
    static const float values[] = {0.0f, -0.0f, 0x1p-149f, 0x1p-127f, 0x1p-126f, 0x1p-101f, 0x1p-99f};
    for (size_t f = 0; f < sizeof input_formats / sizeof *input_formats; f++) {
        seed = 8;
        problem p = make_problem(&input_formats[f], 18, 128, 0);
        for (int64_t i = 0; i < MOST_INPUTS * 128; i++)
            floats(&p.x)[i] = values[(size_t)(i / 128) % (sizeof values / sizeof *values)];
        solve(&p);
        check_problem(&p, false, "tiny rows");
        check_problem(&p, true, "tiny rows");
        free_problem(&p);
    }
}

/* A wide y: nothing between the rows is written, and y itself may be the residual. */
static void only_the_asked_outputs_are_written(void **state)
{
    (void)state;
    enum { ROWS = 37, STRIDE = 50 };
    tier tiers[MOST_TIERS];
    const int count = list_tiers(tiers);
    for (size_t f = 0; f < sizeof input_formats / sizeof *input_formats; f++) {
        seed = 9;
        problem p = make_problem(&input_formats[f], ROWS, 128, 0);
        for (int i = 0; i < count; i++) {
            ready r = make_ready(&p, &tiers[i], false);
            float whole[MOST_INPUTS * ROWS];
            multiply(whole, &p, &r, 0, MOST_INPUTS, 1);
            float y[MOST_INPUTS * STRIDE];
            const float canary = 12345.678f;
            for (int64_t k = 0; k < MOST_INPUTS * STRIDE; k++)
                y[k] = k % STRIDE < ROWS ? floats(&p.residual)[k / STRIDE * ROWS + k % STRIDE] : canary;
            ffai__linear_compute(y, STRIDE, &r.packed, r.inputs.data, MOST_INPUTS, 0, r.packed.num_tiles,
                                 floats(&p.bias), y);
            for (int64_t t = 0; t < MOST_INPUTS; t++) {
                check_same_bits(whole + t * ROWS, y + t * STRIDE, ROWS, "y as its own residual");
                for (int64_t k = ROWS; k < STRIDE; k++)
                    assert_memory_equal(y + t * STRIDE + k, &canary, sizeof canary);
            }
            ffai__linear_compute(y, STRIDE, &r.packed, r.inputs.data, 0, 0, r.packed.num_tiles, NULL, NULL);
            ffai__linear_compute(y, STRIDE, &r.packed, r.inputs.data, MOST_INPUTS, 1, 1, NULL, NULL);
            check_same_bits(whole, y, ROWS, "nothing to do");
            free_ready(&r);
        }
        free_problem(&p);
    }
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
        matrix m = make_matrix(&formats[i], 64, 2048, 0);
        ffai__packed packed;
        assert_int_equal(ffai__packed_plan(&packed, &m.weight, FFAI__ISA_SCALAR, &none, false, NULL), FFAI_OK);
        assert_true((uint64_t)packed.num_tiles * packed.tile_bytes == ffai__weight_bytes(&m.weight));
        free_matrix(&m);
    }
}

static void a_format_without_kernels_is_refused_by_name(void **state)
{
    (void)state;
    static const format formats[] = {
        {FFAI__DENSE, FFAI__I8, 0, 0}, {FFAI__MLX_AFFINE, FFAI__F16, 7, 64}, {FFAI__MLX_AFFINE, FFAI__F16, 4, 256}};
    const ffai__cpu_features none = {0};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        const ffai__weight weight = {.name = "odd.weight",
                                     .rank = 2,
                                     .rows = 16,
                                     .columns = 512,
                                     .packing = formats[i].packing,
                                     .dtype = formats[i].dtype,
                                     .bits = formats[i].bits,
                                     .group_size = formats[i].group_size,
                                     .scale_dtype = FFAI__F16};
        ffai__packed packed;
        ffai_error err = FFAI_ERROR_INIT;
        assert_int_equal(ffai__packed_plan(&packed, &weight, FFAI__ISA_SCALAR, &none, false, &err), FFAI_E_UNSUPPORTED);
        assert_non_null(strstr(err.message, "odd.weight"));
    }
}

static int print_worst(void **state)
{
    (void)state;
    print_message("largest error over rms: fixed point %.1e, float32 %.1e\n", worst_fixed, worst_f32);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_weights_of_any_size_multiply_right),
        cmocka_unit_test(mlx_weights_multiply_right_at_every_width_group_and_scale),
        cmocka_unit_test(gguf_blocks_multiply_right),
        cmocka_unit_test(interleaved_rotary_rows_come_out_in_the_models_order),
        cmocka_unit_test(long_rows_keep_their_accuracy),
        cmocka_unit_test(extreme_codes_do_not_overflow),
        cmocka_unit_test(a_massive_activation_does_not_drown_other_groups),
        cmocka_unit_test(what_is_not_finite_stays_in_its_row),
        cmocka_unit_test(huge_and_denormal_inputs_are_finite),
        cmocka_unit_test(tiny_rows_give_tiny_results),
        cmocka_unit_test(only_the_asked_outputs_are_written),
        cmocka_unit_test(tiles_stay_close_to_the_files_size),
        cmocka_unit_test(a_format_without_kernels_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, print_worst);
}
