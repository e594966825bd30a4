/* The reference backend: the program interpreted in float32, one obvious loop an operation. It is the oracle
 * that every other backend is held against, so it is written to be read, not to be fast. */
#ifndef FFAI_REF_H
#define FFAI_REF_H

#include "backend.h"

typedef struct ref_run {
    ffai__run base;
    ffai__run_options options;
    const ffai__program *program;
    float **values;     /* [values] each activation's own buffer [max rows, columns], NULL for other kinds */
    float **keys;       /* [stores] [pages, 32, kv_heads, head_dim], rounded to the store's format */
    float **contents;   /* [stores] the same for values */
    int32_t *tokens;    /* [max_sequences, max_context + 1] */
    int32_t *ids;       /* [max_outputs] */
    float *row;         /* one weight row [widest matrix] */
    float *scores;      /* [max_context] */
    float *draw_logits; /* [vocab_size]: penalties change them */
    void *sample_scratch;
} ref_run;

/* Run one instruction for a step. Inputs and outputs are run->values. */
void ref_execute(ref_run *run, const ffai__instruction *instruction, const ffai__step *step);

/* The sequence's tokens by position. */
static inline int32_t *ref_tokens(const ref_run *run, int32_t slot)
{
    return run->tokens + (size_t)slot * ((size_t)run->options.max_context + 1);
}

#endif
