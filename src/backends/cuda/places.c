/* Where everything lies in a run's device memory. */
#include "alloc.h"
#include "cuda.h"
#include "fold.h"
#include "liveness.h"
#include "sample.h"

#define ALIGNMENT ((uint64_t)256)

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* The workspace is sized with base 0 and then, once there is memory, addressed. */
typedef struct layout {
    uint64_t base, end;
    bool failed;
} layout;

static uint64_t append(layout *l, uint64_t count, uint64_t size)
{
    uint64_t bytes = 0;
    const uint64_t address = l->base + l->end;
    l->failed = l->failed || !ffai__mul(&bytes, count, size) || bytes > UINT64_MAX / 8 || l->end > UINT64_MAX / 8;
    l->end += l->failed ? 0 : round_up(bytes);
    return address;
}

static uint64_t max_rows(const ffai__cuda_run *run, const ffai__value_info *info)
{
    return (uint64_t)(info->rows == FFAI__ROWS_R ? run->options.max_outputs : run->options.max_rows);
}

static void stretch(ffai__lifetime *lifetimes, ffai__value value, size_t death)
{
    if (lifetimes[value].death < death)
        lifetimes[value].death = death;
}

/* What is folded into another kernel is written earlier and read later than the program says. */
static void stretch_lifetimes(ffai__lifetime *lifetimes, const ffai__cuda_run *run)
{
    const ffai__program *program = run->program;
    if (run->options.keep_values)
        return;
    for (size_t n = program->num_instructions; n-- > 0;) {
        const ffai__instruction *instruction = &program->instructions[n];
        ffai__fold_attention fold;
        if (instruction->op == FFAI__OP_attention && ffai__fold_attention_find(&fold, program, n)) {
            stretch(lifetimes, fold.q, n);
            stretch(lifetimes, fold.k, n);
            stretch(lifetimes, fold.v, n);
        }
        if (instruction->op == FFAI__OP_rms_norm || instruction->op == FFAI__OP_select_rows)
            stretch(lifetimes, instruction->in[0], lifetimes[instruction->out[0]].death);
        if (instruction->op == FFAI__OP_swiglu) {
            const size_t product = (size_t)program->values[instruction->in[0]].producer;
            ffai__lifetime *y = &lifetimes[instruction->out[0]];
            y->birth = product < y->birth ? product : y->birth;
        }
    }
}

static ffai_status place_values(ffai__lifetime *lifetimes, const ffai__cuda_run *run, uint64_t *end, ffai_error *err)
{
    const ffai__program *program = run->program;
    for (size_t v = 0; v < program->num_values; v++) {
        uint64_t bytes = 0;
        const ffai__value_info *info = &program->values[v];
        if (info->kind == FFAI__ACTIVATION &&
            (!ffai__mul(&bytes, max_rows(run, info), (uint64_t)info->columns * 4) || bytes > UINT64_MAX / 8))
            return ffai__fail_memory(err, "activations", UINT64_MAX);
        lifetimes[v].bytes = round_up(bytes);
    }
    ffai__lifetimes_find(lifetimes, program, run->options.keep_values);
    stretch_lifetimes(lifetimes, run);
    return ffai__lifetimes_place(end, lifetimes, program->num_values, err);
}

/* A table of angles for each distinct rope; the frequencies stand before it. */
static void place_angles(layout *l, ffai__cuda_run *run)
{
    const ffai__program *program = run->program;
    for (size_t i = 0; i < program->num_instructions; i++) {
        if (program->instructions[i].op != FFAI__OP_rope)
            continue;
        const ffai__rope *rope = &program->instructions[i].attributes.rope;
        size_t first = 0;
        while (program->instructions[first].op != FFAI__OP_rope ||
               !ffai__rope_same(&program->instructions[first].attributes.rope, rope))
            first++;
        if (first < i) {
            run->angles[i] = run->angles[first];
            run->frequencies[i] = run->frequencies[first];
            continue;
        }
        run->frequencies[i] = append(l, (uint64_t)rope->dims / 2, sizeof(float));
        run->angles[i] = append(l, (uint64_t)run->options.max_rows, (uint64_t)rope->dims * sizeof(float));
    }
}

/* The largest product's prepared input: pieces of 2 bytes a column, at most three, and sums. */
static void place_prepared(layout *l, ffai__cuda_run *run)
{
    const ffai__program *program = run->program;
    uint64_t spans = 0;
    for (size_t v = 0; v < program->num_values; v++) {
        const uint64_t own = (uint64_t)run->plan->matrices[v].spans;
        spans = own > spans ? own : spans;
    }
    const int32_t most =
        run->options.max_rows > run->options.max_outputs ? run->options.max_rows : run->options.max_outputs;
    const uint64_t tiles = ((uint64_t)most + 7) / 8;
    run->pieces = append(l, tiles * 3, spans * 8 * 2 * 32 * 16);
    run->sums = append(l, tiles, spans * 8 * 4 * 8 * sizeof(float));
}

/* Parts that a context is cut into at most: as many blocks as the device runs at once, of 256 positions or more. */
static int32_t choose_splits(const ffai__cuda_run *run, int kv_heads, int head_dim)
{
    const int64_t stretches = (run->options.max_context + FFAI__CUDA_STRETCH - 1) / FFAI__CUDA_STRETCH;
    const int64_t wanted = (int64_t)run->plan->opened.multiprocessors * (head_dim > 64 ? 1 : 2) / kv_heads;
    const int64_t splits = wanted < stretches ? wanted : stretches;
    return splits > 1 ? (int32_t)splits : 1;
}

