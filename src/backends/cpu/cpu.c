/* The backend's functions: plans and runs made and unmade, a step checked and handed to the pool. */
#include "cpu.h"

#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "results.h"
#include "step_check.h"
#include "warm.h"

enum { WARM_ROWS = 2 * FFAI__FEW_ROWS };

static void cpu_unload(ffai__plan *base)
{
    ffai__cpu_plan *plan = (ffai__cpu_plan *)base;
    if (!plan)
        return;
    ffai__cpu_unpack(plan);
    ffai__cores_free(plan->cores);
    ffai__free(plan);
}

static ffai_status make_plan(ffai__cpu_plan *plan, const ffai__plan_options *options, ffai_error *err)
{
    if (options->threads < 0 || options->threads > FFAI__MAX_THREADS)
        return ffai__fail(err, FFAI_E_ARGUMENT, "threads: %d is not from 0 to %d", options->threads, FFAI__MAX_THREADS);
    FFAI__TRY(ffai__cores_find(&plan->cores, err));
    plan->tuning = options->tuning ? *options->tuning : ffai__tuning_usual;
    plan->threads = options->threads ? options->threads : plan->tuning.threads;
    if (!plan->threads)
        plan->threads = ffai__cores_default_threads(plan->cores);
    plan->tuning.threads = plan->threads;
    ffai__cpu_features_detect(&plan->features);
    if (plan->tuning.fetch_ahead < 0)
        plan->tuning.fetch_ahead = ffai__fetch_ahead_usual(&plan->features);
    FFAI__TRY(ffai__isa_choose(&plan->isa, &plan->features, err));
    plan->kernels = ffai__kernels_of(plan->isa);
    return ffai__cpu_plan_weights(plan, options, err);
}

static ffai_status cpu_plan(ffai__plan **out, const ffai__program *program, const ffai__plan_options *options,
                            ffai_error *err)
{
    ffai__cpu_plan *plan = ffai__calloc(1, sizeof *plan);
    if (!plan)
        return ffai__fail_memory(err, "a plan", sizeof *plan);
    plan->base = (ffai__plan){&ffai__backend_cpu, program};
    const ffai_status status = make_plan(plan, options, err);
    if (status != FFAI_OK) {
        cpu_unload(&plan->base);
        return status;
    }
    *out = &plan->base;
    return FFAI_OK;
}

static ffai_status cpu_upload(ffai__plan *plan, const ffai__plan_options *options, ffai_error *err)
{
    return ffai__cpu_pack((ffai__cpu_plan *)plan, options, err);
}

static void cpu_describe(const ffai__plan *base, char *text, size_t size)
{
    const ffai__cpu_plan *plan = (const ffai__cpu_plan *)base;
    const char *extras = ffai__isa_extras(plan->isa, &plan->features);
    const int nodes = ffai__cores_nodes(plan->cores, plan->threads);
    char binding[48] = "not bound";
    if (ffai__cores_bind_threads(plan->cores))
        snprintf(binding, sizeof binding, "bound to %d NUMA node%s", nodes, nodes == 1 ? "" : "s");
    snprintf(text, size, "cpu %s%s%s%s, %d thread%s, %s", ffai__isa_name(plan->isa), *extras ? " (" : "", extras,
             *extras ? ")" : "", plan->threads, plan->threads == 1 ? "" : "s", binding);
}

static void cpu_close(ffai__run *base)
{
    ffai__cpu_run *run = (ffai__cpu_run *)base;
    if (!run)
        return;
    ffai__thread_pool_free(run->pool);
    for (size_t g = 0; run->pages && g < run->program->num_groups; g++)
        ffai__region_release(&run->pages[g]);
    ffai__free(run->pages);
    ffai__free(run->group_bytes);
    ffai__region_release(&run->workspace);
    ffai__free(run->actions);
    ffai__free(run->ropes);
    ffai__free(run->values);
    ffai__free(run->tables);
    ffai__free(run->stores);
    ffai__free(run->history);
    ffai__free(run->ids);
    ffai__free(run->slot_steps);
    ffai__free(run->cursors);
    ffai__free_aligned(run->taken);
    ffai__cpu_profile_free(run->profile);
    ffai__free(run);
}

