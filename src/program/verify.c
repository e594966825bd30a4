/* The verifier: what a backend may rely on without looking again. */
#include <math.h>
#include <string.h>

#include "alloc.h"
#include "program.h"

typedef struct {
    const ffai__program *program;
    size_t index; /* of the instruction being looked at */
    bool *defined;
    bool *stored; /* [stores] written by an earlier instruction */
    ffai_error *err;
} checker;

static ffai_status broken(const checker *c, const char *what)
{
    char line[256];
    ffai__instruction_print(line, sizeof line, c->program, c->index);
    return ffai__fail(c->err, FFAI_E_INTERNAL, "program: instruction %zu: %s: %s", c->index, what, line);
}

/* A broken promise that a checkpoint can cause: matrices whose sizes do not fit each other. */
static ffai_status misfit(const checker *c, const char *what)
{
    char line[256];
    ffai__instruction_print(line, sizeof line, c->program, c->index);
    return ffai__fail(c->err, FFAI_E_FORMAT, "%s: %s, so config and weights disagree: %s",
                      c->program->instructions[c->index].scope, what, line);
}

static const ffai__instruction *current(const checker *c)
{
    return &c->program->instructions[c->index];
}

static const ffai__value_info *in(const checker *c, int i)
{
    return &c->program->values[current(c)->in[i]];
}

static const ffai__value_info *out(const checker *c, int i)
{
    return &c->program->values[current(c)->out[i]];
}

static bool same_shape(const ffai__value_info *a, const ffai__value_info *b)
{
    return a->rows == b->rows && a->columns == b->columns;
}

static ffai_status check_operand(const checker *c, char letter, ffai__value value, bool is_output)
{
    if (value < 0 || (size_t)value >= c->program->num_values)
        return broken(c, "an operand is missing");
    const ffai__value_info *info = &c->program->values[value];
    static const struct {
        char letter;
        ffai__value_kind kind;
    } kinds[] = {{'A', FFAI__ACTIVATION}, {'W', FFAI__WEIGHT}, {'V', FFAI__WEIGHT},
                 {'K', FFAI__STORE},      {'H', FFAI__TOKENS}, {'I', FFAI__IDS}};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (kinds[i].letter == letter && kinds[i].kind != info->kind)
            return broken(c, "an operand is of the wrong kind");
    }
    const bool transient = letter == 'A' || letter == 'I';
    if (transient && (info->rows == FFAI__ROWS_NONE || info->columns < 1))
        return broken(c, "an operand has no shape");
    if (!is_output && transient && !c->defined[value])
        return broken(c, "an operand is used before it is computed");
    if (is_output && (c->defined[value] || info->producer != (int32_t)c->index))
        return broken(c, "an output is computed twice");
    return FFAI_OK;
}

/* Operands against a signature such as "AWV?". */
static ffai_status check_signature(const checker *c, const char *signature, const ffai__value *values, int most,
                                   bool is_output)
{
    int i = 0;
    for (const char *s = signature; *s; s++, i++) {
        const char letter = *s;
        const bool optional = s[1] == '?';
        if (optional)
            s++;
        if (optional && values[i] == FFAI__NONE)
            continue;
        FFAI__TRY(check_operand(c, letter, values[i], is_output));
    }
    for (; i < most; i++) {
        if (values[i] != FFAI__NONE)
            return broken(c, "too many operands");
    }
    return FFAI_OK;
}

/* A matrix [rows, columns] with columns as wide as x, its optional bias, and y as wide as its rows. */
static ffai_status check_matrix(const checker *c, const ffai__value_info *x, ffai__value matrix, ffai__value bias,
                                const ffai__value_info *y)
{
    const ffai__weight *weight = c->program->values[matrix].weight;
    if (weight->rank != 2)
        return ffai__fail(c->err, FFAI_E_FORMAT, "weight \"%s\": must be a matrix but has rank %d", weight->name,
                          weight->rank);
    if (weight->columns != x->columns)
        return ffai__fail(c->err, FFAI_E_FORMAT,
                          "weight \"%s\": is [%lld, %lld] but its input has %lld columns: config and weights disagree",
                          weight->name, (long long)weight->rows, (long long)weight->columns, (long long)x->columns);
    const ffai__weight *b = ffai__weight_of(c->program, bias);
    if (b && (b->rank != 1 || b->columns != weight->rows || ffai__weight_is_affine(b)))
        return ffai__fail(c->err, FFAI_E_FORMAT, "weight \"%s\": must be a vector of %lld", b->name,
                          (long long)weight->rows);
    if (y->columns != weight->rows || y->rows != x->rows)
        return broken(c, "the output's shape is not the matrix's");
    return FFAI_OK;
}

