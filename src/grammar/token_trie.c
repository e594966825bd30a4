#define _GNU_SOURCE
#include "token_trie.h"

#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "buffer.h"
#include "failure.h"
#include "token_bytes.h"

/* Longer tokens are in no mask. */
enum { TOKEN_SIZE_MAX = 1024 };

static ffai_status gather_texts(ffai_token_trie *t, const ffai_tokenizer *tokenizer, ffai__token_bytes *reader,
                                ffai_error *err)
{
    ffai__buffer texts = FFAI__BUFFER_INIT;
    ffai_status status = FFAI_OK;
    for (int32_t id = 0; id < t->vocab_size && status == FFAI_OK; id++) {
        const size_t before = texts.size;
        t->starts[id] = (uint32_t)before;
        status = ffai__token_bytes_append(&texts, reader, tokenizer, id, err);
        if (status == FFAI_OK && (texts.failed || texts.size > UINT32_MAX / 2))
            status = ffai__fail_memory(err, "a vocabulary's bytes", texts.size);
        if (texts.size - before > TOKEN_SIZE_MAX)
            texts.size = before;
        t->num_sorted += texts.size > before;
    }
    t->starts[t->vocab_size] = (uint32_t)texts.size;
    t->texts = ffai__buffer_take(&texts, NULL);
    return status;
}

static int by_bytes(const void *a, const void *b, void *context)
{
    const ffai_token_trie *t = context;
    uint32_t x_size = 0;
    uint32_t y_size = 0;
    const char *x = ffai__trie_token(&x_size, t, *(const int32_t *)a);
    const char *y = ffai__trie_token(&y_size, t, *(const int32_t *)b);
    const int order = memcmp(x, y, x_size < y_size ? x_size : y_size);
    return order ? order : (x_size > y_size) - (x_size < y_size);
}

static void sort_tokens(ffai_token_trie *t)
{
    uint32_t count = 0;
    for (int32_t id = 0; id < t->vocab_size; id++) {
        if (t->starts[id + 1] > t->starts[id])
            t->sorted[count++] = id;
    }
    qsort_r(t->sorted, count, sizeof *t->sorted, by_bytes, t);
}

static uint32_t shared_size(const char *a, uint32_t a_size, const char *b, uint32_t b_size)
{
    uint32_t size = 0;
    while (size < a_size && size < b_size && a[size] == b[size])
        size++;
    return size;
}

/* Tokens in order share their beginnings with the one before: the nodes of the path to it are open, those that the next
 * one leaves are closed. Without `nodes` they are only counted. */
static void add_nodes(ffai_token_trie *t, ffai__trie_node *nodes, uint32_t *path)
{
    uint32_t count = 1;
    uint32_t open = 0;
    const char *before = "";
    if (nodes)
        nodes[0] = (ffai__trie_node){0, 0, 0};
    path[0] = 0;
    for (uint32_t i = 0; i <= t->num_sorted; i++) {
        uint32_t size = 0;
        const char *token = i < t->num_sorted ? ffai__trie_token(&size, t, t->sorted[i]) : "";
        const uint32_t shared = shared_size(before, open, token, size);
        for (; open > shared; open--) {
            if (nodes)
                nodes[path[open]].end = count;
        }
        for (; open < size; open++) {
            if (nodes)
                nodes[count] = (ffai__trie_node){0, i, (uint8_t)token[open]};
            path[open + 1] = count++;
        }
        t->depth = size > t->depth ? size : t->depth;
        before = token;
    }
    if (nodes) {
        nodes[0].end = count;
        nodes[count] = (ffai__trie_node){count, t->num_sorted, 0};
    }
    t->num_nodes = count;
}

static ffai_status build(ffai_token_trie *t, ffai_error *err)
{
    uint32_t path[TOKEN_SIZE_MAX + 1];
    t->sorted = ffai__array(t->num_sorted, sizeof *t->sorted);
    if (!t->sorted)
        return ffai__fail_memory(err, "a vocabulary's bytes", t->num_sorted * sizeof *t->sorted);
    sort_tokens(t);
    add_nodes(t, NULL, path);
    t->nodes = ffai__array((size_t)t->num_nodes + 1, sizeof *t->nodes);
    if (!t->nodes)
        return ffai__fail_memory(err, "a vocabulary's bytes", t->num_nodes * sizeof *t->nodes);
    add_nodes(t, t->nodes, path);
    return FFAI_OK;
}

static ffai_status fill(ffai_token_trie *t, const ffai_tokenizer *tokenizer, const int32_t *end_tokens, ffai_error *err)
{
    ffai__token_bytes *reader = NULL;
    t->vocab_size = ffai_tokenizer_vocab_size(tokenizer);
    t->starts = ffai__calloc((size_t)t->vocab_size + 1, sizeof *t->starts);
    t->end_tokens = ffai__calloc(t->num_end_tokens, sizeof *t->end_tokens);
    if (!t->starts || !t->end_tokens)
        return ffai__fail_memory(err, "a vocabulary's bytes", (size_t)t->vocab_size * sizeof *t->starts);
    for (size_t i = 0; i < t->num_end_tokens; i++) {
        if (end_tokens[i] < 0)
            return ffai__fail(err, FFAI_E_ARGUMENT, "end_tokens: entry %zu: %ld is no token", i + 1,
                              (long)end_tokens[i]);
        t->end_tokens[i] = end_tokens[i];
    }
    FFAI__TRY(ffai__token_bytes_create(&reader, &t->dropped, tokenizer, err));
    const ffai_status status = gather_texts(t, tokenizer, reader, err);
    ffai__token_bytes_free(reader);
    return status == FFAI_OK ? build(t, err) : status;
}

ffai_status ffai_token_trie_create(ffai_token_trie **out, const ffai_tokenizer *tokenizer, const int32_t *end_tokens,
                                   size_t num_end_tokens, ffai_error *err)
{
    ffai_token_trie *t = ffai__calloc(1, sizeof *t);
    if (!t)
        return ffai__fail_memory(err, "a vocabulary's bytes", sizeof *t);
    t->num_end_tokens = num_end_tokens;
    const ffai_status status = fill(t, tokenizer, end_tokens, err);
    if (status != FFAI_OK) {
        ffai_token_trie_free(t);
        return status;
    }
    *out = t;
    return FFAI_OK;
}

void ffai_token_trie_free(ffai_token_trie *t)
{
    if (!t)
        return;
    ffai__free(t->nodes);
    ffai__free(t->sorted);
    ffai__free(t->starts);
    ffai__free(t->texts);
    ffai__free(t->end_tokens);
    ffai__free(t);
}
