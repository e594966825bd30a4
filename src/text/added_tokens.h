/* The "added_tokens" of a tokenizer.json: strings that are found in the text before the model sees it. */
#ifndef FFAI_TEXT_ADDED_TOKENS_H
#define FFAI_TEXT_ADDED_TOKENS_H

#include <ffai/tokenizer.h>

#include "bpe.h"
#include "normalizer.h"
#include "string_map.h"
#include "token_matcher.h"

typedef struct ffai__added_token {
    char *content;
    size_t size;
    char *decoded; /* the normalized content, which decoders see, where it differs; else NULL */
    size_t decoded_size;
    uint32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
    bool skipped;  /* by skip_special_tokens */
    bool reserved; /* not found without parse_special: its content is a special token's */
} ffai__added_token;

typedef struct ffai__added_tokens {
    ffai__added_token *tokens;
    size_t count;
    ffai__string_map *by_content; /* indices */
    ffai__token_matcher *raw;     /* of those found in the text as it comes; NULL for none */
    ffai__token_matcher *normalized;
} ffai__added_tokens;

/* Like Hugging Face's reader it gives ids itself and passes over the file's "id": a token that the model has keeps
 * the model's id, others are counted on from the size of the model's vocabulary, in the file's order. */
ffai_status ffai__added_tokens_parse(ffai__added_tokens *added, const json_t *json, ffai__vocabulary *vocabulary,
                                     const ffai__normalizer *normalizer, const char *place, ffai_error *err);
/* Append the list to out, and read that again: a tenth of the time that long lists take as JSON. FFAI_E_FORMAT if it is
 * not what was written. */
void ffai__added_tokens_write(ffai__buffer *out, const ffai__added_tokens *added);
ffai_status ffai__added_tokens_restore(ffai__added_tokens *added, const ffai__text *written,
                                       ffai__vocabulary *vocabulary, const ffai__normalizer *normalizer,
                                       const char *place, ffai_error *err);
void ffai__added_tokens_free(ffai__added_tokens *added);

/* The token of this content, or NULL. */
const ffai__added_token *ffai__added_tokens_find(const ffai__added_tokens *added, const char *content, size_t size);

/* A stretch of a text: an added token with its id, or what lies between two (id -1). */
typedef struct ffai__stretch {
    size_t start, end;
    int32_t id;
} ffai__stretch;

typedef ffai_status ffai__stretch_sink(void *context, ffai__stretch stretch, ffai_error *err);

/* Where special tokens are text. */
typedef struct ffai__typed {
    bool everywhere;
    const ffai_text_span *spans; /* ascending, apart */
    size_t count;
} ffai__typed;

/* Whether a part of [start, end) is typed. */
bool ffai__is_typed(const ffai__typed *typed, size_t start, size_t end);

/* Walk over a text's stretches, with one of the two matchers. Special tokens that are typed are passed over: they hide
 * what overlaps them and stay text. */
ffai_status ffai__added_tokens_split(const ffai__added_tokens *added, const ffai__token_matcher *matcher,
                                     ffai__token_hits *hits, const char *text, size_t size, const ffai__typed *typed,
                                     ffai__stretch_sink *sink, void *context, ffai_error *err);

#endif
