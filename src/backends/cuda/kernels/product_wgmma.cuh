/* Prompts through matrices by wgmma: y[t] = W x[t], 128 rows of the matrix and up to 256 of x in a block of threads.
 *
 * One warp brings words of the matrix, and x as prepare.cu laid it out, to rings in shared memory; x for a cluster of
 * blocks, each of which reads its part of it for all. Two groups of four warps multiply, a warp 16 rows of the matrix,
 * two units: their pairs, in registers, are wgmma's A as they are mma.sync's; x in shared memory is its B. Sums over
 * columns are one warp's, in order: a row's result depends on the matrix's columns alone.
 *
 * For swiglu a warp's two units are the same rows of two matrices. */
#ifndef FFAI_CUDA_PRODUCT_WGMMA_CUH
#define FFAI_CUDA_PRODUCT_WGMMA_CUH

#include "product_rows.cuh"

enum {
    GROUP_WARPS = 4,
    GROUP_THREADS = GROUP_WARPS * WARP,
    GROUPS = 2, /* that multiply; of a third one the first warp brings the matrices, the second x */
    WGMMA_THREADS = FFAI__CUDA_WGMMA_THREADS,
    WGMMA_CLUSTER = FFAI__CUDA_WGMMA_CLUSTER,
    X_BYTES = FFAI__CUDA_BLOCK_COLUMNS * 2 /* of a row of x in a stage */
};

#ifdef HAS_GROUP_PRODUCTS

/* Stages in shared memory that the bringing warp fills and the multiplying ones read, one after the other. What is for
 * several BLOCKS of a cluster is filled in all of them at once, when it has been read in all. */
template <int STAGES, int BLOCKS> struct stage_ring {
    uint64_t *full, *empty; /* [STAGES] */
    int stage, parity;      /* where its user is */

    DEVICE_MEMBER void make(uint64_t *barriers)
    {
        full = barriers;
        empty = barriers + STAGES;
        stage = parity = 0;
    }
    DEVICE_MEMBER void open() const
    {
        for (int i = 0; i < STAGES; i++) {
            barrier_make(full + i, 1);
            barrier_make(empty + i, GROUPS * GROUP_WARPS * BLOCKS);
        }
    }
    DEVICE_MEMBER void go_on(int count = 1)
    {
        stage += count;
        if (stage >= STAGES) {
            stage -= STAGES;
            parity ^= 1;
        }
    }
    DEVICE_MEMBER void wait() const
    {
        barrier_wait(full + stage, parity);
    }
    /* `count` stages from the one `from` behind this one on are there. */
    DEVICE_MEMBER void wait_for(int from, int count) const
    {
        stage_ring ahead = *this;
        ahead.go_on(from);
#pragma unroll
        for (int i = 0; i < count; i++) {
            ahead.wait();
            ahead.go_on();
        }
    }
    /* Until it may be filled. */
    DEVICE_MEMBER void wait_for_room() const
    {
        barrier_wait(empty + stage, parity ^ 1);
    }
    /* By a warp: it has read `count` stages, the first of which is `from` behind this one. */
    DEVICE_MEMBER void give_back(int from, int count) const
    {
        constexpr int share = WARP / BLOCKS; /* lanes for each block */
        __syncwarp();
#pragma unroll
        for (int i = 0; i < count; i++) {
            int at = stage + from + i;
            if (from < 0)
                at += at < 0 ? STAGES : 0;
            else if (from + i > 0)
                at -= at >= STAGES ? STAGES : 0;
            if (threadIdx.x % share != 0)
                continue;
            if (BLOCKS > 1)
                barrier_arrive_at(empty + at, threadIdx.x % WARP / share);
            else
                barrier_arrive(empty + at);
        }
    }
};

/* A block's shared memory. x: a stage has 64 columns of one piece, or 64 sums of subgroups. Weights: a stage has of all
 * units the words of some tiles of columns, of a span where a tile's words are not 16 bytes a lane; and the span's
 * scales. */
template <int FORMAT, int SUBGROUPS> struct wgmma_shared {
    static constexpr int rows = FFAI__CUDA_WGMMA_ROWS(FORMAT);
    static constexpr int x_stages = FFAI__CUDA_WGMMA_X_STAGES(FORMAT, SUBGROUPS);
    static constexpr int weight_stages = FFAI__CUDA_WGMMA_WEIGHT_STAGES;
    static constexpr int tiles = FFAI__CUDA_WGMMA_STAGE_TILES(FORMAT); /* of a stage of weights */
    static constexpr int unit_bytes = FFAI__CUDA_WGMMA_UNIT_BYTES(FORMAT, SUBGROUPS);
    uint8_t *x, *weights;
    stage_ring<x_stages, WGMMA_CLUSTER> x_ring;
    stage_ring<weight_stages, 1> weight_ring;

    DEVICE_MEMBER explicit wgmma_shared(uint8_t *shared)
    {
        x = shared;
        weights = x + x_stages * rows * X_BYTES;
        uint64_t *barriers =
            reinterpret_cast<uint64_t *>(weights + weight_stages * FFAI__CUDA_WGMMA_UNITS * unit_bytes);
        x_ring.make(barriers);
        weight_ring.make(barriers + 2 * x_stages);
    }
    DEVICE_MEMBER void open() const
    {
        x_ring.open();
        weight_ring.open();
    }
    DEVICE_MEMBER uint8_t *weights_of(int unit) const
    {
        return weights + (weight_ring.stage * FFAI__CUDA_WGMMA_UNITS + unit) * unit_bytes;
    }
    DEVICE_MEMBER uint8_t *scales_of(int unit) const
    {
        return weights_of(unit) + lane_words<FORMAT> * tiles * WARP * 4;
    }
};

