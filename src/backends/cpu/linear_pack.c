/* From a weight as its file keeps it to tiles. Eight codes at a time are spread over the bytes of one word, two quads
 * of a row; planes are made from four such words, all in registers. */
#include "linear_kernels.h"

enum { WORDS = 4, GGUF_BLOCK = 32 };

/* One row's share of a span: byte i is column i. */
typedef struct row_span {
    uint64_t word[WORDS];
} row_span;

static uint16_t load16(const uint8_t *at)
{
    uint16_t word = 0;
    memcpy(&word, at, sizeof word);
    return word;
}

static uint32_t load32(const uint8_t *at)
{
    uint32_t word = 0;
    memcpy(&word, at, sizeof word);
    return word;
}

static uint64_t load64(const uint8_t *at)
{
    uint64_t word = 0;
    memcpy(&word, at, sizeof word);
    return word;
}

/* 2^count - 1 in the low bits of each field. */
FFAI__ALWAYS_INLINE uint64_t field_mask(int count, int field)
{
    const uint64_t ones = (1ull << count) - 1;
    uint64_t mask = 0;
    for (int at = 0; at < 64; at += field)
        mask |= ones << at;
    return mask;
}

/* Fields of 2 n bits spread into twice the width: the low n bits stay, the others move to the upper half. */
FFAI__ALWAYS_INLINE uint64_t spread(uint64_t value, int n, int width)
{
    const uint64_t low = field_mask(n, 2 * width);
    return (value & low) | ((value << (width - n)) & (low << width));
}

/* `count` bytes, 2 to 6 or 8, by whole loads: what goes through memory in pieces stalls. */
FFAI__ALWAYS_INLINE uint64_t load_bytes(const uint8_t *at, int count)
{
    if (count == 8)
        return load64(at);
    const uint64_t low = count >= 4 ? load32(at) : load16(at);
    switch (count) {
    case 3:
        return low | (uint64_t)at[2] << 16;
    case 5:
        return low | (uint64_t)at[4] << 32;
    case 6:
        return low | (uint64_t)load16(at + 4) << 32;
    default:
        return low;
    }
}

/* Eight codes of `bits` bits, first in the low bits, to a byte each. */
FFAI__ALWAYS_INLINE uint64_t spread_codes(const uint8_t *at, int bits)
{
    uint64_t value = load_bytes(at, bits);
    value = spread(value, 4 * bits, 32);
    value = spread(value, 2 * bits, 16);
    return spread(value, bits, 8);
}

/* The first `count` words from MLX codes, zeros for the others. */
FFAI__ALWAYS_INLINE row_span read_mlx(const uint8_t *codes, int bits, int count)
{
    row_span span;
    UNROLL
    for (int i = 0; i < WORDS; i++)
        span.word[i] = i < count ? spread_codes(codes + i * bits, bits) : 0;
    return span;
}

#define EACH_BYTE(value) ((value)*0x0101010101010101ull)

/* 32 nibbles: byte i holds code i below and code i + 16 above. */
FFAI__ALWAYS_INLINE row_span read_nibbles(const uint8_t *bytes)
{
    const uint64_t a = load64(bytes);
    const uint64_t b = load64(bytes + 8);
    const uint64_t mask = EACH_BYTE(0x0F);
    return (row_span){{a & mask, b & mask, (a >> 4) & mask, (b >> 4) & mask}};
}

/* Eight bits, each to bit 4 of its byte: copies of the low and high half, then one bit from each. */
FFAI__ALWAYS_INLINE uint64_t spread_fifth_bits(uint32_t bits)
{
    const uint64_t low = (bits & 15u) * 0x00204081u & 0x01010101u;
    const uint64_t high = (bits >> 4 & 15u) * 0x00204081u & 0x01010101u;
    return (low | high << 32) << 4;
}

FFAI__ALWAYS_INLINE row_span read_five(const uint8_t *nibbles, const uint8_t *fifth_bits)
{
    row_span span = read_nibbles(nibbles);
    UNROLL
    for (int i = 0; i < WORDS; i++)
        span.word[i] |= spread_fifth_bits(fifth_bits[i]);
    return span;
}

