/* Products of a few rows: units and parts of the columns are shared out among multiprocessors. */
#include <string.h>

#include "products.h"

static unsigned few_stage_bytes(const ffai__cuda_product_few_args *args, int32_t warps)
{
    const ffai__cuda_matrix *matrix = &args->parts[0].matrix;
    const bool wide = matrix->scale_format == FFAI__CUDA_SCALES_F32;
    return (unsigned)FFAI__CUDA_FEW_STAGE_BYTES(matrix->format, matrix->subgroups, wide, args->num_pieces, warps,
                                                args->tiles);
}

/* By wgmma, four warps together. Of up to eight rows mma.sync is as fast. */
static bool takes_groups(const ffai__maker *m, ffai__value x, int32_t pieces)
{
    return m->run->plan->opened.has_wgmma && pieces <= 2 && ffai__maker_row_tiles(m, x) > 1;
}

ffai__cuda_order ffai__product_few_order(const ffai__maker *m, ffai__value x, int32_t pieces)
{
    return takes_groups(m, x, pieces) ? FFAI__CUDA_ORDER_GROUP : FFAI__CUDA_ORDER_MMA;
}

static int32_t few_stages(const ffai__cuda_product_few_args *args)
{
    const ffai__cuda_matrix *matrix = &args->parts[0].matrix;
    const int32_t stage_tiles = FFAI__CUDA_FEW_STAGE_TILES(matrix->format);
    return (matrix->tiles + stage_tiles - 1) / stage_tiles;
}

/* How blocks lie on the device. */
typedef struct few_blocks {
    int32_t warps;    /* of a block, at most */
    int32_t together; /* of these: a block has a multiple */
    int32_t most;     /* on the device at once */
    unsigned room;    /* bytes of a block's stages */
} few_blocks;

static few_blocks blocks_beside(const ffai__maker *m, int32_t beside, int32_t together)
{
    return (few_blocks){
        .warps = FFAI__CUDA_FEW_WARPS / beside,
        .together = together,
        .most = beside * m->run->plan->opened.multiprocessors,
        /* Stages begin on a boundary for wgmma, and the device takes 1 KiB of each block's for itself. */
        .room = ffai__maker_shared_room(m) / (unsigned)beside - 2048,
    };
}

/* How the rows of x are grouped, and the blocks: two on a multiprocessor that has room for them, since one works while
 * the other waits. */
static few_blocks find_blocks(const ffai__maker *m, ffai__cuda_product_few_args *args)
{
    const ffai__value x = m->instruction->in[0];
    const int32_t tiles = ffai__maker_row_tiles(m, x);
    const int32_t together = takes_groups(m, x, args->num_pieces) ? FFAI__CUDA_FEW_GROUP : 1;
    args->tiles = tiles > 2 ? FFAI__CUDA_FEW_TILES : tiles;
    few_blocks blocks = blocks_beside(m, 2, together);
    if (2 * few_stage_bytes(args, blocks.warps) > blocks.room)
        blocks = blocks_beside(m, 1, together);
    while (blocks.warps > together && 2 * few_stage_bytes(args, blocks.warps) > blocks.room)
        blocks.warps -= together;
    while (args->tiles > 1 && 2 * few_stage_bytes(args, blocks.warps) > blocks.room)
        args->tiles /= 2;
    args->groups = (tiles + args->tiles - 1) / args->tiles;
    args->split_rows = 8 * args->tiles * args->groups;
    return blocks;
}

/* A warp of swiglu's has half its units of each part. */
static int32_t count_few_blocks(ffai__cuda_product_few_args *args, int32_t warps)
{
    const int32_t units = warps * (args->swiglu ? FFAI__CUDA_FEW_UNITS / 2 : FFAI__CUDA_FEW_UNITS);
    return ffai__product_count_blocks(args->first_block, args->parts, args->swiglu ? 1 : args->num_parts, units);
}

/* What the block that has the most to do does, in bytes that come and go; a stage takes as long as so many more. */
static int64_t few_cost(const ffai__cuda_product_few_args *args, int32_t warps, int32_t most)
{
    enum { STAGE = 16384 };
    const int32_t items = args->blocks * args->groups * args->splits;
    const int64_t turns = (items + most - 1) / most;
    const int64_t stages = (few_stages(args) + args->splits - 1) / args->splits;
    const int64_t sums = (int64_t)warps * FFAI__CUDA_FEW_UNITS * FFAI__CUDA_UNIT_ROWS * 8 * args->tiles * 4;
    return turns * (stages * (few_stage_bytes(args, warps) + STAGE) + (args->splits > 1 ? 2 * sums : 0));
}

