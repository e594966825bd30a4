/* Weights on their way in: matrices go through two buffers, one being filled by the host while the device makes tiles
 * of the other. */
#include <string.h>

#include "alloc.h"
#include "attention_products.h"
#include "cuda.h"

#define PORTION_BYTES ((uint64_t)32 << 20)
#define ALIGNMENT     ((uint64_t)256)
enum { BUFFERS = 2 };

typedef struct packing {
    ffai__cuda_plan *plan;
    const ffai__plan_options *options;
    const ffai__cuda_driver *driver;
    ffai__cuda_stream stream;
    uint64_t buffer_bytes;
    uint8_t *host[BUFFERS];
    ffai__cuda_address device[BUFFERS];
    ffai__cuda_event used[BUFFERS]; /* the device is done with it */
    int next;
    uint32_t *beyond; /* host memory [values]: of a matrix 1 if its scales do not fit their format */
    ffai__cuda_address device_beyond;
    uint64_t total_bytes, done_bytes;
} packing;

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* --- the matrices' shapes --- */

static int32_t format_of(const ffai__weight *weight)
{
    if (ffai__weight_is_affine(weight))
        return weight->bits;
    return weight->dtype == FFAI__BF16 ? FFAI__CUDA_BF16 : weight->dtype == FFAI__F16 ? FFAI__CUDA_F16 : FFAI__CUDA_F32;
}

static int32_t scale_format_of(const ffai__weight *weight)
{
    return weight->scale_dtype == FFAI__BF16  ? FFAI__CUDA_SCALES_BF16
           : weight->scale_dtype == FFAI__F16 ? FFAI__CUDA_SCALES_F16
                                              : FFAI__CUDA_SCALES_F32;
}

static void shape_matrix(ffai__cuda_matrix *m, const ffai__weight *weight)
{
    *m = (ffai__cuda_matrix){.rows = weight->rows, .columns = weight->columns, .subgroups = 1};
    m->units = (int32_t)((weight->rows + FFAI__CUDA_UNIT_ROWS - 1) / FFAI__CUDA_UNIT_ROWS);
    m->tiles = (int32_t)((weight->columns + FFAI__CUDA_TILE_COLUMNS - 1) / FFAI__CUDA_TILE_COLUMNS);
    m->spans = (m->tiles + FFAI__CUDA_SPAN_TILES - 1) / FFAI__CUDA_SPAN_TILES;
    m->format = format_of(weight);
    if (!ffai__weight_is_affine(weight))
        return;
    if (weight->group_size < FFAI__CUDA_BLOCK_COLUMNS)
        m->subgroups = FFAI__CUDA_BLOCK_COLUMNS / weight->group_size;
    m->scale_format = scale_format_of(weight);
}

static uint64_t word_bytes(const ffai__cuda_matrix *m)
{
    return (uint64_t)m->units * (uint64_t)m->tiles * (uint64_t)FFAI__CUDA_LANE_WORDS(m->format) * 32 * 4;
}

static uint64_t scale_bytes(const ffai__cuda_matrix *m)
{
    const uint64_t pair = m->scale_format == FFAI__CUDA_SCALES_F32 ? 8 : 4;
    return m->format < FFAI__CUDA_BF16 ? (uint64_t)m->units * (uint64_t)m->spans * 64 * (uint64_t)m->subgroups * pair
                                       : 0;
}

uint64_t ffai__cuda_matrix_bytes(const ffai__cuda_matrix *matrix)
{
    return word_bytes(matrix) + scale_bytes(matrix);
}

/* --- one memory for all --- */

/* The first value that is the same weight, which may be this one. */
static size_t first_of_weight(const ffai__program *program, size_t value)
{
    size_t i = 0;
    while (program->values[i].kind != FFAI__WEIGHT || program->values[i].weight != program->values[value].weight)
        i++;
    return i;
}

static const ffai__weight *weight_of(const ffai__program *program, size_t value, int rank)
{
    const ffai__weight *weight = program->values[value].kind == FFAI__WEIGHT ? program->values[value].weight : NULL;
    return weight && weight->rank == rank ? weight : NULL;
}

