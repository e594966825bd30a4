/**
 * Text to token ids and back, as Hugging Face tokenizers does it from a tokenizer.json.
 *
 * A tokenizer is immutable once loaded and may be used from several threads at once.
 */
#ifndef FFAI_TOKENIZER_H
#define FFAI_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <ffai/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct ffai_tokenizer ffai_tokenizer;

/**
 * Load the tokenizer of a model: a folder with tokenizer.json, a tokenizer.json itself, or a .gguf file; NULL for
 * the default model.
 * Free *out with ffai_tokenizer_free. FFAI_E_UNSUPPORTED names a component this library does not have.
 */
FFAI_API ffai_status ffai_tokenizer_load(ffai_tokenizer **out, const char *path, ffai_error *err);

FFAI_API void ffai_tokenizer_free(ffai_tokenizer *tokenizer);

/** One more than the largest id, added tokens included. */
FFAI_API int32_t ffai_tokenizer_vocab_size(const ffai_tokenizer *tokenizer);

/** Bytes [begin, end) of a text. */
typedef struct ffai_text_span {
    size_t begin, end;
} ffai_text_span;

typedef struct ffai_encode_options {
    bool add_special_tokens; /**< what the post-processor adds, a beginning-of-text token say */
    bool parse_special;      /**< find special tokens in the text; without it they are ordinary characters */
    /** Where they are ordinary characters all the same: what somebody typed into a prompt whose other parts are a
     * template's. Ascending and apart, within the text, which then must be UTF-8. A special token that reaches into one
     * of these is none; one that the tokenizer looks for only after normalizing is none in the same stretch. */
    const ffai_text_span *typed;
    size_t num_typed;
} ffai_encode_options;

#define FFAI_ENCODE_OPTIONS_INIT                                                                                       \
    {                                                                                                                  \
        true, true, NULL, 0                                                                                            \
    }

/**
 * Encode `size` bytes of text. Bytes that are not UTF-8 count as U+FFFD each maximal subpart, as Python's
 * errors="replace" does.
 *
 * ids    receives an array of *count ids; free it with ffai_free. Not NULL even when *count is 0.
 * options  NULL means FFAI_ENCODE_OPTIONS_INIT.
 * FFAI_E_ARGUMENT for spans that are not as options->typed must be. FFAI_E_LIMIT for a text above 1 GiB, or one on
 * which the tokenizer's regexes or rewriting steps exceed their budget.
 */
FFAI_API ffai_status ffai_tokenizer_encode(int32_t **ids, size_t *count, const ffai_tokenizer *tokenizer,
                                           const char *text, size_t size, const ffai_encode_options *options,
                                           ffai_error *err);

/**
 * Decode ids. text receives *size bytes of UTF-8 and an ending 0; free it with ffai_free. Byte sequences that
 * are no UTF-8 become U+FFFD. FFAI_E_ARGUMENT for an id that the vocabulary lacks, with its index.
 */
FFAI_API ffai_status ffai_tokenizer_decode(char **text, size_t *size, const ffai_tokenizer *tokenizer,
                                           const int32_t *ids, size_t count, bool skip_special_tokens, ffai_error *err);

/** The id of a token given by its exact content, -1 if there is none. */
FFAI_API int32_t ffai_tokenizer_find(const ffai_tokenizer *tokenizer, const char *content);

/** A token's content as tokenizer.json spells it, valid as long as the tokenizer; NULL for an unknown id. */
FFAI_API const char *ffai_tokenizer_token(const ffai_tokenizer *tokenizer, int32_t id);

FFAI_API bool ffai_tokenizer_is_special(const ffai_tokenizer *tokenizer, int32_t id);

/**
 * Decoding while ids arrive. The pieces put together equal ffai_tokenizer_decode of all ids; no piece ends
 * inside a character. Cost is linear in the output.
 */
typedef struct ffai_detokenizer ffai_detokenizer;

/** The tokenizer must outlive *out. Free with ffai_detokenizer_free. */
FFAI_API ffai_status ffai_detokenizer_create(ffai_detokenizer **out, const ffai_tokenizer *tokenizer,
                                             bool skip_special_tokens, ffai_error *err);
FFAI_API void ffai_detokenizer_free(ffai_detokenizer *detokenizer);

/** Add one id. *text receives the bytes that are certain now, *size of them (0 is common), valid until the
 * next call. */
FFAI_API ffai_status ffai_detokenizer_push(const char **text, size_t *size, ffai_detokenizer *detokenizer, int32_t id,
                                           ffai_error *err);

/** The end: what was held back, a U+FFFD for an unfinished character. Afterwards it starts afresh. */
FFAI_API ffai_status ffai_detokenizer_finish(const char **text, size_t *size, ffai_detokenizer *detokenizer,
                                             ffai_error *err);

#ifdef __cplusplus
}
#endif
#endif
