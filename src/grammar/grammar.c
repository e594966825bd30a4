#include "grammar.h"

#include <string.h>

#include "alloc.h"
#include "gbnf.h"
#include "regex.h"
#include "schema.h"
#include "states.h"

/* For texts that are matched as a whole. */
enum { STATES_LIMIT = 64 << 20 };

static ffai_status parse_regex(uint32_t *root, ffai__rules *rules, const char *text, size_t size, ffai_error *err)
{
    static const ffai__regex_options whole = {FFAI__SPELL_PLAIN, false};
    ffai__expression body = FFAI__NEVER;
    const ffai_status status = ffai__regex_parse(&body, rules, text, size, whole, err);
    if (status != FFAI_OK)
        return ffai__fail_in(err, status, "regex");
    *root = ffai__rules_declare(rules, "regex", 5);
    ffai__rules_define(rules, *root, body);
    return FFAI_OK;
}

static ffai_status parse(uint32_t *root, ffai__rules *rules, ffai_grammar_language language, const char *text,
                         size_t size, ffai_error *err)
{
    ffai_status status = FFAI_OK;
    switch (language) {
    case FFAI_GRAMMAR_REGEX:
        return parse_regex(root, rules, text, size, err);
    case FFAI_GRAMMAR_GBNF:
        status = ffai__gbnf_parse(root, rules, text, size, err);
        return status == FFAI_OK ? FFAI_OK : ffai__fail_in(err, status, "grammar");
    case FFAI_GRAMMAR_JSON_SCHEMA:
        return ffai__schema_parse(root, rules, text, size, err);
    }
    return ffai__fail(err, FFAI_E_ARGUMENT, "grammar: unknown language %d", (int)language);
}

static ffai_status compile(ffai_grammar *g, ffai_grammar_language language, const char *text, size_t size,
                           ffai_error *err)
{
    uint32_t root = 0;
    FFAI__TRY(ffai__rules_create(&g->rules, err));
    FFAI__TRY(parse(&root, g->rules, language, text, size, err));
    return ffai__automaton_build(&g->automaton, g->rules, root, err);
}

ffai_status ffai_grammar_compile(ffai_grammar **out, ffai_grammar_language language, const char *text, size_t size,
                                 ffai_error *err)
{
    ffai_grammar *g = ffai__calloc(1, sizeof *g);
    if (!g)
        return ffai__fail_memory(err, "a grammar", sizeof *g);
    const ffai_status status = compile(g, language, text, size, err);
    if (status != FFAI_OK) {
        ffai_grammar_free(g);
        return status;
    }
    *out = g;
    return FFAI_OK;
}

void ffai_grammar_free(ffai_grammar *g)
{
    if (!g)
        return;
    ffai__automaton_free(g->automaton);
    ffai__rules_free(g->rules);
    ffai__free(g);
}

static ffai_status match(bool *matches, ffai__states *states, const char *text, size_t size, ffai_error *err)
{
    ffai__state state = FFAI__DEAD;
    FFAI__TRY(ffai__states_start(&state, states, err));
    for (size_t i = 0; i < size && state != FFAI__DEAD; i++) {
        ffai_status status = ffai__states_step(&state, states, state, (unsigned char)text[i], err);
        if (status != FFAI_OK)
            return status;
    }
    *matches = ffai__states_may_end(states, state);
    return FFAI_OK;
}

ffai_status ffai_grammar_matches(bool *matches, const ffai_grammar *g, const char *text, size_t size, ffai_error *err)
{
    ffai__states *states = NULL;
    FFAI__TRY(ffai__states_create(&states, g->automaton, STATES_LIMIT, err));
    const ffai_status status = match(matches, states, text, size, err);
    ffai__states_free(states);
    return status;
}