/* Warps of a block, which are changed, and parts of the columns, so that all blocks end together. Columns are in parts
 * only where all items are on the device at once. */
static void share_out_columns(few_blocks *blocks, ffai__cuda_product_few_args *args)
{
    ffai__cuda_product_few_args best = *args;
    int32_t best_warps = 0;
    int64_t least = INT64_MAX;
    for (int32_t warps = blocks->warps; warps > 0; warps -= blocks->together) {
        args->blocks = count_few_blocks(args, warps);
        for (args->splits = 1; args->splits <= few_stages(args); args->splits++) {
            if (args->splits > 1 && args->blocks * args->groups * args->splits > blocks->most)
                break;
            const int64_t cost = few_cost(args, warps, blocks->most);
            if (cost < least) {
                least = cost;
                best = *args;
                best_warps = warps;
            }
        }
    }
    *args = best;
    blocks->warps = best_warps;
}

/* A product whose columns are in parts leaves sums: y, bias and residual are for whoever puts them together. */
static int32_t leave_parts(ffai__cuda_parted *results, ffai__cuda_product_few_args *args, float *sums)
{
    for (int32_t i = 0; i < args->num_parts; i++) {
        ffai__cuda_part *part = &args->parts[i];
        results[i] = (ffai__cuda_parted){
            .sums = sums,
            .bias = part->bias,
            .residual = part->residual,
            .y = part->y,
            .columns = part->matrix.rows,
            .stride = (int64_t)part->matrix.units * FFAI__CUDA_UNIT_ROWS,
            .splits = args->splits,
            .split_rows = args->split_rows,
        };
        part->y = sums;
        part->bias = part->residual = NULL;
        sums += results[i].stride * args->splits * args->split_rows;
    }
    if (!args->swiglu)
        return args->num_parts;
    results[0].up = results[1].sums;
    results[0].up_bias = results[1].bias;
    return 1;
}

void ffai__product_emit_few(ffai__maker *m, ffai__cuda_product_few_args *args)
{
    const ffai__value x = m->instruction->in[0];
    const ffai__cuda_matrix *matrix = &args->parts[0].matrix;
    few_blocks blocks = find_blocks(m, args);
    ffai__cuda_parted results[FFAI__CUDA_MATRICES] = {{.y = NULL}};
    int32_t num_parted = 0;
    share_out_columns(&blocks, args);
    const unsigned stage_bytes = few_stage_bytes(args, blocks.warps);
    args->stages = FFAI__CUDA_FEW_STAGES;
    while (args->stages > 2 && (unsigned)args->stages * stage_bytes > blocks.room)
        args->stages--;
    ffai__prepare_emit_few(m, matrix, args->num_pieces);
    const int32_t items = args->blocks * args->groups * args->splits;
    if (args->splits > 1)
        num_parted = leave_parts(results, args, ffai__cuda_pointer(m->run->few_sums));
    const ffai__product_kernels *kernels = ffai__product_kernels_for(matrix);
    const ffai__cuda_kernel *few = takes_groups(m, x, args->num_pieces) ? kernels->group : kernels->few;
    ffai__cuda_operation *operation = ffai__maker_emit(m, few[args->num_pieces > 1], x, "multiply", args, sizeof *args);
    operation->blocks = (unsigned)(items < blocks.most ? items : blocks.most);
    operation->threads = 32 * (unsigned)blocks.warps;
    operation->shared_bytes = 1024 + (unsigned)args->stages * stage_bytes;
    ffai__product_add_parts(operation, args->parts, args->num_parts);
    memcpy(m->parted, results, (size_t)num_parted * sizeof *results);
    m->num_parted = num_parted;
    m->parted_rows = x;
}

ffai__cuda_product_few_args ffai__product_few_args(const ffai__maker *m)
{
    return (ffai__cuda_product_few_args){
        .step = m->run->step,
        .pieces = ffai__cuda_pointer(m->run->pieces),
        .sums = ffai__cuda_pointer(m->run->sums),
        .of_outputs = ffai__maker_is_of_outputs(m, m->instruction->in[0]),
        .num_pieces = ffai__product_pieces(m),
    };
}