/* A block's part of the work. */
typedef struct wgmma_frame {
    const ffai__cuda_product_wgmma_args *args;
    int number;         /* of the block's part; of swiglu's two 0 */
    int64_t first_unit; /* of the block, in each part */
    int warp;           /* of the block: one number for all lanes, which the compiler knows */
    int64_t unit;       /* the warp's first */
    int scale_format;   /* of both matrices of swiglu */
    bool wide;          /* it has 32 bits */
    uint32_t none;      /* 0, which nvcc does not know */
    int first_tile;     /* of rows of x, and how many there are */
    int num_tiles;
    int rank; /* of the block in its cluster */
    int64_t num_rows;
    int tiles; /* of columns */
} wgmma_frame;

/* What unit i of a warp is of, and its number there. */
DEVICE const ffai__cuda_part &part_of(const wgmma_frame &f, int i)
{
    return f.args->parts[f.args->swiglu ? i : f.number];
}

DEVICE int64_t unit_of(const wgmma_frame &f, int i)
{
    return f.args->swiglu ? f.unit : f.unit + i;
}

/* Block `block` of 64 columns, or of sums, of all pieces. By one thread. */
template <int FORMAT, int SUBGROUPS>
DEVICE void bring_x(wgmma_shared<FORMAT, SUBGROUPS> &shared, const wgmma_frame &f, const void *from, int block,
                    int blocks, int pieces)
{
    const int first = f.num_tiles * f.rank / WGMMA_CLUSTER;
    const int count = f.num_tiles * (f.rank + 1) / WGMMA_CLUSTER - first; /* this block's part for all */
    for (int piece = 0; piece < pieces; piece++) {
        const int64_t tile = ((int64_t)piece * blocks + block) * f.args->row_tiles + f.first_tile + first;
        uint64_t *full = shared.x_ring.full + shared.x_ring.stage;
        shared.x_ring.wait_for_room();
        barrier_arrive_with(full, (uint32_t)f.num_tiles * FFAI__CUDA_X_TILE_BYTES);
        if (count > 0)
            copy_bulk_to_all<WGMMA_CLUSTER>(shared.x + shared.x_ring.stage * shared.rows * X_BYTES +
                                                first * FFAI__CUDA_X_TILE_BYTES,
                                            static_cast<const uint8_t *>(from) + tile * FFAI__CUDA_X_TILE_BYTES,
                                            (uint32_t)count * FFAI__CUDA_X_TILE_BYTES, full);
        shared.x_ring.go_on();
    }
}

/* A stage of weights, from tile `tile` on. By a warp: each lane brings a unit's words, or its scales. */
template <int FORMAT, int SUBGROUPS>
DEVICE void bring_weights(wgmma_shared<FORMAT, SUBGROUPS> &shared, const wgmma_frame &f, int tile)
{
    const int number = threadIdx.x % FFAI__CUDA_WGMMA_UNITS;
    const bool scales = threadIdx.x % WARP >= FFAI__CUDA_WGMMA_UNITS;
    const ffai__cuda_matrix &m = part_of(f, number % 2).matrix;
    const int64_t unit = f.first_unit + (f.args->swiglu ? number / 2 : number);
    const int tiles = m.tiles - tile < shared.tiles ? m.tiles - tile : shared.tiles;
    const bool there = unit < m.units && (is_affine<FORMAT> || !scales);
    const uint32_t span_bytes = 256 * SUBGROUPS * (f.wide ? 2 : 1); /* of scales */
    const uint32_t bytes = scales ? span_bytes : (uint32_t)(tiles * lane_words<FORMAT> * WARP * 4);
    const uint32_t all = __reduce_add_sync(~0u, there ? bytes : 0);
    uint64_t *full = shared.weight_ring.full + shared.weight_ring.stage;
    if (threadIdx.x % WARP == 0) {
        shared.weight_ring.wait_for_room();
        barrier_arrive_with(full, all);
    }
    __syncwarp();
    if (there && scales)
        copy_bulk(shared.scales_of(number),
                  reinterpret_cast<const uint8_t *>(m.scales) + (unit * m.spans + tile / TILES) * span_bytes, bytes,
                  full);
    else if (there)
        copy_bulk(shared.weights_of(number), m.words + (unit * m.tiles + tile) * lane_words<FORMAT> * WARP, bytes,
                  full);
    shared.weight_ring.go_on();
}

