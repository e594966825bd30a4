/* Before which actions threads wait for each other: before each that touches memory which another thread may have
 * written, or may still be reading before this one writes it, since they last waited. Work that shares out the same
 * rows or columns in the same way needs no waiting. */
#include "cpu.h"

/* How threads divide what they touch. */
typedef enum sharing_kind {
    SHARED_BY_ALL, /* any thread may touch any of it */
    SHARED_ROWS,   /* the step's rows */
    SHARED_OUTPUTS,
    SHARED_COLUMNS, /* of one row, in units */
    NOT_SHARED      /* each thread has its own */
} sharing_kind;

typedef struct sharing {
    sharing_kind kind;
    int64_t columns; /* of a row; 0 with SHARED_BY_ALL and outside activations */
    int64_t unit;    /* SHARED_COLUMNS */
} sharing;

typedef struct touch {
    uint64_t begin;
    uint64_t end;
    sharing how;
    bool writes;
} touch;

enum { TOUCHES_OF_AN_ACTION = 6, MAX_TOUCHES = 64 };

/* What one action, or all since the last barrier, touch. */
typedef struct touches {
    touch list[MAX_TOUCHES];
    int count;
} touches;

/* Numbers beyond any workspace stand for what lies elsewhere. */
#define HISTORY ((uint64_t)1 << 63)
#define STORES  (HISTORY + 1)

static const sharing all = {SHARED_BY_ALL, 0, 0};
static const sharing own = {NOT_SHARED, 0, 0};

static void add(touches *t, uint64_t begin, uint64_t bytes, sharing how, bool writes)
{
    t->list[t->count++] = (touch){begin, begin + bytes, how, writes};
}

static void add_place(touches *t, const ffai__place *place, sharing how, bool writes)
{
    add(t, place->offset, place->bytes, how, writes);
}

/* A value of which each thread has its own copy is its own whatever the action does. */
static void add_value(touches *t, const ffai__cpu_run *run, ffai__value value, ffai__cpu_mode mode, sharing how,
                      bool writes)
{
    if (value == FFAI__NONE)
        return;
    if (mode == FFAI__ONE_ROW && run->values[value].replica)
        how = (sharing){NOT_SHARED, ffai__cpu_columns(run, value), 0};
    add_place(t, &run->values[value], how, writes);
}

static sharing rows_of(const ffai__cpu_run *run, ffai__value value)
{
    const bool outputs = run->program->values[value].rows == FFAI__ROWS_R;
    return (sharing){outputs ? SHARED_OUTPUTS : SHARED_ROWS, ffai__cpu_columns(run, value), 0};
}

/* How ffai__cpu_execute divides elements: columns of one row in units, or rows. */
static sharing elements_of(const ffai__cpu_run *run, ffai__value value, ffai__cpu_mode mode, int64_t unit)
{
    return mode == FFAI__ONE_ROW ? (sharing){SHARED_COLUMNS, ffai__cpu_columns(run, value), unit} : rows_of(run, value);
}

static void touch_elements(touches *t, const ffai__cpu_run *run, const ffai__action *a, ffai__cpu_mode mode,
                           int64_t unit)
{
    const sharing how = elements_of(run, a->y, mode, unit);
    add_value(t, run, a->x, mode, how, false);
    add_value(t, run, a->z, mode, how, false);
    add_value(t, run, a->y, mode, how, true);
}

static void touch_norm(touches *t, const ffai__cpu_run *run, const ffai__action *a, ffai__cpu_mode mode)
{
    if (mode == FFAI__ONE_ROW && run->values[a->y].replica) {
        add_value(t, run, a->x, mode, all, false);
        add_value(t, run, a->y, mode, all, true);
        return;
    }
    touch_elements(t, run, a, mode, ffai__weight_of(run->program, a->instruction->in[1])->columns);
}

static void touch_multiply(touches *t, const ffai__cpu_run *run, const ffai__action *a, ffai__cpu_mode mode)
{
    add_place(t, &run->slots[a->index], mode == FFAI__ONE_ROW ? own : all, false);
    add_value(t, run, a->z, mode, all, false);
    add_value(t, run, a->y, mode, all, true);
}

static void touch_prepare(touches *t, const ffai__cpu_run *run, const ffai__action *a, ffai__cpu_mode mode)
{
    const bool one = mode == FFAI__ONE_ROW;
    add_value(t, run, a->x, mode, one ? all : rows_of(run, a->x), false);
    add_place(t, &run->slots[a->index], one ? own : rows_of(run, a->x), true);
}

