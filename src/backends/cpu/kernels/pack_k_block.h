/* GGUF's K types on their way into tiles: a super-block of 16 rows (tensor/k_block.h) becomes a chunk
 * (linear_kernels.h). Span s of a super-block, columns 32 s and on, has its bits in words 0 to 7, or 8 to 15 and so on,
 * of a part, at one place in each byte: word k has those of quad k. */
#ifndef FFAI_PACK_K_BLOCK_H
#define FFAI_PACK_K_BLOCK_H

#include "k_block.h"
#include "pack_planes.h"

enum { K_WORDS = 32, K_SPANS = FFAI__K_COLUMNS / FFAI__SPAN_COLUMNS };

/* The parts of a super-block that hold the lower bits of codes and the upper ones, if they are apart. */
typedef struct k_parts {
    size_t low, low_bytes, high, high_bytes;
} k_parts;

FFAI__ALWAYS_INLINE k_parts k_parts_of(int bits)
{
    static const k_parts parts[] = {
        [2] = {16, 64, 0, 0}, {32, 64, 0, 32}, {16, 128, 0, 0}, {48, 128, 16, 32}, {0, 128, 128, 64},
    };
    return parts[bits];
}

/* Parts as words of all rows. */
typedef struct k_words {
    _Alignas(64) uint8_t low[K_WORDS][FFAI__BLOCK_BYTES];
    _Alignas(64) uint8_t high[K_WORDS / 2][FFAI__BLOCK_BYTES];
} k_words;

/* Bits of quad k of a span, a part having `spans` of them in each byte, `width` bits apiece. */
FFAI__ALWAYS_INLINE pack_lanes k_field(const uint8_t words[][FFAI__BLOCK_BYTES], int word, int at, int shift, int width)
{
    return (load_lanes(words[word] + at) >> shift) & fields(width, 8);
}

FFAI__ALWAYS_INLINE pack_lanes k_pair(const uint8_t words[][FFAI__BLOCK_BYTES], int span, int k, int at)
{
    return k_field(words, span / 4 * QUADS + k, at, span % 4 * 2, 2);
}

FFAI__ALWAYS_INLINE pack_lanes k_nibble(const uint8_t words[][FFAI__BLOCK_BYTES], int span, int k, int at)
{
    return k_field(words, span / 2 * QUADS + k, at, span % 2 * 4, 4);
}

/* Of 6 bits: spans 0 and 1 below, 2 and 3 above. */
FFAI__ALWAYS_INLINE pack_lanes k_far_nibble(const uint8_t words[][FFAI__BLOCK_BYTES], int span, int k, int at)
{
    return k_field(words, (span / 4 * 2 + span % 2) * QUADS + k, at, span % 4 / 2 * 4, 4);
}

FFAI__ALWAYS_INLINE pack_lanes k_quad(const k_words *words, int span, int k, int at, int bits)
{
    switch (bits) {
    case 2:
        return k_pair(words->low, span, k, at);
    case 3:
        return k_pair(words->low, span, k, at) | k_field(words->high, k, at, span, 1) << 2;
    case 4:
        return k_nibble(words->low, span, k, at);
    case 5:
        return k_nibble(words->low, span, k, at) | k_field(words->high, k, at, span, 1) << 4;
    default:
        return k_far_nibble(words->low, span, k, at) | k_pair(words->high, span, k, at) << 4;
    }
}

FFAI__ALWAYS_INLINE void put_k_span(uint8_t *out, const k_words *words, int span, int bits)
{
    for (int at = 0; at < FFAI__BLOCK_BYTES; at += PACK_LANES) {
        pack_lanes quads[QUADS];
        UNROLL
        for (int k = 0; k < QUADS; k++)
            quads[k] = k_quad(words, span, k, at, bits);
        if (bits == 2 || bits == 4)
            put_plane(out + at, quads, 0, bits);
        else
            put_quads(out + at, quads, bits);
    }
}

/* Six bits each, of four groups in three bytes. */
FFAI__ALWAYS_INLINE void put_sixes(uint8_t *out, const int8_t sc[4], int r)
{
    const unsigned last = (unsigned)(sc[3] + 32);
    for (int i = 0; i < 3; i++)
        out[i * FFAI__TILE_ROWS + r] = (uint8_t)((unsigned)(sc[i] + 32) | (last >> 2 * i & 3) << 6);
}

/* Row r's scales, behind the factors. */
FFAI__ALWAYS_INLINE void put_k_row(uint8_t *out, const ffai__k_scales *scales, int r, int bits)
{
    enum { ROWS = FFAI__TILE_ROWS };
    for (int g = 0; bits == 2 && g < 16; g++)
        out[g * ROWS + r] = (uint8_t)(scales->sc[g] | scales->m[g] << 4);
    for (int g = 0; bits == 3 && g < 16; g += 4)
        put_sixes(out + g / 4 * 3 * ROWS, scales->sc + g, r);
    for (int g = 0; (bits == 4 || bits == 5) && g < 8; g++) {
        out[g * ROWS + r] = (uint8_t)scales->sc[g];
        out[(8 + g) * ROWS + r] = (uint8_t)scales->m[g];
    }
    for (int g = 0; bits == 6 && g < 16; g++)
        out[g * ROWS + r] = (uint8_t)scales->sc[g];
}

FFAI__ALWAYS_INLINE void put_k_scales(uint8_t *chunk, const ffai__tile_rows *rows, size_t offset, int bits)
{
    for (int r = 0; r < FFAI__TILE_ROWS; r++) {
        ffai__k_scales scales;
        ffai__k_block_scales(&scales, rows->data[r] + offset, rows->weight->packing);
        memcpy(chunk + 2 * r, &scales.d, sizeof scales.d);
        memcpy(chunk + 2 * (FFAI__TILE_ROWS + r), &scales.dmin, sizeof scales.dmin);
        put_k_row(chunk + FFAI__BLOCK_BYTES, &scales, r, bits);
    }
}

/* The super-block that lies `offset` bytes within each row. */
FFAI__ALWAYS_INLINE void put_k_block(uint8_t *chunk, const ffai__tile_rows *rows, const ffai__affine_layout *layout,
                                     size_t offset, int bits)
{
    const k_parts parts = k_parts_of(bits);
    k_words words;
    turn_words(words.low[0], rows->data, offset + parts.low, parts.low_bytes / 16);
    turn_words(words.high[0], rows->data, offset + parts.high, parts.high_bytes / 16);
    put_k_scales(chunk, rows, offset, bits);
    chunk += layout->header_bytes;
    for (int span = 0; span < K_SPANS; span++, chunk += bits * FFAI__BLOCK_BYTES)
        put_k_span(chunk, &words, span, bits);
}

#endif
