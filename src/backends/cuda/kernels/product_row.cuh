/* One row through a matrix: y = W x.
 *
 * mma.sync wants 8 columns of B and there is one x. So the columns hold x of 8 different blocks of 64, a span: a tile's
 * products with its own two blocks stand on the diagonal of its sums, and the rest is thrown away. Numbers are bf16,
 * with sums in float32; or they are bytes, with sums in integers (row_input.cuh says when), and the columns hold two
 * bytes of x of 4 blocks. Each tile has accumulators of its own, of which each lane takes those of its row and of the
 * two blocks of tile lane % 4.
 *
 * A block of threads takes some units of 8 rows. Its warps share out their spans; each leaves a partial sum in shared
 * memory, and these are added in the order of the spans. */
#ifndef FFAI_CUDA_PRODUCT_ROW_CUH
#define FFAI_CUDA_PRODUCT_ROW_CUH

#include "row_input.cuh"

enum { TILES = FFAI__CUDA_SPAN_TILES };

/* How much of a row of tiles a slot of a warp's ring has. */
template <int FORMAT> constexpr int slot_tiles = is_affine<FORMAT> ? TILES : 1;
template <int FORMAT> constexpr int slot_words = slot_tiles<FORMAT> *lane_words<FORMAT>;
template <int FORMAT> constexpr int slots = FFAI__CUDA_ROW_SLOTS(FORMAT);
template <int FORMAT, int SUBGROUPS> constexpr int slot_bytes = FFAI__CUDA_ROW_SLOT_BYTES(FORMAT, SUBGROUPS);

/* A lane's part of a slot: words [words / 4][lane][4], then scales [lane][2][subgroups], each pair in 8 bytes at most.
 * A lane reads what it has copied itself, and needs no barrier. `from` is where the lane's part begins. */
template <int FORMAT> DEVICE void copy_words_ahead(uint8_t *slot, const uint4 *from)
{
    uint4 *to = vectors_at<uint4>(slot) + threadIdx.x % WARP;
#pragma unroll
    for (int i = 0; i < slot_words<FORMAT> / 4; i++)
        copy_ahead<16>(to + i * WARP, from + i * WARP, true);
}

/* The same of an incomplete span of so many tiles (args.h). */
template <int FORMAT> DEVICE void copy_rest_ahead(uint8_t *slot, const uint4 *from, int tiles)
{
    uint4 *to = vectors_at<uint4>(slot) + threadIdx.x % WARP;
    const uint32_t *words = reinterpret_cast<const uint32_t *>(from - threadIdx.x % WARP);
    const int count = tiles * lane_words<FORMAT>;
    if constexpr (lane_words<FORMAT> % 4 == 0) {
#pragma unroll 1
        for (int i = 0; i < slot_words<FORMAT> / 4; i++)
            copy_ahead<16>(to + i * WARP, from + (4 * i < count ? i * WARP : 0), 4 * i < count);
    } else {
#pragma unroll 1
        for (int i = 0; i < slot_words<FORMAT>; i++)
            copy_ahead<4>(reinterpret_cast<uint32_t *>(to + i / 4 * WARP) + i % 4,
                          words + (i < count ? i * WARP + threadIdx.x % WARP : 0), i < count);
    }
}

template <int FORMAT, int SUBGROUPS> DEVICE void copy_scales_ahead(uint8_t *slot, const uint2 *from, bool wide)
{
    uint2 *to = vectors_at<uint2>(slot + slot_words<FORMAT> * WARP * 4) + threadIdx.x % WARP * 2 * SUBGROUPS;
    if constexpr (SUBGROUPS == 1) {
        if (wide)
            copy_ahead<16>(to, from, true);
        else
            copy_ahead<8>(to, from, true);
    } else {
#pragma unroll
        for (int i = 0; i < 2 * SUBGROUPS; i += 2) {
            if (i < SUBGROUPS || wide)
                copy_ahead<16>(to + i, from + i, true);
        }
    }
}

