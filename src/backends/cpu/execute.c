/* A thread's walk through a step. */
#include <string.h>

#include "cpu.h"
#include "sampling.h"

typedef ffai__cpu_worker worker;

/* The part of a value that a thread works on. */
typedef struct area {
    ffai__share rows;
    ffai__share columns;
} area;

/* One row: its columns in units. Many: rows. As barriers.c says it. */
static area area_of(const worker *w, ffai__value value, int64_t unit)
{
    const int64_t columns = ffai__cpu_columns(w->run, value);
    const int64_t rows = ffai__cpu_rows(w->run, value);
    if (w->run->mode == FFAI__MANY_ROWS)
        return (area){ffai__share_of(rows, w->thread, w->num_threads), {0, columns}};
    ffai__share share = ffai__share_of((columns + unit - 1) / unit, w->thread, w->num_threads);
    share.begin *= unit;
    share.end = share.end * unit < columns ? share.end * unit : columns;
    return (area){{0, rows}, share};
}

static ffai__share rows_share(const worker *w, ffai__value value)
{
    return ffai__share_of(ffai__cpu_rows(w->run, value), w->thread, w->num_threads);
}

static void run_angles(const worker *w, const ffai__action *a)
{
    const ffai__rope *rope = w->run->ropes[a->index];
    float *table = ffai__cpu_at(w, &w->run->tables[a->index]);
    const ffai__share rows = ffai__share_of(w->run->step->num_rows, w->thread, w->num_threads);
    for (int64_t t = rows.begin; t < rows.end; t++) {
        float *cosines = table + t * rope->dims;
        ffai__rope_angles(cosines, cosines + rope->dims / 2, rope, w->run->step->positions[t]);
    }
}

static void run_embed(const worker *w, const ffai__action *a)
{
    const ffai__step *step = w->run->step;
    const ffai__weight *weight = ffai__weight_of(w->run->program, a->instruction->in[0]);
    const ffai__share rows = rows_share(w, a->y);
    for (int64_t t = rows.begin; t < rows.end; t++) {
        const ffai__step_sequence *sequence = ffai__cpu_sequence(w->run, (int32_t)t);
        int32_t *token = ffai__cpu_history(w->run, sequence->slot) + step->positions[t];
        if (step->tokens[t] != FFAI__TOKEN_SAMPLED)
            *token = step->tokens[t];
        ffai__weight_read(ffai__cpu_value(w, a->y) + t * weight->columns, weight, *token);
    }
}

static void run_norm(const worker *w, const ffai__action *a)
{
    const ffai__cpu_run *run = w->run;
    const int64_t width = ffai__weight_of(run->program, a->instruction->in[1])->columns;
    const int64_t columns = ffai__cpu_columns(run, a->y);
    area part = area_of(w, a->y, width);
    if (run->mode == FFAI__ONE_ROW && run->values[a->y].replica)
        part.columns = (ffai__share){0, columns};
    const float *x = ffai__cpu_value(w, a->x);
    float *y = ffai__cpu_value(w, a->y);
    for (int64_t t = part.rows.begin; t < part.rows.end; t++) {
        for (int64_t c = part.columns.begin; c < part.columns.end; c += width)
            run->plan->kernels->rms_norm(y + t * columns + c, x + t * columns + c, a->vector, width,
                                         a->instruction->attributes.rms_norm.eps);
    }
}

/* One row: each thread prepares it for itself. */
static void run_prepare(const worker *w, const ffai__action *a)
{
    const size_t bytes = ffai__linear_input_bytes(&a->packed->input);
    const int64_t columns = ffai__cpu_columns(w->run, a->x);
    const float *x = ffai__cpu_value(w, a->x);
    uint8_t *prepared = ffai__cpu_at(w, &w->run->slots[a->index]);
    ffai__share rows = {0, ffai__cpu_rows(w->run, a->x)};
    if (w->run->mode == FFAI__MANY_ROWS)
        rows = rows_share(w, a->x);
    for (int64_t t = rows.begin; t < rows.end; t++)
        ffai__linear_prepare(prepared + (size_t)t * bytes, x + t * columns, a->packed);
}

