/* Running a template: variables, expressions, statements. */
#ifndef FFAI_JINJA_RENDER_H
#define FFAI_JINJA_RENDER_H

#include "ast.h"

typedef struct jinja_binding {
    const jinja_string *name;
    jinja_value value;
} jinja_binding;

/* The variables of a template, of a turn of a loop, of a macro's call. */
struct jinja_frame {
    jinja_frame *parent;
    jinja_binding *bindings;
    size_t count, capacity;
};

struct jinja_macro {
    const jinja_node *node;
    jinja_frame *frame; /* where it was defined */
};

struct jinja_loop {
    const jinja_node *node;
    jinja_frame *frame; /* around the loop */
    jinja_sequence sequence;
    uint64_t index;
    int64_t depth;    /* of recursive loops in each other, from 1 */
    bool has_changed; /* loop.changed was called */
    jinja_value last; /* with these, as a tuple */
};

void ffai__jinja_bind(ffai__jinja *j, jinja_frame *frame, const jinja_string *name, jinja_value value);

/* Run a template's statements; what they write is appended to j->out. */
void ffai__jinja_run(ffai__jinja *j, const jinja_nodes *body);

jinja_value ffai__jinja_evaluate(ffai__jinja *j, const jinja_node *node);
jinja_value ffai__jinja_operate(ffai__jinja *j, jinja_operator operator, jinja_value a, jinja_value b);
jinja_value ffai__jinja_negate(ffai__jinja *j, jinja_value a);

/* Give a target, or several, a value. */
void ffai__jinja_assign(ffai__jinja *j, const jinja_node *target, jinja_value value);

/* What a macro writes; what a recursive loop writes for other items. */
jinja_value ffai__jinja_call_macro(ffai__jinja *j, const jinja_macro *macro, const jinja_arguments *arguments);
jinja_value ffai__jinja_call_loop(ffai__jinja *j, const jinja_loop *loop, jinja_value items);

#endif
