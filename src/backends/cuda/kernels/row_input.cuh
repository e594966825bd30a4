/* The input of a product of one row: loaded, times a norm's weights, split up, and laid out in shared memory. A block
 * of threads does it for itself, in a moment in which nothing else is done: every instruction here counts. */
#ifndef FFAI_CUDA_ROW_INPUT_CUH
#define FFAI_CUDA_ROW_INPUT_CUH

#include "tiles.cuh"

enum { ROW_WARPS = FFAI__CUDA_ROW_WARPS, ROW_THREADS = ROW_WARPS * WARP };

/* x in shared memory, as the second operand of the products, and what results are put together with. */
typedef struct row_input {
    uint32_t *pieces; /* [piece][span][2][lane][4 words]: steps 0 and 1, then 2 and 3, or see stage_integers */
    float *factors;   /* [span][8 blocks][1 + subgroups] the step of integers, then sums of x over subgroups */
    float *partials;  /* [units][spans][8] */
    float *squares;   /* [warps] sums of x's */
    int spans;
} row_input;

enum { SPAN_PIECE_WORDS = 256 };

/* What a thread takes of x at a time: the columns of a lane of a block, four for each step, loaded together. */
typedef struct row_batch {
    float4 v[4];
} row_batch;

/* Batches of x: one for each lane t of each block. */
DEVICE row_batch load_batch(const float *x, int batch, int64_t columns, int subgroups)
{
    row_batch loaded;
    const int block = batch / 4 * 64;
    const bool whole = block + 64 <= columns && columns % 4 == 0;
#pragma unroll
    for (int step = 0; step < 4; step++) {
        const int column = block + column_of_step(step, batch % 4, subgroups);
        if (whole)
            loaded.v[step] = *vectors_at<const float4>(x + column);
        else
            loaded.v[step] =
                make_float4(column < columns ? x[column] : 0, column + 1 < columns ? x[column + 1] : 0,
                            column + 2 < columns ? x[column + 2] : 0, column + 3 < columns ? x[column + 3] : 0);
    }
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

DEVICE row_batch weighted(const row_batch &x, const row_batch &weights)
{
    row_batch y;
#pragma unroll
    for (int step = 0; step < 4; step++)
        y.v[step] = make_float4(x.v[step].x * weights.v[step].x, x.v[step].y * weights.v[step].y,
                                x.v[step].z * weights.v[step].z, x.v[step].w * weights.v[step].w);
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
    uint4 *at = vectors_at<uint4>(in.pieces) + block / 8 * (SPAN_PIECE_WORDS / 4) + block % 8 * 4 + batch % 4;
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
        const float sum = quad_sum(sums[q]);
        if (there && batch % 4 == 0)
            in.factors[block * (1 + SUBGROUPS) + 1 + q] = sum;
    }
}

/* --- integers --- */

/* Whether products are of integers: codes, which become bytes with less ado than bf16 numbers, and inputs of 15 bits in
 * two bytes, with one step for a block of 64. That is as fine as two pieces of bf16, in half as many products as one.
 */
template <int FORMAT, int PIECES> constexpr bool is_integer = PIECES < 3 && is_affine<FORMAT>;

/* The largest magnitude of a batch; a number that is none stays so. */
DEVICE float most_of(const row_batch &x)
{
    float most = 0;
#pragma unroll
    for (int step = 0; step < 4; step++) {
        const float4 v = x.v[step];
        most = max_or_nan(most, max_or_nan(max_or_nan(fabsf(v.x), fabsf(v.y)), max_or_nan(fabsf(v.z), fabsf(v.w))));
    }
    most = max_or_nan(most, __shfl_xor_sync(~0u, most, 1));
    return max_or_nan(most, __shfl_xor_sync(~0u, most, 2));
}

/* Integers of a block: x = step * v, step a power of two, |v| at most 127 * 256 + 127 and, for the largest, about 2^14
 * or more. */
typedef struct block_step {
    float step, per_step;
} block_step;

DEVICE block_step step_of(float most)
{
    const uint32_t infinite = 0x7F800000u;
    const uint32_t least = 16u << 23;                            /* smaller numbers are nothing beside it */
    const uint32_t exponent = bits_of(most * 1.004f) & infinite; /* 2^15 / 1.004 is 32637.5 */
    const uint32_t e = exponent < least ? least : exponent;
    block_step s;
    s.step = exponent == infinite ? float_of(0x7FC00000u) : float_of(e - (14u << 23));
    s.per_step = float_of(((254u + 14u) << 23) - e);
    return s;
}

/* Of 1.5 * 2^23 + 128. Its unit is 1; and what is added to it then has as its second byte the first of two signed ones,
 * 256 * high + low, and as its lowest low + 128. */
enum { INTEGER_BITS = 0x4B400080 };

