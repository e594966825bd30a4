/* Tiles (args.h): which column a pair holds, how codes stand in words, and how they become bytes and numbers again. */
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

/* --- codes ---
 *
 * The four codes of a lane's step of one half, `four` step * 2 + half of eight, stand together in a word, one in each
 * byte, which is what mma_bytes takes: pair 0's first code, pair 2's first, pair 0's second, pair 2's second. In its
 * byte a code of the lower half begins at bit 0 and one of the upper half at bit UPPER. What a byte has room for
 * besides are codes of other fours or parts of them, so that a tile has no more words than codes have bits. */
template <int BITS> struct codes;

/* UPPER: see above. four(words, n): a word that has four n where it belongs, and anything beside it. place(words, n,
 * bytes): its opposite, where `bytes` is zero beside it. */
template <> struct codes<2> {
    enum { UPPER = 2 };
    DEVICE_MEMBER static uint32_t four(const uint32_t *words, int n)
    {
        return words[n / 4] >> (n / 2 % 2 * 4);
    }
    DEVICE_MEMBER static void place(uint32_t *words, int n, uint32_t bytes)
    {
        words[n / 4] |= bytes << (n / 2 % 2 * 4);
    }
};

/* Steps 0 to 2 have a word each. Of each of these, bits 3 and 7 of a byte are the last step's. */
template <> struct codes<3> {
    enum { UPPER = 4 };
    DEVICE_MEMBER static uint32_t four(const uint32_t *words, int n)
    {
        if (n < 6)
            return words[n / 2];
        return choose<0x66666666u>(choose<0x44444444u>(words[0] >> 1, words[1] >> 2), words[2] >> 3);
    }
    DEVICE_MEMBER static void place(uint32_t *words, int n, uint32_t bytes)
    {
        if (n < 6) {
            words[n / 2] |= bytes;
            return;
        }
        words[0] |= (bytes & 0x44444444u) << 1;
        words[1] |= (bytes & 0x22222222u) << 2;
        words[2] |= (bytes & 0x11111111u) << 3;
    }
};

template <> struct codes<4> {
    enum { UPPER = 4 };
    DEVICE_MEMBER static uint32_t four(const uint32_t *words, int n)
    {
        return words[n / 2];
    }
    DEVICE_MEMBER static void place(uint32_t *words, int n, uint32_t bytes)
    {
        words[n / 2] |= bytes;
    }
};

/* The lower half has words 0 to 3, the upper half's last step has word 4; the other three are in what is left. */
template <> struct codes<5> {
    enum { UPPER = 3 };
    DEVICE_MEMBER static uint32_t four(const uint32_t *words, int n)
    {
        switch (n) {
        case 1:
            return choose<0xE0E0E0E0u>(words[0], words[1] >> 2);
        case 3:
            return choose<0xE0E0E0E0u>(words[2], words[3] >> 2);
        case 5:
            return choose<0x80808080u>(words[1], choose<0x40404040u>(words[3] >> 1, words[4] << 3));
        default:
            return words[n == 7 ? 4 : n / 2];
        }
    }
    DEVICE_MEMBER static void place(uint32_t *words, int n, uint32_t bytes)
    {
        switch (n) {
        case 1:
        case 3:
            words[n - 1] |= bytes & 0xE0E0E0E0u;
            words[n] |= (bytes & 0x18181818u) << 2;
            break;
        case 5:
            words[1] |= bytes & 0x80808080u;
            words[3] |= (bytes & 0x40404040u) << 1;
            words[4] |= (bytes & 0x38383838u) >> 3;
            break;
        default:
            words[n == 7 ? 4 : n / 2] |= bytes;
        }
    }
};

/* The lower half has words 0 to 3, the upper half's last two steps have words 4 and 5, the first two what is left. */
template <> struct codes<6> {
    enum { UPPER = 2 };
    DEVICE_MEMBER static uint32_t four(const uint32_t *words, int n)
    {
        if (n == 1 || n == 3) {
            const uint32_t *w = words + (n - 1);
            return choose<0xC0C0C0C0u>(w[0], choose<0x30303030u>(w[1] >> 2, words[n / 2 + 4] << 2));
        }
        return words[n % 2 ? n / 2 + 2 : n / 2];
    }
    DEVICE_MEMBER static void place(uint32_t *words, int n, uint32_t bytes)
    {
        if (n == 1 || n == 3) {
            words[n - 1] |= bytes & 0xC0C0C0C0u;
            words[n] |= (bytes & 0x30303030u) << 2;
            words[n / 2 + 4] |= (bytes & 0x0C0C0C0Cu) >> 2;
            return;
        }
        words[n % 2 ? n / 2 + 2 : n / 2] |= bytes;
    }
};

