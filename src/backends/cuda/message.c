#include "message.h"

#include <string.h>

#include "alloc.h"
#include "sample.h"

#define ALIGNMENT ((uint64_t)64)

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static void lay_out(ffai__cuda_run *run)
{
    const ffai__run_options *o = &run->options;
    ffai__cuda_begin_args *begin = &run->begin;
    begin->slots = FFAI__CUDA_SLOTS;
    begin->rows_offset = (int64_t)round_up(sizeof(ffai__cuda_sizes));
    begin->outputs_offset = begin->rows_offset + (int64_t)round_up((uint64_t)o->max_rows * sizeof(ffai__cuda_row));
    begin->draws_offset = begin->outputs_offset + (int64_t)round_up((uint64_t)o->max_outputs * sizeof(int32_t));
    begin->updates_offset = begin->draws_offset + (int64_t)round_up((uint64_t)o->max_outputs * sizeof(ffai__cuda_draw));
    begin->message_stride = begin->updates_offset + (int64_t)round_up(run->num_entries * sizeof(ffai__cuda_update));
}

static ffai_status allocate_shared(void **host, uint64_t *device, uint64_t bytes, const ffai__cuda_driver *driver,
                                   ffai_error *err)
{
    FFAI__TRY(ffai__cuda_check(driver,
                               driver->host_allocate(host, bytes, FFAI__CUDA_HOST_PORTABLE | FFAI__CUDA_HOST_MAPPED),
                               "allocating pinned memory", err));
    return ffai__cuda_check(driver, driver->host_address(device, *host, 0), "mapping pinned memory", err);
}

ffai_status ffai__cuda_messages_make(ffai__cuda_run *run, ffai_error *err)
{
    const ffai__cuda_driver *driver = run->plan->opened.driver;
    void *host = NULL;
    uint64_t device = 0;
    lay_out(run);
    run->shadow = ffai__array(run->num_entries, sizeof *run->shadow);
    run->told = ffai__array((uint64_t)run->options.max_sequences, sizeof *run->told);
    if (!run->shadow || !run->told)
        return ffai__fail_memory(err, "block tables", run->num_entries * sizeof *run->shadow);
    ffai__cuda_message_lost(run);
    ffai_status status =
        allocate_shared(&host, &device, (uint64_t)run->begin.message_stride * FFAI__CUDA_SLOTS, driver, err);
    run->messages = host;
    run->begin.messages = ffai__cuda_pointer(device);
    if (status != FFAI_OK)
        return status;
    host = NULL;
    status = allocate_shared(
        &host, &device, (uint64_t)run->options.max_outputs * FFAI__CUDA_SLOTS * sizeof(ffai__cuda_drawn), driver, err);
    run->drawn = host;
    run->device_drawn = ffai__cuda_pointer(device);
    return status;
}

void ffai__cuda_messages_free(ffai__cuda_run *run)
{
    if (run->messages)
        run->plan->opened.driver->host_free(run->messages);
    if (run->drawn)
        run->plan->opened.driver->host_free(run->drawn);
    ffai__free(run->shadow);
    ffai__free(run->told);
}

void ffai__cuda_message_lost(ffai__cuda_run *run)
{
    memset(run->shadow, 0xFF, run->num_entries * sizeof *run->shadow);
    memset(run->told, 0, (size_t)run->options.max_sequences * sizeof *run->told);
}

void ffai__cuda_message_forget(ffai__cuda_run *run, int32_t slot)
{
    run->told[slot] = 0;
}

static void write_rows(const ffai__cuda_run *run, uint8_t *message, const ffai__step *step)
{
    ffai__cuda_row *rows = (ffai__cuda_row *)(void *)(message + run->begin.rows_offset);
    for (int32_t t = 0; t < step->num_rows; t++) {
        const int32_t slot = step->sequences[step->sequence_of_row[t]].slot;
        rows[t] = (ffai__cuda_row){step->tokens[t], step->positions[t], slot};
    }
}

/* False if a draw needs more than the largest logit. */
static bool write_outputs(const ffai__cuda_run *run, uint8_t *message, const ffai__step *step)
{
    int32_t *output_rows = (int32_t *)(void *)(message + run->begin.outputs_offset);
    for (int32_t r = 0; r < step->num_outputs; r++)
        output_rows[r] = step->output_rows[r];
    return !step->draws || ffai__cuda_draws_fill((ffai__cuda_draw *)(void *)(message + run->begin.draws_offset), step);
}

/* The pages of a sequence that the device does not know yet, from page `from` on. */
static ffai_status write_table(ffai__cuda_run *run, ffai__cuda_update *updates, uint32_t *count,
                               const ffai__step_sequence *sequence, size_t group, int32_t from, int32_t pages,
                               ffai_error *err)
{
    const uint64_t first =
        (uint64_t)sequence->slot * (uint64_t)run->step.table_stride + group * (uint64_t)run->step.max_pages;
    for (int32_t i = from; i < pages; i++) {
        const ffai__page_ref *entry = &sequence->tables[group][i];
        if (entry->format != (uint32_t)run->options.store_format)
            return ffai__fail(err, FFAI_E_UNSUPPORTED, "cuda: a page in another format than the run's");
        if (run->shadow[first + (uint64_t)i] == entry->page)
            continue;
        run->shadow[first + (uint64_t)i] = entry->page;
        updates[(*count)++] = (ffai__cuda_update){(uint32_t)(first + (uint64_t)i), entry->page};
    }
    return FFAI_OK;
}

/* Pages below what the device was told stay as they are, up to the one that the step's first row goes into: a fork may
 * have made that one anew. */
static ffai_status write_tables(ffai__cuda_run *run, uint8_t *message, uint32_t *count, const ffai__step *step,
                                ffai_error *err)
{
    ffai__cuda_update *updates = (ffai__cuda_update *)(void *)(message + run->begin.updates_offset);
    for (int32_t s = 0; s < step->num_sequences; s++) {
        const ffai__step_sequence *sequence = &step->sequences[s];
        const int32_t first = step->positions[sequence->first_row];
        const int32_t last = first + sequence->num_rows - 1;
        int32_t *told = &run->told[sequence->slot];
        const int32_t from = (first < *told ? first : *told) / FFAI__PAGE_TOKENS;
        for (size_t g = 0; g < run->program->num_groups; g++)
            FFAI__TRY(write_table(run, updates, count, sequence, g, from, last / FFAI__PAGE_TOKENS + 1, err));
        *told = last + 1;
    }
    return FFAI_OK;
}

ffai_status ffai__cuda_message_write(bool *greedy, ffai__cuda_run *run, const ffai__step *step, ffai_error *err)
{
    uint8_t *message = run->messages + (uint64_t)(run->number % FFAI__CUDA_SLOTS) * (uint64_t)run->begin.message_stride;
    ffai__cuda_sizes sizes = {
        .num_rows = step->num_rows,
        .num_outputs = step->num_outputs,
        .draws = step->draws != NULL,
        .number = run->number,
    };
    write_rows(run, message, step);
    *greedy = write_outputs(run, message, step);
    const ffai_status status = write_tables(run, message, &sizes.num_updates, step, err);
    if (status != FFAI_OK)
        ffai__cuda_message_lost(run);
    memcpy(message, &sizes, sizeof sizes);
    return status;
}
