/* Expressions, for the parser of statements. */
#ifndef FFAI_JINJA_PARSER_H
#define FFAI_JINJA_PARSER_H

#include "ast.h"
#include "lexer.h"

typedef struct jinja_parser {
    ffai__jinja *j;
    const jinja_token *at;
    int loops;     /* that the statement is in */
    unsigned uses; /* JINJA_USES_… of the macro that it is in */
} jinja_parser;

jinja_node *ffai__jinja_new_node(jinja_parser *p, jinja_node_kind kind);
void ffai__jinja_add_node(jinja_parser *p, jinja_nodes *nodes, jinja_node *node);

bool ffai__jinja_is_operator(const jinja_parser *p, const char *operator);
bool ffai__jinja_is_word(const jinja_parser *p, const char *word);
/* Go on if it is there. */
bool ffai__jinja_take_operator(jinja_parser *p, const char *operator);
bool ffai__jinja_take_word(jinja_parser *p, const char *word);
/* Fail unless it is there. */
void ffai__jinja_expect_operator(jinja_parser *p, const char *operator);
void ffai__jinja_expect(jinja_parser *p, jinja_token_kind kind, const char *what);
const jinja_string *ffai__jinja_expect_name(jinja_parser *p);
_Noreturn void ffai__jinja_unexpected(jinja_parser *p, const char *wanted);

jinja_node *ffai__jinja_parse_expression(jinja_parser *p);
/* Without "a if b else c". */
jinja_node *ffai__jinja_parse_alternative(jinja_parser *p);
/* An expression, or several with commas between as a tuple. */
jinja_node *ffai__jinja_parse_tuple(jinja_parser *p, bool conditions);
/* What is assigned to: a name, ns.name where attributes are allowed, or several of these. */
jinja_node *ffai__jinja_parse_target(jinja_parser *p, bool attributes);
/* What follows "|" or a filter block's name: filters on `input`, or NULL. */
jinja_node *ffai__jinja_parse_filters(jinja_parser *p, jinja_node *input, bool started);
/* An expression with what follows it: attributes, calls, filters. */
jinja_node *ffai__jinja_parse_unary(jinja_parser *p);

#endif
