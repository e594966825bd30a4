/* Tiles (args.h): which column a pair holds, how codes stand in words, and how pairs become numbers again. */
#ifndef FFAI_CUDA_TILES_CUH
#define FFAI_CUDA_TILES_CUH

#include "step.cuh"

enum { PAIRS = 16, WARP = 32, UNIT = FFAI__CUDA_UNIT_ROWS, SPAN = FFAI__CUDA_SPAN_COLUMNS };

/* The column within its block of 64 at which step `step` of lane t's four columns begins: a subgroup's columns are
 * dealt out to the four lanes in equal runs, so that a step never has columns of two subgroups. */
DEVICE int column_of_step(int step, int t, int subgroups)
{
    const int width = 64 / subgroups;
    const int steps = 4 / subgroups;
    return step / steps * width + t * (width / 4) + step % steps * 4;
}

/* The inverse for a column that is a multiple of 4. */
DEVICE void step_of_column(int column, int subgroups, int *step, int *t)
{
    const int width = 64 / subgroups;
    const int steps = 4 / subgroups;
    const int within = column % width;
    *t = within / (width / 4);
    *step = column / width * steps + within % (width / 4) / 4;
}

/* Whether a weight's elements are integer codes with scales. */
template <int FORMAT> constexpr bool is_affine = FORMAT < 16;
template <int FORMAT> constexpr int lane_words = FORMAT == FFAI__CUDA_F16 ? 16 : FORMAT;

/* Words of four tiles: a span's, of one lane. */
template <int FORMAT> constexpr int span_words = 4 * lane_words<FORMAT>;

/* 128 + q as bf16 pairs: q has at most 7 bits, as many as the mantissa. Eight bits are two nibbles: 128 + low, and
 * 2048 + 16 * high. */
enum { MAGIC = 0x43004300, HIGH_MAGIC = 0x45004500 };

/* 16 pairs of codes from `BITS` words, each with the magic number. A word's two halves hold the two codes of its pairs,
 * as many as 16 bits have room for; what is left over makes the last pairs. */
template <int BITS> struct codes;

template <> struct codes<2> {
    DEVICE_MEMBER static void unpack(uint32_t (&pairs)[PAIRS], const uint32_t *words)
    {
#pragma unroll
        for (int p = 0; p < PAIRS; p++)
            pairs[p] = (words[p / 8] >> (p % 8 * 2) & 0x00030003u) | MAGIC;
    }
};

template <> struct codes<3> {
    DEVICE_MEMBER static void unpack(uint32_t (&pairs)[PAIRS], const uint32_t *words)
    {
#pragma unroll
        for (int p = 0; p < 15; p++)
            pairs[p] = (words[p / 5] >> (p % 5 * 3) & 0x00070007u) | MAGIC;
        pairs[15] =
            (words[0] >> 15 & 0x00010001u) | (words[1] >> 14 & 0x00020002u) | (words[2] >> 13 & 0x00040004u) | MAGIC;
    }
};

template <> struct codes<4> {
    DEVICE_MEMBER static void unpack(uint32_t (&pairs)[PAIRS], const uint32_t *words)
    {
#pragma unroll
        for (int p = 0; p < PAIRS; p++)
            pairs[p] = (words[p / 4] >> (p % 4 * 4) & 0x000F000Fu) | MAGIC;
    }
};

template <> struct codes<5> {
    DEVICE_MEMBER static void unpack(uint32_t (&pairs)[PAIRS], const uint32_t *words)
    {
#pragma unroll
        for (int p = 0; p < 15; p++)
            pairs[p] = (words[p / 3] >> (p % 3 * 5) & 0x001F001Fu) | MAGIC;
        pairs[15] = (words[0] >> 15 & 0x00010001u) | (words[1] >> 14 & 0x00020002u) | (words[2] >> 13 & 0x00040004u) |
                    (words[3] >> 12 & 0x00080008u) | (words[4] >> 11 & 0x00100010u) | MAGIC;
    }
};

template <> struct codes<6> {
    DEVICE_MEMBER static void unpack(uint32_t (&pairs)[PAIRS], const uint32_t *words)
    {
#pragma unroll
        for (int p = 0; p < 12; p++)
            pairs[p] = (words[p / 2] >> (p % 2 * 6) & 0x003F003Fu) | MAGIC;
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const uint32_t *w = words + 3 * i;
            pairs[12 + 2 * i] = (w[0] >> 12 & 0x000F000Fu) | (w[1] >> 8 & 0x00300030u) | MAGIC;
            pairs[13 + 2 * i] = (w[1] >> 14 & 0x00030003u) | (w[2] >> 10 & 0x003C003Cu) | MAGIC;
        }
    }
};

