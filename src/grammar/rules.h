/* The one form that regular expressions, GBNF and JSON schemas are brought to: rules, each an expression over bytes.
 *
 * The functions that make expressions take no error: the first failure is kept, what is made after it is of no use, and
 * ffai__rules_check tells it. Expressions are numbers; one may be a part of several others. */
#ifndef FFAI_GRAMMAR_RULES_H
#define FFAI_GRAMMAR_RULES_H

#include "byte_set.h"
#include "characters.h"
#include "failure.h"

typedef uint32_t ffai__expression;

/* Which are in every grammar: what nothing matches, and what the empty text matches. */
enum { FFAI__NEVER, FFAI__EMPTY };

#define FFAI__UNLIMITED UINT32_MAX

enum {
    FFAI__EXPRESSIONS_MAX = 1 << 20,
    FFAI__RULES_MAX = 8192,
    FFAI__EXPRESSION_DEPTH_MAX = 200, /* of one expression inside another */
};

typedef enum ffai__expression_kind {
    FFAI__EXPRESSION_NEVER,
    FFAI__EXPRESSION_EMPTY,
    FFAI__EXPRESSION_LITERAL,    /* bytes [first, first + count) of rules.bytes */
    FFAI__EXPRESSION_CHARACTERS, /* one character of sets[first] */
    FFAI__EXPRESSION_SEQUENCE,   /* parts [first, first + count) */
    FFAI__EXPRESSION_CHOICE,     /* parts [first, first + count) */
    FFAI__EXPRESSION_REPEAT,     /* expression `first`, from min to max times */
    FFAI__EXPRESSION_CALL,       /* rule `first` */
    FFAI__EXPRESSION_TABLE,      /* tables[first] */
} ffai__expression_kind;

typedef struct ffai__expression_node {
    ffai__expression_kind kind;
    uint32_t first, count;
    uint32_t min, max;
    uint32_t depth;
} ffai__expression_node;

/* A deterministic automaton over bytes. State 0 is dead, state 1 the first. */
typedef struct ffai__table {
    uint32_t *next; /* [count, 256] */
    bool *ends;     /* [count] */
    uint32_t count;
} ffai__table;

typedef struct ffai__rule {
    char *name; /* for errors */
    ffai__expression body;
    bool defined;
} ffai__rule;

typedef struct ffai__rules {
    ffai__expression_node *nodes;
    uint32_t *parts;
    char *bytes;
    ffai__characters *sets;
    ffai__table *tables;
    ffai__rule *rules;
    uint32_t num_nodes, num_parts, num_bytes, num_sets, num_tables, num_rules;
    uint32_t max_nodes, max_parts, max_bytes, max_sets, max_tables, max_rules;
    uint32_t table_states; /* made so far, of tables that are no more too: see regular.h */
    ffai_status status;
} ffai__rules;

/* FFAI_E_MEMORY leaves nothing to free. */
ffai_status ffai__rules_create(ffai__rules **out, ffai_error *err);
void ffai__rules_free(ffai__rules *rules);
ffai_status ffai__rules_check(const ffai__rules *rules, ffai_error *err);

ffai__expression ffai__rules_literal(ffai__rules *rules, const char *bytes, size_t size);
/* One character of the set, which is copied. */
ffai__expression ffai__rules_characters(ffai__rules *rules, const ffai__characters *set);
ffai__expression ffai__rules_range(ffai__rules *rules, uint32_t first, uint32_t last);
ffai__expression ffai__rules_sequence(ffai__rules *rules, const ffai__expression *parts, size_t count);
ffai__expression ffai__rules_choice(ffai__rules *rules, const ffai__expression *parts, size_t count);
/* Of the last parts [first, *count) of an array, which are taken off it. */
ffai__expression ffai__rules_sequence_of(ffai__rules *rules, const ffai__expression *parts, uint32_t first,
                                         uint32_t *count);
ffai__expression ffai__rules_choice_of(ffai__rules *rules, const ffai__expression *parts, uint32_t first,
                                       uint32_t *count);
ffai__expression ffai__rules_pair(ffai__rules *rules, ffai__expression first, ffai__expression second);
ffai__expression ffai__rules_either(ffai__rules *rules, ffai__expression one, ffai__expression other);
/* max: FFAI__UNLIMITED for no limit. */
ffai__expression ffai__rules_repeat(ffai__rules *rules, ffai__expression part, uint32_t min, uint32_t max);
ffai__expression ffai__rules_call(ffai__rules *rules, uint32_t rule);
/* What the automaton matches; it becomes the rules'. */
ffai__expression ffai__rules_table(ffai__rules *rules, ffai__table *table);

/* A rule whose body comes later, with ffai__rules_define. */
uint32_t ffai__rules_declare(ffai__rules *rules, const char *name, size_t size);
void ffai__rules_define(ffai__rules *rules, uint32_t rule, ffai__expression body);

#endif
