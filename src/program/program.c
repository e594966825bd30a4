#include "program.h"

#include "alloc.h"

const ffai__op_info ffai__ops[FFAI__OP_COUNT] = {
#define OP(name, inputs, outputs, attributes, definition) {#name, inputs, outputs, definition},
#include "ops.def"
#undef OP
};

void ffai__program_free(ffai__program *program)
{
    if (!program)
        return;
    for (size_t i = 0; i < program->num_owned; i++)
        ffai__free(program->owned[i]);
    ffai__free(program->owned);
    ffai__free(program->instructions);
    ffai__free(program->values);
    ffai__free(program->stores);
    ffai__free(program->groups);
    ffai__free(program);
}

uint64_t ffai__program_weight_bytes(const ffai__program *program)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < program->num_values; i++) {
        if (program->values[i].weight)
            bytes += ffai__weight_bytes(program->values[i].weight);
    }
    return bytes;
}

uint64_t ffai__instruction_bytes(const ffai__program *program, size_t index)
{
    const ffai__instruction *instruction = &program->instructions[index];
    uint64_t bytes = 0;
    for (int i = 0; i < FFAI__MAX_INPUTS; i++) {
        const ffai__weight *weight = ffai__weight_of(program, instruction->in[i]);
        if (weight)
            bytes += instruction->op == FFAI__OP_embed ? ffai__weight_row_bytes(weight) : ffai__weight_bytes(weight);
    }
    return bytes;
}

uint64_t ffai__instruction_flops(const ffai__program *program, size_t index)
{
    const ffai__instruction *instruction = &program->instructions[index];
    if (instruction->op == FFAI__OP_embed)
        return 0;
    uint64_t flops = 0;
    for (int i = 0; i < FFAI__MAX_INPUTS; i++) {
        const ffai__weight *weight = ffai__weight_of(program, instruction->in[i]);
        if (weight)
            flops += (weight->rank == 2 ? 2u : 1u) * (uint64_t)weight->rows * (uint64_t)weight->columns;
    }
    return flops;
}
