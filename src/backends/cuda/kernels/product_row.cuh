/* One row through a matrix: y = W x.
 *
 * mma.sync wants 8 columns of B and there is one x. So the columns hold x of 8 different blocks of 64, a span: a tile's
 * products with its own two blocks stand on the diagonal of its sums, and the rest is thrown away. Each tile has
 * accumulators of its own, of which each lane takes two numbers (its row; the two blocks of tile lane % 4).
 *
 * A block of threads takes some units of 8 rows. Its warps share out their spans; each leaves a partial sum in shared
 * memory, and these are added in the order of the spans. */
#ifndef FFAI_CUDA_PRODUCT_ROW_CUH
#define FFAI_CUDA_PRODUCT_ROW_CUH

#include "tiles.cuh"

enum { ROW_WARPS = FFAI__CUDA_ROW_WARPS, ROW_THREADS = ROW_WARPS * WARP, TILES = FFAI__CUDA_SPAN_TILES };

/* x in shared memory: pieces [piece][span][2][lane][4 words], sums [span][8 blocks][subgroup], then partial sums. */
typedef struct row_input {
    uint32_t *pieces;
    float *sums;
    float *partials; /* [units][spans][8] */
    int spans;
    int num_pieces;
} row_input;

enum { SPAN_PIECE_WORDS = 256, BATCH = 8 };

/* Four columns of x, one piece after the other: each the bf16 number nearest to what the ones before left. */
DEVICE float stage_columns(uint32_t *pieces, float4 x, int num_pieces, int64_t stride)
{
    float sum = 0;
#pragma unroll
    for (int piece = 0; piece < 3; piece++) {
        if (piece >= num_pieces)
            break;
        const uint32_t low = bf16_pair(x.x, x.y);
        const uint32_t high = bf16_pair(x.z, x.w);
        *reinterpret_cast<uint2 *>(pieces + piece * stride) = make_uint2(low, high);
        sum += low_of_pair(low) + high_of_pair(low) + (low_of_pair(high) + high_of_pair(high));
        x.x -= low_of_pair(low);
        x.y -= high_of_pair(low);
        x.z -= low_of_pair(high);
        x.w -= high_of_pair(high);
    }
    return sum;
}

/* Columns from `column` on, zeros behind the last. */
DEVICE float4 four_columns(const float *x, int64_t column, int64_t columns)
{
    if (columns % 4 == 0)
        return column < columns ? *reinterpret_cast<const float4 *>(x + column) : make_float4(0, 0, 0, 0);
    float v[4] = {0, 0, 0, 0};
    for (int i = 0; i < 4; i++)
        v[i] = column + i < columns ? x[column + i] : 0;
    return make_float4(v[0], v[1], v[2], v[3]);
}

/* The mean square of x, by the whole block. */
DEVICE float mean_square(const float *x, int64_t columns)
{
    __shared__ float of_warp[ROW_WARPS];
    float sum = 0;
    for (int64_t first = threadIdx.x * 4; first < columns; first += BATCH * ROW_THREADS * 4) {
        float4 v[BATCH];
#pragma unroll
        for (int k = 0; k < BATCH; k++)
            v[k] = four_columns(x, first + k * ROW_THREADS * 4, columns);
#pragma unroll
        for (int k = 0; k < BATCH; k++)
            sum = fmaf(v[k].x, v[k].x, fmaf(v[k].y, v[k].y, fmaf(v[k].z, v[k].z, fmaf(v[k].w, v[k].w, sum))));
    }
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0)
        of_warp[threadIdx.x / WARP] = sum;
    __syncthreads();
    sum = 0;
    for (int i = 0; i < ROW_WARPS; i++)
        sum += of_warp[i];
    return sum / (float)columns;
}

/* Every thread makes four columns at a time; those of a subgroup are neighbours in one warp, who sum them. */
DEVICE void stage_four(const row_input &in, int i, float4 x, int subgroups)
{
    int step;
    int t;
    step_of_column(i % 16 * 4, subgroups, &step, &t);
    uint32_t *at = in.pieces + i / 128 * SPAN_PIECE_WORDS + (step / 2 * WARP + i / 16 % 8 * 4 + t) * 4 + step % 2 * 2;
    float sum = stage_columns(at, x, in.num_pieces, (int64_t)in.spans * SPAN_PIECE_WORDS);
    const int lanes = 16 / subgroups;
    for (int distance = lanes / 2; distance > 0; distance /= 2)
        sum += __shfl_xor_sync(~0u, sum, distance);
    if (i % lanes == 0)
        in.sums[i / lanes] = sum;
}

