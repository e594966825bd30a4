/* What is long in a tokenizer.json, apart from its text: model.vocab and model.merges. A GGUF file has both as plain
 * lists, and to write them as JSON and read that again would take longer than loading a small model's weights. Of a
 * SentencePiece vocabulary it has scores in place of merges: two neighbours may become the token that both together
 * spell, the one of the highest score first, of equal ones the leftmost. */
#ifndef FFAI_BASE_TOKENIZER_LISTS_H
#define FFAI_BASE_TOKENIZER_LISTS_H

#include <stdint.h>

#include "text.h"

#define FFAI__NO_RANK UINT32_MAX

typedef struct ffai__tokenizer_lists {
    ffai__text *tokens; /* [num_tokens] by id; data is NULL where an id has none. NULL: the JSON has both lists */
    size_t num_tokens;
    ffai__text *merges; /* [num_merges], each "a b" */
    size_t num_merges;
    uint32_t *ranks; /* [num_tokens] in place of merges: lower where the score is higher, FFAI__NO_RANK for a token that
                      * nothing is merged into, nor merged with anything; NULL: merges count */
} ffai__tokenizer_lists;

/* Frees the lists; the texts are not theirs. */
void ffai__tokenizer_lists_free(ffai__tokenizer_lists *lists);

#endif
