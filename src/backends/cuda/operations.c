/* A class's operations: the program's instructions as kernels, in order. A step of one row takes its products from the
 * weights' stream alone; what stands around them is folded in where it can be. */
#include "alloc.h"
#include "attention.h"
#include "products.h"
#include "sample.h"

static void emit_begin(ffai__maker *m)
{
    ffai__cuda_operation *operation =
        ffai__maker_emit(m, FFAI__CUDA_KERNEL_begin, FFAI__NONE, "begin", &m->run->begin, sizeof m->run->begin);
    operation->threads = m->of->rows > FFAI__CUDA_THREADS ? 1024 : FFAI__CUDA_THREADS;
}

/* Whether instruction i is the first rope with its table of angles. */
static bool has_new_angles(const ffai__maker *m, size_t i)
{
    const ffai__cuda_run *run = m->run;
    size_t first = 0;
    while (run->angles[first] != run->angles[i])
        first++;
    return run->program->instructions[i].op == FFAI__OP_rope && first == i;
}

static ffai__cuda_angles_args angles_args(const ffai__maker *m, size_t i)
{
    const ffai__rope *rope = &m->run->program->instructions[i].attributes.rope;
    return (ffai__cuda_angles_args){
        .step = m->run->step,
        .angles = ffai__cuda_pointer(m->run->angles[i]),
        .inv_freq = ffai__cuda_pointer(m->run->frequencies[i]),
        .dims = rope->dims,
        .dynamic = rope->kind == FFAI__ROPE_DYNAMIC,
        .theta = rope->theta,
        .factor = rope->factor,
        .original_max_position = rope->original_max_position,
        .attention_factor = rope->attention_factor,
    };
}

/* From instruction `first` on. */
static void emit_angles(ffai__maker *m, size_t first)
{
    for (size_t i = first; i < m->run->program->num_instructions; i++) {
        if (!has_new_angles(m, i))
            continue;
        m->instruction = &m->run->program->instructions[i];
        const ffai__cuda_angles_args args = angles_args(m, i);
        ffai__maker_over_work(
            ffai__maker_emit(m, FFAI__CUDA_KERNEL_angles, m->instruction->in[0], "angles", &args, sizeof args),
            args.dims / 2);
    }
}

static ffai__cuda_embed_args embed_args(const ffai__maker *m, const ffai__instruction *instruction)
{
    return (ffai__cuda_embed_args){
        .step = m->run->step,
        .matrix = m->run->plan->matrices[instruction->in[0]],
        .y = ffai__maker_address(m, instruction->out[0]),
    };
}

static void emit_embed(ffai__maker *m)
{
    const ffai__cuda_embed_args args = embed_args(m, m->instruction);
    ffai__cuda_operation *operation =
        ffai__maker_emit(m, FFAI__CUDA_KERNEL_embed, m->instruction->out[0], "embed", &args, sizeof args);
    operation->grid = FFAI__CUDA_GRID_ROWS;
    operation->blocks = (unsigned)((args.matrix.columns + 1023) / 1024);
}

/* A step of one row begins with one kernel: the message, the first table of angles, and the embedding. */
static void emit_begin_row(ffai__maker *m)
{
    const ffai__program *program = m->run->program;
    ffai__cuda_begin_row_args args = {.begin = m->run->begin, .embed = embed_args(m, &program->instructions[0])};
    size_t rope = 0;
    while (rope < program->num_instructions && !has_new_angles(m, rope))
        rope++;
    if (rope < program->num_instructions)
        args.angles = angles_args(m, rope);
    ffai__maker_emit(m, FFAI__CUDA_KERNEL_begin_row, FFAI__NONE, "begin", &args, sizeof args)->threads =
        FFAI__CUDA_BEGIN_ROW_THREADS;
    m->done[0] = true;
    emit_angles(m, rope + 1);
}

static void emit_beginning(ffai__maker *m)
{
    if (m->of->rows == 1 && m->of->outputs == 1 && m->run->program->instructions[0].op == FFAI__OP_embed) {
        emit_begin_row(m);
        return;
    }
    emit_begin(m);
    emit_angles(m, 0);
}

static void emit_norm(ffai__maker *m)
{
    const ffai__instruction *instruction = m->instruction;
    const ffai__value x = instruction->in[0];
    if (ffai__product_folded_norm(m, instruction->out[0]))
        return;
    const int64_t width = ffai__weight_of(m->run->program, instruction->in[1])->columns;
    const ffai__cuda_rms_norm_args args = {
        .step = m->run->step,
        .y = ffai__maker_address(m, instruction->out[0]),
        .x = ffai__maker_address(m, x),
        .w = ffai__maker_vector(m, instruction->in[1]),
        .width = width,
        .columns = ffai__maker_columns(m, x),
        .eps = instruction->attributes.rms_norm.eps,
        .of_outputs = ffai__maker_is_of_outputs(m, x),
    };
    const bool warps = width <= FFAI__CUDA_NORM_LONGEST_OF_WARPS;
    ffai__cuda_operation *operation = ffai__maker_emit(
        m, warps ? FFAI__CUDA_KERNEL_rms_norm_warps : FFAI__CUDA_KERNEL_rms_norm_blocks, x, "norm", &args, sizeof args);
    operation->shared_bytes = warps ? 0 : FFAI__CUDA_NORM_SHARED_BYTES;
    operation->threads = FFAI__CUDA_NORM_THREADS;
    ffai__maker_over_work(operation, args.columns / width * (warps ? 32 : FFAI__CUDA_NORM_THREADS));
}

