/* Products of many rows, by wgmma where the device has it. */
#include "products.h"

static unsigned many_shared_bytes(int32_t pieces, int32_t subgroups)
{
    return (unsigned)FFAI__CUDA_MANY_SHARED_BYTES(pieces, subgroups);
}

bool ffai__product_takes_many(const ffai__maker *m, const ffai__cuda_part *part)
{
    return ffai__maker_rows(m, m->instruction->in[0]) >= FFAI__CUDA_MANY_ROWS &&
           many_shared_bytes(ffai__product_pieces(m), part->matrix.subgroups) <= ffai__maker_shared_room(m);
}

void ffai__product_emit_many(ffai__maker *m, const ffai__cuda_part *part)
{
    const int32_t pieces = ffai__product_pieces(m);
    ffai__prepare_emit(m, &part->matrix, pieces, FFAI__CUDA_ORDER_MMA);
    const ffai__cuda_product_rows_args args = {
        .step = m->run->step,
        .part = *part,
        .pieces = ffai__cuda_pointer(m->run->pieces),
        .sums = ffai__cuda_pointer(m->run->sums),
        .num_pieces = pieces,
        .of_outputs = ffai__maker_is_of_outputs(m, m->instruction->in[0]),
    };
    ffai__cuda_operation *operation = ffai__maker_emit(m, ffai__product_kernels_for(&part->matrix)->many,
                                                       m->instruction->in[0], "multiply", &args, sizeof args);
    operation->grid = FFAI__CUDA_GRID_TILES;
    ffai__product_add_work(operation, &part->matrix);
    operation->rows_a_block = FFAI__CUDA_MANY_ROWS;
    operation->blocks = (unsigned)((part->matrix.units + FFAI__CUDA_MANY_UNITS - 1) / FFAI__CUDA_MANY_UNITS);
    operation->shared_bytes = many_shared_bytes(pieces, part->matrix.subgroups);
}

static unsigned wgmma_shared_bytes(const ffai__cuda_matrix *matrix)
{
    return (unsigned)FFAI__CUDA_WGMMA_SHARED_BYTES(matrix->format, matrix->subgroups);
}

bool ffai__product_takes_wgmma(const ffai__maker *m, size_t index, const ffai__cuda_matrix *matrix)
{
    return m->run->plan->opened.has_wgmma && ffai__product_pieces_at(m, index) <= 2 &&
           ffai__maker_rows(m, m->run->program->instructions[index].in[0]) >= FFAI__CUDA_MANY_ROWS &&
           wgmma_shared_bytes(matrix) <= ffai__maker_shared_room(m);
}

void ffai__product_emit_wgmma(ffai__maker *m, ffai__cuda_product_wgmma_args *args)
{
    const ffai__value x = m->instruction->in[0];
    const ffai__cuda_matrix *matrix = &args->parts[0].matrix;
    const int32_t pieces = ffai__product_pieces(m);
    const int32_t units = args->swiglu ? FFAI__CUDA_WGMMA_UNITS / 2 : FFAI__CUDA_WGMMA_UNITS;
    ffai__prepare_emit(m, matrix, pieces, FFAI__CUDA_ORDER_WGMMA);
    args->step = m->run->step;
    args->pieces = m->pieces;
    args->sums = m->sums;
    args->row_tiles = ffai__maker_row_tiles(m, x);
    args->of_outputs = ffai__maker_is_of_outputs(m, x);
    const int32_t blocks =
        ffai__product_count_blocks(args->first_block, args->parts, args->swiglu ? 1 : args->num_parts, units);
    ffai__cuda_operation *operation =
        ffai__maker_emit(m, ffai__product_kernels_for(matrix)->wgmma[pieces - 1], x, "multiply", args, sizeof *args);
    operation->grid = FFAI__CUDA_GRID_ROW_TILES;
    operation->blocks =
        (unsigned)(blocks + FFAI__CUDA_WGMMA_CLUSTER - 1) / FFAI__CUDA_WGMMA_CLUSTER * FFAI__CUDA_WGMMA_CLUSTER;
    operation->rows_a_block = FFAI__CUDA_WGMMA_ROWS(matrix->format);
    operation->threads = FFAI__CUDA_WGMMA_THREADS;
    operation->shared_bytes = wgmma_shared_bytes(matrix);
    ffai__product_add_parts(operation, args->parts, args->num_parts);
}