/* Few rows: partials are written, and merged by the next action. More: the values are, and that one does nothing. */
static void touch_attend(touches *t, const ffai__cpu_run *run, const ffai__action *a, ffai__cpu_mode mode)
{
    add(t, STORES + (uint64_t)a->store, 1, all, false);
    add_value(t, run, a->x, mode, all, false);
    add_place(t, &run->partials, all, true);
    if (mode == FFAI__MANY_ROWS)
        add_value(t, run, a->y, mode, all, true);
}

static void touch_merge(touches *t, const ffai__cpu_run *run, const ffai__action *a, ffai__cpu_mode mode)
{
    add_place(t, &run->partials, all, false);
    add_value(t, run, a->y, mode, rows_of(run, a->y), true);
}

static void touch_store(touches *t, const ffai__cpu_run *run, const ffai__action *a, ffai__cpu_mode mode)
{
    const sharing how = elements_of(run, a->x, mode, run->stores[a->store].head_dim);
    add_value(t, run, a->x, mode, how, false);
    add_value(t, run, a->z, mode, how, false);
    add(t, STORES + (uint64_t)a->store, 1, how, true);
}

static void touch_select(touches *t, const ffai__cpu_run *run, const ffai__action *a, ffai__cpu_mode mode)
{
    add_value(t, run, a->x, mode, all, false);
    add_value(t, run, a->y, mode, rows_of(run, a->y), true);
}

static void find_touches(touches *t, const ffai__cpu_run *run, const ffai__action *a, ffai__cpu_mode mode)
{
    const sharing rows = {SHARED_ROWS, 0, 0};
    switch (a->kind) {
    case FFAI__ACTION_ANGLES:
        add_place(t, &run->tables[a->index], rows, true);
        break;
    case FFAI__ACTION_EMBED:
        add(t, HISTORY, 1, rows, true);
        add_value(t, run, a->y, mode, rows, true);
        break;
    case FFAI__ACTION_NORM:
        touch_norm(t, run, a, mode);
        break;
    case FFAI__ACTION_PREPARE:
        touch_prepare(t, run, a, mode);
        break;
    case FFAI__ACTION_MULTIPLY:
        touch_multiply(t, run, a, mode);
        break;
    case FFAI__ACTION_ROTATE:
        add_place(t, &run->tables[a->index], mode == FFAI__ONE_ROW ? all : rows, false);
        touch_elements(t, run, a, mode, a->instruction->attributes.rope.head_dim);
        break;
    case FFAI__ACTION_STORE:
        touch_store(t, run, a, mode);
        break;
    case FFAI__ACTION_ATTEND:
        touch_attend(t, run, a, mode);
        break;
    case FFAI__ACTION_MERGE:
        touch_merge(t, run, a, mode);
        break;
    case FFAI__ACTION_SILU:
    case FFAI__ACTION_MUL:
    case FFAI__ACTION_ADD:
    case FFAI__ACTION_SWIGLU:
        touch_elements(t, run, a, mode, FFAI__TILE_ROWS);
        break;
    case FFAI__ACTION_SELECT:
        touch_select(t, run, a, mode);
        break;
    case FFAI__ACTION_SAMPLE:
        add(t, HISTORY, 1, all, true);
        add_value(t, run, a->x, mode, all, false);
        break;
    case FFAI__ACTION_COUNT:
        break;
    }
}

static bool conflict(const touch *a, const touch *b)
{
    if (a->begin >= b->end || b->begin >= a->end || (!a->writes && !b->writes))
        return false;
    const bool same = a->begin == b->begin && a->end == b->end && a->how.kind == b->how.kind &&
                      a->how.columns == b->how.columns && a->how.unit == b->how.unit && a->how.kind != SHARED_BY_ALL;
    return !same;
}

static bool any_conflict(const touches *before, const touches *now)
{
    for (int i = 0; i < before->count; i++) {
        for (int k = 0; k < now->count; k++) {
            if (conflict(&before->list[i], &now->list[k]))
                return true;
        }
    }
    return false;
}

static void place_barriers(ffai__cpu_run *run, ffai__cpu_mode mode)
{
    touches since = {.count = 0};
    for (size_t i = 0; i < run->num_actions; i++) {
        ffai__action *action = &run->actions[i];
        touches now = {.count = 0};
        find_touches(&now, run, action, mode);
        action->barrier[mode] = since.count + TOUCHES_OF_AN_ACTION > MAX_TOUCHES || any_conflict(&since, &now);
        if (action->barrier[mode])
            since.count = 0;
        for (int k = 0; k < now.count; k++)
            since.list[since.count++] = now.list[k];
    }
}

void ffai__cpu_make_barriers(ffai__cpu_run *run)
{
    place_barriers(run, FFAI__ONE_ROW);
    place_barriers(run, FFAI__MANY_ROWS);
}