/* A tile's words of a slot, and the scales of the lane's two blocks. */
template <int FORMAT> DEVICE void take_words(uint32_t (&words)[lane_words<FORMAT>], const uint8_t *slot, int tile)
{
    const uint4 *from = vectors_at<const uint4>(slot) + threadIdx.x % WARP;
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

/* Scales and biases of a lane's lower and upper block. */
template <int SUBGROUPS> struct row_scales {
    float scale[2 * SUBGROUPS], bias[2 * SUBGROUPS];
};

template <int FORMAT, int SUBGROUPS>
DEVICE void take_scales(row_scales<SUBGROUPS> &to, const uint8_t *slot, int scale_format)
{
    const uint32_t *words =
        reinterpret_cast<const uint32_t *>(slot + slot_words<FORMAT> * WARP * 4) + threadIdx.x % WARP * 4 * SUBGROUPS;
    if (scale_format == FFAI__CUDA_SCALES_F32) {
#pragma unroll
        for (int i = 0; i < 2 * SUBGROUPS; i++) {
            to.scale[i] = float_of(words[2 * i]);
            to.bias[i] = float_of(words[2 * i + 1]);
        }
        return;
    }
#pragma unroll
    for (int i = 0; i < 2 * SUBGROUPS; i++) {
        to.scale[i] = scale_value(words[i] & 0xFFFFu, scale_format);
        to.bias[i] = scale_value(words[i] >> 16, scale_format);
    }
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

/* A pair of numbers, the `pair`-th of these words. */
template <int FORMAT> DEVICE uint32_t number_pair(const uint32_t *words, int pair, int piece)
{
    if constexpr (FORMAT == FFAI__CUDA_BF16)
        return words[pair];
    else if constexpr (FORMAT == FFAI__CUDA_F16)
        return piece_of(f16_to_f32((uint16_t)words[pair]), f16_to_f32((uint16_t)(words[pair] >> 16)), piece);
    else
        return piece_of(float_of(words[2 * pair]), float_of(words[2 * pair + 1]), piece);
}

template <int FORMAT> DEVICE void unpack_pairs(uint32_t (&pairs)[PAIRS], const uint32_t *words, int piece)
{
    if constexpr (is_affine<FORMAT>) {
        unpack_codes<FORMAT>(pairs, words, piece > 0);
    } else {
#pragma unroll
        for (int p = 0; p < PAIRS; p++)
            pairs[p] = number_pair<FORMAT>(words, p, piece);
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
    const uint4 *from = vectors_at<const uint4>(in.pieces + (piece * in.spans + span) * SPAN_PIECE_WORDS);
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
    row_scales<SUBGROUPS> scales;
    if constexpr (is_affine<FORMAT>)
        take_scales<FORMAT>(scales, slot, scale_format);
#pragma unroll
    for (int q = 0; q < SUBGROUPS; q++) {
        float own[2];
        own_sums(own[0], own[1], sums, q);
        if constexpr (is_affine<FORMAT>) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int i = half * SUBGROUPS + q;
                const float sum = in.factors[(span * 8 + threadIdx.x % 4 * 2 + half) * (1 + SUBGROUPS) + 1 + q];
                result = fmaf(scales.scale[i], own[half] - magic_of<FORMAT>(PIECES) * sum,
                              fmaf(scales.bias[i], sum, result));
            }
        } else {
            result += own[0] + own[1];
        }
    }
    return result;
}

template <int SUBGROUPS> struct integer_sums {
    int c[SUBGROUPS][TILES][4];
};

/* Steps 2 * i and the next of a product's 16 rows: the codes of `lower`'s lower half and of `upper`'s upper one. */
template <int FORMAT>
DEVICE void take_bytes(uint32_t (&a)[4], const uint32_t (&lower)[lane_words<FORMAT>],
                       const uint32_t (&upper)[lane_words<FORMAT>], int i)
{
    a[0] = code_bytes<FORMAT>(lower, 4 * i);
    a[1] = code_bytes<FORMAT>(upper, 4 * i + 1);
    a[2] = code_bytes<FORMAT>(lower, 4 * i + 2);
    a[3] = code_bytes<FORMAT>(upper, 4 * i + 3);
}

/* Steps 2 * i and the next times two bytes of x in each of its eight columns. */
template <int SUBGROUPS>
DEVICE void multiply_bytes(integer_sums<SUBGROUPS> &sums, const uint32_t (&a)[4], const uint32_t *x, int i, int tile)
{
    if constexpr (SUBGROUPS == 4) { /* a step for each subgroup */
        const uint32_t first[4] = {a[0], a[1], 0, 0};
        const uint32_t second[4] = {a[2], a[3], 0, 0};
        mma_bytes(sums.c[2 * i][tile], first, x[2 * i], 0);
        mma_bytes(sums.c[2 * i + 1][tile], second, x[2 * i + 1], 0);
    } else {
        mma_bytes(sums.c[i * SUBGROUPS / 2][tile], a, x[2 * i], x[2 * i + 1]);
    }
}

/* The sums that a lane wants are those of the lower and of the upper half of tile t = lane % 4, each as the high and
 * the low bytes of x times the codes. It has two columns, so they cannot be of one product: a product takes the lower
 * half of a tile and the upper half of the tile beside it, with columns in which x of the one and of the other take
 * turns. */
template <int FORMAT, int SUBGROUPS>
DEVICE void multiply_pair(integer_sums<SUBGROUPS> &sums, const uint8_t *slot, const uint32_t (&x)[8], int tile)
{
    uint32_t words[2][lane_words<FORMAT>];
    take_words<FORMAT>(words[0], slot, tile);
    take_words<FORMAT>(words[1], slot, tile + 1);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        uint32_t even[4];
        uint32_t odd[4];
        take_bytes<FORMAT>(even, words[0], words[1], i);
        take_bytes<FORMAT>(odd, words[1], words[0], i);
        multiply_bytes(sums, even, x, i, tile);
        multiply_bytes(sums, odd, x + 4, i, tile + 1);
    }
}