/* By a warp: all words and scales, in order. */
template <int FORMAT, int SUBGROUPS>
DEVICE void bring_matrices(wgmma_shared<FORMAT, SUBGROUPS> &shared, const wgmma_frame &f)
{
    for (int tile = 0; tile < f.tiles; tile += shared.tiles)
        bring_weights(shared, f, tile);
}

/* By one thread of another warp, so that neither waits for room for the other's: all of x, and its sums. */
template <int FORMAT, int SUBGROUPS, int PIECES>
DEVICE void bring_columns(wgmma_shared<FORMAT, SUBGROUPS> &shared, const wgmma_frame &f)
{
    const int spans = f.args->parts[0].matrix.spans;
    const int sums = FFAI__CUDA_SUM_BLOCKS(spans, SUBGROUPS);
    for (int block = 0; block < 2 * f.tiles; block++)
        bring_x(shared, f, f.args->pieces, block, spans * 8, PIECES);
    for (int block = 0; is_affine<FORMAT> && block < sums; block++)
        bring_x(shared, f, f.args->sums, block, sums, FFAI__CUDA_SUM_PIECES(PIECES));
}

/* What a lane has of one tile of columns. */
template <int FORMAT> struct wgmma_weights {
    uint32_t words[2][lane_words<FORMAT>];
};

/* Words of tile `tile` of a unit as they lie in a stage: by fours, or, at a row's end, one by one (args.h). */
template <int FORMAT>
DEVICE void unit_words(uint32_t (&words)[lane_words<FORMAT>], const uint8_t *unit, int tile, bool by_four)
{
    if (by_four) {
        take_words<FORMAT>(words, unit, tile);
        return;
    }
#pragma unroll
    for (int i = 0; i < lane_words<FORMAT>; i++)
        words[i] =
            reinterpret_cast<const uint32_t *>(unit)[(tile * lane_words<FORMAT> + i) * WARP + threadIdx.x % WARP];
}

/* How many bf16 numbers a weight becomes: eight bits are one here, since products cost more than unpacking does. */
template <int FORMAT> constexpr int wgmma_parts = FORMAT == FFAI__CUDA_F32 ? 3 : FORMAT == FFAI__CUDA_F16 ? 2 : 1;

/* Half a tile, 64 columns, of 16 rows of the matrix as wgmma's A. */
template <int FORMAT> struct wgmma_operand {
    uint32_t a[wgmma_parts<FORMAT>][4][4];
};

template <int FORMAT, int HALF>
DEVICE void unpack_operand(wgmma_operand<FORMAT> &operand, const wgmma_weights<FORMAT> &weights, uint32_t none)
{
#pragma unroll
    for (int part = 0; part < wgmma_parts<FORMAT>; part++) {
        uint32_t pairs[2][PAIRS];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            unpack_pairs<FORMAT>(pairs[i], weights.words[i], part);
            if constexpr (FORMAT == 8)
                join_nibbles(pairs[i], weights.words[i]);
            else
                take_out_magic<FORMAT>(pairs[i], 3, part);
        }
        block_pairs<FORMAT>(operand.a[part], pairs[0], pairs[1], HALF);
#pragma unroll
        for (int step = 0; step < 4; step++) {
            /* Numbers that are taken as they are would stay in the registers that the next words are loaded to, and
             * these would wait for the products that read them. */
            if constexpr (FORMAT == FFAI__CUDA_BF16) {
                for (uint32_t &pair : operand.a[part][step])
                    pair ^= none;
            }
            settle(operand.a[part][step]);
        }
    }
}

/* A warp's work in the making. */
template <int FORMAT, int SUBGROUPS> struct wgmma_work {
    static constexpr int rows = FFAI__CUDA_WGMMA_ROWS(FORMAT);
    group_sums<rows> results;
    group_sums<is_affine<FORMAT> ? rows : 2> sums; /* of a subgroup's columns */
    float scales[2];                               /* of the next subgroup, of the lane's two rows */
    wgmma_weights<FORMAT> weights;
    wgmma_operand<FORMAT> operands[2]; /* of the halves, which products read by turns */
    wgmma_shared<FORMAT, SUBGROUPS> shared;

    DEVICE_MEMBER explicit wgmma_work(const wgmma_shared<FORMAT, SUBGROUPS> &at) : results(), shared(at)
    {
    }
};

/* Whether the words of a tile lie by fours. */
template <int FORMAT> DEVICE bool is_by_four(const wgmma_frame &f, int tile)
{
    return lane_words<FORMAT> % 4 == 0 || (tile / TILES + 1) * TILES <= f.tiles;
}

/* Tile `tile` is about to be read from its stage, and has been. */
template <int FORMAT, int SUBGROUPS> DEVICE void enter_tile(const wgmma_shared<FORMAT, SUBGROUPS> &shared, int tile)
{
    if (tile % shared.tiles == 0)
        shared.weight_ring.wait();
}

template <int FORMAT, int SUBGROUPS>
DEVICE void leave_tile(wgmma_shared<FORMAT, SUBGROUPS> &shared, const wgmma_frame &f, int tile)
{
    if (tile % shared.tiles == shared.tiles - 1 || tile == f.tiles - 1) {
        shared.weight_ring.give_back(0, 1);
        shared.weight_ring.go_on();
    }
}

