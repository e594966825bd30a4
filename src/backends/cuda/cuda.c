/* The backend's functions: plans and runs made and unmade, a step told to the device and its results fetched. */
#include "cuda.h"

#include <stdio.h>
#include <string.h>

#include "alloc.h"
#include "machine.h"
#include "message.h"
#include "profile.h"
#include "results.h"
#include "retune.h"
#include "sample.h"
#include "step_check.h"
#include "stores.h"
#include "warm.h"

static ffai_status check(const ffai__cuda_opened *opened, ffai__cuda_result result, const char *what, ffai_error *err)
{
    return ffai__cuda_check(opened->driver, result, what, err);
}

/* --- plans --- */

static void cuda_unload(ffai__plan *base)
{
    ffai__cuda_plan *plan = (ffai__cuda_plan *)base;
    if (!plan)
        return;
    ffai__cuda_unpack(plan);
    ffai__cuda_close_device(&plan->opened);
    ffai__free(plan);
}

static ffai_status cuda_plan(ffai__plan **out, const ffai__program *program, const ffai__plan_options *options,
                             ffai_error *err)
{
    ffai__cuda_plan *plan = ffai__calloc(1, sizeof *plan);
    if (!plan)
        return ffai__fail_memory(err, "a plan", sizeof *plan);
    plan->base = (ffai__plan){&ffai__backend_cuda, program};
    plan->activations = options->activations;
    plan->tuning = options->tuning ? *options->tuning : ffai__tuning_usual;
    ffai_status status = ffai__cuda_open_device(&plan->opened, options->device, err);
    if (status == FFAI_OK)
        status = ffai__cuda_plan_weights(plan, err);
    if (status != FFAI_OK) {
        cuda_unload(&plan->base);
        return status;
    }
    *out = &plan->base;
    return FFAI_OK;
}

static ffai_status cuda_upload(ffai__plan *base, const ffai__plan_options *options, ffai_error *err)
{
    ffai__cuda_plan *plan = (ffai__cuda_plan *)base;
    FFAI__TRY(ffai__cuda_open_kernels(&plan->opened, err));
    return ffai__cuda_pack(plan, options, err);
}

static void cuda_describe(const ffai__plan *base, char *text, size_t size)
{
    const ffai__cuda_opened *opened = &((const ffai__cuda_plan *)base)->opened;
    snprintf(text, size, "cuda device %d, %s, compute capability %d.%d, %d multiprocessors", opened->number,
             opened->name, opened->compute / 10, opened->compute % 10, opened->multiprocessors);
}

static ffai_status cuda_available(uint64_t *bytes, int device, ffai_error *err)
{
    return ffai__cuda_memory_available(bytes, device, err);
}

/* --- runs --- */

static void free_classes(ffai__cuda_run *run)
{
    if (run->classes)
        ffai__cuda_drop_graphs(run);
    ffai__free(run->classes);
}

static void free_on_device(ffai__cuda_run *run)
{
    const ffai__cuda_driver *driver = run->plan->opened.driver;
    if (run->stream)
        driver->stream_wait(run->stream);
    free_classes(run);
    ffai__cuda_profile_free(run);
    ffai__cuda_stores_free(run);
    ffai__cuda_messages_free(run);
    if (run->workspace)
        driver->memory_free(run->workspace);
    for (int i = 0; i < FFAI__CUDA_SLOTS; i++) {
        if (run->done[i])
            driver->event_destroy(run->done[i]);
    }
    if (run->stream)
        driver->stream_destroy(run->stream);
}

static void cuda_close(ffai__run *base)
{
    ffai__cuda_run *run = (ffai__cuda_run *)base;
    if (!run)
        return;
    const bool entered = ffai__cuda_enter(&run->plan->opened, NULL) == FFAI_OK;
    free_on_device(run); /* outside the context too: what the host has of it goes in any case */
    if (entered)
        ffai__cuda_leave(&run->plan->opened);
    ffai__free(run->values);
    ffai__free(run->angles);
    ffai__free(run->frequencies);
    ffai__free(run->logits);
    ffai__free(run);
}

/* The next class after one of `rows`: 1, 8, 32, 128 … */
static int32_t next_rows(int32_t rows)
{
    return rows == 1 ? FFAI__CUDA_FEW_ROWS : rows * 4;
}

