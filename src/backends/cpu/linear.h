/* y = W x + b (+ r) for every weight format, one row or many, from weights repacked once into tiles.
 *
 * A tile is 16 output rows (the last one padded with zeros), laid out so that lane i of a vector is row i of the
 * tile; decode and prefill read the same tiles. Input rows are prepared once per kind of input and shared by all
 * matrices that want that kind. A row's result depends on its own input and on K alone, bit for bit: not on the
 * other rows, the range of tiles, or the thread. */
#ifndef FFAI_CPU_LINEAR_H
#define FFAI_CPU_LINEAR_H

#include "backend.h"
#include "cpu_features.h"
#include "weight.h"

enum { FFAI__TILE_ROWS = 16 };

typedef enum ffai__input_kind {
    FFAI__INPUT_F32,       /* as it is */
    FFAI__INPUT_FIXED,     /* 15-bit fixed point with one step a group, and each group's sum */
    FFAI__INPUT_BF16,      /* rounded to bf16 */
    FFAI__INPUT_BF16_SPLIT /* two bf16 parts, the rounded value and what it lacks: 32 columns of each in turn */
} ffai__input_kind;

/* What a packed matrix wants its input rows turned into; equal inputs are interchangeable. */
typedef struct ffai__linear_input {
    ffai__input_kind kind;
    int group_size; /* FIXED only, else 0 */
    int64_t columns;
} ffai__linear_input;

typedef struct ffai__tile_rows ffai__tile_rows;
typedef void ffai__fill_tile(uint8_t *tile, const ffai__tile_rows *rows);

typedef struct ffai__packed {
    const ffai__weight *weight;
    int64_t num_tiles;
    uint64_t tile_bytes; /* a multiple of 64 */
    uint8_t *tiles;      /* [num_tiles * tile_bytes], 64-byte aligned; not owned */
    ffai__linear_input input;
    const struct ffai__linear_kernels *kernels;
    ffai__fill_tile *fill_tile;
    bool wide; /* the kernel wants many rows and several tiles at once: it divides them itself */
} ffai__packed;

/* Choose layout, input kind and kernels for a matrix on a tier; tiles stays NULL. activations: how
 * coarsely inputs may be rounded; FFAI__ACTIVATIONS_DEFAULT is for whole programs, not for one matrix.
 * FFAI_E_UNSUPPORTED names a format without kernels. */
ffai_status ffai__packed_plan(ffai__packed *packed, const ffai__weight *weight, ffai__isa isa,
                              const ffai__cpu_features *features, ffai__activations activations, ffai_error *err);
/* Fill tiles [first, last) from the weight. Different ranges may be filled by different threads. scratch has
 * ffai__pack_scratch_bytes(packed), none if that is 0. */
void ffai__packed_fill(const ffai__packed *packed, int64_t first, int64_t last, void *scratch);
size_t ffai__pack_scratch_bytes(const ffai__packed *packed);

/* Prepared input: bytes a row (a multiple of 64), and the preparation of one row of x [columns]. */
size_t ffai__linear_input_bytes(const ffai__linear_input *input);
void ffai__linear_prepare(void *prepared, const float *x, const ffai__packed *packed);

/* y[t, o] for rows t of [0, num_rows) and the outputs o of tiles [first, last). */
typedef struct ffai__linear_job {
    const ffai__packed *packed;
    float *y; /* [num_rows, y_stride] */
    int64_t y_stride;
    const uint8_t *inputs; /* [num_rows, input_bytes]: prepared rows */
    size_t input_bytes;    /* ffai__linear_input_bytes */
    int64_t num_rows;
    int64_t first, last;
    const float *bias;     /* [rows of the weight] or NULL */
    const float *residual; /* laid out as y, which it may be; NULL: none */
    int fetch_ahead;       /* with one row: bytes ahead that weights are asked for; 0: the processor sees to it */
} ffai__linear_job;

void ffai__linear_compute(const ffai__linear_job *job);

/* A fetch_ahead that suits the processor. */
int ffai__fetch_ahead_usual(const ffai__cpu_features *features);

/* "affine fixed-point vnni" and the like. */
const char *ffai__linear_kernel_name(const ffai__packed *packed);

#endif
