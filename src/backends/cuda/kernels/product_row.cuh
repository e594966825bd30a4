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

enum { ROW_THREADS = 256, ROW_WARPS = ROW_THREADS / WARP, TILES = FFAI__CUDA_SPAN_TILES };

/* x in shared memory: pieces [piece][span][2][lane][4 words], sums [span][8 blocks][subgroup], then partial sums. */
typedef struct row_input {
    uint32_t *pieces;
    float *sums;
    float *partials; /* [units][spans][8] */
    int spans;
    int num_pieces;
} row_input;

enum { SPAN_PIECE_WORDS = 256 };

/* Four columns of x, one piece after the other: each the bf16 number nearest to what the ones before left. */
DEVICE float stage_columns(uint32_t *pieces, float4 x, int num_pieces, int64_t stride)
{
    float rest[4] = {x.x, x.y, x.z, x.w};
    float sum = 0;
    for (int piece = 0; piece < num_pieces; piece++) {
        uint32_t bits[4];
        for (int i = 0; i < 4; i++) {
            bits[i] = f32_to_bf16(rest[i]);
            const float value = bf16_to_f32((uint16_t)bits[i]);
            rest[i] -= value;
            sum += value;
        }
        *reinterpret_cast<uint2 *>(pieces + piece * stride) =
            make_uint2(bits[0] | bits[1] << 16, bits[2] | bits[3] << 16);
    }
    return sum;
}

/* The mean square of x, by the whole block. */
DEVICE float mean_square(const float *x, int64_t columns)
{
    __shared__ float of_warp[ROW_WARPS];
    float sum = 0;
    for (int64_t i = threadIdx.x; i < columns; i += ROW_THREADS)
        sum = fmaf(x[i], x[i], sum);
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0)
        of_warp[threadIdx.x / WARP] = sum;
    __syncthreads();
    sum = 0;
    for (int i = 0; i < ROW_WARPS; i++)
        sum += of_warp[i];
    return sum / (float)columns;
}

DEVICE float4 input_columns(const ffai__cuda_product_row_args &args, int64_t column, int64_t columns, float scale)
{
    float v[4] = {0, 0, 0, 0};
    for (int i = 0; i < 4 && column + i < columns; i++)
        v[i] = args.norm ? args.x[column + i] * scale * args.norm[column + i] : args.x[column + i];
    return make_float4(v[0], v[1], v[2], v[3]);
}

/* Every thread makes four columns at a time; those of a subgroup are neighbours in one warp, who sum them. */
DEVICE void stage_input(const row_input &in, const ffai__cuda_product_row_args &args, int subgroups)
{
    const int64_t columns = args.parts[0].matrix.columns;
    const float scale = args.norm ? 1.0f / sqrtf(mean_square(args.x, columns) + args.eps) : 0;
    const int lanes = 16 / subgroups;
    for (int i = threadIdx.x; i < in.spans * SPAN / 4; i += ROW_THREADS) {
        int step;
        int t;
        step_of_column(i % 16 * 4, subgroups, &step, &t);
        const int span = i / 128;
        const int block = i / 16 % 8;
        uint32_t *at = in.pieces + span * SPAN_PIECE_WORDS + (step / 2 * WARP + block * 4 + t) * 4 + step % 2 * 2;
        float sum = stage_columns(at, input_columns(args, (int64_t)i * 4, columns, scale), in.num_pieces,
                                  (int64_t)in.spans * SPAN_PIECE_WORDS);
        for (int distance = lanes / 2; distance > 0; distance /= 2)
            sum += __shfl_xor_sync(~0u, sum, distance);
        if (i % lanes == 0)
            in.sums[i / lanes] = sum;
    }
}

