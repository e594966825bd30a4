/* Words of 32 bits of a tile's 16 rows, side by side: word k of all rows is a block of 64 bytes, row r its lane r.
 * Written in the compilers' vector types, so it compiles for every instruction set; PACK_LANES is how many bytes of
 * a block a vector has. */
#ifndef FFAI_PACK_WORDS_H
#define FFAI_PACK_WORDS_H

#include "linear_kernels.h"

typedef uint32_t quad_words __attribute__((vector_size(16)));
typedef uint16_t quad_shorts __attribute__((vector_size(16)));
typedef uint64_t quad_longs __attribute__((vector_size(16)));
typedef uint32_t pack_lanes __attribute__((vector_size(PACK_LANES)));

FFAI__ALWAYS_INLINE quad_words load_quad(const uint8_t *at)
{
    quad_words words;
    memcpy(&words, at, sizeof words);
    return words;
}

FFAI__ALWAYS_INLINE void store_quad(uint8_t *at, quad_longs words)
{
    memcpy(at, &words, sizeof words);
}

/* Four words of rows r to r + 3, from 16 bytes of each to four blocks. */
FFAI__ALWAYS_INLINE void turn_quad(uint8_t *blocks, const uint8_t *const *rows, size_t offset, int r)
{
    const quad_words a = load_quad(rows[r] + offset);
    const quad_words b = load_quad(rows[r + 1] + offset);
    const quad_words c = load_quad(rows[r + 2] + offset);
    const quad_words d = load_quad(rows[r + 3] + offset);
    const quad_longs ab = (quad_longs)__builtin_shufflevector(a, b, 0, 4, 1, 5);
    const quad_longs cd = (quad_longs)__builtin_shufflevector(c, d, 0, 4, 1, 5);
    const quad_longs ab2 = (quad_longs)__builtin_shufflevector(a, b, 2, 6, 3, 7);
    const quad_longs cd2 = (quad_longs)__builtin_shufflevector(c, d, 2, 6, 3, 7);
    uint8_t *const out = blocks + 4 * r;
    store_quad(out, __builtin_shufflevector(ab, cd, 0, 2));
    store_quad(out + FFAI__BLOCK_BYTES, __builtin_shufflevector(ab, cd, 1, 3));
    store_quad(out + 2 * FFAI__BLOCK_BYTES, __builtin_shufflevector(ab2, cd2, 0, 2));
    store_quad(out + 3 * FFAI__BLOCK_BYTES, __builtin_shufflevector(ab2, cd2, 1, 3));
}

/* 16 * quads bytes of every row from `offset` on, to 4 * quads blocks. */
FFAI__ALWAYS_INLINE void turn_words(uint8_t *blocks, const uint8_t *const *rows, size_t offset, size_t quads)
{
    for (size_t i = 0; i < quads; i++)
        for (int r = 0; r < FFAI__TILE_ROWS; r += 4)
            turn_quad(blocks + 4 * i * FFAI__BLOCK_BYTES, rows, offset + 16 * i, r);
}

/* A block's lower halves before its upper ones. */
FFAI__ALWAYS_INLINE void part_halves(uint8_t *block)
{
#if PACK_LANES == 64
    typedef uint16_t shorts __attribute__((vector_size(PACK_LANES)));
    shorts words;
    memcpy(&words, block, sizeof words);
    words = __builtin_shufflevector(words, words, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 1, 3, 5, 7,
                                    9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    memcpy(block, &words, sizeof words);
#else
    quad_shorts words[4];
    quad_shorts parted[4];
    memcpy(words, block, sizeof words);
    for (int i = 0; i < 2; i++) {
        parted[i] = __builtin_shufflevector(words[2 * i], words[2 * i + 1], 0, 2, 4, 6, 8, 10, 12, 14);
        parted[i + 2] = __builtin_shufflevector(words[2 * i], words[2 * i + 1], 1, 3, 5, 7, 9, 11, 13, 15);
    }
    memcpy(block, parted, sizeof parted);
#endif
}

FFAI__ALWAYS_INLINE pack_lanes load_lanes(const uint8_t *at)
{
    pack_lanes lanes;
    memcpy(&lanes, at, sizeof lanes);
    return lanes;
}

FFAI__ALWAYS_INLINE void store_lanes(uint8_t *at, pack_lanes lanes)
{
    memcpy(at, &lanes, sizeof lanes);
}

/* Exchange the bits under the mask with those `up` places above them. */
FFAI__ALWAYS_INLINE pack_lanes exchange(pack_lanes x, uint32_t mask, int up)
{
    const pack_lanes differing = ((x >> up) ^ x) & mask;
    return x ^ differing ^ (differing << up);
}

#endif