static void shape_store(ffai__cpu_store *to, const ffai__store *store, ffai__store_format format)
{
    const uint64_t element = ffai__dtype_size(ffai__store_dtype(format));
    to->heads = store->num_key_value_heads;
    to->head_dim = store->head_dim;
    to->padded_dim = ffai__padded_dim(store->head_dim);
    const uint64_t heads = (uint64_t)to->heads * FFAI__PAGE_TOKENS * element;
    to->keys_bytes = heads * (uint64_t)to->head_dim;
    to->page_bytes = to->keys_bytes + heads * (uint64_t)to->padded_dim;
}

/* A page has all layers of the group: so that large pages of the system's memory, which attention's reads want, take
 * hardly more of it than is used. */
static ffai_status shape_group(ffai__cpu_run *run, int group, ffai_error *err)
{
    const ffai__program *program = run->program;
    uint64_t stride = 0;
    for (size_t i = 0; i < program->num_stores; i++)
        stride += program->stores[i].group == group ? run->stores[i].page_bytes : 0;
    for (size_t i = 0; i < program->num_stores; i++)
        run->stores[i].stride = program->stores[i].group == group ? stride : run->stores[i].stride;
    if (!ffai__mul(&run->group_bytes[group], stride, run->options.num_pages))
        return ffai__fail_memory(err, "keys and values", UINT64_MAX);
    return FFAI_OK;
}

static ffai_status shape_stores(ffai__cpu_run *run, ffai_error *err)
{
    const ffai__program *program = run->program;
    run->stores = ffai__calloc(program->num_stores, sizeof *run->stores);
    run->pages = ffai__calloc(program->num_groups, sizeof *run->pages);
    run->group_bytes = ffai__calloc(program->num_groups, sizeof *run->group_bytes);
    if (!run->stores || !run->pages || !run->group_bytes)
        return ffai__fail_memory(err, "a run", program->num_stores * sizeof *run->stores);
    for (size_t i = 0; i < program->num_stores; i++)
        shape_store(&run->stores[i], &program->stores[i], run->options.store_format);
    for (size_t g = 0; g < program->num_groups; g++)
        FFAI__TRY(shape_group(run, (int)g, err));
    return FFAI_OK;
}

static ffai_status reserve_group(ffai__cpu_run *run, int group, ffai_error *err)
{
    const ffai__program *program = run->program;
    ffai__region *pages = &run->pages[group];
    uint64_t before = 0;
    FFAI__TRY(ffai__region_reserve(pages, run->group_bytes[group], FFAI__REGION_GROWING, "keys and values", err));
    for (size_t i = 0; i < program->num_stores; i++) {
        if (program->stores[i].group != group)
            continue;
        run->stores[i].pages = pages->data + before;
        before += run->stores[i].page_bytes;
    }
    return FFAI_OK;
}

static ffai_status reserve_tokens(ffai__cpu_run *run, ffai_error *err)
{
    const size_t slots = (size_t)run->options.max_sequences;
    run->history = ffai__calloc((size_t)run->history_count, sizeof *run->history);
    run->ids = ffai__calloc((size_t)run->options.max_outputs, sizeof *run->ids);
    run->slot_steps = ffai__calloc(slots, sizeof *run->slot_steps);
    run->cursors = ffai__calloc((size_t)run->num_cursors, sizeof *run->cursors);
    if (!run->history || !run->ids || !run->slot_steps || !run->cursors)
        return ffai__fail_memory(err, "tokens", run->history_count * sizeof *run->history);
    return FFAI_OK;
}

static size_t taken_bytes(const ffai__cpu_run *run)
{
    return (size_t)run->num_products * (size_t)run->plan->threads * sizeof *run->taken;
}

static ffai_status reserve_taken(ffai__cpu_run *run, ffai_error *err)
{
    const size_t bytes = taken_bytes(run);
    run->taken = ffai__malloc_aligned(bytes);
    if (!run->taken)
        return ffai__fail_memory(err, "shares of products", bytes);
    memset(run->taken, 0, bytes);
    return FFAI_OK;
}

