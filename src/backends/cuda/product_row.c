/* Products of one row: units of the matrices are shared out among blocks. */
#include "products.h"

static uint64_t row_shared_bytes(const ffai__cuda_product_row_args *args)
{
    const ffai__cuda_matrix *m = &args->parts[0].matrix;
    return (uint64_t)FFAI__CUDA_ROW_SHARED_BYTES(m->format, m->subgroups, args->pieces, m->spans, args->units_a_block);
}

static int64_t units_of(const ffai__cuda_product_row_args *args)
{
    int64_t units = 0;
    for (int i = 0; i < args->num_parts; i++)
        units += args->parts[i].matrix.units;
    return units;
}

/* Units for whose sums a block has room beside the rest; 0: not even for the rest. */
static int64_t most_units(const ffai__maker *m, const ffai__cuda_product_row_args *args)
{
    ffai__cuda_product_row_args rest = *args;
    rest.units_a_block = 0;
    const uint64_t room = (uint64_t)m->run->plan->opened.shared_bytes;
    const uint64_t taken = row_shared_bytes(&rest) + FFAI__CUDA_STATIC_SHARED_BYTES;
    const uint64_t each = (uint64_t)args->parts[0].matrix.spans * FFAI__CUDA_UNIT_ROWS * sizeof(float);
    return taken < room ? (int64_t)((room - taken) / each) : 0;
}

/* Among as many blocks as tuned, or more where these have no room for it. */
static void share_out_units(const ffai__maker *m, ffai__cuda_product_row_args *args)
{
    const int64_t wanted = (int64_t)m->run->tuning.row_blocks * m->run->plan->opened.multiprocessors;
    const int64_t step = args->swiglu ? 2 : 1;
    const int64_t each = (units_of(args) + wanted - 1) / wanted;
    const int64_t most = most_units(m, args) / step * step;
    const int64_t steps = ((each < most ? each : most) + step - 1) / step;
    args->units_a_block = (int32_t)(step * (steps > 1 ? steps : 1));
}

void ffai__product_emit_row(ffai__maker *m, ffai__cuda_product_row_args *args)
{
    share_out_units(m, args);
    const int32_t blocks =
        args->swiglu ? (int32_t)((units_of(args) + args->units_a_block - 1) / args->units_a_block)
                     : ffai__product_count_blocks(args->first_block, args->parts, args->num_parts, args->units_a_block);
    const ffai__product_kernels *kernels = ffai__product_kernels_for(&args->parts[0].matrix);
    ffai__cuda_operation *operation =
        ffai__maker_emit(m, kernels->row[args->pieces - 1], m->instruction->in[0], "multiply", args, sizeof *args);
    operation->blocks = (unsigned)blocks;
    ffai__product_add_parts(operation, args->parts, args->num_parts);
    operation->shared_bytes = (unsigned)row_shared_bytes(args);
    operation->threads = 32 * FFAI__CUDA_ROW_WARPS;
}

ffai__cuda_product_row_args ffai__product_row_args(const ffai__maker *m)
{
    const ffai__value x = m->instruction->in[0];
    const ffai__instruction *norm = ffai__product_folded_norm(m, x);
    return (ffai__cuda_product_row_args){
        .step = m->run->step,
        .of_outputs = ffai__maker_is_of_outputs(m, x),
        .x = ffai__maker_address(m, norm ? norm->in[0] : x),
        .norm = norm ? ffai__maker_vector(m, norm->in[1]) : NULL,
        .eps = norm ? norm->attributes.rms_norm.eps : 0,
        .pieces = ffai__product_pieces(m),
    };
}

bool ffai__product_all_rows_fit(const ffai__maker *m)
{
    const ffai__cuda_plan *plan = m->run->plan;
    for (size_t v = 0; v < m->run->program->num_values; v++) {
        ffai__cuda_product_row_args args = {.num_parts = 1, .pieces = 3};
        args.parts[0].matrix = plan->matrices[v];
        if (plan->matrices[v].words && most_units(m, &args) < 2) /* swiglu's */
            return false;
    }
    return true;
}
