#include "characters.h"

#include <string.h>

#include "alloc.h"

enum { SURROGATE_FIRST = 0xD800, SURROGATE_LAST = 0xDFFF };

void ffai__characters_free(ffai__characters *set)
{
    ffai__free(set->ranges);
    *set = (ffai__characters){0};
}

static bool reserve(ffai__characters *set, size_t count)
{
    if (set->failed || count <= set->capacity)
        return !set->failed;
    const size_t capacity = count < 8 ? 8 : count * 2;
    ffai__character_range *ranges = ffai__realloc(set->ranges, capacity, sizeof *ranges);
    set->failed = !ranges;
    if (!ranges)
        return false;
    set->ranges = ranges;
    set->capacity = capacity;
    return true;
}

/* The first range that ends at `character` or behind it. */
static size_t find(const ffai__characters *set, uint32_t character)
{
    size_t low = 0;
    size_t high = set->count;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (set->ranges[middle].last < character)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void ffai__characters_add(ffai__characters *set, uint32_t first, uint32_t last)
{
    if (first > last || !reserve(set, set->count + 1))
        return;
    const size_t from = find(set, first ? first - 1 : 0);
    size_t to = from;
    for (; to < set->count && set->ranges[to].first <= last + 1; to++) {
        first = set->ranges[to].first < first ? set->ranges[to].first : first;
        last = set->ranges[to].last > last ? set->ranges[to].last : last;
    }
    memmove(set->ranges + from + 1, set->ranges + to, (set->count - to) * sizeof *set->ranges);
    set->ranges[from] = (ffai__character_range){first, last};
    set->count = set->count - (to - from) + 1;
}

void ffai__characters_add_all(ffai__characters *set, const ffai__characters *other)
{
    set->failed = set->failed || other->failed;
    for (size_t i = 0; i < other->count; i++)
        ffai__characters_add(set, other->ranges[i].first, other->ranges[i].last);
}

void ffai__characters_invert(ffai__characters *set)
{
    ffai__characters inverted = {.failed = set->failed};
    ffai__characters_add(set, SURROGATE_FIRST, SURROGATE_LAST);
    uint32_t next = 0;
    for (size_t i = 0; i < set->count; i++) {
        if (set->ranges[i].first > next)
            ffai__characters_add(&inverted, next, set->ranges[i].first - 1);
        next = set->ranges[i].last + 1;
    }
    if (next <= FFAI__CHARACTER_MAX)
        ffai__characters_add(&inverted, next, FFAI__CHARACTER_MAX);
    inverted.failed = inverted.failed || set->failed;
    ffai__characters_free(set);
    *set = inverted;
}

void ffai__characters_remove(ffai__characters *set, const ffai__characters *other)
{
    ffai__characters_invert(set);
    ffai__characters_add_all(set, other);
    ffai__characters_invert(set);
}

bool ffai__characters_have(const ffai__characters *set, uint32_t character)
{
    const size_t i = find(set, character);
    return i < set->count && set->ranges[i].first <= character;
}

uint32_t ffai__characters_size(const ffai__characters *set)
{
    uint32_t size = 0;
    for (size_t i = 0; i < set->count; i++)
        size += set->ranges[i].last - set->ranges[i].first + 1;
    return size;
}
