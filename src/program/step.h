/* One step: a ragged batch of rows.
 *
 * One row of one sequence is decode, many rows of one sequence are a chunk of a prompt, rows of many sequences are
 * a batch. A sequence's rows are contiguous, in order of position, and continue where its store ends. */
#ifndef FFAI_PROGRAM_STEP_H
#define FFAI_PROGRAM_STEP_H

#include <stdbool.h>
#include <stdint.h>

#include "dtype.h"
#include "failure.h"

enum {
    FFAI__PAGE_TOKENS = 32,  /* positions a page holds */
    FFAI__TOKEN_SAMPLED = -1 /* the row's token is the one that an earlier step drew for its position */
};

/* Storage of keys and values. F16 keeps what is beyond its range as its largest number. */
typedef enum ffai__store_format { FFAI__STORE_F16, FFAI__STORE_BF16, FFAI__STORE_F32 } ffai__store_format;

static inline ffai__dtype ffai__store_dtype(ffai__store_format format)
{
    return format == FFAI__STORE_F32 ? FFAI__F32 : format == FFAI__STORE_BF16 ? FFAI__BF16 : FFAI__F16;
}

/* An entry of a block table: the page that holds positions [i * 32, i * 32 + 32), and how it stores them. */
typedef struct ffai__page_ref {
    uint32_t page;
    uint32_t format; /* ffai__store_format */
} ffai__page_ref;

/* How one output row's token is drawn; see ffai_sampling in include/ffai/session.h. */
typedef struct ffai__draw {
    float temperature;        /* 0: the largest logit, the smallest id among equals */
    int32_t top_k;            /* 0: off */
    float top_p;              /* 1: off */
    float min_p;              /* 0: off */
    float repetition_penalty; /* 1: off */
    float presence_penalty;   /* 0: off */
    uint64_t seed;
    const uint32_t
        *allowed; /* [num_allowed] bits: tokens without one, and those beyond, are not drawn. NULL: all are */
    int32_t num_allowed;
} ffai__draw;

typedef struct ffai__step_sequence {
    int32_t slot; /* which of the run's max_sequences: its tokens and, later, its recurrent state */
    int32_t first_row;
    int32_t num_rows;
    const ffai__page_ref *const *tables; /* [groups]: each covers all positions up to the last row's */
} ffai__step_sequence;

typedef struct ffai__step {
    int32_t num_rows;                     /* T, at least 1 */
    int32_t num_sequences;                /* S */
    int32_t num_outputs;                  /* R, may be 0 */
    const int32_t *tokens;                /* [T], a vocabulary index or FFAI__TOKEN_SAMPLED */
    const int32_t *positions;             /* [T] */
    const int32_t *sequence_of_row;       /* [T], index into sequences */
    const ffai__step_sequence *sequences; /* [S] */
    const int32_t *output_rows;           /* [R], increasing */
    const ffai__draw *draws;              /* [R]; NULL: logits only, nothing is drawn */
    bool (*keep_going)(void *context);    /* asked between parts of the step; false ends it. NULL: yes */
    void *keep_going_context;
} ffai__step;

#endif