static void emit_elements(ffai__maker *m, ffai__cuda_kernel kernel)
{
    const ffai__instruction *instruction = m->instruction;
    const bool pair = instruction->in[1] != FFAI__NONE;
    const ffai__cuda_elements_args args = {
        .step = m->run->step,
        .y = ffai__maker_address(m, instruction->out[0]),
        .a = ffai__maker_address(m, instruction->in[0]),
        .b = pair ? ffai__maker_address(m, instruction->in[1]) : NULL,
        .columns = ffai__maker_columns(m, instruction->out[0]),
        .of_outputs = ffai__maker_is_of_outputs(m, instruction->out[0]),
    };
    ffai__cuda_operation *operation =
        ffai__maker_emit(m, kernel, instruction->out[0], ffai__ops[instruction->op].name, &args, sizeof args);
    operation->threads = FFAI__CUDA_ELEMENT_THREADS;
    ffai__maker_over_work(operation, (args.columns + 3) / 4);
}

static void emit_swiglu(ffai__maker *m)
{
    const int32_t producer = m->run->program->values[m->instruction->in[0]].producer;
    if (!ffai__product_folded_swiglu(m, &m->run->program->instructions[producer]))
        emit_elements(m, FFAI__CUDA_KERNEL_swiglu);
}

static void emit_rope(ffai__maker *m)
{
    const ffai__instruction *instruction = m->instruction;
    const ffai__rope *rope = &instruction->attributes.rope;
    const ffai__cuda_rope_args args = {
        .step = m->run->step,
        .x = ffai__maker_address(m, instruction->in[0]),
        .y = ffai__maker_address(m, instruction->out[0]),
        .angles = ffai__cuda_pointer(m->run->angles[m->index]),
        .columns = ffai__maker_columns(m, instruction->in[0]),
        .head_dim = rope->head_dim,
        .dims = rope->dims,
    };
    ffai__maker_over_work(ffai__maker_emit(m, FFAI__CUDA_KERNEL_rope, instruction->in[0], "rope", &args, sizeof args),
                          args.columns / rope->head_dim * (rope->head_dim - rope->dims / 2));
}

static void emit_sample_part(ffai__maker *m, ffai__cuda_kernel kernel, const ffai__cuda_sample_args *args,
                             size_t shared_bytes)
{
    ffai__cuda_operation *operation = ffai__maker_emit(m, kernel, m->instruction->in[0], "sample", args, sizeof *args);
    operation->blocks = ffai__cuda_sample_blocks(args->vocab_size, m->of->outputs);
    operation->threads = FFAI__CUDA_SAMPLE_THREADS;
    operation->shared_bytes = (unsigned)shared_bytes;
}

static void emit_sample(ffai__maker *m)
{
    const int64_t vocab_size = m->run->program->vocab_size;
    const ffai__cuda_sample_args args = {
        .step = m->run->step,
        .logits = ffai__maker_address(m, m->instruction->in[0]),
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

static void emit_instruction(ffai__maker *m)
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
        ffai__product_emit_linear(m, FFAI__NONE);
        break;
    case FFAI__OP_linear_shared:
        ffai__product_emit_shared(m);
        break;
    case FFAI__OP_linear_add:
        ffai__product_emit_linear(m, instruction->in[3]);
        break;
    case FFAI__OP_rope:
        emit_rope(m);
        break;
    case FFAI__OP_kv_store:
        ffai__attention_emit_store(m);
        break;
    case FFAI__OP_attention:
        ffai__attention_emit(m);
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
        if (!ffai__maker_skips_select(m))
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
    ffai__maker m = {.run = run, .of = of, .prepared = FFAI__NONE};
    const bool fit = ffai__product_all_rows_fit(&m);
    if (of->rows == 1 && !fit)
        of->rows = FFAI__CUDA_FEW_ROWS;
    if (of->outputs == 1 && !fit)
        of->outputs = FFAI__CUDA_FEW_ROWS;
    m.done = ffai__calloc(run->program->num_instructions, sizeof *m.done);
    if (!m.done)
        return ffai__fail_memory(err, "a step's operations", run->program->num_instructions * sizeof *m.done);
    ffai__attention_mark_folded(&m);
    emit_beginning(&m);
    ffai__attention_emit_tiles(&m);
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
