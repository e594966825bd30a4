#include "fusions.h"

#include <string.h>

#include "alloc.h"

/* An instruction taken out of the list until the rewrite has closed the gaps. */
static const ffai__op removed = FFAI__OP_COUNT;

/* [num_values] how often each value is read; NULL when memory is short. No rewrite changes the count of a value that
 * stays. */
static int *count_uses(const ffai__program *program)
{
    int *uses = ffai__calloc(program->num_values, sizeof *uses);
    if (!uses)
        return NULL;
    uses[program->logits]++;
    uses[program->sampled]++;
    for (size_t i = 0; i < program->num_instructions; i++) {
        for (int k = 0; k < FFAI__MAX_INPUTS; k++) {
            if (program->instructions[i].in[k] != FFAI__NONE)
                uses[program->instructions[i].in[k]]++;
        }
    }
    return uses;
}

/* The instruction that computes value if it is an `op` that nothing else reads, else NULL. */
static ffai__instruction *only_use_of(ffai__program *program, const int *uses, ffai__value value, ffai__op op)
{
    const int32_t producer = program->values[value].producer;
    if (producer < 0 || program->instructions[producer].op != op || uses[value] != 1)
        return NULL;
    return &program->instructions[producer];
}

static void fuse_swiglu(ffai__program *program, const int *uses)
{
    for (size_t i = 0; i < program->num_instructions; i++) {
        ffai__instruction *mul = &program->instructions[i];
        if (mul->op != FFAI__OP_mul)
            continue;
        for (int side = 0; side < 2; side++) {
            ffai__instruction *silu = only_use_of(program, uses, mul->in[side], FFAI__OP_silu);
            if (!silu)
                continue;
            const ffai__value other = mul->in[1 - side];
            mul->op = FFAI__OP_swiglu;
            mul->in[0] = silu->in[0];
            mul->in[1] = other;
            silu->op = removed;
            break;
        }
    }
}

static void fuse_residual(ffai__program *program, const int *uses)
{
    for (size_t i = 0; i < program->num_instructions; i++) {
        ffai__instruction *add = &program->instructions[i];
        if (add->op != FFAI__OP_add)
            continue;
        for (int side = 1; side >= 0; side--) {
            ffai__instruction *linear = only_use_of(program, uses, add->in[side], FFAI__OP_linear);
            if (!linear)
                continue;
            const ffai__value residual = add->in[1 - side];
            add->op = FFAI__OP_linear_add;
            memcpy(add->in, linear->in, sizeof add->in);
            add->in[3] = residual;
            linear->op = removed;
            break;
        }
    }
}

/* Move a later linear's operands into `shared` as its number `n`. */
static void join_linear(ffai__program *program, ffai__instruction *shared, int n, ffai__instruction *linear)
{
    shared->in[1 + 2 * n] = linear->in[1];
    shared->in[2 + 2 * n] = linear->in[2];
    shared->out[n] = linear->out[0];
    program->values[linear->out[0]].producer = (int32_t)(shared - program->instructions);
    linear->op = removed;
}

static void fuse_shared_input(ffai__program *program, const int *uses)
{
    for (size_t i = 0; i < program->num_instructions; i++) {
        ffai__instruction *first = &program->instructions[i];
        if (first->op != FFAI__OP_linear)
            continue;
        const int most = uses[first->in[0]] < FFAI__MAX_OUTPUTS ? uses[first->in[0]] : FFAI__MAX_OUTPUTS;
        int n = 1;
        for (size_t k = i + 1; n < most && k < program->num_instructions; k++) {
            ffai__instruction *other = &program->instructions[k];
            if (other->op == FFAI__OP_linear && other->in[0] == first->in[0])
                join_linear(program, first, n++, other);
        }
        if (n > 1)
            first->op = FFAI__OP_linear_shared;
    }
}

static void close_gaps(ffai__program *program)
{
    size_t kept = 0;
    for (size_t i = 0; i < program->num_instructions; i++) {
        if (program->instructions[i].op == removed)
            continue;
        program->instructions[kept] = program->instructions[i];
        for (int k = 0; k < FFAI__MAX_OUTPUTS; k++) {
            const ffai__value out = program->instructions[kept].out[k];
            if (out != FFAI__NONE)
                program->values[out].producer = (int32_t)kept;
        }
        kept++;
    }
    program->num_instructions = kept;
}

ffai_status ffai__program_fuse(ffai__program *program, uint32_t fusions, ffai_error *err)
{
    static void (*const rewrites[FFAI__FUSION_COUNT])(ffai__program *, const int *) = {
#define FFAI__FUSION_ROW(name, text) [FFAI__FUSE_##name] = fuse_##name,
        FFAI__FUSION_LIST(FFAI__FUSION_ROW)
#undef FFAI__FUSION_ROW
    };
    for (int i = 0; i < FFAI__FUSION_COUNT; i++) {
        if (!(fusions >> i & 1u))
            continue;
        int *uses = count_uses(program);
        if (!uses)
            return ffai__fail_memory(err, "rewriting the program", program->num_values * sizeof *uses);
        rewrites[i](program, uses);
        close_gaps(program);
        ffai__free(uses);
    }
    return ffai__program_verify(program, err);
}

static bool find_fusion(uint32_t *bit, const char *name, size_t length)
{
    static const char *const names[] = {
#define FFAI__FUSION_NAME(name, text) #name,
        FFAI__FUSION_LIST(FFAI__FUSION_NAME)
#undef FFAI__FUSION_NAME
    };
    for (int i = 0; i < FFAI__FUSION_COUNT; i++) {
        if (strlen(names[i]) == length && memcmp(names[i], name, length) == 0) {
            *bit = 1u << i;
            return true;
        }
    }
    return false;
}

ffai_status ffai__fusions_parse(uint32_t *fusions, const char *text, ffai_error *err)
{
    if (strcmp(text, "all") == 0 || strcmp(text, "none") == 0) {
        *fusions = text[0] == 'a' ? FFAI__FUSE_ALL : FFAI__FUSE_NONE;
        return FFAI_OK;
    }
    uint32_t chosen = 0;
    for (bool more = true; more;) {
        const size_t length = strcspn(text, ",");
        uint32_t bit = 0;
        if (!find_fusion(&bit, text, length))
            return ffai__fail(err, FFAI_E_ARGUMENT,
                              "fusions: there is no \"%.*s\": all, none, or some of swiglu, residual, shared_input",
                              (int)length, text);
        chosen |= bit;
        text += length;
        more = *text++ == ',';
    }
    *fusions = chosen;
    return FFAI_OK;
}
