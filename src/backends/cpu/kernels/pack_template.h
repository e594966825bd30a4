/* A tile filled from the rows of a file. The words of 16 rows are turned to stand side by side, a part of the columns
 * at a time; codes then become planes for all rows at once. A tier includes this with PACK_LANES set and wraps
 * fill_tile. */
#ifndef FFAI_PACK_TEMPLATE_H
#define FFAI_PACK_TEMPLATE_H

#include "pack_k_block.h"

enum {
    PART_BYTES = 128,   /* of a row, at most */
    PART_COLUMNS = 128, /* of affine weights: whole chunks */
    PART_SPANS = PART_COLUMNS / FFAI__SPAN_COLUMNS,
    PART_BLOCKS = PART_BYTES / 4
};

FFAI__ALWAYS_INLINE int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Ask for the part of the next tile's rows that this one is at: the processor does not guess 16 streams. */
FFAI__ALWAYS_INLINE void fetch_part(const uint8_t *const *next, size_t offset, size_t bytes)
{
    for (int r = 0; r < FFAI__TILE_ROWS; r++)
        for (size_t at = 0; at < bytes; at += FFAI__BLOCK_BYTES)
            __builtin_prefetch(next[r] + offset + at, 0, 2); /* into L2: it would not last in L1 */
}

/* The words of `bytes` bytes of every row from `offset` on, of which the rows have `left`; the others are zero. */
FFAI__ALWAYS_INLINE void turn_part(uint8_t *blocks, const uint8_t *const *rows, size_t offset, size_t left,
                                   size_t bytes)
{
    uint8_t ends[FFAI__TILE_ROWS][PART_BYTES];
    const uint8_t *copies[FFAI__TILE_ROWS];
    if (left >= bytes) {
        turn_words(blocks, rows, offset, bytes / 16);
        return;
    }
    memset(ends, 0, sizeof ends);
    for (int r = 0; r < FFAI__TILE_ROWS; r++) {
        memcpy(ends[r], rows[r] + offset, left);
        copies[r] = ends[r];
    }
    turn_words(blocks, copies, 0, bytes / 16);
}

/* `size` bytes of every row, side by side. */
FFAI__ALWAYS_INLINE void gather(uint8_t *out, const uint8_t *const *rows, size_t offset, size_t size)
{
    UNROLL
    for (int r = 0; r < FFAI__TILE_ROWS; r++)
        memcpy(out + (size_t)r * size, rows[r] + offset, size);
}

/* Where a group's scales and a span's planes are in the tile. */
FFAI__ALWAYS_INLINE uint8_t *scales_at(uint8_t *tile, const ffai__affine_layout *layout, int64_t group)
{
    return tile + (size_t)(group / layout->groups_per_chunk) * layout->chunk_bytes +
           (size_t)(group % layout->groups_per_chunk) * layout->scale_bytes;
}

FFAI__ALWAYS_INLINE uint8_t *span_at(uint8_t *tile, const ffai__affine_layout *layout, int64_t span)
{
    const int64_t chunk_spans = (int64_t)layout->groups_per_chunk * layout->group_size / FFAI__SPAN_COLUMNS;
    return tile + (size_t)(span / chunk_spans) * layout->chunk_bytes + layout->header_bytes +
           (size_t)(span % chunk_spans) * (size_t)layout->bits * FFAI__BLOCK_BYTES;
}

/* --- MLX --- */

/* Where a row's scales begin a cache line, ask for the line of the rows that the next tile has. */
FFAI__ALWAYS_INLINE void fetch_scales(const ffai__tile_rows *rows, const ffai__affine_layout *layout, int64_t group,
                                      size_t scale_size)
{
    const size_t offset = (size_t)group * scale_size;
    if (offset % FFAI__BLOCK_BYTES)
        return;
    const size_t next = FFAI__TILE_ROWS * (size_t)layout->groups * scale_size;
    fetch_part(rows->scales, next + offset, 1);
    fetch_part(rows->biases, next + offset, 1);
}