static ffai_status check_linear_shared(const checker *c)
{
    const ffai__instruction *instruction = current(c);
    for (int i = 0; i < FFAI__MAX_OUTPUTS; i++) {
        const ffai__value matrix = instruction->in[1 + 2 * i];
        if ((matrix == FFAI__NONE) != (instruction->out[i] == FFAI__NONE))
            return broken(c, "matrices and outputs do not pair");
        if (matrix != FFAI__NONE)
            FFAI__TRY(check_matrix(c, in(c, 0), matrix, instruction->in[2 + 2 * i], out(c, i)));
    }
    return FFAI_OK;
}

static ffai_status check_linear_add(const checker *c)
{
    FFAI__TRY(check_matrix(c, in(c, 0), current(c)->in[1], current(c)->in[2], out(c, 0)));
    return same_shape(in(c, 3), out(c, 0)) ? FFAI_OK : misfit(c, "the residual's shape is not the output's");
}

static ffai_status check_rms_norm(const checker *c)
{
    const ffai__weight *weight = in(c, 1)->weight;
    if (weight->rank != 1 || ffai__weight_is_affine(weight))
        return ffai__fail(c->err, FFAI_E_FORMAT, "weight \"%s\": must be a plain vector", weight->name);
    if (weight->columns < 1 || in(c, 0)->columns % weight->columns != 0)
        return ffai__fail(c->err, FFAI_E_FORMAT, "weight \"%s\": has %lld elements but its input has %lld columns",
                          weight->name, (long long)weight->columns, (long long)in(c, 0)->columns);
    if (!(current(c)->attributes.rms_norm.eps >= 0))
        return broken(c, "eps is negative");
    return same_shape(in(c, 0), out(c, 0)) ? FFAI_OK : broken(c, "the output's shape is not the input's");
}

static ffai_status check_rope(const checker *c)
{
    const ffai__rope *rope = &current(c)->attributes.rope;
    if (rope->head_dim < 2 || rope->dims < 2 || rope->dims % 2 || rope->dims > rope->head_dim)
        return broken(c, "the rotary dimensions are out of range");
    if (in(c, 0)->columns % rope->head_dim || !rope->inv_freq)
        return misfit(c, "the input is not made of whole heads");
    if (in(c, 0)->rows != FFAI__ROWS_T)
        return broken(c, "only the step's rows have positions");
    return same_shape(in(c, 0), out(c, 0)) ? FFAI_OK : broken(c, "the output's shape is not the input's");
}

/* The attributes against the store and the widths of k and v, or q. */
static ffai_status check_heads(const checker *c, const ffai__value_info *store, const ffai__value_info *x, int heads)
{
    const ffai__instruction *instruction = current(c);
    const ffai__store *s = &c->program->stores[store->store];
    const int num_heads = instruction->attributes.attention.num_attention_heads;
    if (s->head_dim < 1 || s->num_key_value_heads < 1 || num_heads < 1 || num_heads % s->num_key_value_heads)
        return ffai__fail(c->err, FFAI_E_FORMAT, "attention: %d heads cannot share %d key/value heads of %d dimensions",
                          num_heads, s->num_key_value_heads, s->head_dim);
    if (instruction->attributes.attention.head_dim != s->head_dim ||
        instruction->attributes.attention.num_key_value_heads != s->num_key_value_heads ||
        instruction->attributes.attention.window != c->program->groups[s->group].window)
        return broken(c, "the attributes are not the store's");
    if (x->rows != FFAI__ROWS_T || x->columns != (int64_t)heads * s->head_dim)
        return misfit(c, "an input is not made of the right number of heads");
    return FFAI_OK;
}

