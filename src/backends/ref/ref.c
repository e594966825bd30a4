#include "ref.h"

#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "results.h"
#include "sampling.h"
#include "step_check.h"

static ffai_status ref_plan(ffai__plan **out, const ffai__program *program, const ffai__plan_options *options,
                            ffai_error *err)
{
    (void)options;
    ffai__plan *plan = ffai__calloc(1, sizeof *plan);
    if (!plan)
        return ffai__fail_memory(err, "a plan", sizeof *plan);
    *plan = (ffai__plan){&ffai__backend_ref, program};
    *out = plan;
    return FFAI_OK;
}

static void ref_unload(ffai__plan *plan)
{
    ffai__free(plan);
}

static void ref_describe(const ffai__plan *plan, char *text, size_t size)
{
    (void)plan;
    snprintf(text, size, "ref: scalar float32, 1 thread");
}

static void free_arrays(float **arrays, size_t count)
{
    for (size_t i = 0; arrays && i < count; i++)
        ffai__free(arrays[i]);
    ffai__free(arrays);
}

static void ref_close(ffai__run *base)
{
    ref_run *run = (ref_run *)base;
    if (!run)
        return;
    free_arrays(run->values, run->program->num_values);
    free_arrays(run->keys, run->program->num_stores);
    free_arrays(run->contents, run->program->num_stores);
    ffai__free(run->tokens);
    ffai__free(run->ids);
    ffai__free(run->row);
    ffai__free(run->scores);
    ffai__free(run->draw_logits);
    ffai__free_aligned(run->sample_scratch);
    ffai__free(run);
}

static int32_t max_rows_of(const ref_run *run, const ffai__value_info *value)
{
    return value->rows == FFAI__ROWS_R ? run->options.max_outputs : run->options.max_rows;
}

static uint64_t value_floats(const ref_run *run, const ffai__value_info *value)
{
    return value->kind == FFAI__ACTIVATION ? (uint64_t)max_rows_of(run, value) * (uint64_t)value->columns : 0;
}

static uint64_t store_floats(const ref_run *run, const ffai__store *store)
{
    return (uint64_t)run->options.num_pages * FFAI__PAGE_TOKENS * (uint64_t)store->num_key_value_heads *
           (uint64_t)store->head_dim;
}

static bool allocate_values(ref_run *run)
{
    const ffai__program *program = run->program;
    run->values = ffai__calloc(program->num_values, sizeof *run->values);
    if (!run->values)
        return false;
    for (size_t i = 0; i < program->num_values; i++) {
        if (program->values[i].kind != FFAI__ACTIVATION)
            continue;
        run->values[i] = ffai__calloc(value_floats(run, &program->values[i]), sizeof(float));
        if (!run->values[i])
            return false;
    }
    return true;
}

static bool allocate_stores(ref_run *run)
{
    const ffai__program *program = run->program;
    run->keys = ffai__calloc(program->num_stores, sizeof *run->keys);
    run->contents = ffai__calloc(program->num_stores, sizeof *run->contents);
    if (!run->keys || !run->contents)
        return false;
    for (size_t i = 0; i < program->num_stores; i++) {
        run->keys[i] = ffai__calloc(store_floats(run, &program->stores[i]), sizeof(float));
        run->contents[i] = ffai__calloc(store_floats(run, &program->stores[i]), sizeof(float));
        if (!run->keys[i] || !run->contents[i])
            return false;
    }
    return true;
}

/* The widest weight row or bias, and room for one head's rotary angles. */
static int64_t widest_row(const ffai__program *program)
{
    int64_t widest = 1;
    for (size_t i = 0; i < program->num_values; i++) {
        const ffai__value_info *value = &program->values[i];
        const int64_t columns = value->kind == FFAI__WEIGHT ? value->weight->columns : value->columns;
        widest = columns > widest ? columns : widest;
    }
    return widest;
}

static size_t token_count(const ref_run *run)
{
    return (size_t)run->options.max_sequences * ((size_t)run->options.max_context + 1);
}

static bool allocate_scratch(ref_run *run)
{
    run->tokens = ffai__calloc(token_count(run), sizeof *run->tokens);
    run->ids = ffai__calloc((size_t)run->options.max_outputs, sizeof *run->ids);
    run->row = ffai__calloc((size_t)widest_row(run->program), sizeof *run->row);
    run->scores = ffai__calloc((size_t)run->options.max_context, sizeof *run->scores);
    run->draw_logits = ffai__calloc((size_t)run->program->vocab_size, sizeof *run->draw_logits);
    run->sample_scratch = ffai__malloc_aligned(ffai__sample_scratch_bytes(run->program->vocab_size));
    return run->tokens && run->ids && run->row && run->scores && run->draw_logits && run->sample_scratch;
}

