/* What a GGUF file's tokenizer.ggml.model and tokenizer.ggml.pre stand for, in tokenizer.json's terms. */
#ifndef FFAI_FORMATS_GGUF_PRE_TOKENIZER_H
#define FFAI_FORMATS_GGUF_PRE_TOKENIZER_H

#include "gguf.h"

typedef struct ffai__gguf_pre_tokenizer {
    const char *name;
    const char *normalizer; /* JSON, as the others */
    const char *pre_tokenizer;
    const char *post_processor; /* NULL for none */
    const char *decoder;
    const char *affixes; /* continuing_subword_prefix and end_of_word_suffix: null or "", which mean the same */
    bool ignore_merges;
    bool by_scores; /* merges follow from tokenizer.ggml.scores, what is not in the vocabulary becomes bytes */
    bool adds_bos;  /* where tokenizer.ggml.add_bos_token does not say */
    const char *tokenizer_class;
} ffai__gguf_pre_tokenizer;

/* FFAI_E_UNSUPPORTED, naming it, for a tokenizer.ggml.model other than gpt2 and llama, and for unknown names with those
 * that are known. */
ffai_status ffai__gguf_pre_tokenizer_of(const ffai__gguf_pre_tokenizer **out, const ffai__gguf *file, ffai_error *err);

#endif
