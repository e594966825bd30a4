/* A class's operations: the program's instructions as kernels, in order. A step of one row takes its products from the
 * weights' stream alone; what stands around them is folded in where it can be. */
#include <string.h>

#include "alloc.h"
#include "cuda.h"
#include "fold.h"
#include "sample.h"

typedef struct maker {
    ffai__cuda_run *run;
    ffai__cuda_class *of;
    const ffai__instruction *instruction;
    size_t index; /* of the instruction */
    size_t capacity;
    bool failed;
    ffai__cuda_operation ignored; /* what is emitted after a failure */
    ffai__value prepared;         /* what the prepared input is of */
    int32_t prepared_subgroups, prepared_pieces;
    bool *done; /* [instructions] by another's kernel */
} maker;

static ffai__cuda_operation *grow(maker *m)
{
    if (m->of->num_operations == m->capacity && !m->failed) {
        const size_t capacity = 2 * m->capacity + 64;
        ffai__cuda_operation *grown = ffai__realloc(m->of->operations, capacity, sizeof *grown);
        m->failed = grown == NULL;
        if (grown) {
            m->of->operations = grown;
            m->capacity = capacity;
        }
    }
    return m->failed ? &m->ignored : &m->of->operations[m->of->num_operations++];
}

/* An operation whose rows are those of `rows_of`; the caller sets its grid. */
static ffai__cuda_operation *emit(maker *m, ffai__cuda_kernel kernel, ffai__value rows_of, const char *part,
                                  const void *args, size_t args_bytes)
{
    ffai__cuda_operation *operation = grow(m);
    *operation = (ffai__cuda_operation){.kernel = kernel, .blocks = 1, .threads = FFAI__CUDA_THREADS, .part = part};
    operation->instruction = m->instruction;
    operation->of_outputs = rows_of != FFAI__NONE && m->run->program->values[rows_of].rows == FFAI__ROWS_R;
    operation->args_bytes = args_bytes;
    memcpy(operation->args, args, args_bytes);
    return operation;
}

static void over_work(ffai__cuda_operation *operation, int64_t threads_a_row)
{
    operation->grid = FFAI__CUDA_GRID_WORK;
    operation->work = (uint64_t)threads_a_row;
}

static int64_t columns_of(const maker *m, ffai__value value)
{
    return m->run->program->values[value].columns;
}

static bool is_of_outputs(const maker *m, ffai__value value)
{
    return m->run->program->values[value].rows == FFAI__ROWS_R;
}

/* Whether a step of this class has one row of the value. */
static bool is_one_row(const maker *m, ffai__value value)
{
    return (is_of_outputs(m, value) ? m->of->outputs : m->of->rows) == 1;
}

/* In a step of one row that is also the output row, the rows selected are the rows there are. */
static bool skips_select(const maker *m)
{
    return m->of->rows == 1 && m->of->outputs == 1 && !m->run->options.keep_values;
}

static float *address(const maker *m, ffai__value value)
{
    const ffai__program *program = m->run->program;
    const int32_t producer = program->values[value].producer;
    if (producer >= 0 && program->instructions[producer].op == FFAI__OP_select_rows && skips_select(m))
        value = program->instructions[producer].in[0];
    return ffai__cuda_pointer(m->run->values[value]);
}

static const float *vector(const maker *m, ffai__value value)
{
    return value == FFAI__NONE ? NULL : ffai__cuda_pointer(m->run->plan->vectors[value]);
}

/* --- products --- */

typedef struct product_kernels {
    int32_t format, subgroups;
    ffai__cuda_kernel row[3]; /* by the pieces of the input, from one on */
    ffai__cuda_kernel rows, many;
} product_kernels;