static void *advance(uint64_t *at, uint64_t bytes, ffai__cuda_address base)
{
    void *place = base ? ffai__cuda_pointer(base + *at) : NULL;
    *at += round_up(bytes);
    return place;
}

static void shape_matrices(ffai__cuda_plan *plan)
{
    const ffai__program *program = plan->base.program;
    for (size_t i = 0; i < program->num_values; i++) {
        const ffai__weight *matrix = weight_of(program, i, 2);
        if (matrix)
            shape_matrix(&plan->matrices[i], matrix);
    }
}

/* Give every weight its place from `base` on; returns the bytes of all. */
static uint64_t place_weights(ffai__cuda_plan *plan, ffai__cuda_address base)
{
    const ffai__program *program = plan->base.program;
    uint64_t at = 0;
    for (size_t i = 0; i < program->num_values; i++) {
        const ffai__weight *matrix = weight_of(program, i, 2);
        if (matrix && first_of_weight(program, i) == i) {
            plan->matrices[i].words = advance(&at, word_bytes(&plan->matrices[i]), base);
            plan->matrices[i].scales = advance(&at, scale_bytes(&plan->matrices[i]), base);
        } else if (matrix) {
            plan->matrices[i] = plan->matrices[first_of_weight(program, i)];
        }
    }
    plan->matrix_bytes = at;
    for (size_t i = 0; i < program->num_values; i++) {
        const ffai__weight *vector = weight_of(program, i, 1);
        if (vector)
            plan->vectors[i] = (uint64_t)(uintptr_t)advance(&at, (uint64_t)vector->columns * sizeof(float), base);
    }
    return at;
}

/* --- portions --- */

/* Rows that cannot be parted: a unit, or a head whose halves are interleaved. */
static int64_t least_rows(const ffai__weight *weight)
{
    int64_t rows = FFAI__CUDA_UNIT_ROWS;
    if (!weight->rope_heads)
        return rows;
    const int64_t head = weight->rows / weight->rope_heads;
    while (rows % head)
        rows += FFAI__CUDA_UNIT_ROWS;
    return rows;
}

static uint64_t scale_row_bytes(const ffai__weight *weight)
{
    if (weight->packing != FFAI__MLX_AFFINE)
        return 0;
    return (uint64_t)(weight->columns / weight->group_size) * ffai__dtype_size(weight->scale_dtype);
}

static uint64_t stored_row_bytes(const ffai__weight *weight)
{
    return ffai__weight_row_bytes(weight) + 2 * scale_row_bytes(weight);
}

/* For all of it, or a portion of its rows. */
static uint64_t wanted_buffer(const ffai__weight *weight)
{
    const int64_t rows = least_rows(weight) < weight->rows ? least_rows(weight) : weight->rows;
    const uint64_t least = (uint64_t)rows * stored_row_bytes(weight);
    const uint64_t all = (uint64_t)weight->rows * stored_row_bytes(weight);
    const uint64_t most = all < PORTION_BYTES ? all : PORTION_BYTES;
    return (least > most ? least : most) + 3 * ALIGNMENT;
}

static int64_t portion_rows(const packing *p, const ffai__weight *weight)
{
    const int64_t least = least_rows(weight);
    const int64_t room = (int64_t)((p->buffer_bytes - 3 * ALIGNMENT) / stored_row_bytes(weight));
    if (room >= weight->rows)
        return weight->rows;
    return room > least ? room / least * least : least;
}

