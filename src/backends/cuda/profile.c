#include "profile.h"

#include <string.h>

#include "alloc.h"

enum { MOST_KINDS = 64 };

struct ffai__cuda_profile {
    ffai__op_time kinds[MOST_KINDS]; /* in the order in which they first came */
    size_t num_kinds;
    ffai__cuda_event *events; /* [num_events] between operations */
    size_t num_events;
};

ffai_status ffai__cuda_profile_switch(ffai__run *base, bool on, ffai_error *err)
{
    ffai__cuda_run *run = (ffai__cuda_run *)base;
    run->profiling = false;
    if (!on)
        return FFAI_OK;
    if (!run->profile)
        run->profile = ffai__calloc(1, sizeof *run->profile);
    if (!run->profile)
        return ffai__fail_memory(err, "a profile", sizeof *run->profile);
    run->profile->num_kinds = 0;
    run->profiling = true;
    return FFAI_OK;
}

/* In the device's context. */
void ffai__cuda_profile_free(ffai__cuda_run *run)
{
    for (size_t i = 0; run->profile && i < run->profile->num_events; i++)
        run->plan->opened.driver->event_destroy(run->profile->events[i]);
    if (run->profile)
        ffai__free(run->profile->events);
    ffai__free(run->profile);
    run->profile = NULL;
}

static ffai_status make_events(ffai__cuda_run *run, size_t count, ffai_error *err)
{
    ffai__cuda_profile *profile = run->profile;
    const ffai__cuda_driver *driver = run->plan->opened.driver;
    if (count > profile->num_events) {
        ffai__cuda_event *grown = ffai__realloc(profile->events, count, sizeof *grown);
        if (!grown)
            return ffai__fail_memory(err, "a profile", count * sizeof *grown);
        profile->events = grown;
    }
    for (; profile->num_events < count; profile->num_events++)
        FFAI__TRY(ffai__cuda_check(driver, driver->event_create(&profile->events[profile->num_events], 0),
                                   "creating an event", err));
    return FFAI_OK;
}

/* Products of output rows alone are the head; what begins a step belongs to its embedding. */
static const char *label_of(const ffai__cuda_operation *operation)
{
    if (!operation->instruction)
        return ffai__ops[FFAI__OP_embed].name;
    if (operation->of_outputs && ffai__op_multiplies(operation->instruction->op))
        return "head";
    return ffai__ops[operation->instruction->op].name;
}

static ffai__op_time *kind_of(ffai__cuda_profile *profile, const ffai__cuda_operation *operation)
{
    const char *op = label_of(operation);
    for (size_t i = 0; i < profile->num_kinds; i++) {
        if (strcmp(profile->kinds[i].op, op) == 0 && strcmp(profile->kinds[i].part, operation->part) == 0)
            return &profile->kinds[i];
    }
    if (profile->num_kinds == MOST_KINDS)
        return &profile->kinds[MOST_KINDS - 1];
    profile->kinds[profile->num_kinds] = (ffai__op_time){.op = op, .part = operation->part};
    return &profile->kinds[profile->num_kinds++];
}

/* Keys and values are counted once for each sequence, however many of its rows read them. */
static void add_attention(ffai__op_time *time, const ffai__cuda_run *run, const ffai__instruction *instruction,
                          const ffai__step *step)
{
    const ffai__store *store = &run->program->stores[run->program->values[instruction->in[1]].store];
    const double element = (double)ffai__dtype_size(ffai__store_dtype(run->options.store_format));
    const double position_bytes = 2 * element * store->num_key_value_heads * store->head_dim;
    const double row_flops = 4.0 * instruction->attributes.attention.num_attention_heads * store->head_dim;
    const int64_t window = instruction->attributes.attention.window;
    for (int32_t t = 0; t < step->num_rows; t++) {
        const int64_t seen = (int64_t)step->positions[t] + 1;
        const int64_t attended = window && window < seen ? window : seen;
        const bool last = t + 1 == step->num_rows || step->sequence_of_row[t + 1] != step->sequence_of_row[t];
        time->flops += row_flops * (double)attended;
        time->bytes += last ? position_bytes * (double)attended : 0;
    }
}

static void add_operation(ffai__cuda_run *run, const ffai__cuda_operation *operation, const ffai__step *step,
                          double seconds)
{
    ffai__op_time *time = kind_of(run->profile, operation);
    const int32_t rows = operation->of_outputs ? step->num_outputs : step->num_rows;
    time->count++;
    time->seconds += seconds;
    time->bytes += rows ? operation->bytes : 0;
    time->flops += operation->flops_a_row * rows;
    if (operation->attends)
        add_attention(time, run, operation->instruction, step);
}

ffai_status ffai__cuda_profile_step(ffai__cuda_run *run, const ffai__cuda_class *of, const ffai__step *step,
                                    ffai_error *err)
{
    const ffai__cuda_driver *driver = run->plan->opened.driver;
    FFAI__TRY(make_events(run, of->num_operations + 1, err));
    const ffai__cuda_event *events = run->profile->events;
    for (size_t i = 0; i < of->num_operations; i++) {
        FFAI__TRY(ffai__cuda_check(driver, driver->event_record(events[i], run->stream), "timing a step", err));
        FFAI__TRY(ffai__cuda_launch_operation(run, of, &of->operations[i], err));
    }
    FFAI__TRY(
        ffai__cuda_check(driver, driver->event_record(events[of->num_operations], run->stream), "timing a step", err));
    FFAI__TRY(ffai__cuda_check(driver, driver->stream_wait(run->stream), "running a step", err));
    for (size_t i = 0; i < of->num_operations; i++) {
        float milliseconds = 0;
        FFAI__TRY(ffai__cuda_check(driver, driver->event_milliseconds(&milliseconds, events[i], events[i + 1]),
                                   "timing a step", err));
        add_operation(run, &of->operations[i], step, (double)milliseconds * 1e-3);
    }
    return FFAI_OK;
}

size_t ffai__cuda_profile_read(const ffai__run *base, ffai__op_time *times, size_t room)
{
    const ffai__cuda_run *run = (const ffai__cuda_run *)base;
    const size_t count = run->profile ? run->profile->num_kinds : 0;
    for (size_t i = 0; i < count && i < room; i++)
        times[i] = run->profile->kinds[i];
    return count;
}