static ffai_status check_kv_store(const checker *c)
{
    const ffai__value_info *store = in(c, 2);
    const int heads = current(c)->attributes.attention.num_key_value_heads;
    FFAI__TRY(check_heads(c, store, in(c, 0), heads));
    FFAI__TRY(check_heads(c, store, in(c, 1), heads));
    if (c->stored[store->store])
        return broken(c, "a store is written twice");
    c->stored[store->store] = true;
    return FFAI_OK;
}

static ffai_status check_attention(const checker *c)
{
    const ffai__value_info *store = in(c, 1);
    FFAI__TRY(check_heads(c, store, in(c, 0), current(c)->attributes.attention.num_attention_heads));
    if (!c->stored[store->store])
        return broken(c, "a store is read before it is written");
    return same_shape(in(c, 0), out(c, 0)) ? FFAI_OK : broken(c, "the output's shape is not the input's");
}

static ffai_status check_pointwise(const checker *c, int inputs)
{
    for (int i = 0; i < inputs; i++) {
        if (!same_shape(in(c, i), out(c, 0)))
            return misfit(c, "the shapes differ");
    }
    return FFAI_OK;
}

static ffai_status check_embed(const checker *c)
{
    const ffai__weight *weight = in(c, 0)->weight;
    if (weight->rank != 2)
        return ffai__fail(c->err, FFAI_E_FORMAT, "weight \"%s\": must be a matrix", weight->name);
    if (weight->rows < c->program->vocab_size)
        return ffai__fail(c->err, FFAI_E_FORMAT, "weight \"%s\": has %lld rows for a vocabulary of %lld", weight->name,
                          (long long)weight->rows, (long long)c->program->vocab_size);
    if (out(c, 0)->rows != FFAI__ROWS_T || out(c, 0)->columns != weight->columns)
        return broken(c, "the output's shape is not the matrix's row");
    return FFAI_OK;
}

static ffai_status check_sample(const checker *c)
{
    if (in(c, 0)->rows != FFAI__ROWS_R || out(c, 0)->rows != FFAI__ROWS_R)
        return broken(c, "tokens are drawn for output rows only");
    if (in(c, 0)->columns != c->program->vocab_size)
        return broken(c, "tokens are drawn from something else than logits");
    return FFAI_OK;
}

static ffai_status check_shapes(const checker *c)
{
    switch (current(c)->op) {
    case FFAI__OP_embed:
        return check_embed(c);
    case FFAI__OP_rms_norm:
        return check_rms_norm(c);
    case FFAI__OP_linear:
        return check_matrix(c, in(c, 0), current(c)->in[1], current(c)->in[2], out(c, 0));
    case FFAI__OP_linear_shared:
        return check_linear_shared(c);
    case FFAI__OP_linear_add:
        return check_linear_add(c);
    case FFAI__OP_rope:
        return check_rope(c);
    case FFAI__OP_kv_store:
        return check_kv_store(c);
    case FFAI__OP_attention:
        return check_attention(c);
    case FFAI__OP_silu:
        return check_pointwise(c, 1);
    case FFAI__OP_mul:
    case FFAI__OP_add:
    case FFAI__OP_swiglu:
        return check_pointwise(c, 2);
    case FFAI__OP_select_rows:
        if (in(c, 0)->rows != FFAI__ROWS_T || out(c, 0)->rows != FFAI__ROWS_R ||
            in(c, 0)->columns != out(c, 0)->columns)
            return broken(c, "rows are selected from the step's rows");
        return FFAI_OK;
    case FFAI__OP_sample:
        return check_sample(c);
    case FFAI__OP_COUNT:
        break;
    }
    return broken(c, "no such operation");
}

/* Floats that kernels can read, affine parameters within what the formats define. */
static ffai_status check_weight(const ffai__weight *w, ffai_error *err)
{
    if (w->rows < 1 || w->columns < 1 || w->rows > INT32_MAX || w->columns > INT32_MAX)
        return ffai__fail(err, FFAI_E_FORMAT, "weight \"%s\": has the shape [%lld, %lld]", w->name, (long long)w->rows,
                          (long long)w->columns);
    if (!ffai__weight_is_affine(w)) {
        if (ffai__dtype_is_float(w->dtype) || w->dtype == FFAI__F64)
            return FFAI_OK;
        return ffai__fail(err, FFAI_E_UNSUPPORTED, "weight \"%s\": elements of type %s are not weights", w->name,
                          ffai__dtype_name(w->dtype));
    }
    const bool bits = w->bits >= 2 && w->bits <= 8 && w->bits != 7;
    const bool group = w->group_size == 16 || w->group_size == 32 || w->group_size == 64 || w->group_size == 128;
    if (!bits || !group || w->columns % w->group_size || !ffai__dtype_is_float(w->scale_dtype))
        return ffai__fail(err, FFAI_E_UNSUPPORTED, "weight \"%s\": %d bits in groups of %d over %lld columns", w->name,
                          w->bits, w->group_size, (long long)w->columns);
    return FFAI_OK;
}