/* Rows into the host's buffer: data, scales, biases, each on a boundary of its own. */
static void fill_buffer(const packing *p, ffai__cuda_pack_args *args, const ffai__weight *weight, uint64_t *bytes)
{
    const uint64_t first = (uint64_t)args->first_row;
    const uint64_t rows = (uint64_t)args->num_rows;
    const struct {
        const uint8_t *from;
        uint64_t row_bytes;
        const uint8_t **to;
    } parts[] = {
        {weight->data, ffai__weight_row_bytes(weight), &args->data},
        {weight->scales, scale_row_bytes(weight), &args->scales},
        {weight->biases, scale_row_bytes(weight), &args->biases},
    };
    uint64_t at = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (parts[i].row_bytes)
            memcpy(p->host[p->next] + at, parts[i].from + first * parts[i].row_bytes, rows * parts[i].row_bytes);
        *parts[i].to = ffai__cuda_pointer(p->device[p->next] + at);
        at += round_up(rows * parts[i].row_bytes);
    }
    *bytes = at;
}

static int32_t dense_dtype(const ffai__weight *weight)
{
    return weight->dtype == FFAI__F16 ? 1 : weight->dtype == FFAI__BF16 ? 2 : weight->dtype == FFAI__F64 ? 3 : 0;
}

static ffai_status launch_over(const packing *p, ffai__cuda_kernel kernel, uint64_t threads, ffai__cuda_pack_args *args,
                               ffai_error *err)
{
    const unsigned grid[3] = {(unsigned)((threads + FFAI__CUDA_THREADS - 1) / FFAI__CUDA_THREADS), 1, 1};
    return ffai__cuda_launch_kernel(&p->plan->opened, p->stream, kernel, grid, FFAI__CUDA_THREADS, 0, args, err);
}

static ffai_status launch_pack(const packing *p, ffai__cuda_pack_args *args, ffai_error *err)
{
    const uint64_t units = (uint64_t)(args->num_rows + FFAI__CUDA_UNIT_ROWS - 1) / FFAI__CUDA_UNIT_ROWS;
    const ffai__cuda_matrix *m = &args->to;
    FFAI__TRY(launch_over(p, FFAI__CUDA_KERNEL_pack_codes, units * (uint64_t)m->tiles * 32, args, err));
    if (m->format >= FFAI__CUDA_BF16)
        return FFAI_OK;
    const uint64_t scales = units * FFAI__CUDA_UNIT_ROWS * (uint64_t)m->spans * 8 * (uint64_t)m->subgroups;
    return launch_over(p, FFAI__CUDA_KERNEL_pack_scales, scales, args, err);
}

static ffai_status report(packing *p, uint64_t bytes, ffai_error *err)
{
    p->done_bytes += bytes;
    if (!p->options->progress ||
        p->options->progress(p->options->progress_context, (double)p->done_bytes / (double)p->total_bytes))
        return FFAI_OK;
    return ffai__fail(err, FFAI_E_CANCELLED, "loading was cancelled");
}

static ffai_status pack_portion(packing *p, size_t value, const ffai__weight *weight, int64_t first, int64_t rows,
                                ffai_error *err)
{
    uint64_t bytes = 0;
    ffai__cuda_pack_args args = {
        .to = p->plan->matrices[value],
        .row_bytes = (int64_t)ffai__weight_row_bytes(weight),
        .first_row = first,
        .num_rows = rows,
        .packing = (int32_t)weight->packing,
        .dtype = dense_dtype(weight),
        .group_size = weight->group_size,
        .head_rows = weight->rope_heads ? (int32_t)(weight->rows / weight->rope_heads) : 0,
        .beyond = ffai__cuda_pointer(p->device_beyond + value * sizeof *p->beyond),
    };
    FFAI__TRY(ffai__cuda_check(p->driver, p->driver->event_wait(p->used[p->next]), "packing weights", err));
    fill_buffer(p, &args, weight, &bytes);
    FFAI__TRY(ffai__cuda_check(p->driver, p->driver->copy_in(p->device[p->next], p->host[p->next], bytes, p->stream),
                               "copying weights to the device", err));
    FFAI__TRY(launch_pack(p, &args, err));
    FFAI__TRY(
        ffai__cuda_check(p->driver, p->driver->event_record(p->used[p->next], p->stream), "packing weights", err));
    p->next = (p->next + 1) % BUFFERS;
    return report(p, (uint64_t)rows * stored_row_bytes(weight), err);
}

