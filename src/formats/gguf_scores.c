#include "gguf_scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "alloc.h"
#include "gguf_documents.h"
#include "utf8.h"

/* What all splits of all tokens may take: the bytes that are hashed. Gemma's 262,144 tokens take 2^24. */
#define MOST_HASHED ((uint64_t)1 << 31)

static float score_at(const ffai__gguf_field *scores, size_t id)
{
    float score = 0;
    memcpy(&score, scores->data + id * sizeof score, sizeof score);
    return score;
}

/* Floats in the order of their bits, turned round: the highest score has the lowest rank. */
static uint32_t rank_of(float score)
{
    uint32_t bits = 0;
    score += 0.0F; /* -0 as 0 */
    memcpy(&bits, &score, sizeof bits);
    return bits >> 31 ? bits : ~(bits | 0x80000000U);
}

static ffai_status find_scores(const ffai__gguf_field **scores, const ffai__gguf *file, size_t tokens, ffai_error *err)
{
    const char *key = "tokenizer.ggml.scores";
    FFAI__TRY(ffai__gguf_get_array(scores, file, key, FFAI__GGUF_F32, err));
    if (!*scores)
        return ffai__fail(err, FFAI_E_FORMAT, "%s: key \"%s\" is missing: a tokenizer of the model llama needs it",
                          file->what, key);
    if ((*scores)->count != tokens)
        return ffai__fail(err, FFAI_E_FORMAT, "%s: key \"%s\": has %llu entries for %llu tokens", file->what, key,
                          (unsigned long long)(*scores)->count, (unsigned long long)tokens);
    return FFAI_OK;
}

ffai_status ffai__gguf_read_ranks(ffai__tokenizer_lists *lists, const ffai__gguf *file, const ffai__gguf_field *types,
                                  ffai_error *err)
{
    const ffai__gguf_field *scores = NULL;
    FFAI__TRY(find_scores(&scores, file, lists->num_tokens, err));
    lists->ranks = ffai__array(lists->num_tokens, sizeof *lists->ranks);
    if (!lists->ranks)
        return ffai__fail_memory(err, "ranks of tokens", lists->num_tokens * sizeof *lists->ranks);
    for (size_t id = 0; id < lists->num_tokens; id++) {
        const float score = score_at(scores, id);
        if (!isfinite(score))
            return ffai__fail(err, FFAI_E_FORMAT, "%s: key \"tokenizer.ggml.scores\": entry %zu is no finite number",
                              file->what, id);
        lists->ranks[id] =
            ffai__gguf_element_int(types, id) <= FFAI__GGUF_TOKEN_NORMAL ? rank_of(score) : FFAI__NO_RANK;
    }
    return FFAI_OK;
}

/* ---- merges ---- */

typedef struct {
    ffai__gguf_merge *merges;
    size_t count, capacity;
    const ffai__tokenizer_lists *lists;
    ffai__string_map *ids; /* of tokens with a rank */
    ffai_error *err;
} deriver;

static bool has_rank(const ffai__tokenizer_lists *lists, size_t id)
{
    return lists->tokens[id].data && lists->ranks[id] != FFAI__NO_RANK;
}

static ffai_status index_tokens(const deriver *d, const char *what)
{
    uint64_t hashed = 0;
    for (size_t id = 0; id < d->lists->num_tokens; id++) {
        const ffai__text *token = &d->lists->tokens[id];
        if (!has_rank(d->lists, id))
            continue;
        if (ffai__string_map_add(d->ids, token->data, token->size, id) == FFAI__MAP_NO_MEMORY)
            return ffai__fail_memory(d->err, "merges", d->lists->num_tokens);
        hashed += token->size > UINT32_MAX ? UINT64_MAX / 2 : (uint64_t)token->size * token->size;
        if (hashed > MOST_HASHED)
            return ffai__fail(d->err, FFAI_E_LIMIT, "%s: key \"tokenizer.ggml.tokens\": its tokens are too long", what);
    }
    return FFAI_OK;
}

static ffai_status append(deriver *d, const ffai__gguf_merge *merge)
{
    if (d->count == d->capacity) {
        const size_t capacity = d->capacity ? d->capacity * 2 : 1024;
        ffai__gguf_merge *merges = ffai__realloc(d->merges, capacity, sizeof *merges);
        if (!merges)
            return ffai__fail_memory(d->err, "merges", capacity * sizeof *merges);
        d->merges = merges;
        d->capacity = capacity;
    }
    d->merges[d->count++] = *merge;
    return FFAI_OK;
}

static ffai_status split_token(deriver *d, size_t id)
{
    const ffai__text *token = &d->lists->tokens[id];
    const uint32_t characters = (uint32_t)ffai__utf8_count(token->data, token->size);
    size_t step = 0;
    uint32_t before = 0;
    for (size_t at = 0; at < token->size; at += step, before++) {
        ffai__utf8_get(token->data + at, &step);
        const ffai__text left = {token->data, at};
        const ffai__text right = {token->data + at, token->size - at};
        uint64_t unused = 0;
        if (at == 0 || !ffai__string_map_get(d->ids, left.data, left.size, &unused) ||
            !ffai__string_map_get(d->ids, right.data, right.size, &unused))
            continue;
        const ffai__gguf_merge merge = {left, right, d->lists->ranks[id], before, characters - before, (uint32_t)id};
        FFAI__TRY(append(d, &merge));
    }
    return FFAI_OK;
}

/* The higher score first, then the longer left half, the longer right one, and the lower id. */
static int by_rank(const void *left, const void *right)
{
    const ffai__gguf_merge *a = left;
    const ffai__gguf_merge *b = right;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    if (a->left_characters != b->left_characters)
        return a->left_characters > b->left_characters ? -1 : 1;
    if (a->right_characters != b->right_characters)
        return a->right_characters > b->right_characters ? -1 : 1;
    return a->joined < b->joined ? -1 : a->joined > b->joined;
}

static ffai_status derive(deriver *d, const char *what)
{
    FFAI__TRY(index_tokens(d, what));
    for (size_t id = 0; id < d->lists->num_tokens; id++) {
        if (has_rank(d->lists, id))
            FFAI__TRY(split_token(d, id));
    }
    if (d->count)
        qsort(d->merges, d->count, sizeof *d->merges, by_rank);
    return FFAI_OK;
}

ffai_status ffai__gguf_derive_merges(ffai__gguf_merge **merges, size_t *count, const ffai__tokenizer_lists *lists,
                                     const char *what, ffai_error *err)
{
    deriver d = {.lists = lists, .ids = ffai__string_map_new(lists->num_tokens), .err = err};
    if (!d.ids)
        return ffai__fail_memory(err, "merges", lists->num_tokens);
    const ffai_status status = derive(&d, what);
    ffai__string_map_free(d.ids);
    if (status != FFAI_OK) {
        ffai__free(d.merges);
        return status;
    }
    *merges = d.merges;
    *count = d.count;
    return FFAI_OK;
}
