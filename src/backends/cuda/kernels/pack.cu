/* Weights from the bytes of their file to tiles. */
#include "k_block.cuh"
#include "tiles.cuh"

/* As in ffai__packing (weight.h). */
enum { DENSE, MLX_AFFINE, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K };
enum { FROM_F32, FROM_F16, FROM_BF16, FROM_F64 };
enum { GGUF_BLOCK = 32 };

/* Stored bytes need not be aligned. */
DEVICE uint32_t bytes16(const uint8_t *at)
{
    return at[0] | (uint32_t)at[1] << 8;
}

DEVICE uint32_t bytes32(const uint8_t *at)
{
    return bytes16(at) | bytes16(at + 2) << 16;
}

DEVICE float bytes_f64(const uint8_t *at)
{
    return (float)double_of((uint64_t)bytes32(at) | (uint64_t)bytes32(at + 4) << 32);
}

/* Where the file keeps the model's row, from the portion's first. */
DEVICE int64_t stored_row(const ffai__cuda_pack_args &args, int64_t row)
{
    if (!args.head_rows)
        return row;
    const int64_t head = row / args.head_rows;
    const int64_t i = row % args.head_rows;
    const int64_t half = args.head_rows / 2;
    return head * args.head_rows + (i < half ? 2 * i : 2 * (i - half) + 1);
}

DEVICE int gguf_block_bytes(int packing)
{
    return packing == Q4_0 ? 18 : packing == Q4_1 ? 20 : packing == Q5_0 ? 22 : packing == Q5_1 ? 24 : 34;
}

DEVICE uint32_t gguf_code(const uint8_t *block, int packing, int i)
{
    if (packing == Q8_0)
        return block[2 + i] ^ 0x80u;
    const bool has_bias = packing == Q4_1 || packing == Q5_1;
    const bool five = packing == Q5_0 || packing == Q5_1;
    const uint8_t *high = block + (has_bias ? 4 : 2);
    const uint8_t *low = high + (five ? 4 : 0);
    const uint32_t nibble = i < 16 ? low[i] & 15u : low[i - 16] >> 4;
    return five ? nibble | (bytes32(high) >> i & 1u) << 4 : nibble;
}

DEVICE uint32_t code_at(const ffai__cuda_pack_args &args, const uint8_t *row, int64_t column)
{
    if (args.packing >= Q2_K)
        return k_code(row + column / K_COLUMNS * k_block_bytes(args.to.format), args.to.format,
                      (int)(column % K_COLUMNS));
    if (args.packing != MLX_AFFINE)
        return gguf_code(row + column / GGUF_BLOCK * gguf_block_bytes(args.packing), args.packing,
                         (int)(column % GGUF_BLOCK));
    const int bits = args.to.format;
    const int64_t bit = column * bits;
    const uint8_t *at = row + bit / 8;
    const int shift = (int)(bit % 8);
    const uint32_t window = shift + bits > 8 ? bytes16(at) : at[0];
    return window >> shift & ((1u << bits) - 1u);
}

DEVICE float stored_float(const uint8_t *at, int dtype)
{
    switch (dtype) {
    case FROM_F16:
        return f16_to_f32((uint16_t)bytes16(at));
    case FROM_BF16:
        return bf16_to_f32((uint16_t)bytes16(at));
    case FROM_F64:
        return bytes_f64(at);
    default:
        return float_of(bytes32(at));
    }
}

DEVICE void pack_dense(uint32_t *words, const ffai__cuda_pack_args &args, const uint8_t *row, int64_t column, int pair,
                       int half)
{
    if (args.to.format == FFAI__CUDA_F32)
        words[2 * pair + half] = bits_of(stored_float(row + column * (args.dtype == FROM_F64 ? 8 : 4), args.dtype));
    else
        words[pair] |= bytes16(row + 2 * column) << (16 * half);
}

/* A lane's words of one tile. */
DEVICE void pack_lane(uint32_t *words, const ffai__cuda_pack_args &args, const uint8_t *row, int64_t first, int t)
{
    for (int p = 0; p < PAIRS; p++) {
        const int64_t column = first + p % 2 * 64 + column_of_step(p / 4, t, args.to.subgroups) + p % 4 / 2 * 2;
        for (int half = 0; half < 2 && column + half < args.to.columns; half++) {
            if (args.packing == DENSE)
                pack_dense(words, args, row, column + half, p, half);
            else
                place_code(words, args.to.format, p, half, code_at(args, row, column + half));
        }
    }
}

