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
} row_input;

enum { SPAN_PIECE_WORDS = 256 };

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

/* What a thread takes of x at a time: the columns of a lane of a block, four for each step, loaded together. */
typedef struct row_batch {
    float4 v[4];
} row_batch;

/* Batches of x: one for each lane t of each block. */
DEVICE row_batch load_batch(const float *x, int batch, int64_t columns, int subgroups)
{
    row_batch loaded;
#pragma unroll
    for (int step = 0; step < 4; step++)
        loaded.v[step] =
            four_columns(x, (int64_t)(batch / 4) * 64 + column_of_step(step, batch % 4, subgroups), columns);
    return loaded;
}

DEVICE float squares_of(const row_batch &batch)
{
    float sum = 0;
#pragma unroll
    for (int step = 0; step < 4; step++) {
        const float4 v = batch.v[step];
        sum = fmaf(v.x, v.x, fmaf(v.y, v.y, fmaf(v.z, v.z, fmaf(v.w, v.w, sum))));
    }
    return sum;
}

/* The mean square of x, by the whole block, whose threads have their first batch. */
DEVICE float mean_square(const float *x, const row_batch &first, int batches, int64_t columns, int subgroups)
{
    __shared__ float of_warp[ROW_WARPS];
    float sum = squares_of(first);
    for (int batch = threadIdx.x + ROW_THREADS; batch < batches; batch += ROW_THREADS)
        sum += squares_of(load_batch(x, batch, columns, subgroups));
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0)
        of_warp[threadIdx.x / WARP] = sum;
    __syncthreads();
    sum = 0;
    for (int i = 0; i < ROW_WARPS; i++)
        sum += of_warp[i];
    return sum / (float)columns;
}

DEVICE row_batch normed(const row_batch &x, const row_batch &weights, float scale)
{
    row_batch y;
#pragma unroll
    for (int step = 0; step < 4; step++)
        y.v[step] = make_float4(x.v[step].x * scale * weights.v[step].x, x.v[step].y * scale * weights.v[step].y,
                                x.v[step].z * scale * weights.v[step].z, x.v[step].w * scale * weights.v[step].w);
    return y;
}

/* The next piece of four columns: the bf16 numbers nearest to what is left of them. Returns their sum. */
DEVICE float take_piece(uint32_t (&pairs)[2], float4 &x)
{
    pairs[0] = bf16_pair(x.x, x.y);
    pairs[1] = bf16_pair(x.z, x.w);
    const float4 piece =
        make_float4(low_of_pair(pairs[0]), high_of_pair(pairs[0]), low_of_pair(pairs[1]), high_of_pair(pairs[1]));
    x = make_float4(x.x - piece.x, x.y - piece.y, x.z - piece.z, x.w - piece.w);
    return piece.x + piece.y + (piece.z + piece.w);
}

/* A batch as product_row's B wants it, and with `summed` the sums over subgroups, which the four lanes of a block add
 * up. Batches behind the last have zeros, so that all lanes take part. */
template <int SUBGROUPS, int PIECES> DEVICE void stage_batch(const row_input &in, row_batch x, int batch, bool summed)
{
    const int block = batch / 4;
    const bool there = block < in.spans * 8;
    uint4 *at = reinterpret_cast<uint4 *>(in.pieces) + block / 8 * (SPAN_PIECE_WORDS / 4) + block % 8 * 4 + batch % 4;
    float sums[SUBGROUPS] = {};
#pragma unroll
    for (int piece = 0; piece < PIECES; piece++) {
        uint32_t pairs[4][2];
#pragma unroll
        for (int step = 0; step < 4; step++)
            sums[step * SUBGROUPS / 4] += take_piece(pairs[step], x.v[step]);
        if (there) {
            at[piece * in.spans * (SPAN_PIECE_WORDS / 4)] =
                make_uint4(pairs[0][0], pairs[0][1], pairs[1][0], pairs[1][1]);
            at[piece * in.spans * (SPAN_PIECE_WORDS / 4) + WARP] =
                make_uint4(pairs[2][0], pairs[2][1], pairs[3][0], pairs[3][1]);
        }
    }
    if (!summed)
        return;
#pragma unroll
    for (int q = 0; q < SUBGROUPS; q++) {
        float sum = sums[q];
        sum += __shfl_xor_sync(~0u, sum, 1);
        sum += __shfl_xor_sync(~0u, sum, 2);
        if (there && batch % 4 == 0)
            in.sums[block * SUBGROUPS + q] = sum;
    }
}