FFAI__ALWAYS_INLINE void fill_mlx_part(uint8_t *tile, const ffai__tile_rows *rows, const ffai__affine_layout *layout,
                                       int64_t column, int bits, size_t scale_size)
{
    _Alignas(FFAI__BLOCK_BYTES) uint8_t blocks[PART_BLOCKS * FFAI__BLOCK_BYTES];
    const int64_t columns = rows->weight->columns;
    const int64_t end = least(column + PART_COLUMNS, columns);
    const size_t offset = (size_t)(column * bits / 8);
    const size_t bytes = (size_t)(PART_COLUMNS * bits / 8);
    fetch_part(rows->next, offset, bytes);
    fetch_scales(rows, layout, column / layout->group_size, scale_size);
    turn_part(blocks, rows->data, offset, (size_t)((columns - column) * bits / 8), bytes);
    for (int s = 0; column + (int64_t)s * FFAI__SPAN_COLUMNS < end; s++)
        put_mlx_span(span_at(tile, layout, column / FFAI__SPAN_COLUMNS + s),
                     blocks + (size_t)(s * bits) * FFAI__BLOCK_BYTES, bits);
    for (int64_t g = column / layout->group_size; g < end / layout->group_size; g++) {
        uint8_t *scales = scales_at(tile, layout, g);
        gather(scales, rows->scales, (size_t)g * scale_size, scale_size);
        gather(scales + FFAI__TILE_ROWS * scale_size, rows->biases, (size_t)g * scale_size, scale_size);
    }
}

FFAI__ALWAYS_INLINE void fill_mlx(uint8_t *tile, const ffai__tile_rows *rows, const ffai__affine_layout *layout,
                                  int bits)
{
    for (int64_t c = 0; c < rows->weight->columns; c += PART_COLUMNS) {
        if (layout->mode == FFAI__SCALE_F32)
            fill_mlx_part(tile, rows, layout, c, bits, 4);
        else
            fill_mlx_part(tile, rows, layout, c, bits, 2);
    }
}

static void fill_mlx_tile(uint8_t *tile, const ffai__tile_rows *rows, const ffai__affine_layout *layout)
{
    switch (layout->bits) {
    case 2:
        fill_mlx(tile, rows, layout, 2);
        break;
    case 3:
        fill_mlx(tile, rows, layout, 3);
        break;
    case 4:
        fill_mlx(tile, rows, layout, 4);
        break;
    case 5:
        fill_mlx(tile, rows, layout, 5);
        break;
    case 6:
        fill_mlx(tile, rows, layout, 6);
        break;
    default:
        fill_mlx(tile, rows, layout, 8);
        break;
    }
}

/* --- GGUF: blocks of 32 columns, each a scale, a bias if there is one, the fifth bits of codes with five, the rest
 * of the codes --- */

/* Groups [first, first + count), PART_SPANS at most. All are turned before the first becomes planes: what has just
 * been stored in pieces is slow to load whole. */
FFAI__ALWAYS_INLINE void fill_gguf_part(uint8_t *tile, const ffai__tile_rows *rows, const ffai__affine_layout *layout,
                                        int64_t first, int count, int bits, bool biases)
{
    const size_t fifth_at = biases ? 4 : 2;
    const size_t codes_at = fifth_at + (bits == 5 ? 4 : 0);
    const size_t block_bytes = codes_at + (bits == 8 ? 32 : 16);
    const size_t offset = (size_t)first * block_bytes;
    _Alignas(FFAI__BLOCK_BYTES) uint8_t blocks[PART_SPANS][8 * FFAI__BLOCK_BYTES];
    fetch_part(rows->next, offset, PART_SPANS * block_bytes);
    for (int i = 0; i < count; i++) {
        turn_words(blocks[i], rows->data, offset + (size_t)i * block_bytes + codes_at, bits == 8 ? 2 : 1);
        if (bits == 5)
            gather(blocks[i] + 4 * FFAI__BLOCK_BYTES, rows->data, offset + (size_t)i * block_bytes + fifth_at, 4);
    }
    for (int i = 0; i < count; i++) {
        uint8_t *scales = scales_at(tile, layout, first + i);
        gather(scales, rows->data, offset + (size_t)i * block_bytes, 2);
        if (biases)
            gather(scales + 2 * FFAI__TILE_ROWS, rows->data, offset + (size_t)i * block_bytes + 2, 2);
        if (bits == 8)
            put_gguf_bytes(span_at(tile, layout, first + i), blocks[i]);
        else
            put_gguf_nibbles(span_at(tile, layout, first + i), blocks[i], bits);
    }
}

FFAI__ALWAYS_INLINE void fill_gguf(uint8_t *tile, const ffai__tile_rows *rows, const ffai__affine_layout *layout,
                                   int bits, bool biases)
{
    for (int64_t g = 0; g < layout->groups; g += PART_SPANS)
        fill_gguf_part(tile, rows, layout, g, (int)least(PART_SPANS, layout->groups - g), bits, biases);
}