static ffai_status pack_matrix(packing *p, size_t value, const ffai__weight *weight, ffai_error *err)
{
    const int64_t portion = portion_rows(p, weight);
    for (int64_t row = 0; row < weight->rows; row += portion) {
        const int64_t rows = weight->rows - row < portion ? weight->rows - row : portion;
        FFAI__TRY(pack_portion(p, value, weight, row, rows, err));
    }
    return FFAI_OK;
}

static ffai_status pack_vector(packing *p, uint64_t to, const ffai__weight *vector, ffai_error *err)
{
    const uint64_t bytes = (uint64_t)vector->columns * sizeof(float);
    FFAI__TRY(ffai__cuda_check(p->driver, p->driver->event_wait(p->used[p->next]), "packing weights", err));
    ffai__weight_read((float *)(void *)p->host[p->next], vector, 0);
    FFAI__TRY(ffai__cuda_check(p->driver, p->driver->copy_in(to, p->host[p->next], bytes, p->stream),
                               "copying weights to the device", err));
    FFAI__TRY(
        ffai__cuda_check(p->driver, p->driver->event_record(p->used[p->next], p->stream), "packing weights", err));
    p->next = (p->next + 1) % BUFFERS;
    return FFAI_OK;
}

static ffai_status pack_all(packing *p, ffai_error *err)
{
    const ffai__cuda_plan *plan = p->plan;
    const ffai__program *program = plan->base.program;
    for (size_t i = 0; i < program->num_values; i++) {
        const ffai__weight *matrix = weight_of(program, i, 2);
        if (matrix && first_of_weight(program, i) == i)
            FFAI__TRY(pack_matrix(p, i, matrix, err));
    }
    for (size_t i = 0; i < program->num_values; i++) {
        const ffai__weight *vector = weight_of(program, i, 1);
        if (vector)
            FFAI__TRY(pack_vector(p, plan->vectors[i], vector, err));
    }
    return ffai__cuda_check(p->driver, p->driver->stream_wait(p->stream), "packing weights", err);
}

/* --- the whole --- */

static void measure_weights(packing *p)
{
    const ffai__program *program = p->plan->base.program;
    p->buffer_bytes = 1; /* there may be no weights */
    for (size_t i = 0; i < program->num_values; i++) {
        const ffai__weight *matrix = weight_of(program, i, 2);
        const ffai__weight *vector = weight_of(program, i, 1);
        uint64_t needed = vector ? (uint64_t)vector->columns * sizeof(float) : 0;
        if (matrix) {
            needed = wanted_buffer(matrix);
            p->total_bytes += first_of_weight(program, i) == i ? ffai__weight_bytes(matrix) : 0;
        }
        p->buffer_bytes = needed > p->buffer_bytes ? needed : p->buffer_bytes;
    }
}

static ffai_status open_marks(packing *p, ffai_error *err)
{
    void *host = NULL;
    const size_t bytes = p->plan->base.program->num_values * sizeof *p->beyond;
    FFAI__TRY(ffai__cuda_check(
        p->driver, p->driver->host_allocate(&host, bytes, FFAI__CUDA_HOST_PORTABLE | FFAI__CUDA_HOST_MAPPED),
        "allocating pinned memory", err));
    p->beyond = host;
    memset(host, 0, bytes);
    return ffai__cuda_check(p->driver, p->driver->host_address(&p->device_beyond, host, 0), "mapping pinned memory",
                            err);
}

static ffai_status open_buffers(packing *p, ffai_error *err)
{
    const ffai__cuda_driver *driver = p->driver;
    FFAI__TRY(open_marks(p, err));
    FFAI__TRY(
        ffai__cuda_check(driver, driver->stream_create(&p->stream, FFAI__CUDA_STREAM_ALONE), "opening a stream", err));
    for (int i = 0; i < BUFFERS; i++) {
        void *host = NULL;
        FFAI__TRY(ffai__cuda_check(driver, driver->host_allocate(&host, p->buffer_bytes, FFAI__CUDA_HOST_PORTABLE),
                                   "allocating pinned memory", err));
        p->host[i] = host;
        FFAI__TRY(ffai__cuda_allocate(&p->device[i], p->buffer_bytes, "packing weights", &p->plan->opened, err));
        FFAI__TRY(ffai__cuda_check(driver, driver->event_create(&p->used[i], FFAI__CUDA_EVENT_UNTIMED),
                                   "creating an event", err));
    }
    return FFAI_OK;
}

