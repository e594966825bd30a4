/* A hash table from byte strings to 64-bit values. Keys are not copied: they must outlive the map. */
#ifndef FFAI_BASE_STRING_MAP_H
#define FFAI_BASE_STRING_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ffai__string_map ffai__string_map;

/* Room for about `expected` keys; it grows beyond. NULL when memory is short. */
ffai__string_map *ffai__string_map_new(size_t expected);
void ffai__string_map_free(ffai__string_map *map);

typedef enum { FFAI__MAP_NEW, FFAI__MAP_EXISTS, FFAI__MAP_NO_MEMORY } ffai__map_result;

/* Insert unless the key is there (then nothing changes). */
ffai__map_result ffai__string_map_add(ffai__string_map *map, const char *key, size_t length, uint64_t value);
bool ffai__string_map_get(const ffai__string_map *map, const char *key, size_t length, uint64_t *value);
size_t ffai__string_map_size(const ffai__string_map *map);

#endif