/* A thread has one lane of one tile. */
KERNEL(pack_codes, ffai__cuda_pack_args, 256)
{
    const int64_t index = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int lane = (int)(index % WARP);
    const int64_t tile = index / WARP % args.to.tiles;
    const int64_t unit = index / WARP / args.to.tiles;
    if (unit >= (args.num_rows + UNIT - 1) / UNIT)
        return;
    const int64_t row = unit * UNIT + lane / 4;
    const int count = FFAI__CUDA_LANE_WORDS(args.to.format);
    uint32_t words[32] = {0};
    if (row < args.num_rows)
        pack_lane(words, args, args.data + stored_row(args, row) * args.row_bytes, tile * FFAI__CUDA_TILE_COLUMNS,
                  lane % 4);
    const int span = (int)(tile / FFAI__CUDA_SPAN_TILES);
    const int before = (int)(tile % FFAI__CUDA_SPAN_TILES) * count;
    uint32_t *to = const_cast<uint32_t *>(args.to.words);
    for (int i = 0; i < count; i++)
        to[word_index(&args.to, count, args.first_row / UNIT + unit, span, before + i, lane)] = words[i];
}

/* Scale and bias of a row's column, as they are stored. GGUF's types without a bias have their zero in it. */
DEVICE void stored_scale(float *scale, float *bias, const ffai__cuda_pack_args &args, int64_t row, int64_t column)
{
    if (args.packing == MLX_AFFINE) {
        const int from = args.to.scale_format == FFAI__CUDA_SCALES_F32   ? FROM_F32
                         : args.to.scale_format == FFAI__CUDA_SCALES_F16 ? FROM_F16
                                                                         : FROM_BF16;
        const int64_t at =
            (row * (args.to.columns / args.group_size) + column / args.group_size) * (from == FROM_F32 ? 4 : 2);
        *scale = stored_float(args.scales + at, from);
        *bias = stored_float(args.biases + at, from);
        return;
    }
    if (args.packing >= Q2_K) {
        const uint8_t *super_block =
            args.data + row * args.row_bytes + column / K_COLUMNS * k_block_bytes(args.to.format);
        k_scale(scale, bias, super_block, args.to.format, (int)(column % K_COLUMNS) / args.group_size);
        return;
    }
    const uint8_t *block = args.data + row * args.row_bytes + column / GGUF_BLOCK * gguf_block_bytes(args.packing);
    *scale = f16_to_f32((uint16_t)bytes16(block));
    if (args.packing == Q4_1 || args.packing == Q5_1)
        *bias = f16_to_f32((uint16_t)bytes16(block + 2));
    else
        *bias = *scale * (args.packing == Q4_0 ? -8.0f : args.packing == Q5_0 ? -16.0f : -128.0f);
}

DEVICE uint32_t scale_bits(float value, int format)
{
    return format == FFAI__CUDA_SCALES_F16 ? f32_to_f16(value) : f32_to_bf16(value);
}

/* A multiple of a finite f16 that is none itself. */
DEVICE bool is_beyond_f16(float multiple)
{
    return fabsf(multiple) > 65504.0f && fabsf(multiple) <= 128.0f * 65504.0f;
}

/* A thread has one subgroup of one row. */
KERNEL(pack_scales, ffai__cuda_pack_args, 256)
{
    const int64_t index = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int per_row = args.to.spans * 8 * args.to.subgroups;
    const int64_t row = index / per_row;
    if (row >= (args.num_rows + UNIT - 1) / UNIT * UNIT)
        return;
    const int within = (int)(index % per_row);
    const int subgroup = within % args.to.subgroups;
    const int block = within / args.to.subgroups;
    const int64_t column = (int64_t)block * 64 + subgroup * (64 / args.to.subgroups);
    float scale = 0;
    float bias = 0;
    if (row < args.num_rows && column < args.to.columns)
        stored_scale(&scale, &bias, args, stored_row(args, row), column);
    const int64_t at =
        scale_index(&args.to, args.first_row / UNIT + row / UNIT, block / 8, (int)(row % UNIT), block % 8, subgroup);
    uint32_t *to = const_cast<uint32_t *>(args.to.scales);
    if (args.to.scale_format == FFAI__CUDA_SCALES_F32) {
        to[2 * at] = bits_of(scale);
        to[2 * at + 1] = bits_of(bias);
    } else {
        if (args.packing != MLX_AFFINE && is_beyond_f16(bias))
            *args.beyond = 1;
        to[at] = scale_bits(scale, args.to.scale_format) | scale_bits(bias, args.to.scale_format) << 16;
    }
}
