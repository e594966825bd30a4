/* Weights on their way in: every matrix packed once, by the threads that will read it, and its mapped pages let go
 * of as soon as they are packed, so that memory never holds much more than one copy. */
#include <stdatomic.h>
#include <string.h>

#include "alloc.h"
#include "attention_products.h"
#include "cpu.h"
#include "memory_info.h"

/* Pages of the machine and of first touch: matrices begin on one. */
#define MATRIX_ALIGNMENT ((uint64_t)4096)
/* Stored bytes that are packed between two looks at progress and cancellation. */
#define PORTION_BYTES ((uint64_t)4 << 20)

typedef struct packing {
    ffai__cpu_plan *plan;
    const ffai__plan_options *options;
    ffai__file_ranges files;
    ffai__file_release *releases; /* [threads] */
    uint8_t *scratch;             /* [threads][scratch_bytes] */
    size_t scratch_bytes;
    uint64_t total_bytes;
    _Atomic uint64_t done_bytes;
    atomic_bool cancelled;
} packing;

/* Matrices of a product stand at 1, 3 and 5, each followed by its bias. */
static int num_matrices(const ffai__instruction *instruction)
{
    return instruction->op == FFAI__OP_linear_shared ? FFAI__MAX_OUTPUTS : ffai__op_multiplies(instruction->op);
}

static ffai__packed *find_packed(const ffai__cpu_plan *plan, const ffai__weight *weight)
{
    for (size_t i = 0; i < plan->num_packed; i++) {
        if (plan->packed[i].weight == weight)
            return &plan->packed[i];
    }
    return NULL;
}

static ffai_status plan_matrix(ffai__cpu_plan *plan, ffai__value value, ffai__activations activations, ffai_error *err)
{
    const ffai__weight *weight = ffai__weight_of(plan->base.program, value);
    ffai__packed *packed = find_packed(plan, weight);
    if (!packed) {
        packed = &plan->packed[plan->num_packed];
        FFAI__TRY(ffai__packed_plan(packed, weight, plan->isa, &plan->features, activations, err));
        plan->num_packed++;
    }
    plan->matrices[value] = packed;
    return FFAI_OK;
}

/* By default what attention hangs on stays fine, and the rest takes inputs in bf16 where that is faster. */
static ffai__activations activations_for(ffai__activations wanted, bool around_attention)
{
    if (wanted != FFAI__ACTIVATIONS_DEFAULT)
        return wanted;
    return around_attention ? FFAI__ACTIVATIONS_FINE : FFAI__ACTIVATIONS_BF16;
}

static ffai_status plan_products(ffai__cpu_plan *plan, const bool *around_attention, ffai__activations wanted,
                                 ffai_error *err)
{
    const ffai__program *program = plan->base.program;
    for (size_t i = 0; i < program->num_instructions; i++) {
        const ffai__instruction *instruction = &program->instructions[i];
        const ffai__activations activations = activations_for(wanted, around_attention[i]);
        for (int k = 0; k < num_matrices(instruction); k++) {
            if (instruction->in[1 + 2 * k] != FFAI__NONE)
                FFAI__TRY(plan_matrix(plan, instruction->in[1 + 2 * k], activations, err));
        }
    }
    return FFAI_OK;
}

static ffai_status plan_matrices(ffai__cpu_plan *plan, const ffai__plan_options *options, ffai_error *err)
{
    bool *around_attention = NULL;
    FFAI__TRY(ffai__attention_products(&around_attention, plan->base.program, err));
    const ffai_status status = plan_products(plan, around_attention, options->activations, err);
    ffai__free(around_attention);
    return status;
}

/* The vector that a value is, NULL for any other. */
static const ffai__weight *vector_of(const ffai__program *program, size_t value)
{
    const ffai__weight *weight = program->values[value].kind == FFAI__WEIGHT ? program->values[value].weight : NULL;
    return weight && weight->rank == 1 ? weight : NULL;
}

/* Vectors stand one behind the other on 64-byte boundaries. */
static size_t vector_floats(const ffai__weight *vector)
{
    return ((size_t)vector->columns + 15) / 16 * 16;
}