static ffai_status check_values(const ffai__program *program, ffai_error *err)
{
    for (size_t i = 0; i < program->num_values; i++) {
        const ffai__value_info *value = &program->values[i];
        if (value->kind == FFAI__WEIGHT)
            FFAI__TRY(check_weight(value->weight, err));
        const bool transient = value->kind == FFAI__ACTIVATION || value->kind == FFAI__IDS;
        if (transient && (value->columns < 1 || value->columns > INT32_MAX))
            return ffai__fail(err, FFAI_E_INTERNAL, "program: value %zu: has %lld columns", i,
                              (long long)value->columns);
        if (value->kind == FFAI__STORE && (value->store < 0 || (size_t)value->store >= program->num_stores))
            return ffai__fail(err, FFAI_E_INTERNAL, "program: value %zu: no such store", i);
    }
    for (size_t i = 0; i < program->num_stores; i++) {
        if (program->stores[i].group < 0 || (size_t)program->stores[i].group >= program->num_groups)
            return ffai__fail(err, FFAI_E_INTERNAL, "program: store %zu: no such group", i);
    }
    return FFAI_OK;
}

/* What the last instructions give: logits of the whole vocabulary and a draw, both for output rows. */
static ffai_status check_results(const checker *c)
{
    const ffai__program *program = c->program;
    const bool there = program->logits >= 0 && (size_t)program->logits < program->num_values && program->sampled >= 0 &&
                       (size_t)program->sampled < program->num_values && c->defined[program->logits] &&
                       c->defined[program->sampled];
    if (!there)
        return ffai__fail(c->err, FFAI_E_INTERNAL, "program: it ends without logits or without a draw");
    const ffai__value_info *logits = &program->values[program->logits];
    if (logits->kind != FFAI__ACTIVATION || logits->rows != FFAI__ROWS_R || logits->columns != program->vocab_size ||
        program->values[program->sampled].kind != FFAI__IDS)
        return ffai__fail(c->err, FFAI_E_INTERNAL, "program: its logits or its draw have another shape");
    return FFAI_OK;
}

static ffai_status check_instructions(checker *c)
{
    const ffai__program *program = c->program;
    for (c->index = 0; c->index < program->num_instructions; c->index++) {
        const ffai__instruction *instruction = current(c);
        if ((unsigned)instruction->op >= FFAI__OP_COUNT)
            return ffai__fail(c->err, FFAI_E_INTERNAL, "program: instruction %zu: no such operation", c->index);
        const ffai__op_info *op = &ffai__ops[instruction->op];
        FFAI__TRY(check_signature(c, op->inputs, instruction->in, FFAI__MAX_INPUTS, false));
        FFAI__TRY(check_signature(c, op->outputs, instruction->out, FFAI__MAX_OUTPUTS, true));
        FFAI__TRY(check_shapes(c));
        for (int i = 0; i < FFAI__MAX_OUTPUTS; i++) {
            if (instruction->out[i] != FFAI__NONE)
                c->defined[instruction->out[i]] = true;
        }
    }
    return check_results(c);
}

ffai_status ffai__program_verify(const ffai__program *program, ffai_error *err)
{
    FFAI__TRY(check_values(program, err));
    checker c = {.program = program, .err = err};
    c.defined = ffai__calloc(program->num_values, sizeof *c.defined);
    c.stored = ffai__calloc(program->num_stores, sizeof *c.stored);
    ffai_status status = FFAI_OK;
    if (!c.defined || !c.stored)
        status = ffai__fail_memory(err, "verifying the program", program->num_values);
    else
        status = check_instructions(&c);
    ffai__free(c.defined);
    ffai__free(c.stored);
    return status;
}
