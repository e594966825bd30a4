/* From instructions to actions: what a thread does between two places where threads may have to wait. */
#include <string.h>

#include "alloc.h"
#include "cpu.h"

/* The run's actions are being made; the first failure sticks. */
typedef struct maker {
    ffai__cpu_run *run;
    const ffai__instruction *instruction;
    bool failed;
    ffai__action ignored; /* what is emitted after a failure */
} maker;

/* What all threads need whole is computed by each of them: that is faster than waiting for one. */
bool ffai__cpu_replicates(const ffai__cpu_run *run, const ffai__action *action)
{
    switch (action->kind) {
    case FFAI__ACTION_NORM:
        return ffai__weight_of(run->program, action->instruction->in[1])->columns == ffai__cpu_columns(run, action->y);
    case FFAI__ACTION_ATTEND:
    case FFAI__ACTION_MERGE:
    case FFAI__ACTION_SELECT:
        return true;
    default:
        return false;
    }
}

static ffai__action *emit(maker *m, ffai__action_kind kind)
{
    ffai__cpu_run *run = m->run;
    if (run->num_actions == run->capacity_actions && !m->failed) {
        const size_t capacity = 2 * run->capacity_actions + 64;
        ffai__action *grown = ffai__realloc(run->actions, capacity, sizeof *grown);
        m->failed = grown == NULL;
        if (grown) {
            run->actions = grown;
            run->capacity_actions = capacity;
        }
    }
    if (m->failed)
        return &m->ignored;
    ffai__action *action = &run->actions[run->num_actions++];
    *action = (ffai__action){.kind = kind, .instruction = m->instruction};
    action->x = m->instruction ? m->instruction->in[0] : FFAI__NONE;
    action->y = m->instruction ? m->instruction->out[0] : FFAI__NONE;
    action->z = FFAI__NONE;
    return action;
}

static int find_rope(const ffai__cpu_run *run, const ffai__rope *rope)
{
    int i = 0;
    while (i < run->num_ropes && !ffai__rope_same(run->ropes[i], rope))
        i++;
    return i;
}

/* One table for each distinct rope, made at the step's start. */
static void emit_angles(maker *m)
{
    ffai__cpu_run *run = m->run;
    for (size_t i = 0; i < run->program->num_instructions; i++) {
        const ffai__instruction *instruction = &run->program->instructions[i];
        if (instruction->op != FFAI__OP_rope)
            continue;
        const int index = find_rope(run, &instruction->attributes.rope);
        if (index < run->num_ropes)
            continue;
        run->ropes[run->num_ropes++] = &instruction->attributes.rope;
        emit(m, FFAI__ACTION_ANGLES)->index = index;
    }
}

static bool same_input(const ffai__linear_input *a, const ffai__linear_input *b)
{
    return a->kind == b->kind && a->group_size == b->group_size && a->columns == b->columns;
}

/* The slot that holds x prepared as `packed` wants it, by a new action unless one holds it already. */
static int prepared_slot(maker *m, ffai__value x, const ffai__packed *packed)
{
    ffai__cpu_run *run = m->run;
    for (int i = 0; i < FFAI__INPUT_SLOTS; i++) {
        if (run->slot_values[i] == x && same_input(&run->slot_inputs[i], &packed->input))
            return i;
    }
    const int slot = run->next_slot;
    run->next_slot = (slot + 1) % FFAI__INPUT_SLOTS;
    run->slot_values[slot] = x;
    run->slot_inputs[slot] = packed->input;
    ffai__action *action = emit(m, FFAI__ACTION_PREPARE);
    action->y = FFAI__NONE;
    action->index = slot;
    action->packed = packed;
    return slot;
}