static void measure_vectors(ffai__cpu_plan *plan)
{
    const ffai__program *program = plan->base.program;
    for (size_t i = 0; i < program->num_values; i++) {
        const ffai__weight *vector = vector_of(program, i);
        plan->num_vector_floats += vector ? vector_floats(vector) : 0;
    }
}

static ffai_status read_vectors(ffai__cpu_plan *plan, ffai_error *err)
{
    const ffai__program *program = plan->base.program;
    plan->vector_data = ffai__malloc_aligned(plan->num_vector_floats * sizeof(float));
    if (!plan->vector_data)
        return ffai__fail_memory(err, "weight vectors", plan->num_vector_floats * sizeof(float));
    float *at = plan->vector_data;
    for (size_t i = 0; i < program->num_values; i++) {
        const ffai__weight *vector = vector_of(program, i);
        if (!vector)
            continue;
        ffai__weight_read(at, vector, 0);
        plan->vectors[i] = at;
        at += vector_floats(vector);
    }
    return FFAI_OK;
}

static ffai_status measure_tiles(ffai__cpu_plan *plan, ffai_error *err)
{
    for (size_t i = 0; i < plan->num_packed; i++) {
        uint64_t bytes = 0;
        if (!ffai__mul(&bytes, (uint64_t)plan->packed[i].num_tiles, plan->packed[i].tile_bytes) ||
            !ffai__add(&bytes, bytes, MATRIX_ALIGNMENT - 1) ||
            !ffai__add(&plan->tile_bytes, plan->tile_bytes, bytes / MATRIX_ALIGNMENT * MATRIX_ALIGNMENT))
            return ffai__fail_memory(err, "weights", UINT64_MAX);
    }
    return FFAI_OK;
}

/* All tiles in one region, refused before anything is read where memory cannot hold them. */
static ffai_status reserve_tiles(ffai__cpu_plan *plan, ffai_error *err)
{
    const uint64_t total = plan->tile_bytes;
    const uint64_t available = ffai__memory_available();
    if (total > available)
        return ffai__fail(err, FFAI_E_MEMORY, "not enough memory for weights: %llu bytes, and %llu are available",
                          (unsigned long long)total, (unsigned long long)available);
    FFAI__TRY(ffai__region_reserve(&plan->tiles, total, FFAI__REGION_FILLED, "weights", err));
    uint8_t *at = plan->tiles.data;
    for (size_t i = 0; i < plan->num_packed; i++) {
        const uint64_t bytes = (uint64_t)plan->packed[i].num_tiles * plan->packed[i].tile_bytes;
        plan->packed[i].tiles = at;
        at += (bytes + MATRIX_ALIGNMENT - 1) / MATRIX_ALIGNMENT * MATRIX_ALIGNMENT;
    }
    return FFAI_OK;
}

/* Bytes of a weight from row first to row last, packed. Where the file orders rows of a head otherwise, a range of
 * whole heads is right and another nearly so. */