/* A lane's words of a span. */
template <int FORMAT> struct span_data {
    uint32_t words[span_words<FORMAT>];

    DEVICE_MEMBER void load(const ffai__cuda_matrix &m, int64_t unit, int span)
    {
        const int lane = threadIdx.x % WARP;
        const int64_t first = (unit * m.tiles + (int64_t)span * TILES) * lane_words<FORMAT> * WARP;
        if ((span + 1) * TILES <= m.tiles) {
            const uint4 *from = reinterpret_cast<const uint4 *>(m.words + first) + lane;
#pragma unroll
            for (int i = 0; i < span_words<FORMAT> / 4; i++) {
                const uint4 v = load_once(from + i * WARP);
                words[4 * i] = v.x;
                words[4 * i + 1] = v.y;
                words[4 * i + 2] = v.z;
                words[4 * i + 3] = v.w;
            }
            return;
        }
        const int count = (m.tiles - span * TILES) * lane_words<FORMAT>;
#pragma unroll
        for (int i = 0; i < span_words<FORMAT>; i++)
            words[i] = i < count ? load_once(m.words + first + i * WARP + lane) : 0;
    }
};

template <int SUBGROUPS> struct tile_sums {
    float c[SUBGROUPS][TILES][4];
};

/* Four steps of a tile, subgroup by subgroup. */
template <int SUBGROUPS>
DEVICE void multiply_pairs(tile_sums<SUBGROUPS> &sums, int tile, const uint32_t (&pairs)[PAIRS], const uint32_t (&x)[8])
{
#pragma unroll
    for (int step = 0; step < 4; step++) {
        const uint32_t a[4] = {pairs[4 * step], pairs[4 * step + 1], pairs[4 * step + 2], pairs[4 * step + 3]};
        mma_bf16(sums.c[step * SUBGROUPS / 4][tile], a, x[2 * step], x[2 * step + 1]);
    }
}

/* The pairs of a tile as bf16 numbers: part `part` of how many it takes to be exact. */
template <int FORMAT> constexpr int weight_pieces = FORMAT == FFAI__CUDA_F32   ? 3
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

template <int FORMAT, int SUBGROUPS>
DEVICE void multiply_span(tile_sums<SUBGROUPS> &sums, const uint32_t *words, const row_input &in, int span)
{
    const int lane = threadIdx.x % WARP;
    uint32_t x[3][8];
#pragma unroll
    for (int piece = 0; piece < 3; piece++) {
        if (piece < in.num_pieces) {
            const uint4 *from = reinterpret_cast<const uint4 *>(in.pieces + (piece * in.spans + span) * SPAN_PIECE_WORDS);
            const uint4 low = from[lane];
            const uint4 high = from[WARP + lane];
            x[piece][0] = low.x, x[piece][1] = low.y, x[piece][2] = low.z, x[piece][3] = low.w;
            x[piece][4] = high.x, x[piece][5] = high.y, x[piece][6] = high.z, x[piece][7] = high.w;
        }
    }
#pragma unroll
    for (int tile = 0; tile < TILES; tile++) {
#pragma unroll
        for (int part = 0; part < weight_pieces<FORMAT>; part++) {
            uint32_t pairs[PAIRS];
            unpack_pairs<FORMAT>(pairs, words + tile * lane_words<FORMAT>, part);
            take_out_magic<FORMAT>(pairs, in.num_pieces, part);
            multiply_pairs(sums, tile, pairs, x[0]);
            if (in.num_pieces > 1)
                multiply_pairs(sums, tile, pairs, x[1]);
            if (in.num_pieces > 2)
                multiply_pairs(sums, tile, pairs, x[2]);
        }
    }
}

/* A lane's own two of the sums of four tiles: those of tile t = lane % 4, of its lower block (column 2t of the sums) and
 * of its upper (column 2t + 1, in the rows of A that stand for the upper halves). */