DEVICE float4 normed(float4 x, float4 weight, float scale)
{
    return make_float4(x.x * scale * weight.x, x.y * scale * weight.y, x.z * scale * weight.z, x.w * scale * weight.w);
}

/* Loads come in batches, so that they wait for memory together. */
DEVICE void stage_input(const row_input &in, const ffai__cuda_product_row_args &args, int subgroups)
{
    const int64_t columns = args.parts[0].matrix.columns;
    const float scale = args.norm ? 1.0f / sqrtf(mean_square(args.x, columns) + args.eps) : 0;
    const int count = in.spans * SPAN / 4;
    for (int first = threadIdx.x; first < count; first += BATCH * ROW_THREADS) {
        float4 x[BATCH];
        float4 weights[BATCH];
#pragma unroll
        for (int k = 0; k < BATCH; k++) {
            x[k] = four_columns(args.x, (int64_t)(first + k * ROW_THREADS) * 4, columns);
            if (args.norm)
                weights[k] = four_columns(args.norm, (int64_t)(first + k * ROW_THREADS) * 4, columns);
        }
#pragma unroll
        for (int k = 0; k < BATCH; k++) {
            if (first + k * ROW_THREADS < count)
                stage_four(in, first + k * ROW_THREADS, args.norm ? normed(x[k], weights[k], scale) : x[k], subgroups);
        }
    }
}

/* How much of a row of tiles a slot of a warp's ring has. */
template <int FORMAT> constexpr int slot_tiles = is_affine<FORMAT> ? TILES : 1;
template <int FORMAT> constexpr int slot_words = slot_tiles<FORMAT> *lane_words<FORMAT>;
template <int FORMAT> constexpr int slots = FFAI__CUDA_ROW_SLOTS(FORMAT);
template <int FORMAT, int SUBGROUPS> constexpr int slot_bytes = FFAI__CUDA_ROW_SLOT_BYTES(FORMAT, SUBGROUPS);

/* A lane's part of a slot: words [words / 4][lane][4], then scales [lane][2][subgroups], each pair in 8 bytes at most.
 * A lane reads what it has copied itself, and needs no barrier. */
template <int FORMAT, int SUBGROUPS>
DEVICE void fill_slot(uint8_t *slot, const ffai__cuda_matrix &m, int64_t unit, int tile)
{
    const int lane = threadIdx.x % WARP;
    const int span = tile / TILES;
    uint4 *to = reinterpret_cast<uint4 *>(slot) + lane;
    if ((span + 1) * TILES <= m.tiles) {
        const int64_t first = (unit * m.tiles + tile) * lane_words<FORMAT> * WARP;
        const uint4 *from = reinterpret_cast<const uint4 *>(m.words + first) + lane;
#pragma unroll
        for (int i = 0; i < slot_words<FORMAT> / 4; i++)
            copy_ahead<16>(to + i * WARP, from + i * WARP, true);
    } else {
        const uint32_t *from = m.words + (unit * m.tiles + tile) * lane_words<FORMAT> * WARP + lane;
        const int count = (m.tiles - tile) * lane_words<FORMAT>;
        for (int i = 0; i < slot_words<FORMAT>; i++)
            copy_ahead<4>(reinterpret_cast<uint32_t *>(to + i / 4 * WARP) + i % 4,
                          i < count ? from + i * WARP : m.words, i < count);
    }
    if constexpr (is_affine<FORMAT>) {
        const bool wide = m.scale_format == FFAI__CUDA_SCALES_F32;
        const uint2 *from = reinterpret_cast<const uint2 *>(m.scales) +
                            ((unit * m.spans + span) * WARP + lane) * SUBGROUPS * (wide ? 2 : 1);
        uint2 *scales = reinterpret_cast<uint2 *>(slot + slot_words<FORMAT> * WARP * 4) + lane * 2 * SUBGROUPS;
#pragma unroll
        for (int i = 0; i < 2 * SUBGROUPS; i++) {
            if (i < SUBGROUPS || wide)
                copy_ahead<8>(scales + i, from + i, true);
        }
    }
}

