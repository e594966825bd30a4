/* Grammars in llama.cpp's notation, GBNF: rules `name ::= body` of "literals", [classes], `.`, names of rules, groups,
 * alternatives, and * + ? {m} {m,} {m,n}; # begins a comment. What is matched is the rule "root". */
#ifndef FFAI_GRAMMAR_GBNF_H
#define FFAI_GRAMMAR_GBNF_H

#include "rules.h"

enum { FFAI__GBNF_SIZE_MAX = 1 << 20, FFAI__GBNF_DEPTH_MAX = 60 };

/* *root receives the rule. Errors name the place: "line 3, column 7: …". */
ffai_status ffai__gbnf_parse(uint32_t *root, ffai__rules *rules, const char *text, size_t size, ffai_error *err);

#endif