/* The scales of the lane's two rows, of subgroup q of half `half` of a tile. */
template <int FORMAT, int SUBGROUPS>
DEVICE void take_scales(float (&scales)[2], const wgmma_shared<FORMAT, SUBGROUPS> &shared, const wgmma_frame &f,
                        int tile, int half, int q)
{
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int pair = (threadIdx.x % WARP / 4 * 4 + tile % TILES) * 2 * SUBGROUPS + half * SUBGROUPS + q;
        const uint32_t *of_unit = reinterpret_cast<const uint32_t *>(shared.scales_of(f.warp * 2 + i));
        const uint32_t word = of_unit[f.wide ? 2 * pair : pair];
        const float narrow = scale_value(word & 0xFFFFu, f.scale_format); /* without branches, among products */
        scales[i] = f.wide ? float_of(word) : narrow;
    }
}

/* Half a tile through all pieces of x, added to the sums. */
template <int FORMAT, int SUBGROUPS, int PIECES>
DEVICE void start_products(group_sums<FFAI__CUDA_WGMMA_ROWS(FORMAT)> &sums, const wgmma_operand<FORMAT> &operand,
                           const wgmma_shared<FORMAT, SUBGROUPS> &shared)
{
    auto ring = shared.x_ring;
#pragma unroll
    for (int piece = 0; piece < PIECES; piece++) {
        ring.wait();
        const auto columns = group_columns(shared.x + ring.stage * shared.rows * X_BYTES);
        begin_products();
#pragma unroll
        for (int part = 0; part < wgmma_parts<FORMAT>; part++) {
#pragma unroll
            for (int step = 0; step < 4; step++)
                multiply_group(sums, operand.a[part][step], columns, step, true);
        }
        ring.go_on();
    }
    close_products();
}

/* Steps [FIRST, LAST) of half a tile of codes, through all pieces of x, which are there, to sums that begin anew. */
template <int FORMAT, int SUBGROUPS, int PIECES, int FIRST, int LAST>
DEVICE void start_code_products(group_sums<FFAI__CUDA_WGMMA_ROWS(FORMAT)> &sums, const wgmma_operand<FORMAT> &operand,
                                const wgmma_shared<FORMAT, SUBGROUPS> &shared)
{
    auto ring = shared.x_ring;
    begin_products();
#pragma unroll
    for (int piece = 0; piece < PIECES; piece++) {
        const auto columns = group_columns(shared.x + ring.stage * shared.rows * X_BYTES);
#pragma unroll
        for (int step = FIRST; step < LAST; step++)
            multiply_group(sums, operand.a[0][step], columns, step, step > FIRST || piece > 0);
        ring.go_on();
    }
    close_products();
}

/* The words of a tile, which is there. */
template <int FORMAT, int SUBGROUPS>
DEVICE void take_words_of_tile(wgmma_work<FORMAT, SUBGROUPS> &work, const wgmma_frame &f, int tile)
{
#pragma unroll
    for (int i = 0; i < 2; i++)
        unit_words<FORMAT>(work.weights.words[i], work.shared.weights_of(f.warp * 2 + i), tile % work.shared.tiles,
                           is_by_four<FORMAT>(f, tile));
}

/* The tile's stage of weights is left with all that is needed of it; the next one's words come. */
template <int FORMAT, int SUBGROUPS>
DEVICE void take_next_words(wgmma_work<FORMAT, SUBGROUPS> &work, const wgmma_frame &f, int tile)
{
    leave_tile(work.shared, f, tile);
    if (tile + 1 < f.tiles) {
        enter_tile(work.shared, tile + 1);
        take_words_of_tile(work, f, tile + 1);
    }
}

/* Behind the products of subgroup Q of half HALF of a tile: the scales of the next one, and, behind the half's last
 * one, the next half as numbers. */
template <int FORMAT, int SUBGROUPS, int HALF, int Q>
DEVICE void take_next(wgmma_work<FORMAT, SUBGROUPS> &work, const wgmma_frame &f, int tile)
{
    if constexpr (Q + 1 < SUBGROUPS) {
        take_scales(work.scales, work.shared, f, tile, HALF, Q + 1);
    } else if constexpr (HALF == 0) {
        take_scales(work.scales, work.shared, f, tile, 1, 0);
        unpack_operand<FORMAT, 1>(work.operands[1], work.weights, f.none);
        if constexpr (SUBGROUPS == 1)
            take_next_words(work, f, tile);
    } else {
        if constexpr (SUBGROUPS > 1)
            take_next_words(work, f, tile);
        if (tile + 1 < f.tiles) {
            take_scales(work.scales, work.shared, f, tile + 1, 0, 0);
            unpack_operand<FORMAT, 0>(work.operands[0], work.weights, f.none);
        }
    }
}

/* The subgroups of half a tile of codes, one after the other: results += scales * sums. Of the two groups of warps one
 * multiplies while the other scales; what the next subgroup needs is made while this one is multiplied. */
