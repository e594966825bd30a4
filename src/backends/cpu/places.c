/* Where everything lies in a run's workspace. A value's space is given to another once its last reader is done, so
 * activations take as much as the most that live at once. */
#include "alloc.h"
#include "cpu.h"
#include "liveness.h"
#include "sampling.h"

#define ALIGNMENT ((uint64_t)64)

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static uint64_t max_rows(const ffai__cpu_run *run, ffai__value value)
{
    const bool outputs = run->program->values[value].rows == FFAI__ROWS_R;
    return (uint64_t)(outputs ? run->options.max_outputs : run->options.max_rows);
}

/* Room for the rows of the largest step, or for every thread's copy of one. */
static bool size_rows(ffai__place *place, uint64_t rows, uint64_t row_bytes, uint64_t copies)
{
    uint64_t copied = 0;
    place->replica = copies ? round_up(row_bytes) : 0;
    if (!ffai__mul(&place->bytes, rows, row_bytes) || !ffai__mul(&copied, copies, round_up(row_bytes)) ||
        place->bytes > UINT64_MAX / 4 || copied > UINT64_MAX / 4)
        return false;
    place->bytes = round_up(place->bytes > copied ? place->bytes : copied);
    return true;
}

static bool size_values(ffai__cpu_run *run)
{
    bool ok = true;
    for (size_t i = 0; ok && i < run->num_actions; i++) {
        const ffai__action *action = &run->actions[i];
        if (action->y == FFAI__NONE)
            continue;
        const uint64_t copies = ffai__cpu_replicates(run, action) ? (uint64_t)run->plan->threads : 0;
        const uint64_t row_bytes = (uint64_t)ffai__cpu_columns(run, action->y) * sizeof(float);
        ok = size_rows(&run->values[action->y], max_rows(run, action->y), row_bytes, copies);
    }
    return ok;
}

static ffai_status place_values(ffai__cpu_run *run, ffai__lifetime *lifetimes, uint64_t *end, ffai_error *err)
{
    const ffai__program *program = run->program;
    for (size_t v = 0; v < program->num_values; v++)
        lifetimes[v].bytes = run->values[v].bytes;
    ffai__lifetimes_find(lifetimes, program, run->options.keep_values);
    FFAI__TRY(ffai__lifetimes_place(end, lifetimes, program->num_values, err));
    for (size_t v = 0; v < program->num_values; v++)
        run->values[v].offset = lifetimes[v].offset;
    return FFAI_OK;
}

static void append(uint64_t *end, ffai__place *place)
{
    place->offset = *end;
    *end += place->bytes;
}

static bool place_slots(ffai__cpu_run *run, uint64_t *end)
{
    const uint64_t threads = (uint64_t)run->plan->threads;
    for (size_t i = 0; i < run->num_actions; i++) {
        const ffai__action *action = &run->actions[i];
        if (action->kind != FFAI__ACTION_PREPARE)
            continue;
        ffai__place wanted = {0, 0, 0};
        ffai__place *slot = &run->slots[action->index];
        if (!size_rows(&wanted, max_rows(run, action->x), ffai__linear_input_bytes(&action->packed->input), threads))
            return false;
        slot->bytes = wanted.bytes > slot->bytes ? wanted.bytes : slot->bytes;
        slot->replica = wanted.replica > slot->replica ? wanted.replica : slot->replica;
    }
    for (int i = 0; i < FFAI__INPUT_SLOTS; i++)
        append(end, &run->slots[i]);
    return true;
}

static void place_tables(ffai__cpu_run *run, uint64_t *end)
{
    for (int i = 0; i < run->num_ropes; i++) {
        const uint64_t row_bytes = (uint64_t)run->ropes[i]->dims * sizeof(float);
        size_rows(&run->tables[i], (uint64_t)run->options.max_rows, row_bytes, 0);
        append(end, &run->tables[i]);
    }
}

/* Partial results of the longest context, and each thread's scratch for attention and sampling. */
static bool place_scratch(ffai__cpu_run *run, uint64_t *end)
{
    uint64_t scratch = ffai__sample_scratch_bytes(run->program->vocab_size) +
                       round_up((uint64_t)run->program->vocab_size * sizeof(float));
    uint64_t partials = 0;
    run->max_stretches = (run->options.max_context + FFAI__STRETCH_TOKENS - 1) / FFAI__STRETCH_TOKENS;
    for (size_t i = 0; i < run->num_actions; i++) {
        if (run->actions[i].kind != FFAI__ACTION_ATTEND)
            continue;
        const ffai__cpu_store *store = &run->stores[run->actions[i].store];
        const int heads = run->actions[i].instruction->attributes.attention.num_attention_heads;
        const uint64_t floats = ffai__cpu_attention_scratch(store->head_dim);
        const uint64_t stretch = ffai__cpu_attention_partials(heads, store->heads, store->head_dim);
        uint64_t all = 0;
        if (!ffai__mul(&all, stretch * sizeof(float), (uint64_t)run->max_stretches))
            return false;
        scratch = floats * sizeof(float) > scratch ? floats * sizeof(float) : scratch;
        partials = all > partials ? all : partials;
    }
    if (!size_rows(&run->partials, 1, partials, 0) ||
        !size_rows(&run->scratch, (uint64_t)run->plan->threads, round_up(scratch), 0))
        return false;
    run->scratch.replica = round_up(scratch);
    append(end, &run->partials);
    append(end, &run->scratch);
    return *end < UINT64_MAX / 4;
}

static ffai_status place_all(ffai__cpu_run *run, ffai__lifetime *lifetimes, ffai_error *err)
{
    uint64_t end = 0;
    if (!size_values(run))
        return ffai__fail_memory(err, "activations", UINT64_MAX);
    FFAI__TRY(place_values(run, lifetimes, &end, err));
    run->values_bytes = end;
    place_tables(run, &end);
    if (!place_slots(run, &end) || !place_scratch(run, &end))
        return ffai__fail_memory(err, "activations", UINT64_MAX);
    run->workspace_bytes = end;
    return FFAI_OK;
}

ffai_status ffai__cpu_make_places(ffai__cpu_run *run, ffai_error *err)
{
    const size_t count = run->program->num_values;
    run->values = ffai__calloc(count, sizeof *run->values);
    run->tables = ffai__calloc((size_t)run->num_ropes, sizeof *run->tables);
    ffai__lifetime *lifetimes = ffai__calloc(count, sizeof *lifetimes);
    ffai_status status = FFAI_OK;
    if (!run->values || !run->tables || !lifetimes)
        status = ffai__fail_memory(err, "a run", count * sizeof *run->values);
    else
        status = place_all(run, lifetimes, err);
    ffai__free(lifetimes);
    return status;
}
