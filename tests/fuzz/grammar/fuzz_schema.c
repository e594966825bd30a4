/* Any JSON schema, then a 0, then a text: whatever they are, there is a verdict or an error; and a text that the
 * schema's grammar matches is JSON. */
#include <ffai/grammar.h>

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_json(const char *text, size_t size)
{
    json_t *value = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    /* Numbers beyond a double's range are JSON, which jansson does not read. */
    if (!value && !memchr(text, 'e', size) && !memchr(text, 'E', size) && size < 300)
        abort();
    json_decref(value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = memchr(data, 0, size);
    const size_t schema_size = end ? (size_t)(end - data) : size;
    const size_t text_at = end ? schema_size + 1 : size;
    const char *text = (const char *)data + text_at;
    ffai_grammar *grammar = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    if (ffai_grammar_compile(&grammar, FFAI_GRAMMAR_JSON_SCHEMA, (const char *)data, schema_size, &err) != FFAI_OK)
        return 0;
    bool matches = false;
    if (ffai_grammar_matches(&matches, grammar, text, size - text_at, &err) == FFAI_OK && matches)
        check_json(text, size - text_at);
    ffai_grammar_free(grammar);
    return 0;
}
