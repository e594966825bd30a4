#include "fold.h"

/* How often an instruction reads a value. */
static int reads(const ffai__instruction *instruction, ffai__value value)
{
    int count = 0;
    for (int k = 0; k < FFAI__MAX_INPUTS; k++)
        count += instruction->in[k] == value;
    return count;
}

static bool only_products_read(const ffai__program *program, ffai__value value)
{
    for (size_t i = 0; i < program->num_instructions; i++) {
        const ffai__instruction *instruction = &program->instructions[i];
        const int count = reads(instruction, value);
        if (count && (!ffai__op_multiplies(instruction->op) || instruction->in[0] != value || count > 1))
            return false;
    }
    return true;
}

const ffai__instruction *ffai__fold_norm(const ffai__program *program, ffai__value value)
{
    const int32_t producer = program->values[value].producer;
    if (producer < 0 || program->instructions[producer].op != FFAI__OP_rms_norm || value == program->logits)
        return NULL;
    const ffai__instruction *norm = &program->instructions[producer];
    if (ffai__weight_of(program, norm->in[1])->columns != program->values[value].columns)
        return NULL;
    return only_products_read(program, value) ? norm : NULL;
}

static const ffai__instruction *only_reader(const ffai__program *program, ffai__value value)
{
    const ffai__instruction *reader = NULL;
    for (size_t i = 0; i < program->num_instructions; i++) {
        const int count = reads(&program->instructions[i], value);
        if (count && (reader || count > 1))
            return NULL;
        reader = count ? &program->instructions[i] : reader;
    }
    return value == program->logits ? NULL : reader;
}

const ffai__instruction *ffai__fold_swiglu(const ffai__program *program, const ffai__instruction *shared)
{
    if (shared->op != FFAI__OP_linear_shared || shared->out[1] == FFAI__NONE || shared->out[2] != FFAI__NONE)
        return NULL;
    const ffai__instruction *swiglu = only_reader(program, shared->out[0]);
    if (!swiglu || swiglu->op != FFAI__OP_swiglu || swiglu != only_reader(program, shared->out[1]))
        return NULL;
    return swiglu->in[0] == shared->out[0] && swiglu->in[1] == shared->out[1] ? swiglu : NULL;
}
