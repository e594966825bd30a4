/* How products of a few rows are shared out (args.h): where in its work a block is, and of which rows of the matrices a
 * warp is. */
#ifndef FFAI_CUDA_FEW_WORK_CUH
#define FFAI_CUDA_FEW_WORK_CUH

#include "product_rows.cuh"

enum { FEW_UNITS = FFAI__CUDA_FEW_UNITS, FEW_THREADS = FFAI__CUDA_FEW_WARPS * WARP };

template <int FORMAT> constexpr int stage_tiles = FFAI__CUDA_FEW_STAGE_TILES(FORMAT);
template <int FORMAT> constexpr int stage_quads = FFAI__CUDA_FEW_QUADS(FORMAT);

/* Sums of 16 rows of the matrix and TILES times 8 of x. */
template <int TILES> struct few_sums {
    float c[TILES][4];
};

/* Where in a block's work something is. */
typedef struct few_place {
    int item;       /* (block of rows * groups + group of rows of x) * splits + split */
    int stage, end; /* the next one, and the one behind the item's last */
    int slot;       /* of the ring */
} few_place;

typedef struct few_frame {
    const ffai__cuda_product_few_args *args;
    uint8_t *shared;
    int warp_bytes, stage_bytes;
    int items;
    int row_stages;  /* of a block of rows */
    int input_tiles; /* of rows of x that the step has */
    int num_rows;
} few_frame;

template <int FORMAT, int SUBGROUPS>
DEVICE few_frame find_frame(const ffai__cuda_product_few_args &args, uint8_t *shared)
{
    const ffai__cuda_matrix &m = args.parts[0].matrix;
    const bool wide = m.scale_format == FFAI__CUDA_SCALES_F32;
    few_frame f = {};
    f.args = &args;
    f.shared = shared;
    f.warp_bytes = FFAI__CUDA_FEW_WARP_BYTES(FORMAT, SUBGROUPS, wide);
    f.stage_bytes =
        FFAI__CUDA_FEW_STAGE_BYTES(FORMAT, SUBGROUPS, wide, args.num_pieces, (int)blockDim.x / WARP, args.tiles);
    f.items = args.blocks * args.groups * args.splits;
    f.row_stages = (m.tiles + stage_tiles<FORMAT> - 1) / stage_tiles<FORMAT>;
    return f;
}

DEVICE void enter_item(few_place &at, const few_frame &f, int item)
{
    const int split = item % f.args->splits;
    at.item = item;
    at.stage = split * f.row_stages / f.args->splits;
    at.end = (split + 1) * f.row_stages / f.args->splits;
}

DEVICE bool is_there(const few_place &at, const few_frame &f)
{
    return at.item < f.items;
}

/* Whether another item has begun. */
DEVICE bool advance(few_place &at, const few_frame &f)
{
    at.slot = at.slot + 1 == f.args->stages ? 0 : at.slot + 1;
    if (++at.stage < at.end)
        return false;
    enter_item(at, f, at.item + (int)gridDim.x);
    return is_there(at, f);
}

/* The rows of x, in groups. */
DEVICE int group_of(const few_frame &f, int item)
{
    return f.args->groups == 1 ? 0 : item / f.args->splits % f.args->groups;
}

/* A warp's units: two of part `part` from `first` on or, for swiglu, this one of it and of the next part. */
typedef struct few_units {
    int part;
    int64_t first;
} few_units;

DEVICE few_units find_units(const few_frame &f, int item)
{
    const ffai__cuda_product_few_args &args = *f.args;
    const int block = item / (args.splits * args.groups);
    few_units units = {0, 0};
    while (units.part + 1 < args.num_parts && !args.swiglu && block >= args.first_block[units.part + 1])
        units.part++;
    const int warp = (block - args.first_block[units.part]) * ((int)blockDim.x / WARP) + (int)threadIdx.x / WARP;
    units.first = (int64_t)warp * (args.swiglu ? FEW_UNITS / 2 : FEW_UNITS);
    return units;
}

/* Of the warp's unit u: its number in its part. */
DEVICE int64_t unit_of(const few_units &units, bool swiglu, int u)
{
    return units.first + (swiglu ? 0 : u);
}

DEVICE const ffai__cuda_part &part_of(const few_frame &f, const few_units &units, int u)
{
    return f.args->parts[units.part + (f.args->swiglu ? u : 0)];
}

#endif