static uint64_t scratch_bytes(const ref_run *run)
{
    const uint64_t numbers = token_count(run) + (uint64_t)run->options.max_outputs +
                             (uint64_t)widest_row(run->program) + (uint64_t)run->options.max_context +
                             (uint64_t)run->program->vocab_size;
    return numbers * sizeof(float) + ffai__sample_scratch_bytes(run->program->vocab_size);
}

static void ref_memory(const ffai__run *base, ffai__memory_use *use)
{
    const ref_run *run = (const ref_run *)base;
    *use = (ffai__memory_use){.workspace = scratch_bytes(run)};
    for (size_t i = 0; i < run->program->num_values; i++)
        use->workspace += value_floats(run, &run->program->values[i]) * sizeof(float);
    for (size_t i = 0; i < run->program->num_stores; i++)
        use->stores += 2 * store_floats(run, &run->program->stores[i]) * sizeof(float);
}

static ffai_status ref_estimate(ffai__memory_use *use, ffai__plan *plan, const ffai__run_options *options,
                                ffai_error *err)
{
    (void)err;
    const ref_run run = {.base = {.plan = plan}, .options = *options, .program = plan->program};
    ref_memory(&run.base, use);
    return FFAI_OK;
}

static ffai_status ref_open(ffai__run **out, ffai__plan *plan, const ffai__run_options *options, ffai_error *err)
{
    ref_run *run = ffai__calloc(1, sizeof *run);
    if (!run)
        return ffai__fail_memory(err, "a run", sizeof *run);
    run->base.plan = plan;
    run->program = plan->program;
    run->options = *options;
    if (!allocate_values(run) || !allocate_stores(run) || !allocate_scratch(run)) {
        ffai__memory_use use;
        ref_memory(&run->base, &use);
        ref_close(&run->base);
        return ffai__fail_memory(err, "stores and activations", use.stores + use.workspace);
    }
    *out = &run->base;
    return FFAI_OK;
}

static ffai_status ref_step(ffai__run *base, const ffai__step *step, ffai_error *err)
{
    ref_run *run = (ref_run *)base;
    FFAI__TRY(ffai__step_check(step, run->program, &run->options, err));
    for (size_t i = 0; i < run->program->num_instructions; i++) {
        if (step->keep_going && !step->keep_going(step->keep_going_context))
            return ffai__fail(err, FFAI_E_CANCELLED, "step: cancelled");
        ref_execute(run, &run->program->instructions[i], step);
    }
    ffai__results_of(base, step);
    return FFAI_OK;
}

static ffai_status ref_collect(ffai__run *base, int behind, int32_t *ids, float *chosen, const float **logits,
                               ffai_error *err)
{
    const ref_run *run = (const ref_run *)base;
    const ffai__results results = {run->ids, run->values[run->program->logits]};
    return ffai__results_collect(ids, chosen, logits, base, behind, &results, err);
}

static ffai_status ref_read(ffai__run *base, ffai__value value, float *values, ffai_error *err)
{
    const ref_run *run = (const ref_run *)base;
    size_t floats = 0;
    FFAI__TRY(ffai__results_size(&floats, base, value, err));
    memcpy(values, run->values[value], floats * sizeof *values);
    return FFAI_OK;
}

static ffai_status ref_copy_page(ffai__run *base, int group, uint32_t to, uint32_t from, ffai_error *err)
{
    ref_run *run = (ref_run *)base;
    FFAI__TRY(ffai__copy_page_check(group, to, from, run->program, &run->options, err));
    for (size_t i = 0; i < run->program->num_stores; i++) {
        const ffai__store *store = &run->program->stores[i];
        const size_t page = (size_t)FFAI__PAGE_TOKENS * (size_t)store->num_key_value_heads * (size_t)store->head_dim;
        if (store->group != group)
            continue;
        memmove(run->keys[i] + to * page, run->keys[i] + from * page, page * sizeof(float));
        memmove(run->contents[i] + to * page, run->contents[i] + from * page, page * sizeof(float));
    }
    return FFAI_OK;
}

static ffai_status ref_copy_tokens(ffai__run *base, int32_t to_slot, int32_t from_slot, int64_t length, ffai_error *err)
{
    const ref_run *run = (const ref_run *)base;
    FFAI__TRY(ffai__copy_tokens_check(to_slot, from_slot, length, &run->options, err));
    memmove(ref_tokens(run, to_slot), ref_tokens(run, from_slot), (size_t)length * sizeof(int32_t));
    return FFAI_OK;
}

const ffai__backend ffai__backend_ref = {
    .name = "ref",
    .plan = ref_plan,
    .unload = ref_unload,
    .estimate = ref_estimate,
    .describe = ref_describe,
    .open = ref_open,
    .close = ref_close,
    .memory = ref_memory,
    .step = ref_step,
    .collect = ref_collect,
    .read = ref_read,
    .copy_page = ref_copy_page,
    .copy_tokens = ref_copy_tokens,
};