static ffai_status check_options(const ffai__run_options *options, ffai_error *err)
{
    if (options->max_rows < 1 || options->max_outputs < 0 || options->max_sequences < 1 || options->max_context < 1 ||
        options->max_context > INT32_MAX || options->num_pages < 1)
        return ffai__fail(err, FFAI_E_ARGUMENT, "a run of %d rows, %d outputs, %d sequences, %lld positions, %u pages",
                          options->max_rows, options->max_outputs, options->max_sequences,
                          (long long)options->max_context, options->num_pages);
    if ((unsigned)options->store_format >= FFAI__STORE_FORMATS)
        return ffai__fail(err, FFAI_E_ARGUMENT, "there is no store format %d", (int)options->store_format);
    return FFAI_OK;
}

/* Everything's size and place. */
static ffai_status lay_out(ffai__cpu_run *run, ffai_error *err)
{
    FFAI__TRY(check_options(&run->options, err));
    if (!ffai__mul(&run->history_count, (uint64_t)run->options.max_sequences, (uint64_t)run->options.max_context + 1))
        return ffai__fail_memory(err, "tokens", UINT64_MAX);
    FFAI__TRY(ffai__cpu_make_actions(run, err));
    FFAI__TRY(shape_stores(run, err));
    return ffai__cpu_make_places(run, err);
}

static ffai_status make_run(ffai__cpu_run *run, ffai_error *err)
{
    FFAI__TRY(lay_out(run, err));
    FFAI__TRY(reserve_tokens(run, err));
    FFAI__TRY(reserve_taken(run, err));
    for (size_t g = 0; g < run->program->num_groups; g++)
        FFAI__TRY(reserve_group(run, (int)g, err));
    FFAI__TRY(ffai__region_reserve(&run->workspace, run->workspace_bytes, FFAI__REGION_GROWING, "activations", err));
    ffai__cpu_make_barriers(run);
    return ffai__thread_pool_create(&run->pool, run->plan->threads, run->plan->cores, err);
}

static ffai__cpu_run *new_run(ffai__plan *plan, const ffai__run_options *options)
{
    ffai__cpu_run *run = ffai__calloc(1, sizeof *run);
    if (!run)
        return NULL;
    run->base.plan = plan;
    run->plan = (const ffai__cpu_plan *)plan;
    run->program = plan->program;
    run->tuning = run->plan->tuning;
    run->options = *options;
    return run;
}

static ffai_status cpu_open(ffai__run **out, ffai__plan *plan, const ffai__run_options *options, ffai_error *err)
{
    ffai__cpu_run *run = new_run(plan, options);
    if (!run)
        return ffai__fail_memory(err, "a run", sizeof *run);
    const ffai_status status = make_run(run, err);
    if (status != FFAI_OK) {
        cpu_close(&run->base);
        return status;
    }
    *out = &run->base;
    return FFAI_OK;
}

/* What was laid out and, of an open run, taken. Lists of a few numbers for each action or page are not counted. */
static void cpu_memory(const ffai__run *base, ffai__memory_use *use)
{
    const ffai__cpu_run *run = (const ffai__cpu_run *)base;
    *use = (ffai__memory_use){.weights = run->plan->tile_bytes + run->plan->num_vector_floats * sizeof(float),
                              .workspace =
                                  run->workspace_bytes + run->history_count * sizeof *run->history + taken_bytes(run)};
    for (size_t g = 0; g < run->program->num_groups; g++)
        use->stores += run->group_bytes[g];
}

static ffai_status cpu_estimate(ffai__memory_use *use, ffai__plan *plan, const ffai__run_options *options,
                                ffai_error *err)
{
    ffai__cpu_run *run = new_run(plan, options);
    if (!run)
        return ffai__fail_memory(err, "a run", sizeof *run);
    const ffai_status status = lay_out(run, err);
    if (status == FFAI_OK)
        cpu_memory(&run->base, use);
    cpu_close(&run->base);
    return status;
}

