/* Template: dense bf16 weights by tile registers; see linear_tiles.h.
 *
 * For each 32 columns the processor adds products of even and of odd columns apart, then both, then that to the sum;
 * denormals count as zero throughout. Inputs in two parts are two such products with the same weights, one after the
 * other. Every row is computed so, alone or among others: its bits are the same. */
#ifndef FFAI_LINEAR_TILES_BF16_H
#define FFAI_LINEAR_TILES_BF16_H

#include "linear_prepare_bf16.h"
#include "linear_tiles.h"

enum { BF16_MOST_TILES = 4, BF16_TILES = 16, BF16_STEPS = TILES_COLUMNS / FFAI__SPAN_COLUMNS };

typedef float tile_sums[FFAI__TILE_ROWS * FFAI__TILE_ROWS];

/* The last columns of each tile where they are no whole step: what lies behind them is another tile. */
typedef struct bf16_rest {
    _Alignas(64) uint8_t bytes[BF16_MOST_TILES][TILE_BYTES];
} bf16_rest;

typedef struct bf16_workspace {
    _Alignas(64) tile_sums sums[TILES_ROWS / 16][BF16_TILES];
    bf16_rest rest;
} bf16_workspace;

/* Some columns, in steps of 32, of up to four tiles. */
typedef struct bf16_tiles {
    const ffai__linear_job *job;
    int parts; /* of an input */
    int count;
    const uint8_t *at[BF16_MOST_TILES];   /* each tile's weights */
    const uint8_t *rest[BF16_MOST_TILES]; /* a last step, filled up with zeros; NULL: none */
    int64_t first, last;                  /* whole steps */
    const uint8_t *fetch[2];              /* what to bring into the second-level cache meanwhile; NULL: nothing */
    int fetch_lines;                      /* of each in a step */
    int ahead;                            /* bytes that up to 16 rows ask for weights ahead; 0: not at all */
} bf16_tiles;

/* Tiles tile .. tile + count, steps first .. first + most at most. */
static void find_tiles(bf16_tiles *t, bf16_rest *rest, int64_t tile, int count, int64_t first, int64_t most)
{
    const uint64_t left = t->job->packed->tile_bytes % TILE_BYTES;
    const int64_t steps = (int64_t)(t->job->packed->tile_bytes / TILE_BYTES);
    t->count = count;
    t->first = first;
    t->last = tiles_least(first + most, steps);
    for (int i = 0; i < count; i++) {
        t->at[i] = tile_at(t->job, tile + i);
        t->rest[i] = NULL;
        if (!left || t->last < steps)
            continue;
        memset(rest->bytes[i], 0, TILE_BYTES);
        memcpy(rest->bytes[i], t->at[i] + (uint64_t)steps * TILE_BYTES, left);
        t->rest[i] = rest->bytes[i];
    }
    tiles_read_memory();
}

