/* Any GBNF or regular expression, the first byte says which, then a 0, then texts by it: whatever they are, there is a
 * verdict or an error. */
#include <ffai/grammar.h>

#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    const char *grammar = (const char *)data + 1;
    const uint8_t *end = memchr(data + 1, 0, size - 1);
    const size_t grammar_size = end ? (size_t)(end - data - 1) : size - 1;
    const size_t text_at = end ? grammar_size + 2 : size;
    ffai_grammar *compiled = NULL;
    ffai_error err = FFAI_ERROR_INIT;
    const ffai_grammar_language language = data[0] == 'r' ? FFAI_GRAMMAR_REGEX : FFAI_GRAMMAR_GBNF;
    if (ffai_grammar_compile(&compiled, language, grammar, grammar_size, &err) != FFAI_OK)
        return 0;
    bool matches = false;
    (void)ffai_grammar_matches(&matches, compiled, (const char *)data + text_at, size - text_at, &err);
    ffai_grammar_free(compiled);
    return 0;
}