template <> struct codes<8> {
    DEVICE_MEMBER static void unpack(uint32_t (&pairs)[PAIRS], const uint32_t *words)
    {
#pragma unroll
        for (int p = 0; p < PAIRS; p++)
            pairs[p] = (words[p / 2] >> (p % 2 * 8) & 0x000F000Fu) | MAGIC;
    }
    DEVICE_MEMBER static void unpack_high(uint32_t (&pairs)[PAIRS], const uint32_t *words)
    {
#pragma unroll
        for (int p = 0; p < PAIRS; p++)
            pairs[p] = (words[p / 2] >> (p % 2 * 8 + 4) & 0x000F000Fu) | HIGH_MAGIC;
    }
};

/* Put one half's code of a pair where unpack finds it. */
DEVICE void place_code(uint32_t *words, int bits, int pair, int half, uint32_t code)
{
    const int fields = 16 / bits;
    if (pair < fields * bits) {
        words[pair / fields] |= code << (pair % fields * bits + 16 * half);
        return;
    }
    if (bits != 6) { /* 3 and 5: a bit from the top of each word */
        for (int b = 0; b < bits; b++)
            words[b] |= (code >> b & 1u) << (15 + 16 * half);
        return;
    }
    uint32_t *w = words + (pair - 12) / 2 * 3;
    if (pair % 2 == 0) {
        w[0] |= (code & 15u) << (12 + 16 * half);
        w[1] |= (code >> 4) << (12 + 16 * half);
    } else {
        w[1] |= (code & 3u) << (14 + 16 * half);
        w[2] |= (code >> 2) << (12 + 16 * half);
    }
}

DEVICE uint32_t take_code(const uint32_t *words, int bits, int pair, int half)
{
    const int fields = 16 / bits;
    const uint32_t mask = (1u << bits) - 1u;
    if (pair < fields * bits)
        return words[pair / fields] >> (pair % fields * bits + 16 * half) & mask;
    if (bits != 6) {
        uint32_t code = 0;
        for (int b = 0; b < bits; b++)
            code |= (words[b] >> (15 + 16 * half) & 1u) << b;
        return code;
    }
    const uint32_t *w = words + (pair - 12) / 2 * 3;
    if (pair % 2 == 0)
        return (w[0] >> (12 + 16 * half) & 15u) | (w[1] >> (12 + 16 * half) & 3u) << 4;
    return (w[1] >> (14 + 16 * half) & 3u) | (w[2] >> (12 + 16 * half) & 15u) << 2;
}

/* Where word `word` (of all tiles of the span) of a lane stands, in words from the matrix's first. */
DEVICE int64_t word_index(const ffai__cuda_matrix *m, int words, int64_t unit, int span, int word, int lane)
{
    const int64_t first = (unit * m->tiles + (int64_t)span * FFAI__CUDA_SPAN_TILES) * words * WARP;
    const bool whole = (span + 1) * FFAI__CUDA_SPAN_TILES <= m->tiles;
    return first + (whole ? (word / 4 * WARP + lane) * 4 + word % 4 : word * WARP + lane);
}

/* Where the scale and bias of a subgroup of a block (0 to 7) of a span and a row (0 to 7) stand, in pairs. */
DEVICE int64_t scale_index(const ffai__cuda_matrix *m, int64_t unit, int span, int row, int block, int subgroup)
{
    const int lane = row * 4 + block / 2;
    return (((unit * m->spans + span) * WARP + lane) * 2 + block % 2) * m->subgroups + subgroup;
}

DEVICE float scale_value(uint32_t bits, int format)
{
    return format == FFAI__CUDA_SCALES_F16 ? f16_to_f32((uint16_t)bits) : bf16_to_f32((uint16_t)bits);
}

DEVICE void read_scale(float *scale, float *bias, const ffai__cuda_matrix *m, int64_t index)
{
    if (m->scale_format == FFAI__CUDA_SCALES_F32) {
        *scale = float_of(m->scales[2 * index]);
        *bias = float_of(m->scales[2 * index + 1]);
        return;
    }
    const uint32_t both = m->scales[index];
    *scale = scale_value(both & 0xFFFFu, m->scale_format);
    *bias = scale_value(both >> 16, m->scale_format);
}

#endif
