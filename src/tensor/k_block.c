#include "k_block.h"

enum { HALF = 128, QUARTER = 32 };

size_t ffai__k_block_bytes(ffai__packing packing)
{
    static const size_t bytes[] = {
        [FFAI__GGUF_Q2_K] = 16 + 64 + 4,       [FFAI__GGUF_Q3_K] = 32 + 64 + 12 + 2,  [FFAI__GGUF_Q4_K] = 4 + 12 + 128,
        [FFAI__GGUF_Q5_K] = 4 + 12 + 32 + 128, [FFAI__GGUF_Q6_K] = 128 + 64 + 16 + 2,
    };
    return bytes[packing];
}

int ffai__k_group_size(ffai__packing packing)
{
    return packing == FFAI__GGUF_Q4_K || packing == FFAI__GGUF_Q5_K ? 32 : 16;
}

static float f16_at(const uint8_t *bytes)
{
    return ffai__f16_to_f32((uint16_t)(bytes[0] | bytes[1] << 8));
}

/* Two bits of every code: byte l of a half's 32 has those of columns l, 32 + l, 64 + l and 96 + l. */
static void read_pairs(uint8_t *codes, const uint8_t *pairs)
{
    for (int c = 0; c < FFAI__K_COLUMNS; c++)
        codes[c] = pairs[c / HALF * QUARTER + c % QUARTER] >> 2 * (c % HALF / QUARTER) & 3u;
}

/* A bit of every code, to bit `at`: byte l of 32 has those of columns l, 32 + l, 64 + l and so forth. */
static void add_bits(uint8_t *codes, const uint8_t *bits, int at)
{
    for (int c = 0; c < FFAI__K_COLUMNS; c++)
        codes[c] |= (uint8_t)((bits[c % QUARTER] >> c / QUARTER & 1) << at);
}

static void read_q2(uint8_t *codes, float *scales, float *biases, const uint8_t *block)
{
    const float d = f16_at(block + 80);
    const float dmin = f16_at(block + 82);
    for (int g = 0; g < 16; g++) {
        scales[g] = d * (float)(block[g] & 15);
        biases[g] = -(dmin * (float)(block[g] >> 4));
    }
    read_pairs(codes, block + 16);
}

static void read_q3(uint8_t *codes, float *scales, float *biases, const uint8_t *block)
{
    const uint8_t *low = block + 96;
    const uint8_t *high = low + 8;
    const float d = f16_at(block + 108);
    for (int g = 0; g < 16; g++) {
        const int below = g < 8 ? low[g] & 15 : low[g - 8] >> 4;
        const int above = high[g % 4] >> 2 * (g / 4) & 3;
        scales[g] = d * (float)((below | above << 4) - 32);
        biases[g] = -4.0f * scales[g];
    }
    read_pairs(codes, block + 32);
    add_bits(codes, block, 2);
}

/* d, dmin, and 8 groups' sc and m of 6 bits: the first four in the lower bits of bytes 0 to 3 and 4 to 7; the others
 * have four bits in bytes 8 to 11, sc below and m above, and their highest two on top of the first four. */
static void read_scales_of_32(float *scales, float *biases, const uint8_t *block)
{
    const uint8_t *packed = block + 4;
    const float d = f16_at(block);
    const float dmin = f16_at(block + 2);
    for (int g = 0; g < 8; g++) {
        const int i = g % 4;
        const int sc = g < 4 ? packed[i] & 63 : (packed[8 + i] & 15) | packed[i] >> 6 << 4;
        const int m = g < 4 ? packed[4 + i] & 63 : packed[8 + i] >> 4 | packed[4 + i] >> 6 << 4;
        scales[g] = d * (float)sc;
        biases[g] = -(dmin * (float)m);
    }
}

/* Byte l of 32 has columns l, below, and 32 + l of each 64. */
static void read_nibbles(uint8_t *codes, const uint8_t *nibbles)
{
    for (int c = 0; c < FFAI__K_COLUMNS; c++)
        codes[c] = nibbles[c / 64 * QUARTER + c % QUARTER] >> 4 * (c % 64 / QUARTER) & 15u;
}

static void read_q6(uint8_t *codes, float *scales, float *biases, const uint8_t *block)
{
    const float d = f16_at(block + 208);
    for (int g = 0; g < 16; g++) {
        const int byte = block[192 + g];
        scales[g] = d * (float)(byte < 128 ? byte : byte - 256);
        biases[g] = -32.0f * scales[g];
    }
    read_pairs(codes, block + 128);
    for (int c = 0; c < FFAI__K_COLUMNS; c++) /* byte l of 64 has columns l, below, and 64 + l of each 128 */
        codes[c] = (uint8_t)(codes[c] << 4 | (block[c / HALF * 64 + c % 64] >> 4 * (c % HALF / 64) & 15));
}

void ffai__k_block_read(uint8_t *codes, float *scales, float *biases, const uint8_t *block, ffai__packing packing)
{
    switch (packing) {
    case FFAI__GGUF_Q2_K:
        read_q2(codes, scales, biases, block);
        break;
    case FFAI__GGUF_Q3_K:
        read_q3(codes, scales, biases, block);
        break;
    case FFAI__GGUF_Q6_K:
        read_q6(codes, scales, biases, block);
        break;
    default:
        read_scales_of_32(scales, biases, block);
        read_nibbles(codes, block + (packing == FFAI__GGUF_Q5_K ? 48 : 16));
        if (packing == FFAI__GGUF_Q5_K)
            add_bits(codes, block + 16, 4);
        break;
    }
}
