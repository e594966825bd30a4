/* Inputs of products of several rows: x, or its norm, as bf16 pieces in the order in which the products read it. */
#include "fold.h"
#include "products.h"

void ffai__prepare_set(ffai__maker *m, ffai__value x, int32_t subgroups, int32_t pieces, ffai__cuda_order order)
{
    m->prepared = x;
    m->prepared_subgroups = subgroups;
    m->prepared_pieces = pieces;
    m->prepared_order = order;
    m->pieces = ffai__cuda_pointer(m->run->pieces);
    m->sums = ffai__cuda_pointer(m->run->sums);
}

/* Whether the instruction's input is prepared so; if not, it will be. */
static bool is_prepared(ffai__maker *m, const ffai__cuda_matrix *matrix, int32_t pieces, ffai__cuda_order order)
{
    const ffai__value x = m->instruction->in[0];
    if (m->prepared == x && m->prepared_subgroups == matrix->subgroups && m->prepared_pieces == pieces &&
        m->prepared_order == order)
        return true;
    ffai__prepare_set(m, x, matrix->subgroups, pieces, order);
    return false;
}

ffai__cuda_prepare_args ffai__prepare_args(const ffai__maker *m, const ffai__cuda_matrix *matrix, ffai__value x,
                                           int32_t pieces, ffai__cuda_order order)
{
    return (ffai__cuda_prepare_args){
        .step = m->run->step,
        .x = ffai__maker_address(m, x),
        .pieces = ffai__cuda_pointer(m->run->pieces),
        .sums = ffai__cuda_pointer(m->run->sums),
        .columns = ffai__maker_columns(m, x),
        .spans = matrix->spans,
        .subgroups = matrix->subgroups,
        .num_pieces = pieces,
        .of_outputs = ffai__maker_is_of_outputs(m, x),
        .row_tiles = ffai__maker_row_tiles(m, x),
        .order = (int32_t)order,
    };
}

/* For wgmma, with a norm before it. */
static void emit_prepare_norm(ffai__maker *m, const ffai__cuda_matrix *matrix, const ffai__instruction *norm,
                              int32_t pieces)
{
    const ffai__cuda_prepare_norm_args args = {
        .prepare = ffai__prepare_args(m, matrix, norm->in[0], pieces, FFAI__CUDA_ORDER_WGMMA),
        .norm = ffai__maker_vector(m, norm->in[1]),
        .eps = norm->attributes.rms_norm.eps,
    };
    ffai__cuda_operation *operation =
        ffai__maker_emit(m, FFAI__CUDA_KERNEL_prepare_norm, m->instruction->in[0], "prepare", &args, sizeof args);
    operation->grid = FFAI__CUDA_GRID_ROWS;
    operation->threads = 32 * FFAI__CUDA_ROW_WARPS;
}

void ffai__prepare_emit(ffai__maker *m, const ffai__cuda_matrix *matrix, int32_t pieces, ffai__cuda_order order)
{
    const ffai__value x = m->instruction->in[0];
    const ffai__instruction *norm = ffai__product_folded_norm(m, x);
    if (is_prepared(m, matrix, pieces, order))
        return;
    if (norm) {
        emit_prepare_norm(m, matrix, norm, pieces);
        return;
    }
    const ffai__cuda_prepare_args args = ffai__prepare_args(m, matrix, x, pieces, order);
    /* A warp has a block of eight rows. */
    ffai__maker_over_work(ffai__maker_emit(m, FFAI__CUDA_KERNEL_prepare, x, "prepare", &args, sizeof args),
                          (int64_t)matrix->spans * 8 * 32 / 8);
}

void ffai__prepare_emit_few(ffai__maker *m, const ffai__cuda_matrix *matrix, int32_t pieces)
{
    const ffai__value x = m->instruction->in[0];
    const ffai__instruction *norm = ffai__product_folded_norm(m, x);
    const ffai__cuda_order order = ffai__product_few_order(m, x, pieces);
    if (is_prepared(m, matrix, pieces, order))
        return;
    const ffai__value from = norm ? norm->in[0] : x;
    const ffai__cuda_prepare_few_args args = {
        .prepare = ffai__prepare_args(m, matrix, from, pieces, order),
        .result = ffai__maker_take_result(m, from),
        .norm = norm ? ffai__maker_vector(m, norm->in[1]) : NULL,
        .eps = norm ? norm->attributes.rms_norm.eps : 0,
    };
    const unsigned most = norm ? FFAI__CUDA_PREPARE_FEW_THREADS : FFAI__CUDA_THREADS;
    const unsigned fours = (unsigned)matrix->spans * FFAI__CUDA_SPAN_COLUMNS / 4;
    ffai__cuda_operation *operation =
        ffai__maker_emit(m, FFAI__CUDA_KERNEL_prepare_few, x, "prepare", &args, sizeof args);
    operation->grid = FFAI__CUDA_GRID_ROWS;
    operation->threads = fours < most ? fours : most;
    operation->blocks = norm ? 1 : (fours + most - 1) / most;
}

/* Bytes of an input for wgmma. */
typedef struct prepared_size {
    uint64_t pieces, sums;
} prepared_size;

static prepared_size wgmma_input_size(const ffai__cuda_matrix *matrix, int32_t pieces, int32_t row_tiles)
{
    const uint64_t block = (uint64_t)row_tiles * FFAI__CUDA_X_TILE_BYTES;
    const uint64_t sum_blocks = (uint64_t)FFAI__CUDA_SUM_BLOCKS(matrix->spans, matrix->subgroups);
    return (prepared_size){.pieces = (uint64_t)pieces * (uint64_t)matrix->spans * 8 * block,
                           .sums = FFAI__CUDA_SUM_PIECES((uint64_t)pieces) * sum_blocks * block};
}

ffai__cuda_prepare_args ffai__prepare_next(ffai__maker *m, const ffai__cuda_matrix *matrix, ffai__value y)
{
    const ffai__cuda_run *run = m->run;
    const ffai__instruction *reader = ffai__fold_product(run->program, y);
    const size_t index = reader ? (size_t)(reader - run->program->instructions) : 0;
    if (!reader || !ffai__product_takes_wgmma(m, index, &run->plan->matrices[reader->in[1]]))
        return (ffai__cuda_prepare_args){.spans = 0};
    const ffai__cuda_matrix *next = &run->plan->matrices[reader->in[1]];
    ffai__cuda_prepare_args args =
        ffai__prepare_args(m, next, y, ffai__product_pieces_at(m, index), FFAI__CUDA_ORDER_WGMMA);
    const prepared_size here = wgmma_input_size(matrix, ffai__product_pieces(m), args.row_tiles);
    const prepared_size there = wgmma_input_size(next, args.num_pieces, args.row_tiles);
    if (here.pieces + there.pieces > run->pieces_bytes || here.sums + there.sums > run->sums_bytes)
        return (ffai__cuda_prepare_args){.spans = 0};
    args.pieces = ffai__cuda_pointer(run->pieces + run->pieces_bytes - there.pieces);
    args.sums = ffai__cuda_pointer(run->sums + run->sums_bytes - there.sums);
    return args;
}

void ffai__prepare_remember(ffai__maker *m, ffai__value x, const ffai__cuda_prepare_args *args)
{
    ffai__prepare_set(m, x, args->subgroups, args->num_pieces, FFAI__CUDA_ORDER_WGMMA);
    m->pieces = args->pieces;
    m->sums = args->sums;
}
