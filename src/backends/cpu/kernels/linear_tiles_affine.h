/* Template: affine weights times fixed-point input by tile registers; see linear_tiles.h.
 *
 * A group's columns of 16 rows of input, h and l apart, times the unpacked codes of 16 outputs are two registers of
 * exact integers. They go through memory into lanes, where the group's scale and step are applied: the same float
 * operations, in the same order, as on every tier. Sums stay in vector registers for 512 columns of 16 rows. */
#ifndef FFAI_LINEAR_TILES_AFFINE_H
#define FFAI_LINEAR_TILES_AFFINE_H

#include "linear_tiles.h"

enum {
    AFFINE_TILES = 8,
    AFFINE_LEAST_ROWS = 16,
    AFFINE_LEAST_GROUP = 16,
    AFFINE_SCALES = 2 * FFAI__TILE_ROWS, /* floats: a group's scales, its biases */
};

typedef struct affine_workspace {
    _Alignas(64) uint8_t quads[AFFINE_TILES][TILES_COLUMNS * FFAI__TILE_ROWS];
    float scales[AFFINE_TILES][TILES_COLUMNS / AFFINE_LEAST_GROUP * AFFINE_SCALES];
    float sums[TILES_ROWS / 16][AFFINE_TILES][FFAI__TILE_ROWS * FFAI__TILE_ROWS];
    int32_t products[2][2][FFAI__TILE_ROWS * FFAI__TILE_ROWS]; /* of two groups in turn: by h, by l */
} affine_workspace;

/* Some groups of one tile, unpacked, and 16 rows. */
typedef struct affine_groups {
    const ffai__affine_layout *layout;
    int64_t first; /* of the groups, in the row */
    int count;
    const uint8_t *quads;
    const float *scales;
    const uint8_t *inputs;
    size_t stride;
    const ffai__fixed_group *steps; /* of the first row */
} affine_groups;

/* Chunks that hold groups first .. first + count. */
static void unpack_groups(affine_workspace *space, int slot, const ffai__affine_layout *layout, const uint8_t *tile,
                          int64_t first, int64_t count)
{
    const uint8_t *chunk = tile + (uint64_t)(first / layout->groups_per_chunk) * layout->chunk_bytes;
    uint8_t *quads = space->quads[slot];
    float *scales = space->scales[slot];
    chunk_scales room;
    for (int64_t g = 0; g < count; g += layout->groups_per_chunk, chunk += layout->chunk_bytes) {
        fetch_ahead(chunk, chunk_lines(layout), FFAI__FETCH_AHEAD);
        unpack_chunk((chunk_quads *)(void *)quads, chunk, layout);
        const uint8_t *at = scales_of_chunk(&room, chunk, layout);
        quads += layout->groups_per_chunk * layout->group_size * FFAI__TILE_ROWS;
        for (int i = 0; i < layout->groups_per_chunk; i++, scales += AFFINE_SCALES) {
            const group_scales s = load_scales(at + (size_t)i * layout->scale_bytes, layout);
            f_store(scales, s.scale);
            f_store(scales + FFAI__TILE_ROWS, s.bias);
        }
    }
}

/* A group's products into registers high and low. */
#define AFFINE_PRODUCTS(high, low, p, g)                                                                               \
    do {                                                                                                               \
        const int group_size = (p)->layout->group_size;                                                                \
        const int64_t column = ((p)->first + (g)) * group_size;                                                        \
        const uint8_t *a = (p)->inputs + column / 64 * 128 + column % 64;                                              \
        const uint8_t *b = (p)->quads + (int64_t)(g)*group_size * FFAI__TILE_ROWS;                                     \
        tile_zero(high);                                                                                               \
        tile_zero(low);                                                                                                \
        for (int c = 0; c < group_size; c += 64, a += 128, b += TILE_BYTES) {                                          \
            tile_load(4, b, 64);                                                                                       \
            tile_load(6, a, (p)->stride);                                                                              \
            tile_dot_su8(high, 6, 4);                                                                                  \
            tile_load(7, a + 64, (p)->stride);                                                                         \
            tile_dot_su8(low, 7, 4);                                                                                   \
        }                                                                                                              \
    } while (0)

FFAI__ALWAYS_INLINE void add_products(lanes_f *sums, const affine_groups *p, const ffai__affine_layout *layout,
                                      int64_t g, const int32_t high[FFAI__TILE_ROWS * FFAI__TILE_ROWS],
                                      const int32_t low[FFAI__TILE_ROWS * FFAI__TILE_ROWS])
{
    const float *at = p->scales + g * AFFINE_SCALES;
    const group_scales scales = {f_load(at), f_load(at + FFAI__TILE_ROWS)};
    const size_t stride = p->stride / sizeof *p->steps;
    UNROLL
    for (int m = 0; m < FFAI__TILE_ROWS; m++) {
        const dot_sum dot = dot_load(high + m * FFAI__TILE_ROWS, low + m * FFAI__TILE_ROWS);
        sums[m] = add_group(sums[m], dot, &scales, p->steps + (size_t)m * stride + g, layout);
    }
}