/* x into shared memory. weights: of the norm, the thread's first batch, which was loaded before x was there. */
template <int SUBGROUPS, int PIECES>
DEVICE void stage_input(const row_input &in, const ffai__cuda_product_row_args &args, const row_batch &weights,
                        bool summed)
{
    const int64_t columns = args.parts[0].matrix.columns;
    const int batches = in.spans * 8 * 4;
    row_batch x = load_batch(args.x, threadIdx.x, columns, SUBGROUPS);
    float scale = 0;
    if (args.norm) {
        scale = 1.0f / sqrtf(mean_square(args.x, x, batches, columns, SUBGROUPS) + args.eps);
        x = normed(x, weights, scale);
    }
    stage_batch<SUBGROUPS, PIECES>(in, x, threadIdx.x, summed);
    for (int batch = threadIdx.x + ROW_THREADS; batch / WARP * WARP < batches; batch += ROW_THREADS) {
        x = load_batch(args.x, batch, columns, SUBGROUPS);
        if (args.norm)
            x = normed(x, load_batch(args.norm, batch, columns, SUBGROUPS), scale);
        stage_batch<SUBGROUPS, PIECES>(in, x, batch, summed);
    }
}

/* How much of a row of tiles a slot of a warp's ring has. */
template <int FORMAT> constexpr int slot_tiles = is_affine<FORMAT> ? TILES : 1;
template <int FORMAT> constexpr int slot_words = slot_tiles<FORMAT> *lane_words<FORMAT>;
template <int FORMAT> constexpr int slots = FFAI__CUDA_ROW_SLOTS(FORMAT);
template <int FORMAT, int SUBGROUPS> constexpr int slot_bytes = FFAI__CUDA_ROW_SLOT_BYTES(FORMAT, SUBGROUPS);

/* A lane's part of a slot: words [words / 4][lane][4], then scales [lane][2][subgroups], each pair in 8 bytes at most.
 * A lane reads what it has copied itself, and needs no barrier. */
template <int FORMAT> DEVICE void copy_words_ahead(uint8_t *slot, const uint32_t *from, int tiles)
{
    uint4 *to = reinterpret_cast<uint4 *>(slot) + threadIdx.x % WARP;
    if (tiles >= TILES) { /* of the span */
        const uint4 *whole = reinterpret_cast<const uint4 *>(from) + threadIdx.x % WARP;
#pragma unroll
        for (int i = 0; i < slot_words<FORMAT> / 4; i++)
            copy_ahead<16>(to + i * WARP, whole + i * WARP, true);
        return;
    }
    const int count = tiles * lane_words<FORMAT>;
    for (int i = 0; i < slot_words<FORMAT>; i++)
        copy_ahead<4>(reinterpret_cast<uint32_t *>(to + i / 4 * WARP) + i % 4,
                      from + (i < count ? i * WARP + threadIdx.x % WARP : 0), i < count);
}