static size_t list_rows(int32_t *list, int32_t most)
{
    size_t count = 0;
    for (int32_t rows = 1; rows < most; rows = next_rows(rows))
        list[count++] = rows;
    list[count++] = most;
    return count;
}

/* Classes in the order in which a step looks for its own: fewest rows first. */
static ffai_status make_classes(ffai__cuda_run *run, ffai_error *err)
{
    int32_t rows[32];
    int32_t outputs[32];
    const size_t num_rows = list_rows(rows, run->options.max_rows);
    const size_t num_outputs = list_rows(outputs, run->options.max_outputs);
    const size_t count = num_rows * num_outputs * 2;
    run->classes = ffai__calloc(count, sizeof *run->classes);
    if (!run->classes)
        return ffai__fail_memory(err, "a run", count * sizeof *run->classes);
    for (; run->num_classes < count; run->num_classes++) {
        const size_t i = run->num_classes / 2;
        run->classes[run->num_classes] = (ffai__cuda_class){
            .rows = rows[i / num_outputs], .outputs = outputs[i % num_outputs], .greedy = run->num_classes % 2 == 0};
    }
    return FFAI_OK;
}

static ffai_status open_stream(ffai__cuda_run *run, ffai_error *err)
{
    const ffai__cuda_opened *opened = &run->plan->opened;
    FFAI__TRY(
        check(opened, opened->driver->stream_create(&run->stream, FFAI__CUDA_STREAM_ALONE), "opening a stream", err));
    for (int i = 0; i < FFAI__CUDA_SLOTS; i++)
        FFAI__TRY(check(opened, opened->driver->event_create(&run->done[i], FFAI__CUDA_EVENT_UNTIMED),
                        "creating an event", err));
    return FFAI_OK;
}

static ffai_status fill(const ffai__cuda_run *run, uint64_t address, uint8_t byte, uint64_t bytes, ffai_error *err)
{
    const ffai__cuda_opened *opened = &run->plan->opened;
    return check(opened, opened->driver->fill_bytes(address, byte, bytes, run->stream), "filling memory", err);
}

/* Memory that was never written reads as numbers that are none, so that nothing rests on it unnoticed; what counts
 * begins with zero. */
static ffai_status fill_memory(const ffai__cuda_run *run, ffai_error *err)
{
    const uint64_t scratch_bytes = ffai__cuda_sample_scratch_bytes(run->program->vocab_size);
    FFAI__TRY(fill(run, run->workspace, 0xFF, run->workspace_bytes, err));
    FFAI__TRY(fill(run, run->stores, 0xFF, run->store_bytes, err));
    FFAI__TRY(fill(run, run->sample_scratch, 0, (uint64_t)run->options.max_outputs * scratch_bytes, err));
    FFAI__TRY(fill(run, run->arrived, 0, run->arrived_bytes, err));
    return fill(run, (uint64_t)(uintptr_t)run->begin.number, 0, sizeof *run->begin.number, err);
}

static ffai_status copy_frequencies(const ffai__cuda_run *run, ffai_error *err)
{
    const ffai__cuda_opened *opened = &run->plan->opened;
    for (size_t i = 0; i < run->program->num_instructions; i++) {
        if (run->program->instructions[i].op != FFAI__OP_rope)
            continue;
        const ffai__rope *rope = &run->program->instructions[i].attributes.rope;
        FFAI__TRY(check(opened,
                        opened->driver->copy_in(run->frequencies[i], rope->inv_freq,
                                                (size_t)rope->dims / 2 * sizeof *rope->inv_freq, run->stream),
                        "copying rotary frequencies", err));
    }
    return check(opened, opened->driver->stream_wait(run->stream), "opening a run", err);
}

static ffai_status open_on_device(ffai__cuda_run *run, ffai_error *err)
{
    FFAI__TRY(open_stream(run, err));
    FFAI__TRY(ffai__cuda_stores_reserve(run, err));
    FFAI__TRY(ffai__cuda_make_places(run, err));
    FFAI__TRY(ffai__cuda_messages_make(run, err));
    FFAI__TRY(fill_memory(run, err));
    return copy_frequencies(run, err);
}

