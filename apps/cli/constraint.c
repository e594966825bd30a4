#include "constraint.h"

#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "report.h"

int constraint_check(const constraint_settings *s, bool ignores_end, const char *command)
{
    const int count = s->json_schema.given + s->grammar.given + s->regex.given;
    if (count > 0 && ignores_end)
        return report_usage("%s: --ignore-eos: a grammar says where the text ends", command);
    if (count > 1)
        return report_usage("%s: --json-schema, --grammar and --regex: give one of them", command);
    return 0;
}

/* A file's fault is told with its name. */
static ffai_status compile_file(ffai_grammar **out, ffai_grammar_language language, const char *path, ffai_error *err)
{
    char *text = NULL;
    size_t size = 0;
    ffai_error inner = FFAI_ERROR_INIT;
    ffai_status status = input_read(&text, &size, path, err);
    if (status != FFAI_OK)
        return status;
    status = ffai_grammar_compile(out, language, text, size, &inner);
    free(text);
    return status == FFAI_OK ? FFAI_OK : failure(err, status, "%s: %s", path, inner.message);
}

ffai_status constraint_compile(constraint *c, const constraint_settings *s, ffai_error *err)
{
    *c = (constraint){0};
    if (s->json_schema.given)
        return compile_file(&c->grammar, FFAI_GRAMMAR_JSON_SCHEMA, s->json_schema.text, err);
    if (s->grammar.given)
        return compile_file(&c->grammar, FFAI_GRAMMAR_GBNF, s->grammar.text, err);
    if (s->regex.given)
        return ffai_grammar_compile(&c->grammar, FFAI_GRAMMAR_REGEX, s->regex.text, strlen(s->regex.text), err);
    return FFAI_OK;
}

ffai_status constraint_bind(constraint *c, const ffai_model *model, ffai_error *err)
{
    const ffai_tokenizer *tokenizer = ffai_model_tokenizer(model);
    const int32_t *end_tokens = NULL;
    if (!c->grammar)
        return FFAI_OK;
    if (!tokenizer)
        return failure(err, FFAI_E_NOT_FOUND, "grammar: the model has no tokenizer, so there is no text to hold to it");
    const size_t count = ffai_model_end_tokens(&end_tokens, model);
    const ffai_status status = ffai_token_trie_create(&c->trie, tokenizer, end_tokens, count, err);
    return status == FFAI_OK ? ffai_matcher_create(&c->matcher, c->grammar, c->trie, err) : status;
}

void constraint_release(constraint *c)
{
    ffai_matcher_free(c->matcher);
    ffai_token_trie_free(c->trie);
    ffai_grammar_free(c->grammar);
}