DEVICE int pick(int number, int first, int second, int third, int fourth)
{
    const int even = number & 2 ? third : first;
    const int odd = number & 2 ? fourth : second;
    return number & 1 ? odd : even;
}

/* The high bytes' sum and the low bytes'. */
DEVICE int joined(const int (&c)[4], int half)
{
    return c[2 * half] * 256 + c[2 * half + 1];
}

/* factors: of the lane's two blocks. */
template <int SUBGROUPS>
DEVICE float integer_result(const integer_sums<SUBGROUPS> &sums, const row_scales<SUBGROUPS> &scales,
                            const float *factors)
{
    const int t = threadIdx.x % 4;
    float result = 0;
#pragma unroll
    for (int q = 0; q < SUBGROUPS; q++) {
        const int(&c)[TILES][4] = sums.c[q];
        const int own[2] = {pick(t, joined(c[0], 0), joined(c[1], 0), joined(c[2], 0), joined(c[3], 0)),
                            pick(t, joined(c[1], 1), joined(c[0], 1), joined(c[3], 1), joined(c[2], 1))};
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const float *f = factors + half * (1 + SUBGROUPS);
            const int i = half * SUBGROUPS + q;
            result = fmaf(scales.scale[i] * f[0], (float)own[half], fmaf(scales.bias[i], f[1 + q], result));
        }
    }
    return result;
}

/* What a block of threads computes: units of one part, or, for swiglu, units of one and then the same of another. */
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
    return quad_sum(sum);
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
DEVICE void finish_outputs(const ffai__cuda_part &p, const row_input &in, const row_block &block, row_output out,
                           float scale)
{
    for (int i = threadIdx.x / OUTPUT_LANES; i < block.units * UNIT; i += OUTPUTS) {
        const float y = sum_of_spans(in, i / UNIT, i % UNIT) * scale + out.bias + out.residual;
        if (out.y && threadIdx.x % OUTPUT_LANES == 0)
            *out.y = y;
        out = find_output(p, block, i + OUTPUTS);
    }
}

