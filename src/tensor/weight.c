#include "weight.h"

#include <assert.h>
#include <stdio.h>

#include "k_block.h"

enum { GGUF_BLOCK = 32 };

static size_t gguf_block_bytes(ffai__packing packing)
{
    switch (packing) {
    case FFAI__GGUF_Q4_0:
        return 2 + 16;
    case FFAI__GGUF_Q4_1:
        return 4 + 16;
    case FFAI__GGUF_Q5_0:
        return 2 + 4 + 16;
    case FFAI__GGUF_Q5_1:
        return 4 + 4 + 16;
    case FFAI__GGUF_Q8_0:
        return 2 + 32;
    case FFAI__GGUF_Q2_K:
    case FFAI__GGUF_Q3_K:
    case FFAI__GGUF_Q4_K:
    case FFAI__GGUF_Q5_K:
    case FFAI__GGUF_Q6_K:
        return ffai__k_block_bytes(packing);
    case FFAI__DENSE:
    case FFAI__MLX_AFFINE:
        break;
    }
    return 0;
}

static int64_t gguf_block_columns(ffai__packing packing)
{
    return ffai__packing_is_k(packing) ? FFAI__K_COLUMNS : GGUF_BLOCK;
}

uint64_t ffai__weight_row_bytes(const ffai__weight *weight)
{
    const uint64_t columns = (uint64_t)weight->columns;
    switch (weight->packing) {
    case FFAI__DENSE:
        return columns * ffai__dtype_size(weight->dtype);
    case FFAI__MLX_AFFINE:
        return columns * (uint64_t)weight->bits / 8;
    default:
        return columns / (uint64_t)gguf_block_columns(weight->packing) * gguf_block_bytes(weight->packing);
    }
}

uint64_t ffai__weight_bytes(const ffai__weight *weight)
{
    uint64_t row = ffai__weight_row_bytes(weight);
    if (weight->packing == FFAI__MLX_AFFINE)
        row += 2 * (uint64_t)(weight->columns / weight->group_size) * ffai__dtype_size(weight->scale_dtype);
    return row * (uint64_t)weight->rows;
}

const char *ffai__weight_format_text(const ffai__weight *weight, char buffer[32])
{
    static const char *const k_types[] = {"q2_k", "q3_k", "q4_k", "q5_k", "q6_k"};
    if (ffai__packing_is_k(weight->packing))
        return k_types[weight->packing - FFAI__GGUF_Q2_K];
    if (ffai__weight_is_affine(weight)) {
        snprintf(buffer, 32, "%db g%d", weight->bits, weight->group_size);
        return buffer;
    }
    switch (weight->dtype) {
    case FFAI__F32:
        return "f32";
    case FFAI__F16:
        return "f16";
    case FFAI__BF16:
        return "bf16";
    default:
        return ffai__dtype_name(weight->dtype);
    }
}

int64_t ffai__weight_stored_row(const ffai__weight *weight, int64_t row)
{
    if (!weight->rope_heads)
        return row;
    const int64_t head_dim = weight->rows / weight->rope_heads;
    const int64_t head = row / head_dim;
    const int64_t i = row % head_dim;
    const int64_t half = head_dim / 2;
    return head * head_dim + (i < half ? 2 * i : 2 * (i - half) + 1);
}

static const uint8_t *row_data(const ffai__weight *weight, int64_t row)
{
    return (const uint8_t *)weight->data +
           (uint64_t)ffai__weight_stored_row(weight, row) * ffai__weight_row_bytes(weight);
}

/* Codes of any width from 1 to 8 bits, packed from the low bits up. */
static void unpack_mlx(uint8_t *codes, const uint8_t *bytes, int bits, int64_t columns)
{
    const uint32_t mask = (1u << bits) - 1u;
    uint32_t window = 0;
    int held = 0;
    for (int64_t c = 0; c < columns; c++) {
        if (held < bits) {
            window |= (uint32_t)*bytes++ << held;
            held += 8;
        }
        codes[c] = (uint8_t)(window & mask);
        window >>= bits;
        held -= bits;
    }
}

static uint16_t load16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static uint32_t load32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* 32 four-bit codes: byte i holds code i below and code i + 16 above. */
static void unpack_nibbles(uint8_t *codes, const uint8_t *bytes)
{
    for (int i = 0; i < 16; i++) {
        codes[i] = bytes[i] & 15u;
        codes[i + 16] = bytes[i] >> 4;
    }
}

static void add_fifth_bits(uint8_t *codes, uint32_t high)
{
    for (int i = 0; i < GGUF_BLOCK; i++)
        codes[i] = (uint8_t)(codes[i] | ((high >> i) & 1u) << 4);
}

/* One block: its codes, scale and bias, or those of all groups of a K type's. Products with 8, 16 and 128 are
 * exact: powers of two. */
