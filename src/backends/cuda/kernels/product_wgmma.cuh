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
    WGMMA_THREADS = FFAI__CUDA_WGMMA_THREADS,
    WGMMA_CLUSTER = FFAI__CUDA_WGMMA_CLUSTER,
    GROUP_UNITS = FFAI__CUDA_WGMMA_UNITS / GROUPS,
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
    /* Until it may be filled. */
    DEVICE_MEMBER void wait_for_room() const
    {
        barrier_wait(empty + stage, parity ^ 1);
    }
    /* By a warp: it has read `count` stages, the first of which is `from` behind this one. */
    DEVICE_MEMBER void give_back(int from, int count) const
    {
        __syncwarp();
        for (int i = 0; i < count; i++) {
            int at = stage + from + i;
            if (from < 0)
                at += at < 0 ? STAGES : 0;
            else
                at -= at >= STAGES ? STAGES : 0;
            if (BLOCKS > 1 && threadIdx.x % WARP < BLOCKS)
                barrier_arrive_at(empty + at, threadIdx.x % WARP);
            else if (BLOCKS == 1 && threadIdx.x % WARP == 0)
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
        x = on_product_boundary(shared);
        weights = x + x_stages * rows * X_BYTES;
        uint64_t *barriers =
            reinterpret_cast<uint64_t *>(weights + weight_stages * FFAI__CUDA_WGMMA_UNITS * unit_bytes);
        x_ring.make(barriers);
        weight_ring.make(barriers + 2 * x_stages);
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

/* Of the block's units the first one of this warp: groups have eight each, whosever they are. */
DEVICE int own_unit()
{
    return threadIdx.x / WARP * 2;
}

/* A block's part of the work. */
typedef struct wgmma_frame {
    const ffai__cuda_product_wgmma_args *args;
    int number;                  /* of the block's part; of swiglu's two 0 */
    const ffai__cuda_part *part; /* of this group of warps */
    int64_t first_unit;          /* of the block, in each part */
    int64_t unit;                /* the warp's first */
    int scale_format;            /* of both matrices of swiglu */
    bool wide;                   /* it has 32 bits */
    uint32_t none;               /* 0, which nvcc does not know */
    int first_tile;              /* of rows of x, and how many there are */
    int num_tiles;
    int rank; /* of the block in its cluster */
    int64_t num_rows;
} wgmma_frame;

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

/* By a warp: all columns, in order. */
template <int FORMAT, int SUBGROUPS, int PIECES>
DEVICE void bring_columns(wgmma_shared<FORMAT, SUBGROUPS> &shared, const wgmma_frame &f)
{
    const int blocks = f.part->matrix.spans * 8;
    const int sums = FFAI__CUDA_SUM_BLOCKS(f.part->matrix.spans, SUBGROUPS);
    for (int tile = 0; tile < f.part->matrix.tiles; tile++) {
        if (tile % shared.tiles == 0)
            bring_weights(shared, f, tile);
        if (threadIdx.x % WARP == 0) {
            bring_x(shared, f, f.args->pieces, tile * 2, blocks, PIECES);
            bring_x(shared, f, f.args->pieces, tile * 2 + 1, blocks, PIECES);
        }
    }
    if (threadIdx.x % WARP == 0) {
        for (int block = 0; is_affine<FORMAT> && block < sums; block++)
            bring_x(shared, f, f.args->sums, block, sums, FFAI__CUDA_SUM_PIECES(PIECES));
    }
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
    wgmma_weights<FORMAT> weights;
    wgmma_operand<FORMAT> operands[2]; /* of the halves, which dense products read by turns */
    wgmma_shared<FORMAT, SUBGROUPS> shared;

    DEVICE_MEMBER explicit wgmma_work(const wgmma_shared<FORMAT, SUBGROUPS> &at) : results(), shared(at)
    {
    }
};

/* A tile's words come from their stage. */
template <int FORMAT, int SUBGROUPS>
DEVICE void take_weights(wgmma_work<FORMAT, SUBGROUPS> &work, const wgmma_frame &f, int tile)
{
    const int within = tile % work.shared.tiles;
    const bool by_four = lane_words<FORMAT> % 4 == 0 || (tile / TILES + 1) * TILES <= f.part->matrix.tiles;
    if (within == 0)
        work.shared.weight_ring.wait();
#pragma unroll
    for (int i = 0; i < 2; i++)
        unit_words<FORMAT>(work.weights.words[i], work.shared.weights_of(own_unit() + i), within, by_four);
}

/* The stage of a tile that was taken, if it was its last one. */
template <int FORMAT, int SUBGROUPS>
DEVICE void leave_weights(wgmma_work<FORMAT, SUBGROUPS> &work, const wgmma_frame &f, int tile)
{
    if (tile % work.shared.tiles == work.shared.tiles - 1 || tile == f.part->matrix.tiles - 1) {
        work.shared.weight_ring.give_back(0, 1);
        work.shared.weight_ring.go_on();
    }
}

/* Scale, or bias, of a pair as it is stored. Without branches, since they stand among products. */
DEVICE float scale_of(int format, const uint32_t (&words)[2], int bias)
{
    const float narrow = scale_value(bias ? words[0] >> 16 : words[0] & 0xFFFFu, format);
    return format == FFAI__CUDA_SCALES_F32 ? float_of(words[bias]) : narrow;
}

/* results += scales * sums, of subgroup q of half `half` of a tile. */
template <int FORMAT, int SUBGROUPS>
DEVICE void scale_sums(wgmma_work<FORMAT, SUBGROUPS> &work, const wgmma_frame &f, int tile, int half, int q)
{
    float scale[2];
#pragma unroll
    for (int i = 0; i < 2; i++) {
        const int pair = (threadIdx.x % WARP / 4 * 4 + tile % TILES) * 2 * SUBGROUPS + half * SUBGROUPS + q;
        const uint32_t *of_unit = reinterpret_cast<const uint32_t *>(work.shared.scales_of(own_unit() + i));
        const uint32_t words[2] = {of_unit[f.wide ? 2 * pair : pair], 0};
        scale[i] = scale_of(f.scale_format, words, 0);
    }
    wait_for_products<0>();
    settle(work.sums);
#pragma unroll
    for (int i = 0; i < work.rows / 2; i++)
        work.results.c[i] = fmaf(scale[i % 4 / 2], work.sums.c[i], work.results.c[i]);
    settle(work.results);
}

/* Steps [FIRST, LAST) of half a tile through all pieces of x, to sums that begin anew or are added to. */
template <int FORMAT, int SUBGROUPS, int PIECES, int FIRST, int LAST>
DEVICE void start_products(group_sums<FFAI__CUDA_WGMMA_ROWS(FORMAT)> &sums, const wgmma_operand<FORMAT> &operand,
                           const wgmma_shared<FORMAT, SUBGROUPS> &shared)
{
    auto ring = shared.x_ring;
#pragma unroll
    for (int piece = 0; piece < PIECES; piece++) {
        if (FIRST == 0)
            ring.wait();
        const auto columns = group_columns(shared.x + ring.stage * shared.rows * X_BYTES);
        begin_products();
#pragma unroll
        for (int part = 0; part < wgmma_parts<FORMAT>; part++) {
#pragma unroll
            for (int step = FIRST; step < LAST; step++)
                multiply_group(sums, operand.a[part][step], columns, step,
                               !is_affine<FORMAT> || step > FIRST || piece > 0);
        }
        ring.go_on();
    }
    close_products();
}

/* The subgroups of half a tile, one after the other. Their products and what is done with the sums take turns: of the
 * two groups of warps one multiplies while the other scales. */
template <int FORMAT, int SUBGROUPS, int PIECES, int HALF, int Q>
DEVICE void take_subgroups(wgmma_work<FORMAT, SUBGROUPS> &work, const wgmma_frame &f, int tile)
{
    constexpr int first = Q * 4 / SUBGROUPS, last = (Q + 1) * 4 / SUBGROUPS;
    settle(work.sums);
    start_products<FORMAT, SUBGROUPS, PIECES, first, last>(work.sums, work.operands[0], work.shared);
    scale_sums(work, f, tile, HALF, Q);
    if constexpr (Q + 1 < SUBGROUPS)
        take_subgroups<FORMAT, SUBGROUPS, PIECES, HALF, Q + 1>(work, f, tile);
}

/* Half a tile: its products, where the matrix is affine; else they are started, and the half before is done with. */
template <int FORMAT, int SUBGROUPS, int PIECES, int HALF>
DEVICE void take_half(wgmma_work<FORMAT, SUBGROUPS> &work, const wgmma_frame &f, int tile)
{
    constexpr int operand = is_affine<FORMAT> ? 0 : HALF;
    unpack_operand<FORMAT, HALF>(work.operands[operand], work.weights, f.none);
    if constexpr (is_affine<FORMAT>) {
        take_subgroups<FORMAT, SUBGROUPS, PIECES, HALF, 0>(work, f, tile);
        work.shared.x_ring.give_back(0, PIECES);
    } else {
        start_products<FORMAT, SUBGROUPS, PIECES, 0, 4>(work.results, work.operands[operand], work.shared);
        wait_for_products<1>();
        if (HALF > 0 || tile > 0)
            work.shared.x_ring.give_back(-PIECES, PIECES);
    }
    work.shared.x_ring.go_on(PIECES);
}

/* The biases of 64 sums (args.h) of the lane's rows, as pairs. */
typedef struct wgmma_biases {
    float pairs[4][4][2]; /* [step][place in A][two] */
} wgmma_biases;

/* Where the lane's row of unit i of the warp has its scales of the first span. A unit that is not there has the first
 * one's: its results are not kept. */
DEVICE const uint32_t *scales_of_row(const wgmma_frame &f, int i)
{
    const ffai__cuda_matrix &m = f.part->matrix;
    const int64_t unit = f.unit + i < m.units ? f.unit + i : 0;
    return m.scales + scale_index(&m, unit, 0, threadIdx.x % WARP / 4, 0, 0) * (f.wide ? 2 : 1);
}

template <int SUBGROUPS> DEVICE void load_biases(wgmma_biases &biases, const wgmma_frame &f, int block)
{
    const uint32_t *const scales[2] = {scales_of_row(f, 0), scales_of_row(f, 1)};
#pragma unroll
    for (int i = 0; i < 32; i++) { /* a place's two: of unit place % 2, subgroups n and n + 1 */
        const int place = i / 2 % 4;
        const int n = block * 16 + i / 8 * 4 + place / 2 * 2 + i % 2;
        const int span = n / (2 * SUBGROUPS);
        const int at = (span * 64 + threadIdx.x % 4 * 2) * SUBGROUPS + n % (2 * SUBGROUPS);
        uint32_t words[2] = {0, 0};
        const bool there = span < f.part->matrix.spans;
        if (there && f.wide)
            words[1] = __ldg(scales[place % 2] + 2 * at + 1);
        else if (there)
            words[0] = __ldg(scales[place % 2] + at);
        biases.pairs[i / 8][place][i % 2] = scale_of(f.scale_format, words, 1);
    }
}

/* results += biases * sums of x, in bf16 numbers whose sum a bias is: of bf16 it is one. */
enum { BIAS_PIECES = 3 };

template <int FORMAT, int SUBGROUPS>
DEVICE void multiply_bias_piece(wgmma_work<FORMAT, SUBGROUPS> &work, const wgmma_biases &biases, int piece)
{
    uint32_t a[4][4];
#pragma unroll
    for (int i = 0; i < 16; i++) {
        const float(&pair)[2] = biases.pairs[i / 4][i % 4];
        a[i / 4][i % 4] = piece_of(pair[0], pair[1], piece);
    }
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
    const int pieces = f.scale_format == FFAI__CUDA_SCALES_BF16 ? 1 : BIAS_PIECES;
    const int blocks = FFAI__CUDA_SUM_BLOCKS(f.part->matrix.spans, SUBGROUPS);
    for (int block = 0; block < blocks; block++) {
        wgmma_biases biases;
        load_biases<SUBGROUPS>(biases, f, block);
        for (int sum = 0; sum < FFAI__CUDA_SUM_PIECES(PIECES); sum++) {
            work.shared.x_ring.wait();
            for (int piece = 0; piece < pieces; piece++)
                multiply_bias_piece(work, biases, piece);
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
        place[i] = row * X_BYTES + ((2 * step + column % 4 / 2) ^ row) * 16 + t * 4 + column % 2 * 2;
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
    const int group = threadIdx.x / GROUP_THREADS % GROUPS;
    const int warp = threadIdx.x / WARP % GROUP_WARPS;
    while (!args.swiglu && f.number + 1 < args.num_parts && (int)blockIdx.y >= args.first_block[f.number + 1])
        f.number++;
    f.part = &args.parts[args.swiglu ? group : f.number];
    f.first_unit = args.swiglu ? (int64_t)blockIdx.y * GROUP_UNITS
                               : ((int64_t)blockIdx.y - args.first_block[f.number]) * FFAI__CUDA_WGMMA_UNITS;
    f.unit = f.first_unit + (args.swiglu ? 0 : group * GROUP_UNITS) + warp * 2;
}

/* The products of one group of warps. */
template <int FORMAT, int SUBGROUPS, int PIECES>
DEVICE void multiply_columns(const wgmma_shared<FORMAT, SUBGROUPS> &shared, const wgmma_frame &f)
{
    wgmma_work<FORMAT, SUBGROUPS> work(shared);
    for (int tile = 0; tile < f.part->matrix.tiles; tile++) {
        take_weights(work, f, tile);
        if constexpr (!is_affine<FORMAT>)
            leave_weights(work, f, tile);
        take_half<FORMAT, SUBGROUPS, PIECES, 0>(work, f, tile);
        take_half<FORMAT, SUBGROUPS, PIECES, 1>(work, f, tile);
        if constexpr (is_affine<FORMAT>)
            leave_weights(work, f, tile);
    }
    if constexpr (is_affine<FORMAT>) {
        multiply_biases<FORMAT, SUBGROUPS, PIECES>(work, f);
    } else {
        wait_for_products<0>();
        settle(work.results);
    }
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
    DYNAMIC_SHARED(uint8_t, memory);
    wgmma_shared<FORMAT, SUBGROUPS> shared(memory);
    wgmma_frame f = {};
    f.args = &args;
    f.none = (uint32_t)args.num_parts >> 8;
    find_part(f);
    f.scale_format = f.part->matrix.scale_format;
    f.wide = f.scale_format == FFAI__CUDA_SCALES_F32;
    if (threadIdx.x == 0) {
        shared.x_ring.open();
        shared.weight_ring.open();
        barriers_are_made();
    }
    let_next_begin();
    arrive_at_cluster();
    wait_for_cluster(); /* the barriers are there */
    wait_for_previous();
    if (!find_rows(f, shared.rows))
        return;
    f.rank = cluster_rank();
    if (threadIdx.x >= GROUPS * GROUP_THREADS) {
        give_registers<is_affine<FORMAT> ? 24 : 40>();
        if (threadIdx.x / WARP == GROUPS * GROUP_WARPS)
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
