/* A few rows through a matrix, or through several over one input: y[t] = W x[t], up to 32 rows of x at a time. args.h
 * says how the work is shared out.
 *
 * A warp's 16 rows of the matrix are mma.sync's A, eight rows of x the 8 columns of its B. Its weights come through a
 * ring in shared memory, of which each lane reads what it has copied itself; x comes beside them, for all warps of the
 * block. Every part of a result is summed over its columns in order by one warp: a row's result depends on the matrix
 * and on how many parts there are alone. */
#ifndef FFAI_CUDA_PRODUCT_FEW_CUH
#define FFAI_CUDA_PRODUCT_FEW_CUH

#include "few_walk.cuh"

/* --- a stage --- */

/* A stage as a warp sees it. */
typedef struct few_stage {
    const uint8_t *words;
    const uint32_t *scales;
    const uint4 *input;
    const float *sums;
    int pieces;
    int room; /* of tiles of rows of x */
    int scale_format;
    int first; /* of its words in the first quad */
} few_stage;

template <int FORMAT, int SUBGROUPS> DEVICE few_stage find_stage(const few_frame &f, int slot_number, int number)
{
    const uint8_t *slot = f.shared + slot_number * f.stage_bytes;
    const uint8_t *input = slot + (int)blockDim.x / WARP * f.warp_bytes;
    few_stage stage;
    stage.pieces = f.args->num_pieces;
    stage.room = f.args->tiles;
    stage.scale_format = f.args->parts[0].matrix.scale_format;
    stage.words = slot + (int)threadIdx.x / WARP * f.warp_bytes;
    stage.scales = reinterpret_cast<const uint32_t *>(stage.words + FEW_UNITS * stage_quads<FORMAT> * 512);
    stage.input = vectors_at<const uint4>(input);
    stage.sums = reinterpret_cast<const float *>(input + f.args->tiles * stage.pieces * stage_tiles<FORMAT> * 2 * 1024);
    stage.first = number * stage_tiles<FORMAT> % TILES * lane_words<FORMAT> % 4;
    return stage;
}

/* Words `first` to `first + COUNT - 1` of a unit's quads. */
template <int COUNT> DEVICE void take_quads(uint32_t (&words)[COUNT], const uint8_t *unit, int first)
{
    const uint4 *from = vectors_at<const uint4>(unit) + threadIdx.x % WARP;
    if constexpr (COUNT % 4 == 0) {
#pragma unroll
        for (int i = 0; i < COUNT / 4; i++) {
            const uint4 v = from[(first / 4 + i) * WARP];
            words[4 * i] = v.x;
            words[4 * i + 1] = v.y;
            words[4 * i + 2] = v.z;
            words[4 * i + 3] = v.w;
        }
    } else if constexpr (COUNT % 2 == 0) {
#pragma unroll
        for (int i = 0; i < COUNT / 2; i++) {
            const int word = first + 2 * i;
            const uint2 v = vectors_at<const uint2>(from + word / 4 * WARP)[word % 4 / 2];
            words[2 * i] = v.x;
            words[2 * i + 1] = v.y;
        }
    } else {
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            const int word = first + i;
            words[i] = reinterpret_cast<const uint32_t *>(from + word / 4 * WARP)[word % 4];
        }
    }
}

/* A step's A for 16 rows: those of two units, of their lower or upper blocks. */
DEVICE void pair_units(uint32_t (&a)[4], const uint32_t (&upper)[PAIRS], const uint32_t (&lower)[PAIRS], int step,
                       int half)
{
    a[0] = upper[4 * step + half];
    a[1] = lower[4 * step + half];
    a[2] = upper[4 * step + 2 + half];
    a[3] = lower[4 * step + 2 + half];
}

