/* What is long in a tokenizer.json, apart from its text: model.vocab and model.merges. A GGUF file has both as plain
 * lists, and to write them as JSON and read that again would take longer than loading a small model's weights. */
#ifndef FFAI_BASE_TOKENIZER_LISTS_H
#define FFAI_BASE_TOKENIZER_LISTS_H

#include "text.h"

typedef struct ffai__tokenizer_lists {
    ffai__text *tokens; /* [num_tokens] by id; data is NULL where an id has none. NULL: the JSON has both lists */
    size_t num_tokens;
    ffai__text *merges; /* [num_merges], each "a b" */
    size_t num_merges;
} ffai__tokenizer_lists;

/* Frees the lists; the texts are not theirs. */
void ffai__tokenizer_lists_free(ffai__tokenizer_lists *lists);

#endif
