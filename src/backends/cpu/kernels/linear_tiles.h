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

/* What is worked on at once: so many columns of so many input rows times so many tiles. The sums of the rows and tiles,
 * the columns of the rows and those of the tiles stay in the second-level cache together (2 MiB where there is AMX,
 * perhaps shared by two threads); the input is read once for each group of tiles, the weights for each part of rows.
 * More of either pays a little still, but the sums lie on the stack: a quarter of a MiB. */
enum { TILES_COLUMNS = 512, TILES_ROWS = 256 };

/* Rows of each part: equal parts of the job, multiples of 32. */
static int64_t rows_of_part(const ffai__linear_job *job)
{
    const int64_t parts = (job->num_rows + TILES_ROWS - 1) / TILES_ROWS;
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

/* Rows of a part in blocks of 16. Where they do not divide so, the last block reaches back, into a part before if need
 * be; the rows that it repeats are finished once, by the block before. */
FFAI__ALWAYS_INLINE int64_t row_of_block(int64_t begin, int64_t end, int64_t block)
{
    return tiles_least(begin + block * 16, end - 16);
}

/* Rows [row + skip, row + count) have their sums. */
static void finish_rows(const ffai__linear_job *job, int64_t tile, int64_t row, int skip, int count, const float *sums)
{
    for (int m = skip; m < count; m++)
        finish_lanes(job, tile, row + m, f_load(sums + m * FFAI__TILE_ROWS));
}

#endif
