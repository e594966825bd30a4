/* What a tokenizer consists of: for tokenizer.c and detokenizer.c. */
#ifndef FFAI_TEXT_TOKENIZER_PARTS_H
#define FFAI_TEXT_TOKENIZER_PARTS_H

#include <ffai/tokenizer.h>

#include "added_tokens.h"
#include "bpe.h"
#include "decoder.h"
#include "file_map.h"
#include "normalizer.h"
#include "post_processor.h"
#include "pre_tokenizer.h"
#include "vocabulary.h"
#include "word_cache.h"

struct ffai_tokenizer {
    ffai__vocabulary vocabulary;
    ffai__bpe bpe;
    ffai__added_tokens added;
    ffai__normalizer *normalizer;
    ffai__pre_tokenizer *pre_tokenizer;
    ffai__post_processor *post_processor;
    ffai__decoder *decoder;
    ffai__word_caches *caches;
    ffai__file_map *compiled; /* which the vocabulary and the merges lie in, or NULL */
};

/* The string that decoders see for an id. *size receives its bytes; *skipped tells whether skip_special_tokens
 * leaves it out. NULL for an unknown id. */
const char *ffai__tokenizer_decoder_input(size_t *size, bool *skipped, const ffai_tokenizer *tokenizer, int32_t id);

#endif