/* A tile's words of a slot, and the scales of the lane's two blocks. */
template <int FORMAT> DEVICE void take_words(uint32_t (&words)[lane_words<FORMAT>], const uint8_t *slot, int tile)
{
    const uint4 *from = reinterpret_cast<const uint4 *>(slot) + threadIdx.x % WARP;
    if constexpr (lane_words<FORMAT> % 4 == 0) {
#pragma unroll
        for (int i = 0; i < lane_words<FORMAT> / 4; i++) {
            const uint4 v = from[(tile * (lane_words<FORMAT> / 4) + i) * WARP];
            words[4 * i] = v.x;
            words[4 * i + 1] = v.y;
            words[4 * i + 2] = v.z;
            words[4 * i + 3] = v.w;
        }
    } else {
#pragma unroll
        for (int i = 0; i < lane_words<FORMAT>; i++) {
            const int word = tile * lane_words<FORMAT> + i;
            words[i] = reinterpret_cast<const uint32_t *>(from + word / 4 * WARP)[word % 4];
        }
    }
}

/* Scale and bias of subgroup q of the lane's lower (0) or upper (1) block. */
template <int FORMAT, int SUBGROUPS>
DEVICE void take_scale(float &scale, float &bias, const uint8_t *slot, int half, int q, int scale_format)
{
    const uint32_t *pairs =
        reinterpret_cast<const uint32_t *>(slot + slot_words<FORMAT> * WARP * 4) + threadIdx.x % WARP * 4 * SUBGROUPS;
    const int i = half * SUBGROUPS + q;
    if (scale_format == FFAI__CUDA_SCALES_F32) {
        scale = float_of(pairs[2 * i]);
        bias = float_of(pairs[2 * i + 1]);
        return;
    }
    const uint32_t both = pairs[i];
    scale = scale_value(both & 0xFFFFu, scale_format);
    bias = scale_value(both >> 16, scale_format);
}

template <int SUBGROUPS> struct tile_sums {
    float c[SUBGROUPS][TILES][4];
};

/* The pairs of a tile as bf16 numbers: part `part` of how many it takes to be exact. */
template <int FORMAT>
constexpr int weight_pieces = FORMAT == FFAI__CUDA_F32   ? 3
                              : FORMAT == FFAI__CUDA_F16 ? 2
                              : FORMAT == 8              ? 2
                                                         : 1;

DEVICE uint32_t piece_of(float low, float high, int piece)
{
    uint32_t pair = 0;
    for (int i = 0; i <= piece; i++) {
        const uint32_t a = f32_to_bf16(low);
        const uint32_t b = f32_to_bf16(high);
        low -= bf16_to_f32((uint16_t)a);
        high -= bf16_to_f32((uint16_t)b);
        pair = a | b << 16;
    }
    return pair;
}

template <int FORMAT> DEVICE void unpack_pairs(uint32_t (&pairs)[PAIRS], const uint32_t *words, int piece)
{
    if constexpr (is_affine<FORMAT>) {
        if constexpr (FORMAT == 8) {
            if (piece)
                codes<8>::unpack_high(pairs, words);
            else
                codes<8>::unpack(pairs, words);
        } else {
            codes<FORMAT>::unpack(pairs, words);
        }
    } else {
#pragma unroll
        for (int p = 0; p < PAIRS; p++) {
            if constexpr (FORMAT == FFAI__CUDA_BF16)
                pairs[p] = words[p];
            else if constexpr (FORMAT == FFAI__CUDA_F16)
                pairs[p] = piece_of(f16_to_f32((uint16_t)words[p]), f16_to_f32((uint16_t)(words[p] >> 16)), piece);
            else
                pairs[p] = piece_of(float_of(words[2 * p]), float_of(words[2 * p + 1]), piece);
        }
    }
}

/* What the magic numbers add for each unit of x. Sums of tensor cores lose their last bits to them, less than an input
 * that is rounded at all; where inputs are taken whole, they are taken out beforehand. */
template <int FORMAT> DEVICE float magic_of(int num_pieces)
{
    return num_pieces == 3 ? 0.0f : FORMAT == 8 ? 128.0f + 2048.0f : 128.0f;
}

template <int FORMAT> DEVICE void take_out_magic(uint32_t (&pairs)[PAIRS], int num_pieces, int part)
{
    if constexpr (is_affine<FORMAT>) {
        if (num_pieces < 3)
            return;
#pragma unroll
        for (int p = 0; p < PAIRS; p++)
            pairs[p] = subtract_bf16(pairs[p], part ? HIGH_MAGIC : MAGIC);
    }
}

