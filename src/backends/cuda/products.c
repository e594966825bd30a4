/* Which kernel multiplies, by the rows of the class, and what is folded into it. */
#include "products.h"

#include <string.h>

#include "fold.h"

const ffai__product_kernels *ffai__product_kernels_for(const ffai__cuda_matrix *matrix)
{
    static const ffai__product_kernels kernels[] = {
#define KERNEL(file, name)
#define PRODUCT(file, format, subgroups, name)                                                                         \
    {format,                                                                                                           \
     subgroups,                                                                                                        \
     {FFAI__CUDA_KERNEL_product_row_##name, FFAI__CUDA_KERNEL_product_row_fine_##name,                                 \
      FFAI__CUDA_KERNEL_product_row_whole_##name},                                                                     \
     {FFAI__CUDA_KERNEL_product_few_##name, FFAI__CUDA_KERNEL_product_few_fine_##name},                                \
     {FFAI__CUDA_KERNEL_product_group_##name, FFAI__CUDA_KERNEL_product_group_fine_##name},                            \
     FFAI__CUDA_KERNEL_product_many_##name,                                                                            \
     {FFAI__CUDA_KERNEL_product_wgmma_##name, FFAI__CUDA_KERNEL_product_wgmma_fine_##name}},
#include "kernels/kernels.def"
#undef KERNEL
    };
    size_t i = 0;
    while (kernels[i].format != matrix->format || kernels[i].subgroups != matrix->subgroups)
        i++;
    return &kernels[i];
}

int32_t ffai__product_pieces_at(const ffai__maker *m, size_t index)
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
    return plan->around_attention[index] ? 2 : 1;
}

int32_t ffai__product_pieces(const ffai__maker *m)
{
    return ffai__product_pieces_at(m, m->index);
}

static ffai__cuda_part part_of(const ffai__maker *m, int n, ffai__value residual)
{
    const ffai__instruction *instruction = m->instruction;
    return (ffai__cuda_part){
        .matrix = m->run->plan->matrices[instruction->in[1 + 2 * n]],
        .y = ffai__maker_address(m, instruction->out[n]),
        .bias = ffai__maker_vector(m, instruction->in[2 + 2 * n]),
        .residual = residual == FFAI__NONE ? NULL : ffai__maker_address(m, residual),
    };
}

static bool same_format(const ffai__cuda_matrix *a, const ffai__cuda_matrix *b)
{
    return a->format == b->format && a->subgroups == b->subgroups && a->scale_format == b->scale_format;
}

void ffai__product_add_work(ffai__cuda_operation *operation, const ffai__cuda_matrix *matrix)
{
    operation->bytes += (double)ffai__cuda_matrix_bytes(matrix);
    operation->flops_a_row += 2.0 * (double)matrix->rows * (double)matrix->columns;
}

void ffai__product_add_parts(ffai__cuda_operation *operation, const ffai__cuda_part *parts, int count)
{
    for (int i = 0; i < count; i++)
        ffai__product_add_work(operation, &parts[i].matrix);
}

int32_t ffai__product_count_blocks(int32_t *first_block, const ffai__cuda_part *parts, int count, int32_t units)
{
    int32_t blocks = 0;
    for (int i = 0; i < count; i++) {
        first_block[i] = blocks;
        blocks += (parts[i].matrix.units + units - 1) / units;
    }
    return blocks;
}

/* Whether all products of many rows that read x are wgmma's. */
static bool wgmma_reads(const ffai__maker *m, ffai__value x)
{
    const ffai__program *program = m->run->program;
    for (size_t i = 0; i < program->num_instructions; i++) {
        const ffai__instruction *instruction = &program->instructions[i];
        if (!ffai__op_multiplies(instruction->op) || instruction->in[0] != x)
            continue;
        for (int n = 0; n < FFAI__MAX_OUTPUTS; n++) {
            if (instruction->out[n] != FFAI__NONE &&
                !ffai__product_takes_wgmma(m, i, &m->run->plan->matrices[instruction->in[1 + 2 * n]]))
                return false;
        }
    }
    return true;
}

const ffai__instruction *ffai__product_folded_norm(const ffai__maker *m, ffai__value x)
{
    if (m->run->options.keep_values || (ffai__maker_rows(m, x) >= FFAI__CUDA_MANY_ROWS && !wgmma_reads(m, x)))
        return NULL;
    return ffai__fold_norm(m->run->program, x);
}

const ffai__instruction *ffai__product_folded_swiglu(const ffai__maker *m, const ffai__instruction *shared)
{
    const ffai__cuda_matrix *matrices = m->run->plan->matrices;
    const size_t index = (size_t)(shared - m->run->program->instructions);
    const bool many = ffai__maker_rows(m, shared->in[0]) >= FFAI__CUDA_MANY_ROWS;
    if (m->run->options.keep_values || (many && !ffai__product_takes_wgmma(m, index, &matrices[shared->in[1]])))
        return NULL;
    const ffai__instruction *swiglu = ffai__fold_swiglu(m->run->program, shared);
    return swiglu && same_format(&matrices[shared->in[1]], &matrices[shared->in[3]]) ? swiglu : NULL;
}

/* As many parts as one kernel takes: those that are stored alike. */
static int take_parts(ffai__cuda_part *taken, const ffai__cuda_part *parts, int count)
{
    int n = 0;
    do {
        taken[n] = parts[n];
        n++;
    } while (n < count && same_format(&parts[n].matrix, &parts[0].matrix));
    return n;
}

static void emit_one_row(ffai__maker *m, const ffai__cuda_part *parts, int count)
{
    for (int i = 0; i < count;) {
        ffai__cuda_product_row_args args = ffai__product_row_args(m);
        i += args.num_parts = take_parts(args.parts, parts + i, count - i);
        ffai__product_emit_row(m, &args);
    }
}

static void emit_several_rows(ffai__maker *m, const ffai__cuda_part *parts, int count)
{
    for (int i = 0; i < count;) {
        if (ffai__product_takes_wgmma(m, m->index, &parts[i].matrix)) {
            ffai__cuda_product_wgmma_args args = {.num_parts = 0};
            i += args.num_parts = take_parts(args.parts, parts + i, count - i);
            ffai__product_emit_wgmma(m, &args);
            continue;
        }
        if (ffai__product_takes_many(m, &parts[i])) {
            ffai__product_emit_many(m, &parts[i++]);
            continue;
        }
        ffai__cuda_product_few_args args = ffai__product_few_args(m);
        i += args.num_parts = take_parts(args.parts, parts + i, count - i);
        ffai__product_emit_few(m, &args);
    }
}

static void emit_products(ffai__maker *m, const ffai__cuda_part *parts, int count)
{
    if (ffai__maker_is_one_row(m, m->instruction->in[0]))
        emit_one_row(m, parts, count);
    else
        emit_several_rows(m, parts, count);
}

static void emit_swiglu_row(ffai__maker *m, const ffai__cuda_part parts[2])
{
    ffai__cuda_product_row_args args = ffai__product_row_args(m);
    memcpy(args.parts, parts, 2 * sizeof *parts);
    args.num_parts = 2;
    args.swiglu = 1;
    ffai__product_emit_row(m, &args);
}

static void emit_swiglu_product(ffai__maker *m, const ffai__instruction *swiglu)
{
    ffai__cuda_part parts[2] = {part_of(m, 0, FFAI__NONE), part_of(m, 1, FFAI__NONE)};
    parts[0].y = ffai__maker_address(m, swiglu->out[0]);
    if (ffai__maker_is_one_row(m, m->instruction->in[0])) {
        emit_swiglu_row(m, parts);
        return;
    }
    if (ffai__product_takes_wgmma(m, m->index, &parts[0].matrix)) {
        ffai__cuda_product_wgmma_args many = {.num_parts = 2, .swiglu = 1};
        memcpy(many.parts, parts, sizeof parts);
        many.next = ffai__prepare_next(m, &parts[0].matrix, swiglu->out[0]);
        ffai__product_emit_wgmma(m, &many);
        if (many.next.spans)
            ffai__prepare_remember(m, swiglu->out[0], &many.next);
        return;
    }
    ffai__cuda_product_few_args args = ffai__product_few_args(m);
    memcpy(args.parts, parts, sizeof parts);
    args.num_parts = 2;
    args.swiglu = 1;
    ffai__product_emit_few(m, &args);
}

void ffai__product_emit_linear(ffai__maker *m, ffai__value residual)
{
    const ffai__cuda_part part = part_of(m, 0, residual);
    emit_products(m, &part, 1);
}

void ffai__product_emit_shared(ffai__maker *m)
{
    const ffai__instruction *swiglu = ffai__product_folded_swiglu(m, m->instruction);
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
