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
    run->pieces = append(l, tiles * 3, spans * 8 * FFAI__CUDA_X_TILE_BYTES);
    run->pieces_bytes = l->base + l->end - run->pieces;
    /* As numbers, or as pieces in blocks for wgmma, where there are two for each subgroup and one beyond (args.h). */
    const uint64_t blocks = FFAI__CUDA_SUM_PIECES(2) * FFAI__CUDA_SUM_BLOCKS(spans, 4);
    const uint64_t numbers = spans * 8 * 4 * 8 * sizeof(float);
    run->sums =
        append(l, tiles, blocks * FFAI__CUDA_X_TILE_BYTES > numbers ? blocks * FFAI__CUDA_X_TILE_BYTES : numbers);
    run->sums_bytes = l->base + l->end - run->sums;
}

/* Sums that a product of a few rows leaves in parts: of its rows and a group of x's for each multiprocessor. */
static void place_few(layout *l, ffai__cuda_run *run)
{
    enum { ROWS = FFAI__CUDA_FEW_WARPS * FFAI__CUDA_FEW_UNITS * FFAI__CUDA_UNIT_ROWS };
    run->few_sums = append(l, (uint64_t)run->plan->opened.multiprocessors * ROWS,
                           (uint64_t)8 * FFAI__CUDA_FEW_TILES * sizeof(float));
}

/* Parts that a context is cut into at most: so many blocks for each multiprocessor, of 256 positions or more. */
static int32_t find_splits(const ffai__cuda_run *run, int32_t blocks)
{
    const int64_t stretches = (run->options.max_context + FFAI__CUDA_STRETCH - 1) / FFAI__CUDA_STRETCH;
    const ffai__program *program = run->program;
    int64_t most = 1;
    for (size_t i = 0; i < program->num_instructions; i++) {
        if (program->instructions[i].op != FFAI__OP_attention)
            continue;
        const int kv_heads = program->instructions[i].attributes.attention.num_key_value_heads;
        const int64_t wanted = (int64_t)run->plan->opened.multiprocessors * blocks / kv_heads;
        const int64_t splits = wanted < stretches ? wanted : stretches;
        most = splits > most ? splits : most;
    }
    return (int32_t)most;
}

void ffai__cuda_choose_splits(ffai__cuda_run *run)
{
    run->splits = find_splits(run, run->tuning.attend_blocks);
}

/* As many rows go through a page together as have room with all query heads of a key/value head. */
static void choose_tiles(ffai__cuda_run *run)
{
    const ffai__program *program = run->program;
    run->tile_rows = FFAI__CUDA_ATTEND_MANY_QUERIES;
    run->tile_blocks = 1;
    for (size_t i = 0; i < program->num_instructions; i++) {
        if (program->instructions[i].op != FFAI__OP_attention)
            continue;
        const int kv_heads = program->instructions[i].attributes.attention.num_key_value_heads;
        const int group = program->instructions[i].attributes.attention.num_attention_heads / kv_heads;
        const int sets = FFAI__CUDA_ATTEND_MANY_SETS(group);
        const int32_t own = FFAI__CUDA_ATTEND_MANY_QUERIES / ((group + sets - 1) / sets);
        run->tile_rows = own < run->tile_rows ? own : run->tile_rows;
        run->tile_blocks = kv_heads * sets > run->tile_blocks ? kv_heads * sets : run->tile_blocks;
    }
}

/* Blocks that a device runs at once, two to a multiprocessor, shared out among the tiles of a step of one sequence, or
 * of single tokens of all. What parts leave behind costs time too: a few are not worth it. */
int32_t ffai__cuda_attend_splits(const ffai__cuda_run *run, int32_t rows)
{
    enum { FEWEST = 4 };
    const int64_t stretch = (int64_t)FFAI__CUDA_ATTEND_MANY_PAGES * FFAI__PAGE_TOKENS;
    const int64_t stretches = (run->options.max_context + stretch - 1) / stretch;
    const int64_t sequences = run->options.max_sequences < rows ? run->options.max_sequences : rows;
    const int64_t whole = (rows + run->tile_rows - 1) / run->tile_rows;
    const int64_t tiles = whole > sequences ? whole : sequences;
    int64_t splits = 2 * (int64_t)run->plan->opened.multiprocessors / (tiles * run->tile_blocks);
    splits = splits < stretches ? splits : stretches;
    splits = splits < FFAI__CUDA_ATTEND_MANY_MOST_SPLITS ? splits : FFAI__CUDA_ATTEND_MANY_MOST_SPLITS;
    return splits < FEWEST ? 1 : (int32_t)splits;
}

/* Rows times parts of any step that leaves parts. */
static uint64_t most_partials(const ffai__cuda_run *run)
{
    uint64_t most = FFAI__CUDA_FEW_ROWS * (uint64_t)find_splits(run, ffai__tunables[FFAI__TUNABLE_attend_blocks].most);
    for (int32_t rows = FFAI__CUDA_FEW_ROWS; rows <= run->options.max_rows; rows++) {
        const uint64_t splits = (uint64_t)ffai__cuda_attend_splits(run, rows);
        if (splits > 1 && (uint64_t)rows * splits > most)
            most = (uint64_t)rows * splits;
    }
    return most;
}

static void place_attention(layout *l, ffai__cuda_run *run)
{
    const ffai__program *program = run->program;
    uint64_t floats = 0;
    uint64_t blocks = 0;
    for (size_t i = 0; i < program->num_instructions; i++) {
        if (program->instructions[i].op != FFAI__OP_attention)
            continue;
        const int head_dim = program->instructions[i].attributes.attention.head_dim;
        const uint64_t heads = (uint64_t)program->instructions[i].attributes.attention.num_attention_heads;
        const uint64_t own = heads * ((uint64_t)head_dim + 2);
        floats = own > floats ? own : floats;
        blocks = heads > blocks ? heads : blocks;
    }
    ffai__cuda_choose_splits(run);
    choose_tiles(run);
    run->partials = append(l, most_partials(run), floats * sizeof(float));
    run->arrived_bytes = FFAI__CUDA_FEW_ROWS * blocks * sizeof(uint32_t);
    run->arrived = append(l, 1, run->arrived_bytes);
    run->tiles = append(l, (uint64_t)run->options.max_rows + 2, sizeof(int32_t));
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
    place_few(&l, run);
    place_attention(&l, run);
    place_step(&l, run);
    *failed = l.failed;
    return l.end;
}

static ffai_status find_places(ffai__cuda_run *run, ffai__lifetime *lifetimes, bool allocate, ffai_error *err)
{
    uint64_t values_end = 0;
    bool failed = false;
    FFAI__TRY(place_values(lifetimes, run, &values_end, err));
    run->workspace_bytes = place_all(run, lifetimes, values_end, 0, &failed);
    if (failed)
        return ffai__fail_memory(err, "activations", UINT64_MAX);
    if (!allocate)
        return FFAI_OK;
    FFAI__TRY(ffai__cuda_allocate(&run->workspace, run->workspace_bytes, "activations", &run->plan->opened, err));
    place_all(run, lifetimes, values_end, run->workspace, &failed);
    return FFAI_OK;
}

static ffai_status make_places(ffai__cuda_run *run, bool allocate, ffai_error *err)
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
        status = find_places(run, lifetimes, allocate, err);
    ffai__free(lifetimes);
    return status;
}

ffai_status ffai__cuda_measure_places(ffai__cuda_run *run, ffai_error *err)
{
    return make_places(run, false, err);
}

ffai_status ffai__cuda_make_places(ffai__cuda_run *run, ffai_error *err)
{
    return make_places(run, true, err);
}
