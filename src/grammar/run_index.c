#include "run_index.h"

#include <string.h>

#include "alloc.h"
#include "failure.h"
#include "utf8.h"

/* Masks for 1 to LENGTHS characters, and one for all. */
enum { LENGTHS = 32, LONGEST = FFAI__RUN_OTHER - 1 };

/* Characters of a token, or FFAI__RUN_OTHER. */
static uint8_t measure(const char *token, uint32_t size, const ffai__characters *set)
{
    uint32_t count = 0;
    for (uint32_t at = 0; at < size; count++) {
        const ffai__utf8_character c = ffai__utf8_next(token + at, size - at);
        if (!c.valid || !ffai__characters_have(set, c.codepoint))
            return FFAI__RUN_OTHER;
        at += (uint32_t)c.size;
    }
    return count <= LONGEST ? (uint8_t)count : FFAI__RUN_OTHER;
}

static void note_token(ffai__run_index *index, int32_t id, uint8_t count)
{
    if (count == FFAI__RUN_OTHER)
        return;
    for (uint32_t length = count; length <= LENGTHS; length++)
        index->masks[length * index->num_words + (uint32_t)id / 32] |= 1U << id % 32;
    index->masks[(LENGTHS + 1) * index->num_words + (uint32_t)id / 32] |= 1U << id % 32;
}

/* From the last node on: a node's children come before it. */
static void fill(ffai__run_index *index, const ffai_token_trie *trie, const ffai__characters *set)
{
    for (uint32_t n = trie->num_nodes; n-- > 0;) {
        const ffai__trie_node *node = &trie->nodes[n];
        uint8_t longest = 0;
        for (uint32_t i = node->first_token; i < node[1].first_token; i++) {
            uint32_t size = 0;
            const char *token = ffai__trie_token(&size, trie, trie->sorted[i]);
            const uint8_t count = measure(token, size, set);
            note_token(index, trie->sorted[i], count);
            longest = count > longest ? count : longest;
        }
        for (uint32_t child = n + 1; child < node->end; child = trie->nodes[child].end)
            longest = index->longest[child] > longest ? index->longest[child] : longest;
        index->longest[n] = longest;
    }
}

ffai_status ffai__run_index_create(ffai__run_index *index, const ffai_token_trie *trie, const ffai__characters *set,
                                   ffai_error *err)
{
    index->num_words = ((uint32_t)trie->vocab_size + 31) / 32;
    index->longest = ffai__malloc(trie->num_nodes);
    index->masks = ffai__calloc((LENGTHS + 2) * (size_t)index->num_words, sizeof *index->masks);
    if (!index->longest || !index->masks)
        return ffai__fail_memory(err, "a vocabulary's masks",
                                 (LENGTHS + 2) * (size_t)index->num_words * sizeof *index->masks);
    fill(index, trie, set);
    return FFAI_OK;
}

void ffai__run_index_free(ffai__run_index *index)
{
    ffai__free(index->longest);
    ffai__free(index->masks);
}

const uint32_t *ffai__run_index_mask(uint32_t *length, const ffai__run_index *index)
{
    *length = *length >= LONGEST ? LONGEST : *length < LENGTHS ? *length : LENGTHS;
    return index->masks + (*length == LONGEST ? LENGTHS + 1 : *length) * index->num_words;
}
