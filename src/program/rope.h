/* Rotary position embedding: the angles of every published variant, in one table and one function.
 *
 * Su et al. 2021 (RoFormer); config.json's "rope_scaling" as transformers' modeling_rope_utils reads it. The
 * pair (x[i], x[i + dims/2]) is turned by position * inv_freq[i]. */
#ifndef FFAI_PROGRAM_ROPE_H
#define FFAI_PROGRAM_ROPE_H

#include <stdbool.h>
#include <stdint.h>

typedef enum ffai__rope_kind {
    FFAI__ROPE_FIXED,   /* one table: default, linear, llama3, yarn, longrope */
    FFAI__ROPE_DYNAMIC, /* beyond original_max_position the base grows with the row's own position (NTK) */
} ffai__rope_kind;

typedef struct ffai__rope {
    ffai__rope_kind kind;
    int head_dim;
    int dims;                      /* rotary dimensions, even, at most head_dim; the rest pass through */
    const float *inv_freq;         /* [dims / 2] */
    double theta;                  /* DYNAMIC: the base that grows */
    double factor;                 /* DYNAMIC */
    int64_t original_max_position; /* DYNAMIC */
    float attention_factor;        /* cosines and sines are multiplied by it (yarn's mscale); 1 if none */
} ffai__rope;

/* cos and sin [dims / 2] for one position; attention_factor is in them. A row's angles depend on its own
 * position alone, so that a prompt's chunking changes nothing. */
void ffai__rope_angles(float *cosines, float *sines, const ffai__rope *rope, int64_t position);

/* Whether two ropes have the same angles at every position. */
bool ffai__rope_same(const ffai__rope *a, const ffai__rope *b);

#endif