static void close_buffers(packing *p)
{
    const ffai__cuda_driver *driver = p->driver;
    if (p->stream) {
        driver->stream_wait(p->stream);
        driver->stream_destroy(p->stream);
    }
    if (p->beyond)
        driver->host_free(p->beyond);
    for (int i = 0; i < BUFFERS; i++) {
        if (p->used[i])
            driver->event_destroy(p->used[i]);
        if (p->device[i])
            driver->memory_free(p->device[i]);
        if (p->host[i])
            driver->host_free(p->host[i]);
    }
}

static ffai_status allocate_weights(ffai__cuda_plan *plan, ffai_error *err)
{
    FFAI__TRY(ffai__cuda_allocate(&plan->weights, plan->weight_bytes, "weights", &plan->opened, err));
    place_weights(plan, plan->weights);
    return FFAI_OK;
}

/* Scales that turned out not to fit their format become float32. True if there were any. */
static bool widen_scales(const packing *p)
{
    bool any = false;
    for (size_t i = 0; i < p->plan->base.program->num_values; i++) {
        if (p->beyond[i])
            p->plan->matrices[i].scale_format = FFAI__CUDA_SCALES_F32;
        any = any || p->beyond[i];
    }
    return any;
}

/* Packing alone finds such scales, because it reads them all; no published model is known to have any. */
static ffai_status pack_again(packing *p, ffai_error *err)
{
    p->driver->memory_free(p->plan->weights);
    p->plan->weights = 0;
    p->plan->weight_bytes = place_weights(p->plan, 0);
    p->done_bytes = 0;
    FFAI__TRY(allocate_weights(p->plan, err));
    return pack_all(p, err);
}

static ffai_status pack_weights(ffai__cuda_plan *plan, const ffai__plan_options *options, ffai_error *err)
{
    packing p = {.plan = plan, .options = options, .driver = plan->opened.driver};
    measure_weights(&p);
    FFAI__TRY(allocate_weights(plan, err));
    ffai_status status = open_buffers(&p, err);
    if (status == FFAI_OK)
        status = pack_all(&p, err);
    if (status == FFAI_OK && widen_scales(&p))
        status = pack_again(&p, err);
    close_buffers(&p);
    return status;
}

ffai_status ffai__cuda_plan_weights(ffai__cuda_plan *plan, ffai_error *err)
{
    const size_t values = plan->base.program->num_values;
    plan->matrices = ffai__calloc(values, sizeof *plan->matrices);
    plan->vectors = ffai__calloc(values, sizeof *plan->vectors);
    if (!plan->matrices || !plan->vectors)
        return ffai__fail_memory(err, "a plan", values * sizeof *plan->matrices);
    FFAI__TRY(ffai__attention_products(&plan->around_attention, plan->base.program, err));
    shape_matrices(plan);
    plan->weight_bytes = place_weights(plan, 0);
    return FFAI_OK;
}

ffai_status ffai__cuda_pack(ffai__cuda_plan *plan, const ffai__plan_options *options, ffai_error *err)
{
    FFAI__TRY(ffai__cuda_enter(&plan->opened, err));
    const ffai_status status = pack_weights(plan, options, err);
    ffai__cuda_leave(&plan->opened);
    return status;
}

void ffai__cuda_unpack(ffai__cuda_plan *plan)
{
    if (plan->weights && ffai__cuda_enter(&plan->opened, NULL) == FFAI_OK) {
        plan->opened.driver->memory_free(plan->weights);
        ffai__cuda_leave(&plan->opened);
    }
    ffai__free(plan->around_attention);
    ffai__free(plan->vectors);
    ffai__free(plan->matrices);
}
