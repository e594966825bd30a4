/* A few rows through matrices by wgmma, shared out as product_few's are (args.h), in groups of four warps: y[t] = W
 * x[t].
 *
 * A warp's 16 rows of the matrix, as numbers in registers, are its rows of wgmma's A; x in shared memory is its B, in
 * one piece or in two. While the columns of one subgroup are multiplied, the sums of the one before it are scaled and
 * the next codes become numbers. */
#ifndef FFAI_CUDA_PRODUCT_GROUP_CUH
#define FFAI_CUDA_PRODUCT_GROUP_CUH

#include "product_few.cuh"

#ifdef HAS_GROUP_PRODUCTS

/* Half a tile, 64 columns, of the warp's rows, in steps. */
typedef struct group_operand {
    uint32_t a[4][4];
} group_operand;

/* Products of one step with a block of x, whose pieces are `stride` bytes apart; sums begin anew where it is `first`.
 */
template <int FORMAT, bool ONE, int COLUMNS>
DEVICE void multiply_step_group(group_sums<COLUMNS> &sums, const uint32_t (&a)[4], const few_stage &stage, int block,
                                int step, int first)
{
    const int stride = stage.room * stage_tiles<FORMAT> * 2 * FFAI__CUDA_X_TILE_BYTES;
    const uint8_t *columns =
        reinterpret_cast<const uint8_t *>(stage.input) + block * stage.room * FFAI__CUDA_X_TILE_BYTES;
#pragma unroll
    for (int piece = 0; piece < (ONE ? 1 : 2); piece++)
        multiply_group(sums, a, group_columns(columns + piece * stride), step, step > first || piece > 0);
}

/* --- codes --- */

/* Whether the magic number stays in the sums, where the bias takes it out. */
template <int FORMAT, bool ONE> constexpr bool keeps_magic = ONE &&FORMAT != 8;

template <int FORMAT, bool ONE, int HALF>
DEVICE void unpack_group(group_operand &operand, const uint32_t (&words)[FEW_UNITS][lane_words<FORMAT>])
{
    uint32_t pairs[FEW_UNITS][PAIRS];
#pragma unroll
    for (int u = 0; u < FEW_UNITS; u++) {
        unpack_pairs<FORMAT>(pairs[u], words[u], 0);
        if constexpr (FORMAT == 8)
            join_nibbles(pairs[u], words[u]);
        else
            take_out_magic<FORMAT>(pairs[u], ONE ? 1 : 3, 0);
    }
#pragma unroll
    for (int step = 0; step < 4; step++) {
        pair_units(operand.a[step], pairs[0], pairs[1], step, HALF);
        settle(operand.a[step]);
    }
}

/* What a warp makes of an item, stage by stage: of codes. The last subgroup's sums of a stage wait for the next stage
 * to be scaled. */
template <int FORMAT, int SUBGROUPS, bool ONE, int TILES> struct group_products {
    static constexpr int grouped = ONE ? 1 : 2;
    few_sums<TILES> results;
    group_sums<8 * TILES> sums[2]; /* of subgroups, by turns */
    float scale[2][FEW_UNITS];     /* theirs */
    group_operand operands[2];     /* of the halves of a tile */
    uint32_t words[FEW_UNITS][lane_words<FORMAT>];

    DEVICE_MEMBER group_products() : results(), sums(), scale()
    {
    }
    DEVICE_MEMBER static void publish()
    {
        publish_to_products();
    }

    DEVICE_MEMBER void take_words(const few_stage &stage, int tile)
    {
#pragma unroll
        for (int u = 0; u < FEW_UNITS; u++)
            take_quads(words[u], stage.words + u * stage_quads<FORMAT> * 512, stage.first + tile * lane_words<FORMAT>);
    }

    /* results += bias * sums of x, of a block. Its scales are kept for when its products are done. */
    DEVICE_MEMBER void take_block_scales(few_scales<SUBGROUPS> &scales, const few_stage &stage, int block)
    {
        take_scales<FORMAT, SUBGROUPS, keeps_magic<FORMAT, ONE>>(scales, stage, block);
#pragma unroll
        for (int q = 0; q < SUBGROUPS; q++) {
#pragma unroll
            for (int tile = 0; tile < TILES; tile++) {
                const float2 x = *vectors_at<const float2>(
                    stage.sums + ((tile * stage_tiles<FORMAT> * 2 + block) * SUBGROUPS + q) * ROW_TILE +
                    threadIdx.x % 4 * 2);
#pragma unroll
                for (int i = 0; i < 4; i++) {
                    float &result = results.c[tile][i];
                    result = fmaf(scales.bias[q][i / 2], i % 2 ? x.y : x.x, result);
                }
            }
        }
    }

    DEVICE_MEMBER void scale_sums(int turn)
    {
        settle(sums[turn]);
#pragma unroll
        for (int tile = 0; tile < TILES; tile++) {
#pragma unroll
            for (int i = 0; i < 4; i++)
                results.c[tile][i] = fmaf(scale[turn][i / 2], sums[turn].c[tile * 4 + i], results.c[tile][i]);
        }
    }

    /* Half a tile, behind which the next one's numbers are made. */
    template <int HALF> DEVICE_MEMBER void take_half(const few_stage &stage, int tile, int tiles)
    {
        constexpr int steps = 4 / SUBGROUPS;
        const int block = tile * 2 + HALF;
        few_scales<SUBGROUPS> scales;
#pragma unroll
        for (int q = 0; q < SUBGROUPS; q++) {
            const int turn = (HALF * SUBGROUPS + q) % 2;
            settle(sums[turn]);
            begin_products();
#pragma unroll
            for (int step = q * steps; step < (q + 1) * steps; step++)
                multiply_step_group<FORMAT, ONE>(sums[turn], operands[HALF].a[step], stage, block, step, q * steps);
            close_products();
            if (q == 0)
                take_block_scales(scales, stage, block);
            if (HALF > 0 || q > 0)
                wait_for_products<1>();
            scale_sums(1 - turn);
#pragma unroll
            for (int u = 0; u < FEW_UNITS; u++)
                scale[turn][u] = scales.scale[q][u];
            if (q == 0)
                unpack_next<HALF>(stage, tile, tiles);
        }
    }

    template <int HALF> DEVICE_MEMBER void unpack_next(const few_stage &stage, int tile, int tiles)
    {
        if constexpr (HALF == 0) {
            unpack_group<FORMAT, ONE, 1>(operands[1], words);
        } else if (tile + 1 < stage_tiles<FORMAT> && tile + 1 < tiles) {
            take_words(stage, tile + 1);
            unpack_group<FORMAT, ONE, 0>(operands[0], words);
        }
    }

    DEVICE_MEMBER void take_stage(const few_frame &f, const few_place &at)
    {
        const few_stage stage = find_stage<FORMAT, SUBGROUPS>(f, same_for_all(at.slot), at.stage);
        const int rest = f.args->parts[0].matrix.tiles - same_for_all(at.stage) * stage_tiles<FORMAT>;
        take_words(stage, 0);
        unpack_group<FORMAT, ONE, 0>(operands[0], words);
#pragma unroll
        for (int tile = 0; tile < stage_tiles<FORMAT>; tile++) {
            if (tile > 0 && tile >= rest)
                break;
            take_half<0>(stage, tile, rest);
            take_half<1>(stage, tile, rest);
            wait_for_products<0>(); /* before others write what they read; ptxas cannot follow it into the next tile */
            settle(sums[1]);
        }
    }

    DEVICE_MEMBER few_sums<TILES> &finish()
    {
        scale_sums(1);
        return results;
    }
};