static void emit_multiply(maker *m, int n, ffai__value residual)
{
    const ffai__cpu_plan *plan = m->run->plan;
    const ffai__instruction *instruction = m->instruction;
    const ffai__value bias = instruction->in[2 + 2 * n];
    const ffai__packed *packed = plan->matrices[instruction->in[1 + 2 * n]];
    const int slot = prepared_slot(m, instruction->in[0], packed);
    ffai__action *action = emit(m, FFAI__ACTION_MULTIPLY);
    action->y = instruction->out[n];
    action->z = residual;
    action->index = slot;
    action->product = m->run->num_products++;
    action->packed = packed;
    action->vector = bias == FFAI__NONE ? NULL : plan->vectors[bias];
}

static void emit_shared(maker *m)
{
    for (int n = 0; n < FFAI__MAX_OUTPUTS; n++) {
        if (m->instruction->out[n] != FFAI__NONE)
            emit_multiply(m, n, FFAI__NONE);
    }
}

static void emit_attention(maker *m)
{
    const int store = m->run->program->values[m->instruction->in[1]].store;
    ffai__action *attend = emit(m, FFAI__ACTION_ATTEND);
    attend->index = m->run->num_cursors++;
    attend->store = store;
    emit(m, FFAI__ACTION_MERGE)->store = store;
}

static void emit_store(maker *m)
{
    ffai__action *action = emit(m, FFAI__ACTION_STORE);
    action->z = m->instruction->in[1];
    action->y = FFAI__NONE;
    action->store = m->run->program->values[m->instruction->in[2]].store;
}

static void emit_pair(maker *m, ffai__action_kind kind)
{
    emit(m, kind)->z = m->instruction->in[1];
}

static void emit_instruction(maker *m)
{
    const ffai__cpu_run *run = m->run;
    const ffai__instruction *instruction = m->instruction;
    switch (instruction->op) {
    case FFAI__OP_embed:
        emit(m, FFAI__ACTION_EMBED)->x = FFAI__NONE;
        break;
    case FFAI__OP_rms_norm:
        emit(m, FFAI__ACTION_NORM)->vector = run->plan->vectors[instruction->in[1]];
        break;
    case FFAI__OP_linear:
        emit_multiply(m, 0, FFAI__NONE);
        break;
    case FFAI__OP_linear_shared:
        emit_shared(m);
        break;
    case FFAI__OP_linear_add:
        emit_multiply(m, 0, instruction->in[3]);
        break;
    case FFAI__OP_rope:
        emit(m, FFAI__ACTION_ROTATE)->index = find_rope(run, &instruction->attributes.rope);
        break;
    case FFAI__OP_kv_store:
        emit_store(m);
        break;
    case FFAI__OP_attention:
        emit_attention(m);
        break;
    case FFAI__OP_silu:
        emit(m, FFAI__ACTION_SILU);
        break;
    case FFAI__OP_mul:
        emit_pair(m, FFAI__ACTION_MUL);
        break;
    case FFAI__OP_add:
        emit_pair(m, FFAI__ACTION_ADD);
        break;
    case FFAI__OP_swiglu:
        emit_pair(m, FFAI__ACTION_SWIGLU);
        break;
    case FFAI__OP_select_rows:
        emit(m, FFAI__ACTION_SELECT);
        break;
    case FFAI__OP_sample:
        emit(m, FFAI__ACTION_SAMPLE)->y = FFAI__NONE;
        break;
    case FFAI__OP_COUNT:
        break;
    }
}

ffai_status ffai__cpu_make_actions(ffai__cpu_run *run, ffai_error *err)
{
    const size_t count = run->program->num_instructions;
    maker m = {.run = run};
    run->ropes = ffai__calloc(count, sizeof *run->ropes);
    if (!run->ropes)
        return ffai__fail_memory(err, "a run", count * sizeof *run->ropes);
    for (int i = 0; i < FFAI__INPUT_SLOTS; i++)
        run->slot_values[i] = FFAI__NONE;
    emit_angles(&m);
    for (size_t i = 0; i < count; i++) {
        m.instruction = &run->program->instructions[i];
        emit_instruction(&m);
    }
    if (m.failed)
        return ffai__fail_memory(err, "a run", run->num_actions * sizeof *run->actions);
    return FFAI_OK;
}