/* A piece of x for the eight blocks of a span: lane (g, t) those of block g, for four steps. */
DEVICE void take_input(uint32_t (&x)[8], const row_input &in, int piece, int span)
{
    const uint4 *from = reinterpret_cast<const uint4 *>(in.pieces + (piece * in.spans + span) * SPAN_PIECE_WORDS);
    const uint4 low = from[threadIdx.x % WARP];
    const uint4 high = from[WARP + threadIdx.x % WARP];
    x[0] = low.x, x[1] = low.y, x[2] = low.z, x[3] = low.w;
    x[4] = high.x, x[5] = high.y, x[6] = high.z, x[7] = high.w;
}

template <int FORMAT>
DEVICE void take_pairs(uint32_t (&pairs)[PAIRS], const uint8_t *slot, int tile, int part, int pieces)
{
    uint32_t words[lane_words<FORMAT>];
    take_words<FORMAT>(words, slot, tile);
    unpack_pairs<FORMAT>(pairs, words, part);
    take_out_magic<FORMAT>(pairs, pieces, part);
}

/* `TOGETHER` tiles of a slot from its tile `from` on, which is tile `to` of the span: their products take turns,
 * because each waits for the one before it with the same sums. */
template <int FORMAT, int SUBGROUPS, int PIECES, int TOGETHER>
DEVICE void multiply_tiles(tile_sums<SUBGROUPS> &sums, const uint8_t *slot, const uint32_t (&x)[PIECES][8], int from,
                           int to)
{
#pragma unroll
    for (int part = 0; part < weight_pieces<FORMAT>; part++) {
        uint32_t pairs[TOGETHER][PAIRS];
#pragma unroll
        for (int i = 0; i < TOGETHER; i++)
            take_pairs<FORMAT>(pairs[i], slot, from + i, part, PIECES);
#pragma unroll
        for (int step = 0; step < 4; step++) {
#pragma unroll
            for (int piece = 0; piece < PIECES; piece++) {
#pragma unroll
                for (int i = 0; i < TOGETHER; i++) {
                    const uint32_t a[4] = {pairs[i][4 * step], pairs[i][4 * step + 1], pairs[i][4 * step + 2],
                                           pairs[i][4 * step + 3]};
                    mma_bf16(sums.c[step * SUBGROUPS / 4][to + i], a, x[piece][2 * step], x[piece][2 * step + 1]);
                }
            }
        }
    }
}

/* A slot's tiles, of which the first is `tile` of its span. */
template <int FORMAT, int SUBGROUPS, int PIECES>
DEVICE void multiply_slot(tile_sums<SUBGROUPS> &sums, const uint8_t *slot, const uint32_t (&x)[PIECES][8], int tile)
{
    if constexpr (slot_tiles<FORMAT> == 1) {
        multiply_tiles<FORMAT, SUBGROUPS, PIECES, 1>(sums, slot, x, 0, tile);
    } else {
        multiply_tiles<FORMAT, SUBGROUPS, PIECES, 2>(sums, slot, x, 0, 0);
        multiply_tiles<FORMAT, SUBGROUPS, PIECES, 2>(sums, slot, x, 2, 2);
    }
}

/* A lane's own two of the sums of four tiles: those of tile t = lane % 4, of its lower block (column 2t of the sums)
 * and of its upper (column 2t + 1, in the rows of A that stand for the upper halves). */
template <int SUBGROUPS> DEVICE void own_sums(float(&lower), float(&upper), const tile_sums<SUBGROUPS> &sums, int q)
{
    const int t = threadIdx.x % 4;
    lower = t == 0 ? sums.c[q][0][0] : t == 1 ? sums.c[q][1][0] : t == 2 ? sums.c[q][2][0] : sums.c[q][3][0];
    upper = t == 0 ? sums.c[q][0][3] : t == 1 ? sums.c[q][1][3] : t == 2 ? sums.c[q][2][3] : sums.c[q][3][3];
}

