/* Sets of characters: sorted ranges of code points, apart from each other. */
#ifndef FFAI_GRAMMAR_CHARACTERS_H
#define FFAI_GRAMMAR_CHARACTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FFAI__CHARACTER_MAX = 0x10FFFF };

typedef struct ffai__character_range {
    uint32_t first, last;
} ffai__character_range;

typedef struct ffai__characters {
    ffai__character_range *ranges;
    size_t count, capacity;
    bool failed; /* memory was short: the set is not to be used */
} ffai__characters;

void ffai__characters_free(ffai__characters *set);

void ffai__characters_add(ffai__characters *set, uint32_t first, uint32_t last);
void ffai__characters_add_all(ffai__characters *set, const ffai__characters *other);
/* All code points but those of the set. Surrogates, which UTF-8 has not, are in neither. */
void ffai__characters_invert(ffai__characters *set);
void ffai__characters_remove(ffai__characters *set, const ffai__characters *other);

bool ffai__characters_have(const ffai__characters *set, uint32_t character);
/* How many there are. */
uint32_t ffai__characters_size(const ffai__characters *set);

#endif
