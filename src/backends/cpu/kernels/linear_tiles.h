/* Template: products by tile registers (AMX). A tile register is up to 16 rows of 64 bytes; a tile of weights, 16
 * outputs, is the right factor, 16 rows of input the left one. Beside the vocabulary of linear_affine.h it needs that
 * of amx/tiles.h, and dot_load(high, low)   a dot_sum from 16 int32 each few_rows(job)         the affine product of a
 * few rows by other means, with the same result
 *
 * A register's number is part of the instruction: 0 to 3 hold sums, 4 to 7 factors. */
#ifndef FFAI_LINEAR_TILES_H
#define FFAI_LINEAR_TILES_H

#include "linear_affine.h"

enum { TILE_BYTES = 1024 };

/* Input rows that stay in the second-level cache while all tiles go by; it has 2 MiB where there is AMX. */
enum { TILES_INPUT_BYTES = 1 << 20 };

/* Rows at a time: equal parts of the job, multiples of 32. */
static int64_t rows_of_part(const ffai__linear_job *job, int64_t most)
{
    int64_t fit = (int64_t)(TILES_INPUT_BYTES / job->input_bytes);
    fit = fit > most ? most : fit < 32 ? 32 : fit;
    const int64_t parts = (job->num_rows + fit - 1) / fit;
    return ((job->num_rows + parts - 1) / parts + 31) / 32 * 32;
}

FFAI__ALWAYS_INLINE int64_t tiles_least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

FFAI__ALWAYS_INLINE const uint8_t *tile_at(const ffai__linear_job *job, int64_t tile)
{
    return job->packed->tiles + (uint64_t)tile * job->packed->tile_bytes;
}

/* Rows [row + skip, row + count) of 16 that are done. Rows before were finished by the block before: where the rows
 * of a job do not divide by 16, its last block reaches back. */
static void finish_rows(const ffai__linear_job *job, int64_t tile, int64_t row, int skip, int count, const float *sums)
{
    for (int m = skip; m < count; m++)
        finish_lanes(job, tile, row + m, f_load(sums + m * FFAI__TILE_ROWS));
}

#endif
