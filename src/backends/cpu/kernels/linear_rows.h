/* Template: rows and tiles of one call, and what is done with a finished sum. Included by a tier's kernels after
 * the definitions of lanes_f and its operations. */
#ifndef FFAI_LINEAR_ROWS_H
#define FFAI_LINEAR_ROWS_H

#include "linear_kernels.h"

enum { MOST_ROWS = 16 };

/* Ask for weights ahead: with one row as far as the job says, with a few 2 KiB, since the processor's own prefetching
 * falls behind then. Past the end of the last tile a prefetch does nothing. */
enum { FFAI__FETCH_AHEAD = 2048 };

FFAI__ALWAYS_INLINE int distance_ahead(const ffai__linear_job *job, int rows)
{
    return rows == 1 ? job->fetch_ahead : FFAI__FETCH_AHEAD;
}

FFAI__ALWAYS_INLINE void fetch_ahead(const uint8_t *at, int lines, int ahead)
{
    if (ahead == 0)
        return;
    UNROLL
    for (int i = 0; i < lines; i++)
        __builtin_prefetch(at + ahead + i * FFAI__BLOCK_BYTES);
}

/* Prepared rows that are to stay in the second-level cache while all tiles go by. */
enum { FFAI__ROW_BLOCK_BYTES = 384 * 1024 };

/* y = sum + bias + residual for 16 outputs of one row, or as many as the matrix has left. */
FFAI__ALWAYS_INLINE void finish_lanes(const ffai__linear_job *job, int64_t tile, int64_t row, lanes_f sum)
{
    const int64_t first = tile * FFAI__TILE_ROWS;
    const int64_t left = job->packed->weight->rows - first;
    float *y = job->y + row * job->y_stride + first;
    const float *bias = job->bias ? job->bias + first : NULL;
    const float *residual = job->residual ? job->residual + row * job->y_stride + first : NULL;
    if (left >= FFAI__TILE_ROWS) {
        if (bias)
            sum = f_add(sum, f_load(bias));
        if (residual)
            sum = f_add(sum, f_load(residual));
        f_store(y, sum);
        return;
    }
    float some[FFAI__TILE_ROWS];
    f_store(some, sum);
    for (int64_t i = 0; i < left; i++) {
        const float value = bias ? some[i] + bias[i] : some[i];
        y[i] = residual ? value + residual[i] : value;
    }
}

/* A kernel multiplies one tile by a fixed number of input rows; lists of them go from many rows to one. */
typedef void compute_rows_function(const ffai__linear_job *job, int64_t tile, int64_t row);

typedef struct rows_kernel {
    int rows;
    compute_rows_function *compute;
} rows_kernel;

FFAI__ALWAYS_INLINE void compute_rows(const ffai__linear_job *job, const rows_kernel *kernels)
{
    int64_t block = (int64_t)(FFAI__ROW_BLOCK_BYTES / job->input_bytes) / kernels->rows * kernels->rows;
    if (block < kernels->rows)
        block = kernels->rows;
    for (int64_t begin = 0; begin < job->num_rows; begin += block) {
        const int64_t end = job->num_rows - begin < block ? job->num_rows : begin + block;
        for (int64_t tile = job->first; tile < job->last; tile++) {
            const rows_kernel *kernel = kernels;
            for (int64_t row = begin; row < end; row += kernel->rows) {
                while (kernel->rows > 1 && kernel->rows > end - row)
                    kernel++;
                kernel->compute(job, tile, row);
            }
        }
    }
}

/* Lists of row counts: X(name, rows). */
#define ROWS_1(X, name)       X(name, 1)
#define ROWS_3_1(X, name)     X(name, 3) X(name, 1)
#define ROWS_4_1(X, name)     X(name, 4) X(name, 1)
#define ROWS_4_2_1(X, name)   X(name, 4) X(name, 2) X(name, 1)
#define ROWS_8_4_2_1(X, name) X(name, 8) X(name, 4) X(name, 2) X(name, 1)

/* name(job) from name_rows(job, tile, row, rows). */
#define DEFINE_ROWS(name, count)                                                                                       \
    static void name##_##count(const ffai__linear_job *job, int64_t tile, int64_t row)                                 \
    {                                                                                                                  \
        name##_rows(job, tile, row, count);                                                                            \
    }
#define LIST_ROWS(name, count) {count, name##_##count},
#define DEFINE_KERNEL(name, ROWS)                                                                                      \
    ROWS(DEFINE_ROWS, name)                                                                                            \
    static void name(const ffai__linear_job *job)                                                                      \
    {                                                                                                                  \
        static const rows_kernel kernels[] = {ROWS(LIST_ROWS, name)};                                                  \
        compute_rows(job, kernels);                                                                                    \
    }

#endif