DEVICE void finish_swiglu(const ffai__cuda_product_row_args &args, const row_input &in, const row_block &block,
                          float scale)
{
    for (int i = threadIdx.x / OUTPUT_LANES; i < block.units / 2 * UNIT; i += OUTPUTS) {
        float gate = sum_of_spans(in, i / UNIT, i % UNIT) * scale;
        float up = sum_of_spans(in, block.units / 2 + i / UNIT, i % UNIT) * scale;
        const int64_t at = block.first * UNIT + i;
        if (at >= args.parts[0].matrix.rows || threadIdx.x % OUTPUT_LANES)
            continue;
        gate += args.parts[0].bias ? args.parts[0].bias[at] : 0;
        up += args.parts[1].bias ? args.parts[1].bias[at] : 0;
        args.parts[0].y[at] = silu_of(gate) * up;
    }
}

/* A few spans as whole units, which is what is returned, and the rest, without a division. */
DEVICE int take_units(int &spans, int of_unit)
{
    int units = 0;
    for (; spans >= of_unit; units++)
        spans -= of_unit;
    return units;
}

/* A warp's walk over its spans, every ROW_WARPS-th of the block's, with its ring running ahead of it. Spans of a block
 * are numbered through its units; for swiglu those of the second matrix come after those of the first. Places are
 * counted on from span to span: every instruction here is one for 8 rows of 512 columns. */
