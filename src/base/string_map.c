#include "string_map.h"

#include <string.h>

#include "alloc.h"
#include "hash.h"

typedef struct {
    const char *key; /* NULL: free */
    size_t length;
    uint64_t value;
    uint64_t hash;
} entry;

struct ffai__string_map {
    entry *entries;
    size_t capacity; /* a power of two */
    size_t size;
    uint64_t seed; /* the table's own address: hostile keys cannot be prepared for it */
};

ffai__string_map *ffai__string_map_new(size_t expected)
{
    size_t capacity = 16;
    while (capacity / 2 < expected) {
        if (capacity > SIZE_MAX / 4 / sizeof(entry))
            return NULL;
        capacity *= 2;
    }
    ffai__string_map *map = ffai__calloc(1, sizeof *map);
    if (!map)
        return NULL;
    map->entries = ffai__calloc(capacity, sizeof *map->entries);
    if (!map->entries) {
        ffai__free(map);
        return NULL;
    }
    map->capacity = capacity;
    map->seed = (uint64_t)(uintptr_t)map->entries;
    return map;
}

void ffai__string_map_free(ffai__string_map *map)
{
    if (!map)
        return;
    ffai__free(map->entries);
    ffai__free(map);
}

/* The key's entry, or the free one where it belongs. */
static entry *find(entry *entries, size_t capacity, const char *key, size_t length, uint64_t hash)
{
    size_t i = (size_t)hash & (capacity - 1);
    for (;; i = (i + 1) & (capacity - 1)) {
        entry *e = &entries[i];
        if (!e->key)
            return e;
        if (e->hash == hash && e->length == length && memcmp(e->key, key, length) == 0)
            return e;
    }
}

static bool grow(ffai__string_map *map)
{
    const size_t capacity = map->capacity * 2;
    entry *entries = ffai__calloc(capacity, sizeof *entries);
    if (!entries)
        return false;
    for (size_t i = 0; i < map->capacity; i++) {
        const entry *e = &map->entries[i];
        if (e->key)
            *find(entries, capacity, e->key, e->length, e->hash) = *e;
    }
    ffai__free(map->entries);
    map->entries = entries;
    map->capacity = capacity;
    return true;
}

ffai__map_result ffai__string_map_add(ffai__string_map *map, const char *key, size_t length, uint64_t value)
{
    const uint64_t hash = ffai__hash_bytes(key, length, map->seed);
    if (find(map->entries, map->capacity, key, length, hash)->key)
        return FFAI__MAP_EXISTS;
    if (map->size + 1 > map->capacity / 2 && !grow(map))
        return FFAI__MAP_NO_MEMORY;
    *find(map->entries, map->capacity, key, length, hash) = (entry){key, length, value, hash};
    map->size++;
    return FFAI__MAP_NEW;
}

bool ffai__string_map_get(const ffai__string_map *map, const char *key, size_t length, uint64_t *value)
{
    const entry *e = find(map->entries, map->capacity, key, length, ffai__hash_bytes(key, length, map->seed));
    if (!e->key)
        return false;
    *value = e->value;
    return true;
}

size_t ffai__string_map_size(const ffai__string_map *map)
{
    return map->size;
}
