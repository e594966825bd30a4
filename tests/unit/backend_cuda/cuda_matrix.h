/* A random matrix of any format, packed by the backend as for a device, and what its products are in double. For tests
 * of product kernels over the model of the device. */
#ifndef CUDA_MATRIX_H
#define CUDA_MATRIX_H

#include "../../kernels/tiny_model.h"
#include "cuda.h"
#include "stub.h"

typedef struct matrix {
    tiny_model model;
    ffai__weight weight;
    void *parts[3];
    ffai__plan *plan;
    ffai__cuda_matrix packed;
    double *values; /* [rows][columns] */
} matrix;

static uint32_t state = 5;

static uint32_t draw(void)
{
    state = state * 1664525u + 1013904223u;
    return state >> 8;
}

static float normal(void)
{
    float sum = 0;
    for (int i = 0; i < 12; i++)
        sum += (float)draw() / 16777216.0f;
    return sum - 6.0f;
}

static void *numbers(size_t count, ffai__dtype dtype, float middle, float width)
{
    float *wide = tiny_part(count * sizeof *wide);
    for (size_t i = 0; i < count; i++)
        wide[i] = middle + width * normal();
    if (dtype != FFAI__F32)
        ffai__from_f32(wide, dtype, wide, count); /* front to back: shrinks in place */
    return wide;
}

static void fill_weight(matrix *m, int bits, int group_size, ffai__dtype dtype)
{
    ffai__weight *w = &m->weight;
    const size_t count = (size_t)(w->rows * w->columns);
    if (bits >= 16) {
        w->packing = FFAI__DENSE;
        w->dtype = dtype;
        w->data = m->parts[0] = numbers(count, dtype, 0, 1);
        return;
    }
    uint8_t *codes = m->parts[0] = tiny_part(count * (size_t)bits / 8);
    for (size_t i = 0; i < count * (size_t)bits / 8; i++)
        codes[i] = (uint8_t)draw();
    const float step = 3.4f / (float)((1 << bits) - 1);
    w->packing = FFAI__MLX_AFFINE;
    w->bits = bits;
    w->group_size = group_size;
    w->scale_dtype = dtype;
    w->data = codes;
    w->scales = m->parts[1] = numbers(count / (size_t)group_size, dtype, step, step / 8);
    w->biases = m->parts[2] = numbers(count / (size_t)group_size, dtype, -1.7f, 0.2f);
}

static void load(matrix *m)
{
    ffai_error err = FFAI_ERROR_INIT;
    const tiny_shape shape = {
        .hidden = (int)m->weight.columns, .vocab = (int)m->weight.rows, .tied = true, .bits = 32, .rope_dims = 0};
    tiny_create(&m->model, &shape);
    const char *name = m->model.weights[0].name;
    m->model.weights[0] = m->weight;
    m->model.weights[0].name = name;
    if (tiny_load(&m->plan, &ffai__backend_cuda, m->model.program, &(ffai__plan_options){0}, &err) != FFAI_OK)
        fail_msg("%s", err.message);
    const ffai__program *program = m->model.program;
    for (size_t v = 0; v < program->num_values; v++) {
        if (program->values[v].kind == FFAI__WEIGHT && program->values[v].weight == &m->model.weights[0])
            m->packed = ((ffai__cuda_plan *)m->plan)->matrices[v];
    }
}

static void make(matrix *m, int rows, int columns, int bits, int group_size, ffai__dtype dtype)
{
    memset(m, 0, sizeof *m);
    m->weight = (ffai__weight){.name = "a test's", .rank = 2, .rows = rows, .columns = columns};
    fill_weight(m, bits, group_size, dtype);
    load(m);
    float *row = tiny_part((size_t)columns * sizeof *row);
    m->values = tiny_part((size_t)(rows * columns) * sizeof *m->values);
    for (int r = 0; r < rows; r++) {
        ffai__weight_read(row, &m->weight, r);
        for (int c = 0; c < columns; c++)
            m->values[r * columns + c] = row[c];
    }
    free(row);
}

static void release(matrix *m)
{
    ffai__backend_cuda.unload(m->plan);
    tiny_free(&m->model);
    for (int i = 0; i < 3; i++)
        free(m->parts[i]);
    free(m->values);
}

/* Row t of x [][columns] through row `row`. */
static double reference(const matrix *m, const float *x, int t, int row)
{
    double sum = 0;
    for (int64_t c = 0; c < m->weight.columns; c++)
        sum += m->values[row * m->weight.columns + c] * x[t * m->weight.columns + c];
    return sum;
}

/* Kernel PREFIX_<format> of products with this matrix; it stays until the next call. */
static const char *kernel_name(const char *prefix, const ffai__cuda_matrix *m)
{
    static char name[64];
    static const struct {
        int format, subgroups;
        const char *name;
    } names[] = {
#define KERNEL(file, name)
#define PRODUCT(file, format, subgroups, name) {format, subgroups, #name},
#include "kernels/kernels.def"
#undef KERNEL
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (names[i].format == m->format && names[i].subgroups == m->subgroups) {
            snprintf(name, sizeof name, "%s_%s", prefix, names[i].name);
            return name;
        }
    }
    fail_msg("no kernel");
    return NULL;
}

/* A step of so many rows. */
static ffai__cuda_step step_of(int rows)
{
    static ffai__cuda_sizes sizes;
    sizes.num_rows = rows;
    return (ffai__cuda_step){.sizes = &sizes};
}

/* exact: as bf16 numbers. */
static void fill_x(float *x, size_t count, bool exact)
{
    for (size_t i = 0; i < count; i++) {
        uint16_t rounded = 0;
        x[i] = normal();
        ffai__from_f32(&rounded, FFAI__BF16, &x[i], 1);
        if (exact)
            ffai__to_f32(&x[i], &rounded, FFAI__BF16, 1);
    }
}

/* A group's teardown: whatever was opened is closed. */
static int leave(void **unused)
{
    (void)unused;
    return stub_open_objects() || stub_device_bytes() || stub_pinned_bytes() || stub_open_contexts();
}

/* Every format. */
static const struct {
    int bits, group_size;
    ffai__dtype dtype; /* of scales, or of numbers */
} formats[] = {
    {2, 64, FFAI__BF16}, {2, 32, FFAI__F16},  {2, 16, FFAI__F32},  {3, 64, FFAI__F16},  {3, 32, FFAI__F32},
    {3, 16, FFAI__BF16}, {4, 64, FFAI__F32},  {4, 32, FFAI__BF16}, {4, 16, FFAI__F16},  {5, 64, FFAI__BF16},
    {5, 32, FFAI__F16},  {5, 16, FFAI__F32},  {6, 64, FFAI__F16},  {6, 32, FFAI__F32},  {6, 16, FFAI__BF16},
    {8, 64, FFAI__F32},  {8, 32, FFAI__BF16}, {8, 16, FFAI__F16},  {4, 128, FFAI__F16}, {16, 0, FFAI__BF16},
    {16, 0, FFAI__F16},  {32, 0, FFAI__F32},
};

#endif