template <int FORMAT, int SUBGROUPS, int PIECES, int HALF, int Q>
DEVICE void take_subgroups(wgmma_work<FORMAT, SUBGROUPS> &work, const wgmma_frame &f, int tile)
{
    constexpr int first = Q * 4 / SUBGROUPS, last = (Q + 1) * 4 / SUBGROUPS;
    /* Where stages are few, those of the next columns would be waited for before there is room to bring them soon. */
    constexpr bool has_room = wgmma_shared<FORMAT, SUBGROUPS>::x_stages > 2 * PIECES;
    if (!has_room && Q == 0)
        work.shared.x_ring.wait_for(0, PIECES);
    settle(work.sums);
    start_code_products<FORMAT, SUBGROUPS, PIECES, first, last>(work.sums, work.operands[HALF], work.shared);
    const float scales[2] = {work.scales[0], work.scales[1]};
    take_next<FORMAT, SUBGROUPS, HALF, Q>(work, f, tile);
    if (has_room && Q + 1 == SUBGROUPS && (HALF == 0 || tile + 1 < f.tiles))
        work.shared.x_ring.wait_for(PIECES, PIECES);
    wait_for_products<0>();
    if constexpr (Q + 1 == SUBGROUPS)
        work.shared.x_ring.give_back(0, PIECES);
    settle(work.sums);
#pragma unroll
    for (int i = 0; i < work.rows / 2; i++)
        work.results.c[i] = fmaf(scales[i % 4 / 2], work.sums.c[i], work.results.c[i]);
    settle(work.results);
    if constexpr (Q + 1 < SUBGROUPS)
        take_subgroups<FORMAT, SUBGROUPS, PIECES, HALF, Q + 1>(work, f, tile);
}

template <int FORMAT, int SUBGROUPS, int PIECES, int HALF>
DEVICE void take_codes(wgmma_work<FORMAT, SUBGROUPS> &work, const wgmma_frame &f, int tile)
{
    take_subgroups<FORMAT, SUBGROUPS, PIECES, HALF, 0>(work, f, tile);
    work.shared.x_ring.go_on(PIECES);
}

/* Half a tile of numbers: its products are started, and the half before is done with. */
template <int FORMAT, int SUBGROUPS, int PIECES, int HALF>
DEVICE void take_numbers(wgmma_work<FORMAT, SUBGROUPS> &work, const wgmma_frame &f, int tile)
{
    unpack_operand<FORMAT, HALF>(work.operands[HALF], work.weights, f.none);
    start_products<FORMAT, SUBGROUPS, PIECES>(work.results, work.operands[HALF], work.shared);
    wait_for_products<1>();
    if (HALF > 0 || tile > 0)
        work.shared.x_ring.give_back(-PIECES, PIECES);
    work.shared.x_ring.go_on(PIECES);
}

/* The biases of a block of 64 sums (args.h) of the lane's rows, as they are stored: [step][place in A][two]. */
typedef struct wgmma_biases {
    uint32_t words[4][4][2];
} wgmma_biases;

/* Where the lane's row of unit i of the warp has its scales of the first span. A unit that is not there has the first
 * one's: its results are not kept. */
DEVICE const uint32_t *scales_of_row(const wgmma_frame &f, int i)
{
    const ffai__cuda_matrix &m = part_of(f, i).matrix;
    const int64_t unit = unit_of(f, i) < m.units ? unit_of(f, i) : 0;
    return m.scales + scale_index(&m, unit, 0, threadIdx.x % WARP / 4, 0, 0) * (f.wide ? 2 : 1);
}

/* Without branches, so that all loads are on their way together. Behind the last span is anything, but numbers: sums
 * are 0 there. */
template <int SUBGROUPS> DEVICE void load_biases(wgmma_biases &biases, const wgmma_frame &f, int block)
{
    const uint32_t *const scales[2] = {scales_of_row(f, 0), scales_of_row(f, 1)};
    const int width = f.wide ? 2 : 1;
    const int last = f.args->parts[0].matrix.spans - 1;
#pragma unroll
    for (int i = 0; i < 32; i++) { /* a place's two: of unit place % 2, subgroups n and n + 1 */
        const int place = i / 2 % 4;
        const int n = block * 16 + i / 8 * 4 + place / 2 * 2 + i % 2;
        const int span = n / (2 * SUBGROUPS) < last ? n / (2 * SUBGROUPS) : last;
        const int at = (span * 64 + threadIdx.x % 4 * 2) * SUBGROUPS + n % (2 * SUBGROUPS);
        biases.words[i / 8][place][i % 2] = __ldg(scales[place % 2] + width * at + (width - 1));
    }
}

/* Biases as bf16 numbers whose sum they are: of bf16 it is one. */
DEVICE uint32_t bias_pair(const uint32_t (&words)[2], const wgmma_frame &f, int piece)
{
    if (f.scale_format == FFAI__CUDA_SCALES_BF16)
        return words[0] >> 16 | (words[1] & 0xFFFF0000u);
    return piece_of(f.wide ? float_of(words[0]) : scale_value(words[0] >> 16, f.scale_format),
                    f.wide ? float_of(words[1]) : scale_value(words[1] >> 16, f.scale_format), piece);
}

