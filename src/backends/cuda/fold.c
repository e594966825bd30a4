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

const ffai__instruction *ffai__fold_product(const ffai__program *program, ffai__value value)
{
    const ffai__instruction *reader = only_reader(program, value);
    const bool multiplies =
        reader && (reader->op == FFAI__OP_linear || reader->op == FFAI__OP_linear_add) && reader->in[0] == value;
    return multiplies ? reader : NULL;
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

/* Step back from *value to the input of the `op` that alone made it for `reader`; SIZE_MAX where there is none. */
static size_t step_back(const ffai__program *program, ffai__value *value, ffai__op op, const ffai__instruction *reader)
{
    const int32_t producer = program->values[*value].producer;
    if (producer < 0 || program->instructions[producer].op != op || only_reader(program, *value) != reader)
        return SIZE_MAX;
    *value = program->instructions[producer].in[0];
    return (size_t)producer;
}

static const ffai__instruction *reader_after(const ffai__program *program, size_t index,
                                             const ffai__instruction *otherwise)
{
    return index == SIZE_MAX ? otherwise : &program->instructions[index];
}

/* From a query or key as it is used to what a product left; false if it was prepared in another way. */
static bool step_to_product(const ffai__program *program, ffai__value *value, size_t *rope, size_t *norm,
                            const ffai__instruction *reader, int head_dim)
{
    *rope = step_back(program, value, FFAI__OP_rope, reader);
    if (*rope != SIZE_MAX && program->instructions[*rope].attributes.rope.head_dim != head_dim)
        return false;
    *norm = step_back(program, value, FFAI__OP_rms_norm, reader_after(program, *rope, reader));
    return *norm == SIZE_MAX || ffai__weight_of(program, program->instructions[*norm].in[1])->columns == head_dim;
}

bool ffai__fold_attention_find(ffai__fold_attention *fold, const ffai__program *program, size_t index)
{
    const ffai__instruction *attention = &program->instructions[index];
    const int head_dim = attention->attributes.attention.head_dim;
    size_t store = index;
    while (store-- > 0) {
        const ffai__instruction *before = &program->instructions[store];
        if (before->op == FFAI__OP_kv_store && before->in[2] == attention->in[1])
            break;
    }
    if (store == SIZE_MAX)
        return false;
    *fold = (ffai__fold_attention){.attention = index, .store = store};
    fold->q = attention->in[0];
    fold->k = program->instructions[store].in[0];
    fold->v = program->instructions[store].in[1];
    if (only_reader(program, fold->v) != &program->instructions[store])
        return false;
    return step_to_product(program, &fold->q, &fold->q_rope, &fold->q_norm, attention, head_dim) &&
           step_to_product(program, &fold->k, &fold->k_rope, &fold->k_norm, &program->instructions[store], head_dim) &&
           (fold->q_rope == SIZE_MAX) == (fold->k_rope == SIZE_MAX);
}
