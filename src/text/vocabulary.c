#include "vocabulary.h"

#include <string.h>

#include "alloc.h"
#include "hash.h"

/* An array by id is wasteful only where most ids are missing, as in a hostile file. */
static bool too_sparse(int64_t id, size_t count)
{
    return id > FFAI__TOKEN_ID_MAX || (uint64_t)id > 4 * (uint64_t)count + (1u << 20);
}

static ffai_status largest_id(uint32_t *largest, const json_t *vocab, const char *place, ffai_error *err)
{
    const size_t count = json_object_size(vocab);
    *largest = 0;
    for (void *i = json_object_iter((json_t *)vocab); i; i = json_object_iter_next((json_t *)vocab, i)) {
        int64_t id = 0;
        const char *key = json_object_iter_key(i);
        if (!ffai__json_integer(&id, json_object_iter_value(i)) || id < 0)
            return ffai__fail(err, FFAI_E_FORMAT, "%s: vocab: token \"%.100s\": its id must be an integer from 0",
                              place, key);
        if (too_sparse(id, count))
            return ffai__fail(err, FFAI_E_LIMIT, "%s: vocab: token \"%.100s\": id %lld is too large for %zu tokens",
                              place, key, (long long)id, count);
        if ((uint32_t)id > *largest)
            *largest = (uint32_t)id;
    }
    return FFAI_OK;
}

static ffai_status sort_by_id(ffai__text *tokens, const json_t *vocab, const char *place, ffai_error *err)
{
    for (void *i = json_object_iter((json_t *)vocab); i; i = json_object_iter_next((json_t *)vocab, i)) {
        int64_t id = 0;
        const char *key = json_object_iter_key(i);
        ffai__json_integer(&id, json_object_iter_value(i));
        if (tokens[id].data)
            return ffai__fail(err, FFAI_E_FORMAT, "%s: vocab: tokens \"%.100s\" and \"%.100s\" have the same id %u",
                              place, tokens[id].data, key, (unsigned)id);
        tokens[id] = (ffai__text){key, strlen(key)};
    }
    return FFAI_OK;
}

ffai_status ffai__vocabulary_parse(ffai__vocabulary *v, const json_t *vocab, const char *place, ffai_error *err)
{
    if (!json_is_object(vocab))
        return ffai__fail(err, FFAI_E_FORMAT, "%s: field \"vocab\": must be an object", place);
    uint32_t largest = 0;
    FFAI__TRY(largest_id(&largest, vocab, place, err));
    const size_t count = json_object_size(vocab) ? (size_t)largest + 1 : 0;
    ffai__text *tokens = ffai__calloc(count, sizeof *tokens);
    if (!tokens)
        return ffai__fail_memory(err, "a vocabulary", count * sizeof *tokens);
    ffai_status status = sort_by_id(tokens, vocab, place, err);
    if (status == FFAI_OK)
        status = ffai__vocabulary_build(v, tokens, count, place, err);
    ffai__free(tokens);
    return status;
}

/* A slot is 0 where it is free, else an id below seven bits of its text's hash and a 1: most ids of other texts are
 * told apart without a look at them. */
static uint32_t slot_tag(uint64_t hash)
{
    return (uint32_t)(hash >> 32 | 0x80000000u) & ~(uint32_t)FFAI__TOKEN_ID_MAX;
}

static bool is_token(const ffai__vocabulary *v, uint32_t id, const char *text, size_t size)
{
    const uint32_t start = v->starts[id];
    return v->starts[id + 1] - start == size + 1 && memcmp(v->texts + start, text, size) == 0;
}

/* The slot of the token of this text, or the free one where it belongs. */
static uint32_t *find_slot(const ffai__vocabulary *v, uint64_t hash, const char *text, size_t size)
{
    const uint32_t tag = slot_tag(hash);
    for (size_t i = (size_t)hash & v->slots_mask;; i = (i + 1) & v->slots_mask) {
        const uint32_t slot = v->slots[i];
        const uint32_t id = slot & FFAI__TOKEN_ID_MAX;
        if (!slot || ((slot ^ id) == tag && is_token(v, id, text, size)))
            return &v->slots[i];
    }
}

static ffai_status allocate(ffai__vocabulary *v, const ffai__text *tokens, size_t count, const char *place,
                            ffai_error *err)
{
    uint64_t bytes = 0;
    for (size_t id = 0; id < count; id++) {
        bytes += tokens[id].data ? (uint64_t)tokens[id].size + 1 : 0;
        v->model_count += tokens[id].data != NULL;
    }
    if (bytes > UINT32_MAX)
        return ffai__fail(err, FFAI_E_LIMIT, "%s: vocab: has %llu bytes of tokens", place, (unsigned long long)bytes);
    size_t slots = 16;
    while (slots / 2 < v->model_count)
        slots *= 2;
    v->tokens = ffai__calloc(count, sizeof *v->tokens);
    v->texts = ffai__malloc((size_t)bytes);
    v->starts = ffai__array(count + 1, sizeof *v->starts);
    v->slots = ffai__calloc(slots, sizeof *v->slots);
    if (!v->tokens || !v->texts || !v->starts || !v->slots)
        return ffai__fail_memory(err, "a vocabulary", bytes + count * sizeof *v->tokens);
    v->count = (uint32_t)count;
    v->num_starts = (uint32_t)count + 1;
    v->capacity = count;
    v->slots_mask = slots - 1;
    v->seed = (uint64_t)(uintptr_t)v->slots;
    return FFAI_OK;
}

