/* The tokens that consist of characters of one set, such as the plain ones of a JSON string.
 *
 * Where a text may go on with n such characters, the mask of the tokens with up to n is at hand, and the search of the
 * vocabulary leaves out the parts of the trie that have no others: of 150,000 tokens some thousands are looked at. */
#ifndef FFAI_GRAMMAR_RUN_INDEX_H
#define FFAI_GRAMMAR_RUN_INDEX_H

#include "byte_set.h"
#include "characters.h"
#include "token_trie.h"

enum {
    FFAI__RUN_OTHER = 255,
    FFAI__RUN_LENGTHS = 32, /* up to which there is a mask for each length */
};

typedef struct ffai__run_index {
    /* [nodes] Characters of the longest token at the node or below it, and of the longest way from the node to a token
     * below it; FFAI__RUN_OTHER where one has others. */
    uint8_t *longest, *below;
    uint32_t *masks;
    ffai__byte_set firsts; /* with which the characters begin */
    char example[4];       /* one of them */
    uint32_t example_size;
    uint32_t num_words; /* of a mask */
} ffai__run_index;

ffai_status ffai__run_index_create(ffai__run_index *index, const ffai_token_trie *trie, const ffai__characters *set,
                                   ffai_error *err);
void ffai__run_index_free(ffai__run_index *index);

/* The mask [num_words] of tokens of up to *length characters; *length is lowered to what there is a mask for. */
const uint32_t *ffai__run_index_mask(uint32_t *length, const ffai__run_index *index);

#endif