/* Without lines there may be nothing to point at. */
FFAI__ALWAYS_INLINE void fetch_lines(const uint8_t **at, int lines)
{
    if (lines == 0)
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

/* What a step of 1x4 will need later. */
FFAI__ALWAYS_INLINE void fetch_tiles_ahead(const uint8_t *const *b, int64_t offset, int count, int ahead)
{
    UNROLL
    for (int i = 0; i < count; i++)
        fetch_ahead(b[i] + offset, TILE_BYTES / FFAI__BLOCK_BYTES, ahead);
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

/* 16 rows from row0 and 16 from row1 times two tiles. */
FFAI__ALWAYS_INLINE void bf16_2x2(bf16_tiles *t, int64_t row0, int64_t row1, tile_sums *sums0, tile_sums *sums1,
                                  int parts)
{
    const size_t stride = t->job->input_bytes;
    const uint8_t *a0 = t->job->inputs + (uint64_t)row0 * stride + t->first * 64 * parts;
    const uint8_t *a1 = t->job->inputs + (uint64_t)row1 * stride + t->first * 64 * parts;
    if (t->first == 0) {
        tile_zero(0);
        tile_zero(1);
        tile_zero(2);
        tile_zero(3);
    } else {
        tile_load(0, sums0[0], 64);
        tile_load(1, sums0[1], 64);
        tile_load(2, sums1[0], 64);
        tile_load(3, sums1[1], 64);
    }
    for (int64_t s = t->first; s < t->last; s++, a0 += 64 * parts, a1 += 64 * parts) {
        bf16_step_2x2(a0, a1, stride, t->at[0] + s * TILE_BYTES, t->at[1] + s * TILE_BYTES, parts);
        fetch_lines(&t->fetch[0], t->fetch_lines);
        fetch_lines(&t->fetch[1], t->fetch_lines);
    }
    if (t->rest[0])
        bf16_step_2x2(a0, a1, stride, t->rest[0], t->rest[1], parts);
    tile_store(0, sums0[0]);
    tile_store(1, sums0[1]);
    tile_store(2, sums1[0]);
    tile_store(3, sums1[1]);
}

/* Up to 16 rows times one, two or four tiles. */
FFAI__ALWAYS_INLINE void bf16_1x4(const bf16_tiles *t, int64_t row, tile_sums *sums, int count, int parts)
{
    const size_t stride = t->job->input_bytes;
    const uint8_t *a = t->job->inputs + (uint64_t)row * stride + t->first * 64 * parts;
    if (t->first == 0) {
        tile_zero(0);
        tile_zero(1);
        tile_zero(2);
        tile_zero(3);
    } else {
        tile_load(0, sums[0], 64);
        tile_load(1, sums[count > 1], 64);
    }
    for (int64_t s = t->first; s < t->last; s++, a += 64 * parts) {
        fetch_tiles_ahead(t->at, s * TILE_BYTES, count, t->ahead);
        bf16_step_1x4(a, stride, t->at, s * TILE_BYTES, count, parts);
    }
    if (t->rest[0])
        bf16_step_1x4(a, stride, t->rest, 0, count, parts);
    tile_store(0, sums[0]);
    if (count > 1)
        tile_store(1, sums[1]);
    if (count > 2) {
        tile_store(2, sums[2]);
        tile_store(3, sums[3]);
    }
}

static void bf16_32_rows(bf16_tiles *t, int64_t row0, int64_t row1, tile_sums *sums0, tile_sums *sums1)
{
    if (t->parts == 2)
        bf16_2x2(t, row0, row1, sums0, sums1, 2);
    else
        bf16_2x2(t, row0, row1, sums0, sums1, 1);
}

static void bf16_16_rows(const bf16_tiles *t, int64_t row, tile_sums *sums)
{
    const bool split = t->parts == 2;
    switch (t->count) {
    case 4:
        split ? bf16_1x4(t, row, sums, 4, 2) : bf16_1x4(t, row, sums, 4, 1);
        break;
    case 2:
        split ? bf16_1x4(t, row, sums, 2, 2) : bf16_1x4(t, row, sums, 2, 1);
        break;
    default:
        split ? bf16_1x4(t, row, sums, 1, 2) : bf16_1x4(t, row, sums, 1, 1);
        break;
    }
}

static int power_of_two_within(int64_t count, int most)
{
    int power = most;
    while (power > count)
        power /= 2;
    return power;
}

/* Up to 16 rows: the rows of the left factors are as many. All columns at once. */
static void bf16_few(const ffai__linear_job *job, int parts)
{
    _Alignas(64) tile_sums sums[BF16_MOST_TILES];
    bf16_tiles t = {.job = job, .parts = parts, .ahead = job->fetch_ahead};
    bf16_rest rest;
    for (int64_t tile = job->first; tile < job->last; tile += t.count) {
        find_tiles(&t, &rest, tile, power_of_two_within(job->last - tile, 4), 0, INT64_MAX / 2);
        bf16_16_rows(&t, 0, sums);
        for (int i = 0; i < t.count; i++)
            finish_rows(job, tile + i, 0, 0, (int)job->num_rows, sums[i]);
    }
}

/* Rows [begin, end) and tiles of a group. */
typedef struct bf16_part {
    int64_t begin, end, blocks;
    int64_t tile, last_tile;
} bf16_part;

/* Bring the next two tiles' columns while these are used, a part of them in every step. */
static void plan_fetch(bf16_tiles *t, const bf16_part *part, int64_t tile)
{
    const int64_t steps = (part->blocks + 1) / 2 * (t->last - t->first);
    const bool more = t->count == 2 && tile + 4 <= part->last_tile && steps > 0;
    t->fetch_lines = more ? (int)((t->last - t->first) * (TILE_BYTES / FFAI__BLOCK_BYTES) / steps) : 0;
    for (int i = 0; i < 2; i++)
        t->fetch[i] = more ? tile_at(t->job, tile + 2 + i) + t->first * TILE_BYTES : NULL;
}

/* All rows of the part times two tiles, or one. */
static void bf16_rows(bf16_workspace *space, bf16_tiles *t, const bf16_part *part, int64_t tile)
{
    int64_t block = 0;
    for (; t->count == 2 && block + 1 < part->blocks; block += 2)
        bf16_32_rows(t, row_of_block(part->begin, part->end, block), row_of_block(part->begin, part->end, block + 1),
                     &space->sums[block][tile - part->tile], &space->sums[block + 1][tile - part->tile]);
    for (; block < part->blocks; block++)
        bf16_16_rows(t, row_of_block(part->begin, part->end, block), &space->sums[block][tile - part->tile]);
}

static void finish_part(const bf16_workspace *space, const ffai__linear_job *job, const bf16_part *part)
{
    for (int64_t block = 0; block < part->blocks; block++) {
        const int64_t row = row_of_block(part->begin, part->end, block);
        const int skip = (int)(part->begin + block * 16 - row);
        for (int64_t tile = part->tile; tile < part->last_tile; tile++)
            finish_rows(job, tile, row, skip, 16, space->sums[block][tile - part->tile]);
    }
}

static void multiply_bf16_part(bf16_workspace *space, const ffai__linear_job *job, const bf16_part *part, int parts)
{
    const int64_t steps = (int64_t)(job->packed->tile_bytes / TILE_BYTES);
    bf16_tiles t = {.job = job, .parts = parts};
    for (int64_t step = 0; step == 0 || step < steps; step += BF16_STEPS) {
        for (int64_t tile = part->tile; tile < part->last_tile; tile += t.count) {
            find_tiles(&t, &space->rest, tile, power_of_two_within(part->last_tile - tile, 2), step, BF16_STEPS);
            plan_fetch(&t, part, tile);
            bf16_rows(space, &t, part, tile);
        }
    }
    finish_part(space, job, part);
}

static void bf16_many(const ffai__linear_job *job, int parts)
{
    const int64_t most = rows_of_part(job);
    bf16_workspace space;
    bf16_part part;
    for (part.begin = 0; part.begin < job->num_rows; part.begin += most) {
        part.end = tiles_least(part.begin + most, job->num_rows);
        part.blocks = (part.end - part.begin + 15) / 16;
        for (part.tile = job->first; part.tile < job->last; part.tile += BF16_TILES) {
            part.last_tile = tiles_least(part.tile + BF16_TILES, job->last);
            multiply_bf16_part(&space, job, &part, parts);
        }
    }
}

static void multiply_bf16(const ffai__linear_job *job, int parts)
{
    const uint8_t m = (uint8_t)tiles_least(job->num_rows, 16);
    const uint8_t rows[8] = {m, m, m, m, m, m, 16, 16};
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

/* Inputs rounded to bf16, and in two parts. */
static void prepare_rounded(void *prepared, const float *x, const ffai__linear_input *input)
{
    prepare_bf16(prepared, x, input, 1);
}

static void prepare_split(void *prepared, const float *x, const ffai__linear_input *input)
{
    prepare_bf16(prepared, x, input, 2);
}

static void multiply_rounded(const ffai__linear_job *job)
{
    multiply_bf16(job, 1);
}

static void multiply_split(const ffai__linear_job *job)
{
    multiply_bf16(job, 2);
}

#endif