FFAI__ALWAYS_INLINE row_span read_signed(const uint8_t *bytes)
{
    row_span span;
    UNROLL
    for (int i = 0; i < WORDS; i++)
        span.word[i] = load64(bytes + 8 * i) ^ EACH_BYTE(0x80);
    return span;
}

FFAI__ALWAYS_INLINE void put_word(uint8_t *plane, int block, int row, uint32_t word)
{
    memcpy(plane + block * FFAI__BLOCK_BYTES + 4 * row, &word, sizeof word);
}

/* The codes' bits `at` up, in fields of `width`, as a plane. */
FFAI__ALWAYS_INLINE void put_plane(uint8_t *plane, int row, const row_span *span, int at, int width)
{
    const uint64_t mask = EACH_BYTE((1ull << width) - 1);
    const int words_per_block = 4 / width; /* a word is two quads */
    UNROLL
    for (int i = 0; i < WORDS; i += words_per_block) {
        uint64_t block = 0;
        UNROLL
        for (int k = 0; k < words_per_block; k++) {
            const uint64_t field = (span->word[i + k] >> at) & mask;
            block |= (field & 0xFFFFFFFFu) << ((at + width * 2 * k) & 7);
            block |= field >> 32 << ((at + width * (2 * k + 1)) & 7);
        }
        put_word(plane, i / words_per_block, row, (uint32_t)block);
    }
}

FFAI__ALWAYS_INLINE void put_bytes(uint8_t *plane, int row, const row_span *span)
{
    UNROLL
    for (int i = 0; i < WORDS; i++) {
        put_word(plane, 2 * i, row, (uint32_t)span->word[i]);
        put_word(plane, 2 * i + 1, row, (uint32_t)(span->word[i] >> 32));
    }
}

FFAI__ALWAYS_INLINE void put_span(uint8_t *out, int row, row_span span, int bits)
{
    uint8_t *const upper = out + (bits & 4 ? 4 : 2) * FFAI__BLOCK_BYTES;
    if (bits == 8) {
        put_bytes(out, row, &span);
        return;
    }
    if (bits & 4)
        put_plane(out, row, &span, 0, 4);
    else
        put_plane(out, row, &span, 0, 2);
    if (bits == 6)
        put_plane(upper, row, &span, 4, 2);
    else if (bits & 1)
        put_plane(upper, row, &span, bits - 1, 1);
}

/* A tile being filled: where its rows lie in the file. */
typedef struct tile_rows {
    const ffai__weight *weight;
    int count;
    const uint8_t *data[FFAI__TILE_ROWS];
    const uint8_t *scales[FFAI__TILE_ROWS]; /* MLX only */
    const uint8_t *biases[FFAI__TILE_ROWS];
} tile_rows;

static void find_rows(tile_rows *rows, const ffai__weight *weight, int64_t tile)
{
    const int64_t first = tile * FFAI__TILE_ROWS;
    const int64_t left = weight->rows - first;
    const uint64_t row_bytes = ffai__weight_row_bytes(weight);
    uint64_t scale_bytes = 0;
    if (weight->packing == FFAI__MLX_AFFINE)
        scale_bytes = (uint64_t)(weight->columns / weight->group_size) * ffai__dtype_size(weight->scale_dtype);
    rows->weight = weight;
    rows->count = left < FFAI__TILE_ROWS ? (int)left : FFAI__TILE_ROWS;
    for (int r = 0; r < rows->count; r++) {
        const uint64_t row = (uint64_t)ffai__weight_stored_row(weight, first + r);
        rows->data[r] = (const uint8_t *)weight->data + row * row_bytes;
        rows->scales[r] = scale_bytes ? (const uint8_t *)weight->scales + row * scale_bytes : NULL;
        rows->biases[r] = scale_bytes ? (const uint8_t *)weight->biases + row * scale_bytes : NULL;
    }
}