static const product_kernels *kernels_for(const ffai__cuda_matrix *matrix)
{
    static const product_kernels kernels[] = {
#define KERNEL(file, name)
#define PRODUCT(file, format, subgroups, name)                                                                         \
    {format,                                                                                                           \
     subgroups,                                                                                                        \
     {FFAI__CUDA_KERNEL_product_row_##name, FFAI__CUDA_KERNEL_product_row_fine_##name,                                 \
      FFAI__CUDA_KERNEL_product_row_whole_##name},                                                                     \
     FFAI__CUDA_KERNEL_product_rows_##name,                                                                            \
     FFAI__CUDA_KERNEL_product_many_##name},
#include "kernels/kernels.def"
#undef KERNEL
    };
    size_t i = 0;
    while (kernels[i].format != matrix->format || kernels[i].subgroups != matrix->subgroups)
        i++;
    return &kernels[i];
}

/* Of how many bf16 numbers an input is made up: see activations in backend.h. */
static int32_t pieces_for(const maker *m)
{
    const ffai__cuda_plan *plan = m->run->plan;
    switch (plan->activations) {
    case FFAI__ACTIVATIONS_F32:
        return 3;
    case FFAI__ACTIVATIONS_FINE:
        return 2;
    case FFAI__ACTIVATIONS_BF16:
        return 1;
    case FFAI__ACTIVATIONS_DEFAULT:
        break;
    }
    return plan->around_attention[m->index] ? 2 : 1;
}

static ffai__cuda_part part_of(const maker *m, int n, ffai__value residual)
{
    const ffai__instruction *instruction = m->instruction;
    return (ffai__cuda_part){
        .matrix = m->run->plan->matrices[instruction->in[1 + 2 * n]],
        .y = address(m, instruction->out[n]),
        .bias = vector(m, instruction->in[2 + 2 * n]),
        .residual = residual == FFAI__NONE ? NULL : address(m, residual),
    };
}

static bool same_format(const ffai__cuda_matrix *a, const ffai__cuda_matrix *b)
{
    return a->format == b->format && a->subgroups == b->subgroups && a->scale_format == b->scale_format;
}

/* Bytes of shared memory: the warps' rings, prepared input, sums, and each unit's partial sums. */
static uint64_t row_shared_bytes(const ffai__cuda_product_row_args *args)
{
    const uint64_t spans = (uint64_t)args->parts[0].matrix.spans;
    const uint64_t subgroups = (uint64_t)args->parts[0].matrix.subgroups;
    const uint64_t format = (uint64_t)args->parts[0].matrix.format;
    const uint64_t ring =
        FFAI__CUDA_ROW_WARPS * (uint64_t)FFAI__CUDA_ROW_SLOTS(format) * FFAI__CUDA_ROW_SLOT_BYTES(format, subgroups);
    return ring + spans * ((uint64_t)args->pieces * 1024 + 8 * subgroups * sizeof(float) +
                           (uint64_t)args->units_a_block * FFAI__CUDA_UNIT_ROWS * sizeof(float));
}

/* About so many blocks for each multiprocessor. */
enum { ROW_BLOCKS = 2 };

static int64_t units_of(const ffai__cuda_product_row_args *args)
{
    int64_t units = 0;
    for (int i = 0; i < args->num_parts; i++)
        units += args->parts[i].matrix.units;
    return units;
}

static void share_out_units(const maker *m, ffai__cuda_product_row_args *args)
{
    const int64_t wanted = (int64_t)ROW_BLOCKS * m->run->plan->opened.multiprocessors;
    const int64_t step = args->swiglu ? 2 : 1;
    const int64_t each = (units_of(args) + wanted - 1) / wanted;
    args->units_a_block = (int32_t)((each + step - 1) / step * step);
}

/* Whether a block has the shared memory that a product of one row takes. */
static bool fits_row(const maker *m, ffai__cuda_product_row_args *args)
{
    share_out_units(m, args);
    return row_shared_bytes(args) + FFAI__CUDA_STATIC_SHARED_BYTES <= (uint64_t)m->run->plan->opened.shared_bytes;
}

/* What a product's matrix takes. */
static void add_work(ffai__cuda_operation *operation, const ffai__cuda_matrix *matrix)
{
    operation->bytes += (double)ffai__cuda_matrix_bytes(matrix);
    operation->flops_a_row += 2.0 * (double)matrix->rows * (double)matrix->columns;
}

static int32_t blocks_of(const ffai__cuda_product_row_args *args, int part)
{
    return (args->parts[part].matrix.units + args->units_a_block - 1) / args->units_a_block;
}

static void emit_row(maker *m, ffai__cuda_product_row_args *args)
{
    int32_t blocks = 0;
    for (int i = 0; i < args->num_parts && !args->swiglu; i++) {
        args->first_block[i] = blocks;
        blocks += blocks_of(args, i);
    }
    if (args->swiglu)
        blocks = (int32_t)((units_of(args) + args->units_a_block - 1) / args->units_a_block);
    const product_kernels *kernels = kernels_for(&args->parts[0].matrix);
    ffai__cuda_operation *operation =
        emit(m, kernels->row[args->pieces - 1], m->instruction->in[0], "multiply", args, sizeof *args);
    operation->blocks = (unsigned)blocks;
    for (int i = 0; i < args->num_parts; i++)
        add_work(operation, &args->parts[i].matrix);
    operation->shared_bytes = (unsigned)row_shared_bytes(args);
    operation->threads = 32 * FFAI__CUDA_ROW_WARPS;
}

static void emit_prepare(maker *m, const ffai__cuda_matrix *matrix, int32_t pieces)
{
    const ffai__value x = m->instruction->in[0];
    if (m->prepared == x && m->prepared_subgroups == matrix->subgroups && m->prepared_pieces == pieces)
        return;
    m->prepared = x;
    m->prepared_subgroups = matrix->subgroups;
    m->prepared_pieces = pieces;
    const ffai__cuda_prepare_args args = {
        .step = m->run->step,
        .x = address(m, x),
        .pieces = ffai__cuda_pointer(m->run->pieces),
        .sums = ffai__cuda_pointer(m->run->sums),
        .columns = columns_of(m, x),
        .spans = matrix->spans,
        .subgroups = matrix->subgroups,
        .num_pieces = pieces,
        .of_outputs = is_of_outputs(m, x),
    };
    /* A warp has a block of eight rows. */
    over_work(emit(m, FFAI__CUDA_KERNEL_prepare, x, "prepare", &args, sizeof args),
              (int64_t)matrix->spans * 8 * 32 / 8);
}

static unsigned many_shared_bytes(const ffai__cuda_product_rows_args *args)
{
    return (unsigned)FFAI__CUDA_MANY_SHARED_BYTES(args->num_pieces, args->part.matrix.subgroups);
}

static bool takes_many(const maker *m, const ffai__cuda_product_rows_args *args)
{
    const int32_t rows = args->of_outputs ? m->of->outputs : m->of->rows;
    const unsigned room = (unsigned)m->run->plan->opened.shared_bytes - FFAI__CUDA_STATIC_SHARED_BYTES;
    return rows >= FFAI__CUDA_MANY_ROWS && many_shared_bytes(args) <= room;
}

static void emit_rows(maker *m, const ffai__cuda_part *part)
{
    const int32_t pieces = pieces_for(m);
    emit_prepare(m, &part->matrix, pieces);
    const ffai__cuda_product_rows_args args = {
        .step = m->run->step,
        .part = *part,
        .pieces = ffai__cuda_pointer(m->run->pieces),
        .sums = ffai__cuda_pointer(m->run->sums),
        .num_pieces = pieces,
        .of_outputs = is_of_outputs(m, m->instruction->in[0]),
    };
    const product_kernels *kernels = kernels_for(&part->matrix);
    const bool many = takes_many(m, &args);
    const int32_t units = many ? FFAI__CUDA_MANY_UNITS : 2; /* that a block has */
    ffai__cuda_operation *operation =
        emit(m, many ? kernels->many : kernels->rows, m->instruction->in[0], "multiply", &args, sizeof args);
    operation->grid = FFAI__CUDA_GRID_TILES;
    add_work(operation, &part->matrix);
    operation->rows_a_block = many ? FFAI__CUDA_MANY_ROWS : FFAI__CUDA_FEW_PRODUCT_ROWS;
    operation->blocks = (unsigned)((part->matrix.units + units - 1) / units);
    if (many)
        operation->shared_bytes = many_shared_bytes(&args);
}

/* The norm that a product of one row does itself. */
static const ffai__instruction *folded_norm(const maker *m, ffai__value x)
{
    return m->run->options.keep_values || !is_one_row(m, x) ? NULL : ffai__fold_norm(m->run->program, x);
}

static const ffai__instruction *folded_swiglu(const maker *m, const ffai__instruction *shared)
{
    if (m->run->options.keep_values || !is_one_row(m, shared->in[0]))
        return NULL;
    const ffai__instruction *swiglu = ffai__fold_swiglu(m->run->program, shared);
    const ffai__cuda_matrix *matrices = m->run->plan->matrices;
    return swiglu && same_format(&matrices[shared->in[1]], &matrices[shared->in[3]]) ? swiglu : NULL;
}

static ffai__cuda_product_row_args row_args(const maker *m)
{
    const ffai__value x = m->instruction->in[0];
    const ffai__instruction *norm = folded_norm(m, x);
    return (ffai__cuda_product_row_args){
        .step = m->run->step,
        .of_outputs = is_of_outputs(m, x),
        .x = address(m, norm ? norm->in[0] : x),
        .norm = norm ? vector(m, norm->in[1]) : NULL,
        .eps = norm ? norm->attributes.rms_norm.eps : 0,
        .pieces = pieces_for(m),
    };
}

/* Every class has either all its products of one row as such or none: what is folded into them hangs on it. */
static bool all_rows_fit(const maker *m)
{
    const ffai__cuda_plan *plan = m->run->plan;
    for (size_t v = 0; v < m->run->program->num_values; v++) {
        ffai__cuda_product_row_args args = {.num_parts = 1, .pieces = 3};
        args.parts[0].matrix = plan->matrices[v];
        args.parts[0].matrix.units *= 3; /* as many as three matrices have */
        if (plan->matrices[v].words && !fits_row(m, &args))
            return false;
    }
    return true;
}

static void emit_products(maker *m, const ffai__cuda_part *parts, int count)
{
    if (!is_one_row(m, m->instruction->in[0])) {
        for (int i = 0; i < count; i++)
            emit_rows(m, &parts[i]);
        return;
    }
    for (int i = 0; i < count;) {
        ffai__cuda_product_row_args args = row_args(m);
        do
            args.parts[args.num_parts++] = parts[i++];
        while (i < count && same_format(&parts[i].matrix, &args.parts[0].matrix));
        share_out_units(m, &args);
        emit_row(m, &args);
    }
}

static void emit_swiglu_product(maker *m, const ffai__instruction *swiglu)
{
    ffai__cuda_product_row_args args = row_args(m);
    args.parts[0] = part_of(m, 0, FFAI__NONE);
    args.parts[1] = part_of(m, 1, FFAI__NONE);
    args.parts[0].y = address(m, swiglu->out[0]);
    args.num_parts = 2;
    args.swiglu = 1;
    share_out_units(m, &args);
    emit_row(m, &args);
}

static void emit_linear(maker *m, ffai__value residual)
{
    const ffai__cuda_part part = part_of(m, 0, residual);
    emit_products(m, &part, 1);
}

static void emit_shared(maker *m)
{
    const ffai__instruction *swiglu = folded_swiglu(m, m->instruction);
    if (swiglu) {
        emit_swiglu_product(m, swiglu);
        return;
    }
    ffai__cuda_part parts[FFAI__CUDA_MATRICES];
    int count = 0;
    for (int n = 0; n < FFAI__MAX_OUTPUTS; n++) {
        if (m->instruction->out[n] != FFAI__NONE)
            parts[count++] = part_of(m, n, FFAI__NONE);
    }
    emit_products(m, parts, count);
}

/* --- the rest --- */

static void emit_begin(maker *m)
{
    ffai__cuda_operation *operation =
        emit(m, FFAI__CUDA_KERNEL_begin, FFAI__NONE, "begin", &m->run->begin, sizeof m->run->begin);
    operation->threads = m->of->rows > FFAI__CUDA_THREADS ? 1024 : FFAI__CUDA_THREADS;
}

static void emit_angles(maker *m)
{
    const ffai__cuda_run *run = m->run;
    for (size_t i = 0; i < run->program->num_instructions; i++) {
        const ffai__instruction *instruction = &run->program->instructions[i];
        size_t first = 0;
        while (run->angles[first] != run->angles[i])
            first++;
        if (instruction->op != FFAI__OP_rope || first < i)
            continue;
        const ffai__rope *rope = &instruction->attributes.rope;
        const ffai__cuda_angles_args args = {
            .step = run->step,
            .angles = ffai__cuda_pointer(run->angles[i]),
            .inv_freq = ffai__cuda_pointer(run->frequencies[i]),
            .dims = rope->dims,
            .dynamic = rope->kind == FFAI__ROPE_DYNAMIC,
            .theta = rope->theta,
            .factor = rope->factor,
            .original_max_position = rope->original_max_position,
            .attention_factor = rope->attention_factor,
        };
        m->instruction = instruction;
        over_work(emit(m, FFAI__CUDA_KERNEL_angles, instruction->in[0], "angles", &args, sizeof args), rope->dims / 2);
    }
}

static void emit_embed(maker *m)
{
    const ffai__instruction *instruction = m->instruction;
    const ffai__cuda_embed_args args = {
        .step = m->run->step,
        .matrix = m->run->plan->matrices[instruction->in[0]],
        .y = address(m, instruction->out[0]),
    };
    ffai__cuda_operation *operation =
        emit(m, FFAI__CUDA_KERNEL_embed, instruction->out[0], "embed", &args, sizeof args);
    operation->grid = FFAI__CUDA_GRID_ROWS;
    operation->blocks = (unsigned)((args.matrix.columns + 1023) / 1024);
}

static void emit_norm(maker *m)
{
    const ffai__instruction *instruction = m->instruction;
    const ffai__value x = instruction->in[0];
    if (folded_norm(m, instruction->out[0]))
        return;
    const int64_t width = ffai__weight_of(m->run->program, instruction->in[1])->columns;
    const ffai__cuda_rms_norm_args args = {
        .step = m->run->step,
        .y = address(m, instruction->out[0]),
        .x = address(m, x),
        .w = vector(m, instruction->in[1]),
        .width = width,
        .columns = columns_of(m, x),
        .eps = instruction->attributes.rms_norm.eps,
        .of_outputs = is_of_outputs(m, x),
    };
    const bool warps = width <= FFAI__CUDA_NORM_LONGEST_OF_WARPS;
    ffai__cuda_operation *operation = emit(
        m, warps ? FFAI__CUDA_KERNEL_rms_norm_warps : FFAI__CUDA_KERNEL_rms_norm_blocks, x, "norm", &args, sizeof args);
    operation->shared_bytes = warps ? 0 : FFAI__CUDA_NORM_SHARED_BYTES;
    operation->threads = FFAI__CUDA_NORM_THREADS;
    over_work(operation, args.columns / width * (warps ? 32 : FFAI__CUDA_NORM_THREADS));
}

static void emit_elements(maker *m, ffai__cuda_kernel kernel)
{
    const ffai__instruction *instruction = m->instruction;
    const bool pair = instruction->in[1] != FFAI__NONE;
    const ffai__cuda_elements_args args = {
        .step = m->run->step,
        .y = address(m, instruction->out[0]),
        .a = address(m, instruction->in[0]),
        .b = pair ? address(m, instruction->in[1]) : NULL,
        .columns = columns_of(m, instruction->out[0]),
        .of_outputs = is_of_outputs(m, instruction->out[0]),
    };
    ffai__cuda_operation *operation =
        emit(m, kernel, instruction->out[0], ffai__ops[instruction->op].name, &args, sizeof args);
    operation->threads = FFAI__CUDA_ELEMENT_THREADS;
    over_work(operation, (args.columns + 3) / 4);
}

static void emit_swiglu(maker *m)
{
    const int32_t producer = m->run->program->values[m->instruction->in[0]].producer;
    if (!folded_swiglu(m, &m->run->program->instructions[producer]))
        emit_elements(m, FFAI__CUDA_KERNEL_swiglu);
}

static void emit_rope(maker *m)
{
    const ffai__instruction *instruction = m->instruction;
    const ffai__rope *rope = &instruction->attributes.rope;
    const ffai__cuda_rope_args args = {
        .step = m->run->step,
        .x = address(m, instruction->in[0]),
        .y = address(m, instruction->out[0]),
        .angles = ffai__cuda_pointer(m->run->angles[m->index]),
        .columns = columns_of(m, instruction->in[0]),
        .head_dim = rope->head_dim,
        .dims = rope->dims,
    };
    over_work(emit(m, FFAI__CUDA_KERNEL_rope, instruction->in[0], "rope", &args, sizeof args),
              args.columns / rope->head_dim * (rope->head_dim - rope->dims / 2));
}

static void emit_store(maker *m)
{
    const ffai__instruction *instruction = m->instruction;
    const ffai__cuda_kv_store_args args = {
        .step = m->run->step,
        .store = m->run->each[m->run->program->values[instruction->in[2]].store],
        .keys = address(m, instruction->in[0]),
        .values = address(m, instruction->in[1]),
    };
    over_work(emit(m, FFAI__CUDA_KERNEL_kv_store, instruction->in[0], "store", &args, sizeof args),
              columns_of(m, instruction->in[0]));
}

/* Tensor cores take stores of 16 bits and heads of these sizes: FFAI__CUDA_KERNEL_COUNT for others. */
static ffai__cuda_kernel attend_kernel(const ffai__cuda_store *store)
{
    static const struct {
        int32_t head_dim;
        ffai__cuda_kernel f16, bf16;
    } kernels[] = {
        {32, FFAI__CUDA_KERNEL_attend_f16_32, FFAI__CUDA_KERNEL_attend_bf16_32},
        {64, FFAI__CUDA_KERNEL_attend_f16_64, FFAI__CUDA_KERNEL_attend_bf16_64},
        {96, FFAI__CUDA_KERNEL_attend_f16_96, FFAI__CUDA_KERNEL_attend_bf16_96},
        {128, FFAI__CUDA_KERNEL_attend_f16_128, FFAI__CUDA_KERNEL_attend_bf16_128},
    };
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
        if (kernels[i].head_dim == store->head_dim && store->format != FFAI__STORE_F32)
            return store->format == FFAI__STORE_F16 ? kernels[i].f16 : kernels[i].bf16;
    }
    return FFAI__CUDA_KERNEL_COUNT;
}

static ffai__cuda_attention_args attention_args(const maker *m)
{
    const ffai__instruction *instruction = m->instruction;
    return (ffai__cuda_attention_args){
        .step = m->run->step,
        .store = m->run->each[m->run->program->values[instruction->in[1]].store],
        .q = address(m, instruction->in[0]),
        .y = address(m, instruction->out[0]),
        .partials = ffai__cuda_pointer(m->run->partials),
        .splits = m->run->splits,
        .heads = instruction->attributes.attention.num_attention_heads,
        .scale = instruction->attributes.attention.scale,
        .window = instruction->attributes.attention.window,
    };
}

/* Whether the attention at `index` is done together with what prepares its heads, in steps of one row. */
static bool folds_attention(ffai__fold_attention *fold, const maker *m, size_t index)
{
    const ffai__cuda_run *run = m->run;
    const ffai__instruction *attention = &run->program->instructions[index];
    if (attention->op != FFAI__OP_attention || m->of->rows != 1 || run->options.keep_values ||
        attend_kernel(&run->each[run->program->values[attention->in[1]].store]) == FFAI__CUDA_KERNEL_COUNT ||
        !ffai__fold_attention_find(fold, run->program, index))
        return false;
    return fold->q_rope == SIZE_MAX || run->angles[fold->q_rope] == run->angles[fold->k_rope];
}

static void mark_folded(maker *m)
{
    for (size_t i = 0; i < m->run->program->num_instructions; i++) {
        ffai__fold_attention fold;
        if (!folds_attention(&fold, m, i))
            continue;
        const size_t parts[] = {fold.store, fold.q_rope, fold.k_rope, fold.q_norm, fold.k_norm};
        for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
            if (parts[k] != SIZE_MAX)
                m->done[parts[k]] = true;
        }
    }
}