template <int SUBGROUPS> DEVICE void own_sums(float (&lower), float (&upper), const tile_sums<SUBGROUPS> &sums, int q)
{
    const int t = threadIdx.x % 4;
    lower = t == 0 ? sums.c[q][0][0] : t == 1 ? sums.c[q][1][0] : t == 2 ? sums.c[q][2][0] : sums.c[q][3][0];
    upper = t == 0 ? sums.c[q][0][3] : t == 1 ? sums.c[q][1][3] : t == 2 ? sums.c[q][2][3] : sums.c[q][3][3];
}

template <int FORMAT, int SUBGROUPS>
DEVICE float span_result(const tile_sums<SUBGROUPS> &sums, const ffai__cuda_matrix &m, const row_input &in, int64_t unit,
                         int span)
{
    const int lane = threadIdx.x % WARP;
    float result = 0;
#pragma unroll
    for (int q = 0; q < SUBGROUPS; q++) {
        float own[2];
        own_sums(own[0], own[1], sums, q);
        if constexpr (is_affine<FORMAT>) {
            for (int half = 0; half < 2; half++) {
                const int block = lane % 4 * 2 + half;
                float scale;
                float bias;
                read_scale(&scale, &bias, &m, scale_index(&m, unit, span, lane / 4, block, q));
                const float sum = in.sums[(span * 8 + block) * SUBGROUPS + q];
                result = fmaf(scale, own[half] - magic_of<FORMAT>(in.num_pieces) * sum, fmaf(bias, sum, result));
            }
        } else {
            result += own[0] + own[1];
        }
    }
    return result;
}

template <int FORMAT, int SUBGROUPS>
DEVICE void multiply_unit_span(const ffai__cuda_matrix &m, const row_input &in, int64_t unit, int span, float *partial)
{
    span_data<FORMAT> data;
    data.load(m, unit, span);
    tile_sums<SUBGROUPS> sums = {};
    multiply_span<FORMAT>(sums, data.words, in, span);
    float result = span_result<FORMAT>(sums, m, in, unit, span);
    result += __shfl_xor_sync(~0u, result, 1);
    result += __shfl_xor_sync(~0u, result, 2);
    if (threadIdx.x % 4 == 0)
        partial[threadIdx.x % WARP / 4] = result;
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

DEVICE void finish_row(const ffai__cuda_product_row_args &args, const row_input &in, int64_t first, int64_t local, int row)
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

template <int FORMAT, int SUBGROUPS> DEVICE void product_row(const ffai__cuda_product_row_args &args)
{
    DYNAMIC_SHARED(uint32_t, shared);
    const int spans = args.parts[0].matrix.spans;
    row_input in;
    in.spans = spans;
    in.num_pieces = args.pieces;
    in.pieces = shared;
    in.sums = reinterpret_cast<float *>(shared + args.pieces * spans * SPAN_PIECE_WORDS);
    in.partials = in.sums + spans * 8 * SUBGROUPS;
    const int64_t first = (int64_t)blockIdx.x * args.units_a_block;
    const int64_t rest = count_units(args) - first;
    const int units = (int)(rest < args.units_a_block ? rest : args.units_a_block);
    wait_for_previous();
    if (args.of_outputs && !args.step.sizes->num_outputs)
        return;
    stage_input(in, args, SUBGROUPS);
    __syncthreads();
    for (int item = threadIdx.x / WARP; item < units * spans; item += ROW_WARPS) {
        int64_t unit = first + item / spans;
        const int part = part_of_unit(args, &unit);
        multiply_unit_span<FORMAT, SUBGROUPS>(args.parts[part].matrix, in, unit, item % spans,
                                              in.partials + (int64_t)item * UNIT);
    }
    let_next_begin();
    __syncthreads();
    for (int i = threadIdx.x; i < units * UNIT; i += ROW_THREADS) {
        if (!args.swiglu)
            finish_row(args, in, first, i / UNIT, i % UNIT);
        else if (i / UNIT % 2 == 0)
            finish_swiglu(args, in, first, i / UNIT, i % UNIT);
    }
}

#endif