/* results += biases, or a piece of them, * a stage of sums of x. */
template <int FORMAT, int SUBGROUPS>
DEVICE void multiply_bias_piece(wgmma_work<FORMAT, SUBGROUPS> &work, const wgmma_biases &biases, const wgmma_frame &f,
                                int piece)
{
    uint32_t a[4][4];
#pragma unroll
    for (int i = 0; i < 16; i++)
        a[i / 4][i % 4] = bias_pair(biases.words[i / 4][i % 4], f, piece);
#pragma unroll
    for (int step = 0; step < 4; step++)
        settle(a[step]);
    settle(work.results);
    const auto columns = group_columns(work.shared.x + work.shared.x_ring.stage * work.shared.rows * X_BYTES);
    begin_products();
#pragma unroll
    for (int step = 0; step < 4; step++)
        multiply_group(work.results, a[step], columns, step, true);
    close_products();
    wait_for_products<0>();
    settle(work.results);
}

template <int FORMAT, int SUBGROUPS, int PIECES>
DEVICE void multiply_biases(wgmma_work<FORMAT, SUBGROUPS> &work, const wgmma_frame &f)
{
    const int pieces = f.scale_format == FFAI__CUDA_SCALES_BF16 ? 1 : 3;
    const int blocks = FFAI__CUDA_SUM_BLOCKS(f.args->parts[0].matrix.spans, SUBGROUPS);
    for (int block = 0; block < blocks; block++) {
        wgmma_biases biases;
        load_biases<SUBGROUPS>(biases, f, block);
        for (int sum = 0; sum < FFAI__CUDA_SUM_PIECES(PIECES); sum++) {
            work.shared.x_ring.wait();
            for (int piece = 0; piece < pieces; piece++)
                multiply_bias_piece(work, biases, f, piece);
            work.shared.x_ring.give_back(0, 1);
            work.shared.x_ring.go_on();
        }
    }
}

/* The row of x and of the matrix that value `i` of tile `tile` is of. */
DEVICE int64_t x_row_of(const wgmma_frame &f, int tile, int i)
{
    return (int64_t)(f.first_tile + tile) * ROW_TILE + threadIdx.x % 4 * 2 + i % 2;
}

DEVICE int64_t matrix_row_of(const wgmma_frame &f, int i)
{
    return unit_of(f, i / 2) * UNIT + threadIdx.x % WARP / 4;
}

/* What belongs to each row of the matrix. */
template <int ROWS> DEVICE void add_bias(group_sums<ROWS> &results, const wgmma_frame &f)
{
    float bias[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const ffai__cuda_part &p = part_of(f, i);
        if (p.bias && matrix_row_of(f, 2 * i) < p.matrix.rows)
            bias[i] = p.bias[matrix_row_of(f, 2 * i)];
    }
#pragma unroll
    for (int i = 0; i < ROWS / 2; i++)
        results.c[i] += bias[i % 4 / 2];
}

/* y = sums + residual. Residuals are asked for many at a time, since y may be where they are. */
template <int ROWS> DEVICE void finish_group(group_sums<ROWS> &results, const wgmma_frame &f)
{
    enum { ALL = ROWS / ROW_TILE, TOGETHER = ALL <= 16 ? ALL : ALL / 2 }; /* tiles */
    static_assert(ALL % TOGETHER == 0, "no tile behind the last");
    const ffai__cuda_part &p = f.args->parts[f.number];
    const int64_t rows = p.matrix.rows;
#pragma unroll
    for (int first = 0; first < ALL; first += TOGETHER) {
        float residual[TOGETHER * 4] = {};
        if (p.residual) {
#pragma unroll
            for (int i = 0; i < TOGETHER * 4; i++) {
                const int64_t row = x_row_of(f, first + i / 4, i % 4);
                if (row < f.num_rows && matrix_row_of(f, i % 4) < rows)
                    residual[i] = p.residual[row * rows + matrix_row_of(f, i % 4)];
            }
        }
#pragma unroll
        for (int i = 0; i < TOGETHER * 4; i++) {
            const int64_t row = x_row_of(f, first + i / 4, i % 4);
            if (row < f.num_rows && matrix_row_of(f, i % 4) < rows)
                p.y[row * rows + matrix_row_of(f, i % 4)] = results.c[first * 4 + i] + residual[i];
        }
    }
}

/* Results of swiglu as a thread has them, of a row of the matrices: two of every tile of x. */
template <int ROWS> struct swiglu_results {
    static constexpr int tiles = ROWS / ROW_TILE;
    float v[tiles][2];
};

template <int ROWS> DEVICE void join_swiglu(swiglu_results<ROWS> &y, const group_sums<ROWS> &results)
{
#pragma unroll
    for (int i = 0; i < y.tiles * 2; i++)
        y.v[i / 2][i % 2] = silu_of(results.c[i / 2 * 4 + i % 2]) * results.c[i / 2 * 4 + 2 + i % 2];
}