/* A product's operands, where this thread finds them. */
typedef struct product {
    const ffai__action *action;
    const ffai__tuning *tuning;
    float *y;
    const float *residual;
    const uint8_t *prepared;
    size_t row_bytes;
    int64_t columns;
    int64_t num_rows;
} product;

enum { WIDE_TILES = 4, FEW_BYTES = 32 * 1024 };

static void multiply_block(const product *p, int64_t row, int64_t rows, int64_t first, int64_t last)
{
    const int64_t at = row * p->columns;
    const ffai__linear_job job = {
        .packed = p->action->packed,
        .y = p->y + at,
        .y_stride = p->columns,
        .inputs = p->prepared + (size_t)row * p->row_bytes,
        .input_bytes = p->row_bytes,
        .num_rows = rows,
        .first = first,
        .last = last,
        .bias = p->action->vector,
        .residual = p->residual ? p->residual + at : NULL,
        .fetch_ahead = p->tuning->fetch_ahead,
    };
    ffai__linear_compute(&job);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Tiles that are taken at once: with many rows as many as stay in a core's cache while all rows go by, with few what
 * takes some microseconds. */
static int64_t tiles_at_once(const product *p)
{
    const int64_t tile_bytes = (int64_t)p->action->packed->tile_bytes + 1;
    const bool few = p->num_rows <= p->tuning->row_block;
    if (p->action->packed->wide)
        return few ? 2 * WIDE_TILES : 4 * WIDE_TILES;
    return (few ? FEW_BYTES : p->tuning->tile_block_bytes) / tile_bytes + 1;
}

static void multiply_tiles(const product *p, ffai__share tiles)
{
    const int64_t rows = p->action->packed->wide ? p->num_rows : p->tuning->row_block;
    for (int64_t row = 0; row < p->num_rows; row += rows)
        multiply_block(p, row, least(rows, p->num_rows - row), tiles.begin, tiles.end);
}

static void multiply_shares(const product *p, const worker *w)
{
    ffai__taking taking = {
        .taken = w->run->taken + (size_t)p->action->product * (size_t)w->run->plan->threads,
        .round = (uint32_t)w->run->num_steps,
        .total = p->action->packed->num_tiles,
        .block = tiles_at_once(p),
        .thread = w->thread,
        .num_threads = w->num_threads,
    };
    ffai__share tiles;
    while (ffai__take(&taking, &tiles))
        multiply_tiles(p, tiles);
}

/* Few tiles for many threads: shares of (tiles, block of rows). */
static void multiply_units(const product *p, const worker *w)
{
    const int64_t num_tiles = p->action->packed->num_tiles;
    const int64_t tiles = p->action->packed->wide ? WIDE_TILES : 1;
    const int64_t rows = p->tuning->row_block;
    const int64_t blocks = (p->num_rows + rows - 1) / rows;
    const ffai__share units = ffai__share_of(blocks * ((num_tiles + tiles - 1) / tiles), w->thread, w->num_threads);
    for (int64_t unit = units.begin; unit < units.end; unit++) {
        const int64_t row = unit % blocks * rows;
        const int64_t tile = unit / blocks * tiles;
        multiply_block(p, row, least(rows, p->num_rows - row), tile, least(tile + tiles, num_tiles));
    }
}

static void run_multiply(const worker *w, const ffai__action *a)
{
    const int64_t num_tiles = a->packed->num_tiles;
    const product p = {
        .action = a,
        .tuning = &w->run->tuning,
        .y = ffai__cpu_value(w, a->y),
        .residual = a->z == FFAI__NONE ? NULL : ffai__cpu_value(w, a->z),
        .prepared = ffai__cpu_at(w, &w->run->slots[a->index]),
        .row_bytes = ffai__linear_input_bytes(&a->packed->input),
        .columns = ffai__cpu_columns(w->run, a->y),
        .num_rows = ffai__cpu_rows(w->run, a->y),
    };
    if (p.num_rows > p.tuning->row_block && num_tiles < 8 * (int64_t)w->num_threads)
        multiply_units(&p, w);
    else if (p.num_rows > 0)
        multiply_shares(&p, w);
}

static void run_rotate(const worker *w, const ffai__action *a)
{
    const ffai__rope *rope = &a->instruction->attributes.rope;
    const int64_t columns = ffai__cpu_columns(w->run, a->y);
    const area part = area_of(w, a->y, rope->head_dim);
    const float *table = ffai__cpu_at(w, &w->run->tables[a->index]);
    const float *x = ffai__cpu_value(w, a->x);
    float *y = ffai__cpu_value(w, a->y);
    for (int64_t t = part.rows.begin; t < part.rows.end; t++) {
        const float *cosines = table + t * rope->dims;
        for (int64_t c = part.columns.begin; c < part.columns.end; c += rope->head_dim)
            w->run->plan->kernels->rotate(y + t * columns + c, x + t * columns + c, cosines, cosines + rope->dims / 2,
                                          rope->dims, rope->head_dim);
    }
}

static void run_silu(const worker *w, const ffai__action *a)
{
    const area part = area_of(w, a->y, FFAI__TILE_ROWS);
    for (int64_t t = part.rows.begin; t < part.rows.end; t++) {
        const int64_t at = t * ffai__cpu_columns(w->run, a->y) + part.columns.begin;
        w->run->plan->kernels->silu(ffai__cpu_value(w, a->y) + at, ffai__cpu_value(w, a->x) + at,
                                    part.columns.end - part.columns.begin);
    }
}

static void run_pair(const worker *w, const ffai__action *a,
                     void (*kernel)(float *, const float *, const float *, int64_t))
{
    const area part = area_of(w, a->y, FFAI__TILE_ROWS);
    for (int64_t t = part.rows.begin; t < part.rows.end; t++) {
        const int64_t at = t * ffai__cpu_columns(w->run, a->y) + part.columns.begin;
        kernel(ffai__cpu_value(w, a->y) + at, ffai__cpu_value(w, a->x) + at, ffai__cpu_value(w, a->z) + at,
               part.columns.end - part.columns.begin);
    }
}

static void run_mul(const worker *w, const ffai__action *a)
{
    run_pair(w, a, w->run->plan->kernels->mul);
}

static void run_add(const worker *w, const ffai__action *a)
{
    run_pair(w, a, w->run->plan->kernels->add);
}

static void run_swiglu(const worker *w, const ffai__action *a)
{
    run_pair(w, a, w->run->plan->kernels->swiglu);
}

static void run_select(const worker *w, const ffai__action *a)
{
    const int64_t columns = ffai__cpu_columns(w->run, a->y);
    ffai__share rows = {0, ffai__cpu_rows(w->run, a->y)};
    if (w->run->mode == FFAI__MANY_ROWS)
        rows = rows_share(w, a->y);
    for (int64_t r = rows.begin; r < rows.end; r++)
        memcpy(ffai__cpu_value(w, a->y) + r * columns,
               ffai__cpu_value(w, a->x) + w->run->step->output_rows[r] * columns, (size_t)columns * sizeof(float));
}

/* The logits of an output row, copied where a penalty or a mask would change them. */
static float *logits_to_draw_from(const worker *w, const ffai__action *a, int64_t r, float *copy)
{
    const ffai__draw *draw = &w->run->step->draws[r];
    const int64_t vocab_size = ffai__cpu_columns(w->run, a->x);
    float *logits = ffai__cpu_value(w, a->x) + r * vocab_size;
    if (draw->repetition_penalty == 1.0f && draw->presence_penalty == 0.0f && !draw->allowed)
        return logits;
    memcpy(copy, logits, (size_t)vocab_size * sizeof *copy);
    return copy;
}

/* Whether output r is of the same sequence as the one before. */
static bool continues(const ffai__cpu_run *run, int64_t r)
{
    const int32_t *rows = run->step->output_rows;
    return r > 0 && r < run->step->num_outputs &&
           run->step->sequence_of_row[rows[r]] == run->step->sequence_of_row[rows[r - 1]];
}

static void draw_output(const worker *w, const ffai__action *a, int64_t r)
{
    const ffai__cpu_run *run = w->run;
    const int64_t vocab_size = ffai__cpu_columns(run, a->x);
    const int32_t row = run->step->output_rows[r];
    const int64_t position = run->step->positions[row];
    int32_t *history = ffai__cpu_history(run, ffai__cpu_sequence(run, row)->slot);
    float *copy = ffai__cpu_scratch(w);
    void *scratch = (uint8_t *)(void *)copy + ((size_t)vocab_size * sizeof *copy + 63) / 64 * 64;
    float *logits = logits_to_draw_from(w, a, r, copy);
    run->ids[r] = ffai__sample(logits, vocab_size, &run->step->draws[r], history, position + 1, position, scratch);
    history[position + 1] = run->ids[r];
}

/* A draw is part of the history of the next of its sequence: one thread makes all of a sequence's. */
static void run_sample(const worker *w, const ffai__action *a)
{
    if (!w->run->step->draws)
        return;
    ffai__share outputs = rows_share(w, a->x);
    while (continues(w->run, outputs.begin))
        outputs.begin++;
    while (continues(w->run, outputs.end))
        outputs.end++;
    for (int64_t r = outputs.begin; r < outputs.end; r++)
        draw_output(w, a, r);
}

typedef void run_action(const worker *w, const ffai__action *action);

static run_action *const run_actions[FFAI__ACTION_COUNT] = {
    [FFAI__ACTION_ANGLES] = run_angles,
    [FFAI__ACTION_EMBED] = run_embed,
    [FFAI__ACTION_NORM] = run_norm,
    [FFAI__ACTION_PREPARE] = run_prepare,
    [FFAI__ACTION_MULTIPLY] = run_multiply,
    [FFAI__ACTION_ROTATE] = run_rotate,
    [FFAI__ACTION_STORE] = ffai__cpu_store_rows,
    [FFAI__ACTION_ATTEND] = ffai__cpu_attend,
    [FFAI__ACTION_MERGE] = ffai__cpu_merge,
    [FFAI__ACTION_SILU] = run_silu,
    [FFAI__ACTION_MUL] = run_mul,
    [FFAI__ACTION_ADD] = run_add,
    [FFAI__ACTION_SWIGLU] = run_swiglu,
    [FFAI__ACTION_SELECT] = run_select,
    [FFAI__ACTION_SAMPLE] = run_sample,
};

/* Wait for the others where action i asks for it; false: the step ends here, for all threads alike. Thread 0, which
 * submitted the step, asks its caller before it comes to the barrier; what it writes there for a later barrier while
 * others are still leaving this one does not stop them here. */
static bool wait_before(const worker *w, size_t i)
{
    ffai__cpu_run *run = w->run;
    const ffai__step *step = run->step;
    if (i == run->num_actions || !run->actions[i].barrier[run->mode])
        return true;
    if (w->thread == 0 && step->keep_going && !step->keep_going(step->keep_going_context))
        atomic_store_explicit(&run->stop_before, i, memory_order_relaxed);
    ffai__thread_pool_barrier(run->pool, w->thread);
    return atomic_load_explicit(&run->stop_before, memory_order_relaxed) > i;
}

/* The same walk with a look at the clock behind each action. Waiting for the others belongs to the action before it:
 * that is what they are late with. */
static void execute_timed(const worker *w)
{
    ffai__cpu_run *run = w->run;
    ffai__cpu_profile_begin(run);
    bool going = wait_before(w, 0);
    for (size_t i = 0; going && i < run->num_actions; i++) {
        const ffai__action *action = &run->actions[i];
        run_actions[action->kind](w, action);
        going = wait_before(w, i + 1);
        ffai__cpu_profile_note(run, action);
    }
}

void ffai__cpu_execute(void *context, int thread, int num_threads)
{
    const worker w = {context, thread, num_threads};
    if (w.run->profiling && thread == 0) {
        execute_timed(&w);
        return;
    }
    for (size_t i = 0; i < w.run->num_actions && wait_before(&w, i); i++)
        run_actions[w.run->actions[i].kind](&w, &w.run->actions[i]);
}
