/* What host and kernels say to each other: a step as it lies in device memory, and the argument of every kernel.
 *
 * Read by C and by CUDA C. Pointers are the device's addresses unless a line says otherwise; sizes in 64 bits. */
#ifndef FFAI_CUDA_ARGS_H
#define FFAI_CUDA_ARGS_H

#include <stdint.h>

/* A step's sizes, which every kernel looks up: one graph serves steps of many sizes. */
typedef struct ffai__cuda_sizes {
    int32_t num_rows;    /* T */
    int32_t num_outputs; /* R */
    int32_t draws;       /* 0: nothing is drawn */
    uint32_t number;     /* of the step, counted from 0 */
    uint32_t num_updates;
    int32_t longest; /* one more than the largest position of a row */
} ffai__cuda_sizes;

typedef struct ffai__cuda_row {
    int32_t token; /* or FFAI__TOKEN_SAMPLED */
    int32_t position;
    int32_t slot; /* of its sequence */
} ffai__cuda_row;

/* An entry of the block tables that is new with this step: table[index] = page. */
typedef struct ffai__cuda_update {
    uint32_t index;
    uint32_t page;
} ffai__cuda_update;

/* ffai__draw, in 32-bit words. */
typedef struct ffai__cuda_draw {
    float temperature;
    int32_t top_k;
    float top_p;
    float min_p;
    float repetition_penalty;
    float presence_penalty;
    uint32_t seed_low, seed_high;
} ffai__cuda_draw;

/* What was drawn for an output row. In host memory that the device writes. */
typedef struct ffai__cuda_drawn {
    int32_t id;
    float logit; /* the id's, before penalties */
} ffai__cuda_drawn;

/* The step in device memory. */
typedef struct ffai__cuda_step {
    const ffai__cuda_sizes *sizes;
    const ffai__cuda_row *rows;   /* [T] */
    const int32_t *output_rows;   /* [R] */
    const ffai__cuda_draw *draws; /* [R] */
    const uint32_t *tables;       /* [max_sequences][groups][max_pages] pages */
    int32_t *history;             /* [max_sequences][max_context + 1] tokens by position */
    int64_t history_stride;       /* max_context + 1 */
    int64_t table_stride;         /* entries of a sequence's tables: groups * max_pages */
    int64_t max_pages;
} ffai__cuda_step;

/* Rows are the step's (T) or, where of_outputs is set, its output rows (R). */

/* silu, mul, add, swiglu: y [rows][columns] from a and, where the operation has two, b; y may be one of them.
 * select_rows: y [R][columns] from a [T][columns]; of_outputs is not looked at. Any grid; no shared memory. */
enum { FFAI__CUDA_ELEMENT_THREADS = 256 };

typedef struct ffai__cuda_elements_args {
    ffai__cuda_step step;
    float *y;
    const float *a;
    const float *b;
    int64_t columns; /* where they are a multiple of 4, pointers are on 16-byte boundaries */
    int32_t of_outputs;
} ffai__cuda_elements_args;

/* rms_norm_warps, rms_norm_blocks: y[i] = x[i] * w[i] / sqrt(mean of squares + eps) in each span of `width` columns of
 * x [rows][columns]; y may be x. A warp takes a span, or a block; short spans are the warps'. Which of the two it is,
 * and not the grid, decides on a sum's order. Any grid, blocks of exactly these threads. */
enum {
    FFAI__CUDA_NORM_THREADS = 256,
    FFAI__CUDA_NORM_SHARED_BYTES = FFAI__CUDA_NORM_THREADS / 32 * 4, /* rms_norm_blocks */
    FFAI__CUDA_NORM_LONGEST_OF_WARPS = 512                           /* columns; longer spans are a block's */
};

typedef struct ffai__cuda_rms_norm_args {
    ffai__cuda_step step;
    float *y;
    const float *x;
    const float *w; /* [width] */
    int64_t width;  /* where it is a multiple of 4, pointers are on 16-byte boundaries */
    int64_t columns;
    float eps;
    int32_t of_outputs;
} ffai__cuda_rms_norm_args;

/* sample: ids[r] is drawn from logits[r], goes to history and to `drawn`. */
typedef struct ffai__cuda_sample_args {
    ffai__cuda_step step;
    const float *logits; /* [R][vocab_size] */
    int64_t vocab_size;
    uint8_t *scratch;        /* [R] each of scratch_stride bytes, on 256-byte boundaries */
    int64_t scratch_stride;  /* ffai__cuda_sample_scratch_bytes(vocab_size) */
    ffai__cuda_drawn *drawn; /* host memory: [slots][max_outputs]; this step's slot is number % slots */
    int32_t slots;
    int32_t max_outputs;
} ffai__cuda_sample_args;

#endif