/* While one group's products are made, those of the group before are added. */
FFAI__ALWAYS_INLINE void add_groups(float *into, affine_workspace *space, const affine_groups *p,
                                    const ffai__affine_layout *layout)
{
    int32_t(*products)[2][FFAI__TILE_ROWS * FFAI__TILE_ROWS] = space->products;
    lanes_f sums[FFAI__TILE_ROWS];
    UNROLL
    for (int m = 0; m < FFAI__TILE_ROWS; m++)
        sums[m] = f_load(into + m * FFAI__TILE_ROWS);
    for (int64_t g = 0; g <= p->count; g += 2) {
        if (g < p->count)
            AFFINE_PRODUCTS(0, 1, p, g);
        if (g > 0)
            add_products(sums, p, layout, g - 1, products[1][0], products[1][1]);
        if (g >= p->count)
            break;
        tile_store(0, products[0][0]);
        tile_store(1, products[0][1]);
        if (g + 1 < p->count)
            AFFINE_PRODUCTS(2, 3, p, g + 1);
        add_products(sums, p, layout, g, products[0][0], products[0][1]);
        if (g + 1 >= p->count)
            break;
        tile_store(2, products[1][0]);
        tile_store(3, products[1][1]);
    }
    UNROLL
    for (int m = 0; m < FFAI__TILE_ROWS; m++)
        f_store(into + m * FFAI__TILE_ROWS, sums[m]);
}

/* The two kinds of group, so that neither asks which it is. */
static void add_groups_biased(float *into, affine_workspace *space, const affine_groups *p)
{
    ffai__affine_layout layout = *p->layout;
    layout.mode = FFAI__SCALE_F32;
    layout.zero = 0;
    add_groups(into, space, p, &layout);
}

static void add_groups_zeroed(float *into, affine_workspace *space, const affine_groups *p)
{
    ffai__affine_layout layout = *p->layout;
    layout.mode = FFAI__SCALE_F16_ZERO;
    add_groups(into, space, p, &layout);
}

/* Some rows and tiles of a job. */
typedef struct affine_part {
    const ffai__linear_job *job;
    const ffai__affine_layout *layout;
    int64_t begin, end;
    int64_t tile;
    int tiles;
} affine_part;

static void multiply_groups(affine_workspace *space, const affine_part *part, int64_t first, int count)
{
    const ffai__linear_job *job = part->job;
    affine_groups p = {.layout = part->layout, .first = first, .count = count, .stride = job->input_bytes};
    for (int j = 0; j < part->tiles; j++)
        unpack_groups(space, j, p.layout, tile_at(job, part->tile + j), first, count);
    tiles_read_memory();
    for (int64_t block = 0; block * 16 < part->end - part->begin; block++) {
        p.inputs = job->inputs + (uint64_t)row_of_block(part->begin, part->end, block) * p.stride;
        p.steps = fixed_groups(p.inputs, job->packed->weight->columns) + first;
        for (int j = 0; j < part->tiles; j++) {
            p.quads = space->quads[j];
            p.scales = space->scales[j];
            if (p.layout->mode == FFAI__SCALE_F16_ZERO)
                add_groups_zeroed(space->sums[block][j], space, &p);
            else
                add_groups_biased(space->sums[block][j], space, &p);
        }
    }
}

static void multiply_part(affine_workspace *space, const affine_part *part)
{
    const ffai__affine_layout *layout = part->layout;
    const int64_t blocks = (part->end - part->begin + 15) / 16;
    const int64_t at_once = TILES_COLUMNS / layout->group_size;
    memset(space->sums, 0, (size_t)blocks * sizeof space->sums[0]);
    for (int64_t g = 0; g < layout->groups; g += at_once)
        multiply_groups(space, part, g, (int)tiles_least(at_once, layout->groups - g));
    for (int64_t block = 0; block < blocks; block++) {
        const int64_t row = row_of_block(part->begin, part->end, block);
        for (int j = 0; j < part->tiles; j++)
            finish_rows(part->job, part->tile + j, row, (int)(part->begin + block * 16 - row), 16,
                        space->sums[block][j]);
    }
}

static void multiply_affine(const ffai__linear_job *job)
{
    if (job->num_rows < AFFINE_LEAST_ROWS) {
        few_rows(job);
        return;
    }
    ffai__affine_layout layout;
    ffai__affine_layout_of(&layout, job->packed->weight);
    const uint8_t k = (uint8_t)tiles_least(layout.group_size, 64);
    const uint8_t rows[8] = {16, 16, 16, 16, k / 4, k / 4, 16, 16};
    const uint8_t row_bytes[8] = {64, 64, 64, 64, 64, 64, k, k};
    affine_workspace space;
    affine_part part = {.job = job, .layout = &layout};
    const int64_t most = rows_of_part(job);
    tiles_configure(rows, row_bytes);
    for (part.begin = 0; part.begin < job->num_rows; part.begin += most) {
        part.end = tiles_least(part.begin + most, job->num_rows);
        for (part.tile = job->first; part.tile < job->last; part.tile += AFFINE_TILES) {
            part.tiles = (int)tiles_least(AFFINE_TILES, job->last - part.tile);
            multiply_part(&space, &part);
        }
    }
    tiles_release();
}

#endif
