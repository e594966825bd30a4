/* --json-schema, --grammar and --regex: what the continuation must look like. */
#ifndef FFAI_CLI_CONSTRAINT_H
#define FFAI_CLI_CONSTRAINT_H

#include <ffai/grammar.h>
#include <ffai/model.h>

#include "options.h"

typedef struct constraint_settings {
    setting json_schema, grammar, regex;
} constraint_settings;

/* Rows for a command's options, whose settings have the member `constraint`. */
#define CONSTRAINT_OPTIONS                                                                                             \
    VALUE(OPTION_NAME, 0, "json-schema", "FILE", constraint.json_schema, "the text is JSON that this schema allows"),  \
        VALUE(OPTION_NAME, 0, "grammar", "FILE", constraint.grammar, "the text follows this grammar, in GBNF"),        \
        VALUE(OPTION_TEXT, 0, "regex", "R", constraint.regex, "the text is what this regular expression matches")

typedef struct constraint {
    ffai_grammar *grammar;
    ffai_token_trie *trie;
    ffai_matcher *matcher; /* NULL: any text */
} constraint;

/* 0, or the exit status for options that contradict each other. */
int constraint_check(const constraint_settings *settings, bool ignores_end, const char *command);

/* Compile what was asked for: before a model is loaded, so that a fault in it is told at once. */
ffai_status constraint_compile(constraint *constraint, const constraint_settings *settings, ffai_error *err);
/* And hold it against the model's tokens; nothing if there is no grammar. */
ffai_status constraint_bind(constraint *constraint, const ffai_model *model, ffai_error *err);
void constraint_release(constraint *constraint);

#endif
