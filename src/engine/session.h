/* A session's inside, shared by the files that open it (session.c), keep its sequences (sequences.c) and run its
 * steps (steps.c). */
#ifndef FFAI_ENGINE_SESSION_H
#define FFAI_ENGINE_SESSION_H

#include "engine.h"
#include "pages.h"

typedef struct {
    bool open;
    int64_t length;          /* tokens whose keys and values are stored */
    int64_t drawn_position;  /* where the last drawn token stands, -1 if none */
    uint32_t num_pages;      /* entries in use of each table */
    ffai__page_ref **tables; /* [groups] each [pages a sequence] */
} ffai__sequence;

/* What a submitted step has to give. */
typedef struct {
    int32_t num_outputs;
    bool drew;
    bool *row_draws; /* [outputs] whether the caller asked for a draw */
} ffai__step_results;

struct ffai_session {
    ffai_model *model;
    ffai__run *run;
    ffai__run_options options;
    bool (*keep_going)(void *context);
    void *keep_going_context;
    size_t num_groups;
    uint32_t pages_per_sequence;
    ffai__pages *pages; /* [groups] */
    ffai__sequence *sequences;

    /* The step being built, sized once. */
    int32_t *tokens, *positions, *sequence_of_row, *output_rows;
    ffai__step_sequence *step_sequences;
    ffai__draw *draws;
    ffai__step step;

    ffai__step_results results[FFAI__MOST_AHEAD + 1]; /* of the last step, the one before … */
    int num_results;                                  /* of these, that can be collected */
    bool submitted;                                   /* the last step, which ffai_step_collect may collect */
    bool keep_values;
};

/* Pages that hold so many positions. */
static inline uint32_t ffai__pages_for(int64_t positions)
{
    return (uint32_t)((positions + FFAI__PAGE_TOKENS - 1) / FFAI__PAGE_TOKENS);
}

/* FFAI_E_ARGUMENT unless there is an open sequence of this number. */
ffai_status ffai__sequence_require(const ffai_session *s, ffai_sequence number, ffai_error *err);
/* Give back the pages that hold no position below length. */
void ffai__sequence_keep_pages(ffai_session *s, ffai__sequence *q, int64_t length);
/* The sequence as its last steps but some left it: `length` tokens, and one drawn for the position behind them. What
 * the later ones would give cannot be collected. */
void ffai__sequence_take_back(ffai_session *s, ffai_sequence number, int64_t length);
/* Pages of its own for the positions from its length up to `length`; the one it ends in is copied where a fork
 * shares it. */
ffai_status ffai__sequence_provide_pages(ffai_session *s, ffai__sequence *q, int64_t length, ffai_error *err);

/* ffai_step_collect for the step behind which `behind` others were submitted, as ffai__backend.collect; tokens NULL
 * where it drew nothing. FFAI_E_ARGUMENT if its results are lost. */
ffai_status ffai__step_collect(int32_t *tokens, float *chosen, const float **logits, ffai_session *s, int behind,
                               ffai_error *err);

#endif