/* Products of one step's A, for all rows of x; high: of the two steps that x is of, the second. */
template <int TILES>
DEVICE void multiply_step(few_sums<TILES> &sums, const uint32_t (&a)[4], const uint4 (&x)[TILES], bool high)
{
#pragma unroll
    for (int tile = 0; tile < TILES; tile++)
        mma_bf16(sums.c[tile], a, high ? x[tile].z : x[tile].x, high ? x[tile].w : x[tile].y);
}

/* x of steps 2h and 2h + 1 of a block of the stage. */
template <int FORMAT, int TILES>
DEVICE void take_rows(uint4 (&x)[TILES], const few_stage &stage, int piece, int block, int h)
{
#pragma unroll
    for (int tile = 0; tile < TILES; tile++)
        x[tile] = stage.input[(((tile * stage.pieces + piece) * stage_tiles<FORMAT> * 2 + block) * 2 + h) * WARP +
                              threadIdx.x % WARP];
}

/* Scales and biases of a block's subgroups, for the lane's row in each unit. */
template <int SUBGROUPS> struct few_scales {
    float scale[SUBGROUPS][FEW_UNITS];
    float bias[SUBGROUPS][FEW_UNITS];
};

/* COUNT words side by side: 1, 2, 4 or 8. */
template <int COUNT> DEVICE void take_words_beside(uint32_t (&words)[COUNT], const uint32_t *from)
{
    if constexpr (COUNT == 1) {
        words[0] = from[0];
    } else if constexpr (COUNT == 2) {
        const uint2 v = *vectors_at<const uint2>(from);
        words[0] = v.x, words[1] = v.y;
    } else {
#pragma unroll
        for (int i = 0; i < COUNT; i += 4) {
            const uint4 v = *vectors_at<const uint4>(from + i);
            words[i] = v.x, words[i + 1] = v.y, words[i + 2] = v.z, words[i + 3] = v.w;
        }
    }
}

/* Pairs of 32 bits. */
template <int SUBGROUPS> DEVICE void take_wide_scales(few_scales<SUBGROUPS> &to, const few_stage &stage, int block)
{
#pragma unroll
    for (int u = 0; u < FEW_UNITS; u++) {
        uint32_t pairs[2 * SUBGROUPS];
        take_words_beside(pairs, stage.scales + ((u * UNIT + threadIdx.x % WARP / 4) * 4 + block) * (2 * SUBGROUPS));
#pragma unroll
        for (int q = 0; q < SUBGROUPS; q++) {
            to.scale[q][u] = float_of(pairs[2 * q]);
            to.bias[q][u] = float_of(pairs[2 * q + 1]);
        }
    }
}

/* Pairs of 16 bits. */
template <int SUBGROUPS> DEVICE void take_narrow_scales(few_scales<SUBGROUPS> &to, const few_stage &stage, int block)
{
    uint32_t pairs[FEW_UNITS][SUBGROUPS];
#pragma unroll
    for (int u = 0; u < FEW_UNITS; u++)
        take_words_beside(pairs[u], stage.scales + ((u * UNIT + threadIdx.x % WARP / 4) * 4 + block) * SUBGROUPS);
    if (stage.scale_format == FFAI__CUDA_SCALES_F16) {
#pragma unroll
        for (int i = 0; i < FEW_UNITS * SUBGROUPS; i++) {
            const uint32_t pair = pairs[i % FEW_UNITS][i / FEW_UNITS];
            to.scale[i / FEW_UNITS][i % FEW_UNITS] = f16_to_f32((uint16_t)pair);
            to.bias[i / FEW_UNITS][i % FEW_UNITS] = f16_to_f32((uint16_t)(pair >> 16));
        }
        return;
    }
#pragma unroll
    for (int i = 0; i < FEW_UNITS * SUBGROUPS; i++) {
        const uint32_t pair = pairs[i % FEW_UNITS][i / FEW_UNITS];
        to.scale[i / FEW_UNITS][i % FEW_UNITS] = low_of_pair(pair);
        to.bias[i / FEW_UNITS][i % FEW_UNITS] = high_of_pair(pair);
    }
}

