/* GGUF's K types, a code or a group's scale at a time: src/tensor/k_block.h says what they mean. A K type is known by
 * the bits of its codes, 2 to 6. */
#ifndef FFAI_CUDA_K_BLOCK_CUH
#define FFAI_CUDA_K_BLOCK_CUH

#include "device.cuh"

enum { K_COLUMNS = 256 };

DEVICE int k_block_bytes(int bits)
{
    return bits == 2 ? 84 : bits == 3 ? 110 : bits == 4 ? 144 : bits == 5 ? 176 : 210;
}

DEVICE float k_f16(const uint8_t *at)
{
    return f16_to_f32((uint16_t)(at[0] | (uint32_t)at[1] << 8));
}

/* Two bits of code c: byte l of a half's 32 has those of columns l, 32 + l, 64 + l and 96 + l. */
DEVICE uint32_t k_pair(const uint8_t *pairs, int c)
{
    return pairs[c / 128 * 32 + c % 32] >> 2 * (c % 128 / 32) & 3u;
}

DEVICE uint32_t k_bit(const uint8_t *bits, int c)
{
    return bits[c % 32] >> c / 32 & 1u;
}

DEVICE uint32_t k_nibble(const uint8_t *nibbles, int c)
{
    return nibbles[c / 64 * 32 + c % 32] >> 4 * (c % 64 / 32) & 15u;
}

DEVICE uint32_t k_code(const uint8_t *block, int bits, int c)
{
    switch (bits) {
    case 2:
        return k_pair(block + 16, c);
    case 3:
        return k_pair(block + 32, c) | k_bit(block, c) << 2;
    case 4:
        return k_nibble(block + 16, c);
    case 5:
        return k_nibble(block + 48, c) | k_bit(block + 16, c) << 4;
    default:
        return (block[c / 128 * 64 + c % 64] >> 4 * (c % 128 / 64) & 15u) | k_pair(block + 128, c) << 4;
    }
}

/* Of Q4_K and Q5_K, from their d on. */
DEVICE void k_scale_of_32(float *scale, float *bias, const uint8_t *block, int g)
{
    const uint8_t *packed = block + 4;
    const int i = g % 4;
    const int sc = g < 4 ? packed[i] & 63 : (packed[8 + i] & 15) | packed[i] >> 6 << 4;
    const int m = g < 4 ? packed[4 + i] & 63 : packed[8 + i] >> 4 | packed[4 + i] >> 6 << 4;
    *scale = k_f16(block) * (float)sc;
    *bias = -(k_f16(block + 2) * (float)m);
}

/* Of Q3_K, from its packed scales on; d lies behind them. */
DEVICE float k_scale_of_3_bits(const uint8_t *packed, int g)
{
    const int below = g < 8 ? packed[g] & 15 : packed[g - 8] >> 4;
    const int above = packed[8 + g % 4] >> 2 * (g / 4) & 3;
    return k_f16(packed + 12) * (float)((below | above << 4) - 32);
}

/* Scale and bias of group g, exact in float32. */
DEVICE void k_scale(float *scale, float *bias, const uint8_t *block, int bits, int g)
{
    switch (bits) {
    case 2:
        *scale = k_f16(block + 80) * (float)(block[g] & 15);
        *bias = -(k_f16(block + 82) * (float)(block[g] >> 4));
        break;
    case 3:
        *scale = k_scale_of_3_bits(block + 96, g);
        *bias = -4.0f * *scale;
        break;
    case 6:
        *scale = k_f16(block + 208) * (float)(block[192 + g] < 128 ? block[192 + g] : block[192 + g] - 256);
        *bias = -32.0f * *scale;
        break;
    default:
        k_scale_of_32(scale, bias, block, g);
        break;
    }
}

#endif
