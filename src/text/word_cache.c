#include "word_cache.h"

#include <stdatomic.h>

#include "alloc.h"

enum { PLACES_AT_FIRST = 1 << 10, PLACES_AT_MOST = 1 << 16, WAITING = 8 };

_Static_assert(sizeof(ffai__cached_word) == 64, "a word fills a line");

struct ffai__word_caches {
    _Atomic(ffai__word_cache *) waiting[WAITING];
};

static void free_cache(ffai__word_cache *cache)
{
    if (!cache)
        return;
    ffai__free_aligned(cache->words);
    ffai__free(cache);
}

static ffai__cached_word *new_words(size_t count)
{
    ffai__cached_word *words = ffai__malloc_aligned(count * sizeof *words);
    if (words)
        memset(words, 0, count * sizeof *words);
    return words;
}

static ffai_status create_cache(ffai__word_cache **out, ffai_error *err)
{
    ffai__word_cache *cache = ffai__calloc(1, sizeof *cache);
    if (cache)
        cache->words = new_words(PLACES_AT_FIRST);
    if (!cache || !cache->words) {
        free_cache(cache);
        return ffai__fail_memory(err, "a cache of words", PLACES_AT_FIRST * sizeof *cache->words);
    }
    cache->mask = PLACES_AT_FIRST - 1;
    *out = cache;
    return FFAI_OK;
}

/* Four times the places; where memory is short it stays as it is. */
static void grow(ffai__word_cache *cache)
{
    const ffai__word_cache old = *cache;
    const size_t places = 4 * (old.mask + 1);
    ffai__cached_word *words = new_words(places);
    if (!words)
        return;
    *cache = (ffai__word_cache){words, places - 1, 0};
    for (size_t i = 0; i <= old.mask; i++) {
        const ffai__cached_word *word = &old.words[i];
        if (word->size > 0)
            ffai__word_cache_put(cache, word->text, word->size, word->ids, word->count);
    }
    ffai__free_aligned(old.words);
}

void ffai__word_cache_put(ffai__word_cache *cache, const char *text, size_t size, const int32_t *ids, size_t count)
{
    if (size > FFAI__CACHED_BYTES || count > FFAI__CACHED_IDS)
        return;
    if (cache->used > cache->mask / 2 && cache->mask + 1 < PLACES_AT_MOST)
        grow(cache);
    ffai__cached_word *word = ffai__word_cache_place(cache, text, size);
    cache->used += word->size == 0;
    word->size = (uint8_t)size;
    word->count = (uint8_t)count;
    memcpy(word->text, text, size);
    if (count > 0)
        memcpy(word->ids, ids, count * sizeof *ids);
}

ffai_status ffai__word_caches_create(ffai__word_caches **out, ffai_error *err)
{
    ffai__word_caches *caches = ffai__malloc(sizeof *caches);
    if (!caches)
        return ffai__fail_memory(err, "a tokenizer", sizeof *caches);
    for (size_t i = 0; i < WAITING; i++)
        atomic_init(&caches->waiting[i], NULL);
    *out = caches;
    return FFAI_OK;
}

void ffai__word_caches_free(ffai__word_caches *caches)
{
    if (!caches)
        return;
    for (size_t i = 0; i < WAITING; i++)
        free_cache(atomic_load(&caches->waiting[i]));
    ffai__free(caches);
}

ffai_status ffai__word_caches_take(ffai__word_cache **out, ffai__word_caches *caches, ffai_error *err)
{
    for (size_t i = 0; i < WAITING; i++) {
        *out = atomic_exchange_explicit(&caches->waiting[i], NULL, memory_order_acquire);
        if (*out)
            return FFAI_OK;
    }
    return create_cache(out, err);
}

void ffai__word_caches_return(ffai__word_caches *caches, ffai__word_cache *cache)
{
    for (size_t i = 0; i < WAITING; i++) {
        ffai__word_cache *none = NULL;
        if (atomic_compare_exchange_strong_explicit(&caches->waiting[i], &none, cache, memory_order_release,
                                                    memory_order_relaxed))
            return;
    }
    free_cache(cache);
}
