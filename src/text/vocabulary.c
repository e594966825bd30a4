#include "vocabulary.h"

#include <string.h>

#include "alloc.h"

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

static ffai_status allocate(ffai__vocabulary *v, const ffai__text *tokens, size_t count, ffai_error *err)
{
    size_t bytes = 0;
    for (size_t id = 0; id < count; id++) {
        bytes += tokens[id].data ? tokens[id].size + 1 : 0;
        v->model_count += tokens[id].data != NULL;
    }
    v->tokens = ffai__calloc(count, sizeof *v->tokens);
    v->texts = ffai__malloc(bytes);
    v->ids = ffai__string_map_new(v->model_count);
    if (!v->tokens || !v->texts || !v->ids)
        return ffai__fail_memory(err, "a vocabulary", bytes + count * sizeof *v->tokens);
    v->count = (uint32_t)count;
    v->capacity = count;
    return FFAI_OK;
}

static ffai_status add_token(ffai__vocabulary *v, char *text, const ffai__text *token, uint32_t id, const char *place,
                             ffai_error *err)
{
    memcpy(text, token->data, token->size);
    text[token->size] = 0;
    v->tokens[id] = (ffai__token){text, (uint32_t)token->size, 0};
    switch (ffai__string_map_add(v->ids, text, token->size, id)) {
    case FFAI__MAP_NEW:
        return FFAI_OK;
    case FFAI__MAP_EXISTS:
        return ffai__fail(err, FFAI_E_FORMAT, "%s: vocab: token \"%.100s\" is there twice, as %u and %u", place, text,
                          (unsigned)ffai__vocabulary_find(v, text, token->size), (unsigned)id);
    case FFAI__MAP_NO_MEMORY:
        break;
    }
    return ffai__fail_memory(err, "a vocabulary", token->size);
}

ffai_status ffai__vocabulary_build(ffai__vocabulary *v, const ffai__text *tokens, size_t count, const char *place,
                                   ffai_error *err)
{
    if (count > (size_t)FFAI__TOKEN_ID_MAX + 1)
        return ffai__fail(err, FFAI_E_LIMIT, "%s: vocab: has %zu tokens, more than %d", place, count,
                          FFAI__TOKEN_ID_MAX + 1);
    FFAI__TRY(allocate(v, tokens, count, err));
    char *text = v->texts;
    for (size_t id = 0; id < count; id++) {
        if (!tokens[id].data)
            continue;
        FFAI__TRY(add_token(v, text, &tokens[id], (uint32_t)id, place, err));
        text += tokens[id].size + 1;
    }
    return FFAI_OK;
}

void ffai__vocabulary_free(ffai__vocabulary *v)
{
    ffai__free(v->tokens);
    ffai__free(v->texts);
    ffai__string_map_free(v->ids);
    *v = (ffai__vocabulary){0};
}

uint32_t ffai__vocabulary_find(const ffai__vocabulary *v, const char *text, size_t size)
{
    uint64_t id = 0;
    return ffai__string_map_get(v->ids, text, size, &id) ? (uint32_t)id : FFAI__NO_TOKEN;
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
