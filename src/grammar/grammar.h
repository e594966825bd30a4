/* A compiled grammar. */
#ifndef FFAI_GRAMMAR_GRAMMAR_H
#define FFAI_GRAMMAR_GRAMMAR_H

#include <ffai/grammar.h>

#include "automaton.h"

struct ffai_grammar {
    ffai__rules *rules;
    ffai__automaton *automaton;
};

#endif