/* ONE: inputs of one piece leave the magic number in the sums, which the bias then takes out. */
template <int FORMAT, int SUBGROUPS, bool ONE>
DEVICE void take_scales(few_scales<SUBGROUPS> &to, const few_stage &stage, int block)
{
    if (stage.scale_format == FFAI__CUDA_SCALES_F32)
        take_wide_scales(to, stage, block);
    else
        take_narrow_scales(to, stage, block);
    if constexpr (ONE) {
#pragma unroll
        for (int q = 0; q < SUBGROUPS; q++) {
#pragma unroll
            for (int u = 0; u < FEW_UNITS; u++)
                to.bias[q][u] = fmaf(-magic_of<FORMAT>(1), to.scale[q][u], to.bias[q][u]);
        }
    }
}

/* What a subgroup's sums are worth. */
template <int FORMAT, int SUBGROUPS, int TILES>
DEVICE void scale_few(few_sums<TILES> &results, const few_sums<TILES> &sums, const few_scales<SUBGROUPS> &scales,
                      const few_stage &stage, int block, int q)
{
#pragma unroll
    for (int tile = 0; tile < TILES; tile++) {
        const float2 x = *vectors_at<const float2>(
            stage.sums + ((tile * stage_tiles<FORMAT> * 2 + block) * SUBGROUPS + q) * ROW_TILE + threadIdx.x % 4 * 2);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float &result = results.c[tile][i];
            result =
                fmaf(scales.scale[q][i / 2], sums.c[tile][i], fmaf(scales.bias[q][i / 2], i % 2 ? x.y : x.x, result));
        }
    }
}

/* Steps `first` to `first + STEPS - 1` of a block of codes. */
template <int FORMAT, bool ONE, int TILES, int STEPS>
DEVICE void multiply_codes(few_sums<TILES> &sums, const uint32_t (&words)[FEW_UNITS][lane_words<FORMAT>],
                           const few_stage &stage, int block, int first)
{
    constexpr int parts = weight_pieces<FORMAT>;
    uint32_t a[parts][STEPS][4];
#pragma unroll
    for (int part = 0; part < parts; part++) {
        uint32_t pairs[FEW_UNITS][PAIRS];
#pragma unroll
        for (int u = 0; u < FEW_UNITS; u++) {
            unpack_pairs<FORMAT>(pairs[u], words[u], part);
            take_out_magic<FORMAT>(pairs[u], ONE ? 1 : 3, part);
        }
#pragma unroll
        for (int s = 0; s < STEPS; s++)
            pair_units(a[part][s], pairs[0], pairs[1], first + s, block % 2);
    }
    for (int piece = 0; piece < (ONE ? 1 : stage.pieces); piece++) {
        uint4 x[TILES];
        take_rows<FORMAT>(x, stage, piece, block, first / 2);
#pragma unroll
        for (int s = 0; s < STEPS; s++) {
#pragma unroll
            for (int part = 0; part < parts; part++)
                multiply_step(sums, a[part][s], x, (first + s) % 2);
        }
    }
}

template <int FORMAT, int SUBGROUPS, bool ONE, int TILES>
DEVICE void multiply_affine(few_sums<TILES> &results, const few_stage &stage, int tile)
{
    constexpr int together = SUBGROUPS == 4 ? 1 : 2; /* steps */
    uint32_t words[FEW_UNITS][lane_words<FORMAT>];
#pragma unroll
    for (int u = 0; u < FEW_UNITS; u++)
        take_quads(words[u], stage.words + u * stage_quads<FORMAT> * 512, stage.first + tile * lane_words<FORMAT>);
#pragma unroll
    for (int half = 0; half < 2; half++) {
        few_sums<TILES> sums;
        few_scales<SUBGROUPS> scales;
        take_scales<FORMAT, SUBGROUPS, ONE>(scales, stage, tile * 2 + half);
#pragma unroll
        for (int step = 0; step < 4; step += together) {
            if (step * SUBGROUPS % 4 == 0)
                sums = few_sums<TILES>();
            multiply_codes<FORMAT, ONE, TILES, together>(sums, words, stage, tile * 2 + half, step);
            if ((step + together) * SUBGROUPS % 4 == 0)
                scale_few<FORMAT>(results, sums, scales, stage, tile * 2 + half, step * SUBGROUPS / 4);
        }
    }
}

