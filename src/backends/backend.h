/* What a backend is: it plans a program once and replays it for every step.
 *
 *   plan   immutable after loading: the program, chosen kernels, weights in the backend's layout. Shared by runs.
 *   run    what steps change: activations, stores, the sequences' tokens. One step at a time.
 *
 * On the step path nothing allocates, opens a file or takes a lock. */
#ifndef FFAI_BACKENDS_BACKEND_H
#define FFAI_BACKENDS_BACKEND_H

#include "program.h"
#include "step.h"
#include "tuning.h"

typedef struct ffai__backend ffai__backend;

/* Every backend's plan and run begin with these. */
typedef struct ffai__plan {
    const ffai__backend *backend;
    const ffai__program *program; /* must outlive the plan, and so must its weights */
} ffai__plan;

enum { FFAI__MOST_AHEAD = 1 }; /* of any backend's `ahead` */

/* Of which size a step's results are. */
typedef struct ffai__step_size {
    int32_t num_rows; /* T; 0: there was no such step */
    int32_t num_outputs;
    bool drew;
} ffai__step_size;

typedef struct ffai__run {
    ffai__plan *plan;
    ffai__step_size steps[FFAI__MOST_AHEAD + 1]; /* the last one, the one before … */
} ffai__run;

typedef enum ffai__activations {
    FFAI__ACTIVATIONS_DEFAULT, /* FINE for the products that attention hangs on, BF16 for the others */
    FFAI__ACTIVATIONS_F32,     /* float32 throughout */
    FFAI__ACTIVATIONS_FINE,    /* inputs of matrix products may be rounded, far more finely than bf16 */
    FFAI__ACTIVATIONS_BF16,    /* with bf16 weights they may be rounded to bf16; with others as FINE, but on devices */
} ffai__activations;

/* How far something is, from 0 to 1; false stops it with FFAI_E_CANCELLED. */
typedef bool ffai__progress(void *context, double done);

typedef struct ffai__plan_options {
    int device;  /* which of the backend's devices, from 0 */
    int threads; /* 0: as the tuning says, and if that does not, one for each physical core this process may use */
    const ffai__tuning *tuning; /* NULL: the usual values */
    ffai__activations activations;
    ffai__progress *progress; /* called between parts of the work; may be NULL */
    void *progress_context;
} ffai__plan_options;

typedef struct ffai__run_options {
    int32_t max_rows;      /* T of the largest step */
    int32_t max_outputs;   /* R of the largest step */
    int32_t max_sequences; /* slots */
    int64_t max_context;   /* positions of the longest sequence */
    uint32_t num_pages;    /* pages of every group */
    ffai__store_format store_format;
    bool keep_values; /* every activation keeps its own buffer, for ffai__backend.read after the step */
} ffai__run_options;

typedef struct ffai__memory_use {
    uint64_t weights;   /* in the backend's own layout, beyond the mapped file */
    uint64_t stores;    /* reserved for keys and values; touched only as pages are used */
    uint64_t workspace; /* activations, tokens and the like */
} ffai__memory_use;

/* What the device can do at most; ffai_machine in include/ffai/bench.h says what each is. */
typedef struct ffai__machine {
    double read_bytes_s;
    double matmul_flop_s;
    const char *instruction;
    const char *isa;
    int threads;
} ffai__machine;

/* One kind of work in a run's steps; ffai_op_time in include/ffai/bench.h says what each is. */
typedef struct ffai__op_time {
    const char *op;
    const char *part;
    uint64_t count;
    double seconds;
    double bytes;
    double flops;
} ffai__op_time;

struct ffai__backend {
    const char *name;
    /* How many steps may be submitted behind one whose results are still to be collected, so that the device need not
     * wait for the host; at most FFAI__MOST_AHEAD. 0: the next step takes the place of the last one's results. */
    int ahead;
    /* Rows of a prompt's step that suit the device, where neither the caller nor the model says; 0: as many as the
     * library says. */
    int32_t step_rows;
    /* Bytes that weights, stores and workspace could take on the device now, beyond those that are there. NULL: as much
     * as the host has (ffai__memory_available). FFAI_E_ARGUMENT if there is no such device. */
    ffai_status (*available)(uint64_t *bytes, int device, ffai_error *err);

