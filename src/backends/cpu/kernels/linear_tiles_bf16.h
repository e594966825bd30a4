/* Template: dense bf16 weights by tile registers; see linear_tiles.h.
 *
 * For each 32 columns the processor adds products of even and of odd columns apart, then both, then that to the sum;
 * denormals count as zero throughout. Inputs in two parts are two such products with the same weights, one after the
 * other. Every row is computed so, alone or among others: its bits are the same. */
#ifndef FFAI_LINEAR_TILES_BF16_H
#define FFAI_LINEAR_TILES_BF16_H

#include "linear_tiles.h"

enum { BF16_MOST_TILES = 4, BF16_MOST_ROWS = 512 };

/* Some tiles of a job. */
typedef struct bf16_tiles {
    const ffai__linear_job *job;
    int64_t first;
    int count;
    int parts;                            /* of an input */
    int64_t steps;                        /* of 32 columns, whole ones in the tiles */
    const uint8_t *at[BF16_MOST_TILES];   /* each tile's weights */
    const uint8_t *rest[BF16_MOST_TILES]; /* columns that are left, filled up with zeros; NULL: none */
    const uint8_t *fetch;                 /* what to bring into the second-level cache meanwhile; NULL: nothing */
    int fetch_lines;                      /* of it in a step */
} bf16_tiles;

/* The last columns of each tile where they are no whole step: what lies behind them is another tile. */
typedef struct bf16_rest {
    _Alignas(64) uint8_t bytes[BF16_MOST_TILES][TILE_BYTES];
} bf16_rest;

static void find_tiles(bf16_tiles *t, bf16_rest *rest, const ffai__linear_job *job, int64_t first, int count)
{
    const uint64_t left = job->packed->tile_bytes % TILE_BYTES;
    t->first = first;
    t->count = count;
    t->steps = (int64_t)(job->packed->tile_bytes / TILE_BYTES);
    for (int i = 0; i < count; i++) {
        t->at[i] = tile_at(job, first + i);
        t->rest[i] = left ? rest->bytes[i] : NULL;
        if (!left)
            continue;
        memset(rest->bytes[i], 0, TILE_BYTES);
        memcpy(rest->bytes[i], t->at[i] + (uint64_t)t->steps * TILE_BYTES, left);
    }
    tiles_read_memory();
}

FFAI__ALWAYS_INLINE void fetch_lines(const uint8_t **at, int lines)
{
    if (!*at)
        return;
    for (int i = 0; i < lines; i++)
        __builtin_prefetch(*at + i * FFAI__BLOCK_BYTES, 0, 2);
    *at += lines * FFAI__BLOCK_BYTES;
}

/* One step: 2 x 16 rows times two tiles. */
FFAI__ALWAYS_INLINE void bf16_step_2x2(const uint8_t *a0, const uint8_t *a1, size_t stride, const uint8_t *b0,
                                       const uint8_t *b1, int parts)
{
    tile_load(4, b0, 64);
    tile_load(5, b1, 64);
    UNROLL
    for (int part = 0; part < parts; part++) {
        tile_load(6, a0 + 64 * part, stride);
        tile_dot_bf16(0, 6, 4);
        tile_dot_bf16(1, 6, 5);
        tile_load(7, a1 + 64 * part, stride);
        tile_dot_bf16(2, 7, 4);
        tile_dot_bf16(3, 7, 5);
    }
}

/* One step: up to 16 rows times one to four tiles. */
FFAI__ALWAYS_INLINE void bf16_step_1x4(const uint8_t *a, size_t stride, const uint8_t *const *b, int64_t offset,
                                       int count, int parts)
{
    tile_load(4, a, stride);
    if (parts == 2)
        tile_load(5, a + 64, stride);
    tile_load(6, b[0] + offset, 64);
    tile_dot_bf16(0, 4, 6);
    if (parts == 2)
        tile_dot_bf16(0, 5, 6);
    if (count < 2)
        return;
    tile_load(7, b[1] + offset, 64);
    tile_dot_bf16(1, 4, 7);
    if (parts == 2)
        tile_dot_bf16(1, 5, 7);
    if (count < 4)
        return;
    tile_load(6, b[2] + offset, 64);
    tile_dot_bf16(2, 4, 6);
    if (parts == 2)
        tile_dot_bf16(2, 5, 6);
    tile_load(7, b[3] + offset, 64);
    tile_dot_bf16(3, 4, 7);
    if (parts == 2)
        tile_dot_bf16(3, 5, 7);
}

/* Rows row0 .. row0 + 16 and row1 .. row1 + 16 times two tiles; of the latter the first `skip` are done already. */
FFAI__ALWAYS_INLINE void bf16_2x2(const bf16_tiles *t, int64_t row0, int64_t row1, int skip, const uint8_t **fetch,
                                  int parts)
{
    _Alignas(64) float sums[4][FFAI__TILE_ROWS * FFAI__TILE_ROWS];
    const size_t stride = t->job->input_bytes;
    const uint8_t *a0 = t->job->inputs + (uint64_t)row0 * stride;
    const uint8_t *a1 = t->job->inputs + (uint64_t)row1 * stride;
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
    for (int64_t s = 0; s < t->steps; s++, a0 += 64 * parts, a1 += 64 * parts) {
        bf16_step_2x2(a0, a1, stride, t->at[0] + s * TILE_BYTES, t->at[1] + s * TILE_BYTES, parts);
        fetch_lines(fetch, t->fetch_lines);
    }
    if (t->rest[0])
        bf16_step_2x2(a0, a1, stride, t->rest[0], t->rest[1], parts);
    tile_store(0, sums[0]);
    tile_store(1, sums[1]);
    tile_store(2, sums[2]);
    tile_store(3, sums[3]);
    for (int i = 0; i < 2; i++) {
        finish_rows(t->job, t->first + i, row0, 0, FFAI__TILE_ROWS, sums[i]);
        finish_rows(t->job, t->first + i, row1, skip, FFAI__TILE_ROWS, sums[2 + i]);
    }
}

