/* What ffai bench measures: a session's prompts and continuations at some depths. */
#ifndef FFAI_CLI_BENCH_RUN_H
#define FFAI_CLI_BENCH_RUN_H

#include <ffai/bench.h>

#include "progress.h"

enum { BENCH_MAX_DEPTHS = 64, BENCH_MAX_REPEATS = 1000, BENCH_MAX_OPS = 64, BENCH_MAX_SEQUENCES = 256 };

typedef struct bench_plan {
    int32_t depths[BENCH_MAX_DEPTHS];
    size_t num_depths;
    int64_t prompt_tokens;
    int64_t gen_tokens;
    int32_t sequences; /* that are continued together; 1: none but the one */
    int64_t repeats;   /* 0: five, fewer where they take long */
    bool ops;
} bench_plan;

/* The same thing again and again. */
typedef struct bench_samples {
    size_t count;                      /* 0: not measured */
    double seconds[BENCH_MAX_REPEATS]; /* in increasing order once they are complete */
    double total;
    double read_bytes_s[BENCH_MAX_REPEATS]; /* decode: of plainly reading the weights before and after the sample with
                                               the same number of `seconds`, whose order it has */
    ffai_op_time ops[BENCH_MAX_OPS];
    size_t num_ops;
} bench_samples;

typedef struct bench_depth {
    int64_t depth;
    bench_samples prefill;
    bench_samples decode;
    bench_samples together;
    double prefill_flops;  /* of one prompt */
    double decode_bytes;   /* of one token, on average */
    double together_bytes; /* the same of one step, with a token of each sequence */
} bench_depth;

typedef struct bench_results {
    ffai_machine machine; /* all zero: not measured */
    double load_seconds;  /* 0: not loaded */
    double first_token_seconds;
    uint64_t weight_bytes;
    uint64_t peak_rss_bytes;
    bench_depth *depths; /* [plan.num_depths] */
    bool cancelled;
} bench_results;

/* Of the very first prompt, which is computed even if none is to be measured. */
static inline int64_t bench_first_tokens(const bench_plan *plan)
{
    return plan->prompt_tokens ? plan->prompt_tokens : 1;
}

/* Run the plan on a session of as many sequences: the prompt once, which gives the first token, then at each depth the
 * prompt, the continuation, and the continuation of all sequences together as often as wanted. begun: when loading
 * began. Ctrl-C ends it with what was measured so far. FFAI_E_BACKEND if the logits are not finite. */
ffai_status bench_run(bench_results *results, ffai_session *session, const bench_plan *plan, double begun,
                      ffai_error *err);

/* Seconds: the middle one. */
double bench_median(const bench_samples *samples);
/* Decode: the middle one of the rates at which the weights were read. */
double bench_median_read(const bench_samples *samples);
/* Decode: the middle one of the samples' shares of what reading reached around them, for `bytes` in a sample. */
double bench_median_share(const bench_samples *samples, double bytes);

#endif