    /* Choose kernels and the layout of weights. No weight is read, and no memory taken for any: so far the plan is good
     * for estimate and describe alone. May refuse a program: FFAI_E_UNSUPPORTED names the format or operation. */
    ffai_status (*plan)(ffai__plan **out, const ffai__program *program, const ffai__plan_options *options,
                        ffai_error *err);
    /* Bring the weights into this layout, once, with the options of the plan. After a failure the plan can be unloaded
     * and nothing else. NULL: weights stay where they are. */
    ffai_status (*upload)(ffai__plan *plan, const ffai__plan_options *options, ffai_error *err);
    void (*unload)(ffai__plan *plan);
    /* What the weights take, and what a run with these options would. Takes no more memory than a run's tables. */
    ffai_status (*estimate)(ffai__memory_use *use, ffai__plan *plan, const ffai__run_options *options, ffai_error *err);
    /* A line for --stats: instruction set, threads, kernels. */
    void (*describe)(const ffai__plan *plan, char *text, size_t size);

    ffai_status (*open)(ffai__run **out, ffai__plan *plan, const ffai__run_options *options, ffai_error *err);
    void (*close)(ffai__run *run);
    /* What the run and its plan have taken. */
    void (*memory)(const ffai__run *run, ffai__memory_use *use);

    /* Submit one step: afterwards (or, on a device, in order behind it) stores, tokens and outputs are those of
     * the step. The step's arrays may be reused when this returns, which on a device is before the step has run; it
     * waits for as many earlier ones as it must, and results that nobody collected are lost. FFAI_E_CANCELLED if the
     * step's keep_going, which this thread calls, ended it: of what it would have left, stores and tokens of its own
     * positions are undefined. A step that fails has no results; where ahead is not 0, those of the steps before it
     * are still there. */
    ffai_status (*step)(ffai__run *run, const ffai__step *step, ffai_error *err);
    /* Take steps of every size and kind for which the first one makes or touches something, so that no later one does;
     * before the run's first step, which finds it as it was opened. A run in which this failed can be closed and
     * nothing else. NULL: nothing is made by steps. */
    ffai_status (*warm)(ffai__run *run, ffai__progress *progress, void *context, ffai_error *err);
    /* Read the weights once as a step does, all threads their own share, and compute nothing: bytes a second. NULL for
     * a backend that keeps none, or cannot. */
    double (*read_weights)(ffai__run *run);
    /* Wait for the step behind which `behind` others (0 to ahead) were submitted and give of its results what is not
     * NULL. Any of them may be asked for again until the next step. FFAI_E_ARGUMENT if there is no such step or it
     * has no such results; FFAI_E_BACKEND if the device failed in it.
     *
     * ids     [R] receives what was drawn, if it drew.
     * chosen  [R] receives the logits of these ids, before penalties.
     * logits  receives [R, vocab_size], valid until the next step: of the last step alone, because fetching them from
     *         a device costs more than a token. */
    ffai_status (*collect)(ffai__run *run, int behind, int32_t *ids, float *chosen, const float **logits,
                           ffai_error *err);

    /* After a step of a run with keep_values: an activation's rows [rows, columns] in float32. */
    ffai_status (*read)(ffai__run *run, ffai__value value, float *out, ffai_error *err);

    /* Copy one page of every layer in the group, and a sequence's tokens up to `length`, as the steps submitted so far
     * leave them: what forking needs. A sequence that does not begin at position 0 has its tokens copied to its slot
     * before its first step. */
    ffai_status (*copy_page)(ffai__run *run, int group, uint32_t to, uint32_t from, ffai_error *err);
    ffai_status (*copy_tokens)(ffai__run *run, int32_t to_slot, int32_t from_slot, int64_t length, ffai_error *err);

    /* For measuring speed; NULL in a backend that does not.
     * measure: the device, on options->threads. profile: begin to time the run's steps by kind of work, from zero, or
     * stop. profile_read: up to `room` kinds; returns how many there are. */
    ffai_status (*measure)(ffai__machine *machine, const ffai__plan_options *options, ffai_error *err);
    ffai_status (*profile)(ffai__run *run, bool on, ffai_error *err);
    size_t (*profile_read)(const ffai__run *run, ffai__op_time *times, size_t room);

    /* For tuning; NULL in a backend that has no free parameters.
     * identify: a line that tells the device of this number, and what of it is used, from others; *threads receives how
     * many threads run steps where nobody asks for a number, 0 where none do. tuning: the values in force, the
     * number of threads among them. retune: run the steps after this one with these values; threads from 1 to the
     * plan's. On failure the run has the values it had. lost: seconds of the steps since retune last changed the number
     * of threads in which other processes had what a thread wanted to compute with; NULL where nobody can tell. */
    ffai_status (*identify)(int *threads, char *text, size_t size, int device, ffai_error *err);
    void (*tuning)(ffai__tuning *tuning, const ffai__plan *plan);
    ffai_status (*retune)(ffai__run *run, const ffai__tuning *tuning, ffai_error *err);
    double (*lost)(const ffai__run *run);
};

extern const ffai__backend ffai__backend_ref;
extern const ffai__backend ffai__backend_cpu;
extern const ffai__backend ffai__backend_cuda;

#endif