/* A step's A of numbers, of both halves of a tile. */
DEVICE void pair_numbers(uint32_t (&a)[2][4], const uint32_t (&pairs)[FEW_UNITS][4])
{
#pragma unroll
    for (int i = 0; i < 8; i++)
        a[i / 4][i % 4] = pairs[i % 2][i / 4 + i % 4 / 2 * 2];
}

/* Of numbers: both blocks of a tile, of which a step's stand side by side. */
template <int FORMAT, bool ONE, int TILES>
DEVICE void multiply_numbers(few_sums<TILES> &results, const few_stage &stage, int h, int part)
{
    constexpr int step_words = lane_words<FORMAT> / 4;
    uint32_t a[2][2][4]; /* [step][half] */
#pragma unroll
    for (int s = 0; s < 2; s++) {
        uint32_t pairs[FEW_UNITS][4];
#pragma unroll
        for (int u = 0; u < FEW_UNITS; u++) {
            uint32_t words[step_words];
            take_quads(words, stage.words + u * stage_quads<FORMAT> * 512, (2 * h + s) * step_words);
#pragma unroll
            for (int p = 0; p < 4; p++)
                pairs[u][p] = number_pair<FORMAT>(words, p, part);
        }
        pair_numbers(a[s], pairs);
    }
    for (int piece = 0; piece < (ONE ? 1 : stage.pieces); piece++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            uint4 x[TILES];
            take_rows<FORMAT>(x, stage, piece, half, h);
            multiply_step(results, a[0][half], x, false);
            multiply_step(results, a[1][half], x, true);
        }
    }
}

template <int FORMAT, int SUBGROUPS, bool ONE, int TILES>
DEVICE void multiply_stage(few_sums<TILES> &results, const few_frame &f, const few_place &at)
{
    const few_stage stage = find_stage<FORMAT, SUBGROUPS>(f, at.slot, at.stage);
    if constexpr (is_affine<FORMAT>) {
        const int rest = f.args->parts[0].matrix.tiles - at.stage * stage_tiles<FORMAT>;
#pragma unroll 1
        for (int tile = 0; tile < stage_tiles<FORMAT> && tile < rest; tile++)
            multiply_affine<FORMAT, SUBGROUPS, ONE>(results, stage, tile);
    } else {
        for (int h = 0; h < 2; h++) {
#pragma unroll
            for (int part = 0; part < weight_pieces<FORMAT>; part++)
                multiply_numbers<FORMAT, ONE>(results, stage, h, part);
        }
    }
}

/* What a warp makes of an item, stage by stage. */
template <int FORMAT, int SUBGROUPS, bool ONE, int TILES> struct few_products {
    static constexpr int grouped = 0; /* pieces of x, where it lies as multiply_group wants it */
    few_sums<TILES> results;

    DEVICE_MEMBER few_products() : results()
    {
    }
    /* What the thread has copied is there for whoever multiplies, behind a barrier. */
    DEVICE_MEMBER static void publish()
    {
    }
    DEVICE_MEMBER void take_stage(const few_frame &f, const few_place &at)
    {
        multiply_stage<FORMAT, SUBGROUPS, ONE>(results, f, at);
    }
    DEVICE_MEMBER few_sums<TILES> &finish()
    {
        return results;
    }
};

template <int FORMAT, int SUBGROUPS, bool ONE> DEVICE void product_few(const ffai__cuda_product_few_args &args)
{
    DYNAMIC_SHARED(uint8_t, shared);
    walk_few<FORMAT, SUBGROUPS, ONE, few_products>(args, shared);
}

#endif
