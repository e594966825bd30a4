/* Words met lately and their ids: most words of a text are there, and a look-up costs a tenth of merging them anew. A
 * cache is one thread's at a time; a tokenizer keeps those not in use, and encoding takes one and brings it back. */
#ifndef FFAI_TEXT_WORD_CACHE_H
#define FFAI_TEXT_WORD_CACHE_H

#include <stdint.h>
#include <string.h>

#include "failure.h"
#include "hash.h"

enum { FFAI__CACHED_BYTES = 38, FFAI__CACHED_IDS = 6 };

/* A word of at most so many bytes and ids: with both it fills a line of the processor's cache. */
typedef struct ffai__cached_word {
    int32_t ids[FFAI__CACHED_IDS];
    uint8_t size; /* 0: no word */
    uint8_t count;
    char text[FFAI__CACHED_BYTES];
} ffai__cached_word;

/* A word has one place, where the last one to come stays. 64 KiB at first, 4 MiB at most. */
typedef struct ffai__word_cache {
    ffai__cached_word *words;
    size_t mask;
    size_t used;
} ffai__word_cache;

static inline ffai__cached_word *ffai__word_cache_place(const ffai__word_cache *cache, const char *text, size_t size)
{
    return &cache->words[(size_t)ffai__hash_bytes(text, size, 0) & cache->mask];
}

/* NULL if it is not there. */
static inline const ffai__cached_word *ffai__word_cache_find(const ffai__word_cache *cache, const char *text,
                                                             size_t size)
{
    if (size > FFAI__CACHED_BYTES)
        return NULL;
    const ffai__cached_word *word = ffai__word_cache_place(cache, text, size);
    return word->size == size && memcmp(word->text, text, size) == 0 ? word : NULL;
}

/* Words that are too long, or have too many ids, are passed over. size must not be 0. */
void ffai__word_cache_put(ffai__word_cache *cache, const char *text, size_t size, const int32_t *ids, size_t count);

/* The caches that wait; any number of threads may take and return them at once, without waiting. */
typedef struct ffai__word_caches ffai__word_caches;

ffai_status ffai__word_caches_create(ffai__word_caches **out, ffai_error *err);
void ffai__word_caches_free(ffai__word_caches *caches); /* none may be out */

/* One that waits, or a new one. */
ffai_status ffai__word_caches_take(ffai__word_cache **out, ffai__word_caches *caches, ffai_error *err);
/* Frees the cache where enough wait. */
void ffai__word_caches_return(ffai__word_caches *caches, ffai__word_cache *cache);

#endif