template <> struct codes<8> {
    enum { UPPER = 0 };
    DEVICE_MEMBER static uint32_t four(const uint32_t *words, int n)
    {
        return words[n];
    }
    DEVICE_MEMBER static void place(uint32_t *words, int n, uint32_t bytes)
    {
        words[n] |= bytes;
    }
};

/* Where in its four a code stands: of pair p, its first one (0) or second. */
DEVICE int four_of_pair(int pair)
{
    return pair / 4 * 2 + pair % 2;
}

template <int BITS> DEVICE int bit_of_code(int pair, int second)
{
    return 16 * second + pair % 4 / 2 * 8 + pair % 2 * codes<BITS>::UPPER;
}

/* Four n for mma_bytes: its codes, 2^UPPER times themselves if it is of the upper half. */
template <int BITS> DEVICE uint32_t code_bytes(const uint32_t *words, int n)
{
    return codes<BITS>::four(words, n) & ((1u << BITS) - 1u) * 0x01010101u << n % 2 * codes<BITS>::UPPER;
}

/* 128 + q as bf16 pairs: q has at most 7 bits, as many as the mantissa. Eight bits are two nibbles: 128 + low, and
 * 2048 + 16 * high. */
enum { MAGIC = 0x43004300, HIGH_MAGIC = 0x45004500 };

/* The 16 pairs of codes as numbers, each with the magic number: of 8 bits the low nibbles, or the high ones. */
template <int BITS> DEVICE void unpack_codes(uint32_t (&pairs)[PAIRS], const uint32_t *words, bool high)
{
    constexpr uint32_t mask = (1u << (BITS == 8 ? 4 : BITS)) - 1u;
    const uint32_t magic = high ? opaque<HIGH_MAGIC>() : opaque<MAGIC>();
#pragma unroll
    for (int p = 0; p < PAIRS; p++)
        pairs[p] = mask_or<mask * 0x00010001u>(
            codes<BITS>::four(words, four_of_pair(p)) >> (bit_of_code<BITS>(p, 0) + (high ? 4 : 0)), magic);
}

/* Pairs of nibbles and the same pairs' other nibbles become codes of eight bits, without a magic number. */
DEVICE void join_nibbles(uint32_t (&pairs)[PAIRS], const uint32_t *words)
{
    uint32_t high[PAIRS];
    unpack_codes<8>(high, words, true);
#pragma unroll
    for (int p = 0; p < PAIRS; p++)
        pairs[p] = add_bf16(subtract_bf16(pairs[p], MAGIC), subtract_bf16(high[p], HIGH_MAGIC));
}

template <int BITS> DEVICE void place_bits(uint32_t *words, int pair, int second, uint32_t code)
{
    codes<BITS>::place(words, four_of_pair(pair), code << bit_of_code<BITS>(pair, second));
}

template <int BITS> DEVICE uint32_t take_bits(const uint32_t *words, int pair, int second)
{
    return codes<BITS>::four(words, four_of_pair(pair)) >> bit_of_code<BITS>(pair, second) & ((1u << BITS) - 1u);
}

/* Put a pair's first (0) or second code where the products find it. */
DEVICE void place_code(uint32_t *words, int bits, int pair, int second, uint32_t code)
{
    switch (bits) {
    case 2:
        place_bits<2>(words, pair, second, code);
        break;
    case 3:
        place_bits<3>(words, pair, second, code);
        break;
    case 4:
        place_bits<4>(words, pair, second, code);
        break;
    case 5:
        place_bits<5>(words, pair, second, code);
        break;
    case 6:
        place_bits<6>(words, pair, second, code);
        break;
    default:
        place_bits<8>(words, pair, second, code);
    }
}

DEVICE uint32_t take_code(const uint32_t *words, int bits, int pair, int second)
{
    switch (bits) {
    case 2:
        return take_bits<2>(words, pair, second);
    case 3:
        return take_bits<3>(words, pair, second);
    case 4:
        return take_bits<4>(words, pair, second);
    case 5:
        return take_bits<5>(words, pair, second);
    case 6:
        return take_bits<6>(words, pair, second);
    default:
        return take_bits<8>(words, pair, second);
    }
}

/* Where word `word` (of all tiles of the span) of a lane stands, in words from the matrix's first. */
DEVICE int64_t word_index(const ffai__cuda_matrix *m, int words, int64_t unit, int span, int word, int lane)
{
    const int64_t first = (unit * m->tiles + (int64_t)span * FFAI__CUDA_SPAN_TILES) * words * WARP;
    const bool by_four = words % 4 == 0 || (span + 1) * FFAI__CUDA_SPAN_TILES <= m->tiles;
    return first + (by_four ? (word / 4 * WARP + lane) * 4 + word % 4 : word * WARP + lane);
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