static ffai_status open_parts(ffai__cuda_run *run, ffai_error *err)
{
    const uint64_t logits = (uint64_t)run->options.max_outputs * (uint64_t)run->program->vocab_size;
    run->logits = ffai__array(logits, sizeof *run->logits);
    if (!run->logits)
        return ffai__fail_memory(err, "logits", logits * sizeof *run->logits);
    FFAI__TRY(make_classes(run, err));
    FFAI__TRY(ffai__cuda_enter(&run->plan->opened, err));
    const ffai_status status = open_on_device(run, err);
    ffai__cuda_leave(&run->plan->opened);
    return status;
}

static ffai__cuda_run *new_run(ffai__plan *plan, const ffai__run_options *options)
{
    ffai__cuda_run *run = ffai__calloc(1, sizeof *run);
    if (!run)
        return NULL;
    run->base.plan = plan;
    run->plan = (ffai__cuda_plan *)plan;
    run->program = plan->program;
    run->options = *options;
    ffai__cuda_tuning(&run->tuning, plan);
    return run;
}

static ffai_status cuda_open(ffai__run **out, ffai__plan *plan, const ffai__run_options *options, ffai_error *err)
{
    ffai__cuda_run *run = new_run(plan, options);
    if (!run)
        return ffai__fail_memory(err, "a run", sizeof *run);
    const ffai_status status = open_parts(run, err);
    if (status != FFAI_OK) {
        cuda_close(&run->base);
        return status;
    }
    *out = &run->base;
    return FFAI_OK;
}

static void cuda_memory(const ffai__run *base, ffai__memory_use *use)
{
    const ffai__cuda_run *run = (const ffai__cuda_run *)base;
    *use = (ffai__memory_use){
        .weights = run->plan->weight_bytes, .stores = run->store_bytes, .workspace = run->workspace_bytes};
}

/* Memory of the device; what the host has of a run is little beside it. */
static ffai_status cuda_estimate(ffai__memory_use *use, ffai__plan *plan, const ffai__run_options *options,
                                 ffai_error *err)
{
    ffai__cuda_run *run = new_run(plan, options);
    if (!run)
        return ffai__fail_memory(err, "a run", sizeof *run);
    ffai_status status = ffai__cuda_stores_measure(run, err);
    if (status == FFAI_OK)
        status = ffai__cuda_measure_places(run, err);
    if (status == FFAI_OK)
        cuda_memory(&run->base, use);
    cuda_close(&run->base);
    return status;
}

/* --- steps --- */

static ffai_status launch_step(ffai__cuda_run *run, const ffai__step *step, ffai_error *err)
{
    const ffai__cuda_opened *opened = &run->plan->opened;
    bool greedy = false;
    ffai__cuda_class *class = NULL;
    FFAI__TRY(ffai__cuda_message_write(&greedy, run, step, err));
    FFAI__TRY(ffai__cuda_class_of(&class, run, step, greedy, err));
    if (run->profiling)
        return ffai__cuda_profile_step(run, class, step, err);
    return check(opened, opened->driver->graph_launch(class->graph, run->stream), "submitting a step", err);
}

static ffai_status submit(ffai__cuda_run *run, const ffai__step *step, ffai_error *err)
{
    const ffai__cuda_opened *opened = &run->plan->opened;
    const uint32_t slot = run->number % FFAI__CUDA_SLOTS;
    FFAI__TRY(check(opened, opened->driver->event_wait(run->done[slot]), "waiting for an earlier step", err));
    const ffai_status status = launch_step(run, step, err);
    if (status != FFAI_OK) {
        ffai__cuda_message_lost(run);
        return status;
    }
    run->number++;
    return check(opened, opened->driver->event_record(run->done[slot], run->stream), "submitting a step", err);
}

/* Its kernels draw from all tokens. */
static ffai_status check_masks(const ffai__step *step, ffai_error *err)
{
    for (int32_t r = 0; step->draws && r < step->num_outputs; r++) {
        if (step->draws[r].allowed)
            return ffai__fail(err, FFAI_E_UNSUPPORTED,
                              "step: the backend cuda draws without token masks, which grammars take: use the backend "
                              "cpu (--backend cpu)");
    }
    return FFAI_OK;
}

