/* The states that an automaton with a stack can be in, made as they are met.
 *
 * A state is a set of nodes, each with the set of stacks it may have. Equal sets of stacks are one object, and so are
 * equal states: a state is a number, and what a byte leads to is looked up where it was asked before. Sets of stacks
 * share their lower parts: a frame is a node to return to and the set of stacks below it, one frame a node. */
#ifndef FFAI_GRAMMAR_STATES_H
#define FFAI_GRAMMAR_STATES_H

#include "automaton.h"

enum {
    FFAI__STACK_DEPTH_MAX = 500, /* nesting beyond it is not matched */
};

typedef struct ffai__states ffai__states;
typedef uint32_t ffai__state;

/* Nothing leads on from it. */
#define FFAI__DEAD 0u

/* limit: bytes that states may take; the automaton must outlive them. */
ffai_status ffai__states_create(ffai__states **out, const ffai__automaton *automaton, size_t limit, ffai_error *err);
void ffai__states_free(ffai__states *states);

/* Each of these may fail with FFAI_E_MEMORY, or with FFAI_E_LIMIT where states take more than the limit: then
 * ffai__states_forget makes room. */
ffai_status ffai__states_start(ffai__state *out, ffai__states *states, ffai_error *err);
ffai_status ffai__states_step(ffai__state *out, ffai__states *states, ffai__state from, unsigned byte, ffai_error *err);
/* All states but one are no more, and that one has another number. */
ffai_status ffai__states_forget(ffai__state *kept, ffai__states *states, ffai_error *err);

/* Whether the text may end here, and whether it must. */
bool ffai__states_may_end(const ffai__states *states, ffai__state state);
bool ffai__states_must_end(const ffai__states *states, ffai__state state);

/* How a state goes on with the bytes of a set. */
typedef enum ffai__run_edges {
    FFAI__RUN_EDGES_NONE,  /* with none of them */
    FFAI__RUN_EDGES_ALONE, /* by edges of its run's node, one a byte */
    FFAI__RUN_EDGES_MIXED,
} ffai__run_edges;

ffai__run_edges ffai__states_run_edges(const ffai__states *states, ffai__state state, const ffai__byte_set *bytes);

uint32_t ffai__states_count(const ffai__states *states);

/* --- for loops that step a lot --- */

/* The run of one of a state's nodes (automaton.h), that of the largest set. */
typedef struct ffai__state_run {
    uint32_t set; /* FFAI__NONE: it has none */
    uint32_t more;
} ffai__state_run;

typedef struct ffai__state_view {
    const ffai__state *next;     /* [states, kinds]: FFAI__UNKNOWN where ffai__states_step was not asked yet */
    const ffai__state_run *runs; /* [states] */
    const uint8_t *kind_of;      /* [256] */
    uint32_t num_kinds;
} ffai__state_view;

#define FFAI__UNKNOWN UINT32_MAX

/* Valid until the next ffai__states_step. */
ffai__state_view ffai__states_view(const ffai__states *states);

#endif
