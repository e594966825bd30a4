/* The CPU backend's plan and run.
 *
 * A plan holds every matrix in tiles and every vector in float32. A run turns the program into actions, gives each
 * value a place in one workspace, and works out before which actions the threads must wait for each other. A step
 * is one task of the pool: every thread walks the actions and does its share of each. */
#ifndef FFAI_CPU_CPU_H
#define FFAI_CPU_CPU_H

#include <stdatomic.h>

#include "backend.h"
#include "kernels/kernel_table.h"
#include "linear.h"
#include "memory.h"
#include "shares.h"
#include "thread_pool.h"

typedef struct ffai__cpu_plan {
    ffai__plan base;
    ffai__cpu_features features;
    ffai__isa isa;
    const ffai__kernels *kernels;
    ffai__cores *cores; /* where threads go: the same for those that pack and those that run */
    int threads;
    ffai__tuning tuning;  /* threads included */
    ffai__packed *packed; /* [num_packed] every matrix of a product, once */
    size_t num_packed;
    const ffai__packed **matrices; /* [values] the packed form, NULL for other values */
    const float **vectors;         /* [values] norm weights and biases, NULL for other values */
    float *vector_data;
    size_t num_vector_floats;
    ffai__region tiles;
    uint64_t tile_bytes; /* of all matrices */
} ffai__cpu_plan;

/* Choose the matrices' layouts, then pack them and read the vectors into the plan (pack.c). What was made before a
 * failure stays in the plan for ffai__cpu_unpack. */
ffai_status ffai__cpu_plan_weights(ffai__cpu_plan *plan, const ffai__plan_options *options, ffai_error *err);
ffai_status ffai__cpu_pack(ffai__cpu_plan *plan, const ffai__plan_options *options, ffai_error *err);
void ffai__cpu_unpack(ffai__cpu_plan *plan);

typedef enum ffai__action_kind {
    FFAI__ACTION_ANGLES,  /* cosines and sines of the rows' positions */
    FFAI__ACTION_EMBED,   /* y <- tokens */
    FFAI__ACTION_NORM,    /* y <- x */
    FFAI__ACTION_PREPARE, /* a slot's prepared input <- x */
    FFAI__ACTION_MULTIPLY,
    FFAI__ACTION_ROTATE,
    FFAI__ACTION_STORE,  /* pages <- keys x, values z */
    FFAI__ACTION_ATTEND, /* few rows: partials <- x; more: y <- x */
    FFAI__ACTION_MERGE,  /* few rows: y <- partials */
    FFAI__ACTION_SILU,
    FFAI__ACTION_MUL,
    FFAI__ACTION_ADD,
    FFAI__ACTION_SWIGLU,
    FFAI__ACTION_SELECT,
    FFAI__ACTION_SAMPLE,
    FFAI__ACTION_COUNT
} ffai__action_kind;

/* Steps of one row share out the columns, and every thread makes its own copy of what all need whole; steps of
 * many rows share out the rows. */
typedef enum ffai__cpu_mode { FFAI__ONE_ROW, FFAI__MANY_ROWS, FFAI__CPU_MODES } ffai__cpu_mode;

typedef struct ffai__action {
    ffai__action_kind kind;
    bool barrier[FFAI__CPU_MODES]; /* wait for all threads before it */
    const ffai__instruction *instruction;
    ffai__value x;
    ffai__value z; /* second operand: residual, values to store; or FFAI__NONE */
    ffai__value y;
    int index; /* ANGLES, ROTATE: the table; PREPARE, MULTIPLY: the slot; ATTEND: the cursor; else 0 */
    const ffai__packed *packed;
    const float *vector; /* bias or norm weight, NULL for none */
    int store;
    int product; /* MULTIPLY: its number among them */
} ffai__action;

/* Where a value's rows lie in the workspace. */
typedef struct ffai__place {
    uint64_t offset;
    uint64_t bytes;
    uint64_t replica; /* bytes from one thread's copy to the next in steps of one row; 0: there is one for all */
} ffai__place;

enum {
    FFAI__INPUT_SLOTS = 2,
    FFAI__FEW_ROWS = 16 /* attention of no more rows than these shares out the context too */
};

/* One layer's keys and values. A page of a group has those of all the group's layers, one after the other. */
typedef struct ffai__cpu_store {
    uint8_t *pages;      /* of page 0: keys [kv_heads][head_dim][32], then values [kv_heads][32][padded_dim] */
    uint64_t stride;     /* bytes from one page to the next */
    uint64_t keys_bytes; /* of a page */
    uint64_t page_bytes; /* keys and values of this layer */
    int heads;
    int head_dim;
    int padded_dim;
} ffai__cpu_store;

typedef struct ffai__cpu_profile ffai__cpu_profile;