/* Rows row + skip .. row + rows times one, two or four tiles. */
FFAI__ALWAYS_INLINE void bf16_1x4(const bf16_tiles *t, int64_t row, int skip, int rows, int count, int parts)
{
    _Alignas(64) float sums[BF16_MOST_TILES][FFAI__TILE_ROWS * FFAI__TILE_ROWS];
    const size_t stride = t->job->input_bytes;
    const uint8_t *a = t->job->inputs + (uint64_t)row * stride;
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
    for (int64_t s = 0; s < t->steps; s++, a += 64 * parts)
        bf16_step_1x4(a, stride, t->at, s * TILE_BYTES, count, parts);
    if (t->rest[0])
        bf16_step_1x4(a, stride, t->rest, 0, count, parts);
    tile_store(0, sums[0]);
    tile_store(1, sums[1]);
    tile_store(2, sums[2]);
    tile_store(3, sums[3]);
    for (int i = 0; i < count; i++)
        finish_rows(t->job, t->first + i, row, skip, rows, sums[i]);
}

static void bf16_some_rows(const bf16_tiles *t, int64_t row, int skip, int rows)
{
    const bool split = t->parts == 2;
    switch (t->count) {
    case 4:
        split ? bf16_1x4(t, row, skip, rows, 4, 2) : bf16_1x4(t, row, skip, rows, 4, 1);
        break;
    case 2:
        split ? bf16_1x4(t, row, skip, rows, 2, 2) : bf16_1x4(t, row, skip, rows, 2, 1);
        break;
    default:
        split ? bf16_1x4(t, row, skip, rows, 1, 2) : bf16_1x4(t, row, skip, rows, 1, 1);
        break;
    }
}

static void bf16_32_rows(const bf16_tiles *t, int64_t row0, int64_t row1, int skip, const uint8_t **fetch)
{
    if (t->parts == 2)
        bf16_2x2(t, row0, row1, skip, fetch, 2);
    else
        bf16_2x2(t, row0, row1, skip, fetch, 1);
}

/* Rows [begin, end) of a job that has 16 at least. */
static void bf16_part(const bf16_tiles *t, int64_t begin, int64_t end)
{
    const uint8_t *fetch = t->fetch;
    int64_t row = begin;
    for (; t->count == 2 && end - row > 16; row += 32) {
        const int64_t second = tiles_least(row + 16, end - 16);
        bf16_32_rows(t, row, second, (int)(row + 16 - second), &fetch);
    }
    for (; row < end; row += 16) {
        const int64_t first = tiles_least(row, end - 16);
        bf16_some_rows(t, first, (int)(row - first), 16);
    }
}

static int power_of_two_within(int64_t count, int most)
{
    int power = most;
    while (power > count)
        power /= 2;
    return power;
}

/* Up to 16 rows: the rows of the left factors are as many. */
static void bf16_few(const ffai__linear_job *job, int parts)
{
    bf16_tiles t = {.job = job, .parts = parts};
    bf16_rest rest;
    for (int64_t tile = job->first; tile < job->last; tile += t.count) {
        find_tiles(&t, &rest, job, tile, power_of_two_within(job->last - tile, 4));
        bf16_some_rows(&t, 0, 0, (int)job->num_rows);
    }
}

/* Bring the next two tiles while these are used, a part of them in every step. */
static void plan_fetch(bf16_tiles *t, int64_t rows)
{
    const int64_t blocks = (rows + 31) / 32;
    const int64_t lines = 2 * t->steps * (TILE_BYTES / FFAI__BLOCK_BYTES);
    const bool more = t->first + 4 <= t->job->last && t->steps > 0;
    t->fetch = more ? tile_at(t->job, t->first + 2) : NULL;
    t->fetch_lines = more ? (int)(lines / (blocks * t->steps)) : 0;
}

static void bf16_many(const ffai__linear_job *job, int parts)
{
    const int64_t most = rows_of_part(job, BF16_MOST_ROWS);
    bf16_tiles t = {.job = job, .parts = parts};
    bf16_rest rest;
    for (int64_t begin = 0; begin < job->num_rows; begin += most) {
        const int64_t end = tiles_least(begin + most, job->num_rows);
        for (int64_t tile = job->first; tile < job->last; tile += t.count) {
            find_tiles(&t, &rest, job, tile, power_of_two_within(job->last - tile, 2));
            plan_fetch(&t, end - begin);
            bf16_part(&t, begin, end);
        }
    }
}

static void multiply_bf16(const ffai__linear_job *job, int parts)
{
    const uint8_t m = (uint8_t)tiles_least(job->num_rows, 16);
    const uint8_t rows[8] = {m, m, m, m, m == 16 ? 16 : m, m == 16 ? 16 : m, 16, 16};
    const uint8_t row_bytes[8] = {64, 64, 64, 64, 64, 64, 64, 64};
    if (job->num_rows < 1)
        return;
    tiles_configure(rows, row_bytes);
    if (job->num_rows <= 16)
        bf16_few(job, parts);
    else
        bf16_many(job, parts);
    tiles_release();
}

#endif
