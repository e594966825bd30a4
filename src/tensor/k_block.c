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

int ffai__k_zero(ffai__packing packing)
{
    return packing == FFAI__GGUF_Q3_K ? 4 : packing == FFAI__GGUF_Q6_K ? 32 : 0;
}

static uint16_t load16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static void q2_scales(ffai__k_scales *scales, const uint8_t *block)
{
    scales->d = load16(block + 80);
    scales->dmin = load16(block + 82);
    for (int g = 0; g < 16; g++) {
        scales->sc[g] = (int8_t)(block[g] & 15);
        scales->m[g] = (int8_t)(block[g] >> 4);
    }
}

static void q3_scales(ffai__k_scales *scales, const uint8_t *block)
{
    const uint8_t *low = block + 96;
    const uint8_t *high = low + 8;
    scales->d = load16(block + 108);
    for (int g = 0; g < 16; g++) {
        const int below = g < 8 ? low[g] & 15 : low[g - 8] >> 4;
        const int above = high[g % 4] >> 2 * (g / 4) & 3;
        scales->sc[g] = (int8_t)((below | above << 4) - 32);
    }
}

/* d, dmin, and 8 groups' sc and m of 6 bits: the first four in the lower bits of bytes 0 to 3 and 4 to 7; the others
 * have four bits in bytes 8 to 11, sc below and m above, and their highest two on top of the first four. */
static void q4_scales(ffai__k_scales *scales, const uint8_t *block)
{
    const uint8_t *packed = block + 4;
    scales->d = load16(block);
    scales->dmin = load16(block + 2);
    for (int i = 0; i < 4; i++) {
        scales->sc[i] = (int8_t)(packed[i] & 63);
        scales->m[i] = (int8_t)(packed[4 + i] & 63);
        scales->sc[4 + i] = (int8_t)((packed[8 + i] & 15) | packed[i] >> 6 << 4);
        scales->m[4 + i] = (int8_t)(packed[8 + i] >> 4 | packed[4 + i] >> 6 << 4);
    }
}

static void q6_scales(ffai__k_scales *scales, const uint8_t *block)
{
    scales->d = load16(block + 208);
    memcpy(scales->sc, block + 192, 16);
}

void ffai__k_block_scales(ffai__k_scales *scales, const uint8_t *block, ffai__packing packing)
{
    *scales = (ffai__k_scales){0};
    switch (packing) {
    case FFAI__GGUF_Q2_K:
        q2_scales(scales, block);
        break;
    case FFAI__GGUF_Q3_K:
        q3_scales(scales, block);
        break;
    case FFAI__GGUF_Q6_K:
        q6_scales(scales, block);
        break;
    default: /* Q4_K, Q5_K */
        q4_scales(scales, block);
        break;
    }
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

/* Byte l of 32 has columns l, below, and 32 + l of each 64. */
static void read_nibbles(uint8_t *codes, const uint8_t *nibbles)
{
    for (int c = 0; c < FFAI__K_COLUMNS; c++)
        codes[c] = nibbles[c / 64 * QUARTER + c % QUARTER] >> 4 * (c % 64 / QUARTER) & 15u;
}

/* Byte l of 64 has the lower bits of columns l, below, and 64 + l of each 128. */
static void read_sixes(uint8_t *codes, const uint8_t *block)
{
    read_pairs(codes, block + 128);
    for (int c = 0; c < FFAI__K_COLUMNS; c++)
        codes[c] = (uint8_t)(codes[c] << 4 | (block[c / HALF * 64 + c % 64] >> 4 * (c % HALF / 64) & 15));
}

static void read_codes(uint8_t *codes, const uint8_t *block, ffai__packing packing)
{
    switch (packing) {
    case FFAI__GGUF_Q2_K:
        read_pairs(codes, block + 16);
        break;
    case FFAI__GGUF_Q3_K:
        read_pairs(codes, block + 32);
        add_bits(codes, block, 2);
        break;
    case FFAI__GGUF_Q4_K:
        read_nibbles(codes, block + 16);
        break;
    case FFAI__GGUF_Q5_K:
        read_nibbles(codes, block + 48);
        add_bits(codes, block + 16, 4);
        break;
    default: /* Q6_K */
        read_sixes(codes, block);
        break;
    }
}

void ffai__k_block_read(uint8_t *codes, float *scales, float *biases, const uint8_t *block, ffai__packing packing)
{
    ffai__k_scales packed;
    ffai__k_block_scales(&packed, block, packing);
    const float d = ffai__f16_to_f32(packed.d);
    const float dmin = ffai__f16_to_f32(packed.dmin);
    const float zero = (float)ffai__k_zero(packing);
    for (int g = 0; g < FFAI__K_COLUMNS / ffai__k_group_size(packing); g++) {
        scales[g] = d * (float)packed.sc[g];
        biases[g] = zero > 0.0f ? -zero * scales[g] : -(dmin * (float)packed.m[g]);
    }
    read_codes(codes, block, packing);
}