template <int FORMAT, int SUBGROUPS, int PIECES>
DEVICE float span_result(const tile_sums<SUBGROUPS> &sums, const uint8_t *slot, const row_input &in, int span,
                         int scale_format)
{
    float result = 0;
#pragma unroll
    for (int q = 0; q < SUBGROUPS; q++) {
        float own[2];
        own_sums(own[0], own[1], sums, q);
        if constexpr (is_affine<FORMAT>) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float scale;
                float bias;
                take_scale<FORMAT, SUBGROUPS>(scale, bias, slot, half, q, scale_format);
                const float sum = in.sums[(span * 8 + threadIdx.x % 4 * 2 + half) * SUBGROUPS + q];
                result = fmaf(scale, own[half] - magic_of<FORMAT>(PIECES) * sum, fmaf(bias, sum, result));
            }
        } else {
            result += own[0] + own[1];
        }
    }
    return result;
}

/* The part of a product that a unit belongs to, and its number there. */
DEVICE int part_of_unit(const ffai__cuda_product_row_args &args, int64_t *unit)
{
    int part = 0;
    if (args.swiglu) { /* units of the two matrices in turn */
        part = (int)(*unit % 2);
        *unit /= 2;
        return part;
    }
    while (part + 1 < args.num_parts && *unit >= args.parts[part].matrix.units) {
        *unit -= args.parts[part].matrix.units;
        part++;
    }
    return part;
}

DEVICE float sum_of_spans(const row_input &in, int64_t local, int row)
{
    float sum = 0;
    for (int span = 0; span < in.spans; span++)
        sum += in.partials[(local * in.spans + span) * UNIT + row];
    return sum;
}

DEVICE void finish_row(const ffai__cuda_product_row_args &args, const row_input &in, int64_t first, int64_t local,
                       int row)
{
    int64_t unit = first + local;
    const int part = part_of_unit(args, &unit);
    const ffai__cuda_part &p = args.parts[part];
    const int64_t at = unit * UNIT + row;
    if (at >= p.matrix.rows)
        return;
    float y = sum_of_spans(in, local, row);
    if (p.bias)
        y += p.bias[at];
    if (p.residual)
        y += p.residual[at];
    p.y[at] = y;
}

DEVICE void finish_swiglu(const ffai__cuda_product_row_args &args, const row_input &in, int64_t first, int64_t local,
                          int row)
{
    const int64_t at = (first + local) / 2 * UNIT + row;
    if (at >= args.parts[0].matrix.rows)
        return;
    float gate = sum_of_spans(in, local, row);
    float up = sum_of_spans(in, local + 1, row);
    if (args.parts[0].bias)
        gate += args.parts[0].bias[at];
    if (args.parts[1].bias)
        up += args.parts[1].bias[at];
    args.parts[0].y[at] = gate / (1.0f + expf(-gate)) * up;
}

DEVICE int64_t count_units(const ffai__cuda_product_row_args &args)
{
    int64_t units = 0;
    for (int i = 0; i < args.num_parts; i++)
        units += args.parts[i].matrix.units;
    return units;
}

/* A warp's place in its part of the weights: a slot's tiles of a unit, of which the block has several. */
typedef struct row_place {
    int local, tile;
} row_place;