/* Beyond ffai__step_check: what this backend relies on. */
static ffai_status check_sequence(ffai__cpu_run *run, const ffai__step *step, int32_t s, ffai_error *err)
{
    const ffai__step_sequence *sequence = &step->sequences[s];
    const int32_t pages = step->positions[sequence->first_row + sequence->num_rows - 1] / FFAI__PAGE_TOKENS + 1;
    if (run->slot_steps[sequence->slot] == run->num_steps)
        return ffai__fail(err, FFAI_E_ARGUMENT, "step: sequence %d: slot %d has another sequence", s, sequence->slot);
    run->slot_steps[sequence->slot] = run->num_steps;
    for (size_t g = 0; g < run->program->num_groups; g++) {
        for (int32_t i = 0; i < pages; i++) {
            if (sequence->tables[g][i].format != (uint32_t)run->options.store_format)
                return ffai__fail(err, FFAI_E_ARGUMENT, "step: sequence %d: page %u is of another format", s,
                                  sequence->tables[g][i].page);
        }
    }
    return FFAI_OK;
}

static ffai_status check_step(ffai__cpu_run *run, const ffai__step *step, ffai_error *err)
{
    FFAI__TRY(ffai__step_check(step, run->program, &run->options, err));
    run->num_steps++;
    for (int32_t s = 0; s < step->num_sequences; s++)
        FFAI__TRY(check_sequence(run, step, s, err));
    for (int32_t r = 1; r < step->num_outputs; r++) {
        if (step->output_rows[r] <= step->output_rows[r - 1])
            return ffai__fail(err, FFAI_E_ARGUMENT, "step: output %d: rows must increase", r);
    }
    return FFAI_OK;
}

static ffai_status cpu_step(ffai__run *base, const ffai__step *step, ffai_error *err)
{
    ffai__cpu_run *run = (ffai__cpu_run *)base;
    FFAI__TRY(check_step(run, step, err));
    run->step = step;
    run->mode = step->num_rows == 1 ? FFAI__ONE_ROW : FFAI__MANY_ROWS;
    ffai__results_of(base, step);
    atomic_store_explicit(&run->stop_before, run->num_actions, memory_order_relaxed);
    for (int i = 0; i < run->num_cursors; i++)
        atomic_store_explicit(&run->cursors[i], 0, memory_order_relaxed);
    if (run->options.keep_values) /* all ones are not a number: what is read before it is written shows */
        memset(run->workspace.data, 0xFF, (size_t)run->values_bytes);
    /* Many rows take longer than what a thread loses to others at the moment says anything about. */
    if (step->num_rows > run->tuning.row_block)
        ffai__thread_pool_run(run->pool, ffai__cpu_execute, run);
    else
        ffai__thread_pool_run_team(run->pool, ffai__cpu_execute, run);
    run->step = NULL;
    if (atomic_load_explicit(&run->stop_before, memory_order_relaxed) < run->num_actions)
        return ffai__fail(err, FFAI_E_CANCELLED, "step: cancelled");
    return FFAI_OK;
}

/* As the run was opened; only the workspace keeps the memory that steps have touched. */
static void forget_steps(ffai__cpu_run *run)
{
    for (size_t g = 0; g < run->program->num_groups; g++)
        ffai__region_forget(&run->pages[g]);
    for (int64_t slot = 0, rows = WARM_ROWS; rows > 0 && slot < run->options.max_sequences; slot++) {
        const size_t tokens = (size_t)(rows < run->options.max_context ? rows : run->options.max_context) + 1;
        memset(ffai__cpu_history(run, (int32_t)slot), 0, tokens * sizeof *run->history);
        rows -= run->options.max_context;
    }
    memset(run->ids, 0, (size_t)run->options.max_outputs * sizeof *run->ids);
    memset(run->slot_steps, 0, (size_t)run->options.max_sequences * sizeof *run->slot_steps);
    memset(run->base.steps, 0, sizeof run->base.steps);
    run->num_steps = 0;
}