template <int ROWS> DEVICE void store_swiglu(const swiglu_results<ROWS> &y, const wgmma_frame &f)
{
    const ffai__cuda_part &p = f.args->parts[0];
#pragma unroll
    for (int i = 0; i < y.tiles * 2; i++) {
        const int64_t row = x_row_of(f, i / 2, i);
        if (row < f.num_rows && matrix_row_of(f, 0) < p.matrix.rows)
            p.y[row * p.matrix.rows + matrix_row_of(f, 0)] = y.v[i / 2][i % 2];
    }
}

/* The sum of row `row` of a block of columns over its subgroup q. */
DEVICE float sum_of_piece(const uint8_t *piece, int row, int subgroups, int q)
{
    const int parts = 8 / subgroups;
    const uint4 *of_row = vectors_at<const uint4>(piece + row * X_BYTES);
    float sum = 0;
    for (int part = q * parts; part < (q + 1) * parts; part++) {
        const uint4 v = of_row[part ^ row % ROW_TILE];
        sum += (low_of_pair(v.x) + high_of_pair(v.x)) + (low_of_pair(v.y) + high_of_pair(v.y)) +
               ((low_of_pair(v.z) + high_of_pair(v.z)) + (low_of_pair(v.w) + high_of_pair(v.w)));
    }
    return sum;
}

/* Sums of the block's columns, a thread those of a row; the last block has those beyond the columns, which are 0. */
DEVICE void write_block_sums(const wgmma_frame &f, const uint8_t *pieces, int piece_bytes)
{
    const ffai__cuda_prepare_args &next = f.args->next;
    const int row = threadIdx.x;
    if (row >= f.num_tiles * ROW_TILE)
        return;
    const int64_t x_row = (int64_t)f.first_tile * ROW_TILE + row;
    for (int q = 0; q < next.subgroups; q++) {
        float sum = 0;
        for (int piece = 0; piece < next.num_pieces; piece++)
            sum += sum_of_piece(pieces + piece * piece_bytes, row, next.subgroups, q);
        write_sum_pieces(next, x_row, blockIdx.y, q, sum);
    }
    for (int block = gridDim.y; blockIdx.y == gridDim.y - 1 && block < prepared_blocks(next); block++) {
        for (int q = 0; q < next.subgroups; q++)
            write_sum_pieces(next, x_row, block, q, 0);
    }
}

/* Results as the next product's input: the block's rows of the matrices are 64 columns of it, in shared memory as in
 * the ring of x, then copied. */
template <int ROWS> DEVICE void pass_swiglu(swiglu_results<ROWS> &y, const wgmma_frame &f, uint8_t *staging)
{
    const ffai__cuda_prepare_args &next = f.args->next;
    const int column = (int)(matrix_row_of(f, 0) - f.first_unit * UNIT);
    const bool there = matrix_row_of(f, 0) < f.args->parts[0].matrix.rows;
    int step, t, place[2]; /* within a tile */
    step_of_column(column / 4 * 4, next.subgroups, &step, &t);
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int row = threadIdx.x % 4 * 2 + i;
        place[i] = row * X_BYTES + ((2 * step + column % 4 / 2) ^ row) * 16 + t * 4 + column % 2 * 2;
    }
    sync_some(1, GROUPS * GROUP_THREADS); /* all are done with the ring */
    for (int piece = 0; piece < next.num_pieces; piece++) {
#pragma unroll
        for (int i = 0; i < y.tiles * 2; i++) {
            const uint16_t bits = f32_to_bf16(there ? y.v[i / 2][i % 2] : 0);
            y.v[i / 2][i % 2] -= bf16_to_f32(bits);
            *reinterpret_cast<uint16_t *>(staging + piece * ROWS * X_BYTES + i / 2 * FFAI__CUDA_X_TILE_BYTES +
                                          place[i % 2]) = bits;
        }
    }
    sync_some(1, GROUPS * GROUP_THREADS);
    for (int piece = 0; piece < next.num_pieces; piece++) {
        const int64_t tile = ((int64_t)piece * next.spans * 8 + blockIdx.y) * next.row_tiles + f.first_tile;
        uint4 *to = vectors_at<uint4>(next.pieces + tile * (FFAI__CUDA_X_TILE_BYTES / 4));
        const uint4 *from = vectors_at<const uint4>(staging + piece * ROWS * X_BYTES);
        for (int i = threadIdx.x; i < f.num_tiles * (FFAI__CUDA_X_TILE_BYTES / 16); i += GROUPS * GROUP_THREADS)
            to[i] = from[i];
    }
    write_block_sums(f, staging, ROWS * X_BYTES);
}

template <int ROWS> DEVICE void finish_swiglu(const group_sums<ROWS> &results, const wgmma_frame &f, uint8_t *memory)
{
    swiglu_results<ROWS> y;
    join_swiglu(y, results);
    if (f.args->next.spans)
        pass_swiglu(y, f, memory);
    else
        store_swiglu(y, f);
}

