/**
 * Structured output: a grammar that a generated text must follow, and the tokens that it leaves open at each step.
 *
 * A grammar comes from a JSON Schema, from GBNF (llama.cpp's notation) or from a regular expression; what is not
 * supported of these is refused, never passed over. docs/structured-output.md has the details.
 */
#ifndef FFAI_GRAMMAR_H
#define FFAI_GRAMMAR_H

#include <ffai/tokenizer.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ffai_grammar_language {
    FFAI_GRAMMAR_JSON_SCHEMA, /**< JSON Schema, draft 2020-12 */
    FFAI_GRAMMAR_GBNF,
    FFAI_GRAMMAR_REGEX, /**< the whole text is what the expression matches */
} ffai_grammar_language;

/** Immutable; may be used from several threads at once. */
typedef struct ffai_grammar ffai_grammar;

/**
 * Compile `size` bytes of text. Free *out with ffai_grammar_free.
 *
 * The error names the place: a JSON pointer in a schema, line and column in GBNF, the offset in a regular expression.
 * FFAI_E_FORMAT: it is no such text; FFAI_E_UNSUPPORTED: it asks for what cannot be enforced; FFAI_E_LIMIT: a budget.
 */
FFAI_API ffai_status ffai_grammar_compile(ffai_grammar **out, ffai_grammar_language language, const char *text,
                                          size_t size, ffai_error *err);
FFAI_API void ffai_grammar_free(ffai_grammar *grammar);

/** Whether a whole text follows the grammar. FFAI_E_LIMIT where it is too ambiguous to tell. */
FFAI_API ffai_status ffai_grammar_matches(bool *matches, const ffai_grammar *grammar, const char *text, size_t size,
                                          ffai_error *err);

/** A tokenizer's tokens by their bytes. Immutable; may be used from several threads at once. */
typedef struct ffai_token_trie ffai_token_trie;

/**
 * Made once for a tokenizer, which must not outlive its use here: nothing of it is kept.
 *
 * end_tokens [num_end_tokens]: with which a text ends. Free *out with ffai_token_trie_free.
 * FFAI_E_UNSUPPORTED if its decoder gives a token no bytes of its own.
 */
FFAI_API ffai_status ffai_token_trie_create(ffai_token_trie **out, const ffai_tokenizer *tokenizer,
                                            const int32_t *end_tokens, size_t num_end_tokens, ffai_error *err);
FFAI_API void ffai_token_trie_free(ffai_token_trie *trie);

/** A text that is being generated along a grammar. For one thread at a time; masks once computed are kept. */
typedef struct ffai_matcher ffai_matcher;

/** The grammar and the trie must outlive *out. Free with ffai_matcher_free. */
FFAI_API ffai_status ffai_matcher_create(ffai_matcher **out, const ffai_grammar *grammar, const ffai_token_trie *trie,
                                         ffai_error *err);
FFAI_API void ffai_matcher_free(ffai_matcher *matcher);

/** Begin another text. What was computed for the one before is kept. */
FFAI_API ffai_status ffai_matcher_reset(ffai_matcher *matcher, ffai_error *err);

/**
 * The tokens that may come next: *mask receives *num_tokens bits, of token id in bit id % 32 of word id / 32; end
 * tokens are among them where the text may end. Valid until the next call for this matcher.
 * FFAI_E_UNSUPPORTED if no token of the vocabulary may.
 */
FFAI_API ffai_status ffai_matcher_mask(const uint32_t **mask, int32_t *num_tokens, ffai_matcher *matcher,
                                       ffai_error *err);

/** Append a token. FFAI_E_ARGUMENT, and nothing changed, if it may not come next. */
FFAI_API ffai_status ffai_matcher_accept(ffai_matcher *matcher, int32_t token, ffai_error *err);

/** Whether the text may end here; whether it must, because nothing but an end token may follow. */
FFAI_API bool ffai_matcher_may_end(const ffai_matcher *matcher);
FFAI_API bool ffai_matcher_must_end(const ffai_matcher *matcher);

#ifdef __cplusplus
}
#endif
#endif