static void read_gguf_block(uint8_t *codes, float *scale, float *bias, const uint8_t *block, ffai__packing packing)
{
    if (ffai__packing_is_k(packing)) {
        ffai__k_block_read(codes, scale, bias, block, packing);
        return;
    }
    const float d = ffai__f16_to_f32(load16(block));
    *scale = d;
    switch (packing) {
    case FFAI__GGUF_Q4_0:
        *bias = -8.0f * d;
        unpack_nibbles(codes, block + 2);
        break;
    case FFAI__GGUF_Q4_1:
        *bias = ffai__f16_to_f32(load16(block + 2));
        unpack_nibbles(codes, block + 4);
        break;
    case FFAI__GGUF_Q5_0:
        *bias = -16.0f * d;
        unpack_nibbles(codes, block + 6);
        add_fifth_bits(codes, load32(block + 2));
        break;
    case FFAI__GGUF_Q5_1:
        *bias = ffai__f16_to_f32(load16(block + 2));
        unpack_nibbles(codes, block + 8);
        add_fifth_bits(codes, load32(block + 4));
        break;
    case FFAI__GGUF_Q8_0:
        *bias = -128.0f * d;
        for (int i = 0; i < GGUF_BLOCK; i++)
            codes[i] = (uint8_t)(block[2 + i] ^ 0x80u);
        break;
    default:
        break;
    }
}

void ffai__weight_read_codes(uint8_t *codes, float *scales, float *biases, const ffai__weight *weight, int64_t row)
{
    assert(ffai__weight_is_affine(weight));
    const uint8_t *bytes = row_data(weight, row);
    if (weight->packing == FFAI__MLX_AFFINE) {
        const size_t groups = (size_t)(weight->columns / weight->group_size);
        const size_t offset =
            (size_t)ffai__weight_stored_row(weight, row) * groups * ffai__dtype_size(weight->scale_dtype);
        unpack_mlx(codes, bytes, weight->bits, weight->columns);
        ffai__to_f32(scales, (const uint8_t *)weight->scales + offset, weight->scale_dtype, groups);
        ffai__to_f32(biases, (const uint8_t *)weight->biases + offset, weight->scale_dtype, groups);
        return;
    }
    const size_t block_bytes = gguf_block_bytes(weight->packing);
    const int64_t columns = gguf_block_columns(weight->packing);
    const int64_t groups = columns / weight->group_size;
    for (int64_t b = 0; b < weight->columns / columns; b++)
        read_gguf_block(codes + b * columns, scales + b * groups, biases + b * groups, bytes + (size_t)b * block_bytes,
                        weight->packing);
}

/* n is a multiple of 16, as groups are: loops of a known length become vectors. */
static void scale_codes(float *restrict out, const uint8_t *restrict codes, int64_t n, float scale, float bias)
{
    enum { BLOCK = 16 };
    for (int64_t first = 0; first < n; first += BLOCK) {
        for (int i = 0; i < BLOCK; i++)
            out[first + i] = scale * (float)codes[first + i] + bias;
    }
}

/* The affine row group by group, through a small buffer of codes. */
static void read_affine(float *out, const ffai__weight *weight, int64_t row)
{
    const uint8_t *bytes = row_data(weight, row);
    const int64_t group = weight->group_size;
    const int64_t groups = weight->columns / group;
    const size_t scale_size = ffai__dtype_size(weight->scale_dtype);
    const size_t first = (size_t)ffai__weight_stored_row(weight, row) * (size_t)groups;
    uint8_t codes[256];
    assert(group <= (int64_t)sizeof codes);
    for (int64_t g = 0; g < groups; g++) {
        float scale = 0;
        float bias = 0;
        if (weight->packing == FFAI__MLX_AFFINE) {
            const size_t at = (first + (size_t)g) * scale_size;
            unpack_mlx(codes, bytes + g * group * weight->bits / 8, weight->bits, group);
            ffai__to_f32(&scale, (const uint8_t *)weight->scales + at, weight->scale_dtype, 1);
            ffai__to_f32(&bias, (const uint8_t *)weight->biases + at, weight->scale_dtype, 1);
        } else {
            const size_t at = (size_t)g * gguf_block_bytes(weight->packing);
            read_gguf_block(codes, &scale, &bias, bytes + at, weight->packing);
        }
        scale_codes(out + g * group, codes, group, scale, bias);
    }
}

static void read_k(float *out, const ffai__weight *weight, int64_t row)
{
    const uint8_t *bytes = row_data(weight, row);
    const int64_t group = weight->group_size;
    uint8_t codes[FFAI__K_COLUMNS];
    float scales[FFAI__K_MOST_GROUPS];
    float biases[FFAI__K_MOST_GROUPS];
    for (int64_t c = 0; c < weight->columns; c += FFAI__K_COLUMNS) {
        ffai__k_block_read(codes, scales, biases, bytes, weight->packing);
        bytes += ffai__k_block_bytes(weight->packing);
        for (int64_t g = 0; g < FFAI__K_COLUMNS / group; g++)
            scale_codes(out + c + g * group, codes + g * group, group, scales[g], biases[g]);
    }
}

void ffai__weight_read(float *out, const ffai__weight *weight, int64_t row)
{
    if (ffai__packing_is_k(weight->packing))
        read_k(out, weight, row);
    else if (ffai__weight_is_affine(weight))
        read_affine(out, weight, row);
    else
        ffai__to_f32(out, row_data(weight, row), weight->dtype, (size_t)weight->columns);
}