static void place_attention(layout *l, ffai__cuda_run *run)
{
    const ffai__program *program = run->program;
    uint64_t floats = 0;
    uint64_t blocks = 0;
    run->splits = 1;
    for (size_t i = 0; i < program->num_instructions; i++) {
        if (program->instructions[i].op != FFAI__OP_attention)
            continue;
        const int head_dim = program->instructions[i].attributes.attention.head_dim;
        const int kv_heads = program->instructions[i].attributes.attention.num_key_value_heads;
        const uint64_t heads = (uint64_t)program->instructions[i].attributes.attention.num_attention_heads;
        const uint64_t own = heads * ((uint64_t)head_dim + 2);
        const int32_t splits = choose_splits(run, kv_heads, head_dim);
        floats = own > floats ? own : floats;
        blocks = heads > blocks ? heads : blocks;
        run->splits = splits > run->splits ? splits : run->splits;
    }
    run->partials = append(l, FFAI__CUDA_FEW_ROWS * (uint64_t)run->splits, floats * sizeof(float));
    run->arrived_bytes = FFAI__CUDA_FEW_ROWS * blocks * sizeof(uint32_t);
    run->arrived = append(l, 1, run->arrived_bytes);
}

/* A step's data. */
static void place_step(layout *l, ffai__cuda_run *run)
{
    const ffai__run_options *o = &run->options;
    const int64_t groups = (int64_t)run->program->num_groups;
    ffai__cuda_step *step = &run->step;
    ffai__cuda_begin_args *begin = &run->begin;
    step->max_pages = (o->max_context + FFAI__PAGE_TOKENS - 1) / FFAI__PAGE_TOKENS;
    step->table_stride = groups * step->max_pages;
    step->history_stride = o->max_context + 1;
    run->num_entries = (uint64_t)step->table_stride * (uint64_t)o->max_sequences;
    begin->number = ffai__cuda_pointer(append(l, 1, sizeof *begin->number));
    begin->sizes = ffai__cuda_pointer(append(l, 1, sizeof *begin->sizes));
    begin->rows = ffai__cuda_pointer(append(l, (uint64_t)o->max_rows, sizeof *begin->rows));
    begin->output_rows = ffai__cuda_pointer(append(l, (uint64_t)o->max_outputs, sizeof *begin->output_rows));
    begin->draws = ffai__cuda_pointer(append(l, (uint64_t)o->max_outputs, sizeof *begin->draws));
    begin->tables = ffai__cuda_pointer(append(l, run->num_entries, sizeof *begin->tables));
    step->history = ffai__cuda_pointer(
        append(l, (uint64_t)o->max_sequences, (uint64_t)step->history_stride * sizeof *step->history));
    step->sizes = begin->sizes;
    step->rows = begin->rows;
    step->output_rows = begin->output_rows;
    step->draws = begin->draws;
    step->tables = begin->tables;
    run->sample_scratch =
        append(l, (uint64_t)o->max_outputs, (uint64_t)ffai__cuda_sample_scratch_bytes(run->program->vocab_size));
}

/* Everything from `base` on. */
static uint64_t place_all(ffai__cuda_run *run, const ffai__lifetime *lifetimes, uint64_t values_end, uint64_t base,
                          bool *failed)
{
    layout l = {.base = base, .end = values_end};
    for (size_t v = 0; v < run->program->num_values; v++)
        run->values[v] = lifetimes[v].bytes ? base + lifetimes[v].offset : 0;
    place_angles(&l, run);
    place_prepared(&l, run);
    place_attention(&l, run);
    place_step(&l, run);
    *failed = l.failed;
    return l.end;
}

static ffai_status make_places(ffai__cuda_run *run, ffai__lifetime *lifetimes, ffai_error *err)
{
    uint64_t values_end = 0;
    bool failed = false;
    FFAI__TRY(place_values(lifetimes, run, &values_end, err));
    run->workspace_bytes = place_all(run, lifetimes, values_end, 0, &failed);
    if (failed)
        return ffai__fail_memory(err, "activations", UINT64_MAX);
    FFAI__TRY(ffai__cuda_allocate(&run->workspace, run->workspace_bytes, "activations", &run->plan->opened, err));
    place_all(run, lifetimes, values_end, run->workspace, &failed);
    return FFAI_OK;
}

ffai_status ffai__cuda_make_places(ffai__cuda_run *run, ffai_error *err)
{
    const size_t values = run->program->num_values;
    const size_t instructions = run->program->num_instructions;
    run->values = ffai__calloc(values, sizeof *run->values);
    run->angles = ffai__calloc(instructions, sizeof *run->angles);
    run->frequencies = ffai__calloc(instructions, sizeof *run->frequencies);
    ffai__lifetime *lifetimes = ffai__calloc(values, sizeof *lifetimes);
    ffai_status status = FFAI_OK;
    if (!run->values || !run->angles || !run->frequencies || !lifetimes)
        status = ffai__fail_memory(err, "a run", values * sizeof *lifetimes);
    else
        status = make_places(run, lifetimes, err);
    ffai__free(lifetimes);
    return status;
}
