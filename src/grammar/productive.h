/* Taking out of an automaton what leads to no end: a text that goes there could never be finished. */
#ifndef FFAI_GRAMMAR_PRODUCTIVE_H
#define FFAI_GRAMMAR_PRODUCTIVE_H

#include "automaton.h"

/* *matches receives whether the root matches any text. */
ffai_status ffai__automaton_prune(bool *matches, ffai__automaton *automaton, uint32_t num_rules, ffai_error *err);

#endif
