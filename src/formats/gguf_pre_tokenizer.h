/* What a GGUF file's tokenizer.ggml.pre stands for, in tokenizer.json's terms. */
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
    bool adds_bos; /* where tokenizer.ggml.add_bos_token does not say */
    const char *tokenizer_class;
} ffai__gguf_pre_tokenizer;

/* FFAI_E_UNSUPPORTED, naming it, for a tokenizer.ggml.model other than gpt2 and for unknown names. */
ffai_status ffai__gguf_pre_tokenizer_of(const ffai__gguf_pre_tokenizer **out, const ffai__gguf *file, ffai_error *err);

#endif