static void fill_gguf_tile(uint8_t *tile, const ffai__tile_rows *rows, const ffai__affine_layout *layout)
{
    switch (rows->weight->packing) {
    case FFAI__GGUF_Q4_0:
        fill_gguf(tile, rows, layout, 4, false);
        break;
    case FFAI__GGUF_Q4_1:
        fill_gguf(tile, rows, layout, 4, true);
        break;
    case FFAI__GGUF_Q5_0:
        fill_gguf(tile, rows, layout, 5, false);
        break;
    case FFAI__GGUF_Q5_1:
        fill_gguf(tile, rows, layout, 5, true);
        break;
    default:
        fill_gguf(tile, rows, layout, 8, false);
        break;
    }
}

/* --- GGUF's K types --- */

FFAI__ALWAYS_INLINE void fill_k(uint8_t *tile, const ffai__tile_rows *rows, const ffai__affine_layout *layout, int bits)
{
    const size_t bytes = ffai__k_block_bytes(rows->weight->packing);
    const size_t end = (size_t)(rows->weight->columns / FFAI__K_COLUMNS) * bytes;
    for (size_t offset = 0; offset < end; offset += bytes, tile += layout->chunk_bytes) {
        fetch_part(rows->next, offset, bytes);
        put_k_block(tile, rows, layout, offset, bits);
    }
}

static void fill_k_tile(uint8_t *tile, const ffai__tile_rows *rows, const ffai__affine_layout *layout)
{
    switch (layout->bits) {
    case 2:
        fill_k(tile, rows, layout, 2);
        break;
    case 3:
        fill_k(tile, rows, layout, 3);
        break;
    case 4:
        fill_k(tile, rows, layout, 4);
        break;
    case 5:
        fill_k(tile, rows, layout, 5);
        break;
    default:
        fill_k(tile, rows, layout, 6);
        break;
    }
}

static void fill_affine_tile(uint8_t *tile, const ffai__tile_rows *rows)
{
    ffai__affine_layout layout;
    ffai__affine_layout_of(&layout, rows->weight);
    if (layout.groups % layout.groups_per_chunk) /* half of the last chunk pads */
        memset(scales_at(tile, &layout, layout.groups - 1), 0, layout.chunk_bytes);
    if (rows->weight->packing == FFAI__MLX_AFFINE)
        fill_mlx_tile(tile, rows, &layout);
    else if (ffai__packing_is_k(rows->weight->packing))
        fill_k_tile(tile, rows, &layout);
    else
        fill_gguf_tile(tile, rows, &layout);
}

/* --- dense --- */

/* Elements of 2 or 4 bytes; halves: a word's two elements part. */
FFAI__ALWAYS_INLINE void fill_dense(uint8_t *tile, const ffai__tile_rows *rows, int size, bool halves)
{
    _Alignas(FFAI__BLOCK_BYTES) uint8_t blocks[PART_BLOCKS * FFAI__BLOCK_BYTES];
    const int64_t row_bytes = rows->weight->columns * size;
    const int64_t padded_bytes = (rows->weight->columns + 3) / 4 * 4 * size;
    for (int64_t at = 0; at < padded_bytes; at += PART_BYTES, tile += sizeof blocks) {
        const size_t words = (size_t)least(PART_BYTES, padded_bytes - at) / 4;
        fetch_part(rows->next, (size_t)at, PART_BYTES);
        turn_part(blocks, rows->data, (size_t)at, (size_t)(row_bytes - at), PART_BYTES);
        for (size_t i = 0; halves && i < words; i++)
            part_halves(blocks + i * FFAI__BLOCK_BYTES);
        memcpy(tile, blocks, words * FFAI__BLOCK_BYTES);
    }
}

static void fill_f64(uint8_t *tile, const ffai__tile_rows *rows)
{
    const int64_t columns = rows->weight->columns;
    for (int64_t k = 0; k < (columns + 3) / 4 * 4; k++) {
        for (int r = 0; r < FFAI__TILE_ROWS; r++) {
            float value = 0;
            if (k < columns)
                ffai__to_f32(&value, rows->data[r] + (size_t)k * sizeof(double), FFAI__F64, 1);
            memcpy(tile + ((size_t)k * FFAI__TILE_ROWS + (size_t)r) * sizeof value, &value, sizeof value);
        }
    }
}

static void fill_tile(uint8_t *tile, const ffai__tile_rows *rows)
{
    if (ffai__weight_is_affine(rows->weight)) {
        fill_affine_tile(tile, rows);
        return;
    }
    switch (rows->weight->dtype) {
    case FFAI__F64:
        fill_f64(tile, rows);
        break;
    case FFAI__F32:
        fill_dense(tile, rows, 4, false);
        break;
    case FFAI__F16:
        fill_dense(tile, rows, 2, true);
        break;
    default:
        fill_dense(tile, rows, 2, false);
        break;
    }
}

#endif