template <int FORMAT, int SUBGROUPS, int PIECES> struct row_walk {
    static constexpr int tile_quads = lane_words<FORMAT> * WARP / 4; /* of 16 bytes */
    const ffai__cuda_product_row_args &args;
    const row_input &in;
    uint8_t *ring;
    int tiles, scale_format;
    int count;           /* spans of the block */
    int turn;            /* the first that is of the second matrix */
    int step_spans;      /* from one of the warp's spans to the next, in its unit: ROW_WARPS, less whole units */
    int step_quads;      /* the same, if that is in the same unit */
    int missing;         /* quads that a unit has less than its spans would */
    const uint4 *words;  /* of the matrix, from the block's first unit on */
    const uint2 *scales; /* the same */
    int number, span;    /* that the ring is filled from next: of the block's, of its unit's */
    int tile;            /* of that span */
    int quad, scale;     /* the lane's, where that span begins */
    int slot;            /* that is filled next, and, once all are, used next */

    DEVICE_MEMBER row_walk(const ffai__cuda_product_row_args &args_, const row_input &in_, const row_block &block,
                           uint8_t *rings)
        : args(args_), in(in_), step_spans(ROW_WARPS), number(threadIdx.x / WARP), span(number), tile(0), slot(0)
    {
        const ffai__cuda_matrix &m = args.parts[block.part].matrix;
        const int step_units = take_units(step_spans, in.spans);
        const int units = take_units(span, in.spans); /* before the first span's */
        ring = rings + threadIdx.x / WARP * slots<FORMAT> * slot_bytes<FORMAT, SUBGROUPS>;
        tiles = m.tiles;
        scale_format = m.scale_format;
        count = block.units * in.spans;
        turn = args.swiglu ? count / 2 : count;
        missing = (in.spans * TILES - tiles) * tile_quads;
        step_quads = ROW_WARPS * TILES * tile_quads - step_units * missing;
        quad = number * TILES * tile_quads - units * missing + threadIdx.x % WARP;
        scale = number * span_scales() + threadIdx.x % WARP * (span_scales() / WARP);
        begin(m, block.first);
    }

    DEVICE_MEMBER void begin(const ffai__cuda_matrix &m, int64_t first_unit)
    {
        words = vectors_at<const uint4>(m.words) + first_unit * tiles * tile_quads;
        if constexpr (is_affine<FORMAT>)
            scales = vectors_at<const uint2>(m.scales) + first_unit * in.spans * span_scales();
    }

    /* In 8 bytes. */
    DEVICE_MEMBER int span_scales() const
    {
        return WARP * SUBGROUPS * (scale_format == FFAI__CUDA_SCALES_F32 ? 2 : 1);
    }

    /* The second matrix has as many units of the block as the first. */
    DEVICE_MEMBER void turn_over()
    {
        const int units = turn / in.spans;
        begin(args.parts[1].matrix, (int64_t)blockIdx.x * (args.units_a_block / 2));
        quad -= units * tiles * tile_quads;
        scale -= turn * span_scales();
        turn = count;
    }

    DEVICE_MEMBER void go_on()
    {
        number += ROW_WARPS;
        quad += step_quads;
        span += step_spans;
        if (span >= in.spans) {
            span -= in.spans;
            quad -= missing;
        }
        scale += ROW_WARPS * span_scales();
    }

    DEVICE_MEMBER void fill_slots(int wanted)
    {
#pragma unroll 1
        for (int i = 0; i < wanted; i++)
            fill();
    }

    DEVICE_MEMBER void copy(uint8_t *to) const
    {
        const int rest = tiles - span * TILES - tile;
        const bool wide = scale_format == FFAI__CUDA_SCALES_F32;
        if constexpr (!is_affine<FORMAT>) {
            if (rest > 0)
                copy_words_ahead<FORMAT>(to, words + quad + tile * tile_quads);
        } else if (rest >= TILES) {
            copy_words_ahead<FORMAT>(to, words + quad);
            copy_scales_ahead<FORMAT, SUBGROUPS>(to, scales + scale, wide);
        } else {
            copy_rest_ahead<FORMAT>(to, words + quad, rest);
            copy_scales_ahead<FORMAT, SUBGROUPS>(to, scales + scale, wide);
        }
    }

    /* The next slot's copies, which are a group of their own even if there is nothing left to copy. */
    DEVICE_MEMBER void fill()
    {
        if (number >= turn && turn < count)
            turn_over();
        if (number < count) {
            copy(next_slot());
            tile += slot_tiles<FORMAT>;
            if (tile == TILES) {
                tile = 0;
                go_on();
            }
        }
        slot = slot + 1 == slots<FORMAT> ? 0 : slot + 1;
        close_copies();
    }

    /* Once the ring is full the slot that is filled next is the one that is used now. */
    DEVICE_MEMBER uint8_t *next_slot() const
    {
        return ring + slot * slot_bytes<FORMAT, SUBGROUPS>;
    }

    /* A lane's part of the sums over span `at` of its unit's rows. */
    DEVICE_MEMBER float multiply_numbers(int at)
    {
        tile_sums<SUBGROUPS> sums = {};
        uint32_t x[PIECES][8];
#pragma unroll
        for (int piece = 0; piece < PIECES; piece++)
            take_input(x[piece], in, piece, at);
        float result = 0;
#pragma unroll
        for (int i = 0; i < TILES; i += slot_tiles<FORMAT>) {
            wait_for_copies<slots<FORMAT> - 1>();
            if (at * TILES + i < tiles)
                multiply_slot<FORMAT, SUBGROUPS, PIECES>(sums, next_slot(), x, i);
            if (i + slot_tiles<FORMAT> == TILES)
                result = span_result<FORMAT, SUBGROUPS, PIECES>(sums, next_slot(), in, at, scale_format);
            fill();
        }
        return result;
    }

    DEVICE_MEMBER float multiply_codes(int at)
    {
        integer_sums<SUBGROUPS> sums = {};
        uint32_t x[8];
        take_input(x, in, 0, at);
        wait_for_copies<slots<FORMAT> - 1>();
        multiply_pair<FORMAT>(sums, next_slot(), x, 0);
        multiply_pair<FORMAT>(sums, next_slot(), x, 2);
        row_scales<SUBGROUPS> of_span;
        take_scales<FORMAT>(of_span, next_slot(), scale_format);
        const float result =
            integer_result(sums, of_span, in.factors + (at * 8 + threadIdx.x % 4 * 2) * (1 + SUBGROUPS));
        fill();
        return result;
    }

    /* Span `at` of its unit; its sums go to `partials`. */
    DEVICE_MEMBER void multiply_span(float *partials, int at)
    {
        float result = 0;
        if constexpr (is_integer<FORMAT, PIECES>)
            result = multiply_codes(at);
        else
            result = multiply_numbers(at);
        result = quad_sum(result);
        if (threadIdx.x % 4 == 0)
            *partials = result;
    }

    DEVICE_MEMBER void multiply()
    {
        int at = threadIdx.x / WARP;
        take_units(at, in.spans);
        float *partials = in.partials + threadIdx.x / WARP * UNIT + threadIdx.x % WARP / 4;
#pragma unroll 1
        for (int left = count - threadIdx.x / WARP; left > 0; left -= ROW_WARPS) {
            multiply_span(partials, at);
            partials += ROW_WARPS * UNIT;
            at += step_spans;
            if (at >= in.spans)
                at -= in.spans;
        }
    }
};

