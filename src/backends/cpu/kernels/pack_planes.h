/* A span's codes, from words of all rows (pack_words.h) to the planes of an affine tile (linear_kernels.h). */
#ifndef FFAI_PACK_PLANES_H
#define FFAI_PACK_PLANES_H

#include "pack_words.h"

enum { QUADS = 8 }; /* of a span */

/* Sixteen codes of 2 bits in order, to byte i = codes i, i + 4, i + 8, i + 12: a 4 x 4 matrix turned. */
FFAI__ALWAYS_INLINE pack_lanes pairs_of_codes(pack_lanes x)
{
    return exchange(exchange(x, 0x0000F0F0u, 12), 0x00CC00CCu, 6);
}

/* Eight codes of 4 bits in order, to byte i = codes i and i + 4. */
FFAI__ALWAYS_INLINE pack_lanes nibbles_of_codes(pack_lanes x)
{
    return exchange(exchange(x, 0x0000FF00u, 8), 0x00F000F0u, 4);
}

/* 2^count - 1 from bit 0 and `step` bits on, and so forth. */
FFAI__ALWAYS_INLINE uint32_t fields(int count, int step)
{
    uint32_t mask = 0;
    for (int at = 0; at < 32; at += step)
        mask |= ((1u << count) - 1) << at;
    return mask;
}

/* Quad j of a stream of codes: four codes, a byte each. */
FFAI__ALWAYS_INLINE pack_lanes quad_of_codes(const pack_lanes *words, int j, int bits)
{
    const int at = 4 * bits * j % 32;
    const pack_lanes *word = words + 4 * bits * j / 32;
    pack_lanes x = word[0] >> at;
    if (at + 4 * bits > 32)
        x |= word[1] << (32 - at);
    const uint32_t twos = fields(2 * bits, 32);
    x = (x & twos) | ((x << (16 - 2 * bits)) & (twos << 16));
    const uint32_t ones = fields(bits, 16);
    return (x & ones) | ((x << (8 - bits)) & (ones << 8));
}

FFAI__ALWAYS_INLINE pack_lanes shift_left(pack_lanes x, int by)
{
    return by >= 0 ? x << by : x >> -by;
}

/* The codes' bits `from` up, in fields of `width`, as a plane. */
FFAI__ALWAYS_INLINE void put_plane(uint8_t *plane, const pack_lanes quads[QUADS], int from, int width)
{
    const int quads_per_block = 8 / width;
    UNROLL
    for (int j = 0; j < QUADS; j += quads_per_block) {
        pack_lanes block = {0};
        UNROLL
        for (int k = 0; k < quads_per_block; k++) {
            const int to = (from + width * k) & 7;
            block |= shift_left(quads[j + k], to - from) & (fields(width, 8) << to);
        }
        store_lanes(plane + j / quads_per_block * FFAI__BLOCK_BYTES, block);
    }
}

/* Widths whose codes lie across the words' ends. */
FFAI__ALWAYS_INLINE void put_quads(uint8_t *out, const pack_lanes quads[QUADS], int bits)
{
    const int low = bits & 4 ? 4 : 2;
    put_plane(out, quads, 0, low);
    put_plane(out + low * FFAI__BLOCK_BYTES, quads, low, bits - low);
}

FFAI__ALWAYS_INLINE void put_lanes(uint8_t *out, const pack_lanes words[8], int bits)
{
    pack_lanes quads[QUADS];
    if (bits == 3 || bits == 5 || bits == 6) {
        UNROLL
        for (int j = 0; j < QUADS; j++)
            quads[j] = quad_of_codes(words, j, bits);
        put_quads(out, quads, bits);
        return;
    }
    UNROLL
    for (int k = 0; k < bits; k++)
        store_lanes(out + k * FFAI__BLOCK_BYTES, bits == 2   ? pairs_of_codes(words[k])
                                                 : bits == 4 ? nibbles_of_codes(words[k])
                                                             : words[k]);
}

/* MLX: `bits` words of codes in order, to as many blocks. */
FFAI__ALWAYS_INLINE void put_mlx_span(uint8_t *out, const uint8_t *blocks, int bits)
{
    for (int at = 0; at < FFAI__BLOCK_BYTES; at += PACK_LANES) {
        pack_lanes words[8];
        UNROLL
        for (int k = 0; k < bits; k++)
            words[k] = load_lanes(blocks + k * FFAI__BLOCK_BYTES + at);
        put_lanes(out + at, words, bits);
    }
}

/* Code c is bit c: to bit 4 + c / 4 (mod 8) of byte c % 4. Index bits change places, one exchange for two of them. */
FFAI__ALWAYS_INLINE pack_lanes fifth_bits(pack_lanes x)
{
    x = exchange(x, 0x0000CCCCu, 14);
    x = exchange(x, 0x00AA00AAu, 7);
    x = exchange(x, 0x0C0C0C0Cu, 2);
    x = exchange(x, 0x22222222u, 1);
    return exchange(x, 0x0F0F0F0Fu, 4);
}

/* GGUF: four words, whose byte i of word k holds codes 4 k + i below and 16 + 4 k + i above, and with 5 bits a word of
 * the highest ones. */
FFAI__ALWAYS_INLINE void put_gguf_nibbles(uint8_t *out, const uint8_t *blocks, int bits)
{
    const uint32_t low = 0x0F0F0F0Fu;
    for (int at = 0; at < FFAI__BLOCK_BYTES; at += PACK_LANES) {
        for (int k = 0; k < 2; k++) {
            const pack_lanes a = load_lanes(blocks + 2 * k * FFAI__BLOCK_BYTES + at);
            const pack_lanes b = load_lanes(blocks + (2 * k + 1) * FFAI__BLOCK_BYTES + at);
            store_lanes(out + k * FFAI__BLOCK_BYTES + at, (a & low) | (b & low) << 4);
            store_lanes(out + (k + 2) * FFAI__BLOCK_BYTES + at, (a >> 4 & low) | (b & ~low));
        }
        if (bits == 5)
            store_lanes(out + 4 * FFAI__BLOCK_BYTES + at, fifth_bits(load_lanes(blocks + 4 * FFAI__BLOCK_BYTES + at)));
    }
}

/* GGUF: eight words of signed bytes. */
FFAI__ALWAYS_INLINE void put_gguf_bytes(uint8_t *out, const uint8_t *blocks)
{
    for (int at = 0; at < 8 * FFAI__BLOCK_BYTES; at += PACK_LANES)
        store_lanes(out + at, load_lanes(blocks + at) ^ 0x80808080u);
}

#endif