static ffai_status add_token(ffai__vocabulary *v, const ffai__text *token, uint32_t id, const char *place,
                             ffai_error *err)
{
    char *text = v->texts + v->starts[id];
    memcpy(text, token->data, token->size);
    text[token->size] = 0;
    v->starts[id + 1] = v->starts[id] + (uint32_t)token->size + 1;
    v->tokens[id] = (ffai__token){text, (uint32_t)token->size, 0};
    const uint64_t hash = ffai__hash_bytes(text, token->size, v->seed);
    uint32_t *slot = find_slot(v, hash, text, token->size);
    if (*slot)
        return ffai__fail(err, FFAI_E_FORMAT, "%s: vocab: tokens %u and %u are both \"%.100s\"", place,
                          (unsigned)(*slot & FFAI__TOKEN_ID_MAX), (unsigned)id, text);
    *slot = slot_tag(hash) | id;
    return FFAI_OK;
}

ffai_status ffai__vocabulary_build(ffai__vocabulary *v, const ffai__text *tokens, size_t count, const char *place,
                                   ffai_error *err)
{
    if (count > (size_t)FFAI__TOKEN_ID_MAX + 1)
        return ffai__fail(err, FFAI_E_LIMIT, "%s: vocab: has %zu tokens, more than %d", place, count,
                          FFAI__TOKEN_ID_MAX + 1);
    FFAI__TRY(allocate(v, tokens, count, place, err));
    v->starts[0] = 0;
    for (size_t id = 0; id < count; id++) {
        v->starts[id + 1] = v->starts[id];
        if (tokens[id].data)
            FFAI__TRY(add_token(v, &tokens[id], (uint32_t)id, place, err));
    }
    return FFAI_OK;
}

/* A look-up ends, and stays within the texts. */
static bool slots_fit(const ffai__vocabulary *v)
{
    size_t used = 0;
    bool fit = true;
    for (size_t i = 0; i <= v->slots_mask; i++) {
        used += v->slots[i] != 0;
        fit &= v->slots[i] == 0 || (v->slots[i] & FFAI__TOKEN_ID_MAX) < v->count;
    }
    return fit && used == v->model_count && used <= v->slots_mask;
}

static bool restore_token(ffai__vocabulary *v, uint32_t id, size_t texts_size)
{
    const uint32_t start = v->starts[id], end = v->starts[id + 1];
    if (end < start || end > texts_size || (end > start && v->texts[end - 1] != 0))
        return false;
    v->tokens[id] = end > start ? (ffai__token){v->texts + start, end - start - 1, 0} : (ffai__token){NULL, 0, 0};
    return true;
}

ffai_status ffai__vocabulary_restore(ffai__vocabulary *v, const ffai__vocabulary *from, size_t texts_size,
                                     ffai_error *err)
{
    *v = *from;
    v->borrowed = true;
    v->capacity = v->count;
    v->tokens = ffai__array(v->count, sizeof *v->tokens);
    if (!v->tokens)
        return ffai__fail_memory(err, "a vocabulary", v->count * sizeof *v->tokens);
    bool fits = slots_fit(v);
    for (uint32_t id = 0; fits && id < v->count; id++)
        fits = restore_token(v, id, texts_size);
    return fits ? FFAI_OK : ffai__fail(err, FFAI_E_FORMAT, "a vocabulary that does not fit together");
}

void ffai__vocabulary_free(ffai__vocabulary *v)
{
    ffai__free(v->tokens);
    if (!v->borrowed) {
        ffai__free(v->texts);
        ffai__free(v->starts);
        ffai__free(v->slots);
    }
    *v = (ffai__vocabulary){0};
}

uint32_t ffai__vocabulary_find(const ffai__vocabulary *v, const char *text, size_t size)
{
    const uint32_t slot = *find_slot(v, ffai__hash_bytes(text, size, v->seed), text, size);
    return slot ? slot & FFAI__TOKEN_ID_MAX : FFAI__NO_TOKEN;
}

static ffai_status grow(ffai__vocabulary *v, size_t count, ffai_error *err)
{
    if (count > v->capacity) {
        const size_t capacity = count + v->capacity / 2;
        ffai__token *tokens = ffai__realloc(v->tokens, capacity, sizeof *tokens);
        if (!tokens)
            return ffai__fail_memory(err, "a vocabulary", capacity * sizeof *tokens);
        v->tokens = tokens;
        v->capacity = capacity;
    }
    memset(v->tokens + v->count, 0, (count - v->count) * sizeof *v->tokens);
    v->count = (uint32_t)count;
    return FFAI_OK;
}

ffai_status ffai__vocabulary_set_added(ffai__vocabulary *v, uint32_t id, const char *text, uint32_t size,
                                       uint32_t index, ffai_error *err)
{
    if (id > FFAI__TOKEN_ID_MAX)
        return ffai__fail(err, FFAI_E_LIMIT, "more than %d token ids", FFAI__TOKEN_ID_MAX + 1);
    if (id >= v->count)
        FFAI__TRY(grow(v, (size_t)id + 1, err));
    v->tokens[id] = (ffai__token){text, size, index + 1};
    return FFAI_OK;
}