/* A warp's walk over its spans, every ROW_WARPS-th of the block's, with its ring running ahead of it. */
template <int FORMAT, int SUBGROUPS, int PIECES> struct row_walk {
    const ffai__cuda_product_row_args &args;
    const row_input &in;
    int64_t first; /* unit of the block */
    int units;
    uint8_t *ring;
    int64_t unit; /* that is being copied, in its part */
    int part;
    row_place ahead;
    int filled, used; /* slots, the next ones */

    DEVICE_MEMBER row_walk(const ffai__cuda_product_row_args &args_, const row_input &in_, int64_t first_, int units_,
                           uint8_t *rings)
        : args(args_), in(in_), first(first_), units(units_), unit(0), part(0), ahead{0, 0}, filled(0), used(0)
    {
        const int warp = threadIdx.x / WARP;
        ring = rings + warp * slots<FORMAT> * slot_bytes<FORMAT, SUBGROUPS>;
        ahead.tile = warp * TILES;
        settle(true);
        for (int i = 0; i < slots<FORMAT>; i++)
            fill();
    }

    /* Bring a place behind its unit's end to where it belongs. */
    DEVICE_MEMBER void settle(bool moved)
    {
        while (ahead.tile >= in.spans * TILES) {
            ahead.tile -= in.spans * TILES;
            ahead.local++;
            moved = true;
        }
        if (!moved || ahead.local >= units)
            return;
        unit = first + ahead.local;
        part = part_of_unit(args, &unit);
    }

    /* The next slot's copies, which are a group of their own even if there is nothing left to copy. */
    DEVICE_MEMBER void fill()
    {
        if (ahead.local < units) {
            const ffai__cuda_matrix &m = args.parts[part].matrix;
            if (ahead.tile < m.tiles)
                fill_slot<FORMAT, SUBGROUPS>(ring + filled * slot_bytes<FORMAT, SUBGROUPS>, m, unit, ahead.tile);
            filled = filled + 1 == slots<FORMAT> ? 0 : filled + 1;
            ahead.tile += slot_tiles<FORMAT>;
            if (ahead.tile % TILES == 0) {
                ahead.tile += (ROW_WARPS - 1) * TILES;
                settle(false);
            }
        }
        close_copies();
    }

    DEVICE_MEMBER void multiply_span(int local, int span, int tiles, int scale_format)
    {
        tile_sums<SUBGROUPS> sums = {};
        uint32_t x[PIECES][8];
#pragma unroll
        for (int piece = 0; piece < PIECES; piece++)
            take_input(x[piece], in, piece, span);
        float result = 0;
#pragma unroll
        for (int tile = 0; tile < TILES; tile += slot_tiles<FORMAT>) {
            const uint8_t *slot = ring + used * slot_bytes<FORMAT, SUBGROUPS>;
            used = used + 1 == slots<FORMAT> ? 0 : used + 1;
            wait_for_copies<slots<FORMAT> - 1>();
            if (span * TILES + tile < tiles)
                multiply_slot<FORMAT, SUBGROUPS, PIECES>(sums, slot, x, tile);
            if (tile + slot_tiles<FORMAT> == TILES)
                result = span_result<FORMAT, SUBGROUPS, PIECES>(sums, slot, in, span, scale_format);
            fill();
        }
        result += __shfl_xor_sync(~0u, result, 1);
        result += __shfl_xor_sync(~0u, result, 2);
        if (threadIdx.x % 4 == 0)
            in.partials[((int64_t)local * in.spans + span) * UNIT + threadIdx.x % WARP / 4] = result;
    }

    DEVICE_MEMBER void multiply()
    {
        int local = 0;
        int span = threadIdx.x / WARP;
        while (true) {
            while (span >= in.spans) {
                span -= in.spans;
                local++;
            }
            if (local >= units)
                break;
            int64_t own = first + local;
            const ffai__cuda_matrix &m = args.parts[part_of_unit(args, &own)].matrix;
            multiply_span(local, span, m.tiles, m.scale_format);
            span += ROW_WARPS;
        }
    }
};

template <int FORMAT, int SUBGROUPS, int PIECES> DEVICE void product_row(const ffai__cuda_product_row_args &args)
{
    DYNAMIC_SHARED(uint8_t, shared);
    let_next_begin();
    const int spans = args.parts[0].matrix.spans;
    row_input in;
    in.spans = spans;
    in.num_pieces = PIECES;
    in.pieces = reinterpret_cast<uint32_t *>(shared + ROW_WARPS * slots<FORMAT> * slot_bytes<FORMAT, SUBGROUPS>);
    in.sums = reinterpret_cast<float *>(in.pieces + PIECES * spans * SPAN_PIECE_WORDS);
    in.partials = in.sums + spans * 8 * SUBGROUPS;
    const int64_t first = (int64_t)blockIdx.x * args.units_a_block;
    const int64_t rest = count_units(args) - first;
    const int units = (int)(rest < args.units_a_block ? rest : args.units_a_block);
    row_walk<FORMAT, SUBGROUPS, PIECES> walk(args, in, first, units, shared);
    wait_for_previous();
    if (args.of_outputs && !args.step.sizes->num_outputs) {
        wait_for_copies<0>();
        return;
    }
    stage_input(in, args, SUBGROUPS);
    __syncthreads();
    walk.multiply();
    __syncthreads();
    for (int i = threadIdx.x; i < units * UNIT; i += ROW_THREADS) {
        if (!args.swiglu)
            finish_row(args, in, first, i / UNIT, i % UNIT);
        else if (i / UNIT % 2 == 0)
            finish_swiglu(args, in, first, i / UNIT, i % UNIT);
    }
}

#endif