FFAI__ALWAYS_INLINE void fill_mlx_codes(uint8_t *chunk, const tile_rows *rows, const ffai__affine_layout *layout,
                                        int64_t first_column, int bits)
{
    const int64_t columns = rows->weight->columns;
    const int64_t chunk_columns = (int64_t)layout->groups_per_chunk * layout->group_size;
    uint8_t *span = chunk + layout->header_bytes;
    const int64_t left = columns - first_column;
    const int64_t end = left < chunk_columns ? columns : first_column + chunk_columns;
    for (int64_t c = first_column; c < end; c += FFAI__SPAN_COLUMNS, span += bits * FFAI__BLOCK_BYTES) {
        for (int r = 0; r < rows->count; r++) {
            const uint8_t *codes = rows->data[r] + c * bits / 8;
            if (end - c >= FFAI__SPAN_COLUMNS)
                put_span(span, r, read_mlx(codes, bits, WORDS), bits);
            else
                put_span(span, r, read_mlx(codes, bits, WORDS / 2), bits);
        }
    }
}

static void fill_mlx_scales(uint8_t *chunk, const tile_rows *rows, const ffai__affine_layout *layout, int64_t group)
{
    const size_t size = ffai__dtype_size(rows->weight->scale_dtype);
    const size_t biases = layout->scale_bytes / 2;
    for (int i = 0; i < layout->groups_per_chunk && group + i < layout->groups; i++) {
        uint8_t *at = chunk + (size_t)i * layout->scale_bytes;
        const size_t from = (size_t)(group + i) * size;
        for (int r = 0; r < rows->count; r++) {
            memcpy(at + (size_t)r * size, rows->scales[r] + from, size);
            memcpy(at + biases + (size_t)r * size, rows->biases[r] + from, size);
        }
    }
}

FFAI__ALWAYS_INLINE void fill_mlx(uint8_t *tile, const tile_rows *rows, const ffai__affine_layout *layout, int bits)
{
    for (int64_t g = 0; g < layout->groups; g += layout->groups_per_chunk, tile += layout->chunk_bytes) {
        fill_mlx_scales(tile, rows, layout, g);
        fill_mlx_codes(tile, rows, layout, g * layout->group_size, bits);
    }
}

static void fill_mlx_tile(uint8_t *tile, const tile_rows *rows, const ffai__affine_layout *layout)
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

/* One block of 32 of one row. */
FFAI__ALWAYS_INLINE row_span read_gguf(const uint8_t *block, ffai__packing packing)
{
    switch (packing) {
    case FFAI__GGUF_Q4_0:
        return read_nibbles(block + 2);
    case FFAI__GGUF_Q4_1:
        return read_nibbles(block + 4);
    case FFAI__GGUF_Q5_0:
        return read_five(block + 6, block + 2);
    case FFAI__GGUF_Q5_1:
        return read_five(block + 8, block + 4);
    default:
        return read_signed(block + 2);
    }
}

FFAI__ALWAYS_INLINE void fill_gguf(uint8_t *tile, const tile_rows *rows, const ffai__affine_layout *layout,
                                   ffai__packing packing, int bits)
{
    const size_t block_bytes = (size_t)(ffai__weight_row_bytes(rows->weight) / (uint64_t)layout->groups);
    const bool biases = layout->mode != FFAI__SCALE_F16_ZERO;
    for (int64_t g = 0; g < layout->groups; g++) {
        const size_t in_chunk = (size_t)(g % layout->groups_per_chunk);
        uint8_t *chunk = tile + (size_t)(g / layout->groups_per_chunk) * layout->chunk_bytes;
        uint8_t *scales = chunk + in_chunk * layout->scale_bytes;
        uint8_t *span = chunk + layout->header_bytes + in_chunk * (size_t)bits * FFAI__BLOCK_BYTES;
        for (int r = 0; r < rows->count; r++) {
            const uint8_t *block = rows->data[r] + (size_t)g * block_bytes;
            memcpy(scales + 2 * r, block, 2);
            if (biases)
                memcpy(scales + 2 * FFAI__TILE_ROWS + 2 * r, block + 2, 2);
            put_span(span, r, read_gguf(block, packing), bits);
        }
    }
}