template <int FORMAT, int SUBGROUPS, int PIECES>
DEVICE row_input place_input(uint8_t *shared, float *squares, int spans)
{
    row_input in;
    in.spans = spans;
    in.squares = squares;
    in.pieces = reinterpret_cast<uint32_t *>(shared + ROW_WARPS * slots<FORMAT> * slot_bytes<FORMAT, SUBGROUPS>);
    in.factors = reinterpret_cast<float *>(in.pieces + PIECES * spans * SPAN_PIECE_WORDS);
    in.partials = in.factors + spans * 8 * (1 + SUBGROUPS);
    return in;
}

/* Weights are asked for before the input is there, but only a slot a warp: what has been asked for comes before x. */
template <int FORMAT, int SUBGROUPS, int PIECES> DEVICE void product_row(const ffai__cuda_product_row_args &args)
{
    DYNAMIC_SHARED(uint8_t, shared);
    __shared__ float squares[ROW_WARPS];
    const row_input in = place_input<FORMAT, SUBGROUPS, PIECES>(shared, squares, args.parts[0].matrix.spans);
    const int64_t columns = args.parts[0].matrix.columns;
    const row_block block = find_block(args);
    const ffai__cuda_part &part = args.parts[block.part];
    row_walk<FORMAT, SUBGROUPS, PIECES> walk(args, in, block, shared);
    walk.fill();
    row_loads norm = {};
    if (args.norm)
        norm = load_batches<SUBGROUPS>(args.norm, threadIdx.x, in, columns);
    wait_for_previous();
    let_next_begin(); /* and not before: attend.cu relies on it */
    if (args.of_outputs && !args.step.sizes->num_outputs) {
        wait_for_copies<0>();
        return;
    }
    float sum_of_squares = 0;
    for (int first = threadIdx.x; first < ROW_THREADS || first / WARP < in.spans; first += LOADS * ROW_THREADS) {
        row_loads x = load_batches<SUBGROUPS>(args.x, first, in, columns);
        if (first < ROW_THREADS)
            walk.fill_slots(slots<FORMAT> - 1);
        sum_of_squares += stage_batches<FORMAT, SUBGROUPS, PIECES>(in, x, norm, first, args.norm);
        if (args.norm)
            norm = load_batches<SUBGROUPS>(args.norm, first + LOADS * ROW_THREADS, in, columns);
    }
    leave_squares(in, sum_of_squares);
    row_output out = {nullptr, 0, 0};
    if (!args.swiglu)
        out = find_output(part, block, threadIdx.x / OUTPUT_LANES);
    __syncthreads();
    walk.multiply();
    const float scale = result_scale(in, args);
    __syncthreads();
    if (args.swiglu)
        finish_swiglu(args, in, block, scale);
    else
        finish_outputs(part, in, block, out, scale);
}

#endif
