/* Ids and the strings they stand for. */
#ifndef FFAI_TEXT_VOCABULARY_H
#define FFAI_TEXT_VOCABULARY_H

#include <stdbool.h>
#include <stdint.h>

#include "json.h"
#include "text.h"

enum { FFAI__TOKEN_ID_MAX = (1 << 24) - 1 };
#define FFAI__NO_TOKEN UINT32_MAX

typedef struct ffai__token {
    const char *text; /* NULL: no such id; ended by a 0 */
    uint32_t size;
    uint32_t added; /* one more than its index among the added tokens, 0 for the model's own */
} ffai__token;

typedef struct ffai__vocabulary {
    ffai__token *tokens;
    uint32_t count; /* one more than the largest id */
    size_t capacity;
    uint32_t model_count;
    /* The model's tokens alone, whatever hides them above. */
    char *texts;      /* one behind the other by id, each ended by a 0 */
    uint32_t *starts; /* [their largest id + 2]: where each begins, and the next one behind it */
    uint32_t num_starts;
    uint32_t *slots; /* hash table of ids: at most half full, small enough to stay in a core's cache */
    size_t slots_mask;
    uint64_t seed;
    bool borrowed; /* texts, starts and slots are another's */
} ffai__vocabulary;

/* From the tokens by id; data is NULL where an id has none. The texts are copied, and must all differ. */
ffai_status ffai__vocabulary_build(ffai__vocabulary *vocabulary, const ffai__text *tokens, size_t count,
                                   const char *place, ffai_error *err);
/* From the model's "vocab", an object of ids by string. */
ffai_status ffai__vocabulary_parse(ffai__vocabulary *vocabulary, const json_t *vocab, const char *place,
                                   ffai_error *err);
/* From what another vocabulary had before tokens were added: its texts, starts, slots, slots_mask, seed, model_count
 * and count, which outlive this one. FFAI_E_FORMAT if they do not fit each other; texts has texts_size bytes. */
ffai_status ffai__vocabulary_restore(ffai__vocabulary *vocabulary, const ffai__vocabulary *from, size_t texts_size,
                                     ffai_error *err);
void ffai__vocabulary_free(ffai__vocabulary *vocabulary);

/* The id of a token of the model, or FFAI__NO_TOKEN. */
uint32_t ffai__vocabulary_find(const ffai__vocabulary *vocabulary, const char *text, size_t size);

/* Give id to an added token, whose text outlives the vocabulary; it hides the model's token of that id. */
ffai_status ffai__vocabulary_set_added(ffai__vocabulary *vocabulary, uint32_t id, const char *text, uint32_t size,
                                       uint32_t index, ffai_error *err);

static inline const ffai__token *ffai__vocabulary_token(const ffai__vocabulary *vocabulary, int64_t id)
{
    const bool known = id >= 0 && id < vocabulary->count && vocabulary->tokens[id].text;
    return known ? &vocabulary->tokens[id] : NULL;
}

#endif
