/* A pushdown automaton over bytes: for each rule a nondeterministic automaton, whose edges take a byte, nothing, or
 * what another rule matches. */
#ifndef FFAI_GRAMMAR_AUTOMATON_H
#define FFAI_GRAMMAR_AUTOMATON_H

#include "rules.h"

enum { FFAI__NODES_MAX = 1 << 20 };

/* Node 0 is where the whole grammar ends. */
#define FFAI__ACCEPT 0u
#define FFAI__NONE   UINT32_MAX

typedef enum ffai__edge_kind { FFAI__EDGE_BYTES, FFAI__EDGE_EMPTY, FFAI__EDGE_CALL } ffai__edge_kind;

typedef struct ffai__edge {
    ffai__byte_set bytes; /* BYTES */
    ffai__edge_kind kind;
    uint32_t rule; /* CALL */
    uint32_t to;
    uint32_t next; /* of the same node, or FFAI__NONE */
} ffai__edge;

/* From a node that has a run, any `more` characters of set `run` lead on, whatever else does. */
typedef struct ffai__automaton_node {
    uint32_t first_edge; /* or FFAI__NONE */
    uint32_t run;        /* of rules->sets, or FFAI__NONE */
    uint32_t run_size;   /* characters of the set */
    uint32_t more;       /* or FFAI__UNLIMITED */
    bool ends_rule;
    bool takes_bytes;
} ffai__automaton_node;

typedef struct ffai__automaton {
    ffai__automaton_node *nodes;
    ffai__edge *edges;
    uint32_t *starts; /* [rules] */
    uint32_t *ends;   /* [rules] */
    uint32_t root;    /* a rule */
    uint32_t num_nodes, num_edges, max_nodes, max_edges;
    /* Bytes that no edge tells apart are of one kind. */
    uint8_t kind_of[256];
    uint8_t example[256]; /* [num_kinds] a byte of each */
    uint32_t num_kinds;
} ffai__automaton;

/* FFAI_E_UNSUPPORTED names a rule that calls itself before it takes a byte (left recursion), or says that no text
 * follows the grammar; FFAI_E_LIMIT if it has more
 * than FFAI__NODES_MAX nodes. The automaton refers to the rules' sets by number and to nothing else of them. */
ffai_status ffai__automaton_build(ffai__automaton **out, const ffai__rules *rules, uint32_t root, ffai_error *err);
/* Of one expression, which calls no rule. */
ffai_status ffai__automaton_of(ffai__automaton **out, const ffai__rules *rules, ffai__expression expression,
                               ffai_error *err);
void ffai__automaton_free(ffai__automaton *automaton);

#endif