static void fill_gguf_tile(uint8_t *tile, const tile_rows *rows, const ffai__affine_layout *layout)
{
    switch (rows->weight->packing) {
    case FFAI__GGUF_Q4_0:
        fill_gguf(tile, rows, layout, FFAI__GGUF_Q4_0, 4);
        break;
    case FFAI__GGUF_Q4_1:
        fill_gguf(tile, rows, layout, FFAI__GGUF_Q4_1, 4);
        break;
    case FFAI__GGUF_Q5_0:
        fill_gguf(tile, rows, layout, FFAI__GGUF_Q5_0, 5);
        break;
    case FFAI__GGUF_Q5_1:
        fill_gguf(tile, rows, layout, FFAI__GGUF_Q5_1, 5);
        break;
    default:
        fill_gguf(tile, rows, layout, FFAI__GGUF_Q8_0, 8);
        break;
    }
}

/* Elements of `size` bytes, one of every output row side by side. */
FFAI__ALWAYS_INLINE void transpose(uint8_t *tile, const tile_rows *rows, int64_t count, size_t size)
{
    for (int64_t k = 0; k < count; k++) {
        uint8_t *out = tile + (size_t)k * FFAI__TILE_ROWS * size;
        for (int r = 0; r < rows->count; r++)
            memcpy(out + (size_t)r * size, rows->data[r] + (size_t)k * size, size);
    }
}

static void fill_f64(uint8_t *tile, const tile_rows *rows, int64_t columns)
{
    for (int64_t k = 0; k < columns; k++) {
        for (int r = 0; r < rows->count; r++) {
            float value = 0;
            ffai__to_f32(&value, rows->data[r] + (size_t)k * sizeof(double), FFAI__F64, 1);
            memcpy(tile + ((size_t)k * FFAI__TILE_ROWS + (size_t)r) * sizeof value, &value, sizeof value);
        }
    }
}

static void fill_dense_tile(uint8_t *tile, const tile_rows *rows)
{
    const int64_t columns = rows->weight->columns;
    switch (rows->weight->dtype) {
    case FFAI__F64:
        fill_f64(tile, rows, columns);
        break;
    case FFAI__F32:
        transpose(tile, rows, columns, 4);
        break;
    case FFAI__F16:
        transpose(tile, rows, columns, 2);
        break;
    default:
        transpose(tile, rows, columns / 2, 4);
        for (int r = 0; columns % 2 && r < rows->count; r++)
            memcpy(tile + (size_t)(columns / 2) * FFAI__BLOCK_BYTES + 4 * (size_t)r, rows->data[r] + 2 * (columns - 1),
                   2);
        break;
    }
}

/* What the copies below do not reach must read as zero: rows and columns that pad. */
static bool has_padding(const ffai__weight *weight, const tile_rows *rows)
{
    return rows->count < FFAI__TILE_ROWS || weight->columns % (2 * FFAI__SPAN_COLUMNS);
}

void ffai__packed_fill(const ffai__packed *packed, int64_t first, int64_t last, void *scratch)
{
    (void)scratch;
    const ffai__weight *weight = packed->weight;
    ffai__affine_layout layout;
    if (ffai__weight_is_affine(weight))
        ffai__affine_layout_of(&layout, weight);
    for (int64_t t = first; t < last; t++) {
        uint8_t *tile = packed->tiles + (uint64_t)t * packed->tile_bytes;
        tile_rows rows;
        find_rows(&rows, weight, t);
        if (has_padding(weight, &rows))
            memset(tile, 0, packed->tile_bytes);
        if (!ffai__weight_is_affine(weight))
            fill_dense_tile(tile, &rows);
        else if (weight->packing == FFAI__MLX_AFFINE)
            fill_mlx_tile(tile, &rows, &layout);
        else
            fill_gguf_tile(tile, &rows, &layout);
    }
}

size_t ffai__pack_scratch_bytes(const ffai__packed *packed)
{
    (void)packed;
    return 0;
}