/* The part that a block belongs to, and the units of it that this warp has. */
DEVICE void find_part(wgmma_frame &f)
{
    const ffai__cuda_product_wgmma_args &args = *f.args;
    while (!args.swiglu && f.number + 1 < args.num_parts && (int)blockIdx.y >= args.first_block[f.number + 1])
        f.number++;
    f.warp = warp_of_block();
    f.first_unit = args.swiglu ? (int64_t)blockIdx.y * (FFAI__CUDA_WGMMA_UNITS / 2)
                               : ((int64_t)blockIdx.y - args.first_block[f.number]) * FFAI__CUDA_WGMMA_UNITS;
    f.unit = f.first_unit + (args.swiglu ? f.warp : f.warp * 2);
}

/* Products of all columns by one group of warps, of codes and of numbers. */
template <int FORMAT, int SUBGROUPS, int PIECES>
DEVICE void multiply_codes(wgmma_work<FORMAT, SUBGROUPS> &work, const wgmma_frame &f)
{
    enter_tile(work.shared, 0);
    take_words_of_tile(work, f, 0);
    take_scales(work.scales, work.shared, f, 0, 0, 0);
    unpack_operand<FORMAT, 0>(work.operands[0], work.weights, f.none);
    work.shared.x_ring.wait_for(0, PIECES);
    for (int tile = 0; tile < f.tiles; tile++) {
        take_codes<FORMAT, SUBGROUPS, PIECES, 0>(work, f, tile);
        take_codes<FORMAT, SUBGROUPS, PIECES, 1>(work, f, tile);
    }
    multiply_biases<FORMAT, SUBGROUPS, PIECES>(work, f);
}

template <int FORMAT, int SUBGROUPS, int PIECES>
DEVICE void multiply_numbers(wgmma_work<FORMAT, SUBGROUPS> &work, const wgmma_frame &f)
{
    for (int tile = 0; tile < f.tiles; tile++) {
        enter_tile(work.shared, tile);
        take_words_of_tile(work, f, tile);
        leave_tile(work.shared, f, tile);
        take_numbers<FORMAT, SUBGROUPS, PIECES, 0>(work, f, tile);
        take_numbers<FORMAT, SUBGROUPS, PIECES, 1>(work, f, tile);
    }
    wait_for_products<0>();
    settle(work.results);
}

template <int FORMAT, int SUBGROUPS, int PIECES>
DEVICE void multiply_columns(const wgmma_shared<FORMAT, SUBGROUPS> &shared, const wgmma_frame &f)
{
    wgmma_work<FORMAT, SUBGROUPS> work(shared);
    if constexpr (is_affine<FORMAT>)
        multiply_codes<FORMAT, SUBGROUPS, PIECES>(work, f);
    else
        multiply_numbers<FORMAT, SUBGROUPS, PIECES>(work, f);
    arrive_at_cluster();
    add_bias(work.results, f);
    if (f.args->swiglu)
        finish_swiglu(work.results, f, work.shared.x);
    else
        finish_group(work.results, f);
}

/* The rows of x that the block has. False: none. */
DEVICE bool find_rows(wgmma_frame &f, int rows)
{
    f.num_rows = rows_of(f.args->step, f.args->of_outputs);
    f.first_tile = blockIdx.x * (rows / ROW_TILE);
    const int tiles = (int)((f.num_rows + ROW_TILE - 1) / ROW_TILE) - f.first_tile;
    f.num_tiles = tiles < rows / ROW_TILE ? tiles : rows / ROW_TILE;
    return f.num_tiles > 0;
}

template <int FORMAT, int SUBGROUPS, int PIECES> DEVICE void product_wgmma(const ffai__cuda_product_wgmma_args &args)
{
    PRODUCT_SHARED(memory);
    wgmma_shared<FORMAT, SUBGROUPS> shared(memory);
    wgmma_frame f = {};
    f.args = &args;
    f.none = (uint32_t)args.num_parts >> 8;
    find_part(f);
    f.tiles = args.parts[0].matrix.tiles;
    f.scale_format = args.parts[0].matrix.scale_format;
    f.wide = f.scale_format == FFAI__CUDA_SCALES_F32;
    if (threadIdx.x == 0) {
        shared.open();
        barriers_are_made();
    }
    let_next_begin();
    arrive_at_cluster();
    wait_for_cluster(); /* the barriers are there */
    wait_for_previous();
    if (!find_rows(f, shared.rows))
        return;
    f.rank = cluster_rank();
    if (f.warp >= GROUPS * GROUP_WARPS) {
        give_registers<is_affine<FORMAT> ? 24 : 40>();
        if (f.warp == GROUPS * GROUP_WARPS)
            bring_matrices(shared, f);
        else if (threadIdx.x == (GROUPS * GROUP_WARPS + 1) * WARP)
            bring_columns<FORMAT, SUBGROUPS, PIECES>(shared, f);
        arrive_at_cluster();
    } else {
        take_registers<is_affine<FORMAT> ? 240 : 232>();
        multiply_columns<FORMAT, SUBGROUPS, PIECES>(shared, f);
    }
    wait_for_cluster(); /* shared memory stays until the others have said their last about it */
}

#else

template <int FORMAT, int SUBGROUPS, int PIECES> DEVICE void product_wgmma(const ffai__cuda_product_wgmma_args &args)
{
    (void)args; /* the host knows that there is no wgmma */
}

#endif
#endif
