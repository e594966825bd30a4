#include "arena.h"

#include "alloc.h"

enum { CHUNK_BYTES = 32768, ALIGNMENT = 16 };

struct ffai__arena_chunk {
    _Alignas(ALIGNMENT) ffai__arena_chunk *next;
};

static char *add_chunk(ffai__arena *arena, size_t bytes)
{
    ffai__arena_chunk *chunk = ffai__malloc(sizeof *chunk + bytes);
    if (!chunk)
        return NULL;
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    return (char *)(chunk + 1);
}

void *ffai__arena_alloc(ffai__arena *arena, size_t bytes)
{
    if (bytes > SIZE_MAX / 2)
        return NULL;
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    arena->used += bytes;
    if (arena->used > arena->limit)
        return NULL;
    if (bytes > CHUNK_BYTES / 4)
        return add_chunk(arena, bytes);
    if (bytes > arena->left) {
        arena->at = add_chunk(arena, CHUNK_BYTES);
        arena->left = arena->at ? CHUNK_BYTES : 0;
        if (!arena->at)
            return NULL;
    }
    char *out = arena->at;
    arena->at += bytes;
    arena->left -= bytes;
    return out;
}

void ffai__arena_free(ffai__arena *arena)
{
    while (arena->chunks) {
        ffai__arena_chunk *next = arena->chunks->next;
        ffai__free(arena->chunks);
        arena->chunks = next;
    }
    arena->at = NULL;
    arena->left = 0;
}