template <int FORMAT, int SUBGROUPS> DEVICE void copy_scales_ahead(uint8_t *slot, const uint2 *from, bool wide)
{
    uint2 *to = reinterpret_cast<uint2 *>(slot + slot_words<FORMAT> * WARP * 4) + threadIdx.x % WARP * 2 * SUBGROUPS;
    from += threadIdx.x % WARP * SUBGROUPS * (wide ? 2 : 1);
#pragma unroll
    for (int i = 0; i < 2 * SUBGROUPS; i++) {
        if (i < SUBGROUPS || wide)
            copy_ahead<8>(to + i, from + i, true);
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

/* What a block of threads computes: units of one part, or, for swiglu, the same units of two in turn. */
typedef struct row_block {
    int part;
    int units;     /* of all parts */
    int64_t first; /* its first unit in a part */
} row_block;

DEVICE row_block find_block(const ffai__cuda_product_row_args &args)
{
    row_block block = {0, 0, 0};
    const int parts = args.swiglu ? 1 : args.num_parts;
    while (block.part + 1 < parts && (int)blockIdx.x >= args.first_block[block.part + 1])
        block.part++;
    const int each = args.swiglu ? args.units_a_block / 2 : args.units_a_block;
    block.first = (int64_t)((int)blockIdx.x - args.first_block[block.part]) * each;
    const int64_t rest = args.parts[block.part].matrix.units - block.first;
    block.units = (int)(rest < each ? rest : each) * (args.swiglu ? 2 : 1);
    return block;
}

/* Of one output of the block, by four neighbouring lanes; all have it then. */
DEVICE float sum_of_spans(const row_input &in, int local, int row)
{
    float sum = 0;
    for (int span = threadIdx.x % 4; span < in.spans; span += 4)
        sum += in.partials[(local * in.spans + span) * UNIT + row];
    sum += __shfl_xor_sync(~0u, sum, 1);
    return sum + __shfl_xor_sync(~0u, sum, 2);
}

/* An output of the block, number i of units * 8, and what is added to it. */
typedef struct row_output {
    float *y;
    float bias, residual;
} row_output;

DEVICE row_output find_output(const ffai__cuda_part &p, const row_block &block, int i)
{
    row_output out = {nullptr, 0, 0};
    const int64_t at = block.first * UNIT + i;
    if (i >= block.units * UNIT || at >= p.matrix.rows)
        return out;
    out.y = p.y + at;
    out.bias = p.bias ? p.bias[at] : 0;
    out.residual = p.residual ? p.residual[at] : 0;
    return out;
}

enum { OUTPUT_LANES = 4, OUTPUTS = ROW_THREADS / OUTPUT_LANES };

/* The block's outputs, four lanes each. `out` is the thread's first one. */
DEVICE void finish_outputs(const ffai__cuda_part &p, const row_input &in, const row_block &block, row_output out)
{
    for (int i = threadIdx.x / OUTPUT_LANES; i < block.units * UNIT; i += OUTPUTS) {
        const float y = sum_of_spans(in, i / UNIT, i % UNIT) + out.bias + out.residual;
        if (out.y && threadIdx.x % OUTPUT_LANES == 0)
            *out.y = y;
        out = find_output(p, block, i + OUTPUTS);
    }
}

DEVICE void finish_swiglu(const ffai__cuda_product_row_args &args, const row_input &in, const row_block &block)
{
    for (int i = threadIdx.x / OUTPUT_LANES; i < block.units / 2 * UNIT; i += OUTPUTS) {
        float gate = sum_of_spans(in, i / UNIT * 2, i % UNIT);
        float up = sum_of_spans(in, i / UNIT * 2 + 1, i % UNIT);
        const int64_t at = block.first * UNIT + i;
        if (at >= args.parts[0].matrix.rows || threadIdx.x % OUTPUT_LANES)
            continue;
        gate += args.parts[0].bias ? args.parts[0].bias[at] : 0;
        up += args.parts[1].bias ? args.parts[1].bias[at] : 0;
        args.parts[0].y[at] = gate / (1.0f + expf(-gate)) * up;
    }
}

/* A warp's walk over its spans, every ROW_WARPS-th of the block's, with its ring running ahead of it. */
template <int FORMAT, int SUBGROUPS, int PIECES> struct row_walk {
    const row_input &in;
    uint8_t *ring;
    const uint32_t *words[2]; /* of the block's first unit, in its part or, for swiglu, in both */
    const uint2 *scales[2];
    int tiles, units, scale_format;
    bool swiglu;
    int local, span, tile; /* that the ring is filled from next: a unit of the block, its span, a tile of that */
    int filled, used;      /* slots, the next ones */

    DEVICE_MEMBER row_walk(const ffai__cuda_product_row_args &args, const row_input &in_, const row_block &block,
                           uint8_t *rings)
        : in(in_), units(block.units), swiglu(args.swiglu), local(0), span(threadIdx.x / WARP), tile(0), filled(0),
          used(0)
    {
        ring = rings + threadIdx.x / WARP * slots<FORMAT> * slot_bytes<FORMAT, SUBGROUPS>;
        tiles = args.parts[block.part].matrix.tiles;
        scale_format = args.parts[block.part].matrix.scale_format;
        for (int i = 0; i < 2; i++) {
            const ffai__cuda_matrix &m = args.parts[block.part + (swiglu ? i : 0)].matrix;
            words[i] = m.words + block.first * tiles * lane_words<FORMAT> * WARP;
            scales[i] = reinterpret_cast<const uint2 *>(m.scales) + block.first * in.spans * scale_pairs();
        }
        settle();
        for (int i = 0; i < slots<FORMAT>; i++)
            fill();
    }

    /* Of a span, in 8 bytes. */
    DEVICE_MEMBER int scale_pairs() const
    {
        return WARP * SUBGROUPS * (scale_format == FFAI__CUDA_SCALES_F32 ? 2 : 1);
    }

    DEVICE_MEMBER void settle()
    {
        while (span >= in.spans) {
            span -= in.spans;
            local++;
        }
    }

    /* The next slot's copies, which are a group of their own even if there is nothing left to copy. */
    DEVICE_MEMBER void fill()
    {
        if (local < units) {
            uint8_t *slot = ring + filled * slot_bytes<FORMAT, SUBGROUPS>;
            const bool second = swiglu && local % 2;
            const int unit = swiglu ? local / 2 : local;
            const int at = span * TILES + tile;
            if (at < tiles)
                copy_words_ahead<FORMAT>(
                    slot, (second ? words[1] : words[0]) + (unit * tiles + at) * lane_words<FORMAT> * WARP,
                    tiles - span * TILES);
            if constexpr (is_affine<FORMAT>)
                copy_scales_ahead<FORMAT, SUBGROUPS>(
                    slot, (second ? scales[1] : scales[0]) + (unit * in.spans + span) * scale_pairs(),
                    scale_format == FFAI__CUDA_SCALES_F32);
            filled = filled + 1 == slots<FORMAT> ? 0 : filled + 1;
            tile += slot_tiles<FORMAT>;
            if (tile == TILES) {
                tile = 0;
                span += ROW_WARPS;
                settle();
            }
        }
        close_copies();
    }

    /* The sum over span `number` of each of its unit's rows. */
    DEVICE_MEMBER void multiply_span(int number, int at)
    {
        tile_sums<SUBGROUPS> sums = {};
        uint32_t x[PIECES][8];
#pragma unroll
        for (int piece = 0; piece < PIECES; piece++)
            take_input(x[piece], in, piece, at);
        float result = 0;
#pragma unroll
        for (int i = 0; i < TILES; i += slot_tiles<FORMAT>) {
            const uint8_t *slot = ring + used * slot_bytes<FORMAT, SUBGROUPS>;
            used = used + 1 == slots<FORMAT> ? 0 : used + 1;
            wait_for_copies<slots<FORMAT> - 1>();
            if (at * TILES + i < tiles)
                multiply_slot<FORMAT, SUBGROUPS, PIECES>(sums, slot, x, i);
            if (i + slot_tiles<FORMAT> == TILES)
                result = span_result<FORMAT, SUBGROUPS, PIECES>(sums, slot, in, at, scale_format);
            fill();
        }
        result += __shfl_xor_sync(~0u, result, 1);
        result += __shfl_xor_sync(~0u, result, 2);
        if (threadIdx.x % 4 == 0)
            in.partials[number * UNIT + threadIdx.x % WARP / 4] = result;
    }

    DEVICE_MEMBER void multiply()
    {
        int at = threadIdx.x / WARP;
        for (int number = threadIdx.x / WARP; number < units * in.spans; number += ROW_WARPS, at += ROW_WARPS) {
            while (at >= in.spans)
                at -= in.spans;
            multiply_span(number, at);
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
    in.pieces = reinterpret_cast<uint32_t *>(shared + ROW_WARPS * slots<FORMAT> * slot_bytes<FORMAT, SUBGROUPS>);
    in.sums = reinterpret_cast<float *>(in.pieces + PIECES * spans * SPAN_PIECE_WORDS);
    in.partials = in.sums + spans * 8 * SUBGROUPS;
    const row_block block = find_block(args);
    const ffai__cuda_part &part = args.parts[block.part];
    row_walk<FORMAT, SUBGROUPS, PIECES> walk(args, in, block, shared);
    const row_batch weights =
        args.norm ? load_batch(args.norm, threadIdx.x, part.matrix.columns, SUBGROUPS) : row_batch();
    wait_for_previous();
    if (args.of_outputs && !args.step.sizes->num_outputs) {
        wait_for_copies<0>();
        return;
    }
    row_output out = {nullptr, 0, 0};
    if (!args.swiglu)
        out = find_output(part, block, threadIdx.x / OUTPUT_LANES);
    stage_input<SUBGROUPS, PIECES>(in, args, weights, is_affine<FORMAT>);
    __syncthreads();
    walk.multiply();
    __syncthreads();
    if (args.swiglu)
        finish_swiglu(args, in, block);
    else
        finish_outputs(part, in, block, out);
}

#endif
