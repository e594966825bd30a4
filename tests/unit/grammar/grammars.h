/* Grammars in tests: what they match, and what they are refused for. */
#ifndef FFAI_TESTS_GRAMMARS_H
#define FFAI_TESTS_GRAMMARS_H

#include <ffai/grammar.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static inline ffai_grammar *compile(ffai_grammar_language language, const char *text, size_t size)
{
    ffai_error err = FFAI_ERROR_INIT;
    ffai_grammar *grammar = NULL;
    if (ffai_grammar_compile(&grammar, language, text, size, &err) != FFAI_OK)
        fail_msg("%s: %s", text, err.message);
    return grammar;
}

static inline void check_match(const ffai_grammar *grammar, const char *of, const char *text, size_t size,
                               bool expected)
{
    ffai_error err = FFAI_ERROR_INIT;
    bool matches = !expected;
    if (ffai_grammar_matches(&matches, grammar, text, size, &err) != FFAI_OK)
        fail_msg("%s: \"%s\": %s", of, text, err.message);
    if (matches != expected)
        fail_msg("%s: \"%s\" %s", of, text, expected ? "is not matched" : "is matched");
}

static inline void check_matches(ffai_grammar_language language, const char *grammar, const char *text, bool expected)
{
    ffai_grammar *compiled = compile(language, grammar, strlen(grammar));
    check_match(compiled, grammar, text, strlen(text), expected);
    ffai_grammar_free(compiled);
}

/* The message has this in it. */
static inline void check_refused(ffai_grammar_language language, const char *grammar, ffai_status status,
                                 const char *why)
{
    ffai_error err = FFAI_ERROR_INIT;
    ffai_grammar *compiled = NULL;
    const ffai_status got = ffai_grammar_compile(&compiled, language, grammar, strlen(grammar), &err);
    if (got == FFAI_OK) {
        ffai_grammar_free(compiled);
        fail_msg("%s: not refused", grammar);
    }
    if (got != status || !strstr(err.message, why))
        fail_msg("%s: status %d, \"%s\"; expected %d, \"%s\"", grammar, (int)got, err.message, (int)status, why);
}

#endif