typedef struct ffai__cpu_run {
    ffai__run base;
    const ffai__cpu_plan *plan;
    const ffai__program *program;
    ffai__run_options options;
    ffai__thread_pool *pool;
    ffai__tuning tuning; /* the plan's, unless it was changed since */

    ffai__action *actions;
    size_t num_actions;
    size_t capacity_actions;
    const ffai__rope **ropes; /* [num_ropes] distinct ones */
    int num_ropes;
    int num_cursors;
    int num_products;
    ffai__linear_input slot_inputs[FFAI__INPUT_SLOTS];
    ffai__value slot_values[FFAI__INPUT_SLOTS]; /* what a slot holds while actions are being made */
    int next_slot;

    ffai__region workspace;
    uint64_t workspace_bytes;
    uint64_t values_bytes;                /* the workspace's part that activations lie in, from its start */
    ffai__place *values;                  /* [values] */
    ffai__place slots[FFAI__INPUT_SLOTS]; /* replica: bytes from one thread's row to the next */
    ffai__place *tables;                  /* [num_ropes] cosines and sines [rows][2][dims / 2] */
    ffai__place partials;                 /* of one attention over few rows: see attention.c */
    ffai__place scratch;                  /* replica: bytes of a thread's */
    int64_t max_stretches;

    ffai__cpu_store *stores; /* [stores] */
    ffai__region *pages;     /* [groups] */
    uint64_t *group_bytes;   /* [groups] of these pages */
    uint64_t history_count;  /* max_sequences * (max_context + 1) */
    int32_t *history;        /* [max_sequences][max_context + 1] */
    int32_t *ids;            /* [max_outputs] */
    uint64_t *slot_steps;    /* [max_sequences] the last step that a slot took part in */
    atomic_llong *cursors;   /* [num_cursors] the next item of an attention */
    ffai__taken *taken;      /* [num_products, the plan's threads] tiles */

    ffai__cpu_profile *profile; /* NULL until it is first asked for */
    bool profiling;

    const ffai__step *step;    /* while one runs */
    atomic_size_t stop_before; /* the action at whose barrier the step ends; num_actions: at none */
    ffai__cpu_mode mode;
    uint64_t num_steps;
} ffai__cpu_run;

/* Make the run's actions from the program (actions.c). */
ffai_status ffai__cpu_make_actions(ffai__cpu_run *run, ffai_error *err);
/* Give values, slots, tables and scratch their places in a workspace, which has still to be reserved (places.c). */
ffai_status ffai__cpu_make_places(ffai__cpu_run *run, ffai_error *err);
/* Decide before which actions threads wait (barriers.c). Needs the places. */
void ffai__cpu_make_barriers(ffai__cpu_run *run);

/* One thread's share of the run's step: a task of the pool, context is the run (execute.c). */
void ffai__cpu_execute(void *context, int thread, int num_threads);

/* A thread of a step. */
typedef struct ffai__cpu_worker {
    ffai__cpu_run *run;
    int thread;
    int num_threads;
} ffai__cpu_worker;

/* The machine's ceilings (machine.c). */
double ffai__cpu_read_weights(ffai__run *base);
ffai_status ffai__cpu_measure(ffai__machine *machine, const ffai__plan_options *options, ffai_error *err);

/* Free parameters (retune.c). */
ffai_status ffai__cpu_identify(int *threads, char *text, size_t size, int device, ffai_error *err);
void ffai__cpu_tuning(ffai__tuning *tuning, const ffai__plan *base);
ffai_status ffai__cpu_retune(ffai__run *base, const ffai__tuning *tuning, ffai_error *err);
double ffai__cpu_lost(const ffai__run *base);

/* Time by kind of work (profile.c), which thread 0 keeps. */
ffai_status ffai__cpu_profile_switch(ffai__run *base, bool on, ffai_error *err);
size_t ffai__cpu_profile_read(const ffai__run *base, ffai__op_time *times, size_t room);
void ffai__cpu_profile_free(ffai__cpu_profile *profile);
/* A step begins; then for each action: it and the waiting behind it are over. */
void ffai__cpu_profile_begin(ffai__cpu_run *run);
void ffai__cpu_profile_note(ffai__cpu_run *run, const ffai__action *action);

/* Attention (attention.c). */
void ffai__cpu_store_rows(const ffai__cpu_worker *w, const ffai__action *action);
void ffai__cpu_attend(const ffai__cpu_worker *w, const ffai__action *action);
void ffai__cpu_merge(const ffai__cpu_worker *w, const ffai__action *action);
/* Floats of partial results that an attention over few rows has for each stretch of the longest context. */
uint64_t ffai__cpu_attention_partials(int heads, int kv_heads, int head_dim);
/* Floats of scratch that a thread needs for an attention over heads of this size. */
uint64_t ffai__cpu_attention_scratch(int head_dim);

/* Whether each thread makes its own copy of what the action computes in steps of one row. */
bool ffai__cpu_replicates(const ffai__cpu_run *run, const ffai__action *action);

static inline int64_t ffai__cpu_columns(const ffai__cpu_run *run, ffai__value value)
{
    return run->program->values[value].columns;
}

/* Rows of a value in the current step. */
static inline int32_t ffai__cpu_rows(const ffai__cpu_run *run, ffai__value value)
{
    return run->program->values[value].rows == FFAI__ROWS_R ? run->step->num_outputs : run->step->num_rows;
}

static inline void *ffai__cpu_at(const ffai__cpu_worker *w, const ffai__place *place)
{
    const uint64_t copy = w->run->mode == FFAI__ONE_ROW ? (uint64_t)w->thread * place->replica : 0;
    return w->run->workspace.data + place->offset + copy;
}

static inline float *ffai__cpu_value(const ffai__cpu_worker *w, ffai__value value)
{
    return ffai__cpu_at(w, &w->run->values[value]);
}

static inline float *ffai__cpu_scratch(const ffai__cpu_worker *w)
{
    return (float *)(void *)(w->run->workspace.data + w->run->scratch.offset +
                             (uint64_t)w->thread * w->run->scratch.replica);
}

static inline int32_t *ffai__cpu_history(const ffai__cpu_run *run, int32_t slot)
{
    return run->history + (size_t)slot * ((size_t)run->options.max_context + 1);
}

static inline const ffai__step_sequence *ffai__cpu_sequence(const ffai__cpu_run *run, int32_t row)
{
    return &run->step->sequences[run->step->sequence_of_row[row]];
}

#endif
