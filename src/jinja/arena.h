/* Memory that is freed all at once, and of which there is only so much. */
#ifndef FFAI_JINJA_ARENA_H
#define FFAI_JINJA_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ffai__arena_chunk ffai__arena_chunk;

typedef struct ffai__arena {
    ffai__arena_chunk *chunks;
    char *at;
    size_t left;
    uint64_t used, limit; /* bytes */
} ffai__arena;

/* Aligned for any value, not zeroed. NULL: beyond the limit (used is then above it), or memory is short. */
void *ffai__arena_alloc(ffai__arena *arena, size_t bytes);
void ffai__arena_free(ffai__arena *arena);

#endif
