/* Where steps spend their time, by kind of work: an operation and a part of it. */
#define _GNU_SOURCE
#include <time.h>

#include "alloc.h"
#include "cpu.h"

/* Rows of the table: operations, the head by itself. */
enum { HEAD = FFAI__OP_COUNT, LABELS };

typedef struct total {
    uint64_t count;
    double seconds, bytes, flops;
} total;

struct ffai__cpu_profile {
    double mark; /* when the last action was over */
    total totals[LABELS][FFAI__ACTION_COUNT];
};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

ffai_status ffai__cpu_profile_switch(ffai__run *base, bool on, ffai_error *err)
{
    ffai__cpu_run *run = (ffai__cpu_run *)base;
    run->profiling = false;
    if (!on)
        return FFAI_OK;
    if (!run->profile)
        run->profile = ffai__malloc(sizeof *run->profile);
    if (!run->profile)
        return ffai__fail_memory(err, "a profile", sizeof *run->profile);
    *run->profile = (ffai__cpu_profile){0};
    run->profiling = true;
    return FFAI_OK;
}

void ffai__cpu_profile_free(ffai__cpu_profile *profile)
{
    ffai__free(profile);
}

/* Products of output rows alone are the head. Angles belong to no instruction. */
static int label_of(const ffai__cpu_run *run, const ffai__action *action)
{
    if (!action->instruction)
        return (int)FFAI__OP_rope;
    const bool product = action->kind == FFAI__ACTION_PREPARE || action->kind == FFAI__ACTION_MULTIPLY;
    if (product && run->program->values[action->x].rows == FFAI__ROWS_R)
        return HEAD;
    return (int)action->instruction->op;
}

static void add_product(total *t, const ffai__cpu_run *run, const ffai__action *action)
{
    const ffai__weight *weight = action->packed->weight;
    const int32_t rows = ffai__cpu_rows(run, action->y);
    if (rows == 0)
        return;
    t->bytes += (double)action->packed->num_tiles * (double)action->packed->tile_bytes;
    t->flops += 2.0 * (double)weight->rows * (double)weight->columns * rows;
}

/* Keys and values are counted once for each sequence, however many of its rows read them. */
static void add_attention(total *t, const ffai__cpu_run *run, const ffai__action *action)
{
    const ffai__cpu_store *store = &run->stores[action->store];
    const double position_bytes = (double)store->page_bytes / FFAI__PAGE_TOKENS;
    const int64_t window = action->instruction->attributes.attention.window;
    const double row_flops = 4.0 * action->instruction->attributes.attention.num_attention_heads * store->head_dim;
    for (int32_t i = 0; i < run->step->num_rows; i++) {
        const int64_t seen = (int64_t)run->step->positions[i] + 1;
        const int64_t attended = window && window < seen ? window : seen;
        const bool last =
            i + 1 == run->step->num_rows || run->step->sequence_of_row[i + 1] != run->step->sequence_of_row[i];
        t->flops += row_flops * (double)attended;
        t->bytes += last ? position_bytes * (double)attended : 0;
    }
}

void ffai__cpu_profile_begin(ffai__cpu_run *run)
{
    run->profile->mark = now();
}

void ffai__cpu_profile_note(ffai__cpu_run *run, const ffai__action *action)
{
    ffai__cpu_profile *profile = run->profile;
    total *t = &profile->totals[label_of(run, action)][action->kind];
    const double end = now();
    t->seconds += end - profile->mark;
    t->count++;
    if (action->kind == FFAI__ACTION_MULTIPLY)
        add_product(t, run, action);
    if (action->kind == FFAI__ACTION_ATTEND)
        add_attention(t, run, action);
    profile->mark = now();
}

static bool listed(const ffai__op_time *times, size_t count, const ffai__op_time *time)
{
    for (size_t i = 0; i < count; i++) {
        if (times[i].op == time->op && times[i].part == time->part)
            return true;
    }
    return false;
}

static ffai__op_time time_of(const ffai__cpu_run *run, const ffai__action *action)
{
    static const char *const parts[FFAI__ACTION_COUNT] = {
        [FFAI__ACTION_ANGLES] = "angles",   [FFAI__ACTION_EMBED] = "embed",       [FFAI__ACTION_NORM] = "norm",
        [FFAI__ACTION_PREPARE] = "prepare", [FFAI__ACTION_MULTIPLY] = "multiply", [FFAI__ACTION_ROTATE] = "rotate",
        [FFAI__ACTION_STORE] = "store",     [FFAI__ACTION_ATTEND] = "attend",     [FFAI__ACTION_MERGE] = "merge",
        [FFAI__ACTION_SILU] = "silu",       [FFAI__ACTION_MUL] = "mul",           [FFAI__ACTION_ADD] = "add",
        [FFAI__ACTION_SWIGLU] = "swiglu",   [FFAI__ACTION_SELECT] = "select",     [FFAI__ACTION_SAMPLE] = "sample",
    };
    const int label = label_of(run, action);
    const total *t = &run->profile->totals[label][action->kind];
    return (ffai__op_time){
        label == HEAD ? "head" : ffai__ops[label].name, parts[action->kind], t->count, t->seconds, t->bytes, t->flops};
}

size_t ffai__cpu_profile_read(const ffai__run *base, ffai__op_time *times, size_t room)
{
    const ffai__cpu_run *run = (const ffai__cpu_run *)base;
    ffai__op_time found[LABELS * FFAI__ACTION_COUNT];
    size_t count = 0;
    for (size_t i = 0; run->profile && i < run->num_actions; i++) {
        const ffai__op_time time = time_of(run, &run->actions[i]);
        if (!listed(found, count, &time))
            found[count++] = time;
    }
    for (size_t i = 0; i < count && i < room; i++)
        times[i] = found[i];
    return count;
}
