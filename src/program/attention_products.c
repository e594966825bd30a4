#include "attention_products.h"

#include "alloc.h"

static bool any_output(const ffai__instruction *instruction, const bool *marked)
{
    for (int k = 0; k < FFAI__MAX_OUTPUTS; k++) {
        if (instruction->out[k] != FFAI__NONE && marked[instruction->out[k]])
            return true;
    }
    return false;
}

static bool any_input(const ffai__instruction *instruction, const bool *marked)
{
    for (int k = 0; k < FFAI__MAX_INPUTS; k++) {
        if (instruction->in[k] != FFAI__NONE && marked[instruction->in[k]])
            return true;
    }
    return false;
}

static void mark_inputs(const ffai__program *program, const ffai__instruction *instruction, bool *marked)
{
    for (int k = 0; k < FFAI__MAX_INPUTS; k++) {
        const ffai__value value = instruction->in[k];
        if (value != FFAI__NONE && program->values[value].kind == FFAI__ACTIVATION)
            marked[value] = true;
    }
}

/* From the last instruction to the first: what an attention or a store reads, back to the products that made it. */
static void find_before(bool *found, bool *marked, const ffai__program *program)
{
    for (size_t i = program->num_instructions; i-- > 0;) {
        const ffai__instruction *instruction = &program->instructions[i];
        const bool reads = instruction->op == FFAI__OP_attention || instruction->op == FFAI__OP_kv_store;
        if (!reads && !any_output(instruction, marked))
            continue;
        if (ffai__op_multiplies(instruction->op))
            found[i] = true;
        else
            mark_inputs(program, instruction, marked);
    }
}

/* From the first to the last: what an attention brings, on to the products that take it in. */
static void find_behind(bool *found, bool *marked, const ffai__program *program)
{
    for (size_t i = 0; i < program->num_instructions; i++) {
        const ffai__instruction *instruction = &program->instructions[i];
        if (instruction->op != FFAI__OP_attention && !any_input(instruction, marked))
            continue;
        if (ffai__op_multiplies(instruction->op)) {
            found[i] = found[i] || marked[instruction->in[0]];
            continue;
        }
        for (int k = 0; k < FFAI__MAX_OUTPUTS; k++) {
            if (instruction->out[k] != FFAI__NONE)
                marked[instruction->out[k]] = true;
        }
    }
}

ffai_status ffai__attention_products(bool **found, const ffai__program *program, ffai_error *err)
{
    bool *before = ffai__calloc(program->num_values + 1, sizeof *before);
    bool *behind = ffai__calloc(program->num_values + 1, sizeof *behind);
    *found = ffai__calloc(program->num_instructions + 1, sizeof **found);
    ffai_status status = FFAI_OK;
    if (before && behind && *found) {
        find_before(*found, before, program);
        find_behind(*found, behind, program);
    } else {
        ffai__free(*found);
        *found = NULL;
        status = ffai__fail_memory(err, "looking for attention's products", program->num_values);
    }
    ffai__free(behind);
    ffai__free(before);
    return status;
}