static void release_rows(const packing *p, const ffai__weight *weight, int64_t first, int64_t last, int thread)
{
    ffai__file_release *release = &p->releases[thread];
    const uint64_t row = ffai__weight_row_bytes(weight);
    const uint64_t count = (uint64_t)(last - first);
    ffai__file_release_add(release, &p->files, (const uint8_t *)weight->data + (uint64_t)first * row, count * row);
    if (weight->packing != FFAI__MLX_AFFINE)
        return;
    const uint64_t scales = (uint64_t)(weight->columns / weight->group_size) * ffai__dtype_size(weight->scale_dtype);
    const uint64_t from = (uint64_t)first * scales;
    ffai__file_release_add(release, &p->files, (const uint8_t *)weight->scales + from, count * scales);
    ffai__file_release_add(release, &p->files, (const uint8_t *)weight->biases + from, count * scales);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void report(packing *p, int thread)
{
    if (thread != 0 || !p->options->progress)
        return;
    const double done = (double)atomic_load(&p->done_bytes) / (double)p->total_bytes;
    if (!p->options->progress(p->options->progress_context, done))
        atomic_store(&p->cancelled, true);
}

/* Tiles [first, last) in portions. */
static void fill_tiles(packing *p, const ffai__packed *packed, int64_t first, int64_t last, int thread)
{
    const uint64_t tile_source = FFAI__TILE_ROWS * ffai__weight_row_bytes(packed->weight);
    const int64_t portion = (int64_t)(PORTION_BYTES / (tile_source + 1)) + 1;
    void *scratch = p->scratch + (size_t)thread * p->scratch_bytes;
    for (int64_t tile = first; tile < last && !atomic_load(&p->cancelled); tile += portion) {
        const int64_t end = least(tile + portion, last);
        ffai__packed_fill(packed, tile, end, scratch);
        release_rows(p, packed->weight, tile * FFAI__TILE_ROWS, least(end * FFAI__TILE_ROWS, packed->weight->rows),
                     thread);
        atomic_fetch_add(&p->done_bytes, (uint64_t)(end - tile) * packed->tile_bytes);
        report(p, thread);
    }
}

/* The same shares as products over one row read. */
static void fill_share(void *context, int thread, int num_threads)
{
    packing *p = context;
    for (size_t i = 0; i < p->plan->num_packed; i++) {
        const ffai__packed *packed = &p->plan->packed[i];
        const ffai__share share = ffai__share_of(packed->num_tiles, thread, num_threads);
        fill_tiles(p, packed, share.begin, share.end, thread);
    }
    ffai__file_release_finish(&p->releases[thread]);
}

static ffai_status fill(packing *p, ffai_error *err)
{
    ffai__thread_pool *pool = NULL;
    FFAI__TRY(ffai__thread_pool_create(&pool, p->plan->threads, p->plan->cores, err));
    ffai__thread_pool_run(pool, fill_share, p);
    ffai__thread_pool_free(pool);
    report(p, 0);
    if (atomic_load(&p->cancelled))
        return ffai__fail(err, FFAI_E_CANCELLED, "loading was cancelled");
    return FFAI_OK;
}

static ffai_status fill_matrices(ffai__cpu_plan *plan, const ffai__plan_options *options, ffai_error *err)
{
    packing p = {.plan = plan, .options = options};
    for (size_t i = 0; i < plan->num_packed; i++) {
        const size_t bytes = (ffai__pack_scratch_bytes(&plan->packed[i]) + 63) / 64 * 64;
        p.scratch_bytes = bytes > p.scratch_bytes ? bytes : p.scratch_bytes;
        p.total_bytes += (uint64_t)plan->packed[i].num_tiles * plan->packed[i].tile_bytes;
    }
    p.releases = ffai__calloc((size_t)plan->threads, sizeof *p.releases);
    p.scratch = ffai__malloc_aligned(p.scratch_bytes * (size_t)plan->threads);
    ffai__file_ranges_find(&p.files);
    const ffai_status status = p.releases && p.scratch
                                   ? fill(&p, err)
                                   : ffai__fail_memory(err, "packing weights", p.scratch_bytes * (size_t)plan->threads);
    ffai__file_ranges_free(&p.files);
    ffai__free_aligned(p.scratch);
    ffai__free(p.releases);
    return status;
}

ffai_status ffai__cpu_plan_weights(ffai__cpu_plan *plan, const ffai__plan_options *options, ffai_error *err)
{
    const size_t values = plan->base.program->num_values;
    plan->packed = ffai__calloc(values, sizeof *plan->packed);
    plan->matrices = ffai__calloc(values, sizeof *plan->matrices);
    plan->vectors = ffai__calloc(values, sizeof *plan->vectors);
    if (!plan->packed || !plan->matrices || !plan->vectors)
        return ffai__fail_memory(err, "a plan", values * sizeof *plan->packed);
    FFAI__TRY(plan_matrices(plan, options, err));
    measure_vectors(plan);
    return measure_tiles(plan, err);
}

ffai_status ffai__cpu_pack(ffai__cpu_plan *plan, const ffai__plan_options *options, ffai_error *err)
{
    FFAI__TRY(reserve_tiles(plan, err));
    FFAI__TRY(fill_matrices(plan, options, err));
    return read_vectors(plan, err); /* last: they lie all over the file, and who touches a place first waits for it */
}

void ffai__cpu_unpack(ffai__cpu_plan *plan)
{
    ffai__region_release(&plan->tiles);
    ffai__free_aligned(plan->vector_data);
    ffai__free(plan->vectors);
    ffai__free(plan->matrices);
    ffai__free(plan->packed);
}