/* --- numbers --- */

template <int FORMAT, bool ONE, int TILES> struct group_numbers {
    static constexpr int grouped = ONE ? 1 : 2;
    group_sums<8 * TILES> sums;
    few_sums<TILES> results;
    uint32_t a[2][2][2][4]; /* by turns: [step][half] */

    DEVICE_MEMBER group_numbers() : sums(), results()
    {
    }
    DEVICE_MEMBER static void publish()
    {
        publish_to_products();
    }

    /* Steps 2h and 2h + 1 of both halves of the tile. */
    template <int H> DEVICE_MEMBER void unpack(const few_stage &stage, int turn, int part)
    {
        constexpr int step_words = lane_words<FORMAT> / 4;
#pragma unroll
        for (int s = 0; s < 2; s++) {
            uint32_t pairs[FEW_UNITS][4];
#pragma unroll
            for (int u = 0; u < FEW_UNITS; u++) {
                uint32_t of_step[step_words];
                take_quads(of_step, stage.words + u * stage_quads<FORMAT> * 512, (2 * H + s) * step_words);
#pragma unroll
                for (int p = 0; p < 4; p++)
                    pairs[u][p] = number_pair<FORMAT>(of_step, p, part);
            }
            pair_numbers(a[turn][s], pairs);
            settle(a[turn][s][0]);
            settle(a[turn][s][1]);
        }
    }

    template <int H> DEVICE_MEMBER void take_steps(const few_stage &stage)
    {
#pragma unroll
        for (int part = 0; part < weight_pieces<FORMAT>; part++) {
            const int turn = (H * weight_pieces<FORMAT> + part) % 2;
            unpack<H>(stage, turn, part);
            settle(sums);
            begin_products();
#pragma unroll
            for (int s = 0; s < 2; s++) {
#pragma unroll
                for (int half = 0; half < 2; half++)
                    multiply_step_group<FORMAT, ONE>(sums, a[turn][s][half], stage, half, 2 * H + s, -1);
            }
            close_products();
            wait_for_products<1>(); /* the other turn's numbers are read */
        }
    }

    DEVICE_MEMBER void take_stage(const few_frame &f, const few_place &at)
    {
        const few_stage stage = find_stage<FORMAT, 1>(f, same_for_all(at.slot), at.stage);
        take_steps<0>(stage);
        take_steps<1>(stage);
        wait_for_products<0>(); /* before others write what they read */
        settle(sums);
    }

    DEVICE_MEMBER few_sums<TILES> &finish()
    {
#pragma unroll
        for (int tile = 0; tile < TILES; tile++) {
#pragma unroll
            for (int i = 0; i < 4; i++)
                results.c[tile][i] = sums.c[tile * 4 + i];
        }
        return results;
    }
};

template <bool ONE, int TILES>
struct group_products<FFAI__CUDA_BF16, 1, ONE, TILES> : group_numbers<FFAI__CUDA_BF16, ONE, TILES> {
};
template <bool ONE, int TILES>
struct group_products<FFAI__CUDA_F16, 1, ONE, TILES> : group_numbers<FFAI__CUDA_F16, ONE, TILES> {
};
template <bool ONE, int TILES>
struct group_products<FFAI__CUDA_F32, 1, ONE, TILES> : group_numbers<FFAI__CUDA_F32, ONE, TILES> {
};

template <int FORMAT, int SUBGROUPS, bool ONE> DEVICE void product_group(const ffai__cuda_product_few_args &args)
{
    PRODUCT_SHARED(shared);
    walk_few<FORMAT, SUBGROUPS, ONE, group_products>(args, shared);
}

#else

template <int FORMAT, int SUBGROUPS, bool ONE> DEVICE void product_group(const ffai__cuda_product_few_args &args)
{
    (void)args; /* the host knows that there is no wgmma */
}

#endif
#endif
