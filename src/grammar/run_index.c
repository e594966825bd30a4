#include "run_index.h"

#include <string.h>

#include "alloc.h"
#include "failure.h"
#include "utf8.h"
#include "utf8_edges.h"

/* Masks for 1 to LENGTHS characters, and one for all. */
enum { LENGTHS = FFAI__RUN_LENGTHS, LONGEST = FFAI__RUN_OTHER - 1 };

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

static uint8_t longer(uint8_t a, uint8_t b)
{
    return a > b ? a : b;
}

/* A character of several bytes, as far as they are known. */
typedef struct {
    uint32_t bits;
    uint32_t least; /* smaller ones have fewer bytes */
    int missing;
} started;

static bool is_in(const ffai__characters *set, const started *c)
{
    const bool surrogate = c->bits >= 0xD800 && c->bits <= 0xDFFF;
    return c->bits >= c->least && !surrogate && ffai__characters_have(set, c->bits);
}

/* The same for the ways from a node in the middle of a character. */
static uint8_t measure_character(const ffai__run_index *index, const ffai_token_trie *trie, uint32_t node, started c,
                                 const ffai__characters *set)
{
    if (c.missing == 0) {
        const uint8_t below = index->below[node];
        return below < LONGEST && is_in(set, &c) ? (uint8_t)(below + 1) : FFAI__RUN_OTHER;
    }
    const ffai__trie_node *at = &trie->nodes[node];
    uint8_t longest = at[0].first_token < at[1].first_token ? FFAI__RUN_OTHER : 0;
    for (uint32_t child = node + 1; child < at->end && longest < FFAI__RUN_OTHER; child = trie->nodes[child].end) {
        const uint8_t byte = trie->nodes[child].byte;
        const started more = {c.bits << 6 | (byte & 0x3F), c.least, c.missing - 1};
        const bool follows = (byte & 0xC0) == 0x80;
        longest = longer(longest, follows ? measure_character(index, trie, child, more, set) : FFAI__RUN_OTHER);
    }
    return longest;
}

static bool start_character(started *c, uint8_t byte)
{
    if (byte < 0x80)
        *c = (started){byte, 0, 0};
    else if (byte < 0xE0)
        *c = (started){byte & 0x1F, 0x80, 1};
    else if (byte < 0xF0)
        *c = (started){byte & 0x0F, 0x800, 2};
    else
        *c = (started){byte & 0x07, 0x10000, 3};
    return byte < 0x80 || (byte >= 0xC2 && byte < 0xF5);
}

static uint8_t measure_below(const ffai__run_index *index, const ffai_token_trie *trie, uint32_t node,
                             const ffai__characters *set)
{
    const uint32_t end = trie->nodes[node].end;
    uint8_t longest = 0;
    for (uint32_t child = node + 1; child < end && longest < FFAI__RUN_OTHER; child = trie->nodes[child].end) {
        started c;
        const bool starts = start_character(&c, trie->nodes[child].byte);
        longest = longer(longest, starts ? measure_character(index, trie, child, c, set) : FFAI__RUN_OTHER);
    }
    return longest;
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
            longest = longer(longest, count);
        }
        for (uint32_t child = n + 1; child < node->end; child = trie->nodes[child].end)
            longest = longer(longest, index->longest[child]);
        index->longest[n] = longest;
        index->below[n] = measure_below(index, trie, n, set);
    }
}

static bool take_firsts(void *context, const ffai__byte_ranges *ranges)
{
    ffai__byte_set_add(context, ranges->first[0], ranges->last[0]);
    return true;
}

static void describe(ffai__run_index *index, const ffai__characters *set)
{
    for (size_t i = 0; i < set->count; i++)
        ffai__utf8_ranges(set->ranges[i].first, set->ranges[i].last, take_firsts, &index->firsts);
    index->example_size = (uint32_t)ffai__utf8_put(index->example, set->ranges[0].first);
}

ffai_status ffai__run_index_create(ffai__run_index *index, const ffai_token_trie *trie, const ffai__characters *set,
                                   ffai_error *err)
{
    index->num_words = ((uint32_t)trie->vocab_size + 31) / 32;
    index->longest = ffai__malloc(trie->num_nodes);
    index->below = ffai__malloc(trie->num_nodes);
    index->masks = ffai__calloc((LENGTHS + 2) * (size_t)index->num_words, sizeof *index->masks);
    if (!index->longest || !index->below || !index->masks)
        return ffai__fail_memory(err, "a vocabulary's masks",
                                 (LENGTHS + 2) * (size_t)index->num_words * sizeof *index->masks);
    describe(index, set);
    fill(index, trie, set);
    return FFAI_OK;
}

void ffai__run_index_free(ffai__run_index *index)
{
    ffai__free(index->longest);
    ffai__free(index->below);
    ffai__free(index->masks);
}

const uint32_t *ffai__run_index_mask(uint32_t *length, const ffai__run_index *index)
{
    *length = *length >= LONGEST ? LONGEST : *length < LENGTHS ? *length : LENGTHS;
    return index->masks + (size_t)(*length == LONGEST ? LENGTHS + 1 : *length) * index->num_words;
}