static ffai_status cuda_step(ffai__run *base, const ffai__step *step, ffai_error *err)
{
    ffai__cuda_run *run = (ffai__cuda_run *)base;
    FFAI__TRY(ffai__step_check(step, run->program, &run->options, err));
    FFAI__TRY(check_masks(step, err));
    if (step->keep_going && !step->keep_going(step->keep_going_context))
        return ffai__fail(err, FFAI_E_CANCELLED, "step: cancelled");
    FFAI__TRY(ffai__cuda_enter(&run->plan->opened, err));
    const ffai_status status = submit(run, step, err);
    ffai__cuda_leave(&run->plan->opened);
    if (status != FFAI_OK)
        return status;
    ffai__results_of(base, step);
    memmove(run->numbers + 1, run->numbers, FFAI__MOST_AHEAD * sizeof *run->numbers);
    run->numbers[0] = run->number - 1;
    return FFAI_OK;
}

/* --- warming up --- */

/* Everything as the run was opened, but for the graphs. */
static ffai_status forget_steps(ffai__cuda_run *run, ffai_error *err)
{
    memset(run->base.steps, 0, sizeof run->base.steps);
    memset(run->numbers, 0, sizeof run->numbers);
    run->number = 0;
    ffai__cuda_message_lost(run);
    FFAI__TRY(ffai__cuda_enter(&run->plan->opened, err));
    ffai_status status = fill_memory(run, err);
    if (status == FFAI_OK)
        status = copy_frequencies(run, err);
    ffai__cuda_leave(&run->plan->opened);
    return status;
}

/* Whether a step can be of the class: it has no more output rows than rows, so that of classes with more of these the
 * one for its number of rows is the last. */
static bool is_reached(const ffai__cuda_run *run, const ffai__cuda_class *class)
{
    return class->outputs <= class->rows || class->rows == run->options.max_rows;
}

/* A step for each graph that any step would need. */
static ffai_status cuda_warm(ffai__run *base, ffai__progress *progress, void *context, ffai_error *err)
{
    ffai__cuda_run *run = (ffai__cuda_run *)base;
    for (size_t i = 0; i < run->num_classes; i++) {
        const ffai__cuda_class *class = &run->classes[i];
        const ffai__warm warm = {class->rows, class->outputs, class->greedy};
        if (!progress(context, (double)i / (double)run->num_classes))
            return ffai__fail(err, FFAI_E_CANCELLED, "warming up was cancelled");
        if (!class->graph && is_reached(run, class))
            FFAI__TRY(ffai__warm_step(base, &run->options, &warm, err));
    }
    return forget_steps(run, err);
}

/* --- results --- */

static ffai_status copy_out(const ffai__cuda_run *run, float *to, ffai__value value, size_t floats, ffai_error *err)
{
    const ffai__cuda_opened *opened = &run->plan->opened;
    FFAI__TRY(check(opened, opened->driver->copy_out(to, run->values[value], floats * sizeof *to, run->stream),
                    "fetching results", err));
    return check(opened, opened->driver->stream_wait(run->stream), "running a step", err);
}

static ffai_status wait_and_fetch(ffai__cuda_run *run, int behind, bool logits, ffai_error *err)
{
    const ffai__cuda_opened *opened = &run->plan->opened;
    const uint32_t slot = run->numbers[behind] % FFAI__CUDA_SLOTS;
    FFAI__TRY(check(opened, opened->driver->event_wait(run->done[slot]), "running a step", err));
    if (!logits)
        return FFAI_OK;
    size_t floats = 0;
    FFAI__TRY(ffai__results_size(&floats, &run->base, run->program->logits, err));
    return floats ? copy_out(run, run->logits, run->program->logits, floats, err) : FFAI_OK;
}