static const float *norm_of(const maker *m, size_t index, float *eps)
{
    if (index == SIZE_MAX)
        return NULL;
    const ffai__instruction *norm = &m->run->program->instructions[index];
    *eps = norm->attributes.rms_norm.eps;
    return vector(m, norm->in[1]);
}

static void fold_heads(ffai__cuda_attend_args *args, const maker *m, const ffai__fold_attention *fold)
{
    args->fused = 1;
    args->attention.q = address(m, fold->q);
    args->keys = address(m, fold->k);
    args->values = address(m, fold->v);
    args->q_norm = norm_of(m, fold->q_norm, &args->q_eps);
    args->k_norm = norm_of(m, fold->k_norm, &args->k_eps);
    if (fold->q_rope == SIZE_MAX)
        return;
    args->angles = ffai__cuda_pointer(m->run->angles[fold->q_rope]);
    args->dims = m->run->program->instructions[fold->q_rope].attributes.rope.dims;
}

static void emit_attend(maker *m, ffai__cuda_kernel kernel)
{
    ffai__fold_attention fold;
    ffai__cuda_attend_args args = {.attention = attention_args(m), .arrived = ffai__cuda_pointer(m->run->arrived)};
    const ffai__cuda_store *store = &args.attention.store;
    if (folds_attention(&fold, m, m->index))
        fold_heads(&args, m, &fold);
    const int group = args.attention.heads / store->heads;
    ffai__cuda_operation *operation = emit(m, kernel, m->instruction->in[0], "attend", &args, sizeof args);
    operation->grid = FFAI__CUDA_GRID_ATTEND;
    operation->attends = true;
    operation->blocks =
        (unsigned)(store->heads * ((group + FFAI__CUDA_ATTEND_QUERIES - 1) / FFAI__CUDA_ATTEND_QUERIES));
    operation->shared_bytes = (unsigned)FFAI__CUDA_ATTEND_SHARED_BYTES(store->head_dim);
}

