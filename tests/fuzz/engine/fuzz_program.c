/* Input: changes to a small recorded program, four bytes each. Either the verifier refuses it, or the reference
 * backend runs it without touching memory that is not its own. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../../unit/program/small_model.h"
#include "backend.h"
#include "fusions.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST_CHANGES = 64, ROWS = 3 };

typedef struct {
    uint8_t what, where, field, value;
} change;

static void change_instruction(ffai__program *p, const change *c)
{
    ffai__instruction *instruction = &p->instructions[c->where % p->num_instructions];
    const int8_t number = (int8_t)c->value;
    if (c->field < 64)
        instruction->in[c->field % FFAI__MAX_INPUTS] = number;
    else if (c->field < 96)
        instruction->out[c->field % FFAI__MAX_OUTPUTS] = number;
    else if (c->field < 128)
        instruction->op = (ffai__op)(c->value % (FFAI__OP_COUNT + 2));
    else if (instruction->op == FFAI__OP_rms_norm)
        instruction->attributes.rms_norm.eps = number;
    else if (instruction->op == FFAI__OP_rope && c->field & 1)
        instruction->attributes.rope.dims = number < 4 ? number : 4; /* the table has two frequencies */
    else if (instruction->op == FFAI__OP_rope)
        instruction->attributes.rope.head_dim = number;
    else if (c->field % 4 == 0)
        instruction->attributes.attention.num_attention_heads = number;
    else if (c->field % 4 == 1)
        instruction->attributes.attention.num_key_value_heads = number;
    else if (c->field % 4 == 2)
        instruction->attributes.attention.head_dim = number;
    else
        instruction->attributes.attention.window = number;
}

static void change_value(ffai__program *p, const change *c)
{
    ffai__value_info *value = &p->values[c->where % p->num_values];
    switch (c->field % 4) {
    case 0:
        if (value->weight == NULL && c->value % 5 != FFAI__WEIGHT) /* a weight has its view */
            value->kind = (ffai__value_kind)(c->value % 5);
        break;
    case 1:
        value->rows = (ffai__rows)(c->value % 3);
        break;
    case 2:
        value->columns = (int8_t)c->value;
        break;
    default:
        value->producer = (int8_t)c->value;
        break;
    }
}

static void change_program(ffai__program *p, const change *c)
{
    const int8_t number = (int8_t)c->value;
    switch (c->field % 9) {
    case 0:
        p->logits = number;
        break;
    case 1:
        p->sampled = number;
        break;
    case 2:
        p->vocab_size = number;
        break;
    case 3:
        p->stores[0].group = number;
        break;
    case 4:
        p->stores[0].num_key_value_heads = number;
        break;
    case 5:
        p->stores[0].head_dim = number;
        break;
    case 6:
        p->groups[0].window = number;
        break;
    case 7:
        p->values[c->where % p->num_values].store = number;
        break;
    default:
        p->hidden_size = number;
        break;
    }
}

static void mutate(ffai__program *p, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i + 4 <= size && i / 4 < MOST_CHANGES; i += 4) {
        const change c = {data[i], data[i + 1], data[i + 2], data[i + 3]};
        if (c.what < 128)
            change_instruction(p, &c);
        else if (c.what < 192)
            change_value(p, &c);
        else
            change_program(p, &c);
    }
}

static void step(ffai__run *run, const ffai__program *p)
{
    const ffai__page_ref page = {0, FFAI__STORE_F32};
    const ffai__page_ref *tables[] = {&page};
    const ffai__step_sequence sequence = {.slot = 0, .first_row = 0, .num_rows = ROWS, .tables = tables};
    const int32_t tokens[ROWS] = {0, 0, 0};
    const int32_t positions[ROWS] = {0, 1, 2};
    const int32_t sequence_of_row[ROWS] = {0};
    const int32_t output_rows[] = {0, 2};
    const ffai__draw draws[] = {{.top_p = 1, .repetition_penalty = 1},
                                {.temperature = 0.8F,
                                 .top_k = 3,
                                 .top_p = 0.9F,
                                 .min_p = 0.1F,
                                 .repetition_penalty = 1.2F,
                                 .presence_penalty = 0.1F,
                                 .seed = 9}};
    const ffai__step s = {.num_rows = ROWS,
                          .num_sequences = 1,
                          .num_outputs = 2,
                          .tokens = tokens,
                          .positions = positions,
                          .sequence_of_row = sequence_of_row,
                          .sequences = &sequence,
                          .output_rows = output_rows,
                          .draws = draws};
    int32_t ids[2] = {-1, -1};
    const float *logits = NULL;
    volatile float sum = 0;
    if (ffai__backend_ref.step(run, &s, NULL) != FFAI_OK ||
        ffai__backend_ref.collect(run, 0, ids, NULL, &logits, NULL) != FFAI_OK)
        return;
    for (int64_t i = 0; i < 2 * p->vocab_size; i++)
        sum = sum + logits[i];
}

static void run_program(const ffai__program *p)
{
    const ffai__plan_options options = {0};
    const ffai__run_options run_options = {.max_rows = ROWS,
                                           .max_outputs = 2,
                                           .max_sequences = 1,
                                           .max_context = FFAI__PAGE_TOKENS,
                                           .num_pages = 1,
                                           .store_format = FFAI__STORE_F32};
    ffai__plan *plan = NULL;
    ffai__run *run = NULL;
    if (ffai__backend_ref.plan(&plan, p, &options, NULL) != FFAI_OK)
        return;
    if (ffai__backend_ref.open(&run, plan, &run_options, NULL) == FFAI_OK) {
        step(run, p);
        ffai__backend_ref.close(run);
    }
    ffai__backend_ref.unload(plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    small_model model;
    ffai_error err = FFAI_ERROR_INIT;
    if (size == 0)
        return 0;
    small_create(&model);
    ffai__program *program = small_program(&model, &err);
    if (!program || ffai__program_fuse(program, data[0], &err) != FFAI_OK)
        abort();
    mutate(program, data + 1, size - 1);
    if (ffai__program_verify(program, &err) == FFAI_OK)
        run_program(program);
    ffai__program_free(program);
    small_free(&model);
    return 0;
}