static ffai_status cuda_collect(ffai__run *base, int behind, int32_t *ids, float *chosen, const float **logits,
                                ffai_error *err)
{
    ffai__cuda_run *run = (ffai__cuda_run *)base;
    const ffai__step_size *size = NULL;
    FFAI__TRY(ffai__results_find(&size, base, behind, ids || chosen, err));
    if (logits && behind)
        return ffai__fail(err, FFAI_E_ARGUMENT, "collect: there are logits of the last step alone");
    if (logits && run->numbers[0] + 1 != run->number)
        return ffai__fail(err, FFAI_E_ARGUMENT, "collect: a step that failed has overwritten the logits");
    FFAI__TRY(ffai__cuda_enter(&run->plan->opened, err));
    const ffai_status status = wait_and_fetch(run, behind, logits != NULL, err);
    ffai__cuda_leave(&run->plan->opened);
    if (status != FFAI_OK)
        return status;
    const uint32_t slot = run->numbers[behind] % FFAI__CUDA_SLOTS;
    const ffai__cuda_drawn *drawn = run->drawn + (size_t)slot * (size_t)run->options.max_outputs;
    for (int32_t r = 0; r < size->num_outputs; r++) {
        if (ids)
            ids[r] = drawn[r].id;
        if (chosen)
            chosen[r] = drawn[r].logit;
    }
    if (logits)
        *logits = run->logits;
    return FFAI_OK;
}

static ffai_status cuda_read(ffai__run *base, ffai__value value, float *values, ffai_error *err)
{
    ffai__cuda_run *run = (ffai__cuda_run *)base;
    size_t floats = 0;
    if (!run->options.keep_values)
        return ffai__fail(err, FFAI_E_ARGUMENT, "this run does not keep values");
    FFAI__TRY(ffai__results_size(&floats, base, value, err));
    FFAI__TRY(ffai__cuda_enter(&run->plan->opened, err));
    const ffai_status status = floats ? copy_out(run, values, value, floats, err) : FFAI_OK;
    ffai__cuda_leave(&run->plan->opened);
    return status;
}

static ffai_status copy_within(ffai__cuda_run *run, uint64_t to, uint64_t from, uint64_t bytes, ffai_error *err)
{
    const ffai__cuda_opened *opened = &run->plan->opened;
    FFAI__TRY(ffai__cuda_enter(opened, err));
    const ffai_status status =
        check(opened, opened->driver->copy(to, from, bytes, run->stream), "copying on the device", err);
    ffai__cuda_leave(opened);
    return status;
}

static ffai_status cuda_copy_page(ffai__run *base, int group, uint32_t to, uint32_t from, ffai_error *err)
{
    ffai__cuda_run *run = (ffai__cuda_run *)base;
    FFAI__TRY(ffai__copy_page_check(group, to, from, run->program, &run->options, err));
    const uint64_t first = run->groups[group];
    const uint64_t bytes = run->page_bytes[group];
    if (to == from)
        return FFAI_OK;
    return copy_within(run, first + to * bytes, first + from * bytes, bytes, err);
}

static ffai_status cuda_copy_tokens(ffai__run *base, int32_t to_slot, int32_t from_slot, int64_t length,
                                    ffai_error *err)
{
    ffai__cuda_run *run = (ffai__cuda_run *)base;
    FFAI__TRY(ffai__copy_tokens_check(to_slot, from_slot, length, &run->options, err));
    const uint64_t history = (uint64_t)(uintptr_t)run->step.history;
    const uint64_t stride = (uint64_t)run->step.history_stride * sizeof(int32_t);
    if (!length || to_slot == from_slot)
        return FFAI_OK;
    ffai__cuda_message_forget(run, to_slot);
    return copy_within(run, history + (uint64_t)to_slot * stride, history + (uint64_t)from_slot * stride,
                       (uint64_t)length * sizeof(int32_t), err);
}

const ffai__backend ffai__backend_cuda = {
    .name = "cuda",
    .ahead = 1,
    .step_rows = 2048,
    .available = cuda_available,
    .plan = cuda_plan,
    .upload = cuda_upload,
    .unload = cuda_unload,
    .estimate = cuda_estimate,
    .describe = cuda_describe,
    .open = cuda_open,
    .close = cuda_close,
    .memory = cuda_memory,
    .step = cuda_step,
    .warm = cuda_warm,
    .collect = cuda_collect,
    .read = cuda_read,
    .copy_page = cuda_copy_page,
    .copy_tokens = cuda_copy_tokens,
    .read_weights = ffai__cuda_read_weights,
    .measure = ffai__cuda_measure,
    .profile = ffai__cuda_profile_switch,
    .profile_read = ffai__cuda_profile_read,
    .identify = ffai__cuda_identify,
    .tuning = ffai__cuda_tuning,
    .retune = ffai__cuda_retune,
};
