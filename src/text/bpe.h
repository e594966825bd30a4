/* Byte pair encoding: a word's characters, merged pair by pair in the order of the merges' ranks
 * (Sennrich et al. 2016), with Hugging Face's options; or in the order of ranks that tokens have, as SentencePiece
 * does. */
#ifndef FFAI_TEXT_BPE_H
#define FFAI_TEXT_BPE_H

#include "budget.h"
#include "tokenizer_lists.h"
#include "vocabulary.h"

/* The ids that encoding has come to so far. */
typedef struct ffai__ids {
    int32_t *data;
    size_t count, capacity;
} ffai__ids;

ffai_status ffai__ids_append(ffai__ids *ids, int32_t id, ffai_error *err);
/* Room for `more` further ids. */
ffai_status ffai__ids_reserve(ffai__ids *ids, size_t more, ffai_error *err);
void ffai__ids_free(ffai__ids *ids);

typedef struct ffai__merge {
    uint64_t key; /* left id << 32 | right id, and 1; 0 where the table has a gap */
    uint32_t rank;
    uint32_t id; /* of the two together */
} ffai__merge;

enum { FFAI__DIRECT_CHARACTERS = 0x250 };

typedef struct ffai__bpe {
    const ffai__vocabulary *vocabulary;
    uint32_t *ranks;     /* of the model's tokens by id, in place of merges; NULL: merges count */
    uint32_t num_ranks;  /* as many ids */
    size_t longest;      /* bytes of the longest token with a rank */
    ffai__merge *merges; /* hash table */
    bool borrowed;       /* it is another's */
    size_t merges_mask;
    uint64_t seed;
    uint32_t direct[FFAI__DIRECT_CHARACTERS]; /* ids of the first characters: byte-level text has no others */
    uint32_t byte_ids[256];                   /* of <0x00> to <0xFF>, for byte_fallback */
    char *unk_token;                          /* NULL: unknown characters are dropped */
    size_t unk_size;
    uint32_t unk_id;
    char *prefix, *suffix; /* continuing_subword_prefix, end_of_word_suffix; empty if there is none */
    size_t prefix_size, suffix_size;
    bool fuse_unk, byte_fallback, ignore_merges;
    bool can_cut;            /* words may be cut between characters that no token joins */
    uint8_t joined[256][32]; /* bits: the last byte of a character, the first of the next; 0xFF for U+2581 */
} ffai__bpe;

/* From a tokenizer.json's "model", but with the merges or ranks of lists where it is not NULL; vocabulary must be its
 * own and outlive *bpe. */
ffai_status ffai__bpe_parse(ffai__bpe *bpe, const json_t *model, const ffai__tokenizer_lists *lists,
                            const ffai__vocabulary *vocabulary, const char *place, ffai_error *err);
/* The same, but with another's merges, merges_mask, seed, can_cut and joined; the merges outlive this one.
 * FFAI_E_FORMAT if they do not fit the vocabulary. */
ffai_status ffai__bpe_restore(ffai__bpe *bpe, const json_t *model, const ffai__bpe *from,
                              const ffai__vocabulary *vocabulary, const char *place, ffai_error *err);
void ffai__bpe_free(ffai__bpe *bpe);

/* Memory that encoding re-uses from word to word. */
typedef struct ffai__bpe_scratch {
    struct ffai__symbol *symbols;
    uint64_t *queue;
    size_t capacity;
    size_t count;
    char *spelling; /* a character with prefix and suffix */
    char *joined;   /* two tokens, where ranks count */
} ffai__bpe_scratch;

void ffai__bpe_scratch_free(ffai__bpe_scratch *scratch);

/* The end of the part of a word that begins at `from` < size and that nothing behind it is merged with. */
size_t ffai__bpe_part(const ffai__bpe *bpe, const char *word, size_t size, size_t from);

/* Append the ids of one word of valid UTF-8. n log n in its length. */
ffai_status ffai__bpe_encode(ffai__ids *ids, const ffai__bpe *bpe, ffai__bpe_scratch *scratch, const char *word,
                             size_t size, ffai__budget *budget, ffai_error *err);

#endif
