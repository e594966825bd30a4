/* From a weight as its file keeps it to tiles: which rows stand where. How a tile is filled is in pack_template.h. */
#include "linear_kernels.h"

static uint64_t scale_row_bytes(const ffai__weight *weight)
{
    if (weight->packing != FFAI__MLX_AFFINE)
        return 0;
    return (uint64_t)(weight->columns / weight->group_size) * ffai__dtype_size(weight->scale_dtype);
}

static void find_rows(ffai__tile_rows *rows, const ffai__weight *weight, int64_t tile, const uint8_t *zeros)
{
    const uint64_t row_bytes = ffai__weight_row_bytes(weight);
    const uint64_t scale_bytes = scale_row_bytes(weight);
    const uint8_t *const data = weight->data;
    rows->weight = weight;
    for (int r = 0; r < FFAI__TILE_ROWS; r++) {
        const int64_t row = tile * FFAI__TILE_ROWS + r;
        const int64_t next = row + FFAI__TILE_ROWS;
        rows->data[r] = rows->scales[r] = rows->biases[r] = rows->next[r] = zeros;
        if (row >= weight->rows)
            continue;
        const uint64_t stored = (uint64_t)ffai__weight_stored_row(weight, row);
        rows->data[r] = data + stored * row_bytes;
        rows->next[r] = data + (uint64_t)ffai__weight_stored_row(weight, next < weight->rows ? next : row) * row_bytes;
        if (scale_bytes) {
            rows->scales[r] = (const uint8_t *)weight->scales + stored * scale_bytes;
            rows->biases[r] = (const uint8_t *)weight->biases + stored * scale_bytes;
        }
    }
}

void ffai__packed_fill(const ffai__packed *packed, int64_t first, int64_t last, void *scratch)
{
    const size_t zeros = ffai__pack_scratch_bytes(packed);
    if (zeros)
        memset(scratch, 0, zeros);
    for (int64_t t = first; t < last; t++) {
        ffai__tile_rows rows;
        find_rows(&rows, packed->weight, t, scratch);
        packed->fill_tile(packed->tiles + (uint64_t)t * packed->tile_bytes, &rows);
    }
}

/* A row of zeros where the last tile has rows that pad. A row's scales are never longer than its codes. */
size_t ffai__pack_scratch_bytes(const ffai__packed *packed)
{
    const bool padded = packed->weight->rows % FFAI__TILE_ROWS != 0;
    return padded ? (size_t)ffai__weight_row_bytes(packed->weight) : 0;
}
