/* Prompts through matrices by wgmma: y[t] = W x[t], 128 rows of the matrix and up to 256 of x in a block of threads.
 *
 * One warp brings words of the matrix, and x as prepare.cu laid it out, to rings in shared memory; x for a cluster of
 * blocks, each of which reads its part of it for all. Two groups of four warps multiply, a warp 16 rows of the matrix,
 * two units: their pairs, in registers, are wgmma's A as they are mma.sync's; x in shared memory is its B. Sums over
 * columns are one warp's, in order: a row's result depends on the matrix's columns alone.
 *
 * For swiglu the groups have the same 64 rows of two matrices. */
#ifndef FFAI_CUDA_PRODUCT_WGMMA_CUH
#define FFAI_CUDA_PRODUCT_WGMMA_CUH

#include "product_rows.cuh"

enum {
    GROUP_WARPS = 4,
    GROUP_THREADS = GROUP_WARPS * WARP,
    GROUPS = 2,
    GROUP_UNITS = FFAI__CUDA_WGMMA_UNITS / GROUPS,
    /* The third group's first warp brings the matrices, the second x; in few bits the others and the fourth group
     * unpack. */
    FIRST_UNPACKING = GROUPS * GROUP_WARPS + 2,
    UNPACKING = 2 + GROUP_WARPS,
    X_BYTES = FFAI__CUDA_BLOCK_COLUMNS * 2 /* of a row of x in a stage, and of codes */
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
    /* For so many warps that fill a stage, and that read it. */
    DEVICE_MEMBER void open(int fillers, int readers) const
    {
        for (int i = 0; i < STAGES; i++) {
            barrier_make(full + i, fillers);
            barrier_make(empty + i, readers * BLOCKS);
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
    static constexpr int cluster = FFAI__CUDA_WGMMA_CLUSTER(FORMAT);
    static constexpr int x_stages = FFAI__CUDA_WGMMA_X_STAGES(FORMAT, SUBGROUPS);
    static constexpr int code_stages = FFAI__CUDA_WGMMA_CODE_STAGES(FORMAT, SUBGROUPS);
    static constexpr int weight_stages = FFAI__CUDA_WGMMA_WEIGHT_STAGES;
    static constexpr int tiles = FFAI__CUDA_WGMMA_STAGE_TILES(FORMAT); /* of a stage of weights */
    static constexpr int unit_bytes = FFAI__CUDA_WGMMA_UNIT_BYTES(FORMAT, SUBGROUPS);
    uint8_t *x, *codes, *weights;
    stage_ring<x_stages, cluster> x_ring;
    stage_ring<code_stages, 1> code_ring;
    stage_ring<weight_stages, 1> weight_ring;

    DEVICE_MEMBER explicit wgmma_shared(uint8_t *shared)
    {
        x = shared;
        codes = x + x_stages * rows * X_BYTES;
        weights = codes + code_stages * FFAI__CUDA_WGMMA_CODE_BYTES;
        uint64_t *barriers =
            reinterpret_cast<uint64_t *>(weights + weight_stages * FFAI__CUDA_WGMMA_UNITS * unit_bytes);
        x_ring.make(barriers);
        weight_ring.make(barriers + 2 * x_stages);
        code_ring.make(barriers + 2 * x_stages + 2 * weight_stages);
    }
    DEVICE_MEMBER void open() const
    {
        constexpr int multiplying = GROUPS * GROUP_WARPS;
        x_ring.open(1, multiplying);
        weight_ring.open(1, is_affine<FORMAT> ? multiplying + UNPACKING : multiplying);
        code_ring.open(UNPACKING, multiplying);
    }
    DEVICE_MEMBER uint8_t *codes_of(int unit) const
    {
        return codes + code_ring.stage * FFAI__CUDA_WGMMA_CODE_BYTES + unit * UNIT * X_BYTES;
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
    int number;                  /* of the block's part; of swiglu's two 0 */
    const ffai__cuda_part *part; /* of this group of warps */
    int64_t first_unit;          /* of the block, in each part */
    int warp;                    /* of the block: one number for all lanes, which the compiler knows */
    int64_t unit;                /* the warp's first */
    int scale_format;            /* of both matrices of swiglu */
    bool wide;                   /* it has 32 bits */
    uint32_t none;               /* 0, which nvcc does not know */
    int first_tile;              /* of rows of x, and how many there are */
    int num_tiles;
    int rank; /* of the block in its cluster */
    int64_t num_rows;
    int tiles; /* of columns */
} wgmma_frame;

/* Block `block` of 64 columns, or of sums, of all pieces. By one thread. */
template <int FORMAT, int SUBGROUPS>
DEVICE void bring_x(wgmma_shared<FORMAT, SUBGROUPS> &shared, const wgmma_frame &f, const void *from, int block,
                    int blocks, int pieces)
{
    const int first = f.num_tiles * f.rank / shared.cluster;
    const int count = f.num_tiles * (f.rank + 1) / shared.cluster - first; /* this block's part for all */
    for (int piece = 0; piece < pieces; piece++) {
        const int64_t tile = ((int64_t)piece * blocks + block) * f.args->row_tiles + f.first_tile + first;
        uint64_t *full = shared.x_ring.full + shared.x_ring.stage;
        shared.x_ring.wait_for_room();
        barrier_arrive_with(full, (uint32_t)f.num_tiles * FFAI__CUDA_X_TILE_BYTES);
        if (count > 0)
            copy_bulk_to_all<shared.cluster>(shared.x + shared.x_ring.stage * shared.rows * X_BYTES +
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
    const ffai__cuda_matrix &m = f.args->parts[f.args->swiglu ? number / GROUP_UNITS : f.number].matrix;
    const int64_t unit = f.first_unit + (f.args->swiglu ? number % GROUP_UNITS : number);
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

/* How many bf16 numbers a weight becomes. */
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
    float scales[2]; /* of the next subgroup, of the lane's two rows */
    wgmma_weights<FORMAT> weights;
    wgmma_operand<FORMAT> operands[2]; /* of the halves, which dense products read by turns */
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
template <int FORMAT, int SUBGROUPS>
DEVICE void enter_tile(const wgmma_shared<FORMAT, SUBGROUPS> &shared, int tile)
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

/* The pairs of a lane's row of a unit, of 64 columns, to their places in a stage of codes: as ORDER_COLUMNS (args.h). */
template <int FORMAT, int SUBGROUPS>
DEVICE void write_codes(const wgmma_shared<FORMAT, SUBGROUPS> &shared, int unit, const uint32_t (&pairs)[8])
{
    const int row = threadIdx.x % WARP / 4, t = threadIdx.x % 4;
    uint8_t *of_row = shared.codes_of(unit) + row * X_BYTES;
    if constexpr (SUBGROUPS < 4) {
#pragma unroll
        for (int i = 0; i < 8; i += 4) {
            const int part = column_of_step(i / 2, t, SUBGROUPS) / 8;
            vectors_at<uint4>(of_row)[part ^ row] = make_uint4(pairs[i], pairs[i + 1], pairs[i + 2], pairs[i + 3]);
        }
    } else {
#pragma unroll
        for (int i = 0; i < 8; i += 2)
            vectors_at<uint2>(of_row)[((i + t / 2) ^ row) * 2 + t % 2] = make_uint2(pairs[i], pairs[i + 1]);
    }
}

/* By an unpacking warp: a stage of codes is written. */
template <int FORMAT, int SUBGROUPS> DEVICE void pass_codes(wgmma_shared<FORMAT, SUBGROUPS> &shared)
{
    publish_to_products();
    __syncwarp();
    if (threadIdx.x % WARP == 0)
        barrier_arrive(shared.code_ring.full + shared.code_ring.stage);
    shared.code_ring.go_on();
}

/* By an unpacking warp: half a tile of `UNITS` units from number `unit` on as bf16 numbers. */
template <int FORMAT, int SUBGROUPS, int UNITS, int HALF>
DEVICE void unpack_half(wgmma_shared<FORMAT, SUBGROUPS> &shared, const wgmma_frame &f, int tile, int unit)
{
    constexpr int together = lane_words<FORMAT> <= 4 ? UNITS : 1; /* as registers allow */
    shared.code_ring.wait_for_room();
#pragma unroll
    for (int first = 0; first < UNITS; first += together) {
        uint32_t words[together][lane_words<FORMAT>];
#pragma unroll
        for (int i = 0; i < together; i++)
            unit_words<FORMAT>(words[i], shared.weights_of(unit + first + i), tile % shared.tiles,
                               is_by_four<FORMAT>(f, tile));
#pragma unroll
        for (int i = 0; i < together; i++) {
            uint32_t pairs[PAIRS], own[8];
            unpack_pairs<FORMAT>(pairs, words[i], 0);
            if constexpr (FORMAT == 8)
                join_nibbles(pairs, words[i]);
            else
                take_out_magic<FORMAT>(pairs, 3, 0);
#pragma unroll
            for (int part = 0; part < 8; part++)
                own[part] = pairs[part * 2 + HALF];
            write_codes(shared, unit + first + i, own);
        }
    }
    pass_codes(shared);
}

template <int FORMAT, int SUBGROUPS, int UNITS>
DEVICE void unpack_columns(wgmma_shared<FORMAT, SUBGROUPS> &shared, const wgmma_frame &f, int unit)
{
    for (int tile = 0; tile < f.tiles; tile++) {
        enter_tile(shared, tile);
        unpack_half<FORMAT, SUBGROUPS, UNITS, 0>(shared, f, tile, unit);
        unpack_half<FORMAT, SUBGROUPS, UNITS, 1>(shared, f, tile, unit);
        leave_tile(shared, f, tile);
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

/* Steps [FIRST, LAST) of a stage of codes, which is there, through all pieces of x, to sums that begin anew. */
template <int FORMAT, int SUBGROUPS, int PIECES, int FIRST, int LAST>
DEVICE void start_code_products(group_sums<FFAI__CUDA_WGMMA_ROWS(FORMAT)> &sums,
                                const wgmma_shared<FORMAT, SUBGROUPS> &shared, const wgmma_frame &f)
{
    auto ring = shared.x_ring;
    const auto codes = group_columns(shared.codes_of(f.warp / GROUP_WARPS * GROUP_UNITS));
    begin_products();
#pragma unroll
    for (int piece = 0; piece < PIECES; piece++) {
        const auto columns = group_columns(shared.x + ring.stage * shared.rows * X_BYTES);
#pragma unroll
        for (int step = FIRST; step < LAST; step++)
            multiply_group_rows(sums, codes, columns, step, step > FIRST || piece > 0);
        ring.go_on();
    }
    close_products();
}

/* Until codes and x of the 64 columns `from` pieces ahead are there. */
template <int FORMAT, int SUBGROUPS, int PIECES>
DEVICE void wait_for_columns(const wgmma_shared<FORMAT, SUBGROUPS> &shared, int ahead)
{
    shared.code_ring.wait_for(ahead, 1);
    shared.x_ring.wait_for(ahead * PIECES, PIECES);
}

/* Scales of the subgroup behind q of half HALF of a tile: the next one, if there is one. The tile's stage of weights is
 * left with the scales of its last subgroup. */
template <int FORMAT, int SUBGROUPS, int HALF, int Q>
DEVICE void take_next_scales(float (&scales)[2], wgmma_shared<FORMAT, SUBGROUPS> &shared, const wgmma_frame &f,
                             int tile)
{
    if constexpr (Q + 1 < SUBGROUPS) {
        take_scales(scales, shared, f, tile, HALF, Q + 1);
    } else if constexpr (HALF == 0) {
        take_scales(scales, shared, f, tile, 1, 0);
    } else {
        leave_tile(shared, f, tile);
        if (tile + 1 < f.tiles) {
            enter_tile(shared, tile + 1);
            take_scales(scales, shared, f, tile + 1, 0, 0);
        }
    }
}

/* The subgroups of half a tile of codes, one after the other: results += scales * sums. Of the two groups of warps one
 * multiplies while the other scales. What can be done for the next subgroup is done while this one is multiplied. */
template <int FORMAT, int SUBGROUPS, int PIECES, int HALF, int Q>
DEVICE void take_subgroups(wgmma_work<FORMAT, SUBGROUPS> &work, const wgmma_frame &f, int tile)
{
    constexpr int first = Q * 4 / SUBGROUPS, last = (Q + 1) * 4 / SUBGROUPS;
    /* Where stages are few, those of the next columns would be waited for before there is room to bring them soon. */
    constexpr bool has_room = work.shared.x_stages > 2 * PIECES && work.shared.code_stages > 2;
    if (!has_room && Q == 0)
        wait_for_columns<FORMAT, SUBGROUPS, PIECES>(work.shared, 0);
    settle(work.sums);
    start_code_products<FORMAT, SUBGROUPS, PIECES, first, last>(work.sums, work.shared, f);
    const float scales[2] = {work.scales[0], work.scales[1]};
    take_next_scales<FORMAT, SUBGROUPS, HALF, Q>(work.scales, work.shared, f, tile);
    if (has_room && Q + 1 == SUBGROUPS && (HALF == 0 || tile + 1 < f.tiles))
        wait_for_columns<FORMAT, SUBGROUPS, PIECES>(work.shared, 1);
    wait_for_products<0>();
    if constexpr (Q + 1 == SUBGROUPS) {
        work.shared.code_ring.give_back(0, 1);
        work.shared.x_ring.give_back(0, PIECES);
    }
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
    work.shared.code_ring.go_on();
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
    const ffai__cuda_matrix &m = f.part->matrix;
    const int64_t unit = f.unit + i < m.units ? f.unit + i : 0;
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
    return (f.unit + i / 2) * UNIT + threadIdx.x % WARP / 4;
}

/* What belongs to each row of the matrix. */
template <int ROWS> DEVICE void add_bias(group_sums<ROWS> &results, const wgmma_frame &f)
{
    float bias[2] = {0, 0};
    for (int i = 0; i < 2 && f.part->bias; i++)
        bias[i] = matrix_row_of(f, 2 * i) < f.part->matrix.rows ? f.part->bias[matrix_row_of(f, 2 * i)] : 0;
#pragma unroll
    for (int i = 0; i < ROWS / 2; i++)
        results.c[i] += bias[i % 4 / 2];
}

/* y = sums + residual. Residuals are asked for many at a time, since y may be where they are. */
template <int ROWS> DEVICE void finish_group(group_sums<ROWS> &results, const wgmma_frame &f)
{
    enum { ALL = ROWS / ROW_TILE, TOGETHER = ALL <= 16 ? ALL : ALL / 2 }; /* tiles */
    static_assert(ALL % TOGETHER == 0, "no tile behind the last");
    const ffai__cuda_part &p = *f.part;
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

/* Results of swiglu as a thread has them: of half the block's rows of x. */
template <int ROWS> struct swiglu_results {
    static constexpr int tiles = ROWS / ROW_TILE / 2;
    float v[tiles * 4];
};

/* The groups have the same rows of gate and up: each gives the other's half of its columns to it. */
template <int ROWS> DEVICE void join_swiglu(swiglu_results<ROWS> &y, const group_sums<ROWS> &results, float *exchange)
{
    constexpr int count = swiglu_results<ROWS>::tiles * 4;
    const int group = threadIdx.x / GROUP_THREADS;
    const int thread = threadIdx.x % GROUP_THREADS;
    sync_some(1, GROUPS * GROUP_THREADS); /* all are done with the ring */
#pragma unroll
    for (int i = 0; i < count; i++)
        exchange[(group * count + i) * GROUP_THREADS + thread] = group == 0 ? results.c[count + i] : results.c[i];
    sync_some(1, GROUPS * GROUP_THREADS);
#pragma unroll
    for (int i = 0; i < count; i++) {
        const float own = group == 0 ? results.c[i] : results.c[count + i];
        const float other = exchange[((1 - group) * count + i) * GROUP_THREADS + thread];
        y.v[i] = group == 0 ? silu_of(own) * other : silu_of(other) * own;
    }
}

template <int ROWS> DEVICE void store_swiglu(const swiglu_results<ROWS> &y, const wgmma_frame &f)
{
    const ffai__cuda_part &p = f.args->parts[0];
    const int first = threadIdx.x / GROUP_THREADS * y.tiles;
#pragma unroll
    for (int i = 0; i < y.tiles * 4; i++) {
        const int64_t row = x_row_of(f, first + i / 4, i % 4);
        if (row < f.num_rows && matrix_row_of(f, i % 4) < p.matrix.rows)
            p.y[row * p.matrix.rows + matrix_row_of(f, i % 4)] = y.v[i];
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
    const int first = threadIdx.x / GROUP_THREADS * y.tiles;
    int place[4]; /* within a tile, of values i % 4 */
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int column = (int)(matrix_row_of(f, i) - f.first_unit * UNIT);
        const int row = threadIdx.x % 4 * 2 + i % 2;
        int step, t;
        step_of_column(column / 4 * 4, next.subgroups, &step, &t);
        place[i] = row * X_BYTES + (next.order == FFAI__CUDA_ORDER_COLUMNS
                                        ? (column / 8 ^ row) * 16 + column % 8 * 2
                                        : ((2 * step + column % 4 / 2) ^ row) * 16 + t * 4 + column % 2 * 2);
    }
    for (int piece = 0; piece < next.num_pieces; piece++) {
#pragma unroll
        for (int i = 0; i < y.tiles * 4; i++) {
            const bool there = matrix_row_of(f, i % 4) < f.part->matrix.rows;
            const uint16_t bits = f32_to_bf16(there ? y.v[i] : 0);
            y.v[i] -= bf16_to_f32(bits);
            *reinterpret_cast<uint16_t *>(staging + piece * ROWS * X_BYTES + (first + i / 4) * FFAI__CUDA_X_TILE_BYTES +
                                          place[i % 4]) = bits;
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
    join_swiglu(y, results, reinterpret_cast<float *>(memory));
    if (f.args->next.spans)
        pass_swiglu(y, f, memory + swiglu_results<ROWS>::tiles * 4 * 2 * GROUP_THREADS * sizeof(float));
    else
        store_swiglu(y, f);
}

/* The part that a block belongs to, and the units of it that this thread's group has. */
DEVICE void find_part(wgmma_frame &f)
{
    const ffai__cuda_product_wgmma_args &args = *f.args;
    f.warp = warp_of_block();
    const int group = f.warp / GROUP_WARPS % GROUPS;
    const int warp = f.warp % GROUP_WARPS;
    while (!args.swiglu && f.number + 1 < args.num_parts && (int)blockIdx.y >= args.first_block[f.number + 1])
        f.number++;
    f.part = &args.parts[args.swiglu ? group : f.number];
    f.first_unit = args.swiglu ? (int64_t)blockIdx.y * GROUP_UNITS
                               : ((int64_t)blockIdx.y - args.first_block[f.number]) * FFAI__CUDA_WGMMA_UNITS;
    f.unit = f.first_unit + (args.swiglu ? 0 : group * GROUP_UNITS) + warp * 2;
}

/* Products of all columns by one group of warps, of codes and of numbers. */
template <int FORMAT, int SUBGROUPS, int PIECES>
DEVICE void multiply_codes(wgmma_work<FORMAT, SUBGROUPS> &work, const wgmma_frame &f)
{
    enter_tile(work.shared, 0);
    take_scales(work.scales, work.shared, f, 0, 0, 0);
    wait_for_columns<FORMAT, SUBGROUPS, PIECES>(work.shared, 0);
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
#pragma unroll
        for (int i = 0; i < 2; i++)
            unit_words<FORMAT>(work.weights.words[i], work.shared.weights_of(f.warp * 2 + i),
                               tile % work.shared.tiles, is_by_four<FORMAT>(f, tile));
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

/* What the other warps do. The units that they unpack are shared out by threes in the fourth group, by twos in the
 * third. */
template <int FORMAT, int SUBGROUPS, int PIECES>
DEVICE void help_multiply(wgmma_shared<FORMAT, SUBGROUPS> &shared, const wgmma_frame &f)
{
    const int number = f.warp - FIRST_UNPACKING;
    give_registers<is_affine<FORMAT> ? 32 : 40>();
    if (f.warp == GROUPS * GROUP_WARPS) {
        bring_matrices(shared, f);
    } else if (number < 0) {
        if (threadIdx.x % WARP == 0)
            bring_columns<FORMAT, SUBGROUPS, PIECES>(shared, f);
    } else if constexpr (is_affine<FORMAT>) {
        if (number < 2)
            unpack_columns<FORMAT, SUBGROUPS, 2>(shared, f, 2 * number);
        else
            unpack_columns<FORMAT, SUBGROUPS, 3>(shared, f, 3 * number - 2);
    }
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
        help_multiply<FORMAT, SUBGROUPS, PIECES>(shared, f);
        arrive_at_cluster();
    } else {
        take_registers<is_affine<FORMAT> ? 224 : 232>();
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
