/* The tokens of a vocabulary as a trie of bytes, in the order in which a search from the root meets its nodes. */
#ifndef FFAI_GRAMMAR_TOKEN_TRIE_H
#define FFAI_GRAMMAR_TOKEN_TRIE_H

#include <ffai/grammar.h>

typedef struct ffai__trie_node {
    uint32_t end;         /* one more than the last node below it */
    uint32_t first_token; /* its tokens are sorted[first_token] up to those of the next node */
    uint8_t byte;
} ffai__trie_node;

struct ffai_token_trie {
    ffai__trie_node *nodes; /* [num_nodes + 1]: the root first; behind the last, where its tokens would end */
    uint32_t num_nodes;
    uint32_t depth;   /* bytes of the longest token */
    int32_t *sorted;  /* [num_sorted] ids, by their bytes */
    uint32_t *starts; /* [vocab_size + 1] a token's bytes: texts[starts[id]] up to the next one's; none: in no mask */
    char *texts;
    uint32_t num_sorted;
    int32_t vocab_size;
    uint32_t dropped; /* spaces that a text loses at its beginning, as it is decoded */
    int32_t *end_tokens;
    size_t num_end_tokens;
};

static inline const char *ffai__trie_token(uint32_t *size, const ffai_token_trie *trie, int32_t id)
{
    *size = trie->starts[id + 1] - trie->starts[id];
    return trie->texts + trie->starts[id];
}

#endif