/* One row and many go different ways. A whole prompt's worth of rows would cost what the prompt does, and save a
 * millisecond of page faults. */
static ffai_status cpu_warm(ffai__run *base, ffai__progress *progress, void *context, ffai_error *err)
{
    ffai__cpu_run *run = (ffai__cpu_run *)base;
    const int32_t many = run->options.max_rows < WARM_ROWS ? run->options.max_rows : WARM_ROWS;
    const ffai__warm steps[] = {{many, run->options.max_outputs, true}, {1, 1, true}, {1, 1, false}};
    enum { STEPS = sizeof steps / sizeof *steps };
    ffai_status status = FFAI_OK;
    for (int i = 0; status == FFAI_OK && i < STEPS; i++) {
        if (!progress(context, (double)i / STEPS))
            return ffai__fail(err, FFAI_E_CANCELLED, "warming up was cancelled");
        status = ffai__warm_step(base, &run->options, &steps[i], err);
    }
    forget_steps(run);
    return status;
}

static float *value_data(const ffai__cpu_run *run, ffai__value value)
{
    return (float *)(void *)(run->workspace.data + run->values[value].offset);
}

static ffai_status cpu_collect(ffai__run *base, int behind, int32_t *ids, float *chosen, const float **logits,
                               ffai_error *err)
{
    const ffai__cpu_run *run = (const ffai__cpu_run *)base;
    const ffai__results results = {run->ids, value_data(run, run->program->logits)};
    return ffai__results_collect(ids, chosen, logits, base, behind, &results, err);
}

static ffai_status cpu_read(ffai__run *base, ffai__value value, float *out, ffai_error *err)
{
    const ffai__cpu_run *run = (const ffai__cpu_run *)base;
    size_t floats = 0;
    if (!run->options.keep_values)
        return ffai__fail(err, FFAI_E_ARGUMENT, "this run does not keep values");
    FFAI__TRY(ffai__results_size(&floats, base, value, err));
    memcpy(out, value_data(run, value), floats * sizeof *out);
    return FFAI_OK;
}

static ffai_status cpu_copy_page(ffai__run *base, int group, uint32_t to, uint32_t from, ffai_error *err)
{
    const ffai__cpu_run *run = (const ffai__cpu_run *)base;
    FFAI__TRY(ffai__copy_page_check(group, to, from, run->program, &run->options, err));
    for (size_t i = 0; to != from && i < run->program->num_stores; i++) {
        const ffai__cpu_store *store = &run->stores[i];
        if (run->program->stores[i].group == group)
            memcpy(store->pages + to * store->stride, store->pages + from * store->stride, (size_t)store->page_bytes);
    }
    return FFAI_OK;
}

static ffai_status cpu_copy_tokens(ffai__run *base, int32_t to_slot, int32_t from_slot, int64_t length, ffai_error *err)
{
    const ffai__cpu_run *run = (const ffai__cpu_run *)base;
    FFAI__TRY(ffai__copy_tokens_check(to_slot, from_slot, length, &run->options, err));
    memmove(ffai__cpu_history(run, to_slot), ffai__cpu_history(run, from_slot), (size_t)length * sizeof(int32_t));
    return FFAI_OK;
}

const ffai__backend ffai__backend_cpu = {
    .name = "cpu",
    .plan = cpu_plan,
    .upload = cpu_upload,
    .unload = cpu_unload,
    .estimate = cpu_estimate,
    .describe = cpu_describe,
    .open = cpu_open,
    .close = cpu_close,
    .memory = cpu_memory,
    .step = cpu_step,
    .warm = cpu_warm,
    .collect = cpu_collect,
    .read = cpu_read,
    .copy_page = cpu_copy_page,
    .copy_tokens = cpu_copy_tokens,
    .measure = ffai__cpu_measure,
    .read_weights = ffai__cpu_read_weights,
    .profile = ffai__cpu_profile_switch,
    .profile_read = ffai__cpu_profile_read,
    .identify = ffai__cpu_identify,
    .tuning = ffai__cpu_tuning,
    .retune = ffai__cpu_retune,
    .lost = ffai__cpu_lost,
};