static void emit_attention(maker *m)
{
    const ffai__cuda_attention_args args = attention_args(m);
    const bool few = m->of->rows <= FFAI__CUDA_FEW_ROWS;
    const ffai__cuda_kernel kernel = attend_kernel(&args.store);
    if (kernel != FFAI__CUDA_KERNEL_COUNT) {
        emit_attend(m, kernel);
        return;
    }
    const ffai__value q = m->instruction->in[0];
    ffai__cuda_operation *attend = emit(m, FFAI__CUDA_KERNEL_attend_any, q, "attend", &args, sizeof args);
    attend->grid = FFAI__CUDA_GRID_ATTEND;
    attend->attends = true;
    attend->blocks = (unsigned)args.store.heads;
    attend->shared_bytes =
        (unsigned)(FFAI__CUDA_ATTEND_HEADS * (2 * args.store.head_dim + FFAI__CUDA_STRETCH + 2) * (int)sizeof(float));
    if (few && m->run->splits > 1)
        over_work(emit(m, FFAI__CUDA_KERNEL_attend_any_merge, q, "merge", &args, sizeof args),
                  (int64_t)args.heads * 32);
}

static void emit_sample_part(maker *m, ffai__cuda_kernel kernel, const ffai__cuda_sample_args *args,
                             size_t shared_bytes)
{
    ffai__cuda_operation *operation = emit(m, kernel, m->instruction->in[0], "sample", args, sizeof *args);
    operation->blocks = ffai__cuda_sample_blocks(args->vocab_size, m->of->outputs);
    operation->threads = FFAI__CUDA_SAMPLE_THREADS;
    operation->shared_bytes = (unsigned)shared_bytes;
}

