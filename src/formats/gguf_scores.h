/* What the scores of a SentencePiece vocabulary (tokenizer.ggml.scores) say of merging. */
#ifndef FFAI_FORMATS_GGUF_SCORES_H
#define FFAI_FORMATS_GGUF_SCORES_H

#include "gguf.h"
#include "tokenizer_lists.h"

/* lists->ranks from the file's scores, for tokens of type normal or undefined; types has one for each token.
 * FFAI_E_FORMAT, naming the key, where scores are missing, are not as many as tokens, or one is no finite number. */
ffai_status ffai__gguf_read_ranks(ffai__tokenizer_lists *lists, const ffai__gguf *file, const ffai__gguf_field *types,
                                  ffai_error *err);

typedef struct ffai__gguf_merge {
    ffai__text left, right; /* in the lists' tokens */
    uint32_t rank;
    uint32_t left_characters, right_characters;
    uint32_t joined; /* id of the two together */
} ffai__gguf_merge;

/* The merges of a tokenizer.json that amount to ranks: every way to put a token together from two others, in the order
 * in which Hugging Face's converter has them. It has to put those of one token in some order, where SentencePiece takes
 * the leftmost. Free with ffai__free. FFAI_E_LIMIT where tokens are so long that looking for them would take forever.
 */
ffai_status ffai__gguf_derive_merges(ffai__gguf_merge **merges, size_t *count, const ffai__tokenizer_lists *lists,
                                     const char *what, ffai_error *err);

#endif
