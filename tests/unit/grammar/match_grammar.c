/* For tools that hold grammars against other implementations: a line of JSON in, {"language": "regex" | "gbnf" |
 * "json-schema", "grammar": text, "texts": [text, …]}, and a line out: {"matches": [bool, …]} or {"error": text,
 * "status": number}. */
#define _GNU_SOURCE
#include <ffai/grammar.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ffai_status compile(ffai_grammar **out, const json_t *request, ffai_error *err)
{
    const char *language = json_string_value(json_object_get(request, "language"));
    const json_t *grammar = json_object_get(request, "grammar");
    const ffai_grammar_language number = !strcmp(language, "regex")  ? FFAI_GRAMMAR_REGEX
                                         : !strcmp(language, "gbnf") ? FFAI_GRAMMAR_GBNF
                                                                     : FFAI_GRAMMAR_JSON_SCHEMA;
    return ffai_grammar_compile(out, number, json_string_value(grammar), json_string_length(grammar), err);
}

static ffai_status match_all(json_t *matches, const ffai_grammar *grammar, const json_t *texts, ffai_error *err)
{
    size_t i = 0;
    const json_t *text = NULL;
    json_array_foreach(texts, i, text)
    {
        bool matched = false;
        const ffai_status status =
            ffai_grammar_matches(&matched, grammar, json_string_value(text), json_string_length(text), err);
        if (status != FFAI_OK)
            return status;
        json_array_append_new(matches, json_boolean(matched));
    }
    return FFAI_OK;
}

static json_t *answer(const json_t *request)
{
    ffai_error err = FFAI_ERROR_INIT;
    ffai_grammar *grammar = NULL;
    json_t *matches = json_array();
    ffai_status status = compile(&grammar, request, &err);
    if (status == FFAI_OK)
        status = match_all(matches, grammar, json_object_get(request, "texts"), &err);
    ffai_grammar_free(grammar);
    if (status == FFAI_OK)
        return json_pack("{s:o}", "matches", matches);
    json_decref(matches);
    return json_pack("{s:s, s:i}", "error", err.message, "status", (int)status);
}

int main(void)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t size = 0;
    while ((size = getline(&line, &capacity, stdin)) > 0) {
        json_t *request = json_loadb(line, (size_t)size, JSON_ALLOW_NUL, NULL);
        json_t *reply = request ? answer(request) : json_pack("{s:s}", "error", "no JSON");
        json_dumpf(reply, stdout, JSON_COMPACT);
        putchar('\n');
        fflush(stdout);
        json_decref(reply);
        json_decref(request);
    }
    free(line);
    return 0;
}