static void emit_sample(maker *m)
{
    const int64_t vocab_size = m->run->program->vocab_size;
    const ffai__cuda_sample_args args = {
        .step = m->run->step,
        .logits = address(m, m->instruction->in[0]),
        .vocab_size = vocab_size,
        .scratch = ffai__cuda_pointer(m->run->sample_scratch),
        .scratch_stride = (int64_t)ffai__cuda_sample_scratch_bytes(vocab_size),
        .drawn = m->run->device_drawn,
        .slots = FFAI__CUDA_SLOTS,
        .max_outputs = m->run->options.max_outputs,
    };
    emit_sample_part(m, FFAI__CUDA_KERNEL_sample_best, &args, FFAI__CUDA_SAMPLE_BEST_SHARED_BYTES);
    if (m->of->greedy)
        return;
    emit_sample_part(m, FFAI__CUDA_KERNEL_sample_weigh, &args, FFAI__CUDA_SAMPLE_SHARED_BYTES);
    emit_sample_part(m, FFAI__CUDA_KERNEL_sample_draw, &args, FFAI__CUDA_SAMPLE_SHARED_BYTES);
}

static void emit_instruction(maker *m)
{
    const ffai__instruction *instruction = m->instruction;
    switch (instruction->op) {
    case FFAI__OP_embed:
        emit_embed(m);
        break;
    case FFAI__OP_rms_norm:
        emit_norm(m);
        break;
    case FFAI__OP_linear:
        emit_linear(m, FFAI__NONE);
        break;
    case FFAI__OP_linear_shared:
        emit_shared(m);
        break;
    case FFAI__OP_linear_add:
        emit_linear(m, instruction->in[3]);
        break;
    case FFAI__OP_rope:
        emit_rope(m);
        break;
    case FFAI__OP_kv_store:
        emit_store(m);
        break;
    case FFAI__OP_attention:
        emit_attention(m);
        break;
    case FFAI__OP_silu:
        emit_elements(m, FFAI__CUDA_KERNEL_silu);
        break;
    case FFAI__OP_mul:
        emit_elements(m, FFAI__CUDA_KERNEL_mul);
        break;
    case FFAI__OP_add:
        emit_elements(m, FFAI__CUDA_KERNEL_add);
        break;
    case FFAI__OP_swiglu:
        emit_swiglu(m);
        break;
    case FFAI__OP_select_rows:
        if (!skips_select(m))
            emit_elements(m, FFAI__CUDA_KERNEL_select_rows);
        break;
    case FFAI__OP_sample:
        emit_sample(m);
        break;
    case FFAI__OP_COUNT:
        break;
    }
}

ffai_status ffai__cuda_make_operations(ffai__cuda_class *of, ffai__cuda_run *run, ffai_error *err)
{
    maker m = {.run = run, .of = of, .prepared = FFAI__NONE};
    const bool fit = all_rows_fit(&m);
    if (of->rows == 1 && !fit)
        of->rows = FFAI__CUDA_FEW_ROWS;
    if (of->outputs == 1 && !fit)
        of->outputs = FFAI__CUDA_FEW_ROWS;
    m.done = ffai__calloc(run->program->num_instructions, sizeof *m.done);
    if (!m.done)
        return ffai__fail_memory(err, "a step's operations", run->program->num_instructions * sizeof *m.done);
    mark_folded(&m);
    emit_begin(&m);
    emit_angles(&m);
    for (size_t i = 0; i < run->program->num_instructions; i++) {
        m.index = i;
        m.instruction = &run->program->instructions[i];
        if (!m.done[i])
            emit_instruction(&m);
    }
    ffai__free(m.done);
    if (m.failed)
        return ffai__fail_memory(err, "a step's operations", m.capacity * sizeof *of->operations);
    return FFAI_OK;
}
