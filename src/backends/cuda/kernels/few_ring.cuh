/* The ring of a product of a few rows: each warp copies its own weights of a stage, all of them x, some stages ahead.
 */
#ifndef FFAI_CUDA_FEW_RING_CUH
#define FFAI_CUDA_FEW_RING_CUH

#include "few_work.cuh"

/* Where a lane finds its warp's weights: its part of the first quad of each unit, and its row's scales. Units behind
 * the last are the last one again: nobody reads their results. */
typedef struct few_source {
    const uint4 *words[FEW_UNITS];
    const uint4 *scales;
} few_source;

DEVICE int64_t nearest_unit(const ffai__cuda_matrix &m, int64_t unit)
{
    return unit < m.units ? unit : m.units - 1;
}

template <int FORMAT, int SUBGROUPS> DEVICE few_source find_source(const few_frame &f, int item)
{
    const few_units units = find_units(f, item);
    const bool swiglu = f.args->swiglu;
    const int lane = threadIdx.x % WARP;
    few_source from;
#pragma unroll
    for (int u = 0; u < FEW_UNITS; u++) {
        const ffai__cuda_matrix &m = part_of(f, units, u).matrix;
        const int64_t quads = (int64_t)m.tiles * lane_words<FORMAT> * (WARP / 4);
        from.words[u] = vectors_at<const uint4>(m.words) + nearest_unit(m, unit_of(units, swiglu, u)) * quads + lane;
    }
    if constexpr (is_affine<FORMAT>) {
        const int u = lane / UNIT % FEW_UNITS;
        const ffai__cuda_matrix &m = part_of(f, units, u).matrix;
        const int64_t row = nearest_unit(m, unit_of(units, swiglu, u)) * m.spans * UNIT + lane % UNIT;
        const int quads = 2 * SUBGROUPS * (m.scale_format == FFAI__CUDA_SCALES_F32 ? 2 : 1); /* of a row of a span */
        from.scales = vectors_at<const uint4>(m.scales) + row * quads;
    }
    return from;
}

/* Words of a stage that is no part of a whole span: a word of each lane side by side, unless tiles have whole quads. */
template <int FORMAT> DEVICE void copy_rest(uint4 *to, const few_source &from, int tile, int tiles)
{
    const int lane = threadIdx.x % WARP;
    const int first = tile % TILES * lane_words<FORMAT>; /* word of the span */
    const int count = (tiles - tile < stage_tiles<FORMAT> ? tiles - tile : stage_tiles<FORMAT>)*lane_words<FORMAT>;
#pragma unroll
    for (int u = 0; u < FEW_UNITS; u++) {
        const uint4 *quads = from.words[u] + tile * lane_words<FORMAT> / 4 * WARP;
        const uint32_t *span = reinterpret_cast<const uint32_t *>(from.words[u] - lane) +
                               tile / TILES * TILES * lane_words<FORMAT> * WARP + lane;
#pragma unroll 1
        for (int i = 0; i < (lane_words<FORMAT> % 4 ? count : count / 4); i++) {
            const int word = first % 4 + i;
            if constexpr (lane_words<FORMAT> % 4 == 0)
                copy_ahead<16>(to + (u * stage_quads<FORMAT> + i) * WARP, quads + i * WARP, true);
            else
                copy_ahead<4>(reinterpret_cast<uint32_t *>(to + (u * stage_quads<FORMAT> + word / 4) * WARP) + word % 4,
                              span + (first + i) * WARP, true);
        }
    }
}

/* The warp's words of a stage: [unit][quad][lane] as they stand in a whole span, the stage's and what shares a quad
 * with them. */
template <int FORMAT> DEVICE void copy_words(uint8_t *slot, const few_source &from, unsigned stage, int tiles)
{
    constexpr int span_quads = span_words<FORMAT> / 4 * WARP;
    constexpr int of_span = TILES / stage_tiles<FORMAT>; /* stages */
    const int tile = (int)stage * stage_tiles<FORMAT>;
    const int64_t first =
        stage / of_span * span_quads + stage % of_span * stage_tiles<FORMAT> * lane_words<FORMAT> / 4 * WARP;
    uint4 *to = vectors_at<uint4>(slot) + threadIdx.x % WARP;
    if (tile / TILES * TILES + TILES > tiles) {
        copy_rest<FORMAT>(to, from, tile, tiles);
        return;
    }
#pragma unroll
    for (int u = 0; u < FEW_UNITS; u++) {
#pragma unroll
        for (int i = 0; i < stage_quads<FORMAT>; i++)
            copy_ahead<16>(to + (u * stage_quads<FORMAT> + i) * WARP, from.words[u] + first + i * WARP, true);
    }
}

/* Scales of the warp's units: [unit][row][4 blocks][subgroups] pairs. Two lanes copy one row's, by turns. */
template <int SUBGROUPS> DEVICE void copy_scales(uint8_t *slot, const few_source &from, unsigned stage, bool wide)
{
    enum { ROWS = FEW_UNITS * UNIT };
    const int quads = wide ? 2 * SUBGROUPS : SUBGROUPS;
    const int lane = threadIdx.x % WARP;
    const uint4 *own = from.scales + (stage / 2 * UNIT * 2 + stage % 2) * quads;
    uint4 *to = vectors_at<uint4>(slot) + lane % ROWS * quads;
#pragma unroll
    for (int i = 0; i < SUBGROUPS; i++) {
        const int quad = 2 * i + lane / ROWS;
        if (quad < quads)
            copy_ahead<16>(to + quad, own + quad, true);
    }
}