/* A batch as bytes, v = 256 * high + low, in the order in which words of codes have their columns (tiles.cuh), and the
 * block's factors. High and low are columns 2t and 2t + 1 of a product, whose sums lane t of four gets, where t is the
 * block's tile in its span. Of the span's eight blocks four are in the first product's columns and four in the second's
 * (multiply_pair in product_row.cuh). */
template <int FORMAT, int SUBGROUPS> DEVICE void stage_integers(const row_input &in, const row_batch &x, int batch)
{
    const int block = batch / 4;
    const bool there = block < in.spans * 8;
    const block_step s = step_of(most_of(x));
    uint32_t high[4];
    uint32_t low[4];
    int sums[SUBGROUPS] = {};
#pragma unroll
    for (int step = 0; step < 4; step++) {
        const float shift = float_of(INTEGER_BITS);
        const uint32_t a = bits_of(fmaf(x.v[step].x, s.per_step, shift));
        const uint32_t b = bits_of(fmaf(x.v[step].y, s.per_step, shift));
        const uint32_t c = bits_of(fmaf(x.v[step].z, s.per_step, shift));
        const uint32_t d = bits_of(fmaf(x.v[step].w, s.per_step, shift));
        sums[step * SUBGROUPS / 4] += (int)(a + b + c + d - 4u * INTEGER_BITS);
        const uint32_t ac = __byte_perm(a, c, 0x5140);
        const uint32_t bd = __byte_perm(b, d, 0x5140);
        low[step] = __byte_perm(ac, bd, 0x5410) ^ 0x80808080u;
        high[step] = __byte_perm(ac, bd, 0x7632);
    }
    const int t = block % 8 / 2;
    const int product = t % 2 ^ block % 2;
    uint4 *at = vectors_at<uint4>(in.pieces) + block / 8 * (SPAN_PIECE_WORDS / 4) + product * WARP + t * 8 + batch % 4;
    if (there) {
        at[0] = make_uint4(high[0], high[1], high[2], high[3]);
        at[4] = make_uint4(low[0], low[1], low[2], low[3]);
    }
    float *factors = in.factors + block * (1 + SUBGROUPS);
#pragma unroll
    for (int q = 0; q < SUBGROUPS; q++) {
        const int sum = quad_sum(sums[q]);
        if (there && batch % 4 == 0)
            factors[1 + q] = (float)sum * s.step;
    }
    if (there && batch % 4 == 0)
        factors[0] = block % 2 ? s.step * (1.0f / (1 << codes<FORMAT>::UPPER)) : s.step; /* code_bytes */
}

/* As much of x, or of the norm's weights, as a thread has on its way at once: every ROW_THREADS-th batch. */
enum { LOADS = 2 };

typedef struct row_loads {
    row_batch batches[LOADS];
} row_loads;

template <int SUBGROUPS> DEVICE row_loads load_batches(const float *x, int first, const row_input &in, int64_t columns)
{
    row_loads loads;
#pragma unroll
    for (int i = 0; i < LOADS; i++) {
        if ((first + i * ROW_THREADS) / WARP < in.spans)
            loads.batches[i] = load_batch(x, first + i * ROW_THREADS, columns, SUBGROUPS);
    }
    return loads;
}

/* Loaded batches of x, times the norm's weights if it has any, into shared memory. Returns the sum of x's squares. */
template <int FORMAT, int SUBGROUPS, int PIECES>
DEVICE float stage_batches(const row_input &in, row_loads &x, const row_loads &weights, int first, bool has_norm)
{
    float squares = 0;
#pragma unroll
    for (int i = 0; i < LOADS; i++) {
        const int batch = first + i * ROW_THREADS;
        if (batch / WARP >= in.spans)
            break;
        if (has_norm) {
            squares += squares_of(x.batches[i]);
            x.batches[i] = weighted(x.batches[i], weights.batches[i]);
        }
        if constexpr (is_integer<FORMAT, PIECES>)
            stage_integers<FORMAT, SUBGROUPS>(in, x.batches[i], batch);
        else
            stage_batch<SUBGROUPS, PIECES>(in, x.batches[i], batch, is_affine<FORMAT>);
    }
    return squares;
}

/* The warps' sums of x's squares, for result_scale. */
DEVICE void leave_squares(const row_input &in, float squares)
{
    squares = warp_sum(squares);
    if (threadIdx.x % WARP == 0)
        in.squares[threadIdx.x / WARP] = squares;
}

/* What results are multiplied with: 1, or the norm's factor. */
DEVICE float result_scale(const row_input &in, const ffai__cuda_product_row_args &args)
{
    if (!args.norm)
        return 1.0f;
    float squares = 0;
    for (int i = 0; i < ROW_WARPS; i++)
        squares += in.squares[i];
    return 1.0f / sqrtf(squares / (float)args.parts[0].matrix.columns + args.eps);
}

#endif