template <int FORMAT, int SUBGROUPS>
DEVICE void copy_weights(const few_frame &f, const few_source &from, const few_place &at)
{
    const ffai__cuda_matrix &m = f.args->parts[0].matrix;
    uint8_t *slot = f.shared + at.slot * f.stage_bytes + (int)threadIdx.x / WARP * f.warp_bytes;
    copy_words<FORMAT>(slot, from, at.stage, m.tiles);
    if constexpr (is_affine<FORMAT>)
        copy_scales<SUBGROUPS>(slot + FEW_UNITS * stage_quads<FORMAT> * 512, from, at.stage,
                               m.scale_format == FFAI__CUDA_SCALES_F32);
}

/* Rows of x that the group has, in eights. */
DEVICE int tiles_of(const few_frame &f, int group)
{
    const int rest = f.input_tiles - group * f.args->tiles;
    return rest < f.args->tiles ? rest : f.args->tiles;
}

/* COUNT quads of each row, which are `stride` quads apart, side by side. A thread has the same ones of all rows: for
 * each it has to count on, and no more. */
template <unsigned COUNT> DEVICE void copy_rows(uint4 *to, const uint4 *from, unsigned rows, unsigned stride)
{
#pragma unroll 1
    for (unsigned i = threadIdx.x; i < COUNT; i += blockDim.x) {
        const uint4 *quad = from + i;
        uint4 *own = to + i;
#pragma unroll 4
        for (unsigned row = 0; row < rows; row++) {
            copy_ahead<16>(own, quad, true);
            own += COUNT;
            quad += stride;
        }
    }
}

/* The same of PIECES of each eight rows, for multiply_group: the tiles of a piece's block, of 1,024 bytes, side by
 * side, for `room` of which there is room. */
template <unsigned BLOCKS, unsigned PIECES>
DEVICE void copy_group_rows(uint4 *to, const uint4 *from, unsigned tiles, unsigned room, unsigned stride)
{
    enum { TILE_QUADS = 2 * WARP };
#pragma unroll 1
    for (unsigned i = threadIdx.x; i < BLOCKS * TILE_QUADS; i += blockDim.x) {
        const uint4 *quad = from + i;
        uint4 *own = to + i / TILE_QUADS * room * TILE_QUADS + i % TILE_QUADS;
#pragma unroll
        for (unsigned tile = 0; tile < FFAI__CUDA_FEW_TILES; tile++) {
#pragma unroll
            for (unsigned piece = 0; piece < PIECES; piece++) {
                if (tile < tiles)
                    copy_ahead<16>(own + (piece * BLOCKS * room + tile) * TILE_QUADS, quad, true);
                quad += stride;
            }
        }
    }
}

/* A stage's x behind its weights: pieces [tile][piece][blocks][2][lane] of 16 bytes or, for multiply_group,
 * [piece][blocks][tile], then sums [tile][blocks][subgroup][8]; by all threads. GROUPED: for it, and so many pieces; 0:
 * not. */
template <int FORMAT, int SUBGROUPS, int GROUPED> DEVICE void copy_input(const few_frame &f, const few_place &at)
{
    const ffai__cuda_product_few_args &args = *f.args;
    constexpr unsigned blocks = stage_tiles<FORMAT> * 2;
    const int group = group_of(f, at.item);
    const unsigned tiles = (unsigned)tiles_of(f, group);
    const unsigned first = (unsigned)(group * args.tiles);
    const unsigned all_blocks = (unsigned)args.parts[0].matrix.spans * 8;
    const unsigned begin = (unsigned)at.stage * blocks;
    uint4 *to = vectors_at<uint4>(f.shared + at.slot * f.stage_bytes + (int)blockDim.x / WARP * f.warp_bytes);
    const uint4 *pieces =
        vectors_at<const uint4>(args.pieces) + (first * args.num_pieces * all_blocks + begin) * 2 * WARP;
    if constexpr (GROUPED)
        copy_group_rows<blocks, GROUPED>(to, pieces, tiles, (unsigned)args.tiles, all_blocks * 2 * WARP);
    else
        copy_rows<blocks * 2 * WARP>(to, pieces, tiles * args.num_pieces, all_blocks * 2 * WARP);
    if constexpr (is_affine<FORMAT>)
        copy_rows<blocks * SUBGROUPS * 2>(to + args.tiles * args.num_pieces * (blocks * 2 * WARP),
                                          vectors_at<const uint4>(args.sums) +
                                              (first * all_blocks + begin) * (SUBGROUPS * 2),
                                          tiles, all_blocks * SUBGROUPS * 2);
}

/* Until the stage that was asked for first is there. */
DEVICE void wait_for_stage(int stages)
{
    if (stages == 4)
        wait_for_copies<2>();
    else if (stages == 3)
        wait_for_copies<1>();
    else
        wait_for_copies<0>();
}

#endif
